//! `connect`: the bridge for clients that only start processes (run by whoever calls [`super::run`]), and the
//! configuration of every other client: shown with `--print`, written with `--install` after the change was shown.
//!
//! A token comes from a file, the environment or this user's saved ones, never from the command line. It is written into
//! a client's file only when asked for, and never into one that git tracks or would track.

mod credentials;
mod diff;
mod file;
mod places;

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
};

use clap::{ArgGroup, Args};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use url::Url;

pub(super) use self::{
    credentials::{given as token_given, of as token_of, url_of_workspace},
    file::read as read_client_file,
    places::files as client_files,
};
use super::{
    failure::{Failure, Outcome},
    output::Terminal,
    prompt,
    session::{Session, parse_url},
};
use crate::domain::{
    clients::{self, Connection, Snippet, TOKEN_VARIABLE},
    near, slug,
};

/// Runnable examples of `connect`.
pub const EXAMPLES: &str = "Examples:
  aerostack connect https://mcp.example.com/ws/engineering
  aerostack connect --save-token https://mcp.example.com/ws/engineering
  aerostack connect --install cursor https://mcp.example.com/ws/engineering
  aerostack connect --print vscode

Without --print, --install and --save-token this is a bridge: a client starts it and speaks MCP over stdin and stdout.
The token comes from --token-file, AEROSTACK_TOKEN, or what --save-token saved for this URL.";

/// Longest message unless `--max-message` says otherwise.
pub(super) const MESSAGE_MIB: usize = 64;

/// What `connect` takes.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").args(["print", "install", "save_token"])))]
pub struct ConnectArgs {
    /// Gateway URL of a workspace [default: the current workspace of the current gateway]
    url: Option<Url>,
    /// Print the configuration of a client (cursor, vscode, claude-code, claude-desktop, codex, …)
    #[arg(long, value_name = "CLIENT")]
    print: Option<String>,
    /// Write the configuration of a client into its file, after showing what changes
    #[arg(long, value_name = "CLIENT")]
    install: Option<String>,
    /// Save the token of this URL for this user (in a file that only this user can read)
    #[arg(long)]
    save_token: bool,
    /// Read the token from a file
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Write the token itself instead of the client's way to look it up
    #[arg(long)]
    with_token: bool,
    /// The client's file of this project instead of this user's
    #[arg(long, requires = "install")]
    project: bool,
    /// The file to write, if the client keeps it elsewhere
    #[arg(long, value_name = "FILE", requires = "install", conflicts_with = "project")]
    file: Option<PathBuf>,
    /// Write without asking
    #[arg(short, long, requires = "install")]
    yes: bool,
    /// Longest message of the bridge, in MiB
    #[arg(long, value_name = "MIB", default_value_t = MESSAGE_MIB, value_parser = mebibytes)]
    max_message: usize,
}

fn mebibytes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(mebibytes @ 1..=1024) => Ok(mebibytes),
        _ => Err("a number from 1 to 1024".into()),
    }
}

/// What the bridge joins.
pub struct Target {
    /// The workspace's gateway URL.
    pub url: Url,
    /// The workspace token.
    pub token: SecretString,
    /// Longest message in either direction, bytes.
    pub message_bytes: usize,
}

/// Does what can be done here; what is left for the bridge is returned.
pub fn run(session: &Session, terminal: &mut Terminal, args: ConnectArgs) -> Outcome<Option<Target>> {
    let url = match &args.url {
        Some(url) => parse_url(url.as_str())?,
        None => url_of_workspace(session, None)?,
    };
    let slug = slug_of(&url)?;
    if args.save_token {
        return save(session, terminal, &url, &args).map(|()| None);
    }
    let client = match (&args.print, &args.install) {
        (None, None) => return bridge(session, terminal, url, &args).map(Some),
        (Some(client), _) | (None, Some(client)) => client,
    };
    let with = if args.with_token { Some(token_of(session, &url, args.token_file.as_deref())?) } else { None };
    let to = Connection { slug: &slug, url: url.as_str(), token: with.as_ref().map(|token| token.expose_secret()) };
    let Some(snippet) = clients::snippet(client, &to) else {
        return Err(Failure::usage(near::no_such("client", client, clients::names()))
            .with_hint(format!("known clients: {}", clients::names().join(", "))));
    };
    if args.print.is_some() {
        terminal.value(&snippet.text)?;
        if let Some(file) = snippet.file {
            terminal.note(&format!("For {file}."));
        }
        return Ok(None);
    }
    install(session, terminal, &url, snippet, &args).map(|()| None)
}

fn bridge(session: &Session, terminal: &mut Terminal, url: Url, args: &ConnectArgs) -> Outcome<Target> {
    let token = token_of(session, &url, args.token_file.as_deref())?;
    if std::io::stdin().is_terminal() {
        terminal.note("A client is meant to start this and speak MCP over stdin; press Ctrl-D to end it.");
        terminal.hint("to configure a client: aerostack connect --install CLIENT");
    }
    if is_in_clear(&url) {
        terminal.warn(&format!(
            "{} is not encrypted: the token crosses the network in clear",
            url.origin().ascii_serialization()
        ));
    }
    Ok(Target { url, token, message_bytes: args.max_message << 20 })
}

