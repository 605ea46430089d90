//! `workspace audit`: the seeds show two tables, one with and one without SKILL. Both are this one: rows about a skill
//! or tool fill SKILL, administrative rows put `verb: target` in ACTION, and SKILL is left out when no row has one.

use chrono::TimeDelta;
use clap::{Args, ValueEnum};

use super::{
    failure::Outcome,
    output::{Align, Cell, Column, Sheet, Terminal},
    session::Session,
    text,
};
use crate::{
    admin::dto::{AuditEntry, Page},
    domain::{clock, period},
};

/// Runnable examples of `workspace audit`.
pub const EXAMPLES: &str = "Examples:
  aerostack workspace audit engineering
  aerostack workspace audit engineering --kind admin --since 30d
  aerostack workspace audit engineering --kind security
  aerostack workspace audit engineering --user \"Alice Chen\" -o csv > audit.csv";

/// What `workspace audit` takes.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Workspace [default: the current one]
    workspace: Option<String>,
    /// Which acts
    #[command(flatten)]
    filter: FilterArgs,
}

/// Which acts to show.
#[derive(Debug, Args)]
pub struct FilterArgs {
    /// Only one kind of act
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Only acts of one person or token
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only newer acts: 24h, 7d, …
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// How many, newest last
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u64,
}

/// Kinds of acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Tokens, secrets, members, settings
    Admin,
    /// Servers and skills installed or removed
    Install,
    /// Tool calls
    Call,
    /// Refusals: wrong, expired and foreign tokens, foreign origins
    Security,
}

/// Entries on one page, at most.
const PAGE: u64 = 1000;

/// Shows the audit log of a workspace, oldest of the chosen acts first.
pub async fn run(session: &mut Session, terminal: &mut Terminal, args: AuditArgs) -> Outcome {
    let workspace = session.workspace(args.workspace)?;
    show(session, terminal, &["workspaces", &workspace, "audit"], args.filter).await
}

/// Shows the audit log at `path`.
pub async fn show(session: &mut Session, terminal: &mut Terminal, path: &[&str], args: FilterArgs) -> Outcome {
    let mut query = Vec::new();
    if let Some(kind) = args.kind.and_then(|kind| kind.to_possible_value()) {
        query.push(("kind", kind.get_name().to_owned()));
    }
    query.extend(args.user.map(|user| ("user", user)));
    if let Some(since) = args.since {
        let seconds =
            TimeDelta::try_seconds(i64::try_from(period::parse(&since)?).unwrap_or(i64::MAX)).unwrap_or_default();
        query.push(("since", text::exact(clock::now() - seconds)));
    }
    let (mut entries, mut cursor, mut left): (Vec<AuditEntry>, Option<String>, u64) = (Vec::new(), None, args.limit);
    loop {
        let mut query = query.clone();
        query.insert(0, ("limit", left.min(PAGE).to_string()));
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let page: Page<AuditEntry> = session.client()?.get(path, query).await?;
        left = left.saturating_sub(PAGE);
        entries.extend(page.data);
        cursor = page.next_cursor;
        if cursor.is_none() || left == 0 {
            break;
        }
    }
    entries.sort_by_key(|entry| entry.at);
    terminal.list(&entries, &sheet(&entries), |entry| &entry.action)
}

fn sheet(entries: &[AuditEntry]) -> Sheet {
    let skills = entries.iter().any(|entry| entry.skill.is_some());
    let mut columns = vec![Column("DATE", "at", Align::Left), Column("USER", "user", Align::Left)];
    columns.extend(skills.then_some(Column("SKILL", "skill", Align::Left)));
    columns.push(Column("ACTION", "action", Align::Left));
    let mut sheet = Sheet::new(columns);
    for entry in entries {
        let action = match &entry.skill {
            None if !entry.target.is_empty() => format!("{}: {}", entry.action, entry.target),
            _ => entry.action.clone(),
        };
        let action = match entry.times {
            Some(times) if times > 1 => format!("{action} (×{times})"),
            _ => action,
        };
        let mut cells = vec![Cell::minute(entry.at), Cell::text(&entry.actor)];
        cells.extend(skills.then(|| Cell::text(entry.skill.clone().unwrap_or_default())));
        cells.push(Cell::text(action));
        sheet.row(cells);
    }
    sheet
}
