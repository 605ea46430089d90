//! The admin API over its real actors and a real database, asked as a client would.

mod figures;
mod heads;
mod own_calls;
mod refusals;
mod registry;
mod rights;
mod signing_in;
mod unlike_itself;

use std::sync::Arc;

use actix_web::{
    App,
    http::{Method, header},
    test::{TestRequest, call_service, init_service, read_body},
    web,
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::{Admin, BASE, ROUTES, configure};
use crate::{
    actors::{Actors, key_source::ConfiguredKeys, token_authority::IssueApiKey},
    config::{Config, DatabaseConfig},
    domain::{
        clock,
        ids::AccountId,
        role::{Principal, Role},
    },
    store::{
        accounts::{self, AccountRecord},
        testing,
    },
    upstream::NetworkPolicy,
};

/// A gateway's administrative half, with an owner and her key.
pub(super) struct Gateway {
    pub(super) actors: Arc<Actors>,
    admin: web::Data<Admin>,
    owner: AccountId,
    key: String,
    _folder: tempfile::TempDir,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: u16,
    headers: header::HeaderMap,
    pub(super) body: Value,
}

pub(super) async fn account(actors: &Actors, username: &str, plan: &str) -> AccountId {
    let record = AccountRecord {
        id: AccountId::generate(),
        username: username.into(),
        email: None,
        plan: plan.into(),
        created_at: clock::now(),
    };
    let id = record.id;
    actors.store.upkeep(move |tx| Box::pin(async move { accounts::create(tx, &record).await })).await.unwrap();
    id
}

pub(super) async fn key(actors: &Actors, account: AccountId, role: Option<Role>) -> String {
    let wanted = IssueApiKey {
        account,
        namespace: account,
        bound: false,
        name: format!("key of {account} {role:?}"),
        expires_in_seconds: None,
        max_role: role,
        by: Principal::system(account),
    };
    actors.tokens.issue_api_key(wanted).await.unwrap().raw.expose_secret().to_owned()
}

impl Gateway {
    async fn start() -> Self {
        Gateway::with(Config::default(), "enterprise").await
    }
    pub(super) async fn with(config: Config, plan: &str) -> Self {
        Gateway::at("http://127.0.0.1:8787", config, plan).await
    }
    async fn at(url: &str, mut config: Config, plan: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        config.server.data_dir = folder.path().to_owned();
        config.database = DatabaseConfig { url: config.database.url, ..testing::patient() };
        config.actors.ask_timeout_ms = 60_000;
        // Installing a well-known server must not make a test ask that server.
        config.upstream.list_wait_seconds = 0;
        let policy = Arc::new(NetworkPolicy::new(true, config.upstream.allow_networks.clone()));
        let actors =
            Actors::start(Arc::new(config), url.parse().unwrap(), ConfiguredKeys::default(), policy).await.unwrap();
        let actors = Arc::new(actors);
        let owner = account(&actors, "acme", plan).await;
        actors.audit.set_owner(owner);
        let key = key(&actors, owner, None).await;
        let admin = web::Data::new(Admin::new(actors.clone(), |_| Ok(())));
        Gateway { actors, admin, owner, key, _folder: folder }
    }

    async fn send(&self, request: TestRequest) -> Got {
        let service = init_service(App::new().configure(configure(self.admin.clone()))).await;
        let answer = call_service(&service, request.to_request()).await;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let bytes = read_body(answer).await;
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("not JSON: {bytes:?}"));
        Got { status, headers, body }
    }
    pub(super) async fn ask_as(&self, key: &str, method: Method, path: &str, body: Option<Value>) -> Got {
        let request = TestRequest::with_uri(&format!("{BASE}{path}")).method(method);
        let request = request.insert_header((header::AUTHORIZATION, format!("Bearer {key}")));
        self.send(match body {
            Some(body) => request.set_json(body),
            None => request,
        })
        .await
    }
    pub(super) async fn get(&self, path: &str) -> Got {
        self.ask_as(&self.key, Method::GET, path, None).await
    }
    pub(super) async fn post(&self, path: &str, body: Value) -> Got {
        self.ask_as(&self.key, Method::POST, path, Some(body)).await
    }
    pub(super) async fn patch(&self, path: &str, body: Value) -> Got {
        self.ask_as(&self.key, Method::PATCH, path, Some(body)).await
    }
    pub(super) async fn delete(&self, path: &str) -> Got {
        self.ask_as(&self.key, Method::DELETE, path, None).await
    }
    pub(super) async fn workspace(&self, slug: &str) {
        assert_eq!(self.post("/workspaces", json!({"slug": slug})).await.status, 201);
    }
    async fn server(&self, slug: &str) {
        self.defined(slug, "http://127.0.0.1:9/mcp").await;
    }
    pub(super) async fn defined(&self, slug: &str, url: &str) {
        let made = self.post("/mcp-servers", json!({"slug": slug, "url": url})).await;
        assert_eq!(made.status, 201, "{made:?}");
    }
    /// The owner, as handlers see her.
    pub(super) fn principal(&self) -> Principal {
        Principal { username: "acme".into(), label: "acme".into(), ..Principal::system(self.owner) }
    }
}

