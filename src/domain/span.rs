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

/// Hours from the Monday before 1970 to its first hour, which was on a Thursday.
const FIRST_HOUR: i64 = 3 * 24;
/// Hours in a week.
pub const WEEK_HOURS: i64 = 7 * 24;
/// Time zones are at most this far from UTC, minutes.
pub const FARTHEST: i32 = 14 * 60;

/// A cell of a heat map: an hour of the week, in a time zone. Whole hours of UTC belong to it: those that begin in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeekHour {
    /// Hours since Monday 0:00, 0 to 167.
    pub hour: i64,
    /// Minutes by which the time zone is ahead of UTC, at most [`FARTHEST`].
    pub utc_offset_minutes: i32,
}

impl WeekHour {
    /// Minutes that are added to those since 1970, so that whole weeks of them begin with the cells' Monday.
    pub fn shift(&self) -> i64 {
        FIRST_HOUR * 60 + i64::from(self.utc_offset_minutes)
    }

    /// The cell in which a moment is counted.
    pub fn of(at: Timestamp, utc_offset_minutes: i32) -> Self {
        let cell = WeekHour { hour: 0, utc_offset_minutes };
        let minutes = at.timestamp_micros().div_euclid(HOUR_US).saturating_mul(60).saturating_add(cell.shift());
        WeekHour { hour: minutes.div_euclid(60).rem_euclid(WEEK_HOURS), ..cell }
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
    fn an_hour_of_the_week_is_that_of_its_time_zone() {
        let cell = |text, zone| {
            let WeekHour { hour, .. } = WeekHour::of(at(text), zone);
            (hour / 24, hour % 24)
        };
        assert_eq!(cell("1970-01-01T00:00:00Z", 0), (3, 0), "a Thursday");
        assert_eq!(cell("2026-03-15T23:59:59Z", 0), (6, 23), "a Sunday");
        assert_eq!(cell("2026-03-15T23:00:00Z", 60), (0, 0), "a Monday further east");
        assert_eq!(cell("2026-03-16T00:10:00Z", -FARTHEST), (6, 10));
        assert_eq!(cell("2026-03-16T09:50:00Z", 330), (0, 14), "the hour that begins at 14:30 there");
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
