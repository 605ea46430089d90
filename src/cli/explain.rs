//! `explain`: why a token can or cannot use a tool.

use clap::Args;

use super::{
    failure::Outcome,
    output::{Align, Cell, Column, Sheet, Terminal},
    session::Session,
};
use crate::admin::dto::{Explanation, Step};

/// Runnable examples of `explain`.
pub const EXAMPLES: &str = "Examples:
  aerostack explain engineering \"Alice Chen\" github__create_issue
  aerostack explain engineering tok_0190c0de github__create_issue -o json";

/// What `explain` takes.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Workspace
    workspace: String,
    /// Token, by its name or id
    token: String,
    /// Tool, by the name that clients see
    tool: String,
}

fn word(step: &Step) -> &'static str {
    match (step.passes, step.cause) {
        (true, None) => "ok",
        (true, Some(_)) => "note",
        (false, _) => "NO",
    }
}

/// The stable name of a layer or cause, as the API writes it.
fn name(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| Some(value.as_str()?.to_owned())).unwrap_or_default()
}

/// Runs `explain`.
pub async fn run(session: &mut Session, terminal: &mut Terminal, args: ExplainArgs) -> Outcome {
    let ExplainArgs { workspace, token, tool } = args;
    let query = vec![("token", token), ("tool", tool)];
    let said: Explanation = session.client()?.get(&["workspaces", &workspace, "explain"], query).await?;
    if terminal.wants_json() {
        return terminal.json(&said);
    }
    let mut sheet = Sheet::new([
        Column("LAYER", "layer", Align::Left),
        Column("", "passes", Align::Left),
        Column("FINDING", "finding", Align::Left),
    ]);
    for step in &said.steps {
        sheet.row([Cell::text(name(&step.layer)), Cell::text(word(step)), Cell::text(&step.finding)]);
    }
    terminal.list(&said.steps, &sheet, |step| &step.finding)?;
    match said.cause {
        None => terminal.note(&format!("Nothing stands between \"{}\" and {}.", said.token, said.tool)),
        Some(cause) => terminal.note(&format!("\"{}\" cannot use {}: {}.", said.token, said.tool, name(&cause))),
    }
    for remedy in said.steps.iter().filter_map(|step| step.remedy.as_ref()) {
        terminal.hint(remedy);
    }
    Ok(())
}
