//! What one call works with: leave to call, the connection, the credentials, minted ids. Lives on the thread that
//! calls. Dropping the lease or the answer drops the request at the server.

use std::{
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use awc::http::header::{HeaderName, HeaderValue};
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::{
    actors::{
        actor_ref::ActorRef,
        upstream_lane::{self, Hand, Prepare, Ready, UpstreamLane},
        upstream_link::{Attendance, Live, NOTE_PATIENCE},
        upstream_session::{Changed, Post},
    },
    domain::clock,
    error::Result,
    protocol::{
        jsonrpc,
        log_level::Level,
        scan::{self, Document, ScanLimits},
        scrub::Scrubber,
        session_id::ClientCapabilities,
        splice::json_string,
    },
    upstream::{
        Answer, Connected, EventStream, Permit, ServerDef, UpstreamError, Wire, ask,
        exchange::Outgoing,
        listen::Change,
        patience::Patience,
        relay::{self, Posted},
        stream::StreamLimits,
    },
};

/// How often a lane is asked again when things change while it gets ready.
const ATTEMPTS: usize = 3;

/// Leave and means to make one call.
pub struct Lease {
    hand: Rc<Hand>,
    lane: ActorRef<UpstreamLane>,
    ready: Rc<Ready>,
    permit: Rc<Permit>,
}

/// Asks the lane to get ready, until what it prepared holds.
pub(super) async fn make_ready(
    hand: &Rc<Hand>,
    lane: &ActorRef<UpstreamLane>,
    stale: Option<&Arc<Live>>,
    deadline: Instant,
) -> Result<Rc<Ready>, UpstreamError> {
    for _ in 0..ATTEMPTS {
        // A little longer than the lane takes at most, so that its own reason arrives.
        let longest = hand.connect_patience().saturating_add(Duration::from_secs(1));
        let patience = deadline.saturating_duration_since(clock::instant()).min(longest);
        let prepared = lane.ask(Prepare { stale: stale.cloned() }, patience).await;
        prepared.map_err(|cause| upstream_lane::not_asked(cause, patience))??;
        let fresh = |ready: &Rc<Ready>| stale.is_none_or(|stale| !Arc::ptr_eq(stale, &ready.live));
        if let Some(ready) = hand.ready().filter(fresh) {
            return Ok(ready);
        }
    }
    Err(UpstreamError::Unavailable("its connection changes faster than calls can be made".into()))
}

impl Lease {
    pub(super) fn new(hand: Rc<Hand>, lane: ActorRef<UpstreamLane>, ready: Rc<Ready>, permit: Permit) -> Self {
        Lease { hand, lane, ready, permit: Rc::new(permit) }
    }

    /// The server.
    pub fn server(&self) -> &Arc<ServerDef> {
        &self.hand.session.def
    }

    /// How the server is talked to.
    pub fn wire(&self) -> &Wire {
        &self.ready.live.connected.wire
    }

    /// What the server said it is.
    pub fn connected(&self) -> &Connected {
        &self.ready.live.connected
    }

    /// What this session declared to the server: the client's capabilities, if the session is its own.
    pub fn declared(&self) -> ClientCapabilities {
        self.hand.session.client.as_ref().map(|client| client.capabilities).unwrap_or_default()
    }

    /// Tells a legacy server from which level on this client wants log messages, if the session is its own.
    pub fn want_log_level(&self, level: Level) {
        self.hand.session.link.ears.want_level(level);
    }

    /// The server says that something has changed, as part of an answer.
    pub fn note_change(&self, change: Change) {
        // A session that is too busy to hear of it fetches the lists when they are old.
        let _busy = self.hand.session.address.tell(Changed(change));
    }

    /// Hears what the server says outside of answers, if the session is a client's own.
    pub fn attend(&self) -> Option<Attendance> {
        self.hand.session.client.is_some().then(|| self.hand.session.link.attend())
    }

    /// A fresh, unguessable id; also used as the progress token.
    pub fn mint_id(&self) -> String {
        self.hand.mint.borrow_mut().mint()
    }

    /// Finds this server's secrets in what it answers.
    pub fn scrubber(&self) -> &Scrubber {
        &self.ready.injected.scrubber
    }

    /// Sends one message. `name` is what it is about (tool, prompt, URI, task); `extra` are further headers. The
    /// answer must begin within the server's timeout, and be there by `deadline`.
    pub async fn send(
        &self,
        body: Bytes,
        method: &str,
        name: Option<&str>,
        extra: &[(HeaderName, HeaderValue)],
        deadline: Instant,
    ) -> Result<Answer, UpstreamError> {
        let patience = self.patience(deadline);
        let outcome = match (&self.ready.endpoint, &self.ready.skill) {
            (Some(endpoint), _) => endpoint.send(Outgoing { body: &body, method, name, extra }, patience).await,
            (None, Some(skill)) => Box::pin(skill.send(&body, extra, patience)).await,
            (None, None) => Box::pin(self.relay(body, method, patience)).await,
        };
        match outcome {
            Ok(Answer::Events(mut events)) => {
                events.hold(self.permit.clone());
                Ok(Answer::Events(events))
            }
            outcome => {
                self.permit.report(outcome.as_ref().err());
                outcome
            }
        }
    }

    fn patience(&self, deadline: Instant) -> Patience {
        let (def, config) = (self.server(), &self.hand.parts.config);
        let begin = def.call_timeout(config);
        let total = deadline.min(clock::instant() + def.call_total(config));
        Patience { begin, idle: Some(begin), total: Some(total) }
    }

    /// Sends by way of the session that holds the stream of a server's answers, and waits until this one begins: only
    /// then is known that the session was still good.
    async fn relay(&self, body: Bytes, method: &str, patience: Patience) -> Result<Answer, UpstreamError> {
        let id = message_id(&body);
        let (events, answers) = mpsc::channel(relay::QUEUE);
        let expects = id.is_some();
        self.post(Posted {
            id,
            method: method.into(),
            body,
            begin: patience.begin,
            events: expects.then_some(events),
        })?;
        match expects {
            true => {
                let limits = StreamLimits::of(&self.hand.parts.config);
                Ok(Answer::Events(EventStream::relayed(answers, limits, patience).begun().await?))
            }
            false => Ok(Answer::Accepted),
        }
    }

    fn post(&self, message: Posted) -> Result<(), UpstreamError> {
        let told = self.hand.session.address.tell(Post(message));
        told.map_err(|cause| UpstreamError::NotUsable(cause.into()))
    }

    /// Tells a server that the answer to `id` is not wanted any more. A modern one that is reached over HTTP is told by
    /// dropping the answer.
    pub fn cancel(&self, id: &str) {
        if matches!(self.wire(), Wire::Modern { .. }) {
            return;
        }
        let params = format!(r#"{{"requestId":{},"reason":"cancelled by the client"}}"#, json_string(id));
        let method = "notifications/cancelled";
        self.note(jsonrpc::notification(method, Some(params.as_bytes())).into(), method);
    }

    /// Answers what the server asks (`id` is raw JSON): `ping` gets its answer, all else is refused, because a shared
    /// session declared no capabilities.
    pub fn answer_request(&self, id: &[u8], method: &str) {
        self.respond(ask::own_answer(id, method));
    }

    /// Sends the answer to something the server asked.
    pub fn respond(&self, answer: impl Into<Bytes>) {
        self.note(answer.into(), "notifications/response");
    }

    /// Sends what needs no answer; nobody waits for it.
    fn note(&self, body: Bytes, method: &'static str) {
        let Some(endpoint) = self.ready.endpoint.clone() else {
            let _lost = self.post(Posted { id: None, method: method.into(), body, begin: NOTE_PATIENCE, events: None });
            return;
        };
        actix_rt::spawn(async move {
            let message = Outgoing { body: &body, method, name: None, extra: &[] };
            if let Err(cause) = endpoint.send(message, Patience::within(NOTE_PATIENCE)).await {
                tracing::debug!(%cause, method, "a server did not take a notification");
            }
        });
    }

    /// Gets a new session after [`UpstreamError::SessionExpired`]; all who need one share it. What failed that way was
    /// not processed and may be sent again, once.
    pub async fn renew(&mut self, deadline: Instant) -> Result<(), UpstreamError> {
        let stale = self.ready.live.clone();
        self.ready = make_ready(&self.hand, &self.lane, Some(&stale), deadline).await?;
        Ok(())
    }
}

/// The id of a request, if `body` is one and its id is a string (ours are).
fn message_id(body: &[u8]) -> Option<String> {
    let Ok(Document::Object(envelope)) = scan::scan(body, ScanLimits::default()) else { return None };
    envelope.method.as_ref()?;
    envelope.raw_id(body).and_then(scan::string_text).map(std::borrow::Cow::into_owned)
}
