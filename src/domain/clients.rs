//! How each MCP client is told about a workspace: files to paste into, commands to run, links that install. One
//! generator for the answer that shows a new token, the command line, the dashboard and the invitation page.
//!
//! With a token the texts hold it, so they are made only where it is shown once and never stored. Without one they
//! hold what the client in question reads from its environment.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::{Value, json};

mod jsonc;
mod merge;
mod ordered;
mod texts;

pub use merge::merge;

/// The environment variable that stands for the token.
pub const TOKEN_VARIABLE: &str = "AEROSTACK_TOKEN";
/// Stands for the token where a client reads no environment.
pub const TOKEN_PLACEHOLDER: &str = "YOUR_TOKEN";

/// JavaScript's `encodeURIComponent`.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// What a client connects to.
#[derive(Clone, Copy)]
pub struct Connection<'a> {
    /// The workspace; also the name of the entry.
    pub slug: &'a str,
    /// Its gateway URL.
    pub url: &'a str,
    /// The token to write down; `None`: the client's way of reading it from the environment.
    pub token: Option<&'a str>,
}

impl std::fmt::Debug for Connection<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("slug", &self.slug).field("url", &self.url).finish_non_exhaustive()
    }
}

impl Connection<'_> {
    /// The header's value; `placeholder` is how the client at hand writes the environment variable.
    fn bearer(&self, placeholder: &str) -> String {
        format!("Bearer {}", self.token.unwrap_or(placeholder))
    }
}

/// How one client is configured.
#[derive(Clone, PartialEq, Serialize)]
pub struct Snippet {
    /// Its short name, unlike every other's.
    pub client: &'static str,
    /// Its name.
    pub title: &'static str,
    /// The file the text belongs to, if it is for a file.
    pub file: Option<&'static str>,
    /// `json`, `toml`, `yaml`, `shell`, `python` or `typescript`.
    pub language: &'static str,
    /// What to paste or run.
    pub text: String,
    /// A link that installs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub install_url: Option<String>,
}

impl std::fmt::Debug for Snippet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The text may hold a token.
        f.debug_struct("Snippet").field("client", &self.client).finish_non_exhaustive()
    }
}

/// The block most clients take: `mcpServers` with `type`, `url` and `headers`.
pub fn mcp_json(to: &Connection<'_>) -> Value {
    let entry = json!({
        "type": "http",
        "url": to.url,
        "headers": { "Authorization": to.bearer(TOKEN_PLACEHOLDER) },
    });
    json!({ "mcpServers": { to.slug: entry } })
}

/// All clients, the most used first.
pub fn snippets(to: &Connection<'_>) -> Vec<Snippet> {
    texts::all(to)
}

/// One client, by its short name.
pub fn snippet(client: &str, to: &Connection<'_>) -> Option<Snippet> {
    texts::all(to).into_iter().find(|snippet| snippet.client.eq_ignore_ascii_case(client))
}

/// The short names.
pub fn names() -> Vec<&'static str> {
    let anywhere = Connection { slug: "w", url: "http://localhost/ws/w", token: None };
    texts::all(&anywhere).into_iter().map(|snippet| snippet.client).collect()
}

fn component(text: &str) -> String {
    utf8_percent_encode(text, COMPONENT).to_string()
}

#[cfg(test)]
mod tests;
