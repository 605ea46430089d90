//! Server-sent events as a client reads them.

use std::{io, net::Shutdown, time::Duration};

use serde_json::Value;

use super::{
    http::Streaming,
    wait::{DEADLINE, elapsed, now},
};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub name: String,
    pub id: Option<String>,
    pub data: String,
}

/// An open event stream.
pub struct Events {
    answer: Streaming,
    buffer: String,
    /// Everything that came, comments too.
    pub raw: String,
}

impl Events {
    pub fn new(answer: Streaming) -> Self {
        Events { answer, buffer: String::new(), raw: String::new() }
    }
    pub fn header(&self, name: &str) -> Option<&str> {
        self.answer.header(name)
    }
    /// The client leaves.
    pub fn leave(self) {
        let _already_gone = self.answer.socket().shutdown(Shutdown::Both);
    }
    /// The next event; none at the stream's end, however that came.
    pub fn next(&mut self) -> Option<Event> {
        self.read(DEADLINE).unwrap_or_default()
    }
    /// The next event, if one comes within that time (comments are none).
    pub fn next_within(&mut self, limit: Duration) -> Option<Event> {
        let socket = self.answer.socket();
        socket.set_read_timeout(Some(limit)).expect("a deadline");
        let read = self.read(limit);
        socket.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        read.unwrap_or_default()
    }
    fn read(&mut self, limit: Duration) -> io::Result<Option<Event>> {
        let begun = now();
        loop {
            while let Some(end) = self.buffer.find("\n\n") {
                let block: String = self.buffer.drain(..end + 2).collect();
                if let Some(event) = parse(&block) {
                    return Ok(Some(event));
                }
            }
            // Comments keep the connection alive, but not a test.
            if begun.elapsed() > limit {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let Some(piece) = self.answer.next()? else { return Ok(None) };
            let text = String::from_utf8_lossy(&piece);
            self.raw.push_str(&text);
            self.buffer.push_str(&text);
        }
    }
    /// The next message, as JSON.
    #[track_caller]
    pub fn message(&mut self) -> Value {
        let event = self.next().expect("another event");
        assert_eq!(event.name, "message");
        serde_json::from_str(&event.data).expect("a JSON message")
    }
    /// The next message of that method.
    #[track_caller]
    pub fn notification(&mut self, method: &str) -> Value {
        loop {
            let message = self.message();
            if message["method"] == method {
                return message;
            }
        }
    }
    /// The answer to that request.
    #[track_caller]
    pub fn answer_to(&mut self, id: &Value) -> Value {
        loop {
            let message = self.message();
            if message.get("id") == Some(id) && message.get("method").is_none() {
                return message;
            }
        }
    }
    /// Reads to the end and says how long that took.
    pub fn until_end(&mut self) -> (Vec<Event>, Duration) {
        elapsed(|| std::iter::from_fn(|| self.next()).collect())
    }
    /// Whether nothing comes for that long (comments do not count).
    pub fn is_silent_for(&mut self, time: Duration) -> bool {
        let socket = self.answer.socket();
        socket.set_read_timeout(Some(time)).expect("a deadline");
        let read = self.read(DEADLINE);
        socket.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        matches!(read, Err(cause) if matches!(cause.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut))
    }
}

fn parse(block: &str) -> Option<Event> {
    let field = |name: &str| {
        let lines = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let values: Vec<&str> = lines.map(|value| value.strip_prefix(' ').unwrap_or(value)).collect();
        (!values.is_empty()).then(|| values.join("\n"))
    };
    // As browsers do: an event without data is none (it primes a stream that can be come back to).
    let data = field("data").filter(|data| !data.is_empty())?;
    Some(Event { name: field("event").unwrap_or_else(|| "message".into()), id: field("id"), data })
}
