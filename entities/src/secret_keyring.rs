//! `secret_keyring`: a data key, wrapped by the key outside the database. The same key may be wrapped twice during a rotation.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "secret_keyring")]
pub struct Model {
    /// The namespace; nil for keys of the installation.
    #[sea_orm(primary_key, auto_increment = false)]
    pub project_id: Uuid,
    /// `secrets`, `audit`, `state` or `session`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub purpose: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub version: i32,
    /// Which outside key wraps it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kek_kid: String,
    pub iv: Vec<u8>,
    pub wrapped: Vec<u8>,
    /// `active` or `retired`.
    pub state: String,
    /// How often it was used to encrypt.
    pub encryptions: i64,
    pub created_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
