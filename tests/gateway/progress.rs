//! Progress reaches the client whose call it belongs to, under the client's own token, and nobody else.

use serde_json::{Value, json};

use crate::support::{Conn, Place, Seen, place, servers};

/// Reports progress twice under the token it was given, and once under a token it was not, then answers.
fn working(seen: &Seen, conn: &mut Conn) {
    let token = seen.json()["params"]["_meta"]["progressToken"].clone();
    if token.is_null() {
        return conn.says(seen, "no token");
    }
    conn.begin_events();
    for (token, step) in [(&token, 1), (&json!("of another call"), 99), (&token, 2)] {
        conn.event(json!({ "jsonrpc": "2.0", "method": "notifications/progress",
            "params": { "progressToken": token, "progress": step, "total": 2, "message": "half\nway" } }));
    }
    conn.event(
        json!({ "jsonrpc": "2.0", "id": seen.id(), "result": { "content": [{ "type": "text", "text": "done" }] } }),
    );
    conn.end_events();
}

fn toy() -> Place {
    let modern = servers::modern(&["work"], working);
    let (legacy, _) = servers::legacy(&["work"], working);
    place(&[("fresh", &modern), ("old", &legacy)])
}

fn steps(messages: &[Value], token: &Value) {
    let steps: Vec<&Value> = messages.iter().filter(|one| one["method"] == "notifications/progress").collect();
    assert_eq!(steps.len(), 2, "{messages:?}");
    for (at, step) in steps.iter().enumerate() {
        assert_eq!(step["params"]["progressToken"], *token, "{step}");
        assert_eq!(step["params"]["progress"], at + 1);
        assert_eq!(step["params"]["message"], "half\nway");
    }
    assert_eq!(messages.last().unwrap()["result"]["content"][0]["text"], "done");
}

#[test]
fn progress_carries_the_clients_token_with_its_type() {
    let place = toy();
    let session = place.editor.initialize("2025-11-25");
    for token in [json!(7), json!("7"), json!("a\"b\\ü"), json!(0), json!(9_007_199_254_740_993_u64)] {
        for tool in ["fresh__work", "old__work"] {
            let params = json!({ "name": tool, "arguments": {}, "_meta": { "progressToken": token } });
            let modern = place.editor.modern(&json!(5), "tools/call", params.clone());
            let legacy = session.asking(&json!(5), "tools/call", params);
            for request in [modern, legacy] {
                let (events, _) = request.open(place.gateway.address).events().until_end();
                let messages: Vec<Value> =
                    events.iter().map(|event| serde_json::from_str(&event.data).unwrap()).collect();
                steps(&messages, &token);
                assert_eq!(messages.last().unwrap()["id"], 5);
            }
        }
    }
}

#[test]
fn progress_reaches_http_sse_clients() {
    let place = toy();
    place.editor.tools();
    let mut client = place.editor.http_sse();
    let params = json!({ "name": "fresh__work", "arguments": {}, "_meta": { "progressToken": "t" } });
    client.post(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params })).expect(202);
    let messages: Vec<Value> = (0..3).map(|_| client.events.message()).collect();
    steps(&messages, &json!("t"));
}

#[test]
fn without_a_token_there_is_no_progress_and_the_answer_is_plain_json() {
    let place = toy();
    let answer = place.editor.call("fresh__work", json!({})).expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.result()["content"][0]["text"], "no token");
}

#[test]
fn parallel_calls_with_the_same_token_do_not_share_progress() {
    let place = toy();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let params = json!({ "name": "fresh__work", "arguments": {}, "_meta": { "progressToken": 1 } });
                let request = place.editor.modern(&json!(1), "tools/call", params);
                let (events, _) = request.open(place.gateway.address).events().until_end();
                let messages: Vec<Value> =
                    events.iter().map(|event| serde_json::from_str(&event.data).unwrap()).collect();
                steps(&messages, &json!(1));
                assert_eq!(messages.len(), 3);
            });
        }
    });
}

#[test]
fn requests_of_a_server_are_refused_and_never_reach_a_client_that_declared_nothing() {
    let upstream = servers::modern(&["ask"], |seen, conn| {
        conn.begin_events();
        conn.event(json!({ "jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage", "params": {} }));
        conn.event(
            json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": "info", "data": "x" } }),
        );
        conn.event(json!({ "jsonrpc": "2.0", "id": seen.id(), "result": { "content": [] } }));
        conn.end_events();
    });
    let place = place(&[("toy", &upstream)]);
    let answer = place.editor.call("toy__ask", json!({})).expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"), "{}", answer.text());
    assert!(!answer.text().contains("sampling"), "{}", answer.text());
}
