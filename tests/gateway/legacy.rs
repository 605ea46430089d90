//! The revisions with sessions, 2025-03-26 to 2025-11-25.

use serde_json::{Value, json};

use crate::support::{Place, Request, place, servers};

const REVISIONS: [&str; 3] = ["2025-03-26", "2025-06-18", "2025-11-25"];

fn toy() -> Place {
    place(&[("toy", &servers::plain(&["echo"]))])
}

#[test]
fn the_handshake_agrees_on_a_revision_and_gives_a_session() {
    let place = toy();
    for revision in REVISIONS {
        let session = place.editor.initialize(revision);
        assert!(session.id.bytes().all(|byte| (0x21..=0x7e).contains(&byte)), "{}", session.id);
        assert_eq!(session.initialized["capabilities"], json!({ "tools": { "listChanged": true } }));
        assert_eq!(session.initialized["serverInfo"]["name"], "aerostack");
        assert_eq!(session.request("ping", json!({})).expect(200).result(), json!({}));
        let tools = session.request("tools/list", json!({})).expect(200).result();
        assert_eq!(tools["tools"][0]["name"], "toy__echo");
        assert_eq!(tools.as_object().unwrap().len(), 1, "nothing of 2026-07-28: {tools}");
        let result = session.call("toy__echo", json!({})).expect(200).result();
        assert_eq!(result["content"][0]["text"], "done");
        assert_eq!(session.request("no/such", json!({})).expect(200).code(), -32601);
        assert_eq!(session.call("toy__no", json!({})).expect(200).code(), -32602);
        assert_eq!(session.request("server/discover", json!({})).expect(200).code(), -32601);
    }
}

#[test]
fn an_unknown_revision_is_answered_with_the_latest_that_has_a_handshake() {
    let place = toy();
    for asked in ["1999-01-01", "2026-07-28", "next"] {
        let answer = place.editor.send(&place.editor.initialize_request(asked)).expect(200);
        assert_eq!(answer.result()["protocolVersion"], "2025-11-25", "{asked}");
    }
    let body = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
    assert_eq!(place.editor.send(&place.editor.post(body)).code(), -32602);
    let modern = place.editor.initialize_request("2025-11-25").header("mcp-protocol-version", "2026-07-28");
    let answer = place.editor.send(&modern).expect(400);
    assert_eq!(answer.code(), -32020);
}

#[test]
fn sessions_are_missing_400_unknown_404_and_ended_404() {
    let place = toy();
    let list = r#"{"jsonrpc":"2.0","id":3,"method":"tools/list"}"#;
    let missing = place.editor.send(&place.editor.post(list)).expect(400);
    assert_eq!((missing.code(), missing.json()["id"].clone()), (-32600, json!(3)));
    assert!(missing.text().contains("Mcp-Session-Id header is required"));
    let unknown = place.editor.send(&place.editor.post(list).header("mcp-session-id", "nobody")).expect(404);
    assert_eq!((unknown.code(), unknown.json()["id"].clone()), (-32001, json!(3)));

    let session = place.editor.initialize("2025-11-25");
    assert_eq!(session.end().expect(204).body, b"");
    assert_eq!(session.request("tools/list", json!({})).expect(404).code(), -32001);
    session.end().expect(404);
    session.get().send(place.gateway.address).expect(404);
    // A stale id on a fresh handshake does no harm.
    let again = place.editor.initialize_request("2025-11-25").header("mcp-session-id", &session.id);
    place.editor.send(&again).expect(200);
}

#[test]
fn a_session_belongs_to_its_token() {
    let place = toy();
    let session = place.editor.initialize("2025-11-25");
    let other = place.gateway.editor("eng", &place.admin.token("eng", "Bob").raw);
    place.admin.workspace("ops");
    let elsewhere = place.gateway.editor("ops", &place.admin.token("ops", "Olga").raw);
    for stranger in [other, elsewhere] {
        let borrowed = crate::support::Session { editor: stranger, ..session.clone() };
        assert_eq!(borrowed.request("tools/list", json!({})).expect(404).code(), -32001);
        borrowed.get().send(place.gateway.address).expect(404);
        borrowed.end().expect(404);
    }
    let mut flipped = session.id.clone().into_bytes();
    let middle = flipped.len() / 2;
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    let forged = crate::support::Session { id: String::from_utf8(flipped).unwrap(), ..session.clone() };
    forged.request("tools/list", json!({})).expect(404);
    session.request("tools/list", json!({})).expect(200);
}

#[test]
fn a_session_survives_a_restart_and_its_end_does_too() {
    let mut place = toy();
    let (kept, ended) = (place.editor.initialize("2025-11-25"), place.editor.initialize("2025-11-25"));
    ended.end().expect(204);
    place.gateway.restart();
    let result = kept.call("toy__echo", json!({})).expect(200).result();
    assert_eq!(result["content"][0]["text"], "done");
    ended.request("ping", json!({})).expect(404);
}

