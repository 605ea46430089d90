//! Clients of each revision that can do everything their revision allows: they answer what they are asked and remember
//! what they are told.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Editor, Session,
    events::Events,
    http::Streaming,
    mcp::{HttpSse, MODERN},
};

/// Every revision.
pub const REVISIONS: [&str; 5] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", MODERN];
/// A change is announced within this time.
const ANNOUNCED: Duration = Duration::from_secs(5);

/// How a client is connected.
enum Way {
    Sse(Box<HttpSse>),
    Session { session: Session, stream: Box<Events> },
    Modern { editor: Editor, listening: Box<Events> },
}

/// One client.
pub struct Client {
    pub revision: &'static str,
    way: Way,
    next: u64,
}

/// An answer, and what was said before it.
#[derive(Debug)]
pub struct Exchange {
    pub answer: Value,
    pub notices: Vec<Value>,
}

impl Exchange {
    /// The text of a tool's answer.
    pub fn text(&self) -> &str {
        self.answer["result"]["content"][0]["text"].as_str().unwrap_or_default()
    }
    /// The code of an error, or of the refusal that a tool tells of.
    pub fn refusal(&self) -> Option<String> {
        match self.answer["error"]["code"].as_i64() {
            Some(code) => Some(code.to_string()),
            None => self.text().strip_prefix("refused ").map(str::to_owned),
        }
    }
}

fn capabilities(revision: &str) -> Value {
    match revision {
        "2024-11-05" | "2025-03-26" => json!({ "sampling": {} }),
        _ => json!({ "sampling": {}, "elicitation": {} }),
    }
}

/// What the client answers when it is asked.
fn reply(method: &str) -> Option<Value> {
    match method {
        "elicitation/create" => Some(json!({ "action": "accept", "content": { "value": "elicited" } })),
        "sampling/createMessage" => Some(json!({ "role": "assistant", "model": "none", "stopReason": "endTurn",
            "content": { "type": "text", "text": "sampled" } })),
        "ping" => Some(json!({})),
        _ => None,
    }
}

fn answering(request: &Value) -> Value {
    let method = request["method"].as_str().unwrap_or_default();
    match reply(method) {
        Some(result) => json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }),
        None => json!({ "jsonrpc": "2.0", "id": request["id"], "error": { "code": -32601, "message": method } }),
    }
}

