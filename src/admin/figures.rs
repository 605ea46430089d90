//! Figures for a stretch of time: volume, errors and latencies over time, a heat map, and tables of users, tools, servers
//! and workspaces. For one workspace, or for all of a namespace.

use std::{
    cmp::{Ordering, Reverse},
    collections::BTreeMap,
};

use actix_web::{
    HttpResponse,
    web::{self, Path},
};
use futures_util::future::try_join;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    actors::Actors,
    admin::{
        Admin,
        asked::{self, Asked, Question, only_in},
        auth::Caller,
        csv::{self, Format},
        dto::{Figures, Point, Subject, SubjectRow, SubjectTable, Sums, VolumeLayer},
        openapi::Problems,
        reply::Reply,
        request::{Query, decode_cursor, encode_cursor},
    },
    domain::{
        role::Principal,
        span::{HOUR_US, WeekHour},
    },
    error::{Error, ErrorCode, Result},
    store::usage::{self, By, Detail, Group, UsageFilter, Which},
};

/// Layers besides the others, unless another number is asked for, and at most.
const LAYERS: usize = 7;
const MOST_LAYERS: usize = 20;
/// Rows of a page of a table, unless another number is asked for, and at most.
const ROWS: usize = 50;
const MOST_ROWS: usize = 1000;

/// Which figures.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FiguresQuery {
    /// Only this workspace (where the path names none).
    pub workspace: Option<String>,
    /// How far back: `1h`, `24h`, `7d` (default), `30d`, `90d`, …
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
    /// What the layers of the volume are: `user` (default), `tool`, `server` or `workspace`.
    #[serde(default)]
    #[param(inline)]
    pub by: Subject,
    /// Layers besides that of all others: 7 unless given, at most 20.
    pub top: Option<usize>,
    /// Minutes by which the time zone of the heat map is ahead of UTC.
    #[serde(default)]
    pub utc_offset_minutes: i32,
    /// `json`, or `csv` for the steps.
    #[serde(default)]
    #[param(inline)]
    pub format: Format,
}

/// What a table is sorted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SortBy {
    /// Most calls first.
    #[default]
    Calls,
    /// Most failed calls first.
    Errors,
    /// Largest share of failed calls first.
    ErrorRate,
    /// Slowest half first.
    P50,
    /// Slowest 5 % first.
    P95,
    /// Slowest 1 % first.
    P99,
    /// Latest call first.
    LastCall,
    /// From A to Z.
    Name,
}

/// Which table.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TableQuery {
    /// Only this workspace (where the path names none).
    pub workspace: Option<String>,
    /// How far back: `1h`, `24h`, `7d` (default), `30d`, `90d`, …
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
    /// What the rows are: `user` (default), `tool`, `server` or `workspace`.
    #[serde(default)]
    #[param(inline)]
    pub by: Subject,
    /// `calls` (default), `errors`, `error_rate`, `p50`, `p95`, `p99`, `last_call` or `name`.
    #[serde(default)]
    #[param(inline)]
    pub sort: SortBy,
    /// The other way round.
    #[serde(default)]
    pub reverse: bool,
    /// Rows on a page: 50 unless given, at most 1000.
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// `json` or `csv`.
    #[serde(default)]
    #[param(inline)]
    pub format: Format,
}

macro_rules! question {
    ($workspace:expr, $query:expr) => {
        Question {
            workspace: $workspace,
            user: $query.user.as_deref(),
            server: $query.server.as_deref(),
            tool: $query.tool.as_deref(),
            period: $query.period.as_deref(),
            from: $query.from.as_deref(),
            to: $query.to.as_deref(),
        }
    };
}

/// Counted calls as they are shown.
pub fn sums(figures: &usage::Figures) -> Sums {
    let errors = figures.failures();
    Sums {
        calls: figures.calls,
        errors,
        tool_errors: figures.tool_errors,
        error_rate: if figures.calls == 0 { 0.0 } else { errors as f64 / figures.calls as f64 },
        p50_us: figures.latencies.percentile(50),
        p95_us: figures.latencies.percentile(95),
        p99_us: figures.latencies.percentile(99),
        bytes_in: figures.bytes_in,
        bytes_out: figures.bytes_out,
        last_call: figures.last_call(),
    }
}

/// What rows of sums have to tell apart for a subject.
fn told_apart(by: Subject) -> By {
    By {
        workspace: by == Subject::Workspace,
        token: by == Subject::User,
        server: by == Subject::Server,
        tool: by == Subject::Tool,
        ..By::default()
    }
}

