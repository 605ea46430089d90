//! Every command line that the product's documents print (but those about teams and skills, which have tests of their
//! own), in the documents' order, with the columns and sentences they print.

use super::gateway::{Gateway, mcp_server};

/// Cells of a line: the documents lost their column widths.
fn cells(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

/// Whether a line is what was printed: `…` stands for whatever differs from day to day, further columns are ours.
fn is_as_printed(line: &str, printed: &str) -> bool {
    let (got, wanted) = (cells(line), cells(printed));
    let same = |(got, wanted): (&&str, &&str)| match wanted.split_once('…') {
        None => got == wanted,
        Some((begin, end)) => got.starts_with(begin) && got.ends_with(end),
    };
    got.len() >= wanted.len() && got.iter().zip(&wanted).all(same)
}

/// Runs the commands; each line below one that begins with `|` must be in what it printed, in this order.
fn play(gateway: &Gateway, document: &str) {
    let mut lines = document.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    while let Some(command) = lines.next() {
        let said = gateway.run(command);
        assert_eq!(said.exit, 0, "aerostack {command}\n{}{}", said.out, said.err);
        let mut shown = said.out.lines();
        while let Some(printed) = lines.next_if(|line| line.starts_with('|')) {
            let printed = printed.trim_start_matches('|').trim();
            assert!(
                shown.any(|line| is_as_printed(line, printed)),
                "aerostack {command}: no `{printed}` in\n{}",
                said.out
            );
        }
    }
}

const TOKENS_OF_A_TEAM: &str = r#"
workspace token create engineering --name "Bob Singh"
| mwt_…
workspace token create engineering --name "Carol Wu"
| mwt_…
workspace token create engineering --name "CI Pipeline"
workspace audit engineering
| DATE  USER  ACTION
| … UTC  acme@acme  mcp_installed: github-mcp
| … UTC  acme@acme  token_created: Alice Chen
| … UTC  acme@acme  token_created: Bob Singh
"#;

const USE_AND_LEAVING: &str = r#"
workspace token list engineering
| TOKEN NAME  CREATED  LAST USED  STATUS
| Alice Chen  20…  just now  active
| Bob Singh  20…  never  active
| CI Pipeline  20…  never  active
| 4 of 25 tokens used (Pro plan)
analytics --workspace engineering --period 7d
| USER  TOOL  CALLS  ERRORS  LAST CALL
| Alice Chen  github__create_issue  1  0  just now
| Alice Chen  github__list_pull_requests  1  0  just now
analytics --workspace engineering --user "Alice Chen" --period 30d
| Alice Chen  github__create_issue  1  0  just now
analytics --workspace engineering --server github-mcp --period 7d
| Alice Chen  github__create_issue  1  0  just now
analytics --workspace engineering --period 30d --format csv > usage-report.csv
workspace token revoke engineering --name "Alice Chen"
| ✓ Token revoked. Alice's gateway access is immediately disabled.
workspace token create engineering --name "Alice Chen (new laptop)"
| mwt_…
workspace token list engineering
| Alice Chen  20…  just now  revoked
workspace create eng-full
mcp install internal-api --workspace eng-full
mcp install database --workspace eng-full
mcp install deploy-pipeline --workspace eng-full
workspace create eng-readonly
mcp install internal-api --workspace eng-readonly
mcp install database --workspace eng-readonly
workspace create project-alpha
workspace create project-beta
mcp install alpha-api --workspace project-alpha
mcp install beta-api --workspace project-beta
workspace token create engineering --name "Contractor: Jane Doe"
workspace token revoke engineering --name "Contractor: Jane Doe"
| ✓ Token revoked. "Contractor: Jane Doe"'s gateway access is immediately disabled.
workspace audit engineering --kind admin
| … UTC  acme@acme  token_revoked: Alice Chen
mcp list --workspace engineering --tools-only
| github__create_issue
"#;

#[test]
fn the_team_document() {
    let gateway = Gateway::start();
    gateway.ok("workspace create engineering");
    gateway.ok(&format!("mcp add github-mcp --url {}", mcp_server(&["create_issue", "list_pull_requests"])));
    gateway.ok("mcp install github-mcp --workspace engineering");
    for slug in ["internal-api", "database", "deploy-pipeline", "alpha-api", "beta-api"] {
        gateway.ok(&format!("mcp add {slug} --url {}", mcp_server(&["query"])));
    }
    gateway.ok(&format!("admin plan acme pro --data-dir {}", gateway.path("data").display()));
    let alice = gateway.ok("workspace token create engineering --name \"Alice Chen\"").trim().to_owned();
    play(&gateway, TOKENS_OF_A_TEAM);
    for tool in ["github__create_issue", "github__list_pull_requests"] {
        assert_eq!(gateway.call("engineering", &alice, tool).0, 200);
    }
    counted(&gateway, "engineering", "github__list_pull_requests");
    play(&gateway, USE_AND_LEAVING);
    assert_eq!(gateway.call("engineering", &alice, "github__create_issue").0, 401);
    let report = std::fs::read_to_string(gateway.path("usage-report.csv")).unwrap();
    assert!(report.starts_with("user,tool,calls,errors,last_call\r\nAlice Chen,github__create_issue,1,0,"), "{report}");
    let sixth = gateway.run("workspace create one-too-many");
    assert_eq!(sixth.exit, 5, "{sixth:?}");
    assert!(sixth.err.starts_with("✗ 403: The Pro plan allows 5 workspaces; 5 are in use\n"), "{}", sixth.err);
}

/// Waits until a call is in the statistics: they are written beside the calls.
fn counted(gateway: &Gateway, workspace: &str, tool: &str) {
    let line = format!("analytics --workspace {workspace} --period 1h");
    crate::support::until("the calls are counted", || gateway.ok(&line).contains(tool));
}

#[test]
fn the_document_about_skills_as_far_as_it_is_about_workspaces() {
    let gateway = Gateway::start();
    gateway.ok(&format!("mcp add github-mcp --url {}", mcp_server(&["create_issue"])));
    gateway.ok("workspace create acme-team");
    gateway.ok("mcp install github-mcp --workspace acme-team");
    let alice = gateway.ok("workspace token create acme-team --name \"Alice Cursor\"").trim().to_owned();
    assert_eq!(gateway.call("acme-team", &alice, "github__create_issue").0, 200);
    counted(&gateway, "acme-team", "github__create_issue");
    play(
        &gateway,
        r#"
        workspace token create acme-team --name "Bob VSCode"
        | mwt_…
        workspace use acme-team
        workspace audit acme-team
        | DATE  USER  SKILL  ACTION
        | … UTC  Alice Cursor  github__create_issue  tool_call
        workspace token list acme-team
        | TOKEN NAME  CREATED  LAST USED  STATUS
        | Alice Cursor  20…  just now  active
        | Bob VSCode  20…  never  active
        workspace token revoke acme-team --name "Alice Cursor"
        | ✓ Token revoked. Alice's gateway access is immediately disabled.
        "#,
    );
}

#[test]
fn the_document_about_secrets() {
    let gateway = Gateway::start();
    for slug in ["github-mcp", "stripe-mcp", "slack-mcp", "postgres-mcp", "openai-mcp", "my-api"] {
        gateway.ok(&format!("mcp add {slug} --url {}", mcp_server(&["go"])));
    }
    gateway.ok("secrets set my-api API_KEY sk-xxx");
    gateway.ok("secrets set github-mcp WEBHOOK_SECRET whsec_xxxxxxxx --header X-Webhook-Secret");
    play(
        &gateway,
        r#"
        secrets set github-mcp GITHUB_TOKEN "ghp_xxx"     # Only sent to github-mcp
        secrets set stripe-mcp STRIPE_KEY "sk_live_xxx"    # Only sent to stripe-mcp
        secrets set slack-mcp  SLACK_TOKEN "xoxb-xxx"      # Only sent to slack-mcp
        secrets set github-mcp GITHUB_TOKEN "ghp_xxxxxxxxxxxx"
        secrets set postgres-mcp DATABASE_URL "postgres://user:pass@host:5432/db"
        secrets set openai-mcp OPENAI_API_KEY "sk-proj-xxxxxxxxxxxx"
        secrets inject github-mcp GITHUB_TOKEN --header "Authorization"
        secrets inject my-api API_KEY --header "X-API-Key"
        secrets inject github-mcp GITHUB_TOKEN --bearer
        secrets list github-mcp
        | SECRET NAME  INJECTION  LAST UPDATED
        | GITHUB_TOKEN  Authorization  20…
        | WEBHOOK_SECRET  X-Webhook-Secret  20…
        secrets set github-mcp GITHUB_TOKEN "ghp_new_token_here"
        | ✓ Secret updated. Takes effect on next tool call.
        secrets delete github-mcp GITHUB_TOKEN
        secrets delete github-mcp --all
        "#,
    );
    for slug in ["github-mcp", "stripe-mcp"] {
        let list = gateway.ok(&format!("secrets list {slug}"));
        assert!(!list.contains("ghp_") && !list.contains("sk_live"), "{list}");
    }
}

#[test]
fn the_document_about_tokens() {
    let gateway = Gateway::start();
    gateway.ok("workspace create my-workspace");
    gateway.ok("workspace create work");
    play(
        &gateway,
        r#"
        workspace token create my-workspace --name "CI Bot" --expires-in 86400
        | mwt_…
        workspace token list my-workspace
        | CI Bot  20…  never  active, expires in …
        workspace token create work --name "Alice Cursor"
        workspace token create work --name "Bob Claude Desktop"
        workspace token create work --name "CI Pipeline"
        workspace token create work --name "Support Bot"
        "#,
    );
    let list = gateway.ok("workspace token list my-workspace");
    let id = list.lines().nth(1).and_then(|line| line.split_whitespace().last()).unwrap();
    play(
        &gateway,
        &format!(
            "workspace token revoke my-workspace {id}\nworkspace token list my-workspace\n| CI Bot  20…  never  revoked"
        ),
    );
}
