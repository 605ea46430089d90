//! `tool_pins`: which definition of a tool of an installation was approved, and which other one was seen since.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tool_pins")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub installation_id: Uuid,
    /// The server's own name of it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub tool: String,
    /// SHA-256 of the approved definition; nothing: none was.
    pub approved_hash: Option<Vec<u8>>,
    /// The approved definition, perhaps cut.
    pub approved: Option<String>,
    /// SHA-256 of the definition seen since, if it is another one.
    pub seen_hash: Option<Vec<u8>>,
    /// That definition, perhaps cut.
    pub seen: Option<String>,
    pub seen_at: Option<DateTimeUtc>,
    /// Whether the definition seen since was rejected.
    pub rejected: bool,
    /// The name clients see where the plain one does not fit, kept for good.
    pub short_name: Option<String>,
    /// Who decided last, as the audit log names them.
    pub decided_by: Option<String>,
    pub decided_at: Option<DateTimeUtc>,
    /// When the server was first seen to have it; nothing: before that was noted.
    pub first_seen_at: Option<DateTimeUtc>,
}

impl ActiveModelBehavior for ActiveModel {}
