//! What servers answer: `tools/call` and its siblings, from the exposed name to the server's answer.
//!
//! Invariants: the call runs under its token's gate; bytes of arguments and results travel as they came; whatever ends
//! a call early (cancellation, a leaving client of 2026-07-28, a revoked token) ends it at the server too; every tool
//! call is recorded exactly once.
//!
//! The plain case is `attempt`: one request, one answer. What is more than that is a `talk`: a server that streams,
//! asks the client something, or wants several rounds.

mod active;
mod answering;
mod asking;
mod outbound;
pub mod park;
mod pump;
mod record;
mod talk;
pub mod target;

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering::SeqCst},
    task::{Context, Poll},
};

use tokio_util::sync::CancellationToken;

pub use pump::CallPump;
pub use record::RefusalLines;

use crate::{
    actors::grant::{Gated, Grant},
    error::{Error, ErrorCode, Result},
    gateway::{Caller, Gateway, Speech, dispatch::Request, session::UnderWay, stream::Pump as _},
    upstream::{Answer, UpstreamError},
};

/// How a call ended, or goes on.
pub enum CallOutcome {
    /// With one JSON-RPC message.
    Message(Vec<u8>),
    /// With a JSON-RPC error of the server's, and its code.
    Refused(Vec<u8>, i64),
    /// With a failure.
    Failure(Error),
    /// The answer comes as a stream.
    Stream(Box<CallPump>),
    /// The client cancelled it.
    Cancelled,
}

/// What a call under way holds: its places, and its entry under which it can be cancelled.
pub type Held = (Places, Option<UnderWay>);

/// Makes the call. On a legacy session it outlives a leaving client: there, leaving is not cancelling.
pub async fn run(gateway: Arc<Gateway>, caller: Caller, request: Request) -> CallOutcome {
    let admitted = match target::find(&gateway, &caller, &request).await {
        Ok(target) => Places::take(&gateway, &caller.grant).map(|places| (target, places)),
        Err(error) => Err(error),
    };
    let (target, places) = match admitted {
        Ok(admitted) => admitted,
        Err(error) => {
            gateway.refusals.write(&caller, &request, &error);
            return CallOutcome::Failure(error);
        }
    };
    let under_way = match &caller.speech {
        Speech::Session(session) => Some(gateway.sessions.under_way(session, &request.id)),
        Speech::Modern | Speech::Sse(_) => None,
    };
    let (cancel, under_way) = under_way.unzip();
    let cancel = cancel.or_else(|| request.cancel.clone());
    let outlives = matches!(caller.speech, Speech::Session(_));
    let grant = caller.grant.clone();
    let held = Some((places, under_way));
    let ticket = active::Ticket { gateway, caller, request, target, cancel: cancel.clone(), agreed: false, held };
    // It is handed on from step to step; behind a pointer that costs nothing.
    let ticket = Box::new(ticket);
    let work = Gated::new(&grant, perform(ticket, cancel));
    let ended = if outlives { Detached(Some(work)).await } else { work.await };
    ended.unwrap_or_else(|| {
        CallOutcome::Failure(Error::new(ErrorCode::Unauthorized, "Unauthorized: the token was revoked"))
    })
}

async fn perform(ticket: Box<active::Ticket>, cancel: Option<CancellationToken>) -> CallOutcome {
    let Some(cancel) = cancel else { return begin(ticket).await };
    tokio::select! {
        biased;
        () = cancel.cancelled() => CallOutcome::Cancelled,
        outcome = attempt(ticket) => outcome,
    }
}

/// A client of 2026-07-28 may come back to a call that waits for it.
async fn begin(mut ticket: Box<active::Ticket>) -> CallOutcome {
    match park::presented(&ticket) {
        Ok(park::Presented::Nothing) => {}
        Ok(park::Presented::Consent) => ticket.agreed = true,
        Ok(park::Presented::Declined(message)) => return CallOutcome::Message(message),
        Ok(park::Presented::Parked(call)) => return Box::pin(park::resume(&call, ticket)).await,
        Err(error) => return CallOutcome::Failure(error),
    }
    attempt(ticket).await
}

async fn attempt(ticket: Box<active::Ticket>) -> CallOutcome {
    let mut active = match active::Active::start(ticket).await {
        Ok(active) => active,
        Err(error) => return CallOutcome::Failure(error),
    };
    let talk = match active.send().await {
        Ok(Answer::Json(body)) => match active.read(body).await {
            Ok((body, env)) if active.is_last_word(&body, &env) => return active.finish_with(&body, &env),
            Ok((body, _)) => talk::Talk::about(active, body),
            Err(failure) => return active.fail(failure),
        },
        Ok(Answer::Events(events)) => talk::Talk::hearing(active, events),
        Ok(Answer::Accepted) => {
            return active.fail(UpstreamError::Protocol("it accepted the call but gave no answer".into()));
        }
        Err(failure) => return active.fail(failure),
    };
    // Apart, so that a plain call does not carry its size.
    Box::pin(pump::follow(talk)).await
}

/// The places a call takes: of its token's and of the process's calls under way.
pub struct Places {
    grant: Arc<Grant>,
    gateway: Arc<Gateway>,
}

impl Places {
    fn take(gateway: &Arc<Gateway>, grant: &Arc<Grant>) -> Result<Self> {
        let limits = &gateway.config.limits;
        let places = Places { grant: grant.clone(), gateway: gateway.clone() };
        let mine = grant.calls.fetch_add(1, SeqCst);
        let all = gateway.calls.fetch_add(1, SeqCst);
        if mine >= limits.calls_per_token {
            let most = limits.calls_per_token;
            return Err(Error::new(
                ErrorCode::Overloaded,
                format!("This token has {most} calls under way, the most allowed"),
            )
            .with_retry_after(1));
        }
        if all >= limits.calls {
            return Err(Error::new(ErrorCode::Overloaded, "The gateway has as many calls under way as it may")
                .with_retry_after(1));
        }
        Ok(places)
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.grant.calls.fetch_sub(1, SeqCst);
        self.gateway.calls.fetch_sub(1, SeqCst);
    }
}

/// A call that goes on by itself when the one who awaits it goes away.
struct Detached<F: Future<Output = Option<CallOutcome>> + Unpin + 'static>(Option<F>);

impl<F: Future<Output = Option<CallOutcome>> + Unpin + 'static> Future for Detached<F> {
    type Output = Option<CallOutcome>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = self.0.as_mut() else { return Poll::Pending };
        let polled = Pin::new(work).poll(cx);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl<F: Future<Output = Option<CallOutcome>> + Unpin + 'static> Drop for Detached<F> {
    fn drop(&mut self) {
        let Some(work) = self.0.take() else { return };
        actix_rt::spawn(async move {
            if let Some(CallOutcome::Stream(mut pump)) = work.await {
                pump.away().set(true);
                while pump.next().await.is_some() {}
            }
        });
    }
}
