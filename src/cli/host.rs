//! Commands that work on the gateway's machine, beside it, with its database and key instead of an API key: parsed and
//! printed here, done by the crate's `host`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{
    Command,
    audit_verify::{self, AuditCommand},
    backup,
    failure::{Failure, Outcome},
    output::Terminal,
    text,
};
use crate::{
    admin::dto::{AuditVerdict, KeyReset, NamespacePlan},
    domain::{
        audit_checkpoint::Known,
        backup::{Found, Made, Restored},
    },
    error::Result,
};

/// Runnable examples of `admin`.
pub const EXAMPLES: &str = "Examples:
  aerostack admin plan acme --data-dir /var/lib/aerostack
  aerostack admin plan acme pro --data-dir /var/lib/aerostack";

/// What an operator does on the gateway's machine.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Show or set the plan of a namespace: how many tokens and workspaces it may have
    #[command(after_help = EXAMPLES)]
    Plan {
        /// Namespace (the user name of its owner)
        namespace: String,
        /// free, pro, team or enterprise; left out: the present one is shown
        plan: Option<String>,
        /// Where
        #[command(flatten)]
        installation: Installation,
    },
    /// Make an API key for somebody who has none any more; it is shown this once
    #[command(
        after_help = "Examples:\n  aerostack admin reset-key --data-dir /var/lib/aerostack\n  aerostack admin reset-key --account acme --revoke-others --data-dir /var/lib/aerostack"
    )]
    ResetKey {
        /// User name [default: the owner of the installation]
        #[arg(long, value_name = "NAME")]
        account: Option<String>,
        /// Revoke all other keys of the account
        #[arg(long)]
        revoke_others: bool,
        /// Where
        #[command(flatten)]
        installation: Installation,
    },
}

/// Where an installation keeps its state.
#[derive(Debug, Clone, Default, Args)]
pub struct Installation {
    /// The gateway's data folder [default: data]
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// The gateway's configuration file [default: config.toml in the data folder, if there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The gateway's Postgres, if no configuration names it (AEROSTACK_DATABASE_URL hides it from other users)
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
}

impl Installation {
    fn is_named(&self) -> bool {
        self.data_dir.is_some() || self.config.is_some() || self.database_url.is_some()
    }
}

/// A command for the gateway's machine.
#[derive(Debug)]
pub enum HostCommand {
    /// Is the audit log what was written?
    VerifyAudit {
        /// Where.
        installation: Installation,
        /// Begin with this entry.
        from: Option<u64>,
        /// What is known from outside.
        checkpoints: Vec<Known>,
        /// Compare the stored secrets with the log, too.
        with_state: bool,
    },
    /// Show a namespace's plan, or set it.
    Plan {
        /// Where.
        installation: Installation,
        /// Whose.
        namespace: String,
        /// To what.
        plan: Option<String>,
    },
    /// Make an API key.
    ResetKey {
        /// Where.
        installation: Installation,
        /// Whose; none: the owner's of the installation.
        account: Option<String>,
        /// Revoke the account's other keys.
        revoke_others: bool,
    },
    /// Make a backup.
    CreateBackup {
        /// Of what.
        installation: Installation,
        /// Its name, or the folder it goes to.
        file: Option<PathBuf>,
        /// With the statistics of calls.
        with_analytics: bool,
        /// Instead of a file that is there.
        force: bool,
    },
    /// Is a backup whole, and does it fit the key?
    VerifyBackup {
        /// Which.
        file: PathBuf,
        /// Folder with the generated key, if no variable names one.
        data_dir: Option<PathBuf>,
    },
    /// Restore a backup.
    RestoreBackup {
        /// Which.
        file: PathBuf,
        /// Into which new folder.
        data_dir: PathBuf,
    },
}

/// What came of it.
#[derive(Debug)]
pub enum HostAnswer {
    /// Of checking the audit log.
    Verdict(AuditVerdict),
    /// The plan in force.
    Plan(NamespacePlan),
    /// The key that was made.
    Key(KeyReset),
    /// The backup that was made.
    BackupMade(Made),
    /// The backup that was looked at.
    BackupFound(Found),
    /// The backup that was restored.
    BackupRestored(Restored),
}

/// Whether a command works beside the gateway.
pub fn is_meant(command: &Command) -> bool {
    match command {
        Command::Admin(_) | Command::Backup(_) => true,
        Command::Audit(AuditCommand::Verify(args)) => args.installation.is_named(),
        _ => false,
    }
}

/// Has a command done and prints what came of it.
pub fn run(
    terminal: &mut Terminal,
    command: Command,
    on_host: impl FnOnce(HostCommand) -> Result<HostAnswer>,
) -> Outcome {
    let (command, cannot): (HostCommand, fn(crate::error::Error) -> Failure) = match command {
        Command::Admin(AdminCommand::Plan { namespace, plan, installation }) => {
            (HostCommand::Plan { installation, namespace, plan }, Failure::from)
        }
        Command::Admin(AdminCommand::ResetKey { account, revoke_others, installation }) => {
            (HostCommand::ResetKey { installation, account, revoke_others }, Failure::from)
        }
        Command::Audit(AuditCommand::Verify(args)) => {
            let ((from, checkpoints), with_state) = (args.known()?, args.with_state);
            let verify = HostCommand::VerifyAudit { installation: args.installation, from, checkpoints, with_state };
            (verify, Failure::uncheckable)
        }
        Command::Backup(command) => backup::meant(command),
        _ => return Err(Failure::usage("This command does not work beside a gateway")),
    };
    match on_host(command).map_err(cannot)? {
        HostAnswer::Verdict(verdict) => audit_verify::show(terminal, &verdict),
        HostAnswer::Plan(plan) => show_plan(terminal, &plan),
        HostAnswer::Key(made) => show_key(terminal, &made),
        HostAnswer::BackupMade(made) => backup::show_made(terminal, &made),
        HostAnswer::BackupFound(found) => backup::show_found(terminal, &found),
        HostAnswer::BackupRestored(restored) => backup::show_restored(terminal, &restored),
    }
}

fn show_key(terminal: &mut Terminal, made: &KeyReset) -> Outcome {
    if terminal.wants_json() {
        return terminal.json(made);
    }
    terminal.value(&made.key)?;
    let revoked = text::counted(made.revoked, "other key");
    terminal.note(&format!("API key of {}, shown only this once. Revoked: {revoked}.", made.username));
    terminal.hint("aerostack login --token-stdin");
    Ok(())
}

fn show_plan(terminal: &mut Terminal, plan: &NamespacePlan) -> Outcome {
    let allowed = match (plan.tokens_per_workspace, plan.workspaces) {
        (Some(tokens), Some(workspaces)) => {
            let workspaces = text::counted(workspaces, "workspace");
            format!("{} per workspace, {} of {workspaces} used", text::counted(tokens, "token"), plan.workspaces_used)
        }
        _ => "no limits".to_owned(),
    };
    let sentence = format!("@{} is on the {} plan: {allowed}.", plan.namespace, text::capitalized(&plan.plan));
    terminal.done(&sentence, plan, &plan.plan)
}
