//! Existing client configurations, read for import: which servers are in them, and which of their headers and variables
//! are secrets. Understands the files of the common clients (`mcpServers`, `servers`, `context_servers`, `mcp`), comments
//! and trailing commas included, and the registry's `server.json`. Reads only; storing is the caller's. Reasons and notes
//! never repeat a value.

use std::collections::HashSet;

use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::{
    domain::{
        injection::{Injection, check_secret_name, check_value},
        server::{ProtocolChoice, Reach, ServerSpec},
        slug::{self, Slug},
        tool_name::derived_prefix,
    },
    error::{Result, err},
};

mod registry;
mod relaxed;
mod stdio;
#[cfg(test)]
mod tests;

pub(crate) use relaxed::strict;

/// What a configuration holds.
#[derive(Debug, Default)]
pub struct Import {
    /// Servers that can be taken over.
    pub servers: Vec<ImportedServer>,
    /// Entries that cannot, and why.
    pub skipped: Vec<Skipped>,
}

/// A server in a client's configuration.
#[derive(Debug)]
pub struct ImportedServer {
    /// Its name in the file.
    pub name: String,
    /// The slug made of that name.
    pub slug: Slug,
    /// How it is reached.
    pub reach: Reach,
    /// How it is spoken to: HTTP+SSE if the file says so, else found out.
    pub protocol: ProtocolChoice,
    /// Whether it is switched on in the file.
    pub enabled: bool,
    /// Its headers, or the variables of a program.
    pub secrets: Vec<ImportedSecret>,
    /// What was left out or has to be looked at.
    pub notes: Vec<String>,
}

/// A header (or variable) of such a server, as a secret.
#[derive(Debug)]
pub struct ImportedSecret {
    /// The name to store it under.
    pub name: String,
    /// How it is sent.
    pub injection: Injection,
    /// Its value.
    pub value: ImportedValue,
}

/// Where a secret's value comes from.
#[derive(Debug)]
pub enum ImportedValue {
    /// It stands in the file.
    Given(SecretString),
    /// The file names a variable or an input of that name.
    Variable(String),
}

/// An entry that is not taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its name in the file.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// Reads a client's configuration file.
pub fn read(text: &str) -> Result<Import> {
    let value: Value = serde_json::from_str(&strict(text)).map_err(|cause| {
        // The cause's text would repeat parts of the file.
        err::validation(format!("Not a JSON file (line {}, column {})", cause.line(), cause.column()))
    })?;
    let (mut import, mut slugs) = (Import::default(), HashSet::new());
    if let Some((name, entry)) = registry::entry(&value) {
        match entry.and_then(|entry| server(&name, &entry, &mut slugs)) {
            Ok(server) => import.servers.push(server),
            Err(reason) => import.skipped.push(Skipped { name, reason }),
        }
        return Ok(import);
    }
    let entries = entries(&value).ok_or_else(|| {
        err::validation("No MCP servers in this file")
            .with_hint("expected an object with mcpServers, servers, context_servers or mcp")
    })?;
    for (name, entry) in entries {
        match server(name, entry, &mut slugs) {
            Ok(server) => import.servers.push(server),
            Err(reason) => import.skipped.push(Skipped { name: name.clone(), reason }),
        }
    }
    Ok(import)
}

/// The object whose members are servers.
fn entries(value: &Value) -> Option<&Map<String, Value>> {
    let top = value.as_object()?;
    let looks_like_servers = |map: &Map<String, Value>| map.values().any(|entry| entry.is_object());
    for key in ["mcpServers", "servers", "context_servers", "mcp", "amp.mcpServers"] {
        match top.get(key).and_then(Value::as_object) {
            // VS Code's settings hold `mcp.servers`.
            Some(inner) if key == "mcp" && inner.get("servers").is_some_and(Value::is_object) => {
                return inner.get("servers").and_then(Value::as_object);
            }
            Some(inner) => return Some(inner),
            None => {}
        }
    }
    let bare = top.values().all(|entry| url_of(entry).is_some() || entry.get("command").is_some());
    Some(top).filter(|top| bare && looks_like_servers(top))
}

