//! Where the installation's key comes from: the environment (`WORKFLOW_SECRETS_KEY`, `…_FILE`, `…_COMMAND`, and the
//! same three with `…_PREVIOUS` for the key before), or a file that the first start generates beside the database.
//!
//! Rules: a generated key counts only if no variable is set; several sources must hold the same key; nothing is ever
//! generated over data that another key protects. Every refusal names key ids and variables, never a key, and ends
//! the process with [`EXIT_CODE`].

use std::{
    ffi::OsString,
    fs::File,
    io::{Read, Write},
    os::unix::fs::{DirBuilderExt as _, MetadataExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

use crate::{
    domain::keys::InstallationKey,
    error::{Error, ErrorCode, Result},
};

/// `EX_CONFIG`: with this status the process ends when its key is missing or wrong.
pub const EXIT_CODE: u8 = 78;
/// The variable that holds the key; all others are named after it.
pub const VARIABLE: &str = "WORKFLOW_SECRETS_KEY";
/// The generated key's file in the data folder.
pub const FILE_NAME: &str = "secrets.key";

const FORMS: [&str; 3] = ["", "_FILE", "_COMMAND"];
const COMMAND_DEADLINE: Duration = Duration::from_secs(10);
/// No form of a key is longer; a file or command that gives more is not one.
const LONGEST: u64 = 4096;

/// A key and where it was found.
#[derive(Debug, Clone)]
pub struct FoundKey {
    /// The key.
    pub key: InstallationKey,
    /// The variable or file, for messages.
    pub source: String,
}

/// The keys that the environment configures.
#[derive(Debug, Clone, Default)]
pub struct ConfiguredKeys {
    /// Wraps new data keys and opens old ones.
    pub current: Option<FoundKey>,
    /// Only opens: the key that is being replaced.
    pub previous: Option<FoundKey>,
}

impl ConfiguredKeys {
    /// Reads the process's environment.
    pub fn from_environment() -> Result<Self> {
        ConfiguredKeys::from_variables(|name| std::env::var_os(name))
    }

    /// Reads variables through `lookup`.
    pub fn from_variables(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let current = one_of(VARIABLE, &lookup)?;
        // The key before may be a weak one: how else would it be replaced?
        if let Some(weak) = current.as_ref().filter(|found| found.key.is_weak()) {
            return Err(refusal(
                format!("{} holds a key that anybody would guess (a pattern, not 32 random bytes)", weak.source),
                format!(
                    "Make one with: aerostack secrets generate-key. If secrets are stored under this one already, give it \
                     as {VARIABLE}_PREVIOUS beside the new one"
                ),
            ));
        }
        let configured = ConfiguredKeys { current, previous: one_of(&format!("{VARIABLE}_PREVIOUS"), &lookup)? };
        if let ConfiguredKeys { current: None, previous: Some(previous) } = &configured {
            return Err(refusal(
                format!("{} is set, but no current key", previous.source),
                format!("Set {VARIABLE} (or {VARIABLE}_FILE, {VARIABLE}_COMMAND) to the new key as well"),
            ));
        }
        Ok(configured)
    }
}

/// Why the key is refused, and what to do; tells the binary to end with [`EXIT_CODE`].
pub fn refusal(message: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::new(ErrorCode::Conflict, message)
        .with_hint(hint)
        .with_data(serde_json::json!({ "reason": "secrets_key", "exit_code": EXIT_CODE }))
}

fn one_of(base: &str, lookup: impl Fn(&str) -> Option<OsString>) -> Result<Option<FoundKey>> {
    let mut found: Option<FoundKey> = None;
    for form in FORMS {
        let source = format!("{base}{form}");
        let Some(value) = lookup(&source) else { continue };
        let text = match form {
            "" => Zeroizing::new(value.into_string().map_err(|_not_text| malformed(&source))?),
            "_FILE" => read_file(&source, Path::new(&value))?,
            _ => run_command(&source, value.to_str().ok_or_else(|| malformed(&source))?)?,
        };
        let key = InstallationKey::parse(&text).map_err(|_never_repeated| malformed(&source))?;
        match &found {
            Some(first) if first.key.id() != key.id() => {
                return Err(refusal(
                    format!("{} holds key {}, {source} holds key {}", first.source, first.key.id(), key.id()),
                    "Set only one of them (or the same key in both)",
                ));
            }
            Some(_same) => {}
            None => found = Some(FoundKey { key, source }),
        }
    }
    Ok(found)
}

fn malformed(source: &str) -> Error {
    refusal(
        format!("{source} does not give a key"),
        "A key is 32 random bytes as 64 hexadecimal digits or base64: aerostack secrets generate-key",
    )
}

fn read_file(source: &str, path: &Path) -> Result<Zeroizing<String>> {
    let unreadable = |cause: std::io::Error| {
        refusal(format!("{source}: cannot read {}: {cause}", path.display()), "Check the path and its permissions")
    };
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.mode() & 0o004 != 0 {
        tracing::warn!(path = %path.display(), "the key file is readable by everyone on this machine");
    }
    read_text(file).map_err(unreadable)
}

fn read_text(file: impl Read) -> std::io::Result<Zeroizing<String>> {
    // Reserved at once: a growing buffer would leave copies of the key behind.
    let mut text = Zeroizing::new(String::with_capacity(LONGEST as usize + 1));
    file.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

/// Runs a command (words, or a JSON list of words; no shell) and takes what it prints.
fn run_command(source: &str, line: &str) -> Result<Zeroizing<String>> {
    let failed = |what: String| refusal(format!("{source}: {what}"), format!("The command is: {line}"));
    let words: Vec<String> = if line.trim_start().starts_with('[') {
        serde_json::from_str(line).map_err(|cause| failed(format!("not a JSON list of words: {cause}")))?
    } else {
        line.split_whitespace().map(str::to_owned).collect()
    };
    let (program, arguments) = words.split_first().ok_or_else(|| failed("is empty".into()))?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    for base in [VARIABLE.to_owned(), format!("{VARIABLE}_PREVIOUS")] {
        FORMS.iter().for_each(|form| _ = command.env_remove(format!("{base}{form}")));
    }
    let mut child = command.spawn().map_err(|cause| failed(format!("cannot start {program}: {cause}")))?;
    let (send, receive) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        std::thread::spawn(move || _ = send.send(read_text(output)));
    }
    let text = receive.recv_timeout(COMMAND_DEADLINE);
    if text.is_err() {
        // Too late to be of use; a child that is gone already is what we want.
        _ = child.kill();
    }
    let status = child.wait().map_err(|cause| failed(cause.to_string()))?;
    let text = text.map_err(|_deadline| failed(format!("no answer within {} s", COMMAND_DEADLINE.as_secs())))?;
    if !status.success() {
        return Err(failed(format!("ended with {status}")));
    }
    text.map_err(|cause| failed(format!("its output cannot be read: {cause}")))
}

/// Keeps keys out of core dumps, and other processes of the same user out of this one's memory. To be called before
/// the key is read. Best effort: a system that refuses is logged, not fatal.
pub fn protect_process() {
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(cause) = rustix::process::setrlimit(rustix::process::Resource::Core, none) {
        tracing::warn!(%cause, "core dumps could not be switched off");
    }
    #[cfg(target_os = "linux")]
    if let Err(cause) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        tracing::warn!(%cause, "this process's memory could not be closed to others");
    }
}

/// Path of the generated key's file.
pub fn generated_path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE_NAME)
}

