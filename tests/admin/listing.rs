//! Who called what: analytics and audit, seconds fresh.

use serde_json::{Value, json};

use crate::support::{place, servers, until};

#[test]
fn calls_are_attributed_to_the_token_and_errors_counted() {
    let upstream = servers::modern(&["echo", "fail"], |seen, conn| {
        if seen.tool() == "fail" { conn.error(200, seen, -32602, "no") } else { conn.says(seen, "done") }
    });
    let place = place(&[("toy", &upstream)]);
    let bob = place.gateway.editor("eng", &place.admin.token("eng", "Bob Singh").raw);
    for _ in 0..3 {
        place.editor.call("toy__echo", json!({}));
    }
    bob.call("toy__echo", json!({}));
    bob.call("toy__fail", json!({}));
    let rows = || {
        let usage = place.admin.get("/workspaces/eng/analytics?period=7d").expect(200).json();
        let mut rows: Vec<Value> = usage["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| json!([row["user"], row["tool"], row["calls"], row["errors"]]))
            .collect();
        rows.sort_by_key(Value::to_string);
        json!(rows)
    };
    let expected =
        json!([["Alice Chen", "toy__echo", 3, 0], ["Bob Singh", "toy__echo", 1, 0], ["Bob Singh", "toy__fail", 1, 1]]);
    until("the calls are counted", || rows() == expected);
    let of_bob = place.admin.get("/workspaces/eng/analytics?user=Bob%20Singh").expect(200).json();
    assert_eq!(of_bob["data"].as_array().unwrap().len(), 2);
}

#[test]
fn administrative_acts_are_in_the_audit() {
    let place = place(&[("toy", &servers::plain(&["echo"]))]);
    place.admin.secret("toy", "API_KEY", "value-of-the-key");
    place.admin.post("/workspaces/eng/tokens:revoke", json!({ "name": "Alice Chen" }));
    let audit = place.admin.get("/workspaces/eng/audit").expect(200);
    let mut acts: Vec<String> = audit.json()["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{}: {}", row["action"].as_str().unwrap(), row["target"].as_str().unwrap()))
        .collect();
    acts.retain(|act| !act.starts_with("tool_call"));
    acts.sort();
    assert_eq!(
        acts,
        [
            "mcp_installed: toy",
            "secret_updated: toy/API_KEY",
            "token_created: Alice Chen",
            "token_revoked: Alice Chen",
            "workspace_created: eng"
        ]
    );
    assert!(!audit.text().contains("value-of-the-key"));
}

#[test]
fn an_unknown_slug_to_install_is_told_the_line_to_type() {
    let place = place(&[]);
    let answer = place.admin.post("/workspaces/eng/servers", json!({ "server": "githb-mcp" })).expect(404);
    let problem = answer.json();
    let said = format!("{} {}", problem["title"], problem["hint"]);
    assert!(said.contains("github-mcp"), "did you mean: {said}");
    assert!(said.contains("aerostack mcp add githb-mcp --url"), "the line to type: {said}");
}

#[test]
fn the_tools_of_a_server_are_listed_before_it_is_installed_anywhere() {
    let upstream = servers::plain(&["echo", "add"]);
    let place = place(&[]);
    place.admin.server("toy", &upstream.url());
    let listed = place.admin.get("/mcp-servers/toy/tools").expect(200).json();
    let names: Vec<&str> = listed["data"].as_array().unwrap().iter().filter_map(|tool| tool["name"].as_str()).collect();
    assert_eq!(names, ["echo", "add"], "{listed}");
}
