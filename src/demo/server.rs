//! The example MCP server of `serve --demo`: a handful of tools on a loopback listener of its own, in both eras. It
//! keeps no session. A listener of this process is otherwise never an MCP server; this one is exempt by its address.

use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use serde_json::{Value, json};

use crate::{
    domain::{clock, random},
    error::{Error, Result},
    protocol::{headers, jsonrpc, meta, revision::Revision, sse},
};

/// Largest request body, in bytes.
const BODY: usize = 256 * 1024;
/// Longest `slow`, in steps.
const STEPS: u64 = 60;

/// Starts it on a free loopback port.
pub fn start() -> Result<(SocketAddr, actix_web::dev::Server)> {
    let failed = |cause: std::io::Error| Error::internal("starting the demo server", cause);
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let http = HttpServer::new(|| {
        App::new()
            .app_data(web::PayloadConfig::new(BODY))
            .service(web::resource("/mcp").route(web::post().to(post)).default_service(web::to(only_post)))
    });
    let server = http
        .workers(1)
        .tcp_nodelay(true)
        .h1_allow_half_closed(false)
        .disable_signals()
        .listen(listener)
        .map_err(failed)?;
    Ok((address, server.run()))
}

async fn only_post() -> HttpResponse {
    HttpResponse::MethodNotAllowed().insert_header(("allow", "POST")).finish()
}

async fn post(request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let Ok(message) = serde_json::from_slice::<Value>(&body) else {
        return HttpResponse::BadRequest().body(jsonrpc::error(None, -32700, "Not JSON", None));
    };
    let Some(id) = message.get("id").filter(|id| !id.is_null()) else { return HttpResponse::Accepted().finish() };
    let params = message.get("params").cloned().unwrap_or_default();
    let method = message.get("method").and_then(Value::as_str).unwrap_or_default();
    let modern =
        request.headers().get(headers::PROTOCOL_VERSION).is_some_and(|value| value == Revision::MODERN.as_str());
    let answer = match method {
        "server/discover" if modern => Ok(cacheable(json!({
            "supportedVersions": [Revision::MODERN.as_str()], "capabilities": { "tools": {} },
        }))),
        "initialize" => Ok(json!({
            "protocolVersion": Revision::negotiate(text_of(&params, "protocolVersion")).as_str(),
            "capabilities": { "tools": {} }, "serverInfo": { "name": "aerostack-demo", "version": env!("CARGO_PKG_VERSION") },
        })),
        "ping" => Ok(json!({})),
        "tools/list" => Ok(cacheable(json!({ "tools": tools() }))),
        "tools/call" if text_of(&params, "name") == "slow" => return slow(id, &params),
        "tools/call" => call(&params),
        _ => Err((-32601, "Method not found")),
    };
    let id = id.to_string();
    match answer {
        Ok(result) => {
            let body = jsonrpc::response(id.as_bytes(), result.to_string().as_bytes());
            HttpResponse::Ok().insert_header(("content-type", headers::JSON)).body(body)
        }
        Err((code, text)) => {
            let status = if modern && code == -32601 { 404 } else { 200 };
            let status = actix_web::http::StatusCode::from_u16(status).unwrap_or_default();
            HttpResponse::build(status).insert_header(("content-type", headers::JSON)).body(jsonrpc::error(
                Some(id.as_bytes()),
                code,
                text,
                None,
            ))
        }
    }
}

fn cacheable(mut result: Value) -> Value {
    if let Some(members) = result.as_object_mut() {
        members.insert("resultType".into(), "complete".into());
        members.insert("ttlMs".into(), 60_000.into());
        members.insert("cacheScope".into(), "public".into());
    }
    result
}

