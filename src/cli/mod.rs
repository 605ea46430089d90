//! The command line: an HTTP client of the admin API with the seeds' words. It never touches the database or an actor,
//! so whatever it can do, a script with an API key can do too. `serve` is only parsed here; `main` hands in what runs it.

mod account;
mod analytics;
mod args;
mod audit;
mod audit_verify;
mod backup;
mod busy;
mod client;
mod complete;
mod connect;
mod credential;
mod doctor;
mod doctor_bundle;
mod doctor_editors;
mod explain;
mod export;
mod failure;
mod help;
mod host;
mod import;
mod key;
mod login;
mod login_browser;
mod logs;
mod mcp;
mod mcp_call;
mod mcp_diet;
mod mcp_edit;
mod mcp_pins;
mod mcp_tools;
mod output;
mod ping;
pub mod profile;
mod programs;
mod prompt;
mod secrets;
mod serve_args;
mod session;
mod skill;
mod skill_files;
mod structured;
mod team;
mod team_receipt;
mod text;
mod token;
mod token_rotate;
mod token_scope;
#[cfg(test)]
mod transcript_tests;
mod workspace;

use std::process::ExitCode;

use clap::{FromArgMatches as _, Parser, Subcommand};
use serde_json::{Map, Value, value::RawValue};

pub use self::{
    args::GlobalArgs,
    complete::if_asked as complete_if_asked,
    connect::Target,
    help::command,
    host::{HostAnswer, HostCommand, Installation},
    serve_args::ServeArgs,
};
use self::{
    failure::{Failure, Outcome},
    output::Terminal,
    session::Session,
};
use crate::error::Result;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "aerostack",
    version,
    about = "A self-hosted MCP gateway for teams: one URL and one token per person, the keys stay in the vault",
    propagate_version = true,
    disable_help_subcommand = true,
    after_help = "Examples:\n  aerostack serve\n  aerostack workspace create engineering\n  aerostack workspace token create engineering --name \"Alice Chen\"\n\nMore: aerostack help exit-codes, aerostack help environment, aerostack help output"
)]
pub struct Cli {
    /// Options that every command takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway
    #[command(after_help = serve_args::EXAMPLES)]
    Serve(Box<ServeArgs>),
    /// Log in: with a browser, or with an API key
    #[command(after_help = login::LOGIN_EXAMPLES)]
    Login(login::LoginArgs),
    /// Forget the saved API key; one that `login` made is revoked
    #[command(after_help = "Examples:\n  aerostack logout\n  aerostack logout --profile staging")]
    Logout,
    /// Show who the API key belongs to
    #[command(after_help = "Examples:\n  aerostack whoami\n  aerostack whoami -o json")]
    Whoami,
    /// Choose between saved gateways
    #[command(subcommand, after_help = login::PROFILE_EXAMPLES)]
    Profile(login::ProfileCommand),
    /// Your password and your sessions on the pages
    #[command(subcommand, after_help = account::EXAMPLES)]
    Account(account::AccountCommand),
    /// Your API keys: make, list, revoke
    #[command(subcommand, visible_alias = "keys", after_help = key::EXAMPLES)]
    Key(key::KeyCommand),
    /// The team: invite, list, roles, remove, join
    #[command(subcommand, after_help = team::EXAMPLES)]
    Team(team::TeamCommand),
    /// Workspaces, their tokens and their audit log
    #[command(subcommand, visible_alias = "ws", after_help = workspace::EXAMPLES)]
    Workspace(workspace::WorkspaceCommand),
    /// Tokens of the current workspace (as `workspace token`)
    #[command(subcommand, after_help = token::EXAMPLES)]
    Token(token::TokenCommand),
    /// MCP servers: add, install, list, test
    #[command(subcommand, after_help = mcp::EXAMPLES)]
    Mcp(mcp::McpCommand),
    /// Skills: publish, find, install
    #[command(subcommand, visible_alias = "skills", after_help = skill::EXAMPLES)]
    Skill(skill::SkillCommand),
    /// Secrets of MCP servers: set, inject, list, delete
    #[command(subcommand, visible_alias = "secret", after_help = secrets::EXAMPLES)]
    Secrets(secrets::SecretsCommand),
    /// Say why a token can or cannot use a tool
    #[command(after_help = explain::EXAMPLES)]
    Explain(explain::ExplainArgs),
    /// Bridge a client that only starts processes, or configure any client
    #[command(after_help = connect::EXAMPLES)]
    Connect(Box<connect::ConnectArgs>),
    /// The audit log: list it, check that it is what was written
    #[command(subcommand, after_help = audit_verify::EXAMPLES)]
    Audit(audit_verify::AuditCommand),
    /// What an operator does on the gateway's machine
    #[command(subcommand, after_help = host::EXAMPLES)]
    Admin(host::AdminCommand),
    /// Copies of a gateway's state: make, check, restore
    #[command(subcommand, after_help = backup::EXAMPLES)]
    Backup(backup::BackupCommand),
    /// Help of a command, or about exit-codes, environment, output
    #[command(after_help = help::EXAMPLES)]
    Help(help::HelpArgs),
    /// Print a shell's completions
    #[command(after_help = help::COMPLETION_EXAMPLES)]
    Completion(help::CompletionArgs),
    /// Write manual pages
    #[command(after_help = help::MAN_EXAMPLES)]
    Man(help::ManArgs),
    /// Calls as they end
    #[command(subcommand, after_help = logs::EXAMPLES)]
    Logs(logs::LogsCommand),
    /// Ask whether the gateway answers, knows the key, and goes by the same time
    #[command(after_help = ping::EXAMPLES)]
    Ping,
    /// Find what is wrong, here and at the gateway, and what to do about it
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::DoctorArgs),
    /// Who called which tool, how often
    #[command(after_help = analytics::EXAMPLES)]
    Analytics(analytics::AnalyticsArgs),
}

