//! Member names during a scan: duplicates in one object, and names that only look like one we act on. Small objects
//! are compared on insertion; larger ones are sorted once when they close, so that no input makes it quadratic.

use smallvec::SmallVec;
use unicode_normalization::UnicodeNormalization;

/// Up to this many members each new name is compared with its siblings.
const LINEAR: usize = 16;

/// A name seen in an open object. Positions past the end of the body point into [`Keys::decoded`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    print: u64,
    start: u32,
    length: u32,
}

/// Names of all open objects, innermost last.
pub(super) struct Keys<'a> {
    body: &'a [u8],
    open: SmallVec<[Key; 32]>,
    /// Names that were written with escapes, resolved.
    decoded: Vec<u8>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Keys { body, open: SmallVec::new(), decoded: Vec::new() }
    }

    /// Where an object that opens now keeps its names.
    #[inline]
    pub(super) fn mark(&self) -> u32 {
        self.open.len() as u32
    }

    /// A place in [`Keys::decoded`] for the next escaped name.
    pub(super) fn decode(&mut self, raw: &[u8]) -> Option<(usize, usize)> {
        let start = self.decoded.len();
        super::lex::unescape_into(raw, &mut self.decoded)?;
        Some((self.body.len() + start, self.decoded.len() - start))
    }

    /// The resolved name at a position.
    #[inline]
    pub(super) fn text(&self, start: usize, length: usize) -> &[u8] {
        text_at(self.body, &self.decoded, start, length)
    }

    /// Adds a name to the object that began at `mark`; `false` if it is there already.
    #[inline]
    pub(super) fn insert(&mut self, mark: u32, start: usize, length: usize) -> bool {
        let text = self.text(start, length);
        let key = Key { print: fingerprint(text), start: start as u32, length: length as u32 };
        let siblings = self.open.get(mark as usize..).unwrap_or_default();
        if siblings.len() < LINEAR {
            for other in siblings {
                if other.print == key.print && self.text(other.start as usize, other.length as usize) == text {
                    return false;
                }
            }
        }
        self.open.push(key);
        true
    }

    /// Forgets the object that began at `mark`; `false` if a name occurred twice in it.
    #[inline]
    pub(super) fn close(&mut self, mark: u32) -> bool {
        let mark = mark as usize;
        let unique = self.open.len() - mark <= LINEAR || self.unique_sorted(mark);
        self.open.truncate(mark);
        unique
    }

    fn unique_sorted(&mut self, mark: usize) -> bool {
        let (body, decoded) = (self.body, &self.decoded);
        let text = |key: &Key| text_at(body, decoded, key.start as usize, key.length as usize);
        let Some(siblings) = self.open.get_mut(mark..) else { return true };
        siblings.sort_unstable_by(|a, b| a.print.cmp(&b.print).then_with(|| text(a).cmp(text(b))));
        siblings.is_sorted_by(|a, b| a.print != b.print || text(a) != text(b))
    }
}

#[inline]
fn text_at<'b>(body: &'b [u8], decoded: &'b [u8], start: usize, length: usize) -> &'b [u8] {
    match start.checked_sub(body.len()) {
        None => body.get(start..start + length).unwrap_or_default(),
        Some(start) => decoded.get(start..start + length).unwrap_or_default(),
    }
}

/// Ends and length of a name in one word: tells almost all different names apart without comparing them.
#[inline]
fn fingerprint(text: &[u8]) -> u64 {
    let ends = match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (Some(first), Some(last)) => u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(21),
        _ => match (text.first_chunk::<4>(), text.last_chunk::<4>()) {
            (Some(first), Some(last)) => {
                u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
            }
            _ => text.iter().fold(0, |print, byte| print << 8 | u64::from(*byte)),
        },
    };
    ends ^ (text.len() as u64).rotate_right(5)
}

/// A member name that the scan or the gateway acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Jsonrpc,
    Id,
    Method,
    Params,
    Result,
    Error,
    Meta,
    Other,
}

const TOP: &[&str] = &["jsonrpc", "id", "method", "params", "result", "error"];
const PARAMS: &[&str] = &[
    "name",
    "arguments",
    "_meta",
    "uri",
    "cursor",
    "protocolVersion",
    "ref",
    "taskId",
    "requestState",
    "inputResponses",
];

impl Name {
    /// A top-level name; `None` if it only looks like a known one.
    #[inline]
    pub(super) fn top(key: &[u8]) -> Option<Name> {
        Some(match key {
            b"jsonrpc" => Name::Jsonrpc,
            b"id" => Name::Id,
            b"method" => Name::Method,
            b"params" => Name::Params,
            b"result" => Name::Result,
            b"error" => Name::Error,
            other if looks_like(other, TOP) => return None,
            _ => Name::Other,
        })
    }

    /// A name in `params`; `None` if it only looks like a known one.
    #[inline]
    pub(super) fn params(key: &[u8]) -> Option<Name> {
        Some(match key {
            b"_meta" => Name::Meta,
            b"name" | b"arguments" => Name::Other,
            other if looks_like(other, PARAMS) => return None,
            _ => Name::Other,
        })
    }
}

/// Whether `key` differs from all of `known`, but folds to one of them. A server in a language that folds member
/// names (Go, C#) would read it as that one.
fn looks_like(key: &[u8], known: &[&str]) -> bool {
    if known.iter().any(|name| name.as_bytes() == key) {
        return false;
    }
    if key.is_ascii() {
        return known.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(key));
    }
    let Ok(text) = std::str::from_utf8(key) else { return true };
    let folded: String = text.chars().filter(|c| !ignorable(*c)).nfkc().flat_map(char::to_lowercase).nfkc().collect();
    known.iter().any(|name| name.eq_ignore_ascii_case(&folded))
}

/// Characters that NFKC case folding removes.
fn ignorable(letter: char) -> bool {
    matches!(letter,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}
