//! Ids of legacy sessions. An id is not a row but sealed state: what was negotiated, and for whom. It survives a
//! restart, works on every node, tells its holder nothing, and cannot be made or changed without the key. What can
//! change during a session (log level, ended) is not in here; the store keeps it under [`SessionState::row_key`].

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::DateTime;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{revision::Revision, scan};
use crate::domain::{
    clock::Timestamp,
    framing::Framed,
    ids::{TokenId, WorkspaceId},
    random,
    seal::{Sealed, open_raw, seal_with_iv},
};

/// The installation's key for sealed state (keyring purpose `state`).
pub type StateKey = crate::domain::keys::DataKey;

/// Longest id that is looked at.
pub const MAX_LEN: usize = 512;

const LABEL: &str = "aerostack/session/v1";
const FORMAT: u8 = 1;
const IV: usize = 12;
const PLAIN: usize = 16 + 16 + 1 + 2 + 2 + 8 + 16;

/// What a client declared that it can be asked, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ClientCapabilities(pub u16);

impl ClientCapabilities {
    /// `sampling`.
    pub const SAMPLING: u16 = 1;
    /// `sampling.tools`.
    pub const SAMPLING_TOOLS: u16 = 1 << 1;
    /// `elicitation` by form (also what an empty `elicitation` means).
    pub const ELICITATION_FORM: u16 = 1 << 2;
    /// `elicitation` by URL.
    pub const ELICITATION_URL: u16 = 1 << 3;
    /// `roots`.
    pub const ROOTS: u16 = 1 << 4;
    /// `roots.listChanged`.
    pub const ROOTS_LIST_CHANGED: u16 = 1 << 5;
    /// `tasks`.
    pub const TASKS: u16 = 1 << 6;
    /// `sampling.context`.
    pub const SAMPLING_CONTEXT: u16 = 1 << 7;
    /// Everything a server may ask a client for in the middle of a call.
    pub const ASKABLE: u16 = Self::SAMPLING | Self::ELICITATION_FORM | Self::ELICITATION_URL | Self::ROOTS;

    /// Reads a `capabilities` object; what is not understood is not declared.
    pub fn from_json(raw: &[u8]) -> Self {
        let inner = |range: std::ops::Range<usize>| scan::object_members(raw, range);
        let top = inner(0..raw.len());
        let object = |members: &[scan::Member], name: &str| {
            scan::member(members, raw, name).filter(|range| raw.get(range.start) == Some(&b'{'))
        };
        let mut bits = 0;
        if let Some(sampling) = object(&top, "sampling") {
            let sampling = inner(sampling);
            bits |= Self::SAMPLING;
            bits |= if object(&sampling, "tools").is_some() { Self::SAMPLING_TOOLS } else { 0 };
            bits |= if object(&sampling, "context").is_some() { Self::SAMPLING_CONTEXT } else { 0 };
        }
        if let Some(elicitation) = object(&top, "elicitation") {
            let elicitation = inner(elicitation);
            let url = object(&elicitation, "url").is_some();
            let form = object(&elicitation, "form").is_some() || !url;
            bits |= if form { Self::ELICITATION_FORM } else { 0 };
            bits |= if url { Self::ELICITATION_URL } else { 0 };
        }
        if let Some(roots) = object(&top, "roots") {
            let changes = scan::member(&inner(roots), raw, "listChanged").and_then(|range| raw.get(range));
            bits |= Self::ROOTS;
            bits |= if changes == Some(b"true") { Self::ROOTS_LIST_CHANGED } else { 0 };
        }
        bits |= if object(&top, "tasks").is_some() { Self::TASKS } else { 0 };
        ClientCapabilities(bits)
    }
    /// What of it servers are told: all that can be carried to a client. (Tasks of clients are not.)
    pub fn askable(self) -> Self {
        if self.0 & Self::ASKABLE == 0 { ClientCapabilities(0) } else { ClientCapabilities(self.0 & !Self::TASKS) }
    }
    /// Whether all of `bits` were declared.
    pub fn has(self, bits: u16) -> bool {
        self.0 & bits == bits
    }
}

/// What a session's id says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionState {
    /// Whose session it is.
    pub token: TokenId,
    /// In which workspace.
    pub workspace: WorkspaceId,
    /// What was negotiated.
    pub revision: Revision,
    /// What the client can be asked.
    pub capabilities: ClientCapabilities,
    /// The node that holds its streams.
    pub node: u16,
    /// When it began, to the millisecond.
    pub issued_at: Timestamp,
    /// Makes it unlike every other.
    pub nonce: [u8; 16],
}

impl SessionState {
    /// The key under which the store keeps what can change in this session. It does not give the id away.
    pub fn row_key(&self) -> [u8; 32] {
        Sha256::digest(Framed::new("aerostack/session-row/v1").bytes(&self.nonce).finish()).into()
    }

    fn write(&self) -> Vec<u8> {
        let mut plain = Vec::with_capacity(PLAIN);
        plain.extend_from_slice(self.token.0.as_bytes());
        plain.extend_from_slice(self.workspace.0.as_bytes());
        plain.push(Revision::ALL.iter().position(|r| *r == self.revision).unwrap_or_default() as u8);
        plain.extend_from_slice(&self.capabilities.0.to_be_bytes());
        plain.extend_from_slice(&self.node.to_be_bytes());
        plain.extend_from_slice(&self.issued_at.timestamp_millis().to_be_bytes());
        plain.extend_from_slice(&self.nonce);
        plain
    }