fn filled(path: &str) -> String {
    path.replace("{slug}", "engineering")
        .replace("{id}", "tok_x")
        .replace("{server}", "my-api")
        .replace("{name:.+}", "x")
        .replace("{name}", "X")
        .replace("{member}", "somebody")
        .replace("{code}", "inv_x")
        .replace("/explain", "/explain?token=tok_x&tool=x")
}

#[actix_web::test]
async fn without_a_valid_key_every_route_answers_the_same_401() {
    let gateway = Gateway::start().await;
    gateway.workspace("engineering").await;
    let made = gateway.post("/workspaces/engineering/tokens", json!({"name": "Alice"})).await;
    let workspace_token = made.body["token"].as_str().unwrap().to_owned();
    let mut bodies = Vec::new();
    for (path, method) in ROUTES.iter().chain(&[("/nothing-here", "get")]) {
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        if super::auth::is_open(&method, &filled(path)) {
            continue;
        }
        for key in ["", "aak_garbage", &workspace_token, "aak_0123456789ABCDEFGHIJKLMNOPQRST1cCDCz"] {
            let got = gateway.ask_as(key, method.clone(), &filled(path), None).await;
            assert_eq!(got.status, 401, "{method} {path} with {key:?}: {got:?}");
            assert_eq!(got.headers.get(header::WWW_AUTHENTICATE).unwrap(), "Bearer realm=\"aerostack\"");
            bodies.push((got.body["title"].clone(), got.body["hint"].clone(), got.body["code"].clone()));
        }
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "one answer for all");
}

#[actix_web::test]
async fn workspaces_are_made_listed_and_deleted() {
    let gateway = Gateway::start().await;
    let made = gateway.post("/workspaces", json!({"slug": "engineering", "name": "Engineering"})).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.body["url"], "http://127.0.0.1:8787/ws/engineering");
    assert_eq!(made.headers.get(header::LOCATION).unwrap(), "/api/v1/admin/workspaces/engineering");
    assert_eq!(gateway.post("/workspaces", json!({"slug": "engineering"})).await.status, 409);
    for reserved in ["admin", "api", "health", "con", "..", "A", "a_b", ""] {
        assert_eq!(gateway.post("/workspaces", json!({"slug": reserved})).await.status, 422, "{reserved}");
    }
    gateway.workspace("alpha").await;
    let page = gateway.get("/workspaces?limit=1").await;
    assert_eq!(page.body["data"][0]["slug"], "alpha");
    let cursor = page.body["next_cursor"].as_str().unwrap();
    let page = gateway.get(&format!("/workspaces?limit=1&cursor={cursor}")).await;
    assert_eq!((&page.body["data"][0]["slug"], &page.body["next_cursor"]), (&json!("engineering"), &Value::Null));
    let missing = gateway.get("/workspaces/enginering").await;
    assert_eq!(
        (missing.status, missing.body["title"].as_str().unwrap()),
        (404, "No workspace \"enginering\". Did you mean engineering?")
    );
    assert_eq!(gateway.delete("/workspaces/engineering").await.status, 200);
    assert_eq!(gateway.get("/workspaces/engineering").await.status, 404);
}

