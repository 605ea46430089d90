//! The main database from nothing.

use sea_orm_migration::{prelude::*, schema::*};

use crate::table::{belongs_to, index, primary_key, table};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// All or nothing, on SQLite too: a kill in the middle leaves no half schema.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        accounts(manager).await?;
        workspaces(manager).await?;
        servers(manager).await?;
        secrets(manager).await?;
        audit(manager).await?;
        rest(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in TABLES.iter().rev() {
            manager.drop_table(Table::drop().table(*name).to_owned()).await?;
        }
        Ok(())
    }
}

/// In order of creation: a table comes after those it refers to.
const TABLES: &[&str] = &[
    "accounts",
    "account_identities",
    "members",
    "api_keys",
    "workspaces",
    "workspace_tokens",
    "session_states",
    "mcp_servers",
    "server_revisions",
    "workspace_servers",
    "secret_keyring",
    "mcp_workspace_secrets",
    "audit_entries",
    "audit_workspaces",
    "audit_head",
    "limits",
    "change_log",
    "settings",
];

fn time(name: &'static str) -> ColumnDef {
    timestamp_with_time_zone(name)
}

fn time_null(name: &'static str) -> ColumnDef {
    timestamp_with_time_zone_null(name)
}

async fn accounts(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let columns = [pk_uuid("id"), text("username"), text_null("email"), text("plan"), time("created_at")];
    manager.create_table(table("accounts", columns)).await?;
    index(manager, "accounts", ["username"], true).await?;
    index(manager, "accounts", ["email"], true).await?;

    let columns = [text("issuer"), text("subject"), uuid("account_id"), time("created_at")];
    let mut identities = primary_key(&mut table("account_identities", columns), ["issuer", "subject"]);
    let identities = belongs_to(&mut identities, "account_identities", "account_id", "accounts");
    manager.create_table(identities).await?;
    index(manager, "account_identities", ["account_id"], false).await?;

    let columns = [uuid("namespace_id"), uuid("account_id"), text("role"), uuid_null("invited_by"), time("created_at")];
    let mut members = primary_key(&mut table("members", columns), ["namespace_id", "account_id"]);
    let mut members = belongs_to(&mut members, "members", "namespace_id", "accounts");
    manager.create_table(belongs_to(&mut members, "members", "account_id", "accounts")).await?;
    index(manager, "members", ["account_id"], false).await?;

    let columns = [
        pk_uuid("id"),
        uuid("account_id"),
        uuid("namespace_id"),
        text("name"),
        blob("hash"),
        text("hint"),
        text_null("max_role"),
        time("created_at"),
        time_null("expires_at"),
        time_null("last_used_at"),
        time_null("revoked_at"),
    ];
    let mut keys = belongs_to(&mut table("api_keys", columns), "api_keys", "account_id", "accounts");
    manager.create_table(belongs_to(&mut keys, "api_keys", "namespace_id", "accounts")).await?;
    index(manager, "api_keys", ["hash"], true).await?;
    index(manager, "api_keys", ["account_id"], false).await
}

async fn workspaces(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let columns =
        [pk_uuid("id"), uuid("namespace_id"), text("slug"), text("name"), uuid("created_by"), time("created_at")];
    manager
        .create_table(belongs_to(&mut table("workspaces", columns), "workspaces", "namespace_id", "accounts"))
        .await?;
    index(manager, "workspaces", ["slug"], true).await?;
    index(manager, "workspaces", ["namespace_id"], false).await?;

    let columns = [
        pk_uuid("id"),
        uuid("workspace_id"),
        blob("hash"),
        text("hint"),
        text("name"),
        uuid_null("member_id"),
        text_null("scope"),
        integer_null("requests_per_minute"),
        uuid("created_by"),
        time("created_at"),
        time_null("expires_at"),
        time_null("last_used_at"),
        time_null("revoked_at"),
    ];
    let name = "workspace_tokens";
    manager.create_table(belongs_to(&mut table(name, columns), name, "workspace_id", "workspaces")).await?;
    index(manager, name, ["hash"], true).await?;
    index(manager, name, ["workspace_id", "name"], false).await?;
    index(manager, name, ["member_id"], false).await?;

    let columns = [
        blob("id_hash").primary_key().take(),
        uuid("token_id"),
        text_null("log_level"),
        time_null("ended_at"),
        time("updated_at"),
    ];
    let name = "session_states";
    manager.create_table(belongs_to(&mut table(name, columns), name, "token_id", "workspace_tokens")).await?;
    index(manager, name, ["updated_at"], false).await
}

