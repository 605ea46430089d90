//! Sessions of people on the pages (`sessions`; those of MCP clients are in `sessions.rs`). Written by the
//! TokenAuthority only; the cookie's value is never here.

use entities::session::{ActiveModel, Column, Entity, Model};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, Set};

use crate::{
    domain::{
        clock::Timestamp,
        ids::{AccountId, SessionId},
        token::TokenHash,
    },
    error::Result,
    store::{Tx, column::stored},
};

/// Somebody signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInRecord {
    /// Its id.
    pub id: SessionId,
    /// Who.
    pub account: AccountId,
    /// What the browser called itself.
    pub client: String,
    /// From where it was begun.
    pub address: String,
    /// Since when.
    pub created_at: Timestamp,
    /// When it was last seen (up to a minute late).
    pub seen_at: Timestamp,
    /// Its end, however much it is used.
    pub expires_at: Timestamp,
    /// When it was ended.
    pub ended_at: Option<Timestamp>,
}

/// Writes a new session.
pub async fn insert(tx: &Tx, record: &SignInRecord, hash: &TokenHash) -> Result<()> {
    let row = ActiveModel {
        id: Set(record.id.0),
        account_id: Set(record.account.0),
        hash: Set(hash.0.to_vec()),
        client: Set(record.client.clone()),
        address: Set(record.address.clone()),
        created_at: Set(stored(record.created_at)),
        seen_at: Set(stored(record.seen_at)),
        expires_at: Set(stored(record.expires_at)),
        ended_at: Set(record.ended_at.map(stored)),
    };
    Entity::insert(row).exec_without_returning(tx.conn()).await?;
    Ok(())
}

/// The session with this hash, whatever its state.
pub async fn by_hash(db: &impl ConnectionTrait, hash: &TokenHash) -> Result<Option<SignInRecord>> {
    Ok(Entity::find().filter(Column::Hash.eq(hash.0.to_vec())).one(db).await?.map(record))
}

/// An account's sessions that have not ended at `at`, oldest first.
pub async fn list(db: &impl ConnectionTrait, account: AccountId, at: Timestamp) -> Result<Vec<SignInRecord>> {
    let rows = Entity::find()
        .filter(Column::AccountId.eq(account.0))
        .filter(Column::EndedAt.is_null())
        .filter(Column::ExpiresAt.gt(stored(at)))
        .order_by_asc(Column::Id)
        .all(db)
        .await?;
    Ok(rows.into_iter().map(record).collect())
}

/// Ends one session of an account; whether there was such a one.
pub async fn end(tx: &Tx, account: AccountId, id: SessionId, at: Timestamp) -> Result<bool> {
    let row = ActiveModel { ended_at: Set(Some(stored(at))), ..Default::default() };
    let done = Entity::update_many()
        .set(row)
        .filter(Column::Id.eq(id.0))
        .filter(Column::AccountId.eq(account.0))
        .filter(Column::EndedAt.is_null())
        .exec(tx.conn())
        .await?;
    Ok(done.rows_affected > 0)
}

/// Ends all sessions of an account but one; gives back how many there were.
pub async fn end_all(tx: &Tx, account: AccountId, but: Option<SessionId>, at: Timestamp) -> Result<u64> {
    let row = ActiveModel { ended_at: Set(Some(stored(at))), ..Default::default() };
    let mut query = Entity::update_many()
        .set(row)
        .filter(Column::AccountId.eq(account.0))
        .filter(Column::EndedAt.is_null())
        .filter(Column::ExpiresAt.gt(stored(at)));
    if let Some(but) = but {
        query = query.filter(Column::Id.ne(but.0));
    }
    Ok(query.exec(tx.conn()).await?.rows_affected)
}

/// Notes when sessions were last seen.
pub async fn touch_seen(tx: &Tx, seen: &[(SessionId, Timestamp)]) -> Result<()> {
    for (id, at) in seen {
        let row = ActiveModel { seen_at: Set(stored(*at)), ..Default::default() };
        Entity::update_many().set(row).filter(Column::Id.eq(id.0)).exec(tx.conn()).await?;
    }
    Ok(())
}

/// Deletes what was over before `at`.
pub async fn prune(tx: &Tx, before: Timestamp) -> Result<u64> {
    Ok(Entity::delete_many().filter(Column::ExpiresAt.lt(stored(before))).exec(tx.conn()).await?.rows_affected)
}

fn record(row: Model) -> SignInRecord {
    SignInRecord {
        id: SessionId(row.id),
        account: AccountId(row.account_id),
        client: row.client,
        address: row.address,
        created_at: row.created_at,
        seen_at: row.seen_at,
        expires_at: row.expires_at,
        ended_at: row.ended_at,
    }
}
