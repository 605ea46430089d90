//! The seeds' own examples, run against a canned admin API: what a person sees must be what the documents show.

use std::{
    cell::RefCell,
    collections::HashMap,
    io::{self, Write},
    rc::Rc,
    sync::{Arc, Mutex},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, http::StatusCode, web};
use chrono::TimeDelta;
use clap::Parser as _;
use serde_json::{Value, json};

use super::{Cli, dispatch, output::Terminal, profile::ProfileStore, session::Session};
use crate::{admin::dto::VERSION_HEADER, domain::clock};

type Canned = HashMap<String, (u16, Value)>;
type Seen = Arc<Mutex<Vec<(String, String)>>>;

#[derive(Clone, Default)]
struct Sink(Rc<RefCell<Vec<u8>>>);
impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
impl Sink {
    fn text(&self) -> String {
        anstream::adapter::strip_str(&String::from_utf8(self.0.borrow().clone()).unwrap()).to_string()
    }
}

/// What one command said, and what it asked of the server.
struct Said {
    out: String,
    err: String,
    exit: u8,
    asked: Vec<(String, String)>,
}

async fn answer(
    request: HttpRequest,
    body: web::Bytes,
    canned: web::Data<Canned>,
    seen: web::Data<Seen>,
) -> HttpResponse {
    assert_eq!(request.headers().get("authorization").unwrap(), "Bearer aak_test");
    let path = request.uri().to_string();
    let line = format!("{} {}", request.method(), path.strip_prefix("/api/v1/admin").unwrap_or(&path));
    seen.lock().unwrap().push((line.clone(), String::from_utf8(body.to_vec()).unwrap()));
    match canned.get(&line) {
        Some((status, body)) => {
            let mut answer = HttpResponse::build(StatusCode::from_u16(*status).unwrap());
            if let Some(version) = body["version"].as_str() {
                answer.insert_header((VERSION_HEADER, version));
            }
            answer.json(body)
        }
        None => HttpResponse::NotFound()
            .json(json!({"code": "not_found", "title": format!("nothing canned for {line}"), "status": 404})),
    }
}

async fn run(line: &[&str], canned: &[(&str, u16, Value)]) -> Said {
    run_in(&tempfile::tempdir().unwrap(), line, canned).await
}

async fn run_in(folder: &tempfile::TempDir, line: &[&str], canned: &[(&str, u16, Value)]) -> Said {
    let canned: Canned =
        canned.iter().map(|(line, status, body)| ((*line).to_owned(), (*status, body.clone()))).collect();
    let (canned, seen) = (web::Data::new(canned), web::Data::new(Seen::default()));
    let (for_app, seen_by_app) = (canned.clone(), seen.clone());
    let app =
        move || App::new().app_data(for_app.clone()).app_data(seen_by_app.clone()).default_service(web::to(answer));
    let server = HttpServer::new(app).workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", server.addrs().first().unwrap());
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);

    let store = ProfileStore::at(folder.path().join("c"));
    super::profile::save_login(&store, "local", &url, &secrecy::SecretString::from("aak_test"), false).unwrap();
    let cli = Cli::try_parse_from(std::iter::once("aerostack").chain(line.iter().copied())).unwrap();
    let (out, err) = (Sink::default(), Sink::default());
    let mut terminal = Terminal::writing_to(Box::new(out.clone()), Box::new(err.clone()), &cli.global);
    let mut session = Session::at(cli.global, store).unwrap();
    terminal.apply(&session);
    let exit = match dispatch(&mut session, &mut terminal, cli.command).await {
        Ok(()) => 0,
        Err(failure) => {
            terminal.failure(&failure);
            failure.exit_number()
        }
    };
    handle.stop(false).await;
    let asked = seen.lock().unwrap().clone();
    Said { out: out.text(), err: err.text(), exit, asked }
}

fn ago(seconds: i64) -> Value {
    json!(clock::now() - TimeDelta::seconds(seconds))
}

fn token(id: &str, name: &str, created: &str, used: Value, status: &str) -> Value {
    json!({"id": id, "name": name, "hint": "abcd", "status": status, "active": status == "active",
        "created_at": format!("{created}T09:00:00Z"), "expires_at": null, "last_used_at": used, "revoked_at": null,
        "requests_per_minute": null})
}