/// Under which name calls are shown.
fn name(asked: &Asked, by: Subject, group: &Group, figures: &usage::Figures) -> String {
    match by {
        Subject::User => asked.people.name(group.token()),
        Subject::Tool => group.tool.clone(),
        Subject::Server => figures.server_slug.clone(),
        Subject::Workspace => asked.place(group.workspace()),
    }
}

/// Figures per name, with the groups that go by it.
type Named = BTreeMap<String, (usage::Figures, Vec<Group>)>;

async fn by_name(
    actors: &Actors,
    asked: &Asked,
    filter: &UsageFilter,
    (by, detail): (Subject, Detail),
) -> Result<Named> {
    let (wanted, apart) = (filter.clone(), By { detail, ..told_apart(by) });
    let counted = actors.store.analytics(move |db| async move { usage::figures(&db, &wanted, apart).await }).await?;
    let mut named = Named::new();
    for (group, figures) in counted {
        let (sum, groups) = named.entry(name(asked, by, &group, &figures)).or_default();
        sum.merge(&figures);
        groups.push(group);
    }
    Ok(named)
}

/// The same calls, only of these groups.
fn only(which: &Which, by: Subject, groups: &[Group]) -> Which {
    let mut only = which.clone();
    match by {
        Subject::User => only.tokens = Some(groups.iter().map(Group::token).collect()),
        Subject::Tool => only.tools = Some(groups.iter().map(|group| group.tool.clone()).collect()),
        Subject::Server => only.servers = Some(groups.iter().map(Group::server).collect()),
        Subject::Workspace => only.workspaces = groups.iter().map(Group::workspace).collect(),
    }
    only
}

/// Figures for a stretch of time. `workspace`: of one; none: of all that the namespace has.
pub async fn figures(
    actors: &Actors,
    by: &Principal,
    workspace: Option<&str>,
    query: &FiguresQuery,
) -> Result<Figures> {
    asked::zone(query.utc_offset_minutes)?;
    let asked = Asked::of(actors, by, question!(workspace, query)).await?;
    let filter = asked.filter();
    let span = filter.span;
    let latencies = By { detail: Detail::Latencies, ..By::default() };
    let (steps, heat) = try_join(
        over_time(actors, &filter, latencies, span.step_us()),
        heat(actors, &filter, query.utc_offset_minutes),
    )
    .await?;
    let (mut points, mut total) = (Vec::new(), usage::Figures::default());
    let mut volume: Vec<u64> = Vec::new();
    for at in span.steps() {
        let step = steps.iter().filter(|(group, _)| group.at() == at);
        let figures = step.map(|(_, figures)| figures).next().cloned().unwrap_or_default();
        total.merge(&figures);
        volume.push(figures.calls);
        points.push(Point { at, sums: sums(&figures) });
    }
    Ok(Figures {
        from: span.from(),
        to: span.to(),
        step_seconds: u64::try_from(span.step_us() / 1_000_000).unwrap_or_default(),
        total: sums(&total),
        points,
        by: query.by,
        layers: layers(actors, &asked, &filter, query, &volume).await?,
        heat,
        utc_offset_minutes: query.utc_offset_minutes,
    })
}

async fn over_time(
    actors: &Actors,
    filter: &UsageFilter,
    by: By,
    step_us: i64,
) -> Result<Vec<(Group, usage::Figures)>> {
    let (filter, by) = (filter.clone(), By { step_us: Some(step_us), ..by });
    actors.store.analytics(move |db| async move { usage::figures(&db, &filter, by).await }).await
}