    fn read(plain: &[u8]) -> Option<Self> {
        let mut rest = plain;
        let state = SessionState {
            token: TokenId(Uuid::from_bytes(take(&mut rest)?)),
            workspace: WorkspaceId(Uuid::from_bytes(take(&mut rest)?)),
            revision: *Revision::ALL.get(usize::from(take::<1>(&mut rest)?[0]))?,
            capabilities: ClientCapabilities(u16::from_be_bytes(take(&mut rest)?)),
            node: u16::from_be_bytes(take(&mut rest)?),
            issued_at: DateTime::from_timestamp_millis(i64::from_be_bytes(take(&mut rest)?))?,
            nonce: take(&mut rest)?,
        };
        rest.is_empty().then_some(state)
    }
}

pub(super) fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

fn covered(version: u32) -> Vec<u8> {
    Framed::new(LABEL).u32(version).finish()
}

/// The id for a session: visible ASCII, fit for a header and a query.
pub fn seal(key: &StateKey, state: &SessionState) -> String {
    let iv: [u8; IV] = random::bytes();
    let sealed = seal_with_iv(&key.key, &iv, &covered(key.version), &state.write());
    let version = key.version.to_be_bytes();
    BASE64_URL_SAFE_NO_PAD.encode([[FORMAT].as_slice(), &version, &iv, &sealed.joined()].concat())
}

/// What the id says; `None` if it was not sealed with this key.
pub fn open(key: &StateKey, id: &str) -> Option<SessionState> {
    let (version, bytes) = decode(id)?;
    let (iv, joined) = bytes.split_at_checked(IV).filter(|_| version == key.version)?;
    let sealed = Sealed::from_joined(iv, joined).ok()?;
    SessionState::read(&open_raw(&key.key, &covered(version), &sealed).ok()?)
}

/// The version of the key that sealed the id, to choose among several.
pub fn key_version(id: &str) -> Option<u32> {
    decode(id).map(|(version, _)| version)
}

fn decode(id: &str) -> Option<(u32, Vec<u8>)> {
    if id.len() > MAX_LEN {
        return None;
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(id).ok()?;
    let mut rest = bytes.as_slice();
    let [format] = take(&mut rest)?;
    let version = u32::from_be_bytes(take(&mut rest)?);
    (format == FORMAT).then(|| (version, rest.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock;

    fn state() -> SessionState {
        SessionState {
            token: TokenId::generate(),
            workspace: WorkspaceId::generate(),
            revision: Revision::V20250618,
            capabilities: ClientCapabilities(ClientCapabilities::ROOTS),
            node: 3,
            issued_at: DateTime::from_timestamp_millis(clock::now().timestamp_millis()).unwrap(),
            nonce: random::bytes(),
        }
    }

    #[test]
    fn an_id_opens_to_what_was_sealed() {
        let (key, state) = (StateKey::generate(7), state());
        for revision in Revision::ALL {
            let state = SessionState { revision, ..state.clone() };
            let id = seal(&key, &state);
            assert!(id.len() <= MAX_LEN && id.bytes().all(|b| b.is_ascii_graphic()), "{id}");
            assert_eq!(open(&key, &id), Some(state));
            assert_eq!(key_version(&id), Some(7));
        }
        assert_ne!(seal(&key, &state), seal(&key, &state));
    }

    #[test]
    fn a_changed_foreign_or_cut_id_opens_to_nothing() {
        let key = StateKey::generate(1);
        let id = seal(&key, &state());
        assert_eq!(open(&StateKey::generate(1), &id), None);
        assert_eq!(open(&StateKey { version: 2, key: key.key.clone() }, &id), None);
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(&id).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&key, &BASE64_URL_SAFE_NO_PAD.encode(&changed)), None);
        }
        for length in 0..id.len() {
            assert_eq!(open(&key, &id[..length]), None);
        }
        assert_eq!(open(&key, &format!("{id}AAAA")), None);
        assert_eq!(open(&key, &"A".repeat(MAX_LEN + 1)), None);
        assert_eq!(open(&key, "not an id"), None);
    }

    #[test]
    fn declared_capabilities_are_read() {
        use ClientCapabilities as C;
        for (json, bits) in [
            ("{}", 0),
            ("null", 0),
            (r#"{"sampling":{}}"#, C::SAMPLING),
            (r#"{"sampling":{"tools":{},"context":{}}}"#, C::SAMPLING | C::SAMPLING_TOOLS | C::SAMPLING_CONTEXT),
            (r#"{"elicitation":{}}"#, C::ELICITATION_FORM),
            (r#"{"elicitation":{"url":{}}}"#, C::ELICITATION_URL),
            (r#"{"elicitation":{"form":{},"url":{}}}"#, C::ELICITATION_FORM | C::ELICITATION_URL),
            (r#"{"roots":{"listChanged":true},"tasks":{}}"#, C::ROOTS | C::ROOTS_LIST_CHANGED | C::TASKS),
            (r#"{"roots":{"listChanged":false},"sampling":null}"#, C::ROOTS),
        ] {
            assert_eq!(C::from_json(json.as_bytes()).0, bits, "{json}");
        }
    }

    #[test]
    fn the_row_key_is_stable_and_not_the_nonce() {
        let state = state();
        assert_eq!(state.row_key(), state.clone().row_key());
        assert_ne!(&state.row_key()[..16], &state.nonce);
        assert_ne!(state.row_key(), self::state().row_key());
    }
}
