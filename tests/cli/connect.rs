//! `aerostack connect`: a client that only starts processes talks to the gateway through a pipe, in either era, and does
//! not notice when the gateway restarts.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
};

use serde_json::{Value, json};

use crate::support::{Place, Upstream, mcp::MODERN, place, servers, wait, wait::DEADLINE};

/// The bridge as a client sees it.
struct Pipe {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Pipe {
    fn open(place: &Place) -> Self {
        Pipe::at(place, place.gateway.address, &[])
    }

    /// A bridge whose ends are left to another client.
    fn for_pipes(place: &Place) -> Self {
        let mut child = command(place, place.gateway.address, &[]).spawn().expect("the bridge starts");
        Pipe { stdin: child.stdin.take(), child, lines: channel().1 }
    }

    fn at(place: &Place, address: SocketAddr, options: &[&str]) -> Self {
        let mut child = command(place, address, options).spawn().expect("the bridge starts");
        let stdout = BufReader::new(child.stdout.take().expect("stdout"));
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Pipe { stdin: child.stdin.take(), child, lines }
    }

    fn raw(&mut self, bytes: impl AsRef<[u8]>) {
        self.stdin.as_mut().expect("open").write_all(bytes.as_ref()).expect("written");
    }

    fn say(&mut self, message: &Value) {
        self.raw(format!("{message}\n"));
    }

    #[track_caller]
    fn hear(&self) -> Value {
        let line = self.lines.recv_timeout(DEADLINE).expect("another line");
        serde_json::from_str(&line).unwrap_or_else(|cause| panic!("stdout is not for this ({cause}): {line}"))
    }

    #[track_caller]
    fn hear_where(&self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.hear();
            if fits(&message) {
                return message;
            }
        }
    }

    #[track_caller]
    fn answer_to(&self, id: impl Into<Value>) -> Value {
        let id = id.into();
        self.hear_where(|message| message.get("method").is_none() && message.get("id") == Some(&id))
    }

    #[track_caller]
    fn notice(&self, method: &str) -> Value {
        self.hear_where(|message| message["method"] == method)
    }

    fn request(&mut self, id: impl Into<Value>, method: &str, params: Value) {
        self.say(&json!({ "jsonrpc": "2.0", "id": id.into(), "method": method, "params": params }));
    }

    /// A request of 2026-07-28.
    fn modern(&mut self, id: impl Into<Value>, method: &str, mut params: Value) {
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = MODERN.into();
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
        self.request(id, method, params);
    }

    /// Shakes hands as a client of that revision.
    #[track_caller]
    fn initialize(&mut self, revision: &str) {
        let params = json!({ "protocolVersion": revision, "capabilities": {}, "clientInfo": { "name": "pipe", "version": "1" } });
        self.request(0, "initialize", params);
        assert_eq!(self.answer_to(0)["result"]["protocolVersion"], revision);
        self.say(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    }

    fn call(&mut self, id: impl Into<Value>, tool: &str, arguments: Value) {
        self.request(id, "tools/call", json!({ "name": tool, "arguments": arguments }));
    }

    /// The client closes its side; how the bridge ended and what it told people.
    #[track_caller]
    fn end(mut self) -> (ExitStatus, String) {
        drop(self.stdin.take());
        let mut status = None;
        wait::until("the bridge ends", || {
            status = self.child.try_wait().expect("a status");
            status.is_some()
        });
        let mut said = String::new();
        self.child.stderr.take().expect("stderr").read_to_string(&mut said).expect("text");
        (status.expect("over"), said)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let _already_over = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn command(place: &Place, address: SocketAddr, options: &[&str]) -> Command {
    let mut command = place.gateway.setup.command();
    command.arg("connect").args(options).arg(format!("http://{address}/ws/eng"));
    command.env("AEROSTACK_TOKEN", &place.token.raw);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn toy() -> (Place, Upstream) {
    let upstream = servers::plain(&["echo"]);
    let place = place(&[("toy", &upstream)]);
    place.editor.tools();
    (place, upstream)
}

fn killed_and_started_again(place: &mut Place) {
    place.gateway.signal("KILL");
    place.gateway.ended(DEADLINE);
    let next = place.gateway.setup.clone().bind(place.gateway.address).start();
    let key = place.gateway.key.clone();
    place.gateway = next;
    place.gateway.key = key;
}

#[test]
fn clients_of_every_revision_list_and_call_through_the_pipe() {
    let (place, _upstream) = toy();
    for revision in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let mut pipe = Pipe::open(&place);
        pipe.initialize(revision);
        pipe.request("l", "tools/list", json!({}));
        assert_eq!(pipe.answer_to("l")["result"]["tools"][0]["name"], "toy__echo", "{revision}");
        pipe.call(2, "toy__echo", json!({}));
        assert_eq!(pipe.answer_to(2)["result"]["content"][0]["text"], "done", "{revision}");
        pipe.request(3, "ping", json!({}));
        assert_eq!(pipe.answer_to(3)["result"], json!({}));
        let (status, said) = pipe.end();
        assert!(status.success() && said.is_empty(), "{status} {said}");
    }
    let mut pipe = Pipe::open(&place);
    pipe.modern(1, "server/discover", json!({}));
    assert_eq!(pipe.answer_to(1)["result"]["supportedVersions"], json!([MODERN]));
    pipe.modern(2, "tools/call", json!({ "name": "toy__echo", "arguments": {} }));
    assert_eq!(pipe.answer_to(2)["result"]["resultType"], "complete");
    pipe.modern(3, "no/such", json!({}));
    assert_eq!(pipe.answer_to(3)["error"]["code"], -32601);
    assert!(pipe.end().0.success());
}

#[test]
fn what_is_on_the_way_when_stdin_ends_is_still_answered() {
    let (place, _upstream) = toy();
    let mut pipe = Pipe::open(&place);
    pipe.initialize("2025-11-25");
    pipe.call(1, "toy__echo", json!({}));
    drop(pipe.stdin.take());
    assert_eq!(pipe.answer_to(1)["result"]["content"][0]["text"], "done");
    assert!(pipe.end().0.success());
}

#[test]
fn progress_comes_through_and_a_cancelled_call_ends_at_the_server() {
    let upstream = servers::modern(&["slow"], |seen, conn| {
        conn.begin_events();
        let token = &seen.json()["params"]["_meta"]["progressToken"];
        conn.event(json!({ "jsonrpc": "2.0", "method": "notifications/progress",
            "params": { "progressToken": token, "progress": 1 } }));
        conn.until_gone();
        conn.note("gone");
    });
    let place = place(&[("toy", &upstream)]);
    place.editor.tools();
    let mut pipe = Pipe::open(&place);
    pipe.modern(7, "tools/call", json!({ "name": "toy__slow", "arguments": {}, "_meta": { "progressToken": "p" } }));
    assert_eq!(pipe.notice("notifications/progress")["params"]["progressToken"], "p");
    pipe.say(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 7 } }));
    upstream.until_noted("gone", DEADLINE);
    // Nothing is said about the cancelled call, and the pipe goes on.
    pipe.modern(8, "tools/list", json!({}));
    assert_eq!(pipe.hear()["id"], 8);
}

