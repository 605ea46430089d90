//! A scripted HTTP/1.1 server for tests: small enough to misbehave in every way.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
};
use url::Url;

use crate::{config::UpstreamConfig, upstream::NetworkPolicy};

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The JSON-RPC id, raw.
    pub fn id(&self) -> String {
        let value: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        value["id"].to_string()
    }

    pub fn rpc(&self) -> String {
        let value: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        value["method"].as_str().unwrap_or_default().into()
    }
}

/// What happens to the connection after the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Keep,
    Close,
    Hang,
}

#[derive(Debug, Clone)]
pub struct Reply {
    pub bytes: Vec<u8>,
    pub then: Then,
    /// Messages that follow on an open event stream.
    pub more: Option<Arc<Mutex<Option<mpsc::UnboundedReceiver<String>>>>>,
}

impl Reply {
    pub fn new(status: u16, headers: &str, body: &str) -> Self {
        let bytes = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len());
        Reply { bytes: bytes.into_bytes(), then: Then::Keep, more: None }
    }
    pub fn empty(status: u16) -> Self {
        Reply::new(status, "", "")
    }
    pub fn json(status: u16, body: &str) -> Self {
        Reply::new(status, "content-type: application/json\r\n", body)
    }
    pub fn result(request: &Request, result: &str) -> Self {
        Reply::json(200, &format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, request.id()))
    }
    pub fn error(status: u16, request: &Request, code: i64) -> Self {
        let id = request.id();
        Reply::json(status, &format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"no"}}}}"#))
    }
    /// A chunked event stream that ends properly.
    pub fn events(events: &str) -> Self {
        let mut reply = Reply::open_events(events);
        reply.bytes.extend_from_slice(b"0\r\n\r\n");
        reply.then = Then::Keep;
        reply
    }
    /// A chunked event stream that stays open.
    pub fn open_events(events: &str) -> Self {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let chunk = if events.is_empty() { String::new() } else { format!("{:x}\r\n{events}\r\n", events.len()) };
        Reply { bytes: format!("{head}{chunk}").into_bytes(), then: Then::Hang, more: None }
    }
    pub fn raw(bytes: &str, then: Then) -> Self {
        Reply { bytes: bytes.as_bytes().to_vec(), then, more: None }
    }
    pub fn silence() -> Self {
        Reply::raw("", Then::Hang)
    }
}

/// A running server; stops with the test's runtime.
pub struct Fake {
    pub url: Url,
    seen: Arc<Mutex<Vec<Request>>>,
    happened: Arc<Happened>,
    stream: Option<Arc<Mutex<Option<mpsc::UnboundedSender<String>>>>>,
}

/// Counts of connections, and a bell that rings with every request and every end of a connection.
#[derive(Default)]
struct Happened {
    opened: AtomicUsize,
    closed: AtomicUsize,
    bell: Notify,
}

impl Fake {
    pub async fn start(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/mcp", listener.local_addr().unwrap())).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let happened = Arc::new(Happened::default());
        let (script, log, noted) = (Arc::new(script), seen.clone(), happened.clone());
        actix_rt::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                noted.opened.fetch_add(1, SeqCst);
                let (script, log, noted) = (script.clone(), log.clone(), noted.clone());
                actix_rt::spawn(async move {
                    serve(stream, script, log, &noted.bell).await;
                    noted.closed.fetch_add(1, SeqCst);
                    noted.bell.notify_waiters();
                });
            }
        });
        Fake { url, seen, happened, stream: None }
    }

    /// Ends the open HTTP+SSE stream; posts to it find nothing.
    pub fn forget_streams(&self) {
        self.stream.as_ref().unwrap().lock().unwrap().take();
    }

    /// Connections made so far.
    pub fn connections(&self) -> usize {
        self.happened.opened.load(SeqCst)
    }

    /// Waits until that many connections were closed by the other side.
    pub async fn until_closed(&self, count: usize) {
        self.until(|| self.happened.closed.load(SeqCst) >= count).await;
    }

    /// Waits until `condition` holds; looks again whenever something happened at the server.
    pub async fn until(&self, condition: impl Fn() -> bool) {
        loop {
            let mut bell = std::pin::pin!(self.happened.bell.notified());
            bell.as_mut().enable();
            if condition() {
                return;
            }
            bell.await;
        }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// The JSON-RPC methods that arrived, in order; other requests by their HTTP method.
    pub fn methods(&self) -> Vec<String> {
        let name = |request: &Request| match request.rpc() {
            rpc if rpc.is_empty() => request.method.clone(),
            rpc => rpc,
        };
        self.requests().iter().map(name).collect()
    }
}

