//! A program on the gateway's machine that is an MCP server over its standard input and output: the command line, what
//! its environment holds besides the allow-list and its secrets, and what its secrets are bound to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::{Result, err};

/// Longest command, argument or value, bytes.
pub const TEXT_BYTES: usize = 8192;
/// Most arguments or variables.
pub const MOST: usize = 256;
/// Variables that make a program run, load or look for something else than its command line says. Never a secret's
/// place and never taken from the API; a definition on the host may set them (who writes there decides anyway).
const STEERING: &[&str] = &[
    "PATH",
    "HOME",
    "TMPDIR",
    "IFS",
    "BASH_ENV",
    "SHELLOPTS",
    "BASHOPTS",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PERL5OPT",
    "PERL5LIB",
    "RUBYOPT",
    "RUBYLIB",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "GCONV_PATH",
];
const STEERING_FAMILIES: &[&str] = &["LD_", "DYLD_", "PYTHON", "NPM_CONFIG_", "AEROSTACK_", "WORKFLOW_"];

/// Who shares one running program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// All clients with the same secrets: the program can ask none of them anything.
    #[default]
    Shared,
    /// Each client that can be asked something has one of its own.
    Session,
}

impl Isolation {
    /// Whether it is the default.
    pub fn is_shared(&self) -> bool {
        *self == Isolation::Shared
    }
}

/// A command line and its surroundings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Program {
    /// The program: a path, or a name that is looked for in `PATH`.
    pub command: String,
    /// Its arguments. Never seen by a shell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Variables that are no secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Variables of the gateway's own environment that it gets besides those in `stdio.environment`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pass_env: Vec<String>,
    /// Where it runs; none: in a folder of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Who shares it while it runs.
    #[serde(default, skip_serializing_if = "Isolation::is_shared")]
    pub isolation: Isolation,
    /// It is defined by a file in `servers.d`, without which it is not started.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_file: bool,
}

/// Whether `name` steers what a program does.
pub fn is_steering(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    STEERING.contains(&upper.as_str()) || STEERING_FAMILIES.iter().any(|family| upper.starts_with(family))
}

fn is_variable(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    first && name.len() <= 128 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl Program {
    /// Whether it can be started at all: no empty command, no NUL, nothing beyond its limits.
    pub fn check(&self) -> Result<()> {
        let refuse = |what: String| Err(err::validation(what));
        if self.command.trim().is_empty() {
            return refuse("The server's command is empty".into());
        }
        if self.args.len() > MOST || self.env.len() + self.pass_env.len() > MOST {
            return refuse(format!("A server has at most {MOST} arguments and {MOST} variables"));
        }
        let mut texts = [&self.command].into_iter().chain(&self.args).chain(self.env.values()).chain(&self.cwd);
        if texts.any(|text| text.len() > TEXT_BYTES || text.contains('\0')) {
            return refuse(format!("A command, argument or value has at most {TEXT_BYTES} bytes, none of them zero"));
        }
        if let Some(name) = self.env.keys().chain(&self.pass_env).find(|name| !is_variable(name)) {
            let name: String = name.chars().take(64).flat_map(char::escape_default).collect();
            return refuse(format!("\"{name}\" is not a variable's name"));
        }
        match &self.cwd {
            Some(cwd) if !cwd.starts_with('/') => refuse("The server's working folder must be a full path".into()),
            _ => Ok(()),
        }
    }

    /// What its secrets are bound to: another command, argument or folder is another server.
    pub fn origin(&self) -> String {
        let mut digest = Sha256::new();
        for part in [&self.command].into_iter().chain(&self.args) {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        digest.update(u64::MAX.to_be_bytes());
        digest.update(self.cwd.as_deref().unwrap_or_default().as_bytes());
        let hex: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("stdio:{hex}")
    }

    /// The command line for people, without what looks like a credential in it.
    pub fn shown(&self) -> String {
        let mut line = vec![quoted(&self.command)];
        let mut hide_next = false;
        for arg in &self.args {
            let names_credential = looks_like_credential(arg);
            line.push(match arg.split_once('=') {
                _ if hide_next => "***".to_owned(),
                Some((name, _)) if names_credential => format!("{}=***", quoted(name)),
                _ => quoted(arg),
            });
            hide_next = !hide_next && names_credential && arg.starts_with('-') && !arg.contains('=');
        }
        line.join(" ")
    }
}

fn looks_like_credential(arg: &str) -> bool {
    let name = arg.split('=').next().unwrap_or_default().to_ascii_lowercase();
    ["key", "token", "secret", "passw", "auth", "credential", "header"].iter().any(|word| name.contains(word))
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let inner: String =
        word.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect();
    format!("'{}'", inner.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(command: &str, args: &[&str]) -> Program {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Program { command: command.into(), args, ..Program::default() }
    }

    #[test]
    fn another_command_line_is_another_origin() {
        let mut seen = std::collections::HashSet::new();
        for one in [
            program("a", &[]),
            program("a", &["b"]),
            program("a", &["b", "c"]),
            program("a", &["bc"]),
            program("ab", &["c"]),
            Program { cwd: Some("/x".into()), ..program("a", &[]) },
        ] {
            assert!(one.origin().starts_with("stdio:") && seen.insert(one.origin()), "{one:?}");
        }
        let same = Program { env: [("X".into(), "1".into())].into(), ..program("a", &["b"]) };
        assert_eq!(same.origin(), program("a", &["b"]).origin());
    }

    #[test]
    fn a_shown_command_line_has_no_credentials_in_it() {
        let shown = program("npx", &["-y", "server", "--api-key=CANARY", "--token", "CANARY", "a b", "it's"]).shown();
        assert_eq!(shown, r"npx -y server --api-key=*** --token *** 'a b' 'it'\''s'");
        assert!(!program("x", &["--header", "Authorization: CANARY"]).shown().contains("CANARY"));
    }

    #[test]
    fn what_cannot_be_started_is_refused() {
        let long = "x".repeat(TEXT_BYTES + 1);
        for bad in
            [program("", &[]), program(" ", &[]), program("a\0", &[]), program("a", &["\0"]), program("a", &[&long])]
        {
            assert!(bad.check().is_err());
        }
        let env = |name: &str| Program { env: [(name.to_owned(), String::new())].into(), ..program("a", &[]) };
        assert!(env("A_1").check().is_ok() && env("1A").check().is_err() && env("A=B").check().is_err());
        assert!(Program { cwd: Some("relative".into()), ..program("a", &[]) }.check().is_err());
    }

    #[test]
    fn variables_that_steer_a_program_are_known_in_every_spelling() {
        for name in ["PATH", "LD_PRELOAD", "NODE_OPTIONS", "PythonPath", "BASH_ENV", "WORKFLOW_SECRETS_KEY"] {
            assert!(is_steering(name), "{name}");
        }
        assert!(!is_steering("GITHUB_TOKEN") && !is_steering("LDAP_URL"));
    }
}
