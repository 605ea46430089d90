//! `workspace token …` (and `token …`): issue, list, revoke. The raw token goes to stdout, alone on its line, so that
//! `TOKEN=$(aerostack workspace token create …)` catches it; all the rest of that answer goes to stderr.

use clap::{ArgGroup, Args, Subcommand};

use super::{
    credential,
    failure::{Failure, Outcome},
    output::{Align, Cell, Column, Sheet, Terminal},
    session::Session,
    text,
    token_rotate::{self, RotateArgs},
    token_scope::{self, ScopeArgs, UpdateArgs},
};
use crate::{
    admin::dto::{CreateToken, Page, RevokeByName, Seats, Token, TokenCreated, TokenPage},
    domain::{clients, clock, period, scope::Scope},
};

/// Runnable examples of `token`.
pub const EXAMPLES: &str = "Examples:
  aerostack token create --name \"Alice Chen\" --workspace engineering
  aerostack token list
  aerostack token revoke --name \"Alice Chen\"";
/// Runnable examples of `workspace token create`.
pub const CREATE_EXAMPLES: &str = "Examples:
  aerostack workspace token create engineering --name \"Alice Chen\"
  aerostack workspace token create engineering --name \"CI Bot\" --expires-in 24h
  aerostack workspace token create engineering --name \"Auditor\" --allow 'github__*' --deny '*delete*' --read-only
  aerostack workspace token create engineering --name \"Bob\" --output token
  aerostack workspace token create engineering --name \"Carol Wu\" --output cursor";
/// Runnable examples of `workspace token list`.
pub const LIST_EXAMPLES: &str = "Examples:
  aerostack workspace token list engineering
  aerostack workspace token list engineering --active -o csv";
/// Runnable examples of `workspace token revoke`.
pub const REVOKE_EXAMPLES: &str = "Examples:
  aerostack workspace token revoke engineering --name \"Alice Chen\"
  aerostack workspace token revoke engineering tok_0190c0de";

/// Tokens of the current workspace.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Issue a token; its value is shown this once
    #[command(after_help = "Examples:\n  aerostack token create --name \"Alice Chen\" --workspace engineering")]
    Create {
        /// Workspace [default: the current one]
        #[arg(short, long, value_name = "SLUG")]
        workspace: Option<String>,
        /// The token
        #[command(flatten)]
        token: CreateArgs,
    },
    /// List tokens
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  aerostack token list\n  aerostack token list --workspace engineering"
    )]
    List {
        /// Workspace [default: the current one]
        #[arg(short, long, value_name = "SLUG")]
        workspace: Option<String>,
        /// Which tokens
        #[command(flatten)]
        list: ListArgs,
    },
    /// Change what a token may use; its value stays
    #[command(
        after_help = "Examples:\n  aerostack token update --name \"Alice Chen\" --read-only --workspace engineering"
    )]
    Update {
        /// Workspace [default: the current one]
        #[arg(short, long, value_name = "SLUG")]
        workspace: Option<String>,
        /// Which token, and what it may use
        #[command(flatten)]
        token: UpdateArgs,
    },
    /// Give a token another value; the old one works on for a while
    #[command(
        after_help = "Examples:\n  aerostack token rotate --name \"CI Bot\" --workspace engineering\n  aerostack token rotate --name \"CI Bot\" --overlap 0 --workspace engineering"
    )]
    Rotate {
        /// Workspace [default: the current one]
        #[arg(short, long, value_name = "SLUG")]
        workspace: Option<String>,
        /// Which token
        #[command(flatten)]
        token: RotateArgs,
    },
    /// Revoke a token, at once and for ever
    #[command(after_help = "Examples:\n  aerostack token revoke --name \"Alice Chen\" --workspace engineering")]
    Revoke {
        /// Workspace [default: the current one]
        #[arg(short, long, value_name = "SLUG")]
        workspace: Option<String>,
        /// Which token
        #[command(flatten)]
        token: RevokeArgs,
    },
}

/// What `token create` takes.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Whose or what for, for example "Alice Chen"
    #[arg(long)]
    name: String,
    /// When it stops by itself: seconds, 30m, 24h, 30d or never
    #[arg(long, value_name = "TIME")]
    expires_in: Option<String>,
    /// Its own limit of requests per minute
    #[arg(long, value_name = "N")]
    requests_per_minute: Option<u32>,
    /// What it may use
    #[command(flatten)]
    scope: ScopeArgs,
    /// Print the configuration of one client instead (cursor, vscode, claude-code, …)
    #[arg(long, value_name = "CLIENT")]
    snippet: Option<String>,
}

/// What `token list` takes.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Leave out revoked and expired tokens
    #[arg(long)]
    active: bool,
}

