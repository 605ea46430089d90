//! Batches of 2025-03-26: several messages in one array, each counted and answered for itself.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

use crate::{
    actors::{client::ClientAnswer, grant::Grant},
    error::{Error, ErrorCode, Result},
    gateway::{
        Caller, Gateway, Speech,
        dispatch::{Outcome, Request},
        front::valid_id,
        reply, session,
    },
    protocol::{
        headers,
        jsonrpc::{Incoming, classify},
        scan::{self, Document},
    },
};

impl Gateway {
    /// A batch: only in a session that negotiated 2025-03-26, each message counted.
    pub(super) async fn receive_batch(
        self: &Arc<Self>,
        request: &HttpRequest,
        grant: Arc<Grant>,
        messages: Vec<Bytes>,
    ) -> HttpResponse {
        let session = match self.check_batch(request, &grant, &messages).await {
            Ok(session) => session,
            Err(error) => return reply::error_response(&error, None, false),
        };
        let caller = self.caller(request, grant, Speech::Session(session));
        // A stream cannot be one element of an array, so calls of a batch answer as one message each.
        let caller = Caller { takes_events: false, ..caller };
        let mut answers: Vec<Vec<u8>> = Vec::new();
        for body in messages {
            if let Some(answer) = self.receive_element(&caller, body).await {
                answers.push(answer);
            }
        }
        if answers.is_empty() {
            return reply::accepted();
        }
        let mut all = Vec::with_capacity(answers.iter().map(|answer| answer.len() + 1).sum::<usize>() + 1);
        for (at, answer) in answers.iter().enumerate() {
            all.push(if at == 0 { b'[' } else { b',' });
            all.extend_from_slice(answer);
        }
        all.push(b']');
        reply::json(all)
    }

    async fn check_batch(
        &self,
        request: &HttpRequest,
        grant: &Grant,
        messages: &[Bytes],
    ) -> Result<Arc<session::Session>> {
        let refused = |why: &str| Err(Error::new(ErrorCode::InvalidRequest, why.to_owned()));
        if messages.is_empty() {
            return refused("An empty batch is not a request");
        }
        if request.headers().get(headers::SESSION_ID).is_none() {
            return refused(
                "Batches are served only in a session that negotiated 2025-03-26; send one message per request",
            );
        }
        let session = self.session_of(request, grant).await?;
        if !session.state.revision.has_batches() {
            return refused("This revision has no batches; send one message per request");
        }
        let most = self.config.limits.batch_messages;
        if messages.len() > most {
            return refused(&format!("A batch may hold {most} messages"));
        }
        Ok(session)
    }

    async fn receive_element(self: &Arc<Self>, caller: &Caller, body: Bytes) -> Option<Vec<u8>> {
        let refuse = |error: Error, id: Option<&[u8]>| Some(reply::error_message(&error, id));
        let env = match scan::scan(&body, self.scan) {
            Ok(Document::Object(env)) => env,
            Ok(_) => return refuse(Error::new(ErrorCode::InvalidRequest, "Not a JSON-RPC message"), None),
            Err(cause) => return refuse(cause.into(), None),
        };
        let (method, id) = match classify(&body, &env) {
            Ok(Incoming::Request { id, method }) => (method.into_owned(), body.slice_ref(id)),
            Ok(Incoming::Notification { method }) => {
                let method = method.into_owned();
                self.notified(caller, &body, &env, &method);
                return None;
            }
            Ok(Incoming::Response { id }) => {
                let id = id.and_then(scan::string_text).unwrap_or_default().into_owned();
                self.questions.answered(&caller.who(), &id, ClientAnswer::new(body, &env));
                return None;
            }
            Err(cause) => return refuse(cause.into(), valid_id(&body, &env)),
        };
        if method == "initialize" {
            return refuse(Error::new(ErrorCode::InvalidRequest, "initialize must not be part of a batch"), Some(&id));
        }
        let message = Request { body, env, method, id: id.clone(), cancel: None };
        let decision = self.admit(caller);
        if !decision.allowed {
            return refuse(self.over_limit(caller, &message, &decision), Some(&id));
        }
        match self.handle(caller, message).await {
            Outcome::Message(message) | Outcome::Refused(message, _) => Some(message),
            Outcome::Failure(error) => refuse(error, Some(&id)),
            Outcome::Stream(_) | Outcome::Cancelled => None,
        }
    }
}
