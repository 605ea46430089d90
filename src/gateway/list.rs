//! `tools/list`, `initialize` and `server/discover`: what a workspace offers. One dead server never hides the others:
//! servers whose tools are not known yet are asked in parallel and waited for a moment; what has not answered by then
//! is announced later with `list_changed`.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde_json::json;

use crate::{
    actors::catalog::WorkspaceView,
    domain::{clock, ids::WorkspaceId},
    error::{Error, ErrorCode, Result},
    gateway::{Caller, Gateway},
    protocol::{meta, revision::Revision, splice::json_string},
};

/// Longest `instructions`, in bytes (clients cut at 2 KB).
const INSTRUCTIONS: usize = 2000;

impl Gateway {
    /// The workspace of a grant.
    pub fn workspace(&self, caller: &Caller) -> Result<Arc<WorkspaceView>> {
        let catalog = self.catalog.load();
        catalog
            .workspace(&caller.grant.slug)
            .cloned()
            .ok_or_else(|| Error::new(ErrorCode::Unauthorized, "Unauthorized: this workspace does not exist any more"))
    }

    /// The workspace, after servers not known yet have had a moment to say what they offer.
    pub async fn discovered(&self, caller: &Caller) -> Result<Arc<WorkspaceView>> {
        let view = self.workspace(caller)?;
        if view.undiscovered().next().is_none() {
            return Ok(view);
        }
        let wait = Duration::from_secs(self.config.upstream.list_wait_seconds);
        self.discover(&view, wait).await;
        self.workspace(caller)
    }

    /// Asks every server whose tools are not known, in parallel, and waits at most `wait` for the catalogue to know.
    async fn discover(&self, view: &WorkspaceView, wait: Duration) {
        let asked = view.undiscovered().map(|one| {
            let scope = self.vault.scope(view.id, one.def.id);
            async move { tokio::time::timeout(wait, self.upstreams.refresh(&one.def, scope)).await }
        });
        let begun = clock::instant();
        // Who cannot be reached says so at once; who answers is waited for until its tools are in the catalogue.
        let answered = join_all(asked).await.into_iter().filter(|asked| matches!(asked, Ok(Ok(_)))).count();
        if answered > 0 {
            self.catalog.settled(view.id, answered, wait.saturating_sub(begun.elapsed())).await;
        }
    }

    /// Asks for the tools of a workspace ahead of the first list (at start and after an install).
    pub async fn warm(&self, workspace: WorkspaceId, wait: Duration) {
        let catalog = self.catalog.load();
        if let Some(view) = catalog.workspace_by_id(workspace).cloned() {
            drop(catalog);
            self.discover(&view, wait).await;
        }
    }
}

/// The result of `tools/list`.
pub fn tools(view: &WorkspaceView, modern: bool) -> Vec<u8> {
    let tail = if modern { modern_tail(0) } else { String::new() };
    [b"{\"tools\":".as_slice(), &view.tools_json, tail.as_bytes(), b"}"].concat()
}

/// `,"resultType":…` and what else every cacheable result of 2026-07-28 carries.
fn modern_tail(ttl_ms: u64) -> String {
    format!(
        r#","resultType":"complete","ttlMs":{ttl_ms},"cacheScope":"private","_meta":{{"{}":{}}}"#,
        meta::SERVER_INFO,
        server_info()
    )
}

/// Our name and version, as `serverInfo`.
pub fn server_info() -> &'static str {
    concat!(r#"{"name":"aerostack","title":"Aerostack","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#)
}

const CAPABILITIES: &str = r#"{"tools":{"listChanged":true}}"#;

/// What the model should know of this workspace.
fn instructions(view: &WorkspaceView) -> String {
    let mut text = format!("Tools of the workspace \"{}\", gathered by aerostack.", view.slug);
    let names: Vec<&str> = view.installed.iter().filter(|one| one.enabled).map(|one| &*one.def.slug).collect();
    if names.is_empty() {
        text.push_str(" No MCP server is installed yet; an admin adds one with `aerostack mcp install`.");
    } else {
        text.push_str(&format!(" Servers: {}. A tool's name begins with its server's prefix.", names.join(", ")));
    }
    let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= INSTRUCTIONS).last().unwrap_or(0);
    if text.len() > INSTRUCTIONS {
        text.truncate(end);
    }
    text
}

/// The result of `server/discover`.
pub fn discovery(view: &WorkspaceView) -> Vec<u8> {
    format!(
        r#"{{"supportedVersions":["{}"],"capabilities":{CAPABILITIES},"instructions":{}{}}}"#,
        Revision::MODERN,
        json_string(&instructions(view)),
        modern_tail(60_000)
    )
    .into_bytes()
}

/// The result of `initialize`.
pub fn handshake(view: &WorkspaceView, revision: Revision) -> Vec<u8> {
    format!(
        r#"{{"protocolVersion":"{revision}","capabilities":{CAPABILITIES},"serverInfo":{},"instructions":{}}}"#,
        server_info(),
        json_string(&instructions(view))
    )
    .into_bytes()
}

/// The error for a tool that is not there (or not for this token: both look the same).
pub fn unknown_tool(name: &str) -> Error {
    let shown: String = name.chars().take(128).collect();
    Error::new(ErrorCode::InvalidParams, format!("Unknown tool: {shown}")).with_data(json!({ "tool": shown }))
}
