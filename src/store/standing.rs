//! How the databases stand: for people who look after them. Nothing is changed by looking.

use std::time::Duration;

use migration::MigratorTrait;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement, TryGetable};
use tokio::time::timeout;

use crate::{
    domain::clock,
    error::Result,
    store::{Store, column::damaged, failure::unavailable, hop},
};

/// How the databases stand.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What kind they are.
    pub kind: DatabaseKind,
    /// Version of the database program, as it names itself.
    pub version: String,
    /// How long the shortest question took, a wait for a free connection included.
    pub answered_in: Duration,
    /// On Postgres, bytes of the database that state and analytics are in.
    pub bytes: Option<u64>,
    /// Steps of the main schema.
    pub state: Steps,
    /// Steps of the analytics schema.
    pub analytics: Steps,
}

/// What kind a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseKind {
    /// Two files in the data folder.
    Sqlite,
    /// One database on a server.
    Postgres,
}

/// The steps of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steps {
    /// Those that were taken.
    pub applied: u64,
    /// Those that this program knows.
    pub known: u64,
    /// The name of the last one that was taken.
    pub newest: String,
}

impl Store {
    /// Asks the databases how they are.
    ///
    /// # Errors
    /// `store_unavailable` when they do not answer within `limit`.
    pub async fn standing(&self, limit: Duration) -> Result<Standing> {
        let (state, analytics) = (self.0.state.read.clone(), self.0.analytics.read.clone());
        let look = async move {
            let asked = timeout(limit, look(&state, &analytics)).await;
            asked.unwrap_or_else(|_elapsed| Err(unavailable("The database does not answer")))
        };
        hop(&self.0.runtime.handle, look).await
    }
}

async fn look(state: &DatabaseConnection, analytics: &DatabaseConnection) -> Result<Standing> {
    let begun = clock::instant();
    state.execute_unprepared("SELECT 1").await?;
    let answered_in = begun.elapsed();
    let (kind, version, bytes) = match state.get_database_backend() {
        DbBackend::Sqlite => (DatabaseKind::Sqlite, one(state, "SELECT sqlite_version()").await?, None),
        _ => {
            let bytes: i64 = one(state, "SELECT pg_database_size(current_database())").await?;
            let version = one(state, "SHOW server_version").await?;
            (DatabaseKind::Postgres, version, Some(u64::try_from(bytes).unwrap_or_default()))
        }
    };
    let (state, analytics) = (steps::<migration::State>(state).await?, steps::<migration::Analytics>(analytics).await?);
    Ok(Standing { kind, version, answered_in, bytes, state, analytics })
}

async fn steps<M: MigratorTrait>(db: &DatabaseConnection) -> Result<Steps> {
    let table = M::migration_table_name().to_string();
    let applied: i64 = one(db, &format!("SELECT count(*) FROM {table}")).await?;
    let newest = one(db, &format!("SELECT max(version) FROM {table}")).await?;
    let known = u64::try_from(M::migrations().len()).unwrap_or(u64::MAX);
    Ok(Steps { applied: u64::try_from(applied).unwrap_or_default(), known, newest })
}

/// The one value that `question` asks for.
async fn one<T: TryGetable>(db: &DatabaseConnection, question: &str) -> Result<T> {
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), question)).await?;
    let row = row.ok_or_else(|| damaged("the database", "it has no answer to a question about itself"))?;
    Ok(row.try_get_by_index(0)?)
}
