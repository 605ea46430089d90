//! Supervision: an actor is built by a factory, watched, and built anew when it dies.
//!
//! actix's own `Supervisor` does not survive a panic, so each incarnation carries a death watch: a sender inside a
//! future on the actor's own context. Stop or panic drops the context, which drops the sender, which wakes the
//! supervisor at once. The same future listens to the incarnation's stop token: dropping the last address never
//! stops an actor (the watch keeps it alive), cancelling the token does.
//!
//! A blocked thread cannot be killed in Rust. An actor that misses its heartbeats is reported `stalled`, its stop
//! token is cancelled and a replacement is started on a new arbiter.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorFutureExt as _, Addr, Arbiter, ArbiterHandle, AsyncContext as _, Context, Handler, Message,
    fut::wrap_future,
};
use futures_util::{FutureExt as _, future::BoxFuture};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    actors::{
        actor_ref::ActorRef,
        health::{ActorReport, ActorState, HealthBoard, Watched},
    },
    config::ActorsConfig,
    domain::clock::{self, Timestamp},
};

/// "Are you there, and what do you look like?" The answer is the actor's observable state.
#[derive(Message)]
#[rtype(result = "Value")]
pub struct Heartbeat;

/// "Finish what you have; nothing more will come." The answer means everything queued before is done.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Drain;

/// An actor that can be supervised.
pub trait Supervised: Actor<Context = Context<Self>> + Handler<Heartbeat> + Handler<Drain> {}
impl<A: Actor<Context = Context<A>> + Handler<Heartbeat> + Handler<Drain>> Supervised for A {}

/// The threads that actors share, by role: a blocked actor holds up only its own group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Tokens, secrets, catalogue.
    Control,
    /// Sessions with MCP servers.
    Upstream,
    /// Analytics and audit.
    Sinks,
}

/// What to supervise.
#[derive(Clone)]
pub struct Spec {
    /// Unique name, `Kind` or `Kind/instance`.
    pub name: Arc<str>,
    /// Where it runs.
    pub group: Group,
    /// Whether the gateway ends when its restart budget is spent.
    pub critical: bool,
    /// Whether it is asked for a heartbeat (singletons only).
    pub heartbeat: bool,
    /// Messages in its mailbox; none: `actors.mailbox`.
    pub mailbox: Option<usize>,
    /// Asks that may wait; none: `actors.max_in_flight`.
    pub max_in_flight: Option<usize>,
    /// Cancelled: the actor ends for good.
    pub retired: CancellationToken,
}

impl Spec {
    /// A critical singleton with a heartbeat.
    pub fn singleton(name: &str, group: Group) -> Self {
        Spec {
            name: name.into(),
            group,
            critical: true,
            heartbeat: true,
            mailbox: None,
            max_in_flight: None,
            retired: CancellationToken::new(),
        }
    }

    /// One of many (a server's, a token's): never ends the process, lives until `retired`.
    pub fn instance(name: impl Into<Arc<str>>, group: Group, retired: CancellationToken) -> Self {
        Spec {
            name: name.into(),
            group,
            critical: false,
            heartbeat: false,
            mailbox: None,
            max_in_flight: None,
            retired,
        }
    }

    /// The process goes on without it.
    pub fn uncritical(mut self) -> Self {
        self.critical = false;
        self
    }

    /// Its mailbox holds `capacity` messages.
    pub fn with_mailbox(mut self, capacity: usize) -> Self {
        self.mailbox = Some(capacity);
        self
    }
}

/// Threads, limits and the health board of one gateway's actors.
#[derive(Clone)]
pub struct Runtime {
    shared: Arc<Shared>,
}

struct Shared {
    config: ActorsConfig,
    board: HealthBoard,
    control: Arbiter,
    upstream: Arbiter,
    sinks: Arbiter,
    watcher: Arbiter,
    fatal: Notify,
    fatal_cause: Mutex<Option<String>>,
}

impl Runtime {
    /// Starts the shared threads. Must be called inside an actix system.
    pub fn start(config: ActorsConfig) -> Self {
        Runtime {
            shared: Arc::new(Shared {
                config,
                board: HealthBoard::default(),
                control: Arbiter::new(),
                upstream: Arbiter::new(),
                sinks: Arbiter::new(),
                watcher: Arbiter::new(),
                fatal: Notify::new(),
                fatal_cause: Mutex::new(None),
            }),
        }
    }

