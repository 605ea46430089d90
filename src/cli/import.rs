//! `mcp import`: an editor's configuration becomes definitions here, and the credentials in its headers go into the
//! vault. What is defined already stays as it is. The file itself is only read.

use std::path::Path;

use clap::ValueEnum as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use zeroize::Zeroize as _;

use super::{
    failure::{Failure, Outcome},
    mcp::ImportArgs,
    output::Terminal,
    programs, prompt,
    session::Session,
    text,
};
use crate::{
    admin::dto::{AddServer, InjectionRule, InstallServer, Installed, SecretWritten, Server, SetSecret},
    domain::{
        injection::Injection,
        mcp_json::{self, Import, ImportedSecret, ImportedServer, ImportedValue},
        server::Reach,
        server_file::ServerFile,
    },
};

/// Configuration files are small; anything larger is something else.
const LARGEST: u64 = 4 * 1024 * 1024;

/// What an import did.
#[derive(Default, Serialize)]
struct Report {
    imported: Vec<Imported>,
    skipped: Vec<Left>,
}

#[derive(Serialize)]
struct Imported {
    slug: String,
    url: String,
    secrets: Vec<String>,
    missing_secrets: Vec<String>,
    installed: bool,
}

#[derive(Serialize)]
struct Left {
    name: String,
    reason: String,
}

/// Imports a file.
pub async fn run(session: &mut Session, terminal: &mut Terminal, args: ImportArgs) -> Outcome {
    let import = read(&args.file)?;
    let mut report = Report::default();
    for skipped in &import.skipped {
        report.skipped.push(Left { name: skipped.name.clone(), reason: skipped.reason.clone() });
    }
    let mut failed = false;
    for server in &import.servers {
        for note in &server.notes {
            terminal.note(&format!("{}: {note}", server.slug));
        }
        if args.dry_run {
            report.imported.push(planned(server, args.workspace.is_some()));
            continue;
        }
        match take_over(session, terminal, server, args.workspace.as_deref()).await {
            Ok(imported) => report.imported.push(imported),
            Err(failure) if failure.ends_everything() => {
                return Err(failure);
            }
            Err(failure) => {
                failed |= !failure.is_conflict();
                let reason =
                    if failure.is_conflict() { "is defined already; left as it is".into() } else { failure.headline() };
                report.skipped.push(Left { name: server.slug.to_string(), reason });
            }
        }
    }
    tell(terminal, &args, &import, &report)?;
    if failed { Err(Failure::local("Not everything could be imported")) } else { Ok(()) }
}

fn read(file: &Path) -> Outcome<Import> {
    let cannot = |error: std::io::Error| Failure::local(format!("cannot read {}: {error}", file.display()));
    if std::fs::metadata(file).map_err(cannot)?.len() > LARGEST {
        return Err(Failure::usage(format!("{} is too large to be a client's configuration", file.display())));
    }
    let mut text = std::fs::read_to_string(file).map_err(cannot)?;
    let import = mcp_json::read(&text);
    text.zeroize();
    import.map_err(|error| {
        let failure = Failure::local(format!("{}: {}", file.display(), error.message()));
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    })
}

fn planned(server: &ImportedServer, install: bool) -> Imported {
    let (given, missing): (Vec<&ImportedSecret>, Vec<_>) =
        server.secrets.iter().partition(|secret| value_of(secret).is_some());
    let names = |secrets: Vec<&ImportedSecret>| secrets.into_iter().map(|secret| secret.name.clone()).collect();
    Imported {
        slug: server.slug.to_string(),
        url: place(server),
        secrets: names(given),
        missing_secrets: names(missing),
        installed: install && server.enabled,
    }
}

/// The value in the file, or that of the variable the file names.
fn value_of(secret: &ImportedSecret) -> Option<SecretString> {
    match &secret.value {
        ImportedValue::Given(value) => Some(value.clone()),
        ImportedValue::Variable(name) => {
            std::env::var(name).ok().filter(|value| !value.is_empty()).map(SecretString::from)
        }
    }
}

