//! AnalyticsSink: takes tool calls from the workers and writes them in batches. Never asked by a call, which never
//! waits for it. What does not fit into the queue is dropped and counted: statistics may have a gap, calls may not.
//!
//! The queue lives beside the actor, so a restart loses nothing: the batch being written is written again, and writing
//! a batch twice counts once.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use actix::prelude::*;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::{
    actors::{
        actor_ref::ActorRef,
        supervisor::{self, Drain, Group, Heartbeat, Runtime, Spec},
    },
    config::AnalyticsConfig,
    domain::clock::{self, Timestamp},
    error::{Error, ErrorCode, Result},
    store::{
        Store,
        analytics::{self, ToolCallEvent},
    },
};

/// Lanes that threads share; more than workers, so that they hardly do.
const LANES: usize = 16;
/// Calls that a lane has room for at least.
const LANE_CALLS: usize = 64;
/// Calls between two looks from which on a write waits for more, and how many looks at most: each sum is read and written
/// once for all the calls of a write.
const MANY_CALLS: usize = 256;
const LOOKS: u32 = 8;
/// Rows deleted at once when old calls are removed, at first.
const PRUNE_ROWS: u64 = 1000;
/// And at most and least: as many as fit into [`PRUNE_STEP`].
const PRUNE_ROWS_RANGE: (u64, u64) = (50, 20_000);
/// How long one delete may hold the database; others write between two.
const PRUNE_STEP: Duration = Duration::from_millis(20);
/// Pause between two deletes.
const PRUNE_PAUSE: Duration = Duration::from_millis(5);
/// How often old calls are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// Failures after which a batch is given up, unless the database merely does not answer.
const ATTEMPTS: u32 = 3;

/// Calls to be written.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Batch(pub Vec<ToolCallEvent>);

/// There is something in the lanes.
#[derive(Message)]
#[rtype(result = "()")]
struct Wake;

/// Write what is queued now; whether all of it was written.
#[derive(Message)]
#[rtype(result = "bool")]
pub struct Flush;

/// Delete calls that began before a moment; how many rows.
#[derive(Message)]
#[rtype(result = "Result<u64>")]
pub struct Prune {
    /// What began before this goes.
    pub before: Timestamp,
}

/// What operators and metrics see.
#[derive(Debug, Default)]
pub struct Figures {
    queued: AtomicUsize,
    written: AtomicU64,
    dropped: AtomicU64,
    last_flush_ms: AtomicI64,
}

impl Figures {
    /// Calls waiting to be written.
    pub fn queued(&self) -> usize {
        self.queued.load(Relaxed)
    }
    /// Calls written.
    pub fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }
    /// Calls that were not written and never will be.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
    /// When a batch was last written.
    pub fn last_flush(&self) -> Option<Timestamp> {
        Timestamp::from_timestamp_millis(self.last_flush_ms.load(Relaxed)).filter(|at| at.timestamp_millis() > 0)
    }
}

/// Sees every call once, soon after it ended (metrics).
pub type Watch = Arc<dyn Fn(&[ToolCallEvent]) + Send + Sync>;

/// Calls on their way. Each thread has a lane; the sink empties the lanes into its queue when it is woken or writes.
struct Backlog {
    enabled: bool,
    limit: usize,
    /// Calls at which the sink is woken.
    batch: usize,
    watch: Watch,
    figures: Figures,
    lanes: [Mutex<Vec<ToolCallEvent>>; LANES],
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<ToolCallEvent>,
    writing: Option<Arc<Vec<ToolCallEvent>>>,
}

impl Backlog {
    /// Takes room for one more call, and says how many wait with it; none if there is no room.
    fn reserve(&self) -> Option<usize> {
        let before = self.figures.queued.fetch_add(1, Relaxed);
        if before < self.limit {
            return Some(before + 1);
        }
        self.figures.queued.fetch_sub(1, Relaxed);
        self.figures.dropped.fetch_add(1, Relaxed);
        None
    }

    fn take(&self, queue: &mut Queue, calls: Vec<ToolCallEvent>) {
        if !calls.is_empty() {
            (self.watch)(&calls);
            queue.waiting.extend(calls);
        }
    }

    fn empty_lanes(&self, queue: &mut Queue) {
        for lane in &self.lanes {
            let mut lane = lane.lock();
            if lane.is_empty() {
                continue;
            }
            // Room for as many as came this time, so that calls hardly ever make it grow.
            let room = Vec::with_capacity(lane.len().max(LANE_CALLS));
            let calls = std::mem::replace(&mut *lane, room);
            drop(lane);
            self.take(queue, calls);
        }
    }

    /// Shows what came to those who watch.
    fn gather(&self) {
        self.empty_lanes(&mut self.queue.lock());
    }