    /// The health board.
    pub fn board(&self) -> &HealthBoard {
        &self.shared.board
    }

    /// The limits.
    pub fn config(&self) -> &ActorsConfig {
        &self.shared.config
    }

    /// How long an ask waits unless the caller says otherwise.
    pub fn ask_timeout(&self) -> Duration {
        Duration::from_millis(self.shared.config.ask_timeout_ms)
    }

    /// Resolves, with its name and cause, when a critical actor's restart budget is spent.
    pub async fn fatal(&self) -> String {
        loop {
            let notified = self.shared.fatal.notified();
            if let Some(cause) = self.shared.fatal_cause.lock().clone() {
                return cause;
            }
            notified.await;
        }
    }

    /// Stops the shared threads (after every actor was drained: queued messages would be lost).
    pub fn stop(&self) {
        for arbiter in [&self.shared.control, &self.shared.upstream, &self.shared.sinks, &self.shared.watcher] {
            arbiter.stop();
        }
    }

    fn end(&self, cause: String) {
        *self.shared.fatal_cause.lock() = Some(cause);
        self.shared.fatal.notify_waiters();
    }

    fn group(&self, group: Group) -> ArbiterHandle {
        match group {
            Group::Control => self.shared.control.handle(),
            Group::Upstream => self.shared.upstream.handle(),
            Group::Sinks => self.shared.sinks.handle(),
        }
    }
}

/// Starts an actor on its group's thread and keeps it running until `spec.retired` is cancelled.
pub fn supervise<A: Supervised>(
    runtime: &Runtime,
    spec: Spec,
    factory: impl Fn() -> A + Send + Sync + 'static,
) -> ActorRef<A> {
    let factory = Arc::new(factory);
    let home = runtime.group(spec.group);
    let start: Starter<A> = Box::new(move |on: Option<&ArbiterHandle>, watch: Watch, mailbox: usize| {
        let factory = factory.clone();
        A::start_in_arbiter(on.unwrap_or(&home), move |ctx| {
            watch.attach(ctx, mailbox);
            factory()
        })
    });
    let (address, supervision, dead) = Supervision::prepare(runtime, spec, start);
    runtime.shared.watcher.spawn(supervision.run(dead));
    address
}

/// Starts an actor on the calling thread (a worker's lane, a client's session); asks from this thread stay on it.
pub fn supervise_here<A: Supervised>(runtime: &Runtime, spec: Spec, factory: impl Fn() -> A + 'static) -> ActorRef<A> {
    let start: LocalStarter<A> = Box::new(move |_, watch: Watch, mailbox: usize| {
        A::create(|ctx| {
            watch.attach(ctx, mailbox);
            factory()
        })
    });
    let (address, supervision, dead) = Supervision::prepare(runtime, spec, start);
    actix_rt::spawn(supervision.run(dead));
    address
}

type Starter<A> = Box<dyn Fn(Option<&ArbiterHandle>, Watch, usize) -> Addr<A> + Send + Sync>;
type LocalStarter<A> = Box<dyn Fn(Option<&ArbiterHandle>, Watch, usize) -> Addr<A>>;

/// Travels into an incarnation's context: dropped with it, and stops it when told.
struct Watch {
    alive: oneshot::Sender<()>,
    stop: CancellationToken,
}

impl Watch {
    fn attach<A: Actor<Context = Context<A>>>(self, ctx: &mut Context<A>, mailbox: usize) {
        ctx.set_mailbox_capacity(mailbox);
        let watch = async move {
            self.stop.cancelled().await;
            self.alive
        };
        ctx.spawn(wrap_future::<_, A>(watch).map(|_alive, _, ctx: &mut Context<A>| {
            actix::ActorContext::stop(ctx);
        }));
    }
}

/// What the board can see and do.
struct Seen<A: Supervised> {
    address: ActorRef<A>,
    critical: bool,
    deadline: Duration,
    started_at: Mutex<Timestamp>,
    restarts: AtomicU64,
    last_cause: Mutex<Option<String>>,
    last_heartbeat: Mutex<Option<Timestamp>>,
    observed: Mutex<Value>,
    /// Stop token of the present incarnation, with the cause to record.
    stop: Mutex<CancellationToken>,
    revive: Notify,
}

