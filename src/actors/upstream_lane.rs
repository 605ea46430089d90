//! `UpstreamLane`: a session's hand on one worker thread, one actor per (server, credentials) and thread. Owns the
//! thread's connections to the server and the decrypted headers, lets go of both in time, and stops when nobody has
//! called for a while or the server's definition is retired.
//!
//! A call reads what the lane prepared (its [`Hand`]) and asks the lane only when something is missing or out of date:
//! the call path does not leave the thread, and a healthy call sends no message at all.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix::{
    Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, Handler, Message, ResponseFuture,
    WrapFuture as _,
};
use futures_util::{
    FutureExt as _,
    future::{LocalBoxFuture, Shared},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    actors::{
        actor_ref::AskError,
        secret_vault::InjectedHeaders,
        supervisor::{Drain, Heartbeat},
        upstream_link::{Live, Parts},
        upstream_program,
        upstream_session::Connect,
        upstreams::{self, Session},
    },
    domain::clock,
    upstream::{
        UpstreamError,
        client::HttpClient,
        exchange::{Endpoint, Stage},
        mint::Mint,
        skill::SkillPeer,
    },
};

/// Makes the lane ready for calls. `stale`: a connection the server no longer knows.
#[derive(Message)]
#[rtype(result = "Result<(), UpstreamError>")]
pub struct Prepare {
    /// A connection that must not be used any more.
    pub stale: Option<Arc<Live>>,
}

/// Why an actor of ours gave no answer, told as what it means for the server.
pub(super) fn not_asked(cause: AskError, patience: Duration) -> UpstreamError {
    match cause {
        AskError::TimedOut => UpstreamError::Timeout(patience),
        AskError::Down => UpstreamError::Unavailable("what talks to it failed here and is started again".into()),
        AskError::Saturated => UpstreamError::NotUsable(cause.into()),
    }
}

/// What a call needs, all of one moment.
pub struct Ready {
    pub(super) live: Arc<Live>,
    pub(super) injected: Arc<InjectedHeaders>,
    /// None when all messages go through the session, or it is a skill.
    pub(super) endpoint: Option<Rc<Endpoint>>,
    /// The skill, if it is one.
    pub(super) skill: Option<Rc<SkillPeer>>,
}

/// The lane's state that calls on this thread read.
pub struct Hand {
    pub(super) parts: Arc<Parts>,
    pub(super) session: Arc<Session>,
    pub(super) mint: RefCell<Mint>,
    client: HttpClient,
    ready: RefCell<Option<Rc<Ready>>>,
    /// When a call last used it.
    used_ns: Cell<u64>,
    calls: Cell<u64>,
}

impl Hand {
    pub(super) fn new(parts: Arc<Parts>, session: Arc<Session>) -> Rc<Self> {
        let client = HttpClient::new(parts.policy.clone(), &parts.config);
        Rc::new(Hand {
            parts,
            session,
            mint: RefCell::default(),
            client,
            ready: RefCell::new(None),
            used_ns: Cell::new(clock::monotonic_ns()),
            calls: Cell::new(0),
        })
    }

    /// What was prepared, if it still holds: the session publishes the same connection, no secret was changed, and the
    /// decrypted headers are not too old.
    pub(super) fn ready(&self) -> Option<Rc<Ready>> {
        let now = clock::monotonic_ns();
        self.used_ns.set(now);
        let ready = self.ready.borrow();
        let ready = ready.as_ref().filter(|ready| self.holds(ready, now))?;
        self.calls.set(self.calls.get().wrapping_add(1));
        Some(ready.clone())
    }

    fn holds(&self, ready: &Ready, now: u64) -> bool {
        let published = self.session.link.live.load();
        let same = published.as_ref().is_some_and(|live| Arc::ptr_eq(live, &ready.live));
        same && self.is_fresh(&ready.injected, now)
    }

    fn is_fresh(&self, injected: &InjectedHeaders, now: u64) -> bool {
        injected.version == (self.parts.credentials.version)(self.session.def.id)
            && now.saturating_sub(injected.loaded_ns) < self.header_life().as_nanos() as u64
    }

    fn header_life(&self) -> Duration {
        Duration::from_secs(self.parts.config.header_cache_seconds.max(1))
    }

    /// The headers at hand, or those the vault gives now.
    async fn injected(&self) -> Result<Arc<InjectedHeaders>, UpstreamError> {
        let cached = self.ready.borrow().as_ref().map(|ready| ready.injected.clone());
        match cached.filter(|injected| self.is_fresh(injected, clock::monotonic_ns())) {
            Some(injected) => Ok(injected),
            None => self.parts.credentials_for(&self.session.def, self.session.scope).await,
        }
    }

