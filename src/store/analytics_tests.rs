//! What the analytics promise, on both databases.

use crate::{
    domain::{
        clock::{self, Timestamp},
        ids::{CallId, ServerId, TokenId, WorkspaceId},
    },
    store::{
        Store,
        analytics::{self, Outcome, ToolCallEvent},
        testing::on_both_databases,
        usage::{self, CallFilter, UsageFilter},
    },
};

fn hours(n: i64) -> chrono::TimeDelta {
    chrono::TimeDelta::hours(n)
}

fn event(workspace: WorkspaceId, token: TokenId, at: Timestamp, tool: &str, outcome: Outcome) -> ToolCallEvent {
    ToolCallEvent {
        call: CallId::generate(),
        at,
        workspace,
        token,
        account: None,
        credential: "shared".into(),
        client: "claude-code".into(),
        era: "modern",
        server: ServerId(uuid::Uuid::from_u128(5)),
        server_slug: "github-mcp".into(),
        tool: tool.into(),
        outcome,
        latency_us: 2000,
        upstream_us: 1500,
        bytes_in: 10,
        bytes_out: 100,
    }
}

async fn put(store: &Store, events: Vec<ToolCallEvent>) {
    store.analytics_write(move |tx| Box::pin(async move { analytics::insert(tx, &events).await })).await.unwrap();
}

fn within(workspace: WorkspaceId, from: Timestamp, to: Timestamp) -> UsageFilter {
    UsageFilter { workspace, tokens: None, server: None, from, to }
}

