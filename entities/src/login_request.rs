//! `login_requests`: a command line that waits for somebody to say in a browser that it may have a key.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "login_requests")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// SHA-256 of what the command line asks with, unique.
    pub hash: Vec<u8>,
    /// What the person compares and types, unique among the open ones.
    pub user_code: String,
    /// What the command line calls itself.
    pub client: String,
    /// From where it asks.
    pub address: String,
    pub created_at: DateTimeUtc,
    pub expires_at: DateTimeUtc,
    /// Who said yes.
    pub confirmed_by: Option<Uuid>,
    /// When it was refused, or its key was fetched: over.
    pub ended_at: Option<DateTimeUtc>,
}

impl ActiveModelBehavior for ActiveModel {}
