//! One call under way: its lease on the server, its ids, its record.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::{
    actors::{upstream_lease::Lease, upstream_link::Attendance},
    domain::clock,
    error::{Error, ErrorCode, Result},
    gateway::{
        Caller, Gateway,
        call::{
            CallOutcome, Held,
            answering::Said,
            outbound,
            record::Record,
            target::{Kind, Target},
        },
        dispatch::Request,
        scan_body,
    },
    protocol::{
        meta, mrtr,
        scan::{Document, Envelope, ScanLimits},
        session_id::ClientCapabilities,
    },
    store::analytics::Outcome,
    upstream::{Answer, UpstreamError},
};

/// Everything a call needs before it is sent.
pub struct Ticket {
    pub gateway: Arc<Gateway>,
    pub caller: Caller,
    pub request: Request,
    pub target: Target,
    pub cancel: Option<CancellationToken>,
    /// The client has opened the pages that the server wanted opened first.
    pub agreed: bool,
    /// Held while the call is under way.
    pub held: Option<Held>,
}

/// A call under way. Dropped before its end, it is cancelled at the server and recorded as cut.
pub struct Active {
    pub(super) ticket: Box<Ticket>,
    pub(super) lease: Lease,
    /// Hears what the server says outside of answers; only in a session of the client's own.
    pub(super) attendance: Option<Attendance>,
    deadline: Instant,
    /// The id (and progress token) we gave the call at the server.
    minted: String,
    sent: bool,
    record: Record,
    sent_ns: u64,
    upstream_ns: u64,
    pub(super) bytes_out: u64,
    ended: Option<Outcome>,
}

/// A call that waits for its server. Dropped meanwhile (its client left, its token was revoked), it is recorded as cut.
struct Waiting<'a> {
    ticket: &'a Ticket,
    record: &'a mut Record,
    /// How the call ends with this wait, if it does.
    ends: Option<Outcome>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(outcome) = self.ends {
            self.record.write(self.ticket, 0, 0, outcome);
        }
    }
}

/// Ended from outside.
const CUT: Outcome = Outcome::Error(ErrorCode::Cut.rpc());

impl Active {
    /// Takes a lease on the server.
    pub async fn start(ticket: Box<Ticket>) -> Result<Self> {
        let deadline = clock::instant() + ticket.target.route.def.call_total(&ticket.gateway.config.upstream);
        let mut record = Record::begin(&ticket);
        let mut waiting = Waiting { ticket: &ticket, record: &mut record, ends: Some(CUT) };
        let lease = lease(&ticket, deadline).await;
        waiting.ends = lease.as_ref().err().map(|error| Outcome::Error(error.code().rpc()));
        drop(waiting);
        let lease = lease?;
        let minted = lease.mint_id();
        let attendance = lease.attend();
        Ok(Active {
            ticket,
            lease,
            attendance,
            deadline,
            minted,
            sent: false,
            record,
            sent_ns: 0,
            upstream_ns: 0,
            bytes_out: 0,
            ended: None,
        })
    }

    /// Sends the call. A session that the server has forgotten is opened anew, once, and the call repeated: 404 says it
    /// was not processed. A call whose answer was lost is repeated, once, if that does no more than calling it once.
    pub async fn send(&mut self) -> Result<Answer, UpstreamError> {
        self.sent_ns = clock::monotonic_ns();
        let first = self.send_once(&[]).await;
        let answer = match first {
            Err(UpstreamError::SessionExpired) => {
                Box::pin(self.lease.renew(self.deadline)).await?;
                self.attendance = self.lease.attend();
                self.minted = self.lease.mint_id();
                self.send_once(&[]).await
            }
            Err(UpstreamError::OutcomeUnknown(_) | UpstreamError::Cut) if self.is_repeatable() => {
                self.minted = self.lease.mint_id();
                self.send_once(&[]).await
            }
            other => other,
        };
        self.upstream_ns = clock::monotonic_ns().saturating_sub(self.sent_ns);
        answer
    }

    /// Sends it again with a client's answers (`members` of the parameters, raw JSON), after `waited` for them.
    pub async fn send_again(&mut self, members: &[u8], waited: Duration) -> Result<Answer, UpstreamError> {
        self.deadline += waited;
        self.minted = self.lease.mint_id();
        self.send_once(members).await
    }

    fn is_repeatable(&self) -> bool {
        self.ticket.target.route.repeatable || self.ticket.target.kind.is_read(&self.ticket.request.method)
    }

    async fn send_once(&mut self, members: &[u8]) -> Result<Answer, UpstreamError> {
        let traceparent = self.record.sending(&self.ticket);
        let body =
            Bytes::from(outbound::body(&self.ticket, &self.lease, &self.minted, traceparent.as_deref(), members));
        let extra = outbound::headers(&self.ticket, &self.lease, traceparent.as_deref());
        self.sent = true;
        let (method, name) = (&*self.ticket.request.method, outbound::header_name(&self.ticket));
        self.lease.send(body, method, name, &extra, self.deadline).await
    }

