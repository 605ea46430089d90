//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

use aerostack::domain::clock;

/// Nothing in these tests should ever take this long; it only ends a test that would hang.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within [`DEADLINE`].
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    assert!(within(DEADLINE, &mut condition), "not within {DEADLINE:?}: {what}");
}

/// Whether `condition` holds within `limit`. It is looked at less often the longer it takes: what is asked of the admin
/// API or with a token may be asked only so often a minute.
pub fn within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let begun = clock::instant();
    loop {
        if condition() {
            return true;
        }
        if begun.elapsed() > limit {
            return false;
        }
        std::thread::park_timeout((begun.elapsed() / 10).clamp(Duration::from_millis(2), Duration::from_millis(100)));
    }
}

/// How long something took, and its result.
pub fn elapsed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = clock::instant();
    let result = work();
    (result, begun.elapsed())
}

/// The present moment.
pub fn now() -> Instant {
    clock::instant()
}
