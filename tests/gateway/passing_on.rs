//! What is passed on and what is not: log messages, methods that only a server knows, errors with their status, and calls
//! that may be repeated.

use serde_json::{Value, json};

use crate::support::{Conn, Seen, asking, place, servers};

fn log(level: &str) -> Value {
    json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": level, "data": level } })
}

/// Logs at three levels, then answers.
fn talkative(seen: &Seen, conn: &mut Conn) {
    conn.begin_events();
    for level in ["debug", "info", "error"] {
        conn.event(log(level));
    }
    asking::says(seen, conn, "done");
}

#[test]
fn log_messages_reach_a_client_of_2026_07_28_only_if_it_asked_for_them() {
    let (upstream, _) = servers::legacy(&["log"], talkative);
    let place = place(&[("toy", &upstream)]);
    let levels = |meta: Value| -> Vec<Value> {
        let params = json!({ "name": "toy__log", "arguments": {}, "_meta": meta });
        let answer = place.editor.send(&place.editor.modern(&json!(1), "tools/call", params)).text();
        let data = answer.lines().filter_map(|line| line.strip_prefix("data: "));
        let messages = data.map(|text| serde_json::from_str::<Value>(text).unwrap());
        messages
            .filter(|one| one["method"] == "notifications/message")
            .map(|one| one["params"]["level"].clone())
            .collect()
    };
    assert!(levels(json!({})).is_empty());
    assert_eq!(levels(json!({ "io.modelcontextprotocol/logLevel": "info" })), ["info", "error"]);
    assert_eq!(levels(json!({ "io.modelcontextprotocol/logLevel": "debug" })), ["debug", "info", "error"]);
    let session = place.editor.initialize("2025-11-25");
    let (events, _) = session.begin(&json!(1), "toy__log").until_end();
    assert_eq!(events.len(), 4, "a legacy client gets them unless it says otherwise");
}

#[test]
fn a_server_of_2026_07_28_is_told_what_a_legacy_client_wants_to_hear() {
    let upstream = servers::modern(&["log"], talkative);
    let place = place(&[("toy", &upstream)]);
    place.editor.initialize("2025-11-25").call("toy__log", json!({}));
    let level = |seen: Seen| seen.json()["params"]["_meta"]["io.modelcontextprotocol/logLevel"].clone();
    assert_eq!(level(upstream.last_call()), "info");
    place.editor.call("toy__log", json!({}));
    assert_eq!(level(upstream.last_call()), Value::Null);
}

