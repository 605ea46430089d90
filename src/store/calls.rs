//! Single calls, newest first. There is no index for every way of choosing some of ten million calls, because each would
//! cost every call: the sums tell in which minutes or hours such calls were, and only those are looked through.

use std::ops::Range;

use entities::tool_call;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, EntityTrait};

use crate::{
    domain::{
        clock::Timestamp,
        ids::{AccountId, CallId, ServerId, TokenId, WorkspaceId},
        span::{HOUR_US, MINUTES_KEPT_US, WEEK_HOURS, WeekHour},
    },
    error::Result,
    store::{
        analytics::{Outcome, ToolCallEvent},
        column::{signed, unsigned},
        packs,
        sql::Sql,
        sums::Grain,
        usage::{By, Which},
    },
};

/// Slots that are looked through first, and how many times as many the next time: most pages are full soon.
const FIRST_SLOTS: i64 = 120;
const FURTHER: i64 = 4;

/// A call, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRecord {
    /// Its id.
    pub call: CallId,
    /// When it began.
    pub at: Timestamp,
    /// In which workspace.
    pub workspace: WorkspaceId,
    /// With which token.
    pub token: TokenId,
    /// The account the token belonged to.
    pub account: Option<AccountId>,
    /// Which credentials went upstream.
    pub credential: String,
    /// The client's name for itself.
    pub client: String,
    /// `modern` or `legacy`.
    pub era: String,
    /// The server that was called.
    pub server: ServerId,
    /// Its slug at that time.
    pub server_slug: String,
    /// The tool's exposed name.
    pub tool: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Microseconds from request to answer.
    pub latency_us: u64,
    /// Of these, waiting for the server.
    pub upstream_us: u64,
    /// Size of the request.
    pub bytes_in: u64,
    /// Size of the answer.
    pub bytes_out: u64,
}

impl From<ToolCallEvent> for CallRecord {
    fn from(event: ToolCallEvent) -> Self {
        CallRecord {
            call: event.call,
            // As precise as it is kept.
            at: Timestamp::from_timestamp_micros(event.at.timestamp_micros()).unwrap_or(event.at),
            workspace: event.workspace,
            token: event.token,
            account: event.account,
            credential: event.credential,
            client: event.client.to_string(),
            era: event.era.to_owned(),
            server: event.server,
            server_slug: event.server_slug.to_string(),
            tool: event.tool.to_string(),
            outcome: event.outcome,
            latency_us: event.latency_us,
            upstream_us: event.upstream_us,
            bytes_in: event.bytes_in,
            bytes_out: event.bytes_out,
        }
    }
}

/// How calls ended that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With a result.
    Ok,
    /// Either way that is no success.
    Failed,
    /// With a result that says the tool failed.
    ToolError,
    /// With a JSON-RPC error.
    Error,
}

impl Ended {
    /// How many of the calls of a sum.
    fn counted(self) -> &'static str {
        match self {
            Ended::Ok => "calls - tool_errors - errors",
            Ended::Failed => "tool_errors + errors",
            Ended::ToolError => "tool_errors",
            Ended::Error => "errors",
        }
    }

    /// Whether a call ended so.
    fn is(self, outcome: Outcome) -> bool {
        match self {
            Ended::Ok => outcome == Outcome::Ok,
            Ended::Failed => outcome != Outcome::Ok,
            Ended::ToolError => outcome == Outcome::ToolError,
            Ended::Error => matches!(outcome, Outcome::Error(_)),
        }
    }

    /// Which outcomes of a call.
    fn condition(self) -> &'static str {
        match self {
            Ended::Ok => " AND outcome = 0",
            Ended::Failed => " AND outcome <> 0",
            Ended::ToolError => " AND outcome = 1",
            Ended::Error => " AND outcome NOT IN (0, 1)",
        }
    }
}

