//! What workspace tokens and API keys have in common on the command line: how long they live, and how they stand in a list.

use super::{
    failure::Outcome,
    output::{Align, Cell, Column},
    text,
};
use crate::{
    admin::dto::TokenStatus,
    domain::{clock::Timestamp, period},
};

/// Seconds of life, as `--expires-in` says them; none: no end.
pub fn life(expires_in: Option<&str>) -> Outcome<Option<u64>> {
    Ok(expires_in.map(period::parse_or_never).transpose()?.flatten())
}

/// When it ends, in words.
pub fn end(expires_at: Option<Timestamp>) -> String {
    expires_at.map_or_else(|| "does not expire".into(), |at| format!("expires {}", text::minute(at)))
}

/// The columns that a list of them begins with.
pub fn columns(name: &'static str) -> [Column; 4] {
    [
        Column(name, "name", Align::Left),
        Column("CREATED", "created_at", Align::Left),
        Column("LAST USED", "last_used_at", Align::Left),
        Column("STATUS", "status", Align::Left),
    ]
}

/// How it stands; `active` says more about one that is in force.
pub fn status(status: TokenStatus, active: impl FnOnce() -> String) -> Cell {
    match status {
        TokenStatus::Active => Cell::both(active(), "active"),
        TokenStatus::Revoked => Cell::text("revoked"),
        TokenStatus::Expired => Cell::both("inactive (expired)", "expired"),
    }
}
