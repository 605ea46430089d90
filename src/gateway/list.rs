//! The list methods, `initialize` and `server/discover`: what a workspace offers. One dead server never hides the others:
//! servers whose offer is not known yet are asked in parallel and waited for a moment; what has not answered by then
//! is announced later with `list_changed`.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde_json::json;

use crate::{
    actors::{
        catalog::{Route, WorkspaceView},
        catalog_policy::Hidden,
        grant::Grant,
    },
    domain::{clock, ids::WorkspaceId},
    error::{Error, ErrorCode, Result},
    gateway::{Caller, Gateway, dispatch::Request},
    protocol::{cursor::Cursor, meta, revision::Revision, scan, splice::json_string},
    upstream::lists::Kind,
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

/// Which list a method asks for.
pub fn kind_of(method: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.method() == method)
}

impl Gateway {
    /// The result of a list method: one page of what all servers of the workspace list.
    pub async fn list(&self, caller: &Caller, request: &Request, kind: Kind) -> Result<Vec<u8>> {
        let modern = caller.speech.is_modern();
        let view = self.discovered(caller).await?;
        if !view.abilities.may(modern, kind.capability()) {
            return Err(no_such_ability(kind.method()));
        }
        let scope = caller.grant.scope();
        let listing = view.listing_for(kind, scope.as_ref());
        let from = match request.env.param(&request.body, "cursor").filter(|raw| *raw != b"null") {
            None => 0,
            Some(raw) => self.opened_cursor(caller, raw, kind, listing.version(modern))?,
        };
        let page = listing.page(modern, from, self.config.limits.list_page.max(1));
        let next = page.next.map(|from| {
            let cursor = Cursor { from: from as u64, ..cursor_of(caller, kind, listing.version(modern)) };
            format!(r#","nextCursor":{}"#, json_string(&self.sessions.seal_cursor(&cursor)))
        });
        let tail = if modern { modern_tail(view.ttl_ms(kind)) } else { String::new() };
        let head = format!(r#"{{"{}":"#, kind.member());
        Ok([head.as_bytes(), &page.json, next.unwrap_or_default().as_bytes(), tail.as_bytes(), b"}"].concat())
    }

    /// Where the page begins that a cursor names. One that was not made here, or for something else, or before the list
    /// changed, is refused alike: the client lists anew.
    fn opened_cursor(&self, caller: &Caller, raw: &[u8], kind: Kind, version: u64) -> Result<usize> {
        let opened = scan::string_text(raw).and_then(|text| self.sessions.open_cursor(&text));
        let expected = cursor_of(caller, kind, version);
        let fits = opened.filter(|cursor| Cursor { from: cursor.from, ..expected } == *cursor);
        fits.and_then(|cursor| usize::try_from(cursor.from).ok()).ok_or_else(|| {
            let shown = String::from_utf8_lossy(raw).chars().take(64).collect::<String>();
            Error::new(ErrorCode::InvalidParams, format!("Invalid cursor: {shown}"))
                .with_hint("list again without a cursor; the list may have changed since it was given")
        })
    }
}

fn cursor_of(caller: &Caller, kind: Kind, version: u64) -> Cursor {
    Cursor { token: caller.grant.token, workspace: caller.grant.workspace, list: kind as u8, version, from: 0 }
}

/// The error for a method of a capability that no server of the workspace has.
pub fn no_such_ability(method: &str) -> Error {
    Error::new(ErrorCode::MethodNotFound, format!("Method not found: {method} (no server of this workspace has it)"))
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

/// What the model should know of this workspace, and what each server wants it to know, as far as there is room.
fn instructions(view: &WorkspaceView) -> String {
    let mut text = format!("Tools of the workspace \"{}\", gathered by aerostack.", view.slug);
    let names: Vec<&str> = view.installed.iter().filter(|one| one.enabled).map(|one| &*one.def.slug).collect();
    if names.is_empty() {
        text.push_str(" No MCP server is installed yet; an admin adds one with `aerostack mcp install`.");
    } else {
        text.push_str(&format!(" Servers: {}. A tool's name begins with its server's prefix.", names.join(", ")));
    }
    cut(&mut text, INSTRUCTIONS / 2);
    let said: Vec<(&str, &str)> = view.abilities.instructions().collect();
    let mut left = said.len();
    for (slug, instructions) in said {
        // What is left is shared by those that are left, so that a long one takes no other's room.
        let room = INSTRUCTIONS.saturating_sub(text.len()) / left.max(1);
        left = left.saturating_sub(1);
        let mut section = format!("\n\n## {slug}\n{instructions}");
        cut(&mut section, room);
        if section.len() > slug.len() + 6 {
            text.push_str(&section);
        }
    }
    text
}

/// Shortens to at most `most` bytes, at the end of a character.
fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
    }
}

/// The result of `server/discover`.
pub fn discovery(view: &WorkspaceView) -> Vec<u8> {
    format!(
        r#"{{"supportedVersions":["{}"],"capabilities":{},"instructions":{}{}}}"#,
        Revision::MODERN,
        view.abilities.capabilities(true),
        json_string(&instructions(view)),
        modern_tail(60_000)
    )
    .into_bytes()
}

/// The result of `initialize`.
pub fn handshake(view: &WorkspaceView, revision: Revision) -> Vec<u8> {
    format!(
        r#"{{"protocolVersion":"{revision}","capabilities":{},"serverInfo":{},"instructions":{}}}"#,
        view.abilities.capabilities(false),
        server_info(),
        json_string(&instructions(view))
    )
    .into_bytes()
}

/// Whether a token's scope leaves something of its workspace in. A token without one pays for one look.
pub fn may_use(view: &WorkspaceView, kind: Kind, route: &Route, grant: &Grant) -> bool {
    grant.scope().is_none_or(|scope| view.refusal(kind, route, &scope).is_none())
}

/// The tool, unless the token's scope leaves it out: then it looks as if it did not exist.
pub fn permitted(route: &Arc<Route>, grant: &Grant, name: &str) -> Result<Arc<Route>> {
    match grant.scope() {
        Some(scope) if route.refusal(&scope).is_some() => Err(unknown_tool(name)),
        _ => Ok(route.clone()),
    }
}

/// The error for a tool that is not offered: said to whoever could use it otherwise, unknown to all others.
pub fn not_offered(view: &WorkspaceView, grant: &Grant, name: &str) -> Error {
    let Some((route, why)) = view.withheld(name) else { return unknown_tool(name) };
    if let Err(unknown) = permitted(route, grant, name) {
        return unknown;
    }
    let (reason, what, remedy) = match why {
        Hidden::ServerDisabled => ("disabled", "belongs to a server that is disabled in this workspace", "enable it"),
        Hidden::SwitchedOff => ("disabled", "is switched off in this workspace", "switch it on"),
        Hidden::Rejected => ("disabled", "was rejected by an administrator", "look at it again"),
        Hidden::New => ("tool_pending_approval", "is new and waits for an administrator's approval", "approve it"),
        Hidden::Changed => ("tool_pending_approval", "changed and waits for an administrator's approval", "approve it"),
    };
    let (slug, tool) = (&view.slug, &route.exposed);
    Error::new(ErrorCode::ServerNotUsable, format!("The tool {tool} {what}"))
        .with_data(json!({ "reason": reason, "tool": &**tool }))
        .with_hint(format!("an administrator can {remedy}: aerostack mcp tools {} --workspace {slug}", route.def.slug))
}

/// The error for a tool that is not there (or not for this token: both look the same).
pub fn unknown_tool(name: &str) -> Error {
    let shown: String = name.chars().take(128).collect();
    Error::new(ErrorCode::InvalidParams, format!("Unknown tool: {shown}")).with_data(json!({ "tool": shown }))
}
