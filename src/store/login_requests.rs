//! Command lines that wait for somebody to say in a browser that they may have a key. Written by the TokenAuthority only.

use entities::login_request::{ActiveModel, Column, Entity, Model};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, Set};

use crate::{
    domain::{
        clock::Timestamp,
        ids::{AccountId, LoginId},
        token::TokenHash,
    },
    error::Result,
    store::{Tx, column::stored},
};

/// A command line that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginRecord {
    /// Its id.
    pub id: LoginId,
    /// What the person compares and types.
    pub user_code: String,
    /// What the command line calls itself.
    pub client: String,
    /// From where it asks.
    pub address: String,
    /// Since when.
    pub created_at: Timestamp,
    /// When it is too late.
    pub expires_at: Timestamp,
    /// Who said yes.
    pub confirmed_by: Option<AccountId>,
    /// When it was refused, or its key was fetched.
    pub ended_at: Option<Timestamp>,
}

impl LoginRecord {
    /// Whether it still waits for something.
    pub fn is_open(&self, at: Timestamp) -> bool {
        self.ended_at.is_none() && at < self.expires_at
    }
}

/// Writes a new request.
pub async fn insert(tx: &Tx, record: &LoginRecord, hash: &TokenHash) -> Result<()> {
    let row = ActiveModel {
        id: Set(record.id.0),
        hash: Set(hash.0.to_vec()),
        user_code: Set(record.user_code.clone()),
        client: Set(record.client.clone()),
        address: Set(record.address.clone()),
        created_at: Set(stored(record.created_at)),
        expires_at: Set(stored(record.expires_at)),
        confirmed_by: Set(record.confirmed_by.map(|id| id.0)),
        ended_at: Set(record.ended_at.map(stored)),
    };
    Entity::insert(row).exec_without_returning(tx.conn()).await?;
    Ok(())
}

/// The request with this hash, whatever its state.
pub async fn by_hash(db: &impl ConnectionTrait, hash: &TokenHash) -> Result<Option<LoginRecord>> {
    Ok(Entity::find().filter(Column::Hash.eq(hash.0.to_vec())).one(db).await?.map(record))
}

/// The request with this code that still waits for an answer.
pub async fn waiting(db: &impl ConnectionTrait, user_code: &str, at: Timestamp) -> Result<Option<LoginRecord>> {
    let row = Entity::find()
        .filter(Column::UserCode.eq(user_code))
        .filter(Column::ConfirmedBy.is_null())
        .filter(Column::EndedAt.is_null())
        .filter(Column::ExpiresAt.gt(stored(at)))
        .one(db)
        .await?;
    Ok(row.map(record))
}

/// How many are kept.
pub async fn count(db: &impl ConnectionTrait) -> Result<u64> {
    Ok(Entity::find().count(db).await?)
}

/// Somebody says yes; false when it was answered already or is over.
pub async fn confirm(tx: &Tx, id: LoginId, by: AccountId, at: Timestamp) -> Result<bool> {
    let row = ActiveModel { confirmed_by: Set(Some(by.0)), ..Default::default() };
    let done = Entity::update_many()
        .set(row)
        .filter(Column::Id.eq(id.0))
        .filter(Column::ConfirmedBy.is_null())
        .filter(Column::EndedAt.is_null())
        .filter(Column::ExpiresAt.gt(stored(at)))
        .exec(tx.conn())
        .await?;
    Ok(done.rows_affected > 0)
}

/// Ends a request; false when it had ended already or is over.
pub async fn end(tx: &Tx, id: LoginId, at: Timestamp) -> Result<bool> {
    let row = ActiveModel { ended_at: Set(Some(stored(at))), ..Default::default() };
    let done = Entity::update_many()
        .set(row)
        .filter(Column::Id.eq(id.0))
        .filter(Column::EndedAt.is_null())
        .filter(Column::ExpiresAt.gt(stored(at)))
        .exec(tx.conn())
        .await?;
    Ok(done.rows_affected > 0)
}

/// Deletes what was over before `at`.
pub async fn prune(tx: &Tx, before: Timestamp) -> Result<u64> {
    Ok(Entity::delete_many().filter(Column::ExpiresAt.lt(stored(before))).exec(tx.conn()).await?.rows_affected)
}

fn record(row: Model) -> LoginRecord {
    LoginRecord {
        id: LoginId(row.id),
        user_code: row.user_code,
        client: row.client,
        address: row.address,
        created_at: row.created_at,
        expires_at: row.expires_at,
        confirmed_by: row.confirmed_by.map(AccountId),
        ended_at: row.ended_at,
    }
}
