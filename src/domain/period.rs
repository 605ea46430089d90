//! Lengths of time and moments as people write and read them: `7d`, `24h`, `never`; `2 min ago`, `3 days ago`, dates
//! after a week. The spellings are those of the product's documents; commands and pages use no others.

use chrono::TimeDelta;

use crate::{
    domain::clock::Timestamp,
    error::{Error, Result, err},
};

/// Longest period, seconds (ten years): more is a typing error.
pub const MAX_SECONDS: u64 = 10 * 365 * 86_400;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Seconds of a period: `90s`, `30m`, `24h`, `7d`, `2w`, or a plain number of seconds.
pub fn parse(text: &str) -> Result<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match text.get(digits.len()..).unwrap_or_default() {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" | "hr" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err(refused(text)),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let number: Option<u64> = plain.then(|| digits.parse().ok()).flatten();
    match number.and_then(|number| number.checked_mul(unit)) {
        Some(seconds) if (1..=MAX_SECONDS).contains(&seconds) => Ok(seconds),
        _ => Err(refused(text)),
    }
}

/// As [`parse`], and `never` for no end.
pub fn parse_or_never(text: &str) -> Result<Option<u64>> {
    if text.trim().eq_ignore_ascii_case("never") {
        return Ok(None);
    }
    parse(text).map(Some).map_err(|refused| refused.with_hint("for example 30m, 24h, 7d, 86400 (seconds) or never"))
}

/// A moment: RFC 3339, or a day, which begins at midnight UTC.
pub fn moment(text: &str) -> Result<Timestamp> {
    let text = text.trim();
    let day = || text.parse::<chrono::NaiveDate>().ok()?.and_hms_opt(0, 0, 0).map(|midnight| midnight.and_utc());
    text.parse::<Timestamp>().ok().or_else(day).ok_or_else(|| {
        let shown: String = text.chars().take(32).flat_map(char::escape_default).collect();
        err::validation(format!("\"{shown}\" is not a moment"))
            .with_hint("for example 2026-03-15 or 2026-03-15T14:32:00Z")
    })
}

fn refused(text: &str) -> Error {
    let shown: String = text.chars().take(32).flat_map(char::escape_default).collect();
    err::validation(format!("\"{shown}\" is not a period")).with_hint("for example 30m, 24h, 7d or 86400 (seconds)")
}

/// `2 min ago`, `1 hr ago`, `3 days ago`; the date from a week on.
pub fn ago(then: Timestamp, now: Timestamp) -> String {
    match now.signed_duration_since(then).num_seconds() {
        ..MINUTE => "just now".to_owned(),
        seconds if seconds < 7 * DAY => format!("{} ago", rough(seconds)),
        _ => date(then),
    }
}

/// `in 45 min`, `in 3 days`; the date from a week on; `expired` once it is over.
pub fn until(then: Timestamp, now: Timestamp) -> String {
    match then.signed_duration_since(now).num_seconds() {
        ..=0 => "expired".to_owned(),
        1..MINUTE => "in 1 min".to_owned(),
        seconds if seconds < 7 * DAY => format!("in {}", rough(seconds)),
        _ => date(then),
    }
}

fn rough(seconds: i64) -> String {
    match seconds {
        ..HOUR => format!("{} min", seconds / MINUTE),
        HOUR..DAY => format!("{} hr", seconds / HOUR),
        _ if seconds / DAY == 1 => "1 day".to_owned(),
        _ => format!("{} days", seconds / DAY),
    }
}

/// `2026-03-01`.
pub fn date(moment: Timestamp) -> String {
    moment.format("%Y-%m-%d").to_string()
}

/// `2026-03-15 14:32 UTC`.
pub fn minute(moment: Timestamp) -> String {
    moment.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// The moment `seconds` after `from`; the last one there is, if that is too far.
pub fn after(from: Timestamp, seconds: u64) -> Timestamp {
    let delta = i64::try_from(seconds).ok().and_then(TimeDelta::try_seconds).unwrap_or(TimeDelta::MAX);
    from.checked_add_signed(delta).unwrap_or(Timestamp::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn periods_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("86400", 86_400),
            ("90s", 90),
            ("30m", 1800),
            ("24h", 86_400),
            ("7d", 604_800),
            ("2w", 1_209_600),
            (" 1d ", 86_400),
        ] {
            assert_eq!(parse(text).unwrap(), seconds, "{text}");
        }
        for bad in ["", "d", "0", "0d", "-1", "+5", "1.5h", "7 days", "7x", "99999999999999999999d", "4000w", "1h30m"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_or_never("never").unwrap(), None);
        assert_eq!(parse_or_never("Never").unwrap(), None);
        assert_eq!(parse_or_never("1h").unwrap(), Some(3600));
        assert!(parse("never").is_err());
    }

    #[test]
    fn moments_are_read_as_days_or_exactly() {
        assert_eq!(moment("2026-03-15").unwrap(), at("2026-03-15T00:00:00Z"));
        assert_eq!(moment("2026-03-15T14:32:00+02:00").unwrap(), at("2026-03-15T12:32:00Z"));
        for bad in ["", "yesterday", "2026-13-01", "15.3.2026"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn moments_are_told_as_in_the_documents() {
        let now = at("2026-03-15T14:32:40Z");
        for (then, text) in [
            ("2026-03-15T14:33:00Z", "just now"),
            ("2026-03-15T14:32:00Z", "just now"),
            ("2026-03-15T14:31:40Z", "1 min ago"),
            ("2026-03-15T14:30:00Z", "2 min ago"),
            ("2026-03-15T13:32:40Z", "1 hr ago"),
            ("2026-03-14T14:32:41Z", "23 hr ago"),
            ("2026-03-14T14:32:40Z", "1 day ago"),
            ("2026-03-12T01:00:00Z", "3 days ago"),
            ("2026-03-08T14:32:41Z", "6 days ago"),
            ("2026-03-08T14:32:40Z", "2026-03-08"),
        ] {
            assert_eq!(ago(at(then), now), text, "{then}");
        }
        for (then, text) in [
            ("2026-03-15T14:32:40Z", "expired"),
            ("2026-03-15T14:32:41Z", "in 1 min"),
            ("2026-03-15T15:32:40Z", "in 1 hr"),
            ("2026-03-18T14:32:40Z", "in 3 days"),
            ("2026-04-18T14:32:40Z", "2026-04-18"),
        ] {
            assert_eq!(until(at(then), now), text, "{then}");
        }
        assert_eq!(minute(now), "2026-03-15 14:32 UTC");
        assert_eq!(date(now), "2026-03-15");
        assert_eq!(after(now, 3600), at("2026-03-15T15:32:40Z"));
        assert_eq!(after(now, u64::MAX), Timestamp::MAX_UTC);
    }
}
