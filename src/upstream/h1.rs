//! HTTP/1.1 as a client reads it: the head of an answer and the framing of its body. Strict where two readers could
//! disagree about where an answer ends (RFC 9112 §6.3): what is ambiguous is refused, never guessed. Pure: bytes in,
//! pieces out; heads and chunk sizes are parsed by `httparse`.

use std::{mem::MaybeUninit, ops::Range};

use awc::http::StatusCode;
use bytes::{Buf as _, Bytes, BytesMut};
use smallvec::SmallVec;

/// Interim answers (1xx) that may come before the answer.
const INTERIM: usize = 8;
/// Header fields of an answer.
const FIELDS: usize = 100;
/// A chunk's size line, bytes.
const SIZE_LINE: usize = 256;
/// The fields after the last chunk, bytes.
const TRAILER: usize = 8 * 1024;

/// Why an answer cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The head is larger than allowed.
    #[error("its head is too large")]
    HeadTooLarge,
    /// Not HTTP/1.1, or an answer to something nobody asked (101).
    #[error("its answer is not HTTP/1.1")]
    NotHttp,
    /// Where the body ends cannot be told for certain.
    #[error("its answer does not say where it ends")]
    Framing,
}

/// The head of an answer.
#[derive(Debug)]
pub struct Head {
    /// The status.
    pub status: StatusCode,
    /// Whether the connection can be used again once the body has been read.
    pub reusable: bool,
    text: Bytes,
    fields: SmallVec<[Field; 12]>,
}

#[derive(Debug)]
struct Field {
    name: Range<usize>,
    value: Range<usize>,
}

impl Head {
    /// The first field of that name, if it is text.
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields().find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))?;
        std::str::from_utf8(found.1).ok()
    }

    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let part = |range: &Range<usize>| self.text.get(range.clone()).unwrap_or_default();
        self.fields.iter().map(move |field| (part(&field.name), part(&field.value)))
    }
}

/// Takes a complete head off the front of `buffer`, and how its body is framed; `None` while it is incomplete.
pub fn take_head(buffer: &mut BytesMut, limit: usize) -> Result<Option<(Head, Framing)>, Fault> {
    for _ in 0..=INTERIM {
        let Some((head, version)) = take_one(buffer, limit)? else { return Ok(None) };
        match head.status.as_u16() {
            101 => return Err(Fault::NotHttp),
            100..=199 => {}
            _ => return finish(head, version).map(Some),
        }
    }
    Err(Fault::NotHttp)
}

fn take_one(buffer: &mut BytesMut, limit: usize) -> Result<Option<(Head, u8)>, Fault> {
    let mut room = [const { MaybeUninit::uninit() }; FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let outcome = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, buffer, &mut room);
    let length = match outcome {
        Ok(httparse::Status::Complete(length)) if length <= limit => length,
        Ok(httparse::Status::Partial) if buffer.len() <= limit => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(Fault::HeadTooLarge),
        Err(_) => return Err(Fault::NotHttp),
    };
    let start = buffer.as_ptr() as usize;
    let range = |part: &[u8]| {
        let from = (part.as_ptr() as usize).saturating_sub(start);
        from..from + part.len()
    };
    let fields = parsed.headers.iter();
    let fields = fields.map(|field| Field { name: range(field.name.as_bytes()), value: range(field.value) }).collect();
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Fault::NotHttp)?;
    let version = parsed.version.ok_or(Fault::NotHttp)?;
    let text = buffer.split_to(length).freeze();
    Ok(Some((Head { status, reusable: false, text, fields }, version)))
}

