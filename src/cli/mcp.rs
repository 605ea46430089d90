//! `mcp …`: define servers (`add`, `edit`, `import`, `remove`), put them into workspaces (`install`, `uninstall`), look
//! (`list`, `test`).

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{
    export,
    failure::{Failure, Outcome},
    import, mcp_call, mcp_diet, mcp_edit, mcp_pins, mcp_tools,
    output::{Align, Cell, Column, Sheet, Terminal},
    programs,
    session::Session,
    skill, text,
};
use crate::{
    admin::dto::{AddServer, InstallServer, Installation, Installed, Server, ServerTest, Tool},
    domain::{period, program::Isolation, server::ProtocolChoice, server_file::ServerFile},
};

/// Runnable examples of `mcp`.
pub const EXAMPLES: &str = "Examples:
  aerostack mcp install github-mcp --workspace engineering
  aerostack mcp add internal-api --url https://mcp.internal.example/mcp
  aerostack mcp list --workspace engineering --tools-only";

/// MCP servers.
#[derive(Debug, Subcommand)]
pub enum McpCommand {
    /// Define a server of your own: by its URL, or a program on the gateway's machine by its command
    #[command(
        after_help = "Examples:\n  aerostack mcp add internal-api --url https://mcp.internal.example/mcp\n  aerostack mcp add files -- npx -y @modelcontextprotocol/server-filesystem /srv/files\n  aerostack mcp add old-api --url https://old.example/sse --protocol sse --timeout 60s"
    )]
    Add(AddArgs),
    /// Change a definition: its title, how it is talked to, its limits
    #[command(after_help = mcp_edit::EXAMPLES)]
    Edit(mcp_edit::EditArgs),
    /// Put a server into a workspace; every member has its tools at once
    #[command(
        after_help = "Examples:\n  aerostack mcp install github-mcp --workspace engineering\n  aerostack mcp install internal-api"
    )]
    Install(InstallArgs),
    /// Take a server out of a workspace
    #[command(after_help = "Examples:\n  aerostack mcp uninstall github-mcp --workspace engineering")]
    Uninstall {
        /// MCP server
        slug: String,
        /// Workspace [default: the current one]
        #[arg(short, long, value_name = "SLUG")]
        workspace: Option<String>,
    },
    /// List a workspace's servers or tools, or all definitions
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  aerostack mcp list --workspace engineering\n  aerostack mcp list --workspace engineering --tools-only\n  aerostack mcp list --all"
    )]
    List(ListArgs),
    /// List an installed server's tools: their names, and whether they are offered
    #[command(after_help = "Examples:\n  aerostack mcp tools github-mcp --workspace engineering")]
    Tools(mcp_tools::Place),
    /// Switch tools on or off, or give one another name
    #[command(subcommand, after_help = mcp_tools::EXAMPLES)]
    Tool(mcp_tools::ToolCommand),
    /// Approve tools that are new or changed
    #[command(subcommand, after_help = mcp_pins::EXAMPLES)]
    Pins(mcp_pins::PinsCommand),
    /// Show what the tool list costs an editor, and switch off what nobody uses
    #[command(after_help = mcp_diet::EXAMPLES)]
    Diet(mcp_diet::DietArgs),
    /// Offer an installed server's tools again
    #[command(after_help = "Examples:\n  aerostack mcp enable github-mcp --workspace engineering")]
    Enable(mcp_tools::Place),
    /// Keep a server installed, but offer nothing of it
    #[command(after_help = "Examples:\n  aerostack mcp disable github-mcp --workspace engineering")]
    Disable(mcp_tools::Place),
    /// Change what the names of a server's tools begin with
    #[command(
        after_help = "Examples:\n  aerostack mcp prefix github-mcp gh --workspace engineering\n  aerostack mcp prefix internal-api --none"
    )]
    Prefix(mcp_tools::PrefixArgs),
    /// Call a tool through the gateway, with a workspace token
    #[command(after_help = mcp_call::EXAMPLES)]
    Call(mcp_call::CallArgs),
    /// Connect to a server and say what it answers
    #[command(after_help = "Examples:\n  aerostack mcp test github-mcp")]
    Test {
        /// MCP server
        slug: String,
    },
    /// Read the definitions of programs (servers.d in the gateway's data folder) again
    #[command(after_help = "Examples:\n  aerostack mcp reload")]
    Reload,
    /// Delete a definition with its secrets
    #[command(visible_alias = "rm", after_help = "Examples:\n  aerostack mcp remove internal-api")]
    Remove {
        /// MCP server
        slug: String,
    },
    /// Define the servers of an editor's mcp.json, or the one of a server.json; credentials go into the vault
    #[command(
        after_help = "Examples:\n  aerostack mcp import ~/.cursor/mcp.json --workspace engineering\n  aerostack mcp import server.json\n  aerostack mcp import .mcp.json --dry-run"
    )]
    Import(ImportArgs),
    /// Print a definition as server.json, the MCP Registry's form; secrets are named, never told
    #[command(
        after_help = "Examples:\n  aerostack mcp export internal-api > server.json\n  aerostack mcp export internal-api --name com.example/internal-api --server-version 1.2.0"
    )]
    Export(export::ExportArgs),
}