/// The generated key, if there is one. Refuses a file that others could have read or replaced.
pub fn generated_key(data_dir: &Path) -> Result<Option<FoundKey>> {
    let path = generated_path(data_dir);
    let refuse = |what: String, hint: &str| refusal(format!("{}: {what}", path.display()), hint);
    let file = match rustix::fs::open(&path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
        Ok(descriptor) => File::from(descriptor),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(rustix::io::Errno::LOOP) => return Err(refuse("is a symbolic link".into(), &name_it(&path))),
        Err(cause) => return Err(refuse(cause.to_string(), "Check the file's permissions")),
    };
    let seen = file.metadata().map_err(|cause| refuse(cause.to_string(), "Check the file's permissions"))?;
    if !seen.is_file() {
        return Err(refuse("is not a regular file".into(), &name_it(&path)));
    }
    if seen.mode() & 0o077 != 0 {
        let what = format!("others may read or change it (mode {:o})", seen.mode() & 0o777);
        return Err(refuse(what, "If nobody else has read it: chmod 600 it; otherwise the key must be replaced"));
    }
    let user = rustix::process::geteuid().as_raw();
    if seen.uid() != user {
        return Err(refuse(format!("belongs to user {}, not {user}", seen.uid()), "Start as the user that owns it"));
    }
    let text = read_text(file).map_err(|cause| refuse(cause.to_string(), "Check the disk"))?;
    let key = InstallationKey::parse(&text)
        .map_err(|_never_repeated| refuse("does not hold a key".into(), "Restore it from your backup of the key"))?;
    Ok(Some(FoundKey { key, source: path.display().to_string() }))
}

