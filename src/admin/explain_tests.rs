//! Every cause that an explanation can name is brought about here, one after the other: a cause without an arm in
//! `bring_about` does not compile, and one that is not found fails.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    dto::Cause,
    explain::{Question, explain},
    tests::{Gateway, account, key},
};
use crate::{
    actors::token_authority::IssueToken,
    config::Config,
    domain::{
        clock,
        role::{Principal, Role},
        scope::Scope,
    },
    error::ErrorCode,
    store::secrets::{self, SecretState},
    upstream::fake::{Fake, Reply, Request},
};

const TOOLS: [&str; 3] = ["create_issue", "list_issues", "delete_issue"];

/// A server of 2026-07-28 whose tools' descriptions depend on the round.
/// Waits until `condition` holds.
async fn until(condition: impl Fn() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    let held = async {
        while !condition() {
            looks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), held).await.expect("it comes about");
}

async fn server(round: Arc<AtomicUsize>) -> Fake {
    Fake::start(move |request: &Request| match request.rpc().as_str() {
        "server/discover" => Reply::result(
            request,
            &json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} },
                "ttlMs": 0, "cacheScope": "private" })
            .to_string(),
        ),
        "tools/list" => Reply::result(request, &listed(round.load(SeqCst)).to_string()),
        _ => Reply::error(404, request, -32601),
    })
    .await
}

fn listed(round: usize) -> Value {
    let tool = |name: &str| {
        let description = if name == "list_issues" { format!("Lists, {round}.") } else { "Does.".to_owned() };
        json!({ "name": name, "description": description, "inputSchema": { "type": "object" } })
    };
    let mut tools: Vec<Value> = TOOLS.map(tool).into();
    tools.extend((round > 0).then(|| tool("new_tool")));
    tools.push(json!({ "name": "broken", "inputSchema": 7 }));
    json!({ "tools": tools, "resultType": "complete", "ttlMs": 0, "cacheScope": "private" })
}

/// A gateway with the server `issues` in `engineering`.
struct World {
    gateway: Gateway,
    by: Principal,
    round: Arc<AtomicUsize>,
    tokens: AtomicUsize,
}

const SERVER: &str = "/workspaces/engineering/servers/issues";

impl World {
    async fn new() -> Self {
        let mut config = Config::default();
        config.limits.calls_per_token = 2;
        config.limits.calls = 5;
        let gateway = Gateway::with(config, "enterprise").await;
        gateway.workspace("engineering").await;
        let round = Arc::new(AtomicUsize::new(0));
        let upstream = server(round.clone()).await;
        gateway.defined("issues", upstream.url.as_str()).await;
        let installed = gateway.post("/workspaces/engineering/servers", json!({ "server": "issues" })).await;
        assert_eq!(installed.status, 201, "{installed:?}");
        let by = gateway.principal();
        let world = World { gateway, by, round, tokens: AtomicUsize::new(0) };
        world.discover("issues").await;
        world
    }

    /// Asks a server for its tools and waits until the catalogue has them.
    async fn discover(&self, slug: &str) {
        let actors = &self.gateway.actors;
        let def = actors.catalog.load().servers.values().find(|def| *def.slug == *slug).cloned().unwrap();
        let count = actors.upstreams.refresh(&def, None).await.unwrap().tools().len();
        let known = || {
            let catalog = actors.catalog.load();
            let view = catalog.workspace("engineering").unwrap().clone();
            view.installed.iter().any(|one| *one.def.slug == *slug && one.tools().count() == count)
        };
        until(known).await;
    }

    async fn token(&self, body: Value) -> String {
        let mut body = body;
        let number = self.tokens.fetch_add(1, SeqCst);
        body["name"] = json!(format!("token {number}"));
        let made = self.gateway.post("/workspaces/engineering/tokens", body).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.body["id"].as_str().unwrap().to_owned()
    }