#[test]
fn a_killed_gateway_is_waited_for_in_both_eras() {
    let (mut place, _upstream) = toy();
    let (mut legacy, mut modern) = (Pipe::open(&place), Pipe::open(&place));
    legacy.initialize("2025-11-25");
    modern.modern("L", "subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }));
    modern.notice("notifications/subscriptions/acknowledged");
    killed_and_started_again(&mut place);
    legacy.call(1, "toy__echo", json!({}));
    assert_eq!(legacy.answer_to(1)["result"]["content"][0]["text"], "done");
    modern.modern(2, "tools/call", json!({ "name": "toy__echo", "arguments": {} }));
    assert_eq!(modern.answer_to(2)["result"]["content"][0]["text"], "done");
    // The listening goes on by itself; what may have been missed is announced.
    let mut other = Pipe::open(&place);
    other.modern("L", "subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }));
    other.notice("notifications/subscriptions/acknowledged");
    place.admin.add("eng", "second", &servers::plain(&["more"]));
    let notice = other.notice("notifications/tools/list_changed");
    assert_eq!(notice["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "L");
}

#[test]
fn listening_that_was_interrupted_goes_on_and_says_that_something_may_have_changed() {
    let (mut place, _upstream) = toy();
    let mut pipe = Pipe::open(&place);
    pipe.modern("L", "subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }));
    pipe.notice("notifications/subscriptions/acknowledged");
    killed_and_started_again(&mut place);
    let notice = pipe.hear();
    assert_eq!(notice["method"], "notifications/tools/list_changed", "{notice}");
    assert_eq!(notice["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "L");
}

#[test]
fn a_refused_token_is_told_to_the_client_and_to_the_person() {
    let (place, _upstream) = toy();
    let mut pipe = Pipe::open(&place);
    pipe.initialize("2025-11-25");
    place.admin.revoke("eng", &place.token.id);
    pipe.call(2, "toy__echo", json!({}));
    let refused = pipe.answer_to(2);
    assert_eq!(refused["error"]["code"], -32003, "{refused}");
    let (status, said) = pipe.end();
    assert!(status.success() && said.contains("refuses the token"), "{status} {said}");
    assert!(!said.contains(&place.token.raw[..12]), "a token is never shown: {said}");
}

#[test]
fn a_session_that_the_gateway_forgot_is_opened_again_unnoticed() {
    let (place, _upstream) = toy();
    let (forgetful, sessions) = servers::legacy(&["echo"], |seen, conn| conn.says(seen, "done"));
    let mut pipe = Pipe::at(&place, forgetful.address, &[]);
    pipe.initialize("2025-11-25");
    pipe.call(1, "echo", json!({}));
    pipe.answer_to(1);
    sessions.forget();
    pipe.call(2, "echo", json!({}));
    assert_eq!(pipe.answer_to(2)["result"]["content"][0]["text"], "done");
    assert_eq!(forgetful.of("initialize").len(), 2);
    assert_eq!(forgetful.of("notifications/initialized").len(), 2);
    assert!(pipe.end().0.success());
    assert_eq!(forgetful.of("DELETE").len(), 1, "the end of stdin ends the session");
}

#[test]
fn a_call_whose_answer_is_lost_is_not_sent_again() {
    let upstream = servers::modern(&["pay"], |_seen, conn| conn.until_gone());
    let mut place = place(&[("toy", &upstream)]);
    place.editor.tools();
    let mut pipe = Pipe::open(&place);
    pipe.initialize("2025-11-25");
    pipe.call(1, "toy__pay", json!({}));
    upstream.until_seen("the call", |seen| seen.iter().any(|one| one.rpc() == "tools/call"));
    killed_and_started_again(&mut place);
    assert_eq!(pipe.answer_to(1)["error"]["code"], -32019);
    assert_eq!(upstream.calls().len(), 1);
}

#[test]
fn a_line_that_is_too_long_or_no_message_is_refused_and_the_next_one_served() {
    let (place, _upstream) = toy();
    let mut pipe = Pipe::at(&place, place.gateway.address, &["--max-message", "1"]);
    let huge = "x".repeat(2 << 20);
    pipe.raw(format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{{\"x\":\"{huge}\"}}}}\n"));
    let refused = pipe.hear();
    assert_eq!((refused["id"].clone(), refused["error"]["code"].clone()), (Value::Null, json!(-32600)), "{refused}");
    pipe.raw("not json\n");
    assert_eq!(pipe.hear()["error"]["code"], -32700);
    pipe.modern(2, "tools/list", json!({}));
    assert_eq!(pipe.answer_to(2)["result"]["tools"][0]["name"], "toy__echo");
}

#[test]
fn large_messages_travel_both_ways() {
    let upstream = servers::modern(&["echo"], |seen, conn| {
        let text = seen.json()["params"]["arguments"]["text"].clone();
        conn.result(seen, json!({ "resultType": "complete", "content": [{ "type": "text", "text": text }] }));
    });
    let place = place(&[("toy", &upstream)]);
    place.editor.tools();
    let mut pipe = Pipe::open(&place);
    pipe.initialize("2025-11-25");
    let text = "ü".repeat(700_000);
    pipe.call(1, "toy__echo", json!({ "text": text }));
    assert_eq!(pipe.answer_to(1)["result"]["content"][0]["text"], text);
}

#[test]
fn a_closed_stdout_ends_the_bridge() {
    let (place, _upstream) = toy();
    let mut pipe = Pipe::for_pipes(&place);
    drop(pipe.child.stdout.take());
    pipe.modern(1, "tools/list", json!({}));
    let mut status = None;
    wait::until("the bridge ends although stdin is open", || {
        status = pipe.child.try_wait().expect("a status");
        status.is_some()
    });
    assert!(status.expect("over").success());
}

#[test]
fn the_official_client_speaks_through_the_pipe_in_both_eras() {
    use rmcp::{ClientLifecycleMode, ClientServiceExt as _, model::ProtocolVersion};

    let (place, _upstream) = toy();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let modern = || vec![ProtocolVersion::V_2026_07_28];
    for (mode, version) in [
        (ClientLifecycleMode::Initialize, "2025-11-25"),
        (ClientLifecycleMode::Discover { preferred_versions: modern() }, MODERN),
        (ClientLifecycleMode::Auto { preferred_versions: modern(), legacy_version: None }, MODERN),
    ] {
        let mut pipe = Pipe::for_pipes(&place);
        let (input, output) = (pipe.stdin.take().expect("stdin"), pipe.child.stdout.take().expect("stdout"));
        runtime.block_on(async {
            use tokio::net::unix::pipe::{Receiver, Sender};
            let pipes = (
                Receiver::from_owned_fd(output.into()).expect("a pipe"),
                Sender::from_owned_fd(input.into()).expect("a pipe"),
            );
            let client = ().serve_with_lifecycle(pipes, mode).await.expect("a connection");
            assert_eq!(client.peer_info().expect("a peer").protocol_version.to_string(), version);
            let tools = client.list_all_tools().await.expect("tools");
            assert_eq!(tools[0].name, "toy__echo");
            let call = rmcp::model::CallToolRequestParams::new("toy__echo");
            let result = client.call_tool(call).await.expect("an answer");
            assert_eq!(result.content[0].as_text().expect("a text").text, "done");
            client.cancel().await.expect("closed");
        });
        assert!(pipe.end().0.success());
    }
}
