//! `session_states`: what can change in a client session; the rest of it is sealed in its id.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "session_states")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id_hash: Vec<u8>,
    pub token_id: Uuid,
    pub log_level: Option<String>,
    /// Resources that the client subscribed to: a JSON array of URIs as it knows them.
    pub subscriptions: Option<String>,
    pub ended_at: Option<DateTimeUtc>,
    pub updated_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