fn url_of(entry: &Value) -> Option<&str> {
    ["url", "serverUrl", "httpUrl", "uri", "baseUrl"].iter().find_map(|key| entry.get(key).and_then(Value::as_str))
}

fn server(name: &str, entry: &Value, slugs: &mut HashSet<String>) -> Result<ImportedServer, String> {
    let bridged = stdio::remote(entry);
    let (url, headers) = match (&bridged, url_of(entry)) {
        (Some(remote), _) => (remote.url.clone(), remote.headers.clone()),
        (None, Some(url)) => (url.to_owned(), headers_of(entry)),
        (None, None) if entry.get("command").is_some() => return program(name, entry, slugs),
        (None, None) => return Err("has neither a URL nor a command".to_owned()),
    };
    if url.contains("${") || url.contains("{env:") {
        return Err("its URL contains a variable: write it out, or add the server with `mcp add`".to_owned());
    }
    let spec = ServerSpec::for_url(&url).map_err(|refused| refused.message().to_owned())?;
    let slug = slug_for(name, slugs).ok_or_else(|| "no slug can be made of its name".to_owned())?;
    let mut notes = Vec::new();
    if bridged.is_some() {
        notes.push("was reached through a local bridge; the gateway connects to it directly".to_owned());
    }
    if spec.url().is_some_and(|url| url.query_pairs().any(|(key, _)| looks_like_credential(&key))) {
        notes.push("its URL seems to carry a credential, which is stored with the URL, not as a secret".to_owned());
    }
    let secrets = secrets(&slug, &headers, &mut notes);
    let kind = entry.get("type").or_else(|| entry.get("transport")).and_then(Value::as_str).unwrap_or_default();
    Ok(ImportedServer {
        name: name.to_owned(),
        slug,
        reach: spec.reach,
        protocol: if kind.eq_ignore_ascii_case("sse") { ProtocolChoice::Sse } else { ProtocolChoice::Auto },
        enabled: is_enabled(entry),
        secrets,
        notes,
    })
}

fn is_enabled(entry: &Value) -> bool {
    let flag = |key: &str| entry.get(key).and_then(Value::as_bool);
    flag("enabled").unwrap_or(true) && !flag("disabled").unwrap_or(false)
}

/// An entry that starts a program.
fn program(name: &str, entry: &Value, slugs: &mut HashSet<String>) -> Result<ImportedServer, String> {
    let mut program = stdio::program(entry)?;
    let slug = slug_for(name, slugs).ok_or_else(|| "no slug can be made of its name".to_owned())?;
    let mut notes = Vec::new();
    if program.shown().contains("***") {
        notes.push("its arguments seem to hold a credential, which is stored with them, not as a secret".to_owned());
    }
    let secrets = stdio::secrets(entry, &mut program, &mut notes);
    Ok(ImportedServer {
        name: name.to_owned(),
        slug,
        reach: Reach::Stdio(program),
        protocol: ProtocolChoice::Auto,
        enabled: is_enabled(entry),
        secrets,
        notes,
    })
}

fn looks_like_credential(parameter: &str) -> bool {
    let lower = parameter.to_ascii_lowercase();
    ["key", "token", "secret", "password", "auth"].iter().any(|word| lower.contains(word))
}

