//! The analytics database from nothing.

use sea_orm_migration::{prelude::*, schema::*};

use crate::table::{index, primary_key, table};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// All or nothing, on SQLite too.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = [
            pk_uuid("id"),
            big_integer("at_us"),
            uuid("workspace_id"),
            uuid("token_id"),
            uuid_null("account_id"),
            text("credential"),
            text("client"),
            text("era"),
            uuid("server_id"),
            text("server_slug"),
            text("tool"),
            integer("outcome"),
            big_integer("latency_us"),
            big_integer("upstream_us"),
            big_integer("bytes_in"),
            big_integer("bytes_out"),
        ];
        manager.create_table(table("tool_calls", columns)).await?;
        index(manager, "tool_calls", ["workspace_id", "at_us"], false).await?;
        index(manager, "tool_calls", ["at_us"], false).await?;

        let columns = [
            big_integer("hour"),
            uuid("workspace_id"),
            uuid("token_id"),
            uuid("server_id"),
            text("tool"),
            text("server_slug"),
            big_integer("calls"),
            big_integer("tool_errors"),
            big_integer("errors"),
            big_integer("latency_us"),
            big_integer("upstream_us"),
            big_integer("bytes_in"),
            big_integer("bytes_out"),
            big_integer("last_us"),
            blob("histogram"),
        ];
        let key = ["workspace_id", "hour", "token_id", "server_id", "tool"];
        manager.create_table(primary_key(&mut table("tool_call_hours", columns), key)).await?;
        index(manager, "tool_call_hours", ["hour"], false).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("tool_call_hours").to_owned()).await?;
        manager.drop_table(Table::drop().table("tool_calls").to_owned()).await
    }
}
