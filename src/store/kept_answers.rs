//! Answers of requests with an `Idempotency-Key`, kept for whoever repeats the request.

use entities::kept_answer::{ActiveModel, Column, Entity};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Set, Unchanged, sea_query::OnConflict,
};

use crate::{
    domain::clock::Timestamp,
    error::Result,
    store::{Tx, column::stored},
};

/// An answer, or the place for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// Of which request.
    pub fingerprint: Vec<u8>,
    /// HTTP status and body; none: it is not answered yet.
    pub answer: Option<(u16, String)>,
}

/// Takes a place for an answer. What is there already is given back instead, unless it is older than `forget`.
pub async fn begin(
    tx: &Tx,
    id: &str,
    fingerprint: &[u8],
    now: Timestamp,
    forget: Timestamp,
) -> Result<Option<KeptAnswer>> {
    Entity::delete_many()
        .filter(Column::Id.eq(id))
        .filter(Column::CreatedAt.lt(stored(forget)))
        .exec(tx.conn())
        .await?;
    let row = ActiveModel {
        id: Set(id.to_owned()),
        fingerprint: Set(fingerprint.to_owned()),
        status: Set(None),
        body: Set(None),
        created_at: Set(stored(now)),
    };
    let unless_there = OnConflict::column(Column::Id).do_nothing().to_owned();
    let made = Entity::insert(row).on_conflict(unless_there).exec_without_returning(tx.conn()).await?;
    if made > 0 {
        return Ok(None);
    }
    get(tx.conn(), id).await
}

async fn get(db: &impl ConnectionTrait, id: &str) -> Result<Option<KeptAnswer>> {
    let row = Entity::find_by_id(id).one(db).await?;
    Ok(row.map(|row| {
        let status = row.status.and_then(|status| u16::try_from(status).ok());
        KeptAnswer { fingerprint: row.fingerprint, answer: status.zip(row.body) }
    }))
}

/// Keeps an answer in its place.
pub async fn finish(tx: &Tx, id: &str, status: u16, body: &str) -> Result<()> {
    let row = ActiveModel {
        id: Unchanged(id.to_owned()),
        status: Set(Some(i32::from(status))),
        body: Set(Some(body.to_owned())),
        ..Default::default()
    };
    row.update_without_returning(tx.conn()).await?;
    Ok(())
}

/// Gives a place back: nothing was done, the request may be repeated.
pub async fn forget(tx: &Tx, id: &str) -> Result<()> {
    Entity::delete_by_id(id).exec(tx.conn()).await?;
    Ok(())
}

/// Deletes answers older than `before`.
pub async fn prune(tx: &Tx, before: Timestamp) -> Result<()> {
    Entity::delete_many().filter(Column::CreatedAt.lt(stored(before))).exec(tx.conn()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::{domain::clock, store::testing::on_both_databases};

    on_both_databases! {
        async fn a_place_is_taken_once_kept_for_its_time_and_given_back(store: TestStore) {
            let began = clock::now();
            let begin = async |later: TimeDelta| {
                let (now, day) = (began + later, TimeDelta::hours(24));
                store.upkeep(move |tx| Box::pin(async move { begin(tx, "a", &[1; 32], now, now - day).await })).await.unwrap()
            };
            assert_eq!(begin(TimeDelta::zero()).await, None, "it is free");
            let waiting = begin(TimeDelta::zero()).await.unwrap();
            assert_eq!((waiting.fingerprint, waiting.answer), (vec![1; 32], None));
            store.upkeep(|tx| Box::pin(finish(tx, "a", 201, "{}"))).await.unwrap();
            assert_eq!(begin(TimeDelta::hours(23)).await.unwrap().answer, Some((201, "{}".to_owned())));
            assert_eq!(begin(TimeDelta::hours(25)).await, None, "it was forgotten, and is taken again");
            store.upkeep(|tx| Box::pin(forget(tx, "a"))).await.unwrap();
            assert_eq!(begin(TimeDelta::hours(25)).await, None);
            store.upkeep(move |tx| Box::pin(async move { prune(tx, began + TimeDelta::hours(25)).await })).await.unwrap();
            assert!(begin(TimeDelta::hours(25)).await.is_some(), "not older");
            store.upkeep(move |tx| Box::pin(async move { prune(tx, began + TimeDelta::hours(26)).await })).await.unwrap();
            assert_eq!(store.read(|db| async move { get(&db, "a").await }).await.unwrap(), None, "nobody had to ask again");
            let raced = futures_util::future::join_all((0..8_u8).map(|n| {
                let now = clock::now();
                store.upkeep(move |tx| Box::pin(async move { super::begin(tx, "raced", &[n], now, now - TimeDelta::hours(24)).await }))
            }));
            let free = raced.await.into_iter().filter(|taken| taken.as_ref().unwrap().is_none()).count();
            assert_eq!(free, 1, "whoever comes first");
        }
    }
}
