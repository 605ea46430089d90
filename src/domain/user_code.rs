//! The code that a person compares in the browser with what the command line shows. Not a credential: it only names a
//! request that somebody who is signed in may confirm. No vowels (no words) and nothing that looks like something else.

use crate::domain::random;

const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const HALF: usize = 4;

/// A fresh code, for example `BCDF-GHJK`: one of 25 thousand million.
pub fn generate() -> String {
    let mut code = String::with_capacity(2 * HALF + 1);
    while code.len() < 2 * HALF + 1 {
        if code.len() == HALF {
            code.push('-');
        }
        let [byte] = random::bytes::<1>();
        // 240 = 12 × 20: bytes above it would make the first letters more likely.
        if byte < 240
            && let Some(letter) = LETTERS.get(usize::from(byte) % LETTERS.len())
        {
            code.push(char::from(*letter));
        }
    }
    code
}

/// The code as it was made, however it was typed; none if it cannot be one.
pub fn parse(text: &str) -> Option<String> {
    let letters: Vec<u8> =
        text.bytes().filter(|byte| !b" -".contains(byte)).map(|byte| byte.to_ascii_uppercase()).collect();
    let (left, right) = letters.split_at_checked(HALF)?;
    if right.len() != HALF || !letters.iter().all(|letter| LETTERS.contains(letter)) {
        return None;
    }
    Some(format!("{}-{}", String::from_utf8_lossy(left), String::from_utf8_lossy(right)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_recognised_however_it_is_typed() {
        for _ in 0..200 {
            let code = generate();
            assert_eq!(parse(&code).as_ref(), Some(&code));
            assert_eq!(parse(&format!(" {} ", code.to_lowercase().replace('-', ""))).as_ref(), Some(&code));
        }
        for bad in ["", "BCDF", "BCDF-GHJA", "BCDF-GHJKL", "éééé-éééé"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
