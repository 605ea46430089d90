//! Every command line that the documents print, in their order, with the columns and sentences they print. How they are
//! read is in [`documents`](super::documents).

use super::{
    documents::play,
    gateway::{Gateway, mcp_server},
};
use crate::support::{
    smtp::{Manner, Smtp},
    until,
};

/// All of them, with the test that plays each.
pub const TRANSCRIPTS: [(&str, &str); 9] = [
    ("the_team_document", TOKENS_OF_A_TEAM),
    ("the_team_document", INVITING),
    ("the_team_document", USE_AND_LEAVING),
    ("the_team_document", ACCESS_AND_AUDIT),
    ("the_document_about_skills", PUBLISHING),
    ("the_document_about_skills", INSTALLING),
    ("the_document_about_skills", A_SHARED_WORKSPACE),
    ("the_document_about_secrets", SECRETS),
    ("the_document_about_tokens", TOKENS),
];

const TOKENS_OF_A_TEAM: &str = r#"
    workspace token create engineering --name "Alice Chen"
    | mwt_…
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

const INVITING: &str = r#"
    team invite alice@example.com
    | ✓ Invitation sent. Alice will receive a join link via email.
    team invite bob@example.com
    | ✓ Invitation sent. Bob will receive a join link via email.
"#;

const USE_AND_LEAVING: &str = r#"
    team list
    | Members of @acme:
    | MEMBER  STATUS  JOINED
    | alice@example.com  active  20…
    | bob@example.com  pending  invited 20…
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
    team remove alice@example.com
    | ✓ alice@example.com was removed from @acme.…
    workspace token create engineering --name "Alice Chen (new laptop)"
    | mwt_…
    workspace token list engineering
    | Alice Chen  20…  just now  revoked
    mcp list --workspace engineering --tools-only
    | github__create_issue
"#;

const ACCESS_AND_AUDIT: &str = r#"
    workspace create eng-full
    mcp install internal-api --workspace eng-full
    mcp install database --workspace eng-full
    mcp install deploy-pipeline --workspace eng-full
    workspace create eng-readonly
    mcp install internal-api --workspace eng-readonly
    mcp install database --workspace eng-readonly
    mcp list --workspace eng-full --tools-only
    | internal_api__query
    | database__query
    | deploy_pipeline__query
    mcp list --workspace eng-readonly --tools-only
    | internal_api__query
    | database__query
    workspace create project-alpha
    workspace create project-beta
    mcp install alpha-api --workspace project-alpha
    mcp install beta-api --workspace project-beta
    workspace token create engineering --name "Contractor: Jane Doe"
    workspace token revoke engineering --name "Contractor: Jane Doe"
    | ✓ Token revoked. "Contractor: Jane Doe"'s gateway access is immediately disabled.
    workspace audit engineering --kind admin
    | DATE  USER  ACTION
    | … UTC  acme@acme  mcp_installed: github-mcp
    | … UTC  acme@acme  secret_updated: github-mcp/GITHUB_TOKEN
    | … UTC  acme@acme  token_revoked: Alice Chen
"#;

