//! `tool_calls`: one tool call (analytics database). Times are microseconds since 1970: millions of rows, sorted and compared.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tool_calls")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub at_us: i64,
    pub workspace_id: Uuid,
    pub token_id: Uuid,
    pub account_id: Option<Uuid>,
    pub credential: String,
    pub client: String,
    pub era: String,
    pub server_id: Uuid,
    pub server_slug: String,
    pub tool: String,
    /// 0: ok, 1: the tool reported an error, otherwise the JSON-RPC code.
    pub outcome: i32,
    pub latency_us: i64,
    pub upstream_us: i64,
    pub bytes_in: i64,
    pub bytes_out: i64,
}

impl ActiveModelBehavior for ActiveModel {}
