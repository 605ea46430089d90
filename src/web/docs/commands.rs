//! The page of the command line, from its command tree.

use std::fmt::Write as _;

use clap::{Arg, Command};

use super::markdown::{code, text};

/// A section for every command, in the order of `--help`. Options that every command takes are listed once, first.
pub fn page(tree: &Command) -> String {
    let mut root = tree.clone();
    root.build();
    let mut out = String::from("\n## Options of every command {#global}\n\n");
    arguments(&mut out, root.get_arguments().filter(|arg| arg.is_global_set()));
    for command in root.get_subcommands() {
        section(&mut out, command, &[command.get_name()]);
    }
    out
}

fn section(out: &mut String, command: &Command, path: &[&str]) {
    if command.is_hide_set() {
        return;
    }
    let level = if path.len() == 1 { "##" } else { "###" };
    let _infallible = write!(out, "\n{level} {} {{#{}}}\n\n", path.join(" "), path.join("-"));
    if let Some(about) = command.get_long_about().or_else(|| command.get_about()) {
        let _infallible = write!(out, "{}\n\n", sentence(&about.to_string()));
    }
    let aliases: Vec<String> = command.get_visible_aliases().map(code).collect();
    if !aliases.is_empty() {
        let _infallible = write!(out, "Also {}.\n\n", aliases.join(", "));
    }
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let _infallible = write!(out, "```text usage\n{}\n```\n\n", usage.trim());
    arguments(out, command.get_arguments().filter(|arg| !arg.is_global_set()));
    let below: Vec<&Command> = command.get_subcommands().filter(|sub| !sub.is_hide_set()).collect();
    for sub in &below {
        let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
        let (name, id) = (sub.get_name(), format!("{}-{}", path.join("-"), sub.get_name()));
        let _infallible = writeln!(out, "- [{} {name}](#{id}): {}", path.join(" "), text(&about));
    }
    if let Some(examples) = command.get_after_help().map(ToString::to_string) {
        below_options(out, &examples);
    }
    for sub in below {
        section(out, sub, &[path, &[sub.get_name()]].concat());
    }
}

/// What stands below a command's options: its examples as something to copy, and the rest but the link to this page.
fn below_options(out: &mut String, said: &str) {
    for part in said.split("\n\n").filter(|part| !part.starts_with("Docs:")) {
        match part.strip_prefix("Examples:") {
            Some(lines) => {
                let lines: Vec<&str> = lines.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
                let _infallible = write!(out, "\n```sh examples\n{}\n```\n", lines.join("\n"));
            }
            None => {
                let _infallible = write!(out, "\n{}\n", sentence(part));
            }
        }
    }
}

fn arguments<'a>(out: &mut String, all: impl Iterator<Item = &'a Arg>) {
    let shown: Vec<&Arg> =
        all.filter(|arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str())).collect();
    if shown.is_empty() {
        return;
    }
    out.push_str("| Argument | What it does |\n|---|---|\n");
    for arg in shown {
        let _infallible = writeln!(out, "| {} | {} |", code(&form(arg)), meaning(arg));
    }
    out.push('\n');
}

/// How an argument is written.
fn form(arg: &Arg) -> String {
    let values = arg.get_value_names().unwrap_or_default().iter().map(|name| format!("<{name}>"));
    let value = if arg.get_action().takes_values() { values.collect::<Vec<_>>().join(" ") } else { String::new() };
    let flag = match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}"),
        (None, Some(long)) => format!("--{long}"),
        (Some(short), None) => format!("-{short}"),
        (None, None) => return value,
    };
    if value.is_empty() { flag } else { format!("{flag} {value}") }
}

fn meaning(arg: &Arg) -> String {
    let said = arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut parts = vec![sentence(&said)];
    let mut list = |word: &str, values: Vec<String>| {
        if !values.is_empty() {
            parts.push(format!("{word} {}.", values.join(", ")));
        }
    };
    let possible = arg.get_possible_values();
    let possible = possible.iter().filter(|value| !value.is_hide_set() && arg.get_action().takes_values());
    list("One of", possible.map(|value| code(value.get_name())).collect());
    if !arg.is_hide_default_value_set() && arg.get_action().takes_values() {
        list("Default", arg.get_default_values().iter().map(|value| code(&value.to_string_lossy())).collect());
    }
    list("Environment", arg.get_env().map(|name| code(&name.to_string_lossy())).into_iter().collect());
    list("Also", arg.get_visible_aliases().unwrap_or_default().iter().map(|one| code(&format!("--{one}"))).collect());
    parts.join(" ")
}

/// Help texts have no full stop of their own.
fn sentence(said: &str) -> String {
    let said = said.trim();
    let ended = said.is_empty() || said.ends_with(['.', '?', '!', ':']);
    text(said) + if ended { "" } else { "." }
}
