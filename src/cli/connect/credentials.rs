//! Which workspace token is meant: of a file, of the environment, or saved for the URL; never of the command line.

use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::{
    cli::{
        failure::{Failure, Outcome},
        prompt,
        session::{Session, parse_url},
    },
    domain::{clients::TOKEN_VARIABLE, token},
};

/// The gateway URL of a workspace: the one that is named, else the current one.
pub fn url_of_workspace(session: &Session, workspace: Option<String>) -> Outcome<Url> {
    let workspace = session.workspace(workspace).map_err(|_which| {
        Failure::usage("Which gateway URL?").with_hint("aerostack connect https://mcp.example.com/ws/WORKSPACE")
    })?;
    parse_url(&format!("{}/ws/{workspace}", session.url().as_str().trim_end_matches('/')))
}

/// A token that has the form of one; `from` says where it was found.
pub fn checked(token: &SecretString, from: &str) -> Outcome<SecretString> {
    if token::parse(token::Credential::Mwt, token.expose_secret().trim()).is_none() {
        return Err(Failure::usage(format!("What {from} holds is not a workspace token (mwt_…)"))
            .with_hint("an admin issues one: aerostack workspace token create WORKSPACE --name \"Your Name\""));
    }
    Ok(SecretString::from(token.expose_secret().trim().to_owned()))
}

/// The token that was given with this command: a file's, else the environment's.
pub fn given(file: Option<&Path>) -> Outcome<Option<SecretString>> {
    if let Some(file) = file {
        return checked(&prompt::from_file(file)?, &file.display().to_string()).map(Some);
    }
    match std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty()) {
        Some(token) => checked(&SecretString::from(token), TOKEN_VARIABLE).map(Some),
        None => Ok(None),
    }
}

/// The token for a gateway URL: given, or saved for it.
pub fn of(session: &Session, url: &Url, file: Option<&Path>) -> Outcome<SecretString> {
    if let Some(token) = given(file)? {
        return Ok(token);
    }
    session.store.workspace_token(url.as_str())?.ok_or_else(|| {
        Failure::not_logged_in(format!("No token for {url}")).with_hint(format!(
            "set {TOKEN_VARIABLE}, give --token-file, or save it once: aerostack connect --save-token {url}"
        ))
    })
}
