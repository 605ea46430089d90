//! `mcp tools`, `mcp tool …`, `mcp enable|disable|prefix`: what is decided about an installed server and its tools.

use clap::{Args, Subcommand};

use super::{
    failure::{Failure, Outcome},
    output::{Align, Cell, Column, Sheet, Terminal},
    session::Session,
    text,
};
use crate::{
    admin::dto::{Installation, InstalledTool, LongName, Page, ToolState, UpdateInstallation, UpdateTools},
    domain::tool_name,
};

/// Runnable examples of `mcp tool`.
pub const EXAMPLES: &str = "Examples:
  aerostack mcp tool disable github-mcp delete_repository --workspace engineering
  aerostack mcp tool alias github-mcp create_issue new_issue --workspace engineering";

/// A server in a workspace.
#[derive(Debug, Args)]
pub struct Place {
    /// MCP server
    pub server: String,
    /// Workspace [default: the current one]
    #[arg(short, long, value_name = "SLUG")]
    pub workspace: Option<String>,
}

/// One or more tools.
#[derive(Debug, Args)]
pub struct ToolsArgs {
    /// MCP server
    server: String,
    /// Tools, by the server's own names or those that clients see
    #[arg(required = true)]
    tools: Vec<String>,
    /// Workspace [default: the current one]
    #[arg(short, long, value_name = "SLUG")]
    workspace: Option<String>,
}

/// What `mcp tool alias` takes.
#[derive(Debug, Args)]
pub struct AliasArgs {
    /// MCP server
    server: String,
    /// Tool, by the server's own name or the one that clients see
    tool: String,
    /// The name that clients shall see: letters, digits, _ and -
    #[arg(required_unless_present = "remove", conflicts_with = "remove")]
    alias: Option<String>,
    /// Back to its plain name
    #[arg(long)]
    remove: bool,
    /// Workspace [default: the current one]
    #[arg(short, long, value_name = "SLUG")]
    workspace: Option<String>,
}

/// What `mcp prefix` takes.
#[derive(Debug, Args)]
pub struct PrefixArgs {
    /// MCP server
    server: String,
    /// What its tools' names begin with, before `__`
    #[arg(required_unless_present = "none", conflicts_with = "none")]
    prefix: Option<String>,
    /// No prefix: names pass unchanged
    #[arg(long)]
    none: bool,
    /// Workspace [default: the current one]
    #[arg(short, long, value_name = "SLUG")]
    workspace: Option<String>,
}

/// Tools of an installed server.
#[derive(Debug, Subcommand)]
pub enum ToolCommand {
    /// Offer tools again
    #[command(after_help = "Examples:\n  aerostack mcp tool enable github-mcp create_issue --workspace engineering")]
    Enable(ToolsArgs),
    /// Offer tools no more, to nobody in the workspace
    #[command(
        after_help = "Examples:\n  aerostack mcp tool disable github-mcp delete_repository delete_file --workspace engineering"
    )]
    Disable(ToolsArgs),
    /// Give a tool another name
    #[command(
        after_help = "Examples:\n  aerostack mcp tool alias github-mcp create_issue new_issue --workspace engineering\n  aerostack mcp tool alias github-mcp create_issue --remove"
    )]
    Alias(AliasArgs),
}

/// Runs `mcp tool …`.
pub async fn run(session: &mut Session, terminal: &mut Terminal, command: ToolCommand) -> Outcome {
    match command {
        ToolCommand::Enable(args) => switch(session, terminal, args, true).await,
        ToolCommand::Disable(args) => switch(session, terminal, args, false).await,
        ToolCommand::Alias(args) => alias(session, terminal, args).await,
    }
}

async fn switch(session: &mut Session, terminal: &mut Terminal, args: ToolsArgs, on: bool) -> Outcome {
    let ToolsArgs { server, tools, workspace } = args;
    let workspace = session.workspace(workspace)?;
    let body = UpdateTools { tools, enabled: Some(on), alias: None };
    let changed = change(session, &workspace, &server, &body).await?;
    for tool in &changed {
        let does = if on { "is offered" } else { "is not offered any more" };
        terminal.done(&format!("{} {does} in {workspace}.", tool.name), tool, &tool.name)?;
        if on && tool.state != ToolState::Offered {
            terminal.hint(&format!("it is still hidden ({}): aerostack mcp tools {server}", state_words(tool.state)));
        }
    }
    Ok(())
}

async fn change(
    session: &mut Session,
    workspace: &str,
    server: &str,
    body: &UpdateTools,
) -> Outcome<Vec<InstalledTool>> {
    let path = ["workspaces", workspace, "servers", server, "tools"];
    let page: Page<InstalledTool> = session.client()?.patch(&path, vec![], body).await?;
    Ok(page.data)
}

