//! `backup create`, `verify` and `restore`. A backup is made beside the gateway that runs, from consistent copies of its
//! databases; it holds no key and no secret in clear. `config.toml` and `servers.d` are copied as they are: no setting holds
//! a secret of an installation on SQLite, and what somebody wrote into a command line all the same is for the owner of the
//! file only, like the file it is from. What it is good for is seen when it is made: the copies are opened, looked through
//! and their audit log is checked before the file gets its name. An audit log that is broken is copied and restored all
//! the same, and said: it may be the only one there is.
//!
//! A restored installation is the one that was copied: its tokens, keys and sessions are in force as they were, its audit
//! log goes on where the copy ended, with an entry that says so. Checkpoints that were kept outside hold up to that entry;
//! newer ones belong to what was left behind, and `audit verify` says that the log does not fit them.

use std::{
    ffi::OsStr,
    fs::{DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::{NamedTempFile, TempDir};
use tokio::time::timeout;

use super::{
    OPERATOR, Opened,
    archive::{self, Archive, damaged, unusable},
    settings,
};
use crate::{
    actors::{
        key_source::{self, ConfiguredKeys, FILE_NAME, FoundKey, VARIABLE},
        secret_vault::Vault,
    },
    cli::Installation,
    config::{Config, DatabaseConfig},
    domain::{
        audit_chain::AuditKey,
        audit_checkpoint::hex,
        backup::{self, ANALYTICS, CONFIG, End, Found, Made, Manifest, PROGRAMS, Restored, STATE},
        clock::{self, Timestamp},
    },
    error::{Error, ErrorCode, Result, err},
    store::{
        Store, accounts,
        audit::AuditEntry,
        audit_check::{self, Scope, Verdict},
        keyring,
        snapshot::{self, Part},
    },
    upstream::stdio::folder,
};

/// What stands before the names of files that are not finished.
const UNFINISHED: &str = ".aerostack-backup.";
/// The lock that a gateway takes of a data folder; it is no state.
const LOCK: &str = "aerostack.lock";

/// What is made, and where.
pub(super) struct Creation {
    /// The gateway's folder.
    pub installation: Installation,
    /// The backup's name, or the folder for one with the present time in its name.
    pub file: Option<PathBuf>,
    /// With the statistics.
    pub with_analytics: bool,
    /// Instead of a file that is there.
    pub force: bool,
}

/// Makes a backup.
pub(super) async fn create(creation: Creation) -> Result<Made> {
    let config = settings(&creation.installation)?;
    if !config.database.url.is_empty() {
        return Err(err::validation("This gateway keeps its state in Postgres, which has a tool for it").with_hint(
            "pg_dump --format=custom --file=aerostack.dump URL; beside it keep servers.d and config.toml of the data \
             folder, and, somewhere else, the key",
        ));
    }
    let at = clock::now();
    let file = name(creation.file, at);
    if !creation.force && file.symlink_metadata().is_ok() {
        return Err(err::conflict(format!("{} is there already", file.display()))
            .with_hint("--force replaces it once the new one is complete"));
    }
    let opened = Opened::open(&creation.installation).await?;
    let made = make(&opened, &file, at, (creation.with_analytics, creation.force)).await;
    // What took too long may still be running: it ends with this process, and is not waited for.
    if made.is_ok() {
        opened.store.close().await;
    }
    made
}

fn name(given: Option<PathBuf>, at: Timestamp) -> PathBuf {
    let fresh = format!("aerostack-{}.backup.tar.gz", at.format("%Y%m%dT%H%M%SZ"));
    match given {
        None => fresh.into(),
        Some(folder) if folder.is_dir() => folder.join(fresh),
        Some(file) => file,
    }
}

async fn make(opened: &Opened, file: &Path, at: Timestamp, (with_analytics, force): (bool, bool)) -> Result<Made> {
    let (config, data_dir) = (&opened.config, &opened.config.server.data_dir);
    let present = at_hand(data_dir)?.into_iter().next();
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let copy = unfinished(folder)?;
    let limit = Duration::from_secs(config.backup.snapshot_seconds);
    let mut names = vec![STATE.to_owned()];
    // First, so that no call in it is of a token that the state does not know.
    if with_analytics {
        opened.store.snapshot(Part::Analytics, &empty_file(&copy, ANALYTICS)?, limit).await?;
        names.push(ANALYTICS.to_owned());
    }
    opened.store.snapshot(Part::State, &empty_file(&copy, STATE)?, limit).await?;
    names.extend(copy_texts(config, copy.path())?);

    let seen = examine(copy.path(), Some(data_dir), config).await?;
    seen.store.close().await;
    let audit_broken = seen.broken();
    let mut manifest = Manifest {
        format: backup::FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        created_at: at,
        instance: opened.store.instance_id(),
        keys: seen.key_ids,
        schema: snapshot::schema(),
        audit: seen.end,
        files: Vec::new(),
    };
    for name in &names {
        manifest.files.push(archive::describe(copy.path(), name)?);
    }
    let covered =
        serde_json::to_vec_pretty(&manifest).map_err(|cause| Error::internal("writing the list of a backup", cause))?;
    must_be_readable(&manifest, &covered, config)?;
    let key = newest(&seen.audit_keys)?;
    let written = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder);
    let written = written.map_err(|cause| unusable(folder, "written", &cause))?;
    archive::write(written.as_file(), &manifest, &covered, &backup::seal(&key, &covered), copy.path())
        .map_err(|cause| unusable(file, "written", &cause))?;
    let bytes = written.as_file().metadata().map_err(|cause| unusable(file, "read", &cause))?.len();

    opened.store.set_audit_key(key);
    note(&opened.store, "backup_created", file, |entry| {
        entry.with("through", manifest.audit.seq).with("analytics", with_analytics)
    })
    .await?;
    name_it(written, file, folder, force)?;
    Ok(Made {
        file: file.display().to_string(),
        bytes,
        created_at: at,
        keys: manifest.keys,
        key_from: present.map(|found| found.source).unwrap_or_default(),
        analytics: with_analytics,
        audit_entries: seen.verdict.map_or(0, |verdict| verdict.checked),
        audit_broken,
    })
}

/// Refuses what would not be read again under the same limits.
fn must_be_readable(manifest: &Manifest, covered: &[u8], config: &Config) -> Result<()> {
    let limits = &config.backup;
    let list_fits = u64::try_from(covered.len()).is_ok_and(|bytes| bytes <= limits.manifest_bytes);
    let all_fits = manifest.unpacked().is_some_and(|bytes| bytes <= limits.unpacked_bytes);
    let limit = match (list_fits, all_fits) {
        (true, true) => return Ok(()),
        (false, _) => "backup.manifest_bytes",
        (true, false) => "backup.unpacked_bytes",
    };
    Err(err::validation(format!("The backup would be larger than {limit}, and not be read again"))
        .with_hint("Raise it here, and where the backup is checked and restored"))
}

/// Gives a finished backup its name: all of it is there, or nothing.
fn name_it(written: NamedTempFile, file: &Path, folder: &Path, force: bool) -> Result<()> {
    let named = if force { written.persist(file) } else { written.persist_noclobber(file) };
    named.map_err(|refused| unusable(file, "written", &refused.error))?;
    sync(folder)
}

fn sync(folder: &Path) -> Result<()> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|cause| unusable(folder, "written", &cause))
}