    /// The next batch, unless one is being written or there is nothing.
    fn next(&self, size: usize) -> Option<Arc<Vec<ToolCallEvent>>> {
        let mut queue = self.queue.lock();
        self.empty_lanes(&mut queue);
        if queue.writing.is_some() {
            return None;
        }
        let size = queue.waiting.len().min(size.max(1));
        let batch: Arc<Vec<ToolCallEvent>> = Arc::new(queue.waiting.drain(..size).collect());
        queue.writing = (!batch.is_empty()).then(|| batch.clone());
        queue.writing.clone()
    }

    /// The batch was written, or given up.
    fn done(&self, count: usize) {
        self.queue.lock().writing = None;
        self.figures.queued.fetch_sub(count, Relaxed);
    }

    /// The batch was not written; it comes first again.
    fn put_back(&self) {
        let mut queue = self.queue.lock();
        let batch = queue.writing.take();
        for call in batch.iter().flat_map(|batch| batch.iter()).rev() {
            queue.waiting.push_front(call.clone());
        }
    }
}

/// The calling thread's lane.
fn lane() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static LANE: usize = THREADS.fetch_add(1, Relaxed) % LANES;
    }
    LANE.try_with(|lane| *lane).unwrap_or_default()
}

/// The sink, for everybody who records calls.
#[derive(Clone)]
pub struct Analytics {
    sink: ActorRef<AnalyticsSink>,
    backlog: Arc<Backlog>,
}

impl Analytics {
    /// Starts the sink. `watch` sees what passes through it.
    pub fn start(runtime: &Runtime, store: Store, config: &AnalyticsConfig, watch: Watch) -> Self {
        let backlog = Arc::new(Backlog {
            enabled: config.enabled,
            limit: config.queue,
            batch: config.batch.max(1),
            watch,
            figures: Figures::default(),
            lanes: std::array::from_fn(|_| Mutex::default()),
            queue: Mutex::default(),
        });
        let (shared, config) = (backlog.clone(), config.clone());
        let spec = Spec::singleton("AnalyticsSink", Group::Sinks).uncritical();
        let factory = move || AnalyticsSink {
            store: store.clone(),
            config: config.clone(),
            backlog: shared.clone(),
            failures: 0,
            looks: 0,
            draining: false,
            waiting: Vec::new(),
        };
        Analytics { sink: supervisor::supervise(runtime, spec, factory), backlog }
    }

    /// Records a call: a push under a lock that this thread hardly ever shares. Does nothing when statistics are off.
    pub fn record(&self, call: ToolCallEvent) {
        if !self.backlog.enabled {
            return;
        }
        let Some(lane) = self.backlog.lanes.get(lane()) else { return };
        let Some(waiting) = self.backlog.reserve() else { return };
        lane.lock().push(call);
        if waiting == self.backlog.batch {
            // Not heard, it comes by itself at its next interval.
            let _ = self.sink.tell(Wake);
        }
    }

    /// Writes everything that was recorded; nothing more is taken.
    pub async fn drain(&self, deadline: Duration) {
        supervisor::drain(&self.sink, deadline).await;
    }

    /// Whether calls are recorded at all.
    pub fn is_enabled(&self) -> bool {
        self.backlog.enabled
    }

    /// What was written and dropped so far.
    pub fn figures(&self) -> &Figures {
        &self.backlog.figures
    }

    /// The actor (flush, prune, drain).
    pub fn sink(&self) -> &ActorRef<AnalyticsSink> {
        &self.sink
    }
}

/// The actor.
pub struct AnalyticsSink {
    store: Store,
    config: AnalyticsConfig,
    backlog: Arc<Backlog>,
    failures: u32,
    /// Since the last write.
    looks: u32,
    draining: bool,
    waiting: Vec<oneshot::Sender<bool>>,
}

impl Actor for AnalyticsSink {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // What the incarnation before was writing.
        self.backlog.put_back();
        ctx.run_interval(Duration::from_millis(self.config.flush_ms.max(1)), |sink, ctx| sink.look(ctx));
        ctx.run_interval(PRUNE_EVERY, |sink, ctx| sink.prune_old(ctx));
        self.prune_old(ctx);
    }
}

impl Handler<Batch> for AnalyticsSink {
    type Result = ();

    fn handle(&mut self, Batch(mut calls): Batch, ctx: &mut Self::Context) {
        calls.retain(|_| self.backlog.reserve().is_some());
        self.backlog.take(&mut self.backlog.queue.lock(), calls);
        self.write_if_enough(ctx);
    }
}

impl Handler<Wake> for AnalyticsSink {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Self::Context) {
        self.write_if_enough(ctx);
    }
}

impl Handler<Flush> for AnalyticsSink {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, _: Flush, ctx: &mut Self::Context) -> Self::Result {
        self.wait_until_written(ctx)
    }
}

impl Handler<Drain> for AnalyticsSink {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, ctx: &mut Self::Context) -> Self::Result {
        self.draining = true;
        let written = self.wait_until_written(ctx);
        Box::pin(async move {
            written.await;
        })
    }
}

impl Handler<Prune> for AnalyticsSink {
    type Result = ResponseFuture<Result<u64>>;