    /// How long the session may take to connect: as long as it takes at most, and a little more.
    pub(super) fn connect_patience(&self) -> Duration {
        // A program that ended before may be waited for, a moment, before it is started again.
        let pause = if self.session.def.spec.program().is_some() { upstream_program::PATIENT } else { Duration::ZERO };
        self.parts.connect_limit(&self.session.def) + pause + Duration::from_secs(1)
    }

    async fn prepare(self: Rc<Self>, stale: Option<Arc<Live>>) -> Result<(), UpstreamError> {
        let mut injected = self.injected().await?;
        let usable = |live: &Arc<Live>| {
            live.version == injected.version && stale.as_ref().is_none_or(|stale| !Arc::ptr_eq(stale, live))
        };
        let live = match self.session.link.live.load_full().filter(usable) {
            Some(live) => live,
            None => {
                let patience = self.connect_patience();
                let asked = self.session.address.ask(Connect { stale }, patience).await;
                asked.map_err(|cause| not_asked(cause, patience))??
            }
        };
        if live.version != injected.version {
            // A secret was changed meanwhile; the session already uses the new one.
            injected = self.parts.credentials_for(&self.session.def, self.session.scope).await?;
        }
        let wire = &live.connected.wire;
        let skill = SkillPeer::of(&self.client, &self.session.def, &injected.headers)?;
        let endpoint = match self.session.def.spec.url().filter(|_| skill.is_none() && !wire.is_relayed()) {
            Some(url) => Some(Rc::new(Endpoint::new(&self.client, url, Stage::Known(wire), &injected.headers)?)),
            None => None,
        };
        *self.ready.borrow_mut() = Some(Rc::new(Ready { live, injected, endpoint, skill }));
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn holds_headers(&self) -> bool {
        self.ready.borrow().is_some()
    }

    fn forget(&self) {
        self.ready.borrow_mut().take();
    }

    fn idle(&self) -> Duration {
        Duration::from_nanos(clock::monotonic_ns().saturating_sub(self.used_ns.get()))
    }
}

type Preparing = Shared<LocalBoxFuture<'static, Result<(), UpstreamError>>>;

/// See the module.
pub struct UpstreamLane {
    hand: Rc<Hand>,
    preparing: Option<Preparing>,
    /// Cancelled when the lane lets go by itself.
    retire: CancellationToken,
}

impl UpstreamLane {
    pub(super) fn new(hand: Rc<Hand>, retire: CancellationToken) -> Self {
        UpstreamLane { hand, preparing: None, retire }
    }

    /// What does not hold any more goes (decrypted headers in time, whether or not anybody calls, and a connection that
    /// was replaced, so that it can be ended); an idle lane goes as a whole.
    fn tidy(&mut self, ctx: &mut Context<Self>) {
        self.hand.client.tidy();
        let now = clock::monotonic_ns();
        let old = self.hand.ready.borrow().as_ref().is_some_and(|ready| !self.hand.holds(ready, now));
        if old {
            self.hand.forget();
        }
        let longest = Duration::from_secs(self.hand.parts.config.lane_idle_seconds.max(1));
        if self.hand.idle() >= longest && Rc::strong_count(&self.hand) <= 3 {
            self.retire.cancel();
            ctx.stop();
        }
    }
}

impl Actor for UpstreamLane {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(Duration::from_secs(1), |lane, ctx| lane.tidy(ctx));
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.hand.forget();
        upstreams::sweep_lanes();
    }
}

impl Handler<Prepare> for UpstreamLane {
    type Result = ResponseFuture<Result<(), UpstreamError>>;

    fn handle(&mut self, message: Prepare, ctx: &mut Context<Self>) -> Self::Result {
        // Whoever comes while the lane is being made ready shares the outcome.
        if let Some(preparing) = &self.preparing {
            return Box::pin(preparing.clone());
        }
        let preparing = self.hand.clone().prepare(message.stale).boxed_local().shared();
        self.preparing = Some(preparing.clone());
        ctx.spawn(preparing.clone().into_actor(self).map(|_outcome, lane, _| lane.preparing = None));
        Box::pin(preparing)
    }
}

impl Handler<Heartbeat> for UpstreamLane {
    type Result = actix::MessageResult<Heartbeat>;

    fn handle(&mut self, _: Heartbeat, _: &mut Context<Self>) -> Self::Result {
        actix::MessageResult(json!({
            "calls": self.hand.calls.get(),
            "idle_seconds": self.hand.idle().as_secs(),
            "ready": self.hand.ready.borrow().is_some(),
        }))
    }
}

impl Handler<Drain> for UpstreamLane {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Context<Self>) {
        self.hand.forget();
    }
}
