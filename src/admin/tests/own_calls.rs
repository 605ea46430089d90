//! What members see of calls: their own, and nobody else's.

use super::*;
use crate::{
    actors::token_authority::IssueToken,
    domain::ids::{CallId, ServerId, TokenId, WorkspaceId},
    store::analytics::{Outcome, ToolCallEvent},
};

fn call(workspace: WorkspaceId, token: TokenId, tool: &str) -> ToolCallEvent {
    ToolCallEvent {
        call: CallId::generate(),
        at: clock::now(),
        workspace,
        token,
        account: None,
        credential: "shared".into(),
        client: "cursor".into(),
        era: "legacy",
        server: ServerId::generate(),
        server_slug: "my-api".into(),
        tool: tool.into(),
        outcome: Outcome::Ok,
        latency_us: 1000,
        upstream_us: 900,
        bytes_in: 1,
        bytes_out: 2,
    }
}

#[actix_web::test]
async fn a_members_key_sees_only_its_own_calls() {
    let gateway = Gateway::start().await;
    gateway.workspace("engineering").await;
    let actors = &gateway.actors;
    let workspace = actors.catalog.load().workspace("engineering").unwrap().id;
    let (namespace, mia) = (gateway.owner, account(actors, "mia", "enterprise").await);
    let join = actors.store.upkeep(move |tx| Box::pin(accounts::put_member(tx, namespace, mia, Role::Member, None)));
    join.await.unwrap();
    let wanted = IssueApiKey {
        account: mia,
        namespace,
        bound: false,
        name: "cli".into(),
        expires_in_seconds: None,
        max_role: None,
        by: gateway.principal(),
    };
    let mias = actors.tokens.issue_api_key(wanted).await.unwrap().raw.expose_secret().to_owned();
    for (name, member) in [("Mia", Some(mia)), ("Olga", None)] {
        let wanted = IssueToken {
            workspace,
            name: name.into(),
            expires_in_seconds: None,
            member,
            requests_per_minute: None,
            scope: Default::default(),
            by: gateway.principal(),
        };
        let token = actors.tokens.issue(wanted).await.unwrap().record.id;
        actors.analytics.record(call(workspace, token, &format!("my_api__{}", name.to_lowercase())));
    }
    actors.analytics.sink().ask(crate::actors::analytics_sink::Flush, std::time::Duration::from_secs(5)).await.unwrap();
    let ask = |key: String, path: &'static str| {
        let path = format!("/workspaces/engineering/{path}");
        let gateway = &gateway;
        async move { gateway.ask_as(&key, Method::GET, &path, None).await }
    };
    for path in ["analytics", "calls"] {
        let all = ask(gateway.key.clone(), path).await;
        assert_eq!(all.body["data"].as_array().unwrap().len(), 2, "{all:?}");
        let own = ask(mias.clone(), path).await;
        let rows = own.body["data"].as_array().unwrap();
        assert_eq!(
            (rows.len(), &rows[0]["user"], &rows[0]["tool"]),
            (1, &json!("Mia"), &json!("my_api__mia")),
            "{own:?}"
        );
    }
    for (path, status) in [
        ("analytics?user=Mia", 200),
        ("calls?user=Mia", 200),
        ("analytics?user=Olga", 403),
        ("calls?user=Olga", 403),
        ("calls?user=Nobody", 403),
        ("audit", 403),
        ("tokens", 200),
    ] {
        let got = ask(mias.clone(), path).await;
        assert_eq!(got.status, status, "{path}: {got:?}");
        assert!(!got.body.to_string().contains("my_api__olga"), "{path}: {got:?}");
    }
}
