//! The words of JSON: strings, numbers, literals, white space. Works on a position in the body and accepts what
//! `serde_json` accepts. Strings are searched eight bytes at a time; that is most of a scan's time.

use std::borrow::Cow;

use super::ScanError;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = ONES << 7;

/// Marks (in the high bit of each byte) the first byte of `word` that ends a plain run: a quote, a backslash or a
/// control character. Only the lowest mark is exact.
fn special(word: u64) -> u64 {
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = word ^ (ONES * u64::from(b'"'));
    let quote = quote.wrapping_sub(ONES) & !quote;
    let slash = word ^ (ONES * u64::from(b'\\'));
    let slash = slash.wrapping_sub(ONES) & !slash;
    (control | quote | slash) & HIGH
}

/// How many bytes from the start are ordinary string content.
fn plain_run(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut length = 0;
    for word in words {
        let marks = special(u64::from_le_bytes(*word));
        if marks != 0 {
            return length + (marks.trailing_zeros() / 8) as usize;
        }
        length += 8;
    }
    length + rest.iter().take_while(|b| **b >= 0x20 && **b != b'"' && **b != b'\\').count()
}

/// The position after white space.
#[inline]
pub(super) fn space(body: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\t' | b'\r') = body.get(at) {
        at += 1;
    }
    at
}

/// From after the opening quote to after the closing one; tells whether there was an escape.
#[inline]
pub(super) fn string(body: &[u8], mut at: usize) -> Result<(usize, bool), ScanError> {
    let mut escaped = false;
    loop {
        at += plain_run(body.get(at..).unwrap_or_default());
        match body.get(at) {
            Some(b'"') => return Ok((at + 1, escaped)),
            Some(b'\\') => at = escape(body, at)?,
            _ => return Err(ScanError::Syntax(at)),
        }
        escaped = true;
    }
}

/// From a backslash to after its escape. Lone surrogates are refused, as `serde_json` does for text.
fn escape(body: &[u8], at: usize) -> Result<usize, ScanError> {
    match body.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => {
            let unit = hex4(body, at + 2).ok_or(ScanError::Syntax(at))?;
            match unit {
                0xD800..=0xDBFF => match low_surrogate(body, at + 6) {
                    Some(_) => Ok(at + 12),
                    None => Err(ScanError::Syntax(at)),
                },
                0xDC00..=0xDFFF => Err(ScanError::Syntax(at)),
                _ => Ok(at + 6),
            }
        }
        _ => Err(ScanError::Syntax(at)),
    }
}

fn low_surrogate(body: &[u8], at: usize) -> Option<u16> {
    let unit = hex4(body, at + 2).filter(|_| body.get(at..at + 2) == Some(b"\\u"))?;
    (0xDC00..=0xDFFF).contains(&unit).then_some(unit)
}

fn hex4(body: &[u8], at: usize) -> Option<u16> {
    body.get(at..at + 4)?.iter().try_fold(0u16, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some((value << 4) | digit as u16)
    })
}

/// From a number's first byte to after it.
#[inline]
pub(super) fn number(body: &[u8], mut at: usize) -> Result<usize, ScanError> {
    if body.get(at) == Some(&b'-') {
        at += 1;
    }
    at = match body.get(at) {
        Some(b'0') => at + 1,
        Some(b'1'..=b'9') => digits(body, at),
        _ => return Err(ScanError::Syntax(at)),
    };
    if body.get(at) == Some(&b'.') {
        at = some_digits(body, at + 1)?;
    }
    if let Some(b'e' | b'E') = body.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = body.get(at) {
            at += 1;
        }
        at = some_digits(body, at)?;
    }
    Ok(at)
}

fn digits(body: &[u8], mut at: usize) -> usize {
    while body.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}

fn some_digits(body: &[u8], at: usize) -> Result<usize, ScanError> {
    match digits(body, at) {
        end if end > at => Ok(end),
        _ => Err(ScanError::Syntax(at)),
    }
}

/// From the first byte of `true`, `false` or `null` to after it.
#[inline]
pub(super) fn literal(body: &[u8], at: usize) -> Result<usize, ScanError> {
    let rest = body.get(at..).unwrap_or_default();
    match rest.first() {
        Some(b't') if rest.starts_with(b"true") => Ok(at + 4),
        Some(b'f') if rest.starts_with(b"false") => Ok(at + 5),
        Some(b'n') if rest.starts_with(b"null") => Ok(at + 4),
        _ => Err(ScanError::Syntax(at)),
    }
}

/// The text between the quotes of a valid JSON string; `None` if it is not valid.
pub(super) fn unescape(raw: &[u8]) -> Option<Cow<'_, str>> {
    if memchr::memchr(b'\\', raw).is_none() {
        return std::str::from_utf8(raw).ok().map(Cow::Borrowed);
    }
    let mut text = Vec::with_capacity(raw.len());
    unescape_into(raw, &mut text)?;
    String::from_utf8(text).ok().map(Cow::Owned)
}

/// Appends the text between the quotes of a JSON string to `out`.
pub(super) fn unescape_into(raw: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', raw.get(at..)?) {
        out.extend_from_slice(raw.get(at..at + found)?);
        at += found;
        let plain = match raw.get(at + 1)? {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (letter, length) = unicode_escape(raw, at)?;
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                at += length;
                continue;
            }
            other => *other,
        };
        out.push(plain);
        at += 2;
    }
    out.extend_from_slice(raw.get(at..)?);
    Some(())
}

/// The character of the `\u` escape at `at`, and the escape's length.
fn unicode_escape(raw: &[u8], at: usize) -> Option<(char, usize)> {
    let unit = hex4(raw, at + 2)?;
    if !(0xD800..=0xDBFF).contains(&unit) {
        return Some((char::from_u32(u32::from(unit))?, 6));
    }
    let low = low_surrogate(raw, at + 6)?;
    let code = 0x1_0000 + ((u32::from(unit) - 0xD800) << 10) + (u32::from(low) - 0xDC00);
    Some((char::from_u32(code)?, 12))
}
