//! `secrets …`: values go in and never come out. A value is taken from the argument, a hidden prompt, stdin, an
//! environment variable or a file, and is never echoed, logged or put into a message.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use zeroize::Zeroize as _;

use super::{
    failure::{Failure, Outcome},
    output::{Align, Cell, Column, Sheet, Terminal},
    prompt,
    session::Session,
    text,
};
use crate::admin::dto::{InjectionRule, Secret, SecretWritten, SecretsDeleted, SetSecret};

/// Runnable examples of `secrets`.
pub const EXAMPLES: &str = "Examples:
  aerostack secrets set github-mcp GITHUB_TOKEN \"ghp_xxxxxxxxxxxx\"
  aerostack secrets inject github-mcp GITHUB_TOKEN --bearer
  aerostack secrets list github-mcp";

/// Secrets of MCP servers.
#[derive(Debug, Subcommand)]
pub enum SecretsCommand {
    /// Set or replace a secret; the next call uses it
    #[command(
        after_help = "Examples:\n  aerostack secrets set github-mcp GITHUB_TOKEN \"ghp_xxxxxxxxxxxx\"\n  aerostack secrets set github-mcp GITHUB_TOKEN --from-env GITHUB_TOKEN\n  aerostack secrets set github-mcp GITHUB_TOKEN - < token.txt"
    )]
    Set(SetArgs),
    /// Say in which header (or variable of a program) a secret travels
    #[command(
        after_help = "Examples:\n  aerostack secrets inject github-mcp GITHUB_TOKEN --bearer\n  aerostack secrets inject files API_KEY --env FILES_API_KEY\n  aerostack secrets inject my-api API_KEY --header \"X-API-Key\""
    )]
    Inject(InjectArgs),
    /// List names and injection rules, never values
    #[command(visible_alias = "ls", after_help = "Examples:\n  aerostack secrets list github-mcp")]
    List {
        /// MCP server
        #[arg(value_name = "MCP_SLUG")]
        server: String,
        /// Show what this workspace uses, overrides included
        #[arg(short, long, value_name = "SLUG")]
        workspace: Option<String>,
    },
    /// Delete one secret of a server, or all
    #[command(
        visible_alias = "rm",
        after_help = "Examples:\n  aerostack secrets delete github-mcp GITHUB_TOKEN\n  aerostack secrets delete github-mcp --all"
    )]
    Delete(DeleteArgs),
    /// Print a fresh WORKFLOW_SECRETS_KEY
    #[command(after_help = "Examples:\n  aerostack secrets generate-key > secrets.key")]
    GenerateKey,
}

/// What `secrets set` takes.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// MCP server
    #[arg(value_name = "MCP_SLUG")]
    server: String,
    /// Name of the secret
    #[arg(value_name = "SECRET_NAME")]
    name: String,
    /// Its value; `-`: from stdin; left out: asked for, or from stdin when piped
    value: Option<HiddenText>,
    /// Take the value from an environment variable
    #[arg(long, value_name = "VARIABLE", conflicts_with_all = ["value", "from_file"])]
    from_env: Option<String>,
    /// Take the value from a file
    #[arg(long, value_name = "FILE", conflicts_with = "value")]
    from_file: Option<PathBuf>,
    /// Only for this workspace (overrides the value for all)
    #[arg(short, long, value_name = "SLUG")]
    workspace: Option<String>,
    /// Send it in this header
    #[arg(long, value_name = "HEADER", conflicts_with = "bearer")]
    header: Option<String>,
    /// Send it as `Authorization: Bearer …`
    #[arg(long)]
    bearer: bool,
    /// Give it to the program as this variable
    #[arg(long, value_name = "VARIABLE", conflicts_with_all = ["header", "bearer"])]
    env: Option<String>,
}

