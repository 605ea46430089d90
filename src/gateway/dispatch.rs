//! From one parsed message to its answer: the limit, then one function per method. The same for every transport.

use std::sync::Arc;

use actix_web::HttpResponse;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{clock, rate::Decision},
    error::{Error, ErrorCode, Result},
    gateway::{
        Caller, Gateway, Speech,
        call::{self, CallOutcome},
        list, reply, stream,
    },
    protocol::{
        jsonrpc,
        revision::Revision,
        scan::{Envelope, member},
    },
};

/// One request of a client.
pub struct Request {
    /// Its body, as it came (one element's bytes in a batch).
    pub body: Bytes,
    /// Where things are in it.
    pub env: Envelope,
    /// Its method.
    pub method: String,
    /// Its id, as written.
    pub id: Bytes,
    /// Ends the call from outside (HTTP+SSE; sessions have their own way).
    pub cancel: Option<CancellationToken>,
}

/// What a request leads to.
pub enum Outcome {
    /// One JSON-RPC message.
    Message(Vec<u8>),
    /// A failure.
    Failure(Error),
    /// The answer comes as a stream.
    Stream(Box<call::CallPump>),
    /// The client cancelled: there is nothing to answer.
    Cancelled,
}

impl Gateway {
    /// Counts a request against its token's window.
    pub fn admit(&self, caller: &Caller) -> Decision {
        caller.grant.window.admit(clock::monotonic_ns)
    }

    /// Handles a request that fits into the window. `Request` is consumed: its bytes travel on.
    pub async fn handle(self: &Arc<Self>, caller: &Caller, request: Request) -> Outcome {
        match self.answer(caller, &request).await {
            Ok(Some(result)) => Outcome::Message(jsonrpc::response(&request.id, &result)),
            Ok(None) => self.call(caller, request).await,
            Err(error) => Outcome::Failure(error),
        }
    }

    /// The result of everything that is answered here; none for `tools/call`.
    async fn answer(&self, caller: &Caller, request: &Request) -> Result<Option<Vec<u8>>> {
        let modern = caller.speech.is_modern();
        if let Some(kind) = list::kind_of(&request.method) {
            return self.list(caller, request, kind).await.map(Some);
        }
        match request.method.as_str() {
            "tools/call" => Ok(None),
            "server/discover" if modern => Ok(Some(list::discovery(&*self.workspace(caller)?))),
            "resources/subscribe" if !modern => self.subscribe(caller, request).await.map(Some),
            "resources/unsubscribe" if !modern => self.unsubscribe(caller, request).await.map(Some),
            "logging/setLevel" if !modern => self.set_log_level(caller, request).await.map(Some),
            "ping" if !modern => Ok(Some(b"{}".to_vec())),
            other => {
                let shown: String = other.chars().take(128).collect();
                Err(Error::new(ErrorCode::MethodNotFound, format!("Method not found: {shown}")))
            }
        }
    }

    async fn call(self: &Arc<Self>, caller: &Caller, request: Request) -> Outcome {
        match call::run(self.clone(), caller.clone(), request).await {
            CallOutcome::Message(message) => Outcome::Message(message),
            CallOutcome::Failure(error) => Outcome::Failure(error),
            CallOutcome::Stream(pump) => Outcome::Stream(pump),
            CallOutcome::Cancelled => Outcome::Cancelled,
        }
    }

    /// The revision an `initialize` agrees on: the one asked for if we speak it, else our latest with a handshake.
    pub fn negotiate(request: &Request) -> Result<Revision> {
        let asked = request.env.param_str(&request.body, "protocolVersion").ok_or_else(|| {
            Error::new(ErrorCode::InvalidParams, "Invalid params: initialize needs params.protocolVersion")
        })?;
        Ok(Revision::negotiate(&asked))
    }

    /// Takes a notification. Only a cancellation means something to us; the rest is accepted and dropped.
    pub fn notified(&self, caller: &Caller, body: &[u8], env: &Envelope, method: &str) {
        let fits = caller.grant.notifications.admit(clock::monotonic_ns).allowed;
        if !fits || method != "notifications/cancelled" {
            return;
        }
        let cancelled = member(&env.params_members, body, "requestId").and_then(|range| body.get(range));
        if let (Speech::Session(session), Some(id)) = (&caller.speech, cancelled) {
            self.sessions.cancel(session, id);
        }
    }

    /// An outcome as the response to a POST.
    pub fn respond(&self, caller: &Caller, id: &[u8], outcome: Outcome) -> HttpResponse {
        match outcome {
            Outcome::Message(message) => reply::json(message),
            Outcome::Failure(error) => failure(&error, id, caller),
            Outcome::Stream(pump) => {
                let seconds = self.config.limits.keep_alive_comment_seconds;
                stream::response(stream::PumpBody::new(*pump, caller.grant.clone(), seconds))
            }
            Outcome::Cancelled => reply::accepted(),
        }
    }
}

fn failure(error: &Error, id: &[u8], caller: &Caller) -> HttpResponse {
    if error.code() == ErrorCode::Unauthorized {
        return reply::unauthorized(Some(id));
    }
    reply::error_response(error, Some(id), caller.speech.is_modern())
}
