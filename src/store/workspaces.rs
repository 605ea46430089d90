//! Workspaces. The slug is unique in the installation and decides the namespace for everything under `/ws/{slug}`.

use entities::workspace;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    Set, Unchanged,
};

use crate::{
    domain::{
        clock::Timestamp,
        ids::{AccountId, WorkspaceId},
        slug::Slug,
    },
    error::{Result, err},
    store::{
        Tx,
        column::{parsed, stored},
        failure::on_conflict,
    },
};

/// A gateway URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceRecord {
    /// Its id.
    pub id: WorkspaceId,
    /// Whose it is.
    pub namespace: AccountId,
    /// Its place in the URL.
    pub slug: Slug,
    /// How people call it.
    pub name: String,
    /// Who made it.
    pub created_by: AccountId,
    /// When.
    pub created_at: Timestamp,
}

/// Writes a new workspace.
pub async fn insert(tx: &Tx, record: &WorkspaceRecord) -> Result<()> {
    let row = workspace::ActiveModel {
        id: Set(record.id.0),
        namespace_id: Set(record.namespace.0),
        slug: Set(record.slug.to_string()),
        name: Set(record.name.clone()),
        created_by: Set(record.created_by.0),
        created_at: Set(stored(record.created_at)),
    };
    let inserted = workspace::Entity::insert(row).exec_without_returning(tx.conn()).await;
    on_conflict(inserted.map(drop), || err::conflict(format!("The workspace slug \"{}\" is taken", record.slug)))
}

/// Gives a workspace the slug and the display name of `record`. Conflict when the slug is another's.
pub async fn rename(tx: &Tx, record: &WorkspaceRecord) -> Result<()> {
    let row = workspace::ActiveModel {
        id: Unchanged(record.id.0),
        slug: Set(record.slug.to_string()),
        name: Set(record.name.clone()),
        ..Default::default()
    };
    let updated = row.update_without_returning(tx.conn()).await;
    on_conflict(updated.map(drop), || err::conflict(format!("The workspace slug \"{}\" is taken", record.slug)))
}

/// Deletes a workspace with its tokens and installations; whether there was one.
pub async fn delete(tx: &Tx, namespace: AccountId, id: WorkspaceId) -> Result<bool> {
    let gone = workspace::Entity::delete_many()
        .filter(workspace::Column::Id.eq(id.0))
        .filter(workspace::Column::NamespaceId.eq(namespace.0))
        .exec(tx.conn())
        .await?;
    Ok(gone.rows_affected > 0)
}

/// Keeps other writers of this workspace waiting until the transaction ends, so that what is counted now still holds
/// when it is written; whether the workspace exists.
pub async fn lock(tx: &Tx, id: WorkspaceId) -> Result<bool> {
    Ok(workspace::Entity::find_by_id(id.0).lock_exclusive().one(tx.conn()).await?.is_some())
}

/// The workspace with this id.
pub async fn get(db: &impl ConnectionTrait, id: WorkspaceId) -> Result<Option<WorkspaceRecord>> {
    workspace::Entity::find_by_id(id.0).one(db).await?.map(record).transpose()
}

/// The workspace with this slug, whoever's it is.
pub async fn by_slug(db: &impl ConnectionTrait, slug: &str) -> Result<Option<WorkspaceRecord>> {
    let row = workspace::Entity::find().filter(workspace::Column::Slug.eq(slug)).one(db).await?;
    row.map(record).transpose()
}

/// A namespace's workspaces by slug.
pub async fn list(db: &impl ConnectionTrait, namespace: AccountId) -> Result<Vec<WorkspaceRecord>> {
    let rows = workspace::Entity::find()
        .filter(workspace::Column::NamespaceId.eq(namespace.0))
        .order_by_asc(workspace::Column::Slug)
        .all(db)
        .await?;
    rows.into_iter().map(record).collect()
}

/// Every workspace of the installation (for the catalogue's first snapshot).
pub async fn all(db: &impl ConnectionTrait) -> Result<Vec<WorkspaceRecord>> {
    let rows = workspace::Entity::find().order_by_asc(workspace::Column::Id).all(db).await?;
    rows.into_iter().map(record).collect()
}

/// How many workspaces a namespace has.
pub async fn count(db: &impl ConnectionTrait, namespace: AccountId) -> Result<u64> {
    Ok(workspace::Entity::find().filter(workspace::Column::NamespaceId.eq(namespace.0)).count(db).await?)
}

fn record(row: workspace::Model) -> Result<WorkspaceRecord> {
    Ok(WorkspaceRecord {
        id: WorkspaceId(row.id),
        namespace: AccountId(row.namespace_id),
        slug: parsed("workspaces.slug", &row.slug)?,
        name: row.name,
        created_by: AccountId(row.created_by),
        created_at: row.created_at,
    })
}
