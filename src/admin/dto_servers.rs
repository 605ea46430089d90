//! The half of [`super::dto`] about MCP servers, their installations and their secrets.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::dto_skills::InstallOutcome;
use crate::domain::{definition::PinMode, program::Isolation, skill::Visibility};

/// An MCP server definition.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Server {
    /// Server id.
    pub id: String,
    /// Name in commands and paths.
    #[schema(example = "github-mcp")]
    pub slug: String,
    /// Name for people.
    pub title: String,
    /// `http` or `stdio`.
    pub kind: String,
    /// Where it is reached (query values are masked), or `stdio:` and its command line (credentials are masked).
    pub url: String,
    /// `auto`, `modern`, `legacy` or `sse`.
    pub protocol: String,
    /// Seconds its answer may take to begin.
    pub timeout_seconds: Option<u64>,
    /// Seconds a whole call may take.
    pub total_seconds: Option<u64>,
    /// Calls in flight.
    pub max_in_flight: Option<u64>,
    /// Whether secrets may travel over plain http.
    pub allow_http: bool,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Workspaces it is installed in.
    pub workspaces: Vec<String>,
}

/// Changes a server definition; what is left out stays. Secrets are bound to where a server is: at another origin none of
/// them is sent until it is set again.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateServer {
    /// Where it is reached, without credentials; as it is shown: unchanged. A program has no URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// `auto`, `modern`, `legacy` or `sse`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Seconds its answer may take to begin; 0: as the gateway is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
    /// Seconds a whole call may take; 0: as the gateway is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_seconds: Option<u64>,
    /// Calls in flight; 0: as the gateway is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u64>,
}

/// Adds a server definition.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddServer {
    /// Name in commands and paths.
    #[schema(example = "github-mcp")]
    pub slug: String,
    /// Where it is reached, without credentials; left out: from the catalogue of known servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Name for people; the slug when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// `auto` (default), `modern`, `legacy` or `sse`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Seconds its answer may take to begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
    /// Seconds a whole call may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_seconds: Option<u64>,
    /// Calls in flight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u64>,
    /// Let secrets travel over plain http.
    #[serde(default)]
    pub allow_http: bool,
    /// Instead of a URL: the full path of a program on the gateway's machine. Only if the operator allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The program's arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// The program's variables that are no secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Who shares the running program: `shared` (default) or `session`.
    #[serde(default, skip_serializing_if = "Isolation::is_shared")]
    pub isolation: Isolation,
}

/// What a reading of the files in `servers.d` led to.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    /// The folder, on the gateway's machine.
    pub folder: String,
    /// Servers that are new.
    pub added: Vec<String>,
    /// Servers that have another command, or other settings, now.
    pub changed: Vec<String>,
    /// Servers that are gone with their files.
    pub removed: Vec<String>,
    /// What could not be taken over, and why.
    pub problems: Vec<String>,
}

/// What a test connection found.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ServerTest {
    /// It answered and listed its tools.
    pub ok: bool,
    /// Milliseconds it took.
    pub latency_ms: u64,
    /// Transport and MCP revision agreed on.
    pub protocol: Option<String>,
    /// Its own name.
    pub server_name: Option<String>,
    /// Its own version.
    pub server_version: Option<String>,
    /// Tools it lists.
    pub tools: Option<u64>,
    /// Why it did not answer.
    pub error: Option<String>,
    /// What to do about that.
    pub hint: Option<String>,
    /// The last lines a program wrote to its standard error before it failed, without its secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_words: Vec<String>,
}

/// One tool.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Tool {
    /// The name clients see.
    #[schema(example = "github__create_issue")]
    pub name: String,
    /// Its name at the server.
    pub upstream_name: String,
    /// Slug of the server.
    pub server: String,
    /// What it does.
    pub description: Option<String>,
}

