//! What the two sinks promise.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use sea_orm::ConnectionTrait;

use crate::{
    actors::{
        analytics_sink::{Analytics, Batch, Flush, Prune},
        audit_log::{self, Audit, Refused},
        supervisor::Runtime,
    },
    config::{ActorsConfig, AnalyticsConfig, AuditConfig, DatabaseConfig},
    domain::{
        clock,
        ids::{AccountId, CallId, ServerId, TokenId, WorkspaceId},
        span::Span,
    },
    store::{
        Store,
        analytics::{Outcome, ToolCallEvent},
        audit::{self, ActorKind, AuditEntry, AuditFilter, AuditKind},
        testing,
        usage::{self, UsageFilter, Which},
    },
};

const SOON: Duration = Duration::from_secs(20);

fn event(workspace: WorkspaceId) -> ToolCallEvent {
    ToolCallEvent {
        call: CallId::generate(),
        at: clock::now(),
        workspace,
        token: TokenId(uuid::Uuid::from_u128(1)),
        account: None,
        credential: "shared".into(),
        client: "cursor".into(),
        era: "legacy",
        server: ServerId(uuid::Uuid::from_u128(2)),
        server_slug: "github-mcp".into(),
        tool: "github__create_issue".into(),
        outcome: Outcome::Ok,
        latency_us: 1000,
        upstream_us: 900,
        bytes_in: 1,
        bytes_out: 2,
    }
}

async fn counted(store: &Store, workspace: WorkspaceId) -> u64 {
    let now = clock::now();
    let filter = UsageFilter {
        which: Which::in_workspace(workspace),
        span: Span::holding(now - chrono::TimeDelta::hours(24), now + chrono::TimeDelta::hours(1), now),
    };
    let rows = store.analytics(move |db| async move { usage::usage(&db, &filter).await }).await.unwrap();
    rows.iter().map(|(_, figures)| figures.calls).sum()
}

/// Never flushes by itself, so that a test decides when.
fn by_hand() -> AnalyticsConfig {
    AnalyticsConfig { flush_ms: 3_600_000, ..AnalyticsConfig::default() }
}

fn start(runtime: &Runtime, store: &Store, config: &AnalyticsConfig) -> Analytics {
    Analytics::start(runtime, store.clone(), config, Arc::new(|_| {}))
}

#[actix_web::test]
async fn everybody_watching_sees_each_call_once() {
    let store = testing::sqlite().await;
    let runtime = Runtime::start(ActorsConfig::default());
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = seen.clone();
    let watch = Arc::new(move |calls: &[ToolCallEvent]| {
        counter.fetch_add(calls.len(), SeqCst);
    });
    let analytics = Analytics::start(&runtime, store.clone(), &by_hand(), watch);
    for _ in 0..700 {
        analytics.record(event(WorkspaceId::generate()));
    }
    analytics.drain(SOON).await;
    assert_eq!(seen.load(SeqCst), 700);
}

#[actix_web::test]
async fn recorded_calls_are_written_when_the_sink_is_drained() {
    let store = testing::sqlite().await;
    let runtime = Runtime::start(ActorsConfig::default());
    let analytics = start(&runtime, &store, &by_hand());
    let workspace = WorkspaceId::generate();
    for _ in 0..1130 {
        analytics.record(event(workspace));
    }
    analytics.drain(SOON).await;
    assert_eq!(counted(&store, workspace).await, 1130);
    assert_eq!((analytics.figures().written(), analytics.figures().dropped()), (1130, 0));
    assert_eq!(analytics.figures().queued(), 0);
    assert!(analytics.figures().last_flush().is_some());
}

#[actix_web::test]
async fn a_few_calls_appear_within_seconds_without_anybody_asking() {
    let store = testing::sqlite().await;
    let runtime = Runtime::start(ActorsConfig::default());
    let analytics = start(&runtime, &store, &AnalyticsConfig::default());
    let workspace = WorkspaceId::generate();
    analytics.record(event(workspace));
    let begun = clock::instant();
    while counted(&store, workspace).await == 0 {
        assert!(begun.elapsed() < SOON);
        tokio::task::yield_now().await;
    }
}

