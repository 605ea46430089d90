//! A planted value is found nowhere but at the server it was set for: not in answers, logs, files or metrics.

use std::{fs, path::Path};

use serde_json::json;

use crate::support::{Place, TestGateway, Upstream, place_with, servers, until};

const CANARY: &str = "CANARY-7f3a9c1e8b4d2f6a5e0c7d9b1a3f5e7c";

/// Forms in which a value may travel.
fn forms() -> Vec<String> {
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::STANDARD;
    let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = CANARY.bytes().map(|byte| format!("%{byte:02X}")).collect();
    vec![CANARY.into(), base64.encode(CANARY), hex, percent, CANARY.chars().rev().collect()]
}

/// Everything the server got, said back in every way.
fn echo() -> Upstream {
    servers::modern(&["plain", "stream", "error", "structured", "notice"], |seen, conn| {
        use base64::Engine as _;
        let base64 = base64::engine::general_purpose::STANDARD.encode(CANARY);
        let percent = CANARY.replace('-', "%2D");
        let all = format!("{} {base64} {percent} {CANARY}", seen.text());
        match seen.tool().as_str() {
            "plain" => conn.says(seen, &all),
            "structured" => conn.result(seen, json!({ "content": [], "structuredContent": { CANARY: [all] } })),
            "error" => conn.error(200, seen, -32602, &all),
            _ => {
                let token = seen.json()["params"]["_meta"]["progressToken"].clone();
                conn.begin_events();
                conn.event(json!({ "jsonrpc": "2.0", "method": "notifications/progress",
                    "params": { "progressToken": token, "progress": 1, "message": all } }));
                let answer = json!({ "jsonrpc": "2.0", "id": seen.id(), "result": { "content": [{ "type": "text", "text": all }] } });
                let event = format!("event: message\ndata: {answer}\n\n");
                // Cut at every place, so that the value is split over chunks.
                for piece in event.as_bytes().chunks(7) {
                    conn.raw(format!("{:x}\r\n", piece.len()));
                    conn.raw(piece);
                    conn.raw("\r\n");
                }
                conn.end_events();
            }
        }
    })
}

fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}

fn contains(bytes: &[u8], needle: &str) -> bool {
    memchr::memmem::find(bytes, needle.as_bytes()).is_some()
}

fn exercise(place: &Place) -> String {
    let mut seen = String::new();
    let session = place.editor.initialize("2025-11-25");
    let mut old = place.editor.http_sse();
    for tool in ["plain", "stream", "error", "structured", "notice"] {
        let name = format!("toy__{tool}");
        let params = json!({ "name": name, "arguments": {}, "_meta": { "progressToken": 1 } });
        seen += &place.editor.send(&place.editor.modern(&json!(1), "tools/call", params.clone())).everything();
        seen += &session.request("tools/call", params.clone()).everything();
        seen += &session.call(&name, json!({})).everything();
        seen += &old.ask(&json!(tool), "tools/call", params).to_string();
    }
    seen += &old.events.raw;
    seen
}

