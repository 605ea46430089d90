//! What editors on this machine are told about the gateway: which of their files name it, whether the entry is one that
//! the editor takes, and whether a token that is written there still works.

use std::path::Path;

use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use super::{
    Ask, Target,
    connect::{self, MESSAGE_MIB},
    doctor,
    session::Session,
};
use crate::{admin::dto::Check, domain::mcp_json};

/// How deep an entry may lie in a file.
const DEPTH: usize = 6;

/// An entry of a file that names the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    url: Url,
    has_type: bool,
    token: Option<String>,
}

/// Looks at the files of all editors that are there.
pub fn look(session: &Session, ask: Ask) -> Vec<Check> {
    let mut checks = Vec::new();
    for (client, path) in connect::client_files() {
        let Ok(text) = connect::read_client_file(&path) else {
            checks.push(Check::warn(client, format!("{} cannot be read", path.display()), "look at who may read it"));
            continue;
        };
        let Some(file) = parsed(&path, &text) else {
            checks.push(Check::warn(
                client,
                format!("{} is not readable", path.display()),
                "repair it: the editor cannot read it either",
            ));
            continue;
        };
        let mut entries = Vec::new();
        collect(&file, session.url(), DEPTH, &mut entries);
        checks.extend(entries.into_iter().map(|entry| judge(client, &path, entry, ask)));
    }
    checks
}

fn parsed(path: &Path, text: &str) -> Option<Value> {
    if path.extension().is_some_and(|kind| kind == "toml") {
        return toml::from_str(text).ok();
    }
    match text.trim() {
        "" => Some(Value::Null),
        _ => serde_json::from_str(&mcp_json::strict(text)).ok(),
    }
}

/// The entries below `value` whose URL is one of this gateway's.
fn collect(value: &Value, gateway: &Url, depth: usize, found: &mut Vec<Entry>) {
    let below: Vec<&Value> = match value {
        Value::Object(members) => {
            let url = ["url", "serverUrl", "httpUrl"].iter().find_map(|name| members.get(*name)?.as_str());
            let bridged = members.get("args").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            let url = url.into_iter().chain(bridged).find_map(|text| ours(text, gateway));
            if let Some(url) = url {
                let header = ["headers", "http_headers"]
                    .iter()
                    .find_map(|name| members.get(*name)?.get("Authorization")?.as_str());
                let token =
                    header.and_then(|value| value.strip_prefix("Bearer ")).filter(|token| token.starts_with("mwt_"));
                found.push(Entry { url, has_type: members.contains_key("type"), token: token.map(str::to_owned) });
                return;
            }
            members.values().collect()
        }
        Value::Array(items) => items.iter().collect(),
        _ => return,
    };
    if depth > 0 {
        below.into_iter().for_each(|inner| collect(inner, gateway, depth - 1, found));
    }
}

fn ours(text: &str, gateway: &Url) -> Option<Url> {
    Url::parse(text).ok().filter(|url| url.origin() == gateway.origin() && url.path().contains("/ws/"))
}

fn judge(client: &str, path: &Path, entry: Entry, ask: Ask) -> Check {
    let Entry { url, has_type, token } = entry;
    if client == "claude-code-file" && !has_type {
        return Check::fail(
            client,
            format!("{} has an entry without \"type\", which Claude Code refuses", path.display()),
            format!("aerostack connect --install claude-code-file {url}"),
        );
    }
    let Some(token) = token else {
        return Check::ok(client, format!("{} points to {url}", path.display()));
    };
    let target = Target { url, token: SecretString::from(token), message_bytes: MESSAGE_MIB << 20 };
    let check = doctor::tools(&target, ask, &format!("written in {}", path.display()));
    Check { about: client.to_owned(), ..check }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_are_found_in_every_editors_form() {
        let gateway: Url = "https://mcp.example.com".parse().unwrap();
        let file = json!({
            "mcpServers": {
                "eng": {"url": "https://mcp.example.com/ws/eng/sse", "headers": {"Authorization": "Bearer mwt_x"}},
                "other": {"url": "https://elsewhere.example.com/ws/eng"},
                "bridge": {"command": "aerostack", "args": ["connect", "https://mcp.example.com/ws/eng"]}
            },
            "mcp": {"sales": {"type": "remote", "url": "https://mcp.example.com/ws/sales",
                "headers": {"Authorization": "Bearer ${AEROSTACK_TOKEN}"}}}
        });
        let mut found = Vec::new();
        collect(&file, &gateway, DEPTH, &mut found);
        let shown: Vec<_> = found.iter().map(|one| (one.url.path(), one.has_type, one.token.as_deref())).collect();
        assert_eq!(shown, [("/ws/sales", true, None), ("/ws/eng", false, None), ("/ws/eng/sse", false, Some("mwt_x"))]);
        let toml = "[mcp_servers.eng]\nurl = \"https://mcp.example.com/ws/eng\"\n[mcp_servers.eng.http_headers]\nAuthorization = \"Bearer mwt_y\"\n";
        let mut found = Vec::new();
        collect(&parsed(Path::new("config.toml"), toml).unwrap(), &gateway, DEPTH, &mut found);
        assert_eq!(found[0].token.as_deref(), Some("mwt_y"));
        assert!(
            parsed(Path::new("mcp.json"), "{").is_none() && parsed(Path::new("mcp.json"), " ") == Some(Value::Null)
        );
    }
}