/// A question of an MCP client.
#[derive(Debug)]
pub struct Question {
    /// Its method.
    pub method: &'static str,
    /// What goes with it.
    pub params: Map<String, Value>,
    /// Of a tool that is called: what its arguments must be.
    pub schema: Option<Box<RawValue>>,
}

/// Asks a gateway as an MCP client does; the result as it came.
pub type Ask = fn(&Target, &Question) -> Result<Box<RawValue>>;

/// What the command line has done for it: it knows nothing of how.
pub struct Hands {
    /// Runs the gateway.
    pub serve: fn(ServeArgs) -> ExitCode,
    /// Joins a client to one.
    pub bridge: fn(Target) -> ExitCode,
    /// Works beside one.
    pub on_host: fn(HostCommand) -> Result<HostAnswer>,
    /// Asks one as a client does.
    pub ask: Ask,
}

/// The command line of this process; without one that makes sense the process ends here.
pub fn parse() -> Cli {
    Cli::from_arg_matches(&command().get_matches()).unwrap_or_else(|error| error.exit())
}

/// Runs one command and says how it went.
pub fn run(cli: Cli, hands: &Hands) -> ExitCode {
    let Cli { mut global, mut command } = cli;
    if let Command::Serve(args) = command {
        return (hands.serve)(*args);
    }
    if let Command::Login(args) = &mut command {
        global.gateway = args.url.take().or(global.gateway);
    }
    let link = match &command {
        Command::Team(team::TeamCommand::Join(args)) => Some(args.link.gateway.clone()),
        _ => None,
    };
    let mut terminal = Terminal::standard(&global);
    if help::is_meant(&command) || host::is_meant(&command) {
        let outcome = match help::is_meant(&command) {
            true => help::run(&mut terminal, &command),
            false => host::run(&mut terminal, command, hands.on_host),
        };
        return match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                terminal.failure(&failure);
                failure.exit()
            }
        };
    }
    let outcome = Session::open(global).and_then(|session| {
        let mut session = match link {
            Some(gateway) => session.follow(&gateway)?,
            None => session,
        };
        terminal.apply(&session);
        match command {
            Command::Connect(args) => return connect::run(&session, &mut terminal, *args),
            Command::Mcp(mcp::McpCommand::Call(args)) => mcp_call::run(&session, &mut terminal, args, hands.ask),
            Command::Doctor(args) => doctor::run(&mut session, &mut terminal, &args, hands.ask),
            other => actix_web::rt::System::new().block_on(dispatch(&mut session, &mut terminal, other)),
        }
        .map(|()| None)
    });
    match outcome {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(target)) => (hands.bridge)(target),
        Err(failure) => {
            terminal.failure(&failure);
            failure.exit()
        }
    }
}

