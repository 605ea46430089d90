//! `analytics`: who called which tool how often, as a table or as CSV.

use clap::Args;

use super::{
    failure::Outcome,
    output::{Align, Cell, Column, Sheet, Terminal},
    session::Session,
};
use crate::admin::dto::Usage;

/// Runnable examples of `analytics`.
pub const EXAMPLES: &str = "Examples:
  aerostack analytics --workspace engineering --period 7d
  aerostack analytics --workspace engineering --user \"Alice Chen\" --period 30d
  aerostack analytics --workspace engineering --period 30d --format csv > usage-report.csv";

/// What `analytics` takes.
#[derive(Debug, Args)]
pub struct AnalyticsArgs {
    /// Workspace [default: the current one]
    #[arg(short, long, value_name = "SLUG")]
    workspace: Option<String>,
    /// How far back: 24h, 7d, 30d, …
    #[arg(long, value_name = "TIME", default_value = "7d")]
    period: String,
    /// Only calls of one person or token
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only calls to one MCP server
    #[arg(long, value_name = "SLUG")]
    server: Option<String>,
}

/// Shows usage.
pub async fn run(session: &mut Session, terminal: &mut Terminal, args: AnalyticsArgs) -> Outcome {
    let workspace = session.workspace(args.workspace)?;
    let mut query = vec![("period", args.period.clone())];
    query.extend(args.user.map(|user| ("user", user)));
    query.extend(args.server.map(|server| ("server", server)));
    let usage: Usage = session.client()?.get(&["workspaces", &workspace, "analytics"], query).await?;
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
        terminal.hint(&format!("no calls in the last {}", args.period));
    }
    Ok(())
}
