//! A bounded, restart-proof address. The only file that touches raw actix sends: `Addr::send` and `do_send` queue
//! without bound and `try_send` is bounded only on one shared, never cloned `Addr` (measured), so everything goes
//! through [`ActorRef::ask`] and [`ActorRef::tell`].

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use actix::{Actor, Addr, Context, Handler, Message, dev::SendError};
use arc_swap::ArcSwapOption;
use tokio::sync::Semaphore;

use crate::{
    actors::health::ActorState,
    domain::clock,
    error::{Error, ErrorCode},
};

/// Why an ask has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// As many asks as allowed are already waiting.
    #[error("the actor is saturated")]
    Saturated,
    /// The actor is not running, or died with the message.
    #[error("the actor is down")]
    Down,
    /// No answer within the deadline.
    #[error("the actor did not answer in time")]
    TimedOut,
}

/// Why a message was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TellError {
    /// The mailbox is full.
    #[error("the mailbox is full")]
    Full,
    /// The actor is not running.
    #[error("the actor is down")]
    Down,
}

impl From<AskError> for Error {
    fn from(cause: AskError) -> Self {
        Error::new(ErrorCode::Overloaded, format!("The gateway is busy ({cause})")).with_retry_after(1)
    }
}
impl From<TellError> for Error {
    fn from(cause: TellError) -> Self {
        Error::new(ErrorCode::Overloaded, format!("The gateway is busy ({cause})")).with_retry_after(1)
    }
}

/// A bounded, restart-proof address. Cloning is cheap; the inner `Addr` is never cloned.
pub struct ActorRef<A: Actor> {
    inner: Arc<Inner<A>>,
}

struct Inner<A: Actor> {
    name: Arc<str>,
    addr: ArcSwapOption<Addr<A>>,
    permits: Semaphore,
    max_in_flight: usize,
    state: AtomicU8,
    stats: Stats,
}

impl<A: Actor> Clone for ActorRef<A> {
    fn clone(&self) -> Self {
        ActorRef { inner: self.inner.clone() }
    }
}

impl<A: Actor> fmt::Debug for ActorRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorRef({})", self.inner.name)
    }
}

impl<A: Actor<Context = Context<A>>> ActorRef<A> {
    /// An address with nobody behind it yet; the supervisor installs each incarnation.
    pub(super) fn vacant(name: Arc<str>, max_in_flight: usize) -> Self {
        ActorRef {
            inner: Arc::new(Inner {
                name,
                addr: ArcSwapOption::empty(),
                permits: Semaphore::new(max_in_flight),
                max_in_flight,
                state: AtomicU8::new(ActorState::Restarting as u8),
                stats: Stats::default(),
            }),
        }
    }

    /// Waits for the answer, at most `deadline`. Fails at once when `max_in_flight` asks are already waiting.
    pub async fn ask<M>(&self, message: M, deadline: Duration) -> Result<M::Result, AskError>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let inner = &*self.inner;
        let Ok(_permit) = inner.permits.try_acquire() else {
            inner.stats.refused.fetch_add(1, Relaxed);
            return Err(AskError::Saturated);
        };
        if self.state() == ActorState::Draining {
            return Err(AskError::Down);
        }
        self.ask_beyond_bounds(message, deadline).await
    }

    /// Like [`ActorRef::ask`], past the permits and the draining mark: heartbeats and drains must get through.
    #[expect(clippy::disallowed_methods, reason = "the one place that sends")]
    pub(super) async fn ask_beyond_bounds<M>(&self, message: M, deadline: Duration) -> Result<M::Result, AskError>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let inner = &*self.inner;
        let addr = inner.addr.load_full().ok_or(AskError::Down)?;
        inner.stats.pushed.fetch_add(1, Relaxed);
        let begun = clock::monotonic_ns();
        let outcome = tokio::time::timeout(deadline, addr.send(message)).await;
        inner.stats.answered(clock::monotonic_ns().saturating_sub(begun));
        match outcome {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_closed)) => Err(AskError::Down),
            Err(_elapsed) => Err(AskError::TimedOut),
        }
    }

    /// Queues without waiting. Fails when the mailbox is full or the actor is down; never blocks.
    #[expect(clippy::disallowed_methods, reason = "the one place that sends; the address is shared, never cloned")]
    pub fn tell<M>(&self, message: M) -> Result<(), TellError>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let inner = &*self.inner;
        if self.state() == ActorState::Draining {
            return Err(TellError::Down);
        }
        let addr = inner.addr.load();
        let Some(addr) = addr.as_ref() else { return Err(TellError::Down) };
        match addr.try_send(message) {
            Ok(()) => {
                inner.stats.pushed.fetch_add(1, Relaxed);
                Ok(())
            }
            Err(SendError::Full(_)) => {
                inner.stats.refused.fetch_add(1, Relaxed);
                Err(TellError::Full)
            }
            Err(SendError::Closed(_)) => Err(TellError::Down),
        }
    }

    /// The actor's name, as the health board shows it.
    pub fn name(&self) -> &Arc<str> {
        &self.inner.name
    }

    /// What the supervisor last saw.
    pub fn state(&self) -> ActorState {
        ActorState::from_u8(self.inner.state.load(Relaxed))
    }

    pub(super) fn set_state(&self, state: ActorState) {
        self.inner.state.store(state as u8, Relaxed);
    }

    pub(super) fn install(&self, addr: Addr<A>) {
        self.inner.addr.store(Some(Arc::new(addr)));
    }

    pub(super) fn vacate(&self) {
        self.inner.addr.store(None);
    }

    /// Asks waiting now, and how many may.
    pub(super) fn in_flight(&self) -> (usize, usize) {
        let max = self.inner.max_in_flight;
        (max.saturating_sub(self.inner.permits.available_permits()), max)
    }

    pub(super) fn stats(&self) -> &Stats {
        &self.inner.stats
    }
}

/// Counters of one address. Times go into power-of-two buckets of microseconds: exact enough to see a slow actor.
#[derive(Default)]
pub(super) struct Stats {
    pub(super) pushed: AtomicU64,
    pub(super) refused: AtomicU64,
    buckets: [AtomicU64; 32],
}

impl Stats {
    fn answered(&self, elapsed_ns: u64) {
        let micros = (elapsed_ns / 1000).max(1);
        let bucket = (63 - micros.leading_zeros() as usize).min(31);
        if let Some(count) = self.buckets.get(bucket) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Upper bound, in milliseconds, of the answer time of the fraction `q` of asks.
    pub(super) fn quantile_ms(&self, q: f64) -> f64 {
        let counts: Vec<u64> = self.buckets.iter().map(|count| count.load(Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank"
        )]
        let rank = (total as f64 * q).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in counts.iter().enumerate() {
            seen += count;
            if seen >= rank && total > 0 {
                #[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
                return (1u64 << (bucket + 1)) as f64 / 1000.0;
            }
        }
        0.0
    }
}
