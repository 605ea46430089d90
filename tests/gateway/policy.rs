//! What an administrator decides about an installed server and its tools: switches, aliases, prefixes. It counts for the
//! list and for the call when the answer is there, and open streams are told.

use serde_json::{Value, json};

use crate::support::{Place, place, servers};

const PATH: &str = "/workspaces/eng/servers/github-mcp";

fn github() -> Place {
    place(&[("github-mcp", &servers::plain(&["create_issue", "delete_repo", "list.all"]))])
}

#[track_caller]
fn set(place: &Place, body: Value) -> Value {
    place.admin.patch(&format!("{PATH}/tools"), body).expect(200).json()
}

fn listed(place: &Place, tool: &str) -> Value {
    let page = place.admin.get(&format!("{PATH}/tools")).expect(200).json();
    page["data"].as_array().unwrap().iter().find(|one| one["tool"] == tool).cloned().unwrap_or_default()
}

#[test]
fn a_tool_that_is_switched_off_is_neither_listed_nor_called() {
    let mut place = github();
    let (mut events, _) = place.editor.listen(&json!("l"));
    set(&place, json!({ "tools": ["delete_repo"], "enabled": false }));
    assert_eq!(events.message()["method"], "notifications/tools/list_changed");
    for _ in 0..2 {
        assert!(!place.editor.tools().contains(&"github__delete_repo".to_owned()));
        assert_eq!(place.editor.tools().len(), 2);
        for name in ["github__delete_repo", "github-mcp__delete_repo"] {
            let answer = place.editor.call(name, json!({})).expect(200);
            assert_eq!(answer.code(), -32015);
            assert_eq!(answer.json()["error"]["data"]["reason"], "disabled");
        }
        assert_eq!(listed(&place, "delete_repo")["state"], "off");
        // A token that could not use it anyway is not told that it exists.
        let scope = json!({ "name": place.gateway.pid().to_string(), "scope": { "deny": ["*delete*"] } });
        let scoped = place.admin.token_with("eng", scope);
        let editor = place.gateway.editor("eng", &scoped.raw);
        assert_eq!(editor.call("github__delete_repo", json!({})).code(), -32602);
        place.gateway.restart();
    }
    // By the name that clients see, too.
    set(&place, json!({ "tools": ["github__delete_repo"], "enabled": true }));
    place.editor.call("github__delete_repo", json!({})).result();
    let audit = place.admin.get("/workspaces/eng/audit").expect(200).text();
    assert!(audit.contains("tool_disabled") && audit.contains("github-mcp/delete_repo"), "{audit}");
}

#[test]
fn an_alias_is_the_name_of_one_tool_in_the_workspace() {
    let mut place = github();
    let answer = set(&place, json!({ "tools": ["create_issue"], "alias": "new_issue" }));
    assert_eq!(answer["data"][0]["name"], "new_issue");
    place.gateway.restart();
    assert!(place.editor.tools().contains(&"new_issue".to_owned()));
    assert!(!place.editor.tools().contains(&"github__create_issue".to_owned()));
    // Clients that listed before still find it.
    for name in ["new_issue", "github__create_issue", "github-mcp__create_issue"] {
        place.editor.call(name, json!({})).result();
    }
    let path = format!("{PATH}/tools");
    for taken in ["new_issue", "github__delete_repo"] {
        place.admin.patch(&path, json!({ "tools": ["list.all"], "alias": taken })).expect(409);
    }
    for bad in ["a b", "a.b", "é", &"a".repeat(65)] {
        place.admin.patch(&path, json!({ "tools": ["list.all"], "alias": bad })).expect(422);
    }
    place.admin.patch(&path, json!({ "tools": ["create_issue", "list.all"], "alias": "x" })).expect(422);
    let unknown = place.admin.patch(&path, json!({ "tools": ["creat_issue"], "enabled": false })).expect(404);
    assert!(unknown.text().contains("Did you mean create_issue?"), "{}", unknown.text());
    set(&place, json!({ "tools": ["new_issue"], "alias": "" }));
    assert!(place.editor.tools().contains(&"github__create_issue".to_owned()));
}

#[test]
fn a_disabled_server_offers_nothing_and_says_so() {
    let place = github();
    place.admin.add("eng", "crm", &servers::plain(&["find"]));
    place.admin.patch(PATH, json!({ "enabled": false })).expect(200);
    assert_eq!(place.editor.tools(), ["crm__find"]);
    let answer = place.editor.call("github__create_issue", json!({})).expect(200);
    assert_eq!((answer.code(), &answer.json()["error"]["data"]["reason"]), (-32015, &json!("disabled")));
    place.editor.call("crm__find", json!({})).result();
    place.admin.patch(PATH, json!({ "enabled": true })).expect(200);
    place.editor.call("github__create_issue", json!({})).result();
}

#[test]
fn a_prefix_can_be_changed_and_stays_unique() {
    let place = github();
    place.admin.add("eng", "crm", &servers::plain(&["find"]));
    place.admin.patch(PATH, json!({ "prefix": "gh" })).expect(200);
    assert!(place.editor.tools().contains(&"gh__create_issue".to_owned()), "{:?}", place.editor.tools());
    place.editor.call("gh__create_issue", json!({})).result();
    assert_eq!(place.editor.call("github__create_issue", json!({})).code(), -32602);
    place.admin.patch(PATH, json!({ "prefix": "crm" })).expect(409);
    place.admin.patch(PATH, json!({ "prefix": "a-b" })).expect(422);
    place.admin.patch(PATH, json!({ "prefix": "" })).expect(200);
    assert!(place.editor.tools().contains(&"create_issue".to_owned()));
}

#[test]
fn long_and_odd_names_get_an_alias_that_stays() {
    const LONG: &str = "a_tool_with_a_name_that_is_far_too_long_for_most_editors";
    let mut place = place(&[("github-mcp", &servers::plain(&["list.all", LONG]))]);
    let before = place.editor.tools();
    assert!(before[0].starts_with("github__list_all_") && before[1] == format!("github__{LONG}"), "{before:?}");
    assert_eq!(listed(&place, LONG)["too_long"], true);
    assert_eq!(listed(&place, "list.all")["too_long"], false);
    place.gateway.restart();
    assert_eq!(place.editor.tools(), before);
    place.editor.call(&before[0], json!({})).result();
}

#[test]
fn members_see_and_do_not_change() {
    let place = github();
    let stranger = crate::support::Admin::new(place.gateway.address, &place.token.raw);
    stranger.patch(PATH, json!({ "enabled": false })).expect(401);
    place.admin.patch("/workspaces/eng/servers/nothing", json!({ "enabled": false })).expect(404);
    place.admin.patch(PATH, json!({ "enable": false })).expect(400);
}
