//! A call whose server answers with an event stream: notifications go to the client as they come, the answer ends it.

use bytes::Bytes;

use crate::{
    error::Error,
    gateway::{
        Speech,
        call::{CallOutcome, HEAD_AFTER, active::Active},
        reply,
        stream::{self, Pump},
    },
    protocol::answer::{self, Incoming},
    upstream::{EventStream, UpstreamError},
};

/// Yields the client's events until the answer has been given.
pub struct CallPump {
    active: Active,
    events: EventStream,
    pending: Option<Bytes>,
    done: bool,
}

/// What one message of the server means for the client.
enum Step {
    Notice(Vec<u8>),
    Answer(Vec<u8>),
    Nothing,
}

/// Waits for the first thing worth saying. An answer that comes first is given as plain JSON; a notification (or
/// silence) opens the event stream.
pub async fn follow(active: Active, events: EventStream) -> CallOutcome {
    let takes_events = active.caller().takes_events;
    let mut pump = CallPump { active, events, pending: None, done: false };
    let silence = tokio::time::sleep(HEAD_AFTER);
    tokio::pin!(silence);
    loop {
        let step = tokio::select! {
            biased;
            step = pump.step() => step,
            () = &mut silence, if takes_events => return CallOutcome::Stream(Box::new(pump)),
        };
        match step {
            Ok(Step::Answer(message)) => return CallOutcome::Message(message),
            Ok(Step::Notice(message)) if takes_events => {
                pump.pending = Some(stream::event(&message));
                return CallOutcome::Stream(Box::new(pump));
            }
            Ok(Step::Notice(_) | Step::Nothing) => {}
            Err(failure) => return pump.active.fail(failure),
        }
    }
}

impl CallPump {
    async fn step(&mut self) -> Result<Step, UpstreamError> {
        let Some(event) = self.events.next().await? else { return Err(UpstreamError::Cut) };
        if event.data.is_empty() {
            return Ok(Step::Nothing);
        }
        let (body, env) = self.active.read(event.data).await?;
        match answer::classify(&body, &env).map_err(|cause| UpstreamError::Protocol(cause.to_string()))? {
            Incoming::Response { .. } => Ok(Step::Answer(self.active.answer_message(&body, &env)?)),
            Incoming::Request { id, method } => {
                self.active.answer_server(id, &method);
                Ok(Step::Nothing)
            }
            Incoming::Notification { method } => {
                let wanted = match &*method {
                    "notifications/progress" => true,
                    "notifications/message" => self.active.wants_log(),
                    _ => false,
                };
                if !wanted {
                    return Ok(Step::Nothing);
                }
                let token = self.active.progress_token();
                let rewritten = answer::rewrite_notification(&body, &env, self.active.minted(), token);
                Ok(match rewritten.map_err(|cause| UpstreamError::Protocol(cause.to_string()))? {
                    Some(message) => Step::Notice(message),
                    None => Step::Nothing,
                })
            }
        }
    }

    fn over(&mut self, message: &[u8]) -> Option<Bytes> {
        self.done = true;
        Some(stream::event(message))
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
        let cancel = self.active.cancel().cloned().unwrap_or_default();
        loop {
            let step = tokio::select! {
                biased;
                () = cancel.cancelled() => { self.done = true; return None }
                step = self.step() => step,
            };
            match step {
                Ok(Step::Nothing) => {}
                Ok(Step::Notice(message)) => return Some(stream::event(&message)),
                Ok(Step::Answer(message)) => return self.over(&message),
                Err(failure) => {
                    let error: Error = self.active.failed(failure);
                    let message = reply::error_message(&error, Some(&self.active.request_id()));
                    return self.over(&message);
                }
            }
        }
    }

    fn request_id(&self) -> Bytes {
        self.active.request_id()
    }

    fn outlives_client(&self) -> bool {
        matches!(self.active.caller().speech, Speech::Session(_))
    }
}
