//! A client's file: read with a limit, replaced as a whole, and never with a token in it where git would pick it up.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::cli::failure::{Failure, Outcome};

/// Settings files are small; anything larger is something else.
const LARGEST: u64 = 4 * 1024 * 1024;

/// The file itself where the path is a link to it (people keep their settings elsewhere and link them).
pub(super) fn real(path: PathBuf) -> PathBuf {
    fs::canonicalize(&path).unwrap_or(path)
}

/// Its text; empty if it is not there.
pub(in crate::cli) fn read(path: &Path) -> Outcome<String> {
    let cannot = |error: std::io::Error| Failure::local(format!("cannot read {}: {error}", path.display()));
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(cannot(error)),
        Ok(meta) if meta.len() > LARGEST => {
            return Err(Failure::local(format!("{} is too large to be a client's settings", path.display())));
        }
        Ok(_) => {}
    }
    fs::read_to_string(path).map_err(cannot)
}

/// Whether others than its owner may read or write it.
#[cfg(unix)]
pub(super) fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
pub(super) fn is_open_to_others(_path: &Path) -> bool {
    false
}

/// Replaces it, keeping who may read it; with a token in it, it is for its owner only.
pub(super) fn write(path: &Path, text: &str, private: bool) -> Outcome {
    let cannot = |error: std::io::Error| Failure::local(format!("cannot write {}: {error}", path.display()));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(cannot)?;
    let mut draft = tempfile::Builder::new().prefix(".aerostack-").tempfile_in(folder).map_err(cannot)?;
    draft.write_all(text.as_bytes()).map_err(cannot)?;
    let permissions = match fs::metadata(path) {
        Ok(meta) if private && is_open_to_others(path) => owners(&meta),
        Ok(meta) => Some(meta.permissions()),
        Err(_) if private => None,
        Err(_) => public(),
    };
    if let Some(permissions) = permissions {
        draft.as_file().set_permissions(permissions).map_err(cannot)?;
    }
    draft.as_file().sync_all().map_err(cannot)?;
    draft.persist(path).map_err(|error| cannot(error.error))?;
    Ok(())
}

#[cfg(unix)]
fn owners(meta: &fs::Metadata) -> Option<fs::Permissions> {
    use std::os::unix::fs::PermissionsExt as _;
    Some(fs::Permissions::from_mode(meta.permissions().mode() & 0o700))
}

#[cfg(not(unix))]
fn owners(meta: &fs::Metadata) -> Option<fs::Permissions> {
    Some(meta.permissions())
}

#[cfg(unix)]
fn public() -> Option<fs::Permissions> {
    use std::os::unix::fs::PermissionsExt as _;
    Some(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn public() -> Option<fs::Permissions> {
    None
}

/// Refuses a file that git tracks, or that lies in a repository without being ignored.
pub(super) fn refuse_if_shared_by_git(path: &Path) -> Outcome {
    let start =
        fs::canonicalize(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")));
    let Some(folder) = start.ok().or_else(|| path.parent().map(Path::to_path_buf)) else { return Ok(()) };
    let existing = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    if !existing.ancestors().any(|folder| folder.join(".git").exists()) {
        return Ok(());
    }
    let git = |words: &[&str]| {
        let command = Command::new("git")
            .arg("-C")
            .arg(existing)
            .args(words)
            .arg("--")
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        command.is_ok_and(|status| status.success())
    };
    let tracked = git(&["ls-files", "--error-unmatch"]);
    if !tracked && git(&["check-ignore", "--quiet"]) {
        return Ok(());
    }
    let why = if tracked { "is tracked by git" } else { "lies in a git repository and is not ignored" };
    Err(Failure::local(format!("{} {why}: a token does not belong there", path.display()))
        .with_hint("leave --with-token out: the file then says where the client finds the token"))
}
