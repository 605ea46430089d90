//! `connect --print`, `--install` and `--save-token`, as a person types them.

use std::{cell::RefCell, io, path::Path, rc::Rc};

use clap::Parser as _;

use super::*;
use crate::{
    cli::{Cli, Command, profile::ProfileStore},
    domain::token,
};

const URL: &str = "https://mcp.example.com/ws/engineering";

#[derive(Clone, Default)]
struct Sink(Rc<RefCell<Vec<u8>>>);
impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
impl Sink {
    fn text(&self) -> String {
        anstream::adapter::strip_str(&String::from_utf8(self.0.borrow().clone()).unwrap()).to_string()
    }
}

struct Said {
    out: String,
    err: String,
    outcome: Outcome<Option<Target>>,
}

fn connect(home: &Path, words: &[&str]) -> Said {
    let cli = Cli::try_parse_from(["aerostack", "connect"].iter().chain(words)).unwrap();
    let Command::Connect(args) = cli.command else { panic!("another command") };
    let (out, err) = (Sink::default(), Sink::default());
    let mut terminal = Terminal::writing_to(Box::new(out.clone()), Box::new(err.clone()), &cli.global);
    let session = Session::at(cli.global, ProfileStore::at(home.join("aerostack"))).unwrap();
    let outcome = run(&session, &mut terminal, *args);
    if let Err(failure) = &outcome {
        terminal.failure(failure);
    }
    Said { out: out.text(), err: err.text(), outcome }
}

/// A token that could be one.
fn token() -> String {
    token::generate(token::Credential::Mwt).raw.expose_secret().to_owned()
}

fn token_file(home: &Path, token: &str) -> String {
    let file = home.join("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    file.to_str().unwrap().to_owned()
}

fn git(folder: &Path, words: &[&str]) {
    let done = std::process::Command::new("git").arg("-C").arg(folder).args(words).output().unwrap();
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn print_shows_the_entry_on_stdout_and_its_file_on_stderr() {
    let home = tempfile::tempdir().unwrap();
    let said = connect(home.path(), &["--print", "cursor", URL]);
    assert!(said.outcome.is_ok());
    assert!(said.out.contains(URL) && said.out.contains("${env:AEROSTACK_TOKEN}"), "{}", said.out);
    assert_eq!(said.err, "For .cursor/mcp.json.\n");
}

#[test]
fn an_unknown_client_is_named_with_a_guess() {
    let home = tempfile::tempdir().unwrap();
    let said = connect(home.path(), &["--print", "curser", URL]);
    assert!(said.err.contains("Did you mean cursor?") && said.err.contains("known clients: cursor"), "{}", said.err);
}

#[test]
fn install_shows_the_change_and_keeps_the_rest_of_the_file() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("mcp.json");
    let before = "{\n  // mine\n  \"mcpServers\": {\n    \"other\": { \"url\": \"https://o\" },\n  },\n}\n";
    std::fs::write(&file, before).unwrap();
    let path = file.to_str().unwrap();

    let refused = connect(home.path(), &["--install", "cursor", "--file", path, URL]);
    assert!(refused.err.contains("agree beforehand with --yes"), "{}", refused.err);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before, "nobody agreed");

    let said = connect(home.path(), &["--install", "cursor", "--file", path, "--yes", URL]);
    assert!(said.outcome.is_ok(), "{}", said.err);
    assert!(said.err.contains("+    \"engineering\": {"), "the change is shown: {}", said.err);
    assert!(said.err.contains("export AEROSTACK_TOKEN"), "{}", said.err);
    let after = std::fs::read_to_string(&file).unwrap();
    assert!(after.contains("// mine") && after.contains("\"other\": { \"url\": \"https://o\" },"), "{after}");
    assert!(after.contains(URL) && !after.contains("mwt_"), "{after}");

    let again = connect(home.path(), &["--install", "cursor", "--file", path, "--yes", URL]);
    assert!(again.out.contains("has this entry already"), "{}", again.out);
}

