//! `analytics`: who called which tool how often, and how fast it was; as a table or as CSV. Tokens that behave unlike
//! themselves are told on the way.

use clap::{Args, ValueEnum};

use super::{
    failure::Outcome,
    output::{Align, Cell, Column, Sheet, Terminal},
    session::Session,
    text,
};
use crate::admin::dto::{Overview, Subject, SubjectTable, Sums, UnusualToken, Usage};

/// Runnable examples of `analytics`.
pub const EXAMPLES: &str = "Examples:
  aerostack analytics --workspace engineering --period 7d
  aerostack analytics --workspace engineering --user \"Alice Chen\" --period 30d
  aerostack analytics --workspace engineering --by tool --sort p95 --period 24h
  aerostack analytics --all --by user --from 2026-03-01 --to 2026-04-01
  aerostack analytics --workspace engineering --period 30d --format csv > usage-report.csv";

/// How far back unless something else is asked for.
const PERIOD: &str = "7d";
/// Rows that are asked for at once.
const ROWS: &str = "1000";

/// What `analytics` takes.
#[derive(Debug, Args)]
pub struct AnalyticsArgs {
    /// Workspace [default: the current one]
    #[arg(short, long, value_name = "SLUG")]
    workspace: Option<String>,
    /// All workspaces
    #[arg(long, conflicts_with = "workspace")]
    all: bool,
    /// How far back: 1h, 24h, 7d, 30d, … [default: 7d]
    #[arg(long, value_name = "TIME", conflicts_with_all = ["from", "to"])]
    period: Option<String>,
    /// Not before this day or moment
    #[arg(long, value_name = "WHEN")]
    from: Option<String>,
    /// Before this day or moment [default: now]
    #[arg(long, value_name = "WHEN", requires = "from")]
    to: Option<String>,
    /// Only calls of one person or token
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only calls to one MCP server
    #[arg(long, value_name = "SLUG")]
    server: Option<String>,
    /// Only calls of one tool, by the name that clients see
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// One row for each user, tool, server or workspace, with latencies
    #[arg(long, value_enum)]
    by: Option<By>,
    /// Order of such a table
    #[arg(long, value_enum, requires = "by")]
    sort: Option<Sort>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    User,
    Tool,
    Server,
    Workspace,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Sort {
    Calls,
    Errors,
    ErrorRate,
    P50,
    P95,
    P99,
    LastCall,
    Name,
}

fn word(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

impl AnalyticsArgs {
    fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        let mut add = |name, value: &Option<String>| query.extend(value.clone().map(|value| (name, value)));
        let period = self.period.clone().or_else(|| self.from.is_none().then(|| PERIOD.to_owned()));
        add("period", &period);
        add("from", &self.from);
        add("to", &self.to);
        add("user", &self.user);
        add("server", &self.server);
        add("tool", &self.tool);
        query
    }

    fn stretch(&self) -> String {
        match &self.from {
            Some(from) => format!("since {from}"),
            None => format!("in the last {}", self.period.as_deref().unwrap_or(PERIOD)),
        }
    }
}

/// Shows usage.
pub async fn run(session: &mut Session, terminal: &mut Terminal, args: AnalyticsArgs) -> Outcome {
    let workspace = if args.all { None } else { Some(session.workspace(args.workspace.clone())?) };
    match (&workspace, args.by) {
        (Some(workspace), None) => usage(session, terminal, workspace, &args).await,
        (_, by) => table(session, terminal, workspace.as_deref(), by.unwrap_or(By::Workspace), &args).await,
    }
}

async fn usage(session: &mut Session, terminal: &mut Terminal, workspace: &str, args: &AnalyticsArgs) -> Outcome {
    let usage: Usage = session.client()?.get(&["workspaces", workspace, "analytics"], args.query()).await?;
    let mut sheet = Sheet::new([
        Column("USER", "user", Align::Left),
        Column("TOOL", "tool", Align::Left),
        Column("CALLS", "calls", Align::Right),
        Column("ERRORS", "errors", Align::Right),
        Column("LAST CALL", "last_call", Align::Left),
    ]);
    for row in &usage.data {
        sheet.row([
            Cell::text(&row.user),
            Cell::text(&row.tool),
            Cell::number(row.calls),
            Cell::number(row.errors),
            terminal.when(row.last_call),
        ]);
    }
    terminal.list(&usage.data, &sheet, |row| &row.tool)?;
    if usage.data.is_empty() {
        terminal.hint(&format!("no calls {}", args.stretch()));
    }
    warn(terminal, &usage.unusual);
    Ok(())
}

async fn table(
    session: &mut Session,
    terminal: &mut Terminal,
    workspace: Option<&str>,
    by: By,
    args: &AnalyticsArgs,
) -> Outcome {
    let mut path = vec!["analytics", "table"];
    if let Some(workspace) = workspace {
        path = vec!["workspaces", workspace, "analytics", "table"];
    }
    let mut query = args.query();
    query.extend([("by", word(by)), ("limit", ROWS.to_owned())]);
    query.extend(args.sort.map(|sort| ("sort", word(sort))));
    let found: SubjectTable = session.client()?.get(&path, query).await?;
    let mut sheet = Sheet::new([
        Column(heading(found.by), found.by.as_str(), Align::Left),
        Column("CALLS", "calls", Align::Right),
        Column("ERRORS", "errors", Align::Right),
        Column("P50", "p50_us", Align::Right),
        Column("P95", "p95_us", Align::Right),
        Column("P99", "p99_us", Align::Right),
        Column("LAST CALL", "last_call", Align::Left),
    ]);
    for row in &found.data {
        let Sums { calls, errors, error_rate, p50_us, p95_us, p99_us, last_call, .. } = row.sums;
        let share = if errors == 0 { "0".to_owned() } else { format!("{errors} ({:.1} %)", error_rate * 100.0) };
        sheet.row([
            Cell::text(&row.name),
            Cell::number(calls),
            Cell::both(share, errors.to_string()),
            duration(p50_us),
            duration(p95_us),
            duration(p99_us),
            terminal.when(last_call),
        ]);
    }
    terminal.list(&found.data, &sheet, |row| &row.name)?;
    if found.data.is_empty() {
        terminal.hint(&format!("no calls {}", args.stretch()));
    }
    if found.next_cursor.is_some() {
        terminal.note(&format!("{} of {} rows; narrow it down to see others", found.data.len(), found.rows));
    }
    let overview: Overview = session.client()?.get(&["overview"], vec![]).await?;
    let here = |one: &UnusualToken| workspace.is_none_or(|workspace| one.workspace == workspace);
    let unusual: Vec<UnusualToken> = overview.unusual.into_iter().filter(here).collect();
    warn(terminal, &unusual);
    Ok(())
}

fn heading(by: Subject) -> &'static str {
    match by {
        Subject::User => "USER",
        Subject::Tool => "TOOL",
        Subject::Server => "SERVER",
        Subject::Workspace => "WORKSPACE",
    }
}

/// `1.9 ms` for people, microseconds for programs.
fn duration(us: Option<u64>) -> Cell {
    let Some(us) = us else { return Cell::both("–", "") };
    let ms = us as f64 / 1000.0;
    let shown = match us {
        ..10_000 => format!("{ms:.1} ms"),
        10_000..1_000_000 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1000.0),
    };
    Cell::both(shown, us.to_string())
}

/// Tells of tokens that behave unlike themselves, and what to type.
fn warn(terminal: &mut Terminal, unusual: &[UnusualToken]) {
    for UnusualToken { workspace, token, user, calls, busiest_day, is_new, .. } in unusual {
        let calls = text::counted(*calls, "call");
        let usual = match (is_new, busiest_day) {
            (true, _) => "and is new".to_owned(),
            (false, 0) => "and none in the two weeks before".to_owned(),
            (false, busiest) => format!("and at most {busiest} a day in the two weeks before"),
        };
        terminal.warn(&format!("\"{user}\" in {workspace} made {calls} in 24 hours, {usual}"));
        terminal.hint(&format!("if nobody knows why: aerostack workspace token revoke {workspace} {token}"));
    }
}
