//! Asking servers what tools they have, for lists and tests.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde::Deserialize;

use crate::{
    actors::{
        Actors,
        catalog::{Route, WorkspaceView},
    },
    domain::ids::ServerId,
    upstream::lists::Item,
};

/// Asks the servers of a workspace whose tools are not known yet, all at once and for at most `wait`. Whoever does not
/// answer in time is not waited for; its tools appear when it does.
pub async fn discover(actors: &Actors, workspace: &str, wait: Duration) {
    let view = actors.catalog.load().workspace(workspace).cloned();
    let Some(view) = view else { return };
    let asked: Vec<_> = view
        .undiscovered()
        .map(|one| {
            let scope = actors.vault.scope(view.id, one.def.id);
            actors.upstreams.refresh(&one.def, scope)
        })
        .collect();
    if asked.is_empty() || wait.is_zero() {
        return;
    }
    let answered = actix_web::rt::time::timeout(wait, join_all(asked)).await.unwrap_or_default();
    let answered = answered.into_iter().filter(|answer| answer.is_ok()).count();
    actors.catalog.settled(view.id, answered, Duration::from_secs(actors.config.upstream.list_wait_seconds)).await;
}

/// The same for as long as a list waits.
pub async fn discover_for_list(actors: &Actors, workspace: &str) {
    discover(actors, workspace, Duration::from_secs(actors.config.upstream.list_wait_seconds)).await;
}

/// Asks a server that was just given a credential, wherever its tools are not known yet. Nobody waits for it here:
/// clients with an open stream are told when its tools are there.
pub fn begin(actors: &Arc<Actors>, server: ServerId) {
    let catalog = actors.catalog.load();
    let wait = Duration::from_secs(actors.config.upstream.discovery_timeout_seconds);
    for view in catalog.workspaces.values() {
        let Some(one) = view.undiscovered().find(|one| one.def.id == server) else { continue };
        let (actors, def, workspace) = (actors.clone(), one.def.clone(), view.id);
        actix_web::rt::spawn(async move {
            let scope = actors.vault.scope(workspace, def.id);
            let answered = actix_web::rt::time::timeout(wait, actors.upstreams.refresh(&def, scope)).await;
            if !matches!(answered, Ok(Ok(_))) {
                tracing::debug!(server = %def.slug, "a server that was given a credential has not said what it offers");
            }
        });
    }
}

#[derive(Deserialize)]
struct Described {
    description: Option<String>,
}

/// What a tool's server says it does.
pub fn description(view: &WorkspaceView, route: &Arc<Route>) -> Option<String> {
    let server = view.installed.iter().find(|one| one.def.id == route.def.id)?;
    server.offer.as_ref()?.tools().iter().find(|tool| tool.name == route.upstream_name).and_then(described)
}

/// The description in a tool's own words.
pub fn described(tool: &Item) -> Option<String> {
    serde_json::from_str::<Described>(tool.raw.get()).ok()?.description
}
