//! Sums of calls, written with the calls in the same transaction: for each minute, hour, day and week, by token, by tool, by
//! both and altogether. Pages read these, so that what they cost depends on people and tools, not on calls. Only this file and
//! `usage` know the table.
//!
//! A sum is read, added to and written back. On SQLite there is one writer anyway; on Postgres nodes take turns.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use entities::tool_call_sum::{Column, Entity, Model};
use futures_util::TryStreamExt as _;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, EntityTrait, QueryFilter,
    QueryOrder, Value,
};
use uuid::Uuid;

use crate::{
    domain::{
        ids::WorkspaceId,
        span::{DAY_US, HOUR_US, MINUTE_US, WEEK_US},
    },
    error::Result,
    store::{
        analytics::{Outcome, ToolCallEvent},
        column::signed,
        histogram::Histogram,
        sql::{SLICES, Sql, insertion},
    },
};

/// Length of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grain {
    Minute = 0,
    Hour = 1,
    Day = 2,
    /// Seven days since 1970: begins on a Thursday.
    Week = 3,
}

impl Grain {
    pub(super) const ALL: [Grain; 4] = [Grain::Minute, Grain::Hour, Grain::Day, Grain::Week];

    pub(super) const fn us(self) -> i64 {
        match self {
            Grain::Minute => MINUTE_US,
            Grain::Hour => HOUR_US,
            Grain::Day => DAY_US,
            Grain::Week => WEEK_US,
        }
    }

    pub(super) const fn column(self) -> i16 {
        self as i16
    }
}

/// What rows of sums tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cut {
    All = 0,
    Token = 1,
    Tool = 2,
    Full = 3,
}

impl Cut {
    const ALL: [Cut; 4] = [Cut::All, Cut::Token, Cut::Tool, Cut::Full];

    /// The coarsest rows that still tell apart what is asked for.
    pub(super) const fn that_tells(tokens: bool, tools: bool) -> Self {
        match (tokens, tools) {
            (false, false) => Cut::All,
            (true, false) => Cut::Token,
            (false, true) => Cut::Tool,
            (true, true) => Cut::Full,
        }
    }

    pub(super) const fn column(self) -> i16 {
        self as i16
    }

    const fn tells_tokens(self) -> bool {
        matches!(self, Cut::Token | Cut::Full)
    }

    const fn tells_tools(self) -> bool {
        matches!(self, Cut::Tool | Cut::Full)
    }
}

/// Which row, in the order of the table's key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    workspace: Uuid,
    cut: Cut,
    grain: Grain,
    slot: i64,
    token: Uuid,
    server: Uuid,
    tool: Arc<str>,
}

impl Key {
    fn of(event: &ToolCallEvent) -> Self {
        Key {
            workspace: event.workspace.0,
            cut: Cut::Full,
            grain: Grain::Minute,
            slot: event.at.timestamp_micros().div_euclid(MINUTE_US),
            token: event.token.0,
            server: event.server.0,
            tool: event.tool.clone(),
        }
    }

    /// The row that this one (of a minute, and of everything that `cut` tells apart) belongs to.
    fn within(&self, cut: Cut, grain: Grain, nothing: &Arc<str>) -> Self {
        Key {
            workspace: self.workspace,
            cut,
            grain,
            slot: self.slot.saturating_mul(MINUTE_US).div_euclid(grain.us()),
            token: if cut.tells_tokens() { self.token } else { Uuid::nil() },
            server: if cut.tells_tools() { self.server } else { Uuid::nil() },
            tool: if cut.tells_tools() { self.tool.clone() } else { nothing.clone() },
        }
    }

    fn place(&self) -> Place {
        (self.workspace, self.cut, self.grain, self.slot)
    }
}

/// A slot of a workspace, in one cut.
type Place = (Uuid, Cut, Grain, i64);

/// What calls are added to in a slot.
#[derive(Default)]
struct Touched {
    tokens: BTreeSet<Uuid>,
    tools: BTreeSet<Arc<str>>,
}

#[derive(Debug, Clone, Default)]
struct Sum {
    server_slug: Arc<str>,
    calls: i64,
    tool_errors: i64,
    errors: i64,
    latency_us: i64,
    upstream_us: i64,
    bytes_in: i64,
    bytes_out: i64,
    last_us: i64,
    latencies: Histogram,
}

