//! The part of [`super::dto`] about calls: figures, tables, single calls, the overview.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What figures are told apart by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// By person: tokens that followed one another under a name count together.
    #[default]
    User,
    /// By tool, as clients name it.
    Tool,
    /// By MCP server.
    Server,
    /// By workspace.
    Workspace,
}

impl Subject {
    /// The name in queries.
    pub const fn as_str(self) -> &'static str {
        match self {
            Subject::User => "user",
            Subject::Tool => "tool",
            Subject::Server => "server",
            Subject::Workspace => "workspace",
        }
    }
}

/// Use of one tool by one person or token.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UsageRow {
    /// Name of the token, or of its member.
    #[schema(example = "Alice Chen")]
    pub user: String,
    /// The name clients see.
    #[schema(example = "github__create_issue")]
    pub tool: String,
    /// Slug of the server.
    pub server: String,
    /// Calls made.
    pub calls: u64,
    /// Of these, failed.
    pub errors: u64,
    /// The last one.
    pub last_call: Option<DateTime<Utc>>,
}

/// Calls of a workspace in a period.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// One row for each user and tool, by name.
    pub data: Vec<UsageRow>,
    /// Always `null`: the answer is complete.
    pub next_cursor: Option<String>,
    /// Beginning of what was counted: whole minutes, hours or days, depending on the length.
    pub from: DateTime<Utc>,
    /// Its end.
    pub to: DateTime<Utc>,
    /// Tokens that behave unlike themselves, whatever was asked for.
    #[serde(default)]
    pub unusual: Vec<UnusualToken>,
}

/// One call.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Call {
    /// Call id.
    pub id: String,
    /// When it began.
    pub at: DateTime<Utc>,
    /// Slug of the workspace.
    #[serde(default)]
    pub workspace: String,
    /// Name of the token, or of its member.
    pub user: String,
    /// The name clients see.
    pub tool: String,
    /// Slug of the server.
    pub server: String,
    /// The client's name for itself.
    pub client: String,
    /// `modern` or `legacy`.
    pub era: String,
    /// `ok`, `tool_error` or `error`.
    pub outcome: String,
    /// The JSON-RPC code of an error.
    pub error_code: Option<i32>,
    /// What that code means, unless it is one of the server's own.
    #[serde(default)]
    #[schema(example = "MCP server timed out")]
    pub error: Option<String>,
    /// Microseconds from request to answer.
    pub latency_us: u64,
    /// Of these, waiting for the server.
    pub upstream_us: u64,
    /// Bytes of the request.
    pub bytes_in: u64,
    /// Bytes of the answer.
    pub bytes_out: u64,
}

/// In a stream of calls: some were left out, because they were not read fast enough.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MissedCalls {
    /// How many.
    pub missed: u64,
}

/// Calls, counted and measured. Percentiles are within 2 % of the truth, and `null` where there was no call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Sums {
    /// Calls made.
    pub calls: u64,
    /// Of these, failed: the tool said so, or there was a JSON-RPC error.
    pub errors: u64,
    /// Of these, the tool said so.
    pub tool_errors: u64,
    /// Share of the failed ones, 0 to 1.
    pub error_rate: f64,
    /// Half of the calls took no longer, microseconds from request to answer.
    pub p50_us: Option<u64>,
    /// 95 % of the calls took no longer.
    pub p95_us: Option<u64>,
    /// 99 % of the calls took no longer.
    pub p99_us: Option<u64>,
    /// Bytes of requests.
    pub bytes_in: u64,
    /// Bytes of answers.
    pub bytes_out: u64,
    /// The last one.
    pub last_call: Option<DateTime<Utc>>,
}

/// One step of time.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Point {
    /// When it begins.
    pub at: DateTime<Utc>,
    /// Its calls.
    #[serde(flatten)]
    pub sums: Sums,
}

/// One layer of the volume over time.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct VolumeLayer {
    /// Who or what; `null`: all others together.
    pub name: Option<String>,
    /// Calls in each step, in the order of `points`.
    pub calls: Vec<u64>,
    /// Calls altogether.
    pub total: u64,
}

/// Figures of a stretch of time. Whole steps are counted, as fine as the stretch is short; they are those of UTC.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Figures {
    /// Beginning of what was counted.
    pub from: DateTime<Utc>,
    /// Its end.
    pub to: DateTime<Utc>,
    /// Length of a step.
    pub step_seconds: u64,
    /// Everything together.
    pub total: Sums,
    /// Each step, those without calls too.
    pub points: Vec<Point>,
    /// What the layers are.
    pub by: Subject,
    /// Volume over time: those with most calls first, all others last.
    pub layers: Vec<VolumeLayer>,
    /// Calls by weekday (Monday first) and hour of the day, in the time zone that was asked for.
    #[schema(value_type = Vec<Vec<u64>>)]
    pub heat: [[u64; 24]; 7],
    /// Minutes by which that time zone is ahead of UTC.
    pub utc_offset_minutes: i32,
}

/// One row of a table.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SubjectRow {
    /// Who or what.
    pub name: String,
    /// Slug of the server, in tables of tools.
    pub server: Option<String>,
    /// Its calls.
    #[serde(flatten)]
    pub sums: Sums,
}

