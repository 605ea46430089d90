//! Legacy servers that ask their client something in the middle of a call, and wait for what it answers.

use std::{
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use serde_json::{Value, json};

use super::{Conn, Seen, Upstream, servers::tools, wait::DEADLINE};

/// What clients have answered, and the streams they have open.
#[derive(Default)]
pub struct Answers {
    given: Mutex<Vec<Value>>,
    bell: Condvar,
    stream: Mutex<Option<Conn>>,
}

impl Answers {
    fn take(&self, answer: Value) {
        self.given.lock().expect("not poisoned").push(answer);
        self.bell.notify_all();
    }
    /// Waits for the answer to the question of that id.
    pub fn to(&self, id: &Value) -> Value {
        self.within(id, DEADLINE).unwrap_or_else(|| panic!("no answer to {id}"))
    }
    /// The answer to the question of that id, if it comes in time.
    pub fn within(&self, id: &Value, limit: Duration) -> Option<Value> {
        let given = self.given.lock().expect("not poisoned");
        let missing = |given: &mut Vec<Value>| !given.iter().any(|one| one["id"] == *id);
        let (given, _) = self.bell.wait_timeout_while(given, limit, missing).expect("not poisoned");
        given.iter().find(|one| one["id"] == *id).cloned()
    }
    /// Asks on the call's stream, and waits for the answer.
    pub fn ask(&self, conn: &mut Conn, id: Value, method: &str, params: Value) -> Value {
        self.given.lock().expect("not poisoned").retain(|one| one["id"] != id);
        conn.event(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        self.to(&id)
    }
    /// Says something on the session's own stream. Whether there is one.
    pub fn say(&self, message: Value) -> bool {
        self.stream.lock().expect("not poisoned").as_mut().is_some_and(|stream| stream.event(message))
    }
}

/// A server of 2025-11-25 around `call`. Every session of a client gets an id of its own; one GET stream is kept.
pub fn legacy(
    names: &'static [&'static str],
    call: impl Fn(&Seen, &mut Conn, &Answers) + Send + Sync + 'static,
) -> (Upstream, Arc<Answers>) {
    let answers = Arc::new(Answers::default());
    let mine = answers.clone();
    let sessions = std::sync::atomic::AtomicUsize::new(0);
    let upstream = Upstream::start(move |seen, conn| match seen.rpc().as_str() {
        "initialize" => {
            let number = sessions.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let result = json!({ "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                "serverInfo": { "name": "asking", "version": "1" } });
            let body = json!({ "jsonrpc": "2.0", "id": seen.id(), "result": result }).to_string();
            let id = format!("session-{number}");
            conn.reply(200, &[("content-type", "application/json"), ("mcp-session-id", &id)], body);
        }
        "tools/list" => conn.result(seen, tools(names)),
        "tools/call" => call(seen, conn, &mine),
        "GET" => {
            conn.begin_events();
            *mine.stream.lock().expect("not poisoned") = Some(conn.again());
            conn.note(&format!("listening in {}", seen.header("mcp-session-id").unwrap_or_default()));
            conn.until_gone();
        }
        "DELETE" => conn.reply(204, &[], ""),
        // A response.
        "POST" => {
            mine.take(seen.json());
            conn.reply(202, &[], "");
        }
        method if method.starts_with("notifications/") => {
            if method == "notifications/cancelled" {
                conn.note("cancelled");
            }
            conn.reply(202, &[], "");
        }
        "server/discover" => conn.error(404, seen, -32601, "Method not found"),
        _ => conn.error(200, seen, -32601, "Method not found"),
    });
    (upstream, answers)
}

/// Ends a call's stream with that text.
pub fn says(seen: &Seen, conn: &mut Conn, text: &str) {
    let result = json!({ "content": [{ "type": "text", "text": text }] });
    conn.event(json!({ "jsonrpc": "2.0", "id": seen.id(), "result": result }));
    conn.end_events();
}

/// The parameters of a simple form.
pub fn form(message: &str) -> Value {
    json!({ "message": message, "requestedSchema": { "type": "object", "properties": { "ok": { "type": "boolean" } } } })
}

/// The text of a tool's result.
pub fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap_or_default()
}
