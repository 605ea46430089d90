//! The audit log's chain: every row's MAC covers the row and the MAC before it, under a key that is not in the
//! database in clear, so whoever has only the database can neither change, drop nor insert a row unnoticed.
//! Pure: reading and writing rows is the store's.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::domain::framing::Framed;

/// What stands before the first row.
pub const GENESIS: [u8; 32] = [0; 32];

const LABEL: &str = "aerostack/audit/v1";

/// A version of the key that makes the chain. Old versions are kept, so that history stays verifiable.
#[derive(Clone)]
pub struct AuditKey {
    /// Stored with each row, to find the key again.
    pub version: u32,
    /// The key itself.
    pub key: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditKey(version {})", self.version)
    }
}

/// The fields of a row that its MAC covers.
#[derive(Debug, Clone, Copy)]
pub struct AuditRow<'a> {
    /// Position in the chain, from 1.
    pub seq: u64,
    /// Wall time in milliseconds.
    pub ts_ms: u64,
    /// Who did it.
    pub actor: &'a str,
    /// What was done.
    pub action: &'a str,
    /// To which thing.
    pub target: &'a str,
    /// Detail, the JSON text exactly as it is stored.
    pub meta: &'a str,
}

impl AuditKey {
    /// The MAC of `row`, which follows a row with the MAC `previous` ([`GENESIS`] for the first).
    pub fn mac(&self, previous: &[u8; 32], row: &AuditRow<'_>) -> [u8; 32] {
        let covered = Framed::default()
            .bytes(previous)
            .bytes(LABEL.as_bytes())
            .u64(row.seq)
            .u64(row.ts_ms)
            .bytes(row.actor.as_bytes())
            .bytes(row.action.as_bytes())
            .bytes(row.target.as_bytes())
            .bytes(row.meta.as_bytes())
            .finish();
        hmac_sha256(&self.key, &covered)
    }

    /// Whether `mac` is the MAC of `row` after `previous`.
    pub fn verify(&self, previous: &[u8; 32], row: &AuditRow<'_>, mac: &[u8]) -> bool {
        self.mac(previous, row).as_slice().ct_eq(mac).into()
    }
}

/// HMAC-SHA256 with a 256-bit key.
pub(crate) fn hmac_sha256(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&hmac_key(key));
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// HMAC takes a key of its hash's block size; padding a shorter key with zeros is what HMAC itself defines.
fn hmac_key(key: &[u8; 32]) -> hmac::digest::Key<Hmac<Sha256>> {
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::known_answers::{hex, known_answers};

    fn chain() -> (AuditKey, serde_json::Value) {
        let answers = known_answers();
        let key = hex(answers["audit_key"].as_str().unwrap()).try_into().unwrap();
        (AuditKey { version: 1, key: Zeroizing::new(key) }, answers["audit_rows"].clone())
    }

    fn row(value: &serde_json::Value) -> AuditRow<'_> {
        let text = |name: &str| value[name].as_str().unwrap();
        AuditRow {
            seq: value["seq"].as_u64().unwrap(),
            ts_ms: value["ts_ms"].as_u64().unwrap(),
            actor: text("actor"),
            action: text("action"),
            target: text("target"),
            meta: text("meta"),
        }
    }

    #[test]
    fn the_chain_gives_the_known_answers() {
        let (key, rows) = chain();
        let mut previous = GENESIS;
        for value in rows.as_array().unwrap() {
            let mac = key.mac(&previous, &row(value));
            assert_eq!(mac.to_vec(), hex(value["mac"].as_str().unwrap()));
            assert!(key.verify(&previous, &row(value), &mac));
            previous = mac;
        }
    }

    #[test]
    fn a_changed_field_and_a_moved_boundary_break_the_mac() {
        let (key, rows) = chain();
        let original = row(&rows[0]);
        let mac = key.mac(&GENESIS, &original);
        let changed = [
            AuditRow { seq: 2, ..original },
            AuditRow { ts_ms: original.ts_ms + 1, ..original },
            AuditRow { actor: "user:bob", ..original },
            AuditRow { action: "token_createdt", target: "oken:Alice Chen", ..original },
            AuditRow { meta: "{} ", ..original },
        ];
        assert!(changed.iter().all(|row| !key.verify(&GENESIS, row, &mac)));
        assert!(!key.verify(&mac, &original, &mac), "another place in the chain");
        assert!(!key.verify(&GENESIS, &original, &mac[..31]), "a shortened MAC");
        let other = AuditKey { version: 1, key: Zeroizing::new([7; 32]) };
        assert!(!other.verify(&GENESIS, &original, &mac), "another key");
    }
}
