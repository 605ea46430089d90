//! The clients' own configurations, from what `connect` and the dashboard write.

use std::fmt::Write as _;

use super::markdown::{code, text};
use crate::domain::clients::{Connection, snippets};

/// A workspace as an example; no token, so that each client's own way of reading it from the environment is shown.
const EXAMPLE: Connection<'static> =
    Connection { slug: "engineering", url: "https://mcp.example.com/ws/engineering", token: None };

/// A section for every client.
pub fn page() -> String {
    let mut out = String::new();
    for snippet in snippets(&EXAMPLE) {
        let _infallible = write!(out, "\n## {} {{#{}}}\n\n", text(snippet.title), snippet.client);
        if let Some(file) = snippet.file {
            let _infallible = write!(out, "Belongs into {}. ", code(file));
        }
        let _infallible = write!(
            out,
            "Short name: {}.\n\n```{} {}\n{}\n```\n",
            code(snippet.client),
            snippet.language,
            snippet.file.unwrap_or(snippet.language),
            snippet.text.trim_end(),
        );
    }
    out
}
