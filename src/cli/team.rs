//! `team …`: who is in, invite, remove, change a role, join with a link, act in another namespace.

use std::str::FromStr;

use clap::{Args, Subcommand};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use url::Url;

use super::{
    failure::{Failure, Outcome},
    login,
    output::{Align, Cell, Column, Sheet, Terminal},
    profile, prompt,
    session::{Session, parse_url},
    team_receipt, text,
};
use crate::{
    admin::dto::{
        AcceptInvite, InviteCreated, InviteMember, Joined, LeavingReceipt, MailState, MemberStatus, TeamMember,
        TeamPage, UpdateMember, WhoAmI,
    },
    domain::email,
};

/// Runnable examples of `team`.
pub const EXAMPLES: &str = "Examples:
  aerostack team invite alice@example.com --workspace engineering
  aerostack team list
  aerostack team role alice admin
  aerostack team remove alice@example.com";

/// The team of a namespace.
#[derive(Debug, Subcommand)]
pub enum TeamCommand {
    /// Invite somebody by e-mail
    #[command(
        after_help = "Examples:\n  aerostack team invite alice@example.com\n  aerostack team invite bob@example.com --role viewer --workspace engineering"
    )]
    Invite {
        /// E-mail address
        email: String,
        /// owner, admin, member or viewer
        #[arg(long, default_value = "member")]
        role: String,
        /// Give them a token of their own for this workspace when they accept
        #[arg(short, long, value_name = "SLUG")]
        workspace: Option<String>,
    },
    /// Make a new link for an open invitation; the old one is void
    #[command(after_help = "Examples:\n  aerostack team resend alice@example.com")]
    Resend {
        /// E-mail address
        email: String,
    },
    /// List members and open invitations
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  aerostack team list\n  aerostack team list --namespace acme -o json"
    )]
    List,
    /// Give a member another role
    #[command(after_help = "Examples:\n  aerostack team role alice admin")]
    Role {
        /// User name or e-mail address
        member: String,
        /// owner, admin, member or viewer
        role: String,
    },
    /// Take somebody out of the team, or an open invitation back
    #[command(
        visible_alias = "rm",
        after_help = "Examples:\n  aerostack team remove alice@example.com\n  aerostack team remove alice --yes -o json"
    )]
    Remove {
        /// User name or e-mail address
        member: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Accept an invitation
    #[command(
        after_help = "Examples:\n  aerostack team join https://mcp.example.com/join#inv_… --username alice\n  aerostack team join https://mcp.example.com/join#inv_… --username alice --password-stdin < password.txt"
    )]
    Join(JoinArgs),
    /// Act in another namespace from now on
    #[command(after_help = "Examples:\n  aerostack team use acme")]
    Use {
        /// A namespace you are a member of
        namespace: String,
    },
}

/// What `team join` takes.
#[derive(Debug, Args)]
pub struct JoinArgs {
    /// The link of the invitation
    #[arg(value_name = "LINK")]
    pub(super) link: JoinLink,
    /// The user name to have, if you have no account there yet
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// Read the password to have from stdin
    #[arg(long)]
    password_stdin: bool,
}

/// The link of an invitation: the gateway, and the code.
#[derive(Clone)]
pub struct JoinLink {
    /// URL of the gateway.
    pub gateway: Url,
    code: SecretString,
}

impl std::fmt::Debug for JoinLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JoinLink({})", self.gateway)
    }
}

impl FromStr for JoinLink {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let no_link = || "this is not the link of an invitation (https://…/join#inv_…)".to_owned();
        let (gateway, code) = text.trim().rsplit_once("/join#").ok_or_else(no_link)?;
        if !code.starts_with("inv_") {
            return Err(no_link());
        }
        let gateway = parse_url(gateway).map_err(|failure| failure.headline())?;
        Ok(JoinLink { gateway, code: SecretString::from(code) })
    }
}

