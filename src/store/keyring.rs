//! Wrapped data keys. Written by the SecretVault and by `rotate-key`; the key that opens them is never here.

use entities::secret_keyring::{ActiveModel, Column, Entity, Model};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, Set, sea_query::Expr};

use crate::{
    domain::{
        clock::Timestamp,
        keys::{Purpose, Slot},
    },
    error::Result,
    store::{
        Tx,
        column::{damaged, signed, signed32, stored, unsigned, unsigned32},
    },
};

/// A wrapped data key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// Whose, for what, which version.
    pub slot: Slot,
    /// Which installation key wraps it (hex).
    pub kek_kid: String,
    /// Initialisation vector of the wrapping.
    pub iv: Vec<u8>,
    /// The wrapped key with its tag.
    pub wrapped: Vec<u8>,
    /// Whether new data may be encrypted with it.
    pub active: bool,
    /// How often it encrypted.
    pub encryptions: u64,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Every wrapped key, slot by slot.
pub async fn all(db: &impl ConnectionTrait) -> Result<Vec<KeyRow>> {
    let rows = Entity::find()
        .order_by_asc(Column::ProjectId)
        .order_by_asc(Column::Purpose)
        .order_by_asc(Column::Version)
        .order_by_asc(Column::KekKid)
        .all(db)
        .await?;
    rows.into_iter().map(record).collect()
}

/// Writes a wrapped key. Conflict when its slot has one under the same installation key.
pub async fn insert(tx: &Tx, row: &KeyRow) -> Result<()> {
    let row = ActiveModel {
        project_id: Set(row.slot.namespace),
        purpose: Set(row.slot.purpose.as_str().to_owned()),
        version: Set(signed32(row.slot.version)),
        kek_kid: Set(row.kek_kid.clone()),
        iv: Set(row.iv.clone()),
        wrapped: Set(row.wrapped.clone()),
        state: Set(state(row.active)),
        encryptions: Set(signed(row.encryptions)),
        created_at: Set(stored(row.created_at)),
    };
    Entity::insert(row).exec_without_returning(tx.conn()).await?;
    Ok(())
}

/// Counts `more` encryptions of a slot's key.
pub async fn count_encryptions(tx: &Tx, slot: &Slot, more: u64) -> Result<()> {
    Entity::update_many()
        .col_expr(Column::Encryptions, Expr::col(Column::Encryptions).add(signed(more)))
        .filter(in_slot(slot))
        .exec(tx.conn())
        .await?;
    Ok(())
}

/// Says whether a slot's key may encrypt new data.
pub async fn set_active(tx: &Tx, slot: &Slot, active: bool) -> Result<()> {
    let row = ActiveModel { state: Set(state(active)), ..Default::default() };
    Entity::update_many().set(row).filter(in_slot(slot)).exec(tx.conn()).await?;
    Ok(())
}

/// Deletes a slot's key as wrapped by one installation key.
pub async fn delete(tx: &Tx, slot: &Slot, kek_kid: &str) -> Result<()> {
    Entity::delete_many().filter(in_slot(slot)).filter(Column::KekKid.eq(kek_kid)).exec(tx.conn()).await?;
    Ok(())
}

fn in_slot(slot: &Slot) -> sea_orm::Condition {
    sea_orm::Condition::all()
        .add(Column::ProjectId.eq(slot.namespace))
        .add(Column::Purpose.eq(slot.purpose.as_str()))
        .add(Column::Version.eq(signed32(slot.version)))
}

fn state(active: bool) -> String {
    if active { "active" } else { "retired" }.to_owned()
}

fn record(row: Model) -> Result<KeyRow> {
    let purpose = Purpose::parse(&row.purpose).ok_or_else(|| damaged("secret_keyring.purpose", &row.purpose))?;
    Ok(KeyRow {
        slot: Slot { namespace: row.project_id, purpose, version: unsigned32(row.version) },
        kek_kid: row.kek_kid,
        iv: row.iv,
        wrapped: row.wrapped,
        active: row.state == "active",
        encryptions: unsigned(row.encryptions),
        created_at: row.created_at,
    })
}
