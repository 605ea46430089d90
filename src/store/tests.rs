//! The store as a whole: transactions, restarts, locks, schemas.

use sea_orm::{ConnectionTrait, EntityTrait, PaginatorTrait};

use crate::{
    domain::{ids::AccountId, role::Principal},
    error::{ErrorCode, err},
    store::{
        Store,
        audit::{self, ActorKind, AuditEntry, AuditFilter},
        testing::{self, on_both_databases, run},
    },
};

fn entry(namespace: AccountId, name: &str) -> AuditEntry {
    AuditEntry::by_actor(namespace, (ActorKind::User, "alice@acme"), "token_created", ("token", name))
}

on_both_databases! {
    async fn a_failed_write_leaves_nothing_behind(store: TestStore) {
        let namespace = AccountId::generate();
        let failed: crate::error::Result<()> = store
            .write(move |tx| Box::pin(async move {
                tx.change("token", "tok_1").await?;
                tx.audit(entry(namespace, "Alice Chen")).await?;
                Err(err::validation("no"))
            }))
            .await;
        assert_eq!(failed.unwrap_err().code(), ErrorCode::Validation);
        let (changes, audits) = store
            .read(move |db| async move {
                let changes = entities::change_log::Entity::find().count(&db).await?;
                Ok((changes, audit::list(&db, AuditFilter::newest(namespace, 10)).await?.len()))
            })
            .await
            .unwrap();
        assert_eq!((changes, audits), (0, 0));
    }

    async fn a_write_with_its_audit_entry_survives_a_restart(store: TestStore) {
        let namespace = AccountId::generate();
        let mut tail = store.audit_tail();
        let instance = store.instance_id();
        store
            .write(move |tx| Box::pin(async move {
                tx.change("token", "tok_1").await?;
                tx.audit(entry(namespace, "Alice Chen").with("expires_in", 60)).await
            }))
            .await
            .unwrap();
        assert_eq!(tail.recv().await.unwrap().entry.target, "Alice Chen");
        let store = store.reopen().await;
        assert_eq!(store.instance_id(), instance);
        let rows = store
            .read(move |db| async move { audit::list(&db, AuditFilter::newest(namespace, 10)).await })
            .await
            .unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].seq, rows[0].entry.action.as_str()), (1, "token_created"));
        assert_eq!(rows[0].entry.detail["expires_in"], 60);
    }

    async fn an_act_of_which_nobody_says_who_does_it_is_not_committed(store: TestStore) {
        let refused = store.write(|tx| Box::pin(async move { tx.change("token", "tok_1").await })).await;
        assert_eq!(refused.unwrap_err().code(), ErrorCode::Internal);
        let changes = async || {
            let count = |db| async move { Ok(entities::change_log::Entity::find().count(&db).await?) };
            store.read(count).await.unwrap()
        };
        assert_eq!(changes().await, 0);
        store.upkeep(|tx| Box::pin(async move { tx.change("token", "tok_1").await })).await.unwrap();
        let said = store.write(|tx| Box::pin(async move {
            tx.acts(&Principal::system(AccountId::generate()));
            tx.change("token", "tok_2").await
        }));
        said.await.unwrap();
        assert_eq!(changes().await, 2);
    }

    async fn an_act_that_cannot_be_audited_does_not_happen(store: TestStore) {
        let bare = Store::open(&store.config, tempfile::tempdir().unwrap().path()).await.unwrap();
        let refused = bare
            .write(|tx| Box::pin(async move {
                tx.change("token", "tok_1").await?;
                tx.audit(entry(AccountId::generate(), "Alice Chen")).await
            }))
            .await;
        assert_eq!(refused.unwrap_err().code(), ErrorCode::StoreUnavailable);
        let changes = bare.read(|db| async move { Ok(entities::change_log::Entity::find().count(&db).await?) }).await;
        assert_eq!(changes.unwrap(), 0);
    }

    async fn writers_at_once_make_one_unbroken_chain(store: TestStore) {
        let namespace = AccountId::generate();
        let writers = (0..40).map(|n| {
            let store = store.clone();
            async move {
                store
                    .write(move |tx| Box::pin(async move { tx.audit(entry(namespace, &format!("Token {n}"))).await }))
                    .await
            }
        });
        for done in futures_util::future::join_all(writers).await {
            done.unwrap();
        }
        let rows = store
            .read(move |db| async move { audit::list(&db, AuditFilter::newest(namespace, 100)).await })
            .await
            .unwrap();
        let seqs: Vec<u64> = rows.iter().map(|row| row.seq).collect();
        assert_eq!(seqs, (1..=40).rev().collect::<Vec<_>>());
    }

    async fn a_newer_schema_is_refused_and_not_touched(store: TestStore) {
        let newer = "INSERT INTO migrations_state (version, applied_at) VALUES ('m29991231_000001_later', 0)";
        store
            .upkeep(move |tx| Box::pin(async move { Ok(tx.conn().execute_unprepared(newer).await.map(drop)?) }))
            .await
            .unwrap();
        store.close().await;
        let refused = Store::open(&store.config, store.folder.path()).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::Conflict);
        assert!(refused.message().contains("newer aerostack"), "{refused}");
    }
}

