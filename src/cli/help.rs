//! `help`: of a command, or about something that belongs to no command; `completion` and `man`, made from the same
//! command tree.

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{
    Cli, Command, complete,
    failure::{Failure, Outcome},
    output::Terminal,
    profile::ProfileStore,
};
use crate::domain::near;

/// Runnable examples of `help`.
pub const EXAMPLES: &str = "Examples:
  aerostack help exit-codes
  aerostack help environment
  aerostack help output
  aerostack help workspace token create";
/// Runnable examples of `completion`.
pub const COMPLETION_EXAMPLES: &str = "Examples:
  aerostack completion bash > /etc/bash_completion.d/aerostack
  aerostack completion zsh > \"${fpath[1]}/_aerostack\"
  aerostack completion fish > ~/.config/fish/completions/aerostack.fish";
/// Runnable examples of `man`.
pub const MAN_EXAMPLES: &str = "Examples:
  aerostack man /usr/local/share/man/man1";

const EXIT_CODES: &str = "\
Exit codes
  0    done
  1    failure
  2    the command makes no sense as typed (audit verify, backup verify: it could not be checked)
  3    no such thing
  4    not logged in, or the API key is not accepted
  5    forbidden for this role or plan
  6    conflict: it is there already, or changed meanwhile
  7    rate limited: come back later
  8    the gateway is unreachable or failing
  130  interrupted";

const ENVIRONMENT: &str = "\
Environment of the command line. A flag wins over a variable, a variable over the profile.
  AEROSTACK_URL         gateway to talk to (--gateway)
  AEROSTACK_API_KEY     API key, instead of the saved one
  AEROSTACK_PROFILE     saved gateway to use (--profile)
  AEROSTACK_WORKSPACE   workspace that is meant when none is named (--workspace)
  AEROSTACK_OUTPUT      output format (--output)
  AEROSTACK_TOKEN       workspace token, for connect
  AEROSTACK_CONFIG_DIR  folder of saved gateways and keys [default: $XDG_CONFIG_HOME/aerostack, ~/.config/aerostack]
  AEROSTACK_NO_UPDATE_NOTICE   do not say that the gateway has another version
  NO_COLOR, CLICOLOR_FORCE, TERM=dumb   colours (--color)
  SSL_CERT_FILE         certificates to trust besides the public ones

Environment of the gateway (serve)
  AEROSTACK_<SECTION>_<KEY>   any setting of config.toml, for example AEROSTACK_LIMITS_REQUESTS_PER_MINUTE
  WORKFLOW_SECRETS_KEY[_FILE|_COMMAND]   key of the vault; the same with _PREVIOUS while it is changed";

const OUTPUT: &str = "\
Results go to stdout, hints and warnings to stderr.
  -o table   for people (the default): no borders, times like `2 min ago` (--absolute: exact)
  -o json    the admin API's own objects, lists as arrays, times in RFC 3339; also --json
  -o csv     RFC 4180 with a head line, exact times; cells that a spreadsheet would take for a formula begin with '
  -o yaml    the same objects as json
             (logs tail, which has no end: one json object a line, one yaml element after the other)
  -o token   only the raw token (token create, token rotate)
  -o CLIENT  the configuration of a client with the new token: cursor, vscode, claude-code, … (token create, token rotate)
  --fields a,b   only these columns, by their names in CSV
  --no-headers   no head line in tables and CSV
  -q         only the essential value (an id, a slug, a token)
  With -o json a failure is a problem document (RFC 9457) on stderr.";

const TOPICS: [(&str, &str); 3] = [("exit-codes", EXIT_CODES), ("environment", ENVIRONMENT), ("output", OUTPUT)];

/// Where a gateway is, unless something else is said.
const AT_HOME: &str = "http://127.0.0.1:8787";

/// The command tree as `--help` shows it: every command's help ends with a link to its part of the documentation, which
/// the gateway that is used serves itself.
pub fn command() -> clap::Command {
    let named = std::env::var("AEROSTACK_URL").ok().filter(|url| url.starts_with("http"));
    let saved = || {
        let mut saved = ProfileStore::of_this_user().ok()?.profiles().ok()?;
        saved.profiles.remove(saved.current.as_deref()?).map(|profile| profile.url)
    };
    let gateway = named.or_else(saved).unwrap_or_else(|| AT_HOME.to_owned());
    linked(Cli::command(), &format!("{}/docs/cli", gateway.trim_end_matches('/')), "")
}