/// Runs `team …`.
pub async fn run(session: &mut Session, terminal: &mut Terminal, command: TeamCommand) -> Outcome {
    match command {
        TeamCommand::Invite { email, role, workspace } => invite(session, terminal, email, role, workspace).await,
        TeamCommand::Resend { email } => resend(session, terminal, &email).await,
        TeamCommand::List => list(session, terminal).await,
        TeamCommand::Role { member, role } => set_role(session, terminal, &member, role).await,
        TeamCommand::Remove { member, yes } => remove(session, terminal, &member, yes).await,
        TeamCommand::Join(args) => join(session, terminal, args).await,
        TeamCommand::Use { namespace } => choose(session, terminal, namespace).await,
    }
}

async fn invite(
    session: &mut Session,
    terminal: &mut Terminal,
    email: String,
    role: String,
    workspace: Option<String>,
) -> Outcome {
    let body = InviteMember { email, role: Some(role), workspace };
    let made: InviteCreated = session.client()?.post(&["team", "invites"], vec![], &body).await?;
    invited(terminal, &made)
}

fn invited(terminal: &mut Terminal, made: &InviteCreated) -> Outcome {
    let essential = made.link.as_deref().unwrap_or(&made.id);
    let link = made.link.as_deref().unwrap_or_default();
    let sentence = match made.mail {
        MailState::Sent => {
            format!("Invitation sent. {} will receive a join link via email.", email::first_name(&made.email))
        }
        MailState::NotConfigured => {
            format!("Invitation created. Email is not configured; share this link: {link}")
        }
        MailState::Failed => {
            let why = made.mail_error.as_deref().unwrap_or("no reason given");
            format!("Invitation created, but no mail was sent ({why}); share this link: {link}")
        }
    };
    terminal.done(&sentence, made, essential)?;
    if made.link.is_some() {
        terminal.note(&format!(
            "For {} alone, for one use, until {}. It is shown only this once.",
            made.email,
            text::minute(made.expires_at)
        ));
    }
    Ok(())
}

async fn page(session: &mut Session) -> Outcome<TeamPage> {
    let client = session.client()?;
    let mut all: TeamPage = client.get(&["team", "members"], vec![]).await?;
    while let Some(cursor) = all.next_cursor.take() {
        let next: TeamPage = client.get(&["team", "members"], vec![("cursor", cursor)]).await?;
        if next.data.is_empty() {
            break;
        }
        all.data.extend(next.data);
        all.next_cursor = next.next_cursor;
    }
    Ok(all)
}

async fn resend(session: &mut Session, terminal: &mut Terminal, email: &str) -> Outcome {
    let team = page(session).await?;
    let open = team.data.iter().find(|row| row.member.eq_ignore_ascii_case(email)).and_then(|row| row.invite.clone());
    let id = open
        .ok_or_else(|| Failure::not_found(format!("No open invitation of {email}")).with_hint("aerostack team list"))?;
    let made: InviteCreated = session.client()?.post(&["team", "invites", &id, "resend"], vec![], &json!({})).await?;
    invited(terminal, &made)
}

async fn list(session: &mut Session, terminal: &mut Terminal) -> Outcome {
    let team = page(session).await?;
    let mut sheet = Sheet::new([
        Column("MEMBER", "member", Align::Left),
        Column("STATUS", "status", Align::Left),
        Column("JOINED", "joined", Align::Left),
        Column("ROLE", "role", Align::Left),
    ]);
    for row in &team.data {
        let (status, joined) = match row.status {
            MemberStatus::Active => ("active", row.joined_at.map_or_else(|| Cell::text(""), Cell::date)),
            MemberStatus::Pending => {
                let at = row.invited_at.map(text::date).unwrap_or_default();
                ("pending", Cell::text(format!("invited {at}")))
            }
        };
        sheet.row([Cell::text(&row.member), Cell::text(status), joined, Cell::text(&row.role)]);
    }
    terminal.footer(&format!("Members of @{}:", team.namespace))?;
    terminal.list(&team.data, &sheet, |row| &row.member)
}

async fn set_role(session: &mut Session, terminal: &mut Terminal, member: &str, role: String) -> Outcome {
    let changed: TeamMember =
        session.client()?.patch(&["team", "members", member], vec![], &UpdateMember { role }).await?;
    terminal.done(&format!("{} is now {}.", changed.member, changed.role), &changed, &changed.member)
}