    /// The client's progress token, as written.
    pub fn progress_token(&self) -> Option<&[u8]> {
        self.ticket.request.env.meta(&self.ticket.request.body, meta::PROGRESS_TOKEN)
    }

    /// The id we gave the call at the server.
    pub fn minted(&self) -> &str {
        &self.minted
    }

    /// Who called.
    pub fn caller(&self) -> &Caller {
        &self.ticket.caller
    }

    /// Where the call leads.
    pub fn kind(&self) -> Kind {
        self.ticket.target.kind
    }

    /// The request's id, as written.
    pub fn request_id(&self) -> Bytes {
        self.ticket.request.id.clone()
    }

    /// How long its stream may be silent before the client gets the stream's head.
    pub fn silence(&self) -> Duration {
        Duration::from_secs(self.ticket.gateway.config.limits.silent_head_seconds)
    }

    /// Cancelled from outside?
    pub fn cancel(&self) -> Option<&CancellationToken> {
        self.ticket.cancel.as_ref()
    }

    /// What the server was told that it may ask this client.
    pub fn declared(&self) -> ClientCapabilities {
        self.lease.declared()
    }

    /// Scans something the server sent, after taking out our secrets.
    pub async fn read(&self, body: Bytes) -> Result<(Bytes, Box<Envelope>), UpstreamError> {
        let (body, hits) = self.lease.scrubber().scrub(body);
        if hits > 0 {
            let server = &self.ticket.target.route.def.slug;
            tracing::warn!(%server, hits, "the server echoed a secret; it was taken out");
        }
        let limits = ScanLimits { values: ANSWER_VALUES, depth: ANSWER_DEPTH, ..ScanLimits::default() };
        match scan_body(&body, limits).await {
            Ok(Document::Object(env)) => Ok((body, env)),
            Ok(_) => Err(UpstreamError::Protocol("its answer is not a JSON-RPC message".into())),
            Err(cause) => Err(UpstreamError::Protocol(format!("its answer is {cause}"))),
        }
    }

    /// Ends with the server's answer.
    pub fn finish_with(mut self, body: &[u8], env: &Envelope) -> CallOutcome {
        match self.answer_message(body, env) {
            Ok(said) => said.into(),
            Err(failure) => self.fail(failure),
        }
    }

    /// Ends with a failure of the server's.
    pub fn fail(mut self, failure: UpstreamError) -> CallOutcome {
        CallOutcome::Failure(self.failed(failure))
    }

    /// Notes a failure of the server's; the call is over.
    pub fn failed(&mut self, failure: UpstreamError) -> Error {
        let error = failure.into_error(&self.ticket.target.route.def.slug);
        self.end(Outcome::Error(error.code().rpc()));
        error
    }

    /// The call is over with something we say ourselves.
    pub fn say(&mut self, message: Vec<u8>, code: Option<i64>, outcome: Outcome) -> Said {
        self.bytes_out += message.len() as u64;
        self.end(outcome);
        Said { message, code }
    }

    pub(super) fn end(&mut self, outcome: Outcome) {
        if self.sent_ns > 0 && self.upstream_ns == 0 {
            self.upstream_ns = clock::monotonic_ns().saturating_sub(self.sent_ns);
        }
        self.ended = Some(outcome);
    }
}

/// Leave to call: in the session that everybody shares or, where a legacy server may want to ask the client what it
/// declared, in one of the client's own. (2026-07-28 needs none: there, every request says what may be asked.)
async fn lease(ticket: &Ticket, deadline: Instant) -> Result<Lease> {
    let Ticket { gateway, caller, request, target, agreed, .. } = ticket;
    let def = &target.route.def;
    let scope = gateway.vault.scope(caller.grant.workspace, def.id);
    let lease = gateway.upstreams.lease(def, scope, deadline).await?;
    if lease.wire().is_modern() {
        return Ok(lease);
    }
    let state = request.env.param(&request.body, mrtr::REQUEST_STATE);
    if caller.speech.is_modern() && target.kind.has_rounds() && state.is_some() && !agreed {
        return Err(super::park::unknown_state());
    }
    match caller.client(request).filter(|_| target.kind.may_be_asked_back()) {
        Some(client) => {
            drop(lease);
            let own = gateway.upstreams.lease_own(def, scope, client, deadline);
            let lease = Box::pin(own).await?;
            if let Some(level) = caller.log_level() {
                lease.want_log_level(level);
            }
            Ok(lease)
        }
        None => Ok(lease),
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        if self.ended.is_none() && self.sent {
            self.lease.cancel(&self.minted);
        }
        let outcome = self.ended.take().unwrap_or(CUT);
        self.record.write(&self.ticket, self.upstream_ns, self.bytes_out, outcome);
    }
}

/// Values in an answer; an answer's bytes are limited by `upstream.answer_bytes`.
const ANSWER_VALUES: usize = 4_000_000;
/// Nesting of an answer.
const ANSWER_DEPTH: usize = 128;
