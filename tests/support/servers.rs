//! Well-behaved MCP servers of each era around a test's own answer to `tools/call`.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use serde_json::{Value, json};

use super::{Conn, Seen, Upstream};

/// A list of tools with these names.
pub fn tools(names: &[&str]) -> Value {
    let tools: Vec<Value> =
        names.iter().map(|name| json!({ "name": name, "inputSchema": { "type": "object" } })).collect();
    json!({ "tools": tools, "resultType": "complete", "ttlMs": 0, "cacheScope": "private" })
}

/// What a server of 2026-07-28 says of itself.
pub fn discovery() -> Value {
    json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} },
        "ttlMs": 0, "cacheScope": "private" })
}

/// A server of 2026-07-28.
pub fn modern(names: &'static [&'static str], call: impl Fn(&Seen, &mut Conn) + Send + Sync + 'static) -> Upstream {
    Upstream::start(move |seen, conn| match seen.rpc().as_str() {
        "server/discover" => conn.result(seen, discovery()),
        "tools/list" => conn.result(seen, tools(names)),
        "tools/call" => call(seen, conn),
        "subscriptions/listen" => {
            conn.begin_events();
            let meta = json!({ "io.modelcontextprotocol/subscriptionId": seen.id() });
            conn.event(json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
                "params": { "_meta": meta, "notifications": {} } }));
            conn.until_gone();
        }
        _ => conn.error(404, seen, -32601, "Method not found"),
    })
}

/// A modern server that answers every call with "done".
pub fn plain(names: &'static [&'static str]) -> Upstream {
    modern(names, |seen, conn| conn.says(seen, "done"))
}

/// Knows which sessions a legacy server has.
#[derive(Default)]
pub struct Sessions {
    next: AtomicUsize,
    known: Mutex<Vec<String>>,
}

impl Sessions {
    fn begin(&self) -> String {
        let id = format!("upstream-session-{}", self.next.fetch_add(1, SeqCst));
        self.known.lock().expect("not poisoned").push(id.clone());
        id
    }
    /// Forgets all sessions, as a restarted server does.
    pub fn forget(&self) {
        self.known.lock().expect("not poisoned").clear();
    }
    fn knows(&self, id: Option<&str>) -> bool {
        let known = self.known.lock().expect("not poisoned");
        id.is_some_and(|id| known.iter().any(|one| one == id))
    }
}

/// A server of 2025-11-25 with sessions.
pub fn legacy(
    names: &'static [&'static str],
    call: impl Fn(&Seen, &mut Conn) + Send + Sync + 'static,
) -> (Upstream, Arc<Sessions>) {
    let sessions = Arc::new(Sessions::default());
    let mine = sessions.clone();
    let upstream = Upstream::start(move |seen, conn| {
        let rpc = seen.rpc();
        if rpc == "initialize" {
            let id = mine.begin();
            let result = json!({ "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                "serverInfo": { "name": "legacy", "version": "1" } });
            let body = json!({ "jsonrpc": "2.0", "id": seen.id(), "result": result }).to_string();
            return conn.reply(200, &[("content-type", "application/json"), ("mcp-session-id", &id)], body);
        }
        if !mine.knows(seen.header("mcp-session-id")) {
            let status = if seen.header("mcp-session-id").is_some() { 404 } else { 400 };
            return conn.error(status, seen, -32000, "no such session");
        }
        match rpc.as_str() {
            "tools/list" => conn.result(seen, tools(names)),
            "tools/call" => call(seen, conn),
            "GET" => conn.reply(405, &[("allow", "POST, DELETE")], ""),
            "DELETE" => conn.reply(204, &[], ""),
            method if method.starts_with("notifications/") => {
                if method == "notifications/cancelled" {
                    conn.note("cancelled");
                }
                conn.reply(202, &[], "");
            }
            _ => conn.error(200, seen, -32601, "Method not found"),
        }
    });
    (upstream, sessions)
}

/// A server of 2024-11-05: what is posted is answered on the stream. `call` gives the result.
pub fn http_sse(names: &'static [&'static str], call: impl Fn(&Seen) -> Value + Send + Sync + 'static) -> Upstream {
    let streams: Mutex<Option<Conn>> = Mutex::new(None);
    Upstream::start(move |seen, conn| {
        if seen.method == "GET" {
            conn.begin_events();
            conn.event_named("endpoint", "/messages?session=1");
            *streams.lock().expect("not poisoned") = Some(conn.again());
            return conn.until_gone();
        }
        if !seen.path.starts_with("/messages") {
            return conn.reply(405, &[("allow", "GET")], "");
        }
        conn.reply(202, &[], "");
        let result = match seen.rpc().as_str() {
            "initialize" => json!({ "protocolVersion": "2024-11-05", "capabilities": { "tools": {} },
                "serverInfo": { "name": "old", "version": "1" } }),
            "tools/list" => tools(names),
            "tools/call" => call(seen),
            _ => return,
        };
        if let Some(stream) = streams.lock().expect("not poisoned").as_mut() {
            stream.event(json!({ "jsonrpc": "2.0", "id": seen.id(), "result": result }));
        }
    })
}

/// An address where nobody listens.
pub fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}/mcp", listener.local_addr().expect("an address"))
}

/// A server of 2026-07-28 with these descriptions of tools, which a test may change; each call answers with its name.
pub fn described(tools: Vec<Value>) -> (Upstream, Arc<Mutex<Vec<Value>>>) {
    let shelf = Arc::new(Mutex::new(tools));
    let mine = shelf.clone();
    let upstream = Upstream::start(move |seen, conn| match seen.rpc().as_str() {
        "server/discover" => conn.result(
            seen,
            json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} },
                "ttlMs": 0, "cacheScope": "private" }),
        ),
        "tools/list" => {
            let tools = mine.lock().expect("not poisoned").clone();
            conn.result(seen, json!({ "tools": tools, "resultType": "complete", "ttlMs": 0, "cacheScope": "private" }));
        }
        "tools/call" => conn.says(seen, &seen.tool()),
        _ => conn.error(404, seen, -32601, "Method not found"),
    });
    (upstream, shelf)
}

/// The description of a tool.
pub fn tool(name: &str, description: &str) -> Value {
    json!({ "name": name, "description": description, "inputSchema": { "type": "object" } })
}
