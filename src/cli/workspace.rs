//! `workspace …`: create, list, choose, show the URL, delete; tokens and audit of one workspace.

use clap::Subcommand;

use super::{
    audit,
    failure::{Failure, Outcome},
    output::{Align, Cell, Column, Sheet, Terminal},
    profile::Profile,
    prompt,
    session::Session,
    text, token, token_rotate, token_scope,
};
use crate::admin::dto::{CreateWorkspace, UpdateWorkspace, Workspace};

/// Runnable examples of `workspace`.
pub const EXAMPLES: &str = "Examples:
  aerostack workspace create engineering
  aerostack workspace use engineering
  aerostack workspace token create engineering --name \"Alice Chen\"
  aerostack workspace audit engineering";

/// Workspaces, their tokens and their audit log.
#[derive(Debug, Subcommand)]
pub enum WorkspaceCommand {
    /// Make a workspace: a gateway URL and the servers installed in it
    #[command(
        after_help = "Examples:\n  aerostack workspace create engineering\n  aerostack workspace create eng-readonly --name \"Engineering, read only\""
    )]
    Create {
        /// Its name in URLs: lower case letters, digits and hyphens
        slug: String,
        /// Its name for people
        #[arg(long)]
        name: Option<String>,
    },
    /// List workspaces
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  aerostack workspace list\n  aerostack workspace list -o json"
    )]
    List,
    /// Choose the workspace that commands mean when none is named
    #[command(after_help = "Examples:\n  aerostack workspace use acme-team")]
    Use {
        /// Workspace
        slug: String,
    },
    /// Print the gateway URL
    #[command(after_help = "Examples:\n  aerostack workspace url engineering")]
    Url {
        /// Workspace [default: the current one]
        slug: Option<String>,
    },
    /// Give a workspace another name in URLs; its gateway URL changes
    #[command(
        after_help = "Examples:\n  aerostack workspace rename engineering platform\n  aerostack workspace rename engineering --name \"Engineering, all of it\""
    )]
    Rename {
        /// Workspace
        slug: String,
        /// Its name in URLs from now on
        #[arg(required_unless_present = "name")]
        new: Option<String>,
        /// Its name for people from now on
        #[arg(long)]
        name: Option<String>,
    },
    /// Delete a workspace with its tokens and installations
    #[command(
        visible_alias = "rm",
        after_help = "Examples:\n  aerostack workspace delete project-beta\n  aerostack workspace delete project-beta --yes"
    )]
    Delete {
        /// Workspace
        slug: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Tokens: one per person or client
    #[command(subcommand, visible_alias = "tokens", after_help = token::CREATE_EXAMPLES)]
    Token(WorkspaceToken),
    /// Who did what in a workspace
    #[command(after_help = audit::EXAMPLES)]
    Audit(audit::AuditArgs),
}

/// Tokens of a workspace.
#[derive(Debug, Subcommand)]
pub enum WorkspaceToken {
    /// Issue a token; its value is shown this once
    #[command(after_help = token::CREATE_EXAMPLES)]
    Create {
        /// Workspace [default: the current one]
        workspace: Option<String>,
        /// The token
        #[command(flatten)]
        token: token::CreateArgs,
    },
    /// List tokens
    #[command(visible_alias = "ls", after_help = token::LIST_EXAMPLES)]
    List {
        /// Workspace [default: the current one]
        workspace: Option<String>,
        /// Which tokens
        #[command(flatten)]
        list: token::ListArgs,
    },
    /// Change what a token may use; its value stays
    #[command(after_help = token_scope::EXAMPLES)]
    Update {
        /// Workspace
        workspace: String,
        /// Which token, and what it may use
        #[command(flatten)]
        token: token_scope::UpdateArgs,
    },
    /// Give a token another value; the old one works on for a while
    #[command(after_help = token_rotate::EXAMPLES)]
    Rotate {
        /// Workspace
        workspace: String,
        /// Which token
        #[command(flatten)]
        token: token_rotate::RotateArgs,
    },
    /// Revoke a token, at once and for ever
    #[command(after_help = token::REVOKE_EXAMPLES)]
    Revoke {
        /// Workspace
        workspace: String,
        /// Which token
        #[command(flatten)]
        token: token::RevokeArgs,
    },
}

/// Runs `workspace …`.
pub async fn run(session: &mut Session, terminal: &mut Terminal, command: WorkspaceCommand) -> Outcome {
    match command {
        WorkspaceCommand::Create { slug, name } => create(session, terminal, slug, name).await,
        WorkspaceCommand::List => list(session, terminal).await,
        WorkspaceCommand::Use { slug } => choose(session, terminal, slug).await,
        WorkspaceCommand::Url { slug } => {
            let slug = session.workspace(slug)?;
            let workspace: Workspace = session.client()?.get(&["workspaces", &slug], vec![]).await?;
            if terminal.wants_json() { terminal.json(&workspace) } else { terminal.value(&workspace.url) }
        }
        WorkspaceCommand::Rename { slug, new, name } => rename(session, terminal, slug, new, name).await,
        WorkspaceCommand::Delete { slug, yes } => delete(session, terminal, slug, yes).await,
        WorkspaceCommand::Audit(args) => audit::run(session, terminal, args).await,
        WorkspaceCommand::Token(command) => match command {
            WorkspaceToken::Create { workspace, token } => token::create(session, terminal, workspace, token).await,
            WorkspaceToken::List { workspace, list } => token::list(session, terminal, workspace, list).await,
            WorkspaceToken::Update { workspace, token } => {
                token_scope::update(session, terminal, Some(workspace), token).await
            }
            WorkspaceToken::Rotate { workspace, token } => {
                token_rotate::rotate(session, terminal, Some(workspace), token).await
            }
            WorkspaceToken::Revoke { workspace, token } => {
                token::revoke(session, terminal, Some(workspace), token).await
            }
        },
    }
}

