//! Words for people: escaping what others named, first names, dates. Pure.

pub use crate::domain::visible::{csv_safe, is_invisible};

use crate::domain::clock::Timestamp;

/// Makes text from elsewhere harmless on a terminal: control and bidirectional characters show as `\u{…}`, so that a
/// name can neither move the cursor nor fake a second line.
pub fn harmless(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_invisible(c) => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
        out
    })
}

/// How a token's owner is addressed: the first word of a longer name if it is a plain word, else the name in quotes.
pub fn first_name(name: &str) -> String {
    let mut words = name.split_whitespace();
    match (words.next(), words.next()) {
        (Some(first), Some(_)) if first.chars().all(char::is_alphabetic) && first.chars().count() > 1 => {
            first.to_owned()
        }
        _ => format!("\"{name}\""),
    }
}

/// `2026-03-15`.
pub fn date(at: Timestamp) -> String {
    at.format("%Y-%m-%d").to_string()
}

/// `2026-03-15 14:32 UTC`.
pub fn minute(at: Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// `14:32:07`, in UTC.
pub fn second(at: Timestamp) -> String {
    at.format("%H:%M:%S").to_string()
}

/// RFC 3339 in UTC, as JSON and CSV have it.
pub fn exact(at: Timestamp) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

/// `pro` as `Pro`.
pub fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// `1 tool`, `2 tools`.
pub fn counted(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S-74: whatever a server or an editor calls itself, a terminal shows it as text.
    #[test]
    fn names_cannot_drive_the_terminal() {
        assert_eq!(harmless("a\n2026 admin"), "a\\n2026 admin");
        assert_eq!(harmless("\u{1b}[2J"), "\\u{1b}[2J");
        assert_eq!(harmless("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(harmless("Zoë 李"), "Zoë 李");
    }

    #[test]
    fn people_are_called_by_their_first_name() {
        assert_eq!(first_name("Alice Chen"), "Alice");
        assert_eq!(first_name("Alice Cursor"), "Alice");
        assert_eq!(first_name("Zoë Ng"), "Zoë");
        assert_eq!(first_name("CI Pipeline"), "CI");
        assert_eq!(first_name("Contractor: Jane Doe"), "\"Contractor: Jane Doe\"");
        assert_eq!(first_name("ci-bot"), "\"ci-bot\"");
    }
}
