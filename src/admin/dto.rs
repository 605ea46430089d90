//! What the admin API takes and gives, shared with the CLI so that both sides cannot drift apart.
//!
//! Owns shapes only. Times are RFC 3339 UTC, durations whole seconds, ids carry their prefix, slugs name things in
//! paths. Nothing here carries a secret's value outward: [`SetSecret`] only goes in.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub use super::{
    dto_analytics::*, dto_audit::*, dto_doctor::*, dto_people::*, dto_servers::*, dto_skills::*, dto_tools::*,
};
use crate::domain::scope::Scope;

/// One page of a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items, in the list's order.
    pub data: Vec<T>,
    /// Pass as `?cursor=` to get what follows; `null` at the end.
    pub next_cursor: Option<String>,
}

/// The body of every error answer (RFC 9457, `application/problem+json`).
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Where this kind of problem is explained.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// What happened, to which thing. This is the sentence to show.
    #[serde(default)]
    pub title: String,
    /// The HTTP status.
    #[serde(default)]
    pub status: u16,
    /// The kind of problem in words.
    #[serde(default)]
    pub detail: String,
    /// The path that was asked for.
    #[serde(default)]
    pub instance: String,
    /// Stable name of the kind (`not_found`, `plan_limit`, …).
    #[serde(default)]
    pub code: String,
    /// Names this request in the server's log and audit.
    #[serde(default)]
    pub request_id: String,
    /// What to do about it, often the line to type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Which members of the body are wrong, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Structured detail of this kind of problem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

/// One wrong member of a request body.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer of the member.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

/// Who the API key belongs to.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WhoAmI {
    /// Account id.
    pub account: String,
    /// User name of the account.
    pub username: String,
    /// The namespace acted in.
    pub namespace: String,
    /// How this account is named in the audit log.
    pub label: String,
    /// `owner`, `admin`, `member` or `viewer`.
    pub role: String,
    /// Plan of the namespace.
    pub plan: String,
    /// Id of the API key used.
    pub api_key: Option<String>,
    /// Every namespace that this account is a member of and its API key reaches, with the role it has there.
    #[serde(default)]
    pub namespaces: Vec<Membership>,
    /// Under which URL editors and people reach this gateway.
    pub public_url: String,
    /// Version of the server.
    pub version: String,
}

/// How many tokens or workspaces of a plan are used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Seats {
    /// Plan of the namespace.
    pub plan: String,
    /// Used now (only active tokens count).
    pub used: u64,
    /// `null`: unlimited.
    pub limit: Option<u64>,
}

/// The plan of a namespace, and what it allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamespacePlan {
    /// User name of the account it belongs to.
    pub namespace: String,
    /// `free`, `pro`, `team` or `enterprise`.
    pub plan: String,
    /// Active tokens per workspace; `null`: unlimited.
    pub tokens_per_workspace: Option<u64>,
    /// Workspaces; `null`: unlimited.
    pub workspaces: Option<u64>,
    /// Workspaces there are.
    pub workspaces_used: u64,
}

/// A gateway URL and the servers installed in it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Workspace {
    /// Workspace id.
    pub id: String,
    /// Name in URLs.
    #[schema(example = "engineering")]
    pub slug: String,
    /// Name for people.
    pub name: String,
    /// The gateway URL for editors.
    pub url: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Servers installed in it.
    pub servers: u64,
    /// Its active tokens.
    pub active_tokens: u64,
}

/// Makes a workspace.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWorkspace {
    /// Name in URLs: lower case letters, digits and inner hyphens, at most 48.
    #[schema(example = "engineering")]
    pub slug: String,
    /// Name for people; the slug when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Renames a workspace. What is left out stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateWorkspace {
    /// Its name in URLs from now on. The gateway URL changes with it, and the old one answers nobody any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "platform")]
    pub slug: Option<String>,
    /// Its name for people from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Whether a token opens the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenStatus {
    /// Opens the gateway.
    Active,
    /// Was revoked, for ever.
    Revoked,
    /// Its time is over.
    Expired,
}

