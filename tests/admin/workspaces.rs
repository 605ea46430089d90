//! Workspaces: renamed with everything in them, and single calls listed.

use serde_json::{Value, json};

use crate::support::{place, servers, until};

#[test]
fn a_renamed_workspace_has_another_url_and_its_tokens_work_there_and_only_there() {
    let mut place = place(&[("toy", &servers::plain(&["echo"]))]);
    let (mut events, _) = place.editor.listen(&json!(1));
    let renamed = place.admin.patch("/workspaces/eng", json!({ "slug": "platform" })).expect(200).json();
    assert_eq!((&renamed["slug"], &renamed["name"]), (&json!("platform"), &json!("platform")));
    assert!(renamed["url"].as_str().unwrap().ends_with("/ws/platform"), "{renamed}");
    let (_, took) = events.until_end();
    assert!(took < std::time::Duration::from_secs(2), "{took:?}");
    place.editor.list().expect(401);
    let moved = |place: &crate::support::Place| place.gateway.editor("platform", &place.token.raw);
    moved(&place).call("toy__echo", json!({})).expect(200).result();
    place.admin.get("/workspaces/eng").expect(404);
    // The old name is free, and opens nothing of this workspace.
    place.admin.workspace("eng");
    place.editor.list().expect(401);
    place.admin.patch("/workspaces/eng", json!({ "slug": "platform" })).expect(409);
    place.admin.patch("/workspaces/eng", json!({ "slug": "admin" })).expect(422);
    place.admin.patch("/workspaces/nowhere", json!({ "name": "x" })).expect(404);
    let named = place.admin.patch("/workspaces/platform", json!({ "name": "Platform team" })).expect(200).json();
    assert_eq!((&named["slug"], &named["name"]), (&json!("platform"), &json!("Platform team")));
    place.gateway.restart();
    moved(&place).call("toy__echo", json!({})).expect(200).result();
    let audit = place.admin.get("/workspaces/platform/audit?action=workspace_renamed").json();
    assert_eq!(audit["data"].as_array().unwrap().len(), 2, "{audit}");
}

#[test]
fn single_calls_are_listed_newest_first_in_pages() {
    let upstream = servers::modern(&["echo", "fail"], |seen, conn| {
        if seen.tool() == "fail" { conn.error(200, seen, -32602, "no") } else { conn.says(seen, "done") }
    });
    let place = place(&[("toy", &upstream)]);
    for tool in ["toy__echo", "toy__echo", "toy__fail"] {
        place.editor.call(tool, json!({}));
    }
    let calls = |query: &str| place.admin.get(&format!("/workspaces/eng/calls{query}")).expect(200).json();
    until("all calls are there", || calls("")["data"].as_array().unwrap().len() == 3);
    let first = calls("?limit=2");
    let tools: Vec<&Value> = first["data"].as_array().unwrap().iter().map(|call| &call["tool"]).collect();
    assert_eq!(tools, ["toy__fail", "toy__echo"]);
    assert_eq!((&first["data"][0]["outcome"], &first["data"][0]["error_code"]), (&json!("error"), &json!(-32602)));
    assert_eq!((&first["data"][1]["user"], &first["data"][1]["outcome"]), (&json!("Alice Chen"), &json!("ok")));
    let rest = calls(&format!("?limit=2&cursor={}", first["next_cursor"].as_str().unwrap()));
    assert_eq!((rest["data"].as_array().unwrap().len(), &rest["next_cursor"]), (1, &Value::Null));
    assert_eq!(calls("?failed=true")["data"].as_array().unwrap().len(), 1);
    assert_eq!(calls("?tool=toy__echo&server=toy&user=Alice%20Chen")["data"].as_array().unwrap().len(), 2);
    place.admin.get("/workspaces/eng/calls?cursor=x").expect(400);
    place.admin.get("/workspaces/eng/calls?user=Nobody").expect(404);
}
