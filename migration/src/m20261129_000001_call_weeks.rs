//! Sums of weeks beside those of days: figures of months are read from fewer rows. The weeks so far are summed up by
//! `store::sums` when the database is opened, which can merge histograms.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// All or nothing, on SQLite too.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == DbBackend::Postgres {
            // The latest sums are written again and again: while there is room on its page, a row's new version needs no
            // new entry in the indexes.
            let room = "ALTER TABLE tool_call_sums SET (fillfactor = 70)";
            manager.get_connection().execute_unprepared(room).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared("DELETE FROM tool_call_sums WHERE grain = 3").await?;
        Ok(())
    }
}
