//! The data keys, unwrapped: opened once at the start, kept in memory that is wiped, seen only by the SecretVault.
//!
//! A start whose key does not open what is stored is refused before anything is written: continuing with another key
//! would leave secrets behind that nobody can read.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

use parking_lot::RwLock;
use uuid::Uuid;

use crate::{
    actors::key_source::{self, ConfiguredKeys, FoundKey, VARIABLE, refusal},
    domain::{
        audit_chain::AuditKey,
        clock,
        keys::{DataKey, Purpose, Slot, Wrapper},
    },
    error::{Error, ErrorCode, Result},
    store::{
        Store, Tx,
        keyring::{self, KeyRow},
    },
};

/// Values encrypted with one data key before a new one is made: far below the 2³² at which random IVs get risky.
const ENCRYPTIONS: u64 = 1 << 30;

/// See the module.
pub(super) struct Keyring {
    current: Wrapper,
    /// Every wrapper that opens something: the current one, and the previous one while keys are changed.
    openers: Vec<Wrapper>,
    keys: RwLock<HashMap<Slot, DataKey>>,
}

impl Keyring {
    /// Opens the stored data keys, or makes the first ones. Generates the installation's key only when none is
    /// configured and nothing is stored yet, and has it on the disk before anything is wrapped with it.
    pub(super) async fn open(store: &Store, configured: ConfiguredKeys, data_dir: &Path) -> Result<Self> {
        let rows = store.read(|db| async move { keyring::all(&db).await }).await?;
        let (current, previous) = choose(&rows, configured, data_dir)?;
        let given: Vec<&FoundKey> = std::iter::once(&current).chain(&previous).collect();
        check_every_slot_opens(&rows, &given, data_dir)?;
        let instance = store.instance_id();
        let keyring = Keyring {
            current: current.key.wrapper(instance),
            openers: given.iter().map(|found| found.key.wrapper(instance)).collect(),
            keys: RwLock::default(),
        };
        keyring.take(&rows)?;
        keyring.make_missing(store).await?;
        Ok(keyring)
    }

    /// Opens the stored data keys for a look at a database beside the gateway: nothing is generated or written.
    pub(super) async fn beside(store: &Store, configured: ConfiguredKeys, data_dir: &Path) -> Result<Self> {
        let rows = store.read(|db| async move { keyring::all(&db).await }).await?;
        if rows.is_empty() {
            return Err(refusal("The database holds no keys yet", "Start the gateway on it once"));
        }
        let (current, previous) = choose(&rows, configured, data_dir)?;
        let given: Vec<&FoundKey> = std::iter::once(&current).chain(&previous).collect();
        check_every_slot_opens(&rows, &given, data_dir)?;
        let instance = store.instance_id();
        let keyring = Keyring {
            current: current.key.wrapper(instance),
            openers: given.iter().map(|found| found.key.wrapper(instance)).collect(),
            keys: RwLock::default(),
        };
        keyring.take(&rows)?;
        Ok(keyring)
    }

    /// Unwraps what is not known yet. A damaged key of a namespace only makes that namespace's secrets unusable; a
    /// damaged key of the installation stops the start.
    fn take(&self, rows: &[KeyRow]) -> Result<()> {
        for row in rows {
            if self.get(&row.slot).is_some() {
                continue;
            }
            match self.unwrap(row) {
                Some(Ok(key)) => _ = self.keys.write().insert(row.slot, key),
                Some(Err(_)) if row.slot.purpose == Purpose::Secrets => {
                    tracing::error!(namespace = %row.slot.namespace, version = row.slot.version, "a data key is damaged");
                }
                Some(Err(damaged)) => return Err(damaged),
                None => {}
            }
        }
        Ok(())
    }

    /// `None`: wrapped by a key that is not given (the same data key may be there under one that is).
    fn unwrap(&self, row: &KeyRow) -> Option<Result<DataKey>> {
        let opener = self.openers.iter().find(|opener| opener.id().to_string() == row.kek_kid)?;
        Some(opener.unwrap(&row.slot, &row.iv, &row.wrapped).map_err(|_not_authentic| {
            refusal(
                format!(
                    "The stored {} key is damaged, though key {} is the right one",
                    row.slot.purpose.as_str(),
                    row.kek_kid
                ),
                "Restore the database from a backup",
            )
        }))
    }

