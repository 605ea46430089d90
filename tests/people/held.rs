//! Who loses a right while the body of their request is arriving changes nothing with it: the act is looked at when it is
//! committed, not only when its head came.

use serde_json::{Value, json};

use crate::support::{
    Admin, Browser, Connection, Request, Response, TestGateway,
    people::{PASSWORD, on_both},
    until,
};

/// A change whose body is held back, and where it would be seen.
struct Act {
    path: &'static str,
    body: Value,
    seen: &'static str,
}

/// By way of the namespace: whoever acts may be at home elsewhere.
fn acts() -> [Act; 2] {
    [
        Act {
            path: "/workspaces/eng/tokens?namespace=acme",
            body: json!({ "name": "Late" }),
            seen: "/workspaces/eng/tokens",
        },
        Act {
            path: "/mcp-servers/toy/secrets?namespace=acme",
            body: json!({ "name": "LATE", "value": "a-value" }),
            seen: "/mcp-servers/toy/secrets",
        },
    ]
}

/// Sends all but the end of `request`, waits until the gateway knows who asks, does `meanwhile`, and sends the rest.
fn held(
    gateway: &TestGateway,
    request: &Request,
    is_known: impl FnMut() -> bool,
    meanwhile: impl FnOnce(),
) -> Response {
    let bytes = request.bytes(gateway.address);
    let (first, rest) = bytes.split_at(bytes.len() - 5);
    let mut connection = Connection::to(gateway.address);
    connection.write(first);
    until("the gateway knows who asks", is_known);
    meanwhile();
    connection.write(rest);
    connection.answer().expect("an answer")
}

fn used(admin: &Admin, key: &str) -> Value {
    let all = admin.get("/api-keys").expect(200).json();
    let one = all["data"].as_array().unwrap().iter().find(|one| one["id"] == key).cloned();
    one.expect("the key")["last_used_at"].clone()
}

/// A key of whoever `admin` is, that was never used.
fn fresh_key(gateway: &TestGateway, admin: &Admin) -> (String, Admin) {
    let made = admin.post("/api-keys", json!({ "name": "held" })).expect(201).json();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), gateway.with_key(&text("key")))
}

fn furnished(setup: crate::support::process::Setup) -> (TestGateway, Admin) {
    let gateway = setup.start();
    let owner = gateway.admin();
    owner.workspace("eng");
    owner.server("toy", "http://127.0.0.1:9/mcp");
    (gateway, owner)
}

/// Refused, and nothing is there of it.
#[track_caller]
fn refused(owner: &Admin, act: &Act, answer: Response, status: u16) {
    let words = answer.expect(status).json();
    assert!(words["title"].as_str().is_some_and(|title| title.contains("nothing was done")), "{words}");
    let seen = owner.get(act.seen).expect(200).json();
    assert_eq!(seen["data"], json!([]), "{}", act.path);
    let log = owner.get("/audit").expect(200).text();
    assert!(!log.contains("Late") && !log.contains("LATE"), "{log}");
}

#[test]
fn a_key_that_is_revoked_while_the_body_arrives_changes_nothing() {
    on_both(|setup| {
        let (gateway, owner) = furnished(setup);
        for act in acts() {
            let (id, key) = fresh_key(&gateway, &owner);
            let request = key.request("POST", act.path, Some(&act.body));
            let revoke = || drop(owner.delete(&format!("/api-keys/{id}")).expect(200));
            let answer = held(&gateway, &request, || !used(&owner, &id).is_null(), revoke);
            refused(&owner, &act, answer, 401);
        }
    });
}

#[test]
fn a_session_that_is_ended_while_the_body_arrives_changes_nothing() {
    on_both(|setup| {
        let (gateway, owner) = furnished(setup);
        owner.post("/account/password", json!({ "new": PASSWORD })).expect(200);
        for act in acts() {
            let mut browser = Browser::new(gateway.address);
            browser.sign_in("acme", PASSWORD);
            let newest = || owner.get("/sessions").expect(200).json()["data"][0].clone();
            let (session, csrf) = (newest(), browser.csrf.clone().unwrap());
            let request = browser.api_request("POST", act.path, Some(&act.body));
            let request = request.header("sec-fetch-site", "same-origin").header("x-csrf-token", &csrf);
            let id = session["id"].as_str().unwrap();
            let end = || drop(owner.delete(&format!("/sessions/{id}")).expect(200));
            let answer = held(&gateway, &request, || newest()["last_used_at"] != session["last_used_at"], end);
            refused(&owner, &act, answer, 401);
        }
    });
}

#[test]
fn who_gets_a_lower_role_while_the_body_arrives_changes_nothing() {
    on_both(|setup| {
        let (gateway, owner) = furnished(setup);
        for (name, act) in ["bob", "carol"].into_iter().zip(acts()) {
            let (known, _) = gateway.member(name, "admin", None);
            let (id, key) = fresh_key(&gateway, &known);
            let request = key.request("POST", act.path, Some(&act.body));
            let lower = || {
                owner.patch(&format!("/team/members/{name}"), json!({ "role": "viewer" })).expect(200);
            };
            let answer = held(&gateway, &request, || !used(&known, &id).is_null(), lower);
            refused(&owner, &act, answer, 403);
        }
    });
}
