//! Entries that start a command. A bridge to a remote server (`mcp-remote`, our own) is that server; anything else runs on the
//! person's own machine and is not taken over. Arguments are never repeated: they often hold credentials.

use serde_json::Value;

use crate::domain::clients::TOKEN_VARIABLE;

/// A remote server behind a local bridge.
pub(super) struct Remote {
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
}

/// The remote server that the entry's command is a bridge to.
pub(super) fn remote(entry: &Value) -> Option<Remote> {
    let args = arguments(entry);
    if let Some(own) = own_bridge(entry, &args) {
        return Some(own);
    }
    let bridge = args.iter().position(|arg| *arg == "mcp-remote" || arg.starts_with("mcp-remote@"))?;
    let rest = args.get(bridge + 1..)?;
    let url = rest.iter().find(|arg| arg.starts_with("https://") || arg.starts_with("http://"))?;
    let headers = rest.iter().zip(rest.iter().skip(1)).filter(|(flag, _)| **flag == "--header");
    let headers = headers.filter_map(|(_, header)| {
        let (name, value) = header.split_once(':')?;
        Some((name.trim().to_owned(), with_environment(value.trim(), entry)))
    });
    Some(Remote { url: (*url).to_owned(), headers: headers.collect() })
}

/// `aerostack connect URL`, with the token that its environment holds.
fn own_bridge(entry: &Value, args: &[&str]) -> Option<Remote> {
    let program = entry.get("command")?.as_str()?.rsplit(['/', '\\']).next()?;
    if !matches!(program, "aerostack" | "aerostack.exe") || args.first() != Some(&"connect") {
        return None;
    }
    let url = args.iter().find(|arg| arg.starts_with("https://") || arg.starts_with("http://"))?;
    let token = entry.get("env").and_then(|env| env.get(TOKEN_VARIABLE)).and_then(Value::as_str);
    let header = token.map(|token| ("Authorization".to_owned(), format!("Bearer {token}")));
    Some(Remote { url: (*url).to_owned(), headers: header.into_iter().collect() })
}

/// Why a command is not taken over.
pub(super) fn reason(entry: &Value) -> String {
    let first = match entry.get("command") {
        Some(Value::String(command)) => command.split_whitespace().next(),
        Some(Value::Array(words)) => words.first().and_then(Value::as_str),
        _ => None,
    };
    let program = first.and_then(|path| path.rsplit(['/', '\\']).next()).unwrap_or("a program");
    let program: String = program.chars().take(32).flat_map(char::escape_default).collect();
    format!("starts a program on your machine ({program}); only remote servers are imported")
}

/// The words after the program, of both ways to write them.
fn arguments(entry: &Value) -> Vec<&str> {
    let lists = [entry.get("command"), entry.get("args")].into_iter().flatten().filter_map(Value::as_array);
    lists.flatten().filter_map(Value::as_str).collect()
}

/// `${X}` in a header replaced by what the entry's own `env` says; other variables stay.
fn with_environment(value: &str, entry: &Value) -> String {
    let variables = [entry.get("env"), entry.get("environment")].into_iter().flatten().filter_map(Value::as_object);
    let mut out = value.to_owned();
    for (name, text) in variables.flatten() {
        out = out.replace(&format!("${{{name}}}"), text.as_str().unwrap_or_default());
    }
    out
}
