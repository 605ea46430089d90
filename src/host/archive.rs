//! The file of a backup: written beside its name and given it at the end, read back with nothing believed that is not
//! checked. Names, order, sizes and sums are those of its list; a byte before, between or after is found.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, BufWriter, Read, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};
use sha2::{Digest as _, Sha256};

use crate::{
    config::BackupConfig,
    domain::{
        audit_checkpoint::hex,
        backup::{Content, Manifest},
    },
    error::{Error, ErrorCode, Result, err},
};

const MANIFEST: &str = "manifest.json";
const SEAL: &str = "manifest.seal";
/// Hexadecimal digits of a seal.
const SEAL_BYTES: u64 = 64;
/// How every backup begins: gzip, no name, no time, made fast, no system. No sum of gzip's covers these bytes.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
/// Read and written at once.
const CHUNK: usize = 64 * 1024;
/// Most that fills up a tar after its last file.
const FILLING: usize = 64 * 1024;

/// A backup that was read: every file in it is what its list says.
pub(super) struct Archive {
    /// The list.
    pub manifest: Manifest,
    /// The list's bytes, which the seal covers.
    pub covered: Vec<u8>,
    /// The seal.
    pub seal: String,
}

/// Size and sum of a file that goes into a backup.
pub(super) fn describe(folder: &Path, name: &str) -> Result<Content> {
    let path = folder.join(name);
    let unreadable = |cause: io::Error| unusable(&path, "read", &cause);
    let mut file = File::open(&path).map_err(unreadable)?;
    let (mut digest, mut bytes, mut chunk) = (Sha256::new(), 0u64, vec![0; CHUNK]);
    loop {
        let read = file.read(&mut chunk).map_err(unreadable)?;
        let Some(piece) = chunk.get(..read).filter(|piece| !piece.is_empty()) else { break };
        digest.update(piece);
        bytes = bytes.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
    }
    Ok(Content { name: name.to_owned(), bytes, sha256: hex(&digest.finalize()) })
}

/// Writes a backup of the files of `folder` that the list names, and has it on the disk when it returns.
pub(super) fn write(out: &File, manifest: &Manifest, covered: &[u8], seal: &str, folder: &Path) -> io::Result<()> {
    let at = u64::try_from(manifest.created_at.timestamp()).unwrap_or(0);
    let mut tar = tar::Builder::new(GzEncoder::new(BufWriter::with_capacity(CHUNK, out), Compression::fast()));
    let mut append = |name: &str, bytes: u64, content: &mut dyn Read| {
        let mut header = tar::Header::new_ustar();
        header.set_path(name)?;
        header.set_size(bytes);
        header.set_mode(0o600);
        header.set_mtime(at);
        header.set_cksum();
        tar.append(&header, content)
    };
    append(MANIFEST, u64::try_from(covered.len()).unwrap_or(u64::MAX), &mut &*covered)?;
    append(SEAL, SEAL_BYTES, &mut seal.as_bytes())?;
    for content in &manifest.files {
        append(&content.name, content.bytes, &mut File::open(folder.join(&content.name))?)?;
    }
    let written = tar.into_inner()?.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    written.sync_all()
}

/// Reads a backup to its end and, with `into`, writes its files there. They are left half written on failure.
///
/// # Errors
/// `conflict` when it is not whole, `validation` when it cannot be read, `store_unavailable` when `into` cannot be written.
pub(super) fn read(path: &Path, limits: &BackupConfig, into: Option<&Path>) -> Result<Archive> {
    let file = File::open(path).map_err(|cause| unreadable(path, &cause))?;
    let mut file = BufReader::with_capacity(CHUNK, file);
    let begins = file.fill_buf().map_err(|cause| unreadable(path, &cause))?;
    if !begins.starts_with(&HEAD) {
        return Err(damaged(path, "it does not begin like one"));
    }
    let mut tar = tar::Archive::new(GzDecoder::new(file));
    let mut entries = tar.entries().map_err(|cause| reading(path, &cause))?.raw(true);
    let mut next = |name: &str| match entries.next() {
        Some(Ok(entry)) if entry.header().entry_type().is_file() && *entry.path_bytes() == *name.as_bytes() => {
            Ok(entry)
        }
        Some(Ok(_other)) => Err(damaged(path, &format!("something else stands where {name} should be"))),
        Some(Err(cause)) => Err(reading(path, &cause)),
        None => Err(damaged(path, &format!("{name} is missing"))),
    };
    let covered = text(path, next(MANIFEST)?, limits.manifest_bytes)?;
    let seal = text(path, next(SEAL)?, SEAL_BYTES)?;
    let manifest: Manifest = serde_json::from_slice(&covered)
        .map_err(|cause| damaged(path, &format!("its list cannot be read: {cause}")))?;
    if let Some(flaw) = manifest.flaw() {
        return Err(damaged(path, &flaw));
    }
    if manifest.unpacked().is_none_or(|bytes| bytes > limits.unpacked_bytes) {
        return Err(damaged(path, "it holds more than backup.unpacked_bytes"));
    }
    for content in &manifest.files {
        let entry = next(&content.name)?;
        take(path, entry, content, into)?;
    }
    match entries.next() {
        None => {}
        Some(Ok(_more)) => return Err(damaged(path, "there is more in it than its list says")),
        Some(Err(cause)) => return Err(reading(path, &cause)),
    }
    to_the_end(path, tar.into_inner())?;
    Ok(Archive { manifest, covered, seal: String::from_utf8_lossy(&seal).into_owned() })
}