#[test]
fn batches_are_for_2025_03_26_only() {
    let place = toy();
    let batch = json!([
        { "jsonrpc": "2.0", "id": 1, "method": "ping" },
        { "jsonrpc": "2.0", "method": "notifications/initialized" },
        { "jsonrpc": "2.0", "id": "two", "method": "tools/call", "params": { "name": "toy__echo", "arguments": {} } },
        { "jsonrpc": "2.0", "id": 3, "method": "no/such" },
        { "jsonrpc": "2.0", "id": 4, "method": "initialize", "params": {} },
        5,
    ])
    .to_string();
    let old = place.editor.initialize("2025-03-26");
    let answers = old.editor.send(&old.post(batch.clone())).expect(200).json();
    let short: Vec<Value> =
        answers.as_array().unwrap().iter().map(|one| json!([one["id"], one["error"]["code"]])).collect();
    let expected = json!([[1, null], ["two", null], [3, -32601], [4, -32600], [null, -32600]]);
    assert_eq!(json!(short), expected);
    assert_eq!(answers[1]["result"]["content"][0]["text"], "done");

    for revision in ["2025-06-18", "2025-11-25"] {
        let session = place.editor.initialize(revision);
        let answer = session.editor.send(&session.post(batch.clone())).expect(400);
        assert_eq!(answer.code(), -32600, "{revision}");
    }
    let without = place.editor.send(&place.editor.post(batch)).expect(400);
    assert_eq!(without.code(), -32600);
    assert_eq!(old.editor.send(&old.post("[]")).expect(400).code(), -32600);
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let many = format!("[{}]", vec![ping; 21].join(","));
    assert_eq!(old.editor.send(&old.post(many)).expect(400).code(), -32600);
    let only_notices = r#"[{"jsonrpc":"2.0","method":"notifications/initialized"}]"#;
    old.editor.send(&old.post(only_notices)).expect(202);
}

#[test]
fn wrong_http_methods_say_which_are_right() {
    let place = toy();
    let send = |method: &'static str, accept: &str| {
        Request::new(method, "/ws/eng").bearer(&place.token.raw).header("accept", accept).send(place.gateway.address)
    };
    assert_eq!(send("PUT", "*/*").expect(405).header("allow"), Some("GET, POST, DELETE"));
    assert_eq!(send("PATCH", "*/*").expect(405).header("allow"), Some("GET, POST, DELETE"));
    assert_eq!(send("GET", "application/json").expect(405).header("allow"), Some("POST"));
    assert_eq!(send("DELETE", "*/*").expect(405).header("allow"), Some("POST"));
    let versioned = Request::get("/ws/eng")
        .bearer(&place.token.raw)
        .header("accept", "text/event-stream")
        .header("mcp-protocol-version", "2026-07-28");
    let answer = versioned.send(place.gateway.address).expect(405);
    assert_eq!((answer.header("allow"), answer.code()), (Some("POST"), -32600));
}

#[test]
fn media_types_are_checked_and_old_clients_are_forgiven() {
    let place = toy();
    let session = place.editor.initialize("2025-03-26");
    let ping = session.post(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    let status = |request: Request| request.send(place.gateway.address).status;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "multipart/form-data"] {
        assert_eq!(status(ping.clone().with("content-type", kind)), 415, "{kind}");
    }
    assert_eq!(status(ping.clone().without("content-type")), 415);
    assert_eq!(status(ping.clone().with("content-type", "Application/JSON; charset=utf-8")), 200);
    for encoding in ["gzip", "br", "deflate", "zstd", "gzip, identity"] {
        assert_eq!(status(ping.clone().header("content-encoding", encoding)), 415, "{encoding}");
    }
    assert_eq!(status(ping.clone().header("content-encoding", "identity")), 200);
    assert_eq!(status(ping.clone().with("accept", "text/html")), 406);
    for accept in ["*/*", "application/json", "application/*, text/event-stream"] {
        assert_eq!(status(ping.clone().with("accept", accept)), 200, "{accept}");
    }
    // claude.ai and others send no Accept and no version header.
    assert_eq!(status(ping.clone().without("accept")), 200);
    assert_eq!(status(ping.clone().without("mcp-protocol-version")), 200);
    // A known version other than the negotiated one is tolerated; an unknown one is not.
    assert_eq!(status(ping.clone().with("mcp-protocol-version", "2025-11-25")), 200);
    assert_eq!(status(ping.with("mcp-protocol-version", "1.0")), 400);
}

#[test]
fn routing_headers_of_the_new_revision_mean_nothing_in_an_old_session() {
    let place = toy();
    let session = place.editor.initialize("2025-11-25");
    let request = session.asking(&json!(1), "tools/list", json!({})).header("mcp-method", "tools/call");
    let answer = place.editor.send(&request.header("mcp-name", "x")).expect(200);
    assert_eq!(answer.result()["tools"][0]["name"], "toy__echo");
}
