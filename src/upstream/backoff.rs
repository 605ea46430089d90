//! Pauses that double, with jitter, so that many gateways do not come back at the same moment.

use std::time::Duration;

/// The next pause, and the ones after it.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Pauses from `first` to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Backoff { first, longest, next: first }
    }

    /// Begins anew.
    pub fn reset(&mut self) {
        self.next = self.first;
    }

    /// How long to wait now: between three quarters and five quarters of the present pause.
    #[expect(clippy::should_implement_trait, reason = "it never ends, and an iterator would hide that")]
    pub fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = pause.saturating_mul(2).min(self.longest);
        let mut random = [0];
        // Without randomness the pauses are merely regular.
        let _jitter = getrandom::fill(&mut random);
        pause.mul_f64(0.75 + f64::from(u8::from_le_bytes(random)) / 510.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_with_jitter_up_to_the_longest() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(4));
        for expected in [1.0, 2.0, 4.0, 4.0] {
            let pause = backoff.next().as_secs_f64();
            assert!((expected * 0.75..=expected * 1.25).contains(&pause), "{pause}");
        }
        backoff.reset();
        assert!(backoff.next() < Duration::from_secs(2));
    }
}
