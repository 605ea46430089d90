//! `skills`: what only a server definition of kind `skill` has.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "skills")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub server_id: Uuid,
    /// `public`, `team` or `private`.
    pub visibility: String,
    /// Of the version published last, as are category and tags.
    pub description: String,
    pub category: String,
    /// JSON array of texts.
    pub tags: String,
}

impl ActiveModelBehavior for ActiveModel {}
