//! Are the stored secrets as new as the audit log says? An older row that somebody wrote back by SQL still decrypts, and
//! the log is intact all the same; but every entry about a secret names the version of its value, and so the two can be
//! compared.

use std::collections::BTreeMap;

use sea_orm::ConnectionTrait;
use serde_json::Value;

use crate::{
    domain::ids::SecretId,
    error::Result,
    store::{audit::Meta, secrets},
};

/// Rows read at once.
const PAGE: u64 = 2000;
/// The act after which a secret is gone for good: a secret of the same name that is set later has another id.
const DELETED: &str = "secret_deleted";

/// What the log said last of each secret that was ever set.
#[derive(Default)]
pub(super) struct SecretsSaid(BTreeMap<SecretId, Said>);

struct Said {
    seq: u64,
    /// The version of its value; none: it was deleted.
    version: Option<u64>,
}

impl SecretsSaid {
    /// Takes note of a genuine entry.
    pub(super) fn hear(&mut self, seq: u64, action: &str, meta: &Meta) {
        let id = meta.detail.get("secret").and_then(Value::as_str).and_then(|id| id.parse().ok());
        let version = meta.detail.get("value_version").and_then(Value::as_u64);
        if let (Some(id), Some(version)) = (id, version) {
            self.0.insert(id, Said { seq, version: Some(version).filter(|_| action != DELETED) });
        }
    }

    /// Compares the stored secrets, to be called after the log was read: how many are as new as it says, and the first
    /// entry whose secret is older, or back although it was deleted. What the log does not know any more (its entry was
    /// pruned) is not counted.
    pub(super) async fn compare(&self, db: &impl ConnectionTrait) -> Result<(u64, Option<u64>)> {
        let (mut after, mut compared, mut older): (_, u64, Option<u64>) = (None, 0, None);
        loop {
            let rows = secrets::versions(db, after, PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok((compared, older)) };
            after = Some(*last);
            for (id, version) in rows {
                let Some(said) = self.0.get(&id) else { continue };
                match said.version {
                    Some(known) if version >= known => compared += 1,
                    _ => older = Some(older.map_or(said.seq, |seq| seq.min(said.seq))),
                }
            }
        }
    }
}
