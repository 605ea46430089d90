//! Keys and what protects them. The installation's key (`WORKFLOW_SECRETS_KEY`) encrypts nothing but data keys; a
//! data key belongs to a namespace and a purpose, has a version, and is stored wrapped. Changing the installation's
//! key therefore rewraps a handful of rows. Where a key comes from is `actors::key_source`'s business.

use std::{fmt, str::FromStr};

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use hkdf::Hkdf;
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::domain::{
    audit_chain::hmac_sha256,
    framing::Framed,
    random,
    seal::{self, NotAuthentic, Sealed},
};

const KID_LABEL: &[u8] = b"aerostack/kid/v1";
const WRAP_LABEL: &[u8] = b"aerostack/wrap/v1";
const DEK_LABEL: &str = "aerostack/dek/v1";

/// Names a key without revealing it. Derived from the key, so it can never be mislabelled; safe to store and to log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 8]);

impl KeyId {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}
impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for KeyId {
    type Err = BadKey;
    fn from_str(text: &str) -> Result<Self, BadKey> {
        u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 16).map(|id| KeyId(id.to_be_bytes())).ok_or(BadKey)
    }
}

/// The text is not a key (or not a key id). Says nothing about the text: it may be nearly the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key is 32 bytes, written as 64 hexadecimal digits or 43 or 44 base64 characters")]
pub struct BadKey;

/// The installation's key: everything else is wrapped by it.
#[derive(Clone)]
pub struct InstallationKey(Zeroizing<[u8; 32]>);

impl InstallationKey {
    /// A fresh one.
    pub fn generate() -> Self {
        InstallationKey(random::key())
    }

    /// Reads 64 hex digits or base64 (both alphabets, padded or not), and nothing else: there are no passphrases.
    /// White space around it is ignored, because files end with a newline.
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        const LENIENT: GeneralPurposeConfig =
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let text = text.trim();
        let mut key = Zeroizing::new([0; 32]);
        match text.len() {
            64 if text.is_ascii() => {
                for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                    let digit = |at: usize| digits.get(at).and_then(|digit| char::from(*digit).to_digit(16));
                    let (high, low) = digit(0).zip(digit(1)).ok_or(BadKey)?;
                    *byte = u8::try_from(high << 4 | low).map_err(|_out_of_range| BadKey)?;
                }
            }
            43 | 44 => {
                let decoded = [STANDARD, URL_SAFE]
                    .iter()
                    .find_map(|alphabet| GeneralPurpose::new(alphabet, LENIENT).decode(text).ok())
                    .map(Zeroizing::new)
                    .filter(|bytes| bytes.len() == key.len())
                    .ok_or(BadKey)?;
                key.copy_from_slice(&decoded);
            }
            _ => return Err(BadKey),
        }
        Ok(InstallationKey(key))
    }

    /// Whether it is a pattern that somebody typed (zeros, a repeated word, a counted row) instead of random bytes. Of
    /// 32 random bytes, fewer than 12 different ones come up once in 10^24 keys.
    pub fn is_weak(&self) -> bool {
        let different: std::collections::BTreeSet<u8> = self.0.iter().copied().collect();
        let steps = self.0.iter().zip(self.0.iter().skip(1)).map(|(one, next)| next.wrapping_sub(*one));
        let counted = steps.collect::<std::collections::BTreeSet<u8>>().len() == 1;
        different.len() < 12 || counted
    }

    /// As 64 hex digits, the form in which a generated key is written down.
    pub fn to_hex(&self) -> Zeroizing<String> {
        // Exactly the right capacity: a growing string would leave copies of the key behind.
        let mut text = Zeroizing::new(String::with_capacity(64));
        for digit in self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]) {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
        text
    }

    /// Its name.
    pub fn id(&self) -> KeyId {
        let [a, b, c, d, e, f, g, h, ..] = hmac_sha256(&self.0, KID_LABEL);
        KeyId([a, b, c, d, e, f, g, h])
    }

    /// What wraps the data keys of the installation with this instance id.
    pub fn wrapper(&self, instance: Uuid) -> Wrapper {
        let mut key = Zeroizing::new([0; 32]);
        // 32 bytes are within HKDF's limit of 255 blocks, so this cannot fail; a zero key must never be used anyway.
        if Hkdf::<Sha256>::new(Some(instance.as_bytes()), self.0.as_slice())
            .expand(WRAP_LABEL, key.as_mut_slice())
            .is_err()
        {
            std::process::abort();
        }
        Wrapper { key, id: self.id(), instance }
    }
}
impl fmt::Debug for InstallationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InstallationKey({})", self.id())
    }
}

/// What a data key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// Values of secrets, one key per namespace.
    Secrets,
    /// The audit chain.
    Audit,
    /// State that clients carry for us: session ids, cursors, request state.
    State,
    /// Dashboard sessions.
    Session,
}

impl Purpose {
    /// As it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Purpose::Secrets => "secrets",
            Purpose::Audit => "audit",
            Purpose::State => "state",
            Purpose::Session => "session",
        }
    }
    /// From its stored form.
    pub fn parse(text: &str) -> Option<Self> {
        [Purpose::Secrets, Purpose::Audit, Purpose::State, Purpose::Session]
            .into_iter()
            .find(|purpose| purpose.as_str() == text)
    }
}

/// Where a data key belongs. A wrapped key opens only in its own slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// The namespace's id; nil for the keys of the whole installation.
    pub namespace: Uuid,
    /// What it is for.
    pub purpose: Purpose,
    /// Counts up from 1; the highest is used for new data.
    pub version: u32,
}

/// A key that encrypts data, wiped from memory when dropped.
#[derive(Clone)]
pub struct DataKey {
    /// Its version in its slot.
    pub version: u32,
    /// The key itself.
    pub key: Zeroizing<[u8; 32]>,
}

