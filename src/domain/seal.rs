//! Authenticated encryption (AES-256-GCM) of secrets' values. What a value belongs to is covered by its tag: moved
//! to another server, workspace, name, version, or offered for another origin, it does not open. All failures look
//! the same. IVs come from the operating system; the database refuses one that was used before.

use aes_gcm::{
    Aes256Gcm,
    aead::{Aead, KeyInit, Payload},
};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::domain::{framing::Framed, keys::DataKey, random};

const SECRET_LABEL: &str = "aerostack/secret/v1";
const IV_LEN: usize = 12;
const TAG_LEN: usize = 16;

/// The bytes were not made with this key for this purpose. Deliberately the only answer to every manipulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not authentic")]
pub struct NotAuthentic;

/// An encrypted value, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Never repeats under one key.
    pub iv: [u8; IV_LEN],
    /// As long as the value.
    pub ciphertext: Vec<u8>,
    /// Covers ciphertext and context.
    pub tag: [u8; TAG_LEN],
}

impl Sealed {
    /// From stored columns.
    pub fn from_parts(iv: &[u8], ciphertext: &[u8], tag: &[u8]) -> Result<Self, NotAuthentic> {
        Ok(Sealed {
            iv: iv.try_into().map_err(|_length| NotAuthentic)?,
            ciphertext: ciphertext.to_vec(),
            tag: tag.try_into().map_err(|_length| NotAuthentic)?,
        })
    }
    /// From an IV and ciphertext with the tag behind it.
    pub fn from_joined(iv: &[u8], joined: &[u8]) -> Result<Self, NotAuthentic> {
        let middle = joined.len().checked_sub(TAG_LEN).ok_or(NotAuthentic)?;
        let (ciphertext, tag) = joined.split_at_checked(middle).ok_or(NotAuthentic)?;
        Sealed::from_parts(iv, ciphertext, tag)
    }
    /// Ciphertext with the tag behind it.
    pub fn joined(&self) -> Vec<u8> {
        [self.ciphertext.as_slice(), self.tag.as_slice()].concat()
    }
}

/// What a secret's value belongs to. All of it is covered by the tag; ids, so that renaming a server is free.
#[derive(Debug, Clone, Copy)]
pub struct ValueContext<'a> {
    /// This installation.
    pub instance: Uuid,
    /// The namespace that owns the server.
    pub namespace: Uuid,
    /// The workspace of a value that only one workspace uses; nil for the value of all.
    pub workspace: Uuid,
    /// The server.
    pub server: Uuid,
    /// The row.
    pub secret: Uuid,
    /// The secret's name.
    pub name: &'a str,
    /// Counts the values of this secret.
    pub value_version: u64,
    /// The only origin the value may be sent to (S-28).
    pub origin: &'a str,
    /// Covered as well unless they are the usual ones (nobody's in particular, static, without end).
    pub terms: Terms<'a>,
}

/// Whose value it is, what kind, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms<'a> {
    /// The account it belongs to; nil for a value that all callers use.
    pub account: Uuid,
    /// `static` or `oauth`.
    pub kind: &'a str,
    /// End in milliseconds; 0: none.
    pub expires_ms: u64,
}

impl Default for Terms<'_> {
    fn default() -> Self {
        Terms { account: Uuid::nil(), kind: "static", expires_ms: 0 }
    }
}

impl ValueContext<'_> {
    fn covered(&self, dek_version: u32) -> Vec<u8> {
        let framed = Framed::new(SECRET_LABEL)
            .bytes(self.instance.as_bytes())
            .bytes(self.namespace.as_bytes())
            .bytes(self.workspace.as_bytes())
            .bytes(self.server.as_bytes())
            .bytes(self.secret.as_bytes())
            .bytes(self.name.as_bytes())
            .u32(dek_version)
            .u64(self.value_version)
            .bytes(self.origin.as_bytes());
        let Terms { account, kind, expires_ms } = self.terms;
        if self.terms == Terms::default() {
            return framed.finish();
        }
        framed.bytes(account.as_bytes()).bytes(kind.as_bytes()).u64(expires_ms).finish()
    }
}

/// Encrypts `value` for exactly this context.
pub fn seal(key: &DataKey, context: &ValueContext<'_>, value: &[u8]) -> Sealed {
    seal_with_iv(&key.key, &random::bytes(), &context.covered(key.version), value)
}

/// Decrypts what [`seal`] made for the same context, into memory that is wiped afterwards.
pub fn open(key: &DataKey, context: &ValueContext<'_>, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, NotAuthentic> {
    open_raw(&key.key, &context.covered(key.version), sealed)
}

