//! Figures and the tool diet, as an administrator types them.

use super::gateway::{Gateway, mcp_server};
use crate::support::until;

#[test]
fn figures_are_shown_by_user_tool_server_and_workspace() {
    let gateway = Gateway::start();
    gateway.ok("workspace create engineering");
    gateway.ok(&format!("mcp add github-mcp --url {}", mcp_server(&["create_issue", "list_issues"])));
    gateway.ok("mcp install github-mcp --workspace engineering");
    let token = gateway.ok("workspace token create engineering --name \"Alice Chen\" -o token").trim().to_owned();
    for tool in ["github__create_issue", "github__create_issue", "github__list_issues"] {
        assert_eq!(gateway.call("engineering", &token, tool).0, 200);
    }
    let by = |by: &str| gateway.ok(&format!("analytics --workspace engineering --by {by} --period 1h"));
    until("the calls are counted", || by("user").contains("  3  "));
    let tools = by("tool");
    let lines: Vec<&str> = tools.lines().collect();
    assert!(lines[0].starts_with("TOOL") && lines[0].contains("P95"), "{tools}");
    assert!(lines[1].starts_with("github__create_issue") && lines[1].contains(" ms "), "{tools}");
    assert_eq!(lines.len(), 3, "{tools}");
    assert!(by("server").contains("\ngithub-mcp "), "by its slug");
    let all = gateway.ok("analytics --all --period 7d");
    assert!(all.starts_with("WORKSPACE") && all.contains("\nengineering "), "{all}");
    let today = "analytics --workspace engineering --from 2020-01-01 --tool github__list_issues";
    assert!(gateway.ok(today).contains("Alice Chen"), "from a day on");
    let csv = gateway.ok("analytics --all --by user --sort p95 --format csv");
    assert!(csv.starts_with("user,calls,errors,p50_us,p95_us,p99_us,last_call\r\nAlice Chen,3,0,"), "{csv}");
    assert_eq!(gateway.run("analytics --workspace engineering --period 7d --from 2026-01-01").exit, 2);
    assert_eq!(gateway.run("analytics --workspace engineering --sort p95").exit, 2);
    assert_eq!(gateway.run("analytics --workspace engineering --from yesterday").exit, 1);
}

#[test]
fn what_tools_cost_is_shown_and_new_ones_are_left_alone() {
    let gateway = Gateway::start();
    gateway.ok("workspace create engineering");
    gateway.ok(&format!("mcp add github-mcp --url {}", mcp_server(&["create_issue", "list_issues"])));
    gateway.ok("mcp install github-mcp --workspace engineering");
    let diet = gateway.ok("mcp diet --workspace engineering");
    assert!(diet.starts_with("SERVER") && diet.contains("\ngithub-mcp ") && diet.contains("o200k_base"), "{diet}");
    let tools = gateway.ok("mcp diet --workspace engineering --tools");
    assert!(tools.contains("github__create_issue") && tools.contains("too new to tell"), "{tools}");
    let applied = gateway.ok("mcp diet --workspace engineering --apply");
    assert_eq!(applied, "✓ No tool of engineering is known to be unused.\n");
    let json: serde_json::Value =
        serde_json::from_str(&gateway.ok("mcp diet --workspace engineering -o json")).unwrap();
    assert_eq!(json["servers"][0]["server"], "github-mcp");
}
