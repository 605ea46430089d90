//! Consistent copies of the SQLite files, made while the gateway goes on: a copy is one read transaction, and what is
//! free in the original is not in it. Which schema a copy has is said with it.

use std::{path::Path, time::Duration};

use migration::MigratorTrait as _;
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};
use tokio::time::timeout;

use super::{Store, failure::unavailable, hop};
use crate::error::{Result, err};

/// One of the two databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Accounts, tokens, secrets, servers, audit.
    State,
    /// Calls and their sums.
    Analytics,
}

impl Part {
    /// Its file in the data folder.
    pub const fn file_name(self) -> &'static str {
        match self {
            Part::State => "aerostack.db",
            Part::Analytics => "analytics.db",
        }
    }
}

/// The newest step of the main database's schema that this program knows.
pub fn schema() -> String {
    migration::State::migrations().last().map(|step| step.name().to_owned()).unwrap_or_default()
}

/// Whether this program can read, or bring up to date, a main database whose newest step is this one.
pub fn knows_schema(name: &str) -> bool {
    migration::State::migrations().iter().any(|step| step.name() == name)
}

impl Store {
    /// Writes a copy of a SQLite database to `into`, which must not exist or be empty.
    ///
    /// # Errors
    /// `store_unavailable` when it cannot be written or takes longer than `limit`; the file may be half written then.
    pub async fn snapshot(&self, part: Part, into: &Path, limit: Duration) -> Result<()> {
        let name = part.file_name();
        let Some(path) = into.to_str().map(str::to_owned) else {
            return Err(err::validation("The path of a backup must be UTF-8"));
        };
        let pools = match part {
            Part::State => &self.0.state,
            Part::Analytics => &self.0.analytics,
        };
        // The reading connections refuse to write, also to another file.
        let db = pools.write.clone();
        let copying = async move {
            let copy = Statement::from_sql_and_values(DbBackend::Sqlite, "VACUUM INTO ?", [path.into()]);
            match timeout(limit, db.execute_raw(copy)).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(cause)) => Err(unavailable(format!("{name} cannot be copied: {cause}"))
                    .with_hint("The copy needs as much room on the disk as the database")),
                Err(_elapsed) => Err(unavailable(format!("Copying {name} took longer than backup.snapshot_seconds"))),
            }
        };
        hop(&self.0.runtime.handle, copying).await
    }
}