/// Those with most calls, step by step, and all others: what is left of the volume.
async fn layers(
    actors: &Actors,
    asked: &Asked,
    filter: &UsageFilter,
    query: &FiguresQuery,
    volume: &[u64],
) -> Result<Vec<VolumeLayer>> {
    let mut named: Vec<_> = by_name(actors, asked, filter, (query.by, Detail::Calls)).await?.into_iter().collect();
    named.sort_by_key(|(_, (figures, _))| Reverse(figures.calls));
    let all = named.len();
    named.truncate(query.top.unwrap_or(LAYERS).min(MOST_LAYERS));
    let groups: Vec<Group> = named.iter().flat_map(|(_, (_, groups))| groups.iter().cloned()).collect();
    let top = UsageFilter { which: only(&filter.which, query.by, &groups), span: filter.span };
    let mut others = volume.to_vec();
    let mut layers: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (group, figures) in over_time(actors, &top, told_apart(query.by), filter.span.step_us()).await? {
        let calls = layers.entry(name(asked, query.by, &group, &figures)).or_insert_with(|| vec![0; volume.len()]);
        let Some(step) = filter.span.step_of(group.at()) else { continue };
        if let (Some(own), Some(left)) = (calls.get_mut(step), others.get_mut(step)) {
            *own += figures.calls;
            *left = left.saturating_sub(figures.calls);
        }
    }
    let layer = |name: Option<String>, calls: Vec<u64>| VolumeLayer { total: calls.iter().sum(), name, calls };
    let mut shown: Vec<VolumeLayer> = Vec::new();
    for (name, _) in named {
        let calls = layers.remove(&name).unwrap_or_else(|| vec![0; volume.len()]);
        shown.push(layer(Some(name), calls));
    }
    shown.extend((all > shown.len()).then(|| layer(None, others)));
    Ok(shown)
}

/// Calls by weekday and hour.
async fn heat(actors: &Actors, filter: &UsageFilter, offset: i32) -> Result<[[u64; 24]; 7]> {
    let mut heat = [[0; 24]; 7];
    for (group, figures) in over_time(actors, filter, By::default(), HOUR_US).await? {
        let cell = usize::try_from(WeekHour::of(group.at(), offset).hour).unwrap_or_default();
        if let Some(cell) = heat.get_mut(cell / 24).and_then(|day| day.get_mut(cell % 24)) {
            *cell += figures.calls;
        }
    }
    Ok(heat)
}

/// A table of users, tools, servers or workspaces. `workspace`: of one; none: of all that the namespace has.
pub async fn table(
    actors: &Actors,
    by: &Principal,
    workspace: Option<&str>,
    query: &TableQuery,
) -> Result<SubjectTable> {
    let asked = Asked::of(actors, by, question!(workspace, query)).await?;
    let filter = asked.filter();
    let named = by_name(actors, &asked, &filter, (query.by, Detail::Latencies)).await?;
    let mut rows: Vec<SubjectRow> = named
        .into_iter()
        .map(|(name, (figures, _))| SubjectRow {
            name,
            server: (query.by == Subject::Tool).then(|| figures.server_slug.clone()),
            sums: sums(&figures),
        })
        .collect();
    let order = |a: Standing<'_>, b: Standing<'_>| compare(a, b, query.sort == SortBy::Name, query.reverse);
    rows.sort_by(|a, b| order(standing(a, query.sort), standing(b, query.sort)));
    let all = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    if let Some(cursor) = query.cursor.as_deref().map(decode_cursor).transpose()? {
        let odd = || Error::new(ErrorCode::InvalidRequest, "The cursor is not one of ours");
        let (weight, name) = cursor.split_once('.').ok_or_else(odd)?;
        let after = (weight.parse::<u64>().map_err(|_no_number| odd())?, name);
        rows.retain(|row| order(standing(row, query.sort), after).is_gt());
    }
    let limit = query.limit.unwrap_or(ROWS).clamp(1, MOST_ROWS);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|last| standing(last, query.sort));
    Ok(SubjectTable {
        by: query.by,
        from: filter.span.from(),
        to: filter.span.to(),
        rows: all,
        next_cursor: next.map(|(weight, name)| encode_cursor(&format!("{weight}.{name}"))),
        data: rows,
    })
}

/// Where a row stands: by what the table is sorted by, and by its name. A page begins behind where the last row of the
/// page before stood then, so that calls which move rows meanwhile show none of them twice.
type Standing<'r> = (u64, &'r str);

fn standing(row: &SubjectRow, by: SortBy) -> Standing<'_> {
    let sums = &row.sums;
    // What there is not comes after zero.
    let or_none = |value: Option<u64>| value.map_or(0, |value| value.saturating_add(1));
    let weight = match by {
        SortBy::Calls => sums.calls,
        SortBy::Errors => sums.errors,
        // Of numbers that are not negative, the bits are in the same order.
        SortBy::ErrorRate => sums.error_rate.to_bits(),
        SortBy::P50 => or_none(sums.p50_us),
        SortBy::P95 => or_none(sums.p95_us),
        SortBy::P99 => or_none(sums.p99_us),
        SortBy::LastCall => or_none(sums.last_call.and_then(|at| u64::try_from(at.timestamp_micros()).ok())),
        SortBy::Name => 0,
    };
    (weight, &row.name)
}

