//! Who called which tool how often: the table of the command line.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::{
    HttpResponse,
    web::{self, Path},
};
use futures_util::future::try_join;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    actors::Actors,
    admin::{
        Admin,
        asked::{Asked, People, Question},
        auth::Caller,
        csv::{self, Format},
        dto::{Usage, UsageRow},
        openapi::Problems,
        overview,
        reply::Reply,
        request::Query,
    },
    domain::{clock::Timestamp, role::Principal},
    error::Result,
    store::usage::{self, By, Figures, Group},
};

/// Which calls to count.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UsageQuery {
    /// How far back: `24h`, `7d` (default), `30d`, …
    pub period: Option<String>,
    /// Instead of `period`: not before this moment (RFC 3339, or a day).
    pub from: Option<String>,
    /// Before this moment; now unless given.
    pub to: Option<String>,
    /// Only calls of this person or token.
    pub user: Option<String>,
    /// Only calls to this MCP server.
    pub server: Option<String>,
    /// Only calls of this tool.
    pub tool: Option<String>,
    /// `json` or `csv`.
    #[serde(default)]
    #[param(inline)]
    pub format: Format,
}

/// Counts calls. Administrators see everybody's, others their own.
pub async fn usage(actors: &Actors, by: &Principal, slug: &str, query: &UsageQuery) -> Result<Usage> {
    let question = Question {
        workspace: Some(slug),
        user: query.user.as_deref(),
        server: query.server.as_deref(),
        tool: query.tool.as_deref(),
        period: query.period.as_deref(),
        from: query.from.as_deref(),
        to: query.to.as_deref(),
    };
    let asked = Asked::of(actors, by, question).await?;
    let filter = asked.filter();
    let span = filter.span;
    let counting = actors.store.analytics(move |db| async move { usage::usage(&db, &filter).await });
    let (counted, unusual) = try_join(counting, overview::unusual(actors, &asked.places, &asked.people)).await?;
    Ok(Usage { data: rows(&asked.people, counted), next_cursor: None, from: span.from(), to: span.to(), unusual })
}

/// What happened in one workspace.
#[derive(Debug, Default)]
pub struct InWorkspace {
    /// Calls.
    pub calls: u64,
    /// People who made them.
    pub people: BTreeSet<String>,
}

/// Calls of the last week in the workspaces of the namespace, by slug, and the moment from which on they are counted. As far
/// as the caller may know, as everywhere.
pub async fn in_workspaces(actors: &Actors, by: &Principal) -> Result<(Timestamp, BTreeMap<String, InWorkspace>)> {
    let asked = Asked::of(actors, by, Question::default()).await?;
    let filter = asked.filter();
    let (from, apart) = (filter.span.from(), By { workspace: true, token: true, ..By::default() });
    let counted = actors.store.analytics(move |db| async move { usage::figures(&db, &filter, apart).await }).await?;
    let mut found: BTreeMap<String, InWorkspace> = BTreeMap::new();
    for (group, figures) in counted {
        let one = found.entry(asked.place(group.workspace())).or_default();
        one.calls += figures.calls;
        one.people.insert(asked.people.name(group.token()));
    }
    Ok((from, found))
}

/// One row for each person and tool: tokens that followed one another under a name count together.
fn rows(people: &People, counted: Vec<(Group, Figures)>) -> Vec<UsageRow> {
    let mut rows: BTreeMap<(String, String, String), UsageRow> = BTreeMap::new();
    for (group, figures) in counted {
        let user = people.name(group.token());
        let place = (user.to_lowercase(), user.clone(), group.tool.clone());
        let row = rows.entry(place).or_insert_with(|| UsageRow {
            user,
            tool: group.tool,
            server: figures.server_slug.clone(),
            calls: 0,
            errors: 0,
            last_call: None,
        });
        row.calls += figures.calls;
        row.errors += figures.failures();
        row.last_call = row.last_call.max(figures.last_call());
    }
    rows.into_values().collect()
}

/// Who called which tool, how often
#[utoipa::path(get, path = "/api/v1/admin/workspaces/{slug}/analytics", tag = "analytics",
    params(("slug" = String, Path), UsageQuery),
    responses((status = 200, content((Usage = "application/json"), (String = "text/csv"))), Problems))]
pub async fn usage_route(admin: web::Data<Admin>, by: Caller, slug: Path<String>, query: Query<UsageQuery>) -> Reply {
    let found = usage(&admin.actors, &by.0, &slug, &query.0).await?;
    if query.0.format == Format::Json {
        return Ok(HttpResponse::Ok().json(found));
    }
    let rows = found.data.into_iter().map(|row| {
        let (calls, errors) = (row.calls.to_string(), row.errors.to_string());
        vec![row.user, row.tool, row.server, calls, errors, csv::moment(row.last_call)]
    });
    csv::answer("usage", &["user", "tool", "server", "calls", "errors", "last_call"], rows, None)
}
