//! One non-recursive pass over a JSON body: is it valid, is it within the limits, and where are the parts of the
//! JSON-RPC envelope. Owns every refusal that has to happen before a byte is forwarded (`security.md` S-04, S-44,
//! S-45): bad UTF-8, byte order mark, trailing bytes, duplicate keys, too deep, too many values, look-alike names.
//!
//! Never builds values and never changes bytes: what was scanned can be forwarded as it came. Written by hand because
//! `serde_json`'s raw values let duplicates and any depth through, and its typed values change numbers.

use std::{borrow::Cow, ops::Range};

use smallvec::SmallVec;

use crate::{
    config::LimitsConfig,
    error::{Error, ErrorCode},
};

mod keys;
mod lex;
#[cfg(test)]
pub(crate) mod tests;
mod walk;

/// Longest member name, in bytes after unescaping (`security.md` S-44).
pub const KEY_BYTES: usize = 1024;

/// What a body may be at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanLimits {
    /// Nesting of objects and arrays.
    pub depth: usize,
    /// Values of any kind, containers included.
    pub values: usize,
    /// Bytes of a member name after unescaping.
    pub key_bytes: usize,
}

impl From<&LimitsConfig> for ScanLimits {
    fn from(limits: &LimitsConfig) -> Self {
        ScanLimits { depth: limits.json_depth, values: limits.json_values, key_bytes: KEY_BYTES }
    }
}

impl Default for ScanLimits {
    fn default() -> Self {
        ScanLimits::from(&LimitsConfig::default())
    }
}

/// A member of an object: where its name (without quotes, still escaped) and its value stand in the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The name, without quotes, as written.
    pub key: Range<usize>,
    /// The value, as written, without surrounding white space.
    pub value: Range<usize>,
}

/// Members of one object, in their order.
pub type Members = SmallVec<[Member; 8]>;

/// Where the parts of a JSON-RPC message stand. Top-level members that JSON-RPC does not name are not recorded: the
/// envelope is rebuilt without them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    /// `jsonrpc`.
    pub jsonrpc: Option<Range<usize>>,
    /// `id`, as written.
    pub id: Option<Range<usize>>,
    /// `method`, with quotes.
    pub method: Option<Range<usize>>,
    /// `params`.
    pub params: Option<Range<usize>>,
    /// `result`.
    pub result: Option<Range<usize>>,
    /// `error`.
    pub error: Option<Range<usize>>,
    /// Members of `params`, if it is an object.
    pub params_members: Members,
    /// Members of `params._meta`, if it is an object.
    pub meta_members: Members,
    /// Members of `result`, if it is an object.
    pub result_members: Members,
    /// The whole message, without surrounding white space.
    pub span: Range<usize>,
}

impl Envelope {
    /// The method's text, if `method` is a string.
    pub fn method_str<'a>(&self, body: &'a [u8]) -> Option<Cow<'a, str>> {
        string_value(body, self.method.clone()?)
    }
    /// The id as it was written, quotes included.
    pub fn raw_id<'a>(&self, body: &'a [u8]) -> Option<&'a [u8]> {
        body.get(self.id.clone()?)
    }
    /// What kind of value the id is; `None` when there is no id.
    pub fn id_kind(&self, body: &[u8]) -> Option<IdKind> {
        self.raw_id(body).map(IdKind::of)
    }
    /// The bytes of the member `name` of `params`.
    pub fn param<'a>(&self, body: &'a [u8], name: &str) -> Option<&'a [u8]> {
        body.get(member(&self.params_members, body, name)?)
    }
    /// The text of the member `name` of `params`, if it is a string.
    pub fn param_str<'a>(&self, body: &'a [u8], name: &str) -> Option<Cow<'a, str>> {
        string_value(body, member(&self.params_members, body, name)?)
    }
    /// The bytes of the member `name` of `params._meta`.
    pub fn meta<'a>(&self, body: &'a [u8], name: &str) -> Option<&'a [u8]> {
        body.get(member(&self.meta_members, body, name)?)
    }
    /// The text of the member `name` of `params._meta`, if it is a string.
    pub fn meta_str<'a>(&self, body: &'a [u8], name: &str) -> Option<Cow<'a, str>> {
        string_value(body, member(&self.meta_members, body, name)?)
    }
}

/// What a body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// An object: a message. Boxed, because it is handed on from step to step of a call.
    Object(Box<Envelope>),
    /// An array: the ranges of its elements (a batch; each is scanned on its own).
    Array(Vec<Range<usize>>),
    /// A string, number, `true`, `false` or `null`.
    Other,
}

/// Why a body is refused. Positions are byte offsets; content is never repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// Not UTF-8.
    #[error("not valid UTF-8 (byte {0})")]
    Utf8(usize),
    /// Begins with a byte order mark.
    #[error("begins with a byte order mark")]
    ByteOrderMark,
    /// Not JSON.
    #[error("not valid JSON (byte {0})")]
    Syntax(usize),
    /// Something follows the value.
    #[error("bytes after the end of the JSON value (byte {0})")]
    Trailing(usize),
    /// The same name twice in one object.
    #[error("the same member name twice in one object")]
    DuplicateKey,
    /// A name that equals a known one only after folding case or compatibility forms.
    #[error("a member name that only looks like a known one (byte {0})")]
    LookAlike(usize),
    /// Nested too deeply.
    #[error("nested too deeply")]
    TooDeep,
    /// Too many values.
    #[error("too many values")]
    TooManyValues,
    /// A member name is too long.
    #[error("a member name is too long (byte {0})")]
    KeyTooLong(usize),
    /// Larger than positions can express (2 GiB).
    #[error("too large")]
    TooLarge,
}

