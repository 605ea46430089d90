//! The state machine of a scan: containers on an explicit stack, names in [`super::keys`], words in [`super::lex`].

use std::ops::Range;

use smallvec::SmallVec;

use super::{
    Document, Envelope, Member, ScanError, ScanLimits,
    keys::{Keys, Name},
    lex,
};

/// What an open container is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The message.
    Top,
    /// `params`, or any object whose members are wanted.
    Params,
    /// `params._meta`.
    Meta,
    /// `result`.
    Result,
    /// A top-level array.
    Batch,
    /// Anything else.
    Plain,
}

/// An open container.
#[derive(Debug, Clone, Copy)]
struct Frame {
    object: bool,
    role: Role,
    /// Which member is being read.
    name: Name,
    /// Where this object's names begin in [`Keys`].
    mark: u32,
    key: (u32, u32),
    value: u32,
}

/// One scan.
pub(super) struct Walk<'a> {
    body: &'a [u8],
    limits: ScanLimits,
    root: Role,
    at: usize,
    values: usize,
    frames: SmallVec<[Frame; 12]>,
    keys: Keys<'a>,
    found: Box<Envelope>,
    elements: Vec<Range<usize>>,
}

impl<'a> Walk<'a> {
    /// Prepares a scan whose outermost object plays `root`.
    #[inline]
    pub(super) fn new(body: &'a [u8], limits: ScanLimits, root: Role) -> Self {
        let (frames, keys) = (SmallVec::new(), Keys::new(body));
        let (found, elements) = (Box::default(), Vec::new());
        Walk { body, limits, root, at: 0, values: 0, frames, keys, found, elements }
    }

    /// Runs it.
    #[inline]
    pub(super) fn run(mut self) -> Result<Document, ScanError> {
        // Names are kept as 32-bit positions in body and resolved names together.
        if self.body.len() > (u32::MAX / 2) as usize {
            return Err(ScanError::TooLarge);
        }
        let start = self.walk()?;
        Ok(match self.body.get(start) {
            Some(b'{') => Document::Object(self.found),
            Some(b'[') => Document::Array(self.elements),
            _ => Document::Other,
        })
    }

    /// Reads one value with white space around it and nothing else; tells where it begins.
    fn walk(&mut self) -> Result<usize, ScanError> {
        self.at = lex::space(self.body, 0);
        let start = self.at;
        while self.value()? || self.ascend()? {}
        self.found.span = start..self.at;
        self.at = lex::space(self.body, self.at);
        if self.at < self.body.len() {
            return Err(ScanError::Trailing(self.at));
        }
        Ok(start)
    }

    /// Reads a value, or the opening of a container that is not empty: then `true`, and a value follows.
    #[inline]
    fn value(&mut self) -> Result<bool, ScanError> {
        self.values += 1;
        if self.values > self.limits.values {
            return Err(ScanError::TooManyValues);
        }
        match self.body.get(self.at) {
            Some(b'"') => self.at = lex::string(self.body, self.at + 1)?.0,
            Some(b'-' | b'0'..=b'9') => self.at = lex::number(self.body, self.at)?,
            Some(b'{') => return self.open(true, b'}'),
            Some(b'[') => return self.open(false, b']'),
            _ => self.at = lex::literal(self.body, self.at)?,
        }
        Ok(false)
    }

    fn open(&mut self, object: bool, close: u8) -> Result<bool, ScanError> {
        if self.frames.len() >= self.limits.depth {
            return Err(ScanError::TooDeep);
        }
        let role = match self.frames.last() {
            None if object => self.root,
            None => Role::Batch,
            Some(Frame { role: Role::Top, name: Name::Params, .. }) if object => Role::Params,
            Some(Frame { role: Role::Top, name: Name::Result, .. }) if object => Role::Result,
            Some(Frame { role: Role::Params, name: Name::Meta, .. }) if object => Role::Meta,
            Some(_) => Role::Plain,
        };
        self.at = lex::space(self.body, self.at + 1);
        if self.body.get(self.at) == Some(&close) {
            self.at += 1;
            return Ok(false);
        }
        let mark = self.keys.mark();
        let mut frame = Frame { object, role, name: Name::Other, mark, key: (0, 0), value: self.at as u32 };
        if object {
            self.name(&mut frame)?;
        }
        self.frames.push(frame);
        Ok(true)
    }

