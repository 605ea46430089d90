//! When the alias of a tool last changed: under the name it has since it has no history of being unused. Of an alias that
//! is there, the last change of its row may have been another one; it is the latest it can have been.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut column = timestamp_with_time_zone_null("renamed_at");
        manager.alter_table(Table::alter().table("tool_settings").add_column(&mut column).to_owned()).await?;
        let known = "UPDATE tool_settings SET renamed_at = updated_at WHERE alias IS NOT NULL";
        manager.get_connection().execute_unprepared(known).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("tool_settings").drop_column("renamed_at").to_owned()).await
    }
}