/// Whether what is sent to a URL can be read on the way.
pub(super) fn is_in_clear(url: &Url) -> bool {
    let loopback = url.host_str().is_some_and(|host| matches!(host, "127.0.0.1" | "localhost" | "[::1]"));
    url.scheme() == "http" && !loopback
}

/// The workspace of a gateway URL: what follows `/ws/`.
fn slug_of(url: &Url) -> Outcome<String> {
    let mut segments = url.path_segments().into_iter().flatten().skip_while(|segment| *segment != "ws").skip(1);
    segments.next().filter(|slug| slug::has_shape(slug)).map(str::to_owned).ok_or_else(|| {
        Failure::usage(format!("{url} is not the gateway URL of a workspace"))
            .with_hint("it looks like https://mcp.example.com/ws/engineering")
    })
}

fn save(session: &Session, terminal: &mut Terminal, url: &Url, args: &ConnectArgs) -> Outcome {
    let token = match token_given(args.token_file.as_deref())? {
        Some(token) => token,
        None => credentials::checked(
            &prompt::hidden(
                "Workspace token (mwt_…)",
                &format!("{TOKEN_VARIABLE}=… aerostack connect --save-token {url}"),
            )?,
            "the answer",
        )?,
    };
    session.store.save_workspace_token(url.as_str(), &token)?;
    terminal.done(&format!("Saved the token of {url} for this user."), &json!({ "url": url }), url.as_str())
}

/// Writes the entry into the client's file.
fn install(session: &Session, terminal: &mut Terminal, url: &Url, snippet: Snippet, args: &ConnectArgs) -> Outcome {
    let place = match &args.file {
        Some(file) => file.clone(),
        None => places::place(snippet.client, args.project)?,
    };
    let snippet = places::for_file(snippet);
    let place = file::real(place);
    if args.with_token {
        file::refuse_if_shared_by_git(&place)?;
    }
    let before = file::read(&place)?;
    let after = clients::merge(&before, &snippet)
        .map_err(|error| Failure::from(error).with_hint(format!("aerostack connect --print {}", snippet.client)))?;
    let open = args.with_token && file::is_open_to_others(&place);
    if after == before {
        if open {
            file::write(&place, &after, true)?;
            say_it_was_open(terminal, &place);
        }
        return terminal.done(
            &format!("{} has this entry already.", place.display()),
            &json!({"file": place, "changed": false}),
            &place.display().to_string(),
        );
    }
    for line in diff::lines(&before, &after) {
        terminal.note(&line);
    }
    if !args.yes {
        if !prompt::someone_is_there() {
            return Err(Failure::usage(format!("{} was not changed: nobody is there to agree", place.display()))
                .with_hint("agree beforehand with --yes"));
        }
        if !prompt::confirm(&format!("Write this to {}?", place.display()), "yes")? {
            return Err(Failure::local(format!("{} was not changed", place.display())));
        }
    }
    file::write(&place, &after, args.with_token)?;
    terminal.done(
        &format!("Wrote {} for {}.", place.display(), snippet.title),
        &json!({"file": place, "changed": true}),
        &place.display().to_string(),
    )?;
    if open {
        say_it_was_open(terminal, &place);
    }
    say_where_the_token_is(session, terminal, url, &snippet, args)
}

fn say_it_was_open(terminal: &mut Terminal, place: &Path) {
    let shown = place.display();
    terminal.note(&format!("Others on this machine could read {shown}; it holds a token, so now only you can."));
}

/// What is still to do, so that the client finds its token.
fn say_where_the_token_is(
    session: &Session,
    terminal: &mut Terminal,
    url: &Url,
    snippet: &Snippet,
    args: &ConnectArgs,
) -> Outcome {
    if args.with_token {
        return Ok(());
    }
    if snippet.client == "claude-desktop" {
        if let Some(token) = token_given(args.token_file.as_deref())? {
            session.store.save_workspace_token(url.as_str(), &token)?;
            terminal.note("The token is saved for this user; the file does not hold it.");
        } else if session.store.workspace_token(url.as_str())?.is_none() {
            terminal.hint(&format!("save the token once: aerostack connect --save-token {url}"));
        }
    } else if snippet.text.contains(TOKEN_VARIABLE) {
        terminal.hint(&format!("the file reads the token from the environment: export {TOKEN_VARIABLE}=mwt_…"));
    } else if snippet.text.contains(clients::TOKEN_PLACEHOLDER) {
        let what = clients::TOKEN_PLACEHOLDER;
        terminal.hint(&format!("put the token in place of {what}, or run this again with --with-token"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
