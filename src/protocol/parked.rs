//! The `requestState` that a client of 2026-07-28 gets from us while its call waits: sealed, so that it says whose call
//! it is, of what request, and until when, and cannot be made, changed or used by anybody else (`security.md` S-17).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    scan::Envelope,
    session_id::{StateKey, take},
};
use crate::domain::{
    framing::Framed,
    ids::TokenId,
    random,
    seal::{Sealed, open_raw, seal_with_iv},
};

const LABEL: &str = "aerostack/parked/v1";
const FORMAT: u8 = 1;
const IV: usize = 12;
/// Longest state that is looked at.
const MAX_LEN: usize = 512;

/// What the state says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedState {
    /// The call that waits; all zero: none waits, the call is simply to be made again.
    pub call: [u8; 16],
    /// Whose it is.
    pub token: TokenId,
    /// Digest of the request: it must be made again unchanged.
    pub request: [u8; 32],
    /// Until when it holds, in milliseconds.
    pub expires_ms: i64,
}

/// Seals a state.
pub fn seal(key: &StateKey, state: &ParkedState) -> String {
    let iv: [u8; IV] = random::bytes();
    let mut plain = Vec::with_capacity(16 + 16 + 32 + 8);
    plain.extend_from_slice(&state.call);
    plain.extend_from_slice(state.token.0.as_bytes());
    plain.extend_from_slice(&state.request);
    plain.extend_from_slice(&state.expires_ms.to_be_bytes());
    let sealed = seal_with_iv(&key.key, &iv, &covered(key.version), &plain);
    BASE64_URL_SAFE_NO_PAD.encode([[FORMAT].as_slice(), &key.version.to_be_bytes(), &iv, &sealed.joined()].concat())
}

/// What the state says; `None` if it was not sealed with this key or is older than it says it may be.
pub fn open(key: &StateKey, text: &str, now_ms: i64) -> Option<ParkedState> {
    if text.len() > MAX_LEN {
        return None;
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let mut rest = bytes.as_slice();
    let [format] = take(&mut rest)?;
    let version = u32::from_be_bytes(take(&mut rest)?);
    if format != FORMAT || version != key.version {
        return None;
    }
    let iv: [u8; IV] = take(&mut rest)?;
    let plain = open_raw(&key.key, &covered(version), &Sealed::from_joined(&iv, rest).ok()?).ok()?;
    let mut rest = plain.as_slice();
    let state = ParkedState {
        call: take(&mut rest)?,
        token: TokenId(Uuid::from_bytes(take(&mut rest)?)),
        request: take(&mut rest)?,
        expires_ms: i64::from_be_bytes(take(&mut rest)?),
    };
    (rest.is_empty() && now_ms < state.expires_ms).then_some(state)
}

fn covered(version: u32) -> Vec<u8> {
    Framed::new(LABEL).u32(version).finish()
}

/// What a request asks, without what changes from round to round: method, name or URI, arguments (in any order of
/// members).
pub fn digest(method: &str, body: &[u8], env: &Envelope) -> [u8; 32] {
    let mut framed = Framed::new("aerostack/request/v1").bytes(method.as_bytes());
    for name in ["name", "uri", "arguments"] {
        let value = env.param(body, name).and_then(|raw| serde_json::from_slice::<serde_json::Value>(raw).ok());
        let mut text = String::new();
        if let Some(value) = &value {
            canonical(value, &mut text);
        }
        framed = framed.bytes(text.as_bytes());
    }
    Sha256::digest(framed.finish()).into()
}

/// Writes a value with the members of its objects in order. (The body was scanned: its depth is bounded.)
fn canonical(value: &serde_json::Value, out: &mut String) {
    use serde_json::Value;
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort_unstable();
            out.push('{');
            for name in names {
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                canonical(members.get(name).unwrap_or(&Value::Null), out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(elements) => {
            out.push('[');
            for element in elements {
                canonical(element, out);
                out.push(',');
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::scan::{Document, ScanLimits, scan};

    fn state() -> ParkedState {
        ParkedState { call: random::bytes(), token: TokenId::generate(), request: [7; 32], expires_ms: 1000 }
    }

    #[test]
    fn a_state_opens_to_what_was_sealed_and_only_in_time() {
        let (key, state) = (StateKey::generate(3), state());
        let text = seal(&key, &state);
        assert_eq!(open(&key, &text, 999), Some(state));
        assert_eq!(open(&key, &text, 1000), None);
    }

    #[test]
    fn a_changed_foreign_or_cut_state_opens_to_nothing() {
        let key = StateKey::generate(3);
        let text = seal(&key, &state());
        assert_eq!(open(&StateKey::generate(3), &text, 0), None);
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(&text).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&key, &BASE64_URL_SAFE_NO_PAD.encode(&changed), 0), None);
        }
        for length in 0..text.len() {
            assert_eq!(open(&key, &text[..length], 0), None);
        }
    }

    #[test]
    fn a_request_has_one_digest_whatever_the_round_and_the_order_of_members() {
        let digest = |body: &str| {
            let Document::Object(env) = scan(body.as_bytes(), ScanLimits::default()).unwrap() else { panic!() };
            super::digest("tools/call", body.as_bytes(), &env)
        };
        let first = digest(r#"{"id":1,"params":{"name":"a","arguments":{"x":[1,{"p":1,"q":2}],"y":"z"},"_meta":{}}}"#);
        let again = r#"{"id":2,"params":{"requestState":"s","inputResponses":{},"name":"a","arguments":{"y":"z","x":[1,{"q":2,"p":1}]}}}"#;
        assert_eq!(first, digest(again));
        assert_ne!(first, digest(r#"{"params":{"name":"a","arguments":{"x":[1,{"p":1,"q":2}],"y":"w"}}}"#));
        assert_ne!(first, digest(r#"{"params":{"name":"b","arguments":{"x":[1,{"p":1,"q":2}],"y":"z"}}}"#));
    }
}