/// What `secrets inject` takes.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("rule").required(true).args(["header", "bearer", "env"])))]
pub struct InjectArgs {
    /// MCP server
    #[arg(value_name = "MCP_SLUG")]
    server: String,
    /// Name of the secret
    #[arg(value_name = "SECRET_NAME")]
    name: String,
    /// Send it in this header
    #[arg(long, value_name = "HEADER")]
    header: Option<String>,
    /// Send it as `Authorization: Bearer …`
    #[arg(long)]
    bearer: bool,
    /// Give it to the program as this variable
    #[arg(long, value_name = "VARIABLE")]
    env: Option<String>,
    /// Only this workspace's override
    #[arg(short, long, value_name = "SLUG")]
    workspace: Option<String>,
}

/// What `secrets delete` takes.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["name", "all"])))]
pub struct DeleteArgs {
    /// MCP server
    #[arg(value_name = "MCP_SLUG")]
    server: String,
    /// Name of the secret
    #[arg(value_name = "SECRET_NAME")]
    name: Option<String>,
    /// All secrets of the server
    #[arg(long)]
    all: bool,
    /// Only this workspace's override
    #[arg(short, long, value_name = "SLUG")]
    workspace: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// An argument that does not show in debug output.
#[derive(Clone)]
pub struct HiddenText(SecretString);

impl std::str::FromStr for HiddenText {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(HiddenText(SecretString::from(text)))
    }
}
impl std::fmt::Debug for HiddenText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[hidden]")
    }
}

/// Runs `secrets …`.
pub async fn run(session: &mut Session, terminal: &mut Terminal, command: SecretsCommand) -> Outcome {
    match command {
        SecretsCommand::Set(args) => set(session, terminal, args).await,
        SecretsCommand::Inject(args) => inject(session, terminal, args).await,
        SecretsCommand::List { server, workspace } => list(session, terminal, &server, workspace).await,
        SecretsCommand::Delete(args) => delete(session, terminal, args).await,
        SecretsCommand::GenerateKey => generate_key(terminal),
    }
}

fn of_workspace(workspace: Option<String>) -> Vec<(&'static str, String)> {
    workspace.into_iter().map(|slug| ("workspace", slug)).collect()
}

fn rule(header: Option<String>, bearer: bool, env: Option<String>) -> Option<InjectionRule> {
    match (env, bearer) {
        (Some(name), _) => Some(InjectionRule::Env { name }),
        (None, true) => Some(InjectionRule::Bearer {}),
        (None, false) => header.map(|header| InjectionRule::Header { header }),
    }
}

fn value_of(args: &mut SetArgs) -> Outcome<SecretString> {
    if let Some(variable) = &args.from_env {
        let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
        return value
            .map(SecretString::from)
            .ok_or_else(|| Failure::usage(format!("the environment variable {variable} is not set")));
    }
    if let Some(file) = &args.from_file {
        return prompt::from_file(file);
    }
    match args.value.take() {
        Some(HiddenText(value)) if value.expose_secret() != "-" => Ok(value),
        None if prompt::someone_is_there() => prompt::hidden(&format!("Value of {}", args.name), ""),
        _ => prompt::from_stdin(),
    }
}

async fn set(session: &mut Session, terminal: &mut Terminal, mut args: SetArgs) -> Outcome {
    let value = value_of(&mut args)?;
    let mut body = SetSecret {
        name: args.name,
        value: value.expose_secret().to_owned(),
        injection: rule(args.header, args.bearer, args.env),
    };
    let path = ["mcp-servers", &args.server, "secrets"];
    let answer: Outcome<SecretWritten> = session.client()?.post(&path, of_workspace(args.workspace), &body).await;
    body.value.zeroize();
    let written = answer?;
    let verb = if written.created { "saved" } else { "updated" };
    terminal.done(&format!("Secret {verb}. Takes effect on next tool call."), &written, &written.name)
}

