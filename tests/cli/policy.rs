//! Scopes, switches, aliases, pins and explanations, as an administrator types them.

use super::gateway::{Gateway, mcp_server};

const LONG: &str = "a_tool_with_a_name_that_is_far_too_long_for_most_editors";

fn engineering() -> Gateway {
    let gateway = Gateway::start();
    gateway.ok("workspace create engineering");
    gateway.ok(&format!("mcp add github-mcp --url {}", mcp_server(&["create_issue", "delete_repo", LONG])));
    gateway
}

#[test]
fn a_long_name_is_told_at_install_with_the_line_to_type() {
    let gateway = engineering();
    let said = gateway.run("mcp install github-mcp --workspace engineering");
    assert_eq!(said.exit, 0, "{said:?}");
    assert!(said.err.contains(&format!("! github__{LONG} is longer than 46 characters")), "{}", said.err);
    let line = said.err.lines().find_map(|line| line.strip_prefix("hint: aerostack ")).expect("a line to type");
    assert!(line.starts_with(&format!("mcp tool alias github-mcp \"{LONG}\" github__a_tool")), "{line}");
    gateway.ok(line);
    let said = gateway.run("mcp tools github-mcp --workspace engineering");
    assert!(!said.err.contains("longer than"), "{}", said.err);
    let names = gateway.ok("mcp list --workspace engineering --tools-only");
    assert!(names.lines().all(|name| name.len() <= 46), "{names}");
}

#[test]
fn tools_are_switched_and_named_and_explained() {
    let gateway = engineering();
    gateway.ok("mcp install github-mcp --workspace engineering");
    gateway.ok("workspace use engineering");
    let token = gateway.ok("token create --name \"Alice Chen\" -o token").trim().to_owned();
    let off = gateway.ok("mcp tool disable github-mcp delete_repo");
    assert_eq!(off, "✓ github__delete_repo is not offered any more in engineering.\n");
    let list = gateway.ok("mcp tools github-mcp");
    let row = |tool: &str| list.lines().find(|line| line.starts_with(tool)).unwrap_or_default().to_owned();
    assert!(row("delete_repo").contains(" off"), "{list}");
    assert!(row("create_issue").contains("offered"), "{list}");
    assert_eq!(gateway.run("mcp tool disable github-mcp delete_rep").exit, 3);

    let said = gateway.run("explain engineering \"Alice Chen\" github__delete_repo");
    assert_eq!(said.exit, 0);
    assert!(said.out.contains("It is switched off in this workspace"), "{}", said.out);
    assert!(said.err.contains("cannot use github__delete_repo: switched_off"), "{}", said.err);
    let line = said.err.lines().find_map(|line| line.strip_prefix("hint: aerostack ")).expect("a line to type");
    gateway.ok(line);
    let said = gateway.run("explain engineering \"Alice Chen\" github__delete_repo");
    assert!(said.err.contains("Nothing stands between"), "{}", said.err);

    gateway.ok("mcp tool alias github-mcp create_issue new_issue");
    assert_eq!(gateway.call("engineering", &token, "new_issue").0, 200);
    gateway.ok("mcp tool alias github-mcp create_issue --remove");
    assert_eq!(
        gateway.ok("mcp prefix github-mcp gh"),
        "✓ Names of github-mcp's tools in engineering begin with gh__.\n"
    );
    assert!(gateway.ok("mcp list --tools-only").starts_with("gh__create_issue\n"));
    assert_eq!(gateway.ok("mcp disable github-mcp"), "✓ github-mcp is disabled in engineering.\n");
    assert_eq!(gateway.ok("mcp list --tools-only"), "");
    gateway.ok("mcp enable github-mcp");
}

#[test]
fn a_token_is_limited_when_it_is_issued_or_later() {
    let gateway = engineering();
    gateway.ok("mcp install github-mcp --workspace engineering");
    let create = "workspace token create engineering --name \"CI Bot\" --deny '*delete*' -o token";
    let token = gateway.ok(create).trim().to_owned();
    let code = |tool: &str| gateway.call("engineering", &token, tool).1["error"]["code"].clone();
    assert_eq!(code("github__delete_repo"), -32602);
    assert_eq!(code("github__create_issue"), serde_json::Value::Null);
    let list = gateway.ok("workspace token list engineering");
    assert!(list.contains("deny *delete*"), "{list}");
    let done = gateway.ok("workspace token update engineering --name \"CI Bot\" --allow 'github__delete*,crm__*'");
    assert_eq!(done, "✓ Token \"CI Bot\" may use: allow github__delete*, allow crm__*. In force now.\n");
    assert_eq!(code("github__create_issue"), -32602);
    gateway.ok("workspace token update engineering --name \"CI Bot\" --everything");
    assert_eq!(code("github__create_issue"), serde_json::Value::Null);
    assert_eq!(gateway.run("workspace token update engineering --name \"CI Bot\"").exit, 2);
    assert_eq!(gateway.run("workspace token update engineering --name Nobody --read-only").exit, 3);
    let refused = gateway.run("workspace token create engineering --name X --allow 'a b'");
    assert!(refused.err.contains("is not a pattern of names"), "{}", refused.err);
}

#[test]
fn pins_are_listed_and_decided_about() {
    let gateway = engineering();
    gateway.ok("mcp install github-mcp --workspace engineering");
    let list = gateway.ok("mcp pins list github-mcp --workspace engineering");
    assert_eq!(list.lines().filter(|line| line.contains("approved")).count(), 3, "{list}");
    let said = gateway.run("mcp pins diff github-mcp --workspace engineering");
    assert!(said.err.contains("No tool of github-mcp waits for approval"), "{}", said.err);
    let said = gateway.run("mcp pins approve github-mcp create_issue --yes --workspace engineering");
    assert!(said.exit == 1 && said.err.contains("waits for a decision"), "{said:?}");
    assert_eq!(gateway.run("mcp pins approve github-mcp create_issue --workspace engineering").exit, 2);
    let mode = gateway.ok("mcp pins mode github-mcp track --workspace engineering");
    assert_eq!(mode, "✓ New and changed tools of github-mcp in engineering are offered at once.\n");
}