    /// Reads a member's name and colon.
    #[inline]
    fn name(&mut self, frame: &mut Frame) -> Result<(), ScanError> {
        if self.body.get(self.at) != Some(&b'"') {
            return Err(ScanError::Syntax(self.at));
        }
        let start = self.at + 1;
        let (after, escaped) = lex::string(self.body, start)?;
        let end = after - 1;
        let (from, length) = if escaped {
            let raw = self.body.get(start..end).unwrap_or_default();
            self.keys.decode(raw).ok_or(ScanError::Syntax(start))?
        } else {
            (start, end - start)
        };
        if length > self.limits.key_bytes {
            return Err(ScanError::KeyTooLong(start));
        }
        if !self.keys.insert(frame.mark, from, length) {
            return Err(ScanError::DuplicateKey);
        }
        let name = match frame.role {
            Role::Top => Name::top(self.keys.text(from, length)),
            Role::Params if self.root == Role::Top => Name::params(self.keys.text(from, length)),
            _ => Some(Name::Other),
        };
        frame.name = name.ok_or(ScanError::LookAlike(start))?;
        frame.key = (start as u32, end as u32);
        self.at = lex::space(self.body, after);
        if self.body.get(self.at) != Some(&b':') {
            return Err(ScanError::Syntax(self.at));
        }
        self.at = lex::space(self.body, self.at + 1);
        frame.value = self.at as u32;
        Ok(())
    }

    /// After a value: closes containers up to one that has another value (`true`), or all of them (`false`).
    #[inline]
    fn ascend(&mut self) -> Result<bool, ScanError> {
        while let Some(frame) = self.frames.last().copied() {
            if frame.role != Role::Plain {
                self.record(frame);
            }
            self.at = lex::space(self.body, self.at);
            match (self.body.get(self.at), frame.object) {
                (Some(b','), true) => {
                    self.at = lex::space(self.body, self.at + 1);
                    let mut next = frame;
                    self.name(&mut next)?;
                    if let Some(top) = self.frames.last_mut() {
                        *top = next;
                    }
                    return Ok(true);
                }
                (Some(b','), false) => {
                    self.at = lex::space(self.body, self.at + 1);
                    if let Some(top) = self.frames.last_mut() {
                        top.value = self.at as u32;
                    }
                    return Ok(true);
                }
                (Some(b'}'), true) => {
                    if !self.keys.close(frame.mark) {
                        return Err(ScanError::DuplicateKey);
                    }
                }
                (Some(b']'), false) => {}
                _ => return Err(ScanError::Syntax(self.at)),
            }
            self.at += 1;
            self.frames.pop();
        }
        Ok(false)
    }

    /// Notes the value that has just ended.
    fn record(&mut self, frame: Frame) {
        let value = frame.value as usize..self.at;
        let found = &mut self.found;
        let members = match frame.role {
            Role::Params => &mut found.params_members,
            Role::Meta => &mut found.meta_members,
            Role::Result => &mut found.result_members,
            Role::Batch => return self.elements.push(value),
            Role::Plain => return,
            Role::Top => {
                match frame.name {
                    Name::Jsonrpc => found.jsonrpc = Some(value),
                    Name::Id => found.id = Some(value),
                    Name::Method => found.method = Some(value),
                    Name::Params => found.params = Some(value),
                    Name::Result => found.result = Some(value),
                    Name::Error => found.error = Some(value),
                    Name::Meta | Name::Other => {}
                }
                return;
            }
        };
        members.push(Member { key: frame.key.0 as usize..frame.key.1 as usize, value });
    }
}
