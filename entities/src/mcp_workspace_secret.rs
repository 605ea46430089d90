//! `mcp_workspace_secrets`: an encrypted secret of a server, for all workspaces or one.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mcp_workspace_secrets")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub namespace_id: Uuid,
    /// Nil: for every workspace with the server.
    pub workspace_id: Uuid,
    pub server_id: Uuid,
    /// Nil unless `credential_scope` is `account`.
    pub account_id: Uuid,
    pub name: String,
    /// `namespace`, `workspace` or `account`.
    pub credential_scope: String,
    /// `static` or `oauth`.
    pub kind: String,
    /// Grows by one with every new value.
    pub value_version: i64,
    /// Version of the data key.
    pub dek_version: i32,
    pub iv: Vec<u8>,
    pub ct: Vec<u8>,
    pub tag: Vec<u8>,
    /// The only origin it may go to.
    pub bound_origin: String,
    /// `header` or `bearer`; nothing: a header named like the secret.
    pub inject_mode: Option<String>,
    /// The header's name for mode `header`.
    pub header: Option<String>,
    /// `active`, `needs_reentry` or `integrity_error`.
    pub state: String,
    pub expires_at: Option<DateTimeUtc>,
    pub created_by: String,
    pub created_at: DateTimeUtc,
    pub updated_by: String,
    pub updated_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
