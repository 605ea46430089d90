//! `audit list`, `audit verify`: the log of a whole namespace, and whether the installation's log is what was written.
//! `verify` asks the gateway, or, with `--data-dir` or `--database-url`, looks itself on the gateway's machine.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{
    audit::{self, FilterArgs},
    failure::{Failure, Outcome},
    host::Installation,
    output::Terminal,
    session::Session,
    text,
};
use crate::{
    admin::dto::{AuditPlace, AuditVerdict, VerifyAudit},
    domain::audit_checkpoint::{self, Known, hex},
};

/// Runnable examples of `audit`.
pub const EXAMPLES: &str = "Examples:
  aerostack audit list --kind security --since 7d
  aerostack audit verify --checkpoint checkpoints.jsonl
  aerostack audit verify --data-dir /var/lib/aerostack";

/// The audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Who did what in the whole namespace (`workspace audit` shows one workspace, calls included)
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  aerostack audit list\n  aerostack audit list --user alice@acme --since 30d -o csv"
    )]
    List {
        /// Which acts
        #[command(flatten)]
        filter: FilterArgs,
    },
    /// Check that nothing in the log was changed, removed, inserted or moved
    #[command(
        after_help = "Examples:\n  aerostack audit verify\n  aerostack audit verify --with-state --checkpoint checkpoints.jsonl\n  aerostack audit verify --data-dir /var/lib/aerostack --checkpoint checkpoints.jsonl\n\nExit status: 0 intact, 1 not intact, 2 it could not be checked"
    )]
    Verify(VerifyArgs),
}

/// What `audit verify` takes.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// File of checkpoints that were kept outside the database; may be repeated
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// Begin with this entry
    #[arg(long, value_name = "SEQ")]
    from: Option<u64>,
    /// Also check secrets, tokens, API keys and members: that nobody has put an old row back or removed one behind the log
    #[arg(long)]
    pub(super) with_state: bool,
    /// Look at the database itself, without a gateway
    #[command(flatten)]
    pub(super) installation: Installation,
}

impl VerifyArgs {
    /// What was kept outside, and where to begin.
    pub(super) fn known(&self) -> Outcome<(Option<u64>, Vec<Known>)> {
        let mut all = Vec::new();
        for path in &self.checkpoint {
            let cannot = |cause: &dyn std::fmt::Display| {
                Failure::usage(format!("cannot read the checkpoints in {}: {cause}", path.display()))
            };
            let known = audit_checkpoint::read(&std::fs::read_to_string(path).map_err(|cause| cannot(&cause))?);
            if known.is_empty() {
                return Err(cannot(&"there are none"));
            }
            all.extend(known);
        }
        Ok((self.from, all))
    }
}

/// Runs `audit …`.
pub async fn run(session: &mut Session, terminal: &mut Terminal, command: AuditCommand) -> Outcome {
    match command {
        AuditCommand::List { filter } => audit::show(session, terminal, &["audit"], filter).await,
        AuditCommand::Verify(args) => {
            let (from, known) = args.known()?;
            let place = |known: Known| AuditPlace {
                seq: known.place.seq,
                mac: hex(&known.place.mac),
                instance: known.instance.map(|id| id.to_string()),
            };
            let body =
                VerifyAudit { from, checkpoints: known.into_iter().map(place).collect(), with_state: args.with_state };
            let verdict = ask(session, &body).await.map_err(Failure::leaving_unknown)?;
            show(terminal, &verdict)
        }
    }
}

async fn ask(session: &mut Session, body: &VerifyAudit) -> Outcome<AuditVerdict> {
    session.client()?.post(&["audit:verify"], vec![], body).await
}

/// Says how it is. A log that is not intact is a failure.
pub fn show(terminal: &mut Terminal, verdict: &AuditVerdict) -> Outcome {
    if let Some(broken) = &verdict.broken {
        if terminal.wants_json() {
            terminal.json(verdict)?;
        }
        let what = match broken.flaw.as_str() {
            "rolled_back" | "row_missing" => "What is stored is not what the audit log says",
            _ => "The audit log is not what was written",
        };
        return Err(Failure::local(format!("{what}: {}", broken.explanation))
            .with_hint(format!("as they were written: {}", entries(verdict.checked))));
    }
    let pruned = match verdict.pruned_through {
        0 => String::new(),
        seq => format!(", up to {seq} removed in order"),
    };
    let secrets =
        verdict.secrets.map_or_else(String::new, |n| format!(", {} as new as it says", text::counted(n, "secret")));
    let sentence = format!(
        "The audit log is intact: {} checked{pruned}, {} compared{secrets}.",
        entries(verdict.checked),
        text::counted(verdict.checkpoints, "checkpoint"),
    );
    terminal.done(&sentence, verdict, "intact")?;
    if verdict.checkpoints == 0 {
        terminal.hint("without a checkpoint, a log that was cut at its end looks whole: set audit.checkpoint_file");
    }
    Ok(())
}

fn entries(n: u64) -> String {
    if n == 1 { "1 entry".to_owned() } else { format!("{n} entries") }
}