async fn serve<S: Fn(&Request) -> Reply>(
    mut stream: TcpStream,
    script: Arc<S>,
    log: Arc<Mutex<Vec<Request>>>,
    bell: &Notify,
) {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await {
        log.lock().unwrap().push(request.clone());
        bell.notify_waiters();
        let reply = script(&request);
        if stream.write_all(&reply.bytes).await.is_err() {
            return;
        }
        match reply.then {
            Then::Keep => {}
            Then::Close => return,
            Then::Hang => return hang(stream, reply).await,
        }
    }
}

/// Keeps the connection, sending what is to be sent, until the other side closes it.
async fn hang(mut stream: TcpStream, reply: Reply) {
    let mut more = reply.more.and_then(|more| more.lock().unwrap().take());
    let mut sink = [0; 256];
    loop {
        let next = async {
            match &mut more {
                Some(more) => more.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            read = stream.read(&mut sink) => if !matches!(read, Ok(read) if read > 0) { return },
            event = next => {
                let Some(event) = event else { return };
                let event = format!("event: message\ndata: {event}\n\n");
                let chunk = format!("{:x}\r\n{event}\r\n", event.len());
                if stream.write_all(chunk.as_bytes()).await.is_err() { return }
            }
        }
    }
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Request> {
    loop {
        if let Some(end) = memchr::memmem::find(buffer, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let mut lines = head.lines();
            let mut first = lines.next()?.split(' ');
            let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
            let headers: Vec<(String, String)> = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
                .collect();
            let mut request = Request { method, path, headers, body: String::new() };
            let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
            if buffer.len() >= end + 4 + length {
                request.body = String::from_utf8_lossy(&buffer[end + 4..end + 4 + length]).into_owned();
                buffer.drain(..end + 4 + length);
                return Some(request);
            }
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(read) if read > 0 => buffer.extend_from_slice(&piece[..read]),
            _ => return None,
        }
    }
}

/// An HTTP+SSE server: whatever is posted to `/messages` is answered on the stream. `initialized` answers the
/// handshake; `tools/list` gives one tool, `tools/call` reports progress and echoes its id.
pub async fn sse_server(initialized: &'static str) -> Fake {
    let stream: Arc<Mutex<Option<mpsc::UnboundedSender<String>>>> = Arc::default();
    let kept = stream.clone();
    let mut fake = Fake::start(move |request| match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/mcp") => {
            let (events, receiver) = mpsc::unbounded_channel();
            *kept.lock().unwrap() = Some(events);
            let mut reply = Reply::open_events("event: endpoint\ndata: /messages\n\n");
            reply.more = Some(Arc::new(Mutex::new(Some(receiver))));
            reply
        }
        ("POST", "/messages") => {
            let Some(events) = kept.lock().unwrap().clone() else { return Reply::empty(404) };
            let id = request.id();
            let result = match request.rpc().as_str() {
                "initialize" => initialized.to_owned(),
                "tools/list" => r#"{"tools":[{"name":"echo","inputSchema":{"type":"object"}}]}"#.to_owned(),
                "tools/call" => {
                    let progress = format!(
                        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{id},"progress":1}}}}"#
                    );
                    let _sent = events.send(progress);
                    format!(r#"{{"content":[],"id":{id}}}"#)
                }
                _ => return Reply::empty(202),
            };
            let _sent = events.send(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#));
            Reply::empty(202)
        }
        _ => Reply::empty(405),
    })
    .await;
    fake.stream = Some(stream);
    fake
}

/// A policy that lets tests reach loopback.
pub fn open_policy() -> Arc<NetworkPolicy> {
    Arc::new(NetworkPolicy::new(true, Vec::new()))
}

/// Limits small enough to be reached in a test.
pub fn small_config() -> UpstreamConfig {
    UpstreamConfig {
        answer_bytes: 4096,
        event_bytes: 1024,
        call_timeout_seconds: 1,
        discovery_timeout_seconds: 1,
        ..UpstreamConfig::default()
    }
}

/// Patience for tests: long enough to never matter when all is well.
pub const SOON: Duration = Duration::from_millis(300);
