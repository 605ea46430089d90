//! Listing and calling tools of programs, for clients and servers of both eras.

use std::time::Duration;

use serde_json::json;

use crate::support::{TestGateway, programs::programs, until};

#[test]
fn clients_of_every_era_list_and_call_tools_of_programs_of_both_eras() {
    let place = programs(TestGateway::setup(), &[("old", &["legacy"]), ("fresh", &["modern"]), ("dual", &["both"])]);
    let wanted = ["old__echo", "fresh__echo", "dual__echo"];
    until("all tools are listed", || wanted.iter().all(|tool| place.editor.tools().contains(&(*tool).to_owned())));
    let arguments = json!({ "text": "line one\nline two", "big": 12345678901234567890u64 });
    for tool in wanted {
        let answer = place.editor.call(tool, arguments.clone()).expect(200).result();
        assert_eq!(answer["content"][0]["text"], arguments.to_string(), "{tool}");
        assert_eq!(answer["resultType"], "complete");
        for revision in ["2025-03-26", "2025-06-18", "2025-11-25"] {
            let session = place.editor.initialize(revision);
            let answer = session.call(tool, arguments.clone()).expect(200).result();
            assert_eq!(answer["content"][0]["text"], arguments.to_string(), "{tool} {revision}");
        }
        let mut old = place.editor.http_sse();
        let params = json!({ "protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": { "name": "o", "version": "1" } });
        old.ask(&json!(0), "initialize", params);
        old.post(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).expect(202);
        let answer = old.ask(&json!(1), "tools/call", json!({ "name": tool, "arguments": arguments }));
        assert_eq!(answer["result"]["content"][0]["text"], arguments.to_string(), "{tool} over HTTP+SSE");
    }
    let test = |slug: &str| place.admin.post(&format!("/mcp-servers/{slug}/test"), json!({})).expect(200).json();
    assert_eq!(test("old")["protocol"], "stdio 2025-11-25");
    assert_eq!(test("fresh")["protocol"], "stdio 2026-07-28");
    assert_eq!(test("dual")["protocol"], "stdio 2025-11-25", "the handshake comes first");
    let shown = place.admin.get("/mcp-servers/old").expect(200).json();
    assert!(shown["url"].as_str().unwrap().starts_with("stdio: ") && shown["kind"] == "stdio", "{shown}");
}

#[test]
fn a_body_with_line_ends_is_one_line_for_a_program() {
    let place = programs(TestGateway::setup(), &[("toy", &[])]);
    until("listed", || place.editor.tools().contains(&"toy__echo".to_owned()));
    let mut request = place.editor.calling("toy__echo", json!({ "a": [1, 2] }));
    request.body = String::from_utf8(request.body).unwrap().replace("[1,2]", "[\r\n1,\n2\n]").into_bytes();
    let answer = place.editor.send(&request).expect(200).result();
    assert_eq!(answer["content"][0]["text"], r#"{"a":[1,2]}"#);
}

#[test]
fn answers_and_progress_of_many_calls_on_one_program_reach_their_callers() {
    let place = programs(TestGateway::setup().set("limits.requests_per_minute", 0), &[("toy", &[])]);
    until("listed", || place.editor.tools().contains(&"toy__echo".to_owned()));
    std::thread::scope(|scope| {
        for caller in 0..8 {
            let editor = place.editor.clone();
            scope.spawn(move || {
                for round in 0..25 {
                    let mine = json!({ "mine": format!("{caller}-{round}") });
                    let answer = editor.call("toy__echo", mine.clone()).expect(200).result();
                    assert_eq!(answer["content"][0]["text"], mine.to_string());
                }
            });
        }
    });
    let params = json!({ "name": "toy__progress", "arguments": {}, "_meta": { "progressToken": "mine" } });
    let mut events = place.editor.modern(&json!(7), "tools/call", params).open(place.gateway.address).events();
    for step in 1..=3 {
        let told = events.message();
        assert_eq!((&told["params"]["progressToken"], &told["params"]["progress"]), (&json!("mine"), &json!(step)));
    }
    assert_eq!(events.message()["id"], 7);
    let pids: std::collections::HashSet<String> =
        (0..5).map(|_| place.editor.call("toy__pid", json!({})).expect(200).result().to_string()).collect();
    assert_eq!(pids.len(), 1, "one process for all: {pids:?}");
}

#[test]
fn a_program_is_told_of_a_cancelled_call_in_both_eras() {
    let setup = TestGateway::setup().set("telemetry.log", "info,aerostack::upstream::stdio=debug");
    let place = programs(setup, &[("old", &["legacy"]), ("fresh", &["modern"])]);
    until("listed", || place.editor.tools().contains(&"fresh__wait".to_owned()));
    let told = || {
        place.gateway.log().matches("cancelled \\\"a").count().max(place.gateway.log().matches("cancelled \"a").count())
    };
    for (number, tool) in ["old__wait", "fresh__wait"].into_iter().enumerate() {
        let request = place.editor.calling(tool, json!({}));
        let mut stream = std::net::TcpStream::connect(place.gateway.address).unwrap();
        std::io::Write::write_all(&mut stream, &request.bytes(place.gateway.address)).unwrap();
        // The call is there when a call after it has been answered.
        place.editor.call(&tool.replace("wait", "echo"), json!({})).expect(200);
        drop(stream);
        until("the program was told", || told() == number + 1);
    }
}

#[test]
fn a_program_runs_only_while_it_is_needed_and_its_tools_stay_listed() {
    let place = programs(TestGateway::setup().set("stdio.idle_seconds", 1), &[("toy", &[])]);
    until("listed", || place.editor.tools().contains(&"toy__pid".to_owned()));
    let first = place.editor.call("toy__pid", json!({})).expect(200).result();
    until("it was ended", || place.gateway.family().is_empty());
    assert!(place.editor.tools().contains(&"toy__pid".to_owned()));
    let quiet = crate::support::wait::within(Duration::from_secs(2), || !place.gateway.family().is_empty());
    assert!(!quiet, "a list, or time that passes, starts nothing");
    let second = place.editor.call("toy__pid", json!({})).expect(200).result();
    assert_ne!(first, second);
}
