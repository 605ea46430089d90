//! Secrets must not come back (`security.md` S-31). Whatever an upstream answers is searched for every injected value
//! in the forms in which servers echo what they were sent: as it is, JSON-escaped (once, or twice for JSON inside
//! text), percent-encoded, and inside any base64 (at each of its three alignments, so `Bearer x` and whole header
//! dumps are covered). Found forms become `[redacted secret]`.
//!
//! Works on whole events and whole bodies, before anything else looks at them. A clean input costs one search and no
//! copy. JSON stays JSON: a match is widened over escape sequences it cuts, and quoted when it stood in a number. Does
//! not stop a server that encodes on purpose: it owns that secret. The search automaton holds the forms in ordinary
//! memory, so a scrubber lives no longer than the decrypted headers it was made with.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// Shorter values are not searched for: they occur by chance.
pub const MIN_SECRET_BYTES: usize = 8;
/// What stands in a secret's place.
pub const REDACTED: &[u8] = b"[redacted secret]";
const REDACTED_VALUE: &[u8] = b"\"[redacted secret]\"";

/// RFC 3986: everything but unreserved characters.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// JavaScript's `encodeURIComponent`.
const COMPONENT: &AsciiSet = &STRICT.remove(b'!').remove(b'*').remove(b'\'').remove(b'(').remove(b')');
/// HTML forms.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');
/// What a URL's path or query needs at least.
const LENIENT: &AsciiSet = &percent_encoding::CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// Searches for a set of secrets.
#[derive(Clone, Default)]
pub struct Scrubber {
    forms: Option<AhoCorasick>,
}

impl std::fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scrubber(…)")
    }
}

impl Scrubber {
    /// A scrubber for these values.
    pub fn new(secrets: &[&[u8]]) -> Self {
        let mut forms: Vec<Vec<u8>> = Vec::new();
        for secret in secrets.iter().filter(|secret| secret.len() >= MIN_SECRET_BYTES) {
            push_forms(secret, &mut forms);
        }
        forms.sort_unstable();
        forms.dedup();
        if forms.is_empty() {
            return Scrubber::default();
        }
        let built = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&forms);
        // A scrubber that cannot be built (more than 2 GiB of forms) would let secrets through: values are at most
        // 8 KiB, so this cannot happen; it is loud all the same.
        if let Err(cause) = &built {
            tracing::error!(%cause, "the secret scrubber could not be built");
        }
        Scrubber { forms: built.ok() }
    }

    /// Whether there is nothing to search for.
    pub fn is_empty(&self) -> bool {
        self.forms.is_none()
    }

    /// The input without secrets, and how many were found. Clean input is given back as it is.
    pub fn scrub(&self, input: Bytes) -> (Bytes, usize) {
        let Some(forms) = &self.forms else { return (input, 0) };
        let Some(first) = forms.find(&*input) else { return (input, 0) };
        let mut out = Vec::with_capacity(input.len());
        let mut context = Context { input: &input, at: 0, in_string: false, json: looks_like_json(&input) };
        let (mut copied, mut hits, mut next) = (0, 0, Some(first.range()));
        while let Some(found) = next {
            let (range, with) = context.widen(found, copied);
            out.extend_from_slice(input.get(copied..range.start).unwrap_or_default());
            out.extend_from_slice(with);
            hits += 1;
            copied = range.end;
            let rest = aho_corasick::Input::new(&*input).range(copied..);
            next = forms.find(rest).map(|found| found.range());
        }
        out.extend_from_slice(input.get(copied..).unwrap_or_default());
        (out.into(), hits)
    }

    /// A text without secrets, and how many were found.
    pub fn scrub_text(&self, text: String) -> (String, usize) {
        let (bytes, hits) = self.scrub(Bytes::from(text));
        (String::from_utf8_lossy(&bytes).into_owned(), hits)
    }
}

