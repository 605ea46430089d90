//! One MCP server for every revision, without a transport: what it answers, asks and announces. It has one tool for each
//! thing that a server can do, and tells what happened to it through tools too, so that a test needs no other way in.

use std::{
    collections::HashMap,
    sync::{Condvar, Mutex},
    time::Duration,
};

use serde_json::{Value, json};

/// The revision without sessions.
const MODERN: &str = "2026-07-28";
/// How long the server waits for the client's answer; a test fails long before.
const PATIENCE: Duration = Duration::from_secs(20);
const META: &str = "io.modelcontextprotocol/";

/// The way back to whoever asked.
pub trait Way {
    /// A message on the stream that belongs to the request.
    fn send(&mut self, message: &Value);
    /// Returns true when the other side has left, and false at once where nobody can leave one request alone.
    fn until_gone(&mut self) -> bool;
}

/// Where announcements go: false once nobody is there.
pub type Listener = Box<dyn FnMut(&Value) -> bool + Send>;

#[derive(Default)]
struct State {
    answers: HashMap<String, Value>,
    cancelled: Vec<Value>,
    listeners: Vec<Listener>,
    asked: u64,
    prompts: usize,
    /// Calls that hang and calls that were cancelled, by who made them.
    hanging: HashMap<String, usize>,
    ended: HashMap<String, usize>,
}

/// The server.
pub struct Script {
    revision: String,
    name: String,
    state: Mutex<State>,
    bell: Condvar,
}

type Answer = Result<Value, (i64, String)>;

impl Script {
    /// A server that speaks only `revision`; `name` makes its resources its own.
    pub fn new(revision: &str, name: &str) -> Self {
        Script { revision: revision.into(), name: name.into(), state: Mutex::default(), bell: Condvar::new() }
    }