#[test]
fn a_method_that_only_its_server_knows_is_passed_on_where_there_is_one_server() {
    let upstream = crate::support::Upstream::start(|seen, conn| match seen.rpc().as_str() {
        "server/discover" => conn.result(
            seen,
            json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} } }),
        ),
        "tools/list" => conn.result(seen, servers::tools(&["echo"])),
        "skills/list" => conn.result(seen, r#"{"resultType":"complete","skills":[1.50]}"#),
        _ => conn.error(404, seen, -32601, "Method not found"),
    });
    let one = place(&[("toy", &upstream)]);
    one.editor.tools();
    let ask = |place: &crate::support::Place, method: &str, params: Value| {
        place.editor.send(&place.editor.modern(&json!("x"), method, params))
    };
    let answer = ask(&one, "skills/list", json!({ "cursor": "c", "n": 1 })).expect(200);
    assert!(answer.text().contains(r#""skills":[1.50]"#), "{}", answer.text());
    let sent = upstream.of("skills/list").pop().unwrap().json();
    assert_eq!((&sent["params"]["cursor"], &sent["params"]["n"]), (&json!("c"), &json!(1)));
    assert_eq!(ask(&one, "no/such", json!({})).expect(404).code(), -32601);
    assert_eq!(one.editor.initialize("2025-11-25").request("no/such", json!({})).expect(200).code(), -32601);
    // What belongs to the gateway or to another era is not.
    for method in ["logging/setLevel", "initialize", "resources/subscribe", "tasks/list", "roots/list"] {
        let before = upstream.seen().len();
        ask(&one, method, json!({}));
        assert_eq!(upstream.seen().len(), before, "{method}");
    }
    // Nobody guesses among several servers, unless a name says which one is meant.
    let several = place(&[("toy", &upstream), ("other", &servers::plain(&["echo"]))]);
    several.editor.tools();
    let before = upstream.seen().len();
    assert_eq!(ask(&several, "skills/list", json!({})).expect(404).code(), -32601);
    assert_eq!(upstream.seen().len(), before);
    ask(&several, "vendor/describe", json!({ "name": "toy__echo" }));
    assert_eq!(upstream.of("vendor/describe").pop().unwrap().json()["params"]["name"], "echo");
}

#[test]
fn a_servers_error_keeps_its_data_and_gets_the_status_of_its_era() {
    let upstream = servers::modern(&["sample"], |seen, conn| {
        let data = json!({ "requiredCapabilities": { "sampling": {} } });
        let error = json!({ "code": -32021, "message": "needs sampling", "data": data });
        conn.json(400, json!({ "jsonrpc": "2.0", "id": seen.id(), "error": error }).to_string());
    });
    let place = place(&[("toy", &upstream)]);
    let modern = place.editor.call("toy__sample", json!({})).expect(400);
    assert_eq!(modern.code(), -32021);
    assert_eq!(modern.json()["error"]["data"], json!({ "requiredCapabilities": { "sampling": {} } }));
    assert_eq!(place.editor.initialize("2025-11-25").call("toy__sample", json!({})).expect(200).code(), -32021);
}

#[test]
fn a_call_whose_answer_was_lost_is_repeated_only_where_that_changes_nothing() {
    let described = |name: &str, hint: &str| json!({ "name": name, "inputSchema": { "type": "object" }, "annotations": { hint: true } });
    let tools = json!({ "tools": [described("read", "readOnlyHint"), described("put", "idempotentHint"),
        described("write", "destructiveHint")], "resultType": "complete", "ttlMs": 0, "cacheScope": "private" });
    let upstream = crate::support::Upstream::start(move |seen, conn| match seen.rpc().as_str() {
        "server/discover" => conn.result(
            seen,
            json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} } }),
        ),
        "tools/list" => conn.result(seen, &tools),
        "tools/call" => {
            conn.note(&seen.tool());
            // The first of each is lost.
            conn.close();
        }
        _ => conn.error(404, seen, -32601, "no"),
    });
    let place = place(&[("toy", &upstream)]);
    place.editor.tools();
    let sent = |tool: &str| upstream.notes().iter().filter(|note| *note == tool).count();
    for (tool, times) in [("read", 2), ("put", 2), ("write", 1)] {
        let answer = place.editor.call(&format!("toy__{tool}"), json!({}));
        assert_eq!((answer.code(), sent(tool)), (-32019, times), "{tool}: {}", answer.text());
    }
}

#[test]
fn structured_content_that_is_no_object_reaches_a_legacy_client_as_one() {
    let upstream = servers::modern(&["list"], |seen, conn| {
        conn.result(seen, json!({ "resultType": "complete", "structuredContent": [1, 2], "content": [] }));
    });
    let place = place(&[("toy", &upstream)]);
    let legacy = place.editor.initialize("2025-11-25").call("toy__list", json!({})).result();
    assert_eq!(
        legacy,
        json!({ "structuredContent": { "result": [1, 2] }, "content": [{ "type": "text", "text": "[1,2]" }] })
    );
    assert_eq!(place.editor.call("toy__list", json!({})).result()["structuredContent"], json!([1, 2]));
}