    async fn cause(&self, token: &str, tool: &str) -> Option<Cause> {
        let question = Question { token: token.into(), tool: tool.into() };
        let said = explain(&self.gateway.actors, &self.by, "engineering", &question).await.unwrap();
        assert_eq!(said.usable, said.cause.is_none());
        for step in said.steps.iter().filter(|step| step.cause.is_some()) {
            assert!(step.remedy.as_ref().is_some_and(|remedy| !remedy.is_empty()), "{step:?} says nothing to do");
            assert_eq!(step.cause.map(Cause::layer), Some(step.layer));
        }
        said.cause.or_else(|| said.steps.iter().find_map(|step| step.cause))
    }

    async fn patch(&self, path: &str, body: Value) {
        let got = self.gateway.patch(path, body).await;
        assert_eq!(got.status, 200, "{got:?}");
    }

    fn def(&self) -> Arc<crate::upstream::ServerDef> {
        let catalog = self.gateway.actors.catalog.load();
        catalog.servers.values().find(|def| *def.slug == *"issues").cloned().unwrap()
    }

    async fn secret(&self, change: SecretState) {
        let body = json!({ "name": "KEY", "value": "v" });
        let set = self.gateway.post("/mcp-servers/issues/secrets", body).await;
        assert!(set.status < 300, "{set:?}");
        let (actors, id) = (&self.gateway.actors, self.def().id);
        let done = actors.store.upkeep(move |tx| {
            Box::pin(async move {
                let rows = secrets::of_server(tx.conn(), id).await?;
                secrets::set_state(tx, rows[0].id, change).await
            })
        });
        done.await.unwrap();
    }
}

#[actix_web::test]
async fn every_cause_is_found_and_says_what_to_do() {
    for cause in Cause::ALL {
        let world = World::new().await;
        let (token, tool) = bring_about(&world, *cause).await;
        assert_eq!(world.cause(&token, &tool).await, Some(*cause));
    }
    let world = World::new().await;
    let token = world.token(json!({})).await;
    assert_eq!(world.cause(&token, "issues__create_issue").await, None);
    assert_eq!(world.cause("token 0", "issues__create_issue").await, None, "by its name");
    assert_eq!(world.cause(&token[..16], "issues__create_issue").await, None, "by the beginning of its id");
}

/// Makes `cause` true of some token and tool.
async fn bring_about(world: &World, cause: Cause) -> (String, String) {
    match cause {
        Cause::TokenUnknown
        | Cause::TokenOfAnotherWorkspace
        | Cause::TokenRevoked
        | Cause::TokenExpired
        | Cause::RateLimited
        | Cause::TokenBusy
        | Cause::GatewayBusy => (with_token(world, cause).await, "issues__create_issue".into()),
        Cause::ScopeDenied => scoped(world, json!({ "deny": ["*create*"] })).await,
        Cause::ScopeNotAllowed => scoped(world, json!({ "allow": ["*list*"] })).await,
        Cause::ScopeNotReadOnly => scoped(world, json!({ "read_only": true })).await,
        _ => (world.token(json!({})).await, with_tool(world, cause).await),
    }
}

async fn scoped(world: &World, scope: Value) -> (String, String) {
    (world.token(json!({ "scope": scope })).await, "issues__create_issue".into())
}

async fn with_token(world: &World, cause: Cause) -> String {
    let actors = &world.gateway.actors;
    match cause {
        Cause::TokenUnknown => "Nobody".into(),
        Cause::TokenOfAnotherWorkspace => {
            world.gateway.workspace("sales").await;
            let made = world.gateway.post("/workspaces/sales/tokens", json!({ "name": "Seller" })).await;
            assert_eq!(made.status, 201);
            "Seller".into()
        }
        Cause::TokenRevoked => {
            let id = world.token(json!({})).await;
            assert_eq!(world.gateway.delete(&format!("/workspaces/engineering/tokens/{id}")).await.status, 200);
            id
        }
        Cause::TokenExpired => {
            let id = world.token(json!({ "expires_in": 1 })).await;
            let end = clock::now() + chrono::TimeDelta::milliseconds(1100);
            until(|| clock::now() >= end).await;
            id
        }
        other => {
            let id = world.token(json!({ "requests_per_minute": 1 })).await;
            let grant = actors.tokens.grant(id.parse().unwrap()).unwrap();
            match other {
                Cause::RateLimited => assert!(grant.window.admit(clock::monotonic_ns).allowed),
                Cause::TokenBusy => drop(grant.calls.fetch_add(2, SeqCst)),
                _ => drop(actors.calls.fetch_add(5, SeqCst)),
            }
            id
        }
    }
}

