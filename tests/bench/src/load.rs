//! The load: each connection has exactly one call under way, and every answer is checked (status, id, result).

use std::{
    io::Write as _,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;
use memchr::memmem;
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use serde_json::json;

use crate::{
    cpu,
    wire::{Message, Peer},
};

#[derive(clap::Args)]
pub struct Args {
    /// Where to, for example `http://127.0.0.1:9301/ws/bench`.
    #[arg(long)]
    url: String,
    /// Name of this run in the output.
    #[arg(long, default_value = "")]
    label: String,
    /// Bearer token; several, with commas between them, are shared out among the connections.
    #[arg(long, default_value = "none", value_delimiter = ',')]
    token: Vec<String>,
    /// Tool to call.
    #[arg(long, default_value = "echo")]
    tool: String,
    /// Bytes of the message that is echoed.
    #[arg(long, default_value_t = 64)]
    bytes: usize,
    /// Connections.
    #[arg(long, default_value_t = 64)]
    conns: usize,
    /// Calls a second, all connections together; 0: each begins its next call when the last one is answered.
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 2.5)]
    seconds: f64,
    /// Seconds before that.
    #[arg(long, default_value_t = 0.5)]
    warmup: f64,
    /// Speak 2026-07-28 (no session) instead of 2025-11-25.
    #[arg(long)]
    modern: bool,
    /// Process in the middle, whose CPU time is counted (with its children).
    #[arg(long)]
    pid: Option<u32>,
}

/// Ids have ten digits, so that every request has the same length.
const FIRST_ID: u64 = 1_000_000_000;
/// Whatever happens, a run ends.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, PartialEq)]
enum State {
    Opening,
    Announcing,
    Calling,
}

struct Connection {
    peer: Peer,
    state: State,
    /// A whole request and where its id stands.
    request: Vec<u8>,
    id_at: usize,
    id: u64,
    began: Instant,
    token: String,
    /// How long from the beginning of a call to that of the next, and when that is.
    every: Duration,
    due: Option<Instant>,
    answered: Instant,
}

struct Target {
    address: SocketAddr,
    host: String,
    path: String,
}

impl Target {
    fn parse(url: &str) -> anyhow::Result<Self> {
        let rest = url.strip_prefix("http://").context("only http:// is measured")?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let address: SocketAddr = host.parse().context("the URL needs an address and a port")?;
        ensure!(address.ip().is_loopback(), "load goes to loopback only");
        Ok(Target { address, host: host.to_owned(), path: format!("/{path}") })
    }

    fn request(&self, token: &str, more: &str, body: &str) -> Vec<u8> {
        format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\n{more}Content-Length: {}\r\n\r\n{body}",
            self.path,
            self.host,
            token,
            body.len()
        )
        .into_bytes()
    }

    fn call(&self, args: &Args, token: &str, session: Option<&str>) -> (Vec<u8>, usize) {
        let mut params = json!({"name": args.tool, "arguments": {"message": "m".repeat(args.bytes)}});
        let more = if args.modern {
            params["_meta"] = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"}});
            format!("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: {}\r\n", args.tool)
        } else {
            let session = session.map(|id| format!("Mcp-Session-Id: {id}\r\n")).unwrap_or_default();
            format!("MCP-Protocol-Version: 2025-11-25\r\n{session}")
        };
        let body = format!(r#"{{"jsonrpc":"2.0","id":{FIRST_ID},"method":"tools/call","params":{params}}}"#);
        let request = self.request(token, &more, &body);
        let at = memmem::find(&request, FIRST_ID.to_string().as_bytes()).unwrap_or_default();
        (request, at)
    }

    fn connect(&self, args: &Args, nth: usize) -> anyhow::Result<Connection> {
        let peer = Peer::new(TcpStream::connect(self.address)?);
        let token = args.token[nth % args.token.len()].clone();
        let (request, id_at) = self.call(args, &token, None);
        let state = if args.modern { State::Calling } else { State::Opening };
        let every = if args.rate > 0.0 { args.conns as f64 / args.rate } else { 0.0 };
        let every = Duration::from_secs_f64(every);
        Ok(Connection { peer, state, request, id_at, id: FIRST_ID, began: Instant::now(), token, every, due: None, answered: Instant::now() })
    }
}

/// What was seen.
struct Tally {
    latency: Histogram<u64>,
    calls: u64,
    errors: u64,
    first_error: Option<String>,
}

impl Connection {
    fn open(&mut self, target: &Target) -> anyhow::Result<()> {
        if self.state == State::Calling {
            return self.call();
        }
        let body = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;
        let request = target.request(&self.token, "", body);
        self.peer.send(&[&request])
    }

    /// Begins the next call now, or when its time has come.
    fn next_call(&mut self) -> anyhow::Result<()> {
        if self.every.is_zero() {
            return self.call();
        }
        // Late calls are caught up with, so that the rate holds.
        self.due = Some(self.due.unwrap_or(self.began) + self.every);
        self.call_if_due()
    }