/// A server with a prompt and a resource, of either era.
fn library(modern: bool) -> crate::support::Upstream {
    let able = json!({ "tools": {}, "prompts": {}, "resources": {}, "completions": {} });
    crate::support::Upstream::start(move |seen, conn| match seen.rpc().as_str() {
        "server/discover" if modern => conn.result(
            seen,
            json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": able }),
        ),
        "initialize" if !modern => conn.result(
            seen,
            json!({ "protocolVersion": "2025-06-18", "capabilities": able,
                "serverInfo": { "name": "library", "version": "1" } }),
        ),
        "tools/list" => conn.result(seen, json!({ "tools": [] })),
        "prompts/list" => conn.result(seen, json!({ "prompts": [{ "name": "greet" }] })),
        "resources/list" => conn.result(seen, json!({ "resources": [{ "uri": "doc://a", "name": "a" }] })),
        "resources/templates/list" => {
            conn.result(seen, json!({ "resourceTemplates": [{ "uriTemplate": "doc://{id}", "name": "t" }] }));
        }
        "prompts/get" => conn.result(seen, json!({ "messages": [] })),
        "resources/read" if seen.json()["params"]["uri"] == "doc://a" => {
            conn.result(seen, json!({ "contents": [{ "uri": "doc://a", "text": "A" }] }));
        }
        "resources/read" => {
            let uri = &seen.json()["params"]["uri"];
            let code = if modern { -32602 } else { -32002 };
            let error = json!({ "code": code, "message": "no such resource", "data": { "uri": uri } });
            conn.json(200, json!({ "jsonrpc": "2.0", "id": seen.id(), "error": error }).to_string());
        }
        "completion/complete" => conn.result(seen, json!({ "completion": { "values": ["x"] } })),
        "GET" => conn.reply(405, &[("allow", "POST")], ""),
        method if method.starts_with("notifications/") => conn.reply(202, &[], ""),
        _ => conn.error(404, seen, -32601, "no"),
    })
}

#[test]
fn prompts_resources_and_completions_find_their_server_whatever_the_eras() {
    for modern in [true, false] {
        let upstream = library(modern);
        let place = place(&[("books", &upstream), ("other", &servers::plain(&["echo"]))]);
        place.editor.tools();
        let session = place.editor.initialize("2025-11-25");
        let asked = |method: &str, params: Value| {
            let fresh = place.editor.send(&place.editor.modern(&json!(1), method, params.clone())).expect(200);
            let old = session.request(method, params).expect(200);
            (fresh, old, upstream.of(method).pop().map(|seen| seen.json()["params"].clone()).unwrap_or_default())
        };
        let (fresh, old, sent) = asked("prompts/get", json!({ "name": "books__greet", "arguments": { "a": "b" } }));
        assert_eq!((&fresh.result()["resultType"], &sent["name"]), (&json!("complete"), &json!("greet")));
        assert_eq!(old.result(), json!({ "messages": [] }));
        let (fresh, old, sent) = asked("resources/read", json!({ "uri": "doc://a" }));
        assert_eq!((&fresh.result()["ttlMs"], &fresh.result()["cacheScope"]), (&json!(0), &json!("private")));
        assert_eq!((&old.result()["contents"][0]["text"], &sent["uri"]), (&json!("A"), &json!("doc://a")));
        let prompt = json!({ "ref": { "type": "ref/prompt", "name": "books__greet" },
            "argument": { "name": "a", "value": "" } });
        let (fresh, old, sent) = asked("completion/complete", prompt);
        assert_eq!(sent["ref"]["name"], "greet");
        assert_eq!(
            (fresh.result()["completion"].clone(), old.result()),
            (json!({ "values": ["x"] }), json!({ "completion": { "values": ["x"] } }))
        );
        let template = json!({ "ref": { "type": "ref/resource", "uri": "doc://{id}" },
            "argument": { "name": "id", "value": "" } });
        assert_eq!(asked("completion/complete", template).2["ref"]["uri"], "doc://{id}");
        // What is not there is told in the words of the client's era, wherever that is found out.
        for uri in ["doc://b", "nobody://knows"] {
            let (fresh, old, _) = asked("resources/read", json!({ "uri": uri }));
            assert_eq!((fresh.code(), old.code()), (-32602, -32002), "{uri} {modern}");
            assert_eq!(fresh.json()["error"]["data"]["uri"], uri);
        }
        let (fresh, old, _) = asked("prompts/get", json!({ "name": "greet" }));
        assert_eq!((fresh.code(), old.code()), (-32602, -32602));
    }
}
