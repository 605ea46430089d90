//! What a backup says of itself. It is one file, a compressed tar: `manifest.json` first, its seal next, then the files
//! that the manifest lists, in its order. Pure: reading and writing it is `host`'s.
//!
//! The seal is made with a key that is only in the database, wrapped by the installation's key. So a backup that somebody
//! else has put together is found by whoever has the key, and a damaged one by everybody.

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::domain::{
    audit_chain::{AuditKey, hmac_sha256},
    audit_checkpoint::{hex, parse_mac},
    clock::Timestamp,
    framing::Framed,
    slug::Slug,
};

/// The form of backups that this program writes and reads.
pub const FORMAT: u32 = 1;
/// The main database in a backup.
pub const STATE: &str = "aerostack.db";
/// The statistics in a backup.
pub const ANALYTICS: &str = "analytics.db";
/// The configuration in a backup.
pub const CONFIG: &str = "config.toml";
/// The folder of programs' definitions in a backup.
pub const PROGRAMS: &str = "servers.d";

const LABEL: &str = "aerostack/backup/v1";

/// The list of contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of the backup.
    pub format: u32,
    /// The program that made it.
    pub version: String,
    /// When.
    pub created_at: Timestamp,
    /// Of which installation.
    pub instance: Uuid,
    /// Ids of the keys that protect it. The keys are not in it.
    pub keys: Vec<String>,
    /// The newest step of the main database's schema.
    pub schema: String,
    /// The newest entry of the audit log.
    pub audit: End,
    /// Its files.
    pub files: Vec<Content>,
}

/// The end of an audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Position of the entry.
    pub seq: u64,
    /// Its MAC, hexadecimal.
    pub mac: String,
}

/// A file in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Its path in the data folder.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}

impl Manifest {
    /// What is wrong with the list: a form of later, a file that has no place in a data folder, one that is there twice.
    pub fn flaw(&self) -> Option<String> {
        if self.format != FORMAT {
            return Some(format!("its form is {}, and this version reads {FORMAT}", self.format));
        }
        let mut names: Vec<&str> = self.files.iter().map(|file| file.name.as_str()).collect();
        if let Some(strange) = names.iter().find(|name| !has_a_place(name)) {
            return Some(format!("{strange:?} has no place in a data folder"));
        }
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        match (names.len() == all, names.contains(&STATE)) {
            (false, _) => Some("a file is in it twice".into()),
            (_, false) => Some(format!("{STATE} is not in it")),
            _ => None,
        }
    }

    /// Bytes of its files; none: more than can be counted.
    pub fn unpacked(&self) -> Option<u64> {
        self.files.iter().try_fold(0u64, |sum, file| sum.checked_add(file.bytes))
    }

    /// Whether the statistics are in it.
    pub fn has_analytics(&self) -> bool {
        self.files.iter().any(|file| file.name == ANALYTICS)
    }
}

/// The path of a program's definition.
pub fn program(slug: &str) -> String {
    format!("{PROGRAMS}/{slug}.toml")
}

fn has_a_place(name: &str) -> bool {
    let definition = name.strip_prefix(PROGRAMS).and_then(|rest| rest.strip_prefix('/')?.strip_suffix(".toml"));
    [STATE, ANALYTICS, CONFIG].contains(&name) || definition.is_some_and(|slug| Slug::parse(slug).is_ok())
}

/// The seal of a manifest, hexadecimal.
pub fn seal(key: &AuditKey, manifest: &[u8]) -> String {
    hex(&hmac_sha256(&key.key, &Framed::new(LABEL).bytes(manifest).finish()))
}

/// Whether one of these keys made the seal of a manifest.
pub fn is_sealed(keys: &[AuditKey], manifest: &[u8], said: &str) -> bool {
    let covered = Framed::new(LABEL).bytes(manifest).finish();
    let said = parse_mac(said);
    said.is_some_and(|said| keys.iter().any(|key| hmac_sha256(&key.key, &covered).ct_eq(&said).into()))
}

/// A backup that was made.
#[derive(Debug, Clone, Serialize)]
pub struct Made {
    /// Where it is.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// When it was begun.
    pub created_at: Timestamp,
    /// Ids of the keys that protect it.
    pub keys: Vec<String>,
    /// Where the present key was found; it is not in the backup.
    pub key_from: String,
    /// Whether the statistics are in it.
    pub analytics: bool,
    /// Entries of its audit log that were checked.
    pub audit_entries: u64,
    /// What is wrong with the audit log that was copied as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_broken: Option<String>,
}

/// A backup that was looked at and is whole.
#[derive(Debug, Clone, Serialize)]
pub struct Found {
    /// When it was made.
    pub created_at: Timestamp,
    /// By which version.
    pub version: String,
    /// Ids of the keys that protect it.
    pub keys: Vec<String>,
    /// Whether a key was at hand; without one, seal and audit log are not checked.
    pub with_key: bool,
    /// Whether the statistics are in it.
    pub analytics: bool,
    /// Entries of its audit log that were checked.
    pub audit_entries: u64,
    /// Its size unpacked.
    pub bytes: u64,
}

/// A backup that was restored.
#[derive(Debug, Clone, Serialize)]
pub struct Restored {
    /// Into which folder.
    pub data_dir: String,
    /// When the backup was made.
    pub created_at: Timestamp,
    /// Ids of the keys that protect it.
    pub keys: Vec<String>,
    /// Whether the statistics were in it.
    pub analytics: bool,
    /// Entries of its audit log that were checked.
    pub audit_entries: u64,
    /// The newest entry of the audit log that was in the backup.
    pub audit_through: u64,
    /// What is wrong with the audit log that was restored as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_broken: Option<String>,
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::domain::clock;

    fn manifest(names: &[&str]) -> Manifest {
        let content = |name: &&str| Content { name: (*name).into(), bytes: 1, sha256: String::new() };
        Manifest {
            format: FORMAT,
            version: "1".into(),
            created_at: clock::now(),
            instance: Uuid::nil(),
            keys: Vec::new(),
            schema: String::new(),
            audit: End { seq: 1, mac: String::new() },
            files: names.iter().map(content).collect(),
        }
    }

    #[test]
    fn a_list_names_only_files_of_a_data_folder_each_once() {
        assert_eq!(manifest(&[STATE, ANALYTICS, CONFIG, "servers.d/github.toml"]).flaw(), None);
        for strange in
            ["secrets.key", "../aerostack.db", "servers.d/../x.toml", "servers.d/a/b.toml", "/etc/passwd", ""]
        {
            let flaw = manifest(&[STATE, strange]).flaw().unwrap();
            assert!(flaw.contains("no place"), "{strange}: {flaw}");
        }
        assert!(manifest(&[STATE, STATE]).flaw().unwrap().contains("twice"));
        assert!(manifest(&[ANALYTICS]).flaw().unwrap().contains(STATE));
        let later = Manifest { format: 2, ..manifest(&[STATE]) };
        assert!(later.flaw().unwrap().contains('2'));
    }

    #[test]
    fn only_the_installations_key_makes_the_seal_and_of_that_list_only() {
        let [ours, theirs] = [7, 8].map(|byte| AuditKey { version: 1, key: Zeroizing::new([byte; 32]) });
        let said = seal(&ours, b"list");
        assert!(is_sealed(&[theirs.clone(), ours.clone()], b"list", &said));
        assert!(!is_sealed(std::slice::from_ref(&ours), b"lisT", &said));
        assert!(!is_sealed(&[theirs], b"list", &said));
        assert!(!is_sealed(&[ours], b"list", ""));
    }
}