impl Client {
    /// A client of that revision, over the transport that is its own.
    pub fn new(editor: &Editor, revision: &'static str) -> Self {
        let hello = json!({ "protocolVersion": revision, "capabilities": capabilities(revision),
            "clientInfo": { "name": "matrix", "version": "1" } });
        let way = match revision {
            "2024-11-05" => {
                let mut connection = editor.http_sse();
                let answer = connection.ask(&json!(0), "initialize", hello);
                assert_eq!(answer["result"]["protocolVersion"], revision);
                connection.post(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).expect(202);
                Way::Sse(Box::new(connection))
            }
            MODERN => {
                let wanted = json!({ "toolsListChanged": true, "promptsListChanged": true });
                let request =
                    editor.modern(&json!("listen"), "subscriptions/listen", json!({ "notifications": wanted }));
                let mut listening = request.open(editor.address).events();
                assert_eq!(listening.message()["method"], "notifications/subscriptions/acknowledged");
                Way::Modern { editor: editor.clone(), listening: Box::new(listening) }
            }
            _ => {
                let body = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello });
                let answer = editor.send(&editor.post(body.to_string())).expect(200);
                let id = answer.header("mcp-session-id").expect("a session id").to_owned();
                let initialized = answer.result();
                assert_eq!(initialized["protocolVersion"], revision);
                let session = Session { editor: editor.clone(), id, revision: revision.into(), initialized };
                session.notify("notifications/initialized", json!({})).expect(202);
                let stream = Box::new(session.stream());
                Way::Session { session, stream }
            }
        };
        Client { revision, way, next: 1 }
    }

    fn id(&mut self) -> Value {
        self.next += 1;
        json!(self.next)
    }

    /// Asks, and answers whatever it is asked until the answer comes.
    pub fn ask(&mut self, method: &str, params: Value) -> Exchange {
        let id = self.id();
        match &mut self.way {
            Way::Sse(connection) => {
                let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
                connection.post(&body).expect(202);
                let mut notices = Vec::new();
                loop {
                    let message = connection.events.message();
                    if message.get("method").is_none() && message["id"] == id {
                        return Exchange { answer: message, notices };
                    }
                    if message.get("id").is_some() {
                        connection.post(&answering(&message)).expect(202);
                    }
                    notices.push(message);
                }
            }
            Way::Session { session, .. } => {
                let session = session.clone();
                let answer = session.asking(&id, method, params).open(session.editor.address);
                read(answer, &id, |message| {
                    session.editor.send(&session.post(answering(message).to_string())).expect(202);
                })
            }
            Way::Modern { editor, .. } => {
                let editor = editor.clone();
                self.ask_modern(&editor, method, params)
            }
        }
    }

    /// Calls again with the answers for as long as input is required.
    fn ask_modern(&mut self, editor: &Editor, method: &str, mut params: Value) -> Exchange {
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities(MODERN);
        let original = params.clone();
        let mut notices = Vec::new();
        for _round in 0..5 {
            let id = self.id();
            let mut request = editor.modern(&id, method, params);
            if let Some(uri) = original["uri"].as_str() {
                request = request.with("mcp-name", uri);
            }
            let exchange = read(request.open(editor.address), &id, |message| panic!("asked on a stream: {message}"));
            notices.extend(exchange.notices);
            let result = &exchange.answer["result"];
            if result["resultType"] != "input_required" {
                return Exchange { answer: exchange.answer, notices };
            }
            params = original.clone();
            let asked = result["inputRequests"].as_object().cloned().unwrap_or_default();
            for (key, request) in asked {
                let answer = reply(request["method"].as_str().unwrap_or_default()).expect("something it knows");
                params["inputResponses"][key] = answer;
            }
            if let Some(state) = result.get("requestState") {
                params["requestState"] = state.clone();
            }
        }
        panic!("asked again and again")
    }

    /// Begins a call that will not end by itself; what it returns cancels it in the way of the revision.
    pub fn begin(&mut self, tool: &str) -> Box<dyn FnOnce()> {
        let id = self.id();
        let mut params = json!({ "name": tool, "arguments": { "who": self.revision } });
        let cancelled = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } });
        match &mut self.way {
            Way::Sse(connection) => {
                let body = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
                connection.post(&body).expect(202);
                let (editor, endpoint) = (connection.editor.clone(), connection.endpoint.clone());
                Box::new(move || {
                    let request = super::Request::post(&endpoint, cancelled.to_string()).bearer(&editor.token);
                    editor.send(&request).expect(202);
                })
            }
            Way::Session { session, .. } => {
                let session = session.clone();
                let connection = begun(&session.asking(&id, "tools/call", params), &session.editor);
                Box::new(move || {
                    session.editor.send(&session.post(cancelled.to_string())).expect(202);
                    drop(connection);
                })
            }
            Way::Modern { editor, .. } => {
                params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities(MODERN);
                let connection = begun(&editor.modern(&id, "tools/call", params), editor);
                Box::new(move || drop(connection))
            }
        }
    }

    /// Waits for a notice that nobody asked for.
    pub fn hears(&mut self, method: &str) -> bool {
        let events = match &mut self.way {
            Way::Sse(connection) => &mut connection.events,
            Way::Session { stream, .. } => stream,
            Way::Modern { listening, .. } => listening,
        };
        while let Some(event) = events.next_within(ANNOUNCED) {
            if serde_json::from_str::<Value>(&event.data).is_ok_and(|message| message["method"] == method) {
                return true;
            }
        }
        false
    }
}

/// Sends a request and leaves its answer unread.
fn begun(request: &super::Request, editor: &Editor) -> super::Connection {
    let mut connection = super::Connection::to(editor.address);
    connection.write(&request.bytes(editor.address));
    connection
}

/// Reads an answer that is an object or a stream.
fn read(answer: Streaming, id: &Value, mut asked: impl FnMut(&Value)) -> Exchange {
    let mut notices = Vec::new();
    if answer.header("content-type") != Some("text/event-stream") {
        let mut answer = answer;
        let mut body = Vec::new();
        while let Some(piece) = answer.next().expect("a whole body") {
            body.extend_from_slice(&piece);
        }
        let shown = String::from_utf8_lossy(&body).into_owned();
        let answer = serde_json::from_slice(&body).unwrap_or_else(|cause| panic!("{cause}: {} {shown}", answer.status));
        return Exchange { answer, notices };
    }
    let mut events = answer.events();
    loop {
        let message = events.message();
        if message.get("method").is_none() && message.get("id") == Some(id) {
            return Exchange { answer: message, notices };
        }
        if message.get("id").is_some() {
            asked(&message);
        }
        notices.push(message);
    }
}
