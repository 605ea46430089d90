//! Cursors of lists that do not fit on one page. Like session ids they are sealed state, not rows: they say where the
//! next page begins, and of which list, so that a cursor of another token, another list or an older state of the list
//! is recognized. Clients see opaque text.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use uuid::Uuid;

use super::session_id::StateKey;
use crate::domain::{
    framing::Framed,
    ids::{TokenId, WorkspaceId},
    random,
    seal::{Sealed, open_raw, seal_with_iv},
};

const LABEL: &str = "aerostack/cursor/v1";
const IV: usize = 12;
/// Longest cursor that is looked at.
const MAX_LEN: usize = 256;

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Whose list it is.
    pub token: TokenId,
    /// In which workspace.
    pub workspace: WorkspaceId,
    /// Which list.
    pub list: u8,
    /// What the list said when the page before was given.
    pub version: u64,
    /// The first entry of the page.
    pub from: u64,
}

/// The text a client is given.
pub fn seal(key: &StateKey, cursor: &Cursor) -> String {
    let mut plain = Vec::with_capacity(64);
    plain.extend_from_slice(cursor.token.0.as_bytes());
    plain.extend_from_slice(cursor.workspace.0.as_bytes());
    plain.push(cursor.list);
    plain.extend_from_slice(&cursor.version.to_be_bytes());
    plain.extend_from_slice(&cursor.from.to_be_bytes());
    let iv: [u8; IV] = random::bytes();
    let sealed = seal_with_iv(&key.key, &iv, &covered(key), &plain);
    BASE64_URL_SAFE_NO_PAD.encode([iv.as_slice(), &sealed.joined()].concat())
}

/// What a cursor says; `None` if it was not sealed with this key.
pub fn open(key: &StateKey, text: &str) -> Option<Cursor> {
    if text.len() > MAX_LEN {
        return None;
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let (iv, joined) = bytes.split_at_checked(IV)?;
    let plain = open_raw(&key.key, &covered(key), &Sealed::from_joined(iv, joined).ok()?).ok()?;
    let (token, rest) = plain.split_first_chunk::<16>()?;
    let (workspace, rest) = rest.split_first_chunk::<16>()?;
    let ([list], rest) = rest.split_first_chunk::<1>()?;
    let (version, rest) = rest.split_first_chunk::<8>()?;
    let (from, rest) = rest.split_first_chunk::<8>()?;
    rest.is_empty().then(|| Cursor {
        token: TokenId(Uuid::from_bytes(*token)),
        workspace: WorkspaceId(Uuid::from_bytes(*workspace)),
        list: *list,
        version: u64::from_be_bytes(*version),
        from: u64::from_be_bytes(*from),
    })
}

fn covered(key: &StateKey) -> Vec<u8> {
    Framed::new(LABEL).u32(key.version).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_opens_to_what_was_sealed_and_a_changed_one_to_nothing() {
        let key = StateKey::generate(1);
        let cursor = Cursor {
            token: TokenId::generate(),
            workspace: WorkspaceId::generate(),
            list: 2,
            version: u64::MAX - 7,
            from: 1000,
        };
        let text = seal(&key, &cursor);
        assert!(text.len() <= MAX_LEN);
        assert_eq!(open(&key, &text), Some(cursor));
        assert_eq!(open(&StateKey::generate(1), &text), None);
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(&text).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&key, &BASE64_URL_SAFE_NO_PAD.encode(&changed)), None);
        }
        for bad in ["", "1", "not a cursor", &"A".repeat(MAX_LEN + 1), &text[..text.len() - 1]] {
            assert_eq!(open(&key, bad), None, "{bad}");
        }
    }
}
