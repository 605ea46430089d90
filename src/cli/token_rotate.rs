//! `token rotate`: another value for a token; the one it had works on until the overlap ends.

use clap::{ArgGroup, Args};

use super::{
    failure::{Failure, Outcome},
    output::Terminal,
    session::Session,
    text, token, token_scope,
};
use crate::{
    admin::dto::{RotateToken, TokenCreated},
    domain::period,
};

/// Runnable examples of `workspace token rotate`.
pub const EXAMPLES: &str = "Examples:
  aerostack workspace token rotate engineering --name \"CI Bot\"
  aerostack workspace token rotate engineering --name \"Alice Chen\" --overlap 7d --output cursor
  aerostack workspace token rotate engineering tok_0190c0de --overlap 0";

/// What `token rotate` takes.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["id", "name"])))]
pub struct RotateArgs {
    /// Id of the token, or enough of its beginning
    #[arg(value_name = "TOKEN_ID")]
    id: Option<String>,
    /// Name of the token
    #[arg(long)]
    name: Option<String>,
    /// How long the old value works on: 24h, 7d, …; 0: it is dead at once
    #[arg(long, value_name = "TIME", default_value = "24h")]
    overlap: String,
}

/// Gives a token another value and shows it.
pub async fn rotate(
    session: &mut Session,
    terminal: &mut Terminal,
    workspace: Option<String>,
    args: RotateArgs,
) -> Outcome {
    let workspace = session.workspace(workspace)?;
    let overlap = match args.overlap.trim() {
        "0" => 0,
        text => period::parse(text)?,
    };
    let id = match (args.id, args.name) {
        (Some(id), _) => token::complete_id(session, &workspace, &id).await?,
        (None, Some(name)) => token_scope::named(session, &workspace, &name).await?,
        (None, None) => return Err(Failure::usage("Which token?").with_hint("name it: --name \"Alice Chen\"")),
    };
    let body = RotateToken { overlap_seconds: Some(overlap) };
    let path = ["workspaces", &workspace, "tokens", &id, "rotate"];
    let made: TokenCreated = session.client()?.post(&path, vec![], &body).await?;
    let old = match made.previous_until {
        Some(until) => format!("The old value works until {}.", text::minute(until)),
        None => "The old value is dead.".to_owned(),
    };
    token::reveal(terminal, &made, None)?;
    if !terminal.wants_a_token() && !terminal.wants_json() {
        terminal.note(&old);
    }
    Ok(())
}
