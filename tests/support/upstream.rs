//! MCP servers for tests: they record every byte they get and answer by a script, well or badly. One thread per
//! connection, so that a script may wait for whatever it likes.

use std::{
    io::{BufRead, BufReader, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, Weak},
    time::Duration,
};

use serde_json::{Value, json};

use super::wait::DEADLINE;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    /// Head and body, byte for byte.
    pub bytes: Vec<u8>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
    /// The JSON-RPC method, or the HTTP method of what is none.
    pub fn rpc(&self) -> String {
        self.json()["method"].as_str().map_or_else(|| self.method.clone(), str::to_owned)
    }
    /// The JSON-RPC id, as JSON.
    pub fn id(&self) -> Value {
        self.json()["id"].clone()
    }
    /// The tool that is called.
    pub fn tool(&self) -> String {
        self.json()["params"]["name"].as_str().unwrap_or_default().to_owned()
    }
}

#[derive(Default)]
struct Record {
    seen: Vec<Seen>,
    notes: Vec<String>,
}

#[derive(Default)]
struct Book {
    connections: Mutex<Vec<Weak<TcpStream>>>,
    record: Mutex<Record>,
    bell: Condvar,
}

impl Book {
    fn write(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.record.lock().expect("not poisoned"));
        self.bell.notify_all();
    }
}

/// A server that runs until the test process ends.
#[derive(Clone)]
pub struct Upstream {
    pub address: SocketAddr,
    book: Arc<Book>,
}

impl Upstream {
    /// Starts a server that answers each request by `script`.
    pub fn start(script: impl Fn(&Seen, &mut Conn) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let upstream = Upstream { address, book: Arc::default() };
        let (book, script) = (upstream.book.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (book, script) = (book.clone(), script.clone());
                std::thread::spawn(move || serve(stream, &book, &*script));
            }
        });
        upstream
    }
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }
    /// Ends all connections, as a server does that is started again.
    pub fn hang_up(&self) {
        let connections = std::mem::take(&mut *self.book.connections.lock().expect("not poisoned"));
        for connection in connections.iter().filter_map(Weak::upgrade) {
            let _already_gone = connection.shutdown(Shutdown::Both);
        }
    }
    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.book.record.lock().expect("not poisoned").seen.clone()
    }
    /// The requests of a JSON-RPC method.
    pub fn of(&self, method: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.rpc() == method).collect()
    }
    /// The tool calls.
    pub fn calls(&self) -> Vec<Seen> {
        self.of("tools/call")
    }
    /// The last tool call.
    #[track_caller]
    pub fn last_call(&self) -> Seen {
        self.calls().pop().expect("a call")
    }
    /// Everything received, as text.
    pub fn transcript(&self) -> String {
        self.seen().iter().map(Seen::text).collect()
    }
    /// Waits until what was seen fits.
    #[track_caller]
    pub fn until_seen(&self, what: &str, fits: impl Fn(&[Seen]) -> bool) {
        self.wait(what, DEADLINE, |record| fits(&record.seen));
    }
    /// Waits until a script has noted that.
    #[track_caller]
    pub fn until_noted(&self, note: &str, limit: Duration) {
        self.wait(note, limit, |record| record.notes.iter().any(|found| found == note));
    }
    pub fn notes(&self) -> Vec<String> {
        self.book.record.lock().expect("not poisoned").notes.clone()
    }
    #[track_caller]
    fn wait(&self, what: &str, limit: Duration, fits: impl Fn(&Record) -> bool) {
        let record = self.book.record.lock().expect("not poisoned");
        let (record, over) =
            self.book.bell.wait_timeout_while(record, limit, |record| !fits(record)).expect("not poisoned");
        let (seen, notes) = (record.seen.iter().map(Seen::rpc).collect::<Vec<_>>(), record.notes.clone());
        drop(record);
        assert!(!over.timed_out(), "not within {limit:?}: {what}; seen {seen:?}, noted {notes:?}");
    }
}