impl Sum {
    fn count(&mut self, event: &ToolCallEvent) {
        self.server_slug = event.server_slug.clone();
        self.calls += 1;
        match event.outcome {
            Outcome::Ok => {}
            Outcome::ToolError => self.tool_errors += 1,
            Outcome::Error(_) => self.errors += 1,
        }
        self.latency_us = self.latency_us.saturating_add(signed(event.latency_us));
        self.upstream_us = self.upstream_us.saturating_add(signed(event.upstream_us));
        self.bytes_in = self.bytes_in.saturating_add(signed(event.bytes_in));
        self.bytes_out = self.bytes_out.saturating_add(signed(event.bytes_out));
        self.last_us = self.last_us.max(event.at.timestamp_micros());
        self.latencies.record(event.latency_us);
    }

    /// Adds a later one.
    fn take_in(&mut self, other: &Sum) {
        self.server_slug = other.server_slug.clone();
        self.merge(other);
    }

    fn merge(&mut self, other: &Sum) {
        self.calls = self.calls.saturating_add(other.calls);
        self.tool_errors = self.tool_errors.saturating_add(other.tool_errors);
        self.errors = self.errors.saturating_add(other.errors);
        self.latency_us = self.latency_us.saturating_add(other.latency_us);
        self.upstream_us = self.upstream_us.saturating_add(other.upstream_us);
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(other.bytes_out);
        self.last_us = self.last_us.max(other.last_us);
        self.latencies.merge(&other.latencies);
    }

    fn stored(row: &Model) -> Result<Self> {
        Ok(Sum {
            // The slug written last stays.
            server_slug: Arc::default(),
            calls: row.calls,
            tool_errors: row.tool_errors,
            errors: row.errors,
            latency_us: row.latency_us,
            upstream_us: row.upstream_us,
            bytes_in: row.bytes_in,
            bytes_out: row.bytes_out,
            last_us: row.last_us,
            latencies: Histogram::from_bytes(&row.histogram)?,
        })
    }
}

const COLUMNS: [&str; 17] = [
    "workspace_id",
    "cut",
    "grain",
    "slot",
    "token_id",
    "server_id",
    "tool",
    "server_slug",
    "calls",
    "tool_errors",
    "errors",
    "latency_us",
    "upstream_us",
    "bytes_in",
    "bytes_out",
    "last_us",
    "histogram",
];
const REPLACING: &str = " ON CONFLICT (workspace_id, cut, grain, slot, token_id, server_id, tool) DO UPDATE SET \
     server_slug = excluded.server_slug, calls = excluded.calls, tool_errors = excluded.tool_errors, \
     errors = excluded.errors, latency_us = excluded.latency_us, upstream_us = excluded.upstream_us, \
     bytes_in = excluded.bytes_in, bytes_out = excluded.bytes_out, last_us = excluded.last_us, \
     histogram = excluded.histogram";

fn values((key, sum): (&Key, &Sum)) -> [Value; 17] {
    let slug = if key.cut.tells_tools() { &*sum.server_slug } else { "" };
    [
        key.workspace.into(),
        key.cut.column().into(),
        key.grain.column().into(),
        key.slot.into(),
        key.token.into(),
        key.server.into(),
        (&*key.tool).into(),
        slug.into(),
        sum.calls.into(),
        sum.tool_errors.into(),
        sum.errors.into(),
        sum.latency_us.into(),
        sum.upstream_us.into(),
        sum.bytes_in.into(),
        sum.bytes_out.into(),
        sum.last_us.into(),
        sum.latencies.to_bytes().into(),
    ]
}