/// Largest first, names from A to Z; equal ones by name.
fn compare(a: Standing<'_>, b: Standing<'_>, by_name: bool, reverse: bool) -> Ordering {
    let order = if by_name { a.1.to_lowercase().cmp(&b.1.to_lowercase()) } else { b.0.cmp(&a.0) };
    let order = if reverse { order.reverse() } else { order };
    order.then_with(|| a.1.cmp(b.1))
}

const COLUMNS: [&str; 10] = [
    "calls",
    "errors",
    "tool_errors",
    "error_rate",
    "p50_us",
    "p95_us",
    "p99_us",
    "bytes_in",
    "bytes_out",
    "last_call",
];

fn cells(sums: &Sums) -> [String; 10] {
    [
        sums.calls.to_string(),
        sums.errors.to_string(),
        sums.tool_errors.to_string(),
        format!("{:.6}", sums.error_rate),
        csv::number(sums.p50_us),
        csv::number(sums.p95_us),
        csv::number(sums.p99_us),
        sums.bytes_in.to_string(),
        sums.bytes_out.to_string(),
        csv::moment(sums.last_call),
    ]
}

fn figures_reply(found: Figures, format: Format) -> Reply {
    if format == Format::Json {
        return Ok(HttpResponse::Ok().json(found));
    }
    let rows = found.points.iter().map(|point| {
        let mut row = vec![csv::moment(Some(point.at))];
        row.extend(cells(&point.sums));
        row
    });
    csv::answer("figures", &[&["at"], &COLUMNS[..]].concat(), rows, None)
}

fn table_reply(found: SubjectTable, format: Format) -> Reply {
    if format == Format::Json {
        return Ok(HttpResponse::Ok().json(found));
    }
    let columns = [&[found.by.as_str(), "of_server"], &COLUMNS[..]].concat();
    let rows = found.data.into_iter().map(|row| {
        let mut line = vec![row.name, row.server.unwrap_or_default()];
        line.extend(cells(&row.sums));
        line
    });
    csv::answer("table", &columns, rows, found.next_cursor)
}

/// Figures of a workspace over time
#[utoipa::path(get, path = "/api/v1/admin/workspaces/{slug}/analytics/figures", tag = "analytics",
    params(("slug" = String, Path), FiguresQuery),
    responses((status = 200, content((Figures = "application/json"), (String = "text/csv"))), Problems))]
pub async fn workspace_figures_route(
    admin: web::Data<Admin>,
    by: Caller,
    slug: Path<String>,
    query: Query<FiguresQuery>,
) -> Reply {
    let place = only_in(&slug, query.0.workspace.as_deref())?;
    figures_reply(figures(&admin.actors, &by.0, place, &query.0).await?, query.0.format)
}

/// Figures of all workspaces over time
#[utoipa::path(get, path = "/api/v1/admin/analytics/figures", tag = "analytics", params(FiguresQuery),
    responses((status = 200, content((Figures = "application/json"), (String = "text/csv"))), Problems))]
pub async fn figures_route(admin: web::Data<Admin>, by: Caller, query: Query<FiguresQuery>) -> Reply {
    let found = figures(&admin.actors, &by.0, query.0.workspace.as_deref(), &query.0).await?;
    figures_reply(found, query.0.format)
}

/// Users, tools or servers of a workspace with their figures
#[utoipa::path(get, path = "/api/v1/admin/workspaces/{slug}/analytics/table", tag = "analytics",
    params(("slug" = String, Path), TableQuery),
    responses((status = 200, content((SubjectTable = "application/json"), (String = "text/csv"))), Problems))]
pub async fn workspace_table_route(
    admin: web::Data<Admin>,
    by: Caller,
    slug: Path<String>,
    query: Query<TableQuery>,
) -> Reply {
    let place = only_in(&slug, query.0.workspace.as_deref())?;
    table_reply(table(&admin.actors, &by.0, place, &query.0).await?, query.0.format)
}

/// Users, tools, servers or workspaces with their figures
#[utoipa::path(get, path = "/api/v1/admin/analytics/table", tag = "analytics", params(TableQuery),
    responses((status = 200, content((SubjectTable = "application/json"), (String = "text/csv"))), Problems))]
pub async fn table_route(admin: web::Data<Admin>, by: Caller, query: Query<TableQuery>) -> Reply {
    let found = table(&admin.actors, &by.0, query.0.workspace.as_deref(), &query.0).await?;
    table_reply(found, query.0.format)
}
