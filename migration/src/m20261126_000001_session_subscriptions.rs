//! Sessions remember what resources their clients are subscribed to.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut column = text_null("subscriptions");
        manager.alter_table(Table::alter().table("session_states").add_column(&mut column).to_owned()).await
    }
}