/// Adds calls to their sums.
pub(super) async fn add(db: &DatabaseTransaction, events: &[&ToolCallEvent]) -> Result<()> {
    let mut sums = sums(events);
    if db.get_database_backend() == DbBackend::Postgres {
        db.execute_unprepared("SELECT pg_advisory_xact_lock(7016996765293437282)").await?;
    }
    let mut places: BTreeMap<Place, Touched> = BTreeMap::new();
    for key in sums.keys() {
        let touched = places.entry(key.place()).or_default();
        touched.tokens.insert(key.token);
        touched.tools.insert(key.tool.clone());
    }
    for (place, touched) in places {
        for row in present(db, place, touched).await? {
            let (workspace, cut, grain, slot) = place;
            let (token, server) = (row.token_id, row.server_id);
            let key = Key { workspace, cut, grain, slot, token, server, tool: row.tool.as_str().into() };
            if let Some(sum) = sums.get_mut(&key) {
                sum.merge(&Sum::stored(&row)?);
            }
        }
    }
    write(db, &sums).await
}

/// Writes sums in the place of those that are there.
async fn write(db: &DatabaseTransaction, sums: &BTreeMap<Key, Sum>) -> Result<()> {
    let rows: Vec<(&Key, &Sum)> = sums.iter().collect();
    let mut rest = rows.as_slice();
    for most in SLICES {
        while let Some((slice, after)) = rest.split_at_checked(most) {
            let table = ("tool_call_sums", &COLUMNS[..]);
            let rows = slice.iter().copied().map(values);
            db.execute_raw(insertion(db.get_database_backend(), table, rows, REPLACING)).await?;
            rest = after;
        }
    }
    Ok(())
}

fn sums(events: &[&ToolCallEvent]) -> BTreeMap<Key, Sum> {
    let mut finest: BTreeMap<Key, Sum> = BTreeMap::new();
    for event in events {
        finest.entry(Key::of(event)).or_default().count(event);
    }
    // First of a minute, cut by cut; longer slots are sums of these.
    let nothing: Arc<str> = Arc::from("");
    let mut sums: BTreeMap<Key, Sum> = BTreeMap::new();
    for (key, sum) in &finest {
        for cut in Cut::ALL {
            sums.entry(key.within(cut, Grain::Minute, &nothing)).or_default().take_in(sum);
        }
    }
    let mut longer: BTreeMap<Key, Sum> = BTreeMap::new();
    for (key, sum) in &sums {
        for grain in [Grain::Hour, Grain::Day, Grain::Week] {
            longer.entry(key.within(key.cut, grain, &nothing)).or_default().take_in(sum);
        }
    }
    sums.append(&mut longer);
    sums
}

/// The rows of a slot that calls of these tokens, or of these tools, are added to (and some others perhaps).
async fn present(
    db: &DatabaseTransaction,
    (workspace, cut, grain, slot): Place,
    touched: Touched,
) -> Result<Vec<Model>> {
    let mut sql = Sql::new(db.get_database_backend());
    sql.words("SELECT ")
        .words(&COLUMNS.join(", "))
        .words(" FROM tool_call_sums WHERE workspace_id = ")
        .value(workspace);
    sql.words(" AND cut = ").value(cut.column()).words(" AND grain = ").value(grain.column());
    sql.words(" AND slot = ").value(slot);
    if cut.tells_tokens() {
        sql.words(" AND token_id IN ").values(touched.tokens);
    } else if cut.tells_tools() {
        sql.words(" AND tool IN ").values(touched.tools.iter().map(|tool| &**tool));
    }
    Ok(Entity::find().from_raw_sql(sql.finish()).all(db).await?)
}

/// Deletes at most about `limit` sums of slots that ended before `before_us`; how many rows.
pub(super) async fn prune(db: &DatabaseTransaction, grain: Grain, before_us: i64, limit: u64) -> Result<u64> {
    let before = before_us.div_euclid(grain.us());
    let mut gone = 0;
    // The key begins with the workspace, so it is asked first which have old rows.
    for workspace in workspaces(db, grain, before).await? {
        for cut in [Cut::Full, Cut::Tool, Cut::Token, Cut::All] {
            if gone >= limit {
                return Ok(gone);
            }
            gone += prune_stretch(db, (workspace, cut, grain), before, limit - gone).await?;
        }
    }
    Ok(gone)
}

