//! `workspace_tokens`: a workspace token. Only the hash of the value is stored; revoked rows stay.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "workspace_tokens")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub workspace_id: Uuid,
    /// SHA-256 of the whole token, unique.
    pub hash: Vec<u8>,
    /// Last characters of the value.
    pub hint: String,
    pub name: String,
    /// The account the token belongs to, if it is a member's.
    pub member_id: Option<Uuid>,
    /// JSON of what it may use (`allow`, `deny`, `read_only`); nothing: everything.
    pub scope: Option<String>,
    /// Overrides `limits.requests_per_minute`.
    pub requests_per_minute: Option<i32>,
    pub created_by: Uuid,
    pub created_at: DateTimeUtc,
    pub expires_at: Option<DateTimeUtc>,
    pub last_used_at: Option<DateTimeUtc>,
    pub revoked_at: Option<DateTimeUtc>,
    /// SHA-256 of the value before the last rotation, unique.
    pub previous_hash: Option<Vec<u8>>,
    /// Until when that value still works.
    pub previous_until: Option<DateTimeUtc>,
}

impl ActiveModelBehavior for ActiveModel {}
