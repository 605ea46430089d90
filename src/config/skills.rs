//! Settings of skills.

use serde::{Deserialize, Serialize};

/// Skills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SkillsConfig {
    /// Largest manifest (`aerostack.json`), bytes.
    pub manifest_bytes: usize,
    /// Largest document (`SKILL.md`), bytes.
    pub document_bytes: usize,
    /// Versions of one skill.
    pub versions: usize,
    /// Skills of one namespace.
    pub per_namespace: usize,
    /// Whether `/v0.1/servers` lists public skills to everybody; otherwise to whoever has an API key.
    pub open_registry: bool,
}

impl Default for SkillsConfig {
    fn default() -> Self {
        SkillsConfig {
            manifest_bytes: 64 * 1024,
            document_bytes: 256 * 1024,
            versions: 500,
            per_namespace: 1000,
            open_registry: false,
        }
    }
}