/// What `token revoke` takes.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["id", "name"])))]
pub struct RevokeArgs {
    /// Id of the token, or enough of its beginning
    #[arg(value_name = "TOKEN_ID")]
    id: Option<String>,
    /// Name of the token
    #[arg(long)]
    name: Option<String>,
    /// Revoke every active token of that name
    #[arg(long, requires = "name")]
    all: bool,
}

/// Runs `token …`.
pub async fn run(session: &mut Session, terminal: &mut Terminal, command: TokenCommand) -> Outcome {
    match command {
        TokenCommand::Create { workspace, token } => create(session, terminal, workspace, token).await,
        TokenCommand::List { workspace, list: args } => list(session, terminal, workspace, args).await,
        TokenCommand::Update { workspace, token } => token_scope::update(session, terminal, workspace, token).await,
        TokenCommand::Rotate { workspace, token } => token_rotate::rotate(session, terminal, workspace, token).await,
        TokenCommand::Revoke { workspace, token } => revoke(session, terminal, workspace, token).await,
    }
}

/// Issues a token and shows it.
pub async fn create(
    session: &mut Session,
    terminal: &mut Terminal,
    workspace: Option<String>,
    args: CreateArgs,
) -> Outcome {
    let workspace = session.workspace(workspace)?;
    // Before the token is issued: its value is shown only once.
    if let Some(client) = args.snippet.as_deref().filter(|client| !is_known(client)) {
        return Err(Failure::usage(format!("There is no snippet for \"{client}\""))
            .with_hint(format!("known clients: {}", clients::names().join(", "))));
    }
    let expires_in = credential::life(args.expires_in.as_deref())?;
    let scope = args.scope.scope();
    let body = CreateToken { name: args.name, expires_in, requests_per_minute: args.requests_per_minute, scope };
    let made: TokenCreated = session.client()?.post(&["workspaces", &workspace, "tokens"], vec![], &body).await?;
    reveal(terminal, &made, args.snippet.as_deref())
}

/// Shows a new value, this once: as the API's object, as a client's configuration, or alone on its line.
pub fn reveal(terminal: &mut Terminal, made: &TokenCreated, client: Option<&str>) -> Outcome {
    if let Some(client) = client.or(terminal.client()) {
        return snippet(terminal, made, client);
    }
    if terminal.wants_json() {
        return terminal.json(made);
    }
    terminal.value(&made.token)?;
    if !terminal.wants_a_token() {
        let (name, until) = (&made.name, credential::end(made.expires_at));
        terminal.note(&format!("Token \"{name}\" for {} ({until}). Shown only this once: save it now.", made.url));
        terminal.hint("paste-ready client configuration: --output json, or --output cursor");
    }
    Ok(())
}

fn is_known(client: &str) -> bool {
    clients::names().iter().any(|known| known.eq_ignore_ascii_case(client))
}

fn snippet(terminal: &mut Terminal, made: &TokenCreated, client: &str) -> Outcome {
    let Some(snippet) = made.snippets.iter().find(|s| s.client.eq_ignore_ascii_case(client)) else {
        terminal.value(&made.token)?;
        return Err(Failure::local(format!("The token was issued, but this gateway has no snippet for \"{client}\"")));
    };
    terminal.value(&snippet.text)?;
    if let Some(file) = &snippet.file {
        terminal.note(&format!("For {file}. It holds the token: keep it out of version control."));
    }
    Ok(())
}

/// All tokens of a workspace, with the plan's seats.
pub async fn fetch(session: &mut Session, workspace: &str) -> Outcome<(Vec<Token>, Seats)> {
    let client = session.client()?;
    let (mut all, mut query) = (Vec::new(), vec![]);
    loop {
        let page: TokenPage = client.get(&["workspaces", workspace, "tokens"], query).await?;
        let empty = page.data.is_empty();
        all.extend(page.data);
        match page.next_cursor {
            Some(cursor) if !empty => query = vec![("cursor", cursor)],
            _ => return Ok((all, page.seats)),
        }
    }
}

/// Lists the tokens of a workspace.
pub async fn list(
    session: &mut Session,
    terminal: &mut Terminal,
    workspace: Option<String>,
    args: ListArgs,
) -> Outcome {
    let workspace = session.workspace(workspace)?;
    let (mut tokens, seats) = fetch(session, &workspace).await?;
    if args.active {
        tokens.retain(|token| token.active);
    }
    let more = [Column("MAY USE", "scope", Align::Left), Column("ID", "id", Align::Left)];
    let mut sheet = Sheet::new(credential::columns("TOKEN NAME").into_iter().chain(more));
    for token in &tokens {
        sheet.row([
            Cell::text(&token.name),
            Cell::date(token.created_at),
            terminal.when(token.last_used_at),
            credential::status(token.status, || active(token)),
            Cell::text(token.scope.as_ref().map_or_else(|| Scope::default().to_string(), Scope::to_string)),
            Cell::text(&token.id),
        ]);
    }
    terminal.list(&tokens, &sheet, |token| &token.id)?;
    if let Some(soon) = tokens.iter().find(|token| token.expires_soon) {
        terminal.hint(&format!("aerostack workspace token rotate {workspace} {}", soon.id));
    }
    terminal.footer(&seats_line(&seats))
}

