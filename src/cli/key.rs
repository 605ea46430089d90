//! `key …`: API keys of the own account.

use clap::Subcommand;

use super::{
    credential,
    failure::Outcome,
    output::{Align, Cell, Column, Sheet, Terminal},
    session::Session,
};
use crate::admin::dto::{ApiKey, ApiKeyCreated, CreateApiKey, TokenStatus};

/// Runnable examples of `key`.
pub const EXAMPLES: &str = "Examples:
  aerostack key create CI --role member --expires-in 30d
  aerostack key list
  aerostack key revoke key_0190c0de4795575cdb1820cc6c113c1e";

/// API keys of the own account.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key; its value is shown this once
    #[command(
        after_help = "Examples:\n  aerostack key create CI\n  aerostack key create \"Nightly report\" --role viewer --expires-in 90d --bound"
    )]
    Create {
        /// What it is for
        name: String,
        /// The most it may do [default: what you may]
        #[arg(long)]
        role: Option<String>,
        /// When it stops by itself: seconds, 30m, 24h, 30d or never
        #[arg(long, value_name = "TIME")]
        expires_in: Option<String>,
        /// It acts in the current namespace and in no other
        #[arg(long)]
        bound: bool,
    },
    /// List your keys
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  aerostack key list\n  aerostack key list --active -o json"
    )]
    List {
        /// Leave out revoked and expired keys
        #[arg(long)]
        active: bool,
    },
    /// Revoke a key, at once and for ever
    #[command(after_help = "Examples:\n  aerostack key revoke key_0190c0de4795575cdb1820cc6c113c1e")]
    Revoke {
        /// Id of the key
        id: String,
    },
}

/// Runs `key …`.
pub async fn run(session: &mut Session, terminal: &mut Terminal, command: KeyCommand) -> Outcome {
    match command {
        KeyCommand::Create { name, role, expires_in, bound } => {
            let expires_in = credential::life(expires_in.as_deref())?;
            let body = CreateApiKey { name, role, expires_in, bound };
            let made: ApiKeyCreated = session.client()?.post(&["api-keys"], vec![], &body).await?;
            if terminal.wants_json() {
                return terminal.json(&made);
            }
            terminal.value(&made.key)?;
            let (about, until) = (&made.about, credential::end(made.about.expires_at));
            terminal.note(&format!(
                "API key \"{}\" for @{} ({until}). Shown only this once: save it now.",
                about.name, about.namespace
            ));
            Ok(())
        }
        KeyCommand::List { active } => list(session, terminal, active).await,
        KeyCommand::Revoke { id } => {
            let gone: ApiKey = session.client()?.delete(&["api-keys", &id], vec![]).await?;
            terminal.done(&format!("API key \"{}\" revoked.", gone.name), &gone, &gone.id)
        }
    }
}

async fn list(session: &mut Session, terminal: &mut Terminal, active: bool) -> Outcome {
    let mut keys: Vec<ApiKey> = session.client()?.list(&["api-keys"], vec![]).await?;
    if active {
        keys.retain(|key| key.status == TokenStatus::Active);
    }
    let more = [("NAMESPACE", "namespace"), ("ROLE", "role"), ("ID", "id")];
    let more = more.map(|(head, name)| Column(head, name, Align::Left));
    let mut sheet = Sheet::new(credential::columns("KEY NAME").into_iter().chain(more));
    for key in &keys {
        let active = || if key.current { "active (this one)".into() } else { "active".into() };
        let only = if key.bound { " only" } else { "" };
        sheet.row([
            Cell::text(&key.name),
            Cell::date(key.created_at),
            terminal.when(key.last_used_at),
            credential::status(key.status, active),
            Cell::both(format!("@{}{only}", key.namespace), &key.namespace),
            Cell::text(key.role.clone().unwrap_or_else(|| "as you".into())),
            Cell::text(&key.id),
        ]);
    }
    terminal.list(&keys, &sheet, |key| &key.id)
}
