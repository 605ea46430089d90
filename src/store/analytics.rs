//! Tool calls in the analytics database: what happened on each call, and sums beside them (`sums`) that pages read
//! instead of millions of rows. Written in batches by the AnalyticsSink only. Reading is in `usage` and `calls`.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use entities::tool_call;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait as _, Value,
};
use uuid::Uuid;

use crate::{
    domain::{
        clock::Timestamp,
        ids::{AccountId, CallId, ServerId, TokenId, WorkspaceId},
        span::{MINUTE_US, MINUTES_KEPT_US},
    },
    error::Result,
    store::{
        Tx,
        column::signed,
        packs,
        sql::{SLICES, insertion},
        sums::{self, Grain},
    },
};

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
            Outcome::Error(0) => CODE_0,
            Outcome::Error(1) => CODE_1,
            // Nobody uses these: they are kept as the code that stands for any other.
            Outcome::Error(CODE_0 | CODE_1) => i32::MIN,
            Outcome::Error(code) => code,
        }
    }

    pub(super) const fn from_column(column: i32) -> Self {
        match column {
            0 => Outcome::Ok,
            1 => Outcome::ToolError,
            CODE_0 => Outcome::Error(0),
            CODE_1 => Outcome::Error(1),
            code => Outcome::Error(code),
        }
    }
}

/// What stands in the column for the codes whose places are taken: some servers use them for errors of every kind.
const CODE_0: i32 = i32::MAX;
const CODE_1: i32 = i32::MAX - 1;

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

/// Writes calls and adds them to their sums. Those written before (in a commit whose answer was lost) are left out; they
/// are the first ones if there are any, because a batch is written whole and repeated in order.
pub async fn insert(tx: &Tx, events: &[ToolCallEvent]) -> Result<()> {
    let mut events: Vec<&ToolCallEvent> = events.iter().collect();
    let known = written_before(tx, &events).await?;
    events.retain(|event| !known.contains(&event.call.0));
    let mut few: Vec<&ToolCallEvent> = Vec::new();
    for (minute, calls) in by_minute(&events) {
        match calls.len() {
            ..packs::WORTH => few.extend(calls),
            _ => packs::insert(tx.conn(), minute, &calls).await?,
        }
    }
    let mut rest = few.as_slice();
    for most in SLICES {
        while let Some((slice, after)) = rest.split_at_checked(most) {
            let rows = slice.iter().map(|event| values(event));
            tx.conn()
                .execute_raw(insertion(tx.conn().get_database_backend(), ("tool_calls", &COLUMNS[..]), rows, ""))
                .await?;
            rest = after;
        }
    }
    sums::add(tx.conn(), &events).await
}

/// The calls of each minute, in the order of the batch.
fn by_minute<'e>(events: &[&'e ToolCallEvent]) -> BTreeMap<i64, Vec<&'e ToolCallEvent>> {
    let mut minutes: BTreeMap<i64, Vec<&ToolCallEvent>> = BTreeMap::new();
    for event in events {
        minutes.entry(event.at.timestamp_micros().div_euclid(MINUTE_US)).or_default().push(event);
    }
    minutes
}

/// Which of these calls are there already. None, unless the first one is: as a row, or as the first one in a pack.
async fn written_before(tx: &Tx, events: &[&ToolCallEvent]) -> Result<HashSet<Uuid>> {
    let mut known: HashSet<Uuid> = HashSet::new();
    let Some(first) = events.first() else { return Ok(known) };
    known.extend(packs::ids_in(tx.conn(), first.call).await?);
    if known.is_empty() && tool_call::Entity::find_by_id(first.call.0).one(tx.conn()).await?.is_none() {
        return Ok(known);
    }
    for slice in events.chunks(1000) {
        let ids = tool_call::Entity::find()
            .select_only()
            .column(tool_call::Column::Id)
            .filter(tool_call::Column::Id.is_in(slice.iter().map(|event| event.call.0)));
        known.extend(ids.into_tuple::<Uuid>().all(tx.conn()).await?);
    }
    for calls in by_minute(events).values() {
        if let Some(first) = calls.first() {
            known.extend(packs::ids_in(tx.conn(), first.call).await?);
        }
    }
    Ok(known)
}

const COLUMNS: [&str; 16] = [
    "id",
    "at_us",
    "workspace_id",
    "token_id",
    "account_id",
    "credential",
    "client",
    "era",
    "server_id",
    "server_slug",
    "tool",
    "outcome",
    "latency_us",
    "upstream_us",
    "bytes_in",
    "bytes_out",
];

fn values(event: &ToolCallEvent) -> [Value; 16] {
    [
        event.call.0.into(),
        event.at.timestamp_micros().into(),
        event.workspace.0.into(),
        event.token.0.into(),
        event.account.map(|id| id.0).into(),
        event.credential.as_str().into(),
        (&*event.client).into(),
        event.era.into(),
        event.server.0.into(),
        (&*event.server_slug).into(),
        (&*event.tool).into(),
        event.outcome.column().into(),
        signed(event.latency_us).into(),
        signed(event.upstream_us).into(),
        signed(event.bytes_in).into(),
        signed(event.bytes_out).into(),
    ]
}

/// Deletes at most about `limit` rows of what is too old: calls that began before `before` (to the millisecond: their ids
/// begin with the time), then weeks, days and hours before it, then minutes that nobody asks for any more at `now`; how many
/// rows. Called until it says 0, so that no delete holds the database for long.
pub async fn prune(tx: &Tx, (before, now): (Timestamp, Timestamp), limit: u64) -> Result<u64> {
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
    let gone = packs::prune(tx.conn(), before, limit).await?;
    if gone > 0 {
        return Ok(gone);
    }
    let before = before.timestamp_micros();
    let minutes = now.timestamp_micros().saturating_sub(MINUTES_KEPT_US);
    let sums =
        [(Grain::Week, before), (Grain::Day, before), (Grain::Hour, before), (Grain::Minute, minutes.max(before))];
    for (grain, before) in sums {
        let gone = sums::prune(tx.conn(), grain, before, limit).await?;
        if gone > 0 {
            return Ok(gone);
        }
    }
    Ok(0)
}