/// The cipher, with the IV given: for wrapped keys and the known answers.
pub(crate) fn seal_with_iv(key: &[u8; 32], iv: &[u8; IV_LEN], covered: &[u8], plain: &[u8]) -> Sealed {
    let payload = Payload { msg: plain, aad: covered };
    let Ok(joined) = Aes256Gcm::new(key.into()).encrypt(iv.into(), payload) else {
        // AES-GCM refuses only messages of more than 64 GiB. Never fall back to anything.
        std::process::abort();
    };
    match Sealed::from_joined(iv, &joined) {
        Ok(sealed) => sealed,
        Err(NotAuthentic) => std::process::abort(),
    }
}

/// The cipher's other direction. Only through the call that returns a fresh buffer (RUSTSEC-2023-0096 was the
/// in-place one, which left plaintext behind when the tag did not fit).
pub(crate) fn open_raw(key: &[u8; 32], covered: &[u8], sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, NotAuthentic> {
    let joined = sealed.joined();
    Aes256Gcm::new(key.into())
        .decrypt((&sealed.iv).into(), Payload { msg: &joined, aad: covered })
        .map(Zeroizing::new)
        .map_err(|_generic| NotAuthentic)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::known_answers::{id, vector};

    fn key() -> DataKey {
        DataKey { version: 7, key: Zeroizing::new(vector("dek").try_into().unwrap()) }
    }
    fn context() -> ValueContext<'static> {
        ValueContext {
            instance: id("instance"),
            namespace: id("project"),
            workspace: id("workspace"),
            server: id("server"),
            secret: id("secret"),
            name: "GITHUB_TOKEN",
            value_version: 3,
            origin: "https://api.githubcopilot.com:443",
            terms: Terms::default(),
        }
    }

    #[test]
    fn a_value_seals_and_opens_as_in_the_known_answers() {
        assert_eq!(context().covered(7), vector("aad"));
        let iv = vector("iv").try_into().unwrap();
        let sealed = seal_with_iv(&key().key, &iv, &context().covered(7), b"ghp_exampleexampleexample");
        assert_eq!(sealed.joined(), vector("ciphertext_and_tag"));
        assert_eq!(open(&key(), &context(), &sealed).unwrap().as_slice(), b"ghp_exampleexampleexample");
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_fails_closed() {
        let sealed = seal(&key(), &context(), b"ghp_exampleexampleexample");
        let parts = [sealed.iv.to_vec(), sealed.ciphertext.clone(), sealed.tag.to_vec()];
        let opened = |parts: &[Vec<u8>; 3]| {
            Sealed::from_parts(&parts[0], &parts[1], &parts[2]).and_then(|sealed| open(&key(), &context(), &sealed))
        };
        assert!(opened(&parts).is_ok());
        for part in 0..3 {
            for bit in 0..parts[part].len() * 8 {
                let mut flipped = parts.clone();
                flipped[part][bit / 8] ^= 1 << (bit % 8);
                assert_eq!(opened(&flipped).err(), Some(NotAuthentic));
            }
            for length in 0..parts[part].len() {
                let mut cut = parts.clone();
                cut[part].truncate(length);
                assert_eq!(opened(&cut).err(), Some(NotAuthentic));
            }
        }
    }

    #[test]
    fn a_value_opens_only_for_what_it_belongs_to() {
        let sealed = seal(&key(), &context(), b"value");
        let other = Uuid::now_v7();
        let moved = [
            ValueContext { instance: other, ..context() },
            ValueContext { namespace: other, ..context() },
            ValueContext { workspace: other, ..context() },
            ValueContext { workspace: Uuid::nil(), ..context() },
            ValueContext { server: other, ..context() },
            ValueContext { secret: other, ..context() },
            ValueContext { name: "GITHUB_TOKEM", ..context() },
            ValueContext { value_version: 2, ..context() },
            ValueContext { origin: "https://api.githubcopilot.com:444", ..context() },
            ValueContext { terms: Terms { account: other, ..Terms::default() }, ..context() },
            ValueContext { terms: Terms { kind: "oauth", ..Terms::default() }, ..context() },
            ValueContext { terms: Terms { expires_ms: 1, ..Terms::default() }, ..context() },
        ];
        assert!(moved.iter().all(|context| open(&key(), context, &sealed) == Err(NotAuthentic)));
        let newer = DataKey { version: 8, key: key().key };
        assert!(open(&newer, &context(), &sealed).is_err(), "the key's version is covered");
        assert!(open(&DataKey::generate(7), &context(), &sealed).is_err(), "another key");
    }

    #[test]
    fn one_value_sealed_again_shares_neither_iv_nor_ciphertext() {
        let mut seen = HashSet::new();
        for _ in 0..10_000 {
            let sealed = seal(&key(), &context(), b"same");
            assert!(seen.insert(sealed.iv.to_vec()) && seen.insert(sealed.joined()));
        }
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens(value in proptest::collection::vec(any::<u8>(), 1..8192)) {
            let sealed = seal(&key(), &context(), &value);
            prop_assert_eq!(sealed.ciphertext.len(), value.len());
            let opened = open(&key(), &context(), &sealed).unwrap();
            prop_assert_eq!(opened.as_slice(), value.as_slice());
        }
    }
}
