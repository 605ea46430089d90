//! What the analytics promise, on both databases.

use sea_orm::ConnectionTrait as _;

use crate::{
    domain::{
        clock::{self, Timestamp},
        ids::{CallId, ServerId, TokenId, WorkspaceId},
        span::{HOUR_US, Span, WEEK_HOURS, WEEK_US, WeekHour},
    },
    store::{
        Store,
        analytics::{self, Outcome, ToolCallEvent},
        calls::{self, CallFilter, CallRecord, Ended},
        testing::on_both_databases,
        usage::{self, By, Detail, Figures, Group, UsageFilter, Which},
    },
};

fn hours(n: i64) -> chrono::TimeDelta {
    chrono::TimeDelta::hours(n)
}

fn event(workspace: WorkspaceId, token: TokenId, at: Timestamp, tool: &str, outcome: Outcome) -> ToolCallEvent {
    ToolCallEvent {
        call: CallId::of_call(at),
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
    UsageFilter { which: Which::in_workspace(workspace), span: Span::holding(from, to, clock::now()) }
}

async fn read(store: &Store, filter: UsageFilter, by: By) -> Vec<(Group, Figures)> {
    store.analytics(move |db| async move { usage::figures(&db, &filter, by).await }).await.unwrap()
}

async fn list(store: &Store, filter: CallFilter) -> Vec<CallRecord> {
    store.analytics(move |db| async move { calls::calls(&db, &filter, clock::now()).await }).await.unwrap()
}

async fn pruned(store: &Store, before: Timestamp, now: Timestamp, limit: u64) -> u64 {
    let prune =
        store.analytics_write(move |tx| Box::pin(async move { analytics::prune(tx, (before, now), limit).await }));
    prune.await.unwrap()
}

const ALL: By =
    By { step_us: None, workspace: false, token: false, server: false, tool: false, detail: Detail::Latencies };
const FULL: By = By { token: true, server: true, tool: true, ..ALL };

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
        let week = within(workspace, now - hours(7 * 24), now + hours(1));
        let (filter, rows) = (week.clone(), store.analytics(move |db| {
            let week = within(workspace, now - hours(7 * 24), now + hours(1));
            async move { usage::usage(&db, &week).await }
        }).await.unwrap());
        assert_eq!(rows.len(), 2);
        let (key, figures) = &rows[0];
        assert_eq!((key.token(), key.tool.as_str(), figures.server_slug.as_str()), (alice, "github__create_issue", "github-mcp"));
        assert_eq!((figures.calls, figures.tool_errors, figures.errors, figures.failures()), (4, 1, 1, 2));
        assert_eq!(figures.last_call().unwrap().timestamp_micros(), now.timestamp_micros());
        let latencies = read(&store, filter.clone(), FULL).await;
        let figures_too = &latencies[0].1;
        assert_eq!((figures_too.bytes_in, figures_too.bytes_out, figures_too.upstream_us), (40, 400, 6000));
        assert!(latencies[0].1.latencies.percentile(50).unwrap().abs_diff(2000) < 40);
        let of = |change: &dyn Fn(&mut Which)| {
            let mut filter = filter.clone();
            change(&mut filter.which);
            filter
        };
        assert_eq!(read(&store, of(&|which| which.tokens = Some(vec![bob])), FULL).await.len(), 1);
        assert_eq!(read(&store, of(&|which| which.tokens = Some(vec![])), FULL).await.len(), 0);
        // A pipeline may have had a token for each of its runs.
        let many: Vec<TokenId> = (0..20_000).map(|_| TokenId::generate()).chain([bob]).collect();
        assert_eq!(read(&store, of(&|which| which.tokens = Some(many.clone())), FULL).await.len(), 1);
        assert_eq!(read(&store, of(&|which| which.servers = Some(vec![ServerId::generate()])), FULL).await.len(), 0);
        let one_tool = of(&|which| which.tools = Some(vec!["github__create_issue".into()]));
        assert_eq!(read(&store, one_tool, ALL).await[0].1.calls, 4);
        let hour = read(&store, within(workspace, now - hours(1), now), ALL).await;
        assert_eq!(hour[0].1.calls, 3, "a short span is counted in minutes");
        let steps = read(&store, week.clone(), By { step_us: Some(HOUR_US), ..ALL }).await;
        assert_eq!(steps.len(), 3);
        assert!(steps.iter().all(|(group, figures)| figures.last_call().unwrap() - group.at() < hours(1)));
        let called = store.analytics(move |db| async move { usage::servers_called(&db, &[workspace], "github-mcp").await });
        assert_eq!(called.await.unwrap(), [ServerId(uuid::Uuid::from_u128(5))]);
        let nowhere = store.analytics(|db| async move { usage::servers_called(&db, &[], "github-mcp").await });
        assert_eq!(nowhere.await.unwrap(), []);
    }

    async fn every_way_of_counting_gives_the_same_sum(store: TestStore) {
        let (workspace, now) = (WorkspaceId::generate(), clock::now());
        let tokens: Vec<TokenId> = (0..3).map(|_| TokenId::generate()).collect();
        // A call every half hour for 40 days, so that every span has hours and days at its edges, and long ones weeks.
        let calls: Vec<ToolCallEvent> = (0..40 * 48).map(|n| {
            let (at, tool) = (now - chrono::TimeDelta::minutes(30 * n), format!("t{}", n % 5));
            event(workspace, tokens[usize::try_from(n % 3).unwrap()], at, &tool, Outcome::Ok)
        }).collect();
        let times: Vec<i64> = calls.iter().map(|call| call.at.timestamp_micros()).collect();
        // Few at once: each is in slots of its own, and a write has only its time.
        for slice in calls.chunks(100) {
            put(&store, slice.to_vec()).await;
        }
        for back in [1, 5, 24, 3 * 24, 7 * 24, 30 * 24, 39 * 24] {
            let filter = within(workspace, now - hours(back), now);
            let span = filter.span;
            let expected = times.iter().filter(|at| (span.from_us()..span.to_us()).contains(*at)).count() as u64;
            for by in [
                ALL,
                FULL,
                By { token: true, ..ALL },
                By { server: true, ..ALL },
                By { tool: true, ..ALL },
                By { workspace: true, ..ALL },
                By { step_us: Some(span.step_us()), ..ALL },
                By { step_us: Some(span.step_us()), token: true, ..ALL },
                By { step_us: Some(HOUR_US), tool: true, ..ALL },
            ] {
                let rows = read(&store, filter.clone(), by).await;
                let counted: u64 = rows.iter().map(|(_, figures)| figures.calls).sum();
                let measured: u64 = rows.iter().map(|(_, figures)| figures.latencies.count()).sum();
                assert_eq!((counted, measured), (expected, expected), "{back} h by {by:?}");
                let steps_of_it = by.step_us == Some(span.step_us());
                assert!(!steps_of_it || rows.iter().all(|(group, _)| span.step_of(group.at()).is_some()));
            }
            let of_one = UsageFilter { which: Which { tokens: Some(vec![tokens[0]]), ..filter.which.clone() }, ..filter.clone() };
            let by_tool = read(&store, of_one.clone(), By { tool: true, ..ALL }).await;
            let alone = read(&store, of_one, ALL).await;
            let all: u64 = by_tool.iter().map(|(_, figures)| figures.calls).sum();
            assert_eq!(all, alone.first().map_or(0, |(_, figures)| figures.calls));
        }
    }

    async fn weeks_are_summed_up_once_where_an_earlier_version_wrote_days_only(store: TestStore) {
        let (workspace, now) = (WorkspaceId::generate(), clock::now());
        let tokens = [TokenId::generate(), TokenId::generate()];
        let calls = (0..40 * 6).map(|n| {
            let (at, tool) = (now - chrono::TimeDelta::hours(4 * n), format!("t{}", n % 3));
            event(workspace, tokens[usize::from(n % 2 == 0)], at, &tool, Outcome::Ok)
        });
        put(&store, calls.collect()).await;
        let filter = within(workspace, now - hours(39 * 24), now);
        let ways = [ALL, FULL, By { token: true, ..ALL }, By { tool: true, ..ALL }];
        let mut expected = Vec::new();
        for by in ways {
            expected.push(read(&store, filter.clone(), by).await);
        }
        let forget = "DELETE FROM tool_call_sums WHERE grain = 3";
        let forgotten = store.analytics_write(move |tx| {
            Box::pin(async move { Ok(tx.conn().execute_unprepared(forget).await?.rows_affected()) })
        });
        assert!(forgotten.await.unwrap() > 4 * 5);
        let mut store = store;
        for start in ["first", "second"] {
            store = store.reopen().await;
            for (by, expected) in ways.iter().zip(&expected) {
                assert_eq!(&read(&store, filter.clone(), *by).await, expected, "{by:?} after the {start} start");
            }
        }
    }

    async fn a_batch_written_twice_counts_once(store: TestStore) {
        let (workspace, token, now) = (WorkspaceId::generate(), TokenId::generate(), clock::now());
        let batch: Vec<_> = (0..1200).map(|_| event(workspace, token, now, "t", Outcome::Ok)).collect();
        put(&store, batch.clone()).await;
        let repeated = batch.into_iter().chain([event(workspace, token, now, "t", Outcome::Ok)]).collect();
        put(&store, repeated).await;
        for span in [1, 24] {
            let rows = read(&store, within(workspace, now - hours(span), now + hours(1)), FULL).await;
            assert_eq!(rows[0].1.calls, 1201);
        }
    }

    async fn calls_are_listed_newest_first_and_page_by_page(store: TestStore) {
        let (workspace, token, now) = (WorkspaceId::generate(), TokenId::generate(), clock::now());
        let mut batch: Vec<_> = (0..5i64).map(|n| {
            event(workspace, token, now - hours(60) + chrono::TimeDelta::hours(10 * n), &format!("t{n}"), Outcome::Ok)
        }).collect();
        batch.push(event(workspace, token, now - chrono::TimeDelta::seconds(1), "bad", Outcome::Error(-32010)));
        put(&store, batch).await;
        let all = CallFilter::newest(Which::in_workspace(workspace), (now - hours(24 * 30), now + hours(1)), 4);
        let first = list(&store, all.clone()).await;
        assert_eq!(first.iter().map(|call| call.tool.as_str()).collect::<Vec<_>>(), ["bad", "t4", "t3", "t2"]);
        let rest = list(&store, CallFilter { before: Some(first[3].call), ..all.clone() }).await;
        assert_eq!(rest.iter().map(|call| call.tool.as_str()).collect::<Vec<_>>(), ["t1", "t0"]);
        let until = list(&store, CallFilter { to: first[1].at, ..all.clone() }).await;
        assert_eq!(until[0].tool, "t3");
        for (ended, found) in [(Ended::Failed, 1), (Ended::Error, 1), (Ended::ToolError, 0), (Ended::Ok, 4)] {
            assert_eq!(list(&store, CallFilter { ended: Some(ended), ..all.clone() }).await.len(), found, "{ended:?}");
        }
        let only = |which: Which| CallFilter { which, ..all.clone() };
        let of_t0 = Which { tools: Some(vec!["t0".into()]), ..all.which.clone() };
        assert_eq!(list(&store, only(of_t0.clone())).await.len(), 1);
        assert_eq!(list(&store, only(Which { tokens: Some(vec![token]), ..of_t0.clone() })).await.len(), 1);
        assert_eq!(list(&store, only(Which { tokens: Some(vec![TokenId::generate()]), ..of_t0 })).await.len(), 0);
        assert_eq!(list(&store, only(Which::default())).await.len(), 0, "nowhere");
    }

    async fn an_error_is_an_error_whatever_its_code(store: TestStore) {
        let (workspace, token, now) = (WorkspaceId::generate(), TokenId::generate(), clock::now());
        let at = |n: i64| now - chrono::TimeDelta::seconds(n + 1);
        // One by one, and so many at once that they are packed.
        let codes = [0, 1, -1, -32011, i32::MIN];
        put(&store, codes.iter().zip(0..).map(|(code, n)| event(workspace, token, at(n), "few", Outcome::Error(*code))).collect()).await;
        put(&store, (0..200i64).map(|n| event(workspace, token, at(0), "many", Outcome::Error(i32::from(n % 2 == 0)))).collect()).await;
        let few = Which { tools: Some(vec!["few".into()]), ..Which::in_workspace(workspace) };
        let newest = |which, ended| CallFilter { ended, ..CallFilter::newest(which, (now - hours(1), now), 1000) };
        let found = list(&store, newest(few, Some(Ended::Error))).await;
        assert_eq!(found.iter().map(|call| call.outcome).collect::<Vec<_>>(), codes.map(Outcome::Error));
        let all = |ended| list(&store, newest(Which::in_workspace(workspace), Some(ended)));
        assert_eq!((all(Ended::Failed).await.len(), all(Ended::Error).await.len()), (205, 205));
        assert_eq!((all(Ended::Ok).await.len(), all(Ended::ToolError).await.len()), (0, 0));
    }

    async fn pages_of_calls_are_complete_however_the_calls_lie(store: TestStore) {
        let (workspace, token, now) = (WorkspaceId::generate(), TokenId::generate(), clock::now());
        // Bursts and gaps, newer and older than the time for which minutes are kept.
        let ages = [0i64, 1, 2, 3, 60, 61, 600, 1439, 1500, 1559, 1561, 1562, 2900, 2901, 9000, 9000, 9001];
        let calls: Vec<_> = ages.iter().map(|age| {
            event(workspace, token, now - chrono::TimeDelta::minutes(*age) - chrono::TimeDelta::seconds(1), "t", Outcome::Ok)
        }).collect();
        put(&store, calls).await;
        assert!(pruned(&store, now - hours(24 * 90), now, 1000).await > 0, "minutes of long ago are gone");
        for limit in [1, 2, 3, 5, 50] {
            let (mut before, mut found) = (None, Vec::new());
            loop {
                let newest = CallFilter::newest(Which::in_workspace(workspace), (Timestamp::UNIX_EPOCH, now), limit);
                let page = list(&store, CallFilter { before, ..newest }).await;
                let Some(last) = page.last() else { break };
                before = Some(last.call);
                found.extend(page.iter().map(|call| call.call));
            }
            assert_eq!(found.len(), ages.len(), "{limit} at once");
            assert!(found.is_sorted_by(|a, b| a > b));
        }
        // Each cell of the heat map has its own calls and no others, in time zones of half hours too.
        let all = list(&store, CallFilter::newest(Which::in_workspace(workspace), (Timestamp::UNIX_EPOCH, now), 50)).await;
        for (utc_offset_minutes, hour) in [0, 330, -570].iter().flat_map(|zone| (0..WEEK_HOURS).map(move |hour| (*zone, hour))) {
            let cell = WeekHour { hour, utc_offset_minutes };
            let own = all.iter().filter(|call| WeekHour::of(call.at, utc_offset_minutes) == cell);
            let newest = CallFilter::newest(Which::in_workspace(workspace), (Timestamp::UNIX_EPOCH, now), 50);
            let shown = list(&store, CallFilter { cell: Some(cell), ..newest }).await;
            assert!(shown.iter().eq(own), "{cell:?}: {shown:?}");
        }
    }

    async fn many_calls_at_once_are_listed_like_few(store: TestStore) {
        let (workspace, now) = (WorkspaceId::generate(), clock::now());
        let tokens = [TokenId::generate(), TokenId::generate()];
        let second = |n: i64| now - chrono::TimeDelta::seconds(n + 1);
        // A thousand at once, some of them long under way, and a few by themselves in the same minutes.
        let many: Vec<_> = (0..1000i64).map(|n| {
            let outcome = if n % 10 == 0 { Outcome::Error(-32011) } else { Outcome::Ok };
            event(workspace, tokens[usize::from(n % 4 == 0)], second(n % 150), &format!("t{}", n % 7), outcome)
        }).collect();
        put(&store, many.clone()).await;
        let repeated = many.iter().cloned().chain([event(workspace, tokens[0], second(3), "late", Outcome::Ok)]).collect();
        put(&store, repeated).await;
        for n in 0..20 {
            put(&store, vec![event(workspace, tokens[1], second(n * 7), "few", Outcome::ToolError)]).await;
        }
        let newest = |limit| CallFilter::newest(Which::in_workspace(workspace), (now - hours(1), now), limit);
        let all = list(&store, newest(5000)).await;
        assert_eq!(all.len(), 1021);
        assert!(all.is_sorted_by(|a, b| a.call > b.call), "newest first, none twice");
        let (mut before, mut paged) = (None, Vec::new());
        loop {
            let page = list(&store, CallFilter { before, ..newest(97) }).await;
            let Some(last) = page.last() else { break };
            before = Some(last.call);
            paged.extend(page);
        }
        assert_eq!(paged, all);
        for (ended, which, expected) in [
            (Some(Ended::Failed), Which::in_workspace(workspace), 120),
            (Some(Ended::Error), Which { tokens: Some(vec![tokens[0]]), ..Which::in_workspace(workspace) }, 50),
            (Some(Ended::ToolError), Which { tools: Some(vec!["few".into()]), ..Which::in_workspace(workspace) }, 20),
            (None, Which { servers: Some(vec![ServerId::generate()]), ..Which::in_workspace(workspace) }, 0),
            (None, Which { tools: Some(vec!["late".into()]), ..Which::in_workspace(workspace) }, 1),
        ] {
            assert_eq!(list(&store, CallFilter { ended, which, ..newest(5000) }).await.len(), expected, "{ended:?}");
        }
        let counted = read(&store, within(workspace, now - hours(1), now), ALL).await;
        assert_eq!(counted[0].1.calls, 1021);
        while pruned(&store, now + hours(48), now + hours(48), 500).await > 0 {}
        assert_eq!(list(&store, newest(5000)).await.len(), 0);
    }

    async fn pruning_removes_what_is_too_old_bit_by_bit(store: TestStore) {
        let (workspace, token, now) = (WorkspaceId::generate(), TokenId::generate(), clock::now());
        // So long ago that its week is over too.
        let then = now - hours(24 * 98);
        put(&store, (0..25).map(|_| event(workspace, token, then, "t", Outcome::Ok)).collect()).await;
        let lately = now - hours(48);
        put(&store, vec![
            event(workspace, token, now, "t", Outcome::Ok),
            event(workspace, token, lately, "t", Outcome::Ok),
        ]).await;
        let before = now - hours(24 * 90);
        let mut steps = Vec::new();
        loop {
            match pruned(&store, before, now, 10).await {
                0 => break,
                gone => steps.push(gone),
            }
        }
        assert_eq!(steps, [10, 10, 5, 4, 4, 4, 8], "calls; sums of the week, of the day, of the hour, of two minutes");
        let rows = read(&store, within(workspace, now - hours(24 * 100), now + hours(1)), FULL).await;
        assert_eq!(rows[0].1.calls, 2);
        assert_eq!(read(&store, within(workspace, lately - hours(1), now), ALL).await[0].1.calls, 2);
    }

    async fn a_week_that_was_pruned_half_is_not_shown_as_a_whole_one_when_more_is_kept_later(store: TestStore) {
        let (workspace, token, now) = (WorkspaceId::generate(), TokenId::generate(), clock::now());
        let begins = (now - hours(24 * 60)).timestamp_micros().div_euclid(WEEK_US) * WEEK_US;
        let begins = Timestamp::from_timestamp_micros(begins).unwrap();
        let at = |day: i64| event(workspace, token, begins + hours(24 * day + 1), "t", Outcome::Ok);
        put(&store, (0..7).map(at).chain([event(workspace, token, now, "t", Outcome::Ok)]).collect()).await;
        let filter = within(workspace, begins - hours(24 * 14), now + hours(1));
        let by_day = By { step_us: Some(filter.span.step_us()), ..ALL };
        for (days_gone, left) in [(0, 8), (3, 5), (7, 1)] {
            while pruned(&store, begins + hours(24 * days_gone), now, 100).await > 0 {}
            for by in [ALL, FULL, By { tool: true, ..ALL }, by_day] {
                let rows = read(&store, filter.clone(), by).await;
                let counted: u64 = rows.iter().map(|(_, figures)| figures.calls).sum();
                assert_eq!(counted, left, "{days_gone} days are gone, by {by:?}");
            }
        }
    }

    async fn two_writers_of_the_same_hour_lose_nothing(store: TestStore) {
        let (workspace, token, now) = (WorkspaceId::generate(), TokenId::generate(), clock::now());
        let writers = (0..20).map(|_| {
            let (store, event) = (store.clone(), event(workspace, token, now, "t", Outcome::Ok));
            async move { put(&store, vec![event]).await }
        });
        futures_util::future::join_all(writers).await;
        let rows = read(&store, within(workspace, now - hours(24), now + hours(1)), FULL).await;
        assert_eq!((rows[0].1.calls, rows[0].1.latencies.count()), (20, 20));
    }
}
