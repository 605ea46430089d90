//! Limits of backups.

use serde::{Deserialize, Serialize};

/// Backups.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackupConfig {
    /// Seconds that the copy of one database may take.
    pub snapshot_seconds: u64,
    /// Seconds that looking through a copied database may take.
    pub check_seconds: u64,
    /// Definitions of programs (`servers.d`) in a backup.
    pub files: usize,
    /// Largest definition or configuration file in a backup, bytes.
    pub text_bytes: u64,
    /// Largest list of contents that is read of a backup, bytes.
    pub manifest_bytes: u64,
    /// Most that a backup may hold unpacked, bytes.
    pub unpacked_bytes: u64,
}

impl Default for BackupConfig {
    fn default() -> Self {
        BackupConfig {
            snapshot_seconds: 3600,
            check_seconds: 3600,
            files: 1000,
            text_bytes: 1024 * 1024,
            manifest_bytes: 1024 * 1024,
            unpacked_bytes: 1 << 40,
        }
    }
}
