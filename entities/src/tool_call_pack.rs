//! `tool_call_packs`: many calls of one minute in one row (analytics database). Few calls at a time are rows of
//! `tool_calls`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tool_call_packs")]
pub struct Model {
    /// That of the call that was recorded first; it begins with the time, so it tells the minute.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// How many.
    pub calls: i32,
    /// The calls; format in `store::packs`.
    pub body: Vec<u8>,
}

impl ActiveModelBehavior for ActiveModel {}
