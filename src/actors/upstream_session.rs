//! `UpstreamSession`: one supervised actor per MCP server and set of credentials. Owns what must be single: the
//! negotiated protocol and session, the process of a program, the one stream of an HTTP+SSE server or a program, the
//! stream of changes, what the server offers. Calls do not pass through it unless their answers come on that one
//! stream: it publishes what it found, and the lanes on the worker threads use that.
//!
//! A shared session declares no client capabilities, so a server may ask it nothing but `ping`. A client that declared
//! some has sessions of its own, which declare the same, list nothing, and end when it has not called for a while.

mod discovery;
mod listening;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorFutureExt as _, AsyncContext as _, Context, Handler, Message, ResponseFuture, SpawnHandle,
    WrapFuture as _,
};
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    actors::{
        actor_ref::ActorRef,
        client::Client,
        supervisor::{Drain, Heartbeat},
        upstream_attempt::{Attempt, Connection},
        upstream_link::{Line, Link, Live, Parts, Phase, TestReport},
        upstream_program::{self, Life},
    },
    domain::{clock, ids::WorkspaceId},
    upstream::{
        ServerDef, UpstreamError,
        backoff::Backoff,
        client::HttpClient,
        listen::Change,
        lists::{Kinds, Offer},
        negotiate::Era,
        patience::Patience,
        relay::Posted,
    },
};

/// How often it looks whether something is due.
const TICK: Duration = Duration::from_secs(1);

/// Connects unless it is connected, and says how. `stale`: what no longer works.
#[derive(Message)]
#[rtype(result = "Result<Arc<Live>, UpstreamError>")]
pub struct Connect {
    /// A connection the server no longer knows.
    pub stale: Option<Arc<Live>>,
}

/// Fetches the server's lists now. The answer is what it offers.
#[derive(Message)]
#[rtype(result = "Result<Offer, UpstreamError>")]
pub struct Refresh;

/// Connects anew, fetches the lists, and says what was found.
#[derive(Message)]
#[rtype(result = "Result<TestReport, UpstreamError>")]
pub struct Probe;

/// Posts a message: to a server whose answers come on one stream any, to others what needs no answer.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Post(pub Posted);

/// Something has changed at the server, as was heard elsewhere than on the stream of changes.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Changed(pub Change);

/// What there is to a session of one client's own.
#[derive(Clone)]
pub(super) struct Whose {
    pub(super) client: Client,
    /// Ends it.
    pub(super) retire: CancellationToken,
    /// The one that everybody shares, which keeps the lists.
    pub(super) shared: ActorRef<UpstreamSession>,
}

type Waiter<T> = oneshot::Sender<Result<T, UpstreamError>>;

/// See the module.
pub struct UpstreamSession {
    pub(super) parts: Arc<Parts>,
    pub(super) def: Arc<ServerDef>,
    scope: Option<WorkspaceId>,
    /// Whose session it is; none: everybody's.
    whose: Option<Whose>,
    pub(super) link: Arc<Link>,
    client: HttpClient,
    pub(super) line: Option<Rc<Line>>,
    era: Option<(Era, Instant)>,
    /// Who waits for the connection that is being made.
    connecting: Option<Vec<Waiter<Rc<Line>>>>,
    /// Who waits for the lists that are being fetched.
    pub(super) listing: Option<Vec<Waiter<Offer>>>,
    /// What was fetched last.
    offer: Option<Offer>,
    /// Lists that have changed since, or may have.
    stale: Rc<Cell<Kinds>>,
    changed: Rc<Notify>,
    /// Resources that changed and that nobody has been told of.
    updated: Rc<RefCell<BTreeSet<String>>>,
    update: Rc<Notify>,
    listener: Option<SpawnHandle>,
    backoff: Backoff,
    /// When the lists are fetched next.
    due: Instant,
    /// The credentials' version that was tried last.
    tried: u64,
    pub(super) life: Life,
}

impl UpstreamSession {
    pub(super) fn new(
        parts: Arc<Parts>,
        def: Arc<ServerDef>,
        scope: Option<WorkspaceId>,
        whose: Option<Whose>,
        link: Arc<Link>,
    ) -> Self {
        let client = HttpClient::new(parts.policy.clone(), &parts.config);
        let longest = Duration::from_secs(parts.config.breaker_max_seconds.max(1));
        UpstreamSession {
            parts,
            def,
            scope,
            whose,
            link,
            client,
            line: None,
            era: None,
            connecting: None,
            listing: None,
            offer: None,
            stale: Rc::new(Cell::new(Kinds::ALL)),
            changed: Rc::new(Notify::new()),
            updated: Rc::default(),
            update: Rc::new(Notify::new()),
            listener: None,
            backoff: Backoff::new(Duration::from_secs(1), longest),
            due: clock::instant(),
            tried: 0,
            life: Life::default(),
        }
    }

