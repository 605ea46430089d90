//! Slugs: the names of workspaces and MCP servers in URLs, on the command line and in tool prefixes.

use std::{fmt, ops::Deref, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result, err};

/// Longest slug, in bytes.
pub const MAX_LEN: usize = 48;

/// Names that URLs or file systems need for themselves.
const RESERVED: &[&str] = &[
    "admin",
    "api",
    "health",
    "healthz",
    "livez",
    "readyz",
    "metrics",
    "docs",
    "ws",
    "sse",
    "mcp",
    "login",
    "logout",
    "static",
    "assets",
    "openapi",
    "register",
    "authorize",
    "token",
    "aerostack",
    "con",
    "nul",
    "aux",
    "prn",
    "new",
];

/// `^[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?$`, not reserved.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slug(Arc<str>);

impl Slug {
    /// Checks shape and reserved names; the message says which rule was broken.
    pub fn parse(text: &str) -> Result<Self> {
        if !has_shape(text) {
            return Err(err::validation(format!("\"{}\" is not a valid slug", printable(text))).with_hint(
                "use 1 to 48 lower-case letters, digits and hyphens, beginning and ending with a letter or digit",
            ));
        }
        if RESERVED.contains(&text) {
            return Err(err::validation(format!("The slug \"{text}\" is reserved")).with_hint("choose another name"));
        }
        Ok(Slug(text.into()))
    }

    /// The shared text.
    pub fn shared(&self) -> Arc<str> {
        self.0.clone()
    }
}

/// Whether `text` could be a slug at all (look-ups check this before anything else).
pub fn has_shape(text: &str) -> bool {
    let bytes = text.as_bytes();
    let edge = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    bytes.len() <= MAX_LEN
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

fn printable(text: &str) -> String {
    text.chars().take(MAX_LEN).flat_map(char::escape_default).collect()
}

impl Deref for Slug {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}
impl std::str::FromStr for Slug {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Slug::parse(text)
    }
}
impl Serialize for Slug {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}
impl<'de> Deserialize<'de> for Slug {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Slug::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_lower_case_words_with_inner_hyphens() {
        for good in ["a", "engineering", "eng-full", "0x", "a--b"] {
            assert!(Slug::parse(good).is_ok(), "{good}");
        }
        let long = "a".repeat(49);
        for bad in ["", "-a", "a-", "A", "a_b", "a b", "a/b", "..", "é", "a\u{0}", long.as_str(), "admin", "con"] {
            assert!(Slug::parse(bad).is_err(), "{bad:?}");
        }
    }
}
