//! What tools cost, which nobody uses, and switching those off: with a server that lists three, and later a fourth.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use serde_json::{Value, json};

use super::tests::Gateway;
use crate::{
    actors::analytics_sink::Flush,
    config::Config,
    domain::{
        clock,
        ids::{CallId, ServerId, TokenId, WorkspaceId},
    },
    store::analytics::{Outcome, ToolCallEvent},
    upstream::fake::{Fake, Reply, Request},
};

/// The server; once it has `grown`, with another tool.
async fn server(grown: Arc<AtomicBool>) -> Fake {
    Fake::start(move |request: &Request| match request.rpc().as_str() {
        "server/discover" => Reply::result(
            request,
            &json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} },
                "ttlMs": 0, "cacheScope": "private" })
            .to_string(),
        ),
        "tools/list" => {
            let tool = |name: &str, length: usize| {
                json!({ "name": name, "description": "x".repeat(length), "inputSchema": { "type": "object" } })
            };
            let mut tools = vec![tool("used", 100), tool("renamed", 200), tool("idle", 4500)];
            tools.extend(grown.load(SeqCst).then(|| tool("added", 50)));
            let list = json!({ "tools": tools, "resultType": "complete", "ttlMs": 0, "cacheScope": "private" });
            Reply::result(request, &list.to_string())
        }
        _ => Reply::error(404, request, -32601),
    })
    .await
}

fn call(workspace: WorkspaceId, server: ServerId, tool: &str, days_ago: i64) -> ToolCallEvent {
    let at = clock::now() - chrono::TimeDelta::days(days_ago);
    ToolCallEvent {
        call: CallId::of_call(at),
        at,
        workspace,
        token: TokenId::generate(),
        account: None,
        credential: String::new(),
        client: "cursor".into(),
        era: "modern",
        server,
        server_slug: "toolbox-mcp".into(),
        tool: tool.into(),
        outcome: Outcome::Ok,
        latency_us: 1000,
        upstream_us: 900,
        bytes_in: 1,
        bytes_out: 2,
    }
}

/// The server was installed two months ago, with all that it lists.
async fn age(gateway: &Gateway) {
    use sea_orm::{EntityTrait as _, sea_query::Expr};

    use entities::{tool_pin, workspace_server};
    let then = clock::now() - chrono::TimeDelta::days(60);
    let aged = gateway.actors.store.upkeep(move |tx| {
        Box::pin(async move {
            let created = workspace_server::Column::CreatedAt;
            workspace_server::Entity::update_many().col_expr(created, Expr::value(then)).exec(tx.conn()).await?;
            let seen = tool_pin::Column::FirstSeenAt;
            tool_pin::Entity::update_many().col_expr(seen, Expr::value(then)).exec(tx.conn()).await?;
            Ok(())
        })
    });
    aged.await.unwrap();
}

/// Names and what is known of their use.
fn worth(diet: &Value) -> Value {
    let tools = diet["servers"][0]["tools"].as_array().unwrap().iter();
    json!(tools.map(|tool| json!([tool["tool"], tool["worth"], tool["calls"]])).collect::<Vec<_>>())
}

async fn gateway(config: Config) -> (Gateway, WorkspaceId, ServerId) {
    growing(config, Arc::default()).await
}

async fn growing(config: Config, grown: Arc<AtomicBool>) -> (Gateway, WorkspaceId, ServerId) {
    let gateway = Gateway::with(config, "enterprise").await;
    gateway.workspace("engineering").await;
    let upstream = server(grown).await;
    gateway.defined("toolbox-mcp", upstream.url.as_str()).await;
    let installed = gateway.post("/workspaces/engineering/servers", json!({ "server": "toolbox-mcp" })).await;
    assert_eq!(installed.status, 201, "{installed:?}");
    let actors = &gateway.actors;
    let def = actors.catalog.load().servers.values().find(|def| *def.slug == *"toolbox-mcp").cloned().unwrap();
    actors.upstreams.refresh(&def, None).await.unwrap();
    listed(&gateway, 3).await;
    let workspace = actors.catalog.load().workspace("engineering").unwrap().id;
    (gateway, workspace, def.id)
}

