//! The documents' commands, one after the other, with the outputs they show.

use super::gateway::{Gateway, mcp_server};

fn words(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect()
}

/// A gateway with the workspace `engineering` and a server in it.
fn engineering() -> Gateway {
    let gateway = Gateway::start();
    gateway.ok("workspace create engineering");
    let url = mcp_server(&["create_issue", "list_pull_requests"]);
    gateway.ok(&format!("mcp add github-mcp --url {url}"));
    gateway.ok("mcp install github-mcp --workspace engineering");
    gateway
}

#[test]
fn tokens_are_issued_used_listed_and_revoked() {
    let gateway = engineering();
    let token = gateway.ok("workspace token create engineering --name \"Alice Chen\" --output token");
    let token = token.trim();
    assert!(token.starts_with("mwt_") && token.len() == 40, "{token}");
    gateway.ok("workspace token create engineering --name \"CI Bot\" --expires-in 86400");
    let (status, answer) = gateway.call("engineering", token, "github__create_issue");
    assert_eq!(status, 200, "{answer}");

    let list = gateway.ok("workspace token list engineering");
    let lines: Vec<Vec<&str>> = list.lines().map(words).collect();
    assert_eq!(lines[0][..4], ["TOKEN NAME", "CREATED", "LAST USED", "STATUS"], "{list}");
    assert_eq!((lines[1][0], lines[1][2], lines[1][3]), ("Alice Chen", "just now", "active"), "{list}");
    assert_eq!((lines[2][0], lines[2][2], lines[2][3]), ("CI Bot", "never", "active, expires in 23 hr"), "{list}");
    assert_eq!(list.lines().last(), Some("2 tokens used (Enterprise plan, unlimited)"));

    let revoked = gateway.ok("workspace token revoke engineering --name \"Alice Chen\"");
    assert_eq!(revoked, "✓ Token revoked. Alice's gateway access is immediately disabled.\n");
    assert_eq!(gateway.call("engineering", token, "github__create_issue").0, 401);
    let list = gateway.ok("workspace token list engineering");
    assert_eq!(words(list.lines().nth(1).unwrap())[3], "revoked", "{list}");
    gateway.ok("workspace token create engineering --name \"Alice Chen\"");
    let by_id = list.lines().nth(2).and_then(|line| line.split_whitespace().last()).unwrap();
    assert_eq!(gateway.run(&format!("workspace token revoke engineering {by_id}")).exit, 0);
}

#[test]
fn a_token_is_rotated_by_name_and_shown_for_a_client() {
    let gateway = engineering();
    let old = gateway.ok("workspace token create engineering --name \"CI Bot\" --expires-in 3d -o token");
    let list = gateway.run("workspace token list engineering");
    assert_eq!(words(list.out.lines().nth(1).unwrap())[3], "active, expires in 2 days", "{}", list.out);
    assert!(list.err.contains("aerostack workspace token rotate engineering tok_"), "{}", list.err);
    let said = gateway.run("workspace token rotate engineering --name \"CI Bot\" --output token");
    assert_eq!((said.exit, said.err.as_str()), (0, ""));
    let new = said.out.trim();
    for value in [old.trim(), new] {
        assert_eq!(gateway.call("engineering", value, "github__create_issue").0, 200);
    }
    let said = gateway.run("token rotate --name \"CI Bot\" --overlap 0 --workspace engineering -o cursor");
    let entry: serde_json::Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"));
    let header = entry["mcpServers"]["engineering"]["headers"]["Authorization"].as_str().unwrap();
    let last = header.strip_prefix("Bearer ").unwrap();
    assert_eq!(gateway.call("engineering", last, "github__create_issue").0, 200);
    for value in [old.trim(), new] {
        assert_eq!(gateway.call("engineering", value, "github__create_issue").0, 401);
    }
    let made = gateway.ok("workspace token create engineering --name Carol --output vscode");
    assert!(made.contains("\"servers\"") && made.contains("Bearer mwt_"), "{made}");
    assert_eq!(gateway.run("mcp list -o cursor").exit, 2);
    assert_eq!(gateway.run("workspace token create engineering --name X -o cursr").exit, 2);
}