#[test]
fn a_token_is_written_only_when_asked_and_never_where_git_would_take_it() {
    let home = tempfile::tempdir().unwrap();
    let token = token();
    let from = token_file(home.path(), &token);
    let repository = home.path().join("project");
    std::fs::create_dir_all(repository.join(".cursor")).unwrap();
    git(&repository, &["init", "--quiet"]);
    let file = repository.join(".cursor/mcp.json");
    let path = file.to_str().unwrap();
    let words = ["--install", "cursor", "--with-token", "--token-file", &from, "--yes", "--file", path, URL];

    let untracked = connect(home.path(), &words);
    assert!(untracked.err.contains("is not ignored: a token does not belong there"), "{}", untracked.err);
    std::fs::write(&file, "{}\n").unwrap();
    git(&repository, &["add", ".cursor/mcp.json"]);
    let tracked = connect(home.path(), &words);
    assert!(tracked.err.contains("is tracked by git"), "{}", tracked.err);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{}\n");

    git(&repository, &["rm", "--quiet", "--cached", ".cursor/mcp.json"]);
    std::fs::write(repository.join(".gitignore"), ".cursor/\n").unwrap();
    let ignored = connect(home.path(), &words);
    assert!(ignored.outcome.is_ok(), "{}", ignored.err);
    assert!(std::fs::read_to_string(&file).unwrap().contains(&token));
    assert!(!ignored.out.contains(&token));
}

#[test]
fn a_saved_token_is_used_for_its_url_and_for_no_other() {
    let home = tempfile::tempdir().unwrap();
    let token = token();
    let from = token_file(home.path(), &token);
    let said = connect(home.path(), &["--save-token", "--token-file", &from, URL]);
    assert!(said.out.contains("Saved the token") && !said.out.contains(&token), "{}", said.out);

    let target = connect(home.path(), &[URL]).outcome.unwrap().unwrap();
    assert_eq!(target.token.expose_secret(), token);
    let other = connect(home.path(), &["https://mcp.example.com/ws/sales"]);
    assert!(other.err.contains("No token for"), "{}", other.err);
    assert_eq!(other.outcome.err().unwrap().exit_number(), 4);
}

#[test]
fn claude_desktop_starts_this_very_program_and_its_file_holds_no_token() {
    let home = tempfile::tempdir().unwrap();
    let token = token();
    let from = token_file(home.path(), &token);
    let file = home.path().join("claude_desktop_config.json");
    let words = ["--install", "claude-desktop", "--token-file", &from, "--yes", "--file", file.to_str().unwrap(), URL];
    let said = connect(home.path(), &words);
    assert!(said.err.contains("The token is saved for this user"), "{}", said.err);
    let written: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let entry = &written["mcpServers"]["engineering"];
    assert_eq!(entry["command"], std::env::current_exe().unwrap().to_str().unwrap());
    assert_eq!(entry["args"], json!(["connect", URL]));
    assert!(entry.get("env").is_none());
    assert_eq!(connect(home.path(), &[URL]).outcome.unwrap().unwrap().token.expose_secret(), token);
}

#[test]
fn what_is_no_token_is_refused_without_showing_it() {
    let home = tempfile::tempdir().unwrap();
    let from = token_file(home.path(), "aak_CANARY");
    let said = connect(home.path(), &["--token-file", &from, URL]);
    assert!(said.err.contains("is not a workspace token") && !said.err.contains("CANARY"), "{}", said.err);
}

#[test]
fn a_url_that_is_no_workspace_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let said = connect(home.path(), &["--print", "cursor", "https://mcp.example.com/mcp"]);
    assert!(said.err.contains("is not the gateway URL of a workspace"), "{}", said.err);
}

#[cfg(unix)]
#[test]
fn a_file_that_others_could_read_is_closed_when_a_token_comes_into_it_and_that_is_said() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    let from = token_file(home.path(), &token());
    let file = home.path().join("mcp.json");
    let words = ["--install", "cursor", "--with-token", "--token-file", &from, "--yes", "--file"];
    let words: Vec<&str> = words.into_iter().chain([file.to_str().unwrap(), URL]).collect();
    let set = |mode: u32| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    let mode = || std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    std::fs::write(&file, "{}\n").unwrap();
    set(0o644);
    let said = connect(home.path(), &words);
    assert!(said.outcome.is_ok() && said.err.contains("Others on this machine could read"), "{}", said.err);
    assert_eq!(mode(), 0o600);
    // Also where the token is in there already.
    set(0o664);
    let said = connect(home.path(), &words);
    assert!(said.out.contains("has this entry already") && said.err.contains("could read"), "{}", said.err);
    assert_eq!(mode(), 0o600);
    let said = connect(home.path(), &words);
    assert!(!said.err.contains("could read"), "{}", said.err);
}
