//! `server.json`, the MCP Registry's form of a server, written: for exports and for the hub's own registry API.

use serde_json::{Value, json};

/// The schema that these documents follow.
pub const SCHEMA: &str = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json";
/// Longest description and title that the schema allows, characters.
const DESCRIPTION: usize = 100;

/// A header that a client must send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value with `{variables}`; none: the value is the secret.
    pub value: Option<String>,
    /// What it is.
    pub description: String,
    /// The server also works without it.
    pub optional: bool,
}

/// A server that is reached over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// `com.example/name`.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// What it does.
    pub description: String,
    /// Its version.
    pub version: String,
    /// Where it is reached; may have `{variables}`.
    pub url: String,
    /// Those variables, with what they are.
    pub variables: Vec<(&'static str, &'static str)>,
    /// It speaks HTTP+SSE only.
    pub sse: bool,
    /// What clients must send.
    pub headers: Vec<Header>,
}

fn short(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= DESCRIPTION {
        return line;
    }
    let cut: String = line.chars().take(DESCRIPTION - 1).collect();
    format!("{}…", cut.trim_end())
}

/// What every name of a host begins with when there is a namespace: `com.example.`.
pub fn prefix(host: &str) -> String {
    let whole = name(host, Some("-"), "");
    whole.strip_suffix("-/").unwrap_or(&whole).to_owned()
}

/// A name in the registry's form: the host backwards, a namespace if there is one, and the short name.
pub fn name(host: &str, namespace: Option<&str>, short: &str) -> String {
    let is_address = host.contains(':') || host.split('.').all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    let mut parts: Vec<&str> = if is_address { vec!["localhost"] } else { host.rsplit('.').collect() };
    parts.extend(namespace);
    parts.retain(|part| !part.is_empty());
    format!("{}/{short}", parts.join("."))
}

impl Remote {
    /// The document.
    pub fn json(&self) -> Value {
        let headers: Vec<Value> = self.headers.iter().map(Header::json).collect();
        let mut remote = json!({ "type": if self.sse { "sse" } else { "streamable-http" }, "url": self.url });
        if let Some(members) = remote.as_object_mut() {
            if !headers.is_empty() {
                members.insert("headers".into(), headers.into());
            }
            if !self.variables.is_empty() {
                let described = |(name, what): &(&str, &str)| {
                    ((*name).to_owned(), json!({ "description": what, "isRequired": true }))
                };
                members.insert("variables".into(), Value::Object(self.variables.iter().map(described).collect()));
            }
        }
        json!({
            "$schema": SCHEMA, "name": self.name, "title": short(&self.title), "description": short(&self.description),
            "version": self.version, "remotes": [remote]
        })
    }
}

impl Header {
    fn json(&self) -> Value {
        let mut header = json!({ "name": self.name, "description": self.description, "isSecret": true });
        if let Some(members) = header.as_object_mut() {
            members.insert("isRequired".into(), (!self.optional).into());
            members.extend(self.value.as_ref().map(|value| ("value".to_owned(), value.as_str().into())));
        }
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::mcp_json;

    #[test]
    fn names_are_the_host_backwards() {
        assert_eq!(name("mcp.example.com", Some("acme"), "crm-skill"), "com.example.mcp.acme/crm-skill");
        assert_eq!(name("127.0.0.1", Some("acme"), "x"), "localhost.acme/x");
        assert_eq!(name("[::1]", None, "x"), "localhost/x");
        assert_eq!(name("localhost", None, "x"), "localhost/x");
    }

    #[test]
    fn what_is_exported_can_be_imported() {
        let token = Header {
            name: "Authorization".into(),
            value: Some("Bearer {GITHUB_TOKEN}".into()),
            description: "A token".into(),
            optional: false,
        };
        let remote = Remote {
            name: "com.example/github-mcp".into(),
            title: "GitHub".into(),
            description: format!("Issues.\n{}", "x".repeat(200)),
            version: "1.0.0".into(),
            url: "https://mcp.example.com/mcp".into(),
            variables: Vec::new(),
            sse: false,
            headers: vec![token],
        };
        let document = remote.json();
        assert_eq!(document["description"].as_str().unwrap().chars().count(), DESCRIPTION);
        let import = mcp_json::read(&document.to_string()).unwrap();
        assert_eq!(&*import.servers[0].slug, "github-mcp");
        assert_eq!(import.servers[0].secrets[0].name, "GITHUB_TOKEN");
    }
}