async fn with_tool(world: &World, cause: Cause) -> String {
    let path = format!("{SERVER}/tools");
    match cause {
        Cause::ToolUnknown => return "issues__crate_issue".into(),
        Cause::OwnName => return "create_issue".into(),
        Cause::ToolDropped => return "issues__broken".into(),
        Cause::NameTaken => return same_name(world).await,
        Cause::ServerNotInstalled => {
            world.gateway.defined("wiki-mcp", "http://127.0.0.1:9/mcp").await;
            return "wiki__read".into();
        }
        Cause::ServerNotConnected | Cause::CredentialRefused | Cause::SecretMissing => {
            return another_server(world, cause).await;
        }
        Cause::SkillNotShared => return narrowed(world).await,
        Cause::ServerDisabled => world.patch(SERVER, json!({ "enabled": false })).await,
        Cause::SwitchedOff => world.patch(&path, json!({ "tools": ["create_issue"], "enabled": false })).await,
        Cause::SecretNeedsReentry => world.secret(SecretState::NeedsReentry).await,
        Cause::SecretDamaged => world.secret(SecretState::IntegrityError).await,
        Cause::BreakerOpen => (0..10).for_each(|_| world.def().breaker.failed()),
        Cause::ServerBusy => drop(world.def().in_flight.fetch_add(1000, SeqCst)),
        _ => return changed(world, cause).await,
    }
    "issues__create_issue".into()
}

/// Tools that are not as they were when the server was installed.
async fn changed(world: &World, cause: Cause) -> String {
    world.round.store(1, SeqCst);
    world.discover("issues").await;
    if cause == Cause::PinNew {
        return "issues__new_tool".into();
    }
    if cause == Cause::PinRejected {
        let pin = world.gateway.get(&format!("{SERVER}/pins?tool=list_issues")).await.body["data"][0].clone();
        let body = json!({ "tools": [{ "tool": "list_issues", "fingerprint": pin["waiting"] }] });
        let done = world.gateway.post(&format!("{SERVER}/pins:reject"), body).await;
        assert_eq!(done.status, 200, "{done:?}");
    }
    "issues__list_issues".into()
}

/// A second server without a prefix, one of whose tools is called like one of the first.
async fn same_name(world: &World) -> String {
    let twin = Fake::start(|request: &Request| match request.rpc().as_str() {
        "server/discover" => Reply::result(
            request,
            r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":0,"cacheScope":"private"}"#,
        ),
        "tools/list" => Reply::result(
            request,
            r#"{"tools":[{"name":"issues__create_issue","inputSchema":{}}],"resultType":"complete","ttlMs":0,"cacheScope":"private"}"#,
        ),
        _ => Reply::error(404, request, -32601),
    })
    .await;
    world.gateway.defined("twin", twin.url.as_str()).await;
    let body = json!({ "server": "twin", "prefix": "" });
    assert_eq!(world.gateway.post("/workspaces/engineering/servers", body).await.status, 201);
    world.discover("twin").await;
    "issues__create_issue".into()
}

/// A skill of another namespace that was public when it was installed.
async fn narrowed(world: &World) -> String {
    let actors = &world.gateway.actors;
    let other = key(actors, account(actors, "other", "enterprise").await, None).await;
    let manifest = json!({ "name": "deploy", "type": "skill", "version": "1.0.0", "description": "Plans deploys.",
        "category": "developer-tools",
        "tool": { "name": "plan", "description": "Plans one.", "input_schema": { "type": "object" } } });
    let publish = async |visibility: &str, status: u16| {
        let body = json!({ "manifest": manifest, "document": "# Deploy", "visibility": visibility });
        let done = world.gateway.ask_as(&other, actix_web::http::Method::POST, "/skills", Some(body)).await;
        assert_eq!(done.status, status, "{done:?}");
    };
    publish("public", 201).await;
    let body = json!({ "server": "@other/deploy" });
    assert_eq!(world.gateway.post("/workspaces/engineering/servers", body).await.status, 201);
    world.discover("deploy").await;
    publish("team", 200).await;
    "deploy__plan".into()
}

