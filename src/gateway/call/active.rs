//! One call under way: its lease on the server, its ids, its record.

use std::{sync::Arc, time::Instant};

use awc::http::header::{HeaderName, HeaderValue};
use bytes::Bytes;
use smallvec::SmallVec;
use tokio_util::sync::CancellationToken;

use crate::{
    actors::{catalog::Route, upstream_lease::Lease},
    domain::clock,
    error::{Error, ErrorCode, Result},
    gateway::{
        Caller, Gateway,
        call::{CallOutcome, Places, record::Record},
        dispatch::Request,
        list, scan_body,
        session::UnderWay,
    },
    protocol::{
        answer::{self, AnswerEdit},
        jsonrpc,
        meta::{self, ModernMeta, ParamsEdit},
        scan::{Document, Envelope, ScanLimits},
    },
    store::analytics::Outcome,
    upstream::{Answer, UpstreamError, ask, exchange, mirror},
};

/// Everything a call needs before it is sent.
pub struct Ticket {
    pub gateway: Arc<Gateway>,
    pub caller: Caller,
    pub request: Request,
    pub route: Arc<Route>,
    pub cancel: Option<CancellationToken>,
    /// Held until the call is over.
    pub _held: (Places, Option<UnderWay>),
}

/// A call under way. Dropped before its end, it is cancelled at the server and recorded as cut.
pub struct Active {
    ticket: Ticket,
    lease: Lease,
    deadline: Instant,
    /// The id (and progress token) we gave the call at the server.
    minted: String,
    sent: bool,
    record: Record,
    sent_ns: u64,
    upstream_ns: u64,
    bytes_out: u64,
    ended: Option<Outcome>,
}

impl Active {
    /// Takes a lease on the server.
    pub async fn start(ticket: Ticket) -> Result<Self> {
        let mut record = Record::begin(&ticket);
        let scope = ticket.gateway.vault.scope(ticket.caller.grant.workspace, ticket.route.def.id);
        let deadline = clock::instant() + ticket.route.def.call_total(&ticket.gateway.config.upstream);
        let lease = ticket.gateway.upstreams.lease(&ticket.route.def, scope, deadline).await;
        let (lease, minted) = match lease {
            Ok(lease) => {
                let minted = lease.mint_id();
                (lease, minted)
            }
            Err(error) => {
                record.write(&ticket, 0, 0, Outcome::Error(error.code().rpc()));
                return Err(error);
            }
        };
        let upstream_ns = 0;
        Ok(Active {
            ticket,
            lease,
            deadline,
            minted,
            sent: false,
            record,
            sent_ns: 0,
            upstream_ns,
            bytes_out: 0,
            ended: None,
        })
    }

    /// Sends the call. A session that the server has forgotten is opened anew, once, and the call repeated: 404 says it
    /// was not processed.
    pub async fn send(&mut self) -> Result<Answer, UpstreamError> {
        self.sent_ns = clock::monotonic_ns();
        let first = self.send_once().await;
        let answer = match first {
            Err(UpstreamError::SessionExpired) => {
                self.lease.renew(self.deadline).await?;
                self.minted = self.lease.mint_id();
                self.send_once().await
            }
            other => other,
        };
        self.upstream_ns = clock::monotonic_ns().saturating_sub(self.sent_ns);
        answer
    }

    async fn send_once(&mut self) -> Result<Answer, UpstreamError> {
        let traceparent = self.record.sending(&self.ticket);
        let body = Bytes::from(self.outbound(traceparent.as_deref()));
        let extra = self.headers(traceparent.as_deref());
        self.sent = true;
        let name = Some(&*self.ticket.route.upstream_name);
        self.lease.send(body, "tools/call", name, &extra, self.deadline).await
    }

    /// What the server gets besides what every request carries: the trace, how often this call came through a gateway,
    /// and the arguments that its schema wants in headers.
    fn headers(&self, traceparent: Option<&str>) -> SmallVec<[(HeaderName, HeaderValue); 2]> {
        let Ticket { request, route, caller, .. } = &self.ticket;
        let mut headers = SmallVec::new();
        if let Some(value) = traceparent.and_then(|text| text.try_into().ok()) {
            headers.push((HeaderName::from_static(meta::TRACEPARENT), value));
        }
        if caller.hops > 0 {
            headers.push((exchange::HOP, HeaderValue::from(u16::from(caller.hops) + 1)));
        }
        if !route.mirrored.is_empty() && self.lease.wire().is_modern() {
            let arguments = request.env.param(&request.body, "arguments").unwrap_or(b"{}");
            headers.extend(mirror::headers_of(&route.mirrored, arguments));
        }
        headers
    }

    /// The body for the server: our id, its own name for the tool, `_meta` of this hop; the rest as it came.
    fn outbound(&self, traceparent: Option<&str>) -> Vec<u8> {
        let Ticket { request, route, caller, .. } = &self.ticket;
        let (body, env) = (&*request.body, &request.env);
        let from_client = |name: &str| env.meta(body, name).filter(|_| caller.speech.is_modern());
        let modern = self.lease.wire().is_modern().then(|| ModernMeta {
            client_capabilities: from_client(meta::CLIENT_CAPABILITIES).unwrap_or(b"{}"),
            client_info: ask::CLIENT_INFO.as_bytes(),
            log_level: from_client(meta::LOG_LEVEL),
        });
        let edit = ParamsEdit {
            name: Some(&route.upstream_name),
            progress_token: self.progress_token().map(|_| self.minted.as_str()),
            traceparent,
            modern,
            ..ParamsEdit::default()
        };
        let params = meta::outbound_params(body, env, &edit);
        let id = [b"\"", self.minted.as_bytes(), b"\""].concat();
        jsonrpc::request(&id, "tools/call", Some(&params))
    }