impl ScanError {
    /// The body is not JSON at all (as opposed to JSON that we refuse).
    pub fn is_syntax(self) -> bool {
        matches!(self, Self::Utf8(_) | Self::ByteOrderMark | Self::Syntax(_) | Self::Trailing(_))
    }
}

impl From<ScanError> for Error {
    fn from(error: ScanError) -> Self {
        let code = if error.is_syntax() { ErrorCode::ParseError } else { ErrorCode::InvalidRequest };
        Error::new(code, format!("The body was refused: {error}"))
    }
}

/// Checks `body` and finds the parts of its envelope.
pub fn scan(body: &[u8], limits: ScanLimits) -> Result<Document, ScanError> {
    if body.starts_with(b"\xEF\xBB\xBF") {
        return Err(ScanError::ByteOrderMark);
    }
    if let Err(error) = std::str::from_utf8(body) {
        return Err(ScanError::Utf8(error.valid_up_to()));
    }
    walk::Walk::new(body, limits, walk::Role::Top).run()
}

/// Members of the object at `range` of a body that was scanned before; empty when it is no object.
pub fn object_members(body: &[u8], range: Range<usize>) -> Members {
    let base = range.start;
    let Some(value) = body.get(range).filter(|value| value.first() == Some(&b'{')) else { return Members::new() };
    let unlimited = ScanLimits { depth: usize::MAX, values: usize::MAX, key_bytes: usize::MAX };
    let Ok(Document::Object(found)) = walk::Walk::new(value, unlimited, walk::Role::Params).run() else {
        return Members::new();
    };
    let shift = |range: Range<usize>| range.start + base..range.end + base;
    found.params_members.into_iter().map(|m| Member { key: shift(m.key), value: shift(m.value) }).collect()
}

/// Elements of the array at `range` of a body that was scanned before; empty when it is no array.
pub fn array_elements(body: &[u8], range: Range<usize>) -> Vec<Range<usize>> {
    let base = range.start;
    let Some(value) = body.get(range).filter(|value| value.first() == Some(&b'[')) else { return Vec::new() };
    let unlimited = ScanLimits { depth: usize::MAX, values: usize::MAX, key_bytes: usize::MAX };
    match walk::Walk::new(value, unlimited, walk::Role::Top).run() {
        Ok(Document::Array(elements)) => {
            elements.into_iter().map(|range| range.start + base..range.end + base).collect()
        }
        _ => Vec::new(),
    }
}

/// The value range of the member `name`, escapes in the written name resolved.
pub fn member(members: &[Member], body: &[u8], name: &str) -> Option<Range<usize>> {
    members.iter().find(|m| key_is(body, m, name)).map(|m| m.value.clone())
}

/// Whether the member's name, escapes resolved, is `name`.
pub fn key_is(body: &[u8], member: &Member, name: &str) -> bool {
    match body.get(member.key.clone()) {
        Some(raw) if raw.contains(&b'\\') => lex::unescape(raw).is_some_and(|text| text == name),
        raw => raw == Some(name.as_bytes()),
    }
}

/// The member's name, escapes resolved.
pub fn key_text<'a>(body: &'a [u8], member: &Member) -> Option<Cow<'a, str>> {
    lex::unescape(body.get(member.key.clone())?)
}

/// The text of the JSON string at `range` (quotes included in the range); `None` if it is no string.
pub fn string_value(body: &[u8], range: Range<usize>) -> Option<Cow<'_, str>> {
    string_text(body.get(range)?)
}

/// The text of a JSON string given with its quotes; `None` if it is no string.
pub fn string_text(value: &[u8]) -> Option<Cow<'_, str>> {
    lex::unescape(value.strip_prefix(b"\"")?.strip_suffix(b"\"")?)
}

/// What kind of JSON value an id is. MCP allows strings and integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdKind {
    /// A string.
    String,
    /// A number without fraction and exponent.
    Integer,
    /// Another number.
    Number,
    /// `null`.
    Null,
    /// A boolean, array or object.
    Other,
}

impl IdKind {
    /// The kind of a value that was scanned before.
    pub fn of(value: &[u8]) -> IdKind {
        match value.first() {
            Some(b'"') => IdKind::String,
            Some(b'n') => IdKind::Null,
            Some(b'-' | b'0'..=b'9') if value.iter().any(|b| matches!(b, b'.' | b'e' | b'E')) => IdKind::Number,
            Some(b'-' | b'0'..=b'9') => IdKind::Integer,
            _ => IdKind::Other,
        }
    }
    /// Whether a request may carry it.
    pub fn is_valid(self) -> bool {
        matches!(self, IdKind::String | IdKind::Integer)
    }
}
