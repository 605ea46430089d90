//! What a credential may be called, how long it lives and how much it may ask.

use chrono::TimeDelta;
use unicode_normalization::UnicodeNormalization as _;

use crate::{
    domain::{clock::Timestamp, rate::MAX_LIMIT, visible::is_invisible},
    error::{Result, err},
};

/// Longest name, characters.
const NAME_CHARS: usize = 100;
/// Longest life: ten years. More is a typing error for "never".
const LONGEST_SECONDS: u64 = 10 * 365 * 86_400;
/// Longest overlap of a rotation, 30 days: two values that work are for the time of the change only.
const LONGEST_OVERLAP_SECONDS: u64 = 30 * 86_400;

/// Chooses the coloured form of a sign, and is no letter.
const COLOURED: char = '\u{fe0f}';

/// The name without surrounding space, if it can be one: people tell tokens apart by it, so it must look like what it is.
pub(super) fn name(text: &str) -> Result<String> {
    let name = text.trim();
    let hides = |c: char| is_invisible(c) && c != COLOURED;
    if name.is_empty() || name.chars().count() > NAME_CHARS || name.chars().any(hides) {
        return Err(err::validation("A name has 1 to 100 characters, none of them invisible")
            .with_hint("Name the person or client it is for, for example \"Alice Cursor\""));
    }
    if name.split(|c: char| !c.is_alphabetic()).any(mixes_alphabets) {
        return Err(err::validation("A word of the name has letters of alphabets that look alike")
            .with_hint("Write each word in one alphabet"));
    }
    Ok(name.to_owned())
}

/// Latin letters beside Cyrillic or Greek ones: many of them look the same, and one word has no reason to hold both.
fn mixes_alphabets(word: &str) -> bool {
    let latin = |c: char| c.is_ascii_alphabetic() || ('\u{c0}'..='\u{24f}').contains(&c);
    let alike = |c: char| ('\u{370}'..='\u{3ff}').contains(&c) || ('\u{400}'..='\u{52f}').contains(&c);
    word.chars().any(latin) && word.chars().any(alike)
}

/// Two names that people would take for the same fold to the same text.
pub(super) fn folded(name: &str) -> String {
    let plain: String = name.chars().filter(|c| *c != COLOURED).nfkc().collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
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
        assert_eq!(folded("Ａｌｉｃｅ ☕\u{fe0f}"), folded("alice ☕"));
        assert_ne!(folded("Alice"), folded("Alice2"));
        // A Cyrillic letter among Latin ones is one of two names that nobody can tell apart.
        assert!(name("\u{410}lice").is_err() && name("Ali\u{3bf}").is_err());
        for fine in ["Алиса", "Alice Иванова", "β-test", "Zoë ☕\u{fe0f}", "李 MacBook", "5 µs"] {
            assert!(name(fine).is_ok(), "{fine}");
        }
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