/// Which calls to list.
#[derive(Debug, Clone)]
pub struct CallFilter {
    /// Where, whose and of what.
    pub which: Which,
    /// Not before.
    pub from: Timestamp,
    /// Before.
    pub to: Timestamp,
    /// How they ended.
    pub ended: Option<Ended>,
    /// Only in hours that belong to this cell of the heat map.
    pub cell: Option<WeekHour>,
    /// Older than this call (the cursor of the next page).
    pub before: Option<CallId>,
    /// At most so many.
    pub limit: u64,
}

impl CallFilter {
    /// The newest calls from `from` up to `to` that fit.
    pub fn newest(which: Which, (from, to): (Timestamp, Timestamp), limit: u64) -> Self {
        CallFilter { which, from, to, ended: None, cell: None, before: None, limit }
    }

    /// Whether a call that ended so is asked for.
    pub(super) fn is_wanted(&self, outcome: Outcome) -> bool {
        self.ended.is_none_or(|ended| ended.is(outcome))
    }

    /// The ids between which the calls are.
    fn ids(&self) -> Range<CallId> {
        let end = CallId::first_of(self.to);
        CallId::first_of(self.from)..self.before.map_or(end, |before| before.min(end))
    }
}

/// The calls that fit, newest first. `now` decides in which slots they are looked for.
pub async fn calls(db: &DatabaseConnection, filter: &CallFilter, now: Timestamp) -> Result<Vec<CallRecord>> {
    let mut found: Vec<CallRecord> = Vec::new();
    if filter.which.is_nothing() {
        return Ok(found);
    }
    let until = filter.before.map_or(filter.to, |before| before.began().min(filter.to));
    let (from, to) = (filter.from.timestamp_micros().max(0), until.timestamp_micros().saturating_add(1));
    // Whole hours: before this one, sums of minutes may be gone.
    let edge = (now.timestamp_micros() - MINUTES_KEPT_US + HOUR_US).div_euclid(HOUR_US) * HOUR_US;
    for (grain, from, to) in [(Grain::Minute, from.max(edge), to), (Grain::Hour, from, to.min(edge))] {
        if from >= to {
            continue;
        }
        let all = from.div_euclid(grain.us())..(to - 1).div_euclid(grain.us()) + 1;
        let (mut end, mut many) = (all.end, FIRST_SLOTS);
        while end > all.start && (found.len() as u64) < filter.limit {
            let slots = end.saturating_sub(many).max(all.start)..end;
            (end, many) = (slots.start, many.saturating_mul(FURTHER));
            look_through(db, filter, (grain, slots), &mut found).await?;
        }
    }
    Ok(found)
}

/// Adds the calls in these slots, newest first, as many as are still wanted.
async fn look_through(
    db: &DatabaseConnection,
    filter: &CallFilter,
    (grain, slots): (Grain, Range<i64>),
    found: &mut Vec<CallRecord>,
) -> Result<()> {
    let left = |found: &[CallRecord]| filter.limit.saturating_sub(found.len() as u64);
    let ids = filter.ids();
    let mut runs = Runs::of(slots_with_calls(db, filter, grain, slots, left(found)).await?);
    while let Some(run) = runs.next(left(found)).filter(|_| left(found) > 0) {
        let first = |slot: i64| {
            let at = Timestamp::from_timestamp_micros(slot.saturating_mul(grain.us())).unwrap_or_default();
            CallId::first_of(at)
        };
        let within = first(run.start).max(ids.start)..first(run.end).min(ids.end);
        found.extend(listed(db, filter, within, left(found)).await?);
    }
    Ok(())
}

/// Slots with calls, newest first, joined as far as they touch and as calls are still wanted.
struct Runs(std::iter::Peekable<std::vec::IntoIter<(i64, u64)>>);

impl Runs {
    fn of(slots: Vec<(i64, u64)>) -> Self {
        Runs(slots.into_iter().peekable())
    }

    fn next(&mut self, wanted: u64) -> Option<Range<i64>> {
        let (slot, mut expected) = self.0.next()?;
        let mut run = slot..slot + 1;
        while expected < wanted {
            let start = run.start;
            let Some((slot, calls)) = self.0.next_if(|(slot, _)| *slot == start - 1) else { break };
            (run.start, expected) = (slot, expected.saturating_add(calls));
        }
        Some(run)
    }
}