/// The words of each line: the seeds lost their column widths, so words are what can be compared.
fn words(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split("  ").map(str::trim).filter(|w| !w.is_empty()).collect()).collect()
}

#[actix_web::test]
async fn token_list_is_the_seeds_table() {
    let page = json!({"data": [
        token("tok_1", "Alice Chen", "2026-03-01", ago(130), "active"),
        token("tok_2", "Bob Singh", "2026-03-02", ago(3700), "active"),
        token("tok_3", "Carol Wu", "2026-03-10", ago(3 * 86_400 + 60), "revoked"),
        token("tok_4", "CI Pipeline", "2026-02-15", Value::Null, "expired"),
    ], "next_cursor": null, "seats": {"plan": "pro", "used": 4, "limit": 25}});
    let canned = [("GET /workspaces/engineering/tokens", 200, page)];
    let said = run(&["workspace", "token", "list", "engineering"], &canned).await;
    let lines = words(&said.out);
    assert_eq!(lines[0][..4], ["TOKEN NAME", "CREATED", "LAST USED", "STATUS"], "{}", said.out);
    assert_eq!(lines[1][..4], ["Alice Chen", "2026-03-01", "2 min ago", "active"]);
    assert_eq!(lines[2][..4], ["Bob Singh", "2026-03-02", "1 hr ago", "active"]);
    assert_eq!(lines[3][..4], ["Carol Wu", "2026-03-10", "3 days ago", "revoked"]);
    assert_eq!(lines[4][..4], ["CI Pipeline", "2026-02-15", "never", "inactive (expired)"]);
    assert_eq!(said.out.lines().last(), Some("4 of 25 tokens used (Pro plan)"));
    let said =
        run(&["workspace", "token", "list", "engineering", "-o", "csv", "--active", "--no-headers"], &canned).await;
    assert_eq!(said.out.lines().count(), 2, "{}", said.out);
}