fn unfinished(folder: &Path) -> Result<TempDir> {
    let made = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(folder);
    made.map_err(|cause| unusable(folder, "written", &cause))
}

/// SQLite writes into an empty file that is there, and keeps its rights: for the owner only.
fn empty_file(copy: &TempDir, name: &str) -> Result<PathBuf> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let path = copy.path().join(name);
    let made = File::options().write(true).create_new(true).mode(0o600).open(&path);
    made.map_err(|cause| unusable(&path, "written", &cause))?;
    Ok(path)
}

/// Copies what else is state: the configuration that lies in the data folder, and the definitions of programs. The homes
/// of programs are theirs, and the generated key, the first API key and the first link stay where they are.
fn copy_texts(config: &Config, to: &Path) -> Result<Vec<String>> {
    let data_dir = &config.server.data_dir;
    let mut names = Vec::new();
    if data_dir.join(CONFIG).is_file() {
        names.push(CONFIG.to_owned());
    }
    let (defined, problems) = folder::read_all(data_dir);
    if let Some(problem) = problems.first() {
        return Err(err::validation(format!("A definition of a program cannot be copied: {problem}"))
            .with_hint("Correct the file, or take it out of the folder"));
    }
    names.extend(defined.iter().map(|(slug, _)| backup::program(slug)));
    if defined.len() > config.backup.files {
        return Err(err::validation("There are more definitions of programs than backup.files"));
    }
    make_folder(&to.join(PROGRAMS))?;
    for name in &names {
        let (from, to) = (data_dir.join(name), to.join(name));
        let size = from.metadata().map_err(|cause| unusable(&from, "read", &cause))?.len();
        if size > config.backup.text_bytes {
            return Err(err::validation(format!("{} is larger than backup.text_bytes", from.display())));
        }
        std::fs::copy(&from, &to).map_err(|cause| unusable(&from, "copied", &cause))?;
    }
    Ok(names)
}

