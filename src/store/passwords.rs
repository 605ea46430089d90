//! Hashes of passwords. Written by the TokenAuthority only; a password itself is never here.

use entities::account_password::{ActiveModel, Column, Entity};
use sea_orm::{ConnectionTrait, EntityTrait, Set, sea_query::OnConflict};

use crate::{
    domain::{clock::Timestamp, ids::AccountId},
    error::Result,
    store::{Tx, column::stored},
};

/// The hash of an account's password; none: it has only API keys.
pub async fn get(db: &impl ConnectionTrait, account: AccountId) -> Result<Option<String>> {
    Ok(Entity::find_by_id(account.0).one(db).await?.map(|row| row.hash))
}

/// Gives an account another password.
pub async fn set(tx: &Tx, account: AccountId, hash: &str, at: Timestamp) -> Result<()> {
    let row = ActiveModel { account_id: Set(account.0), hash: Set(hash.to_owned()), changed_at: Set(stored(at)) };
    let again = OnConflict::column(Column::AccountId).update_columns([Column::Hash, Column::ChangedAt]).to_owned();
    Entity::insert(row).on_conflict(again).exec_without_returning(tx.conn()).await?;
    Ok(())
}
