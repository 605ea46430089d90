//! `change_log`: what changed, in commit order of one node: other nodes read it to refresh what they hold in memory.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "change_log")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub seq: i64,
    pub node_id: Uuid,
    pub kind: String,
    pub subject: String,
    pub at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
