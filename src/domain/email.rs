//! E-mail addresses, as far as an invitation needs them: one person, one line, no tricks. Whether a mail arrives is for
//! the mail server to say.

use crate::error::{Result, err};

/// Longest address (RFC 5321 §4.5.3.1.3).
const LONGEST: usize = 254;

/// The address in lower case, if it can be one.
pub fn parse(text: &str) -> Result<String> {
    let address = text.trim().to_lowercase();
    let plain = |part: &str, extra: &[u8]| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.ends_with('.')
            && !part.contains("..")
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || extra.contains(&byte))
    };
    let fits = address.split_once('@').is_some_and(|(name, host)| {
        plain(name, b"!#$%&'*+-/=?^_`{|}~") && plain(host, b"-") && name.len() <= 64 && !host.starts_with('-')
    });
    if fits && address.len() <= LONGEST {
        return Ok(address);
    }
    Err(err::validation("That is not an e-mail address").with_hint("for example alice@example.com"))
}

/// What to call somebody of whom only the address is known: the first word of `alice.chen@…`, else the address.
pub fn first_name(address: &str) -> String {
    let name = address.split('@').next().unwrap_or_default();
    let word = name.split(['.', '_', '-', '+']).next().unwrap_or_default();
    let mut letters = word.chars();
    match letters.next() {
        Some(first) if word.len() > 1 && word.chars().all(char::is_alphabetic) => {
            first.to_uppercase().chain(letters).collect()
        }
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_one_plain_line() {
        assert_eq!(parse(" Alice.Chen+x@Example.COM ").unwrap(), "alice.chen+x@example.com");
        let long = format!("{}@x.example", "a".repeat(250));
        for bad in ["", "alice", "@x", "a@", "a@b@c", "a b@c", "a@b\nc", "a\u{0}@b", "a@-b", "a..b@c", "<a@b>", &long] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn people_are_called_by_the_first_word_of_their_address() {
        assert_eq!(first_name("alice@example.com"), "Alice");
        assert_eq!(first_name("alice.chen@example.com"), "Alice");
        assert_eq!(first_name("a1@example.com"), "a1@example.com");
    }
}
