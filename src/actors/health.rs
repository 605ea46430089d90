//! What operators see of the actors: one report per actor, gathered on the health board.

use std::sync::Arc;

use dashmap::DashMap;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;

use crate::domain::clock::Timestamp;

/// What an actor is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum ActorState {
    /// Answers.
    Running = 0,
    /// Being started again.
    Restarting = 1,
    /// Does not answer its heartbeat.
    Stalled = 2,
    /// Its restart budget is spent.
    Failed = 3,
    /// Finishing before a stop.
    Draining = 4,
    /// Stopped for good.
    Stopped = 5,
}

impl ActorState {
    pub(super) fn from_u8(value: u8) -> Self {
        match value {
            0 => ActorState::Running,
            1 => ActorState::Restarting,
            2 => ActorState::Stalled,
            3 => ActorState::Failed,
            4 => ActorState::Draining,
            _ => ActorState::Stopped,
        }
    }
}

/// One actor, as `/health/actors` shows it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ActorReport {
    /// Unique name, `Kind` or `Kind/instance`.
    pub name: String,
    /// What it is doing.
    pub state: ActorState,
    /// Whether the gateway cannot work without it.
    pub critical: bool,
    /// When the present incarnation started.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// Times it was started again.
    pub restarts: u64,
    /// Why it last ended.
    pub last_cause: Option<String>,
    /// Last answered heartbeat.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_heartbeat: Option<Timestamp>,
    /// Asks waiting now.
    pub in_flight: usize,
    /// Asks that may wait.
    pub max_in_flight: usize,
    /// Messages queued since the start.
    pub pushed: u64,
    /// Messages refused because a bound was reached.
    pub refused: u64,
    /// Half of the asks were answered within this many milliseconds.
    pub answer_ms_p50: f64,
    /// 99 % of the asks were answered within this many milliseconds.
    pub answer_ms_p99: f64,
    /// What the actor itself shows.
    #[schema(value_type = Option<Object>)]
    pub observed: Value,
}

/// One actor under supervision, seen from the board.
pub(super) trait Watched: Send + Sync {
    fn report(&self) -> ActorReport;
    /// Asks the actor for its observable state now.
    fn observe(&self) -> BoxFuture<'_, Option<Value>>;
    /// Ends the present incarnation so that the supervisor starts a fresh one; revives a failed actor.
    fn restart(&self);
}

/// All actors of one gateway.
#[derive(Clone, Default)]
pub struct HealthBoard {
    actors: Arc<DashMap<Arc<str>, Arc<dyn Watched>>>,
}

impl HealthBoard {
    pub(super) fn add(&self, name: Arc<str>, watched: Arc<dyn Watched>) {
        self.actors.insert(name, watched);
    }

    pub(super) fn remove(&self, name: &str, watched: &Arc<dyn Watched>) {
        self.actors.remove_if(name, |_, present| Arc::ptr_eq(present, watched));
    }

    /// All reports, by name.
    pub fn reports(&self) -> Vec<ActorReport> {
        let mut reports: Vec<ActorReport> = self.actors.iter().map(|entry| entry.report()).collect();
        reports.sort_by(|a, b| a.name.cmp(&b.name));
        reports
    }

    /// One report, with the actor's state asked for now.
    pub async fn report(&self, name: &str) -> Option<ActorReport> {
        let watched = self.actors.get(name).map(|entry| entry.value().clone())?;
        let observed = watched.observe().await;
        let mut report = watched.report();
        if let Some(observed) = observed {
            report.observed = observed;
        }
        Some(report)
    }

    /// Restarts one actor; false when there is none of that name.
    pub fn restart(&self, name: &str) -> bool {
        let watched = self.actors.get(name).map(|entry| entry.value().clone());
        watched.map(|watched| watched.restart()).is_some()
    }

    /// Critical actors that are not running (readiness looks at this).
    pub fn unready(&self) -> Vec<String> {
        let failing = |report: &ActorReport| report.critical && report.state != ActorState::Running;
        self.reports().into_iter().filter(failing).map(|report| report.name).collect()
    }
}
