//! `ping`: does the gateway answer, does it know the key, do the clocks and the versions agree?

use serde::Serialize;

use super::{
    failure::Outcome,
    output::Terminal,
    session::{OWN_VERSION, Session, is_another_version},
};
use crate::{admin::dto::WhoAmI, domain::clock};

/// Runnable examples of `ping`.
pub const EXAMPLES: &str = "Examples:
  aerostack ping
  aerostack ping --gateway https://mcp.example.com -o json";

/// Seconds that clocks may differ before times that are shown mislead.
pub const SKEW: i64 = 5;

/// What was found.
#[derive(Debug, Serialize)]
pub struct Pong {
    /// The gateway.
    pub url: String,
    /// Milliseconds from the question to the answer.
    pub answered_in_ms: u64,
    /// Whose key it is.
    pub who: WhoAmI,
    /// The gateway's version.
    pub version: String,
    /// Whether this program's fits.
    pub versions_fit: bool,
    /// Seconds by which the gateway's clock is ahead of this one, if it says its time.
    pub clock_skew_seconds: Option<i64>,
}

/// Asks the gateway.
pub async fn ask(session: &mut Session) -> Outcome<Pong> {
    let url = session.url().as_str().trim_end_matches('/').to_owned();
    let client = session.client()?;
    let who: WhoAmI = client.get(&["whoami"], vec![]).await?;
    let glimpse = client.last();
    let took = glimpse.as_ref().map_or(0, |glimpse| glimpse.took.as_millis());
    let date = glimpse.and_then(|glimpse| glimpse.date);
    Ok(Pong {
        url,
        answered_in_ms: u64::try_from(took).unwrap_or(u64::MAX),
        versions_fit: !is_another_version(&who.version),
        version: who.version.clone(),
        clock_skew_seconds: date.map(|date| (date - clock::now()).num_seconds()),
        who,
    })
}

/// Runs `ping`.
pub async fn run(session: &mut Session, terminal: &mut Terminal) -> Outcome {
    let pong = ask(session).await?;
    let (who, ms) = (&pong.who, pong.answered_in_ms);
    let sentence = format!(
        "{} answers in {ms} ms: aerostack {}, as {} ({} in @{}).",
        pong.url, pong.version, who.label, who.role, who.namespace
    );
    terminal.done(&sentence, &pong, &ms.to_string())?;
    if let Some(skew) = pong.clock_skew_seconds.filter(|skew| skew.abs() > SKEW) {
        let direction = if skew > 0 { "ahead of" } else { "behind" };
        terminal.warn(&format!("the gateway's clock is {} s {direction} this one: set both by NTP", skew.abs()));
    }
    if !pong.versions_fit {
        terminal.warn(&format!(
            "this is aerostack {OWN_VERSION}: some commands may not fit, install the gateway's version"
        ));
    }
    Ok(())
}