#[actix_web::test]
async fn token_create_gives_the_bare_token_to_scripts() {
    let made = json!({"token": "mwt_x", "id": "tok_1", "name": "Alice Chen", "hint": "x", "created_at": ago(0), "expires_at": null,
        "url": "http://127.0.0.1:8787/ws/engineering", "mcp_json": {"mcpServers": {}}, "snippets": []});
    let canned = [("POST /workspaces/engineering/tokens", 201, made)];
    let create = ["workspace", "token", "create", "engineering", "--name", "Alice Chen"];
    let said = run(&[&create[..], &["--output", "token"]].concat(), &canned).await;
    assert_eq!((said.out.as_str(), said.err.as_str()), ("mwt_x\n", ""));
    assert_eq!(said.asked[0].1, r#"{"name":"Alice Chen"}"#);
    let said = run(&[&create[..], &["--expires-in", "24h"]].concat(), &canned).await;
    assert_eq!(said.out, "mwt_x\n");
    assert!(said.err.contains("Shown only this once"), "{}", said.err);
    assert_eq!(said.asked[0].1, r#"{"name":"Alice Chen","expires_in":86400}"#);
    let said = run(&["mcp", "list", "--output", "token"], &canned).await;
    assert_eq!(said.exit, 2);
}

#[actix_web::test]
async fn token_revoke_says_the_seeds_sentence() {
    let revoked = token("tok_1", "Alice Chen", "2026-03-01", Value::Null, "revoked");
    let page = json!({"data": [revoked], "next_cursor": null});
    let canned = [("POST /workspaces/engineering/tokens:revoke", 200, page)];
    let said = run(&["workspace", "token", "revoke", "engineering", "--name", "Alice Chen"], &canned).await;
    assert_eq!(said.out, "✓ Token revoked. Alice's gateway access is immediately disabled.\n");
    assert_eq!(said.asked[0].1, r#"{"name":"Alice Chen","all":false}"#);
}

#[actix_web::test]
async fn token_ids_may_be_shortened_unless_ambiguous() {
    let row = |id: &str| token(id, "Alice", "2026-03-01", Value::Null, "active");
    let (one, two) = ("tok_0190c0deaaaaaaaaaaaaaaaaaaaaaaaa", "tok_0190c0debbbbbbbbbbbbbbbbbbbbbbbb");
    let page =
        json!({"data": [row(one), row(two)], "next_cursor": null, "seats": {"plan": "pro", "used": 2, "limit": 25}});
    let delete = format!("DELETE /workspaces/w/tokens/{one}");
    let canned = [("GET /workspaces/w/tokens", 200, page), (delete.as_str(), 200, row(one))];
    let said = run(&["workspace", "token", "revoke", "w", "tok_0190c0dea"], &canned).await;
    assert_eq!(said.exit, 0, "{}", said.err);
    let said = run(&["workspace", "token", "revoke", "w", "0190c0de"], &canned).await;
    assert_eq!(said.exit, 1);
    assert!(said.err.contains(one) && said.err.contains(two), "{}", said.err);
    let said = run(&["workspace", "token", "revoke", "w", "tok_ffff"], &canned).await;
    assert_eq!(said.exit, 3);
}

#[actix_web::test]
async fn audit_prints_both_of_the_seeds_tables() {
    let row = |at: &str, actor: &str, kind: &str, action: &str, target: &str, skill: Option<&str>| json!({"at": at, "actor": actor, "kind": kind, "action": action, "target": target, "skill": skill, "request_id": null});
    let administrative = json!({"data": [
        row("2026-03-15T14:33:00Z", "alice@example.com", "admin", "token_created", "Bob Singh", None),
        row("2026-03-15T14:32:00Z", "alice@example.com", "admin", "token_created", "Alice Chen", None),
    ], "next_cursor": null});
    let with_skills = json!({"data": [
        row("2026-03-07T10:12:00Z", "alice@acme", "install", "install", "@acme/crm-skill", Some("@acme/crm-skill")),
        row("2026-03-07T10:14:00Z", "alice@acme", "call", "tool_call", "", Some("github__create_issue")),
    ], "next_cursor": null});
    let canned = [
        ("GET /workspaces/engineering/audit?limit=50", 200, administrative),
        ("GET /workspaces/acme-team/audit?limit=50", 200, with_skills),
    ];
    let said = run(&["workspace", "audit", "engineering"], &canned).await;
    assert_eq!(words(&said.out)[0], ["DATE", "USER", "ACTION"]);
    assert_eq!(words(&said.out)[1], ["2026-03-15 14:32 UTC", "alice@example.com", "token_created: Alice Chen"]);
    let said = run(&["workspace", "audit", "acme-team"], &canned).await;
    assert_eq!(words(&said.out)[0], ["DATE", "USER", "SKILL", "ACTION"]);
    assert_eq!(words(&said.out)[1], ["2026-03-07 10:12 UTC", "alice@acme", "@acme/crm-skill", "install"]);
    assert_eq!(words(&said.out)[2], ["2026-03-07 10:14 UTC", "alice@acme", "github__create_issue", "tool_call"]);
}

#[actix_web::test]
async fn analytics_are_the_seeds_table_and_csv() {
    let usage = json!({"data": [
        {"user": "Alice Chen", "tool": "github__create_issue", "server": "github-mcp", "calls": 42, "errors": 0, "last_call": ago(130)},
        {"user": "Carol Wu", "tool": "deploy__trigger_deploy", "server": "deploy", "calls": 12, "errors": 1, "last_call": "2026-03-01T00:00:00Z"},
    ], "next_cursor": null, "from": ago(604_800), "to": ago(0)});
    let canned = [("GET /workspaces/engineering/analytics?period=7d", 200, usage)];
    let said = run(&["analytics", "--workspace", "engineering", "--period", "7d"], &canned).await;
    assert_eq!(words(&said.out)[0], ["USER", "TOOL", "CALLS", "ERRORS", "LAST CALL"]);
    assert_eq!(words(&said.out)[1], ["Alice Chen", "github__create_issue", "42", "0", "2 min ago"]);
    let said = run(&["analytics", "--workspace", "engineering", "--format", "csv"], &canned).await;
    assert!(
        said.out.starts_with("user,tool,calls,errors,last_call\r\nAlice Chen,github__create_issue,42,0,"),
        "{}",
        said.out
    );
    assert!(said.out.ends_with("Carol Wu,deploy__trigger_deploy,12,1,2026-03-01T00:00:00Z\r\n"), "{}", said.out);
}

#[actix_web::test]
async fn tools_only_prints_names_one_a_line() {
    let tool = |name: &str| json!({"name": name, "upstream_name": "x", "server": "github-mcp", "description": null});
    let page = json!({"data": [tool("github__create_issue"), tool("evil\nname")], "next_cursor": null});
    let canned = [("GET /workspaces/engineering/tools", 200, page)];
    let said = run(&["mcp", "list", "--workspace", "engineering", "--tools-only"], &canned).await;
    assert_eq!(said.out, "github__create_issue\nevil\\nname\n");
}

#[actix_web::test]
async fn secrets_are_set_listed_and_never_shown() {
    let written = json!({"server": "github-mcp", "name": "GITHUB_TOKEN", "workspace": null, "created": false});
    let secret = |name: &str, rule: Value, shown: &str| {
        json!({"name": name, "injection": rule, "injected_as": shown, "state": "active", "workspace": null,
            "updated_at": "2026-03-15T00:00:00Z", "updated_by": "alice@acme"})
    };
    let bearer = secret("GITHUB_TOKEN", json!({"mode": "bearer"}), "Authorization");
    let header = secret("WEBHOOK_SECRET", json!({"mode": "header", "header": "X-Webhook-Secret"}), "X-Webhook-Secret");
    let canned = [
        ("POST /mcp-servers/github-mcp/secrets", 200, written),
        ("PATCH /mcp-servers/github-mcp/secrets/GITHUB_TOKEN", 200, bearer.clone()),
        ("GET /mcp-servers/github-mcp/secrets", 200, json!({"data": [bearer, header], "next_cursor": null})),
    ];
    let said = run(&["secrets", "set", "github-mcp", "GITHUB_TOKEN", "ghp_CANARY"], &canned).await;
    assert_eq!(said.out, "✓ Secret updated. Takes effect on next tool call.\n");
    assert_eq!(said.asked[0].1, r#"{"name":"GITHUB_TOKEN","value":"ghp_CANARY"}"#);
    assert!(!said.err.contains("CANARY"));
    let said = run(&["secrets", "inject", "github-mcp", "GITHUB_TOKEN", "--bearer"], &canned).await;
    assert_eq!(said.asked[0].1, r#"{"mode":"bearer"}"#);
    assert_eq!(said.out, "✓ GITHUB_TOKEN is sent to github-mcp as Authorization: Bearer ••••\n");
    let said = run(&["secrets", "list", "github-mcp"], &canned).await;
    assert_eq!(words(&said.out)[0], ["SECRET NAME", "INJECTION", "LAST UPDATED"]);
    assert_eq!(words(&said.out)[1], ["GITHUB_TOKEN", "Authorization", "2026-03-15"]);
    assert_eq!(words(&said.out)[2], ["WEBHOOK_SECRET", "X-Webhook-Secret", "2026-03-15"]);
}

#[actix_web::test]
async fn refusals_are_printed_in_the_seeds_form() {
    let problem = json!({"type": "/docs/errors#forbidden", "title": "You are not a member of @acme", "status": 403, "code": "forbidden",
        "hint": "ask an owner", "request_id": "r1"});
    let canned = [("POST /workspaces/w/servers", 403, problem)];
    let said = run(&["mcp", "install", "@acme/x", "--workspace", "w"], &canned).await;
    assert_eq!(said.err, "✗ 403: You are not a member of @acme\nhint: ask an owner\nrequest id: r1\n");
    assert_eq!((said.exit, said.out.as_str()), (5, ""));
    let said = run(&["mcp", "install", "@acme/x", "--workspace", "w", "-o", "json"], &canned).await;
    assert_eq!(serde_json::from_str::<Value>(&said.err).unwrap()["title"], "You are not a member of @acme");
}

#[actix_web::test]
async fn a_chosen_workspace_is_remembered() {
    let workspace = json!({"id": "ws_1", "slug": "acme-team", "name": "acme-team", "url": "http://127.0.0.1:8787/ws/acme-team",
        "created_at": ago(0), "servers": 0, "active_tokens": 0});
    let canned = [("GET /workspaces/acme-team", 200, workspace)];
    let said = run(&["workspace", "use", "acme-team"], &canned).await;
    assert_eq!((said.exit, said.out.as_str()), (0, "✓ Now using workspace acme-team.\n"), "{}", said.err);
    let said = run(&["workspace", "delete", "acme-team"], &canned).await;
    assert_eq!((said.exit, said.asked.len()), (2, 1), "without a terminal deleting needs --yes: {}", said.err);
}

#[actix_web::test]
async fn an_editors_configuration_is_taken_over_and_its_credentials_stored() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mcp.json");
    let text = json!({"mcpServers": {
        "GitHub": {"url": "https://api.githubcopilot.com/mcp/", "headers": {"Authorization": "Bearer ghp_CANARY"}},
        "local": {"command": "some-server", "args": ["${HOME}"]},
        "twice": {"url": "https://h.example/mcp"}
    }});
    std::fs::write(&file, text.to_string()).unwrap();
    let server = json!({"id": "srv_1", "slug": "github", "title": "GitHub", "kind": "http", "url": "https://api.githubcopilot.com/mcp/",
        "protocol": "auto", "timeout_seconds": null, "total_seconds": null, "max_in_flight": null, "allow_http": false,
        "created_at": ago(0), "updated_at": ago(0), "workspaces": []});
    let written = json!({"server": "github", "name": "x", "workspace": null, "created": true});
    let canned = [("POST /mcp-servers", 201, server), ("POST /mcp-servers/github/secrets", 201, written)];
    let path = file.display().to_string();
    let said = run(&["mcp", "import", &path, "--dry-run"], &canned).await;
    assert_eq!((said.exit, said.asked.len()), (0, 0), "{}", said.err);
    assert!(said.out.starts_with("✓ Would import 2 servers and 1 secret."), "{}", said.out);
    let said = run(&["mcp", "import", &path], &canned).await;
    assert_eq!(said.exit, 0, "{}", said.err);
    assert!(said.err.contains("! local "), "{}", said.err);
    assert!(
        said.asked.iter().any(|(_, body)| body.contains("ghp_CANARY") && body.contains("bearer")),
        "{:?}",
        said.asked
    );
    assert!(!said.out.contains("CANARY") && !said.err.contains("CANARY"));
}

fn somebody(version: &str) -> Value {
    json!({"account": "acc_1", "username": "acme", "namespace": "acme", "label": "acme@acme", "role": "owner",
        "plan": "pro", "api_key": "key_1", "namespaces": [], "public_url": "http://127.0.0.1:8787", "version": version})
}

#[actix_web::test]
async fn another_version_of_the_gateway_is_told_once_a_day() {
    let folder = tempfile::tempdir().unwrap();
    let other = [("GET /whoami", 200, somebody("99.1.0"))];
    let first = run_in(&folder, &["whoami"], &other).await;
    assert!(
        first.err.starts_with("This is aerostack ") && first.err.contains("the gateway is 99.1.0"),
        "{}",
        first.err
    );
    assert_eq!(run_in(&folder, &["whoami"], &other).await.err, "");
    let own = [("GET /whoami", 200, somebody(env!("CARGO_PKG_VERSION")))];
    assert_eq!(run(&["whoami"], &own).await.err, "");
}

#[actix_web::test]
async fn ping_says_who_answers_and_what_does_not_fit() {
    let own = [("GET /whoami", 200, somebody(env!("CARGO_PKG_VERSION")))];
    let said = run(&["ping"], &own).await;
    assert!(
        said.out.starts_with("✓ http://127.0.0.1:") && said.out.contains("as acme@acme (owner in @acme)"),
        "{}",
        said.out
    );
    assert_eq!((said.exit, said.err.as_str()), (0, ""));
    let said = run(&["ping", "-o", "json"], &[("GET /whoami", 200, somebody("99.1.0"))]).await;
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&report["version"], &report["versions_fit"]), (&json!("99.1.0"), &json!(false)), "{report}");
    assert!(report["clock_skew_seconds"].as_i64().unwrap().abs() < 60, "{report}");
}
