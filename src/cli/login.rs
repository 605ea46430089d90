//! `login`, `logout`, `whoami`, `profile`: which key this user has for which gateway.

use clap::{Args, Subcommand};
use secrecy::SecretString;
use serde_json::json;

use super::{
    connect,
    failure::{Failure, Outcome},
    login_browser,
    output::{Align, Cell, Column, Sheet, Terminal},
    profile, prompt,
    session::{Session, no_such_profile},
};
use crate::admin::dto::{ApiKey, WhoAmI};

/// Runnable examples of `login`.
pub const LOGIN_EXAMPLES: &str = "Examples:
  aerostack login --url https://mcp.example.com
  aerostack login --url https://mcp.example.com --token-stdin < key.txt
  aerostack login --url https://mcp.example.com --profile work";

/// Runnable examples of `profile`.
pub const PROFILE_EXAMPLES: &str = "Examples:
  aerostack profile list
  aerostack profile use work";

/// What `login` takes besides the global options.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// URL of the gateway [default: the saved one, or http://127.0.0.1:8787]
    #[arg(long, value_name = "URL")]
    pub(super) url: Option<String>,
    /// Read the API key from stdin
    #[arg(long)]
    token_stdin: bool,
    /// The API key; other users of this machine can see it in the process list, so prefer --token-stdin
    #[arg(long, value_name = "KEY", conflicts_with = "token_stdin")]
    api_key: Option<String>,
    /// Confirm in a browser, on any machine (the default on a terminal)
    #[arg(long, conflicts_with_all = ["token_stdin", "api_key", "paste_key"])]
    browser: bool,
    /// Paste an API key
    #[arg(long, conflicts_with_all = ["token_stdin", "api_key"])]
    paste_key: bool,
}

/// Choosing between saved gateways.
#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    /// List saved gateways
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  aerostack profile list\n  aerostack profile list -o json"
    )]
    List,
    /// Use a saved gateway from now on
    #[command(after_help = "Examples:\n  aerostack profile use work")]
    Use {
        /// Name of the profile
        name: String,
    },
}

/// The key that was given, if one was: as an argument, on stdin, in the environment, or typed.
fn key_given(args: &LoginArgs, terminal: &mut Terminal) -> Outcome<Option<SecretString>> {
    if let Some(key) = &args.api_key {
        terminal.warn(
            "--api-key shows the key to everybody on this machine while the command runs; --token-stdin does not",
        );
        return Ok(Some(SecretString::from(key.as_str())));
    }
    if args.token_stdin {
        return prompt::from_stdin().map(Some);
    }
    if args.browser {
        return Ok(None);
    }
    match std::env::var("AEROSTACK_API_KEY").ok().filter(|key| !key.is_empty()) {
        Some(key) => Ok(Some(SecretString::from(key))),
        None if args.paste_key || !prompt::someone_is_there() => {
            prompt::hidden("API key (aak_…)", "echo \"$KEY\" | aerostack login --token-stdin").map(Some)
        }
        None => Ok(None),
    }
}

/// What a key is called that is made for this machine.
pub fn key_name() -> String {
    format!("login of {}", machine())
}

/// This machine and its user, as other people know them.
pub fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = Some(name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| "a computer".into());
    match std::env::var("USER").ok().filter(|user| !user.is_empty()) {
        Some(user) => format!("{user} on {name}"),
        None => name,
    }
}

/// The profile that a login is saved as: the one that was named or belongs to this gateway, else `default` if it is free,
/// else one named after the gateway.
pub fn name_to_save(session: &Session) -> String {
    if let Some(name) = session.profile_name() {
        return name.to_owned();
    }
    let taken = session.profiles.profiles.contains_key("default");
    let host = || session.url().host_str().unwrap_or("gateway").trim_matches(['[', ']']).to_owned();
    if taken { host() } else { "default".to_owned() }
}

/// Says that others can read along before something secret is sent without encryption.
pub fn warn_if_in_clear(session: &Session, terminal: &mut Terminal, what: &str) {
    if connect::is_in_clear(session.url()) {
        let shown = session.url().as_str().trim_end_matches('/');
        terminal.warn(&format!("{shown} is not encrypted: the {what} crosses the network in clear"));
    }
}

