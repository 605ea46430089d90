//! `tool_call_sums`: calls of one minute, hour, day or week, by token, tool, both or neither (analytics database), mergeable.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tool_call_sums")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub workspace_id: Uuid,
    /// What the row tells apart: 0 nothing, 1 tokens, 2 tools, 3 both.
    #[sea_orm(primary_key, auto_increment = false)]
    pub cut: i16,
    /// Of what length its slot is: 0 a minute, 1 an hour, 2 a day, 3 a week.
    #[sea_orm(primary_key, auto_increment = false)]
    pub grain: i16,
    /// Minutes, hours, days or weeks since 1970, in UTC.
    #[sea_orm(primary_key, auto_increment = false)]
    pub slot: i64,
    /// Nil where tokens are not told apart.
    #[sea_orm(primary_key, auto_increment = false)]
    pub token_id: Uuid,
    /// Nil where tools are not told apart.
    #[sea_orm(primary_key, auto_increment = false)]
    pub server_id: Uuid,
    /// Empty where tools are not told apart.
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