#[actix_web::test]
async fn a_full_queue_drops_and_counts_and_keeps_the_rest() {
    let store = testing::sqlite().await;
    let runtime = Runtime::start(ActorsConfig::default());
    let analytics = start(&runtime, &store, &AnalyticsConfig { queue: 100, ..by_hand() });
    let workspace = WorkspaceId::generate();
    let batch = Batch((0..65).map(|_| event(workspace)).collect());
    analytics.sink().ask(batch, SOON).await.unwrap();
    for _ in 65..130 {
        analytics.record(event(workspace));
    }
    assert!(analytics.sink().ask(Flush, SOON).await.unwrap());
    assert_eq!(analytics.figures().dropped(), 30);
    assert_eq!(counted(&store, workspace).await, 100);
}

#[actix_web::test]
async fn a_locked_database_delays_calls_and_loses_none() {
    let first = testing::sqlite().await;
    first.close().await;
    let config = DatabaseConfig { busy_timeout_seconds: 1, statement_timeout_seconds: 1, ..first.config.clone() };
    let store = Store::open(&config, first.folder.path()).await.unwrap();
    let runtime = Runtime::start(ActorsConfig::default());
    let analytics = start(&runtime, &store, &by_hand());
    assert!(analytics.sink().ask(Flush, SOON).await.unwrap());
    let path = first.folder.path().join("analytics.db");
    let other = sea_orm::Database::connect(format!("sqlite://{}", path.display())).await.unwrap();
    other.execute_unprepared("BEGIN IMMEDIATE").await.unwrap();
    let workspace = WorkspaceId::generate();
    for _ in 0..50 {
        analytics.record(event(workspace));
    }
    assert!(!analytics.sink().ask(Flush, SOON).await.unwrap(), "not written while locked");
    assert_eq!((analytics.figures().queued(), analytics.figures().dropped()), (50, 0));
    other.execute_unprepared("ROLLBACK").await.unwrap();
    assert!(analytics.sink().ask(Flush, SOON).await.unwrap());
    assert_eq!(counted(&store, workspace).await, 50);
}

#[actix_web::test]
async fn a_restart_of_the_sink_loses_nothing() {
    let store = testing::sqlite().await;
    let runtime = Runtime::start(ActorsConfig::default());
    let analytics = start(&runtime, &store, &by_hand());
    let workspace = WorkspaceId::generate();
    for _ in 0..1000 {
        analytics.record(event(workspace));
    }
    assert!(runtime.board().restart("AnalyticsSink"));
    for _ in 0..1000 {
        analytics.record(event(workspace));
    }
    while !analytics.sink().ask(Flush, SOON).await.unwrap_or(false) {
        tokio::task::yield_now().await;
    }
    assert_eq!(counted(&store, workspace).await, 2000);
}

#[actix_web::test]
async fn a_sink_that_is_switched_off_takes_nothing() {
    let store = testing::sqlite().await;
    let runtime = Runtime::start(ActorsConfig::default());
    let analytics = start(&runtime, &store, &AnalyticsConfig { enabled: false, ..by_hand() });
    let workspace = WorkspaceId::generate();
    analytics.record(event(workspace));
    assert!(analytics.sink().ask(Flush, SOON).await.unwrap());
    let figures = analytics.figures();
    assert_eq!((figures.queued(), figures.written(), figures.dropped()), (0, 0, 0));
    assert_eq!(counted(&store, workspace).await, 0);
}

#[actix_web::test]
async fn calls_are_written_while_old_ones_are_pruned() {
    let store = testing::sqlite().await;
    let runtime = Runtime::start(ActorsConfig::default());
    let analytics = start(&runtime, &store, &by_hand());
    let (long_ago, old) = (clock::now() - chrono::TimeDelta::days(91), WorkspaceId::generate());
    let workspace = WorkspaceId::generate();
    // So few a minute that each is a row.
    for n in 0..3000 {
        let at = long_ago - chrono::TimeDelta::seconds(2 * n);
        analytics.record(ToolCallEvent { call: CallId::of_call(at), at, ..event(old) });
    }
    assert!(analytics.sink().ask(Flush, SOON).await.unwrap());
    let before = clock::now() - chrono::TimeDelta::days(90);
    let pruning = analytics.sink().ask(Prune { before }, SOON);
    let writing = async {
        let mut written = 0;
        while written < 5 {
            analytics.record(event(workspace));
            assert!(analytics.sink().ask(Flush, SOON).await.unwrap());
            written += 1;
        }
        counted(&store, workspace).await
    };
    let (pruned, written) = futures_util::join!(pruning, writing);
    assert_eq!(written, 5);
    assert!(pruned.unwrap().unwrap() >= 3000);
}

