//! A write transaction. What it changes, its audit entries and its change-log rows become visible together or not at
//! all. Audit entries are collected and appended just before the commit, so that the chain's head is locked for the
//! shortest time and always last.
//!
//! What somebody does says who does it: by its audit entry, or, where nothing is worth an entry, by [`Tx::acts`]. A
//! transaction that does neither is not committed, unless it is the gateway's own upkeep.
//!
//! Who acts may have said what they have seen of the thing they change (`If-Match`). That nobody else has changed it since
//! is looked at when the head of the chain is locked: administrative transactions pass it one after the other. So is
//! whether they may still act: who was removed, or whose key was revoked, changes nothing from then on, whenever their
//! request had begun.

use std::{fmt, mem, sync::Arc};

use entities::change_log;
use parking_lot::Mutex;
use sea_orm::{
    ActiveValue::NotSet, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, PaginatorTrait, QueryFilter,
    Set,
};
use uuid::Uuid;

use crate::{
    domain::{audit_chain::AuditKey, clock, role::Principal, seen::Seen},
    error::{Error, ErrorCode, Result},
    store::{
        audit::{self, AuditEntry, AuditRecord},
        failure::unavailable,
        warrant::Warrant,
    },
};

/// An open write transaction. Commits when the closure given to `Store::write` returns `Ok`, rolls back otherwise.
pub struct Tx {
    conn: DatabaseTransaction,
    node: Uuid,
    doing: Doing,
    audit: Mutex<Vec<AuditEntry>>,
    acting: Mutex<Option<Acting>>,
    changed: Mutex<Vec<(String, String)>>,
}

/// Whose doing a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    /// Somebody's, who is to be known.
    Act,
    /// The gateway's own.
    Upkeep,
}

/// Who does something that writes no audit entry.
struct Acting {
    warrant: Option<Warrant>,
    seen: Option<Arc<Seen>>,
}

/// How many changes of a thing were written so far.
pub async fn changes_of(db: &impl ConnectionTrait, kind: &str, subject: &str) -> Result<u64> {
    let all = change_log::Entity::find().filter(change_log::Column::Kind.eq(kind));
    Ok(all.filter(change_log::Column::Subject.eq(subject)).count(db).await?)
}

/// The thing is not what the caller has seen.
pub fn has_changed() -> Error {
    Error::new(ErrorCode::PreconditionFailed, "It has changed since it was read; nothing was done")
        .with_hint("read it again, then decide")
}

impl Tx {
    pub(super) fn new(conn: DatabaseTransaction, node: Uuid, doing: Doing) -> Self {
        Tx { conn, node, doing, audit: Mutex::default(), acting: Mutex::default(), changed: Mutex::default() }
    }

    /// The connection, for SeaORM's queries.
    pub fn conn(&self) -> &DatabaseTransaction {
        &self.conn
    }

    /// Adds an entry to the audit chain. It is written with the transaction: if it cannot be, nothing is.
    pub async fn audit(&self, entry: AuditEntry) -> Result<()> {
        self.audit.lock().push(entry);
        Ok(())
    }

    /// Says who acts where there may be nothing to write into the audit log: it counts only if `by` may still act when
    /// it is committed.
    pub fn acts(&self, by: &Principal) {
        *self.acting.lock() = Some(Acting { warrant: Warrant::of(by), seen: by.seen.clone() });
    }

    /// Tells other nodes what changed: `kind` is the table in their words (`token`, `server`), `subject` its id.
    pub async fn change(&self, kind: &str, subject: impl fmt::Display) -> Result<()> {
        let subject = subject.to_string();
        self.changed.lock().push((kind.to_owned(), subject.clone()));
        let row = change_log::ActiveModel {
            seq: NotSet,
            node_id: Set(self.node),
            kind: Set(kind.to_owned()),
            subject: Set(subject),
            at: Set(clock::now()),
        };
        change_log::Entity::insert(row).exec_without_returning(&self.conn).await?;
        Ok(())
    }

    /// Goes on only if the changes of a thing are those that were known and this transaction's own.
    async fn require_unchanged(&self, seen: &Seen) -> Result<()> {
        let own = self.changed.lock().iter().filter(|(kind, of)| kind == seen.kind && *of == seen.subject).count();
        let known = seen.changes.saturating_add(u64::try_from(own).unwrap_or(u64::MAX));
        if changes_of(&self.conn, seen.kind, &seen.subject).await? == known { Ok(()) } else { Err(has_changed()) }
    }

    /// Writes the collected audit entries, and looks once more whether who acts may; then it can be committed.
    pub(super) async fn finish(&self, key: Option<&AuditKey>) -> Result<Vec<Arc<AuditRecord>>> {
        let (entries, acting) = (mem::take(&mut *self.audit.lock()), self.acting.lock().take());
        if entries.is_empty() && acting.is_none() {
            return match self.doing {
                Doing::Upkeep => Ok(Vec::new()),
                Doing::Act => Err(Error::internal("committing", "nobody said who acts: no audit entry, no warrant")),
            };
        }
        let (warrant, acted_on) = acting.map_or((None, None), |acting| (acting.warrant, acting.seen));
        let seen = entries.iter().find_map(|entry| entry.seen.clone()).or(acted_on);
        let mut warrants: Vec<Warrant> = entries.iter().filter_map(|entry| entry.warrant.clone()).collect();
        warrants.extend(warrant);
        warrants.dedup();
        let written = if entries.is_empty() {
            audit::lock(&self.conn).await?;
            Vec::new()
        } else {
            let key = key.ok_or_else(|| unavailable("The audit key is not loaded yet"))?;
            audit::append(&self.conn, key, entries).await?
        };
        for warrant in warrants {
            warrant.require(&self.conn).await?;
        }
        match seen {
            Some(seen) => self.require_unchanged(&seen).await.map(|()| written),
            None => Ok(written),
        }
    }

    pub(super) fn into_conn(self) -> DatabaseTransaction {
        self.conn
    }
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tx")
    }
}
