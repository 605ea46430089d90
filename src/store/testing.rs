//! Stores for unit tests: a fresh one on SQLite, on Postgres where there is one, and a macro to hold every rule on
//! both.

#[path = "../../tests/support/database.rs"]
mod database;

use std::{future::Future, ops::Deref};

use zeroize::Zeroizing;

use crate::{config::DatabaseConfig, domain::audit_chain::AuditKey, store::Store};

/// A store of its own, gone with the value. Its audit key is set.
pub struct TestStore {
    store: Store,
    /// What it was opened with (open it again with these).
    pub config: DatabaseConfig,
    /// Its data folder.
    pub folder: tempfile::TempDir,
}

impl Deref for TestStore {
    type Target = Store;
    fn deref(&self) -> &Store {
        &self.store
    }
}

impl TestStore {
    /// Closes it and opens it again, as a restart does.
    pub async fn reopen(mut self) -> TestStore {
        self.store.close().await;
        self.store = Store::open(&self.config, self.folder.path()).await.unwrap();
        self.store.set_audit_key(audit_key());
        self
    }
}

/// The audit key of test stores.
pub fn audit_key() -> AuditKey {
    AuditKey { version: 1, key: Zeroizing::new([7; 32]) }
}

/// A fresh store on SQLite.
pub async fn sqlite() -> TestStore {
    open(patient()).await
}

/// The URL of a fresh Postgres database, if there is a Postgres here.
pub async fn postgres_url() -> Option<String> {
    database::fresh_postgres()
}

/// A fresh store on Postgres, if there is one here.
pub async fn postgres() -> Option<TestStore> {
    let url = postgres_url().await?;
    Some(open(DatabaseConfig { url, ..patient() }).await)
}

/// Limits for a machine that does much else, where a test is not about them.
pub fn patient() -> DatabaseConfig {
    DatabaseConfig {
        acquire_timeout_seconds: 60,
        busy_timeout_seconds: 60,
        statement_timeout_seconds: 60,
        ..DatabaseConfig::default()
    }
}

async fn open(config: DatabaseConfig) -> TestStore {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&config, folder.path()).await.unwrap();
    store.set_audit_key(audit_key());
    TestStore { store, config, folder }
}

/// Runs a test's future.
pub fn run<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

/// Declares tests `async fn name(store: TestStore) { … }` that must hold on SQLite and on Postgres.
macro_rules! on_both_databases {
    ($($(#[$meta:meta])* async fn $name:ident($store:ident: TestStore) $body:block)*) => {$(
        $(#[$meta])*
        mod $name {
            use super::*;
            async fn rule($store: $crate::store::testing::TestStore) $body
            #[test]
            fn sqlite() {
                $crate::store::testing::run(async { rule($crate::store::testing::sqlite().await).await });
            }
            #[test]
            fn postgres() {
                $crate::store::testing::run(async {
                    if let Some(store) = $crate::store::testing::postgres().await { rule(store).await }
                });
            }
        }
    )*};
}
pub(crate) use on_both_databases;
