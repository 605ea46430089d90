//! `login` for people without a terminal on the gateway's machine: this command shows a URL and a code, somebody who is
//! signed in compares the code in a browser and says yes, and this command fetches a key of its own.

use std::time::Duration;

use secrecy::SecretString;

use super::{
    failure::{Failure, Outcome},
    login::machine,
    output::Terminal,
    session::Session,
};
use crate::{
    admin::dto::{BeginLogin, LoginBegun, LoginPolled, LoginStatus, PollLogin},
    domain::clock,
};

/// Longest pause between two questions, whatever the server says.
const LONGEST_PAUSE: u64 = 30;

/// A key that somebody confirmed.
pub async fn key(session: &Session, terminal: &mut Terminal) -> Outcome<SecretString> {
    let client = session.client_without_key()?;
    let begun: LoginBegun = client.post(&["login-requests"], vec![], &BeginLogin { client: machine() }).await?;
    // Said even with -q: without it nobody could go on.
    terminal.say(&format!("Open {} in a browser and sign in.", begun.verification_url_complete));
    terminal.say(&format!("The code there must be {}.", begun.user_code));
    let end = clock::instant() + Duration::from_secs(begun.expires_in_seconds);
    let ask = PollLogin { device_code: begun.device_code };
    while clock::instant() < end {
        actix_web::rt::time::sleep(Duration::from_secs(begun.interval_seconds.clamp(1, LONGEST_PAUSE))).await;
        let polled: LoginPolled = match client.post(&["login-requests:poll"], vec![], &ask).await {
            // Somebody else at this address asks a lot: this one asks again later.
            Err(failure) if failure.status() == Some(429) => continue,
            other => other?,
        };
        if let (LoginStatus::Confirmed, Some(key)) = (polled.status, polled.api_key) {
            return Ok(SecretString::from(key));
        }
    }
    Err(Failure::local("Nobody confirmed the login in time").with_hint("begin again: aerostack login"))
}
