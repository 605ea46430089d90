//! A write transaction. What it changes, its audit entries and its change-log rows become visible together or not at
//! all. Audit entries are collected and appended just before the commit, so that the chain's head is locked for the
//! shortest time and always last.

use std::{fmt, sync::Arc};

use parking_lot::Mutex;
use sea_orm::{ActiveValue::NotSet, DatabaseTransaction, EntityTrait, Set};
use uuid::Uuid;

use crate::{
    domain::{audit_chain::AuditKey, clock},
    error::Result,
    store::{
        audit::{self, AuditEntry, AuditRecord},
        failure::unavailable,
    },
};

/// An open write transaction. Commits when the closure given to `Store::write` returns `Ok`, rolls back otherwise.
pub struct Tx {
    conn: DatabaseTransaction,
    node: Uuid,
    audit: Mutex<Vec<AuditEntry>>,
}

impl Tx {
    pub(super) fn new(conn: DatabaseTransaction, node: Uuid) -> Self {
        Tx { conn, node, audit: Mutex::new(Vec::new()) }
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

    /// Tells other nodes what changed: `kind` is the table in their words (`token`, `server`), `subject` its id.
    pub async fn change(&self, kind: &str, subject: impl fmt::Display) -> Result<()> {
        let row = entities::change_log::ActiveModel {
            seq: NotSet,
            node_id: Set(self.node),
            kind: Set(kind.to_owned()),
            subject: Set(subject.to_string()),
            at: Set(clock::now()),
        };
        entities::change_log::Entity::insert(row).exec_without_returning(&self.conn).await?;
        Ok(())
    }

    /// Writes the collected audit entries and gives back the connection to commit.
    pub(super) async fn finish(&self, key: Option<&AuditKey>) -> Result<Vec<Arc<AuditRecord>>> {
        let entries = std::mem::take(&mut *self.audit.lock());
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let key = key.ok_or_else(|| unavailable("The audit key is not loaded yet"))?;
        audit::append(&self.conn, key, entries).await
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
