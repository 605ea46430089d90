//! Servers of every era behind one URL, and sessions with them that nobody notices.

use serde_json::{Value, json};

use crate::support::{TestGateway, place, place_with, servers, wait::until};

#[test]
fn servers_of_all_eras_serve_clients_of_all_eras() {
    let modern = servers::plain(&["echo"]);
    let (legacy, _) = servers::legacy(&["echo"], |seen, conn| conn.says(seen, "done"));
    let old = servers::http_sse(&["echo"], |_| json!({ "content": [{ "type": "text", "text": "done" }] }));
    let place = place(&[("fresh", &modern), ("mid", &legacy), ("old", &old)]);
    let expected = ["fresh__echo", "mid__echo", "old__echo"];
    assert_eq!(place.editor.tools(), expected);
    let session = place.editor.initialize("2025-11-25");
    let mut client = place.editor.http_sse();
    for tool in expected {
        let modern = place.editor.call(tool, json!({})).expect(200).result();
        assert_eq!(
            (modern["resultType"].as_str(), modern["content"][0]["text"].as_str()),
            (Some("complete"), Some("done")),
            "{tool}"
        );
        assert_eq!(session.call(tool, json!({})).result()["content"][0]["text"], "done", "{tool}");
        let answer = client.ask(&json!(tool), "tools/call", json!({ "name": tool, "arguments": {} }));
        assert_eq!(answer["result"]["content"][0]["text"], "done", "{tool}");
    }
    // Each was asked in its own way.
    assert!(modern.of("initialize").is_empty());
    assert_eq!(legacy.of("initialize").len(), 1, "one shared session");
    assert_eq!(legacy.last_call().header("mcp-session-id"), Some("upstream-session-0"));
    assert!(old.last_call().path.starts_with("/messages?session=1"));
}

#[test]
fn a_session_that_a_server_forgot_is_begun_anew_and_the_client_notices_nothing() {
    let (legacy, sessions) = servers::legacy(&["write"], |seen, conn| {
        conn.note(&seen.json()["params"]["arguments"]["n"].to_string());
        conn.says(seen, "written");
    });
    let place = place(&[("toy", &legacy)]);
    place.editor.tools();
    place.editor.call("toy__write", json!({ "n": 1 })).result();
    sessions.forget();
    let result = place.editor.call("toy__write", json!({ "n": 2 })).expect(200).result();
    assert_eq!(result["content"][0]["text"], "written");
    assert_eq!(legacy.notes(), ["1", "2"], "each written once");
    assert_eq!(legacy.of("initialize").len(), 2);
    // Many clients at once: still one new session.
    sessions.forget();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let place = &place;
            scope.spawn(move || place.editor.call("toy__write", json!({ "n": n })).result());
        }
    });
    assert_eq!(legacy.notes().len(), 10);
    assert_eq!(legacy.of("initialize").len(), 3);
}

#[test]
fn a_write_whose_answer_was_lost_is_not_repeated() {
    let (legacy, _) = servers::legacy(&["write"], |_, conn| {
        conn.note("written");
        conn.close();
    });
    let place = place(&[("toy", &legacy)]);
    place.editor.tools();
    // The first call may go over a kept connection, the next ones too: in no case is it sent twice.
    for at in 1..=3 {
        let answer = place.editor.call("toy__write", json!({}));
        assert_eq!((answer.status, answer.code()), (200, -32019), "{}", answer.text());
        assert!(answer.text().contains("not repeated"), "{}", answer.text());
        assert_eq!(legacy.notes().len(), at);
    }
}

#[test]
fn a_server_that_restarted_between_two_calls_is_simply_asked_again() {
    // The kept connection is dead: nothing was processed, so the call is made on a fresh one.
    let upstream = servers::modern(&["echo"], |seen, conn| {
        conn.says(seen, "done");
        conn.close();
        conn.note("closed");
    });
    let place = place(&[("toy", &upstream)]);
    for at in 1..=10 {
        assert_eq!(place.editor.call("toy__echo", json!({})).expect(200).result()["content"][0]["text"], "done");
        until("the server closed the connection", || upstream.notes().len() == at);
    }
}

#[test]
fn all_pages_of_a_servers_list_are_one_page_for_the_client() {
    let upstream = crate::support::Upstream::start(|seen, conn| match seen.rpc().as_str() {
        "server/discover" => conn.result(
            seen,
            json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} } }),
        ),
        "tools/list" => {
            let page = seen.json()["params"]["cursor"].as_str().map_or(0, |text| text.len());
            let mut list = servers::tools(&[["a", "b", "c"][page]]);
            // The empty string is a cursor too.
            if page < 2 {
                list["nextCursor"] = json!("x".repeat(page + 1));
            }
            conn.result(seen, list);
        }
        _ => conn.error(404, seen, -32601, "no"),
    });
    let place = place(&[("toy", &upstream)]);
    assert_eq!(place.editor.tools(), ["toy__a", "toy__b", "toy__c"]);
}

#[test]
fn a_list_without_end_is_cut_and_a_bad_tool_does_not_hide_the_good_ones() {
    let upstream = crate::support::Upstream::start(|seen, conn| match seen.rpc().as_str() {
        "server/discover" => conn.result(
            seen,
            json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} } }),
        ),
        "tools/list" => {
            let schema = json!({ "type": "object" });
            let tools = json!([
                { "name": "good", "inputSchema": schema },
                { "name": "", "inputSchema": schema },
                { "inputSchema": schema },
                { "name": 7, "inputSchema": schema },
                "not a tool",
                { "name": "also_good", "inputSchema": schema },
            ]);
            conn.result(seen, json!({ "tools": tools, "nextCursor": "again" }));
        }
        "tools/call" => conn.says(seen, "done"),
        _ => conn.error(404, seen, -32601, "no"),
    });
    let place = place_with(TestGateway::setup(), &[("toy", &upstream)]);
    crate::support::until("the good tools are there", || place.editor.tools() == ["toy__good", "toy__also_good"]);
    place.editor.call("toy__good", json!({})).result();
    assert!(upstream.of("tools/list").len() <= 101 * 3, "a cycle of pages ends");
}

#[test]
fn two_servers_with_the_same_tool_keep_them_apart() {
    let (one, two) = (
        servers::modern(&["create_issue"], |seen, conn| conn.says(seen, "one")),
        servers::modern(&["create_issue"], |seen, conn| conn.says(seen, "two")),
    );
    let place = place(&[("mcp-github", &one), ("github-mcp", &two)]);
    // Both would be `github`; the second falls back to its whole slug, and so it stays.
    assert_eq!(place.editor.tools(), ["github__create_issue", "github_mcp__create_issue"]);
    let said = |tool: &str| place.editor.call(tool, json!({})).result()["content"][0]["text"].clone();
    assert_eq!((said("github__create_issue"), said("github_mcp__create_issue")), (json!("one"), json!("two")));
    place.admin.delete("/workspaces/eng/servers/mcp-github").expect(200);
    assert_eq!(place.editor.tools(), ["github_mcp__create_issue"]);
}

#[test]
fn an_empty_prefix_passes_names_through() {
    let upstream = servers::plain(&["echo"]);
    let place = place(&[]);
    place.admin.server("toy", &upstream.url());
    place.admin.post("/workspaces/eng/servers", json!({ "server": "toy", "prefix": "" })).expect(201);
    assert_eq!(place.editor.tools(), ["echo"]);
    place.editor.call("echo", json!({})).result();
    let names: Vec<Value> = upstream.calls().iter().map(|seen| json!(seen.tool())).collect();
    assert_eq!(names, ["echo"]);
}