/// The workspaces that have sums of slots before this one, by the index that begins with the token.
async fn workspaces(db: &impl ConnectionTrait, grain: Grain, before: i64) -> Result<Vec<Uuid>> {
    let mut sql = Sql::new(db.get_database_backend());
    sql.words("SELECT DISTINCT workspace_id FROM tool_call_sums WHERE token_id = ").value(Uuid::nil());
    sql.words(" AND cut = ").value(Cut::All.column()).words(" AND grain = ").value(grain.column());
    sql.words(" AND slot < ").value(before);
    let rows = db.query_all_raw(sql.finish()).await?;
    Ok(rows.iter().map(|row| row.try_get("", "workspace_id")).collect::<Result<_, DbErr>>()?)
}

/// When the oldest day begins that these workspaces have sums of, in microseconds since 1970: what was before it was
/// pruned, or never was. Without any, after everything.
pub(super) async fn first_day(db: &impl ConnectionTrait, of: &[WorkspaceId]) -> Result<i64> {
    let mut sql = Sql::new(db.get_database_backend());
    sql.words("SELECT MIN(slot) AS slot FROM tool_call_sums WHERE workspace_id IN ").values(of.iter().map(|id| id.0));
    sql.words(" AND cut = ").value(Cut::All.column()).words(" AND grain = ").value(Grain::Day.column());
    let row = db.query_one_raw(sql.finish()).await?;
    let slot = row.map(|row| row.try_get::<Option<i64>>("", "slot")).transpose()?.flatten();
    Ok(slot.map_or(i64::MAX, |slot| slot.saturating_mul(DAY_US)))
}

/// Sums up days to weeks where an earlier version has written days only. From then on each call is added to both.
pub(super) async fn complete(db: &DatabaseConnection) -> Result<()> {
    if !workspaces(db, Grain::Week, i64::MAX).await?.is_empty() {
        return Ok(());
    }
    let of = workspaces(db, Grain::Day, i64::MAX).await?;
    if of.is_empty() {
        return Ok(());
    }
    let tx = super::begin(db).await?;
    for workspace in of {
        for cut in Cut::ALL {
            complete_weeks(&tx, workspace, cut).await?;
        }
    }
    Ok(tx.commit().await?)
}

async fn complete_weeks(db: &DatabaseTransaction, workspace: Uuid, cut: Cut) -> Result<()> {
    let mut days = Entity::find()
        .filter(Column::WorkspaceId.eq(workspace))
        .filter(Column::Cut.eq(cut.column()))
        .filter(Column::Grain.eq(Grain::Day.column()))
        .order_by_asc(Column::Slot)
        .stream(db)
        .await?;
    let mut weeks: BTreeMap<Key, Sum> = BTreeMap::new();
    while let Some(day) = days.try_next().await? {
        let slot = day.slot.saturating_mul(DAY_US).div_euclid(WEEK_US);
        let (token, server) = (day.token_id, day.server_id);
        let key = Key { workspace, cut, grain: Grain::Week, slot, token, server, tool: day.tool.as_str().into() };
        let sum = weeks.entry(key).or_default();
        sum.merge(&Sum::stored(&day)?);
        sum.server_slug = day.server_slug.as_str().into();
    }
    drop(days);
    write(db, &weeks).await
}

async fn prune_stretch(
    db: &DatabaseTransaction,
    (workspace, cut, grain): (Uuid, Cut, Grain),
    before: i64,
    limit: u64,
) -> Result<u64> {
    let of = |until: i64| {
        Entity::delete_many()
            .filter(Column::WorkspaceId.eq(workspace))
            .filter(Column::Cut.eq(cut.column()))
            .filter(Column::Grain.eq(grain.column()))
            .filter(Column::Slot.lt(until))
    };
    let mut sql = Sql::new(db.get_database_backend());
    sql.words("SELECT slot FROM tool_call_sums WHERE workspace_id = ").value(workspace);
    sql.words(" AND cut = ").value(cut.column()).words(" AND grain = ").value(grain.column());
    sql.words(" AND slot < ").value(before).words(" ORDER BY slot LIMIT 1 OFFSET ").value(signed(limit));
    // Whole slots: up to the one in which the limit lies, or that one if it is the first.
    let until = match db.query_one_raw(sql.finish()).await? {
        Some(row) => row.try_get::<i64>("", "slot")?.saturating_add(1).min(before),
        None => before,
    };
    Ok(of(until).exec(db).await?.rows_affected)
}
