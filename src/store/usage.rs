//! Reading sums of calls: who called what how often, over time, with latencies. What a question costs depends on how many
//! people and tools there are, never on how many calls. Single calls are in `calls`.

use std::{collections::BTreeMap, ops::Range};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, QueryResult, Statement};
use uuid::Uuid;

use crate::{
    domain::{
        clock::Timestamp,
        ids::{ServerId, TokenId, WorkspaceId},
        span::{DAY_US, HOUR_US, Span, WEEK_US},
    },
    error::Result,
    store::{
        column::unsigned,
        histogram::Histogram,
        sql::Sql,
        sums::{self, Cut, Grain},
    },
};

/// Up to so many tokens, their sums are looked up one by one, and not among those of the whole workspace.
const FEW_TOKENS: usize = 16;

/// Which calls, whenever they were.
#[derive(Debug, Clone, Default)]
pub struct Which {
    /// In these workspaces.
    pub workspaces: Vec<WorkspaceId>,
    /// Only with these tokens.
    pub tokens: Option<Vec<TokenId>>,
    /// Only of these servers.
    pub servers: Option<Vec<ServerId>>,
    /// Only of tools with these exposed names.
    pub tools: Option<Vec<String>>,
}

impl Which {
    /// All calls in one workspace.
    pub fn in_workspace(workspace: WorkspaceId) -> Self {
        Which { workspaces: vec![workspace], ..Which::default() }
    }

    /// Whether no call can fit.
    pub(super) fn is_nothing(&self) -> bool {
        let none = |empty: Option<bool>| empty.unwrap_or(false);
        self.workspaces.is_empty()
            || none(self.tokens.as_ref().map(Vec::is_empty))
            || none(self.servers.as_ref().map(Vec::is_empty))
            || none(self.tools.as_ref().map(Vec::is_empty))
    }

    /// The coarsest sums that tell these calls from others, and apart as asked for.
    pub(super) fn cut(&self, by: By) -> Cut {
        let tools = by.server || by.tool || self.servers.is_some() || self.tools.is_some();
        Cut::that_tells(by.token || self.tokens.is_some(), tools)
    }

    /// Adds the conditions that sums and single calls have in common.
    pub(super) fn conditions(&self, sql: &mut Sql) {
        match &self.tokens {
            // The index that begins with the token.
            Some(tokens) if tokens.len() <= FEW_TOKENS => sql.unindexed("workspace_id"),
            _ => sql.words("workspace_id"),
        };
        sql.words(" IN ").values(self.workspaces.iter().map(|id| id.0));
        if let Some(tokens) = &self.tokens {
            sql.words(" AND token_id IN ").values(tokens.iter().map(|id| id.0));
        }
        if let Some(servers) = &self.servers {
            sql.words(" AND server_id IN ").values(servers.iter().map(|id| id.0));
        }
        if let Some(tools) = &self.tools {
            sql.words(" AND tool IN ").values(tools.iter().map(String::as_str));
        }
    }
}

/// Which calls to count.
#[derive(Debug, Clone)]
pub struct UsageFilter {
    /// Where, whose and of what.
    pub which: Which,
    /// When.
    pub span: Span,
}

/// How much is read of each sum. What is not read is zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// How many calls, how many failed, the last one.
    #[default]
    Calls,
    /// Sizes and times in sum as well.
    Sums,
    /// And latencies.
    Latencies,
}

/// What figures are told apart by.
#[derive(Debug, Clone, Copy, Default)]
pub struct By {
    /// Steps of this many microseconds: of the filter's span, or an hour.
    pub step_us: Option<i64>,
    /// Workspaces.
    pub workspace: bool,
    /// Tokens.
    pub token: bool,
    /// Servers.
    pub server: bool,
    /// Tools' exposed names.
    pub tool: bool,
    /// How much is read.
    pub detail: Detail,
}

