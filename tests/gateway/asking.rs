//! Legacy servers that ask something in the middle of a call, and legacy clients: asked is who declared it, on the stream
//! of the call, under an id of the gateway's; the answer goes back to the server that waits.

use serde_json::{Value, json};

use crate::support::{
    Conn, Seen, TestGateway,
    asking::{self, Answers, form, says, text},
    place, place_with,
};

/// Asks one thing of each kind, by the tool's name, and says what was answered.
fn curious(seen: &Seen, conn: &mut Conn, answers: &Answers) {
    conn.begin_events();
    let answer = match seen.tool().as_str() {
        "elicit" => answers.ask(conn, json!("srv-1"), "elicitation/create", form("Sure?")),
        "page" => {
            let params = json!({ "mode": "url", "elicitationId": "e9", "url": "https://example.com", "message": "Go" });
            answers.ask(conn, json!(2), "elicitation/create", params)
        }
        "sample" => {
            let params = json!({ "messages": [], "maxTokens": 5, "_meta": { "progressToken": 9, "x": 1 } });
            answers.ask(conn, json!(7), "sampling/createMessage", params)
        }
        "roots" => answers.ask(conn, json!("roots"), "roots/list", json!({})),
        _ => answers.ask(conn, json!(1), "ping", json!({})),
    };
    let said = if answer.get("error").is_some() { &answer["error"]["code"] } else { &answer["result"] };
    says(seen, conn, &said.to_string());
}

const TOOLS: &[&str] = &["elicit", "page", "sample", "roots", "ping"];

#[test]
fn a_legacy_client_is_asked_on_the_stream_of_its_call() {
    let (upstream, _) = asking::legacy(TOOLS, curious);
    let place = place(&[("toy", &upstream)]);
    place.editor.tools();
    let able = json!({ "elicitation": {}, "sampling": {}, "roots": { "listChanged": true } });
    let session = place.editor.initialize_with("2025-11-25", able.clone());
    let cases = [
        ("elicit", "elicitation/create", json!({ "action": "accept", "content": { "ok": true } })),
        ("sample", "sampling/createMessage", json!({ "role": "assistant", "content": {}, "model": "m", "n": 1.50 })),
        ("roots", "roots/list", json!({ "roots": [{ "uri": "file:///a" }] })),
    ];
    for (tool, method, answer) in cases {
        let mut events = session.begin(&json!(5), &format!("toy__{tool}"));
        let asked = events.message();
        assert_eq!(asked["method"], method);
        assert!(!["srv-1", "7", "roots"].contains(&asked["id"].as_str().unwrap()), "an id of ours: {asked}");
        match tool {
            "elicit" => assert_eq!(asked["params"]["message"], "[toy] Sure?"),
            "sample" => assert_eq!(asked["params"], json!({ "messages": [], "maxTokens": 5, "_meta": { "x": 1 } })),
            _ => {}
        }
        session.answer(&asked["id"], answer.clone()).expect(202);
        let result = events.answer_to(&json!(5))["result"].clone();
        assert_eq!(serde_json::from_str::<Value>(text(&result)).unwrap(), answer);
    }
    // The session is the client's own and declares what the client declared; the shared one declares nothing.
    let declared: Vec<Value> =
        upstream.of("initialize").iter().map(|seen| seen.json()["params"]["capabilities"].clone()).collect();
    let own = json!({ "elicitation": { "form": {} }, "sampling": {}, "roots": { "listChanged": true } });
    assert_eq!(declared, [json!({}), own]);
    assert_eq!(upstream.calls().iter().filter(|call| call.header("mcp-session-id") == Some("session-1")).count(), 3);
}

#[test]
fn a_server_is_refused_what_the_client_did_not_declare() {
    let (upstream, _) = asking::legacy(TOOLS, curious);
    let place = place(&[("toy", &upstream)]);
    let code = |session: &crate::support::Session, tool: &str| {
        text(&session.call(&format!("toy__{tool}"), json!({})).expect(200).result()).to_owned()
    };
    let silent = place.editor.initialize("2025-11-25");
    let form_only = place.editor.initialize_with("2025-11-25", json!({ "elicitation": {} }));
    for tool in ["elicit", "page", "sample", "roots"] {
        assert_eq!(code(&silent, tool), "-32601", "{tool}");
    }
    assert_eq!(code(&form_only, "page"), "-32602");
    assert_eq!(code(&form_only, "roots"), "-32601");
    assert_eq!(code(&silent, "ping"), "{}", "what the gateway can answer itself, it does");
    // A client of 2026-07-28 that declares nothing is not asked either.
    let modern = place.editor.call("toy__roots", json!({})).expect(200);
    assert_eq!(text(&modern.result()), "-32601");
}

