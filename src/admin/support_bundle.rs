//! One file for whoever helps, as `doctor --bundle` writes it on the command line: the check-up, and what the admin API
//! shows of health, actors, servers and workspaces. Nothing of that has a place for a secret; all the same, of a server's
//! place only its beginning is told, and whatever looks like one of our credentials is taken out of the whole text.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    actors::Actors,
    admin::{actors as board, auth::require_installation, doctor, health, request::Paging, servers, workspaces},
    domain::{clock, redacted, role::Principal},
    error::{Error, Result},
};

/// Servers and workspaces in the file, of each.
const LISTED: usize = 500;

fn value(of: impl Serialize) -> Result<Value> {
    serde_json::to_value(of).map_err(|cause| Error::internal("writing a support bundle", cause))
}

/// The file's text, JSON.
pub async fn bundle(actors: &Arc<Actors>, by: &Principal) -> Result<String> {
    require_installation(actors, by, "download its support bundle")?;
    let all = Paging { limit: Some(LISTED), cursor: None };
    let mut names: Vec<String> = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    names.retain(|name| name.starts_with("AEROSTACK_") || name.starts_with("WORKFLOW_SECRETS_KEY"));
    names.sort();
    let mut servers = servers::list(actors, by, &all).await?;
    for server in &mut servers.data {
        server.url = redacted::place(&server.url);
    }
    let bundle = json!({
        "made_at": clock::now(),
        "program": {
            "version": env!("CARGO_PKG_VERSION"),
            "system": std::env::consts::OS,
            "machine": std::env::consts::ARCH,
        },
        "gateway_url": actors.public_url.as_str(),
        "variables": names,
        "findings": doctor::examine(actors, by).await?.data,
        "gateway": {
            "health": value(health::examine(actors, by).await?)?,
            "actors": value(board::list(actors, by)?)?,
            "servers": value(servers)?,
            "workspaces": value(workspaces::list(actors, by, &all).await?)?,
        },
    });
    let text =
        serde_json::to_string_pretty(&bundle).map_err(|cause| Error::internal("writing a support bundle", cause))?;
    Ok(redacted::without_credentials(&text, &[]))
}