/// What figures are about. What was not asked for is nil, empty or 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// When the step begins, microseconds since 1970.
    pub at_us: i64,
    workspace: Uuid,
    token: Uuid,
    server: Uuid,
    /// The tool's exposed name.
    pub tool: String,
}

impl Group {
    /// In which workspace.
    pub fn workspace(&self) -> WorkspaceId {
        WorkspaceId(self.workspace)
    }
    /// With which token.
    pub fn token(&self) -> TokenId {
        TokenId(self.token)
    }
    /// Of which server.
    pub fn server(&self) -> ServerId {
        ServerId(self.server)
    }
    /// When the step begins.
    pub fn at(&self) -> Timestamp {
        Timestamp::from_timestamp_micros(self.at_us).unwrap_or_default()
    }
}

/// Calls of one kind, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// How many.
    pub calls: u64,
    /// Of these, ended with a result that says the tool failed.
    pub tool_errors: u64,
    /// Of these, ended with a JSON-RPC error.
    pub errors: u64,
    /// Microseconds from request to answer.
    pub latencies: Histogram,
    /// Microseconds spent waiting for servers, in sum.
    pub upstream_us: u64,
    /// Sizes of requests, in sum.
    pub bytes_in: u64,
    /// Sizes of answers, in sum.
    pub bytes_out: u64,
    /// The server's slug when it was called last; empty where servers are not told apart.
    pub server_slug: String,
    /// When the last one began, in microseconds since 1970.
    last_us: i64,
}

impl Figures {
    /// When the last call began.
    pub fn last_call(&self) -> Option<Timestamp> {
        Timestamp::from_timestamp_micros(self.last_us).filter(|_| self.calls > 0)
    }

    /// Calls that failed either way.
    pub fn failures(&self) -> u64 {
        self.tool_errors.saturating_add(self.errors)
    }

    /// Adds other figures.
    pub fn merge(&mut self, other: &Figures) {
        self.calls = self.calls.saturating_add(other.calls);
        self.tool_errors = self.tool_errors.saturating_add(other.tool_errors);
        self.errors = self.errors.saturating_add(other.errors);
        self.latencies.merge(&other.latencies);
        self.upstream_us = self.upstream_us.saturating_add(other.upstream_us);
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(other.bytes_out);
        if other.last_us >= self.last_us {
            self.last_us = other.last_us;
            self.server_slug.clone_from(&other.server_slug);
        }
    }

    fn read(row: &QueryResult, detail: Detail) -> Result<Self> {
        let number = |column: &str| row.try_get::<i64>("", column).map(unsigned);
        let more = |column: &str| if detail == Detail::Calls { Ok(0) } else { number(column) };
        let latencies = match detail {
            Detail::Latencies => Histogram::from_hex_list(&row.try_get::<String>("", "histograms")?)?,
            Detail::Calls | Detail::Sums => Histogram::default(),
        };
        Ok(Figures {
            calls: number("calls")?,
            tool_errors: number("tool_errors")?,
            errors: number("errors")?,
            latencies,
            upstream_us: more("upstream_us")?,
            bytes_in: more("bytes_in")?,
            bytes_out: more("bytes_out")?,
            server_slug: row.try_get("", "server_slug")?,
            last_us: row.try_get("", "last_us")?,
        })
    }
}

/// Figures of the calls that fit, told apart as asked for, in order of the groups. Groups without calls are left out.
pub async fn figures(db: &DatabaseConnection, filter: &UsageFilter, by: By) -> Result<Vec<(Group, Figures)>> {
    let mut found: BTreeMap<Group, Figures> = BTreeMap::new();
    if filter.which.is_nothing() {
        return Ok(Vec::new());
    }
    let mut pieces = pieces(&filter.span, filter.span.from_us(), by.step_us);
    if pieces.iter().any(|piece| piece.grain == Grain::Week) {
        // A week keeps its sum until all of it is too old, and some days of it may be gone.
        let first = sums::first_day(db, &filter.which.workspaces).await?;
        pieces = self::pieces(&filter.span, first, by.step_us);
    }
    for piece in pieces {
        for row in db.query_all_raw(statement(db.get_database_backend(), filter, by, piece)).await? {
            let figures = Figures::read(&row, by.detail)?;
            found.entry(group(&row, by)?).or_default().merge(&figures);
        }
    }
    Ok(found.into_iter().filter(|(_, figures)| figures.calls > 0).collect())
}

