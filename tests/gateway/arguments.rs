//! What is forwarded is forwarded byte for byte; what belongs to one hop stays on it.

use serde_json::{Value, json};

use crate::support::{Place, Seen, Upstream, place, servers};

/// Arguments no typed round trip would survive.
const ARGUMENTS: &str = "{ \"big\":18446744073709551617, \"f\": 1.10,\"e\":1E+300,\"neg\":-0.0,\"s\":\"\\u00fc\u{fc}\\/\\ud83d\\ude00\u{1f600}\",\r\n\t\"z\" : [ ] , \"a\":{\"b\":{ }},\"null\":null,\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"mine\"}}";

fn toy() -> (Place, Upstream, Upstream) {
    let modern = servers::plain(&["echo"]);
    let (legacy, _) = servers::legacy(&["echo"], |seen, conn| conn.says(seen, "done"));
    (place(&[("fresh", &modern), ("old", &legacy)]), modern, legacy)
}

/// A modern call whose `params` are written by hand around [`ARGUMENTS`].
fn call_by_hand(place: &Place, tool: &str) -> crate::support::Request {
    let body = format!(
        r#"{{"unknown_top":1, "jsonrpc" : "2.0","id":  "a b" ,"method":"tools/call","params":{{"future":{{"x":1.0}}, "name":"{tool}","arguments":{ARGUMENTS},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{"roots":{{}}}},"io.modelcontextprotocol/clientInfo":{{"name":"ed","version":"1"}},"vendor.example/key":{{"n":18446744073709551617}},"x":1}}}}}}"#
    );
    place
        .editor
        .post(body)
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", tool)
}

fn text_of(seen: &Seen) -> String {
    String::from_utf8(seen.body.clone()).expect("UTF-8")
}