/// Waits until clients are shown so many tools.
async fn listed(gateway: &Gateway, many: usize) {
    let shown = async {
        let mut looks = tokio::time::interval(std::time::Duration::from_millis(5));
        while gateway.actors.catalog.load().workspace("engineering").unwrap().tools.entries().len() != many {
            looks.tick().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), shown).await.expect("the tools are listed");
}

#[actix_web::test]
async fn a_tool_that_is_new_or_has_another_name_now_is_not_called_unused() {
    let grown = Arc::new(AtomicBool::new(false));
    let (gateway, workspace, server) = growing(Config::default(), grown.clone()).await;
    let at = "/workspaces/engineering/servers/toolbox-mcp";
    assert_eq!(gateway.patch(at, json!({ "pins": "track" })).await.status, 200);
    age(&gateway).await;
    let actors = &gateway.actors;
    let unused = json!([["idle", "unused", 0], ["renamed", "unused", 0], ["used", "unused", 0]]);
    assert_eq!(worth(&gateway.get("/workspaces/engineering/diet").await.body), unused);

    // The server has another one since a moment ago; one was called under the prefix of before, one has an alias now.
    grown.store(true, SeqCst);
    let def = actors.catalog.load().servers.get(&server).cloned().unwrap();
    actors.upstreams.refresh(&def, None).await.unwrap();
    listed(&gateway, 4).await;
    actors.analytics.record(call(workspace, server, "box__used", 3));
    actors.analytics.sink().ask(Flush, std::time::Duration::from_secs(5)).await.unwrap();
    let alias = json!({ "tools": ["renamed"], "alias": "another_name" });
    assert_eq!(gateway.patch(&format!("{at}/tools"), alias).await.status, 200);
    let diet = gateway.get("/workspaces/engineering/diet").await.body;
    let known =
        json!([["idle", "unused", 0], ["renamed", "too_new", 0], ["used", "too_new", 0], ["added", "too_new", 0]]);
    assert_eq!(worth(&diet), known, "{diet}");
    // Its alias is taken away again: what was called by it was this tool, and nobody can tell.
    assert_eq!(gateway.patch(&format!("{at}/tools"), json!({ "tools": ["renamed"], "alias": "" })).await.status, 200);
    assert_eq!(worth(&gateway.get("/workspaces/engineering/diet").await.body), known);
    let changes = gateway.actors.store.read(|db| async move {
        use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};

        use entities::audit_entry::{Column, Entity};
        Ok(Entity::find().filter(Column::Action.eq("tool_alias_changed")).all(&db).await?)
    });
    let last = changes.await.unwrap().pop().unwrap().meta;
    assert!(last.contains(r#""changed":{"alias":["another_name",null]}"#), "{last}");
    let applied = gateway.post("/workspaces/engineering/diet:apply", json!({})).await.body;
    assert_eq!(applied["switched_off"], json!([{ "server": "toolbox-mcp", "tools": ["idle"] }]), "{applied}");
}

#[actix_web::test]
async fn a_tool_that_was_called_by_an_alias_that_is_gone_is_not_called_unused() {
    let (gateway, workspace, server) = Box::pin(gateway(Config::default())).await;
    age(&gateway).await;
    let at = "/workspaces/engineering/servers/toolbox-mcp/tools";
    let alias = |alias: &str| json!({ "tools": ["renamed"], "alias": alias });
    assert_eq!(gateway.patch(at, alias("another_name")).await.status, 200);
    gateway.actors.analytics.record(call(workspace, server, "another_name", 3));
    gateway.actors.analytics.sink().ask(Flush, std::time::Duration::from_secs(5)).await.unwrap();
    assert_eq!(gateway.patch(at, alias("")).await.status, 200);
    let diet = gateway.get("/workspaces/engineering/diet").await.body;
    assert_eq!(
        worth(&diet),
        json!([["idle", "unused", 0], ["renamed", "too_new", 0], ["used", "unused", 0]]),
        "{diet}"
    );
}

#[actix_web::test]
async fn tools_that_nobody_used_are_found_switched_off_and_back_on() {
    let (gateway, workspace, server) = Box::pin(gateway(Config::default())).await;
    let path = "/workspaces/engineering/diet";
    let young = gateway.get(path).await;
    assert_eq!((young.status, &young.body["unused_tools"]), (200, &json!(0)), "{young:?}");
    assert!(worth(&young.body).to_string().contains("too_new"), "installed today: nobody can tell");

    age(&gateway).await;
    // One was called by the name it had before its alias, one only long ago.
    let tools = "/workspaces/engineering/servers/toolbox-mcp/tools";
    gateway.patch(tools, json!({ "tools": ["renamed"], "alias": "another_name" })).await;
    for (tool, days_ago) in [("toolbox__used", 3), ("toolbox__renamed", 20), ("toolbox__idle", 40)] {
        gateway.actors.analytics.record(call(workspace, server, tool, days_ago));
    }
    gateway.actors.analytics.sink().ask(Flush, std::time::Duration::from_secs(5)).await.unwrap();
    let diet = gateway.get(path).await.body;
    assert_eq!(worth(&diet), json!([["idle", "unused", 0], ["renamed", "used", 1], ["used", "used", 1]]), "{diet}");
    let idle = diet["servers"][0]["tools"][0]["tokens"].as_u64().unwrap();
    assert!((1000..1060).contains(&idle), "some 4,600 bytes at 4.5 a token: {idle}");
    assert_eq!((&diet["unused_tools"], &diet["unused_tokens"]), (&json!(1), &json!(idle)));
    let listed = gateway.actors.catalog.load().workspace("engineering").unwrap().tools.json(false).len();
    assert!(diet["bytes"].as_u64().unwrap().abs_diff(listed as u64) < 10, "brackets and commas");

    let refused = gateway.post("/workspaces/engineering/diet:apply", json!({ "tools": ["toolbox__used"] })).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    let unknown = gateway.post("/workspaces/engineering/diet:apply", json!({ "tools": ["toolbox__usd"] })).await;
    assert_eq!(unknown.status, 404, "{unknown:?}");
    let applied = gateway.post("/workspaces/engineering/diet:apply", json!({})).await.body;
    assert_eq!(applied["switched_off"], json!([{ "server": "toolbox-mcp", "tools": ["idle"] }]), "{applied}");
    assert_eq!((&applied["saved_tokens"], &applied["diet"]["unused_tools"]), (&json!(idle), &json!(0)));
    let audit = gateway.get("/workspaces/engineering/audit?action=tool_disabled").await.body;
    assert_eq!(audit["data"].as_array().unwrap().len(), 1, "{audit}");
    let again = gateway.post("/workspaces/engineering/diet:apply", json!({})).await.body;
    assert_eq!(again["switched_off"], json!([]));

    let back = &applied["switched_off"][0]["tools"];
    let undone = gateway.patch(tools, json!({ "tools": back, "enabled": true })).await;
    assert_eq!(undone.status, 200, "{undone:?}");
    assert_eq!(gateway.get(path).await.body["unused_tools"], 1);
}

#[actix_web::test]
async fn where_calls_are_not_recorded_no_tool_is_unused() {
    let mut config = Config::default();
    config.analytics.enabled = false;
    let (gateway, _, _) = Box::pin(gateway(config)).await;
    age(&gateway).await;
    let diet = gateway.get("/workspaces/engineering/diet").await.body;
    assert_eq!((&diet["recorded"], &diet["unused_tools"]), (&json!(false), &json!(0)), "{diet}");
    assert!(diet["tokens"].as_u64().unwrap() > 1000);
    assert_eq!(gateway.get("/overview").await.body["recorded"], false);
}
