//! `audit_entries`: one link of the audit chain. The mac covers every column but the workspaces' index.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_entries")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    pub ts_ms: i64,
    /// Copy of what `meta` says, for queries.
    pub namespace_id: Uuid,
    /// Copy of what `meta` says, for queries.
    pub kind: String,
    /// Kind and name, for example `user:alice@acme`.
    pub actor: String,
    pub action: String,
    /// Kind and name, for example `token:Alice Chen`.
    pub target: String,
    /// JSON, exactly as it was signed.
    pub meta: String,
    pub key_version: i32,
    pub mac: Vec<u8>,
}

impl ActiveModelBehavior for ActiveModel {}
