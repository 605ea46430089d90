//! Values of the installation that are made once or changed rarely.

use entities::setting::{ActiveModel, Column, Entity};
use sea_orm::{ConnectionTrait, EntityTrait, Set, sea_query::OnConflict};

use crate::{error::Result, store::Tx};

/// The value called `name`.
pub async fn get(db: &impl ConnectionTrait, name: &str) -> Result<Option<String>> {
    Ok(Entity::find_by_id(name).one(db).await?.map(|row| row.value))
}

/// Writes the value called `name`.
pub async fn set(tx: &Tx, name: &str, value: &str) -> Result<()> {
    let row = ActiveModel { name: Set(name.to_owned()), value: Set(value.to_owned()) };
    let again = OnConflict::column(Column::Name).update_column(Column::Value).to_owned();
    Entity::insert(row).on_conflict(again).exec_without_returning(tx.conn()).await?;
    Ok(())
}
