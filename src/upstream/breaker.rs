//! Stops calling a server that fails: after some failures in a row callers are turned away at once; after a pause one
//! of them is let through as a probe, and each failed probe doubles the pause. State is shared by all threads and
//! costs a healthy call one atomic load.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst},
    time::Duration,
};

use crate::{config::UpstreamConfig, domain::clock};

const SECOND_NS: u64 = 1_000_000_000;

/// One server's breaker.
#[derive(Debug)]
pub struct Breaker {
    failures_to_open: u32,
    first_pause: u64,
    longest_pause: u64,
    /// Failures since the last success.
    failures: AtomicU32,
    /// Monotonic time until which nobody gets through; 0: closed.
    open_until: AtomicU64,
    /// The present pause.
    pause: AtomicU64,
    /// Someone is trying.
    probing: AtomicBool,
}

/// The breaker is open: do not call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// Failures since the last success.
    pub failures: u32,
    /// Until the next probe may go.
    pub retry_after: Duration,
}

/// Leave to make one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The breaker is closed.
    Free,
    /// The one call that finds out whether the server is back.
    Probe,
}

impl Breaker {
    /// A closed breaker with the limits of `config`.
    pub fn new(config: &UpstreamConfig) -> Self {
        Breaker {
            failures_to_open: config.breaker_failures.max(1),
            first_pause: config.breaker_pause_seconds.max(1).saturating_mul(SECOND_NS),
            longest_pause: config.breaker_max_seconds.max(1).saturating_mul(SECOND_NS),
            failures: AtomicU32::new(0),
            open_until: AtomicU64::new(0),
            pause: AtomicU64::new(0),
            probing: AtomicBool::new(false),
        }
    }

    /// Whether a call may go, and whether it is the probe. Whoever probes must [`Breaker::release`] in any case, after
    /// reporting how it went (or not reporting: then the next caller probes).
    pub fn admit(&self) -> Result<Admission, Open> {
        self.admit_at(clock::monotonic_ns())
    }

    fn admit_at(&self, now: u64) -> Result<Admission, Open> {
        let until = self.open_until.load(SeqCst);
        if until == 0 {
            return Ok(Admission::Free);
        }
        let open = |wait: u64| Open { failures: self.failures.load(SeqCst), retry_after: Duration::from_nanos(wait) };
        if now < until {
            return Err(open(until - now));
        }
        if self.probing.swap(true, SeqCst) {
            return Err(open(SECOND_NS));
        }
        Ok(Admission::Probe)
    }

    /// Ends an admission.
    pub fn release(&self, admission: Admission) {
        if admission == Admission::Probe {
            self.probing.store(false, SeqCst);
        }
    }

    /// Whether calls get through.
    pub fn is_closed(&self) -> bool {
        self.open_until.load(SeqCst) == 0
    }

    /// How long calls are still refused, if they are.
    pub fn resting(&self) -> Option<Open> {
        let wait = self.open_until.load(SeqCst).saturating_sub(clock::monotonic_ns());
        (wait > 0).then(|| Open { failures: self.failures(), retry_after: Duration::from_nanos(wait) })
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures.load(SeqCst)
    }

    /// The server answered.
    pub fn succeeded(&self) {
        if self.failures.load(SeqCst) != 0 || self.open_until.load(SeqCst) != 0 {
            self.failures.store(0, SeqCst);
            self.pause.store(0, SeqCst);
            self.open_until.store(0, SeqCst);
        }
    }

    /// The server did not answer.
    pub fn failed(&self) {
        self.failed_at(clock::monotonic_ns());
    }

    fn failed_at(&self, now: u64) {
        let failures = self.failures.fetch_add(1, SeqCst).saturating_add(1);
        if failures < self.failures_to_open {
            return;
        }
        let until = self.open_until.load(SeqCst);
        if until > now {
            // Calls that were under way when it opened: they say nothing new.
            return;
        }
        let previous = self.pause.load(SeqCst);
        let pause = if until == 0 { self.first_pause } else { previous.saturating_mul(2) };
        let pause = pause.clamp(self.first_pause, self.longest_pause.max(self.first_pause));
        self.pause.store(pause, SeqCst);
        self.open_until.store(now.saturating_add(pause), SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new(&UpstreamConfig::default())
    }

    fn wait(breaker: &Breaker, now: u64) -> u64 {
        breaker.admit_at(now).err().map_or(0, |open| open.retry_after.as_secs())
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_a_success_between_does_not() {
        let breaker = breaker();
        for _ in 0..4 {
            breaker.failed_at(SECOND_NS);
        }
        breaker.succeeded();
        for _ in 0..4 {
            breaker.failed_at(SECOND_NS);
        }
        assert!(breaker.is_closed());
        breaker.failed_at(SECOND_NS);
        assert_eq!(breaker.admit_at(SECOND_NS).unwrap_err().failures, 5);
    }

    #[test]
    fn the_pause_doubles_with_each_failed_probe_up_to_its_longest() {
        let breaker = breaker();
        let mut now = SECOND_NS;
        for _ in 0..5 {
            breaker.failed_at(now);
        }
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(wait(&breaker, now), pause);
            now += pause * SECOND_NS;
            let probe = breaker.admit_at(now).unwrap();
            breaker.failed_at(now);
            breaker.release(probe);
        }
    }

    #[test]
    fn one_probe_goes_at_a_time() {
        let breaker = breaker();
        for _ in 0..5 {
            breaker.failed_at(SECOND_NS);
        }
        let probe = breaker.admit_at(3 * SECOND_NS).unwrap();
        assert!(breaker.admit_at(3 * SECOND_NS).is_err());
        breaker.release(probe);
        assert!(breaker.admit_at(3 * SECOND_NS).is_ok());
    }

    #[test]
    fn a_successful_probe_closes_it_and_forgets_the_pause() {
        let breaker = breaker();
        for _ in 0..5 {
            breaker.failed_at(SECOND_NS);
        }
        let probe = breaker.admit_at(3 * SECOND_NS).unwrap();
        breaker.succeeded();
        breaker.release(probe);
        assert!(breaker.is_closed());
        for _ in 0..5 {
            breaker.failed_at(10 * SECOND_NS);
        }
        assert_eq!(wait(&breaker, 10 * SECOND_NS), 1);
    }

    #[test]
    fn calls_under_way_when_it_opened_do_not_lengthen_the_pause() {
        let breaker = breaker();
        for _ in 0..50 {
            breaker.failed_at(SECOND_NS);
        }
        assert_eq!(wait(&breaker, SECOND_NS), 1);
    }
}