async fn alias(session: &mut Session, terminal: &mut Terminal, args: AliasArgs) -> Outcome {
    let AliasArgs { server, tool, alias, workspace, remove: _ } = args;
    let workspace = session.workspace(workspace)?;
    let body = UpdateTools { tools: vec![tool], enabled: None, alias: Some(alias.unwrap_or_default()) };
    let changed = change(session, &workspace, &server, &body).await?;
    let Some(tool) = changed.first() else { return Err(Failure::local("the server named no tool")) };
    terminal.done(&format!("Clients of {workspace} see \"{}\" as {}.", tool.tool, tool.name), tool, &tool.name)
}

/// Enables or disables a server in a workspace.
pub async fn enable(session: &mut Session, terminal: &mut Terminal, place: Place, on: bool) -> Outcome {
    let workspace = session.workspace(place.workspace)?;
    let body = UpdateInstallation { enabled: Some(on), ..UpdateInstallation::default() };
    let changed = update(session, &workspace, &place.server, &body).await?;
    let state = if on { "enabled" } else { "disabled" };
    terminal.done(&format!("{} is {state} in {workspace}.", changed.server), &changed, &changed.server)
}

/// Changes an installation.
pub async fn update(
    session: &mut Session,
    workspace: &str,
    server: &str,
    body: &UpdateInstallation,
) -> Outcome<Installation> {
    session.client()?.patch(&["workspaces", workspace, "servers", server], vec![], body).await
}

/// Changes what the names of a server's tools begin with.
pub async fn prefix(session: &mut Session, terminal: &mut Terminal, args: PrefixArgs) -> Outcome {
    let workspace = session.workspace(args.workspace)?;
    let body = UpdateInstallation { prefix: Some(args.prefix.unwrap_or_default()), ..UpdateInstallation::default() };
    let changed = update(session, &workspace, &args.server, &body).await?;
    let names = match changed.prefix.as_str() {
        "" => "pass unchanged".to_owned(),
        prefix => format!("begin with {prefix}{}", tool_name::SEPARATOR),
    };
    terminal.done(&format!("Names of {}'s tools in {workspace} {names}.", changed.server), &changed, &changed.prefix)
}

/// Lists the tools of an installed server with their state.
pub async fn list(session: &mut Session, terminal: &mut Terminal, place: Place) -> Outcome {
    let workspace = session.workspace(place.workspace)?;
    let server = place.server;
    let path = ["workspaces", workspace.as_str(), "servers", server.as_str(), "tools"];
    let tools: Vec<InstalledTool> = session.client()?.list(&path, vec![]).await?;
    let mut sheet = Sheet::new([
        Column("TOOL", "tool", Align::Left),
        Column("NAME", "name", Align::Left),
        Column("STATE", "state", Align::Left),
        Column("READS ONLY", "read_only", Align::Left),
    ]);
    for tool in &tools {
        let reads = if tool.read_only { "yes" } else { "" };
        sheet.row([&*tool.tool, &*tool.name, state_words(tool.state), reads].map(Cell::text));
    }
    terminal.list(&tools, &sheet, |tool| &tool.name)?;
    let waits = |tool: &&InstalledTool| matches!(tool.state, ToolState::WaitingNew | ToolState::WaitingChanged);
    let waiting = tools.iter().filter(waits).count();
    if waiting > 0 {
        let said = text::counted(u64::try_from(waiting).unwrap_or(u64::MAX), "tool");
        terminal.hint(&format!("to approve: {said}: aerostack mcp pins diff {server} --workspace {workspace}"));
    }
    let long = tools.iter().filter(|tool| tool.too_long && tool.state == ToolState::Offered);
    let long: Vec<LongName> = long
        .map(|tool| LongName {
            tool: tool.tool.clone(),
            name: tool.name.clone(),
            alias: tool_name::shortened(&tool.name),
        })
        .collect();
    warn_of_long_names(terminal, &workspace, &server, &long);
    Ok(())
}

/// Says which names some editors will not take, and what to type.
pub fn warn_of_long_names(terminal: &mut Terminal, workspace: &str, server: &str, long: &[LongName]) {
    for LongName { tool, name, alias } in long {
        let most = tool_name::WARN_LEN;
        terminal.warn(&format!("{name} is longer than {most} characters: some editors leave it out"));
        terminal.hint(&format!("aerostack mcp tool alias {server} \"{tool}\" {alias} --workspace {workspace}"));
    }
}

/// A tool's state as people read it.
pub fn state_words(state: ToolState) -> &'static str {
    match state {
        ToolState::Offered => "offered",
        ToolState::Off => "off",
        ToolState::ServerDisabled => "server disabled",
        ToolState::WaitingNew => "new, waits",
        ToolState::WaitingChanged => "changed, waits",
        ToolState::Rejected => "rejected",
        ToolState::NotListed => "not listed",
    }
}