fn name_it(path: &Path) -> String {
    format!("If this is on purpose, name it instead: {VARIABLE}_FILE={}", path.display())
}

/// Generates the key's file, or takes the one that another first start has just generated. When this returns, the
/// key is on the disk: only then may anything be wrapped with it.
pub fn generate_key(data_dir: &Path) -> Result<FoundKey> {
    let path = generated_path(data_dir);
    let failed = |cause: std::io::Error| {
        refusal(
            format!("Cannot write the key file {}: {cause}", path.display()),
            format!(
                "Make the folder writable, or set {VARIABLE}_FILE to a key made with: aerostack secrets generate-key"
            ),
        )
    };
    // With Postgres nothing else has made the folder.
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(failed)?;
    let key = InstallationKey::generate();
    // Complete before it has its name: a kill in between leaves no half key. The link fails if the name exists.
    let mut file = tempfile::Builder::new().prefix(".secrets.key.").tempfile_in(data_dir).map_err(failed)?;
    file.write_all(key.to_hex().as_bytes()).and_then(|()| file.write_all(b"\n")).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    match file.persist_noclobber(&path) {
        Ok(_named) => {}
        Err(refused) if refused.error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(refused) => return Err(failed(refused.error)),
    }
    File::open(data_dir).and_then(|folder| folder.sync_all()).map_err(failed)?;
    generated_key(data_dir)?.ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn configured(variables: &[(&str, &str)]) -> Result<ConfiguredKeys> {
        ConfiguredKeys::from_variables(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        })
    }
    fn refused(variables: &[(&str, &str)]) -> String {
        let error = configured(variables).unwrap_err();
        assert_eq!(error.data().unwrap()["exit_code"], 78);
        format!("{} {}", error.message(), error.hint().unwrap())
    }
    fn folder_with(name: &str, content: &str, mode: u32) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        folder
    }

    #[test]
    fn the_three_sources_give_the_same_key() {
        let key = InstallationKey::generate();
        let hex = key.to_hex();
        let folder = folder_with("k", &format!("{}\n", hex.as_str()), 0o600);
        let path = folder.path().join("k").display().to_string();
        let command = format!("cat {path}");
        let list = serde_json::to_string(&["cat", path.as_str()]).unwrap();
        for (name, value) in [
            ("WORKFLOW_SECRETS_KEY", hex.as_str()),
            ("WORKFLOW_SECRETS_KEY_FILE", &path),
            ("WORKFLOW_SECRETS_KEY_COMMAND", &command),
            ("WORKFLOW_SECRETS_KEY_COMMAND", &list),
        ] {
            let found = configured(&[(name, value)]).unwrap().current.unwrap();
            assert_eq!((found.key.id(), found.source.as_str()), (key.id(), name));
        }
        assert!(configured(&[]).unwrap().current.is_none());
    }

    #[test]
    fn one_key_in_two_sources_is_fine_and_two_keys_are_refused_by_their_ids() {
        let (one, two) = (InstallationKey::generate(), InstallationKey::generate());
        let folder = folder_with("k", one.to_hex().as_str(), 0o600);
        let path = folder.path().join("k").display().to_string();
        let same = configured(&[("WORKFLOW_SECRETS_KEY", one.to_hex().as_str()), ("WORKFLOW_SECRETS_KEY_FILE", &path)]);
        assert_eq!(same.unwrap().current.unwrap().key.id(), one.id());
        let said = refused(&[("WORKFLOW_SECRETS_KEY", two.to_hex().as_str()), ("WORKFLOW_SECRETS_KEY_FILE", &path)]);
        for needed in [one.id().to_string(), two.id().to_string(), "WORKFLOW_SECRETS_KEY_FILE".into()] {
            assert!(said.contains(&needed), "{said}");
        }
        assert!(!said.contains(one.to_hex().as_str()) && !said.contains(two.to_hex().as_str()));
    }

    #[test]
    fn what_is_not_a_key_is_refused_without_being_repeated() {
        for text in ["", "short", &"z".repeat(64), &"!".repeat(44), "passphrase that somebody made up"] {
            let said = refused(&[("WORKFLOW_SECRETS_KEY", text)]);
            assert!(said.contains("WORKFLOW_SECRETS_KEY") && (text.is_empty() || !said.contains(text)), "{said}");
        }
        assert!(refused(&[("WORKFLOW_SECRETS_KEY_FILE", "/nonexistent/key")]).contains("/nonexistent/key"));
        assert!(refused(&[("WORKFLOW_SECRETS_KEY_COMMAND", "false")]).contains("ended with"));
        assert!(refused(&[("WORKFLOW_SECRETS_KEY_COMMAND", "/nonexistent/command")]).contains("cannot start"));
        assert!(refused(&[("WORKFLOW_SECRETS_KEY_COMMAND", "")]).contains("is empty"));
    }

    #[test]
    fn a_key_that_is_a_pattern_is_refused_with_how_to_make_one_and_may_still_be_replaced() {
        let counted: String = (0..32).map(|byte| format!("{byte:02x}")).collect();
        for weak in ["00".repeat(32), "ff".repeat(32), "deadbeef".repeat(8), "0123456789abcdef".repeat(4), counted] {
            let said = refused(&[("WORKFLOW_SECRETS_KEY", &weak)]);
            assert!(said.contains("secrets generate-key") && !said.contains(&weak), "{said}");
            let new = InstallationKey::generate().to_hex();
            let both = [("WORKFLOW_SECRETS_KEY", new.as_str()), ("WORKFLOW_SECRETS_KEY_PREVIOUS", weak.as_str())];
            assert!(configured(&both).is_ok());
        }
    }

    #[test]
    fn the_previous_key_needs_a_current_one() {
        let (old, new) = (InstallationKey::generate(), InstallationKey::generate());
        let both = [("WORKFLOW_SECRETS_KEY", new.to_hex()), ("WORKFLOW_SECRETS_KEY_PREVIOUS", old.to_hex())];
        let both = both.each_ref().map(|(name, text)| (*name, text.as_str()));
        assert_eq!(configured(&both).unwrap().previous.unwrap().key.id(), old.id());
        assert!(refused(&both[1..]).contains("no current key"));
    }

    #[test]
    fn the_first_start_writes_a_key_that_only_its_owner_can_read_and_the_next_finds_it() {
        let folder = tempfile::tempdir().unwrap();
        assert!(generated_key(folder.path()).unwrap().is_none());
        let key = generate_key(folder.path()).unwrap().key;
        let seen = std::fs::metadata(folder.path().join("secrets.key")).unwrap();
        assert_eq!(seen.mode() & 0o777, 0o600);
        assert_eq!(generated_key(folder.path()).unwrap().unwrap().key.id(), key.id());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else stays behind");
    }

    #[test]
    fn of_parallel_first_starts_one_wins_and_all_use_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let ids: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> =
                (0..8).map(|_| scope.spawn(|| generate_key(folder.path()).unwrap().key.id())).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]));
    }

    #[test]
    fn a_key_file_that_others_could_have_read_or_replaced_is_refused() {
        let hex = InstallationKey::generate().to_hex();
        for mode in [0o640, 0o604, 0o620, 0o666] {
            let folder = folder_with("secrets.key", &hex, mode);
            assert!(generated_key(folder.path()).unwrap_err().hint().unwrap().contains("chmod 600"));
        }
        let target = folder_with("elsewhere", &hex, 0o600);
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(target.path().join("elsewhere"), folder.path().join("secrets.key")).unwrap();
        assert!(generated_key(folder.path()).unwrap_err().message().contains("symbolic link"));
        assert!(generate_key(folder.path()).is_err(), "and never overwritten");
        let folder = folder_with("secrets.key", "", 0o600);
        assert!(generated_key(folder.path()).unwrap_err().message().contains("does not hold a key"));
    }
}