fn make_folder(path: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|cause| unusable(path, "made", &cause))
}

/// Looks whether a backup is whole and fits the key at hand, if there is one in the environment or in `data_dir`.
pub(super) async fn verify(file: &Path, data_dir: Option<PathBuf>) -> Result<Found> {
    let config = settings(&Installation { data_dir, ..Installation::default() })?;
    let unpacked = tempfile::Builder::new().prefix(UNFINISHED).tempdir();
    let unpacked = unpacked.map_err(|cause| unusable(&std::env::temp_dir(), "written", &cause))?;
    let archive = archive::read(file, &config.backup, Some(unpacked.path()))?;
    let manifest = &archive.manifest;
    knows(file, manifest)?;
    let key_dir = &config.server.data_dir;
    let present = at_hand(key_dir)?;
    let with_key = !present.is_empty();
    if with_key {
        fits(manifest, &present, key_dir)?;
    }
    let seen = examine(unpacked.path(), Some(key_dir.as_path()).filter(|_| with_key), &config).await?;
    seen.store.close().await;
    agrees(file, &archive, &seen, with_key)?;
    if let Some(broken) = seen.broken() {
        return Err(err::conflict(format!("The audit log in {} is not what was written: {broken}", file.display()))
            .with_hint("It was so when it was copied: look at the gateway's own with aerostack audit verify"));
    }
    Ok(Found {
        created_at: manifest.created_at,
        version: manifest.version.clone(),
        keys: manifest.keys.clone(),
        with_key,
        analytics: manifest.has_analytics(),
        audit_entries: seen.verdict.map_or(0, |verdict| verdict.checked),
        bytes: manifest.unpacked().unwrap_or(u64::MAX),
    })
}

/// Restores a backup into a folder that is empty, but for the key's file.
pub(super) async fn restore(file: &Path, data_dir: PathBuf) -> Result<Restored> {
    let config = settings(&Installation { data_dir: Some(data_dir.clone()), ..Installation::default() })?;
    if !config.database.url.is_empty() {
        return Err(err::validation("database.url is set: a gateway would not use the restored folder")
            .with_hint("Unset AEROSTACK_DATABASE_URL, here and for the gateway"));
    }
    let whole = archive::read(file, &config.backup, None)?;
    knows(file, &whole.manifest)?;
    must_be_empty(&data_dir, None)?;
    fits(&whole.manifest, &at_hand(&data_dir)?, &data_dir)?;

    // Nothing was written so far.
    let made_now = !data_dir.exists();
    make_folder(&data_dir)?;
    let restored = put_back(file, &data_dir, &config).await;
    if restored.is_err() && made_now {
        // Empty again; if it is not, somebody else has begun to use it.
        let _in_use = std::fs::remove_dir(&data_dir);
    }
    restored
}

