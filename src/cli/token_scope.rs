//! `token create --allow … --deny … --read-only` and `token update`: what a token may use of its workspace.

use clap::{ArgGroup, Args};

use super::{
    failure::{Failure, Outcome},
    output::Terminal,
    session::Session,
    token,
};
use crate::{
    admin::dto::{Token, UpdateToken},
    domain::{near, scope::Scope},
};

/// Runnable examples of `workspace token update`.
pub const EXAMPLES: &str = "Examples:
  aerostack workspace token update engineering --name \"Alice Chen\" --allow 'github__*,slack__*'
  aerostack workspace token update engineering --name \"CI Bot\" --deny '*delete*' --read-only
  aerostack workspace token update engineering tok_0190c0de --everything";

/// What a token may use.
#[derive(Debug, Args)]
pub struct ScopeArgs {
    /// Only tools with such names (`*` any characters, `?` one); may be repeated
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    allow: Vec<String>,
    /// No tools with such names; wins over --allow
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    deny: Vec<String>,
    /// Only tools whose server says that they read
    #[arg(long)]
    read_only: bool,
}

impl ScopeArgs {
    /// The scope, if one was asked for.
    pub fn scope(self) -> Option<Scope> {
        let ScopeArgs { allow, deny, read_only } = self;
        Some(Scope { allow, deny, read_only }).filter(|scope| !scope.is_empty())
    }
}

/// What `token update` takes.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["id", "name"])))]
#[command(group(ArgGroup::new("what").required(true).multiple(true).args(["allow", "deny", "read_only", "everything"])))]
pub struct UpdateArgs {
    /// Id of the token, or enough of its beginning
    #[arg(value_name = "TOKEN_ID")]
    id: Option<String>,
    /// Name of the token
    #[arg(long)]
    name: Option<String>,
    /// What it may use from now on: this replaces what was set before
    #[command(flatten)]
    scope: ScopeArgs,
    /// It may use everything again
    #[arg(long, conflicts_with_all = ["allow", "deny", "read_only"])]
    everything: bool,
}

/// Changes what a token may use.
pub async fn update(
    session: &mut Session,
    terminal: &mut Terminal,
    workspace: Option<String>,
    args: UpdateArgs,
) -> Outcome {
    let workspace = session.workspace(workspace)?;
    let id = match (args.id, args.name) {
        (Some(id), _) => token::complete_id(session, &workspace, &id).await?,
        (None, Some(name)) => named(session, &workspace, &name).await?,
        (None, None) => return Err(Failure::usage("Which token?").with_hint("name it: --name \"Alice Chen\"")),
    };
    let body = UpdateToken { scope: args.scope.scope().unwrap_or_default() };
    let token: Token = session.client()?.patch(&["workspaces", &workspace, "tokens", &id], vec![], &body).await?;
    let may = token.scope.as_ref().map_or_else(|| Scope::default().to_string(), Scope::to_string);
    terminal.done(&format!("Token \"{}\" may use: {may}. In force now.", token.name), &token, &token.id)
}

/// The id of the active token of that name (there is at most one).
pub async fn named(session: &mut Session, workspace: &str, name: &str) -> Outcome<String> {
    let (tokens, _) = token::fetch(session, workspace).await?;
    let active: Vec<&Token> = tokens.iter().filter(|token| token.active).collect();
    match active.iter().find(|token| token.name == name) {
        Some(token) => Ok(token.id.clone()),
        None => Err(Failure::not_found(near::no_such("active token", name, active.iter().map(|token| &*token.name)))
            .with_hint(format!("aerostack workspace token list {workspace}"))),
    }
}
