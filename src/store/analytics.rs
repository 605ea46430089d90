//! Tool calls in the analytics database: what happened on each call, and hourly figures beside them that pages read
//! instead of millions of rows. Written in batches by the AnalyticsSink only. Reading is in `usage`.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Write as _,
    sync::Arc,
};

use entities::{tool_call, tool_call_hour};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, IdenStatic, Iterable, QueryFilter,
    QueryOrder, QuerySelect, Set, Statement, sea_query::OnConflict,
};
use uuid::Uuid;

use crate::{
    domain::{
        clock::Timestamp,
        ids::{AccountId, CallId, ServerId, TokenId, WorkspaceId},
    },
    error::Result,
    store::{Tx, column::signed, histogram::Histogram},
};

/// Microseconds in an hour.
pub(super) const HOUR_US: i64 = 3_600_000_000;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// With a result.
    Ok,
    /// With a result that says the tool failed (`isError`).
    ToolError,
    /// With a JSON-RPC error.
    Error(i32),
}

impl Outcome {
    pub(super) const fn column(self) -> i32 {
        match self {
            Outcome::Ok => 0,
            Outcome::ToolError => 1,
            Outcome::Error(code) => code,
        }
    }

    pub(super) const fn from_column(column: i32) -> Self {
        match column {
            0 => Outcome::Ok,
            1 => Outcome::ToolError,
            code => Outcome::Error(code),
        }
    }
}

/// One tool call, as the gateway saw it.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCallEvent {
    /// Its id, made when it began.
    pub call: CallId,
    /// When it began.
    pub at: Timestamp,
    /// In which workspace.
    pub workspace: WorkspaceId,
    /// With which token.
    pub token: TokenId,
    /// The account the token belongs to, if it does.
    pub account: Option<AccountId>,
    /// Which credentials went upstream: `shared`, or the workspace with its own.
    pub credential: String,
    /// The client's name for itself.
    pub client: Arc<str>,
    /// `modern` or `legacy`.
    pub era: &'static str,
    /// The server that was called.
    pub server: ServerId,
    /// Its slug at that time.
    pub server_slug: Arc<str>,
    /// The tool's name as the client called it.
    pub tool: Arc<str>,
    /// How it ended.
    pub outcome: Outcome,
    /// From request to answer.
    pub latency_us: u64,
    /// Of that, waiting for the server.
    pub upstream_us: u64,
    /// Size of the request.
    pub bytes_in: u64,
    /// Size of the answer.
    pub bytes_out: u64,
}

/// Writes calls and adds them to their hours. Those written before (in a commit whose answer was lost) are left out;
/// they are the first ones if there are any, because a batch is written whole and repeated in order.
pub async fn insert(tx: &Tx, events: &[ToolCallEvent]) -> Result<()> {
    let Some(first) = events.first() else { return Ok(()) };
    let mut events: Vec<&ToolCallEvent> = events.iter().collect();
    if tool_call::Entity::find_by_id(first.call.0).one(tx.conn()).await?.is_some() {
        let mut known: HashSet<Uuid> = HashSet::new();
        for slice in events.chunks(1000) {
            let ids = tool_call::Entity::find()
                .select_only()
                .column(tool_call::Column::Id)
                .filter(tool_call::Column::Id.is_in(slice.iter().map(|event| event.call.0)));
            known.extend(ids.into_tuple::<Uuid>().all(tx.conn()).await?);
        }
        events.retain(|event| !known.contains(&event.call.0));
    }
    let mut rest = events.as_slice();
    for rows in SLICES {
        while let Some((slice, after)) = rest.split_at_checked(rows) {
            tx.conn().execute_raw(insertion(tx.conn().get_database_backend(), slice)).await?;
            rest = after;
        }
    }
    let mut hours: BTreeMap<HourKey, Hour> = BTreeMap::new();
    for event in events {
        hours.entry(HourKey::of(event)).or_default().add(event);
    }
    // In key order: two nodes that write the same rows cannot wait for each other in a circle.
    for (key, hour) in hours {
        add_hour(tx.conn(), &key, hour).await?;
    }
    Ok(())
}

/// Rows of one statement, largest first. Few sizes: the text of each is the same every time, so it stays prepared, and
/// a call costs its row and not the building and parsing of SQL.
const SLICES: [usize; 3] = [100, 10, 1];

/// The statement that inserts `events` (their number is one of [`SLICES`]).
fn insertion(backend: DbBackend, events: &[&ToolCallEvent]) -> Statement {
    let columns: Vec<tool_call::Column> = tool_call::Column::iter().collect();
    let mut values = Vec::with_capacity(events.len() * columns.len());
    let mut sql = String::with_capacity(256 + events.len() * columns.len() * 6);
    sql.push_str("INSERT INTO tool_calls (");
    for (at, column) in columns.iter().enumerate() {
        sql.push_str(if at == 0 { "" } else { ", " });
        sql.push_str(column.as_str());
    }
    sql.push_str(") VALUES ");
    for (at, event) in events.iter().enumerate() {
        sql.push_str(if at == 0 { "(" } else { ", (" });
        let mut row = row(event);
        for (at, column) in columns.iter().enumerate() {
            sql.push_str(if at == 0 { "" } else { ", " });
            values.extend(row.take(*column).into_value());
            match backend {
                DbBackend::Postgres => drop(write!(sql, "${}", values.len())),
                _ => sql.push('?'),
            }
        }
        sql.push(')');
    }
    Statement::from_sql_and_values(backend, sql, values)
}