    fn call_if_due(&mut self) -> anyhow::Result<()> {
        let waits = self.state == State::Calling && self.began < self.answered;
        if waits && self.due.is_some_and(|due| due <= Instant::now()) { self.call() } else { Ok(()) }
    }

    fn call(&mut self) -> anyhow::Result<()> {
        self.id += 1;
        let digits = self.id.to_string();
        self.request[self.id_at..self.id_at + digits.len()].copy_from_slice(digits.as_bytes());
        self.began = Instant::now();
        let Connection { peer, request, .. } = self;
        peer.send(&[request])
    }

    /// Takes an answer and sends what follows it.
    fn advance(&mut self, message: &Message, target: &Target, args: &Args, tally: &mut Tally) -> anyhow::Result<()> {
        match self.state {
            State::Opening => {
                ensure!(message.status == 200, "initialize: {} {}", message.status, show(message));
                let session = message.headers[0].as_deref();
                (self.request, self.id_at) = target.call(args, &self.token, session);
                let session = session.map(|id| format!("Mcp-Session-Id: {id}\r\n")).unwrap_or_default();
                self.state = State::Announcing;
                let body = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
                let request = target.request(&self.token, &format!("MCP-Protocol-Version: 2025-11-25\r\n{session}"), body);
                return self.peer.send(&[&request]);
            }
            State::Announcing => {
                ensure!(message.status == 202, "initialized: {} {}", message.status, show(message));
                self.state = State::Calling;
            }
            State::Calling => {
                let took = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
                let good = message.status == 200
                    && memmem::find(&message.body, format!("\"id\":{}", self.id).as_bytes()).is_some()
                    && memmem::find(&message.body, b"\"result\"").is_some();
                tally.calls += u64::from(good);
                tally.errors += u64::from(!good);
                if good {
                    tally.latency.saturating_record(took);
                } else if tally.first_error.is_none() {
                    tally.first_error = Some(format!("{} {}", message.status, show(message)));
                }
            }
        }
        self.answered = Instant::now();
        self.next_call()
    }
}

fn show(message: &Message) -> String {
    String::from_utf8_lossy(&message.body).chars().take(300).collect()
}

fn turn(
    poll: &mut Poll,
    events: &mut Events,
    connections: &mut [Connection],
    target: &Target,
    args: &Args,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    poll.poll(events, Some(Duration::from_millis(if args.rate > 0.0 { 1 } else { 20 })))?;
    for event in events.iter() {
        let connection = &mut connections[event.token().0];
        connection.peer.flush()?;
        ensure!(connection.peer.receive()?, "the other side closed a connection");
        while let Some(message) = connection.peer.next(false, &["mcp-session-id"])? {
            connection.advance(&message, target, args, tally)?;
        }
    }
    if args.rate > 0.0 {
        connections.iter_mut().try_for_each(Connection::call_if_due)?;
    }
    Ok(())
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let target = Target::parse(&args.url)?;
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1024));
    let mut connections = Vec::with_capacity(args.conns);
    for at in 0..args.conns {
        let mut connection = target.connect(args, at)?;
        poll.registry().register(&mut connection.peer.socket, Token(at), Interest::READABLE | Interest::WRITABLE)?;
        connections.push(connection);
    }
    let fresh = || {
        anyhow::Ok(Tally {
            latency: Histogram::new_with_bounds(1, 60_000_000_000, 3)?,
            calls: 0,
            errors: 0,
            first_error: None,
        })
    };
    let (mut tally, started) = (fresh()?, Instant::now());
    for connection in &mut connections {
        connection.open(&target)?;
    }
    let opening = |connections: &[Connection]| connections.iter().any(|connection| connection.state != State::Calling);
    while opening(&connections) || started.elapsed().as_secs_f64() < args.warmup {
        ensure!(started.elapsed() < PATIENCE, "not all connections opened");
        turn(&mut poll, &mut events, &mut connections, &target, args, &mut tally)?;
    }
    let warm = tally;
    tally = fresh()?;
    let (began, before) = (Instant::now(), args.pid.map(cpu::micros));
    while began.elapsed().as_secs_f64() < args.seconds {
        turn(&mut poll, &mut events, &mut connections, &target, args, &mut tally)?;
    }
    let (seconds, after) = (began.elapsed().as_secs_f64(), args.pid.map(cpu::micros));
    let micros = |quantile: f64| tally.latency.value_at_quantile(quantile) as f64 / 1000.0;
    let used = before.zip(after).map(|(before, after)| (after - before) as f64 / (tally.calls.max(1) as f64));
    let line = json!({
        "label": args.label, "conns": args.conns, "calls": tally.calls, "seconds": seconds,
        "per_second": tally.calls as f64 / seconds, "p50_us": micros(0.5), "p99_us": micros(0.99),
        "p999_us": micros(0.999), "cpu_us": used, "errors": tally.errors + warm.errors,
        "first_error": tally.first_error.or(warm.first_error),
    });
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}
