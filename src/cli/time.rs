//! Spans and moments as people type and read them on the command line.

use chrono::TimeDelta;

use super::{
    failure::{Failure, Outcome},
    text,
};
use crate::domain::clock::Timestamp;

/// `86400`, `24h`, `30d` as seconds.
fn seconds(span: &str) -> Option<u64> {
    let (number, unit) = match span.char_indices().last()? {
        (at, 's') => (span.get(..at)?, 1),
        (at, 'm') => (span.get(..at)?, 60),
        (at, 'h') => (span.get(..at)?, 3600),
        (at, 'd') => (span.get(..at)?, 86_400),
        (at, 'w') => (span.get(..at)?, 604_800),
        _ => (span, 1),
    };
    number.parse::<u64>().ok().filter(|n| *n > 0)?.checked_mul(unit)
}

/// How long a token lives: seconds, or `None` for `never`.
pub fn lifetime(span: &str) -> Outcome<Option<u64>> {
    match span.trim() {
        "never" | "none" => Ok(None),
        span => Ok(Some(seconds(span).ok_or_else(|| not_a_span(span))?)),
    }
}

/// The moment a span ago.
pub fn before(now: Timestamp, span: &str) -> Outcome<Timestamp> {
    let ago = seconds(span.trim()).and_then(|s| TimeDelta::try_seconds(i64::try_from(s).ok()?));
    ago.and_then(|ago| now.checked_sub_signed(ago)).ok_or_else(|| not_a_span(span))
}

fn not_a_span(span: &str) -> Failure {
    Failure::usage(format!("\"{span}\" is not a time span")).with_hint("write seconds (86400) or 30m, 24h, 7d")
}

/// `2 min ago`, `1 hr ago`, `3 days ago`; after a week the date.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    let some = |n: i64, unit: &str| format!("{n} {unit}{} ago", if n == 1 || unit == "min" { "" } else { "s" });
    match now.signed_duration_since(at) {
        past if past < TimeDelta::minutes(1) => "just now".into(),
        past if past < TimeDelta::hours(1) => some(past.num_minutes(), "min"),
        past if past < TimeDelta::days(1) => some(past.num_hours(), "hr"),
        past if past < TimeDelta::days(7) => some(past.num_days(), "day"),
        _ => text::date(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_the_seeds_write_them() {
        for (span, expected) in [("86400", 86_400), ("24h", 86_400), ("30d", 2_592_000), ("90m", 5400), ("1w", 604_800)]
        {
            assert_eq!(lifetime(span).unwrap(), Some(expected), "{span}");
        }
        assert_eq!(lifetime("never").unwrap(), None);
        for bad in ["", "0", "-1", "7 d", "d", "1y", "99999999999999999999", "9999999999999999d"] {
            assert!(lifetime(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn moments_read_as_the_seeds_show_them() {
        let now: Timestamp = "2026-03-15T12:00:00Z".parse().unwrap();
        for (seconds, shown) in [
            (5, "just now"),
            (120, "2 min ago"),
            (3600, "1 hr ago"),
            (7200, "2 hrs ago"),
            (86_400, "1 day ago"),
            (3 * 86_400, "3 days ago"),
            (14 * 86_400, "2026-03-01"),
            (-30, "just now"),
        ] {
            assert_eq!(ago(now - TimeDelta::seconds(seconds), now), shown);
        }
    }
}
