//! Decrypted secrets on their way out: values of headers (or variables) whose memory is wiped when the last copy is
//! dropped, and the scrubber that keeps them from coming back. Lives at most `upstream.header_cache_seconds` on a worker, and only
//! while the vault's version of the server is the one it was made from.

use std::fmt;

use awc::http::header::{HeaderName, HeaderValue};
use bytes::Bytes;
use zeroize::Zeroizing;

use crate::{
    domain::{
        clock,
        injection::{Injection, Place, placement},
    },
    error::{Error, Result},
    protocol::scrub::Scrubber,
};

/// The headers of one server's secrets (none is normal: many servers need none).
pub struct InjectedHeaders {
    /// Name and value, marked sensitive: neither is ever shown by `Debug`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Name and value of the variables, if the server is a program: it has no headers then.
    pub variables: Vec<(String, Zeroizing<Vec<u8>>)>,
    /// Finds these values in what the server answers.
    pub scrubber: Scrubber,
    /// The vault's version of the server when they were read.
    pub version: u64,
    /// When they were read ([`clock::monotonic_ns`]).
    pub loaded_ns: u64,
}

impl fmt::Debug for InjectedHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InjectedHeaders({} at version {})", self.headers.len() + self.variables.len(), self.version)
    }
}

/// A decrypted value with its name and rule.
pub(super) struct Opened {
    pub(super) name: String,
    pub(super) rule: Option<Injection>,
    pub(super) value: Zeroizing<Vec<u8>>,
}

impl InjectedHeaders {
    pub(super) fn build(place: Place, opened: &[Opened], version: u64) -> Result<Self> {
        let (headers, variables) = match place {
            Place::Headers => (opened.iter().map(header).collect::<Result<Vec<_>>>()?, Vec::new()),
            Place::Environment => (Vec::new(), opened.iter().map(variable).collect()),
        };
        let values: Vec<&[u8]> = opened.iter().map(|secret| secret.value.as_slice()).collect();
        let scrubber = Scrubber::new(&values);
        Ok(InjectedHeaders { headers, variables, scrubber, version, loaded_ns: clock::monotonic_ns() })
    }
}

fn variable(secret: &Opened) -> (String, Zeroizing<Vec<u8>>) {
    (placement(secret.rule.as_ref(), &secret.name).0.to_owned(), secret.value.clone())
}

fn header(secret: &Opened) -> Result<(HeaderName, HeaderValue)> {
    // Name and value were checked when they were set; a row that fails now was not written by us.
    let refuse = |what: &str| Error::internal("preparing a secret for its server", what);
    let (name, before) = placement(secret.rule.as_ref(), &secret.name);
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_name| refuse("not a header's name"))?;
    let mut line = Zeroizing::new(Vec::with_capacity(before.len() + secret.value.len()));
    line.extend_from_slice(before.as_bytes());
    line.extend_from_slice(&secret.value);
    // The bytes stay in `line`, which wipes itself: the header value only refers to them.
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(Wiped(line)))
        .map_err(|_value| refuse("not a header's value"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

struct Wiped(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(name: &str, rule: Option<Injection>, value: &str) -> Opened {
        Opened { name: name.into(), rule, value: Zeroizing::new(value.as_bytes().to_vec()) }
    }

    #[test]
    fn each_rule_makes_its_header() {
        let secrets = [
            opened("GITHUB_TOKEN", None, "ghp_example"),
            opened("API_KEY", Some(Injection::Header("X-API-Key".into())), "sk-example"),
            opened("OTHER", Some(Injection::Bearer), "other-example"),
        ];
        let injected = InjectedHeaders::build(Place::Headers, &secrets, 3).unwrap();
        let lines: Vec<_> =
            injected.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(
            lines,
            [("github_token", "ghp_example"), ("x-api-key", "sk-example"), ("authorization", "Bearer other-example"),]
        );
    }

    #[test]
    fn nothing_that_can_be_printed_shows_a_value() {
        let injected = InjectedHeaders::build(Place::Headers, &[opened("A", None, "canary-value")], 1).unwrap();
        let shown = format!("{injected:?} {:?} {:?}", injected.headers, injected.scrubber);
        assert!(!shown.contains("canary"), "{shown}");
        let (clean, hits) = injected.scrubber.scrub(Bytes::from_static(b"echo canary-value"));
        assert!(hits == 1 && !String::from_utf8_lossy(&clean).contains("canary"));
    }

    #[test]
    fn a_value_that_could_not_have_been_stored_is_not_sent() {
        assert!(InjectedHeaders::build(Place::Headers, &[opened("A", None, "x\r\nY: 1")], 1).is_err());
        assert!(InjectedHeaders::build(Place::Headers, &[opened("A B", None, "value")], 1).is_err());
    }
}
