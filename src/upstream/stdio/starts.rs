//! When a program that ended may be started again: at once after the first end, then after pauses that double; and not
//! at all for a while when it ended too often. A program that ran for a while begins anew.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::config::StdioConfig;

/// The first pause.
const FIRST: Duration = Duration::from_millis(200);
/// Who ran that long did not fail at its start.
const STEADY: Duration = Duration::from_secs(10);

/// The ends of one server's processes.
#[derive(Debug, Default)]
pub struct Starts {
    /// Within the window.
    ends: VecDeque<Instant>,
    /// Ends in a row that came soon.
    soon: u32,
    not_before: Option<Instant>,
}

impl Starts {
    /// A process that was not told to end has ended after `lived`.
    pub fn ended(&mut self, now: Instant, lived: Duration, config: &StdioConfig) {
        self.ends.push_back(now);
        self.soon = if lived >= STEADY { 1 } else { self.soon.saturating_add(1) };
        let doublings = self.soon.saturating_sub(2).min(16);
        let longest = Duration::from_secs(config.backoff_max_seconds);
        let pause = if self.soon < 2 { Duration::ZERO } else { (FIRST * 2u32.pow(doublings)).min(longest) };
        self.not_before = Some(now + pause);
    }

    /// How long to wait before the next start; an error with the time to come back when the budget is spent.
    pub fn pause(&mut self, now: Instant, config: &StdioConfig) -> Result<Duration, Duration> {
        let window = Duration::from_secs(config.restart_window_seconds);
        self.ends.retain(|at| now.saturating_duration_since(*at) < window);
        if self.ends.len() > config.restarts
            && let Some(oldest) = self.ends.front()
        {
            return Err((*oldest + window).saturating_duration_since(now));
        }
        Ok(self.not_before.map_or(Duration::ZERO, |at| at.saturating_duration_since(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock;

    #[test]
    fn pauses_double_until_the_budget_is_spent_and_a_steady_run_begins_anew() {
        let config =
            StdioConfig { restarts: 4, restart_window_seconds: 60, backoff_max_seconds: 1, ..Default::default() };
        let (mut starts, begun) = (Starts::default(), clock::instant());
        assert_eq!(starts.pause(begun, &config), Ok(Duration::ZERO));
        for pause in [0, 200, 400, 800] {
            starts.ended(begun, Duration::ZERO, &config);
            assert_eq!(starts.pause(begun, &config), Ok(Duration::from_millis(pause)));
        }
        starts.ended(begun, Duration::ZERO, &config);
        assert_eq!(starts.pause(begun, &config), Err(Duration::from_secs(60)));
        let later = begun + Duration::from_secs(60);
        assert_eq!(starts.pause(later, &config), Ok(Duration::ZERO));
        starts.ended(later, STEADY, &config);
        assert_eq!(starts.pause(later, &config), Ok(Duration::ZERO));
    }
}
