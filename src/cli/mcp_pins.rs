//! `mcp pins …`: which definitions of a server's tools are approved, how those that wait differ, and deciding.

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::{
    failure::{Failure, Outcome},
    mcp_tools::{Place, state_words, update},
    output::{Align, Cell, Column, Sheet, Terminal},
    session::Session,
};
use crate::{
    admin::dto::{DecidePins, Page, Pin, PinDecision, ToolState, UpdateInstallation},
    domain::definition::PinMode,
};

/// Runnable examples of `mcp pins`.
pub const EXAMPLES: &str = "Examples:
  aerostack mcp pins list github-mcp --workspace engineering
  aerostack mcp pins diff github-mcp --workspace engineering
  aerostack mcp pins approve github-mcp create_issue --fingerprint 1a2b3c4d5e6f";

/// Digits of a fingerprint that are shown.
const DIGITS: usize = 12;

/// Pins of an installed server.
#[derive(Debug, Subcommand)]
pub enum PinsCommand {
    /// List which tools are approved and which wait
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  aerostack mcp pins list github-mcp --workspace engineering"
    )]
    List(Place),
    /// Show what is new or changed, with the line that approves it
    #[command(
        after_help = "Examples:\n  aerostack mcp pins diff github-mcp --workspace engineering\n  aerostack mcp pins diff github-mcp create_issue"
    )]
    Diff {
        /// MCP server
        server: String,
        /// Tool [default: every tool that waits]
        tool: Option<String>,
        /// Workspace [default: the current one]
        #[arg(short, long, value_name = "SLUG")]
        workspace: Option<String>,
    },
    /// Approve definitions that wait: the tools are offered at once
    #[command(
        after_help = "Examples:\n  aerostack mcp pins approve github-mcp create_issue --fingerprint 1a2b3c4d5e6f\n  aerostack mcp pins approve github-mcp --all --yes --workspace engineering"
    )]
    Approve(DecideArgs),
    /// Reject definitions that wait: the tools stay hidden
    #[command(
        after_help = "Examples:\n  aerostack mcp pins reject github-mcp create_issue --yes --workspace engineering"
    )]
    Reject(DecideArgs),
    /// Let changed tools wait for approval (pin), or offer them at once (track)
    #[command(after_help = "Examples:\n  aerostack mcp pins mode github-mcp track --workspace engineering")]
    Mode {
        /// MCP server
        server: String,
        /// What happens to tools that are new or changed
        mode: Mode,
        /// Workspace [default: the current one]
        #[arg(short, long, value_name = "SLUG")]
        workspace: Option<String>,
    },
}

/// What happens to tools that are new or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// They wait for approval
    Pin,
    /// They are offered at once, and noted in the audit log
    Track,
}

/// What `pins approve` and `pins reject` take.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["tools", "all"])))]
#[command(group(ArgGroup::new("sure").required(true).args(["fingerprint", "yes"])))]
pub struct DecideArgs {
    /// MCP server
    server: String,
    /// Tools
    tools: Vec<String>,
    /// Every tool that waits
    #[arg(long)]
    all: bool,
    /// The definition that was looked at, as `pins diff` shows it
    #[arg(long, value_name = "DIGITS", conflicts_with = "all")]
    fingerprint: Option<String>,
    /// Whatever waits now
    #[arg(short, long)]
    yes: bool,
    /// Workspace [default: the current one]
    #[arg(short, long, value_name = "SLUG")]
    workspace: Option<String>,
}

/// Runs `mcp pins …`.
pub async fn run(session: &mut Session, terminal: &mut Terminal, command: PinsCommand) -> Outcome {
    match command {
        PinsCommand::List(place) => list(session, terminal, place).await,
        PinsCommand::Diff { server, tool, workspace } => {
            let workspace = session.workspace(workspace)?;
            diff(session, terminal, (&workspace, &server), tool).await
        }
        PinsCommand::Approve(args) => decide(session, terminal, args, true).await,
        PinsCommand::Reject(args) => decide(session, terminal, args, false).await,
        PinsCommand::Mode { server, mode, workspace } => {
            let workspace = session.workspace(workspace)?;
            let (pins, means) = match mode {
                Mode::Pin => (PinMode::Pin, "wait for approval from now on"),
                Mode::Track => (PinMode::Track, "are offered at once"),
            };
            let body = UpdateInstallation { pins: Some(pins), ..UpdateInstallation::default() };
            let changed = update(session, &workspace, &server, &body).await?;
            let sentence = format!("New and changed tools of {} in {workspace} {means}.", changed.server);
            terminal.done(&sentence, &changed, pins.as_str())
        }
    }
}

async fn pins(session: &mut Session, (workspace, server): (&str, &str)) -> Outcome<Vec<Pin>> {
    session.client()?.list(&["workspaces", workspace, "servers", server, "pins"], vec![]).await
}

fn short(fingerprint: Option<&String>) -> &str {
    fingerprint.and_then(|digits| digits.get(..DIGITS)).unwrap_or_default()
}