/// Does what is asked, and says now and then that the gateway has another version.
async fn dispatch(session: &mut Session, terminal: &mut Terminal, command: Command) -> Outcome {
    let done = act(session, terminal, command).await;
    if let Some(notice) = session.version_notice() {
        terminal.note(&notice);
    }
    done
}

async fn act(session: &mut Session, terminal: &mut Terminal, command: Command) -> Outcome {
    if terminal.wants_a_token() && !command.has_token() {
        return Err(Failure::usage(
            "--output token, or the name of a client, works with `token create` and `token rotate` only",
        )
        .with_hint("use --output table, json or csv"));
    }
    match command {
        Command::Serve(_) | Command::Connect(_) | Command::Admin(_) | Command::Backup(_) | Command::Doctor(_) => Ok(()),
        Command::Help(_) | Command::Completion(_) | Command::Man(_) => help::run(terminal, &command),
        Command::Login(args) => login::login(session, terminal, args).await,
        Command::Logout => login::logout(session, terminal).await,
        Command::Whoami => login::whoami(session, terminal).await,
        Command::Account(command) => account::run(session, terminal, command).await,
        Command::Key(command) => key::run(session, terminal, command).await,
        Command::Team(command) => team::run(session, terminal, command).await,
        Command::Profile(command) => login::profile(session, terminal, command),
        Command::Workspace(command) => workspace::run(session, terminal, command).await,
        Command::Token(command) => token::run(session, terminal, command).await,
        Command::Mcp(command) => mcp::run(session, terminal, command).await,
        Command::Skill(command) => skill::run(session, terminal, command).await,
        Command::Secrets(command) => secrets::run(session, terminal, command).await,
        Command::Explain(args) => explain::run(session, terminal, args).await,
        Command::Audit(command) => audit_verify::run(session, terminal, command).await,
        Command::Analytics(args) => analytics::run(session, terminal, args).await,
        Command::Logs(command) => logs::run(session, terminal, command).await,
        Command::Ping => ping::run(session, terminal).await,
    }
}

impl Command {
    /// Whether the answer holds a token that `--output token` can print.
    fn has_token(&self) -> bool {
        matches!(
            self,
            Command::Token(token::TokenCommand::Create { .. } | token::TokenCommand::Rotate { .. })
                | Command::Workspace(workspace::WorkspaceCommand::Token(
                    workspace::WorkspaceToken::Create { .. } | workspace::WorkspaceToken::Rotate { .. }
                ))
        )
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_tree_is_sound() {
        Cli::command().debug_assert();
    }

    fn leaves<'a>(command: &'a clap::Command, path: String, out: &mut Vec<(String, &'a clap::Command)>) {
        out.push((path.clone(), command));
        for sub in command.get_subcommands() {
            leaves(sub, format!("{path} {}", sub.get_name()), out);
        }
    }

    /// Splits a line as a shell does, as far as our examples need it.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
        for c in line.chars() {
            match c {
                '"' => {
                    quoted = !quoted;
                    any = true;
                }
                ' ' if !quoted => {
                    if any || !word.is_empty() {
                        words.push(std::mem::take(&mut word));
                    }
                    any = false;
                }
                '<' | '>' | '|' if !quoted => return words,
                other => word.push(other),
            }
        }
        if any || !word.is_empty() {
            words.push(word);
        }
        words
    }

    #[test]
    fn every_help_ends_with_examples_that_parse() {
        let mut root = Cli::command();
        root.build();
        let mut all = Vec::new();
        leaves(&root, "aerostack".into(), &mut all);
        for (path, command) in all {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<&str> = help.lines().filter_map(|l| l.split("aerostack ").nth(1)).collect();
            assert!(help.starts_with("Examples:") && !examples.is_empty(), "{path} has no examples");
            for example in examples {
                let line = words(&format!("aerostack {example}"));
                if let Err(error) = Cli::try_parse_from(&line) {
                    panic!("{path}: example `{example}` does not parse: {error}");
                }
            }
        }
    }

