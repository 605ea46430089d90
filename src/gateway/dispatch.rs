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

/// A client's folders changed.
pub const ROOTS_CHANGED: &str = "notifications/roots/list_changed";

/// One request of a client.
pub struct Request {
    /// Its body, as it came (one element's bytes in a batch).
    pub body: Bytes,
    /// Where things are in it.
    pub env: Box<Envelope>,
    /// Its method.
    pub method: String,
    /// Its id, as written.
    pub id: Bytes,
    /// Ends the call from outside (HTTP+SSE; sessions have their own way).
    pub cancel: Option<CancellationToken>,
}

impl Request {
    /// The same request once more; its bytes are shared.
    pub fn again(&self) -> Request {
        let Request { body, env, method, id, cancel } = self;
        Request { body: body.clone(), env: env.clone(), method: method.clone(), id: id.clone(), cancel: cancel.clone() }
    }
}

/// What a request leads to.
pub enum Outcome {
    /// One JSON-RPC message.
    Message(Vec<u8>),
    /// A server's JSON-RPC error, and its code.
    Refused(Vec<u8>, i64),
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

    /// The refusal of a request that does not fit into the window. A call leaves its log line.
    pub fn over_limit(&self, caller: &Caller, request: &Request, decision: &Decision) -> Error {
        let error = reply::rate_limited(decision);
        if request.method == "tools/call" {
            self.refusals.write(caller, request, &error);
        }
        error
    }

    /// Handles a request that fits into the window. `Request` is consumed: its bytes travel on.
    pub async fn handle(self: &Arc<Self>, caller: &Caller, request: Request) -> Outcome {
        match self.answer(caller, &request).await {
            Ok(Some(result)) => Outcome::Message(jsonrpc::response(&request.id, &result)),
            Ok(None) => self.call(caller, request).await,
            Err(error) => Outcome::Failure(error),
        }
    }

    /// The result of everything that is answered here; none for what a server answers.
    async fn answer(&self, caller: &Caller, request: &Request) -> Result<Option<Vec<u8>>> {
        let modern = caller.speech.is_modern();
        if let Some(kind) = list::kind_of(&request.method) {
            return Box::pin(self.list(caller, request, kind)).await.map(Some);
        }
        match request.method.as_str() {
            "server/discover" if modern => Ok(Some(list::discovery(&*self.workspace(caller)?))),
            "resources/subscribe" if !modern => Box::pin(self.subscribe(caller, request)).await.map(Some),
            "resources/unsubscribe" if !modern => Box::pin(self.unsubscribe(caller, request)).await.map(Some),
            "logging/setLevel" if !modern => Box::pin(self.set_log_level(caller, request)).await.map(Some),
            "ping" if !modern => Ok(Some(b"{}".to_vec())),
            _ => Ok(None),
        }
    }

    async fn call(self: &Arc<Self>, caller: &Caller, request: Request) -> Outcome {
        match call::run(self.clone(), caller.clone(), request).await {
            CallOutcome::Message(message) => Outcome::Message(message),
            CallOutcome::Refused(message, code) => Outcome::Refused(message, code),
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

    /// Takes a notification. A cancellation ends a call, changed roots are told to the servers that may ask for them; the
    /// rest is accepted and dropped.
    pub fn notified(&self, caller: &Caller, body: &[u8], env: &Envelope, method: &str) {
        let fits = caller.grant.notifications.admit(clock::monotonic_ns).allowed;
        if fits && method == ROOTS_CHANGED {
            self.tell_servers(&caller.who());
        }
        if !fits || method != "notifications/cancelled" {
            return;
        }
        let cancelled = member(&env.params_members, body, "requestId").and_then(|range| body.get(range));
        if let (Speech::Session(session), Some(id)) = (&caller.speech, cancelled) {
            self.sessions.cancel(session, id);
        }
    }

    /// The folders of a client changed.
    pub fn tell_servers(&self, who: &str) {
        self.upstreams.tell_own(who, ROOTS_CHANGED, &jsonrpc::notification(ROOTS_CHANGED, None).into());
    }

    /// An outcome as the response to a POST.
    pub fn respond(&self, caller: &Caller, id: &[u8], outcome: Outcome) -> HttpResponse {
        match outcome {
            Outcome::Message(message) => reply::json(message),
            Outcome::Refused(message, code) if caller.speech.is_modern() => {
                reply::json_with(reply::relayed_status(code), message)
            }
            Outcome::Refused(message, _) => reply::json(message),
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