fn serve(stream: TcpStream, book: &Arc<Book>, script: &dyn Fn(&Seen, &mut Conn)) {
    stream.set_nodelay(true).expect("nodelay");
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let known = Arc::new(stream.try_clone().expect("a third handle"));
    book.connections.lock().expect("not poisoned").push(Arc::downgrade(&known));
    let mut conn = Conn { stream, book: book.clone(), open: true };
    while let Some(seen) = read(&mut reader) {
        book.write(|record| record.seen.push(seen.clone()));
        script(&seen, &mut conn);
        if !conn.open {
            let _already_gone = conn.stream.shutdown(Shutdown::Both);
            return;
        }
    }
}

/// The next request of a connection; none at its end.
pub fn read(reader: &mut impl BufRead) -> Option<Seen> {
    let mut bytes = Vec::new();
    loop {
        let from = bytes.len();
        if reader.read_until(b'\n', &mut bytes).ok()? == 0 {
            return None;
        }
        if matches!(bytes.get(from..), Some(b"\r\n" | b"\n")) {
            break;
        }
    }
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let mut seen = Seen { method, path, headers, bytes, body: Vec::new() };
    let length = seen.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    seen.body = vec![0; length];
    reader.read_exact(&mut seen.body).ok()?;
    let body = seen.body.clone();
    seen.bytes.extend_from_slice(&body);
    Some(seen)
}

/// The way back.
pub struct Conn {
    stream: TcpStream,
    book: Arc<Book>,
    open: bool,
}

impl Conn {
    /// Bytes as they are.
    pub fn raw(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }
    /// A whole answer.
    pub fn reply(&mut self, status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        let mut head = format!("HTTP/1.1 {status} Status\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.raw([head.as_bytes(), body].concat());
    }
    pub fn json(&mut self, status: u16, body: impl AsRef<[u8]>) {
        self.reply(status, &[("content-type", "application/json")], body);
    }
    /// A JSON-RPC result.
    pub fn result(&mut self, seen: &Seen, result: impl std::fmt::Display) {
        self.json(200, format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, seen.id()));
    }
    /// A JSON-RPC error.
    pub fn error(&mut self, status: u16, seen: &Seen, code: i64, message: &str) {
        let error = json!({ "code": code, "message": message });
        self.json(status, format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, seen.id()));
    }
    /// A tool's answer with that text.
    pub fn says(&mut self, seen: &Seen, text: &str) {
        self.result(seen, json!({ "content": [{ "type": "text", "text": text }] }));
    }
    /// Begins an event stream.
    pub fn begin_events(&mut self) {
        self.raw("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
    }
    /// One event of a stream; whether it could be written.
    pub fn event(&mut self, message: impl std::fmt::Display) -> bool {
        self.event_named("message", message)
    }
    pub fn event_named(&mut self, name: &str, data: impl std::fmt::Display) -> bool {
        let event = format!("event: {name}\ndata: {data}\n\n");
        self.raw(format!("{:x}\r\n{event}\r\n", event.len()))
    }
    /// Ends an event stream properly.
    pub fn end_events(&mut self) {
        self.raw("0\r\n\r\n");
    }
    /// Ends the connection at once, whoever waits on it.
    pub fn hang_up(&mut self) {
        let _already_gone = self.stream.shutdown(Shutdown::Both);
    }
    /// Ends the connection, at once.
    pub fn close(&mut self) {
        let _gone = self.stream.shutdown(std::net::Shutdown::Write);
        self.open = false;
    }
    /// Writes into the record.
    pub fn note(&self, what: &str) {
        self.book.write(|record| record.notes.push(what.to_owned()));
    }
    /// Keeps silent until the other side leaves.
    pub fn until_gone(&mut self) {
        let mut rest = [0; 512];
        while matches!(self.stream.read(&mut rest), Ok(read) if read > 0) {}
        self.open = false;
    }
    /// A second way back, to write from elsewhere.
    pub fn again(&self) -> Conn {
        Conn { stream: self.stream.try_clone().expect("a second handle"), book: self.book.clone(), open: true }
    }
}
