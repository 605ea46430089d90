//! A token's life: rotated with and without an overlap, and marked when its time is nearly over.

use serde_json::{Value, json};

use crate::support::{Place, TestGateway, place, place_with, servers, until, wait::DEADLINE};

fn rotate(place: &Place, id: &str, body: Value) -> Value {
    place.admin.post(&format!("/workspaces/eng/tokens/{id}/rotate"), body).expect(200).json()
}

fn text(answer: &Value, name: &str) -> String {
    answer[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer}")).to_owned()
}

fn an_overlap_ends(setup: crate::support::process::Setup) {
    let place = place_with(setup, &[("toy", &servers::plain(&["echo"]))]);
    let issued = place.admin.token_with(
        "eng",
        json!({ "name": "CI Bot", "requests_per_minute": 10_000, "scope": { "deny": ["*delete*"] } }),
    );
    let old = place.gateway.editor("eng", &issued.raw);
    let session = old.initialize("2025-11-25");
    let made = rotate(&place, &issued.id, json!({ "overlap_seconds": 2 }));
    assert_eq!((made["id"].as_str(), &made["name"]), (Some(&*issued.id), &json!("CI Bot")));
    assert_eq!(made["scope"]["deny"], json!(["*delete*"]));
    assert!(made["snippets"].as_array().unwrap().iter().any(|one| one["client"] == "cursor"), "{made}");
    let raw = text(&made, "token");
    assert_ne!(raw, issued.raw);
    let new = place.gateway.editor("eng", &raw);
    new.call("toy__echo", json!({})).result();
    let listed = place.admin.get("/workspaces/eng/tokens").json();
    let shown = listed["data"].as_array().unwrap().iter().find(|one| one["name"] == "CI Bot").unwrap();
    assert_eq!((listed["seats"]["used"].as_u64(), &shown["previous_until"]), (Some(2), &made["previous_until"]));
    assert!(!listed.to_string().contains(&raw[..20]));

    until("the overlap ends", || old.list().status == 401);
    let mut moved = session.clone();
    assert_eq!(moved.call("toy__echo", json!({})).status, 401, "its session is no way around");
    moved.editor.token = raw;
    moved.call("toy__echo", json!({})).expect(200).result();
    new.call("toy__echo", json!({})).expect(200).result();
    let audit = place.admin.get("/workspaces/eng/audit?action=token_rotated").json();
    assert_eq!(audit["data"][0]["target"], "CI Bot", "{audit}");
}

#[test]
fn both_values_work_until_the_overlap_ends_and_then_only_the_new_one() {
    an_overlap_ends(TestGateway::setup());
    if let Some(url) = crate::support::database::fresh_postgres() {
        an_overlap_ends(TestGateway::setup().env("AEROSTACK_DATABASE_URL", &url));
    }
}

#[test]
fn without_an_overlap_the_old_value_is_dead_and_cut_when_the_answer_comes() {
    let place = place(&[("toy", &servers::plain(&["echo"]))]);
    let (mut events, _) = place.editor.listen(&json!(1));
    let made = rotate(&place, &place.token.id, json!({ "overlap_seconds": 0 }));
    assert_eq!(made["previous_until"], Value::Null);
    place.editor.list().expect(401);
    let (_, took) = events.until_end();
    assert!(took < std::time::Duration::from_secs(2), "{took:?}");
    place.gateway.editor("eng", &text(&made, "token")).list().expect(200);
}

#[test]
fn a_revocation_ends_both_values_and_a_second_rotation_the_first_overlap() {
    let mut place = place(&[]);
    let second = text(&rotate(&place, &place.token.id, json!({})), "token");
    let third = text(&rotate(&place, &place.token.id, json!({ "overlap_seconds": 600 })), "token");
    place.editor.list().expect(401);
    place.gateway.restart();
    place.editor.list().expect(401);
    let editors = [second, third].map(|raw| place.gateway.editor("eng", &raw));
    editors.iter().for_each(|editor| _ = editor.list().expect(200));
    place.admin.revoke("eng", &place.token.id);
    editors.iter().for_each(|editor| _ = editor.list().expect(401));
    let path = format!("/workspaces/eng/tokens/{}/rotate", place.token.id);
    place.admin.post(&path, json!({})).expect(404);
}

#[test]
fn a_new_value_is_no_new_quota() {
    let place = place(&[]);
    let issued = place.admin.token_with("eng", json!({ "name": "Bot", "requests_per_minute": 3 }));
    let old = place.gateway.editor("eng", &issued.raw);
    old.list().expect(200);
    old.list().expect(200);
    let new = place.gateway.editor("eng", &text(&rotate(&place, &issued.id, json!({})), "token"));
    new.list().expect(200);
    new.list().expect(429);
    old.list().expect(429);
}

#[test]
fn overlaps_are_plausible_and_foreign_tokens_unknown() {
    let place = place(&[]);
    let path = format!("/workspaces/eng/tokens/{}/rotate", place.token.id);
    place.admin.post(&path, json!({ "overlap_seconds": 31 * 86_400 })).expect(422);
    place.admin.post(&path, json!({ "overlap_seconds": -1 })).expect(400);
    place.admin.post(&path, json!({ "overlap": 1 })).expect(400);
    place.admin.workspace("ops");
    place.admin.post(&path.replace("/eng/", "/ops/"), json!({})).expect(404);
    place.editor.list().expect(200);
}

#[test]
fn a_token_that_expires_soon_is_marked_logged_and_counted() {
    let mut place = place(&[]);
    for (name, days) in [("Soon", 3), ("Later", 30)] {
        place.admin.token_with("eng", json!({ "name": name, "expires_in": days * 86_400 }));
    }
    let listed = place.admin.get("/workspaces/eng/tokens").json();
    let marks: Vec<(&Value, &Value)> =
        listed["data"].as_array().unwrap().iter().map(|one| (&one["name"], &one["expires_soon"])).collect();
    assert_eq!(
        marks,
        [(&json!("Alice Chen"), &json!(false)), (&json!("Soon"), &json!(true)), (&json!("Later"), &json!(false))]
    );
    // It is looked for at the start and every hour: the next start sees it.
    place.gateway.signal("TERM");
    place.gateway.ended(DEADLINE);
    let said = |gateway: &TestGateway| gateway.log().matches("a token expires soon").count();
    let before = said(&place.gateway);
    let next = place.gateway.setup.clone().start();
    let metrics = || next.operators("/metrics").text();
    until("it is counted", || metrics().lines().any(|line| line == "aerostack_tokens_expiring 1"));
    assert_eq!(said(&next), before + 1, "{}", next.log());
}
