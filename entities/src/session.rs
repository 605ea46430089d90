//! `sessions`: somebody signed in on the pages. Only the hash of the cookie's value is stored; ended rows stay until they
//! are pruned.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub account_id: Uuid,
    /// SHA-256 of the whole value, unique.
    pub hash: Vec<u8>,
    /// What the browser called itself.
    pub client: String,
    /// From where it was begun.
    pub address: String,
    pub created_at: DateTimeUtc,
    /// When it was last seen (up to a minute late).
    pub seen_at: DateTimeUtc,
    /// Its end, however much it is used.
    pub expires_at: DateTimeUtc,
    pub ended_at: Option<DateTimeUtc>,
}

impl ActiveModelBehavior for ActiveModel {}
