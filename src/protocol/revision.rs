//! The five revisions of MCP, by date. Decides nothing: which revision a request speaks is the gateway's finding.

use std::fmt;

/// A revision of the Model Context Protocol; later is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Revision {
    /// HTTP+SSE.
    V20241105,
    /// Streamable HTTP, batches.
    V20250326,
    /// No batches, version header.
    V20250618,
    /// Icons, URL elicitation, polling.
    V20251125,
    /// Stateless: no handshake, no sessions.
    V20260728,
}

impl Revision {
    /// All of them, oldest first.
    pub const ALL: [Revision; 5] =
        [Self::V20241105, Self::V20250326, Self::V20250618, Self::V20251125, Self::V20260728];
    /// The latest one with a handshake: what `initialize` offers and falls back to.
    pub const LATEST_LEGACY: Revision = Revision::V20251125;
    /// The one without a handshake.
    pub const MODERN: Revision = Revision::V20260728;
    /// What a legacy request without a version header is taken for, if nothing else is known (2025-06-18 transports).
    pub const ASSUMED: Revision = Revision::V20250326;

    /// The date by which it is known on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V20241105 => "2024-11-05",
            Self::V20250326 => "2025-03-26",
            Self::V20250618 => "2025-06-18",
            Self::V20251125 => "2025-11-25",
            Self::V20260728 => "2026-07-28",
        }
    }
    /// The revision of that date, if it is one we know.
    pub fn parse(text: &str) -> Option<Revision> {
        Self::ALL.into_iter().find(|revision| revision.as_str() == text)
    }
    /// Speaks without handshake and sessions.
    pub const fn is_modern(self) -> bool {
        matches!(self, Self::V20260728)
    }
    /// Receives JSON-RPC batches.
    pub const fn has_batches(self) -> bool {
        matches!(self, Self::V20250326)
    }
    /// What we answer to an `initialize` that asks for `requested`: the same if it has a handshake, else our latest
    /// that has.
    pub fn negotiate(requested: &str) -> Revision {
        Self::parse(requested).filter(|revision| !revision.is_modern()).unwrap_or(Self::LATEST_LEGACY)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dates_in_order() {
        for pair in Revision::ALL.windows(2) {
            assert!(pair[0] < pair[1] && pair[0].as_str() < pair[1].as_str());
        }
        for revision in Revision::ALL {
            assert_eq!(Revision::parse(revision.as_str()), Some(revision));
        }
        assert_eq!(Revision::parse("2026-07-29"), None);
    }

    #[test]
    fn initialize_is_never_answered_with_the_modern_revision() {
        assert_eq!(Revision::negotiate("2025-06-18"), Revision::V20250618);
        assert_eq!(Revision::negotiate("2026-07-28"), Revision::LATEST_LEGACY);
        assert_eq!(Revision::negotiate("soon"), Revision::LATEST_LEGACY);
    }
}