    async fn make_missing(&self, store: &Store) -> Result<()> {
        let missing: Vec<Slot> = [Purpose::Audit, Purpose::State, Purpose::Session]
            .into_iter()
            .filter(|purpose| self.newest(Uuid::nil(), *purpose).is_none())
            .map(|purpose| Slot { namespace: Uuid::nil(), purpose, version: 1 })
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let made: Vec<(KeyRow, DataKey)> = missing.iter().map(|slot| self.make(*slot)).collect();
        let rows: Vec<KeyRow> = made.iter().map(|(row, _)| row.clone()).collect();
        let written = store
            .upkeep(move |tx| {
                Box::pin(async move {
                    for row in &rows {
                        keyring::insert(tx, row).await?;
                    }
                    Ok(())
                })
            })
            .await;
        match written {
            Ok(()) => made.into_iter().for_each(|(row, key)| self.remember(row.slot, key)),
            // Another first start was faster: its keys are the keys.
            Err(refused) if refused.code() == ErrorCode::Conflict => {
                let rows = store.read(|db| async move { keyring::all(&db).await }).await?;
                self.take(&rows)?;
            }
            Err(failed) => return Err(failed),
        }
        let complete = missing.iter().all(|slot| self.get(slot).is_some());
        if complete {
            Ok(())
        } else {
            Err(refusal("Another process set up this database with another key", "Start only one"))
        }
    }

    fn make(&self, slot: Slot) -> (KeyRow, DataKey) {
        let key = DataKey::generate(slot.version);
        let (iv, wrapped) = self.current.wrap(&slot, &key);
        let row = KeyRow {
            slot,
            kek_kid: self.current.id().to_string(),
            iv: iv.to_vec(),
            wrapped,
            active: true,
            encryptions: 0,
            created_at: clock::now(),
        };
        (row, key)
    }

    /// The key that encrypts a namespace's next value: its newest one, or a fresh one (written in `tx`) when it has
    /// none or the newest has done its share. To be [remembered](Keyring::remember) after the commit.
    pub(super) async fn for_sealing(&self, tx: &Tx, namespace: Uuid) -> Result<(Slot, DataKey)> {
        let rows = keyring::all(tx.conn()).await?;
        let ours = rows.iter().filter(|row| row.slot.namespace == namespace && row.slot.purpose == Purpose::Secrets);
        let newest = ours.clone().filter(|row| row.active).max_by_key(|row| row.slot.version);
        let slot = match newest {
            Some(row) if row.encryptions < ENCRYPTIONS => {
                if let Some(key) = self.get(&row.slot).or_else(|| self.open_one(&rows, &row.slot)) {
                    keyring::count_encryptions(tx, &row.slot, 1).await?;
                    return Ok((row.slot, key));
                }
                // Damaged: what it encrypted is lost, but new values need not be.
                Slot { version: row.slot.version + 1, ..row.slot }
            }
            _ => {
                let last = ours.map(|row| row.slot.version).max().unwrap_or(0);
                Slot { namespace, purpose: Purpose::Secrets, version: last + 1 }
            }
        };
        let (row, key) = self.make(slot);
        keyring::insert(tx, &KeyRow { encryptions: 1, ..row }).await?;
        Ok((slot, key))
    }

    fn open_one(&self, rows: &[KeyRow], slot: &Slot) -> Option<DataKey> {
        rows.iter().filter(|row| row.slot == *slot).find_map(|row| self.unwrap(row)?.ok())
    }

    /// Keeps a key whose row is committed.
    pub(super) fn remember(&self, slot: Slot, key: DataKey) {
        self.keys.write().insert(slot, key);
    }