    /// The client's progress token, as written.
    pub fn progress_token(&self) -> Option<&[u8]> {
        self.ticket.request.env.meta(&self.ticket.request.body, meta::PROGRESS_TOKEN)
    }

    /// Whether the client wants log messages of this call (legacy revisions always do).
    pub fn wants_log(&self) -> bool {
        !self.ticket.caller.speech.is_modern()
            || self.ticket.request.env.meta(&self.ticket.request.body, meta::LOG_LEVEL).is_some()
    }

    /// The id we gave the call at the server.
    pub fn minted(&self) -> &str {
        &self.minted
    }

    /// Who called.
    pub fn caller(&self) -> &Caller {
        &self.ticket.caller
    }

    /// The request's id, as written.
    pub fn request_id(&self) -> Bytes {
        self.ticket.request.id.clone()
    }

    /// Cancelled from outside?
    pub fn cancel(&self) -> Option<&CancellationToken> {
        self.ticket.cancel.as_ref()
    }

    /// Scans something the server sent, after taking out our secrets.
    pub async fn read(&self, body: Bytes) -> Result<(Bytes, Envelope), UpstreamError> {
        let (body, hits) = self.lease.scrubber().scrub(body);
        if hits > 0 {
            tracing::warn!(server = %self.ticket.route.def.slug, hits, "the server echoed a secret; it was taken out");
        }
        let limits = ScanLimits { values: ANSWER_VALUES, depth: ANSWER_DEPTH, ..ScanLimits::default() };
        match scan_body(&body, limits).await {
            Ok(Document::Object(env)) => Ok((body, env)),
            Ok(_) => Err(UpstreamError::Protocol("its answer is not a JSON-RPC message".into())),
            Err(cause) => Err(UpstreamError::Protocol(format!("its answer is {cause}"))),
        }
    }

    /// Answers another request that the server slipped in (ping); everything else is refused.
    pub fn answer_server(&self, id: &[u8], method: &str) {
        self.lease.answer_request(id, method);
    }

    /// Ends with the server's answer, given as one JSON body.
    pub async fn finish_with(mut self, body: Bytes) -> CallOutcome {
        match self.read(body).await.and_then(|(body, env)| self.answer_message(&body, &env)) {
            Ok(message) => CallOutcome::Message(message),
            Err(failure) => self.fail(failure),
        }
    }

    /// The client's answer from the server's; the call is over.
    pub fn answer_message(&mut self, body: &[u8], env: &Envelope) -> Result<Vec<u8>, UpstreamError> {
        if !answer::is_answer_to(body, env, &self.minted) {
            return Err(UpstreamError::Protocol("its answer belongs to no request of ours".into()));
        }
        let modern_client = self.ticket.caller.speech.is_modern();
        let modern_server = self.lease.wire().is_modern();
        if !modern_client && answer::result_type(body, env).is_some_and(|kind| kind != "complete") {
            return Err(UpstreamError::Protocol("it asked for input that this client's revision cannot give".into()));
        }
        let edit = AnswerEdit {
            modern_client,
            // A server of 2026-07-28 that forgets it means "complete"; clients may insist on it.
            add_result_type: modern_client,
            add_cache: false,
            strip_modern: !modern_client && modern_server,
            server_info: modern_client.then(|| list::server_info().as_bytes()),
        };
        let message = answer::rewrite_answer(body, env, &self.ticket.request.id, &edit)
            .map_err(|cause| UpstreamError::Protocol(cause.to_string()))?;
        self.bytes_out += message.len() as u64;
        self.end(match answer::error_code(body, env) {
            Some(code) => Outcome::Error(i32::try_from(code).unwrap_or(i32::MIN)),
            None if answer::is_tool_error(body, env) => Outcome::ToolError,
            None => Outcome::Ok,
        });
        Ok(message)
    }

    /// Ends with a failure of the server's.
    pub fn fail(mut self, failure: UpstreamError) -> CallOutcome {
        CallOutcome::Failure(self.failed(failure))
    }

    /// Notes a failure of the server's; the call is over.
    pub fn failed(&mut self, failure: UpstreamError) -> Error {
        let error = failure.into_error(&self.ticket.route.def.slug);
        self.end(Outcome::Error(error.code().rpc()));
        error
    }

    fn end(&mut self, outcome: Outcome) {
        if self.sent_ns > 0 && self.upstream_ns == 0 {
            self.upstream_ns = clock::monotonic_ns().saturating_sub(self.sent_ns);
        }
        self.ended = Some(outcome);
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        if self.ended.is_none() && self.sent {
            self.lease.cancel(&self.minted);
        }
        let outcome = self.ended.take().unwrap_or(Outcome::Error(ErrorCode::Cut.rpc()));
        self.record.write(&self.ticket, self.upstream_ns, self.bytes_out, outcome);
    }
}

/// Values in an answer; an answer's bytes are limited by `upstream.answer_bytes`.
const ANSWER_VALUES: usize = 4_000_000;
/// Nesting of an answer.
const ANSWER_DEPTH: usize = 128;