#[actix_web::test]
async fn a_token_is_shown_once_listed_and_revoked() {
    let gateway = Gateway::with(Config::default(), "pro").await;
    gateway.workspace("engineering").await;
    let path = "/workspaces/engineering/tokens";
    let made = gateway.post(path, json!({"name": "Alice Chen", "expires_in": 3600})).await;
    assert_eq!(made.status, 201, "{made:?}");
    let raw = made.body["token"].as_str().unwrap();
    assert!(raw.starts_with("mwt_") && raw.len() == 40, "{raw}");
    let entry = &made.body["mcp_json"]["mcpServers"]["engineering"];
    assert_eq!(entry["url"], "http://127.0.0.1:8787/ws/engineering");
    assert_eq!(entry["headers"]["Authorization"], format!("Bearer {raw}"));
    assert!(made.body["snippets"].as_array().unwrap().iter().any(|snippet| snippet["client"] == "cursor"));
    assert!(made.body["expires_at"].is_string());
    assert_eq!(made.headers.get(header::CACHE_CONTROL).unwrap(), "no-store");
    assert_eq!(gateway.post(path, json!({"name": "Alice Chen"})).await.status, 409);

    let id = made.body["id"].as_str().unwrap();
    let list = gateway.get(path).await;
    assert!(!list.body.to_string().contains(raw), "a list never holds a token");
    assert_eq!(list.body["seats"], json!({"plan": "pro", "used": 1, "limit": 25}));
    assert_eq!((&list.body["data"][0]["status"], &list.body["data"][0]["active"]), (&json!("active"), &json!(true)));
    let typo = gateway.post(&format!("{path}:revoke"), json!({"name": "Alice Chan"})).await;
    assert_eq!(
        (typo.status, typo.body["title"].as_str().unwrap()),
        (404, "No active token \"Alice Chan\". Did you mean Alice Chen?")
    );
    let revoked = gateway.post(&format!("{path}:revoke"), json!({"name": "Alice Chen"})).await;
    assert_eq!((revoked.status, &revoked.body["data"][0]["status"]), (200, &json!("revoked")), "{revoked:?}");
    let again = gateway.delete(&format!("{path}/{id}")).await;
    assert_eq!((again.status, &again.body["status"]), (200, &json!("revoked")));
    assert_eq!(gateway.get(path).await.body["seats"]["used"], 0);
    assert_eq!(gateway.delete(&format!("{path}/tok_{}", "0".repeat(32))).await.status, 404);
}

#[actix_web::test]
async fn plans_limit_tokens_and_workspaces() {
    let gateway = Gateway::with(Config::default(), "free").await;
    gateway.workspace("one").await;
    let second = gateway.post("/workspaces", json!({"slug": "two"})).await;
    assert_eq!(
        (second.status, &second.body["code"], &second.body["type"]),
        (403, &json!("plan_limit"), &json!("/docs/errors#plan-limit"))
    );
    for name in ["a", "b", "c"] {
        assert_eq!(gateway.post("/workspaces/one/tokens", json!({"name": name})).await.status, 201);
    }
    let fourth = gateway.post("/workspaces/one/tokens", json!({"name": "d"})).await;
    assert_eq!((fourth.status, &fourth.body["data"]["limit"]), (403, &json!(3)), "{fourth:?}");
}