    /// The sources of the program, tests included.
    fn sources(folder: &std::path::Path, out: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, out);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                out.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }

    #[test]
    fn every_command_that_a_message_suggests_exists() {
        let mut root = Cli::command();
        root.build();
        let (mut all, mut checked) = (Vec::new(), 0);
        sources(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut all);
        for (path, text) in all {
            for line in text.split("aerostack ").skip(1) {
                let words = line.split([' ', '"', '`', '\n', '\'']).take_while(|word| {
                    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
                });
                let mut command = &root;
                for word in words {
                    match command.find_subcommand(word) {
                        Some(sub) => command = sub,
                        // The first word may be prose ("aerostack itself"), a later one is a command or an argument.
                        None if std::ptr::eq(command, &root) => break,
                        None => {
                            assert!(
                                !command.has_subcommands(),
                                "{path}: `{} {word}` is no command",
                                command.get_name()
                            );
                            break;
                        }
                    }
                    checked += 1;
                }
            }
        }
        assert!(checked > 50, "only {checked} commands were found");
    }

    #[test]
    fn the_url_of_a_server_is_not_the_url_of_the_gateway() {
        let cli = Cli::try_parse_from(words("aerostack mcp add api --url https://api.example/mcp")).unwrap();
        assert_eq!(cli.global.gateway, std::env::var("AEROSTACK_URL").ok());
        let line = "aerostack mcp add api --url https://api.example/mcp --gateway https://gateway.example";
        assert_eq!(
            Cli::try_parse_from(words(line)).unwrap().global.gateway.as_deref(),
            Some("https://gateway.example")
        );
    }

    #[test]
    fn the_seeds_commands_parse() {
        for line in [
            "aerostack workspace create eng-full",
            "aerostack workspace use acme-team",
            "aerostack workspace token create engineering --name \"Alice Chen\"",
            "aerostack workspace token create engineering --name \"Alice\" --output token",
            "aerostack workspace token create my-workspace --name \"CI Bot\" --expires-in 86400",
            "aerostack workspace token list engineering",
            "aerostack workspace token revoke engineering --name \"Alice Chen\"",
            "aerostack workspace token revoke my-workspace tok_0190c0de",
            "aerostack workspace audit engineering",
            "aerostack analytics --workspace engineering --period 7d",
            "aerostack analytics --workspace engineering --user \"Alice Chen\" --period 30d",
            "aerostack analytics --workspace engineering --server github-mcp --period 7d",
            "aerostack analytics --workspace engineering --period 30d --format csv",
            "aerostack mcp install internal-api --workspace eng-full",
            "aerostack mcp list --workspace engineering --tools-only",
            "aerostack secrets set github-mcp GITHUB_TOKEN \"ghp_xxxxxxxxxxxx\"",
            "aerostack secrets inject github-mcp GITHUB_TOKEN --header \"Authorization\"",
            "aerostack secrets inject my-api API_KEY --header \"X-API-Key\"",
            "aerostack secrets inject github-mcp GITHUB_TOKEN --bearer",
            "aerostack secrets list github-mcp",
            "aerostack secrets delete github-mcp GITHUB_TOKEN",
            "aerostack secrets delete github-mcp --all",
            "aerostack skill publish --name \"internal-crm-skill\" --private team",
            "aerostack skill publish --name \"my-dev-tool\" --private",
            "aerostack skill list",
            "aerostack skill install @acme/internal-crm-skill",
            "aerostack skill install johndoe/github-skill",
            "aerostack team invite alice@example.com",
            "aerostack team list",
            "aerostack team remove alice@example.com",
            "aerostack serve --demo --bind 127.0.0.1:9000 --data-dir /tmp/x",
        ] {
            if let Err(error) = Cli::try_parse_from(words(line)) {
                panic!("{line}: {error}");
            }
        }
    }
}
