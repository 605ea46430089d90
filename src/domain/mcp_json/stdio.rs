//! Entries that start a command. A bridge to a remote server (`mcp-remote`, our own) is that server; anything else is a
//! program, whose variables are taken for its secrets. Arguments are never repeated: they often hold credentials.

use secrecy::SecretString;
use serde_json::Value;

use crate::domain::{
    clients::TOKEN_VARIABLE,
    injection::{Injection, Place, check_value_for},
    mcp_json::{ImportedSecret, ImportedValue, printable, variable},
    program::Program,
};

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

/// The program that the entry starts, without its variables.
pub(super) fn program(entry: &Value) -> Result<Program, String> {
    let (command, mut args) = match entry.get("command") {
        Some(Value::String(command)) => (command.as_str(), Vec::new()),
        Some(Value::Array(words)) => {
            let mut words = words.iter().filter_map(Value::as_str);
            (words.next().unwrap_or_default(), words.map(str::to_owned).collect())
        }
        _ => return Err("its command is no text".to_owned()),
    };
    let listed = entry.get("args").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    args.extend(listed.map(str::to_owned));
    let names_variable = |text: &str| text.contains("${") || text.contains("{env:");
    if names_variable(command) || args.iter().any(|arg| names_variable(arg)) {
        return Err("its command line names a variable: write it out, and add the server with `mcp add`".to_owned());
    }
    let cwd = entry.get("cwd").and_then(Value::as_str).filter(|cwd| cwd.starts_with('/')).map(str::to_owned);
    let program = Program { command: command.to_owned(), args, cwd, ..Program::default() };
    program.check().map_err(|refused| refused.message().to_owned())?;
    Ok(program)
}

/// Its variables: those that steer it stay plain settings, the others are taken for secrets.
pub(super) fn secrets(entry: &Value, program: &mut Program, notes: &mut Vec<String>) -> Vec<ImportedSecret> {
    let given = [entry.get("env"), entry.get("environment")].into_iter().flatten().filter_map(Value::as_object);
    let mut secrets = Vec::new();
    for (name, value) in given.flatten().filter_map(|(name, value)| Some((name, value.as_str()?))) {
        let named = variable(value);
        match Injection::variable(name) {
            Ok(injection) => {
                let value = match named {
                    Some(variable) => ImportedValue::Variable(variable),
                    None if check_value_for(Place::Environment, value).is_ok() => {
                        ImportedValue::Given(SecretString::from(value))
                    }
                    None => {
                        notes.push(format!("the variable {} has no value that can be kept", printable(name)));
                        continue;
                    }
                };
                secrets.push(ImportedSecret { name: name.clone(), injection, value });
            }
            Err(_) if named.is_none() => {
                notes.push(format!("the variable {} is kept as a plain setting", printable(name)));
                program.env.insert(name.clone(), value.to_owned());
            }
            Err(_) => notes.push(format!("the variable {} was left out", printable(name))),
        }
    }
    if program.check().is_err() {
        program.env.clear();
        notes.push("its plain variables cannot be kept and were left out".to_owned());
    }
    secrets
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
