//! What can change in a client session. A session without a row is simply open; rows are written only when used.

use entities::session_state::{ActiveModel, Column, Entity};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set, sea_query::OnConflict,
};

use crate::{
    domain::{
        clock::{self, Timestamp},
        ids::TokenId,
    },
    error::Result,
    store::{Tx, column::stored},
};

/// The changeable part of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionRecord {
    /// Lowest level of log messages the client wants.
    pub log_level: Option<String>,
    /// Resources that the client subscribed to: a JSON array of URIs as it knows them.
    pub subscriptions: Option<String>,
    /// When the client ended it.
    pub ended_at: Option<Timestamp>,
}

/// The session with this id hash, of this token.
pub async fn get(db: &impl ConnectionTrait, token: TokenId, id_hash: &[u8; 32]) -> Result<Option<SessionRecord>> {
    let row = Entity::find_by_id(id_hash.to_vec()).filter(Column::TokenId.eq(token.0)).one(db).await?;
    Ok(row.map(|row| SessionRecord {
        log_level: row.log_level,
        subscriptions: row.subscriptions,
        ended_at: row.ended_at,
    }))
}

/// Notes the level of log messages a client wants.
pub async fn set_log_level(tx: &Tx, token: TokenId, id_hash: &[u8; 32], level: &str) -> Result<()> {
    let row = ActiveModel { log_level: Set(Some(level.to_owned())), ..fresh(token, id_hash) };
    upsert(tx, row, Column::LogLevel).await
}

/// Notes what resources a client is subscribed to (a JSON array of URIs).
pub async fn set_subscriptions(tx: &Tx, token: TokenId, id_hash: &[u8; 32], uris: &str) -> Result<()> {
    let row = ActiveModel { subscriptions: Set(Some(uris.to_owned())), ..fresh(token, id_hash) };
    upsert(tx, row, Column::Subscriptions).await
}

/// Notes that a client ended its session.
pub async fn end(tx: &Tx, token: TokenId, id_hash: &[u8; 32], at: Timestamp) -> Result<()> {
    let row = ActiveModel { ended_at: Set(Some(stored(at))), ..fresh(token, id_hash) };
    upsert(tx, row, Column::EndedAt).await
}

/// Forgets at most `limit` sessions last changed before `before` (older than any session id is believed); how many.
pub async fn prune(tx: &Tx, before: Timestamp, limit: u64) -> Result<u64> {
    let old = Entity::find()
        .select_only()
        .column(Column::IdHash)
        .filter(Column::UpdatedAt.lt(stored(before)))
        .order_by_asc(Column::UpdatedAt)
        .limit(limit)
        .into_tuple::<Vec<u8>>()
        .all(tx.conn())
        .await?;
    Ok(Entity::delete_many().filter(Column::IdHash.is_in(old)).exec(tx.conn()).await?.rows_affected)
}

fn fresh(token: TokenId, id_hash: &[u8; 32]) -> ActiveModel {
    ActiveModel {
        id_hash: Set(id_hash.to_vec()),
        token_id: Set(token.0),
        log_level: Set(None),
        subscriptions: Set(None),
        ended_at: Set(None),
        updated_at: Set(stored(clock::now())),
    }
}

async fn upsert(tx: &Tx, row: ActiveModel, changed: Column) -> Result<()> {
    let again = OnConflict::column(Column::IdHash).update_columns([changed, Column::UpdatedAt]).to_owned();
    Entity::insert(row).on_conflict(again).exec_without_returning(tx.conn()).await?;
    Ok(())
}
