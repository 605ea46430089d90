//! Time as a value. Wall time for what is stored and shown; monotonic time for limits and deadlines.
//! The only file that reads a clock (clippy forbids the raw calls elsewhere).

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};

/// A moment as it is stored and shown.
pub type Timestamp = DateTime<Utc>;

/// The wall clock, now.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
pub fn now() -> Timestamp {
    Utc::now()
}

/// The monotonic clock, now.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the monotonic clock")]
pub fn instant() -> Instant {
    Instant::now()
}

static START: LazyLock<Instant> = LazyLock::new(instant);

/// Nanoseconds since the process first asked, plus one second: never 0, never backwards.
pub fn monotonic_ns() -> u64 {
    let since = instant().saturating_duration_since(*START) + Duration::from_secs(1);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
