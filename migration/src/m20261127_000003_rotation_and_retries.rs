//! The value that a token had before it was rotated, and until when it still works; answers that a repeated request gets.

use sea_orm_migration::{prelude::*, schema::*};

use crate::table::{index, table};

const TABLE: &str = "workspace_tokens";
const RETRIES: &str = "kept_answers";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // One column a statement: SQLite takes no more.
        for column in [blob_null("previous_hash"), timestamp_with_time_zone_null("previous_until")] {
            let mut column = column;
            manager.alter_table(Table::alter().table(TABLE).add_column(&mut column).to_owned()).await?;
        }
        index(manager, TABLE, ["previous_hash"], true).await?;

        let columns = [
            text("id").primary_key().take(),
            blob("fingerprint"),
            integer_null("status"),
            text_null("body"),
            timestamp_with_time_zone("created_at"),
        ];
        manager.create_table(table(RETRIES, columns)).await?;
        index(manager, RETRIES, ["created_at"], false).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(RETRIES).to_owned()).await?;
        let name = format!("{TABLE}__previous_hash");
        manager.drop_index(Index::drop().name(name).table(TABLE).to_owned()).await?;
        for column in ["previous_until", "previous_hash"] {
            manager.alter_table(Table::alter().table(TABLE).drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}
