//! `accounts`: a person who can sign in; its id is also the id of its namespace.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "accounts")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Unique; the namespace as written (`acme` of `@acme`).
    pub username: String,
    /// Lower case, unique when present.
    pub email: Option<String>,
    /// Name of the plan whose limits apply to the namespace.
    pub plan: String,
    pub created_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
