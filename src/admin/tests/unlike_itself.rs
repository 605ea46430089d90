//! A token that behaves unlike itself, with a history that was made up, on both databases.

use super::*;
use crate::{
    actors::{analytics_sink::Flush, token_authority::IssueToken},
    domain::ids::{CallId, ServerId, TokenId, WorkspaceId},
    store::{
        analytics::{self, Outcome, ToolCallEvent},
        testing,
        tokens::TokenRecord,
    },
};

/// So many calls at a moment.
fn calls(workspace: WorkspaceId, token: TokenId, hours_ago: i64, many: u64) -> Vec<ToolCallEvent> {
    let at = clock::now() - chrono::TimeDelta::hours(hours_ago);
    let call = |_| ToolCallEvent {
        call: CallId::of_call(at),
        at,
        workspace,
        token,
        account: None,
        credential: String::new(),
        client: "cursor".into(),
        era: "modern",
        server: ServerId(uuid::Uuid::from_u128(7)),
        server_slug: "my-api".into(),
        tool: "my_api__echo".into(),
        outcome: Outcome::Ok,
        latency_us: 900,
        upstream_us: 800,
        bytes_in: 1,
        bytes_out: 2,
    };
    (0..many).map(call).collect()
}

async fn token(gateway: &Gateway, name: &str) -> TokenRecord {
    let workspace = gateway.actors.catalog.load().workspace("engineering").unwrap().id;
    let wanted = IssueToken {
        workspace,
        name: name.into(),
        expires_in_seconds: None,
        member: None,
        requests_per_minute: None,
        scope: Default::default(),
        by: gateway.principal(),
    };
    gateway.actors.tokens.issue(wanted).await.unwrap().record
}

/// Each token was issued a month ago.
async fn age(gateway: &Gateway, tokens: &[&TokenRecord]) {
    use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, sea_query::Expr};

    use entities::workspace_token::{Column, Entity};
    let ids: Vec<uuid::Uuid> = tokens.iter().map(|token| token.id.0).collect();
    let then = clock::now() - chrono::TimeDelta::days(30);
    let aged = gateway.actors.store.upkeep(move |tx| {
        Box::pin(async move {
            Entity::update_many()
                .col_expr(Column::CreatedAt, Expr::value(then))
                .filter(Column::Id.is_in(ids))
                .exec(tx.conn())
                .await?;
            Ok(())
        })
    });
    aged.await.unwrap();
}

async fn rule(gateway: Gateway) {
    gateway.workspace("engineering").await;
    let night = token(&gateway, "Night Owl").await;
    let robot = token(&gateway, "Robot").await;
    let early = token(&gateway, "Early Bird").await;
    let fresh = token(&gateway, "Fresh").await;
    age(&gateway, &[&night, &robot, &early]).await;
    let workspace = night.workspace;
    let mut history = Vec::new();
    for day in 2..14 {
        history.extend(calls(workspace, night.id, 24 * day, 40));
        history.extend(calls(workspace, robot.id, 24 * day, 1500));
        history.extend(calls(workspace, early.id, 24 * day, 20));
    }
    // Ten thousand calls overnight; a machine that does what it always does; a first call at an odd hour; somebody new.
    history.extend(calls(workspace, night.id, 8, 10_000));
    history.extend(calls(workspace, robot.id, 8, 2500));
    history.extend(calls(workspace, early.id, 3, 30));
    history.extend(calls(workspace, fresh.id, 1, 2000));
    for batch in history.chunks(5000) {
        let batch = batch.to_vec();
        let put = gateway
            .actors
            .store
            .analytics_write(move |tx| Box::pin(async move { analytics::insert(tx, &batch).await }));
        put.await.unwrap();
    }
    gateway.actors.analytics.sink().ask(Flush, std::time::Duration::from_secs(5)).await.unwrap();
    let overview = gateway.get("/overview").await;
    let unusual = overview.body["unusual"].as_array().unwrap();
    assert_eq!(unusual.len(), 1, "{overview:?}");
    let one = &unusual[0];
    assert_eq!((&one["user"], &one["workspace"]), (&json!("Night Owl"), &json!("engineering")));
    assert_eq!((&one["calls"], &one["busiest_day"], &one["limit"]), (&json!(10_000), &json!(40), &json!(1000)));
    assert_eq!(one["is_new"], false);
    let usage = gateway.get("/workspaces/engineering/analytics?period=1h&user=Fresh").await;
    assert_eq!(usage.body["unusual"], overview.body["unusual"], "it is told with every table");
    // Somebody new that does as much is unusual too, and a revoked token is nobody's concern any more.
    let more = calls(workspace, fresh.id, 1, 8000);
    let put =
        gateway.actors.store.analytics_write(move |tx| Box::pin(async move { analytics::insert(tx, &more).await }));
    put.await.unwrap();
    gateway.post("/workspaces/engineering/tokens:revoke", json!({"name": "Night Owl"})).await;
    let unusual = gateway.get("/overview").await.body["unusual"].clone();
    assert_eq!((unusual.as_array().unwrap().len(), &unusual[0]["user"]), (1, &json!("Fresh")), "{unusual}");
    assert_eq!((&unusual[0]["is_new"], &unusual[0]["limit"]), (&json!(true), &json!(10_000)));
}

#[actix_web::test]
async fn ten_thousand_calls_overnight_are_flagged_on_sqlite() {
    rule(Gateway::start().await).await;
}

#[actix_web::test]
async fn ten_thousand_calls_overnight_are_flagged_on_postgres() {
    let Some(url) = testing::postgres_url().await else { return };
    let mut config = Config::default();
    config.database.url = url;
    rule(Gateway::with(config, "enterprise").await).await;
}
