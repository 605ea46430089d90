//! An MCP server that is never what is measured: one thread, no allocation worth naming, answers of constant shape.
//! It speaks 2025-11-25 with sessions that it does not check, and one tool, `echo`.

use std::{collections::HashMap, io::Write as _, net::SocketAddr};

use mio::{Events, Interest, Poll, Token, net::TcpListener};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::wire::{Message, Peer};

#[derive(clap::Args)]
pub struct Args {
    /// Loopback address to listen on.
    #[arg(long)]
    listen: SocketAddr,
    /// Answer calls as an event stream instead of plain JSON.
    #[arg(long)]
    sse: bool,
    /// Answer 401 unless the Authorization header is exactly this.
    #[arg(long)]
    auth: Option<String>,
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: &'a str,
    #[serde(borrow)]
    params: Option<Params<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    arguments: Option<Arguments<'a>>,
}

#[derive(Deserialize)]
struct Arguments<'a> {
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

const LISTENER: Token = Token(usize::MAX);

pub fn run(args: &Args) -> anyhow::Result<()> {
    anyhow::ensure!(args.listen.ip().is_loopback(), "--listen: loopback only");
    let mut listener = TcpListener::bind(args.listen)?;
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1024));
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    writeln!(std::io::stdout(), "listening on http://{}/mcp", args.listen)?;
    let (mut peers, mut next) = (HashMap::new(), 0);
    loop {
        if let Err(error) = poll.poll(&mut events, None) {
            if error.kind() == std::io::ErrorKind::Interrupted {
                continue;
            }
            return Err(error.into());
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut socket, _)) = listener.accept() {
                    poll.registry().register(&mut socket, Token(next), Interest::READABLE | Interest::WRITABLE)?;
                    peers.insert(Token(next), Peer::new(socket));
                    next += 1;
                }
            } else if let Some(peer) = peers.get_mut(&event.token())
                && !serve(peer, args).unwrap_or(false)
            {
                peers.remove(&event.token());
            }
        }
    }
}

/// Answers all that came; false: the connection is over.
fn serve(peer: &mut Peer, args: &Args) -> anyhow::Result<bool> {
    peer.flush()?;
    let open = peer.receive()?;
    while let Some(message) = peer.next(true, &["authorization"])? {
        let answer = answer(&message, args);
        peer.send(&[&answer])?;
    }
    Ok(open)
}

fn answer(message: &Message, args: &Args) -> Vec<u8> {
    match message.method.as_str() {
        "POST" => {}
        "DELETE" => return http("200 OK", "application/json", "", b""),
        _ => return http("405 Method Not Allowed", "text/plain", "Allow: POST, DELETE\r\n", b""),
    }
    if args.auth.is_some() && message.headers[0] != args.auth {
        return http("401 Unauthorized", "text/plain", "", b"");
    }
    let Ok(request) = serde_json::from_slice::<Request>(&message.body) else {
        return http("400 Bad Request", "text/plain", "", b"not a request");
    };
    let Some(id) = request.id else { return http("202 Accepted", "text/plain", "", b"") };
    let mut more = "";
    let result = match request.method {
        "initialize" => {
            more = "Mcp-Session-Id: bench\r\n";
            r#""result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"bench","version":"1"}}"#.to_owned()
        }
        "tools/list" => {
            r#""result":{"tools":[{"name":"echo","description":"Answers with the message.","inputSchema":{"type":"object","properties":{"message":{"type":"string"}}}}]}"#.to_owned()
        }
        "tools/call" => {
            let message = request.params.and_then(|params| params.arguments).and_then(|arguments| arguments.message);
            let text = message.map_or(r#""""#, RawValue::get);
            format!(r#""result":{{"content":[{{"type":"text","text":{text}}}]}}"#)
        }
        "ping" => r#""result":{}"#.to_owned(),
        _ => r#""error":{"code":-32601,"message":"Method not found"}"#.to_owned(),
    };
    let body = format!(r#"{{"jsonrpc":"2.0","id":{},{result}}}"#, id.get());
    if args.sse && request.method == "tools/call" {
        let event = format!("event: message\ndata: {body}\n\n");
        let chunk = format!("{:x}\r\n{event}\r\n0\r\n\r\n", event.len());
        return [
            &b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"[..],
            chunk.as_bytes(),
        ]
        .concat();
    }
    http("200 OK", "application/json", more, body.as_bytes())
}

fn http(status: &str, kind: &str, more: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = Vec::with_capacity(160 + body.len());
    // Writing to a vector cannot fail.
    let _ = write!(answer, "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{more}Content-Length: {}\r\n\r\n", body.len());
    answer.extend_from_slice(body);
    answer
}
