//! `account …`: the own password and sessions on the pages.

use clap::Subcommand;
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    failure::{Failure, Outcome},
    output::{Align, Cell, Column, Sheet, Terminal},
    prompt,
    session::Session,
    text,
};
use crate::admin::dto::{ChangePassword, Ended, Session as SignedIn};

/// Runnable examples of `account`.
pub const EXAMPLES: &str = "Examples:
  aerostack account password
  aerostack account sessions";

/// The own account.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Set or change the password for signing in on the pages; other sessions end
    #[command(
        after_help = "Examples:\n  aerostack account password\n  aerostack account password --password-stdin < password.txt"
    )]
    Password {
        /// Read the new password from the first line of stdin, and the current one, if there is one, from the second
        #[arg(long)]
        password_stdin: bool,
    },
    /// List your sessions on the pages
    #[command(after_help = "Examples:\n  aerostack account sessions\n  aerostack account sessions -o json")]
    Sessions,
    /// End one of your sessions
    #[command(after_help = "Examples:\n  aerostack account end-session sin_0190c0de4795575cdb1820cc6c113c1e")]
    EndSession {
        /// Id of the session
        id: String,
    },
}

/// Runs `account …`.
pub async fn run(session: &mut Session, terminal: &mut Terminal, command: AccountCommand) -> Outcome {
    match command {
        AccountCommand::Password { password_stdin } => {
            let body = if password_stdin { from_stdin()? } else { asked()? };
            let ended: Ended = session.client()?.post(&["account", "password"], vec![], &body).await?;
            terminal.done("Password set.", &ended, "set")
        }
        AccountCommand::Sessions => list(session, terminal).await,
        AccountCommand::EndSession { id } => {
            let ended: Ended = session.client()?.delete(&["sessions", &id], vec![]).await?;
            terminal.done("Session ended.", &ended, &id)
        }
    }
}

fn from_stdin() -> Outcome<ChangePassword> {
    let text = prompt::from_stdin()?;
    let mut lines = text.expose_secret().lines();
    let new = lines.next().unwrap_or_default().to_owned();
    Ok(ChangePassword { new, current: lines.next().map(str::to_owned) })
}

fn asked() -> Outcome<ChangePassword> {
    let instead = "aerostack account password --password-stdin < FILE";
    let new = prompt::hidden("New password (12 characters at least)", instead)?;
    let again = prompt::hidden("The same again", instead)?;
    if new.expose_secret() != again.expose_secret() {
        return Err(Failure::usage("the two are not the same"));
    }
    // Empty: there is none yet.
    let current: Option<SecretString> = prompt::hidden_or_none("Current password (empty if there is none yet)")?;
    Ok(ChangePassword {
        new: new.expose_secret().to_owned(),
        current: current.map(|current| current.expose_secret().to_owned()),
    })
}

async fn list(session: &mut Session, terminal: &mut Terminal) -> Outcome {
    let sessions: Vec<SignedIn> = session.client()?.list(&["sessions"], vec![]).await?;
    let mut sheet = Sheet::new([
        Column("BROWSER", "client", Align::Left),
        Column("ADDRESS", "address", Align::Left),
        Column("SINCE", "created_at", Align::Left),
        Column("LAST USED", "last_used_at", Align::Left),
        Column("ID", "id", Align::Left),
    ]);
    for one in &sessions {
        let client: String = one.client.chars().take(40).collect();
        sheet.row([
            Cell::both(client, &one.client),
            Cell::text(&one.address),
            Cell::both(text::date(one.created_at), text::exact(one.created_at)),
            terminal.when(Some(one.last_used_at)),
            Cell::text(&one.id),
        ]);
    }
    terminal.list(&sessions, &sheet, |one| &one.id)
}
