//! `limits`: a limit somebody set for a subject, for example calls of a token per day.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "limits")]
pub struct Model {
    /// Kind and id, for example `tok_…`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub subject: String,
    /// `minute`, `day`, `month`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub per: String,
    pub amount: i64,
    pub updated_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
