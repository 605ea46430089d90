//! The promises of the actor runtime.

use std::{
    sync::{
        Arc, Once,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    time::Duration,
};

use actix::prelude::*;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    actor_ref::{AskError, TellError},
    health::ActorState,
    supervisor::{Drain, Group, Heartbeat, Runtime, Spec, drain, supervise},
};
use crate::{config::ActorsConfig, domain::clock};

const SOON: Duration = Duration::from_secs(5);
const PLANNED: &str = "a planned panic";

/// As in the gateway (`telemetry::init`), a planned panic prints no backtrace: looking up its symbols takes a debug
/// build seconds, on the very thread that is to be replaced.
fn keep_planned_panics_short() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload_as_str() != Some(PLANNED) {
                usual(panic);
            }
        }));
    });
}

#[derive(Default)]
struct Probe {
    seen: usize,
    done: Arc<AtomicUsize>,
}

#[derive(Message)]
#[rtype(result = "usize")]
struct Count;

#[derive(Message)]
#[rtype(result = "()")]
struct Panic;

/// Blocks the actor's thread until the sender is dropped.
#[derive(Message)]
#[rtype(result = "()")]
struct Block(mpsc::Receiver<()>);

impl Actor for Probe {
    type Context = Context<Self>;
}
impl Handler<Heartbeat> for Probe {
    type Result = MessageResult<Heartbeat>;
    fn handle(&mut self, _: Heartbeat, _: &mut Context<Self>) -> Self::Result {
        MessageResult(json!({ "seen": self.seen }))
    }
}
impl Handler<Drain> for Probe {
    type Result = ();
    fn handle(&mut self, _: Drain, _: &mut Context<Self>) {}
}
impl Handler<Count> for Probe {
    type Result = usize;
    fn handle(&mut self, _: Count, _: &mut Context<Self>) -> usize {
        self.seen += 1;
        self.done.fetch_add(1, SeqCst);
        self.seen
    }
}
impl Handler<Panic> for Probe {
    type Result = ();
    fn handle(&mut self, _: Panic, _: &mut Context<Self>) {
        panic!("{PLANNED}");
    }
}
impl Handler<Block> for Probe {
    type Result = ();
    fn handle(&mut self, block: Block, _: &mut Context<Self>) {
        let _ = block.0.recv();
    }
}

fn runtime() -> Runtime {
    Runtime::start(ActorsConfig { heartbeat_ms: 20, max_in_flight: 4, mailbox: 8, ..ActorsConfig::default() })
}

async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = clock::instant();
    while !condition() {
        assert!(begun.elapsed() < SOON, "not within {SOON:?}: {what}");
        tokio::task::yield_now().await;
    }
}

#[actix_web::test]
async fn a_panicking_actor_is_back_fresh_within_half_a_second_while_neighbours_go_on() {
    keep_planned_panics_short();
    let runtime = runtime();
    let hurt = supervise(&runtime, Spec::singleton("hurt", Group::Control), Probe::default);
    let neighbour = supervise(&runtime, Spec::singleton("neighbour", Group::Control), Probe::default);
    assert_eq!(hurt.ask(Count, SOON).await, Ok(1));
    assert_eq!(neighbour.ask(Count, SOON).await, Ok(1));

    for round in 1..=3u64 {
        assert_eq!(hurt.ask(Panic, SOON).await, Err(AskError::Down));
        let begun = clock::instant();
        let answer = loop {
            match hurt.ask(Count, SOON).await {
                Ok(seen) => break seen,
                Err(_) => tokio::task::yield_now().await,
            }
            assert!(begun.elapsed() < Duration::from_millis(500), "round {round}");
        };
        assert_eq!(answer, 1, "the state is fresh");
        assert_eq!(neighbour.ask(Count, SOON).await.unwrap() as u64, 1 + round, "the neighbour kept its state");
    }
    let report = runtime.board().report("hurt").await.unwrap();
    assert_eq!((report.restarts, report.state), (3, ActorState::Running));
    assert!(report.last_cause.unwrap().contains("panicked"));
}

#[actix_web::test]
async fn a_blocked_actor_is_reported_stalled_and_replaced_on_another_thread() {
    let runtime = runtime();
    let stuck = supervise(&runtime, Spec::singleton("stuck", Group::Control), Probe::default);
    let (release, blocked) = mpsc::channel();
    stuck.tell(Block(blocked)).unwrap();
    eventually("reported stalled", || stuck.state() == ActorState::Stalled).await;
    eventually("replaced", || stuck.state() == ActorState::Running).await;
    assert_eq!(stuck.ask(Count, SOON).await, Ok(1), "the replacement answers while the old thread is still blocked");
    let report = runtime.board().report("stuck").await.unwrap();
    assert!(report.last_cause.unwrap().contains("stalled"));
    drop(release);
}