async fn servers(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let columns = [
        pk_uuid("id"),
        uuid("namespace_id"),
        text("slug"),
        text("title"),
        text("kind"),
        uuid("revision_id"),
        uuid("created_by"),
        time("created_at"),
        time("updated_at"),
    ];
    let name = "mcp_servers";
    manager.create_table(belongs_to(&mut table(name, columns), name, "namespace_id", "accounts")).await?;
    index(manager, name, ["namespace_id", "slug"], true).await?;

    let columns = [
        pk_uuid("id"),
        uuid("server_id"),
        integer("number"),
        text("kind"),
        text("spec"),
        uuid("created_by"),
        time("created_at"),
    ];
    let name = "server_revisions";
    manager.create_table(belongs_to(&mut table(name, columns), name, "server_id", "mcp_servers")).await?;
    index(manager, name, ["server_id", "number"], true).await?;

    let columns = [
        pk_uuid("id"),
        uuid("workspace_id"),
        uuid("server_id"),
        uuid("revision_id"),
        text_null("prefix"),
        text("exposed_prefix"),
        integer("position"),
        boolean("enabled"),
        uuid("created_by"),
        time("created_at"),
    ];
    let name = "workspace_servers";
    let mut installed = belongs_to(&mut table(name, columns), name, "workspace_id", "workspaces");
    manager.create_table(belongs_to(&mut installed, name, "server_id", "mcp_servers")).await?;
    index(manager, name, ["workspace_id", "server_id"], true).await?;
    index(manager, name, ["workspace_id", "exposed_prefix"], true).await?;
    index(manager, name, ["server_id"], false).await
}

async fn secrets(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let columns = [
        uuid("project_id"),
        text("purpose"),
        integer("version"),
        text("kek_kid"),
        blob("iv"),
        blob("wrapped"),
        text("state"),
        big_integer("encryptions"),
        time("created_at"),
    ];
    let key = ["project_id", "purpose", "version", "kek_kid"];
    manager.create_table(primary_key(&mut table("secret_keyring", columns), key)).await?;

    let columns = [
        pk_uuid("id"),
        uuid("namespace_id"),
        uuid("workspace_id"),
        uuid("server_id"),
        uuid("account_id"),
        text("name"),
        text("credential_scope"),
        text("kind"),
        big_integer("value_version"),
        integer("dek_version"),
        blob("iv"),
        blob("ct"),
        blob("tag"),
        text("bound_origin"),
        text_null("inject_mode"),
        text_null("header"),
        text("state"),
        time_null("expires_at"),
        text("created_by"),
        time("created_at"),
        text("updated_by"),
        time("updated_at"),
    ];
    let name = "mcp_workspace_secrets";
    manager.create_table(belongs_to(&mut table(name, columns), name, "server_id", "mcp_servers")).await?;
    index(manager, name, ["server_id", "workspace_id", "account_id", "name"], true).await?;
    // A vector used twice under one key would break the cipher: the insert fails instead.
    index(manager, name, ["namespace_id", "dek_version", "iv"], true).await
}

async fn audit(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let columns = [
        big_integer("seq").primary_key().take(),
        big_integer("ts_ms"),
        uuid("namespace_id"),
        text("kind"),
        text("actor"),
        text("action"),
        text("target"),
        text("meta"),
        integer("key_version"),
        blob("mac"),
    ];
    manager.create_table(table("audit_entries", columns)).await?;
    index(manager, "audit_entries", ["namespace_id", "seq"], false).await?;

    let columns = [uuid("workspace_id"), big_integer("seq")];
    manager.create_table(primary_key(&mut table("audit_workspaces", columns), ["workspace_id", "seq"])).await?;
    index(manager, "audit_workspaces", ["seq"], false).await?;

    let columns = [
        text("name").primary_key().take(),
        big_integer("seq"),
        blob("mac"),
        integer("key_version"),
        blob("seal"),
        big_integer("ts_ms"),
    ];
    manager.create_table(table("audit_head", columns)).await
}

async fn rest(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let columns = [text("subject"), text("per"), big_integer("amount"), time("updated_at")];
    manager.create_table(primary_key(&mut table("limits", columns), ["subject", "per"])).await?;

    let columns = [big_pk_auto("seq"), uuid("node_id"), text("kind"), text("subject"), time("at")];
    manager.create_table(table("change_log", columns)).await?;

    let columns = [text("name").primary_key().take(), text("value")];
    manager.create_table(table("settings", columns)).await
}
