//! `kept_answers`: what a request with an `Idempotency-Key` was answered, for whoever repeats it.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "kept_answers")]
pub struct Model {
    /// SHA-256 of account, route and key, in hexadecimal.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// SHA-256 of the request.
    pub fingerprint: Vec<u8>,
    /// HTTP status; nothing: not answered yet.
    pub status: Option<i32>,
    /// The answer, without what is shown only once.
    pub body: Option<String>,
    pub created_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