/// Slots of one length: from the first up to the last, which is not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    grain: Grain,
    from: i64,
    to: i64,
}

/// Which slots make up a span from `from_us` on: the longest there are within the steps that are told apart.
fn pieces(span: &Span, from_us: i64, step_us: Option<i64>) -> Vec<Piece> {
    // Weeks begin where no step does.
    let longest = step_us.map_or(WEEK_US, |step| step.min(DAY_US));
    // Where minutes are gone, steps are of hours.
    let there = |grain: Grain| grain != Grain::Minute || span.step_us() < HOUR_US;
    let grains: Vec<Grain> =
        Grain::ALL.into_iter().rev().filter(|grain| grain.us() <= longest && there(*grain)).collect();
    let mut pieces = Vec::new();
    cover(&grains, from_us.clamp(span.from_us(), span.to_us())..span.to_us(), &mut pieces);
    pieces
}

/// Covers a stretch with the longest slots that fit, and its edges with shorter ones.
fn cover(grains: &[Grain], stretch: Range<i64>, pieces: &mut Vec<Piece>) {
    let Some((grain, shorter)) = grains.split_first() else { return };
    let us = grain.us();
    let (from, to) = (stretch.start.saturating_add(us - 1).div_euclid(us), stretch.end.div_euclid(us));
    if from >= to {
        return cover(shorter, stretch, pieces);
    }
    cover(shorter, stretch.start..from.saturating_mul(us), pieces);
    pieces.push(Piece { grain: *grain, from, to });
    cover(shorter, to.saturating_mul(us)..stretch.end, pieces);
}

fn statement(backend: DbBackend, filter: &UsageFilter, by: By, piece: Piece) -> Statement {
    let mut sql = Sql::new(backend);
    let step = by.step_us.map(|step| (step / piece.grain.us()).max(1));
    let mut groups: Vec<String> = Vec::new();
    groups.extend(step.map(|step| format!("slot / {step}")));
    let columns = [(by.workspace, "workspace_id"), (by.token, "token_id"), (by.server, "server_id"), (by.tool, "tool")];
    groups.extend(columns.into_iter().filter(|(asked, _)| *asked).map(|(_, column)| column.to_owned()));
    sql.words("SELECT ");
    for (at, group) in groups.iter().enumerate() {
        let name = if at == 0 && step.is_some() { " AS step, " } else { ", " };
        sql.words(group).words(name);
    }
    let counts = ["calls", "tool_errors", "errors"];
    let more = ["upstream_us", "bytes_in", "bytes_out"].into_iter().filter(|_| by.detail >= Detail::Sums);
    for column in counts.into_iter().chain(more) {
        sql.words("CAST(SUM(").words(column).words(") AS BIGINT) AS ").words(column).words(", ");
    }
    sql.words("MAX(server_slug) AS server_slug, MAX(last_us) AS last_us");
    if by.detail == Detail::Latencies {
        sql.words(match backend {
            DbBackend::Postgres => ", string_agg(encode(histogram, 'hex'), '-') AS histograms",
            _ => ", group_concat(hex(histogram), '-') AS histograms",
        });
    }
    sql.words(" FROM tool_call_sums WHERE ");
    filter.which.conditions(&mut sql);
    sql.words(" AND cut = ").value(filter.which.cut(by).column()).words(" AND grain = ").value(piece.grain.column());
    sql.words(" AND slot >= ").value(piece.from).words(" AND slot < ").value(piece.to);
    if groups.is_empty() {
        sql.words(" HAVING COUNT(*) > 0");
    } else {
        sql.words(" GROUP BY ").words(&groups.join(", "));
    }
    sql.finish()
}

