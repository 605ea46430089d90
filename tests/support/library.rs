//! A well-behaved server of either era with lists of every kind, which can be changed while it runs and then tells
//! those who listen.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use super::{Conn, Seen, Upstream};

const TOOLS: &str = "notifications/tools/list_changed";
const PROMPTS: &str = "notifications/prompts/list_changed";
const RESOURCES: &str = "notifications/resources/list_changed";

/// Somebody who listens.
struct Stream {
    way: Conn,
    /// 2026-07-28: the id and the filters of the listen request.
    asked: Option<(Value, Value)>,
}

#[derive(Default)]
struct Inner {
    capabilities: Value,
    instructions: Option<String>,
    ttl_ms: u64,
    lists: HashMap<&'static str, Vec<String>>,
    /// Results of other methods, raw JSON.
    answers: HashMap<&'static str, String>,
    /// Methods that fail with this status.
    failing: HashMap<&'static str, u16>,
    streams: Vec<Stream>,
    subscribed: BTreeSet<String>,
    refuses: BTreeSet<String>,
    sessions: usize,
}

/// The server, and the hand of the test on it.
#[derive(Clone, Default)]
pub struct Library {
    inner: Arc<Mutex<Inner>>,
}

impl Library {
    /// One that offers nothing yet but declares all.
    pub fn new() -> Self {
        let library = Library::default();
        library.with(|inner| {
            inner.capabilities = json!({ "tools": { "listChanged": true }, "prompts": { "listChanged": true },
                "resources": { "listChanged": true, "subscribe": true } });
        });
        library
    }
    fn with<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        change(&mut self.inner.lock().expect("not poisoned"))
    }
    pub fn capabilities(self, capabilities: Value) -> Self {
        self.with(|inner| inner.capabilities = capabilities);
        self
    }
    pub fn instructions(self, text: &str) -> Self {
        self.with(|inner| inner.instructions = Some(text.into()));
        self
    }
    pub fn ttl_ms(self, ttl_ms: u64) -> Self {
        self.with(|inner| inner.ttl_ms = ttl_ms);
        self
    }
    /// Items of a list (by the member of the result), as raw JSON.
    pub fn having(self, list: &'static str, items: &[&str]) -> Self {
        self.put(list, items);
        self
    }
    /// The result of another method.
    pub fn answering(self, method: &'static str, result: &Value) -> Self {
        self.with(|inner| inner.answers.insert(method, result.to_string()));
        self
    }
    /// Changes a list, silently.
    pub fn put(&self, list: &'static str, items: &[&str]) {
        self.with(|inner| inner.lists.insert(list, items.iter().map(|item| (*item).to_owned()).collect()));
    }
    /// From now on a method fails with that HTTP status.
    pub fn fail(&self, method: &'static str, status: u16) {
        self.with(|inner| inner.failing.insert(method, status));
    }
    /// Subscriptions to that URI are refused.
    pub fn refuse(&self, uri: &str) {
        self.with(|inner| inner.refuses.insert(uri.into()));
    }
    /// URIs that somebody is subscribed to now.
    pub fn subscribed(&self) -> Vec<String> {
        self.with(|inner| inner.subscribed.iter().cloned().collect())
    }
    /// Streams on which somebody listens now, or did not say that it left.
    pub fn listeners(&self) -> usize {
        self.with(|inner| inner.streams.len())
    }
    /// Forgets its sessions and streams, as a restarted server does.
    pub fn forget(&self) {
        self.with(|inner| {
            inner.sessions += 1;
            inner.subscribed.clear();
            for stream in &mut inner.streams {
                stream.way.end_events();
                stream.way.hang_up();
            }
            inner.streams.clear();
        });
    }
    /// Tells those who listen that a list changed.
    pub fn announce(&self, list: &str) {
        let (method, filter) = match list {
            "tools" => (TOOLS, "toolsListChanged"),
            "prompts" => (PROMPTS, "promptsListChanged"),
            _ => (RESOURCES, "resourcesListChanged"),
        };
        self.tell(method, &json!({}), |wanted| wanted[filter] == true);
    }
    /// Tells those who subscribed that a resource changed.
    pub fn updated(&self, uri: &str) {
        if self.with(|inner| inner.subscribed.contains(uri)) {
            let wants = |wanted: &Value| {
                wanted["resourceSubscriptions"].as_array().is_some_and(|uris| uris.contains(&json!(uri)))
            };
            self.tell("notifications/resources/updated", &json!({ "uri": uri }), wants);
        }
    }
    fn tell(&self, method: &str, params: &Value, wants: impl Fn(&Value) -> bool) {
        self.with(|inner| {
            inner.streams.retain_mut(|stream| {
                let mut params = params.clone();
                if let Some((id, wanted)) = &stream.asked {
                    if !wants(wanted) {
                        return true;
                    }
                    params["_meta"] = json!({ "io.modelcontextprotocol/subscriptionId": id });
                }
                stream.way.event(json!({ "jsonrpc": "2.0", "method": method, "params": params }))
            });
        });
    }

    /// Serves 2026-07-28.
    pub fn modern(&self) -> Upstream {
        let library = self.clone();
        Upstream::start(move |seen, conn| library.serve_modern(seen, conn))
    }
    /// Serves 2025-11-25.
    pub fn legacy(&self) -> Upstream {
        let library = self.clone();
        Upstream::start(move |seen, conn| library.serve_legacy(seen, conn))
    }

    fn serve_modern(&self, seen: &Seen, conn: &mut Conn) {
        let rpc = seen.rpc();
        if rpc == "server/discover" {
            let (capabilities, instructions) =
                self.with(|inner| (inner.capabilities.clone(), inner.instructions.clone()));
            let mut result = json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"],
                "capabilities": capabilities, "ttlMs": 0, "cacheScope": "private" });
            if let Some(text) = instructions {
                result["instructions"] = text.into();
            }
            return conn.result(seen, result);
        }
        if rpc == "subscriptions/listen" {
            return self.listen(seen, conn);
        }
        if !self.list(&rpc, seen, conn, true) {
            conn.error(404, seen, -32601, "Method not found");
        }
    }

    fn listen(&self, seen: &Seen, conn: &mut Conn) {
        let mut wanted = seen.json()["params"]["notifications"].clone();
        conn.begin_events();
        self.with(|inner| {
            if let Some(uris) = wanted["resourceSubscriptions"].as_array_mut() {
                uris.retain(|uri| !uri.as_str().is_some_and(|uri| inner.refuses.contains(uri)));
                inner.subscribed = uris.iter().filter_map(|uri| Some(uri.as_str()?.to_owned())).collect();
            } else {
                inner.subscribed.clear();
            }
            let meta = json!({ "io.modelcontextprotocol/subscriptionId": seen.id() });
            conn.event(json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
                "params": { "_meta": meta, "notifications": wanted } }));
            inner.streams.push(Stream { way: conn.again(), asked: Some((seen.id(), wanted)) });
        });
        conn.until_gone();
    }

    fn serve_legacy(&self, seen: &Seen, conn: &mut Conn) {
        let rpc = seen.rpc();
        let session = format!("session-{}", self.with(|inner| inner.sessions));
        if rpc == "initialize" {
            let mut result = json!({ "protocolVersion": "2025-11-25",
                "capabilities": self.with(|inner| inner.capabilities.clone()),
                "serverInfo": { "name": "library", "version": "1" } });
            if let Some(text) = self.with(|inner| inner.instructions.clone()) {
                result["instructions"] = text.into();
            }
            let body = json!({ "jsonrpc": "2.0", "id": seen.id(), "result": result }).to_string();
            return conn.reply(200, &[("content-type", "application/json"), ("mcp-session-id", &session)], body);
        }
        if seen.header("mcp-session-id") != Some(&session) {
            return conn.error(if rpc == "server/discover" { 400 } else { 404 }, seen, -32000, "no such session");
        }
        let uri = seen.json()["params"]["uri"].as_str().unwrap_or_default().to_owned();
        match rpc.as_str() {
            "GET" => {
                conn.begin_events();
                self.with(|inner| inner.streams.push(Stream { way: conn.again(), asked: None }));
                conn.until_gone();
            }
            "DELETE" => conn.reply(204, &[], ""),
            "resources/subscribe" if self.with(|inner| inner.refuses.contains(&uri)) => {
                conn.error(200, seen, -32002, "Resource not found");
            }
            "resources/subscribe" => {
                self.with(|inner| inner.subscribed.insert(uri));
                conn.result(seen, "{}");
            }
            "resources/unsubscribe" => {
                self.with(|inner| inner.subscribed.remove(&uri));
                conn.result(seen, "{}");
            }
            "logging/setLevel" => conn.result(seen, "{}"),
            method if method.starts_with("notifications/") => conn.reply(202, &[], ""),
            _ if self.list(&rpc, seen, conn, false) => {}
            _ => conn.error(200, seen, -32601, "Method not found"),
        }
    }

    /// Answers a list method, or one that the test gave the answer to; false if it is neither.
    fn list(&self, rpc: &str, seen: &Seen, conn: &mut Conn, modern: bool) -> bool {
        if let Some(result) = self.with(|inner| inner.answers.get(rpc).cloned()) {
            conn.result(seen, result);
            return true;
        }
        let member = match rpc {
            "tools/list" => "tools",
            "prompts/list" => "prompts",
            "resources/list" => "resources",
            "resources/templates/list" => "resourceTemplates",
            _ => return false,
        };
        if let Some(status) = self.with(|inner| inner.failing.get(rpc).copied()) {
            conn.reply(status, &[], "");
            return true;
        }
        let (items, ttl_ms) = self.with(|inner| (inner.lists.get(member).cloned().unwrap_or_default(), inner.ttl_ms));
        let tail = match modern {
            true => format!(r#","resultType":"complete","ttlMs":{ttl_ms},"cacheScope":"public""#),
            false => String::new(),
        };
        conn.result(seen, format!(r#"{{"{member}":[{}]{tail}}}"#, items.join(",")));
        true
    }
}
