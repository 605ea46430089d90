//! API keys and namespaces: nobody exceeds what their key or their role says, and foreign is unknown.

use serde_json::json;

use crate::support::{
    Browser,
    people::{PASSWORD, on_both, setup},
    process::Setup,
};

#[test]
fn a_key_never_may_more_than_what_made_it() {
    let gateway = setup().start();
    let owner = gateway.admin();
    let made = owner
        .post("/api-keys", json!({ "name": "CI", "role": "member", "bound": true, "expires_in": 3600 }))
        .expect(201)
        .json();
    let limited = gateway.with_key(made["key"].as_str().unwrap());
    assert_eq!((&made["role"], &made["bound"], &made["namespace"]), (&json!("member"), &json!(true), &json!("acme")));
    assert_eq!(limited.get("/whoami").expect(200).json()["role"], "member");
    limited.post("/workspaces", json!({ "slug": "x" })).expect(403);
    limited.post("/api-keys", json!({ "name": "more", "role": "owner" })).expect(403);
    let child = limited.post("/api-keys", json!({ "name": "child" })).expect(201).json();
    assert_eq!((&child["role"], &child["bound"]), (&json!("member"), &json!(true)), "no more than its maker");
    limited.post("/account/password", json!({ "new": "a sentence of some words" })).expect(403);
    // It ends nothing but itself.
    let first = owner.get("/whoami").json()["api_key"].as_str().unwrap().to_owned();
    limited.delete(&format!("/api-keys/{first}")).expect(403);
    limited.delete(&format!("/api-keys/{}", made["id"].as_str().unwrap())).expect(200);
    limited.get("/whoami").expect(401);
    let list = owner.get("/api-keys").json();
    assert!(!list.to_string().contains("aak_") && list["data"].as_array().unwrap().len() == 3, "{list}");
    owner.delete(&format!("/api-keys/key_{}", "0".repeat(32))).expect(404);
}

#[test]
fn the_command_line_makes_lists_and_revokes_keys() {
    let gateway = setup().start();
    let (exit, out, err) =
        gateway.aerostack("owner", &["key", "create", "CI", "--role", "viewer", "--expires-in", "30d"], "");
    assert!(
        exit == 0 && out.starts_with("aak_") && out.trim().len() == 40 && err.contains("Shown only this once"),
        "{out}{err}"
    );
    let (_, out, _) = gateway.aerostack("owner", &["key", "list", "-o", "json"], "");
    let keys: serde_json::Value = serde_json::from_str(&out).unwrap();
    let id =
        keys.as_array().unwrap().iter().find(|key| key["name"] == "CI").unwrap()["id"].as_str().unwrap().to_owned();
    let (exit, out, _) = gateway.aerostack("owner", &["key", "revoke", &id], "");
    assert_eq!((exit, out.as_str()), (0, "✓ API key \"CI\" revoked.\n"));
}

#[test]
fn a_namespace_is_chosen_by_its_members_and_a_foreign_one_is_unknown() {
    on_both(foreign_is_unknown);
}

fn foreign_is_unknown(setup: Setup) {
    let gateway = setup.start();
    let owner = gateway.admin();
    owner.workspace("engineering");
    let (alice, _) = gateway.member("alice", "member", None);
    assert_eq!(alice.get("/whoami").json()["namespace"], "alice");
    let there = alice.get("/whoami?namespace=acme").expect(200).json();
    assert_eq!((&there["namespace"], &there["role"]), (&json!("acme"), &json!("member")));
    alice.get("/workspaces/engineering").expect(404);
    alice.get("/workspaces/engineering?namespace=@acme").expect(200);
    alice.get("/workspaces?limit=1&namespace=acme").expect(200);
    alice.post("/workspaces?namespace=acme", json!({ "slug": "x" })).expect(403);
    alice.post("/workspaces", json!({ "slug": "own" })).expect(201);
    alice.get("/workspaces?namespace=acme&namespace=alice").expect(400);
    // The owner is no member of @alice: as if it were not there.
    let answer = |name: &str| {
        let mut body = owner.get(&format!("/workspaces?namespace={name}")).expect(404).json();
        body["request_id"] = json!(null);
        body.to_string().replace(name, "NAME")
    };
    assert_eq!(answer("alice"), answer("alicf"));
    let (exit, out, err) = gateway.aerostack("owner", &["workspace", "list", "--namespace", "alice"], "");
    assert!(exit == 3 && out.is_empty() && err.contains("No namespace @alice for you"), "{out}{err}");
    // A key that is bound stays at home.
    let bound = alice.post("/api-keys?namespace=acme", json!({ "name": "b", "bound": true })).expect(201).json();
    let bound = gateway.with_key(bound["key"].as_str().unwrap());
    let said = bound.get("/whoami").expect(200).json();
    assert_eq!(said["namespace"], "acme");
    assert_eq!(said["namespaces"], json!([{ "namespace": "acme", "role": "member" }]), "it tells of no other");
    assert_eq!(alice.get("/whoami").json()["namespaces"].as_array().unwrap().len(), 2);
    let viewing = alice.post("/api-keys", json!({ "name": "v", "role": "viewer" })).expect(201).json();
    let said = gateway.with_key(viewing["key"].as_str().unwrap()).get("/whoami").expect(200).json();
    let roles: Vec<_> = said["namespaces"].as_array().unwrap().iter().map(|one| one["role"].clone()).collect();
    assert_eq!(roles, ["viewer", "viewer"], "no more than the key");
    bound.get("/whoami?namespace=alice").expect(404);
}