/// A server in a workspace.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Installation {
    /// Installation id.
    pub id: String,
    /// Slug of the server.
    pub server: String,
    /// Name for people.
    pub title: String,
    /// What its tools' names begin with (before `__`).
    pub prefix: String,
    /// Whether its tools are offered.
    pub enabled: bool,
    /// What happens to tools that are new or changed.
    pub pins: PinMode,
    /// Tools it offers; `null` while they are not known yet.
    pub tools: Option<u64>,
    /// Tools that are new or changed and wait for approval.
    pub waiting: u64,
    /// Where it is reached.
    pub url: String,
    /// How it is named if it is a skill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "@acme/deploy-skill")]
    pub skill: Option<String>,
    /// The skill's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When it was installed.
    pub created_at: DateTime<Utc>,
}

/// Installs a server in a workspace.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InstallServer {
    /// An own definition, a known server or a skill: `slug`, `ns/name`, `@ns/name`, of a skill also `@ns/name@1.2`.
    #[schema(example = "github-mcp")]
    pub server: String,
    /// What its tools' names shall begin with; left out: from the slug.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Move a skill that is installed already to the newest version.
    #[serde(default)]
    pub upgrade: bool,
}

/// An installed server, and what it still needs.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Installed {
    /// The installation.
    #[serde(flatten)]
    pub installation: Installation,
    /// What installing did.
    #[serde(default)]
    pub outcome: InstallOutcome,
    /// Who may see the skill, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
    /// A version of the skill that is newer than the installed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newer: Option<String>,
    /// The definition was made from the catalogue of known servers just now.
    pub defined: bool,
    /// Secrets it is known to need that are not set yet.
    pub missing_secrets: Vec<String>,
    /// Tools whose names are too long for some editors.
    pub long_names: Vec<LongName>,
}

/// A tool whose name is too long for some editors.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LongName {
    /// The server's own name of it.
    pub tool: String,
    /// The name clients see.
    pub name: String,
    /// An alias that would do.
    pub alias: String,
}

/// How a secret travels to its server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "mode", rename_all = "lowercase", deny_unknown_fields)]
pub enum InjectionRule {
    /// As a header with the secret's value.
    Header {
        /// Name of the header.
        #[schema(example = "X-API-Key")]
        header: String,
    },
    /// As `Authorization: Bearer <value>`.
    Bearer {},
    /// As an environment variable of a program.
    Env {
        /// Name of the variable.
        #[schema(example = "API_KEY")]
        name: String,
    },
}

/// Sets a secret. The value goes in and never comes out again.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetSecret {
    /// Name of the secret.
    #[schema(example = "GITHUB_TOKEN")]
    pub name: String,
    /// Its value: printable ASCII (for a program: any text), at most 8192 bytes.
    #[schema(write_only, example = "ghp_xxxxxxxxxxxx")]
    pub value: String,
    /// How it travels; left out: kept, or for a new one the header (or variable) named like the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub injection: Option<InjectionRule>,
}

/// A secret without its value.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Secret {
    /// Name of the secret.
    #[schema(example = "GITHUB_TOKEN")]
    pub name: String,
    /// How it travels.
    pub injection: InjectionRule,
    /// The header or variable it travels in.
    pub injected_as: String,
    /// `active`, or why it cannot be used (`needs_reentry`, …).
    pub state: String,
    /// The workspace it is an override for; `null`: every workspace.
    pub workspace: Option<String>,
    /// When the value was set.
    pub updated_at: DateTime<Utc>,
    /// Who set it.
    pub updated_by: String,
}

/// What setting a secret did.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SecretWritten {
    /// Slug of the server.
    pub server: String,
    /// Name of the secret.
    pub name: String,
    /// The workspace it is an override for; `null`: every workspace.
    pub workspace: Option<String>,
    /// It did not exist before.
    pub created: bool,
}

/// How many secrets were deleted.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SecretsDeleted {
    /// Their number.
    pub deleted: u64,
}

/// A well-known server that can be installed by its slug alone.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct KnownServer {
    /// Its slug.
    pub slug: String,
    /// Name for people.
    pub title: String,
    /// What it offers.
    pub description: String,
    /// Where it is reached.
    pub url: String,
    /// The secrets it needs.
    pub secrets: Vec<KnownSecret>,
}

/// A secret a known server needs.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct KnownSecret {
    /// Name of the secret.
    pub name: String,
    /// How it travels.
    pub injection: InjectionRule,
    /// The server also works without it.
    pub optional: bool,
    /// What to create at the vendor's.
    pub description: String,
}
