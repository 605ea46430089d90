//! One process per data folder: two writers with their own token maps would break "revoked is dead". The lock is the
//! operating system's, so it is gone when its holder is, however that ended.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use crate::{
    error::{Error, Result},
    store::failure::unavailable,
};

/// Held while the databases of a data folder are open.
#[derive(Debug)]
pub(super) struct FolderLock(File);

impl FolderLock {
    /// Makes the folder if needed (only its owner may look in) and locks it.
    pub(super) fn take(data_dir: &Path) -> Result<Self> {
        let mut folder = std::fs::DirBuilder::new();
        folder.recursive(true).mode(0o700);
        folder.create(data_dir).map_err(|cause| unusable(data_dir, &cause))?;
        let path = data_dir.join("aerostack.lock");
        let mut file = private(&path).map_err(|cause| unusable(&path, &cause))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(&mut file, &path)),
            Err(TryLockError::Error(cause)) => return Err(unusable(&path, &cause)),
        }
        write_pid(&mut file).map_err(|cause| unusable(&path, &cause))?;
        Ok(FolderLock(file))
    }
}

impl Drop for FolderLock {
    /// Gives the folder free at once. Closing the file would not: a process that is being started at this moment has a
    /// copy of every open file until it runs its program.
    fn drop(&mut self) {
        if let Err(cause) = self.0.unlock() {
            tracing::warn!(%cause, "the lock of the data folder ends with this process");
        }
    }
}

/// Makes `path` readable for its owner only before SQLite opens it (its journal files get the same rights).
pub(super) fn touch(path: &Path) -> Result<()> {
    private(path).map(drop).map_err(|cause| unusable(path, &cause))
}

fn private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn write_pid(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn in_use(file: &mut File, path: &Path) -> Error {
    let mut pid = String::new();
    let holder = match file.read_to_string(&mut pid) {
        Ok(_) if !pid.trim().is_empty() => format!("process {}", pid.trim()),
        _ => "another process".to_owned(),
    };
    unavailable(format!("{} is locked: {holder} uses this data folder", path.display()))
        .with_hint("Stop the other aerostack, or give this one its own --data-dir")
}

fn unusable(path: &Path, cause: &std::io::Error) -> Error {
    unavailable(format!("Cannot use {}: {cause}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_the_first_ones_process() {
        let folder = tempfile::tempdir().unwrap();
        let first = FolderLock::take(folder.path()).unwrap();
        let refused = FolderLock::take(folder.path()).unwrap_err();
        assert!(refused.message().contains(&format!("process {}", std::process::id())), "{refused}");
        drop(first);
        FolderLock::take(folder.path()).unwrap();
    }
    #[test]
    fn a_folder_is_free_when_its_holder_lets_go_even_if_the_file_is_still_open_somewhere() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(folder.path()).unwrap();
        // As a child has it between its fork and its program.
        let inherited = lock.0.try_clone().unwrap();
        drop(lock);
        FolderLock::take(folder.path()).unwrap();
        drop(inherited);
    }
}
