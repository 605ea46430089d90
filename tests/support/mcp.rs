//! MCP clients of both eras and of HTTP+SSE, thin enough that a test sees every header and byte.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{Request, Response, events::Events};

/// The revision without sessions.
pub const MODERN: &str = "2026-07-28";

/// A client that knows a gateway URL and a token.
#[derive(Clone)]
pub struct Editor {
    pub address: SocketAddr,
    pub path: String,
    pub token: String,
}

impl Editor {
    pub fn new(address: SocketAddr, path: &str, token: &str) -> Self {
        Editor { address, path: path.into(), token: token.into() }
    }
    /// The same client on another path.
    pub fn at(&self, path: &str) -> Self {
        Editor { path: path.into(), ..self.clone() }
    }
    /// A POST of that body, with the token.
    pub fn post(&self, body: impl Into<Vec<u8>>) -> Request {
        Request::post(&self.path, body).bearer(&self.token)
    }
    #[track_caller]
    pub fn send(&self, request: &Request) -> Response {
        request.send(self.address)
    }

    /// A request of 2026-07-28 with the headers it needs. `params` may bring its own `_meta`.
    pub fn modern(&self, id: &Value, method: &str, params: Value) -> Request {
        let mut params = params;
        let meta = params.as_object_mut().expect("an object").entry("_meta").or_insert_with(|| json!({}));
        let meta = meta.as_object_mut().expect("an object");
        meta.entry("io.modelcontextprotocol/protocolVersion").or_insert_with(|| MODERN.into());
        meta.entry("io.modelcontextprotocol/clientCapabilities").or_insert_with(|| json!({}));
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let request = self.post(body.to_string()).header("mcp-protocol-version", MODERN).header("mcp-method", method);
        let about = match method {
            "resources/read" => "uri",
            _ if method.starts_with("tasks/") => "taskId",
            _ => "name",
        };
        match params[about].as_str() {
            Some(name) => request.header("mcp-name", name),
            None => request,
        }
    }
    /// `tools/call` of 2026-07-28, as a request.
    pub fn calling(&self, tool: &str, arguments: Value) -> Request {
        self.modern(&json!(1), "tools/call", json!({ "name": tool, "arguments": arguments }))
    }
    /// `tools/call` of 2026-07-28.
    #[track_caller]
    pub fn call(&self, tool: &str, arguments: Value) -> Response {
        self.send(&self.calling(tool, arguments))
    }
    /// `tools/list` of 2026-07-28, as a response.
    #[track_caller]
    pub fn list(&self) -> Response {
        self.send(&self.modern(&json!(1), "tools/list", json!({})))
    }
    /// The names of the tools.
    #[track_caller]
    pub fn tools(&self) -> Vec<String> {
        let result = self.list().expect(200).result();
        let tools = result["tools"].as_array().expect("tools");
        tools.iter().map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect()
    }
    /// `subscriptions/listen` for changes of the tool list; acknowledged when this returns.
    #[track_caller]
    pub fn listen(&self, id: &Value) -> (Events, Value) {
        let request = self.modern(id, "subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }));
        let mut events = request.open(self.address).events();
        let acknowledged = events.message();
        assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
        (events, acknowledged)
    }

    /// A request of 2026-07-28 from a client that declared `capabilities`.
    pub fn able(&self, capabilities: Value, id: i64, method: &str, params: Value) -> Request {
        let mut params = params;
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities;
        self.modern(&json!(id), method, params)
    }

    /// The handshake of a legacy revision, as a request.
    pub fn initialize_request(&self, revision: &str) -> Request {
        self.initialize_declaring(revision, json!({}))
    }
    fn initialize_declaring(&self, revision: &str, capabilities: Value) -> Request {
        self.post(
            json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
                "protocolVersion": revision, "capabilities": capabilities,
                "clientInfo": { "name": "test", "version": "1" } } })
            .to_string(),
        )
    }
    /// The handshake of a legacy revision.
    #[track_caller]
    pub fn initialize(&self, revision: &str) -> Session {
        self.initialize_with(revision, json!({}))
    }
    /// The handshake of a client that declares `capabilities`.
    #[track_caller]
    pub fn initialize_with(&self, revision: &str, capabilities: Value) -> Session {
        let answer = self.send(&self.initialize_declaring(revision, capabilities)).expect(200);
        let id = answer.header("mcp-session-id").expect("a session id").to_owned();
        let result = answer.result();
        assert_eq!(result["protocolVersion"], revision);
        let session = Session { editor: self.clone(), id, revision: revision.into(), initialized: result };
        session.notify("notifications/initialized", json!({})).expect(202);
        session
    }
    /// Opens HTTP+SSE and reads its endpoint.
    #[track_caller]
    pub fn http_sse(&self) -> HttpSse {
        let request = Request::get(&self.path).bearer(&self.token).header("accept", "text/event-stream");
        let mut events = request.open(self.address).events();
        let first = events.next().expect("the endpoint");
        assert_eq!(first.name, "endpoint");
        HttpSse { editor: self.clone(), events, endpoint: first.data }
    }
}