fn group(row: &QueryResult, by: By) -> Result<Group, DbErr> {
    let id = |asked: bool, column: &str| if asked { row.try_get("", column) } else { Ok(Uuid::nil()) };
    let at_us = match by.step_us {
        Some(step) => row.try_get::<i64>("", "step")?.saturating_mul(step),
        None => 0,
    };
    Ok(Group {
        at_us,
        workspace: id(by.workspace, "workspace_id")?,
        token: id(by.token, "token_id")?,
        server: id(by.server, "server_id")?,
        tool: if by.tool { row.try_get("", "tool")? } else { String::new() },
    })
}

/// Figures per token, server and tool, most calls first: only how many.
pub async fn usage(db: &DatabaseConnection, filter: &UsageFilter) -> Result<Vec<(Group, Figures)>> {
    let by = By { token: true, server: true, tool: true, ..By::default() };
    let mut rows = figures(db, filter, by).await?;
    rows.sort_by(|(a, left), (b, right)| right.calls.cmp(&left.calls).then_with(|| a.cmp(b)));
    Ok(rows)
}

/// The servers that were called under a slug, those included that are no more.
pub async fn servers_called(db: &DatabaseConnection, workspaces: &[WorkspaceId], slug: &str) -> Result<Vec<ServerId>> {
    if workspaces.is_empty() {
        // Postgres takes no empty list.
        return Ok(Vec::new());
    }
    let mut sql = Sql::new(db.get_database_backend());
    sql.words("SELECT DISTINCT server_id FROM tool_call_sums WHERE workspace_id IN ");
    sql.values(workspaces.iter().map(|id| id.0)).words(" AND cut = ").value(Cut::Tool.column());
    sql.words(" AND grain = ").value(Grain::Day.column()).words(" AND server_slug = ").value(slug);
    let rows = db.query_all_raw(sql.finish()).await?;
    Ok(rows.iter().map(|row| row.try_get("", "server_id").map(ServerId)).collect::<Result<_, DbErr>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_read_in_the_longest_slots_that_fit() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-03-15T14:32:40Z");
        let shape = |span: &Span, step: Option<i64>| {
            pieces(span, span.from_us(), step)
                .iter()
                .map(|piece| (piece.grain, piece.to - piece.from))
                .collect::<Vec<_>>()
        };
        let hour = Span::holding(now - chrono::TimeDelta::hours(1), now, now);
        assert_eq!(shape(&hour, None), [(Grain::Minute, 61)]);
        let morning = Span::holding(now - chrono::TimeDelta::hours(6), now, now);
        assert_eq!(shape(&morning, None), [(Grain::Minute, 30), (Grain::Hour, 5), (Grain::Minute, 35)]);
        assert_eq!(shape(&morning, Some(HOUR_US)), shape(&morning, None));
        assert_eq!(shape(&morning, Some(morning.step_us())), [(Grain::Minute, 365)]);
        let week = Span::holding(now - chrono::TimeDelta::days(7), now, now);
        assert_eq!(shape(&week, None), [(Grain::Hour, 12), (Grain::Day, 6), (Grain::Hour, 15)]);
        assert_eq!(shape(&week, Some(HOUR_US)), [(Grain::Hour, 12 + 6 * 24 + 15)]);
        let season = Span::holding(now - chrono::TimeDelta::days(90), now, now);
        assert_eq!(shape(&season, Some(season.step_us())), [(Grain::Day, 91)]);
        assert_eq!(shape(&season, None), [(Grain::Day, 3), (Grain::Week, 12), (Grain::Day, 4)]);
        let later = pieces(&season, season.from_us() + 5 * DAY_US, None);
        assert_eq!(later.iter().map(|piece| piece.to - piece.from).collect::<Vec<_>>(), [5, 11, 4]);
        assert!(pieces(&season, i64::MAX, None).is_empty(), "nothing is there");
    }
}