fn linked(command: clap::Command, docs: &str, path: &str) -> clap::Command {
    let said = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let part = if path.is_empty() { String::new() } else { format!("#{path}") };
    command.after_help(format!("{said}\n\nDocs: {docs}{part}")).mut_subcommands(|sub| {
        let path = if path.is_empty() { sub.get_name().to_owned() } else { format!("{path}-{}", sub.get_name()) };
        linked(sub, docs, &path)
    })
}

/// What `help` takes.
#[derive(Debug, Args)]
pub struct HelpArgs {
    /// A command, or exit-codes, environment, output
    #[arg(value_name = "TOPIC")]
    topic: Vec<String>,
}

/// What `completion` takes.
#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// For which shell
    shell: Shell,
}

/// What `man` takes.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Folder that the pages are written to
    folder: PathBuf,
}

/// Shows the help that was asked for.
fn help(terminal: &mut Terminal, args: &HelpArgs) -> Outcome {
    let mut root = command();
    if let [only] = args.topic.as_slice()
        && let Some((_, text)) = TOPICS.iter().find(|(name, _)| name == only)
    {
        return terminal.value(text);
    }
    root.build();
    let mut command = &mut root;
    for word in &args.topic {
        let known: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
        let topics = TOPICS.iter().map(|(name, _)| *name);
        let all: Vec<&str> = known.iter().map(String::as_str).chain(topics).collect();
        command = match command.find_subcommand_mut(word) {
            Some(sub) => sub,
            None => return Err(Failure::not_found(near::no_such("help topic", word, all)).with_hint("aerostack help")),
        };
    }
    let text = command.render_long_help().to_string();
    terminal.value(text.trim_end())
}

/// Prints what makes a shell ask this program for completions.
fn completion(terminal: &mut Terminal, args: &CompletionArgs) -> Outcome {
    let script = complete::registration(args.shell)?;
    terminal.value(String::from_utf8_lossy(&script).trim_end())
}

/// Writes a manual page for every command.
fn man(terminal: &mut Terminal, args: &ManArgs) -> Outcome {
    let cannot = |error: std::io::Error| Failure::local(format!("cannot write to {}: {error}", args.folder.display()));
    std::fs::create_dir_all(&args.folder).map_err(cannot)?;
    let mut root = linked(Cli::command(), &format!("{AT_HOME}/docs/cli"), "");
    root.build();
    let pages = pages(&args.folder, &root, "aerostack".to_owned()).map_err(cannot)?;
    let sentence = format!("Wrote {pages} manual pages to {}.", args.folder.display());
    terminal.done(&sentence, &serde_json::json!({ "pages": pages }), &pages.to_string())
}

fn pages(folder: &Path, command: &clap::Command, name: String) -> std::io::Result<usize> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).title(name.clone()).render(&mut page)?;
    std::fs::write(folder.join(format!("{name}.1")), page)?;
    let mut written = 1;
    for sub in command.get_subcommands() {
        written += pages(folder, sub, format!("{name}-{}", sub.get_name()))?;
    }
    Ok(written)
}

/// Whether a command needs no gateway and no profile: it is about the command line itself.
pub fn is_meant(command: &Command) -> bool {
    matches!(command, Command::Help(_) | Command::Completion(_) | Command::Man(_))
}

/// Runs such a command.
pub fn run(terminal: &mut Terminal, command: &Command) -> Outcome {
    match command {
        Command::Help(args) => help(terminal, args),
        Command::Completion(args) => completion(terminal, args),
        Command::Man(args) => man(terminal, args),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(command: &clap::Command, path: &str, out: &mut Vec<(String, String)>) {
        out.push((path.to_owned(), command.get_after_help().map(ToString::to_string).unwrap_or_default()));
        for sub in command.get_subcommands() {
            all(sub, &format!("{path} {}", sub.get_name()), out);
        }
    }

    #[test]
    fn every_help_ends_with_its_part_of_the_documentation() {
        let mut found = Vec::new();
        all(&linked(Cli::command(), "http://g.example/docs/cli", ""), "", &mut found);
        assert!(found.len() > 60, "{} commands", found.len());
        for (path, help) in found {
            let part = path.trim().replace(' ', "-");
            let link = format!("\n\nDocs: http://g.example/docs/cli{}{part}", if part.is_empty() { "" } else { "#" });
            assert!(help.starts_with("Examples:") && help.ends_with(&link), "{path}: {help}");
        }
    }
}
