//! The third of [`super::dto`]: switches, aliases and pins of tools, and why a tool is or is not there.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::definition::PinMode;

/// Changes an installation; what is left out stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateInstallation {
    /// Whether anything of it is offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// What its tools' names begin with, before `__`; empty: they pass unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "gh")]
    pub prefix: Option<String>,
    /// What happens to tools that are new or changed: they wait for approval (`pin`), or are offered at once (`track`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pins: Option<PinMode>,
}

/// Whether a tool is offered, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolState {
    /// Tokens see it (as far as their scope goes).
    Offered,
    /// It is switched off.
    Off,
    /// The whole server is disabled here.
    ServerDisabled,
    /// It is new and waits for approval.
    WaitingNew,
    /// It changed and waits for approval.
    WaitingChanged,
    /// Its definition was rejected.
    Rejected,
    /// The server does not list it (any more).
    NotListed,
}

/// A tool of an installed server, offered or not.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct InstalledTool {
    /// The server's own name of it.
    #[schema(example = "create_issue")]
    pub tool: String,
    /// The name clients see.
    #[schema(example = "github__create_issue")]
    pub name: String,
    /// Whether it is offered.
    pub state: ToolState,
    /// Whether it is switched on.
    pub enabled: bool,
    /// The name an administrator gave it.
    pub alias: Option<String>,
    /// Its server says that it only reads.
    pub read_only: bool,
    /// Its server says that it may destroy something.
    #[serde(default)]
    pub destructive: bool,
    /// Its server says that it reaches beyond its own things.
    #[serde(default)]
    pub open_world: bool,
    /// The name is so long that some editors will not take it: give it an alias.
    pub too_long: bool,
    /// What it does.
    pub description: Option<String>,
}

/// Decides about tools of an installed server; what is left out stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateTools {
    /// Which tools: the server's own names or those clients see.
    #[schema(example = json!(["create_issue"]))]
    pub tools: Vec<String>,
    /// Whether they are offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Another name for one tool, unique in the workspace: 1 to 64 letters, digits, `_` or `-`; empty: its plain name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
}

/// What is pinned of a tool.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Pin {
    /// The server's own name of it.
    pub tool: String,
    /// Whether it is offered, as far as pins go.
    pub state: ToolState,
    /// Fingerprint of the approved definition.
    pub approved: Option<String>,
    /// Fingerprint of another definition that was seen since. Deciding needs it.
    pub waiting: Option<String>,
    /// When that was seen first.
    pub seen_at: Option<DateTime<Utc>>,
    /// Who decided last.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<DateTime<Utc>>,
    /// How the two differ, line by line (`-` approved, `+` waiting), when one tool was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diff: Vec<String>,
}

/// A definition that is approved or rejected.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PinDecision {
    /// The tool.
    pub tool: String,
    /// Fingerprint of the definition that was looked at, or its first 12 digits or more.
    #[schema(example = "1a2b3c4d5e6f")]
    pub fingerprint: String,
}

/// Approves or rejects definitions that wait: all of them or none.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecidePins {
    /// Which.
    pub tools: Vec<PinDecision>,
}

/// Declares every cause with its stable name and the layer it belongs to.
macro_rules! causes {
    ($($(#[$doc:meta])* $cause:ident => $layer:ident;)*) => {
        /// Why a token cannot use a tool, or does not find it where it is looked for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Cause { $($(#[$doc])* $cause,)* }

        impl Cause {
            /// Every cause there is.
            pub const ALL: &'static [Cause] = &[$(Cause::$cause,)*];
            /// The layer it belongs to.
            pub const fn layer(self) -> Layer { match self { $(Cause::$cause => Layer::$layer,)* } }
        }
    };
}

causes! {
    /// The workspace has no such token.
    TokenUnknown => Token;
    /// The token belongs to another workspace.
    TokenOfAnotherWorkspace => Token;
    /// The token was revoked.
    TokenRevoked => Token;
    /// The token's time is over.
    TokenExpired => Token;
    /// The token's requests of this minute are used up.
    RateLimited => Limits;
    /// As many calls of the token are under way as it may have.
    TokenBusy => Limits;
    /// As many calls are under way as the gateway may have.
    GatewayBusy => Limits;
    /// No server of the workspace has such a tool.
    ToolUnknown => Name;
    /// The tool was looked for under its server's own name.
    OwnName => Name;
    /// Another tool has this name; the one that was meant is shown under another.
    NameTaken => Name;
    /// The server is defined, but not installed in the workspace.
    ServerNotInstalled => Server;
    /// The server is disabled in the workspace.
    ServerDisabled => Server;
    /// The skill is not shared with the workspace's namespace any more.
    SkillNotShared => Server;
    /// A secret that the server needs is not set.
    SecretMissing => Server;
    /// The server's address changed: its secret must be set again.
    SecretNeedsReentry => Server;
    /// A stored secret is damaged.
    SecretDamaged => Server;
    /// The server refused the credential.
    CredentialRefused => Server;
    /// The server failed too often and is left alone for a moment.
    BreakerOpen => Server;
    /// The server does not answer as it should.
    ServerNotConnected => Server;
    /// As many calls of the server are under way as it may have.
    ServerBusy => Server;
    /// The server listed the tool in a way that cannot be passed on.
    ToolDropped => Discovery;
    /// The tool is switched off.
    SwitchedOff => Switch;
    /// The tool is new and waits for approval.
    PinNew => Pins;
    /// The tool changed and waits for approval.
    PinChanged => Pins;
    /// The tool's definition was rejected.
    PinRejected => Pins;
    /// A pattern of the token denies it.
    ScopeDenied => Scope;
    /// The token allows some names, and this is none of them.
    ScopeNotAllowed => Scope;
    /// The token reads only, and the server does not say that the tool does.
    ScopeNotReadOnly => Scope;
}

/// What a call passes, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// The token opens the workspace.
    Token,
    /// The name leads to a tool.
    Name,
    /// The server listed the tool well.
    Discovery,
    /// The tool is switched on.
    Switch,
    /// The tool's definition is approved.
    Pins,
    /// The token may use the tool.
    Scope,
    /// Nothing is used up.
    Limits,
    /// The server is installed, enabled and answers.
    Server,
}

/// What was found at one layer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// Which.
    pub layer: Layer,
    /// Nothing here stands in the way.
    pub passes: bool,
    /// What does, or what is worth knowing.
    pub cause: Option<Cause>,
    /// In words.
    pub finding: String,
    /// What to do about it, often the line to type.
    pub remedy: Option<String>,
}

/// Whether a token can use a tool, layer by layer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The workspace.
    pub workspace: String,
    /// The token's name, or what was asked for if there is none.
    pub token: String,
    /// The name that was asked for.
    pub tool: String,
    /// Slug of the server that has it.
    pub server: Option<String>,
    /// Nothing stands in the way.
    pub usable: bool,
    /// The first thing that does.
    pub cause: Option<Cause>,
    /// What was found, in the order of the layers; what cannot be known is left out.
    pub steps: Vec<Step>,
}
