//! Finds the tokens of a workspace that are in force without reading all it ever had: issuing and counting must not get
//! slower with every token that was revoked.

use sea_orm_migration::prelude::*;

use crate::table::index;

const TABLE: &str = "workspace_tokens";
const COLUMNS: [&str; 2] = ["workspace_id", "revoked_at"];

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        index(manager, TABLE, COLUMNS, false).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let name = format!("{TABLE}__{}", COLUMNS.join("__"));
        manager.drop_index(Index::drop().name(name).table(TABLE).to_owned()).await
    }
}
