//! `servers.d` in the data folder: one file for each program that may be run. Whoever can write there decides what runs
//! with the gateway's rights; nobody else does.

use std::{
    io::ErrorKind,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::{
    domain::{
        server_file::{Defined, ServerFile},
        slug::Slug,
    },
    error::{Result, err},
};

/// Largest file, bytes.
const BYTES: u64 = 256 * 1024;
/// Most files.
const FILES: usize = 1000;

/// The folder.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("servers.d")
}

/// The file of one server.
pub fn file_of(data_dir: &Path, slug: &str) -> PathBuf {
    path(data_dir).join(format!("{slug}.toml"))
}

/// What one server's file says.
pub fn read_one(data_dir: &Path, slug: &str) -> Result<Defined> {
    let slug = Slug::parse(slug)?;
    let (file, shown) = (file_of(data_dir, &slug), format!("servers.d/{slug}.toml"));
    let cannot = |cause: std::io::Error| match cause.kind() {
        ErrorKind::NotFound => err::not_found(format!("{shown} is gone")),
        _ => err::validation(format!("{shown} cannot be read: {cause}")),
    };
    let seen = std::fs::symlink_metadata(&file).map_err(cannot)?;
    if !seen.is_file() || seen.len() > BYTES {
        return Err(err::validation(format!("{shown} is no file of at most {BYTES} bytes")));
    }
    let me = rustix::process::geteuid().as_raw();
    if seen.mode() & 0o022 != 0 || (seen.uid() != me && seen.uid() != 0) {
        return Err(err::validation(format!("{shown} could have been written by others than the gateway's own user"))
            .with_hint("chmod 600, and chown it to the user that runs the gateway"));
    }
    let text = std::fs::read_to_string(&file).map_err(cannot)?;
    ServerFile::parse(&text).and_then(ServerFile::into_defined).map_err(|wrong| {
        err::validation(format!("{shown}: {}", wrong.message()))
            .with_hint(wrong.hint().unwrap_or("see the README").to_owned())
    })
}

/// Every server that is defined there, and what is wrong with the files that define none.
pub fn read_all(data_dir: &Path) -> (Vec<(Slug, Defined)>, Vec<String>) {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    let entries = match std::fs::read_dir(path(data_dir)) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return (found, problems),
        Err(cause) => {
            problems.push(format!("{} cannot be read: {cause}", path(data_dir).display()));
            return (found, problems);
        }
    };
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    for name in names.iter().filter_map(|name| name.strip_suffix(".toml")).take(FILES) {
        match Slug::parse(name).and_then(|slug| Ok((slug, read_one(data_dir, name)?))) {
            Ok(one) => found.push(one),
            Err(error) => problems.push(error.message().to_owned()),
        }
    }
    (found, problems)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_that_is_none_is_a_problem_and_one_that_is_not_there_is_none() {
        let data = tempfile::tempdir().unwrap();
        assert!(read_all(data.path()).1.is_empty());
        std::fs::write(path(data.path()), "no folder").unwrap();
        let (found, problems) = read_all(data.path());
        assert!(found.is_empty() && problems.len() == 1, "{problems:?}");
        assert!(problems[0].contains("servers.d cannot be read"), "{problems:?}");
    }

    #[test]
    fn files_that_others_could_have_written_define_nothing() {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(path(data.path())).unwrap();
        let write = |name: &str, text: &str, mode: u32| {
            let file = path(data.path()).join(name);
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        write("good.toml", "command = \"/bin/cat\"", 0o600);
        write("open.toml", "command = \"/bin/cat\"", 0o666);
        write("wrong.toml", "comand = \"/bin/cat\"", 0o600);
        write("notes.txt", "nothing", 0o600);
        std::os::unix::fs::symlink(path(data.path()).join("good.toml"), path(data.path()).join("link.toml")).unwrap();
        let (found, problems) = read_all(data.path());
        assert_eq!(found.iter().map(|(slug, _)| &**slug).collect::<Vec<_>>(), ["good"]);
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[1].contains("others") && problems[2].contains("comand"), "{problems:?}");
        assert!(read_one(data.path(), "absent").unwrap_err().message().contains("is gone"));
    }
}
