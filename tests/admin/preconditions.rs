//! `If-Match`: whoever has seen a thing changes it only as they have seen it, however many try at once; `If-None-Match`:
//! what was seen is not sent again.

use std::thread;

use serde_json::{Value, json};

use crate::support::{
    Admin, Response, TestGateway, database::fresh_postgres, people::on_both, place_with, process::Setup,
};

fn if_match(admin: &Admin, method: &'static str, path: &str, tag: &str, body: Option<&Value>) -> Response {
    admin.request(method, path, body).header("if-match", tag).send(admin.address)
}

fn tag(admin: &Admin, path: &str) -> String {
    admin.get(path).expect(200).header("etag").expect("a tag").to_owned()
}

fn of_many_one_changes_it(setup: Setup) {
    let place = place_with(setup.set("limits.admin_requests_per_minute", 10_000), &[]);
    let admin = &place.admin;
    for round in 0..5 {
        let seen = tag(admin, "/workspaces/eng");
        let statuses: Vec<u16> = thread::scope(|scope| {
            let all: Vec<_> = (0..8)
                .map(|n| (n, seen.as_str()))
                .map(|(n, seen)| {
                    scope.spawn(move || {
                        let body = json!({ "name": format!("Name {round}.{n}") });
                        if_match(admin, "PATCH", "/workspaces/eng", seen, Some(&body)).status
                    })
                })
                .collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| [200, 412].contains(status)), "{statuses:?}");
    }
    let log = admin.get("/audit?action=workspace_renamed").expect(200).json();
    assert_eq!(log["data"].as_array().unwrap().len(), 5, "what was refused left nothing: {log}");
}

#[test]
fn of_many_who_have_seen_the_same_one_changes_it() {
    of_many_one_changes_it(TestGateway::setup());
}

#[test]
fn of_many_who_have_seen_the_same_one_changes_it_on_postgres_too() {
    let Some(url) = fresh_postgres() else { return };
    of_many_one_changes_it(TestGateway::setup().env("AEROSTACK_DATABASE_URL", &url));
}

/// Without a tag, too: each changes what they name, and undoes nothing that another has changed at the same moment.
#[test]
fn two_who_change_different_parts_of_a_server_at_once_keep_both() {
    let place = place_with(TestGateway::setup().set("limits.admin_requests_per_minute", 10_000), &[]);
    let admin = &place.admin;
    admin.server("toy", "http://127.0.0.1:9/mcp");
    let change = |body: Value| {
        let answer = std::iter::repeat_with(|| admin.patch("/mcp-servers/toy", body.clone()));
        let answer = answer.take(50).find(|answer| answer.status != 409).expect("its turn");
        answer.expect(200);
    };
    for round in 1..=40 {
        thread::scope(|scope| {
            scope.spawn(|| change(json!({ "url": format!("http://127.0.0.1:9/{round}") })));
            scope.spawn(|| change(json!({ "timeout_seconds": round })));
        });
        let known = admin.get("/mcp-servers/toy").expect(200).json();
        assert_eq!(known["url"], json!(format!("http://127.0.0.1:9/{round}")), "{known}");
        assert_eq!(known["timeout_seconds"], json!(round), "{known}");
    }
}

#[test]
fn every_single_thing_has_a_tag_and_is_removed_only_as_it_was_seen() {
    let place = place_with(TestGateway::setup(), &[]);
    let admin = &place.admin;
    admin.server("toy", "http://127.0.0.1:9/mcp");
    admin.secret("toy", "API_KEY", "CANARY-one");
    let secret = "/mcp-servers/toy/secrets/API_KEY";
    let shown = admin.get(secret).expect(200);
    assert!(!shown.text().contains("CANARY") && shown.json()["name"] == "API_KEY", "{}", shown.text());
    admin.get("/mcp-servers/toy/secrets/API_KEi").expect(404);
    let (token, rule) = (format!("/workspaces/eng/tokens/{}", place.token.id), json!({ "mode": "bearer" }));
    // Changed by somebody else meanwhile: nothing is done.
    let old = tag(admin, secret);
    admin.secret("toy", "API_KEY", "CANARY-two");
    for (method, body) in [("PATCH", Some(&rule)), ("DELETE", None)] {
        let refused = if_match(admin, method, secret, &old, body).expect(412).json();
        assert_eq!(refused["code"], "precondition_failed", "{refused}");
    }
    if_match(admin, "PATCH", secret, &tag(admin, secret), Some(&rule)).expect(200);
    if_match(admin, "DELETE", secret, &old, None).expect(412);
    if_match(admin, "DELETE", secret, "*", None).expect(200);
    let server = "/mcp-servers/toy";
    let old = tag(admin, server);
    admin.install("eng", "toy");
    if_match(admin, "DELETE", server, &old, None).expect(412);
    admin.delete("/workspaces/eng/servers/toy").expect(200);
    if_match(admin, "DELETE", server, &tag(admin, server), None).expect(200);
    let package = json!({ "document": "# Deploy", "manifest": { "name": "deploy", "type": "skill", "version": "1.0.0",
        "description": "Plans.", "category": "developer-tools",
        "tool": { "name": "plan", "description": "Plans.", "input_schema": { "type": "object" } } } });
    let skill = admin.post("/skills", package).expect(201).json()["skill"].as_str().unwrap()[1..].to_owned();
    let (skill, version) = (format!("/skills/{skill}"), format!("/skills/{skill}/versions/1.0.0"));
    let (old, yank) = (tag(admin, &version), json!({ "yanked": true }));
    if_match(admin, "PATCH", &version, &old, Some(&yank)).expect(200);
    if_match(admin, "PATCH", &version, &old, Some(&yank)).expect(412);
    if_match(admin, "DELETE", &skill, &old, None).expect(412);
    if_match(admin, "DELETE", &skill, &tag(admin, &skill), None).expect(200);
    let old = tag(admin, &token);
    admin.patch(&token, json!({ "scope": { "deny": ["*delete*"] } })).expect(200);
    if_match(admin, "DELETE", &token, &old, None).expect(412);
    if_match(admin, "DELETE", &token, &format!("\"x\", {}", tag(admin, &token)), None).expect(200);
}

