//! A small HTTP/1.1 client that hides nothing: exact bytes out, head and body in, and streams that are read piece by
//! piece. Blocking, because a test reads best from top to bottom; many clients are many threads.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
};

use serde_json::Value;

use super::{events::Events, wait::DEADLINE};

/// A request to send.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn new(method: &'static str, path: impl Into<String>) -> Self {
        Request { method, path: path.into(), headers: Vec::new(), body: Vec::new() }
    }
    pub fn get(path: impl Into<String>) -> Self {
        Request::new("GET", path)
    }
    /// A POST of JSON, as MCP clients make it.
    pub fn post(path: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        let mut request = Request::new("POST", path)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        request.body = body.into();
        request
    }
    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
    /// Replaces a header.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self = self.without(name);
        self.header(name, value)
    }
    /// Takes a header away.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(found, _)| !found.eq_ignore_ascii_case(name));
        self
    }
    pub fn bearer(self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }
    /// Sends it on a connection of its own.
    #[track_caller]
    pub fn send(&self, to: SocketAddr) -> Response {
        Connection::to(to).send(self)
    }
    /// Sends it on a connection of its own and leaves the answer's body to be read as it comes.
    #[track_caller]
    pub fn open(&self, to: SocketAddr) -> Streaming {
        let mut connection = Connection::to(to);
        connection.write(&self.bytes(to));
        connection.streaming().expect("an answer's head")
    }
    /// As bytes.
    pub fn bytes(&self, to: SocketAddr) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str(&format!("host: {to}\r\n"));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let has = |name: &str| self.headers.iter().any(|(found, _)| found.eq_ignore_ascii_case(name));
        if (!self.body.is_empty() || self.method == "POST") && !has("content-length") && !has("transfer-encoding") {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
    /// The body as JSON; an event stream's last message.
    #[track_caller]
    pub fn json(&self) -> Value {
        let is_stream = self.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
        let text = self.text();
        let text = if is_stream { text.rsplit("data: ").next().unwrap_or_default() } else { &text };
        serde_json::from_str(text).unwrap_or_else(|cause| panic!("not JSON ({cause}): {} {}", self.status, self.text()))
    }
    /// The JSON-RPC error code.
    #[track_caller]
    pub fn code(&self) -> i64 {
        let json = self.json();
        json["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error in {json}"))
    }
    /// The JSON-RPC result.
    #[track_caller]
    pub fn result(&self) -> Value {
        let json = self.json();
        assert!(json.get("result").is_some(), "{} {json}", self.status);
        json["result"].clone()
    }
    /// Asserts the status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
    /// The head and the body as text, to look for what must not be there.
    pub fn everything(&self) -> String {
        format!("{:?} {}", self.headers, self.text())
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// A kept connection.
pub struct Connection {
    to: SocketAddr,
    stream: BufReader<TcpStream>,
}

impl Connection {
    #[track_caller]
    pub fn to(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).unwrap_or_else(|cause| panic!("no connection to {to}: {cause}"));
        stream.set_nodelay(true).expect("nodelay");
        stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        Connection { to, stream: BufReader::new(stream) }
    }
    /// Sends and reads the whole answer.
    #[track_caller]
    pub fn send(&mut self, request: &Request) -> Response {
        self.try_send(request).unwrap_or_else(|cause| panic!("{} {}: {cause}", request.method, request.path))
    }
    /// As `send`; an error when the connection ends early.
    pub fn try_send(&mut self, request: &Request) -> std::io::Result<Response> {
        // A refusal may come, and the connection end, before all of a large body is taken.
        let written = self.stream.get_mut().write_all(&request.bytes(self.to));
        match self.answer() {
            Ok(response) => Ok(response),
            Err(cause) => Err(written.err().unwrap_or(cause)),
        }
    }
    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("written");
    }
    /// Reads one whole answer.
    pub fn answer(&mut self) -> std::io::Result<Response> {
        let (status, headers) = head(&mut self.stream)?;
        let mut framing = Framing::of(status, &headers);
        let mut body = Vec::new();
        while let Some(piece) = framing.next(&mut self.stream)? {
            body.extend_from_slice(&piece);
        }
        Ok(Response { status, headers, body })
    }
    /// Reads the head and leaves the body.
    pub fn streaming(mut self) -> std::io::Result<Streaming> {
        let (status, headers) = head(&mut self.stream)?;
        let framing = Framing::of(status, &headers);
        Ok(Streaming { status, headers, stream: self.stream, framing })
    }
    /// Half-closes.
    pub fn finish_writing(&mut self) {
        self.stream.get_mut().shutdown(Shutdown::Write).expect("half-closed");
    }
}

/// An answer whose body is read as it comes.
pub struct Streaming {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    stream: BufReader<TcpStream>,
    framing: Framing,
}

impl Streaming {
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
    /// The next piece, none at the end.
    pub fn next(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        self.framing.next(&mut self.stream)
    }
    /// As server-sent events.
    #[track_caller]
    pub fn events(self) -> Events {
        assert_eq!(self.status, 200, "{:?}", self.headers);
        assert_eq!(self.header("content-type"), Some("text/event-stream"));
        Events::new(self)
    }
    /// A handle that can end the connection from elsewhere.
    pub fn socket(&self) -> TcpStream {
        self.stream.get_ref().try_clone().expect("a second handle")
    }
}

fn line(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "closed"));
    }
    Ok(line.trim_end().to_owned())
}

fn head(stream: &mut BufReader<TcpStream>) -> std::io::Result<(u16, Vec<(String, String)>)> {
    let first = line(stream)?;
    let status = first.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{first}"));
    let mut headers = Vec::new();
    loop {
        let line = line(stream)?;
        let Some((name, value)) = line.split_once(':') else { return Ok((status, headers)) };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// How a body ends.
enum Framing {
    Length(usize),
    Chunked,
    Close,
    Over,
}

impl Framing {
    fn of(status: u16, headers: &[(String, String)]) -> Self {
        if status == 204 || status == 304 {
            return Framing::Over;
        }
        match find(headers, "content-length").and_then(|text| text.parse().ok()) {
            Some(length) => Framing::Length(length),
            None if find(headers, "transfer-encoding") == Some("chunked") => Framing::Chunked,
            None => Framing::Close,
        }
    }
    fn next(&mut self, stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Vec<u8>>> {
        match *self {
            Framing::Over | Framing::Length(0) => Ok(None),
            Framing::Length(length) => {
                let mut all = vec![0; length];
                stream.read_exact(&mut all)?;
                *self = Framing::Over;
                Ok(Some(all))
            }
            Framing::Close => {
                let mut all = Vec::new();
                stream.read_to_end(&mut all)?;
                *self = Framing::Over;
                Ok(Some(all))
            }
            Framing::Chunked => {
                let text = line(stream)?;
                let size = usize::from_str_radix(&text, 16).unwrap_or_else(|_| panic!("no chunk size: {text}"));
                let mut piece = vec![0; size + 2];
                stream.read_exact(&mut piece)?;
                piece.truncate(size);
                if size == 0 {
                    *self = Framing::Over;
                    return Ok(None);
                }
                Ok(Some(piece))
            }
        }
    }
}