#[test]
fn a_stolen_database_opens_nothing() {
    let gateway = setup().start();
    gateway.admin().workspace("eng");
    let (alice, joined) = gateway.member("alice", "member", Some("eng"));
    let open = gateway.invite(json!({ "email": "bob@example.com" }));
    let mut browser = Browser::new(gateway.address);
    browser.sign_in("alice", PASSWORD);
    let begun = browser.api_request("POST", "/login-requests", Some(&json!({ "client": "x" }))).send(gateway.address);
    let cookie = browser.cookie.clone().unwrap();
    let opens = [
        ("the owner's key", gateway.key.clone()),
        ("a key", alice.key.clone()),
        ("a token", joined["token"]["token"].as_str().unwrap().to_owned()),
        ("an invitation", open),
        ("a session", cookie.split('=').nth(1).unwrap().to_owned()),
        ("a session's page token", browser.csrf.clone().unwrap()),
        ("a login's secret", begun.expect(201).json()["device_code"].as_str().unwrap().to_owned()),
        ("a password", PASSWORD.to_owned()),
    ];
    let files: Vec<_> = std::fs::read_dir(gateway.setup.data_dir()).unwrap().flatten().collect();
    let databases = files.iter().filter(|file| file.file_name().to_string_lossy().contains(".db"));
    let stolen: Vec<u8> = databases.flat_map(|file| std::fs::read(file.path()).unwrap()).collect();
    assert!(stolen.len() > 10_000 && memchr::memmem::find(&stolen, b"alice@example.com").is_some());
    for (what, value) in opens {
        assert!(value.len() >= 16, "{what}: {value}");
        assert!(memchr::memmem::find(&stolen, value.as_bytes()).is_none(), "{what} is in the database");
    }
}

#[test]
fn a_lost_key_is_replaced_on_the_host_beside_the_gateway() {
    on_both(lost_key_is_replaced);
}

fn lost_key_is_replaced(setup: Setup) {
    let gateway = setup.start();
    let folder = gateway.setup.data_dir().display().to_string();
    let command = ["admin", "reset-key", "--revoke-others", "--data-dir", &folder];
    let (exit, out, err) = gateway.aerostack("nobody", &command, "");
    assert!(exit == 0 && err.contains("Revoked: 1 other key."), "{out}{err}");
    let fresh = gateway.with_key(out.trim());
    assert_eq!(fresh.get("/whoami").expect(200).json()["role"], "owner");
    gateway.admin().get("/whoami").expect(401);
    assert!(fresh.get("/audit").expect(200).text().contains("api_key_reset"));
    fresh.post("/audit:verify", json!({})).expect(200);
    let (exit, _, _) =
        gateway.aerostack("nobody", &["admin", "reset-key", "--account", "x", "--data-dir", &folder], "");
    assert_eq!(exit, 3);
}

#[test]
fn a_member_has_tokens_of_its_own_and_sees_no_others() {
    on_both(sees_own_tokens);
}

fn sees_own_tokens(setup: Setup) {
    let gateway = setup.start();
    let owner = gateway.admin();
    owner.workspace("eng");
    let foreign = owner.token("eng", "Bob");
    let (alice, _) = gateway.member("alice", "member", None);
    let (victor, _) = gateway.member("victor", "viewer", None);
    let tokens = "/workspaces/eng/tokens?namespace=acme";
    victor.post(tokens, json!({ "name": "mine" })).expect(403);
    alice.post(tokens, json!({ "name": "fast", "requests_per_minute": 9000 })).expect(403);
    let made = alice.post(tokens, json!({ "name": "mine" })).expect(201).json();
    gateway.editor("eng", made["token"].as_str().unwrap()).tools();
    let listed = alice.get(tokens).expect(200).json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["seats"]["used"], 2, "seats are the workspace's");
    let at = |id: &str, more: &str| format!("/workspaces/eng/tokens/{id}{more}?namespace=acme");
    for refused in [
        alice.get(&at(&foreign.id, "")),
        alice.delete(&at(&foreign.id, "")),
        alice.post(&at(&foreign.id, "/rotate"), json!({})),
        alice.post("/workspaces/eng/tokens:revoke?namespace=acme", json!({ "name": "Bob" })),
    ] {
        assert_eq!(refused.status, 404, "{}", refused.text());
    }
    let own = made["id"].as_str().unwrap();
    alice.patch(&at(own, ""), json!({ "scope": {} })).expect(403);
    alice.post(&at(own, "/rotate"), json!({})).expect(200);
    alice.delete(&at(own, "")).expect(200);
    gateway.editor("eng", &foreign.raw).tools();
}