#[actix_web::test]
async fn old_calls_are_pruned_on_demand() {
    let store = testing::sqlite().await;
    let runtime = Runtime::start(ActorsConfig::default());
    let analytics = start(&runtime, &store, &by_hand());
    let workspace = WorkspaceId::generate();
    analytics.record(event(workspace));
    assert!(analytics.sink().ask(Flush, SOON).await.unwrap());
    let before = clock::now() + chrono::TimeDelta::days(8);
    let gone = analytics.sink().ask(Prune { before }, SOON).await.unwrap().unwrap();
    assert_eq!(gone, 17, "a call, and four sums each of its minute, hour, day and week");
    assert_eq!(counted(&store, workspace).await, 0);
}

#[actix_web::test]
async fn a_flood_of_refusals_is_one_entry_for_each_source_and_kind() {
    let store = testing::sqlite().await;
    let runtime = Runtime::start(ActorsConfig::default());
    let audit = Audit::start(&runtime, store.clone(), &AuditConfig::default()).unwrap();
    let (namespace, workspace) = (AccountId::generate(), WorkspaceId::generate());
    let refusal = |action, source: &str| Refused {
        namespace: Some(namespace),
        workspace: Some(workspace),
        action,
        target: ("workspace", "engineering".into()),
        source: (ActorKind::Anonymous, source.into()),
    };
    for _ in 0..10_000 {
        audit.refused(refusal("auth_failed", "192.0.2.1"));
    }
    audit.refused(refusal("origin_refused", "192.0.2.1"));
    assert!(audit.log().ask(audit_log::Flush, SOON).await.unwrap());
    let filter = AuditFilter { workspace: Some(workspace), ..AuditFilter::newest(namespace, 100) };
    let rows = store.read(move |db| async move { audit::list(&db, filter).await }).await.unwrap();
    let shown: Vec<_> =
        rows.iter().map(|row| (row.entry.action.as_str(), row.entry.detail["times"].as_u64())).collect();
    assert_eq!(shown, [("origin_refused", Some(1)), ("auth_failed", Some(10_000))]);
    assert!(rows.iter().all(|row| row.entry.kind == AuditKind::Security));
}

#[actix_web::test]
async fn many_sources_share_a_bounded_number_of_entries() {
    let store = testing::sqlite().await;
    let runtime = Runtime::start(ActorsConfig::default());
    let audit = Audit::start(&runtime, store.clone(), &AuditConfig::default()).unwrap();
    let namespace = AccountId::generate();
    audit.set_owner(namespace);
    for n in 0..1000 {
        audit.refused(Refused {
            namespace: None,
            workspace: None,
            action: "auth_failed",
            target: ("workspace", "x".into()),
            source: (ActorKind::Anonymous, format!("192.0.2.{n}").into()),
        });
    }
    audit.drain(SOON).await;
    let rows = store
        .read(move |db| async move { audit::list(&db, AuditFilter::newest(namespace, 2000)).await })
        .await
        .unwrap();
    assert_eq!(rows.len(), 257);
    let times: u64 = rows.iter().filter_map(|row| row.entry.detail["times"].as_u64()).sum();
    assert_eq!(times, 1000, "every refusal is counted");
}

#[actix_web::test]
async fn an_event_is_written_and_shown_on_the_live_tail() {
    let store = testing::sqlite().await;
    let runtime = Runtime::start(ActorsConfig::default());
    let audit = Audit::start(&runtime, store.clone(), &AuditConfig::default()).unwrap();
    let mut tail = audit.tail();
    let namespace = AccountId::generate();
    let who = (ActorKind::System, "supervisor");
    audit.record(AuditEntry::by_actor(namespace, who, "actor_restarted", ("actor", "SecretVault")));
    let seen = tail.recv().await.unwrap();
    assert_eq!((seen.seq, seen.entry.action.as_str()), (1, "actor_restarted"));
}
