//! `api_keys`: an account's key for the admin API. Only the hash of the value is stored.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "api_keys")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub account_id: Uuid,
    /// The namespace the key acts in unless the caller names another.
    pub namespace_id: Uuid,
    pub name: String,
    /// SHA-256 of the whole key, unique.
    pub hash: Vec<u8>,
    /// Last characters of the value.
    pub hint: String,
    /// Whether it acts in `namespace_id` only.
    pub bound: bool,
    /// Upper bound of the role, whatever the account may do itself.
    pub max_role: Option<String>,
    pub created_at: DateTimeUtc,
    pub expires_at: Option<DateTimeUtc>,
    pub last_used_at: Option<DateTimeUtc>,
    pub revoked_at: Option<DateTimeUtc>,
}

impl ActiveModelBehavior for ActiveModel {}