/// A table of users, tools, servers or workspaces.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SubjectTable {
    /// What the rows are.
    pub by: Subject,
    /// Beginning of what was counted.
    pub from: DateTime<Utc>,
    /// Its end.
    pub to: DateTime<Utc>,
    /// The rows, in the order that was asked for.
    pub data: Vec<SubjectRow>,
    /// How many rows there are altogether.
    pub rows: u64,
    /// Pass as `?cursor=` to get what follows; `null` at the end.
    pub next_cursor: Option<String>,
}

/// A token that made many times more calls in the last 24 hours than on its busiest day of the two weeks before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnusualToken {
    /// Slug of the workspace.
    pub workspace: String,
    /// Token id.
    pub token: String,
    /// Name of the token.
    pub user: String,
    /// Calls in the last 24 hours.
    pub calls: u64,
    /// Of these, failed.
    pub errors: u64,
    /// Calls on its busiest day of the two weeks before.
    pub busiest_day: u64,
    /// Whether it was issued within the last days, so that there is little to compare with.
    pub is_new: bool,
    /// So many calls would have been unusual.
    pub limit: u64,
    /// The last one.
    pub last_call: Option<DateTime<Utc>>,
}

/// How many MCP servers can be used now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServersUp {
    /// Connected.
    pub up: u64,
    /// The last attempt to reach them failed.
    pub down: u64,
    /// Not needed yet since the gateway was started.
    pub idle: u64,
    /// Slugs of those that are down.
    pub names_down: Vec<String>,
}

/// A token that stops by itself soon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExpiringToken {
    /// Slug of the workspace.
    pub workspace: String,
    /// Token id.
    pub token: String,
    /// Name of the token.
    pub user: String,
    /// When it stops.
    pub expires_at: DateTime<Utc>,
}

/// A namespace at a glance. Who is not an administrator sees their own calls and tokens.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Overview {
    /// Calls since midnight, in the time zone that was asked for.
    pub today: Sums,
    /// Calls of the last seven days.
    pub week: Sums,
    /// People and tokens that called since midnight.
    pub active_today: u64,
    /// People and tokens that called in the last seven days.
    pub active_week: u64,
    /// MCP servers that are installed somewhere and enabled there.
    pub servers: ServersUp,
    /// Tokens that stop within `limits.token_expiry_warning_days`, soonest first.
    pub expiring: Vec<ExpiringToken>,
    /// Tokens that behave unlike themselves, most calls first.
    pub unusual: Vec<UnusualToken>,
    /// Whether calls are recorded at all (`analytics.enabled`).
    pub recorded: bool,
}

/// Whether a tool is worth what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Worth {
    /// Somebody called it.
    Used,
    /// Nobody did.
    Unused,
    /// It, its server here, or its name is too new to tell.
    TooNew,
}

/// What one tool costs, and whether anybody uses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DietTool {
    /// The server's own name of it.
    pub tool: String,
    /// The name clients see.
    pub name: String,
    /// Bytes of its entry in the list that clients are sent.
    pub bytes: u64,
    /// Tokens of what clients show to a model, estimated.
    pub tokens: u64,
    /// Calls in the last days, of everybody.
    pub calls: u64,
    /// The last of these.
    pub last_call: Option<DateTime<Utc>>,
    /// Whether it is worth it.
    pub worth: Worth,
}

/// What the tools of one server cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DietServer {
    /// Slug of the server.
    pub server: String,
    /// Bytes of its tools in the list that clients are sent.
    pub bytes: u64,
    /// Tokens of what clients show to a model, estimated.
    pub tokens: u64,
    /// Of these, of tools that nobody used.
    pub unused_tokens: u64,
    /// The tools that are offered, the most expensive first.
    pub tools: Vec<DietTool>,
}

/// What the tool list of a workspace costs an editor at the beginning of every conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Diet {
    /// The servers, the most expensive first.
    pub servers: Vec<DietServer>,
    /// Bytes of the whole list.
    pub bytes: u64,
    /// Tokens of the whole list, estimated.
    pub tokens: u64,
    /// Of these, of tools that nobody used.
    pub unused_tokens: u64,
    /// How many tools nobody used.
    pub unused_tools: u64,
    /// How many days back calls were looked for.
    pub days: u32,
    /// For which tokenizer tokens are estimated, and how.
    #[schema(example = "o200k_base, estimated: 4.5 bytes a token")]
    pub estimate: String,
    /// Whether calls are recorded (`analytics.enabled`). If not, no tool counts as unused.
    pub recorded: bool,
}

/// Which unused tools to switch off.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyDiet {
    /// Only these, by the names clients see; all unless given. One that is used is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
}

/// Tools of one server that were switched off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SwitchedOff {
    /// Slug of the server.
    pub server: String,
    /// The tools, by the server's own names: `PATCH …/servers/{server}/tools` with these and `"enabled": true` undoes it.
    pub tools: Vec<String>,
}

/// What was switched off, and what is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DietApplied {
    /// What was switched off, server by server.
    pub switched_off: Vec<SwitchedOff>,
    /// Tokens that every conversation is spared, estimated.
    pub saved_tokens: u64,
    /// The list now.
    pub diet: Diet,
}