    fn patience(&self) -> Patience {
        Patience::within(self.parts.connect_limit(&self.def))
    }

    /// The present connection, unless it is the stale one or its credentials were changed.
    fn current(&self, stale: Option<&Arc<Live>>) -> Option<Rc<Line>> {
        let line = self.line.as_ref()?;
        let published = self.link.live.load_full()?;
        let usable = Arc::ptr_eq(&published, &line.live)
            && stale.is_none_or(|stale| !Arc::ptr_eq(stale, &line.live))
            && line.live.version == (self.parts.credentials.version)(self.def.id)
            && self.believed_era().is_some();
        usable.then(|| line.clone())
    }

    /// What the server was found to speak, unless that is too long ago: a server that has learnt 2026-07-28 since
    /// would otherwise never be asked again.
    fn believed_era(&self) -> Option<Era> {
        let believed = Duration::from_secs(self.parts.config.verdict_seconds);
        let (era, at) = self.era?;
        (clock::instant().saturating_duration_since(at) < believed).then_some(era)
    }

    /// Resolves with a connection; all who ask while one is being made share it.
    fn connect(
        &mut self,
        stale: Option<&Arc<Live>>,
        ctx: &mut Context<Self>,
    ) -> oneshot::Receiver<Result<Rc<Line>, UpstreamError>> {
        self.life.touch();
        let (waiter, connection) = oneshot::channel();
        if let Some(waiters) = &mut self.connecting {
            waiters.push(waiter);
        } else if let Some(line) = self.current(stale) {
            let _gone = waiter.send(Ok(line));
        } else {
            self.connecting = Some(vec![waiter]);
            self.start_connecting(stale, ctx);
        }
        connection
    }

    fn start_connecting(&mut self, stale: Option<&Arc<Live>>, ctx: &mut Context<Self>) {
        self.link.set_phase(Phase::Connecting);
        self.tried = (self.parts.credentials.version)(self.def.id);
        let expired = stale.is_some();
        self.close_line(ctx, !expired);
        let remembered = self.believed_era();
        let attempt = Attempt {
            parts: self.parts.clone(),
            def: self.def.clone(),
            scope: self.scope,
            client: self.client.clone(),
            declared: self.whose.as_ref().map(|whose| whose.client.capabilities),
            link: self.link.clone(),
            remembered,
            pause: self.pause_before_start(),
            limit: self.parts.connect_limit(&self.def),
        };
        ctx.spawn(
            attempt.connect().into_actor(self).map(|outcome, session, ctx| session.finish_connecting(outcome, ctx)),
        );
    }

    fn finish_connecting(&mut self, outcome: Result<Connection, UpstreamError>, ctx: &mut Context<Self>) {
        let outcome = outcome.map(|(line, stream)| {
            self.def.breaker.succeeded();
            let era = Era::of(&line.live.connected.wire);
            // A verdict that was only remembered does not get younger.
            if self.believed_era() != Some(era) {
                self.era = Some((era, clock::instant()));
            }
            self.link.connected(&line.live);
            self.line = Some(line.clone());
            self.start_listening(&line, stream, ctx);
            // A server that had to be connected to anew may be another than before.
            if self.offer.is_some() && self.listing.is_none() {
                self.stale.set(Kinds::ALL);
                self.changed.notify_one();
            }
            line
        });
        if let Err(failure) = &outcome {
            self.link.ears.deaf();
            if failure.is_outage() {
                self.def.breaker.failed();
            }
            self.note_failed_start(failure);
            self.link.failed(failure);
            tracing::info!(server = %self.def.slug, %failure, "cannot connect to an MCP server");
        }
        for waiter in self.connecting.take().into_iter().flatten() {
            let _gone = waiter.send(outcome.clone());
        }
    }

    /// The stream that everything comes on ended, or the server forgot the session.
    fn lose(&mut self, lost: &Arc<Live>) {
        self.link.withdraw(lost);
        self.due = clock::instant() + self.backoff.next();
    }

