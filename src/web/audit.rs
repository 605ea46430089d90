//! `/audit` and `/workspaces/{slug}/audit`: who did what, from the log that shows tampering.

use actix_web::{
    http::StatusCode,
    web::{self, Path},
};
use askama::Template;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    admin::{
        audit::{self, AuditQuery},
        audit_verify,
        dto::{AuditEntry, AuditVerdict, VerifyAudit},
    },
    domain::near,
    error::{Result, err},
    web::{
        page,
        shell::{Noun, Shell, Toast},
        show, status_of,
        visit::{Answer, Visit},
        workspace::{Place, around},
    },
};

/// Entries on a page.
const ENTRIES: u64 = 50;

/// What is looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Look {
    /// `admin`, `install`, `call`, `security`; empty: all.
    kind: String,
    /// Only acts of this person or token.
    user: String,
    /// The page before ended here.
    cursor: String,
    /// The act that is looked at closely, by its position in the log.
    entry: String,
}

impl Look {
    fn query(&self) -> AuditQuery {
        let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        AuditQuery {
            kind: given(&self.kind),
            user: given(&self.user),
            cursor: given(&self.cursor),
            limit: Some(ENTRIES),
            ..AuditQuery::default()
        }
    }
    fn link(&self, base: &str, kind: &str, cursor: &str) -> String {
        self.link_to(base, kind, cursor, "")
    }
    /// The same list with one act in front of it, or with none.
    fn link_to(&self, base: &str, kind: &str, cursor: &str, entry: &str) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in [("kind", kind), ("user", &self.user), ("cursor", cursor), ("entry", entry)] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        let query = query.finish();
        if query.is_empty() { base.to_owned() } else { format!("{base}?{query}") }
    }
}

/// Acts in a file, as many as the API gives at once.
const FILE: &str = "1000";

/// The act that is looked at, if there is such a one in the log.
fn one(entry: &str, found: Vec<AuditEntry>) -> Result<AuditEntry> {
    let missing = || err::not_found(format!("This log has no entry {}", near::shown(entry)));
    found.into_iter().next().ok_or_else(missing)
}

/// The query for it alone. What is no number is the position of nothing.
fn alone(entry: &str) -> AuditQuery {
    AuditQuery { seq: Some(entry.parse().unwrap_or(0)), limit: Some(1), ..AuditQuery::default() }
}

/// The list, the same on both pages.
struct List {
    base: String,
    namespace: String,
    look: Look,
    kinds: &'static [(&'static str, &'static str)],
    entries: Vec<AuditEntry>,
    next: Option<String>,
    act: Option<AuditEntry>,
    /// Whether who looks may check the whole log.
    verifies: bool,
}

impl List {
    /// Where an act is looked at closely; calls are not in the log that has positions.
    fn open(&self, entry: &AuditEntry) -> Option<String> {
        let seq = entry.seq?.to_string();
        Some(self.look.link_to(&self.base, &self.look.kind, &self.look.cursor, &seq))
    }
    /// The list alone.
    fn closed(&self) -> String {
        self.look.link(&self.base, &self.look.kind, &self.look.cursor)
    }

    /// The same as a file.
    fn csv(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs([("format", "csv"), ("limit", FILE), ("namespace", &self.namespace)]);
        for (name, value) in [("kind", &self.look.kind), ("user", &self.look.user)] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        format!("/api/v1/admin{}?{}", self.base, query.finish())
    }
}

#[derive(Template)]
#[template(path = "audit.html")]
struct Page {
    shell: Shell,
    list: List,
    verdict: Option<AuditVerdict>,
}

#[derive(Template)]
#[template(path = "workspace/audit.html")]
struct WorkspacePage {
    shell: Shell,
    place: Place,
    list: List,
}

/// What was before or is now, in a cell.
fn side(value: Option<&String>) -> String {
    match value {
        Some(value) => format!(r#"<code class="any">{}</code>"#, show::text(show::short(value))),
        None => r#"<span class="dim">nothing</span>"#.into(),
    }
}

/// A name of the log, as words.
fn words(name: &str) -> String {
    show::text(name.replace('_', " "))
}

/// What else is written of an act: names and ids.
fn more(act: &AuditEntry) -> Vec<(String, String)> {
    let said = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    act.detail.iter().map(|(name, value)| (name.replace('_', " "), show::short(&said(value)))).collect()
}

/// What an entry's kind is called; tinted where somebody was turned away or something was found broken.
fn kind(entry: &AuditEntry) -> String {
    let alarming = ["failed", "refused", "forbidden", "error"].iter().any(|end| entry.action.ends_with(end));
    show::chip(if entry.kind == "security" && alarming { "warn" } else { "" }, &entry.kind)
}

async fn of_namespace(visit: &Visit, look: Look, verdict: Option<AuditVerdict>) -> Result<Page> {
    let shell = visit.shell(Noun::Audit, "", "Audit").await?;
    let found = audit::of_namespace(visit.actors(), &visit.by, look.query()).await?;
    let kinds = &[("", "All"), ("admin", "Administrative"), ("install", "Installs"), ("security", "Security")];
    let mut act = None;
    if !look.entry.is_empty() {
        let found = audit::of_namespace(visit.actors(), &visit.by, alone(&look.entry)).await?;
        act = Some(one(&look.entry, found.data)?);
    }
    let (namespace, verifies) = (shell.namespace.clone(), shell.actors.is_some());
    let (entries, next) = (found.data, found.next_cursor);
    let list = List { base: "/audit".into(), namespace, look, kinds, entries, next, act, verifies };
    Ok(Page { shell, list, verdict })
}

/// Shows the namespace's.
pub async fn show(visit: Visit, look: web::Query<Look>) -> Answer {
    Ok(page(StatusCode::OK, &of_namespace(&visit, look.into_inner(), None).await?))
}

/// Checks that the log is what was written, and says so.
pub async fn submit(visit: Visit) -> Answer {
    match audit_verify::verify(&visit.admin, &visit.by, VerifyAudit::default()).await {
        Ok(verdict) => Ok(page(StatusCode::OK, &of_namespace(&visit, Look::default(), Some(verdict)).await?)),
        Err(error) => {
            let built = of_namespace(&visit, Look::default(), None).await?;
            let shell = built.shell.saying(Some(Toast::refused(&error)));
            Ok(page(status_of(&error), &Page { shell, ..built }))
        }
    }
}

/// Shows a workspace's.
pub async fn of_workspace(visit: Visit, slug: Path<String>, look: web::Query<Look>) -> Answer {
    let (shell, place) = around(&visit, &slug, "Workspace Audit").await?;
    let look = look.into_inner();
    let found = audit::list(visit.actors(), &visit.by, &slug, look.query()).await?;
    let kinds = &[("", "All"), ("admin", "Administrative"), ("install", "Installs"), ("call", "Tool calls")];
    let base = format!("/workspaces/{}/audit", place.slug);
    let mut act = None;
    if !look.entry.is_empty() {
        let found = audit::list(visit.actors(), &visit.by, &slug, alone(&look.entry)).await?;
        act = Some(one(&look.entry, found.data)?);
    }
    let (namespace, verifies) = (shell.namespace.clone(), shell.actors.is_some());
    let (entries, next) = (found.data, found.next_cursor);
    let list = List { base, namespace, look, kinds, entries, next, act, verifies };
    Ok(page(StatusCode::OK, &WorkspacePage { shell, place, list }))
}