async fn remove(session: &mut Session, terminal: &mut Terminal, member: &str, yes: bool) -> Outcome {
    if !yes && prompt::someone_is_there() {
        let question = format!("{member} loses all access to this team at once.");
        if !prompt::confirm(&question, member)? {
            return Err(Failure::local("Nobody was removed"));
        }
    }
    let receipt: LeavingReceipt = session.client()?.delete(&["team", "members", member], vec![]).await?;
    team_receipt::show(terminal, &receipt)
}

async fn choose(session: &mut Session, terminal: &mut Terminal, namespace: String) -> Outcome {
    session.global.namespace = Some(namespace.trim_start_matches('@').to_owned());
    let who: WhoAmI = session.client()?.get(&["whoami"], vec![]).await?;
    let name = session
        .profile_name()
        .map(str::to_owned)
        .ok_or_else(|| Failure::not_logged_in("There is no profile to keep this in").with_hint("aerostack login"))?;
    let own = who.namespace == who.username;
    session.profiles = session.store.change_profiles(|profiles| {
        if let Some(profile) = profiles.profiles.get_mut(&name) {
            profile.namespace = (!own).then(|| who.namespace.clone());
            // A workspace belongs to its namespace.
            profile.workspace = None;
        }
    })?;
    terminal.done(&format!("Now acting in @{} as {}.", who.namespace, who.role), &who, &who.namespace)
}

async fn join(session: &mut Session, terminal: &mut Terminal, args: JoinArgs) -> Outcome {
    let path = ["team", "invites", args.link.code.expose_secret(), "accept"];
    let known = if args.username.is_none() { session.api_key().ok() } else { None };
    login::warn_if_in_clear(session, terminal, if known.is_some() { "key" } else { "password" });
    let mut joined: Joined = match &known {
        Some(key) => session.client_with(key)?.post(&path, vec![], &AcceptInvite::default()).await?,
        None => {
            let body = newcomer(args.username, args.password_stdin)?;
            session.client_without_key()?.post(&path, vec![], &body).await?
        }
    };
    let mut sentence = format!("Joined @{} as {}.", joined.namespace, joined.role);
    if let Some(key) = joined.api_key.take() {
        let name = login::name_to_save(session);
        let url = session.url().as_str().trim_end_matches('/').to_owned();
        profile::save_login(&session.store, &name, &url, &SecretString::from(key), true)?;
        sentence.push_str(&format!(" Logged in as {}, profile \"{name}\".", joined.username));
    }
    let essential = joined.token.as_ref().map_or_else(|| joined.namespace.clone(), |token| token.token.clone());
    if terminal.is_plain() {
        terminal.done(&sentence, &joined, &essential)?;
    } else {
        return terminal.done(&sentence, &joined, &essential);
    }
    if let Some(token) = &joined.token {
        terminal.value(&token.token)?;
        terminal.note(&format!("Your token for {}. Shown only this once: save it now.", token.url));
        terminal.hint(&format!("write it into your editor: aerostack connect {} --install cursor", token.url));
    }
    terminal.hint(&format!("act in that team: aerostack team use {}", joined.namespace));
    Ok(())
}

fn newcomer(username: Option<String>, from_stdin: bool) -> Outcome<AcceptInvite> {
    let username = username.ok_or_else(|| {
        Failure::usage("Which user name do you want?")
            .with_hint("add --username NAME; with an account there, log in first: aerostack login --url URL")
    })?;
    let password = match from_stdin {
        true => prompt::from_stdin()?,
        false => prompt::hidden("Password to have (12 characters at least)", "add --password-stdin < FILE")?,
    };
    Ok(AcceptInvite {
        username: Some(username),
        password: Some(password.expose_secret().to_owned()),
        api_key_name: Some(login::key_name()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_a_gateway_and_a_code() {
        let link: JoinLink = "https://mcp.example.com/prefix/join#inv_abc".parse().unwrap();
        assert_eq!(link.gateway.as_str(), "https://mcp.example.com/prefix");
        assert_eq!(link.code.expose_secret(), "inv_abc");
        assert!(!format!("{link:?}").contains("inv_abc"));
        for bad in ["https://mcp.example.com/", "https://mcp.example.com/join#aak_x", "inv_abc", "ftp://h/join#inv_x"] {
            assert!(bad.parse::<JoinLink>().is_err(), "{bad}");
        }
    }
}
