//! `audit_head`: two rows: the newest link (locked by whoever appends) and the last pruned one.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_head")]
pub struct Model {
    /// `head` or `pruned`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    pub seq: i64,
    /// Mac of that link.
    pub mac: Vec<u8>,
    pub key_version: i32,
    /// For `pruned`: signature over the row itself.
    pub seal: Vec<u8>,
    pub ts_ms: i64,
}

impl ActiveModelBehavior for ActiveModel {}
