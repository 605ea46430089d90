//! `backup create`, `backup verify`, `backup restore`: parsed and printed here, done by the crate's `host`.

use std::path::PathBuf;

use clap::Subcommand;

use super::{
    failure::{Failure, Outcome},
    host::{HostCommand, Installation},
    output::Terminal,
    text,
};
use crate::{
    domain::backup::{Found, Made, Restored},
    error::{Error, ErrorCode},
};

/// Runnable examples of `backup`.
pub const EXAMPLES: &str = "Examples:
  aerostack backup create --data-dir /var/lib/aerostack
  aerostack backup verify aerostack-20261124T080000Z.backup.tar.gz --data-dir /var/lib/aerostack
  aerostack backup restore aerostack-20261124T080000Z.backup.tar.gz --data-dir /var/lib/aerostack-new";

/// Copies of a gateway's state.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Copy the state into one file, while the gateway runs; the key is not in it
    #[command(
        after_help = "Examples:\n  aerostack backup create --data-dir /var/lib/aerostack\n  aerostack backup create /backups --with-analytics --data-dir /var/lib/aerostack\n  aerostack backup create /backups/latest.tar.gz --force --data-dir /var/lib/aerostack\n\nconfig.toml and servers.d are copied as they are, with what is written there in clear (in audit.checkpoint_command, say): only its owner may read the backup.\n\nIt needs room for a copy of the databases beside the file. If it is killed, files named .aerostack-backup.* are left there, which can be removed.\n\nExit status: 0 made, 1 not made, 2 not possible as typed, or the state is in Postgres"
    )]
    Create {
        /// File, or a folder [default: aerostack-TIME.backup.tar.gz in the present folder]
        file: Option<PathBuf>,
        /// Copy the statistics of calls as well; they may be large
        #[arg(long)]
        with_analytics: bool,
        /// Replace the file if it is there
        #[arg(long)]
        force: bool,
        /// Where
        #[command(flatten)]
        installation: Installation,
    },
    /// Check that a backup is whole, that its database and its audit log are, and that it fits the key
    #[command(
        after_help = "Examples:\n  aerostack backup verify latest.tar.gz --data-dir /var/lib/aerostack\n\nIt is unpacked into a folder in TMPDIR that is removed again.\n\nExit status: 0 whole (and it fits the key, if one is at hand), 1 not whole or of another key, 2 it could not be checked"
    )]
    Verify {
        /// The backup
        file: PathBuf,
        /// Folder with the generated key, if no variable names one [default: data]
        #[arg(long, value_name = "FOLDER")]
        data_dir: Option<PathBuf>,
    },
    /// Restore a backup into a new folder; nothing is written unless it is whole and the key fits
    #[command(
        after_help = "Examples:\n  aerostack backup restore latest.tar.gz --data-dir /var/lib/aerostack-new\n\nThe key is that of the environment (WORKFLOW_SECRETS_KEY, _FILE, _COMMAND), or secrets.key, if it lies in the new folder already. Tokens, keys and sessions are in force as they were when the backup was made.\n\nExit status: 0 restored, 1 refused or failed, 2 not possible as typed"
    )]
    Restore {
        /// The backup
        file: PathBuf,
        /// The new data folder: not there yet, or with nothing in it but secrets.key
        #[arg(long, value_name = "FOLDER")]
        data_dir: PathBuf,
    },
}

/// What is done on the host, and how its failure ends.
pub fn meant(command: BackupCommand) -> (HostCommand, fn(Error) -> Failure) {
    match command {
        BackupCommand::Create { file, with_analytics, force, installation } => {
            (HostCommand::CreateBackup { installation, file, with_analytics, force }, Failure::from)
        }
        BackupCommand::Verify { file, data_dir } => (HostCommand::VerifyBackup { file, data_dir }, verifying),
        BackupCommand::Restore { file, data_dir } => (HostCommand::RestoreBackup { file, data_dir }, Failure::from),
    }
}

/// What is wrong with the backup is one thing, that nothing is known of it another.
fn verifying(error: Error) -> Failure {
    match error.code() {
        ErrorCode::Conflict => error.into(),
        _ => Failure::uncheckable(error),
    }
}

/// Says what was made.
pub fn show_made(terminal: &mut Terminal, made: &Made) -> Outcome {
    let analytics = if made.analytics { "with" } else { "without" };
    let sentence = format!(
        "{} written: {}, {analytics} statistics, {} of the audit log checked, protected by key {}.",
        made.file,
        size(made.bytes),
        entries(made.audit_entries),
        made.keys.join(", "),
    );
    terminal.done(&sentence, made, &made.file)?;
    warn_of(terminal, made.audit_broken.as_deref());
    terminal.hint(&format!("the key is not in it: keep a copy of it elsewhere (it is from {})", made.key_from));
    Ok(())
}

/// Says how a backup is.
pub fn show_found(terminal: &mut Terminal, found: &Found) -> Outcome {
    let analytics = if found.analytics { "with" } else { "without" };
    let key = match found.with_key {
        true => {
            format!("{} of its audit log checked, fits the key {}", entries(found.audit_entries), found.keys.join(", "))
        }
        false => format!("protected by key {}", found.keys.join(", ")),
    };
    let sentence = format!(
        "The backup is whole: of {} by {}, {} unpacked, {analytics} statistics, {key}.",
        text::minute(found.created_at),
        found.version,
        size(found.bytes),
    );
    terminal.done(&sentence, found, "whole")?;
    if !found.with_key {
        terminal.hint(
            "no key is at hand, so its seal and its audit log were not checked: name the key's folder with --data-dir",
        );
    }
    Ok(())
}

/// Says what was restored, and what it means.
pub fn show_restored(terminal: &mut Terminal, restored: &Restored) -> Outcome {
    let made = text::minute(restored.created_at);
    let sentence = format!(
        "Restored the state of {made} into {}: {} of the audit log checked.",
        restored.data_dir,
        entries(restored.audit_entries),
    );
    terminal.done(&sentence, restored, &restored.data_dir)?;
    warn_of(terminal, restored.audit_broken.as_deref());
    terminal
        .warn(&format!("tokens, keys and sessions are as they were on {made}: revoke again what was revoked since"));
    terminal.hint(&format!(
        "audit checkpoints after entry {} belong to what was left behind: keep them, but apart from the new ones",
        restored.audit_through,
    ));
    terminal.hint(&format!("aerostack serve --data-dir {} (with the same key)", restored.data_dir));
    Ok(())
}

fn warn_of(terminal: &mut Terminal, broken: Option<&str>) {
    if let Some(broken) = broken {
        terminal.warn(&format!("the audit log was copied as it is, and it is not what was written: {broken}"));
    }
}

fn entries(n: u64) -> String {
    if n == 1 { "1 entry".to_owned() } else { format!("{n} entries") }
}

/// `1.4 MB`.
fn size(bytes: u64) -> String {
    let steps = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "KB")];
    match steps.into_iter().find(|(step, _)| bytes >= *step) {
        Some((step, unit)) => format!("{}.{} {unit}", bytes / step, bytes % step * 10 / step),
        None => format!("{bytes} bytes"),
    }
}