#[test]
fn secrets_reach_their_server_and_nobody_else() {
    let gateway = engineering();
    let token = gateway.ok("workspace token create engineering --name Alice -o token").trim().to_owned();
    let header = |name: &str, value: &str| {
        let (_, answer) = gateway.call("engineering", &token, "github__create_issue");
        let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_default().to_owned();
        assert!(text.contains(&format!("\"{name}\": \"{value}\"")), "{name}: {value} not in {text}");
        assert!(!text.contains("ghp_"), "{text}");
    };
    let set = gateway.ok("secrets set github-mcp GITHUB_TOKEN \"ghp_xxxxxxxxxxxx\" --header GITHUB_TOKEN");
    assert_eq!(set, "✓ Secret saved. Takes effect on next tool call.\n");
    header("github_token", "[redacted secret]");
    gateway.ok("secrets inject github-mcp GITHUB_TOKEN --header \"X-API-Key\"");
    header("x-api-key", "[redacted secret]");
    gateway.ok("secrets inject github-mcp GITHUB_TOKEN --bearer");
    header("authorization", "Bearer [redacted secret]");
    let again = gateway.run_with("secrets set github-mcp GITHUB_TOKEN -", "ghp_new_token_here\n");
    assert_eq!(again.out, "✓ Secret updated. Takes effect on next tool call.\n");
    let list = gateway.ok("secrets list github-mcp");
    let lines: Vec<Vec<&str>> = list.lines().map(words).collect();
    assert_eq!(lines[0], ["SECRET NAME", "INJECTION", "LAST UPDATED"]);
    assert_eq!(lines[1][..2], ["GITHUB_TOKEN", "Authorization"]);
    gateway.ok("secrets delete github-mcp GITHUB_TOKEN");
    gateway.ok("secrets delete github-mcp --all");
    assert_eq!(gateway.run("secrets delete github-mcp GITHUB_TOKEN").exit, 3);
}

#[test]
fn audit_and_analytics_name_the_person() {
    let gateway = engineering();
    let token = gateway.ok("workspace token create engineering --name \"Alice Chen\" -o token").trim().to_owned();
    gateway.call("engineering", &token, "github__create_issue");
    // Seconds fresh, not instantly: the statistics are written beside the calls.
    let deadline = std::time::Duration::from_secs(20);
    let begun = std::time::SystemTime::now();
    let usage = loop {
        let usage = gateway.ok("analytics --workspace engineering --period 7d");
        if usage.lines().count() > 1 || begun.elapsed().unwrap() > deadline {
            break usage;
        }
    };
    let lines: Vec<Vec<&str>> = usage.lines().map(words).collect();
    assert_eq!(lines[0], ["USER", "TOOL", "CALLS", "ERRORS", "LAST CALL"]);
    assert_eq!(lines[1], ["Alice Chen", "github__create_issue", "1", "0", "just now"]);
    let csv = gateway
        .ok("analytics --workspace engineering --user \"Alice Chen\" --server github-mcp --period 30d --format csv");
    assert!(csv.starts_with("user,tool,calls,errors,last_call\r\nAlice Chen,github__create_issue,1,0,20"), "{csv}");

    let audit = gateway.ok("workspace audit engineering --kind admin");
    assert_eq!(words(audit.lines().next().unwrap()), ["DATE", "USER", "ACTION"]);
    assert!(audit.contains("acme@acme") && audit.contains("token_created: Alice Chen"), "{audit}");
    let all = gateway.ok("workspace audit engineering");
    assert_eq!(words(all.lines().next().unwrap()), ["DATE", "USER", "SKILL", "ACTION"]);
    let call = all.lines().find(|line| line.contains("tool_call")).unwrap();
    assert_eq!(words(call)[1..], ["Alice Chen", "github__create_issue", "tool_call"]);
}

#[test]
fn failures_have_the_promised_form_and_exit_codes() {
    let gateway = engineering();
    let said = gateway.run("mcp install githb-mcp --workspace engineering");
    assert_eq!(said.exit, 3);
    assert!(said.err.starts_with("✗ 404: No server \"githb-mcp\". Did you mean github-mcp?\nhint: aerostack mcp add githb-mcp --url https://…\nrequest id: "), "{}", said.err);
    for (line, exit) in [
        ("workspace create engineering", 6),
        ("workspace create Nope", 1),
        ("workspace token list enginering", 3),
        ("mcp install @other/thing --workspace engineering", 5),
        ("workspace nonsense", 2),
        ("workspace delete engineering", 2),
        ("mcp list -o token", 2),
        ("whoami --gateway http://127.0.0.1:1", 4),
        ("secrets set github-mcp NAME", 2),
    ] {
        let said = gateway.run(line);
        assert_eq!(said.exit, exit, "{line}: {}{}", said.out, said.err);
        assert_eq!(said.out, "", "{line}");
    }
    let said = gateway.run("workspace url nope -o json");
    let problem: serde_json::Value = serde_json::from_str(&said.err).unwrap();
    assert_eq!((problem["code"].as_str(), problem["status"].as_u64()), (Some("not_found"), Some(404)));
    gateway.ok("workspace delete engineering --yes");
    gateway.ok("logout");
    assert_eq!(gateway.run("whoami").exit, 4);
    let login = gateway.run_with(&format!("login --url {} --token-stdin", gateway.url), "aak_wrong");
    assert_eq!(login.exit, 4, "{login:?}");
}
