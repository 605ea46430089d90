//! Completions while something is typed: commands and options from the command tree, and names that only the gateway knows
//! (workspaces, servers, tokens). A shell asks this program with a variable of its own set; nothing is said when the gateway
//! does not answer soon, because nobody asked it anything.

use std::{ffi::OsStr, time::Duration};

use actix_web::rt::{System, time::timeout};
use clap::{Arg, Command, CommandFactory as _};
use clap_complete::{
    CompleteEnv, Shell,
    engine::{ArgValueCompleter, CompletionCandidate},
    env::Shells,
};
use serde_json::Value;

use super::{
    Cli,
    args::GlobalArgs,
    client::Client,
    failure::{Failure, Outcome},
    session::Session,
};

/// A shell sets it to its own name when it asks.
const ASKED: &str = "AEROSTACK_COMPLETE";
/// Longest wait for the gateway: somebody has pressed a key.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Names of tokens are asked for of this many workspaces.
const WORKSPACES: usize = 20;
/// Names that are offered at once.
const MOST: usize = 200;

/// Answers a shell that asks, and ends; comes back if none does.
pub fn if_asked() {
    // Who answers takes the variable away, so that nothing that is started meanwhile answers, too.
    let for_bash = std::env::var(ASKED).is_ok_and(|shell| shell == "bash");
    let tree = || with_names(Cli::command(), "", for_bash);
    CompleteEnv::with_factory(tree).var(ASKED).bin("aerostack").complete();
}

/// What a shell reads once, so that it asks from then on.
pub fn registration(shell: Shell) -> Outcome<Vec<u8>> {
    let (name, mut script) = (shell.to_string(), Vec::new());
    let shells = Shells::builtins();
    let completer = shells.completer(&name).ok_or_else(|| Failure::usage(format!("{name} has no completions")))?;
    completer.write_registration(ASKED, "aerostack", "aerostack", "aerostack", &mut script)?;
    Ok(script)
}

/// What the gateway knows names of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Workspaces,
    Servers,
    TokenNames,
    TokenIds,
}

/// What an argument names.
fn kind_of(parent: &str, command: &str, argument: &str) -> Option<Kind> {
    match argument {
        "workspace" => Some(Kind::Workspaces),
        "server" => Some(Kind::Servers),
        "slug" if parent == "workspace" && command != "create" => Some(Kind::Workspaces),
        "slug" if parent == "mcp" && command != "add" => Some(Kind::Servers),
        "name" | "id" if parent == "token" && command != "create" => {
            Some(if argument == "id" { Kind::TokenIds } else { Kind::TokenNames })
        }
        _ => None,
    }
}

/// The command tree, with the names that the gateway knows.
fn with_names(command: Command, parent: &str, for_bash: bool) -> Command {
    let name = command.get_name().to_owned();
    let named = |argument: Arg| match kind_of(parent, &name, argument.get_id().as_str()) {
        Some(kind) => argument.add(ArgValueCompleter::new(move |typed: &OsStr| kind.candidates(typed, for_bash))),
        None => argument,
    };
    command.mut_args(named).mut_subcommands(|sub| with_names(sub, &name, for_bash))
}

impl Kind {
    fn candidates(self, typed: &OsStr, for_bash: bool) -> Vec<CompletionCandidate> {
        let Some(typed) = typed.to_str() else { return Vec::new() };
        let known = self.known().unwrap_or_default();
        let fitting = known.into_iter().filter(|(name, _)| name.starts_with(typed)).take(MOST);
        let candidate = |(name, help): (String, Option<String>)| {
            CompletionCandidate::new(if for_bash { escaped(&name) } else { name }).help(help.map(Into::into))
        };
        fitting.map(candidate).collect()
    }

    /// Names with what explains them.
    fn known(self) -> Outcome<Vec<(String, Option<String>)>> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let global = GlobalArgs {
            profile: variable("AEROSTACK_PROFILE"),
            gateway: variable("AEROSTACK_URL"),
            namespace: variable("AEROSTACK_NAMESPACE"),
            quiet: true,
            ..GlobalArgs::default()
        };
        let mut session = Session::open(global)?;
        System::new().block_on(async {
            let ask = async { self.ask(session.client()?).await };
            timeout(PATIENCE, ask).await.unwrap_or_else(|_elapsed| Ok(Vec::new()))
        })
    }

    async fn ask(self, client: &Client) -> Outcome<Vec<(String, Option<String>)>> {
        let path = if self == Kind::Servers { "mcp-servers" } else { "workspaces" };
        let slugs: Vec<String> =
            client.list::<Value>(&[path], vec![]).await?.iter().filter_map(|one| text(one, "slug")).collect();
        if matches!(self, Kind::Workspaces | Kind::Servers) {
            return Ok(slugs.into_iter().map(|slug| (slug, None)).collect());
        }
        let mut tokens = Vec::new();
        for slug in slugs.iter().take(WORKSPACES) {
            for token in client.list::<Value>(&["workspaces", slug.as_str(), "tokens"], vec![]).await? {
                let active = token.get("active").and_then(Value::as_bool).unwrap_or_default();
                let (Some(id), Some(name), true) = (text(&token, "id"), text(&token, "name"), active) else { continue };
                tokens.push(match self {
                    Kind::TokenIds => (id, Some(name)),
                    _ => (name, Some(slug.clone())),
                });
            }
        }
        Ok(tokens)
    }
}

fn text(object: &Value, member: &str) -> Option<String> {
    object.get(member)?.as_str().map(str::to_owned)
}

/// As it is typed in bash, which takes what it gets as it is.
fn escaped(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-.:@/".contains(c);
    name.chars().flat_map(|c| (!plain(c)).then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_word_in_bash_and_nothing_in_it_is_run() {
        assert_eq!(escaped("Alice Chen"), "Alice\\ Chen");
        assert_eq!(escaped("$(touch x); a'b"), "\\$\\(touch\\ x\\)\\;\\ a\\'b");
        assert_eq!(escaped("eng-full"), "eng-full");
    }

    #[test]
    fn arguments_that_name_what_the_gateway_has_are_known() {
        assert!(kind_of("workspace", "use", "slug") == Some(Kind::Workspaces));
        assert!(kind_of("workspace", "create", "slug").is_none() && kind_of("mcp", "add", "slug").is_none());
        assert!(
            kind_of("token", "revoke", "name") == Some(Kind::TokenNames) && kind_of("key", "revoke", "id").is_none()
        );
    }
}
