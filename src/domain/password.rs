//! What a password must be (C-11): 12 to 1024 characters, the same bytes however it was typed (NFC), not one of those
//! that everybody tries first, and not the person's own name.

use secrecy::SecretString;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use crate::error::{Result, err};

const SHORTEST: usize = 12;
const LONGEST: usize = 1024;

/// Beginnings and wholes of what guessers try first, among passwords of this length.
const COMMON: &[&str] = &[
    "password",
    "passw0rd",
    "passwort",
    "motdepasse",
    "contrasena",
    "qwertyuiop",
    "qwertzuiop",
    "azertyuiop",
    "1q2w3e4r",
    "1qaz2wsx",
    "qazwsxedc",
    "123456789",
    "987654321",
    "012345678",
    "iloveyou",
    "letmein",
    "welcome",
    "changeme",
    "administrator",
    "trustno1",
    "sunshine",
    "superman",
    "princess",
    "football",
    "baseball",
    "dragon",
    "monkey",
    "abcdefgh",
    "asdfghjkl",
    "zxcvbnm",
    "correcthorsebatterystaple",
    "aerostack",
];

/// The password in the one form that is hashed. Wiped when dropped.
pub fn normal(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.nfc().collect())
}

/// A password that somebody chooses for the account `username`, in the form that is hashed.
pub fn check(text: &str, username: &str) -> Result<SecretString> {
    let password = normal(text);
    let length = password.chars().count();
    if !(SHORTEST..=LONGEST).contains(&length) {
        return Err(err::validation(format!("A password has {SHORTEST} to {LONGEST} characters"))
            .with_hint("a few words that do not belong together are easy to remember"));
    }
    if is_guessed(&password, username) {
        return Err(err::validation("This password is one of those that are tried first")
            .with_hint("a few words that do not belong together are easy to remember"));
    }
    Ok(SecretString::from(password.as_str()))
}

/// Whether little is left when what guessers try first is taken away.
fn is_guessed(password: &str, username: &str) -> bool {
    const LEFT: usize = 6;
    let lower = Zeroizing::new(password.to_lowercase());
    let different: std::collections::BTreeSet<char> = lower.chars().collect();
    let mut rest = Zeroizing::new(lower.to_string());
    let name = username.to_lowercase();
    let known = COMMON.iter().copied().chain((name.len() > 2).then_some(name.as_str()));
    for word in known {
        rest = Zeroizing::new(rest.replace(word, ""));
    }
    let touched = rest.len() < lower.len();
    different.len() < 4 || touched && rest.chars().count() < LEFT
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn short_long_and_guessed_passwords_are_refused() {
        let long = "é".repeat(1025);
        for bad in [
            "",
            "short",
            "elevenchars",
            "password1234",
            "Password2026!",
            "aaaaaaaaaaaaaa",
            "123456789012",
            "alice-alice-1",
            "qwertyuiop12",
            long.as_str(),
        ] {
            assert!(check(bad, "alice").is_err(), "{bad}");
        }
        for good in
            ["violet tram sings", "Tr0ub4dor&3-long", "密码一二三四五六七八九十", "my password is a long sentence"]
        {
            assert!(check(good, "alice").is_ok(), "{good}");
        }
    }

    #[test]
    fn a_password_is_the_same_however_it_was_typed() {
        let (composed, decomposed) = ("h\u{e9}llo violet tram", "he\u{301}llo violet tram");
        assert_eq!(check(composed, "x").unwrap().expose_secret(), check(decomposed, "x").unwrap().expose_secret());
        assert_eq!(*normal(composed), *normal(decomposed));
    }
}