fn text(path: &Path, entry: tar::Entry<'_, impl Read>, limit: u64) -> Result<Vec<u8>> {
    if entry.size() > limit {
        return Err(damaged(path, "its list is longer than backup.manifest_bytes"));
    }
    let mut bytes = Vec::new();
    entry.take(limit).read_to_end(&mut bytes).map_err(|cause| reading(path, &cause))?;
    Ok(bytes)
}

/// Reads one file and compares it with what the list says.
fn take(path: &Path, mut entry: tar::Entry<'_, impl Read>, content: &Content, into: Option<&Path>) -> Result<()> {
    let differs = || damaged(path, &format!("{} is not what its list says", content.name));
    if entry.size() != content.bytes {
        return Err(differs());
    }
    let mut out = into.map(|folder| create(&folder.join(&content.name))).transpose()?;
    let (mut digest, mut chunk) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        let read = entry.read(&mut chunk).map_err(|cause| reading(path, &cause))?;
        let Some(piece) = chunk.get(..read).filter(|piece| !piece.is_empty()) else { break };
        digest.update(piece);
        if let Some((file, to)) = &mut out {
            file.write_all(piece).map_err(|cause| unusable(to, "written", &cause))?;
        }
    }
    if let Some((file, to)) = &mut out {
        file.sync_all().map_err(|cause| unusable(to, "written", &cause))?;
    }
    if hex(&digest.finalize()) == content.sha256 { Ok(()) } else { Err(differs()) }
}

/// Reads what fills up a tar, so that the sum of everything is compared, and makes sure that nothing follows.
fn to_the_end(path: &Path, mut packed: GzDecoder<BufReader<File>>) -> Result<()> {
    let mut filling = Vec::new();
    let most = u64::try_from(FILLING).unwrap_or(u64::MAX);
    let read = packed.by_ref().take(most).read_to_end(&mut filling).map_err(|cause| reading(path, &cause))?;
    let mut file = packed.into_inner();
    let after = file.fill_buf().map_err(|cause| reading(path, &cause))?;
    if read == FILLING || filling.iter().any(|byte| *byte != 0) || !after.is_empty() {
        return Err(damaged(path, "something follows its end"));
    }
    Ok(())
}

/// A new file for its owner only, its folder made if needed.
fn create(path: &Path) -> Result<(File, PathBuf)> {
    let failed = |cause: io::Error| unusable(path, "written", &cause);
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    Ok((file, path.to_owned()))
}

/// A file of this machine cannot be used: `done` says for what.
pub(super) fn unusable(path: &Path, done: &str, cause: &io::Error) -> Error {
    Error::new(ErrorCode::StoreUnavailable, format!("{} cannot be {done}: {cause}", path.display()))
}

/// The backup is not what was written.
pub(super) fn damaged(path: &Path, why: &str) -> Error {
    err::conflict(format!("{} is not a whole backup: {why}", path.display()))
        .with_hint("Take an older one, or another copy of it; nothing was restored from this one")
}

fn unreadable(path: &Path, cause: &io::Error) -> Error {
    err::validation(format!("{} cannot be read: {cause}", path.display()))
}

/// The system's failures are no damage; those of the packing are.
fn reading(path: &Path, cause: &io::Error) -> Error {
    match cause.raw_os_error() {
        Some(_) => unreadable(path, cause),
        None => damaged(path, &cause.to_string()),
    }
}
