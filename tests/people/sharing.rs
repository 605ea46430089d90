//! A skill that is shared with fewer than before: whoever it is not shared with any more loses it at once, wherever it is
//! installed, and is told why; everybody else keeps it.

use serde_json::{Value, json};

use crate::support::{
    Admin, Editor, Response,
    people::{on_both, setup},
    place::Place,
    place_with,
    process::Setup,
};

fn package() -> Value {
    json!({ "document": "# Deploy", "manifest": { "name": "deploy-skill", "type": "skill", "version": "1.0.0",
        "description": "Plans deploys.", "category": "developer-tools",
        "tool": { "name": "plan", "description": "Plans one.", "input_schema": { "type": "object" } } } })
}

fn called(editor: &Editor) -> Response {
    editor.call("deploy__plan", json!({}))
}

#[test]
fn a_skill_that_is_shared_with_fewer_is_lost_where_it_is_not_shared_any_more() {
    on_both(narrowed);
}

fn narrowed(setup: Setup) {
    let Place { gateway, admin, editor, .. } = place_with(setup, &[]);
    let share = |visibility: &str, status: u16| {
        let mut body = package();
        body["visibility"] = json!(visibility);
        admin.post("/skills", body).expect(status);
    };
    share("public", 201);
    admin.install("eng", "@acme/deploy-skill");
    // Bob is a member, Carol is none any more; each has a workspace of their own.
    let (bob, _) = gateway.member("bob", "viewer", None);
    let (carol, _) = gateway.member("carol", "viewer", None);
    admin.delete("/team/members/carol").expect(200);
    let [of_bob, of_carol] = [(&bob, "bobs"), (&carol, "carols")].map(|(who, slug)| {
        who.workspace(slug);
        who.install(slug, "@acme/deploy-skill");
        gateway.editor(slug, &who.token(slug, "Mine").raw)
    });
    for one in [&editor, &of_bob, &of_carol] {
        called(one).expect(200).result();
    }

    share("team", 200);
    called(&editor).expect(200).result();
    called(&of_bob).expect(200).result();
    assert_eq!(called(&of_carol).code(), -32015, "lost when the publishing returns");
    assert!(of_carol.tools().is_empty());
    let explained = carol.get("/workspaces/carols/explain?token=Mine&tool=deploy__plan").expect(200).json();
    assert_eq!((&explained["usable"], &explained["cause"]), (&json!(false), &json!("skill_not_shared")), "{explained}");
    assert!(explained.to_string().contains("@acme/deploy-skill is not shared"), "{explained}");
    assert!(carol.get("/workspaces/carols/audit").expect(200).text().contains("skill_withheld"));
    // It is not switched on again against the publisher's will, nor installed anew.
    let path = "/workspaces/carols/servers/deploy-skill";
    carol.patch(path, json!({ "enabled": true })).expect(403);
    carol.delete(path).expect(200);
    let again = carol.post("/workspaces/carols/servers", json!({ "server": "@acme/deploy-skill" })).expect(403);
    assert_eq!(again.json()["title"], "You are not a member of @acme");

    // Who leaves the team loses what is the team's.
    admin.delete("/team/members/bob").expect(200);
    assert_eq!(called(&of_bob).code(), -32015);
    bob.patch("/workspaces/bobs/servers/deploy-skill", json!({ "enabled": true })).expect(403);
    called(&editor).expect(200).result();
    // Shared again, it is for them to switch it on.
    share("public", 200);
    bob.patch("/workspaces/bobs/servers/deploy-skill", json!({ "enabled": true })).expect(200);
    called(&of_bob).expect(200).result();
    assert_eq!(admin.post("/audit:verify", json!({})).expect(200).json()["intact"], json!(true));
}

#[test]
fn a_key_that_is_bound_to_a_namespace_sees_nothing_that_another_shares_with_its_team() {
    let gateway = setup().start();
    let mut body = package();
    body["visibility"] = json!("team");
    gateway.admin().post("/skills", body).expect(201);
    let (alice, _) = gateway.member("alice", "member", None);
    let bound = alice.post("/api-keys", json!({ "name": "CI", "bound": true })).expect(201).json();
    let bound = gateway.with_key(bound["key"].as_str().expect("a key"));
    bound.workspace("own");
    let listed = |who: &Admin| who.get("/skills").expect(200).text().contains("deploy-skill");
    assert!(listed(&alice) && !listed(&bound));
    alice.get("/skills/acme/deploy-skill").expect(200);
    bound.get("/skills/acme/deploy-skill").expect(403);
    bound.post("/workspaces/own/servers", json!({ "server": "@acme/deploy-skill" })).expect(403);
    alice.post("/workspaces/own/servers", json!({ "server": "@acme/deploy-skill" })).expect(201);
}

#[test]
fn publishing_needs_the_right_to_it_and_is_done_once_however_many_do_it() {
    on_both(|setup| {
        let gateway = setup.start();
        let (alice, _) = gateway.member("alice", "member", None);
        alice.post("/skills?namespace=acme", package()).expect(403);
        let owner = gateway.admin();
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| owner.post("/skills", package()).status)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(statuses.contains(&201) && statuses.iter().all(|one| [200, 201, 409].contains(one)), "{statuses:?}");
        let shown = owner.get("/skills/acme/deploy-skill").expect(200).json();
        assert_eq!(shown["versions"].as_array().unwrap().len(), 1, "{shown}");
        let log = owner.get("/audit?action=skill_published").expect(200).json();
        assert_eq!(log["data"].as_array().unwrap().len(), 1, "{log}");
    });
}