#[actix_web::test]
async fn server_urls_are_judged_before_they_are_stored() {
    let gateway = Gateway::start().await;
    for url in [
        "https://u:CANARY@h.example/",
        "https://h.example/?api_key=CANARY",
        "file:///etc/passwd",
        "http://169.254.169.254/latest",
        "http://10.0.0.1/",
        "not a url",
    ] {
        let got = gateway.post("/mcp-servers", json!({"slug": "my-api", "url": url})).await;
        assert_eq!(got.status, 422, "{url}: {got:?}");
        assert!(!got.body.to_string().contains("CANARY"), "{got:?}");
    }
    let made = gateway
        .post(
            "/mcp-servers",
            json!({"slug": "my-api", "url": "https://h.example/mcp?team=blue", "timeout_seconds": 60}),
        )
        .await;
    assert_eq!((made.status, &made.body["url"]), (201, &json!("https://h.example/mcp?team=***")), "{made:?}");
    assert_eq!(gateway.post("/mcp-servers", json!({"slug": "my-api", "url": "https://h.example/"})).await.status, 409);
    let long =
        gateway.post("/mcp-servers", json!({"slug": "slow", "url": "https://h.example/", "timeout_seconds": 0})).await;
    assert_eq!(long.status, 422);
    let failed = gateway.post("/mcp-servers/my-api/test", json!({})).await;
    assert_eq!((failed.status, &failed.body["ok"]), (200, &json!(false)), "{failed:?}");
}

#[actix_web::test]
async fn servers_are_installed_by_their_slug_alone() {
    let gateway = Gateway::start().await;
    gateway.workspace("engineering").await;
    let path = "/workspaces/engineering/servers";
    let made = gateway.post(path, json!({"server": "github-mcp"})).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!((&made.body["defined"], &made.body["prefix"]), (&json!(true), &json!("github")));
    assert_eq!(made.body["missing_secrets"], json!(["GITHUB_TOKEN"]));
    assert_eq!(gateway.post(path, json!({"server": "@acme/github-mcp"})).await.status, 409);
    let unknown = gateway.post(path, json!({"server": "githb-mcp"})).await;
    assert_eq!(
        (unknown.status, unknown.body["title"].as_str().unwrap()),
        (404, "No server \"githb-mcp\". Did you mean github-mcp?")
    );
    assert_eq!(unknown.body["hint"], "aerostack mcp add githb-mcp --url https://…");
    let foreign = gateway.post(path, json!({"server": "@other/x"})).await;
    assert_eq!((foreign.status, foreign.body["title"].as_str().unwrap()), (403, "You are not a member of @other"));

    let kept = gateway.delete("/mcp-servers/github-mcp").await;
    assert_eq!(
        (kept.status, kept.body["hint"].as_str().unwrap()),
        (409, "aerostack mcp uninstall github-mcp --workspace engineering")
    );
    assert_eq!(gateway.get("/mcp-servers").await.body["data"][0]["workspaces"], json!(["engineering"]));
    assert_eq!(gateway.get(path).await.body["data"][0]["server"], "github-mcp");
    assert_eq!(gateway.delete(&format!("{path}/github-mcp")).await.status, 200);
    assert_eq!(gateway.delete(&format!("{path}/github-mcp")).await.status, 404);
    assert_eq!(gateway.delete("/mcp-servers/github-mcp").await.status, 200);
    let known = gateway.get("/known-servers").await;
    assert!(known.body["data"].as_array().unwrap().len() >= 20);
}