impl<A: Supervised> Watched for Seen<A> {
    fn report(&self) -> ActorReport {
        let (in_flight, max_in_flight) = self.address.in_flight();
        let stats = self.address.stats();
        ActorReport {
            name: self.address.name().to_string(),
            state: self.address.state(),
            critical: self.critical,
            started_at: *self.started_at.lock(),
            restarts: self.restarts.load(Relaxed),
            last_cause: self.last_cause.lock().clone(),
            last_heartbeat: *self.last_heartbeat.lock(),
            in_flight,
            max_in_flight,
            pushed: stats.pushed.load(Relaxed),
            refused: stats.refused.load(Relaxed),
            answer_ms_p50: stats.quantile_ms(0.5),
            answer_ms_p99: stats.quantile_ms(0.99),
            observed: self.observed.lock().clone(),
        }
    }

    fn observe(&self) -> BoxFuture<'_, Option<Value>> {
        let asked = self.address.ask_beyond_bounds(Heartbeat, self.deadline);
        async move { asked.await.ok() }.boxed()
    }

    fn restart(&self) {
        *self.last_cause.lock() = Some("restarted by an operator".into());
        self.stop.lock().cancel();
        self.revive.notify_one();
    }
}

/// Why an incarnation is over.
enum End {
    Died,
    Stalled,
    Retired,
}

struct Supervision<A: Supervised, S> {
    runtime: Runtime,
    spec: Spec,
    seen: Arc<Seen<A>>,
    start: S,
    /// Ends within the restart window.
    recent: VecDeque<Instant>,
    /// A fresh thread after a stall; the group's otherwise.
    refuge: Option<Arbiter>,
}

impl<A: Supervised, S: Fn(Option<&ArbiterHandle>, Watch, usize) -> Addr<A>> Supervision<A, S> {
    fn prepare(runtime: &Runtime, spec: Spec, start: S) -> (ActorRef<A>, Self, oneshot::Receiver<()>) {
        let config = runtime.config();
        let address = ActorRef::vacant(spec.name.clone(), spec.max_in_flight.unwrap_or(config.max_in_flight));
        let seen = Arc::new(Seen {
            address: address.clone(),
            critical: spec.critical,
            deadline: Duration::from_millis(config.heartbeat_ms),
            started_at: Mutex::new(clock::now()),
            restarts: AtomicU64::new(0),
            last_cause: Mutex::new(None),
            last_heartbeat: Mutex::new(None),
            observed: Mutex::new(Value::Null),
            stop: Mutex::new(CancellationToken::new()),
            revive: Notify::new(),
        });
        runtime.board().add(spec.name.clone(), seen.clone());
        let mut supervision =
            Supervision { runtime: runtime.clone(), spec, seen, start, recent: VecDeque::new(), refuge: None };
        // The first incarnation is there before the caller gets the address: no ask ever finds it vacant.
        let dead = supervision.incarnate();
        (address, supervision, dead)
    }

    fn incarnate(&mut self) -> oneshot::Receiver<()> {
        let (alive, dead) = oneshot::channel();
        let stop = CancellationToken::new();
        let mailbox = self.spec.mailbox.unwrap_or(self.runtime.config().mailbox);
        let on = self.refuge.as_ref().map(Arbiter::handle);
        let addr = (self.start)(on.as_ref(), Watch { alive, stop: stop.clone() }, mailbox);
        *self.seen.stop.lock() = stop;
        *self.seen.started_at.lock() = clock::now();
        self.seen.address.install(addr);
        self.seen.address.set_state(ActorState::Running);
        dead
    }

    async fn run(mut self, mut dead: oneshot::Receiver<()>) {
        let board = self.runtime.board().clone();
        let watched: Arc<dyn Watched> = self.seen.clone();
        loop {
            let end = self.until_the_end(&mut dead).await;
            match end {
                End::Retired => break,
                End::Died => self.note_cause("panicked or stopped"),
                End::Stalled => self.note_cause("stalled: missed its heartbeats"),
            }
            if !self.wait_before_restart(&end).await {
                break;
            }
            *self.seen.last_heartbeat.lock() = None;
            dead = self.incarnate();
            // Counted once the fresh one can be asked: who waits for the count finds it there.
            self.seen.restarts.fetch_add(1, Relaxed);
        }
        self.seen.stop.lock().cancel();
        self.seen.address.set_state(ActorState::Stopped);
        self.seen.address.vacate();
        board.remove(&self.spec.name, &watched);
    }

