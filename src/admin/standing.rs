//! How a server stands: whether it answers, as far as calls and tests so far have shown. Nothing is asked for it.

use crate::{
    actors::{Actors, upstream_link::Phase},
    domain::{clock::Timestamp, ids::WorkspaceId},
    upstream::ServerDef,
};

/// What is known of a server without asking it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nobody needed it since the gateway started.
    Idle,
    /// It is being connected to.
    Connecting,
    /// It answered.
    Running {
        /// How it is talked to: transport and revision.
        speaks: String,
        /// Tools it lists.
        tools: Option<usize>,
        /// When they were last listed.
        listed_at: Option<Timestamp>,
    },
    /// It failed too often and is left alone for a moment.
    Resting {
        /// Failures in a row.
        failures: u32,
        /// Seconds until it is tried again.
        seconds: u64,
    },
    /// The last attempt failed.
    Failed {
        /// Why, in words.
        why: String,
    },
}

/// How a server stands in a workspace (`None`: with the values of secrets that all workspaces share).
pub fn of(actors: &Actors, def: &ServerDef, workspace: Option<WorkspaceId>) -> Standing {
    if let Some(open) = def.breaker.resting() {
        let seconds = u64::try_from(open.retry_after.as_millis().div_ceil(1000)).unwrap_or(u64::MAX);
        return Standing::Resting { failures: open.failures, seconds };
    }
    let scope = workspace.and_then(|workspace| actors.vault.scope(workspace, def.id));
    let Some(status) = actors.upstreams.status(def, scope) else { return Standing::Idle };
    match status.phase {
        Phase::Idle => Standing::Idle,
        Phase::Connecting => Standing::Connecting,
        Phase::Failed => {
            let why = status.failure.clone().unwrap_or_else(|| "it does not answer".to_owned());
            Standing::Failed { why }
        }
        Phase::Connected => {
            let speaks = [status.transport, status.revision].into_iter().flatten().collect::<Vec<_>>().join(" ");
            Standing::Running { speaks, tools: status.tools, listed_at: status.listed_at }
        }
    }
}

/// How an installation stands, by its id.
pub fn installed(actors: &Actors, workspace: &str, installation: &str) -> Standing {
    let catalog = actors.catalog.load();
    let Some(view) = catalog.workspace(workspace) else { return Standing::Idle };
    let one = view.installed.iter().find(|one| one.id.to_string() == installation);
    one.map_or(Standing::Idle, |one| of(actors, &one.def, Some(view.id)))
}

/// How a definition stands, by its id: with the values of secrets that all workspaces share, else as in the first workspace
/// that needed it.
pub fn server(actors: &Actors, server: &str) -> Standing {
    let catalog = actors.catalog.load();
    let Some(def) = catalog.servers.values().find(|def| def.id.to_string() == server) else { return Standing::Idle };
    let shared = of(actors, def, None);
    if !matches!(shared, Standing::Idle) {
        return shared;
    }
    let places = catalog.workspaces.values().filter(|view| view.installed.iter().any(|one| one.def.id == def.id));
    let mut others = places.map(|view| of(actors, def, Some(view.id))).filter(|found| *found != Standing::Idle);
    others.next().unwrap_or(Standing::Idle)
}
