//! Workspace tokens: shown once, listed without their value, expiring, revoked by id and by name.

use serde_json::{Value, json};

use crate::support::{Place, place, servers, until};

fn listed(place: &Place, name: &str) -> Value {
    let page = place.admin.get("/workspaces/eng/tokens").expect(200).json();
    let found = page["data"].as_array().unwrap().iter().find(|token| token["name"] == name).cloned();
    found.unwrap_or_else(|| panic!("{name} is not listed: {page}"))
}

#[test]
fn the_value_is_shown_once_with_what_to_paste() {
    let place = place(&[]);
    let issued = place.admin.token("eng", "Bob Singh");
    assert!(issued.raw.starts_with("mwt_") && issued.raw.len() >= 40, "{}", issued.raw);
    assert!(!issued.raw.to_lowercase().contains("bob"), "no personal name inside");
    let url = format!("http://{}/ws/eng", place.gateway.address);
    let expected = json!({ "mcpServers": { "eng": {
        "type": "http", "url": url, "headers": { "Authorization": format!("Bearer {}", issued.raw) } } } });
    assert_eq!(issued.answer["mcp_json"], expected);
    assert_eq!(issued.answer["url"], url);
    let clients: Vec<&str> =
        issued.answer["snippets"].as_array().unwrap().iter().map(|one| one["client"].as_str().unwrap()).collect();
    for client in ["claude-code", "cursor", "vscode", "codex"] {
        assert!(clients.contains(&client), "{client} of {clients:?}");
    }
    for snippet in issued.answer["snippets"].as_array().unwrap() {
        let text = snippet["text"].as_str().unwrap();
        assert!(text.contains(&url) || snippet["client"] == "claude-desktop", "{text}");
    }
    // It works, and nothing shows it again.
    place.gateway.editor("eng", &issued.raw).list().expect(200);
    for path in [
        "/workspaces/eng/tokens",
        &format!("/workspaces/eng/tokens/{}", issued.id),
        "/workspaces/eng/audit",
        "/workspaces/eng",
    ] {
        let answer = place.admin.get(path).expect(200);
        assert!(!answer.text().contains(&issued.raw[..20]), "{path}: {}", answer.text());
    }
    assert!(issued.raw.ends_with(listed(&place, "Bob Singh")["hint"].as_str().unwrap().trim_start_matches('…')));
}

#[test]
fn the_list_tells_active_revoked_and_expired_apart() {
    let place = place(&[]);
    let revoked = place.admin.token("eng", "Gone");
    place.admin.revoke("eng", &revoked.id);
    place.admin.token_with("eng", json!({ "name": "Short", "expires_in": 1 }));
    until("it expires", || listed(&place, "Short")["status"] == "expired");
    let shown = |name: &str| {
        let token = listed(&place, name);
        (token["status"].clone(), token["active"].clone())
    };
    assert_eq!(shown("Alice Chen"), (json!("active"), json!(true)));
    assert_eq!(shown("Gone"), (json!("revoked"), json!(false)));
    assert_eq!(shown("Short"), (json!("expired"), json!(false)));
    assert!(listed(&place, "Gone")["revoked_at"].is_string());
    assert!(listed(&place, "Short")["expires_at"].is_string());
    assert_eq!(listed(&place, "Alice Chen")["last_used_at"], json!(null));
    place.editor.list().expect(200);
    assert!(listed(&place, "Alice Chen")["last_used_at"].is_string());
    let seats = place.admin.get("/workspaces/eng/tokens").json()["seats"].clone();
    assert_eq!(seats, json!({ "plan": "enterprise", "used": 1, "limit": null }), "only active ones count");
}

