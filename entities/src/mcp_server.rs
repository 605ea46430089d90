//! `mcp_servers`: An MCP server definition of a namespace. What it is lives in its revisions.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mcp_servers")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub namespace_id: Uuid,
    pub slug: String,
    pub title: String,
    /// `http`, `stdio`, …
    pub kind: String,
    /// The newest revision.
    pub revision_id: Uuid,
    pub created_by: Uuid,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
