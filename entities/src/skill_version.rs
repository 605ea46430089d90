//! `skill_versions`: a published version of a skill. Its body and document are in its revision; nothing but `yanked_…`
//! ever changes.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "skill_versions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub revision_id: Uuid,
    pub server_id: Uuid,
    /// Unique for a skill (`1.2.0`).
    pub version: String,
    /// `aerostack.json` as it was published.
    pub manifest: String,
    /// SHA-256 of manifest and document.
    pub hash: Vec<u8>,
    pub yanked_at: Option<DateTimeUtc>,
    /// As the audit log names them.
    pub yanked_by: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
