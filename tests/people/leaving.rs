//! Leaving: everything ends at once, the own account lives on, and the receipt says what to rotate.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    Browser,
    people::{PASSWORD, on_both, setup},
    place::Place,
    place_with,
    process::Setup,
    servers, until,
};

#[test]
fn whoever_leaves_is_out_when_the_call_returns_and_the_receipt_names_what_to_rotate() {
    on_both(leaves_with_a_receipt);
}

fn leaves_with_a_receipt(setup: Setup) {
    let (toy, other) = (servers::plain(&["echo"]), servers::plain(&["echo"]));
    let Place { gateway, admin, .. } = place_with(setup, &[("toy", &toy), ("other", &other)]);
    admin.secret("toy", "API_KEY", "CANARY-one");
    admin.secret("toy", "OLD_KEY", "CANARY-old");
    admin.secret("other", "UNUSED", "CANARY-two");
    let (alice, joined) = gateway.member("alice", "admin", Some("eng"));
    let token = joined["token"]["token"].as_str().unwrap().to_owned();
    let editor = gateway.editor("eng", &token);
    editor.call("toy__echo", json!({})).expect(200);
    let seen = || admin.get("/workspaces/eng/analytics").json()["data"].as_array().is_some_and(|rows| !rows.is_empty());
    until("the call is counted", seen);
    // Set again after the last call: no longer to be rotated.
    admin.secret("toy", "OLD_KEY", "CANARY-new");
    alice.post("/team/invites?namespace=acme", json!({ "email": "bob@example.com" })).expect(201);
    alice.post("/workspaces/eng/tokens?namespace=acme", json!({ "name": "CI" })).expect(201);
    let bound = alice.post("/api-keys?namespace=acme", json!({ "name": "b", "bound": true })).expect(201).json();
    let bound = gateway.with_key(bound["key"].as_str().unwrap());
    let mut browser = Browser::new(gateway.address);
    browser.sign_in("alice", PASSWORD);
    let mut stream = editor.initialize("2025-11-25").stream();

    let receipt: Value = admin.delete("/team/members/alice@example.com").expect(200).json();
    assert_eq!(editor.call("toy__echo", json!({})).status, 401, "dead when the call returns");
    let (_, took) = stream.until_end();
    assert!(took < Duration::from_secs(2), "{took:?}");
    bound.get("/whoami").expect(401);
    alice.get("/workspaces?namespace=acme").expect(404);
    browser.api("GET", "/whoami", None).expect(401);
    assert_eq!(alice.get("/whoami").expect(200).json()["namespace"], "alice", "the own account lives on");
    browser.sign_in("alice", PASSWORD);

    assert_eq!(receipt["tokens_revoked"], json!(["eng/alice"]), "{receipt}");
    assert_eq!(
        (&receipt["keys_revoked"], &receipt["sessions_ended"], &receipt["invites_revoked"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!(receipt["could_reach"][0]["workspace"], "eng", "{receipt}");
    assert_eq!(receipt["could_reach"][0]["servers"].as_array().unwrap().len(), 2, "{receipt}");
    let rotate = receipt["rotate"].as_array().unwrap();
    assert_eq!(rotate.len(), 1, "{receipt}");
    assert_eq!(
        (&rotate[0]["server"], &rotate[0]["secret"], &rotate[0]["calls"]),
        (&json!("toy"), &json!("API_KEY"), &json!(1))
    );
    assert_eq!(receipt["tokens_seen"], json!(["eng/CI"]), "{receipt}");
    assert!(!receipt.to_string().contains("CANARY"));
    let log = admin.get("/workspaces/eng/audit").expect(200).text();
    assert!(log.contains("member_removed") && log.contains("member_joined"), "{log}");
}

#[test]
fn the_command_line_prints_the_receipt() {
    let toy = servers::plain(&["echo"]);
    let Place { gateway, admin, .. } = place_with(setup(), &[("toy", &toy)]);
    admin.secret("toy", "API_KEY", "CANARY-one");
    let (_, joined) = gateway.member("alice", "member", Some("eng"));
    gateway.editor("eng", joined["token"]["token"].as_str().unwrap()).call("toy__echo", json!({})).expect(200);
    let (exit, out, err) = gateway.aerostack("owner", &["team", "remove", "alice@example.com"], "");
    assert_eq!(exit, 0, "{err}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "✓ alice@example.com was removed from @acme. Ended at once: 1 token, 0 API keys, 0 sessions.");
    assert!(lines.contains(&"They could reach:") && lines.contains(&"  eng: toy"), "{out}");
    assert!(out.contains("  aerostack secrets set toy API_KEY   # 1 call, the last "), "{out}");
    let (exit, _, err) = gateway.aerostack("owner", &["team", "remove", "alice@example.com"], "");
    assert!(exit == 3 && err.contains("No member"), "{err}");
    // Who was only invited is not invited any more.
    let code = gateway.invite(json!({ "email": "bob@example.com" }));
    let (exit, out, _) = gateway.aerostack("owner", &["team", "remove", "bob@example.com"], "");
    assert_eq!((exit, out.as_str()), (0, "✓ The invitation of bob@example.com was taken back.\n"));
    gateway.accept(&code, "bob").expect(410);
}

#[test]
fn a_member_may_leave_and_takes_nobody_along() {
    let gateway = setup().start();
    let (alice, _) = gateway.member("alice", "viewer", None);
    gateway.member("bob", "viewer", None);
    alice.delete("/team/members/bob?namespace=acme").expect(403);
    alice.delete("/team/members/alice?namespace=acme").expect(200);
    alice.get("/team/members?namespace=acme").expect(404);
    let team = gateway.admin().get("/team/members").json();
    assert_eq!(team["data"].as_array().unwrap().len(), 2, "{team}");
}

#[test]
fn a_receipt_is_given_with_what_is_known_when_the_rest_cannot_be_found_out() {
    let toy = servers::plain(&["echo"]);
    let Place { mut gateway, admin, .. } = place_with(setup(), &[("toy", &toy)]);
    let (alice, _) = gateway.member("alice", "member", Some("eng"));
    admin
        .post(
            "/skills",
            json!({ "document": "# Deploy", "visibility": "team", "manifest": { "name": "deploy-skill", "type": "skill",
                "version": "1.0.0", "description": "Plans deploys.", "category": "developer-tools",
                "tool": { "name": "plan", "description": "Plans one.", "input_schema": { "type": "object" } } } }),
        )
        .expect(201);
    alice.workspace("alices");
    alice.install("alices", "@acme/deploy-skill");
    // Workspaces cannot be read, so neither can skills be switched off in them.
    gateway.schema("ALTER TABLE workspaces RENAME COLUMN name TO hidden");
    let receipt = admin.delete("/team/members/alice").expect(200).json();
    gateway.schema("ALTER TABLE workspaces RENAME COLUMN hidden TO name");
    assert_eq!((&receipt["username"], &receipt["keys_revoked"]), (&json!("alice"), &json!(0)), "{receipt}");
    assert_eq!(receipt["tokens_revoked"].as_array().unwrap().len(), 1, "{receipt}");
    let untold = receipt["untold"].as_array().unwrap();
    assert_eq!(untold.len(), 3, "{receipt}");
    assert!(untold[0].as_str().unwrap().contains("at each start"), "{receipt}");
    alice.get("/team/members?namespace=acme").expect(404);
    // What could not be done is done by the next process.
    gateway.restart();
    let alice = gateway.with_key(&alice.key);
    let there = alice.get("/workspaces/alices/servers").expect(200).json();
    assert_eq!(there["data"][0]["enabled"], json!(false), "{there}");
}