on_both_databases! {
    async fn usage_counts_every_call_once_over_batches_and_hours(store: TestStore) {
        let (workspace, alice, bob) = (WorkspaceId::generate(), TokenId::generate(), TokenId::generate());
        let now = clock::now();
        let at = |n: i64| now - hours(n);
        put(&store, vec![
            event(workspace, alice, at(0), "github__create_issue", Outcome::Ok),
            event(workspace, alice, at(0), "github__create_issue", Outcome::ToolError),
            event(workspace, alice, at(5), "github__create_issue", Outcome::Error(-32011)),
            event(workspace, bob, at(30), "github__list_issues", Outcome::Ok),
            event(WorkspaceId::generate(), bob, at(0), "github__list_issues", Outcome::Ok),
        ]).await;
        put(&store, vec![event(workspace, alice, at(0), "github__create_issue", Outcome::Ok)]).await;
        let read = async |filter: UsageFilter| {
            store.analytics(move |db| async move { usage::usage(&db, filter).await }).await.unwrap()
        };
        let week = within(workspace, now - hours(7 * 24), now + hours(1));
        let rows = read(week.clone()).await;
        assert_eq!(rows.len(), 2);
        let (key, figures) = &rows[0];
        assert_eq!((key.token, key.tool.as_str(), key.server_slug.as_str()), (alice, "github__create_issue", "github-mcp"));
        assert_eq!((figures.calls, figures.tool_errors, figures.errors, figures.failures()), (4, 1, 1, 2));
        assert_eq!((figures.bytes_in, figures.bytes_out, figures.upstream_us), (40, 400, 6000));
        assert_eq!(figures.last_call().unwrap().timestamp_micros(), now.timestamp_micros());
        assert!(figures.latencies.percentile(50).unwrap().abs_diff(2000) < 40);
        assert_eq!(read(UsageFilter { tokens: Some(vec![bob]), ..week.clone() }).await.len(), 1);
        assert_eq!(read(UsageFilter { tokens: Some(vec![]), ..week.clone() }).await.len(), 0);
        assert_eq!(read(UsageFilter { server: Some(ServerId::generate()), ..week.clone() }).await.len(), 0);
        let exact = read(within(workspace, now - hours(1), now + hours(1))).await;
        assert_eq!(exact[0].1.calls, 3, "a short span counts single calls");
        let series = store.analytics(move |db| async move { usage::series(&db, week, 1).await }).await.unwrap();
        assert_eq!(series.iter().map(|(_, figures)| figures.calls).collect::<Vec<_>>(), [1, 1, 3]);
    }

    async fn a_batch_written_twice_counts_once_and_what_came_after_it_too(store: TestStore) {
        let (workspace, token, now) = (WorkspaceId::generate(), TokenId::generate(), clock::now());
        let batch: Vec<_> = (0..1200).map(|_| event(workspace, token, now, "t", Outcome::Ok)).collect();
        put(&store, batch.clone()).await;
        let repeated = batch.into_iter().chain([event(workspace, token, now, "t", Outcome::Ok)]).collect();
        put(&store, repeated).await;
        for span in [1, 24] {
            let filter = within(workspace, now - hours(span), now + hours(1));
            let rows = store.analytics(move |db| async move { usage::usage(&db, filter).await }).await.unwrap();
            assert_eq!(rows[0].1.calls, 1201);
        }
    }

    async fn calls_are_listed_newest_first_and_page_by_page(store: TestStore) {
        let (workspace, token, now) = (WorkspaceId::generate(), TokenId::generate(), clock::now());
        let mut batch: Vec<_> = (0..5).map(|n| event(workspace, token, now, &format!("t{n}"), Outcome::Ok)).collect();
        batch.push(event(workspace, token, now, "bad", Outcome::Error(-32010)));
        put(&store, batch).await;
        let all = CallFilter {
            usage: within(workspace, now - hours(1), now + hours(1)),
            tool: None,
            failed: false,
            before: None,
            limit: 4,
        };
        let list = async |filter: CallFilter| {
            store.analytics(move |db| async move { usage::calls(&db, filter).await }).await.unwrap()
        };
        let first = list(all.clone()).await;
        assert_eq!(first.iter().map(|call| call.tool.as_str()).collect::<Vec<_>>(), ["bad", "t4", "t3", "t2"]);
        let rest = list(CallFilter { before: Some(first[3].call), ..all.clone() }).await;
        assert_eq!(rest.iter().map(|call| call.tool.as_str()).collect::<Vec<_>>(), ["t1", "t0"]);
        let failed = list(CallFilter { failed: true, ..all.clone() }).await;
        assert_eq!(failed[0].outcome, Outcome::Error(-32010));
        assert_eq!(list(CallFilter { tool: Some("t0".into()), ..all }).await.len(), 1);
    }

    async fn pruning_removes_what_is_too_old_bit_by_bit(store: TestStore) {
        let (workspace, token, now) = (WorkspaceId::generate(), TokenId::generate(), clock::now());
        let then = now - hours(24 * 91);
        let old = (0..25).map(|_| ToolCallEvent {
            call: CallId::of_call(then),
            ..event(workspace, token, then, "t", Outcome::Ok)
        });
        put(&store, old.collect()).await;
        put(&store, vec![event(workspace, token, now, "t", Outcome::Ok)]).await;
        let before = now - hours(24 * 90);
        let mut rounds = 0;
        while store
            .analytics_write(move |tx| Box::pin(async move { analytics::prune(tx, before, 10).await }))
            .await
            .unwrap() > 0
        {
            rounds += 1;
        }
        assert_eq!(rounds, 4, "three for calls, one for hours");
        let filter = within(workspace, now - hours(24 * 100), now + hours(1));
        let rows = store.analytics(move |db| async move { usage::usage(&db, filter).await }).await.unwrap();
        assert_eq!(rows[0].1.calls, 1);
    }

    async fn two_writers_of_the_same_hour_lose_nothing(store: TestStore) {
        let (workspace, token, now) = (WorkspaceId::generate(), TokenId::generate(), clock::now());
        let writers = (0..20).map(|_| {
            let (store, event) = (store.clone(), event(workspace, token, now, "t", Outcome::Ok));
            async move { put(&store, vec![event]).await }
        });
        futures_util::future::join_all(writers).await;
        let filter = within(workspace, now - hours(24), now + hours(1));
        let rows = store.analytics(move |db| async move { usage::usage(&db, filter).await }).await.unwrap();
        assert_eq!((rows[0].1.calls, rows[0].1.latencies.count()), (20, 20));
    }
}