/// RFC 9112 §6.3, without the leniencies.
fn finish(mut head: Head, version: u8) -> Result<(Head, Framing), Fault> {
    let mut length: Option<u64> = None;
    let (mut chunked, mut closes) = (false, version == 0);
    for (name, value) in head.fields() {
        if name.eq_ignore_ascii_case(b"content-length") {
            let said = digits(value).ok_or(Fault::Framing)?;
            if length.is_some_and(|length| length != said) {
                return Err(Fault::Framing);
            }
            length = Some(said);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked || version == 0 || !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err(Fault::Framing);
            }
            chunked = true;
        } else if name.eq_ignore_ascii_case(b"connection") {
            let mut options = value.split(|byte| *byte == b',');
            closes |= options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
        }
    }
    let framing = match (head.status.as_u16(), length, chunked) {
        (_, Some(_), true) => return Err(Fault::Framing),
        (204 | 304, ..) | (_, Some(0), false) => Framing(State::End),
        (_, Some(length), false) => Framing(State::Length(length)),
        (_, None, true) => Framing(State::Size),
        (_, None, false) => Framing(State::UntilClose),
    };
    head.reusable = !closes && framing.0 != State::UntilClose;
    Ok((head, framing))
}

fn digits(value: &[u8]) -> Option<u64> {
    let text = value.trim_ascii();
    let plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| plain)?.parse().ok()
}

/// How far a body is.
#[derive(Debug)]
pub struct Framing(State);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many bytes are to come.
    Length(u64),
    /// A chunk's size comes.
    Size,
    /// So many bytes of a chunk are to come.
    Chunk(u64),
    /// The line end after a chunk comes.
    ChunkEnd,
    /// The fields after the last chunk come; so many bytes of them were read.
    Trailer(usize),
    /// The body ends with the connection.
    UntilClose,
    /// It has ended.
    End,
}

/// What could be taken off the front of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes of the body.
    Data(Bytes),
    /// Nothing without more bytes.
    More,
    /// The body is complete.
    End,
}

impl Framing {
    /// Takes the next piece of the body off the front of `buffer`.
    pub fn take(&mut self, buffer: &mut BytesMut) -> Result<Piece, Fault> {
        loop {
            match self.0 {
                State::End => return Ok(Piece::End),
                _ if buffer.is_empty() => return Ok(Piece::More),
                State::UntilClose => return Ok(Piece::Data(buffer.split().freeze())),
                State::Length(left) => {
                    let (data, left) = split(buffer, left);
                    self.0 = if left == 0 { State::End } else { State::Length(left) };
                    return Ok(Piece::Data(data));
                }
                State::Chunk(left) => {
                    let (data, left) = split(buffer, left);
                    self.0 = if left == 0 { State::ChunkEnd } else { State::Chunk(left) };
                    return Ok(Piece::Data(data));
                }
                State::Size => match httparse::parse_chunk_size(buffer) {
                    Ok(httparse::Status::Complete((line, size))) if line <= SIZE_LINE => {
                        buffer.advance(line);
                        self.0 = if size == 0 { State::Trailer(0) } else { State::Chunk(size) };
                    }
                    Ok(httparse::Status::Partial) if buffer.len() <= SIZE_LINE => return Ok(Piece::More),
                    _ => return Err(Fault::Framing),
                },
                State::ChunkEnd => match buffer.get(..2) {
                    Some(b"\r\n") => {
                        buffer.advance(2);
                        self.0 = State::Size;
                    }
                    None if buffer.first() == Some(&b'\r') => return Ok(Piece::More),
                    _ => return Err(Fault::Framing),
                },
                State::Trailer(read) => match memchr::memchr(b'\n', buffer) {
                    Some(end) => {
                        let line = buffer.split_to(end + 1);
                        let blank = matches!(&*line, b"\r\n");
                        self.0 = if blank { State::End } else { State::Trailer(read + line.len()) };
                        if read + line.len() > TRAILER {
                            return Err(Fault::Framing);
                        }
                    }
                    None if read + buffer.len() <= TRAILER => return Ok(Piece::More),
                    None => return Err(Fault::Framing),
                },
            }
        }
    }

    /// Whether the connection's end is the body's proper end.
    pub fn may_end_here(&self) -> bool {
        matches!(self.0, State::UntilClose | State::End)
    }
}

fn split(buffer: &mut BytesMut, left: u64) -> (Bytes, u64) {
    let here = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
    (buffer.split_to(here).freeze(), left - here as u64)
}

#[cfg(test)]
#[path = "h1_tests.rs"]
mod tests;