#[test]
fn arguments_and_unknown_members_arrive_byte_for_byte() {
    let (place, modern, legacy) = toy();
    for (tool, upstream) in [("fresh__echo", &modern), ("old__echo", &legacy)] {
        let answer = call_by_hand(&place, tool).send(place.gateway.address).expect(200);
        answer.result();
        assert!(answer.text().contains(r#""id":"a b""#), "{}", answer.text());
        let body = text_of(&upstream.last_call());
        assert!(body.contains(&format!(r#""arguments":{ARGUMENTS}"#)), "{body}");
        assert!(body.contains(r#""future":{"x":1.0}"#), "{body}");
        assert!(body.contains(r#""vendor.example/key":{"n":18446744073709551617}"#), "{body}");
        assert!(!body.contains("unknown_top"), "the envelope is built anew: {body}");
        assert!(body.contains(r#""name":"echo""#), "{body}");
    }
    let session = place.editor.initialize("2025-06-18");
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"arguments":{ARGUMENTS},"name":"fresh__echo"}}}}"#
    );
    session.editor.send(&session.post(body)).expect(200).result();
    assert!(text_of(&modern.last_call()).contains(&format!(r#""arguments":{ARGUMENTS}"#)));
}

#[test]
fn each_hop_has_its_own_id_headers_and_reserved_meta() {
    let (place, modern, legacy) = toy();
    call_by_hand(&place, "fresh__echo").send(place.gateway.address).expect(200);
    let call = modern.last_call();
    let json = call.json();
    let meta = &json["params"]["_meta"];
    assert_ne!(json["id"], "a b", "ids are minted for each connection");
    assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "aerostack");
    assert_eq!(call.header("mcp-protocol-version"), Some("2026-07-28"));
    assert_eq!(call.header("mcp-method"), Some("tools/call"));
    assert_eq!(call.header("mcp-name"), Some("echo"));
    assert_eq!(call.header("authorization"), None);

    call_by_hand(&place, "old__echo").send(place.gateway.address).expect(200);
    let call = legacy.last_call();
    assert!(!text_of(&call).contains("io.modelcontextprotocol/clientCapabilities"), "{}", text_of(&call));
    assert_eq!(call.header("mcp-protocol-version"), Some("2025-11-25"));
    assert_eq!(call.header("mcp-method"), None, "an older server knows nothing of it");
}

#[test]
fn headers_of_the_client_are_not_forwarded() {
    let (place, modern, legacy) = toy();
    let session = place.editor.initialize("2025-11-25");
    for request in [
        place.editor.calling("fresh__echo", json!({})),
        session.asking(&json!(1), "tools/call", json!({ "name": "old__echo", "arguments": {} })),
    ] {
        let request = request
            .header("cookie", "session=stolen")
            .header("x-custom", "custom-value")
            .header("x-forwarded-for", "203.0.113.9")
            .header("x-aerostack-internal", "yes")
            .header("last-event-id", "99")
            .header("github_token", "ghp_mine")
            .header("user-agent", "my-editor/1.0");
        request.send(place.gateway.address).expect(200);
    }
    for upstream in [&modern, &legacy] {
        let call = upstream.last_call().text();
        let token = &place.token.raw;
        for leaked in
            ["stolen", "custom-value", "203.0.113.9", "x-aerostack", "ghp_mine", "my-editor", "last-event-id", token]
        {
            assert!(!call.to_lowercase().contains(&leaked.to_lowercase()), "{leaked}: {call}");
        }
        assert!(!upstream.transcript().contains(&session.id), "our session id stays ours");
        assert!(!upstream.transcript().contains("mwt_"));
    }
}

#[test]
fn answers_come_back_byte_for_byte() {
    const RESULT: &str = "{ \"content\":[{\"type\":\"text\",\"text\":\"\\u00fc\u{fc}\",\"annotations\":{\"x\":1.0}}],\"structuredContent\":{\"n\":18446744073709551617,\"f\":1.10},\"isError\":false,\"future\":[ ],\"_meta\":{\"vendor.example/a\":1E+300}}";
    let upstream = servers::modern(&["echo"], |seen, conn| conn.result(seen, RESULT));
    let (legacy, _) = servers::legacy(&["echo"], |seen, conn| conn.result(seen, RESULT));
    let place = place(&[("fresh", &upstream), ("old", &legacy)]);
    let session = place.editor.initialize("2025-06-18");
    for tool in ["fresh__echo", "old__echo"] {
        let answer = session.call(tool, json!({})).expect(200).text();
        assert!(answer.contains(RESULT.trim_end_matches('}')), "{answer}");
        let answer = place.editor.call(tool, json!({})).expect(200).text();
        for kept in ["18446744073709551617", "\"f\":1.10", "1E+300", "\\u00fc\u{fc}", "\"future\":[ ]"] {
            assert!(answer.contains(kept), "{kept}: {answer}");
        }
    }
}

#[test]
fn a_tools_own_error_and_its_iserror_pass_through() {
    let upstream = servers::modern(&["fails", "errs"], |seen, conn| match seen.tool().as_str() {
        "fails" => {
            conn.result(seen, json!({ "content": [{ "type": "text", "text": "no such file" }], "isError": true }))
        }
        _ => conn.json(
            200,
            format!(
                r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32602,"message":"bad x","data":{{"n":1.50}}}}}}"#,
                seen.id()
            ),
        ),
    });
    let place = place(&[("toy", &upstream)]);
    let failed = place.editor.call("toy__fails", json!({})).expect(200).result();
    assert_eq!((failed["isError"].clone(), failed["content"][0]["text"].clone()), (json!(true), json!("no such file")));
    let error = place.editor.call("toy__errs", json!({})).expect(200);
    assert_eq!((error.code(), error.json()["error"]["message"].clone()), (-32602, json!("bad x")));
    assert!(error.text().contains(r#""n":1.50"#), "{}", error.text());
}

#[test]
fn a_server_cannot_speak_in_our_name() {
    let upstream = servers::modern(&["echo"], |seen, conn| {
        conn.result(
            seen,
            json!({ "content": [], "resultType": "complete", "_meta": {
            "io.modelcontextprotocol/serverInfo": { "name": "evil", "version": "6" },
            "io.modelcontextprotocol/subscriptionId": "forged" } }),
        )
    });
    let place = place(&[("toy", &upstream)]);
    let result = place.editor.call("toy__echo", json!({})).expect(200).result();
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "aerostack");
    assert!(!result.to_string().contains("evil"), "{result}");
}

#[test]
fn the_trace_goes_on_through_the_gateway() {
    let (place, modern, legacy) = toy();
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let parent = format!("00-{trace}-b7ad6b7169203331-01");
    for (tool, upstream) in [("fresh__echo", &modern), ("old__echo", &legacy)] {
        let request = place.editor.calling(tool, json!({})).header("traceparent", &parent);
        request.send(place.gateway.address).expect(200);
        let call = upstream.last_call();
        let sent = call.header("traceparent").expect("a traceparent");
        assert!(sent.starts_with(&format!("00-{trace}-")) && sent != parent, "{sent}");
        // In `_meta` it comes from the client's `_meta`, and the baggage beside it stays.
        let meta = json!({ "traceparent": parent, "tracestate": "v=1", "baggage": "k=v" });
        let params = json!({ "name": tool, "arguments": {}, "_meta": meta });
        place.editor.send(&place.editor.modern(&json!(1), "tools/call", params)).expect(200);
        let meta: Value = upstream.last_call().json()["params"]["_meta"].clone();
        assert!(meta["traceparent"].as_str().unwrap().starts_with(&format!("00-{trace}-")), "{meta}");
        assert_eq!((meta["tracestate"].as_str(), meta["baggage"].as_str()), (Some("v=1"), Some("k=v")), "{meta}");
    }
}

#[test]
fn calls_of_two_clients_with_the_same_id_never_mix() {
    let upstream = servers::modern(&["echo"], |seen, conn| {
        conn.says(seen, &seen.json()["params"]["arguments"]["nonce"].to_string())
    });
    let setup = crate::support::TestGateway::setup().set("limits.requests_per_minute", 0);
    let place = crate::support::place_with(setup, &[("toy", &upstream)]);
    std::thread::scope(|scope| {
        for client in 0..8 {
            let place = &place;
            scope.spawn(move || {
                let mut connection = crate::support::Connection::to(place.gateway.address);
                for round in 0..40 {
                    let nonce = client * 1000 + round;
                    let request = place.editor.calling("toy__echo", json!({ "nonce": nonce }));
                    let result = connection.send(&request).expect(200).result();
                    assert_eq!(result["content"][0]["text"], nonce.to_string());
                }
            });
        }
    });
}

#[test]
fn arguments_that_a_schema_wants_in_headers_are_sent_there_and_must_be_there() {
    let list = json!({ "tools": [{ "name": "t", "inputSchema": { "type": "object", "properties": {
        "city": { "type": "string", "x-mcp-header": "City" } } } }],
        "resultType": "complete", "ttlMs": 0, "cacheScope": "private" });
    let upstream = Upstream::start(move |seen, conn| match seen.rpc().as_str() {
        "server/discover" => conn.result(
            seen,
            json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} },
                "ttlMs": 0, "cacheScope": "private" }),
        ),
        "tools/list" => conn.result(seen, &list),
        "tools/call" => conn.says(seen, "done"),
        _ => conn.error(404, seen, -32601, "Method not found"),
    });
    let place = place(&[("toy", &upstream)]);
    place.editor.tools();
    let asking = place.editor.calling("toy__t", json!({ "city": "Bern" }));
    for wrong in [asking.clone(), asking.clone().header("mcp-param-city", "Basel")] {
        let refused = place.editor.send(&wrong).expect(400);
        assert_eq!(refused.code(), -32020);
        assert!(refused.text().contains("mcp-param-city"), "{}", refused.text());
    }
    assert!(upstream.calls().is_empty());
    place.editor.send(&asking.header("mcp-param-city", "Bern")).expect(200);
    assert_eq!(upstream.last_call().header("mcp-param-city"), Some("Bern"));
    // Older clients know nothing of it; the server gets its header all the same.
    place.editor.initialize("2025-11-25").call("toy__t", json!({ "city": "Genève" })).expect(200);
    assert_eq!(upstream.last_call().header("mcp-param-city"), Some("=?base64?R2Vuw6h2ZQ==?="));
}

#[test]
fn who_does_not_know_tasks_is_told_which_capability_is_missing() {
    let place = place(&[]);
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let request = place.editor.modern(&json!(1), method, json!({ "taskId": "x" }));
        let refused = place.editor.send(&request).expect(400);
        assert_eq!(refused.code(), -32021);
        let required = &refused.json()["error"]["data"]["requiredCapabilities"];
        assert_eq!(*required, json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } }));
    }
}