/// A workspace token, without its value (which nobody can read again).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Token id.
    pub id: String,
    /// Whose or what for.
    #[schema(example = "Alice Chen")]
    pub name: String,
    /// The last characters of its value, to recognize it.
    pub hint: String,
    /// Whether it opens the gateway.
    pub status: TokenStatus,
    /// `status` is `active`.
    pub active: bool,
    /// When it was issued.
    pub created_at: DateTime<Utc>,
    /// When it stops by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// Its last call, at most a minute old.
    pub last_used_at: Option<DateTime<Utc>>,
    /// Whether that is soon (`limits.token_expiry_warning_days`).
    #[serde(default)]
    pub expires_soon: bool,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Until when the value before its last rotation works as well.
    #[serde(default)]
    pub previous_until: Option<DateTime<Utc>>,
    /// Its own limit of requests per minute, if it has one.
    pub requests_per_minute: Option<u32>,
    /// What it may use of the workspace; `null`: everything.
    pub scope: Option<Scope>,
}

/// The tokens of a workspace and how many its plan allows.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenPage {
    /// The tokens, oldest first.
    pub data: Vec<Token>,
    /// Pass as `?cursor=` to get what follows; `null` at the end.
    pub next_cursor: Option<String>,
    /// How many the plan allows.
    pub seats: Seats,
}

/// Issues a token.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// Whose or what for; unique among the workspace's active tokens.
    #[schema(example = "Alice Chen")]
    pub name: String,
    /// Seconds until it stops by itself; left out: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 86400)]
    pub expires_in: Option<u64>,
    /// Its own limit of requests per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// What it may use of the workspace; left out: everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
}

/// Changes a token without changing its value.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateToken {
    /// What it may use of the workspace from now on; `{}`: everything.
    pub scope: Scope,
}

/// Gives a token another value; its name, scope and limit stay.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateToken {
    /// Seconds that the value it has now works on: a day unless given, at most 30 days; 0: it is dead at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 86400)]
    pub overlap_seconds: Option<u64>,
}

/// An issued token. The only answer that ever carries `token`.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenCreated {
    /// The value, shown this once.
    pub token: String,
    /// Token id.
    pub id: String,
    /// Whose or what for.
    pub name: String,
    /// The last characters of the value.
    pub hint: String,
    /// When it was issued.
    pub created_at: DateTime<Utc>,
    /// When it stops by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// Until when the value before this one works as well, if it was rotated.
    #[serde(default)]
    pub previous_until: Option<DateTime<Utc>>,
    /// What it may use of the workspace; `null`: everything.
    pub scope: Option<Scope>,
    /// The gateway URL it opens.
    pub url: String,
    /// Ready to paste into an MCP client's configuration.
    pub mcp_json: Value,
    /// The same for each client that wants another shape.
    pub snippets: Vec<Snippet>,
}

/// How one client is configured.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct Snippet {
    /// Short name of the client.
    #[schema(example = "cursor")]
    pub client: String,
    /// The client's name.
    #[serde(default)]
    pub title: String,
    /// Where it belongs.
    pub file: Option<String>,
    /// `json`, `toml`, `yaml` or `shell`.
    pub language: String,
    /// The text to paste or run.
    pub text: String,
    /// A link that installs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install_url: Option<String>,
}

/// Revokes by name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeByName {
    /// Name of an active token.
    #[schema(example = "Alice Chen")]
    pub name: String,
    /// Revoke all active tokens of that name.
    #[serde(default)]
    pub all: bool,
}

/// Header of every answer to somebody who is known: the gateway's version.
pub const VERSION_HEADER: &str = "x-aerostack-version";

/// One act.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// `admin`, `install`, `call` or `security`.
    pub kind: String,
    /// What (`token_created`, `mcp_installed`, `tool_call`, …).
    pub action: String,
    /// To what (a token's name, `github-mcp/GITHUB_TOKEN`, …).
    pub target: String,
    /// The skill or tool it was about, if it was about one.
    pub skill: Option<String>,
    /// Names the request in the server's log.
    pub request_id: Option<String>,
    /// How often, if it was counted instead of being written each time (refusals).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// Its position in the log, from 1; tool calls have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// What kind of thing it was done to (`token`, `server`, …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_kind: Option<String>,
    /// Where the request came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What was changed, field by field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<AuditChange>,
    /// What else is written of it: names and ids, never a secret.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    #[schema(value_type = Object)]
    pub detail: serde_json::Map<String, Value>,
}
