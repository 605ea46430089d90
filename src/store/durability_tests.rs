//! What was acknowledged survives a kill, whole or not at all, and the settings that make it so hold.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use sea_orm::{ConnectionTrait, EntityTrait, Statement};

use crate::{
    config::DatabaseConfig,
    domain::ids::AccountId,
    error::ErrorCode,
    store::{
        Store,
        audit::{self, ActorKind, AuditEntry, AuditFilter},
        audit_check,
        testing::{self, audit_key, run},
    },
};

const FOLDER: &str = "AEROSTACK_TEST_KILL_FOLDER";
const URL: &str = "AEROSTACK_TEST_KILL_URL";
const NAMESPACE: AccountId = AccountId(uuid::Uuid::from_u128(7));

fn config(url: &str) -> DatabaseConfig {
    DatabaseConfig { url: url.to_owned(), ..DatabaseConfig::default() }
}

/// What the process does that is killed: writes until then, and says so after each acknowledged write.
fn write_until_killed(url: &str, folder: &str) {
    run(async {
        let store = Store::open(&config(url), Path::new(folder)).await.unwrap();
        store.set_audit_key(audit_key());
        let lanes = (0..4).map(|_| {
            let store = store.clone();
            async move {
                loop {
                    let id = uuid::Uuid::now_v7().to_string();
                    let subject = id.clone();
                    let done = store.write(move |tx| {
                        Box::pin(async move {
                            tx.change("token", &subject).await?;
                            let who = (ActorKind::User, "alice@acme");
                            tx.audit(AuditEntry::by_actor(NAMESPACE, who, "token_created", ("token", &subject))).await
                        })
                    });
                    if done.await.is_ok() {
                        println!("\nACK {id}");
                    }
                }
            }
        });
        futures_util::future::join_all(lanes).await;
    });
}

