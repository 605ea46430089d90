//! `mcp diet`: what a workspace's tool list costs an editor, and switching off what nobody uses.

use clap::Args;

use super::{
    failure::Outcome,
    output::{Align, Cell, Column, Sheet, Terminal},
    session::Session,
    text,
};
use crate::admin::dto::{ApplyDiet, Diet, DietApplied, DietServer, DietTool, SwitchedOff, Worth};

/// Runnable examples of `mcp diet`.
pub const EXAMPLES: &str = "Examples:
  aerostack mcp diet --workspace engineering
  aerostack mcp diet --workspace engineering --tools
  aerostack mcp diet --workspace engineering --apply";

/// What `mcp diet` takes.
#[derive(Debug, Args)]
pub struct DietArgs {
    /// Workspace [default: the current one]
    #[arg(short, long, value_name = "SLUG")]
    workspace: Option<String>,
    /// One row for each tool
    #[arg(long)]
    tools: bool,
    /// Switch off the tools that nobody used in the last 30 days
    #[arg(long)]
    apply: bool,
}

/// Shows what tools cost, and switches off the unused ones.
pub async fn run(session: &mut Session, terminal: &mut Terminal, args: DietArgs) -> Outcome {
    let workspace = session.workspace(args.workspace)?;
    if args.apply {
        return apply(session, terminal, &workspace).await;
    }
    let diet: Diet = session.client()?.get(&["workspaces", &workspace, "diet"], vec![]).await?;
    if args.tools {
        tools(terminal, &diet)?;
    } else {
        servers(terminal, &diet)?;
    }
    terminal.footer(&format!("≈ {} of context in every conversation ({})", tokens(diet.tokens), diet.estimate))?;
    if !diet.recorded {
        terminal.hint("calls are not recorded (analytics.enabled), so nobody knows which tools are used");
    } else if diet.unused_tools > 0 {
        let unused = text::counted(diet.unused_tools, "tool");
        let (days, spared) = (diet.days, tokens(diet.unused_tokens));
        terminal.hint(&format!("nobody used {unused} in the last {days} days; without: {spared} less"));
        terminal.hint(&format!("aerostack mcp diet --workspace {workspace} --apply"));
    }
    Ok(())
}

fn tokens(n: u64) -> String {
    text::counted(n, "token")
}

fn servers(terminal: &mut Terminal, diet: &Diet) -> Outcome {
    let mut sheet = Sheet::new([
        Column("SERVER", "server", Align::Left),
        Column("TOOLS", "tools", Align::Right),
        Column("BYTES", "bytes", Align::Right),
        Column("TOKENS", "tokens", Align::Right),
        Column("UNUSED TOOLS", "unused_tools", Align::Right),
        Column("UNUSED TOKENS", "unused_tokens", Align::Right),
    ]);
    for DietServer { server, bytes, tokens, unused_tokens, tools } in &diet.servers {
        let unused = tools.iter().filter(|tool| tool.worth == Worth::Unused).count();
        let number = |n: usize| Cell::number(u64::try_from(n).unwrap_or(u64::MAX));
        sheet.row([
            Cell::text(server),
            number(tools.len()),
            Cell::number(*bytes),
            Cell::number(*tokens),
            number(unused),
            Cell::number(*unused_tokens),
        ]);
    }
    if terminal.wants_json() {
        return terminal.json(diet);
    }
    terminal.list(&diet.servers, &sheet, |server| &server.server)
}

fn tools(terminal: &mut Terminal, diet: &Diet) -> Outcome {
    let mut sheet = Sheet::new([
        Column("TOOL", "tool", Align::Left),
        Column("TOKENS", "tokens", Align::Right),
        Column("CALLS", "calls", Align::Right),
        Column("LAST CALL", "last_call", Align::Left),
        Column("", "worth", Align::Left),
    ]);
    let all: Vec<&DietTool> = diet.servers.iter().flat_map(|server| &server.tools).collect();
    for tool in &all {
        let (shown, exact) = match tool.worth {
            Worth::Used => ("", "used"),
            Worth::Unused => ("unused", "unused"),
            Worth::TooNew => ("too new to tell", "too_new"),
        };
        sheet.row([
            Cell::text(&tool.name),
            Cell::number(tool.tokens),
            Cell::number(tool.calls),
            terminal.when(tool.last_call),
            Cell::both(shown, exact),
        ]);
    }
    if terminal.wants_json() {
        return terminal.json(diet);
    }
    terminal.list(&all, &sheet, |tool| &tool.name)
}

async fn apply(session: &mut Session, terminal: &mut Terminal, workspace: &str) -> Outcome {
    let path = ["workspaces", workspace, "diet:apply"];
    let applied: DietApplied = session.client()?.post(&path, vec![], &ApplyDiet::default()).await?;
    let off: usize = applied.switched_off.iter().map(|server| server.tools.len()).sum();
    let off = u64::try_from(off).unwrap_or(u64::MAX);
    if off == 0 {
        return terminal.done(&format!("No tool of {workspace} is known to be unused."), &applied, "0");
    }
    let (tools, spared) = (text::counted(off, "tool"), tokens(applied.saved_tokens));
    let sentence = format!("{tools} switched off in {workspace}: {spared} less in every conversation.");
    terminal.done(&sentence, &applied, &off.to_string())?;
    for SwitchedOff { server, tools } in &applied.switched_off {
        terminal.note(&format!("{server}: {}", tools.join(", ")));
        terminal
            .hint(&format!("to undo: aerostack mcp tool enable {server} {} --workspace {workspace}", quoted(tools)));
    }
    Ok(())
}

/// Names as a shell takes them.
fn quoted(tools: &[String]) -> String {
    let plain = |tool: &str| tool.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    let quote = |tool: &String| if plain(tool) { tool.clone() } else { format!("'{}'", tool.replace('\'', "'\\''")) };
    tools.iter().map(quote).collect::<Vec<_>>().join(" ")
}
