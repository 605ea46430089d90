//! The answer of a call as the client gets it: one JSON message where nothing else comes first, a stream of events
//! otherwise.

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    error::{Error, ErrorCode},
    gateway::{
        Caller, Gateway, Speech,
        call::{
            CallOutcome,
            active::Ticket,
            park,
            talk::{Step, Talk},
        },
        reply,
        resume::Trail,
        stream::{self, Pump},
    },
    protocol::{revision::Revision, sse},
};

/// Where the steps of a call are made.
#[expect(clippy::large_enum_variant, reason = "lives in one box, once per streamed call")]
enum Steps {
    /// Here.
    Here(Talk),
    /// On the thread where the call waited for its client.
    There(mpsc::Receiver<Result<Step, Error>>),
    /// Nowhere any more.
    Over,
}

impl Steps {
    async fn step(&mut self) -> Result<Step, Error> {
        match self {
            Steps::Here(talk) => match talk.step().await {
                Ok(step) => Ok(step),
                Err(failure) => Err(talk.failed(failure)),
            },
            Steps::There(steps) => match steps.recv().await {
                Some(step) => step,
                None => Err(Error::new(ErrorCode::Cut, "The call ended while its client was away")),
            },
            Steps::Over => std::future::pending().await,
        }
    }
}

/// Yields the client's events until the answer has been given.
pub struct CallPump {
    steps: Steps,
    pending: Option<Bytes>,
    done: bool,
    caller: Caller,
    request_id: Bytes,
    cancel: CancellationToken,
    away: Rc<Cell<bool>>,
    trail: Option<Arc<Trail>>,
}

/// Waits for the first thing worth saying. An answer that comes first is given as plain JSON; a notification (or
/// silence) opens the event stream.
pub async fn follow(talk: Talk) -> CallOutcome {
    let active = talk.active();
    let gateway = active.ticket.gateway.clone();
    let pump = CallPump {
        pending: None,
        done: false,
        caller: active.caller().clone(),
        request_id: active.request_id(),
        cancel: active.cancel().cloned().unwrap_or_default(),
        away: talk.away.clone(),
        trail: None,
        steps: Steps::Here(talk),
    };
    pump.first(&gateway).await
}

/// As [`follow`], for a call that lives on another thread.
pub async fn follow_there(ticket: &Ticket, steps: mpsc::Receiver<Result<Step, Error>>) -> CallOutcome {
    let pump = CallPump {
        pending: None,
        done: false,
        caller: ticket.caller.clone(),
        request_id: ticket.request.id.clone(),
        cancel: ticket.cancel.clone().unwrap_or_default(),
        away: Rc::default(),
        trail: None,
        steps: Steps::There(steps),
    };
    pump.first(&ticket.gateway).await
}

impl CallPump {
    async fn first(mut self, gateway: &Gateway) -> CallOutcome {
        let takes_events = self.caller.takes_events;
        let silence = tokio::time::sleep(Duration::from_secs(gateway.config.limits.silent_head_seconds));
        tokio::pin!(silence);
        loop {
            let step = tokio::select! {
                biased;
                step = self.steps.step() => step,
                () = &mut silence, if takes_events => return self.streaming(gateway, None),
            };
            match step {
                Ok(Step::Answer(said)) => return said.into(),
                Ok(Step::Park) => return CallOutcome::Message(self.park()),
                Ok(Step::Notice(message)) if takes_events => return self.streaming(gateway, Some(&message)),
                Ok(Step::Open) if takes_events => return self.streaming(gateway, None),
                Ok(Step::Notice(_) | Step::Open) => {}
                Err(error) => return CallOutcome::Failure(error),
            }
        }
    }

    /// From here on the answer is a stream, beginning with `first`. One of a 2025-11-25 session can be come back to.
    fn streaming(mut self, gateway: &Gateway, first: Option<&[u8]>) -> CallOutcome {
        if let Speech::Session(session) = &self.caller.speech
            && session.state.revision >= Revision::V20251125
        {
            self.trail = gateway.trails.begin(session.who.clone());
        }
        if let (Steps::Here(talk), Some(_)) = (&mut self.steps, &self.trail) {
            talk.resumable = true;
        }
        let begin = self.trail.as_ref().map(|trail| trail.prime());
        let first = first.map(|message| self.event(message));
        self.pending = match (begin, first) {
            (Some(begin), Some(first)) => Some([begin, first].concat().into()),
            (begin, first) => begin.or(first),
        };
        CallOutcome::Stream(Box::new(self))
    }

    fn event(&self, message: &[u8]) -> Bytes {
        match &self.trail {
            Some(trail) => trail.event(message),
            None => stream::event(message),
        }
    }

    fn over(&mut self, message: &[u8]) -> Option<Bytes> {
        self.done = true;
        Some(self.event(message))
    }

    /// The call waits from now on; what its client is answered.
    fn park(&mut self) -> Vec<u8> {
        match std::mem::replace(&mut self.steps, Steps::Over) {
            Steps::Here(talk) => park::park(talk),
            // A call on another thread parks itself there.
            Steps::There(_) | Steps::Over => Vec::new(),
        }
    }
}

impl Pump for CallPump {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(pending) = self.pending.take() {
            return Some(pending);
        }
        if self.done {
            return None;
        }
        let cancel = self.cancel.clone();
        let step = tokio::select! {
            biased;
            () = cancel.cancelled() => { self.done = true; return None }
            step = self.steps.step() => step,
        };
        match step {
            Ok(Step::Notice(message)) => Some(self.event(&message)),
            Ok(Step::Open) => Some(Bytes::from_static(sse::KEEP_ALIVE)),
            Ok(Step::Answer(said)) => self.over(&said.message),
            Ok(Step::Park) => {
                let message = self.park();
                self.over(&message)
            }
            Err(error) => {
                let modern = self.caller.speech.is_modern();
                let message = reply::error_message_of(&error, Some(&self.request_id), modern);
                self.over(&message)
            }
        }
    }

    fn request_id(&self) -> Bytes {
        self.request_id.clone()
    }

    fn outlives_client(&self) -> bool {
        matches!(self.caller.speech, Speech::Session(_))
    }

    fn away(&self) -> Rc<Cell<bool>> {
        self.away.clone()
    }
}

impl Drop for CallPump {
    fn drop(&mut self) {
        if let Some(trail) = &self.trail {
            trail.end();
        }
    }
}
