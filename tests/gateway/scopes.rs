//! Tokens that may use a part of their workspace: the list shows no more than a call may reach, for every kind of rule,
//! at once after a change, and without a word about what is left out.

use serde_json::{Value, json};

use crate::support::{Place, Upstream, admin::Issued, place, servers::described};

const TOOLS: [&str; 4] = ["list_issues", "get_issue", "create_issue", "Delete_issue"];

/// A server whose first two tools say that they only read; the last says the opposite.
fn issues() -> Upstream {
    let hints = |name: &str| match name {
        "list_issues" | "get_issue" => json!({ "readOnlyHint": true }),
        "create_issue" => json!({ "readOnlyHint": "yes", "title": "not a boolean" }),
        _ => json!({ "readOnlyHint": false, "destructiveHint": true }),
    };
    let tool = |name: &str| json!({ "name": name, "inputSchema": { "type": "object" }, "annotations": hints(name) });
    described(TOOLS.map(tool).into()).0
}

fn scoped(place: &Place, name: &str, scope: Value) -> Issued {
    place.admin.token_with("eng", json!({ "name": name, "scope": scope }))
}

/// What a token sees and what it can call must be the same set; what it cannot is unknown to it.
#[track_caller]
fn reaches(place: &Place, token: &Issued, wanted: &[&str]) {
    let editor = place.gateway.editor("eng", &token.raw);
    let names = |tools: &[&str]| tools.iter().map(|tool| format!("github__{tool}")).collect::<Vec<_>>();
    assert_eq!(editor.tools(), names(wanted));
    let session = editor.initialize("2025-06-18");
    for tool in TOOLS {
        for name in [format!("github__{tool}"), format!("github-mcp__{tool}")] {
            for answer in [editor.call(&name, json!({})), session.call(&name, json!({}))] {
                if wanted.contains(&tool) {
                    assert_eq!(answer.result()["content"][0]["text"], tool);
                } else {
                    assert_eq!(answer.code(), -32602, "{name}");
                    assert_eq!(answer.json()["error"]["message"], format!("Unknown tool: {name}"));
                }
            }
        }
    }
}

#[test]
fn a_scope_holds_for_the_list_and_for_every_call() {
    let upstream = issues();
    let place = place(&[("github-mcp", &upstream)]);
    reaches(&place, &scoped(&place, "all", json!({})), &TOOLS);
    reaches(&place, &scoped(&place, "one", json!({ "allow": ["github__get_issue"] })), &["get_issue"]);
    reaches(&place, &scoped(&place, "none", json!({ "allow": ["crm__*"] })), &[]);
    let careful = json!({ "allow": ["github__*"], "deny": ["*delete*"] });
    reaches(&place, &scoped(&place, "careful", careful), &["list_issues", "get_issue", "create_issue"]);
    reaches(&place, &scoped(&place, "reader", json!({ "read_only": true })), &["list_issues", "get_issue"]);
    let narrow = json!({ "read_only": true, "deny": ["github__list*"] });
    reaches(&place, &scoped(&place, "narrow", narrow), &["get_issue"]);
    // Nothing that was refused reached the server.
    assert!(upstream.calls().iter().all(|call| TOOLS.contains(&call.tool().as_str())));
}

#[test]
fn a_changed_scope_counts_when_the_change_returns_and_open_streams_are_told() {
    let upstream = issues();
    let place = place(&[("github-mcp", &upstream)]);
    let path = format!("/workspaces/eng/tokens/{}", place.token.id);
    let (mut events, _) = place.editor.listen(&json!("l"));
    for _ in 0..20 {
        let token = place.admin.patch(&path, json!({ "scope": { "read_only": true } })).expect(200).json();
        assert_eq!(token["scope"], json!({ "allow": [], "deny": [], "read_only": true }));
        assert_eq!(place.editor.call("github__create_issue", json!({})).code(), -32602);
        assert_eq!(place.editor.tools().len(), 2);
        let token = place.admin.patch(&path, json!({ "scope": {} })).expect(200).json();
        assert_eq!(token["scope"], json!(null));
        place.editor.call("github__create_issue", json!({})).result();
        assert_eq!(place.editor.tools().len(), 4);
    }
    assert_eq!(events.message()["method"], "notifications/tools/list_changed");
    let audit = place.admin.get("/workspaces/eng/audit").expect(200).text();
    assert!(audit.contains("token_scope_changed"), "{audit}");
}

#[test]
fn a_scope_outlives_a_restart() {
    let upstream = issues();
    let mut place = place(&[("github-mcp", &upstream)]);
    let token = scoped(&place, "reader", json!({ "read_only": true }));
    place.gateway.restart();
    reaches(&place, &token, &["list_issues", "get_issue"]);
}

#[test]
fn a_scope_that_cannot_be_one_is_refused_and_changes_nothing() {
    let place = place(&[]);
    let path = format!("/workspaces/eng/tokens/{}", place.token.id);
    for scope in [
        json!({ "allow": ["a b"] }),
        json!({ "deny": [""] }),
        json!({ "deny": ["x".repeat(200)] }),
        json!({ "allow": vec!["a"; 65] }),
        json!({ "alow": ["a"] }),
        json!({ "read_only": "yes" }),
        json!(null),
    ] {
        let answer = place.admin.patch(&path, json!({ "scope": scope }));
        assert!(matches!(answer.status, 400 | 422), "{scope}: {} {}", answer.status, answer.text());
    }
    assert_eq!(place.admin.get(&path).json()["scope"], json!(null));
    let unknown = "/workspaces/eng/tokens/tok_00000000000070008000000000000000";
    place.admin.patch(unknown, json!({ "scope": {} })).expect(404);
    place.admin.revoke("eng", &place.token.id);
    place.admin.patch(&path, json!({ "scope": {} })).expect(404);
}