    fn handle(&mut self, Prune { before }: Prune, _: &mut Self::Context) -> Self::Result {
        let pruned = prune(self.store.clone(), before);
        // Who looks for old calls every hour does not wait for what became of it.
        Box::pin(async move {
            pruned.await.inspect_err(|error| tracing::warn!(%error, "calls that are too old are still there"))
        })
    }
}

impl Handler<Heartbeat> for AnalyticsSink {
    type Result = MessageResult<Heartbeat>;

    fn handle(&mut self, _: Heartbeat, _: &mut Self::Context) -> Self::Result {
        MessageResult::<Heartbeat>(observed(&self.backlog.figures, self.failures))
    }
}

/// Deletes in steps: each as many rows as it has time for, and with room for other writes in between.
async fn prune(store: Store, before: Timestamp) -> Result<u64> {
    let (mut rows, mut at_once) = (0, PRUNE_ROWS);
    loop {
        let (begun, now, most) = (clock::instant(), clock::now(), at_once);
        let step =
            store.analytics_write(move |tx| Box::pin(async move { analytics::prune(tx, (before, now), most).await }));
        let gone = step.await?;
        if gone == 0 {
            return Ok(rows);
        }
        rows += gone;
        let (least, most) = PRUNE_ROWS_RANGE;
        let fits = if begun.elapsed() > PRUNE_STEP { at_once / 2 } else { at_once.saturating_mul(2) };
        at_once = fits.clamp(least, most);
        tokio::time::sleep(PRUNE_PAUSE).await;
    }
}

fn observed(figures: &Figures, failures: u32) -> Value {
    json!({
        "queued": figures.queued(),
        "written": figures.written(),
        "dropped": figures.dropped(),
        "last_flush": figures.last_flush(),
        "failures": failures,
    })
}

impl AnalyticsSink {
    fn write_if_enough(&mut self, ctx: &mut Context<Self>) {
        if self.backlog.figures.queued() >= self.config.batch && self.failures == 0 {
            self.write(ctx);
        }
    }

    /// Writes what there is, or, while there are many calls, waits a little for more.
    fn look(&mut self, ctx: &mut Context<Self>) {
        self.looks += 1;
        if self.looks < LOOKS && self.backlog.figures.queued() >= MANY_CALLS && self.failures == 0 {
            return self.backlog.gather();
        }
        self.write(ctx);
    }

    /// Begins to write the next batch unless one is being written.
    fn write(&mut self, ctx: &mut Context<Self>) {
        self.looks = 0;
        let Some(batch) = self.backlog.next(self.config.batch) else { return };
        let (store, count) = (self.store.clone(), batch.len());
        let write = async move {
            store.analytics_write(move |tx| Box::pin(async move { analytics::insert(tx, &batch).await })).await
        };
        ctx.spawn(write.into_actor(self).map(move |result, sink, ctx| sink.wrote(count, result, ctx)));
    }

    fn wrote(&mut self, count: usize, result: Result<()>, ctx: &mut Context<Self>) {
        let figures = &self.backlog.figures;
        match result {
            Ok(()) => {
                self.failures = 0;
                figures.written.fetch_add(count as u64, Relaxed);
                figures.last_flush_ms.store(clock::now().timestamp_millis(), Relaxed);
                self.backlog.done(count);
            }
            Err(error) => self.failed(count, &error),
        }
        let left = self.backlog.figures.queued();
        let stuck = self.failures > 0 && !self.draining;
        if left == 0 || stuck {
            for waiting in self.waiting.drain(..) {
                let _ = waiting.send(!stuck);
            }
        } else if left >= self.config.batch || !self.waiting.is_empty() {
            self.write(ctx);
        }
    }

    /// A database that does not answer is waited for, though not at a stop; a batch that it refuses is given up
    /// after some attempts.
    fn failed(&mut self, count: usize, error: &Error) {
        self.failures = self.failures.saturating_add(1);
        let passing = error.code() == ErrorCode::StoreUnavailable && !self.draining;
        if passing || self.failures < ATTEMPTS {
            tracing::warn!(%error, calls = count, "calls were not written yet");
            self.backlog.put_back();
            return;
        }
        tracing::error!(%error, calls = count, "calls were not written and are given up");
        self.failures = 0;
        self.backlog.figures.dropped.fetch_add(count as u64, Relaxed);
        self.backlog.done(count);
    }

    fn wait_until_written(&mut self, ctx: &mut Context<Self>) -> ResponseFuture<bool> {
        if self.backlog.figures.queued() == 0 {
            return Box::pin(std::future::ready(true));
        }
        let (done, written) = oneshot::channel();
        self.waiting.push(done);
        self.write(ctx);
        Box::pin(async move { written.await.unwrap_or(false) })
    }

    fn prune_old(&self, ctx: &mut Context<Self>) {
        let days = chrono::TimeDelta::days(i64::from(self.config.retention_days));
        ctx.notify(Prune { before: clock::now() - days });
    }
}
