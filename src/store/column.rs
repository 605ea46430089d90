//! Between columns and values. What is stored was written here, so a value that does not fit back means the row was
//! damaged or edited by hand: that is reported as such, never guessed.

use std::{fmt, str::FromStr};

use crate::{
    domain::clock::Timestamp,
    error::{Error, Result},
};

/// A count or version as a signed column; the databases have no unsigned ones.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Back from [`signed`].
pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// A small count or version as a signed column.
pub(super) fn signed32(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// Back from [`signed32`].
pub(super) fn unsigned32(value: i32) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

/// A fixed-size value from a blob.
pub(super) fn array<const N: usize>(what: &str, bytes: &[u8]) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_length| damaged(what, format_args!("{} bytes", bytes.len())))
}

/// A value from its text form.
pub(super) fn parsed<T: FromStr>(what: &str, text: &str) -> Result<T> {
    text.parse().map_err(|_unknown| damaged(what, "it cannot be read"))
}

/// The stored row makes no sense.
pub(super) fn damaged(what: &str, cause: impl fmt::Display) -> Error {
    Error::internal("reading a damaged row", format_args!("{what}: {cause}"))
}

/// Times are kept to the microsecond, which is what Postgres keeps: a record reads back as it was written.
pub(super) fn stored(at: Timestamp) -> Timestamp {
    Timestamp::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at)
}
