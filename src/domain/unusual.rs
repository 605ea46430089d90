//! A token that behaves unlike itself. The rule is coarse on purpose, so that whoever is told can check it: within the last
//! 24 hours it made several times as many calls as on its busiest day of the two weeks before. A first call at an odd
//! hour is not unusual, nor is a busy Monday after a quiet weekend.

/// Days of history that count.
pub const DAYS: i64 = 14;
/// Days after its first call in which a token has no habits yet.
pub const NEW_DAYS: i64 = 3;

/// From when on something is unusual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Fewer calls in 24 hours never are.
    pub calls: u64,
    /// So many times the busiest day.
    pub times: u64,
    /// So many calls of a token without habits.
    pub new_calls: u64,
}

/// What a token did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Habits {
    /// Calls in the last 24 hours.
    pub last_24_hours: u64,
    /// Calls on its busiest day of the [`DAYS`] before.
    pub busiest_day: u64,
    /// Whether it was first used less than [`NEW_DAYS`] before those 24 hours.
    pub is_new: bool,
}

impl Thresholds {
    /// The number of calls in 24 hours that is unusual for such a token.
    pub fn limit(&self, habits: &Habits) -> u64 {
        let own = habits.busiest_day.saturating_mul(self.times);
        let least = if habits.is_new { self.new_calls.max(own) } else { own };
        least.max(self.calls)
    }

    /// Whether it behaves unlike itself.
    pub fn is_unusual(&self, habits: &Habits) -> bool {
        habits.last_24_hours >= self.limit(habits).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Thresholds = Thresholds { calls: 1000, times: 5, new_calls: 10_000 };

    fn habits(last_24_hours: u64, busiest_day: u64, is_new: bool) -> Habits {
        Habits { last_24_hours, busiest_day, is_new }
    }

    #[test]
    fn many_times_more_than_ever_is_unusual() {
        assert!(RULE.is_unusual(&habits(10_000, 300, false)), "ten thousand calls overnight");
        assert!(!RULE.is_unusual(&habits(1400, 300, false)), "busy");
        assert!(!RULE.is_unusual(&habits(900, 10, false)), "few, though many times more than ever");
        assert!(!RULE.is_unusual(&habits(40_000, 20_000, false)), "a machine that always does much");
        assert!(RULE.is_unusual(&habits(1000, 0, false)), "after two weeks of silence");
    }

    #[test]
    fn a_new_token_is_given_time() {
        assert!(!RULE.is_unusual(&habits(5000, 0, true)));
        assert!(RULE.is_unusual(&habits(10_000, 0, true)));
        assert!(!RULE.is_unusual(&habits(12_000, 4000, true)), "it does what it did yesterday, and more");
        assert!(!Thresholds { calls: 0, times: 0, new_calls: 0 }.is_unusual(&habits(0, 0, true)), "nothing never is");
    }
}