    /// Takes keys that another process has made.
    pub(super) async fn refresh(&self, store: &Store) -> Result<()> {
        let rows = store.read(|db| async move { keyring::all(&db).await }).await?;
        self.take(&rows)
    }

    /// A key by its slot.
    pub(super) fn get(&self, slot: &Slot) -> Option<DataKey> {
        self.keys.read().get(slot).cloned()
    }

    /// The newest key of a namespace for a purpose.
    pub(super) fn newest(&self, namespace: Uuid, purpose: Purpose) -> Option<DataKey> {
        let keys = self.keys.read();
        let fitting = keys.iter().filter(|(slot, _)| slot.namespace == namespace && slot.purpose == purpose);
        fitting.max_by_key(|(slot, _)| slot.version).map(|(_, key)| key.clone())
    }

    /// The newest key of the installation for a purpose; made at the start, so it is there.
    pub(super) fn installation(&self, purpose: Purpose) -> Result<DataKey> {
        self.newest(Uuid::nil(), purpose)
            .ok_or_else(|| Error::internal("looking for a key of the installation", purpose.as_str()))
    }

    /// Every version of the audit key, oldest first.
    pub(super) fn audit_keys(&self) -> Vec<AuditKey> {
        let keys = self.keys.read();
        let mut found: Vec<AuditKey> = keys
            .iter()
            .filter(|(slot, _)| slot.purpose == Purpose::Audit)
            .map(|(_, key)| AuditKey { version: key.version, key: key.key.clone() })
            .collect();
        found.sort_by_key(|key| key.version);
        found
    }

    /// Keys in memory.
    pub(super) fn len(&self) -> usize {
        self.keys.read().len()
    }
}

fn choose(rows: &[KeyRow], configured: ConfiguredKeys, data_dir: &Path) -> Result<(FoundKey, Option<FoundKey>)> {
    if let Some(current) = configured.current {
        return Ok((current, configured.previous));
    }
    if let Some(generated) = key_source::generated_key(data_dir)? {
        return Ok((generated, None));
    }
    if rows.is_empty() {
        return Ok((key_source::generate_key(data_dir)?, None));
    }
    Err(refusal(
        format!("The database is protected by key {}, and no key is given", ids(rows)),
        format!(
            "Set {VARIABLE}_FILE (or {VARIABLE}, {VARIABLE}_COMMAND) to that key, or restore {}",
            key_source::generated_path(data_dir).display()
        ),
    ))
}

fn check_every_slot_opens(rows: &[KeyRow], given: &[&FoundKey], data_dir: &Path) -> Result<()> {
    let known: Vec<String> = given.iter().map(|found| found.key.id().to_string()).collect();
    let opening: BTreeSet<Slot> = rows.iter().filter(|row| known.contains(&row.kek_kid)).map(|row| row.slot).collect();
    if rows.iter().all(|row| opening.contains(&row.slot)) {
        return Ok(());
    }
    let held = given.iter().map(|found| format!("{} holds key {}", found.source, found.key.id()));
    let message =
        format!("The database is protected by key {}, but {}", ids(rows), held.collect::<Vec<_>>().join(" and "));
    let path = key_source::generated_path(data_dir);
    let in_file = key_source::generated_key(data_dir).ok().flatten();
    let stored_in_file = in_file.is_some_and(|found| rows.iter().any(|row| row.kek_kid == found.key.id().to_string()));
    let hint = if stored_in_file
        && !known.is_empty()
        && given.iter().all(|found| found.source != path.display().to_string())
    {
        format!(
            "{} holds the right key: unset {VARIABLE} to go on with it, or set {VARIABLE}_PREVIOUS_FILE to it to change keys",
            path.display()
        )
    } else {
        format!("Set the key that protected it, or, to change keys, set {VARIABLE}_PREVIOUS to it as well")
    };
    Err(refusal(message, hint))
}

fn ids(rows: &[KeyRow]) -> String {
    let ids: BTreeSet<&str> = rows.iter().map(|row| row.kek_kid.as_str()).collect();
    ids.into_iter().collect::<Vec<_>>().join(", ")
}
