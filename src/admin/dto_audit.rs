//! What is said about the audit log as a whole, and what one act changed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One field of what was changed. `null`: there was, or is, none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditChange {
    /// Its name.
    pub field: String,
    /// What it was.
    pub before: Option<String>,
    /// What it is since.
    pub after: Option<String>,
}

/// A place in the audit chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditPlace {
    /// Position of an entry, from 1.
    pub seq: u64,
    /// Its signature, 64 hexadecimal digits.
    pub mac: String,
    /// The installation it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

/// Asks whether the audit log is what was written.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyAudit {
    /// Begin with this entry, and take the one before it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Places that were kept outside the database, besides those in the gateway's own checkpoint file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checkpoints: Vec<AuditPlace>,
    /// Compare the stored secrets with what the log says of them, too: one that is older was put back by hand.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub with_state: bool,
}

/// Whether the audit log is what was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditVerdict {
    /// Nothing was found.
    pub intact: bool,
    /// Entries that are as they were written.
    pub checked: u64,
    /// Up to here entries were removed in order, because they were too old; 0: none.
    pub pruned_through: u64,
    /// Checkpoints that were compared. Without any, a log that was cut at its end cannot be told from a whole one.
    pub checkpoints: u64,
    /// Stored secrets that are as new as the log says; null: it was not asked.
    pub secrets: Option<u64>,
    /// The end of the chain.
    pub head: AuditPlace,
    /// The first entry that is not as it was written.
    pub broken: Option<AuditFlaw>,
}

/// What is wrong with the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditFlaw {
    /// Position of the entry.
    pub seq: u64,
    /// `changed`, `missing`, `moved`, `unknown_key`, `forged_prune`, `other_than_checkpoint`, `rolled_back` (what the
    /// entry is about is stored as it was before) or `row_missing` (it is not stored, and was not removed in order).
    pub flaw: String,
    /// The same for people.
    pub explanation: String,
}
