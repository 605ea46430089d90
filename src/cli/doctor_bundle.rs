//! `doctor --bundle`: one file for whoever helps. It is made of what the API shows, which has no place for a secret; all the
//! same, whatever looks like one of our credentials or is one that is saved here is taken out of the whole text.

use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

use super::{
    doctor::Finding,
    failure::{Failure, Outcome},
    output::Terminal,
    session::{OWN_VERSION, Session},
};
use crate::domain::{clock, redacted};

/// What is asked of the gateway, under which name.
const ASKED: &[(&str, &[&str])] =
    &[("health", &["health"]), ("actors", &["actors"]), ("servers", &["mcp-servers"]), ("workspaces", &["workspaces"])];

/// Writes the file; one that is there is left alone.
pub fn write(
    session: &Session,
    terminal: &mut Terminal,
    file: &Path,
    (findings, said): (&[Finding], &Map<String, Value>),
) -> Outcome {
    let text = serde_json::to_string_pretty(&bundle(session, findings, said))
        .map_err(|error| Failure::local(format!("cannot write JSON: {error}")))?;
    let text = redacted::without_credentials(&text, &known(session));
    let cannot = |error: std::io::Error| Failure::local(format!("cannot write {}: {error}", file.display()));
    let mut made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(cannot)?;
    made.write_all(text.as_bytes()).and_then(|()| made.sync_all()).map_err(cannot)?;
    terminal.note(&format!(
        "Wrote {}. It holds names of servers, workspaces and tokens, and no secret; look at it before you send it.",
        file.display()
    ));
    Ok(())
}

/// What the gateway says of itself, or why it does not.
pub async fn ask(session: &mut Session) -> Map<String, Value> {
    let mut said = Map::new();
    for (name, path) in ASKED {
        let answer = match session.client() {
            Ok(client) => client.get::<Value>(path, vec![]).await,
            Err(failure) => Err(failure),
        };
        said.insert((*name).to_owned(), answer.unwrap_or_else(|failure| json!(failure.headline())));
    }
    let servers = said.get_mut("servers").and_then(|page| page.get_mut("data")).and_then(Value::as_array_mut);
    for place in servers.into_iter().flatten().filter_map(|server| server.get_mut("url")) {
        *place = json!(redacted::place(place.as_str().unwrap_or_default()));
    }
    said
}

fn bundle(session: &Session, findings: &[Finding], said: &Map<String, Value>) -> Value {
    let mut names: Vec<String> = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    names.retain(|name| name.starts_with("AEROSTACK_") || name.starts_with("WORKFLOW_SECRETS_KEY"));
    names.sort();
    json!({
        "made_at": clock::now(),
        "program": { "version": OWN_VERSION, "system": std::env::consts::OS, "machine": std::env::consts::ARCH },
        "gateway_url": session.url().as_str(),
        "variables": names,
        "findings": findings,
        "gateway": said,
    })
}

/// Credentials that are at hand here.
fn known(session: &Session) -> Vec<String> {
    let saved = session.store.saved_tokens().unwrap_or_default().into_values();
    let key = session.api_key().ok();
    let mut known: Vec<String> = saved.chain(key).map(|secret| secret.expose_secret().to_owned()).collect();
    known.extend(["AEROSTACK_TOKEN", "AEROSTACK_API_KEY"].iter().filter_map(|name| std::env::var(name).ok()));
    known.retain(|secret| secret.len() >= redacted::SHORTEST);
    known
}