/// What `mcp add` takes.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Its name in commands and, without `-mcp`, in front of its tools
    slug: String,
    /// Where it is reached; credentials go into `secrets set`, not into the URL
    #[arg(long, value_name = "URL", required_unless_present = "command", conflicts_with = "command")]
    url: Option<String>,
    /// The program and its arguments, after `--`; credentials go into `secrets set`, not here
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// A variable of the program that is no secret
    #[arg(long, value_name = "NAME=VALUE", requires = "command")]
    env: Vec<String>,
    /// A variable of the gateway's environment that the program gets too
    #[arg(long, value_name = "NAME", requires = "command")]
    pass_env: Vec<String>,
    /// Where the program runs [default: a folder of its own]
    #[arg(long, value_name = "FOLDER", requires = "command")]
    cwd: Option<String>,
    /// Who shares the running program: all clients, or each client that can be asked something has its own
    #[arg(long, value_enum, default_value_t = Isolation::Shared, requires = "command")]
    isolation: Isolation,
    /// Its name for people
    #[arg(long)]
    title: Option<String>,
    /// How it is talked to
    #[arg(long, value_enum, default_value_t = Protocol::Auto)]
    protocol: Protocol,
    /// Longest wait for an answer to begin: 30s, 2m, …
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
    /// Longest whole call
    #[arg(long, value_name = "TIME")]
    total_timeout: Option<String>,
    /// Most calls at once
    #[arg(long, value_name = "N")]
    max_in_flight: Option<u64>,
    /// Let secrets travel over plain http
    #[arg(long)]
    allow_http: bool,
    /// Also install it in this workspace
    #[arg(short, long, value_name = "SLUG")]
    workspace: Option<String>,
}

/// How a server is talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// Find out
    Auto,
    /// MCP 2026-07-28
    Modern,
    /// Streamable HTTP with sessions
    Legacy,
    /// HTTP+SSE
    Sse,
}

/// What `mcp install` takes.
#[derive(Debug, Args)]
pub struct InstallArgs {
    /// A definition of your own or a well-known server
    slug: String,
    /// Workspace [default: the current one]
    #[arg(short, long, value_name = "SLUG")]
    workspace: Option<String>,
    /// What its tools' names begin with, before `__` [default: from the slug]
    #[arg(long)]
    prefix: Option<String>,
}

/// What `mcp list` takes.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Workspace [default: the current one]
    #[arg(short, long, value_name = "SLUG")]
    workspace: Option<String>,
    /// Only the tools' names, one a line
    #[arg(long)]
    tools_only: bool,
    /// All definitions, installed or not
    #[arg(long, conflicts_with_all = ["workspace", "tools_only"])]
    all: bool,
}

/// What `mcp import` takes.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The file (mcp.json, claude_desktop_config.json, settings.json, …)
    pub file: PathBuf,
    /// Also install the servers in this workspace
    #[arg(short, long, value_name = "SLUG")]
    pub workspace: Option<String>,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs `mcp …`.
pub async fn run(session: &mut Session, terminal: &mut Terminal, command: McpCommand) -> Outcome {
    match command {
        McpCommand::Add(args) => add(session, terminal, args).await,
        McpCommand::Edit(args) => mcp_edit::run(session, terminal, args).await,
        McpCommand::Install(args) => {
            let workspace = session.workspace(args.workspace)?;
            install(session, terminal, &workspace, args.slug, args.prefix).await
        }
        McpCommand::Uninstall { slug, workspace } => {
            let workspace = session.workspace(workspace)?;
            let gone: Installation =
                session.client()?.delete(&["workspaces", &workspace, "servers", &slug], vec![]).await?;
            terminal.done(&format!("Uninstalled {slug} from {workspace}."), &gone, &slug)
        }
        McpCommand::List(args) => list(session, terminal, args).await,
        McpCommand::Tools(place) => mcp_tools::list(session, terminal, place).await,
        McpCommand::Diet(args) => mcp_diet::run(session, terminal, args).await,
        McpCommand::Tool(command) => mcp_tools::run(session, terminal, command).await,
        McpCommand::Pins(command) => mcp_pins::run(session, terminal, command).await,
        McpCommand::Enable(place) => mcp_tools::enable(session, terminal, place, true).await,
        McpCommand::Disable(place) => mcp_tools::enable(session, terminal, place, false).await,
        McpCommand::Prefix(args) => mcp_tools::prefix(session, terminal, args).await,
        // Called with a workspace token, before there is a client of the admin API.
        McpCommand::Call(_) => Ok(()),
        McpCommand::Test { slug } => test(session, terminal, &slug).await,
        McpCommand::Remove { slug } => {
            let gone: Server = session.client()?.delete(&["mcp-servers", &slug], vec![]).await?;
            terminal.done(&format!("Removed {slug} and its secrets."), &gone, &slug)
        }
        McpCommand::Reload => programs::tell(session, terminal).await,
        McpCommand::Import(args) => import::run(session, terminal, args).await,
        McpCommand::Export(args) => export::run(session, terminal, args).await,
    }
}