    /// Stops using the present connection. `end`: the server is told, once the calls under way on it are done.
    pub(super) fn close_line(&mut self, ctx: &mut Context<Self>, end: bool) {
        if let Some(handle) = self.listener.take() {
            ctx.cancel_future(handle);
        }
        let Some(line) = self.line.take() else { return };
        self.link.ears.interrupted();
        self.link.withdraw(&line.live);
        if line.child.is_some() {
            let drain = if end { self.parts.host.config.drain_seconds } else { 0 };
            actix_rt::spawn(upstream_program::end_when_quiet(line, Duration::from_secs(drain)));
        } else if end && line.live.connected.wire.session().is_some() {
            actix_rt::spawn(end_when_unused(line, self.def.call_total(&self.parts.config)));
        }
    }
}

/// Ends a session at its server when no call uses it any more, at the latest after the time one call may take.
async fn end_when_unused(line: Rc<Line>, longest: Duration) {
    let latest = clock::instant() + longest;
    // Lanes hold the connection while they may use it; the last reference left is this line's.
    while Arc::strong_count(&line.live) > 1 && clock::instant() < latest {
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    line.end_session(Duration::ZERO).await;
}

fn interrupted() -> UpstreamError {
    UpstreamError::Unavailable("the connection was interrupted while it was being made".into())
}

impl Actor for UpstreamSession {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        if self.whose.is_none() {
            self.await_change(ctx);
            self.await_update(ctx);
        }
        ctx.run_interval(TICK, |session, ctx| session.tick(ctx));
        self.tick(ctx);
    }

    fn stopped(&mut self, ctx: &mut Context<Self>) {
        self.close_line(ctx, true);
    }
}

impl Handler<Connect> for UpstreamSession {
    type Result = ResponseFuture<Result<Arc<Live>, UpstreamError>>;

    fn handle(&mut self, message: Connect, ctx: &mut Context<Self>) -> Self::Result {
        let connection = self.connect(message.stale.as_ref(), ctx);
        Box::pin(async move { Ok(connection.await.map_err(|_dropped| interrupted())??.live.clone()) })
    }
}

impl Handler<Refresh> for UpstreamSession {
    type Result = ResponseFuture<Result<Offer, UpstreamError>>;

    fn handle(&mut self, _: Refresh, ctx: &mut Context<Self>) -> Self::Result {
        let offer = self.refresh(Kinds::ALL, ctx);
        Box::pin(async move { offer.await.map_err(|_dropped| interrupted())? })
    }
}

impl Handler<Probe> for UpstreamSession {
    type Result = ResponseFuture<Result<TestReport, UpstreamError>>;

    fn handle(&mut self, _: Probe, ctx: &mut Context<Self>) -> Self::Result {
        let begun = clock::instant();
        let offer = self.refresh(Kinds::ALL, ctx);
        let link = self.link.clone();
        Box::pin(async move {
            offer.await.map_err(|_dropped| interrupted())??;
            let latency = clock::instant().saturating_duration_since(begun);
            let live = link.live.load_full().ok_or_else(interrupted)?;
            Ok(TestReport::new(latency, &live.connected, &link.status.load()))
        })
    }
}

impl Handler<Post> for UpstreamSession {
    type Result = ();

    fn handle(&mut self, Post(message): Post, _: &mut Context<Self>) {
        self.life.touch();
        match self.line.as_ref().and_then(|line| line.relay.as_ref()) {
            Some(relay) => relay.post(message),
            None => match (message.events, &self.line) {
                (Some(events), _) => {
                    let _gone = events.try_send(Err(UpstreamError::SessionExpired));
                }
                (None, Some(line)) => line.tell(message.method, message.body),
                (None, None) => {}
            },
        }
    }
}

impl Handler<Changed> for UpstreamSession {
    type Result = ();

    fn handle(&mut self, Changed(change): Changed, _: &mut Context<Self>) {
        self.noter()(change);
    }
}

impl Handler<Heartbeat> for UpstreamSession {
    type Result = actix::MessageResult<Heartbeat>;

    fn handle(&mut self, _: Heartbeat, _: &mut Context<Self>) -> Self::Result {
        let status = self.link.status.load();
        let observed = serde_json::to_value(&**status).unwrap_or(Value::Null);
        let breaker = json!({ "closed": self.def.breaker.is_closed(), "failures": self.def.breaker.failures() });
        actix::MessageResult(json!({ "session": observed, "breaker": breaker }))
    }
}

impl Handler<Drain> for UpstreamSession {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) -> Self::Result {
        let line = self.line.clone();
        if let Some(handle) = self.listener.take() {
            ctx.cancel_future(handle);
        }
        let stop = Duration::from_secs(self.parts.host.config.stop_seconds + 1);
        Box::pin(async move {
            if let Some(line) = line {
                line.end_session(stop).await;
            }
        })
    }
}