/// A server that cannot be talked to.
async fn another_server(world: &World, cause: Cause) -> String {
    if cause == Cause::SecretMissing {
        let body = json!({ "server": "github-mcp" });
        let installed = world.gateway.post("/workspaces/engineering/servers", body).await;
        assert_eq!(installed.status, 201, "{installed:?}");
        return "github__create_issue".into();
    }
    let refusing = Fake::start(|_: &Request| Reply::empty(401)).await;
    let url = match cause {
        Cause::CredentialRefused => refusing.url.to_string(),
        _ => "http://127.0.0.1:9/mcp".to_owned(),
    };
    world.gateway.defined("other", &url).await;
    let body = json!({ "server": "other" });
    assert_eq!(world.gateway.post("/workspaces/engineering/servers", body).await.status, 201);
    let actors = &world.gateway.actors;
    let def = actors.catalog.load().servers.values().find(|def| *def.slug == *"other").cloned().unwrap();
    assert!(actors.upstreams.refresh(&def, None).await.is_err());
    "other__anything".into()
}

#[actix_web::test]
async fn members_are_told_about_their_own_token_and_never_a_secrets_name() {
    let world = World::new().await;
    world.secret(SecretState::IntegrityError).await;
    let actors = &world.gateway.actors;
    let member =
        Principal { role: Role::Member, account: account(actors, "mia", "enterprise").await, ..world.by.clone() };
    let id = world.token(json!({})).await;
    let ask = |token: &str| Question { token: token.into(), tool: "issues__create_issue".into() };
    let refused = explain(actors, &member, "engineering", &ask(&id)).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Forbidden);
    let unknown = explain(actors, &member, "engineering", &ask("Nobody")).await.unwrap_err();
    assert_eq!(unknown.message(), refused.message(), "whether a token exists is none of a member's business");

    let workspace = actors.catalog.load().workspace("engineering").unwrap().id;
    let wanted = IssueToken {
        workspace,
        name: "Mia".into(),
        expires_in_seconds: None,
        member: Some(world.by.account),
        requests_per_minute: None,
        scope: Scope::default(),
        by: world.by.clone(),
    };
    let id = actors.tokens.issue(wanted).await.unwrap().record.id.to_string();
    let member = Principal { role: Role::Member, ..world.by.clone() };
    let said = explain(actors, &member, "engineering", &ask(&id)).await.unwrap();
    assert_eq!(said.cause, Some(Cause::SecretDamaged));
    assert!(!serde_json::to_string(&said).unwrap().contains("KEY"), "{said:?}");
    let said = explain(actors, &world.by, "engineering", &ask(&id)).await.unwrap();
    assert!(serde_json::to_string(&said).unwrap().contains("KEY"));
}

#[actix_web::test]
async fn what_is_not_there_or_must_not_be_asked_is_said() {
    let world = World::new().await;
    let ask = |token: &str| Question { token: token.into(), tool: "issues__create_issue".into() };
    let actors = &world.gateway.actors;
    let nowhere = explain(actors, &world.by, "enginering", &ask("x")).await.unwrap_err();
    assert_eq!(nowhere.message(), "No workspace \"enginering\". Did you mean engineering?");
    let raw = explain(actors, &world.by, "engineering", &ask("mwt_0123456789ABCDEFGHIJKLMNOPQRST1cCDCz")).await;
    assert_eq!(raw.unwrap_err().code(), ErrorCode::Validation);
    let stranger = Principal::system(crate::domain::ids::AccountId::generate());
    assert_eq!(explain(actors, &stranger, "engineering", &ask("x")).await.unwrap_err().code(), ErrorCode::NotFound);
}
