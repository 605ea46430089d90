//! What a credential may be called, how long it lives and how much it may ask.

use chrono::TimeDelta;

use crate::{
    domain::{clock::Timestamp, rate::MAX_LIMIT},
    error::{Result, err},
};

/// Longest name, characters.
const NAME_CHARS: usize = 100;
/// Longest life: ten years. More is a typing error for "never".
const LONGEST_SECONDS: u64 = 10 * 365 * 86_400;
/// Longest overlap of a rotation, 30 days: two values that work are for the time of the change only.
const LONGEST_OVERLAP_SECONDS: u64 = 30 * 86_400;

/// The name without surrounding space, if it can be one: people tell tokens apart by it, so it must look like what it is.
pub(super) fn name(text: &str) -> Result<String> {
    let name = text.trim();
    let invisible = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    if name.is_empty() || name.chars().count() > NAME_CHARS || name.chars().any(invisible) {
        return Err(err::validation("A name has 1 to 100 characters, none of them invisible")
            .with_hint("Name the person or client it is for, for example \"Alice Cursor\""));
    }
    Ok(name.to_owned())
}

/// Two names that people would take for the same fold to the same text.
pub(super) fn folded(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// When something made `now` ends.
pub(super) fn expiry(now: Timestamp, seconds: Option<u64>) -> Result<Option<Timestamp>> {
    let Some(seconds) = seconds else { return Ok(None) };
    let life = i64::try_from(seconds).ok().filter(|_| (1..=LONGEST_SECONDS).contains(&seconds));
    let end = life.and_then(TimeDelta::try_seconds).and_then(|life| now.checked_add_signed(life));
    end.map(Some).ok_or_else(|| {
        err::validation(format!("{seconds} seconds is not a usable lifetime"))
            .with_hint("Between 1 second and 10 years, or none at all for no end")
    })
}

/// Until when the value before a rotation works; none: no longer than the rotation.
pub(super) fn overlap(now: Timestamp, seconds: u64) -> Result<Option<Timestamp>> {
    if seconds > LONGEST_OVERLAP_SECONDS {
        return Err(err::validation(format!("An overlap of {seconds} seconds is too long"))
            .with_hint(format!("At most {} days; 0: the old value ends at once", LONGEST_OVERLAP_SECONDS / 86_400)));
    }
    expiry(now, Some(seconds).filter(|seconds| *seconds > 0))
}

/// A token's own limit.
pub(super) fn requests_per_minute(limit: Option<u32>) -> Result<Option<u32>> {
    match limit {
        Some(limit) if !(1..=MAX_LIMIT).contains(&limit) => {
            Err(err::validation(format!("A limit of {limit} requests per minute is not possible"))
                .with_hint(format!("Between 1 and {MAX_LIMIT}; leave it out for the default")))
        }
        fine => Ok(fine),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock;

    #[test]
    fn names_are_visible_and_short() {
        assert_eq!(name("  Alice Chen ").unwrap(), "Alice Chen");
        assert!(name(&"é".repeat(100)).is_ok());
        let long = "a".repeat(101);
        for bad in ["", "   ", "a\nb", "a\u{0}b", "Alice\u{200b}", "\u{202e}ecilA", "a\u{feff}b", &long] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_that_look_the_same_fold_together() {
        assert_eq!(folded("Alice  Chen"), folded("ALICE chen"));
        assert_ne!(folded("Alice"), folded("Alice2"));
    }

    #[test]
    fn lifetimes_and_limits_are_plausible() {
        let now = clock::now();
        assert_eq!(expiry(now, Some(3600)).unwrap(), Some(now + TimeDelta::hours(1)));
        assert_eq!(expiry(now, None).unwrap(), None);
        assert!([0, LONGEST_SECONDS + 1, u64::MAX].into_iter().all(|seconds| expiry(now, Some(seconds)).is_err()));
        assert_eq!(overlap(now, 0).unwrap(), None);
        assert_eq!(overlap(now, 60).unwrap(), Some(now + TimeDelta::minutes(1)));
        assert!(overlap(now, LONGEST_OVERLAP_SECONDS + 1).is_err());
        assert!(requests_per_minute(Some(0)).is_err() && requests_per_minute(Some(10_001)).is_err());
        assert_eq!(requests_per_minute(Some(500)).unwrap(), Some(500));
    }
}