async fn inject(session: &mut Session, terminal: &mut Terminal, args: InjectArgs) -> Outcome {
    let rule =
        rule(args.header, args.bearer, args.env).ok_or_else(|| Failure::usage("--header, --bearer or --env?"))?;
    let path = ["mcp-servers", &args.server, "secrets", &args.name];
    let secret: Secret = session.client()?.patch(&path, of_workspace(args.workspace), &rule).await?;
    let shape = match &secret.injection {
        InjectionRule::Bearer {} => "Authorization: Bearer ••••".to_owned(),
        InjectionRule::Header { header } => format!("{header}: ••••"),
        InjectionRule::Env { name } => format!("{name}=••••"),
    };
    terminal.done(&format!("{} is sent to {} as {shape}", secret.name, args.server), &secret, &secret.name)
}

async fn list(session: &mut Session, terminal: &mut Terminal, server: &str, workspace: Option<String>) -> Outcome {
    let secrets: Vec<Secret> =
        session.client()?.list(&["mcp-servers", server, "secrets"], of_workspace(workspace)).await?;
    let overrides = secrets.iter().any(|secret| secret.workspace.is_some());
    let unusable = secrets.iter().any(|secret| secret.state != "active");
    let mut columns = vec![
        Column("SECRET NAME", "name", Align::Left),
        Column("INJECTION", "injection", Align::Left),
        Column("LAST UPDATED", "updated_at", Align::Left),
    ];
    columns.extend(overrides.then_some(Column("WORKSPACE", "workspace", Align::Left)));
    columns.extend(unusable.then_some(Column("STATE", "state", Align::Left)));
    let mut sheet = Sheet::new(columns);
    for secret in &secrets {
        let mut row = vec![Cell::text(&secret.name), Cell::text(&secret.injected_as), Cell::date(secret.updated_at)];
        row.extend(overrides.then(|| Cell::text(secret.workspace.clone().unwrap_or_default())));
        row.extend(unusable.then(|| Cell::text(&secret.state)));
        sheet.row(row);
    }
    terminal.list(&secrets, &sheet, |secret| &secret.name)?;
    if secrets.is_empty() {
        terminal.hint(&format!("none yet: aerostack secrets set {server} SECRET_NAME"));
    }
    let in_header = |secret: &&Secret| matches!(secret.injection, InjectionRule::Header { .. });
    let odd = secrets.iter().filter(in_header).filter(|secret| secret.injected_as == secret.name);
    for secret in odd.filter(|secret| secret.name.contains('_')) {
        let name = &secret.name;
        terminal.hint(&format!("some proxies drop headers with `_`: aerostack secrets inject {server} {name} --bearer   (or --header X-Api-Key)"));
    }
    Ok(())
}

async fn delete(session: &mut Session, terminal: &mut Terminal, args: DeleteArgs) -> Outcome {
    let server = args.server;
    let query = of_workspace(args.workspace);
    if let Some(name) = args.name {
        let gone: SecretsDeleted = session.client()?.delete(&["mcp-servers", &server, "secrets", &name], query).await?;
        return terminal.done(&format!("Secret {name} of {server} deleted."), &gone, &name);
    }
    if !args.yes
        && prompt::someone_is_there()
        && !prompt::confirm(&format!("This deletes all secrets of {server}."), &server)?
    {
        return Err(Failure::local("Nothing was deleted"));
    }
    let gone: SecretsDeleted = session.client()?.delete(&["mcp-servers", &server, "secrets"], query).await?;
    let number = text::counted(gone.deleted, "secret");
    terminal.done(&format!("{number} of {server} deleted."), &gone, &gone.deleted.to_string())
}

fn generate_key(terminal: &mut Terminal) -> Outcome {
    let mut key = [0u8; 32];
    getrandom::fill(&mut key)
        .map_err(|error| Failure::local(format!("the operating system gives no random bytes: {error}")))?;
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    key.zeroize();
    match terminal.wants_json() {
        true => terminal.json(&json!({"key": hex})),
        false => terminal.value(&hex),
    }?;
    terminal.note("Keep it apart from the database, and keep a copy: without it no stored secret can be read.");
    Ok(())
}