/// A legacy session.
#[derive(Clone)]
pub struct Session {
    pub editor: Editor,
    pub id: String,
    pub revision: String,
    pub initialized: Value,
}

impl Session {
    /// A POST in this session.
    pub fn post(&self, body: impl Into<Vec<u8>>) -> Request {
        self.editor.post(body).header("mcp-session-id", &self.id).header("mcp-protocol-version", &self.revision)
    }
    pub fn asking(&self, id: &Value, method: &str, params: Value) -> Request {
        self.post(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string())
    }
    #[track_caller]
    pub fn request(&self, method: &str, params: Value) -> Response {
        self.editor.send(&self.asking(&json!(1), method, params))
    }
    #[track_caller]
    pub fn notify(&self, method: &str, params: Value) -> Response {
        self.editor.send(&self.post(json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string()))
    }
    #[track_caller]
    pub fn call(&self, tool: &str, arguments: Value) -> Response {
        self.request("tools/call", json!({ "name": tool, "arguments": arguments }))
    }
    /// Begins a tool call and leaves its stream to be read.
    #[track_caller]
    pub fn begin(&self, id: &Value, tool: &str) -> Events {
        let params = json!({ "name": tool, "arguments": {} });
        self.asking(id, "tools/call", params).open(self.editor.address).events()
    }
    /// Answers a question of the server's.
    #[track_caller]
    pub fn answer(&self, id: &Value, result: Value) -> Response {
        self.editor.send(&self.post(json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string()))
    }
    /// The session's own stream.
    #[track_caller]
    pub fn stream(&self) -> Events {
        self.get().open(self.editor.address).events()
    }
    pub fn get(&self) -> Request {
        Request::get(&self.editor.path)
            .bearer(&self.editor.token)
            .header("accept", "text/event-stream")
            .header("mcp-session-id", &self.id)
    }
    #[track_caller]
    pub fn end(&self) -> Response {
        let request =
            Request::new("DELETE", &self.editor.path).bearer(&self.editor.token).header("mcp-session-id", &self.id);
        self.editor.send(&request)
    }
}

/// An HTTP+SSE connection.
pub struct HttpSse {
    pub editor: Editor,
    pub events: Events,
    pub endpoint: String,
}

impl HttpSse {
    /// Posts a message to the endpoint.
    #[track_caller]
    pub fn post(&self, body: &Value) -> Response {
        self.editor.send(&Request::post(&self.endpoint, body.to_string()).bearer(&self.editor.token))
    }
    /// Asks, and reads the answer from the stream.
    #[track_caller]
    pub fn ask(&mut self, id: &Value, method: &str, params: Value) -> Value {
        self.post(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).expect(202);
        self.events.answer_to(id)
    }
}