fn tools() -> Value {
    let number = json!({ "type": "number" });
    let tool = |name: &str, title: &str, description: &str, properties: Value, required: Value| {
        json!({
            "name": name, "title": title, "description": description,
            "inputSchema": { "type": "object", "properties": properties, "required": required },
            "annotations": { "readOnlyHint": true, "openWorldHint": false },
        })
    };
    json!([
        tool("add", "Add", "Adds two numbers.", json!({ "a": number, "b": number }), json!(["a", "b"])),
        tool("echo", "Echo", "Says what it was told.", json!({ "message": { "type": "string" } }), json!(["message"])),
        tool("time", "Time", "The time of this machine, in UTC.", json!({}), json!([])),
        tool(
            "dice",
            "Dice",
            "Throws dice.",
            json!({ "count": { "type": "integer", "minimum": 1, "maximum": 100 } }),
            json!([])
        ),
        tool(
            "words",
            "Words",
            "Counts the words, lines and characters of a text.",
            json!({ "text": { "type": "string" } }),
            json!(["text"])
        ),
        tool(
            "slow",
            "Slow",
            "Takes its time and reports progress once a second.",
            json!({ "seconds": { "type": "integer", "minimum": 1, "maximum": STEPS } }),
            json!([])
        ),
    ])
}

fn text(text: impl Into<String>) -> Value {
    json!({ "content": [{ "type": "text", "text": text.into() }], "resultType": "complete" })
}

fn text_of<'a>(params: &'a Value, name: &str) -> &'a str {
    params.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn call(params: &Value) -> std::result::Result<Value, (i64, &'static str)> {
    let arguments = params.get("arguments").cloned().unwrap_or_default();
    let number = |name: &str| arguments.get(name).and_then(Value::as_f64);
    let words = |name: &str| arguments.get(name).and_then(Value::as_str);
    match text_of(params, "name") {
        "add" => match (number("a"), number("b")) {
            (Some(a), Some(b)) => Ok(text((a + b).to_string())),
            _ => Err((-32602, "add needs two numbers, a and b")),
        },
        "echo" => words("message").map(text).ok_or((-32602, "echo needs a message")),
        "time" => Ok(text(clock::now().to_rfc3339())),
        "dice" => {
            let count = arguments.get("count").and_then(Value::as_u64).unwrap_or(1).clamp(1, 100);
            let throws = (0..count).map(|_| (u8::from_be_bytes(random::pooled()) % 6 + 1).to_string());
            Ok(text(throws.collect::<Vec<_>>().join(" ")))
        }
        "words" => words("text")
            .map(|said| {
                text(format!(
                    "{} words, {} lines, {} characters",
                    said.split_whitespace().count(),
                    said.lines().count(),
                    said.chars().count()
                ))
            })
            .ok_or((-32602, "words needs a text")),
        _ => Err((-32602, "Unknown tool")),
    }
}

/// One progress event a second, then the result.
fn slow(id: &Value, params: &Value) -> HttpResponse {
    let steps = params.pointer("/arguments/seconds").and_then(Value::as_u64).unwrap_or(5).clamp(1, STEPS);
    let token = params.get("_meta").and_then(|of| of.get(meta::PROGRESS_TOKEN)).cloned().unwrap_or_default();
    let id = id.to_string();
    let events = stream::unfold(0u64, move |step| {
        let (id, token) = (id.clone(), token.clone());
        async move {
            if step > steps {
                return None;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            let message = if step == steps {
                jsonrpc::response(id.as_bytes(), text(format!("Done after {steps} seconds.")).to_string().as_bytes())
            } else if token.is_null() {
                return Some((Ok::<Bytes, actix_web::Error>(Bytes::from_static(sse::KEEP_ALIVE)), step + 1));
            } else {
                let params = json!({ "progressToken": token, "progress": step + 1, "total": steps, "message": format!("second {} of {steps}", step + 1) });
                jsonrpc::notification("notifications/progress", Some(params.to_string().as_bytes()))
            };
            let mut out = BytesMut::new();
            sse::encode_event(&mut out, Some("message"), None, &message);
            Some((Ok(out.freeze()), step + 1))
        }
    });
    HttpResponse::Ok().insert_header(("content-type", headers::EVENT_STREAM)).streaming(events)
}