    /// Whether it is of the era without sessions.
    pub fn is_modern(&self) -> bool {
        self.revision == MODERN
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock().expect("not poisoned"));
        self.bell.notify_all();
        result
    }

    fn wait_until(&self, fits: impl Fn(&State) -> bool) -> bool {
        let state = self.state.lock().expect("not poisoned");
        let (_state, over) = self.bell.wait_timeout_while(state, PATIENCE, |state| !fits(state)).expect("not poisoned");
        !over.timed_out()
    }

    /// Announces changes there, too.
    pub fn listen(&self, listener: Listener) {
        self.change(|state| state.listeners.push(listener));
    }

    /// Takes one message; what it returns is the answer.
    pub fn take(&self, message: &Value, way: &mut dyn Way) -> Option<Value> {
        let id = message.get("id");
        let Some(method) = message["method"].as_str() else {
            let id = id?.to_string();
            self.change(|state| state.answers.insert(id, message.clone()));
            return None;
        };
        let Some(id) = id else {
            if method == "notifications/cancelled" {
                self.change(|state| state.cancelled.push(message["params"]["requestId"].clone()));
            }
            return None;
        };
        Some(match self.answer(id, method, &message["params"], way) {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": self.dressed(method, result) }),
            Err((code, text)) => json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": text } }),
        })
    }

    /// What every result of 2026-07-28 has.
    fn dressed(&self, method: &str, mut result: Value) -> Value {
        if self.is_modern() {
            let members = result.as_object_mut().expect("an object");
            members.entry("resultType").or_insert_with(|| "complete".into());
            if method.ends_with("/list") || matches!(method, "server/discover" | "resources/read") {
                members.entry("ttlMs").or_insert_with(|| 0.into());
                members.entry("cacheScope").or_insert_with(|| "private".into());
            }
        }
        result
    }

    fn answer(&self, id: &Value, method: &str, params: &Value, way: &mut dyn Way) -> Answer {
        let changes = json!({ "listChanged": true });
        let capabilities = json!({ "tools": changes, "prompts": changes, "resources": changes });
        match (method, self.is_modern()) {
            ("initialize", false) => Ok(json!({
                "protocolVersion": self.revision, "capabilities": capabilities,
                "serverInfo": { "name": self.name, "version": "1" },
            })),
            ("ping", false) => Ok(json!({})),
            ("server/discover", true) => Ok(json!({ "supportedVersions": [MODERN], "capabilities": capabilities })),
            ("subscriptions/listen", true) => Ok(self.subscribe(id, params, way)),
            ("tools/list", _) => {
                let tool = |name: &str| json!({ "name": name, "inputSchema": { "type": "object" } });
                let names = ["echo", "progress", "ask", "sample", "change", "announce", "hang", "hanging", "ended"];
                Ok(json!({ "tools": names.map(tool) }))
            }
            ("tools/call", _) => self.call(id, params, way),
            ("prompts/list", _) => {
                let count = self.change(|state| state.prompts);
                let more = (0..count).map(|at| json!({ "name": format!("more{at}") }));
                Ok(json!({ "prompts": std::iter::once(json!({ "name": "hello" })).chain(more).collect::<Vec<_>>() }))
            }
            ("prompts/get", _) if params["name"] == "hello" => {
                let content = json!({ "type": "text", "text": format!("hello from {}", self.name) });
                Ok(json!({ "messages": [{ "role": "user", "content": content }] }))
            }
            ("resources/list", _) => Ok(json!({ "resources": [{ "uri": self.uri(), "name": "doc" }] })),
            ("resources/templates/list", _) => Ok(json!({ "resourceTemplates": [] })),
            ("resources/read", _) if params["uri"] == self.uri().as_str() => {
                Ok(json!({ "contents": [{ "uri": self.uri(), "text": format!("document of {}", self.name) }] }))
            }
            ("prompts/get" | "resources/read", _) => Err((-32602, "no such thing".into())),
            _ => Err((-32601, "Method not found".into())),
        }
    }

    fn uri(&self) -> String {
        format!("script://{}/doc", self.name)
    }

    /// Acknowledges, announces until the client leaves.
    fn subscribe(&self, id: &Value, params: &Value, way: &mut dyn Way) -> Value {
        let meta = json!({ format!("{META}subscriptionId"): id });
        way.send(&json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
            "params": { "_meta": meta, "notifications": params["notifications"] } }));
        let mut told = self.change(|state| state.prompts);
        // The way belongs to this thread, so it looks for what to tell by itself.
        loop {
            let state = self.state.lock().expect("not poisoned");
            let (state, _) = self
                .bell
                .wait_timeout_while(state, PATIENCE, |state| state.prompts == told && !state.cancelled.contains(id))
                .expect("not poisoned");
            if state.cancelled.contains(id) || state.prompts == told {
                return json!({ "_meta": meta });
            }
            told = state.prompts;
            drop(state);
            way.send(&json!({ "jsonrpc": "2.0", "method": "notifications/prompts/list_changed",
                "params": { "_meta": meta } }));
        }
    }

    fn call(&self, id: &Value, params: &Value, way: &mut dyn Way) -> Answer {
        let text = |text: &str| Ok(json!({ "content": [{ "type": "text", "text": text }] }));
        let who = params["arguments"]["who"].as_str().unwrap_or_default().to_owned();
        match params["name"].as_str().unwrap_or_default() {
            "echo" => text("echo"),
            "progress" => {
                let token = &params["_meta"]["progressToken"];
                for step in 1..=3 {
                    if !token.is_null() {
                        way.send(&json!({ "jsonrpc": "2.0", "method": "notifications/progress",
                            "params": { "progressToken": token, "progress": step, "total": 3 } }));
                    }
                }
                text("progressed")
            }
            "ask" => self.ask(params, "elicitation", "elicitation/create", way),
            "sample" => self.ask(params, "sampling", "sampling/createMessage", way),
            "change" => {
                let notice = json!({ "jsonrpc": "2.0", "method": "notifications/prompts/list_changed" });
                self.change(|state| {
                    state.prompts += 1;
                    state.listeners.retain_mut(|listener| listener(&notice));
                });
                text("changed")
            }
            // As some servers do: on the stream of the call that changed it, and nowhere else.
            "announce" => {
                self.change(|state| state.prompts += 1);
                way.send(&json!({ "jsonrpc": "2.0", "method": "notifications/prompts/list_changed" }));
                text("changed")
            }
            "hang" => {
                self.change(|state| *state.hanging.entry(who.clone()).or_default() += 1);
                let gone = way.until_gone() || self.wait_until(|state| state.cancelled.contains(id));
                self.change(|state| *state.ended.entry(who).or_default() += usize::from(gone));
                text("cancelled")
            }
            "hanging" => text(&self.change(|state| state.hanging.get(&who).copied().unwrap_or_default()).to_string()),
            "ended" => text(&self.change(|state| state.ended.get(&who).copied().unwrap_or_default()).to_string()),
            _ => Err((-32602, "Unknown tool".into())),
        }
    }

    /// Asks the client something in the way of the revision, and says what it answered.
    fn ask(&self, params: &Value, capability: &str, method: &str, way: &mut dyn Way) -> Answer {
        let question = if capability == "sampling" {
            let content = json!({ "type": "text", "text": "say something" });
            json!({ "messages": [{ "role": "user", "content": content }], "maxTokens": 10 })
        } else {
            let properties = json!({ "value": { "type": "string" } });
            json!({ "message": "which value?", "requestedSchema": { "type": "object", "properties": properties } })
        };
        let answer = if self.is_modern() {
            if let Some(answer) = params["inputResponses"].get("question") {
                assert_eq!(params["requestState"], "state of the script", "a state comes back as it was given");
                json!({ "result": answer })
            } else if params["_meta"][format!("{META}clientCapabilities")].get(capability).is_none() {
                return Err((-32021, format!("the client did not declare {capability}")));
            } else {
                return Ok(json!({ "resultType": "input_required", "requestState": "state of the script",
                    "inputRequests": { "question": { "method": method, "params": question } } }));
            }
        } else {
            let id = self.change(|state| {
                state.asked += 1;
                format!("script-{}", state.asked)
            });
            way.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": question }));
            let key = json!(id).to_string();
            self.wait_until(|state| state.answers.contains_key(&key));
            self.change(|state| state.answers.remove(&key)).unwrap_or_default()
        };
        let result = &answer["result"];
        let said = result["content"]["value"].as_str().or(result["content"]["text"].as_str());
        let said = said.map_or_else(|| format!("refused {}", answer["error"]["code"]), str::to_owned);
        let refused = result.is_null();
        Ok(json!({ "content": [{ "type": "text", "text": said }], "isError": refused }))
    }
}