async fn add(session: &mut Session, terminal: &mut Terminal, args: AddArgs) -> Outcome {
    let span = |text: &Option<String>| -> Outcome<Option<u64>> {
        Ok(text.as_deref().map(period::parse_or_never).transpose()?.flatten())
    };
    let (timeout_seconds, total_seconds) = (span(&args.timeout)?, span(&args.total_timeout)?);
    let server: Server = if args.command.is_empty() {
        let body = AddServer {
            timeout_seconds,
            total_seconds,
            slug: args.slug,
            url: args.url,
            title: args.title,
            protocol: args.protocol.to_possible_value().map(|value| value.get_name().to_owned()),
            max_in_flight: args.max_in_flight,
            allow_http: args.allow_http,
            ..AddServer::default()
        };
        session.client()?.post(&["mcp-servers"], vec![], &body).await?
    } else {
        let file = ServerFile { timeout_seconds, total_seconds, ..file_of(&args)? };
        programs::define(session, &args.slug, &file).await?
    };
    match args.workspace {
        Some(workspace) => {
            terminal.note(&format!("Added {} ({}).", server.slug, server.url));
            install(session, terminal, &workspace, server.slug, None).await
        }
        None => {
            terminal.done(&format!("Added {} ({}).", server.slug, server.url), &server, &server.slug)?;
            terminal.hint(&format!("aerostack mcp install {} --workspace NAME", server.slug));
            Ok(())
        }
    }
}

/// What `mcp add … -- COMMAND` defines.
fn file_of(args: &AddArgs) -> Outcome<ServerFile> {
    let (command, rest) = args.command.split_first().ok_or_else(|| Failure::usage("which command?"))?;
    let variable = |text: &String| match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => {
            Err(Failure::usage("--env takes NAME=VALUE").with_hint("--pass-env NAME takes the gateway's own value"))
        }
    };
    Ok(ServerFile {
        command: command.clone(),
        args: rest.to_vec(),
        title: args.title.clone(),
        cwd: args.cwd.clone(),
        pass_env: args.pass_env.clone(),
        isolation: args.isolation,
        protocol: match args.protocol {
            Protocol::Auto => ProtocolChoice::Auto,
            Protocol::Modern => ProtocolChoice::Modern,
            Protocol::Legacy => ProtocolChoice::Legacy,
            Protocol::Sse => return Err(Failure::usage("a program does not speak HTTP+SSE")),
        },
        max_in_flight: args.max_in_flight.and_then(|calls| usize::try_from(calls).ok()),
        env: args.env.iter().map(variable).collect::<Outcome<_>>()?,
        ..ServerFile::default()
    })
}

/// Installs and says what is still missing.
pub async fn install(
    session: &mut Session,
    terminal: &mut Terminal,
    workspace: &str,
    slug: String,
    prefix: Option<String>,
) -> Outcome {
    let body = InstallServer { server: slug, prefix, upgrade: false };
    let installed: Installed = session.client()?.post(&["workspaces", workspace, "servers"], vec![], &body).await?;
    if let Some(skill) = &installed.installation.skill {
        terminal.note(&format!("{skill} is a skill; skills are also installed with: aerostack skill install {skill}"));
        return skill::installed(terminal, workspace, &installed);
    }
    installed_server(terminal, workspace, &installed)
}

/// Says that a server was installed, and what is still missing.
pub fn installed_server(terminal: &mut Terminal, workspace: &str, installed: &Installed) -> Outcome {
    let slug = &installed.installation.server;
    let tools = installed.installation.tools.map(|n| format!(" ({})", text::counted(n, "tool"))).unwrap_or_default();
    let sentence = format!("Installed {slug} in {workspace}{tools}. It appears for every member automatically.");
    terminal.done(&sentence, installed, slug)?;
    for name in &installed.missing_secrets {
        terminal.hint(&format!("it needs a secret: aerostack secrets set {slug} {name}"));
    }
    mcp_tools::warn_of_long_names(terminal, workspace, slug, &installed.long_names);
    Ok(())
}