/// Asks the gateway who the key belongs to, then saves it. Without a key: has somebody confirm in a browser.
pub async fn login(session: &mut Session, terminal: &mut Terminal, args: LoginArgs) -> Outcome {
    let url = session.url().as_str().trim_end_matches('/').to_owned();
    warn_if_in_clear(session, terminal, "key");
    let (key, made) = match key_given(&args, terminal)? {
        Some(key) => (key, false),
        None => (login_browser::key(session, terminal).await?, true),
    };
    let who: WhoAmI = session.client_with(&key)?.get(&["whoami"], vec![]).await?;
    let name = name_to_save(session);
    profile::save_login(&session.store, &name, &url, &key, made)?;
    let sentence = format!("Logged in to {url} as {} ({}), profile \"{name}\".", who.username, who.role);
    terminal.done(&sentence, &who, &who.username)
}

/// Forgets the saved key of the profile; revokes it first if it was made for the profile.
pub async fn logout(session: &mut Session, terminal: &mut Terminal) -> Outcome {
    let name = session.profile_name().ok_or_else(|| Failure::not_logged_in("Not logged in"))?.to_owned();
    let revoked = match session.store.made_by_login(&name)? {
        true => revoke_own(session).await,
        false => Ok(false),
    };
    if !session.store.forget_api_key(&name)? {
        return Err(Failure::not_logged_in(format!("Profile \"{name}\" has no saved key")));
    }
    let gone = matches!(revoked, Ok(true));
    let what = if gone { "Revoked and forgot" } else { "Forgot" };
    terminal.done(
        &format!("{what} the key of profile \"{name}\"."),
        &json!({"profile": name, "revoked": gone}),
        &name,
    )?;
    if let Err(failure) = revoked {
        terminal.warn(&format!("the key could not be revoked: {}", failure.headline()));
    }
    if !gone {
        terminal.hint("the key itself still works until it is revoked on the gateway: aerostack key list");
    }
    Ok(())
}

/// Revokes the key that is saved, which need not be the one that other commands use.
async fn revoke_own(session: &Session) -> Outcome<bool> {
    let client = session.client_with(&session.saved_key()?)?;
    let who: WhoAmI = client.get(&["whoami"], vec![]).await?;
    let Some(key) = who.api_key else { return Ok(false) };
    let _gone: ApiKey = client.delete(&["api-keys", &key], vec![]).await?;
    Ok(true)
}

/// Shows who the key belongs to.
pub async fn whoami(session: &mut Session, terminal: &mut Terminal) -> Outcome {
    let url = session.url().as_str().trim_end_matches('/').to_owned();
    let who: WhoAmI = session.client()?.get(&["whoami"], vec![]).await?;
    let mut sheet = Sheet::new([
        Column("USER", "user", Align::Left),
        Column("NAMESPACE", "namespace", Align::Left),
        Column("ROLE", "role", Align::Left),
        Column("PLAN", "plan", Align::Left),
        Column("GATEWAY", "gateway", Align::Left),
        Column("VERSION", "version", Align::Left),
    ]);
    let namespace = format!("@{}", who.namespace);
    sheet.row(
        [who.label.clone(), namespace, who.role.clone(), who.plan.clone(), url, who.version.clone()].map(Cell::text),
    );
    match terminal.wants_json() {
        true => terminal.json(&who),
        false => terminal.list(&[who], &sheet, |who| &who.username),
    }
}

/// Lists or chooses profiles.
pub fn profile(session: &mut Session, terminal: &mut Terminal, command: ProfileCommand) -> Outcome {
    match command {
        ProfileCommand::List => list_profiles(session, terminal),
        ProfileCommand::Use { name } => {
            if !session.profiles.profiles.contains_key(&name) {
                return Err(no_such_profile(&session.profiles, &name));
            }
            session.profiles = session.store.change_profiles(|profiles| profiles.current = Some(name.clone()))?;
            terminal.done(&format!("Now using profile \"{name}\"."), &json!({"profile": name}), &name)
        }
    }
}

fn list_profiles(session: &Session, terminal: &mut Terminal) -> Outcome {
    let mut sheet = Sheet::new([
        Column("PROFILE", "profile", Align::Left),
        Column("URL", "url", Align::Left),
        Column("WORKSPACE", "workspace", Align::Left),
        Column("CURRENT", "current", Align::Left),
    ]);
    let mut rows = Vec::new();
    for (name, profile) in &session.profiles.profiles {
        let current = session.profiles.current.as_deref() == Some(name);
        let workspace = profile.workspace.clone().unwrap_or_default();
        let mark = if current { "yes" } else { "" };
        sheet.row([name.as_str(), &profile.url, &workspace, mark].map(Cell::text));
        rows.push(json!({"name": name, "url": profile.url, "workspace": profile.workspace, "current": current}));
    }
    if rows.is_empty() {
        terminal.hint("no gateway saved yet: aerostack login --url https://…");
    }
    terminal.list(&rows, &sheet, |row| row.get("name").and_then(|n| n.as_str()).unwrap_or_default())
}
