//! `aerostack connect URL`: a gateway URL for clients that only start processes. Newline-delimited JSON comes in on
//! stdin and goes out on stdout; each message travels to the gateway in the way of its own revision.
//!
//! - A request of 2026-07-28 is a POST of its own, with the headers that revision wants; `notifications/cancelled` ends
//!   that POST, which is how that revision cancels. A `subscriptions/listen` that breaks off is asked for again.
//! - `initialize` opens a session. What follows without `_meta` belongs to it, the server's own requests and notices
//!   arrive on its streams, and a session that the gateway forgot is opened again without the client noticing.
//! - A gateway that restarts is waited for. A call that may have been carried out is never sent twice: the client is
//!   told that its outcome is unknown.
//!
//! Stdout carries protocol and nothing else; people are talked to on stderr, and a token is in neither. Messages are
//! passed on as they are (a line break outside of a string becomes a space, so that a message is one line).

mod ask;
mod bridge;
mod carry;
mod gateway;
mod params;
mod request;
mod session;
mod stdio;

use std::{io::Write as _, process::ExitCode, rc::Rc, time::Duration};

use tokio::signal::unix::{SignalKind, signal};

pub use self::ask::ask;
use self::{bridge::Bridge, gateway::Gateway, stdio::Line};
use crate::{
    cli::Target,
    error::{Error, Result},
};

/// Requests under way at once; more are refused with -32017.
const IN_FLIGHT: usize = 256;
/// Lines waiting between the bridge and either end of the pipe.
const QUEUE: usize = 64;
/// Longest wait for a gateway that does not answer, before a request fails.
const GATEWAY_BACK: Duration = Duration::from_secs(30);
/// Longest wait for an answer to begin. The gateway has limits of its own, far below.
const ANSWER: Duration = Duration::from_secs(3600);
/// Longest silence of a stream; the gateway sends comments far more often.
const SILENCE: Duration = Duration::from_secs(120);
/// Once stdin is closed, answers that are still to come get this long.
const DRAIN: Duration = Duration::from_secs(10);
/// What ending the session at the gateway may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Runs the bridge until stdin ends, stdout is closed or a signal comes.
pub fn run(target: Target) -> ExitCode {
    match actix_web::rt::System::new().block_on(serve(target)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(error.message());
            ExitCode::FAILURE
        }
    }
}

/// One line for people.
fn say(line: &str) {
    // Nobody is left to tell when stderr is gone.
    let _gone = writeln!(std::io::stderr(), "aerostack: {line}");
}

async fn serve(target: Target) -> Result<()> {
    let gateway = Gateway::new(&target)?;
    let mut lines = stdio::lines(target.message_bytes);
    let (out, written) = stdio::writer();
    let bridge = Rc::new(Bridge::new(gateway, out.clone(), target.message_bytes));
    let failed = |cause| Error::internal("listening for signals", cause);
    let mut term = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut stopped = false;
    loop {
        tokio::select! {
            line = lines.recv() => match line {
                Some(Line::Message(line)) => bridge.clone().take(line),
                Some(Line::TooLong) => bridge.refuse_line().await,
                None => break,
            },
            () = out.closed() => break,
            _ = term.recv() => { stopped = true; break }
            _ = interrupt.recv() => { stopped = true; break }
        }
    }
    if !stopped {
        tokio::select! {
            () = bridge.drained(DRAIN) => {}
            () = out.closed() => {}
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
    bridge.end(GOODBYE).await;
    drop((bridge, out));
    // What was queued reaches the client, unless nobody reads it.
    let _elapsed = tokio::time::timeout(GOODBYE, written).await;
    Ok(())
}
