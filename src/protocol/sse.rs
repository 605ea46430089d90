//! Server-sent events: framing what we send and unframing what upstreams send. Accepts every line end and every way
//! of cutting the bytes, bounds the size of one event, and never looks into `data`.

use bytes::{Buf, Bytes, BytesMut};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// Its type; `None` stands for `message`.
    pub event: Option<String>,
    /// Its id, if it has one.
    pub id: Option<String>,
    /// Its data, lines joined with `\n`. Empty for an event that carries only an id or a retry time.
    pub data: Bytes,
    /// Milliseconds after which to reconnect, if it says so.
    pub retry: Option<u64>,
}

impl Event {
    /// Whether it is of type `message` and has data: a JSON-RPC message.
    pub fn is_message(&self) -> bool {
        !self.data.is_empty() && matches!(self.event.as_deref(), None | Some("message"))
    }
}

/// An event, or a single line, is larger than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event is larger than the limit")]
pub struct TooLarge;

/// Appends an event. Line ends in `data` (white space, if it is JSON) become several data lines; an `event` or `id`
/// with a line end in it is left out.
pub fn encode_event(out: &mut BytesMut, event: Option<&str>, id: Option<&str>, data: &[u8]) {
    out.reserve(data.len() + 64);
    for (name, value) in [("event: ", event), ("id: ", id)] {
        if let Some(value) = value.filter(|value| !value.contains(['\n', '\r', '\0'])) {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\n");
        }
    }
    let mut rest = data;
    loop {
        let end = memchr::memchr2(b'\n', b'\r', rest);
        let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.extend_from_slice(b"\n");
        rest = after.strip_prefix(b"\r\n").or_else(|| after.get(1..)).unwrap_or_default();
        if end.is_none() {
            break;
        }
    }
    out.extend_from_slice(b"\n");
}

/// A comment: keeps a stream alive without being an event.
pub const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// Takes bytes as they come and gives events.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    buffer: BytesMut,
    /// How much of `buffer` is known to hold no line end.
    searched: usize,
    /// A carriage return ended the last line: a line feed right after it belongs to it.
    after_return: bool,
    started: bool,
    event: Event,
    lines: Lines,
    any: bool,
}

/// Data lines of the event that is being read: one is kept as it came, more are joined.
#[derive(Debug, Default)]
enum Lines {
    #[default]
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Lines {
    fn len(&self) -> usize {
        match self {
            Lines::None => 0,
            Lines::One(line) => line.len(),
            Lines::Many(lines) => lines.len(),
        }
    }
    fn push(&mut self, line: Bytes) {
        *self = match std::mem::take(self) {
            Lines::None => Lines::One(line),
            Lines::One(first) => {
                let mut lines = BytesMut::with_capacity(first.len() + line.len() + 1);
                lines.extend_from_slice(&first);
                Lines::Many(joined(lines, &line))
            }
            Lines::Many(lines) => Lines::Many(joined(lines, &line)),
        };
    }
    fn take(&mut self) -> Bytes {
        match std::mem::take(self) {
            Lines::None => Bytes::new(),
            Lines::One(line) => line,
            Lines::Many(lines) => lines.freeze(),
        }
    }
}

fn joined(mut lines: BytesMut, line: &[u8]) -> BytesMut {
    lines.extend_from_slice(b"\n");
    lines.extend_from_slice(line);
    lines
}

impl Decoder {
    /// A decoder for events of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Decoder {
            limit,
            buffer: BytesMut::new(),
            searched: 0,
            after_return: false,
            started: false,
            event: Event::default(),
            lines: Lines::None,
            any: false,
        }
    }

    /// Takes the next bytes. Call [`Decoder::next`] until it gives `None` before feeding more.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether an event has begun and not ended: at the end of a stream, that event is lost.
    pub fn is_mid_event(&self) -> bool {
        self.any || !self.buffer.is_empty()
    }

    /// The next complete event.
    #[expect(clippy::should_implement_trait, reason = "an iterator ends at its first None, a decoder is fed again")]
    pub fn next(&mut self) -> Result<Option<Event>, TooLarge> {
        while let Some(line) = self.line()? {
            if !line.is_empty() {
                self.field(line);
                if self.lines.len() > self.limit {
                    return Err(TooLarge);
                }
                continue;
            }
            let mut event = std::mem::take(&mut self.event);
            event.data = self.lines.take();
            // The standard drops events without data; MCP's polling uses events that have only an id or a retry time.
            if std::mem::take(&mut self.any) && (!event.data.is_empty() || event.id.is_some() || event.retry.is_some())
            {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// The next complete line, without its end.
    fn line(&mut self) -> Result<Option<Bytes>, TooLarge> {
        if !self.started {
            if self.buffer.len() < 3 && b"\xEF\xBB\xBF".starts_with(&self.buffer) {
                return Ok(None);
            }
            self.started = true;
            if self.buffer.starts_with(b"\xEF\xBB\xBF") {
                self.buffer.advance(3);
            }
        }
        if self.after_return && !self.buffer.is_empty() {
            self.after_return = false;
            if self.buffer.first() == Some(&b'\n') {
                self.buffer.advance(1);
            }
        }
        let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(found) = memchr::memchr2(b'\n', b'\r', unsearched) else {
            self.searched = self.buffer.len();
            return if self.searched > self.limit.saturating_add(64) { Err(TooLarge) } else { Ok(None) };
        };
        let end = self.searched + found;
        self.searched = 0;
        self.after_return = self.buffer.get(end) == Some(&b'\r');
        let line = self.buffer.split_to(end).freeze();
        self.buffer.advance(1);
        Ok(Some(line))
    }

    fn field(&mut self, line: Bytes) {
        let colon = memchr::memchr(b':', &line).unwrap_or(line.len());
        let mut value = (colon + 1).min(line.len());
        if line.get(value) == Some(&b' ') {
            value += 1;
        }
        let text = |line: &Bytes| String::from_utf8_lossy(line.get(value..).unwrap_or_default()).into_owned();
        match line.get(..colon) {
            Some(b"data") => self.lines.push(line.slice(value..)),
            Some(b"event") => self.event.event = Some(text(&line)).filter(|name| !name.is_empty()),
            Some(b"id") => match text(&line) {
                id if id.contains('\0') => return,
                id => self.event.id = Some(id),
            },
            Some(b"retry") => match text(&line).parse() {
                Ok(retry) => self.event.retry = Some(retry),
                Err(_) => return,
            },
            _ => return,
        }
        self.any = true;
    }
}

#[cfg(test)]
#[path = "sse_tests.rs"]
mod tests;
