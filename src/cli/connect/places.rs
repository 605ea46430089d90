//! Where each client keeps its configuration.

use std::path::PathBuf;

use etcetera::BaseStrategy as _;

use super::file;
use crate::{
    cli::failure::{Failure, Outcome},
    domain::clients::Snippet,
};

/// Where a file is: below the home folder, below the folder for settings, or below the current one.
#[derive(Clone, Copy)]
enum Base {
    Home,
    Settings,
}

/// Client, its file for this user, its file for a project.
type Places = (&'static str, Option<(Base, &'static str)>, Option<&'static str>);

/// Folder of settings on this system, as editors see it (`~/.config`, `~/Library/Application Support`, `%APPDATA%`).
#[cfg(target_os = "macos")]
const CLAUDE: (Base, &str) = (Base::Home, "Library/Application Support/Claude/claude_desktop_config.json");
#[cfg(not(target_os = "macos"))]
const CLAUDE: (Base, &str) = (Base::Settings, "Claude/claude_desktop_config.json");
#[cfg(target_os = "macos")]
const CODE: (Base, &str) = (Base::Home, "Library/Application Support/Code/User/mcp.json");
#[cfg(not(target_os = "macos"))]
const CODE: (Base, &str) = (Base::Settings, "Code/User/mcp.json");

const PLACES: &[Places] = &[
    ("cursor", Some((Base::Home, ".cursor/mcp.json")), Some(".cursor/mcp.json")),
    ("vscode", Some(CODE), Some(".vscode/mcp.json")),
    ("claude-code-file", Some((Base::Home, ".claude.json")), Some(".mcp.json")),
    ("claude-desktop", Some(CLAUDE), None),
    ("mcp-remote", Some(CLAUDE), None),
    ("windsurf", Some((Base::Home, ".codeium/windsurf/mcp_config.json")), None),
    ("antigravity", Some((Base::Home, ".gemini/config/mcp_config.json")), None),
    ("zed", Some((Base::Settings, "zed/settings.json")), Some(".zed/settings.json")),
    ("cline", Some((Base::Home, ".cline/data/settings/cline_mcp_settings.json")), None),
    ("codex", Some((Base::Home, ".codex/config.toml")), Some(".codex/config.toml")),
    ("gemini", Some((Base::Home, ".gemini/settings.json")), Some(".gemini/settings.json")),
    ("qwen", Some((Base::Home, ".qwen/settings.json")), Some(".qwen/settings.json")),
    ("opencode", Some((Base::Settings, "opencode/opencode.json")), Some("opencode.json")),
    ("copilot-cli", Some((Base::Home, ".copilot/mcp-config.json")), Some(".mcp.json")),
    ("kiro", Some((Base::Home, ".kiro/settings/mcp.json")), Some(".kiro/settings/mcp.json")),
    ("kimi", None, Some(".kimi-code/mcp.json")),
    ("grok", None, Some(".grok/config.toml")),
];

/// The file of `client`: this user's, or this project's.
pub(super) fn place(client: &str, project: bool) -> Outcome<PathBuf> {
    let no_file = || {
        Failure::usage(format!("{client} has no file that could be written here"))
            .with_hint(format!("aerostack connect --print {client}, or name its file with --file"))
    };
    let (_, user, of_project) = PLACES.iter().find(|(name, ..)| *name == client).ok_or_else(no_file)?;
    if project {
        return of_project.map(PathBuf::from).ok_or_else(|| {
            Failure::usage(format!("{client} has no file for a project")).with_hint("leave --project out")
        });
    }
    let Some((base, path)) = user else {
        return Err(Failure::usage(format!("{client} has no file for a user")).with_hint("add --project"));
    };
    below(*base, path).map_err(|failure| failure.with_hint("name the file: --file"))
}

fn below(base: Base, path: &str) -> Outcome<PathBuf> {
    let folders = etcetera::choose_base_strategy()
        .map_err(|error| Failure::local(format!("cannot find the home folder: {error}")))?;
    Ok(match base {
        Base::Home => folders.home_dir().join(path),
        Base::Settings => folders.config_dir().join(path),
    })
}

/// Every client's file that is there: this user's and this project's.
pub(in crate::cli) fn files() -> Vec<(&'static str, PathBuf)> {
    let mut found: Vec<(&str, PathBuf)> = Vec::new();
    for (client, user, project) in PLACES {
        let user = user.and_then(|(base, path)| below(base, path).ok());
        for path in user.into_iter().chain(project.map(PathBuf::from)).map(file::real) {
            if path.is_file() && !found.iter().any(|(_, known)| *known == path) {
                found.push((*client, path));
            }
        }
    }
    found
}

/// The entry as it is written to a file: a client that starts us needs to know where we are.
pub(super) fn for_file(mut snippet: Snippet) -> Snippet {
    if snippet.client == "claude-desktop"
        && let Some(own) = std::env::current_exe().ok().and_then(|path| path.to_str().map(str::to_owned))
    {
        let quoted = serde_json::Value::from(own).to_string();
        snippet.text = snippet.text.replace("\"command\": \"aerostack\"", &format!("\"command\": {quoted}"));
    }
    snippet
}