#[test]
fn members_keys_and_installations_are_changed_only_as_they_were_seen() {
    on_both(changed_as_seen);
}

fn changed_as_seen(setup: Setup) {
    let gateway = setup.start();
    let admin = &gateway.admin();
    admin.workspace("eng");
    let (alice, _) = gateway.member("alice", "viewer", None);
    let (member, role) = ("/team/members/alice", |role: &str| json!({ "role": role }));
    let old = tag(admin, member);
    assert_eq!(admin.get(member).json()["role"], "viewer");
    if_match(admin, "PATCH", member, &old, Some(&role("member"))).expect(200);
    if_match(admin, "PATCH", member, &old, Some(&role("admin"))).expect(412);
    if_match(admin, "DELETE", member, &old, None).expect(412);
    assert_eq!(admin.get("/team/members/alice@example.com").expect(200).json()["role"], "member");
    // An open invitation is named by its address; those who may not see it do not.
    gateway.invite(json!({ "email": "bob@example.com" }));
    let (bob, old) = ("/team/members/bob@example.com", tag(admin, "/team/members/bob@example.com"));
    alice.get(&format!("{bob}?namespace=acme")).expect(404);
    gateway.invite(json!({ "email": "bob@example.com", "role": "admin" }));
    if_match(admin, "DELETE", bob, &old, None).expect(412);
    if_match(admin, "DELETE", bob, &tag(admin, bob), None).expect(200);
    if_match(admin, "DELETE", member, &tag(admin, member), None).expect(200);
    admin.get(member).expect(404);

    // That a key is used, by asking for it, does not change it.
    let made = admin.post("/api-keys", json!({ "name": "CI" })).expect(201).json();
    let key = format!("/api-keys/{}", made["id"].as_str().unwrap());
    let itself = gateway.with_key(made["key"].as_str().unwrap());
    let seen = tag(&itself, &key);
    assert_eq!((seen.clone(), seen.clone()), (tag(&itself, &key), tag(admin, &key)));
    let foreign = gateway.member("carol", "admin", None).0;
    foreign.get(&key).expect(404);
    if_match(admin, "DELETE", &key, "\"x\"", None).expect(412);
    if_match(admin, "DELETE", &key, &seen, None).expect(200);
    if_match(admin, "DELETE", &key, &seen, None).expect(412);

    admin.server("toy", "http://127.0.0.1:9/mcp");
    admin.install("eng", "toy");
    let (installed, off) = ("/workspaces/eng/servers/toy", json!({ "enabled": false }));
    let old = tag(admin, installed);
    assert_eq!(admin.get(installed).json()["server"], "toy");
    if_match(admin, "PATCH", installed, &old, Some(&off)).expect(200);
    if_match(admin, "PATCH", installed, &old, Some(&off)).expect(412);
    if_match(admin, "DELETE", installed, &old, None).expect(412);
    if_match(admin, "DELETE", installed, &tag(admin, installed), None).expect(200);
    admin.get(installed).expect(404);
}

#[test]
fn what_was_seen_is_not_sent_again() {
    let place = place_with(TestGateway::setup(), &[]);
    let admin = &place.admin;
    for path in ["/workspaces", "/workspaces/eng", "/workspaces/eng/tokens", "/mcp-servers", "/team/members"] {
        let seen = tag(admin, path);
        let again = admin.request("GET", path, None).header("if-none-match", &seen).send(admin.address).expect(304);
        assert!(again.body.is_empty() && again.header("etag") == Some(&seen), "{path}");
        admin.request("GET", path, None).header("if-none-match", "\"x\"").send(admin.address).expect(200);
    }
    let document = crate::support::Request::get("/openapi.json");
    let seen = document.send(admin.address).expect(200).header("etag").unwrap().to_owned();
    document.header("if-none-match", &seen).send(admin.address).expect(304);
}