#[test]
fn a_client_without_a_stream_is_asked_on_its_other_stream_or_not_at_all() {
    let (upstream, _) = asking::legacy(TOOLS, curious);
    let place = place(&[("toy", &upstream)]);
    let session = place.editor.initialize_with("2025-06-18", json!({ "roots": {} }));
    let plain = session
        .asking(&json!(1), "tools/call", json!({ "name": "toy__roots", "arguments": {} }))
        .with("accept", "application/json");
    assert_eq!(text(&place.editor.send(&plain).expect(200).result()), "-32603");
    let mut stream = session.stream();
    let answer = std::thread::scope(|scope| {
        let call = scope.spawn(|| place.editor.send(&plain).expect(200).result());
        let asked = stream.notification("roots/list");
        session.answer(&asked["id"], json!({ "roots": [] })).expect(202);
        call.join().unwrap()
    });
    assert_eq!(text(&answer), r#"{"roots":[]}"#);
}

#[test]
fn only_the_client_that_was_asked_can_answer() {
    let (upstream, _) = asking::legacy(TOOLS, curious);
    let place = place(&[("toy", &upstream)]);
    let able = json!({ "roots": {} });
    let session = place.editor.initialize_with("2025-11-25", able.clone());
    let other = place.editor.initialize_with("2025-11-25", able);
    let mut events = session.begin(&json!("a"), "toy__roots");
    let asked = events.message();
    other.answer(&asked["id"], json!({ "roots": ["forged"] })).expect(202);
    session.answer(&json!("ask-0"), json!({ "roots": ["lost"] })).expect(202);
    session.answer(&asked["id"], json!({ "roots": [] })).expect(202);
    assert_eq!(text(&events.answer_to(&json!("a"))["result"]), r#"{"roots":[]}"#);
}

#[test]
fn a_client_that_refuses_is_heard_and_one_that_is_silent_is_not_waited_for_for_ever() {
    let (upstream, _) = asking::legacy(TOOLS, curious);
    let setup = TestGateway::setup().set("limits.question_seconds", 1);
    let place = place_with(setup, &[("toy", &upstream)]);
    let able = json!({ "roots": {}, "elicitation": {} });
    let session = place.editor.initialize_with("2025-11-25", able);
    let mut events = session.begin(&json!(1), "toy__roots");
    let asked = events.message();
    let refusal = json!({ "jsonrpc": "2.0", "id": asked["id"], "error": { "code": -32050, "message": "no" } });
    place.editor.send(&session.post(refusal.to_string())).expect(202);
    assert_eq!(text(&events.answer_to(&json!(1))["result"]), "-32050");

    let mut events = session.begin(&json!(2), "toy__elicit");
    let asked = events.message();
    let withdrawn = events.notification("notifications/cancelled");
    assert_eq!(withdrawn["params"]["requestId"], asked["id"]);
    assert_eq!(text(&events.answer_to(&json!(2))["result"]), r#"{"action":"cancel"}"#);
}

#[test]
fn an_http_sse_client_is_asked_on_its_stream() {
    let (upstream, _) = asking::legacy(TOOLS, curious);
    let place = place(&[("toy", &upstream)]);
    let mut client = place.editor.http_sse();
    let hello = json!({ "protocolVersion": "2024-11-05", "capabilities": { "roots": {} },
        "clientInfo": { "name": "old", "version": "1" } });
    client.ask(&json!(0), "initialize", hello);
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "toy__roots" } });
    client.post(&call).expect(202);
    let asked = client.events.notification("roots/list");
    client.post(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": { "roots": [] } })).expect(202);
    assert_eq!(text(&client.events.answer_to(&json!(1))["result"]), r#"{"roots":[]}"#);
}

#[test]
fn a_cancelled_call_takes_its_questions_along() {
    let (upstream, answers) = asking::legacy(TOOLS, curious);
    let place = place(&[("toy", &upstream)]);
    let session = place.editor.initialize_with("2025-11-25", json!({ "elicitation": {} }));
    let mut events = session.begin(&json!(8), "toy__elicit");
    events.message();
    session.notify("notifications/cancelled", json!({ "requestId": 8 })).expect(202);
    upstream.until_noted("cancelled", crate::support::wait::DEADLINE);
    assert_eq!(answers.to(&json!("srv-1"))["result"]["action"], "cancel");
    assert!(events.until_end().0.is_empty(), "no answer after a cancellation");
}

#[test]
fn changed_roots_are_told_to_the_clients_own_sessions_only() {
    let (upstream, _) = asking::legacy(TOOLS, curious);
    let place = place(&[("toy", &upstream)]);
    let able = json!({ "roots": { "listChanged": true } });
    let session = place.editor.initialize_with("2025-11-25", able);
    session.call("toy__ping", json!({})).result();
    session.notify("notifications/roots/list_changed", json!({})).expect(202);
    let changed = "notifications/roots/list_changed";
    upstream.until_seen("the roots have changed", |seen| seen.iter().any(|one| one.rpc() == changed));
    let told = upstream.of(changed);
    assert_eq!((told.len(), told[0].header("mcp-session-id")), (1, Some("session-1")));
    // The end of the client's session is the end of its own sessions at servers.
    session.end().expect(204);
    upstream.until_seen("the session's end", |seen| seen.iter().any(|one| one.method == "DELETE"));
    assert_eq!(upstream.of("DELETE")[0].header("mcp-session-id"), Some("session-1"));
}

#[test]
fn what_a_server_asks_outside_of_a_call_reaches_the_client_of_that_session() {
    let (upstream, answers) = asking::legacy(TOOLS, curious);
    let place = place(&[("toy", &upstream)]);
    let session = place.editor.initialize_with("2025-11-25", json!({ "roots": {}, "elicitation": { "url": {} } }));
    let mut stream = session.stream();
    session.call("toy__ping", json!({})).result();
    upstream.until_noted("listening in session-1", crate::support::wait::DEADLINE);
    let ask = |id: i64, method: &str| {
        let params = json!({ "message": "?" });
        assert!(answers.say(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })));
        json!(id)
    };
    let id = ask(100, "roots/list");
    let asked = stream.notification("roots/list");
    session.answer(&asked["id"], json!({ "roots": [1] })).expect(202);
    assert_eq!(answers.to(&id)["result"]["roots"], json!([1]));
    let refused = ask(101, "sampling/createMessage");
    assert_eq!(answers.to(&refused)["error"]["code"], -32601);
    let complete = "notifications/elicitation/complete";
    answers.say(json!({ "jsonrpc": "2.0", "method": complete, "params": { "elicitationId": "e1" } }));
    assert_eq!(stream.notification(complete)["params"]["elicitationId"], "e1");
}