#[actix_web::test]
async fn a_full_mailbox_refuses_at_once() {
    let runtime =
        Runtime::start(ActorsConfig { heartbeat_ms: 60_000, mailbox: 8, max_in_flight: 4, ..ActorsConfig::default() });
    let busy = supervise(&runtime, Spec::singleton("busy", Group::Control), Probe::default);
    // Its mailbox has this size once it has begun.
    assert_eq!(busy.ask(Count, SOON).await, Ok(1));
    let (release, blocked) = mpsc::channel();
    busy.tell(Block(blocked)).unwrap();

    let begun = clock::instant();
    let refused = (0..1000).filter(|_| busy.tell(Count) == Err(TellError::Full)).count();
    assert!(begun.elapsed() < SOON, "refusing never waits");
    // The message that blocks may itself still be in the queue.
    assert!((992..=993).contains(&refused), "7 or 8 of 1000 were queued, {refused} refused");

    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let busy = busy.clone();
            actix_rt::spawn(async move { busy.ask(Count, SOON).await })
        })
        .collect();
    eventually("four asks wait", || busy.in_flight().0 == 4).await;
    assert_eq!(busy.ask(Count, SOON).await, Err(AskError::Saturated), "the fifth ask is refused, not queued");
    drop(release);
    for ask in waiting {
        assert!(ask.await.unwrap().is_ok());
    }
}

#[actix_web::test]
async fn an_ask_gives_up_at_its_deadline() {
    let runtime = Runtime::start(ActorsConfig { heartbeat_ms: 60_000, ..ActorsConfig::default() });
    let slow = supervise(&runtime, Spec::singleton("slow", Group::Control), Probe::default);
    let (release, blocked) = mpsc::channel();
    slow.tell(Block(blocked)).unwrap();
    assert_eq!(slow.ask(Count, Duration::from_millis(20)).await, Err(AskError::TimedOut));
    drop(release);
}

#[actix_web::test]
async fn a_drain_loses_nothing_that_was_accepted() {
    let runtime = Runtime::start(ActorsConfig { heartbeat_ms: 60_000, mailbox: 1000, ..ActorsConfig::default() });
    let done = Arc::new(AtomicUsize::new(0));
    let counted = done.clone();
    let sink =
        supervise(&runtime, Spec::singleton("sink", Group::Sinks), move || Probe { seen: 0, done: counted.clone() });
    let accepted = (0..900).filter(|_| sink.tell(Count).is_ok()).count();
    drain(&sink, SOON).await;
    assert_eq!(done.load(SeqCst), accepted);
    assert_eq!(sink.tell(Count), Err(TellError::Down), "nothing is accepted after a drain began");
    runtime.stop();
}

#[actix_web::test]
async fn a_critical_actor_whose_budget_is_spent_ends_the_process_and_another_only_fails() {
    keep_planned_panics_short();
    let config = ActorsConfig { heartbeat_ms: 60_000, restarts: 1, ..ActorsConfig::default() };
    let runtime = Runtime::start(config);
    let vital = supervise(&runtime, Spec::singleton("vital", Group::Control), Probe::default);
    let one = Spec::instance("one-of-many", Group::Control, CancellationToken::new());
    let one = supervise(&runtime, one, Probe::default);
    for probe in [&one, &vital] {
        let begun = clock::instant();
        while probe.state() != ActorState::Failed {
            let _ = probe.ask(Panic, SOON).await;
            tokio::task::yield_now().await;
            assert!(begun.elapsed() < SOON);
        }
    }
    let cause = tokio::time::timeout(SOON, runtime.fatal()).await.unwrap();
    assert!(cause.contains("vital"), "{cause}");
    assert!(!runtime.board().unready().is_empty());

    assert!(runtime.board().restart("one-of-many"));
    eventually("an operator's restart revives a failed actor", || one.state() == ActorState::Running).await;
}

#[actix_web::test]
async fn a_retired_actor_ends_and_leaves_the_board() {
    let runtime = runtime();
    let retired = CancellationToken::new();
    let one = supervise(&runtime, Spec::instance("one", Group::Upstream, retired.clone()), Probe::default);
    assert_eq!(one.ask(Count, SOON).await, Ok(1));
    retired.cancel();
    eventually("gone from the board", || runtime.board().reports().is_empty()).await;
    assert_eq!(one.ask(Count, SOON).await, Err(AskError::Down));
}
