//! Skills and their versions. A skill is a server definition of kind `skill`, a version one of its revisions: what is
//! here is what only skills have.

use sea_orm_migration::{prelude::*, schema::*};

use crate::table::{belongs_to, index, table};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let name = "skills";
        let columns = [
            uuid("server_id").primary_key().take(),
            text("visibility"),
            text("description"),
            text("category"),
            text("tags"),
        ];
        manager.create_table(belongs_to(&mut table(name, columns), name, "server_id", "mcp_servers")).await?;
        index(manager, name, ["visibility"], false).await?;

        let name = "skill_versions";
        let columns = [
            uuid("revision_id").primary_key().take(),
            uuid("server_id"),
            text("version"),
            text("manifest"),
            blob("hash"),
            timestamp_with_time_zone_null("yanked_at"),
            text_null("yanked_by"),
        ];
        let mut versions = belongs_to(&mut table(name, columns), name, "revision_id", "server_revisions");
        manager.create_table(belongs_to(&mut versions, name, "server_id", "mcp_servers")).await?;
        index(manager, name, ["server_id", "version"], true).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in ["skill_versions", "skills"] {
            manager.drop_table(Table::drop().table(name).to_owned()).await?;
        }
        Ok(())
    }
}
