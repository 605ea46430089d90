//! The exact sliding window: at most `limit` events in any 60 seconds, not a refilling bucket (a bucket lets the 121st
//! request through a second later).
//!
//! The clock is read inside the lock, so stamps are in slot order by construction; the lock is held for tens of
//! nanoseconds and never over an await.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

/// Length of the window.
pub const WINDOW_NS: u64 = 60_000_000_000;
/// The largest limit that is counted exactly.
pub const MAX_LIMIT: u32 = 10_000;

/// What the window says of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Whether the event may happen (it is counted if so).
    pub allowed: bool,
    /// The limit in force; 0: unlimited.
    pub limit: u32,
    /// Events left in the window now.
    pub remaining: u32,
    /// Nanoseconds until another event fits, when refused; until the oldest leaves, when allowed.
    pub retry_after_ns: u64,
}

impl Decision {
    /// Whole seconds to wait, at least one.
    pub fn retry_after_seconds(&self) -> u64 {
        self.retry_after_ns.div_ceil(1_000_000_000).max(1)
    }
}

/// A window of 60 seconds. Outlives grants and restarts of actors: it is keyed by token id.
#[derive(Debug)]
pub struct Window {
    ring: Mutex<Ring>,
    refused: AtomicU64,
}

#[derive(Debug)]
struct Ring {
    /// Stamps; 0 is "empty". Grows to `limit`, never beyond.
    at: Vec<u64>,
    /// The oldest slot, the next to be written once the ring is full.
    head: usize,
    last: u64,
    limit: u32,
    admitted: u64,
}

impl Window {
    /// An empty window for `limit` events; 0: unlimited (the code still runs).
    pub fn new(limit: u32) -> Self {
        let ring = Ring { at: Vec::new(), head: 0, last: 0, limit: limit.min(MAX_LIMIT), admitted: 0 };
        Window { ring: Mutex::new(ring), refused: AtomicU64::new(0) }
    }

    /// Counts one event if it fits. `clock` gives monotonic nanoseconds above 0 and is read inside the lock.
    pub fn admit(&self, clock: impl FnOnce() -> u64) -> Decision {
        let mut ring = self.ring.lock();
        let now = clock().max(ring.last);
        let decision = ring.admit(now);
        drop(ring);
        if !decision.allowed {
            self.refused.fetch_add(1, Relaxed);
        }
        decision
    }

    /// What an event at `now` would be told; it is not counted.
    pub fn peek(&self, now: u64) -> Decision {
        let ring = self.ring.lock();
        ring.refusal(now.max(ring.last)).unwrap_or(Decision {
            allowed: true,
            limit: ring.limit,
            remaining: if ring.limit == 0 { u32::MAX } else { ring.remaining(now) },
            retry_after_ns: 0,
        })
    }

    /// Changes the limit; what was counted stays counted.
    pub fn set_limit(&self, limit: u32) {
        self.ring.lock().resize(limit.min(MAX_LIMIT));
    }

    /// Events admitted and refused since the window was made.
    pub fn totals(&self) -> (u64, u64) {
        (self.ring.lock().admitted, self.refused.load(Relaxed))
    }

    /// The limit in force; 0: unlimited.
    pub fn limit(&self) -> u32 {
        self.ring.lock().limit
    }

    /// Nanoseconds since the last admitted event.
    pub fn idle_ns(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.ring.lock().last)
    }
}

impl Ring {
    fn admit(&mut self, now: u64) -> Decision {
        let limit = self.limit;
        if limit == 0 {
            self.last = now;
            self.admitted += 1;
            return Decision { allowed: true, limit, remaining: u32::MAX, retry_after_ns: 0 };
        }
        if let Some(refusal) = self.refusal(now) {
            return refusal;
        }
        if self.at.len() >= limit as usize {
            if let Some(slot) = self.at.get_mut(self.head) {
                *slot = now;
            }
            self.head = (self.head + 1) % self.at.len();
        } else {
            self.at.push(now);
        }
        self.last = now;
        self.admitted += 1;
        Decision { allowed: true, limit, remaining: self.remaining(now), retry_after_ns: 0 }
    }

    /// The answer to an event that does not fit.
    fn refusal(&self, now: u64) -> Option<Decision> {
        let limit = self.limit;
        let full = limit != 0 && self.at.len() >= limit as usize;
        let oldest = if full { self.at.get(self.head).copied().unwrap_or(0) } else { 0 };
        let refused = oldest != 0 && now < oldest + WINDOW_NS;
        refused.then(|| Decision { allowed: false, limit, remaining: 0, retry_after_ns: oldest + WINDOW_NS - now })
    }

    fn remaining(&self, now: u64) -> u32 {
        let horizon = now.saturating_sub(WINDOW_NS);
        // Stamps ascend from `head` around the ring, so the ones still counted are found by bisection.
        let len = self.at.len();
        let (mut low, mut high) = (0, len);
        while low < high {
            let middle = (low + high) / 2;
            let stamp = self.at.get((self.head + middle) % len).copied().unwrap_or(0);
            if stamp <= horizon { low = middle + 1 } else { high = middle }
        }
        self.limit.saturating_sub(u32::try_from(len - low).unwrap_or(u32::MAX))
    }

    fn resize(&mut self, limit: u32) {
        self.at.rotate_left(self.head);
        self.head = 0;
        let surplus = self.at.len().saturating_sub(limit as usize);
        if limit > 0 {
            self.at.drain(..surplus);
        } else {
            self.at.clear();
        }
        self.limit = limit;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn request_121_in_a_minute_is_refused_and_told_when() {
        let window = Window::new(120);
        for n in 0..120u64 {
            assert!(window.admit(|| 1 + n).allowed);
        }
        let refused = window.admit(|| 1_000_000_000);
        assert!(!refused.allowed);
        assert_eq!(refused.retry_after_ns, 1 + WINDOW_NS - 1_000_000_000);
        assert_eq!(refused.retry_after_seconds(), 60);
        assert!(window.admit(|| 1 + WINDOW_NS).allowed);
    }

    #[test]
    fn a_window_without_limit_admits_everything() {
        let window = Window::new(0);
        assert!((0..100_000u64).all(|n| window.admit(|| n + 1).allowed));
    }

    proptest! {
        #[test]
        fn the_ring_equals_a_brute_force_model(
            limit in 1u32..40,
            steps in prop::collection::vec((0u64..8_000_000_000, 0u8..40), 1..400),
        ) {
            let window = Window::new(limit);
            let (mut now, mut limit, mut model) = (1u64, limit, Vec::<u64>::new());
            for (step, change) in steps {
                now += step;
                if change == 0 {
                    limit = 1 + limit * 7 % 40;
                    window.set_limit(limit);
                    let surplus = model.len().saturating_sub(limit as usize);
                    model.drain(..surplus);
                }
                model.retain(|at| now < at + WINDOW_NS);
                let fits = model.len() < limit as usize;
                let got = window.admit(|| now);
                prop_assert_eq!(got.allowed, fits);
                if fits { model.push(now) } else { prop_assert_eq!(got.retry_after_ns, model[model.len() - limit as usize] + WINDOW_NS - now) }
                if fits { prop_assert_eq!(got.remaining as usize, limit as usize - model.len()) }
            }
        }
    }
}