/// The newest slots with calls that fit, and how many there are in each; enough for `wanted` of them.
async fn slots_with_calls(
    db: &DatabaseConnection,
    filter: &CallFilter,
    grain: Grain,
    slots: Range<i64>,
    wanted: u64,
) -> Result<Vec<(i64, u64)>> {
    let counted = filter.ended.map_or("calls", Ended::counted);
    let mut sql = Sql::new(db.get_database_backend());
    sql.words("SELECT slot, CAST(SUM(").words(counted).words(") AS BIGINT) AS calls FROM tool_call_sums WHERE ");
    filter.which.conditions(&mut sql);
    sql.words(" AND cut = ").value(filter.which.cut(By::default()).column());
    sql.words(" AND grain = ").value(grain.column());
    sql.words(" AND slot >= ").value(slots.start).words(" AND slot < ").value(slots.end);
    if let Some(cell) = filter.cell {
        // Slots are minutes or hours; their hours decide. What is divided is positive and whole.
        let hour = if grain == Grain::Minute { "(slot / 60)" } else { "slot" };
        sql.words(" AND (").words(hour).words(" * 60 + ").value(cell.shift()).words(") / 60 % ").value(WEEK_HOURS);
        sql.words(" = ").value(cell.hour);
    }
    sql.words(" GROUP BY slot HAVING SUM(").words(counted).words(") > 0 ORDER BY slot DESC LIMIT ");
    // Each has one at least, but in the newest one they may all be newer than the cursor.
    sql.value(signed(wanted.saturating_add(1)));
    let rows = db.query_all_raw(sql.finish()).await?;
    let read =
        |row: &sea_orm::QueryResult| Ok::<_, DbErr>((row.try_get("", "slot")?, unsigned(row.try_get("", "calls")?)));
    Ok(rows.iter().map(read).collect::<Result<_, DbErr>>()?)
}

async fn listed(
    db: &DatabaseConnection,
    filter: &CallFilter,
    ids: Range<CallId>,
    limit: u64,
) -> Result<Vec<CallRecord>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = Sql::new(db.get_database_backend());
    sql.words("SELECT * FROM tool_calls WHERE id >= ").value(ids.start.0).words(" AND id < ").value(ids.end.0);
    sql.words(" AND ");
    filter.which.conditions(&mut sql);
    sql.words(filter.ended.map_or("", Ended::condition));
    sql.words(" ORDER BY id DESC LIMIT ").value(signed(limit));
    let rows = tool_call::Entity::find().from_raw_sql(sql.finish()).all(db).await?;
    let mut found: Vec<CallRecord> = rows.into_iter().map(record).collect();
    let packed = packs::listed(db, filter, &ids, limit).await?;
    if !packed.is_empty() {
        found.extend(packed);
        found.sort_unstable_by_key(|call| std::cmp::Reverse(call.call));
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    Ok(found)
}

fn record(row: tool_call::Model) -> CallRecord {
    CallRecord {
        call: CallId(row.id),
        at: Timestamp::from_timestamp_micros(row.at_us).unwrap_or_default(),
        workspace: WorkspaceId(row.workspace_id),
        token: TokenId(row.token_id),
        account: row.account_id.map(AccountId),
        credential: row.credential,
        client: row.client,
        era: row.era,
        server: ServerId(row.server_id),
        server_slug: row.server_slug,
        tool: row.tool,
        outcome: Outcome::from_column(row.outcome),
        latency_us: unsigned(row.latency_us),
        upstream_us: unsigned(row.upstream_us),
        bytes_in: unsigned(row.bytes_in),
        bytes_out: unsigned(row.bytes_out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_joined_while_calls_are_wanted() {
        let mut runs = Runs::of(vec![(9, 2), (8, 2), (7, 2), (4, 1), (3, 9)]);
        assert_eq!(runs.next(3), Some(8..10));
        assert_eq!(runs.next(50), Some(7..8));
        assert_eq!(runs.next(1), Some(4..5));
        assert_eq!(runs.next(1), Some(3..4));
        assert_eq!(runs.next(1), None);
    }
}
