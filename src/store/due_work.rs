//! What a change of one actor leaves to another: noted in the transaction of the change, done and taken away in one
//! transaction by the actor that owns what it is about. That happens at once, and until it has happened again and again,
//! at each start too: a process that ends in between loses nothing.

use std::fmt;

use entities::due_work::{ActiveModel, Column, Entity};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set};
use uuid::Uuid;

use crate::{
    domain::clock,
    error::Result,
    store::{Tx, column::stored},
};

/// Notes that are read at once; what is beyond them is done the next time.
const AT_ONCE: u64 = 500;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// A namespace's skills are to be switched off where they are not shared any more: somebody has left it.
    WithholdSkills,
}

impl Due {
    const fn as_str(self) -> &'static str {
        match self {
            Due::WithholdSkills => "withhold_skills",
        }
    }
}

/// A note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Its id: each change makes a note of its own, so that none is taken away with an older one.
    pub id: Uuid,
    /// The id of what it is about.
    pub subject: String,
}

/// Notes what is to be done.
pub async fn add(tx: &Tx, due: Due, subject: impl fmt::Display) -> Result<()> {
    let row = ActiveModel {
        id: Set(Uuid::now_v7()),
        kind: Set(due.as_str().to_owned()),
        subject: Set(subject.to_string()),
        created_at: Set(stored(clock::now())),
    };
    Entity::insert(row).exec_without_returning(tx.conn()).await?;
    Ok(())
}

/// What is to be done, oldest first.
pub async fn list(db: &impl ConnectionTrait, due: Due) -> Result<Vec<Note>> {
    let rows = Entity::find().filter(Column::Kind.eq(due.as_str())).order_by_asc(Column::Id).limit(AT_ONCE);
    Ok(rows.all(db).await?.into_iter().map(|row| Note { id: row.id, subject: row.subject }).collect())
}

/// Takes notes away: it is done.
pub async fn done(tx: &Tx, notes: &[Note]) -> Result<()> {
    let ids = notes.iter().map(|note| note.id);
    Entity::delete_many().filter(Column::Id.is_in(ids)).exec(tx.conn()).await?;
    Ok(())
}
