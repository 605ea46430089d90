//! The part of [`super::dto`] about skills.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use utoipa::ToSchema;

use crate::domain::skill::Visibility;

/// A published skill.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Skill {
    /// How it is named in commands.
    #[schema(example = "@acme/deploy-skill")]
    pub skill: String,
    /// Whose it is.
    pub namespace: String,
    /// Its name there.
    pub name: String,
    /// Who may see and install it.
    pub visibility: Visibility,
    /// What it does.
    pub description: String,
    /// What it is about.
    pub category: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// The newest version that was not withdrawn; `null`: all were.
    pub newest: Option<String>,
    /// When it was published first.
    pub created_at: DateTime<Utc>,
    /// When a version was published last.
    pub updated_at: DateTime<Utc>,
}

/// A published version.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SkillVersion {
    /// Its number.
    #[schema(example = "1.2.0")]
    pub version: String,
    /// SHA-256 of manifest and document, hexadecimal.
    pub hash: String,
    /// User name of who published it.
    pub published_by: String,
    /// When.
    pub published_at: DateTime<Utc>,
    /// When it was withdrawn: it is not installed any more, where it is installed it stays.
    pub yanked_at: Option<DateTime<Utc>>,
}

/// A skill with its versions, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SkillDetail {
    /// The skill.
    #[serde(flatten)]
    pub skill: Skill,
    /// Its versions.
    pub versions: Vec<SkillVersion>,
}

/// A version with everything that was published.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SkillPackage {
    /// How the skill is named in commands.
    pub skill: String,
    /// The version.
    #[serde(flatten)]
    pub version: SkillVersion,
    /// `aerostack.json`.
    #[schema(value_type = Object)]
    pub manifest: Value,
    /// `SKILL.md`.
    pub document: String,
}

/// Publishes a version of a skill.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishSkill {
    /// `aerostack.json`.
    #[schema(value_type = Object)]
    pub manifest: Box<RawValue>,
    /// `SKILL.md`.
    pub document: String,
    /// Another name than the manifest's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Another worker than the manifest's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_url: Option<String>,
    /// Who may see it; left out: as before, a new skill everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
}

/// What publishing did.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Published {
    /// How it is named in commands.
    pub skill: String,
    /// The version.
    pub version: String,
    /// Who may see it.
    pub visibility: Visibility,
    /// The version is new; otherwise the same was there already.
    pub created: bool,
}

/// Changes a version: nothing but whether it is withdrawn.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeVersion {
    /// Withdraw it, or take that back.
    pub yanked: bool,
}

/// What installing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InstallOutcome {
    /// It was not there before.
    #[default]
    Installed,
    /// It was there, in another version.
    Upgraded,
    /// It was there.
    Unchanged,
}
