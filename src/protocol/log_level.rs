//! Levels of log messages (RFC 5424), lowest first. Decides nothing about who gets a message.

/// How important a log message is; later is more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Detail for whoever looks for a fault.
    Debug = 1,
    /// What usually happens.
    Info,
    /// Worth a look.
    Notice,
    /// May become a fault.
    Warning,
    /// A fault.
    Error,
    /// A fault of something essential.
    Critical,
    /// Somebody must act at once.
    Alert,
    /// Nothing works.
    Emergency,
}

impl Level {
    /// All of them, lowest first.
    pub const ALL: [Level; 8] = [
        Level::Debug,
        Level::Info,
        Level::Notice,
        Level::Warning,
        Level::Error,
        Level::Critical,
        Level::Alert,
        Level::Emergency,
    ];

    /// The word for it on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Notice => "notice",
            Level::Warning => "warning",
            Level::Error => "error",
            Level::Critical => "critical",
            Level::Alert => "alert",
            Level::Emergency => "emergency",
        }
    }
    /// The level of that word.
    pub fn parse(text: &str) -> Option<Level> {
        Self::ALL.into_iter().find(|level| level.as_str() == text)
    }
    /// From [`Level`] as a number; `None` for 0.
    pub fn from_number(number: u8) -> Option<Level> {
        Self::ALL.into_iter().find(|level| *level as u8 == number)
    }
    /// As raw JSON.
    pub const fn json(self) -> &'static [u8] {
        match self {
            Level::Debug => b"\"debug\"",
            Level::Info => b"\"info\"",
            Level::Notice => b"\"notice\"",
            Level::Warning => b"\"warning\"",
            Level::Error => b"\"error\"",
            Level::Critical => b"\"critical\"",
            Level::Alert => b"\"alert\"",
            Level::Emergency => b"\"emergency\"",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_ordered_and_read_back() {
        for pair in Level::ALL.windows(2) {
            assert!(pair[0] < pair[1]);
        }
        for level in Level::ALL {
            assert_eq!(Level::parse(level.as_str()), Some(level));
            assert_eq!(Level::from_number(level as u8), Some(level));
            assert_eq!(level.json(), format!("\"{}\"", level.as_str()).as_bytes());
        }
        assert_eq!((Level::parse("trace"), Level::from_number(0)), (None, None));
    }
}