async fn create(session: &mut Session, terminal: &mut Terminal, slug: String, name: Option<String>) -> Outcome {
    let made: Workspace = session.client()?.post(&["workspaces"], vec![], &CreateWorkspace { slug, name }).await?;
    terminal.done(&format!("Workspace {} created. Gateway URL: {}", made.slug, made.url), &made, &made.slug)?;
    terminal.hint(&format!("aerostack mcp install github-mcp --workspace {}", made.slug));
    Ok(())
}

async fn list(session: &mut Session, terminal: &mut Terminal) -> Outcome {
    let current = session.workspace_if_any(None);
    let workspaces: Vec<Workspace> = session.client()?.list(&["workspaces"], vec![]).await?;
    let mut sheet = Sheet::new([
        Column("WORKSPACE", "workspace", Align::Left),
        Column("SERVERS", "servers", Align::Right),
        Column("TOKENS", "active_tokens", Align::Right),
        Column("CREATED", "created_at", Align::Left),
        Column("GATEWAY URL", "url", Align::Left),
        Column("CURRENT", "current", Align::Left),
    ]);
    for workspace in &workspaces {
        let mark = if current.as_deref() == Some(workspace.slug.as_str()) { "yes" } else { "" };
        sheet.row([
            Cell::text(&workspace.slug),
            Cell::number(workspace.servers),
            Cell::number(workspace.active_tokens),
            Cell::date(workspace.created_at),
            Cell::text(&workspace.url),
            Cell::text(mark),
        ]);
    }
    terminal.list(&workspaces, &sheet, |workspace| &workspace.slug)?;
    if workspaces.is_empty() {
        terminal.hint("none yet: aerostack workspace create engineering");
    }
    Ok(())
}

async fn choose(session: &mut Session, terminal: &mut Terminal, slug: String) -> Outcome {
    let workspace: Workspace = session.client()?.get(&["workspaces", &slug], vec![]).await?;
    let url = session.url().as_str().trim_end_matches('/').to_owned();
    let name = session.profile_name().unwrap_or("default").to_owned();
    session.profiles = session.store.change_profiles(|profiles| {
        let entry = profiles.profiles.entry(name.clone()).or_default();
        if entry.url.is_empty() {
            entry.url = url;
        }
        entry.workspace = Some(workspace.slug.clone());
        profiles.current.get_or_insert(name);
    })?;
    terminal.done(&format!("Now using workspace {}.", workspace.slug), &workspace, &workspace.slug)
}

async fn rename(
    session: &mut Session,
    terminal: &mut Terminal,
    slug: String,
    new: Option<String>,
    name: Option<String>,
) -> Outcome {
    let body = UpdateWorkspace { slug: new, name };
    let workspace: Workspace = session.client()?.patch(&["workspaces", &slug], vec![], &body).await?;
    let is_it = |profile: &Profile| profile.workspace.as_deref() == Some(&slug);
    if let Some(name) = session.profile_name().filter(|_| session.profile().is_some_and(is_it)) {
        let name = name.to_owned();
        session.profiles = session.store.change_profiles(|profiles| {
            if let Some(profile) = profiles.profiles.get_mut(&name).filter(|profile| is_it(profile)) {
                profile.workspace = Some(workspace.slug.clone());
            }
        })?;
    }
    if workspace.slug == slug {
        return terminal.done(&format!("Workspace {slug} is called \"{}\".", workspace.name), &workspace, &slug);
    }
    let sentence = format!("Workspace {slug} is now {}. Gateway URL: {}", workspace.slug, workspace.url);
    terminal.done(&sentence, &workspace, &workspace.slug)?;
    terminal.warn(&format!(
        "the old URL answers nobody any more: {} must be changed where they are used; the values stay",
        text::counted(workspace.active_tokens, "token")
    ));
    Ok(())
}

async fn delete(session: &mut Session, terminal: &mut Terminal, slug: String, yes: bool) -> Outcome {
    let workspace: Workspace = session.client()?.get(&["workspaces", &slug], vec![]).await?;
    if !yes {
        if !prompt::someone_is_there() {
            return Err(Failure::usage(format!("Deleting {slug} cannot be undone"))
                .with_hint(format!("aerostack workspace delete {slug} --yes")));
        }
        let question = format!(
            "This disables {} token(s) and removes {} server(s) of {slug}.",
            workspace.active_tokens, workspace.servers
        );
        if !prompt::confirm(&question, &slug)? {
            return Err(Failure::local("Nothing was deleted"));
        }
    }
    let _gone: Workspace = session.client()?.delete(&["workspaces", &slug], vec![]).await?;
    terminal.done(&format!("Workspace {slug} deleted. Its tokens are immediately disabled."), &workspace, &slug)
}
