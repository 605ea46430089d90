//! `workspace_servers`: An MCP server installed in a workspace, pinned to a revision.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "workspace_servers")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub workspace_id: Uuid,
    pub server_id: Uuid,
    pub revision_id: Uuid,
    /// The prefix an administrator chose, if any.
    pub prefix: Option<String>,
    /// The prefix in force, fixed when it was installed.
    pub exposed_prefix: String,
    /// Order in lists.
    pub position: i32,
    pub enabled: bool,
    /// `pin` or `track`.
    pub pin_mode: String,
    /// When the tools it had were approved as its baseline; nothing: not yet.
    pub pinned_at: Option<DateTimeUtc>,
    pub created_by: Uuid,
    pub created_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
