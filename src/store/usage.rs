//! Reading the analytics database: who called what how often, over time, and the single calls.

use std::collections::BTreeMap;

use entities::{tool_call, tool_call_hour};
use futures_util::TryStreamExt as _;
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::{
    domain::{
        clock::Timestamp,
        ids::{AccountId, CallId, ServerId, TokenId, WorkspaceId},
    },
    error::Result,
    store::{
        analytics::{HOUR_US, Outcome, ToolCallEvent},
        column::unsigned,
        histogram::Histogram,
    },
};

/// Up to this span single calls are counted; over it whole hours are, and the span begins at the full hour.
const EXACT_US: i64 = 2 * HOUR_US;

/// Which calls to count.
#[derive(Debug, Clone)]
pub struct UsageFilter {
    /// In this workspace.
    pub workspace: WorkspaceId,
    /// Only with these tokens.
    pub tokens: Option<Vec<TokenId>>,
    /// Only of this server.
    pub server: Option<ServerId>,
    /// Not before.
    pub from: Timestamp,
    /// Before.
    pub to: Timestamp,
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
        self.last_us = self.last_us.max(other.last_us);
    }

    fn of_hour(row: &tool_call_hour::Model) -> Result<Self> {
        Ok(Figures {
            calls: unsigned(row.calls),
            tool_errors: unsigned(row.tool_errors),
            errors: unsigned(row.errors),
            latencies: Histogram::from_bytes(&row.histogram)?,
            upstream_us: unsigned(row.upstream_us),
            bytes_in: unsigned(row.bytes_in),
            bytes_out: unsigned(row.bytes_out),
            last_us: row.last_us,
        })
    }

    fn of_call(row: &tool_call::Model) -> Self {
        let mut latencies = Histogram::default();
        latencies.record(unsigned(row.latency_us));
        let outcome = Outcome::from_column(row.outcome);
        Figures {
            calls: 1,
            tool_errors: u64::from(outcome == Outcome::ToolError),
            errors: u64::from(matches!(outcome, Outcome::Error(_))),
            latencies,
            upstream_us: unsigned(row.upstream_us),
            bytes_in: unsigned(row.bytes_in),
            bytes_out: unsigned(row.bytes_out),
            last_us: row.at_us,
        }
    }
}

/// Who called what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsageKey {
    /// With which token.
    pub token: TokenId,
    /// Of which server.
    pub server: ServerId,
    /// The server's slug when it was called first.
    pub server_slug: String,
    /// The tool's exposed name.
    pub tool: String,
}

/// Figures per token and tool, most calls first.
pub async fn usage(db: &DatabaseConnection, filter: UsageFilter) -> Result<Vec<(UsageKey, Figures)>> {
    let mut found: BTreeMap<(TokenId, ServerId, String), (String, Figures)> = BTreeMap::new();
    gather(db, &filter, |key, _at_us, figures| {
        let (_, sum) = found.entry((key.token, key.server, key.tool)).or_insert((key.server_slug, Figures::default()));
        sum.merge(&figures);
    })
    .await?;
    let mut rows: Vec<_> = found
        .into_iter()
        .map(|((token, server, tool), (server_slug, figures))| (UsageKey { token, server, server_slug, tool }, figures))
        .collect();
    rows.sort_by(|(a, left), (b, right)| right.calls.cmp(&left.calls).then_with(|| a.cmp(b)));
    Ok(rows)
}

/// Figures per `step_hours` hours (1 at least), oldest first; hours without calls are left out.
pub async fn series(
    db: &DatabaseConnection,
    filter: UsageFilter,
    step_hours: u32,
) -> Result<Vec<(Timestamp, Figures)>> {
    let step = i64::from(step_hours.max(1)) * HOUR_US;
    let mut found: BTreeMap<i64, Figures> = BTreeMap::new();
    gather(db, &filter, |_key, at_us, figures| found.entry(at_us.div_euclid(step)).or_default().merge(&figures))
        .await?;
    let begins = |slot: i64| Timestamp::from_timestamp_micros(slot.saturating_mul(step)).unwrap_or_default();
    Ok(found.into_iter().map(|(slot, figures)| (begins(slot), figures)).collect())
}