async fn put_back(file: &Path, data_dir: &Path, config: &Config) -> Result<Restored> {
    let staging = unfinished(data_dir)?;
    let archive = archive::read(file, &config.backup, Some(staging.path()))?;
    make_folder(&staging.path().join(PROGRAMS))?;
    let seen = examine(staging.path(), Some(data_dir), config).await?;
    let noted = match agrees(file, &archive, &seen, true).and_then(|()| newest(&seen.audit_keys)) {
        Ok(key) => {
            seen.store.set_audit_key(key);
            let (made, through) = (archive.manifest.created_at, archive.manifest.audit.seq);
            note(&seen.store, "backup_restored", file, |entry| {
                entry.with("created_at", made.to_rfc3339()).with("through", through)
            })
            .await
        }
        Err(refused) => Err(refused),
    };
    seen.store.close().await;
    noted?;
    must_be_empty(data_dir, staging.path().file_name())?;
    move_in(staging.path(), data_dir)?;
    let manifest = archive.manifest;
    Ok(Restored {
        data_dir: data_dir.display().to_string(),
        created_at: manifest.created_at,
        analytics: manifest.has_analytics(),
        audit_broken: seen.broken(),
        audit_entries: seen.verdict.map_or(0, |verdict| verdict.checked),
        audit_through: manifest.audit.seq,
        keys: manifest.keys,
    })
}

/// The main database comes last, when all else is on the disk: a folder without it was not restored.
fn move_in(staging: &Path, data_dir: &Path) -> Result<()> {
    let failed = |cause: io::Error| unusable(data_dir, "written", &cause);
    let give = |name: &OsStr| std::fs::rename(staging.join(name), data_dir.join(name)).map_err(failed);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(staging).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name());
    }
    names.retain(|name| name != LOCK && name != STATE);
    sync(&staging.join(PROGRAMS))?;
    names.iter().try_for_each(|name| give(name))?;
    sync(data_dir)?;
    give(OsStr::new(STATE))?;
    sync(data_dir)
}

/// Refuses a folder in which something is, but for the key's file and `ours`.
fn must_be_empty(data_dir: &Path, ours: Option<&OsStr>) -> Result<()> {
    let entries = match std::fs::read_dir(data_dir) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(unusable(data_dir, "read", &cause)),
    };
    for entry in entries {
        let name = entry.map_err(|cause| unusable(data_dir, "read", &cause))?.file_name();
        if name != FILE_NAME && ours != Some(name.as_os_str()) {
            let there = name.to_string_lossy();
            return Err(err::conflict(format!("{} is not empty: {there} is in it", data_dir.display()))
                .with_hint(format!("Name a new folder; only {FILE_NAME} may be in it already")));
        }
    }
    Ok(())
}

/// The keys of the environment, or the generated one in the folder.
fn at_hand(data_dir: &Path) -> Result<Vec<FoundKey>> {
    let configured = ConfiguredKeys::from_environment()?;
    match configured.current {
        Some(current) => Ok([Some(current), configured.previous].into_iter().flatten().collect()),
        None => Ok(key_source::generated_key(data_dir)?.into_iter().collect()),
    }
}

fn fits(manifest: &Manifest, present: &[FoundKey], data_dir: &Path) -> Result<()> {
    let ids: Vec<String> = present.iter().map(|found| found.key.id().to_string()).collect();
    if manifest.keys.iter().all(|needed| ids.contains(needed)) {
        return Ok(());
    }
    let held = present.iter().map(|found| format!("{} holds key {}", found.source, found.key.id())).collect::<Vec<_>>();
    let held = if held.is_empty() { "no key is given".to_owned() } else { held.join(" and ") };
    Err(key_source::refusal(
        format!("The backup is protected by key {}, and {held}", manifest.keys.join(", ")),
        format!(
            "Set {VARIABLE}_FILE (or {VARIABLE}, {VARIABLE}_COMMAND) to that key, or put it at {}",
            key_source::generated_path(data_dir).display()
        ),
    ))
}

fn knows(file: &Path, manifest: &Manifest) -> Result<()> {
    if snapshot::knows_schema(&manifest.schema) {
        return Ok(());
    }
    Err(err::conflict(format!("{} was made by a newer aerostack ({})", file.display(), manifest.version))
        .with_hint(format!("Use version {} or a later one", manifest.version)))
}