#[test]
fn two_processes_cannot_share_a_data_folder() {
    run(async {
        let store = testing::sqlite().await;
        let refused = Store::open(&store.config, store.folder.path()).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::StoreUnavailable);
        assert!(refused.message().contains("aerostack.lock"), "{refused}");
    });
}

#[test]
fn reading_connections_cannot_write() {
    run(async {
        let store = testing::sqlite().await;
        let refused =
            store.read(|db| async move { Ok(db.execute_unprepared("DELETE FROM settings").await.map(drop)?) }).await;
        assert_eq!(refused.unwrap_err().code(), ErrorCode::StoreUnavailable);
    });
}

#[test]
fn a_damaged_file_is_reported_and_never_replaced() {
    run(async {
        let store = testing::sqlite().await;
        store.close().await;
        let path = store.folder.path().join("aerostack.db");
        let rubbish = vec![b'x'; 8192];
        std::fs::write(&path, &rubbish).unwrap();
        let refused = Store::open(&store.config, store.folder.path()).await.unwrap_err();
        assert!(refused.message().contains("aerostack.db"), "{refused}");
        assert_eq!(std::fs::read(&path).unwrap(), rubbish);
    });
}

#[test]
fn a_locked_database_makes_writes_wait_and_then_says_come_back() {
    run(async {
        let store = testing::sqlite().await;
        store.close().await;
        let config = crate::config::DatabaseConfig {
            busy_timeout_seconds: 1,
            statement_timeout_seconds: 1,
            ..store.config.clone()
        };
        let store2 = Store::open(&config, store.folder.path()).await.unwrap();
        // Another connection to the same file, as a backup tool would make it.
        let path = store.folder.path().join("aerostack.db");
        let other = sea_orm::Database::connect(format!("sqlite://{}", path.display())).await.unwrap();
        other.execute_unprepared("BEGIN IMMEDIATE").await.unwrap();
        let refused = store2.upkeep(|tx| Box::pin(async move { tx.change("token", "tok_1").await })).await.unwrap_err();
        assert_eq!((refused.code(), refused.retry_after()), (ErrorCode::StoreUnavailable, Some(1)));
        store2.ping().await.unwrap();
        other.execute_unprepared("ROLLBACK").await.unwrap();
        store2.upkeep(|tx| Box::pin(async move { tx.change("token", "tok_1").await })).await.unwrap();
    });
}

#[test]
fn only_the_owner_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    run(async {
        let store = testing::sqlite().await;
        for name in ["aerostack.db", "analytics.db", "aerostack.db-wal"] {
            let mode = std::fs::metadata(store.folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    });
}