fn looks_like_json(input: &[u8]) -> bool {
    matches!(input.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// Follows the input up to each match, to know whether it lies in a string.
struct Context<'a> {
    input: &'a [u8],
    at: usize,
    in_string: bool,
    json: bool,
}

impl Context<'_> {
    /// The range to take out for a match, and what to put there. Nothing before `floor` is touched.
    fn widen(&mut self, found: Range<usize>, floor: usize) -> (Range<usize>, &'static [u8]) {
        let start = self.escape_over(found.start).map_or(found.start, |escape| escape.start.max(floor));
        let end = self.escape_over(found.end).map_or(found.end, |escape| escape.end);
        let digits = |b: &u8| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        let number = self.json && self.input.get(found.clone()).is_some_and(|text| text.iter().all(digits));
        if !number || self.string_at(found.start) {
            return (start..end, REDACTED);
        }
        let before = self.input.get(floor..start).unwrap_or_default();
        let after = self.input.get(end..).unwrap_or_default();
        let start = start - before.iter().rev().take_while(|b| digits(b)).count();
        let end = end + after.iter().take_while(|b| digits(b)).count();
        (start..end, REDACTED_VALUE)
    }

    /// The escape sequence that begins before `at` and ends after it.
    fn escape_over(&self, at: usize) -> Option<Range<usize>> {
        let from = at.saturating_sub(5);
        let near = self.input.get(from..at)?;
        let slash = from + near.iter().rposition(|b| *b == b'\\')?;
        let run = self.input.get(..=slash)?.iter().rev().take_while(|b| **b == b'\\').count();
        if run % 2 == 0 {
            return None;
        }
        let length = if self.input.get(slash + 1) == Some(&b'u') { 6 } else { 2 };
        let escape = slash..(slash + length).min(self.input.len());
        (escape.end > at).then_some(escape)
    }

    /// Whether `at` lies in a string, if the input is JSON.
    fn string_at(&mut self, at: usize) -> bool {
        while let Some(byte) = self.input.get(self.at).filter(|_| self.at < at) {
            match byte {
                b'\\' if self.in_string => self.at += 1,
                b'"' => self.in_string = !self.in_string,
                _ => {}
            }
            self.at += 1;
        }
        self.in_string
    }
}

/// Every form in which `secret` may come back.
fn push_forms(secret: &[u8], forms: &mut Vec<Vec<u8>>) {
    for set in [STRICT, COMPONENT, FORM, LENIENT] {
        let encoded = percent_encode(secret, set).to_string();
        for encoded in [encoded.replace("%20", "+"), encoded] {
            forms.push(lower_escapes(encoded.as_bytes()));
            forms.push(encoded.into_bytes());
        }
    }
    forms.push(secret.to_vec());
    for escaped in json_forms(secret) {
        forms.extend(json_forms(&escaped));
        forms.push(escaped);
    }
    for encoded in base64_forms(secret) {
        forms.push(percent_encode(&encoded, STRICT).to_string().into_bytes());
        forms.push(replace(&encoded, b'/', b"\\/"));
        forms.push(encoded);
    }
}

/// JSON-escaped as most writers do it, and with the extra escapes of PHP (`\/`) and Go (`<`, `>`, `&`).
fn json_forms(text: &[u8]) -> [Vec<u8>; 3] {
    let plain = replace(&replace(text, b'\\', b"\\\\"), b'"', b"\\\"");
    let slashes = replace(&plain, b'/', b"\\/");
    let html = replace(&replace(&replace(&plain, b'<', b"\\u003c"), b'>', b"\\u003e"), b'&', b"\\u0026");
    [plain, slashes, html]
}

fn replace(text: &[u8], byte: u8, with: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for b in text {
        if *b == byte { out.extend_from_slice(with) } else { out.push(*b) }
    }
    out
}

/// The same percent-encoding with lower-case hex digits.
fn lower_escapes(encoded: &[u8]) -> Vec<u8> {
    let mut out = encoded.to_vec();
    let mut left = 0;
    for byte in &mut out {
        match (*byte, left) {
            (b'%', _) => left = 2,
            (_, 1..) => {
                byte.make_ascii_lowercase();
                left -= 1;
            }
            _ => {}
        }
    }
    out
}

/// The characters that `secret` alone decides in the base64 of any text it is part of, for each way it can lie
/// across the groups of three; for the first also with the character it decides in part.
fn base64_forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for engine in [BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD] {
        for before in 0..3 {
            let mut text = vec![0; before];
            text.extend_from_slice(secret);
            let encoded = engine.encode(&text).into_bytes();
            let (from, to) = ((before * 8).div_ceil(6), text.len() * 8 / 6);
            forms.extend(encoded.get(from..to).map(<[u8]>::to_vec));
            forms.extend(encoded.get(from..).map(<[u8]>::to_vec));
        }
    }
    forms
}

#[cfg(test)]
#[path = "scrub_tests.rs"]
mod tests;