#[actix_web::test]
async fn secrets_go_in_and_never_come_out() {
    let gateway = Gateway::start().await;
    gateway.workspace("engineering").await;
    gateway.post("/workspaces/engineering/servers", json!({"server": "github-mcp"})).await;
    let path = "/mcp-servers/github-mcp/secrets";
    let value = "ghp_CANARY_value";
    let mut answers = vec![gateway.post(path, json!({"name": "GITHUB_TOKEN", "value": value})).await];
    assert_eq!((answers[0].status, &answers[0].body["created"]), (201, &json!(true)));
    answers.push(gateway.post(path, json!({"name": "GITHUB_TOKEN", "value": value})).await);
    assert_eq!((answers[1].status, &answers[1].body["created"]), (200, &json!(false)));
    answers.push(gateway.get(path).await);
    assert_eq!(answers[2].body["data"][0]["injection"], json!({"mode": "bearer"}), "as the known server expects it");
    assert_eq!(answers[2].body["data"][0]["injected_as"], "Authorization");
    let patch = |rule: Value| {
        gateway.ask_as(&gateway.key, Method::PATCH, "/mcp-servers/github-mcp/secrets/GITHUB_TOKEN", Some(rule))
    };
    answers.push(patch(json!({"mode": "header", "header": "X-API-Key"})).await);
    assert_eq!((answers[3].status, &answers[3].body["injected_as"]), (200, &json!("X-API-Key")), "{:?}", answers[3]);
    assert_eq!(patch(json!({"mode": "header", "header": "Content-Length"})).await.status, 422);
    assert_eq!(patch(json!({"mode": "query"})).await.status, 400);
    answers.push(
        gateway.post(&format!("{path}?workspace=engineering"), json!({"name": "GITHUB_TOKEN", "value": value})).await,
    );
    assert_eq!((answers[4].status, &answers[4].body["workspace"]), (201, &json!("engineering")));
    answers.push(gateway.post(path, json!({"name": "GITHUB_TOKEN", "value": "CANARY\r\nX-Evil: 1"})).await);
    assert_eq!(answers[5].status, 422);
    answers.push(gateway.get("/workspaces/engineering/audit").await);
    let written: Vec<&str> =
        answers[6].body["data"].as_array().unwrap().iter().map(|row| row["target"].as_str().unwrap()).collect();
    assert!(written.contains(&"github-mcp/GITHUB_TOKEN"), "{written:?}");
    answers.push(gateway.delete(&format!("{path}/GITHUB_TOKN")).await);
    assert_eq!(answers[7].status, 404);
    answers.push(gateway.delete(&format!("{path}/GITHUB_TOKEN")).await);
    answers.push(gateway.delete(path).await);
    assert_eq!((answers[8].status, answers[9].status), (200, 200));
    for answer in &answers {
        assert!(!answer.body.to_string().contains("CANARY"), "{answer:?}");
    }
    let clear = json!({"slug": "clear", "url": "http://h.example/mcp"});
    assert_eq!(gateway.post("/mcp-servers", clear).await.status, 201);
    assert_eq!(
        gateway.post("/mcp-servers/clear/secrets", json!({"name": "KEY", "value": "v"})).await.status,
        422,
        "in clear"
    );
}

#[actix_web::test]
async fn requests_are_taken_strictly() {
    let gateway = Gateway::start().await;
    let typo = gateway.get("/workspaces?limt=3").await;
    assert_eq!((typo.status, typo.body["title"].as_str().unwrap()), (400, "Unknown query parameter \"limt\""));
    assert_eq!(gateway.get("/whoami?x=1").await.status, 400);
    let member = gateway.post("/workspaces", json!({"slug": "a", "nmae": "x"})).await;
    assert_eq!((member.status, &member.body["errors"][0]["pointer"]), (400, &json!("/nmae")));
    let wrong = gateway.ask_as(&gateway.key, Method::PUT, "/workspaces", None).await;
    assert_eq!(
        (wrong.status, wrong.headers.get(header::ALLOW).unwrap().to_str().unwrap()),
        (405, "GET, POST, HEAD, OPTIONS")
    );
    assert_eq!(wrong.headers.get(header::CONTENT_TYPE).unwrap(), "application/problem+json");
    let page = gateway.get("/nothing-here").await;
    assert_eq!((page.status, &page.body["code"]), (404, &json!("not_found")));
    let form = TestRequest::post()
        .uri(&format!("{BASE}/workspaces"))
        .insert_header((header::AUTHORIZATION, format!("Bearer {}", gateway.key)));
    let form =
        gateway.send(form.insert_header((header::CONTENT_TYPE, "text/plain")).set_payload("{\"slug\":\"a\"}")).await;
    assert_eq!(form.status, 415);
    let named = TestRequest::get().uri(&format!("{BASE}/whoami")).insert_header(("X-Request-Id", "my-id-1"));
    let named = gateway.send(named).await;
    assert_eq!(
        (named.status, &named.body["request_id"], &named.body["instance"]),
        (401, &json!("my-id-1"), &json!("/api/v1/admin/whoami"))
    );
    assert_eq!(named.headers.get("x-request-id").unwrap(), "my-id-1");
    for path in
        ["/workspaces/..%2fadmin", "/workspaces/a%2Fb", "/workspaces/%00", "/workspaces/%0d%0a", "/workspaces/%ff"]
    {
        let got = gateway.get(path).await;
        assert!(matches!(got.status, 404 | 400), "{path}: {got:?}");
    }
}

