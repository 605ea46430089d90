//! `tool_call_hours`: calls of one hour, token and tool (analytics database), mergeable.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tool_call_hours")]
pub struct Model {
    /// Hours since 1970.
    #[sea_orm(primary_key, auto_increment = false)]
    pub hour: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub workspace_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub token_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub server_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub tool: String,
    pub server_slug: String,
    pub calls: i64,
    pub tool_errors: i64,
    pub errors: i64,
    /// Sum.
    pub latency_us: i64,
    /// Sum.
    pub upstream_us: i64,
    pub bytes_in: i64,
    pub bytes_out: i64,
    /// Time of the last call.
    pub last_us: i64,
    /// Latencies; format in `store::histogram`.
    pub histogram: Vec<u8>,
}

impl ActiveModelBehavior for ActiveModel {}