/// S-73: no secret in the audit log, nor anywhere else.
#[test]
fn a_canary_is_found_nowhere_but_at_its_server() {
    let setup = TestGateway::setup().set("telemetry.log", "trace");
    let (toy, other) = (echo(), servers::plain(&["echo"]));
    let place = place_with(setup, &[("toy", &toy), ("other", &other)]);
    place.admin.secret("toy", "PLAIN", CANARY);
    place.admin.secret_with("toy", json!({ "name": "BEARER", "value": CANARY, "injection": { "mode": "bearer" } }));
    place.editor.tools();
    let seen = exercise(&place);
    assert!(seen.contains("[redacted secret]"), "{seen}");
    assert!(seen.contains("x") && toy.last_call().header("PLAIN") == Some(CANARY));
    place.editor.call("other__echo", json!({})).expect(200);

    let mut shown = seen;
    for path in [
        "/mcp-servers",
        "/mcp-servers/toy",
        "/mcp-servers/toy/secrets",
        "/workspaces/eng/audit",
        "/workspaces/eng/tools",
        "/workspaces/eng/servers",
        "/workspaces/eng/analytics",
        "/actors",
        "/whoami",
    ] {
        shown += &place.admin.get(path).expect(200).everything();
    }
    shown += &place.admin.post("/mcp-servers/toy/test", json!({})).everything();
    shown += &place
        .admin
        .post("/mcp-servers/toy/secrets", json!({ "name": "PLAIN", "value": format!("{CANARY}\r\n") }))
        .everything();
    shown += &place.gateway.operators("/metrics").expect(200).everything();
    shown += &place.gateway.operators("/health/actors").everything();
    let actors = place.admin.get("/actors").json();
    for actor in actors["actors"].as_array().unwrap() {
        shown += &place.gateway.operators(&format!("/health/actors/{}", actor["name"].as_str().unwrap())).text();
    }
    let counted = || place.admin.get("/workspaces/eng/analytics").json()["data"].as_array().unwrap().len() >= 6;
    until("the calls are written", counted);

    let mut everything = vec![("what clients and admins saw".to_owned(), shown.into_bytes())];
    everything.push(("the log".into(), place.gateway.log().into_bytes()));
    everything.push(("the other server".into(), other.transcript().into_bytes()));
    files(&place.gateway.setup.data_dir(), &mut everything);
    files(&place.gateway.setup.config_dir(), &mut everything);
    assert!(everything.iter().any(|(name, _)| name.ends_with("aerostack.db-wal")), "the write-ahead log is looked at");
    for (name, bytes) in &everything {
        for form in forms() {
            assert!(!contains(bytes, &form), "the canary as {form} is in {name}");
        }
        // Nor a workspace token, in anything that is kept.
        assert!(!contains(bytes, &place.token.raw), "the token is in {name}");
    }
    assert!(place.gateway.log().contains("TRACE"), "the log was complete");
}

/// Says of itself, and of what it lists, everything that it got.
fn boastful() -> Upstream {
    Upstream::start(|seen, conn| match seen.rpc().as_str() {
        "server/discover" => conn.result(seen, {
            let mut found = servers::discovery();
            found["capabilities"] = json!({ "tools": {}, "x-got": seen.text() });
            found["instructions"] = json!(seen.text());
            found["serverInfo"] = json!({ "name": seen.text(), "version": "1" });
            found
        }),
        "tools/list" => conn.result(seen, {
            let mut listed = servers::tools(&["plain"]);
            listed["tools"][0]["description"] = json!(seen.text());
            listed
        }),
        _ => conn.says(seen, "done"),
    })
}

#[test]
fn what_a_server_lists_and_says_of_itself_holds_no_secret_either() {
    let boastful = boastful();
    let place = place_with(TestGateway::setup(), &[]);
    place.admin.server("boastful", &boastful.url());
    place.admin.secret("boastful", "PLAIN", CANARY);
    place.admin.install("eng", "boastful");
    until("listed", || place.editor.tools().contains(&"boastful__plain".to_owned()));
    assert!(contains(boastful.transcript().as_bytes(), CANARY), "it was given the secret");
    let mut shown = place.editor.send(&place.editor.modern(&json!(1), "tools/list", json!({}))).everything();
    assert!(shown.contains("[redacted secret]"), "{shown}");
    shown += &place.editor.send(&place.editor.modern(&json!(2), "server/discover", json!({}))).everything();
    for path in ["/mcp-servers/boastful", "/mcp-servers/boastful/tools", "/workspaces/eng/tools"] {
        shown += &place.admin.get(path).expect(200).everything();
    }
    shown += &place.admin.post("/mcp-servers/boastful/test", json!({})).everything();
    let mut everything = vec![("what clients and admins saw".to_owned(), shown.into_bytes())];
    everything.push(("the log".into(), place.gateway.log().into_bytes()));
    files(&place.gateway.setup.data_dir(), &mut everything);
    for (name, bytes) in &everything {
        assert!(!contains(bytes, CANARY), "the canary is in {name}");
    }
}
