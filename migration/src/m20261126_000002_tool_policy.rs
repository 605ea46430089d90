//! Switches, aliases and pins of tools.

use sea_orm_migration::{prelude::*, schema::*};

use crate::table::{belongs_to, index, primary_key, table};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // One column a statement: SQLite takes no more.
        for column in [text("pin_mode").default("pin").take(), timestamp_with_time_zone_null("pinned_at")] {
            let mut column = column;
            manager.alter_table(Table::alter().table("workspace_servers").add_column(&mut column).to_owned()).await?;
        }

        let name = "tool_settings";
        let columns = [
            uuid("installation_id"),
            text("tool"),
            uuid("workspace_id"),
            boolean("enabled"),
            text_null("alias"),
            timestamp_with_time_zone("updated_at"),
        ];
        let mut settings = primary_key(&mut table(name, columns), ["installation_id", "tool"]);
        manager.create_table(belongs_to(&mut settings, name, "installation_id", "workspace_servers")).await?;
        index(manager, name, ["workspace_id", "alias"], true).await?;

        let name = "tool_pins";
        let columns = [
            uuid("installation_id"),
            text("tool"),
            blob_null("approved_hash"),
            text_null("approved"),
            blob_null("seen_hash"),
            text_null("seen"),
            timestamp_with_time_zone_null("seen_at"),
            boolean("rejected"),
            text_null("short_name"),
            text_null("decided_by"),
            timestamp_with_time_zone_null("decided_at"),
        ];
        let mut pins = primary_key(&mut table(name, columns), ["installation_id", "tool"]);
        manager.create_table(belongs_to(&mut pins, name, "installation_id", "workspace_servers")).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in ["tool_pins", "tool_settings"] {
            manager.drop_table(Table::drop().table(name).to_owned()).await?;
        }
        for column in ["pinned_at", "pin_mode"] {
            manager.alter_table(Table::alter().table("workspace_servers").drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}