async fn list(session: &mut Session, terminal: &mut Terminal, place: Place) -> Outcome {
    let workspace = session.workspace(place.workspace)?;
    let pins = pins(session, (&workspace, &place.server)).await?;
    let mut sheet = Sheet::new([
        Column("TOOL", "tool", Align::Left),
        Column("STATE", "state", Align::Left),
        Column("APPROVED", "approved", Align::Left),
        Column("WAITING", "waiting", Align::Left),
        Column("SEEN", "seen_at", Align::Left),
        Column("DECIDED BY", "decided_by", Align::Left),
    ]);
    for pin in &pins {
        let state = if pin.state == ToolState::Offered { "approved" } else { state_words(pin.state) };
        let seen = pin.seen_at.map_or_else(|| Cell::text(""), |at| terminal.when(Some(at)));
        sheet.row([
            Cell::text(&pin.tool),
            Cell::text(state),
            Cell::text(short(pin.approved.as_ref())),
            Cell::text(short(pin.waiting.as_ref())),
            seen,
            Cell::text(pin.decided_by.as_deref().unwrap_or_default()),
        ]);
    }
    terminal.list(&pins, &sheet, |pin| &pin.tool)?;
    if pins.is_empty() {
        terminal.hint(&format!("nothing is pinned yet: {} has not listed any tools", place.server));
    }
    Ok(())
}

async fn one(session: &mut Session, (workspace, server): (&str, &str), tool: &str) -> Outcome<Pin> {
    let path = ["workspaces", workspace, "servers", server, "pins"];
    let page: Page<Pin> = session.client()?.get(&path, vec![("tool", tool.to_owned())]).await?;
    page.data.into_iter().next().ok_or_else(|| Failure::not_found(format!("No pinned tool \"{tool}\" of {server}")))
}

async fn diff(
    session: &mut Session,
    terminal: &mut Terminal,
    (workspace, server): (&str, &str),
    tool: Option<String>,
) -> Outcome {
    let tools = match tool {
        Some(tool) => vec![tool],
        None => {
            let waiting = pins(session, (workspace, server)).await?.into_iter().filter(|pin| pin.waiting.is_some());
            waiting.map(|pin| pin.tool).collect()
        }
    };
    let mut shown = Vec::with_capacity(tools.len());
    for tool in tools {
        shown.push(one(session, (workspace, server), &tool).await?);
    }
    if terminal.wants_json() {
        return terminal.json(&shown);
    }
    for pin in &shown {
        terminal.line(&format!("{} ({})", pin.tool, state_words(pin.state)))?;
        pin.diff.iter().try_for_each(|line| terminal.line(&format!("  {line}")))?;
        match short(pin.waiting.as_ref()) {
            "" => terminal.note(&format!("\"{}\" is approved as it is", pin.tool)),
            digits => terminal.hint(&format!(
                "aerostack mcp pins approve {server} \"{}\" --fingerprint {digits} --workspace {workspace}",
                pin.tool
            )),
        }
    }
    if shown.is_empty() {
        terminal.note(&format!("No tool of {server} waits for approval in {workspace}."));
    }
    Ok(())
}

async fn decide(session: &mut Session, terminal: &mut Terminal, args: DecideArgs, approve: bool) -> Outcome {
    let workspace = session.workspace(args.workspace)?;
    let place = (workspace.as_str(), args.server.as_str());
    if args.fingerprint.is_some() && args.tools.len() != 1 {
        return Err(Failure::usage("A fingerprint is that of one tool").with_hint("name one tool, or say --yes"));
    }
    let mut tools = Vec::new();
    if let (Some(fingerprint), Some(tool)) = (args.fingerprint, args.tools.first()) {
        tools.push(PinDecision { tool: tool.clone(), fingerprint });
    } else if args.all {
        let waiting = pins(session, place).await?.into_iter();
        tools.extend(waiting.filter_map(|pin| Some(PinDecision { fingerprint: pin.waiting?, tool: pin.tool })));
    } else {
        for tool in &args.tools {
            let pin = one(session, place, tool).await?;
            let fingerprint = pin.waiting.ok_or_else(|| {
                Failure::local(format!("No definition of \"{tool}\" waits for a decision"))
                    .with_hint(format!("aerostack mcp pins list {} --workspace {workspace}", args.server))
            })?;
            tools.push(PinDecision { tool: pin.tool, fingerprint });
        }
    }
    if tools.is_empty() {
        terminal.note(&format!("No tool of {} waits for approval in {workspace}.", args.server));
        return Ok(());
    }
    let action = if approve { "pins:approve" } else { "pins:reject" };
    let path = ["workspaces", workspace.as_str(), "servers", args.server.as_str(), action];
    let decided: Page<Pin> = session.client()?.post(&path, vec![], &DecidePins { tools }).await?;
    for pin in &decided.data {
        let done = if approve { "approved: it is offered now" } else { "rejected: it stays hidden" };
        terminal.done(&format!("\"{}\" {done}.", pin.tool), pin, &pin.tool)?;
    }
    Ok(())
}