/// `active`, and when it ends if that is soon.
fn active(token: &Token) -> String {
    match token.expires_at.filter(|_| token.expires_soon) {
        Some(end) => format!("active, expires {}", period::until(end, clock::now())),
        None => "active".to_owned(),
    }
}

fn seats_line(seats: &Seats) -> String {
    let plan = text::capitalized(&seats.plan);
    match seats.limit {
        Some(limit) => format!("{} of {limit} tokens used ({plan} plan)", seats.used),
        None => format!("{} used ({plan} plan, unlimited)", text::counted(seats.used, "token")),
    }
}

/// Revokes by id (or an unambiguous beginning of one) or by name. Never asks: revoking must be instant.
pub async fn revoke(
    session: &mut Session,
    terminal: &mut Terminal,
    workspace: Option<String>,
    args: RevokeArgs,
) -> Outcome {
    let workspace = session.workspace(workspace)?;
    let revoked: Vec<Token> = match (args.id, args.name) {
        (Some(id), _) => vec![revoke_by_id(session, &workspace, &id).await?],
        (None, Some(name)) => revoke_by_name(session, &workspace, name, args.all).await?,
        (None, None) => {
            return Err(Failure::usage("Which token?").with_hint("name it: --name \"Alice Chen\", or give its id"));
        }
    };
    for token in &revoked {
        let sentence =
            format!("Token revoked. {}'s gateway access is immediately disabled.", text::first_name(&token.name));
        terminal.done(&sentence, token, &token.id)?;
    }
    Ok(())
}

async fn revoke_by_id(session: &mut Session, workspace: &str, id: &str) -> Outcome<Token> {
    const FULL: usize = "tok_".len() + 32;
    let id = if id.len() < FULL { complete_id(session, workspace, id).await? } else { id.to_owned() };
    session.client()?.delete(&["workspaces", workspace, "tokens", &id], vec![]).await
}

/// The id that begins like this.
pub async fn complete_id(session: &mut Session, workspace: &str, beginning: &str) -> Outcome<String> {
    let (tokens, _) = fetch(session, workspace).await?;
    let matches = |token: &&Token| {
        let hex = token.id.strip_prefix("tok_").unwrap_or_default();
        !beginning.is_empty() && (token.id.starts_with(beginning) && beginning.len() > 4 || hex.starts_with(beginning))
    };
    let found: Vec<&Token> = tokens.iter().filter(matches).collect();
    match found.as_slice() {
        [only] => Ok(only.id.clone()),
        [] => Err(Failure::not_found(format!("No token \"{beginning}\" in {workspace}"))
            .with_hint(format!("aerostack workspace token list {workspace}"))),
        many => Err(ambiguous(&format!("\"{beginning}\" is the beginning of {} token ids", many.len()), many)),
    }
}

async fn revoke_by_name(session: &mut Session, workspace: &str, name: String, all: bool) -> Outcome<Vec<Token>> {
    let body = RevokeByName { name: name.clone(), all };
    let path = ["workspaces", workspace, "tokens:revoke"];
    let answer: Result<Page<Token>, Failure> = session.client()?.post(&path, vec![], &body).await;
    match answer {
        Ok(page) => Ok(page.data),
        Err(failure) if failure.status() == Some(409) => {
            let (tokens, _) = fetch(session, workspace).await?;
            let same: Vec<&Token> = tokens.iter().filter(|t| t.active && t.name == name).collect();
            if same.len() > 1 {
                Err(ambiguous(&format!("{} active tokens are named \"{name}\"", same.len()), &same))
            } else {
                Err(failure)
            }
        }
        Err(failure) => Err(failure),
    }
}

fn ambiguous(what: &str, tokens: &[&Token]) -> Failure {
    let ids: Vec<&str> = tokens.iter().map(|token| token.id.as_str()).collect();
    Failure::local(what).with_hint(format!("revoke one by its id, or all with --all: {}", ids.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_footer_is_the_seeds() {
        let seats = |plan: &str, used, limit| seats_line(&Seats { plan: plan.into(), used, limit });
        assert_eq!(seats("pro", 4, Some(25)), "4 of 25 tokens used (Pro plan)");
        assert_eq!(seats("enterprise", 4, None), "4 tokens used (Enterprise plan, unlimited)");
    }
}