/// Starts a writer (this program again, with `test` as its only test), kills it after `acks` acknowledgements, gives
/// back what was acknowledged.
fn write_and_kill(test: &str, url: &str, folder: &Path, acks: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("store::durability_tests::{test}"), "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(URL, url)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut seen = Vec::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut ack = |line: String| seen.extend(line.strip_prefix("ACK ").map(str::to_owned));
    let mut left = acks;
    while left > 0 {
        let line = lines.next().expect("the writer ended by itself").unwrap();
        left -= usize::from(line.starts_with("ACK "));
        ack(line);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it managed to say before it died was acknowledged as well; its last line may be cut.
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    rest.into_iter().filter(|line| line.len() == "ACK ".len() + 36).for_each(ack);
    seen
}

/// Kills writers after a growing number of acknowledgements. In the process that `test` starts for it: is the writer.
fn kill_rounds(test: &str, url: impl FnOnce() -> Option<String>, rounds: usize) {
    if let (Ok(folder), Ok(url)) = (std::env::var(FOLDER), std::env::var(URL)) {
        return write_until_killed(&url, &folder);
    }
    let Some(url) = url() else { return };
    let (url, folder) = (url.as_str(), tempfile::tempdir().unwrap());
    let folder = folder.path();
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..rounds {
        acknowledged.extend(write_and_kill(test, url, folder, 1 + round % 40));
        let known = acknowledged.clone();
        run(async move {
            let store = Store::open(&config(url), folder).await.unwrap();
            store
                .read(move |db| async move {
                    let changes = entities::change_log::Entity::find().all(&db).await?;
                    let changed: std::collections::BTreeSet<_> = changes.into_iter().map(|row| row.subject).collect();
                    let entries = audit::list(&db, AuditFilter::newest(NAMESPACE, 1_000_000)).await?;
                    let audited: std::collections::BTreeSet<_> =
                        entries.into_iter().map(|row| row.entry.target).collect();
                    assert_eq!(changed, audited, "an act and its audit entry are there together or not at all");
                    let lost: Vec<_> = known.iter().filter(|id| !changed.contains(*id)).collect();
                    assert!(lost.is_empty(), "acknowledged and lost in round {round}: {lost:?}");
                    let verdict = audit_check::verify(&db, &[audit_key()], audit_check::Scope::default()).await?;
                    assert_eq!(verdict.broken, None);
                    Ok(())
                })
                .await
                .unwrap();
            store.close().await;
        });
    }
}

#[test]
fn a_killed_process_loses_nothing_it_acknowledged_on_sqlite() {
    kill_rounds("a_killed_process_loses_nothing_it_acknowledged_on_sqlite", || Some(String::new()), 100);
}

#[test]
fn a_killed_process_loses_nothing_it_acknowledged_on_postgres() {
    kill_rounds("a_killed_process_loses_nothing_it_acknowledged_on_postgres", || run(testing::postgres_url()), 30);
}

#[test]
fn an_acknowledged_write_is_synced_first() {
    run(async {
        let store = testing::sqlite().await;
        let pragma = async |name: &str| {
            let sql = format!("PRAGMA {name}");
            store
                .upkeep(move |tx| {
                    Box::pin(async move {
                        let row = tx.conn().query_one_raw(Statement::from_string(sea_orm::DbBackend::Sqlite, sql));
                        let row = row.await?.unwrap();
                        Ok(row
                            .try_get_by_index::<i64>(0)
                            .map(|n| n.to_string())
                            .or_else(|_| row.try_get_by_index(0))?)
                    })
                })
                .await
                .unwrap()
        };
        assert_eq!(pragma("synchronous").await, "2", "FULL");
        assert_eq!(pragma("journal_mode").await, "wal");
        assert_eq!(pragma("foreign_keys").await, "1");
        assert_eq!(pragma("busy_timeout").await, (store.config.busy_timeout_seconds * 1000).to_string());
    });
}

#[test]
fn a_statement_that_takes_too_long_is_ended_and_the_pool_lives_on() {
    run(async {
        let Some(url) = testing::postgres_url().await else { return };
        let (store, _folder) = hurried(&url).await;
        let slow = store.read(|db| async move { Ok(db.execute_unprepared("SELECT pg_sleep(60)").await.map(drop)?) });
        assert_eq!(slow.await.unwrap_err().code(), ErrorCode::StoreUnavailable);
        store.ping().await.unwrap();
    });
}

/// A store with one connection for each purpose, on which a statement may take a second.
async fn hurried(url: &str) -> (Store, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let config = DatabaseConfig { statement_timeout_seconds: 1, max_connections: 1, ..config(url) };
    (Store::open(&config, folder.path()).await.unwrap(), folder)
}

fn a_read_of_statistics_ends(url: Option<String>) {
    run(async {
        let Some(url) = url else { return };
        let (store, _folder) = hurried(&url).await;
        // Gives its one row after some hours.
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000000) \
             SELECT MAX(i) FROM n";
        for _ in 0..2 {
            let slow = store.analytics(move |db| async move {
                let statement = Statement::from_string(db.get_database_backend(), endless);
                Ok(db.query_one_raw(statement).await.map(drop)?)
            });
            let error = tokio::time::timeout(Duration::from_secs(30), slow).await.expect("it is stopped").unwrap_err();
            assert_eq!(error.code(), ErrorCode::StoreUnavailable);
            assert!(error.message().contains("took too long") && error.hint().is_some(), "{error:?}");
        }
        let quick = store.analytics(|db| async move { Ok(db.execute_unprepared("SELECT 1").await.map(drop)?) });
        tokio::time::timeout(Duration::from_secs(30), quick).await.expect("the connection is free").unwrap();
    });
}

#[test]
fn a_read_of_statistics_that_takes_too_long_is_ended_and_its_connection_is_free_on_sqlite() {
    a_read_of_statistics_ends(Some(String::new()));
}

#[test]
fn a_read_of_statistics_that_takes_too_long_is_ended_and_its_connection_is_free_on_postgres() {
    a_read_of_statistics_ends(run(testing::postgres_url()));
}

#[test]
fn an_unreachable_postgres_is_named_without_its_password() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let host = folder.path().display().to_string().replace('/', "%2F");
        let config = DatabaseConfig {
            acquire_timeout_seconds: 1,
            ..config(&format!("postgres://gate:hunter2@localhost/aerostack?host={host}"))
        };
        let refused = tokio::time::timeout(Duration::from_secs(10), Store::open(&config, folder.path())).await;
        let refused = refused.unwrap().unwrap_err();
        assert_eq!(refused.code(), ErrorCode::StoreUnavailable);
        assert!(refused.message().contains("gate@localhost") && !refused.message().contains("hunter2"), "{refused}");
    });
}

#[test]
fn a_lost_caller_does_not_undo_what_it_began() {
    run(async {
        let store = testing::sqlite().await;
        let write = store.upkeep(|tx| Box::pin(async move { tx.change("token", "tok_1").await }));
        // Polled once, then dropped: the caller left.
        let mut write = Box::pin(write);
        let _ = futures_util::poll!(&mut write);
        drop(write);
        let begun = crate::domain::clock::instant();
        let count = || store.read(|db| async move { Ok(entities::change_log::Entity::find().all(&db).await?.len()) });
        while count().await.unwrap() == 0 {
            assert!(begun.elapsed() < Duration::from_secs(20), "the write never happened");
        }
    });
}