async fn gather(
    db: &DatabaseConnection,
    filter: &UsageFilter,
    mut add: impl FnMut(UsageKey, i64, Figures),
) -> Result<()> {
    let (from, to) = (filter.from.timestamp_micros(), filter.to.timestamp_micros());
    let tokens = filter.tokens.as_ref().map(|tokens| tokens.iter().map(|id| id.0).collect::<Vec<_>>());
    if to.saturating_sub(from) <= EXACT_US {
        use tool_call::{Column, Entity};
        let mut query = Entity::find()
            .filter(Column::WorkspaceId.eq(filter.workspace.0))
            .filter(Column::AtUs.gte(from))
            .filter(Column::AtUs.lt(to));
        if let Some(tokens) = tokens {
            query = query.filter(Column::TokenId.is_in(tokens));
        }
        if let Some(server) = filter.server {
            query = query.filter(Column::ServerId.eq(server.0));
        }
        let mut rows = query.stream(db).await?;
        while let Some(row) = rows.try_next().await? {
            let figures = Figures::of_call(&row);
            let key = UsageKey {
                token: TokenId(row.token_id),
                server: ServerId(row.server_id),
                server_slug: row.server_slug,
                tool: row.tool,
            };
            add(key, row.at_us, figures);
        }
        return Ok(());
    }
    use tool_call_hour::{Column, Entity};
    let mut query = Entity::find()
        .filter(Column::WorkspaceId.eq(filter.workspace.0))
        .filter(Column::Hour.gte(from.div_euclid(HOUR_US)))
        .filter(Column::Hour.lte((to - 1).div_euclid(HOUR_US)));
    if let Some(tokens) = tokens {
        query = query.filter(Column::TokenId.is_in(tokens));
    }
    if let Some(server) = filter.server {
        query = query.filter(Column::ServerId.eq(server.0));
    }
    let mut rows = query.order_by_asc(Column::Hour).stream(db).await?;
    while let Some(row) = rows.try_next().await? {
        let figures = Figures::of_hour(&row)?;
        let key = UsageKey {
            token: TokenId(row.token_id),
            server: ServerId(row.server_id),
            server_slug: row.server_slug,
            tool: row.tool,
        };
        add(key, row.hour.saturating_mul(HOUR_US), figures);
    }
    Ok(())
}

/// A call, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRecord {
    /// Its id.
    pub call: CallId,
    /// When it began.
    pub at: Timestamp,
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

/// Which calls to list.
#[derive(Debug, Clone)]
pub struct CallFilter {
    /// Who, where and when.
    pub usage: UsageFilter,
    /// Only this tool.
    pub tool: Option<String>,
    /// Only those that failed.
    pub failed: bool,
    /// Older than this call (the cursor of the next page).
    pub before: Option<CallId>,
    /// At most so many.
    pub limit: u64,
}

/// The calls that fit, newest first.
pub async fn calls(db: &DatabaseConnection, filter: CallFilter) -> Result<Vec<CallRecord>> {
    use tool_call::{Column, Entity};

    let wanted = filter.usage;
    let mut query = Entity::find()
        .filter(Column::WorkspaceId.eq(wanted.workspace.0))
        .filter(Column::AtUs.gte(wanted.from.timestamp_micros()))
        .filter(Column::AtUs.lt(wanted.to.timestamp_micros()));
    if let Some(tokens) = wanted.tokens {
        query = query.filter(Column::TokenId.is_in(tokens.into_iter().map(|id| id.0)));
    }
    if let Some(server) = wanted.server {
        query = query.filter(Column::ServerId.eq(server.0));
    }
    if let Some(tool) = filter.tool {
        query = query.filter(Column::Tool.eq(tool));
    }
    if filter.failed {
        query = query.filter(Column::Outcome.ne(Outcome::Ok.column()));
    }
    if let Some(before) = filter.before {
        query = query.filter(Column::Id.lt(before.0));
    }
    let rows = query.order_by_desc(Column::Id).limit(filter.limit).all(db).await?;
    Ok(rows.into_iter().map(record).collect())
}

fn record(row: tool_call::Model) -> CallRecord {
    CallRecord {
        call: CallId(row.id),
        at: Timestamp::from_timestamp_micros(row.at_us).unwrap_or_default(),
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
