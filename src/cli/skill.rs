//! `skill …`: publish (`init`, `publish`), find (`list`, `search`, `show`, `pull`), use (`install`, `uninstall`), take
//! back (`remove`).

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    failure::{Failure, Outcome},
    mcp,
    output::{Align, Cell, Column, Sheet, Terminal},
    session::Session,
    skill_files,
};
use crate::{
    admin::dto::{ChangeVersion, InstallOutcome, InstallServer, Installation, Installed, Skill, SkillDetail},
    domain::skill::{Reference, Visibility},
};

/// Runnable examples of `skill`.
pub const EXAMPLES: &str = "Examples:
  aerostack skill publish --private team
  aerostack skill install @acme/internal-crm-skill
  aerostack skill search github";

/// Skills.
#[derive(Debug, Subcommand)]
pub enum SkillCommand {
    /// Write an example of aerostack.json and SKILL.md into this folder
    #[command(
        after_help = "Examples:\n  aerostack skill init deploy-skill\n  aerostack skill init crm-skill --worker-url https://crm.example/skill"
    )]
    Init(skill_files::InitArgs),
    /// Publish the skill in this folder (aerostack.json and SKILL.md)
    #[command(
        after_help = "Examples:\n  aerostack skill publish\n  aerostack skill publish --name \"internal-crm-skill\" --private team\n  aerostack skill publish --name \"my-dev-tool\" --private"
    )]
    Publish(skill_files::PublishArgs),
    /// List the skills of the namespaces you are a member of
    #[command(visible_alias = "ls", after_help = "Examples:\n  aerostack skill list")]
    List,
    /// Find public skills
    #[command(after_help = "Examples:\n  aerostack skill search github issues")]
    Search {
        /// Words in name, description, category or tags
        words: Vec<String>,
    },
    /// Show a skill and its versions
    #[command(after_help = "Examples:\n  aerostack skill show @acme/deploy-skill")]
    Show {
        /// Skill
        #[arg(value_name = "@NAMESPACE/NAME")]
        skill: String,
    },
    /// Write a published skill's aerostack.json and SKILL.md into a folder
    #[command(
        after_help = "Examples:\n  aerostack skill pull @acme/deploy-skill\n  aerostack skill pull @acme/deploy-skill@1.2 --into old"
    )]
    Pull(skill_files::PullArgs),
    /// Put a skill into a workspace; every member has its tool at once
    #[command(
        after_help = "Examples:\n  aerostack skill install @acme/internal-crm-skill\n  aerostack skill install johndoe/github-skill@1.2 --workspace engineering\n  aerostack skill install @acme/deploy-skill --upgrade"
    )]
    Install(InstallArgs),
    /// Take a skill out of a workspace
    #[command(after_help = "Examples:\n  aerostack skill uninstall @acme/deploy-skill --workspace engineering")]
    Uninstall {
        /// Skill
        #[arg(value_name = "@NAMESPACE/NAME")]
        skill: String,
        /// Workspace [default: the current one]
        #[arg(short, long, value_name = "SLUG")]
        workspace: Option<String>,
    },
    /// Remove a skill of yours, or withdraw one version of it
    #[command(
        visible_alias = "rm",
        after_help = "Examples:\n  aerostack skill remove @acme/deploy-skill\n  aerostack skill remove @acme/deploy-skill@1.2.0\n  aerostack skill remove @acme/deploy-skill@1.2.0 --restore"
    )]
    Remove {
        /// Skill; with a version, only that one: it stays where it is installed
        #[arg(value_name = "@NAMESPACE/NAME")]
        skill: String,
        /// Offer a withdrawn version again
        #[arg(long)]
        restore: bool,
    },
}

/// What `skill install` takes.
#[derive(Debug, Args)]
pub struct InstallArgs {
    /// Skill
    #[arg(value_name = "@NAMESPACE/NAME")]
    skill: String,
    /// Workspace [default: the current one]
    #[arg(short, long, value_name = "SLUG")]
    workspace: Option<String>,
    /// What its tool's name begins with, before `__` [default: from the skill's name]
    #[arg(long)]
    prefix: Option<String>,
    /// If it is installed already: move to the newest version
    #[arg(long)]
    upgrade: bool,
}

/// Runs `skill …`.
pub async fn run(session: &mut Session, terminal: &mut Terminal, command: SkillCommand) -> Outcome {
    match command {
        SkillCommand::Init(args) => skill_files::init(terminal, args),
        SkillCommand::Publish(args) => skill_files::publish(session, terminal, args).await,
        SkillCommand::List => {
            let all: Vec<Skill> = session.client()?.list(&["skills"], vec![]).await?;
            listed(terminal, &all)?;
            if all.is_empty() {
                terminal.hint("none yet: aerostack skill init, then aerostack skill publish");
            }
            Ok(())
        }
        SkillCommand::Search { words } => {
            let query = vec![("scope", "public".to_owned()), ("q", words.join(" "))];
            let all: Vec<Skill> = session.client()?.list(&["skills"], query).await?;
            listed(terminal, &all)
        }
        SkillCommand::Show { skill } => show(session, terminal, &skill).await,
        SkillCommand::Pull(args) => skill_files::pull(session, terminal, args).await,
        SkillCommand::Install(args) => install(session, terminal, args).await,
        SkillCommand::Uninstall { skill, workspace } => {
            let workspace = session.workspace(workspace)?;
            let gone: Installation =
                session.client()?.delete(&["workspaces", &workspace, "servers", &skill], vec![]).await?;
            terminal.done(&format!("Uninstalled {skill} from {workspace}."), &gone, &skill)
        }
        SkillCommand::Remove { skill, restore } => remove(session, terminal, &skill, restore).await,
    }
}