async fn list(session: &mut Session, terminal: &mut Terminal, args: ListArgs) -> Outcome {
    if args.tools_only {
        let workspace = session.workspace(args.workspace)?;
        return tools(session, terminal, &workspace).await;
    }
    match session.workspace_if_any(args.workspace).filter(|_| !args.all) {
        Some(workspace) => installations(session, terminal, &workspace).await,
        None => definitions(session, terminal).await,
    }
}

async fn tools(session: &mut Session, terminal: &mut Terminal, workspace: &str) -> Outcome {
    let tools: Vec<Tool> = session.client()?.list(&["workspaces", workspace, "tools"], vec![]).await?;
    if tools.is_empty() {
        terminal.hint(&format!("no tools are known in {workspace}; look which servers: aerostack mcp list"));
    }
    if terminal.is_table() {
        return tools.iter().try_for_each(|tool| terminal.line(&tool.name));
    }
    let mut sheet = Sheet::new([
        Column("TOOL", "tool", Align::Left),
        Column("SERVER", "server", Align::Left),
        Column("DESCRIPTION", "description", Align::Left),
    ]);
    for tool in &tools {
        sheet.row([&tool.name, &tool.server, tool.description.as_ref().unwrap_or(&String::new())].map(Cell::text));
    }
    terminal.list(&tools, &sheet, |tool| &tool.name)
}

async fn installations(session: &mut Session, terminal: &mut Terminal, workspace: &str) -> Outcome {
    let all: Vec<Installation> = session.client()?.list(&["workspaces", workspace, "servers"], vec![]).await?;
    let mut sheet = Sheet::new([
        Column("SERVER", "server", Align::Left),
        Column("PREFIX", "prefix", Align::Left),
        Column("TOOLS", "tools", Align::Right),
        Column("STATUS", "status", Align::Left),
        Column("URL", "url", Align::Left),
    ]);
    for one in &all {
        let tools = one.tools.map_or(Cell::both("-", ""), Cell::number);
        let status = if one.enabled { "enabled" } else { "disabled" };
        let skill = one.skill.as_deref().zip(one.version.as_deref());
        let name = skill.map_or_else(|| one.server.clone(), |(skill, version)| format!("{skill}@{version}"));
        sheet.row([Cell::text(name), Cell::text(&one.prefix), tools, Cell::text(status), Cell::text(&one.url)]);
    }
    terminal.list(&all, &sheet, |one| &one.server)?;
    for one in all.iter().filter(|one| one.waiting > 0) {
        let waiting = text::counted(one.waiting, "tool");
        terminal.hint(&format!("{waiting} to approve: aerostack mcp pins diff {} --workspace {workspace}", one.server));
    }
    if all.is_empty() {
        terminal.hint(&format!("none yet: aerostack mcp install github-mcp --workspace {workspace}"));
    }
    Ok(())
}

async fn definitions(session: &mut Session, terminal: &mut Terminal) -> Outcome {
    let all: Vec<Server> = session.client()?.list(&["mcp-servers"], vec![]).await?;
    let mut sheet = Sheet::new([
        Column("SERVER", "server", Align::Left),
        Column("URL", "url", Align::Left),
        Column("PROTOCOL", "protocol", Align::Left),
        Column("WORKSPACES", "workspaces", Align::Left),
    ]);
    for one in &all {
        sheet.row([&one.slug, &one.url, &one.protocol, &one.workspaces.join(" ")].map(Cell::text));
    }
    terminal.list(&all, &sheet, |one| &one.slug)?;
    if all.is_empty() {
        terminal.hint("none yet: aerostack mcp add internal-api --url https://…");
    }
    Ok(())
}

async fn test(session: &mut Session, terminal: &mut Terminal, slug: &str) -> Outcome {
    let report: ServerTest =
        session.client()?.post(&["mcp-servers", slug, "test"], vec![], &serde_json::json!({})).await?;
    if !report.ok {
        if !report.last_words.is_empty() {
            terminal.note("Its last lines on standard error:");
            report.last_words.iter().for_each(|line| terminal.note(&format!("  {line}")));
        }
        let failure = Failure::local(report.error.clone().unwrap_or_else(|| format!("{slug} does not answer")));
        return Err(match report.hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        });
    }
    let name = [report.server_name.as_deref(), report.server_version.as_deref()]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ");
    let who = if name.is_empty() { String::new() } else { format!(": {name}") };
    let how = report.protocol.as_deref().unwrap_or("MCP");
    let tools = report.tools.map(|n| format!(", {}", text::counted(n, "tool"))).unwrap_or_default();
    terminal.done(&format!("{slug} answers{who}, {how}{tools}, {} ms", report.latency_ms), &report, slug)
}