#[actix_web::test]
async fn a_key_has_its_requests_per_minute() {
    let mut config = Config::default();
    config.limits.admin_requests_per_minute = 3;
    let gateway = Gateway::with(config, "enterprise").await;
    for left in ["2", "1", "0"] {
        let got = gateway.get("/whoami").await;
        assert!(got.headers.get("ratelimit").unwrap().to_str().unwrap().contains(&format!("r={left};")), "{got:?}");
    }
    let refused = gateway.get("/whoami").await;
    assert_eq!((refused.status, refused.body["title"].as_str().unwrap()), (429, "Rate limit exceeded"));
    assert!(refused.headers.get(header::RETRY_AFTER).is_some());
}

#[actix_web::test]
async fn actors_are_shown_and_restarted() {
    let gateway = Gateway::start().await;
    let health = gateway.get("/actors").await;
    assert_eq!(health.body["status"], "pass", "{health:?}");
    let one = gateway.get("/actors/TokenAuthority").await;
    assert_eq!((one.status, &one.body["state"]), (200, &json!("running")));
    assert_eq!(gateway.post("/actors/TokenAuthority/restart", json!({})).await.status, 200);
    assert_eq!(gateway.get("/actors/TokenAuthorty").await.status, 404);
}

#[actix_web::test]
async fn the_openapi_document_is_served_to_everybody() {
    let gateway = Gateway::start().await;
    let got = gateway.send(TestRequest::get().uri("/openapi.json")).await;
    assert_eq!(got.status, 200);
    assert!(got.body["paths"]["/api/v1/admin/mcp-servers/{slug}/secrets"]["post"].is_object());
}

#[actix_web::test]
async fn usage_is_counted_per_person_and_tool() {
    let gateway = Gateway::start().await;
    gateway.workspace("engineering").await;
    gateway.post("/workspaces/engineering/tokens", json!({"name": "Alice Chen"})).await;
    let usage = gateway.get("/workspaces/engineering/analytics?period=30d&user=Alice%20Chen").await;
    assert_eq!((usage.status, &usage.body["data"]), (200, &json!([])), "{usage:?}");
    assert_eq!(gateway.get("/workspaces/engineering/analytics?user=Alice%20Chan").await.status, 404);
    assert_eq!(gateway.get("/workspaces/engineering/analytics?server=nope").await.status, 404);
    assert_eq!(gateway.get("/workspaces/engineering/analytics?period=soon").await.status, 422);
    let audit = gateway.get("/workspaces/engineering/audit?limit=1").await;
    assert_eq!(audit.body["data"][0]["action"], "token_created");
    assert_eq!(audit.body["data"][0]["actor"], "acme@acme");
    let next = audit.body["next_cursor"].as_str().unwrap();
    let older = gateway.get(&format!("/workspaces/engineering/audit?limit=1&cursor={next}")).await;
    assert_eq!(older.body["data"][0]["action"], "workspace_created", "{older:?}");
    assert_eq!(gateway.get("/workspaces/engineering/audit?kind=nonsense").await.status, 400);
    assert_eq!(gateway.get("/workspaces/engineering/audit?kind=call").await.body["data"], json!([]));
}
