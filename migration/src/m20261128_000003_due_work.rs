//! What a change of one actor leaves to another, until it is done.

use sea_orm_migration::{prelude::*, schema::*};

use crate::table::table;

const TABLE: &str = "due_work";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns =
            [uuid("id").primary_key().take(), text("kind"), text("subject"), timestamp_with_time_zone("created_at")];
        manager.create_table(table(TABLE, columns)).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(TABLE).to_owned()).await
    }
}
