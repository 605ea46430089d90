//! How much of a program's output that nobody waits for is read. What comes faster stays in its pipe, and the program
//! waits: a flood costs the one who floods.

use std::time::Duration;

use crate::domain::clock;

/// What one message costs at least: reading it is work, however short it is.
const LEAST: u64 = 512;
/// Seconds' worth that may come at once.
const BURST_SECONDS: u64 = 4;

/// An allowance of bytes that grows with time.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: u64,
    left: u64,
    counted_at: u64,
}

impl Pace {
    /// `per_second` bytes, some seconds' worth at once.
    pub(super) fn new(per_second: u64) -> Self {
        let per_second = per_second.max(LEAST);
        Pace { per_second, left: per_second * BURST_SECONDS, counted_at: clock::monotonic_ns() }
    }

    /// Waits until `size` more bytes are allowed.
    pub(super) async fn spend(&mut self, size: usize) {
        let pause = self.take(u64::try_from(size).unwrap_or(u64::MAX), clock::monotonic_ns());
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }

    /// How long to wait for `size` bytes that are taken now.
    fn take(&mut self, size: u64, now: u64) -> Duration {
        let passed = u128::from(now.saturating_sub(self.counted_at));
        let earned = passed * u128::from(self.per_second) / 1_000_000_000;
        if earned > 0 {
            let most = u128::from(self.per_second * BURST_SECONDS);
            self.left = u64::try_from((u128::from(self.left) + earned).min(most)).unwrap_or(u64::MAX);
            self.counted_at = now;
        }
        let cost = size.max(LEAST);
        let missing = cost.saturating_sub(self.left);
        self.left = self.left.saturating_sub(cost);
        Duration::from_secs_f64(missing as f64 / self.per_second as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_read_at_its_pace_and_a_pause_is_made_up_for() {
        let mut pace = Pace::new(1000);
        let start = pace.counted_at;
        assert!(pace.take(4000, start).is_zero());
        assert_eq!(pace.take(2000, start), Duration::from_secs(2));
        assert!(pace.take(1000, start + 1_000_000_000).is_zero());
        assert!(pace.take(4000, start + 60_000_000_000).is_zero());
        assert!(pace.take(1, start + 60_000_000_000) > Duration::from_millis(500));
    }
}
