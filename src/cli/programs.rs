//! Servers that are programs on the gateway's machine: their definitions are files there, so these commands work where
//! the gateway runs, by whoever may write into its folder.

use std::{
    fs::File,
    io::{ErrorKind, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::{
    failure::{Failure, Outcome},
    output::Terminal,
    session::Session,
};
use crate::{
    admin::dto::{Reloaded, Server},
    domain::{server_file::ServerFile, slug::Slug},
};

/// Has the gateway read the files again.
pub async fn reload(session: &mut Session) -> Outcome<Reloaded> {
    session.client()?.post(&["mcp-servers:reload"], vec![], &serde_json::json!({})).await
}

/// Writes a definition and has the gateway take it over.
pub async fn define(session: &mut Session, slug: &str, file: &ServerFile) -> Outcome<Server> {
    let slug = Slug::parse(slug).map_err(Failure::from)?;
    let text = file.to_text().map_err(Failure::from)?;
    file.clone().into_defined().map_err(Failure::from)?;
    let known: Outcome<Server> = session.client()?.get(&["mcp-servers", &slug], vec![]).await;
    if known.is_ok() {
        return Err(Failure::conflict(format!("There is an MCP server \"{slug}\" already"))
            .with_hint(format!("aerostack mcp remove {slug}")));
    }
    let folder = PathBuf::from(reload(session).await?.folder);
    let path = folder.join(format!("{slug}.toml"));
    write(&folder, &path, &text)?;
    let reloaded = reload(session).await;
    let problem = match &reloaded {
        Ok(done) if done.added.iter().any(|added| added == &*slug) => None,
        Ok(done) => Some(done.problems.iter().find(|problem| problem.contains(&format!("{slug}.toml")))),
        Err(_) => Some(None),
    };
    if let Some(problem) = problem {
        let _gone = std::fs::remove_file(&path);
        let because = problem.map(|problem| format!(": {problem}")).unwrap_or_default();
        reloaded?;
        return Err(Failure::local(format!("The gateway did not take {slug} over{because}")));
    }
    session.client()?.get(&["mcp-servers", &slug], vec![]).await
}

fn write(folder: &Path, path: &Path, text: &str) -> Outcome {
    let Ok(owner) = std::fs::metadata(folder) else {
        return Err(Failure::local(format!("{} is not on this machine", folder.display())).with_hint(format!(
            "run this where the gateway runs, or write {} there and run `aerostack mcp reload`",
            path.display()
        )));
    };
    let made = File::options().write(true).create_new(true).mode(0o600).open(path);
    let mut made = made.map_err(|cause| match cause.kind() {
        ErrorKind::AlreadyExists => Failure::conflict(format!("{} exists already", path.display())),
        ErrorKind::PermissionDenied => Failure::local(format!("You may not write into {}", folder.display()))
            .with_hint("run this as the user that runs the gateway"),
        _ => Failure::local(format!("{} cannot be written: {cause}", path.display())),
    })?;
    // An administrator who is not that user writes it for them.
    let _same_already = std::os::unix::fs::fchown(&made, Some(owner.uid()), Some(owner.gid()));
    made.write_all(text.as_bytes()).and_then(|()| made.sync_all()).map_err(|cause| {
        let _gone = std::fs::remove_file(path);
        Failure::local(format!("{} cannot be written: {cause}", path.display()))
    })
}

/// `mcp reload`: says what changed.
pub async fn tell(session: &mut Session, terminal: &mut Terminal) -> Outcome {
    let done = reload(session).await?;
    for problem in &done.problems {
        terminal.warn(problem);
    }
    let mut parts = Vec::new();
    for (what, slugs) in [("added", &done.added), ("changed", &done.changed), ("removed", &done.removed)] {
        if !slugs.is_empty() {
            parts.push(format!("{what} {}", slugs.join(", ")));
        }
    }
    let summary = if parts.is_empty() { "nothing changed".to_owned() } else { parts.join("; ") };
    terminal.done(&format!("Read {}: {summary}.", done.folder), &done, &summary)
}