/// A mail server for a gateway, and what the gateway is told of it.
fn mail() -> (Smtp, Vec<(&'static str, String)>) {
    let smtp = Smtp::start(Manner::Accepting);
    let settings = vec![
        ("AEROSTACK_MAIL_HOST", "127.0.0.1".to_owned()),
        ("AEROSTACK_MAIL_PORT", smtp.address.port().to_string()),
        ("AEROSTACK_MAIL_TLS", "none".to_owned()),
        ("AEROSTACK_MAIL_FROM", "aerostack@example.com".to_owned()),
        ("AEROSTACK_PEOPLE_PASSWORD_MEMORY_KIB", "64".to_owned()),
        ("AEROSTACK_PEOPLE_PASSWORD_ROUNDS", "1".to_owned()),
    ];
    (smtp, settings)
}

/// Alice takes the link out of her mail and joins, in a profile of her own.
fn join(gateway: &Gateway, smtp: &Smtp) {
    let mail = smtp.mail();
    let link = mail.split_whitespace().find(|word| word.contains("/join#inv_")).expect("a link");
    let line = format!("team join {link} --username alice --password-stdin --profile alice");
    let said = gateway.run_with(&line, "violet tram sings");
    assert_eq!(said.exit, 0, "{said:?}");
    gateway.ok("team use acme --profile alice");
    gateway.ok("profile use local");
}

/// Waits until a call is in the statistics: they are written beside the calls.
fn counted(gateway: &Gateway, workspace: &str, tool: &str) {
    let line = format!("analytics --workspace {workspace} --period 1h");
    until("the calls are counted", || gateway.ok(&line).contains(tool));
}

#[test]
fn the_team_document() {
    let (smtp, settings) = mail();
    let gateway = Gateway::start_with(&settings);
    gateway.ok("workspace create engineering");
    gateway.ok(&format!("mcp add github-mcp --url {}", mcp_server(&["create_issue", "list_pull_requests"])));
    gateway.ok("mcp install github-mcp --workspace engineering");
    for slug in ["internal-api", "database", "deploy-pipeline", "alpha-api", "beta-api"] {
        gateway.ok(&format!("mcp add {slug} --url {}", mcp_server(&["query"])));
    }
    gateway.ok(&format!("admin plan acme pro --data-dir {}", gateway.path("data").display()));
    let outputs = play(&gateway, TOKENS_OF_A_TEAM);
    let alice = outputs[0].trim();
    for tool in ["github__create_issue", "github__list_pull_requests"] {
        assert_eq!(gateway.call("engineering", alice, tool).0, 200);
    }
    counted(&gateway, "engineering", "github__list_pull_requests");
    play(&gateway, INVITING);
    join(&gateway, &smtp);
    gateway.ok("secrets set github-mcp GITHUB_TOKEN ghp_xxxxxxxxxxxx");
    play(&gateway, USE_AND_LEAVING);
    assert_eq!(gateway.call("engineering", alice, "github__create_issue").0, 401);
    let report = std::fs::read_to_string(gateway.path("usage-report.csv")).unwrap();
    assert!(report.starts_with("user,tool,calls,errors,last_call\r\nAlice Chen,github__create_issue,1,0,"), "{report}");
    play(&gateway, ACCESS_AND_AUDIT);
    let sixth = gateway.run("workspace create one-too-many");
    assert_eq!(sixth.exit, 5, "{sixth:?}");
    assert!(sixth.err.starts_with("✗ 403: The Pro plan allows 5 workspaces; 5 are in use\n"), "{}", sixth.err);
}

const PUBLISHING: &str = r#"
    > internal-crm-skill
    skill publish --name "internal-crm-skill" --private team
    | ✓ Published @acme/internal-crm-skill 1.0.0 (team)
    > dev-tool
    skill publish --name "my-dev-tool" --private
    | ✓ Published @acme/my-dev-tool 1.0.0 (private)
    > .
    team invite alice@example.com
    | ✓ Invitation sent. Alice will receive a join link via email.
"#;

const INSTALLING: &str = r#"
    team list
    | Members of @acme:
    | alice@example.com  active  20…
    workspace create acme-team
    @alice
    workspace use acme-team
    skill list
    | SKILL  VERSION  VISIBILITY
    | @acme/internal-crm-skill  1.0.0  team
    skill install @acme/internal-crm-skill
    | ✓ Installed (team membership verified)
    @mallory
    ! 5
    skill install @acme/internal-crm-skill
    | ✗ 403: You are not a member of @acme
"#;

const A_SHARED_WORKSPACE: &str = r#"
    workspace token create acme-team --name "Alice Cursor"
    | mwt_…
    workspace token create acme-team --name "Bob VSCode"
    | mwt_…
    workspace audit acme-team
    | DATE  USER  SKILL  ACTION
    | … UTC  alice@example.com  @acme/internal-crm-skill  install
    workspace token list acme-team
    | TOKEN NAME  CREATED  LAST USED  STATUS
    | Alice Cursor  20…  never  active
    | Bob VSCode  20…  never  active
    workspace token revoke acme-team --name "Alice Cursor"
    | ✓ Token revoked. Alice's gateway access is immediately disabled.
"#;

#[test]
fn the_document_about_skills() {
    let (smtp, settings) = mail();
    let gateway = Gateway::start_with(&settings);
    for folder in ["internal-crm-skill", "dev-tool"] {
        std::fs::create_dir(gateway.path(folder)).unwrap();
        assert_eq!(gateway.run_as("local", folder, "skill init").exit, 0);
    }
    play(&gateway, PUBLISHING);
    join(&gateway, &smtp);
    gateway.person("mallory", "mallory", None);
    assert_eq!(gateway.run_as("mallory", ".", "workspace create mallory-team").exit, 0);
    assert_eq!(gateway.run_as("mallory", ".", "workspace use mallory-team").exit, 0);
    play(&gateway, INSTALLING);
    assert!(!gateway.run_as("alice", ".", "skill list").out.contains("my-dev-tool"), "it is nobody else's");
    play(&gateway, A_SHARED_WORKSPACE);
    let token = gateway.run_as("alice", ".", "token create --name \"Alice's laptop\" --workspace acme-team").out;
    assert_eq!(gateway.call("acme-team", token.trim(), "internal_crm__run").0, 200);
    counted(&gateway, "acme-team", "internal_crm__run");
    play(
        &gateway,
        "workspace audit acme-team\n| … UTC  alice@example.com  @acme/internal-crm-skill  install\n\
         | … UTC  alice@example.com  internal_crm__run  tool_call",
    );
}

const SECRETS: &str = r#"
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
"#;

#[test]
fn the_document_about_secrets() {
    let gateway = Gateway::start();
    for slug in ["github-mcp", "stripe-mcp", "slack-mcp", "postgres-mcp", "openai-mcp", "my-api"] {
        gateway.ok(&format!("mcp add {slug} --url {}", mcp_server(&["go"])));
    }
    gateway.ok("secrets set my-api API_KEY sk-xxx");
    gateway.ok("secrets set github-mcp WEBHOOK_SECRET whsec_xxxxxxxx --header X-Webhook-Secret");
    play(&gateway, SECRETS);
    for slug in ["github-mcp", "stripe-mcp"] {
        let list = gateway.ok(&format!("secrets list {slug}"));
        assert!(!list.contains("ghp_") && !list.contains("sk_live"), "{list}");
    }
}

const TOKENS: &str = r#"
    workspace token create my-workspace --name "CI Bot" --expires-in 86400
    | mwt_…
    workspace token create work --name "Alice Cursor"
    workspace token create work --name "Bob Claude Desktop"
    workspace token create work --name "CI Pipeline"
    workspace token create work --name "Support Bot"
    workspace token list my-workspace
    | CI Bot  20…  never  active, expires in …
    workspace token revoke my-workspace TOKEN_ID
    | ✓ Token revoked. CI's gateway access is immediately disabled.
    workspace token list my-workspace
    | CI Bot  20…  never  revoked
"#;

#[test]
fn the_document_about_tokens() {
    let gateway = Gateway::start();
    gateway.ok("workspace create my-workspace");
    gateway.ok("workspace create work");
    let (before, after) = TOKENS.split_at(TOKENS.find("workspace token revoke").unwrap());
    let outputs = play(&gateway, before);
    let id = outputs.last().unwrap().lines().nth(1).and_then(|line| line.split_whitespace().last()).unwrap();
    play(&gateway, &after.replace("TOKEN_ID", id));
}