    /// Waits until the incarnation dies, stalls or is retired.
    async fn until_the_end(&self, dead: &mut oneshot::Receiver<()>) -> End {
        let config = self.runtime.config();
        let beat = Duration::from_millis(config.heartbeat_ms);
        let mut missed = 0;
        loop {
            let next = async {
                if self.spec.heartbeat { tokio::time::sleep(beat).await } else { std::future::pending().await }
            };
            tokio::select! {
                biased;
                () = self.spec.retired.cancelled() => return End::Retired,
                _ = &mut *dead => return End::Died,
                () = next => {}
            }
            if self.seen.address.state() == ActorState::Draining {
                continue;
            }
            tokio::select! {
                biased;
                () = self.spec.retired.cancelled() => return End::Retired,
                _ = &mut *dead => return End::Died,
                answer = self.seen.address.ask_beyond_bounds(Heartbeat, beat) => match answer {
                    Ok(observed) => {
                        missed = 0;
                        *self.seen.observed.lock() = observed;
                        *self.seen.last_heartbeat.lock() = Some(clock::now());
                    }
                    Err(_) => missed += 1,
                },
            }
            if missed >= config.heartbeats_missed {
                return End::Stalled;
            }
        }
    }

    fn note_cause(&self, cause: &str) {
        let mut last = self.seen.last_cause.lock();
        let by_hand = last.as_deref() == Some("restarted by an operator") && self.seen.stop.lock().is_cancelled();
        if !by_hand {
            tracing::warn!(actor = %self.spec.name, cause, "actor ended");
            *last = Some(cause.into());
        }
    }

    /// False when the actor is retired while waiting.
    async fn wait_before_restart(&mut self, end: &End) -> bool {
        let config = self.runtime.config().clone();
        let window = Duration::from_secs(config.restart_window_seconds);
        let now = clock::instant();
        self.recent.push_back(now);
        self.recent.retain(|at| now.saturating_duration_since(*at) < window);
        let deaths = u32::try_from(self.recent.len()).unwrap_or(u32::MAX);
        let stalled = matches!(end, End::Stalled);
        if stalled {
            // The old thread may never come back: everything further happens on a new one.
            self.seen.stop.lock().cancel();
            self.refuge = Some(Arbiter::new());
        }
        self.seen.address.vacate();
        let (state, pause) = if deaths > config.restarts {
            (ActorState::Failed, Duration::from_secs(config.failed_retry_seconds))
        } else if stalled {
            (ActorState::Stalled, Duration::from_millis(config.heartbeat_ms))
        } else {
            (ActorState::Restarting, backoff(deaths))
        };
        self.seen.address.set_state(state);
        if state == ActorState::Failed {
            tracing::error!(actor = %self.spec.name, deaths, "restart budget spent");
            if self.spec.critical {
                self.runtime.end(format!("{} failed {deaths} times in {} s", self.spec.name, window.as_secs()));
            }
        }
        tokio::select! {
            () = self.spec.retired.cancelled() => false,
            () = self.seen.revive.notified() => { self.recent.clear(); true }
            () = tokio::time::sleep(pause) => { if state == ActorState::Failed { self.recent.clear() } true }
        }
    }
}

/// Nothing before the first three restarts, then 100 ms, 400 ms, … 10 s.
fn backoff(deaths: u32) -> Duration {
    match deaths {
        0..=3 => Duration::ZERO,
        more => Duration::from_millis(100 * 4u64.saturating_pow(more - 4)).min(Duration::from_secs(10)),
    }
}

/// Lets an actor finish: refuses new messages, waits until everything queued is handled and its `Drain` answered.
pub async fn drain<A: Supervised>(address: &ActorRef<A>, deadline: Duration) {
    address.set_state(ActorState::Draining);
    if let Err(cause) = address.ask_beyond_bounds(Drain, deadline).await {
        tracing::warn!(actor = %address.name(), %cause, "drain incomplete");
    }
}