/// Namespace and name of a skill; without a namespace one's own.
pub async fn named(session: &mut Session, text: &str) -> Outcome<(String, Reference)> {
    let reference: Reference = text.parse()?;
    let namespace = match &reference.namespace {
        Some(namespace) => namespace.clone(),
        None => {
            let me: crate::admin::dto::WhoAmI = session.client()?.get(&["whoami"], vec![]).await?;
            me.namespace
        }
    };
    Ok((namespace, reference))
}

fn listed(terminal: &mut Terminal, all: &[Skill]) -> Outcome {
    let mut sheet = Sheet::new([
        Column("SKILL", "skill", Align::Left),
        Column("VERSION", "version", Align::Left),
        Column("VISIBILITY", "visibility", Align::Left),
        Column("UPDATED", "updated_at", Align::Left),
        Column("DESCRIPTION", "description", Align::Left),
    ]);
    for one in all {
        sheet.row([
            Cell::text(&one.skill),
            Cell::text(one.newest.as_deref().unwrap_or("-")),
            Cell::text(one.visibility.as_str()),
            Cell::date(one.updated_at),
            Cell::text(&one.description),
        ]);
    }
    terminal.list(all, &sheet, |one| &one.skill)
}

async fn show(session: &mut Session, terminal: &mut Terminal, text: &str) -> Outcome {
    let (namespace, reference) = named(session, text).await?;
    let detail: SkillDetail = session.client()?.get(&["skills", &namespace, &reference.name], vec![]).await?;
    if terminal.wants_json() {
        return terminal.json(&detail);
    }
    let skill = &detail.skill;
    terminal.note(&format!("{} ({}, {})", skill.skill, skill.visibility.as_str(), skill.category));
    terminal.note(&skill.description);
    let mut sheet = Sheet::new([
        Column("VERSION", "version", Align::Left),
        Column("PUBLISHED", "published_at", Align::Left),
        Column("BY", "published_by", Align::Left),
        Column("STATUS", "status", Align::Left),
        Column("HASH", "hash", Align::Left),
    ]);
    for one in &detail.versions {
        let status = if one.yanked_at.is_some() { "withdrawn" } else { "published" };
        let short: String = one.hash.chars().take(12).collect();
        sheet.row([
            Cell::text(&one.version),
            Cell::date(one.published_at),
            Cell::text(&one.published_by),
            Cell::text(status),
            Cell::both(short, &one.hash),
        ]);
    }
    terminal.list(&detail.versions, &sheet, |one| &one.version)
}

async fn install(session: &mut Session, terminal: &mut Terminal, args: InstallArgs) -> Outcome {
    let workspace = session.workspace(args.workspace)?;
    let body = InstallServer { server: args.skill, prefix: args.prefix, upgrade: args.upgrade };
    let made: Installed = session.client()?.post(&["workspaces", &workspace, "servers"], vec![], &body).await?;
    if made.installation.skill.is_some() {
        return installed(terminal, &workspace, &made);
    }
    let slug = &made.installation.server;
    terminal.note(&format!("{slug} is an MCP server; servers are also installed with: aerostack mcp install {slug}"));
    mcp::installed_server(terminal, &workspace, &made)
}

/// Says how a skill was installed, and what is still missing.
pub fn installed(terminal: &mut Terminal, workspace: &str, made: &Installed) -> Outcome {
    let (Some(skill), Some(version)) = (&made.installation.skill, &made.installation.version) else { return Ok(()) };
    let why = match made.visibility.unwrap_or_default() {
        Visibility::Team => "team membership verified",
        Visibility::Public => "public skill",
        Visibility::Private => "private skill",
    };
    let sentence = match made.outcome {
        InstallOutcome::Installed => format!("Installed ({why})"),
        InstallOutcome::Upgraded => format!("Upgraded to {version} ({why})"),
        InstallOutcome::Unchanged => format!("Already installed: {skill} {version} ({why})"),
    };
    terminal.done(&sentence, made, skill)?;
    if let Some(newer) = &made.newer {
        terminal.hint(&format!("{newer} is out: aerostack skill install {skill} --upgrade --workspace {workspace}"));
    }
    for name in &made.missing_secrets {
        terminal.hint(&format!("it needs a secret: aerostack secrets set {skill} {name} --workspace {workspace}"));
    }
    Ok(())
}

async fn remove(session: &mut Session, terminal: &mut Terminal, text: &str, restore: bool) -> Outcome {
    let (namespace, reference) = named(session, text).await?;
    let Some(version) = reference.version else {
        if restore {
            return Err(
                Failure::usage("Which version?").with_hint("aerostack skill remove @NAMESPACE/NAME@1.2.0 --restore")
            );
        }
        let gone: Value = session.client()?.delete(&["skills", &namespace, &reference.name], vec![]).await?;
        let sentence = format!("Removed @{namespace}/{} with all versions.", reference.name);
        return terminal.done(&sentence, &gone, &reference.name);
    };
    let path = ["skills", &namespace, &reference.name, "versions", &version.to_string()];
    let detail: SkillDetail = session.client()?.patch(&path, vec![], &ChangeVersion { yanked: !restore }).await?;
    let done = if restore { "is offered again" } else { "is withdrawn; where it is installed it stays" };
    terminal.done(&format!("{} {version} {done}.", detail.skill.skill), &detail, &detail.skill.skill)
}