/// What the database in a folder says of itself.
struct Examined {
    store: Store,
    key_ids: Vec<String>,
    audit_keys: Vec<AuditKey>,
    end: End,
    verdict: Option<Verdict>,
}

impl Examined {
    /// What is wrong with its audit log, for people.
    fn broken(&self) -> Option<String> {
        self.verdict.as_ref()?.broken.as_ref().map(|(seq, flaw)| flaw.explain(*seq))
    }
}

/// Opens a copied database and looks through it; with `key_dir` (where the generated key would be), with its keys. A schema
/// of an earlier version is brought up to date.
async fn examine(folder: &Path, key_dir: Option<&Path>, config: &Config) -> Result<Examined> {
    let database = DatabaseConfig { url: String::new(), ..config.database.clone() };
    let store = Store::open(&database, folder).await?;
    let limit = Duration::from_secs(config.backup.check_seconds);
    let looked = timeout(limit, look(&store, key_dir, limit)).await;
    let looked = looked.unwrap_or_else(|_elapsed| {
        Err(Error::new(
            ErrorCode::StoreUnavailable,
            "Looking through the database took longer than backup.check_seconds",
        ))
    });
    // It is not closed on failure: that would wait for a look that took too long.
    let (key_ids, audit_keys, end, verdict) = looked?;
    Ok(Examined { store, key_ids, audit_keys, end, verdict })
}

type Looked = (Vec<String>, Vec<AuditKey>, End, Option<Verdict>);

async fn look(store: &Store, key_dir: Option<&Path>, limit: Duration) -> Result<Looked> {
    store.quick_check(limit).await?;
    let rows = store.read(|db| async move { keyring::all(&db).await }).await?;
    let mut key_ids: Vec<String> = rows.into_iter().map(|row| row.kek_kid).collect();
    key_ids.sort_unstable();
    key_ids.dedup();
    let end = store.read(|db| async move { audit_check::head(&db).await }).await?;
    let end = End { seq: end.seq, mac: hex(&end.mac) };
    let Some(key_dir) = key_dir else { return Ok((key_ids, Vec::new(), end, None)) };
    let keys = Vault::audit_keys_beside(store, ConfiguredKeys::from_environment()?, key_dir).await?;
    let chain = keys.clone();
    let check = move |db| async move {
        let scope = Scope { from: None, checkpoints: &[], with_state: true };
        audit_check::verify(&db, &chain, scope).await
    };
    let verdict = store.read(check).await?;
    Ok((key_ids, keys, end, Some(verdict)))
}

/// Compares the list of a backup with the database in it, and looks at the seal.
fn agrees(file: &Path, archive: &Archive, seen: &Examined, with_key: bool) -> Result<()> {
    let manifest = &archive.manifest;
    if manifest.instance != seen.store.instance_id() || manifest.keys != seen.key_ids || manifest.audit != seen.end {
        return Err(damaged(file, "its list does not belong to its database"));
    }
    if with_key && !backup::is_sealed(&seen.audit_keys, &archive.covered, &archive.seal) {
        return Err(damaged(file, "its list was not sealed by this installation: somebody has changed it"));
    }
    Ok(())
}

fn newest(keys: &[AuditKey]) -> Result<AuditKey> {
    keys.last().cloned().ok_or_else(|| Error::internal("looking for the audit key", "none"))
}

/// Writes an entry into the audit log, for the namespace of the installation's owner.
async fn note(store: &Store, action: &str, file: &Path, with: impl FnOnce(AuditEntry) -> AuditEntry) -> Result<()> {
    let owner = store.read(|db| async move { accounts::first(&db).await }).await?;
    let owner = owner.ok_or_else(|| err::conflict("There is nothing to copy: nobody has an account yet"))?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let entry = with(AuditEntry::by_actor(owner.id, OPERATOR, action, ("backup", &name)));
    store.write(move |tx| Box::pin(async move { tx.audit(entry).await })).await
}