impl DataKey {
    /// A fresh one.
    pub fn generate(version: u32) -> Self {
        DataKey { version, key: random::key() }
    }
}
impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey(version {})", self.version)
    }
}

/// Wraps and unwraps data keys for one installation.
#[derive(Clone)]
pub struct Wrapper {
    key: Zeroizing<[u8; 32]>,
    id: KeyId,
    instance: Uuid,
}

impl Wrapper {
    /// The name of the installation key behind it, stored with each wrapped key.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Wraps `key` for `slot`: IV, and ciphertext with its tag.
    pub fn wrap(&self, slot: &Slot, key: &DataKey) -> ([u8; 12], Vec<u8>) {
        let iv = random::bytes();
        (iv, seal::seal_with_iv(&self.key, &iv, &self.covered(slot), key.key.as_slice()).joined())
    }

    /// Opens what [`Wrapper::wrap`] made for the same slot.
    pub fn unwrap(&self, slot: &Slot, iv: &[u8], wrapped: &[u8]) -> Result<DataKey, NotAuthentic> {
        let sealed = Sealed::from_joined(iv, wrapped)?;
        let opened = seal::open_raw(&self.key, &self.covered(slot), &sealed)?;
        let key = <[u8; 32]>::try_from(opened.as_slice()).map_err(|_length| NotAuthentic)?;
        Ok(DataKey { version: slot.version, key: Zeroizing::new(key) })
    }

    fn covered(&self, slot: &Slot) -> Vec<u8> {
        Framed::new(DEK_LABEL)
            .bytes(self.instance.as_bytes())
            .bytes(slot.namespace.as_bytes())
            .bytes(slot.purpose.as_str().as_bytes())
            .u32(slot.version)
            .bytes(self.id.as_bytes())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::known_answers::{id, vector};

    fn installation_key() -> InstallationKey {
        InstallationKey(Zeroizing::new(vector("kek").try_into().unwrap()))
    }
    fn slot() -> Slot {
        Slot { namespace: id("project"), purpose: Purpose::Secrets, version: 7 }
    }

    #[test]
    fn key_id_wrap_key_and_wrapped_key_are_the_known_answers() {
        let wrapper = installation_key().wrapper(id("instance"));
        assert_eq!(wrapper.id().as_bytes().to_vec(), vector("kid"));
        assert_eq!(wrapper.key.to_vec(), vector("wrap_key"));
        assert_eq!(wrapper.covered(&slot()), vector("dek_aad"));
        let iv: [u8; 12] = vector("dek_iv").try_into().unwrap();
        let wrapped = seal::seal_with_iv(&wrapper.key, &iv, &wrapper.covered(&slot()), &vector("dek")).joined();
        assert_eq!(wrapped, vector("wrapped_dek"));
        let opened = wrapper.unwrap(&slot(), &iv, &wrapped).unwrap();
        assert_eq!((opened.key.to_vec(), opened.version), (vector("dek"), 7));
    }

    #[test]
    fn a_wrapped_key_opens_only_in_its_slot_and_installation_and_with_its_key() {
        let wrapper = installation_key().wrapper(id("instance"));
        let (iv, wrapped) = wrapper.wrap(&slot(), &DataKey::generate(7));
        assert!(wrapper.unwrap(&slot(), &iv, &wrapped).is_ok());
        let others = [
            Slot { namespace: id("server"), ..slot() },
            Slot { purpose: Purpose::Audit, ..slot() },
            Slot { version: 8, ..slot() },
        ];
        assert!(others.iter().all(|other| wrapper.unwrap(other, &iv, &wrapped).is_err()));
        assert!(installation_key().wrapper(id("server")).unwrap(&slot(), &iv, &wrapped).is_err());
        assert!(InstallationKey::generate().wrapper(id("instance")).unwrap(&slot(), &iv, &wrapped).is_err());
        for at in 0..wrapped.len() {
            let mut flipped = wrapped.clone();
            flipped[at] ^= 1;
            assert!(wrapper.unwrap(&slot(), &iv, &flipped).is_err());
            assert!(wrapper.unwrap(&slot(), &iv, &wrapped[..at]).is_err());
        }
    }

    #[test]
    fn hex_and_every_base64_of_a_key_are_the_same_key() {
        let key = installation_key();
        let bytes = vector("kek");
        let standard = base64::prelude::BASE64_STANDARD.encode(&bytes);
        let texts = [
            key.to_hex().to_string(),
            key.to_hex().to_uppercase(),
            format!("  {}\r\n", key.to_hex().as_str()),
            format!("{standard}\n"),
            standard.trim_end_matches('=').to_owned(),
            base64::prelude::BASE64_URL_SAFE.encode(&bytes),
            base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(&bytes),
        ];
        assert!(texts.iter().all(|text| InstallationKey::parse(text).unwrap().id() == key.id()));
        assert_eq!(key.id().to_string().parse(), Ok(key.id()));
    }

    #[test]
    fn anything_else_is_no_key() {
        let hex = installation_key().to_hex();
        let longer = format!("{}0", hex.as_str());
        let bad_digit = format!("{}g", &hex[..63]);
        let wide = "é".repeat(32);
        let bad_base64 = "!".repeat(44);
        for text in ["", "correct horse battery staple", &hex[..62], &longer, &bad_digit, &wide, &bad_base64] {
            assert_eq!(InstallationKey::parse(text).err(), Some(BadKey), "{text}");
        }
    }

    #[test]
    fn debug_shows_ids_and_never_keys() {
        let key = installation_key();
        let shown = format!("{key:?} {:?}", DataKey { version: 1, key: key.0.clone() });
        assert_eq!(shown, "InstallationKey(3b34d762df58cea3) DataKey(version 1)");
    }
}
