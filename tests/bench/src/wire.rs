//! HTTP/1.1 framing over a non-blocking socket: enough for keep-alive peers that send lengths or chunks.

use std::io::{ErrorKind, Read, Write};

use anyhow::{Context as _, bail};
use mio::net::TcpStream;

const MAX_HEADERS: usize = 48;

/// A message at the start of a buffer.
pub struct Message {
    /// Request method, or empty for an answer.
    pub method: String,
    /// Answer status, or 0 for a request.
    pub status: u16,
    pub body: Vec<u8>,
    /// Bytes of the buffer that it took.
    pub taken: usize,
    /// Values of the headers that were asked for, in that order.
    pub headers: Vec<Option<String>>,
}

/// The message at the start of `buffer`, when it is all there.
pub fn parse(buffer: &[u8], is_request: bool, wanted: &[&str]) -> anyhow::Result<Option<Message>> {
    let mut storage = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let (head, method, status, headers) = if is_request {
        let mut request = httparse::Request::new(&mut storage);
        let httparse::Status::Complete(head) = request.parse(buffer)? else { return Ok(None) };
        (head, request.method.unwrap_or_default().to_owned(), 0, &*request.headers)
    } else {
        let mut answer = httparse::Response::new(&mut storage);
        let httparse::Status::Complete(head) = answer.parse(buffer)? else { return Ok(None) };
        (head, String::new(), answer.code.unwrap_or_default(), &*answer.headers)
    };
    let value = |name: &str| {
        let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()
    };
    let framed = if value("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        chunks(&buffer[head..])?
    } else {
        let length: usize = value("content-length").map_or(Ok(0), str::parse).context("content-length")?;
        buffer[head..].get(..length).map(|body| (body.to_vec(), length))
    };
    let found = wanted.iter().map(|name| value(name).map(str::to_owned)).collect();
    Ok(framed.map(|(body, length)| Message { method, status, body, taken: head + length, headers: found }))
}

fn chunks(mut rest: &[u8]) -> anyhow::Result<Option<(Vec<u8>, usize)>> {
    let (whole, mut body) = (rest.len(), Vec::new());
    loop {
        let httparse::Status::Complete((start, size)) =
            httparse::parse_chunk_size(rest).map_err(|_| anyhow::anyhow!("chunk size"))?
        else {
            return Ok(None);
        };
        let size = usize::try_from(size)?;
        let Some(chunk) = rest.get(start..start + size + 2) else { return Ok(None) };
        body.extend_from_slice(&chunk[..size]);
        rest = &rest[start + size + 2..];
        if size == 0 {
            return Ok(Some((body, whole - rest.len())));
        }
    }
}

/// A socket with what came and what still has to go.
pub struct Peer {
    pub socket: TcpStream,
    received: Vec<u8>,
    to_send: Vec<u8>,
    sent: usize,
}

impl Peer {
    pub fn new(socket: TcpStream) -> Self {
        // Answers of one packet must not wait for an acknowledgement.
        let _ = socket.set_nodelay(true);
        Peer { socket, received: Vec::with_capacity(16 * 1024), to_send: Vec::new(), sent: 0 }
    }

    /// Reads all there is; false: the other side closed.
    pub fn receive(&mut self) -> anyhow::Result<bool> {
        let mut block = [0u8; 16 * 1024];
        loop {
            match self.socket.read(&mut block) {
                Ok(0) => return Ok(false),
                Ok(count) => {
                    self.received.extend_from_slice(&block[..count]);
                    // A short read emptied the socket: the next event comes by itself.
                    if count < block.len() {
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => bail!(error),
            }
        }
    }

    /// The next whole message, taken out of what came.
    pub fn next(&mut self, is_request: bool, wanted: &[&str]) -> anyhow::Result<Option<Message>> {
        if self.received.is_empty() {
            return Ok(None);
        }
        let message = parse(&self.received, is_request, wanted)?;
        if let Some(message) = &message {
            self.received.drain(..message.taken);
        }
        Ok(message)
    }

    /// Sends as much as the socket takes; the rest goes with `flush` when it can be written again.
    pub fn send(&mut self, parts: &[&[u8]]) -> anyhow::Result<()> {
        for part in parts {
            self.to_send.extend_from_slice(part);
        }
        self.flush()
    }

    pub fn flush(&mut self) -> anyhow::Result<()> {
        while self.sent < self.to_send.len() {
            match self.socket.write(&self.to_send[self.sent..]) {
                Ok(0) => bail!("the socket takes nothing"),
                Ok(count) => self.sent += count,
                // Not yet connected is not yet writable.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => bail!(error),
            }
        }
        self.to_send.clear();
        self.sent = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_there_only_when_all_of_it_is() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-A: b\r\n\r\nbodyrest";
        for cut in 0..whole.len() - 4 {
            assert!(parse(&whole[..cut], false, &[]).unwrap().is_none(), "cut at {cut}");
        }
        let message = parse(whole, false, &["x-a", "x-c"]).unwrap().unwrap();
        assert_eq!((message.status, message.body.as_slice(), message.taken), (200, &b"body"[..], whole.len() - 4));
        assert_eq!(message.headers, [Some("b".to_owned()), None]);
    }

    #[test]
    fn chunks_are_joined() {
        let whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        for cut in 0..whole.len() {
            assert!(parse(&whole[..cut], false, &[]).unwrap().is_none(), "cut at {cut}");
        }
        let message = parse(whole, false, &[]).unwrap().unwrap();
        assert_eq!((message.body.as_slice(), message.taken), (&b"abcde"[..], whole.len()));
    }

    #[test]
    fn requests_are_read_too() {
        let message = parse(b"DELETE /mcp HTTP/1.1\r\nHost: a\r\n\r\n", true, &[]).unwrap().unwrap();
        assert_eq!((message.method.as_str(), message.status, message.body.len()), ("DELETE", 0, 0));
    }
}