#[test]
fn a_token_is_revoked_by_id_or_by_name() {
    let place = place(&[]);
    let (by_id, by_name) = (place.admin.token("eng", "By id"), place.admin.token("eng", "By name"));
    place.admin.revoke("eng", &by_id.id);
    let answer = place.admin.post("/workspaces/eng/tokens:revoke", json!({ "name": "By name" }));
    assert!((200..300).contains(&answer.status), "{}", answer.text());
    for token in [&by_id, &by_name] {
        place.gateway.editor("eng", &token.raw).list().expect(401);
    }
    place.admin.post("/workspaces/eng/tokens:revoke", json!({ "name": "Nobody" })).expect(404);
    place.admin.delete("/workspaces/eng/tokens/tok_00000000-0000-7000-8000-000000000000").expect(404);
    // A revoked name is free again; an active one is not.
    place.admin.token("eng", "By name");
    let twice = place.admin.post("/workspaces/eng/tokens", json!({ "name": "by NAME" })).expect(409);
    assert_eq!(twice.header("content-type"), Some("application/problem+json"));
    place.editor.list().expect(200);
}

#[test]
fn tokens_and_servers_of_one_workspace_are_nothing_in_another() {
    let upstream = servers::plain(&["echo"]);
    let place = place(&[("toy", &upstream)]);
    place.admin.workspace("ops");
    let ops = place.gateway.editor("ops", &place.admin.token("ops", "Olga").raw);
    assert!(ops.tools().is_empty());
    assert_eq!(ops.call("toy__echo", json!({})).code(), -32602);
    let foreign = place.admin.delete(&format!("/workspaces/ops/tokens/{}", place.token.id)).expect(404);
    let unknown = place.admin.delete("/workspaces/ops/tokens/tok_00000000-0000-7000-8000-000000000000").expect(404);
    let plain = |answer: &crate::support::Response| {
        let mut json = answer.json();
        json["instance"].take();
        json["request_id"].take();
        json
    };
    assert_eq!(plain(&foreign), plain(&unknown));
    place.editor.list().expect(200);
}

#[test]
fn bad_requests_name_the_member_and_change_nothing() {
    let place = place(&[]);
    let post = |body: Value| place.admin.post("/workspaces/eng/tokens", body);
    for body in [
        json!({}),
        json!({ "name": "" }),
        json!({ "name": 7 }),
        json!({ "name": "x".repeat(500) }),
        json!({ "name": "a\nb" }),
        json!({ "name": "x", "expires_in": 0 }),
        json!({ "name": "x", "expires_in": -1 }),
        json!({ "name": "x", "expires_in": "1d" }),
        json!({ "name": "x", "color": "red" }),
        json!([]),
    ] {
        let answer = post(body.clone());
        assert!(matches!(answer.status, 400 | 422), "{body}: {} {}", answer.status, answer.text());
        let problem = answer.json();
        assert!(problem["title"].is_string() && problem["request_id"].is_string(), "{problem}");
    }
    place.admin.post("/workspaces/nowhere/tokens", json!({ "name": "x" })).expect(404);
    let page = place.admin.get("/workspaces/eng/tokens").json();
    assert_eq!(page["data"].as_array().unwrap().len(), 1);
}

#[test]
fn workspace_tokens_and_wrong_keys_do_not_open_the_admin_api() {
    let place = place(&[]);
    for key in [place.token.raw.as_str(), "aak_wrong", "", "mwt_x"] {
        let stranger = crate::support::Admin::new(place.gateway.address, key);
        let answer = stranger.get("/workspaces").expect(401);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        stranger.post("/workspaces", json!({ "slug": "mine" })).expect(401);
        stranger.get("/no/such/page").expect(401);
    }
    place.admin.get("/no/such/page").expect(404);
    place.admin.get("/workspaces/mine").expect(404);
}

#[test]
fn reserved_and_malformed_slugs_are_refused() {
    let place = place(&[]);
    let long = "a".repeat(49);
    for slug in ["admin", "api", "health", ".", "..", "con", "Eng", "a_b", "-a", "a-", "a b", "é", "", &long, "a/b"] {
        let answer = place.admin.post("/workspaces", json!({ "slug": slug }));
        assert_eq!(answer.status, 422, "{slug}: {}", answer.text());
    }
    place.admin.post("/workspaces", json!({ "slug": "eng" })).expect(409);
}
