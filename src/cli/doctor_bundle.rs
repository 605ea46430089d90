//! `doctor --bundle`: one file for whoever helps. It is made of what the API shows, which has no place for a secret; all the
//! same, whatever looks like one of our credentials or is one that is saved here is taken out of the whole text.

use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    doctor::Finding,
    failure::{Failure, Outcome},
    output::Terminal,
    session::{OWN_VERSION, Session},
};
use crate::domain::{clock, token::Credential};

/// What stands where a credential stood.
const TAKEN_OUT: &str = "[taken out]";
/// Characters after a prefix from which on it is a credential and no word.
const SHORTEST: usize = 8;
/// What is asked of the gateway, under which name.
const ASKED: &[(&str, &[&str])] =
    &[("actors", &["actors"]), ("servers", &["mcp-servers"]), ("workspaces", &["workspaces"])];

/// Writes the file; one that is there is left alone.
pub fn write(
    session: &Session,
    terminal: &mut Terminal,
    file: &Path,
    (findings, said): (&[Finding], &Map<String, Value>),
) -> Outcome {
    let text = serde_json::to_string_pretty(&bundle(session, findings, said))
        .map_err(|error| Failure::local(format!("cannot write JSON: {error}")))?;
    let text = without_credentials(&text, &known(session));
    let cannot = |error: std::io::Error| Failure::local(format!("cannot write {}: {error}", file.display()));
    let mut made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(cannot)?;
    made.write_all(text.as_bytes()).and_then(|()| made.sync_all()).map_err(cannot)?;
    terminal.note(&format!(
        "Wrote {}. It holds names of servers, workspaces and tokens, and no secret; look at it before you send it.",
        file.display()
    ));
    Ok(())
}

/// What the gateway says of itself, or why it does not.
pub async fn ask(session: &mut Session) -> Map<String, Value> {
    let mut said = Map::new();
    for (name, path) in ASKED {
        let answer = match session.client() {
            Ok(client) => client.get::<Value>(path, vec![]).await,
            Err(failure) => Err(failure),
        };
        said.insert((*name).to_owned(), answer.unwrap_or_else(|failure| json!(failure.headline())));
    }
    let servers = said.get_mut("servers").and_then(|page| page.get_mut("data")).and_then(Value::as_array_mut);
    for place in servers.into_iter().flatten().filter_map(|server| server.get_mut("url")) {
        *place = json!(beginning(place.as_str().unwrap_or_default()));
    }
    said
}

/// Where a server is, without what may open it: the path of an address is at some providers all that it takes, and a
/// program's arguments may hold anything.
fn beginning(place: &str) -> String {
    if let Some(url) = Url::parse(place).ok().filter(Url::has_host) {
        let end = if url.path() == "/" && url.query().is_none() { "" } else { "/…" };
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        return format!("{}://{}{port}{end}", url.scheme(), url.host_str().unwrap_or_default());
    }
    let mut words = place.split(' ');
    let known: Vec<&str> = words.by_ref().take(2).collect();
    let end = if words.next().is_some() { " …" } else { "" };
    format!("{}{end}", known.join(" "))
}

fn bundle(session: &Session, findings: &[Finding], said: &Map<String, Value>) -> Value {
    let mut names: Vec<String> = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    names.retain(|name| name.starts_with("AEROSTACK_") || name.starts_with("WORKFLOW_SECRETS_KEY"));
    names.sort();
    json!({
        "made_at": clock::now(),
        "program": { "version": OWN_VERSION, "system": std::env::consts::OS, "machine": std::env::consts::ARCH },
        "gateway_url": session.url().as_str(),
        "variables": names,
        "findings": findings,
        "gateway": said,
    })
}

/// Credentials that are at hand here.
fn known(session: &Session) -> Vec<String> {
    let saved = session.store.saved_tokens().unwrap_or_default().into_values();
    let key = session.api_key().ok();
    let mut known: Vec<String> = saved.chain(key).map(|secret| secret.expose_secret().to_owned()).collect();
    known.extend(["AEROSTACK_TOKEN", "AEROSTACK_API_KEY"].iter().filter_map(|name| std::env::var(name).ok()));
    known.retain(|secret| secret.len() >= SHORTEST);
    known
}

/// The text without what is known to be a credential, and without what has the form of one.
fn without_credentials(text: &str, known: &[String]) -> String {
    let mut text = known.iter().fold(text.to_owned(), |text, secret| text.replace(secret, TAKEN_OUT));
    for kind in Credential::ALL {
        let mut clean = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once(kind.prefix()) {
            let length = after.bytes().take_while(u8::is_ascii_alphanumeric).count();
            clean.push_str(before);
            clean.push_str(if length < SHORTEST { kind.prefix() } else { TAKEN_OUT });
            rest = if length < SHORTEST { after } else { after.get(length..).unwrap_or_default() };
        }
        clean.push_str(rest);
        text = clean;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_servers_place_only_the_machine_and_the_program_are_told() {
        for (place, told) in [
            ("https://mcp.example.com:8443/s/0123456789abcdef/mcp?key=***", "https://mcp.example.com:8443/…"),
            ("https://mcp.example.com/", "https://mcp.example.com"),
            ("stdio: /usr/bin/npx -y server --dsn postgres://u:p@h/db", "stdio: /usr/bin/npx …"),
            ("stdio: /usr/bin/toy", "stdio: /usr/bin/toy"),
        ] {
            assert_eq!(beginning(place), told);
        }
    }

    #[test]
    fn whatever_looks_like_a_credential_is_taken_out_and_words_are_not() {
        let raw = "mwt_0123456789ABCDEFGHIJKLMNOPQRST1cCDCz";
        let text = format!("a {raw}, aak_{}, \"inv_abcdefgh\" mwt_… mwt_short opened with sesame-oil", &raw[4..]);
        let clean = without_credentials(&text, &["sesame-oil".into()]);
        assert_eq!(clean, "a [taken out], [taken out], \"[taken out]\" mwt_… mwt_short opened with [taken out]");
    }
}
