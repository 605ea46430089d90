//! Many calls of one minute in one row: see `store::packs`.

use sea_orm_migration::{prelude::*, schema::*};

use crate::table::table;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// All or nothing, on SQLite too.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(table("tool_call_packs", [pk_uuid("id"), integer("calls"), blob("body")])).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("tool_call_packs").to_owned()).await
    }
}
