//! Bearer credentials: how they look, how they are made and recognised. A credential is a prefix that names its
//! kind, 30 random base62 characters (178 bits) and a CRC-32 of both in base62. The checksum only keeps typing
//! errors and floods of rubbish away from the database; it proves nothing. Only the SHA-256 of the whole text is
//! ever stored: plain hashing is right for random strings that nobody can enumerate.

use std::{
    fmt,
    hash::{BuildHasherDefault, Hash, Hasher},
};

use secrecy::SecretString;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::domain::random;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PREFIX_LEN: usize = 4;
const BODY_LEN: usize = 30;
const CHECKSUM_LEN: usize = 6;
const LEN: usize = PREFIX_LEN + BODY_LEN + CHECKSUM_LEN;

/// What a bearer credential is for. A kind is accepted only where it belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Credential {
    /// Calls the tools of one workspace (`mwt_`).
    Mwt,
    /// An account's key for the admin API (`aak_`).
    Aak,
    /// An invitation to a namespace (`inv_`).
    Inv,
    /// A dashboard session (`ses_`).
    Ses,
    /// A one-time way back in (`rec_`).
    Rec,
}

impl Credential {
    /// Every kind.
    pub const ALL: [Credential; 5] =
        [Credential::Mwt, Credential::Aak, Credential::Inv, Credential::Ses, Credential::Rec];

    /// What its text begins with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Credential::Mwt => "mwt_",
            Credential::Aak => "aak_",
            Credential::Inv => "inv_",
            Credential::Ses => "ses_",
            Credential::Rec => "rec_",
        }
    }
}

/// SHA-256 of a credential: what is stored, and the key of every look-up.
#[derive(Clone, Copy, Eq)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    fn of(raw: &[u8]) -> Self {
        TokenHash(Sha256::digest(raw).into())
    }
}
impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}
impl Hash for TokenHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
    }
}
impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, ..] = self.0;
        write!(f, "TokenHash({a:02x}{b:02x}{c:02x}…)")
    }
}

/// Hashes a [`TokenHash`] by taking its first bytes: SHA-256 has already spread them evenly.
#[derive(Default, Clone, Copy)]
pub struct TokenHasher(u64);