fn row(event: &ToolCallEvent) -> tool_call::ActiveModel {
    tool_call::ActiveModel {
        id: Set(event.call.0),
        at_us: Set(event.at.timestamp_micros()),
        workspace_id: Set(event.workspace.0),
        token_id: Set(event.token.0),
        account_id: Set(event.account.map(|id| id.0)),
        credential: Set(event.credential.clone()),
        client: Set(event.client.as_ref().to_owned()),
        era: Set(event.era.to_owned()),
        server_id: Set(event.server.0),
        server_slug: Set(event.server_slug.as_ref().to_owned()),
        tool: Set(event.tool.as_ref().to_owned()),
        outcome: Set(event.outcome.column()),
        latency_us: Set(signed(event.latency_us)),
        upstream_us: Set(signed(event.upstream_us)),
        bytes_in: Set(signed(event.bytes_in)),
        bytes_out: Set(signed(event.bytes_out)),
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct HourKey {
    workspace: Uuid,
    hour: i64,
    token: Uuid,
    server: Uuid,
    tool: Arc<str>,
}

impl HourKey {
    fn of(event: &ToolCallEvent) -> Self {
        HourKey {
            workspace: event.workspace.0,
            hour: event.at.timestamp_micros().div_euclid(HOUR_US),
            token: event.token.0,
            server: event.server.0,
            tool: event.tool.clone(),
        }
    }
}

#[derive(Default)]
struct Hour {
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

impl Hour {
    fn add(&mut self, event: &ToolCallEvent) {
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
}

async fn add_hour(db: &impl ConnectionTrait, key: &HourKey, mut hour: Hour) -> Result<()> {
    use tool_call_hour::{ActiveModel, Column, Entity};

    let id = || (key.hour, key.workspace, key.token, key.server, key.tool.as_ref().to_owned());
    let find = || Entity::find_by_id(id()).lock_exclusive();
    let mut present = find().one(db).await?;
    if present.is_none() {
        let columns = [Column::WorkspaceId, Column::Hour, Column::TokenId, Column::ServerId, Column::Tool];
        let unless_there = OnConflict::columns(columns).do_nothing().to_owned();
        let inserted =
            Entity::insert(hour_row(key, &hour)).on_conflict(unless_there).exec_without_returning(db).await?;
        if inserted > 0 {
            return Ok(());
        }
        // Another node was faster: its row is there now.
        present = find().one(db).await?;
    }
    if let Some(before) = present {
        hour.latencies.merge(&Histogram::from_bytes(&before.histogram)?);
        hour.calls = hour.calls.saturating_add(before.calls);
        hour.tool_errors = hour.tool_errors.saturating_add(before.tool_errors);
        hour.errors = hour.errors.saturating_add(before.errors);
        hour.latency_us = hour.latency_us.saturating_add(before.latency_us);
        hour.upstream_us = hour.upstream_us.saturating_add(before.upstream_us);
        hour.bytes_in = hour.bytes_in.saturating_add(before.bytes_in);
        hour.bytes_out = hour.bytes_out.saturating_add(before.bytes_out);
        hour.last_us = hour.last_us.max(before.last_us);
    }
    let row: ActiveModel = hour_row(key, &hour);
    Entity::update_many()
        .set(row)
        .filter(Column::Hour.eq(key.hour))
        .filter(Column::WorkspaceId.eq(key.workspace))
        .filter(Column::TokenId.eq(key.token))
        .filter(Column::ServerId.eq(key.server))
        .filter(Column::Tool.eq(key.tool.as_ref()))
        .exec(db)
        .await?;
    Ok(())
}

fn hour_row(key: &HourKey, hour: &Hour) -> tool_call_hour::ActiveModel {
    tool_call_hour::ActiveModel {
        hour: Set(key.hour),
        workspace_id: Set(key.workspace),
        token_id: Set(key.token),
        server_id: Set(key.server),
        tool: Set(key.tool.as_ref().to_owned()),
        server_slug: Set(hour.server_slug.as_ref().to_owned()),
        calls: Set(hour.calls),
        tool_errors: Set(hour.tool_errors),
        errors: Set(hour.errors),
        latency_us: Set(hour.latency_us),
        upstream_us: Set(hour.upstream_us),
        bytes_in: Set(hour.bytes_in),
        bytes_out: Set(hour.bytes_out),
        last_us: Set(hour.last_us),
        histogram: Set(hour.latencies.to_bytes()),
    }
}

/// Deletes at most `limit` calls that began before `before` (to the millisecond: their ids begin with the time) and, when none are left, the hours before it; how many
/// rows. Called until it says 0, so that no delete holds the database for long.
pub async fn prune(tx: &Tx, before: Timestamp, limit: u64) -> Result<u64> {
    use sea_orm::QueryTrait;

    let old = tool_call::Entity::find()
        .select_only()
        .column(tool_call::Column::Id)
        .filter(tool_call::Column::Id.lt(CallId::first_of(before).0))
        .order_by_asc(tool_call::Column::Id)
        .limit(limit)
        .into_query();
    let gone = tool_call::Entity::delete_many()
        .filter(tool_call::Column::Id.in_subquery(old))
        .exec(tx.conn())
        .await?
        .rows_affected;
    if gone > 0 {
        return Ok(gone);
    }
    let hour = before.timestamp_micros().div_euclid(HOUR_US);
    let gone = tool_call_hour::Entity::delete_many().filter(tool_call_hour::Column::Hour.lt(hour)).exec(tx.conn());
    Ok(gone.await?.rows_affected)
}
