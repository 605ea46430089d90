//! `tool_settings`: what an administrator decided about a tool of an installation. A tool without a row is on and has
//! its plain name.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tool_settings")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub installation_id: Uuid,
    /// The server's own name of it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub tool: String,
    pub workspace_id: Uuid,
    pub enabled: bool,
    /// The name clients see instead; unique in the workspace.
    pub alias: Option<String>,
    pub updated_at: DateTimeUtc,
    /// When its alias last changed, an alias that was taken away included.
    pub renamed_at: Option<DateTimeUtc>,
}

impl ActiveModelBehavior for ActiveModel {}
