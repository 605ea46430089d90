//! Stretches of time that figures are given for: whole steps, as fine as the stretch is short. Steps are those of UTC.

use crate::domain::clock::Timestamp;

/// Microseconds in a minute.
pub const MINUTE_US: i64 = 60_000_000;
/// Microseconds in an hour.
pub const HOUR_US: i64 = 60 * MINUTE_US;
/// Microseconds in a day.
pub const DAY_US: i64 = 24 * HOUR_US;
/// Microseconds in a week.
pub const WEEK_US: i64 = 7 * DAY_US;
/// How long sums of single minutes are kept. Stretches that begin earlier have steps of an hour or more.
pub const MINUTES_KEPT_US: i64 = 26 * HOUR_US;

/// Up to which length which step is taken: some 50 to 90 steps.
const STEPS: [(i64, i64); 5] = [
    (90 * MINUTE_US, MINUTE_US),
    (6 * HOUR_US, 5 * MINUTE_US),
    (2 * DAY_US, HOUR_US),
    (8 * DAY_US, 3 * HOUR_US),
    (32 * DAY_US, 12 * HOUR_US),
];

/// A stretch of whole steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    from_us: i64,
    to_us: i64,
    step_us: i64,
}

impl Span {
    /// The shortest one that holds everything from `from` up to `to`, at least one step. `now` decides whether minutes
    /// are still there.
    pub fn holding(from: Timestamp, to: Timestamp, now: Timestamp) -> Self {
        let (from, to) = (from.timestamp_micros(), to.timestamp_micros());
        let length = to.saturating_sub(from);
        let fitting = STEPS.into_iter().find(|(most, _)| length <= *most).map_or(DAY_US, |(_, step)| step);
        let has_minutes = from >= now.timestamp_micros().saturating_sub(MINUTES_KEPT_US - HOUR_US);
        Span::of_steps((from, to), if has_minutes { fitting } else { fitting.max(HOUR_US) })
    }

    /// The shortest one of minutes that holds everything from `from` up to `to`: exact where a step would be too coarse.
    /// Of what is older than [`MINUTES_KEPT_US`] there are none.
    pub fn of_minutes(from: Timestamp, to: Timestamp) -> Self {
        Span::of_steps((from.timestamp_micros(), to.timestamp_micros()), MINUTE_US)
    }

    fn of_steps((from, to): (i64, i64), step_us: i64) -> Self {
        let from_us = from.div_euclid(step_us).saturating_mul(step_us);
        let to_us = to.saturating_add(step_us - 1).div_euclid(step_us).saturating_mul(step_us);
        Span { from_us, to_us: to_us.max(from_us.saturating_add(step_us)), step_us }
    }

    /// Its beginning.
    pub fn from(&self) -> Timestamp {
        moment(self.from_us)
    }

    /// Its end, not part of it.
    pub fn to(&self) -> Timestamp {
        moment(self.to_us)
    }

    /// Its beginning in microseconds since 1970.
    pub fn from_us(&self) -> i64 {
        self.from_us
    }

    /// Its end in microseconds since 1970.
    pub fn to_us(&self) -> i64 {
        self.to_us
    }

    /// Length of a step in microseconds.
    pub fn step_us(&self) -> i64 {
        self.step_us
    }

    /// Where its steps begin.
    pub fn steps(&self) -> impl Iterator<Item = Timestamp> {
        let (from, step) = (self.from_us, self.step_us);
        (0..self.count()).map(move |nth| moment(from.saturating_add(nth.saturating_mul(step))))
    }

    /// Which of its steps a moment belongs to.
    pub fn step_of(&self, at: Timestamp) -> Option<usize> {
        let nth = at.timestamp_micros().saturating_sub(self.from_us).div_euclid(self.step_us);
        usize::try_from(nth).ok().filter(|_| nth < self.count())
    }

    fn count(&self) -> i64 {
        self.to_us.saturating_sub(self.from_us) / self.step_us
    }
}

fn moment(us: i64) -> Timestamp {
    Timestamp::from_timestamp_micros(us).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_stretch_is_whole_steps_and_never_too_many() {
        let now = at("2026-03-15T14:32:40Z");
        for (back, step, from) in [
            (chrono::TimeDelta::minutes(60), 60, "2026-03-15T13:32:00Z"),
            (chrono::TimeDelta::hours(6), 300, "2026-03-15T08:30:00Z"),
            (chrono::TimeDelta::hours(24), 3600, "2026-03-14T14:00:00Z"),
            (chrono::TimeDelta::days(7), 3 * 3600, "2026-03-08T12:00:00Z"),
            (chrono::TimeDelta::days(30), 12 * 3600, "2026-02-13T12:00:00Z"),
            (chrono::TimeDelta::days(90), 86_400, "2025-12-15T00:00:00Z"),
        ] {
            let span = Span::holding(now - back, now, now);
            assert_eq!((span.step_us() / 1_000_000, span.from()), (step, at(from)), "{back}");
            assert!(span.to() >= now && span.steps().count() <= 92, "{back}");
            assert_eq!(span.step_of(now), Some(span.steps().count() - 1));
            assert_eq!((span.step_of(span.from()), span.step_of(span.to())), (Some(0), None));
            assert_eq!(span.step_of(span.from() - chrono::TimeDelta::seconds(1)), None);
        }
    }

    #[test]
    fn a_stretch_of_long_ago_has_no_minutes() {
        let now = at("2026-03-15T14:32:40Z");
        let then = now - chrono::TimeDelta::days(3);
        let span = Span::holding(then, then + chrono::TimeDelta::minutes(5), now);
        assert_eq!((span.from(), span.to()), (at("2026-03-12T14:00:00Z"), at("2026-03-12T15:00:00Z")));
        let exactly = Span::of_minutes(then, then + chrono::TimeDelta::hours(7));
        assert_eq!((exactly.from(), exactly.to()), (at("2026-03-12T14:32:00Z"), at("2026-03-12T21:33:00Z")));
        let nothing = Span::holding(now, now, now);
        assert_eq!(nothing.steps().count(), 1);
    }
}
