//! People: passwords, sessions on the pages, invitations, logins of command lines; keys that stay in one namespace.

use sea_orm_migration::{prelude::*, schema::*};

use crate::table::{belongs_to, index, table};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

fn time(name: &'static str) -> ColumnDef {
    timestamp_with_time_zone(name)
}

fn time_null(name: &'static str) -> ColumnDef {
    timestamp_with_time_zone_null(name)
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut bound = boolean("bound").default(false).take();
        manager.alter_table(Table::alter().table("api_keys").add_column(&mut bound).to_owned()).await?;

        let name = "account_passwords";
        let columns = [pk_uuid("account_id"), text("hash"), time("changed_at")];
        manager.create_table(belongs_to(&mut table(name, columns), name, "account_id", "accounts")).await?;

        let name = "sessions";
        let columns = [
            pk_uuid("id"),
            uuid("account_id"),
            blob("hash"),
            text("client"),
            text("address"),
            time("created_at"),
            time("seen_at"),
            time("expires_at"),
            time_null("ended_at"),
        ];
        manager.create_table(belongs_to(&mut table(name, columns), name, "account_id", "accounts")).await?;
        index(manager, name, ["hash"], true).await?;
        index(manager, name, ["account_id"], false).await?;
        index(manager, name, ["expires_at"], false).await?;

        let name = "invites";
        let columns = [
            pk_uuid("id"),
            uuid("namespace_id"),
            blob("hash"),
            text("email"),
            text("role"),
            uuid_null("workspace_id"),
            uuid("invited_by"),
            time("created_at"),
            time("expires_at"),
            time_null("used_at"),
            uuid_null("used_by"),
            time_null("revoked_at"),
        ];
        let mut invites = belongs_to(&mut table(name, columns), name, "namespace_id", "accounts");
        manager.create_table(belongs_to(&mut invites, name, "workspace_id", "workspaces")).await?;
        index(manager, name, ["hash"], true).await?;
        index(manager, name, ["namespace_id", "email"], false).await?;

        let name = "login_requests";
        let columns = [
            pk_uuid("id"),
            blob("hash"),
            text("user_code"),
            text("client"),
            text("address"),
            time("created_at"),
            time("expires_at"),
            uuid_null("confirmed_by"),
            time_null("ended_at"),
        ];
        manager.create_table(table(name, columns)).await?;
        index(manager, name, ["hash"], true).await?;
        index(manager, name, ["user_code"], true).await?;
        index(manager, name, ["expires_at"], false).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in ["login_requests", "invites", "sessions", "account_passwords"] {
            manager.drop_table(Table::drop().table(name).to_owned()).await?;
        }
        manager.alter_table(Table::alter().table("api_keys").drop_column("bound").to_owned()).await
    }
}