/// `headers` as written, those of Continue's `requestOptions` and Codex's `http_headers` included.
fn headers_of(entry: &Value) -> Vec<(String, String)> {
    let places = [entry.get("headers"), entry.pointer("/requestOptions/headers"), entry.get("http_headers")];
    let objects = places.into_iter().flatten().filter_map(Value::as_object);
    objects.flatten().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

/// Letters, digits and single hyphens of the name; numbered if the file has two that come out the same.
fn slug_for(name: &str, taken: &mut HashSet<String>) -> Option<Slug> {
    let mut text = String::new();
    for letter in name.chars().map(|c| c.to_ascii_lowercase()) {
        match letter {
            'a'..='z' | '0'..='9' => text.push(letter),
            _ if !text.is_empty() && !text.ends_with('-') => text.push('-'),
            _ => {}
        }
    }
    text.truncate(slug::MAX_LEN - 4);
    let base = text.trim_end_matches('-');
    // A reserved word becomes a slug of its own with the usual ending.
    let candidates =
        [base.to_owned(), format!("{base}-mcp")].into_iter().chain((2..100).map(|n| format!("{base}-{n}")));
    let slug = candidates.filter_map(|text| Slug::parse(&text).ok()).find(|slug| !taken.contains(&**slug))?;
    taken.insert(slug.to_string());
    Some(slug)
}

/// Headers as secrets. Those that only describe the request are left out; those that cannot be sent are noted.
fn secrets(slug: &Slug, headers: &[(String, String)], notes: &mut Vec<String>) -> Vec<ImportedSecret> {
    const DESCRIBING: [&str; 4] = ["accept", "content-type", "user-agent", "mcp-protocol-version"];
    let own = derived_prefix(slug).to_ascii_uppercase();
    let mut found: Vec<ImportedSecret> = Vec::new();
    for (header, value) in headers {
        if DESCRIBING.iter().any(|name| header.eq_ignore_ascii_case(name)) {
            continue;
        }
        let authorization = header.eq_ignore_ascii_case("authorization");
        let bearer = value.get(..7).filter(|start| authorization && start.eq_ignore_ascii_case("bearer "));
        let (value, injection) = match bearer {
            Some(start) => (value.get(start.len()..).unwrap_or_default().trim(), Ok(Injection::Bearer)),
            None => (value.trim(), Injection::header(header)),
        };
        let Ok(injection) = injection else {
            notes.push(format!("the header {} cannot be a secret's place and was left out", printable(header)));
            continue;
        };
        let (value, variable) = match variable(value) {
            Some(variable) => (ImportedValue::Variable(variable.clone()), Some(variable)),
            None if check_value(value).is_ok() => (ImportedValue::Given(SecretString::from(value)), None),
            None => {
                notes.push(format!("the value of the header {} cannot be sent and was left out", printable(header)));
                continue;
            }
        };
        let derived = match &injection {
            Injection::Bearer => format!("{own}_TOKEN"),
            Injection::Header(_) if authorization => format!("{own}_AUTHORIZATION"),
            Injection::Header(name) | Injection::Env(name) => name_of(name),
        };
        // A variable's name is usually the name the vendor gave the credential.
        let variable =
            variable.filter(|name| check_secret_name(name).is_ok() && name.chars().all(|c| !c.is_lowercase()));
        let name = free_name(variable.unwrap_or(derived), &found);
        found.push(ImportedSecret { name, injection, value });
    }
    found
}

/// `X-Api-Key` is `API_KEY`.
fn name_of(header: &str) -> String {
    let upper: String =
        header.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    let short = upper.strip_prefix("X_").unwrap_or(&upper).trim_matches('_');
    match short.chars().next() {
        None => "HEADER".to_owned(),
        Some(first) if first.is_ascii_digit() => format!("_{short}"),
        Some(_) => short.to_owned(),
    }
}

fn free_name(name: String, taken: &[ImportedSecret]) -> String {
    let is_free = |name: &str| taken.iter().all(|secret| secret.name != name);
    if is_free(&name) {
        return name;
    }
    let mut numbered = (2..).map(|n: u32| format!("{name}_{n}"));
    numbered.find(|name| is_free(name)).unwrap_or(name)
}

/// The variable or input that a value stands for: `${X}`, `${env:X}`, `${input:x}`, `{env:X}`, `$X`, `${{ secrets.X }}`.
fn variable(value: &str) -> Option<String> {
    let inner = value
        .strip_prefix("${{")
        .and_then(|rest| rest.strip_suffix("}}"))
        .or_else(|| value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')))
        .or_else(|| value.strip_prefix("{env:").and_then(|rest| rest.strip_suffix('}')))
        .or_else(|| value.strip_prefix('$'))?
        .trim();
    let name = inner.rsplit([':', '.']).next().unwrap_or(inner);
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    (!name.is_empty() && name.chars().all(word)).then(|| name.to_owned())
}

fn printable(header: &str) -> String {
    header.chars().take(64).flat_map(char::escape_default).collect()
}