impl Hasher for TokenHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }
    fn write_u64(&mut self, number: u64) {
        self.0 ^= number;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

/// Builds [`TokenHasher`]s for maps keyed by [`TokenHash`].
pub type TokenHashBuilder = BuildHasherDefault<TokenHasher>;

/// A credential that was just made: the text goes to its owner and nowhere else.
pub struct Fresh {
    /// The credential, shown once.
    pub raw: SecretString,
    /// What is stored.
    pub hash: TokenHash,
    /// The last four characters, stored to recognise it in a list.
    pub hint: String,
}

/// Makes a credential.
pub fn generate(kind: Credential) -> Fresh {
    let mut raw = Zeroizing::new(String::with_capacity(LEN));
    raw.push_str(kind.prefix());
    while raw.len() < PREFIX_LEN + BODY_LEN {
        let [byte] = random::bytes::<1>();
        // 248 = 4 × 62: bytes above it would make the first characters of the alphabet more likely.
        if byte < 248 {
            raw.push(base62(u32::from(byte) % 62));
        }
    }
    let sum = checksum(raw.as_bytes());
    raw.push_str(&sum);
    let hint = raw.get(LEN - 4..).unwrap_or_default().to_owned();
    Fresh { hash: TokenHash::of(raw.as_bytes()), hint, raw: SecretString::from(raw.as_str()) }
}

/// Recognises a credential of `kind` by shape and checksum; anything else is `None` without further work.
pub fn parse(kind: Credential, text: &str) -> Option<TokenHash> {
    let body = text.strip_prefix(kind.prefix())?;
    if text.len() != LEN || !body.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let (covered, sum) = text.split_at_checked(LEN - CHECKSUM_LEN)?;
    (checksum(covered.as_bytes()) == sum).then(|| TokenHash::of(text.as_bytes()))
}

/// Whether a text holds something that has the shape of a credential, of whatever kind.
pub fn appears_in(text: &str) -> bool {
    let kinds = [Credential::Mwt, Credential::Aak, Credential::Inv, Credential::Ses, Credential::Rec];
    kinds.into_iter().any(|kind| {
        text.match_indices(kind.prefix())
            .any(|(at, _)| text.get(at..at + LEN).is_some_and(|one| parse(kind, one).is_some()))
    })
}

fn base62(digit: u32) -> char {
    ALPHABET.get(digit as usize).copied().map_or('0', char::from)
}

fn checksum(covered: &[u8]) -> String {
    let mut rest = crc32(covered);
    let mut digits = [0; CHECKSUM_LEN];
    for digit in digits.iter_mut().rev() {
        *digit = rest % 62;
        rest /= 62;
    }
    digits.into_iter().map(base62).collect()
}

/// CRC-32 as in zlib, bit by bit half a byte at a time (34 bytes a token do not need a bigger table).
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 16] = nibble_table();
    let step = |crc: u32, nibble: u32| (crc >> 4) ^ TABLE.get(((crc ^ nibble) & 15) as usize).copied().unwrap_or(0);
    !bytes.iter().fold(!0, |crc, byte| step(step(crc, u32::from(*byte)), u32::from(byte >> 4)))
}

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time: an index out of range does not build")]
const fn nibble_table() -> [u32; 16] {
    let mut table = [0; 16];
    let mut nibble = 0;
    while nibble < 16 {
        let (mut crc, mut bit) = (nibble as u32, 0);
        while bit < 4 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[nibble] = crc;
        nibble += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::domain::known_answers::{hex, known_answers};

    const KINDS: [Credential; 5] =
        [Credential::Mwt, Credential::Aak, Credential::Inv, Credential::Ses, Credential::Rec];

    #[test]
    fn known_tokens_are_recognised_and_hash_to_the_known_answers() {
        for vector in known_answers()["tokens"].as_array().unwrap() {
            let text = vector["token"].as_str().unwrap();
            let kind = KINDS.into_iter().find(|kind| text.starts_with(kind.prefix())).unwrap();
            assert_eq!(parse(kind, text).unwrap().0.to_vec(), hex(vector["sha256"].as_str().unwrap()));
            assert!(KINDS.into_iter().filter(|other| *other != kind).all(|other| parse(other, text).is_none()));
        }
    }

    #[test]
    fn what_is_generated_is_recognised_and_never_repeats() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..2000 {
            let fresh = generate(Credential::Mwt);
            let raw = fresh.raw.expose_secret();
            assert_eq!(parse(Credential::Mwt, raw), Some(fresh.hash));
            assert!(raw.ends_with(&fresh.hint) && fresh.hint.len() == 4 && raw.len() == 40);
            assert!(seen.insert(raw.to_owned()));
        }
    }

    #[test]
    fn every_single_changed_character_is_refused() {
        let raw = "mwt_0123456789ABCDEFGHIJKLMNOPQRST1cCDCz";
        for at in 0..raw.len() {
            for other in ALPHABET.iter().filter(|other| **other != raw.as_bytes()[at]) {
                let mut changed = raw.as_bytes().to_vec();
                changed[at] = *other;
                assert_eq!(parse(Credential::Mwt, std::str::from_utf8(&changed).unwrap()), None);
            }
        }
    }

    #[test]
    fn credentials_are_found_in_a_text() {
        let raw = "mwt_0123456789ABCDEFGHIJKLMNOPQRST1cCDCz";
        assert!(appears_in(&format!("{{\"url\":\"https://x/#{raw}\"}}")));
        assert!(!appears_in(&raw[..39]) && !appears_in("mwt_…") && !appears_in(&raw.replace("mwt_", "mwx_")));
    }

    #[test]
    fn other_shapes_are_refused() {
        let raw = "mwt_0123456789ABCDEFGHIJKLMNOPQRST1cCDCz";
        let long = format!("{raw}0");
        let spaced = format!(" {raw}");
        for text in ["", "mwt_", &raw[..39], &long, &spaced, "mwt_' OR 1=1 --", "mwt_éééééééééééééééééé"]
        {
            assert_eq!(parse(Credential::Mwt, text), None, "{text}");
        }
    }

    #[test]
    fn characters_are_even() {
        let mut counts = [0_u32; 62];
        for _ in 0..4000 {
            let fresh = generate(Credential::Aak);
            for byte in fresh.raw.expose_secret().bytes().skip(PREFIX_LEN).take(BODY_LEN) {
                counts[ALPHABET.iter().position(|digit| *digit == byte).unwrap()] += 1;
            }
        }
        // 120,000 draws over 62 characters: 1935 each, standard deviation 44; eight of them are not chance.
        assert!(counts.iter().all(|count| (1585..2290).contains(count)), "{counts:?}");
    }
}
