//! What a check-up says, and how an installation is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// It works; something should be done.
    Warn,
    /// It does not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// What was looked at.
    #[schema(example = "database")]
    pub about: String,
    /// How it is.
    pub state: CheckState,
    /// What was found.
    pub found: String,
    /// What to do, unless all is well.
    pub fix: Option<String>,
}

impl Check {
    /// All is well.
    pub fn ok(about: &str, found: impl Into<String>) -> Self {
        Check { about: about.to_owned(), state: CheckState::Ok, found: found.into(), fix: None }
    }
    /// Something should be done.
    pub fn warn(about: &str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Check { state: CheckState::Warn, fix: Some(fix.into()), ..Check::ok(about, found) }
    }
    /// Something does not work.
    pub fn fail(about: &str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Check { state: CheckState::Fail, fix: Some(fix.into()), ..Check::ok(about, found) }
    }
}

/// A check-up of the gateway, and of the namespace that is acted in.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CheckUp {
    /// Everything that was looked at.
    pub data: Vec<Check>,
}

/// How the installation is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `pass`, `warn` (an actor is being restarted or has failed) or `fail` (a critical one does not run, or the database
    /// or the disk does not answer).
    pub status: String,
    /// Version of the gateway.
    pub version: String,
    /// Actors there are.
    pub actors: usize,
    /// Of these, running.
    pub actors_running: usize,
    /// Times an actor was started again since the gateway was started.
    pub restarts: u64,
    /// Open streams of clients that listen.
    pub streams: usize,
    /// Calls under way, of all workspaces.
    pub calls: usize,
    /// Its databases.
    pub database: DatabaseHealth,
    /// The disk of its data folder.
    pub disk: DiskHealth,
}

/// How the databases are. What is not known is `null`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct DatabaseHealth {
    /// `sqlite` (two files) or `postgres` (one database).
    pub kind: String,
    /// Whether they answered in time.
    pub reachable: bool,
    /// Why they did not.
    pub error: Option<String>,
    /// Milliseconds until the shortest question was answered.
    pub latency_ms: Option<f64>,
    /// Version of the database program.
    pub version: Option<String>,
    /// Bytes of the main database: its files, or on Postgres the database that everything is in.
    pub state_bytes: Option<u64>,
    /// Bytes of the analytics database's files; `null` on Postgres, where they are in the same database.
    pub analytics_bytes: Option<u64>,
    /// Steps of the main schema.
    pub state_schema: Option<SchemaSteps>,
    /// Steps of the analytics schema.
    pub analytics_schema: Option<SchemaSteps>,
}

/// The steps of a schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SchemaSteps {
    /// Those that were taken.
    pub applied: u64,
    /// Those that this version knows.
    pub known: u64,
    /// The last one that was taken.
    pub newest: String,
}

/// The disk of the data folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiskHealth {
    /// The data folder.
    pub folder: String,
    /// Bytes that may still be written.
    pub free_bytes: Option<u64>,
    /// Bytes of its file system.
    pub total_bytes: Option<u64>,
    /// Why that is not known.
    pub error: Option<String>,
}