async fn take_over(
    session: &mut Session,
    terminal: &mut Terminal,
    server: &ImportedServer,
    workspace: Option<&str>,
) -> Outcome<Imported> {
    let made = define(session, server).await?;
    let mut imported =
        Imported { slug: made.slug.clone(), url: made.url, secrets: vec![], missing_secrets: vec![], installed: false };
    for secret in &server.secrets {
        match store(session, &made.slug, secret).await {
            Ok(true) => imported.secrets.push(secret.name.clone()),
            Ok(false) => imported.missing_secrets.push(secret.name.clone()),
            Err(failure) => {
                terminal.warn(&format!("{} of {}: {}", secret.name, made.slug, failure.headline()));
                imported.missing_secrets.push(secret.name.clone());
            }
        }
    }
    if let Some(workspace) = workspace.filter(|_| server.enabled) {
        let body = InstallServer { server: made.slug.clone(), prefix: None, upgrade: false };
        let _installed: Installed =
            session.client()?.post(&["workspaces", workspace, "servers"], vec![], &body).await?;
        imported.installed = true;
    }
    Ok(imported)
}

async fn define(session: &mut Session, server: &ImportedServer) -> Outcome<Server> {
    let url = match &server.reach {
        Reach::Http { url } => url.to_string(),
        Reach::Stdio(program) => {
            let file = ServerFile {
                command: program.command.clone(),
                args: program.args.clone(),
                cwd: program.cwd.clone(),
                env: program.env.clone(),
                title: Some(server.name.clone()),
                ..ServerFile::default()
            };
            return programs::define(session, &server.slug, &file).await;
        }
        Reach::Skill { .. } => return Err(Failure::usage("a skill is published, not imported")),
    };
    let add = AddServer {
        slug: server.slug.to_string(),
        url: Some(url),
        title: Some(server.name.clone()),
        protocol: server.protocol.to_possible_value().map(|value| value.get_name().to_owned()),
        ..AddServer::default()
    };
    session.client()?.post(&["mcp-servers"], vec![], &add).await
}

/// Where it is, for people: an argument that may be a credential is not repeated.
fn place(server: &ImportedServer) -> String {
    match &server.reach {
        Reach::Http { url } => url.to_string(),
        Reach::Stdio(program) => format!("stdio: {}", program.shown()),
        Reach::Skill { skill } => skill.reference(),
    }
}

/// Puts one credential into the vault; whether its value was there.
async fn store(session: &mut Session, slug: &str, secret: &ImportedSecret) -> Outcome<bool> {
    let Some(value) = value_of(secret) else { return Ok(false) };
    let injection = match &secret.injection {
        Injection::Bearer => InjectionRule::Bearer {},
        Injection::Header(header) => InjectionRule::Header { header: header.clone() },
        Injection::Env(name) => InjectionRule::Env { name: name.clone() },
    };
    let value = value.expose_secret().to_owned();
    let mut body = SetSecret { name: secret.name.clone(), value, injection: Some(injection) };
    let answer: Outcome<SecretWritten> = session.client()?.post(&["mcp-servers", slug, "secrets"], vec![], &body).await;
    body.value.zeroize();
    answer.map(|_| true)
}

fn tell(terminal: &mut Terminal, args: &ImportArgs, import: &Import, report: &Report) -> Outcome {
    for one in &report.imported {
        let stored = match one.secrets.len() {
            0 => String::new(),
            _ => format!(", {} into the vault", one.secrets.join(", ")),
        };
        terminal.note(&format!("{} ({}){stored}", one.slug, one.url));
        for name in &one.missing_secrets {
            terminal.hint(&format!("aerostack secrets set {} {name}", one.slug));
        }
    }
    for left in &report.skipped {
        terminal.warn(&format!("{} {}", left.name, left.reason));
    }
    let servers = text::counted(u64::try_from(report.imported.len()).unwrap_or(u64::MAX), "server");
    let stored: usize = report.imported.iter().map(|one| one.secrets.len()).sum();
    let secrets = text::counted(u64::try_from(stored).unwrap_or(u64::MAX), "secret");
    let verb = if args.dry_run { "Would import" } else { "Imported" };
    let place = args.workspace.as_ref().map(|slug| format!(" into {slug}")).unwrap_or_default();
    let slugs: Vec<&str> = report.imported.iter().map(|one| one.slug.as_str()).collect();
    terminal.done(&format!("{verb} {servers} and {secrets}{place}."), report, &slugs.join(" "))?;
    let in_clear = import
        .servers
        .iter()
        .flat_map(|server| &server.secrets)
        .any(|secret| matches!(secret.value, ImportedValue::Given(_)));
    if in_clear && !args.dry_run && prompt::someone_is_there() {
        terminal.hint(&format!(
            "{} still holds these credentials in clear: put the gateway's entry in their place",
            args.file.display()
        ));
    }
    Ok(())
}
