//! MCP server definitions, their immutable revisions, and their installations in workspaces. Written by the
//! WorkspaceCatalog only.

use entities::{mcp_server, server_revision, workspace_server};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    Set, Unchanged, sea_query::Query,
};

use crate::{
    domain::{
        clock::Timestamp,
        definition::PinMode,
        ids::{AccountId, InstallationId, RevisionId, ServerId, WorkspaceId},
        server::{SKILL, ServerSpec},
        slug::Slug,
    },
    error::{Error, Result, err},
    store::{
        Tx,
        column::{damaged, parsed, stored},
        failure::on_conflict,
    },
};

/// A server definition at its newest revision.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerRecord {
    /// Its id; survives every change.
    pub id: ServerId,
    /// Whose it is.
    pub namespace: AccountId,
    /// Its name in commands; unique in the namespace.
    pub slug: Slug,
    /// How people call it.
    pub title: String,
    /// `http` or `stdio`, as [`ServerSpec::kind`] says.
    pub kind: String,
    /// The newest revision.
    pub revision: RevisionId,
    /// What that revision says.
    pub spec: ServerSpec,
    /// Who made it.
    pub created_by: AccountId,
    /// When.
    pub created_at: Timestamp,
    /// When the newest revision was made.
    pub updated_at: Timestamp,
}

/// A server in a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallationRecord {
    /// Its id.
    pub id: InstallationId,
    /// Where.
    pub workspace: WorkspaceId,
    /// What.
    pub server: ServerId,
    /// At which revision.
    pub revision: RevisionId,
    /// The prefix an administrator chose, if any.
    pub prefix: Option<String>,
    /// The prefix in force, fixed when it was installed.
    pub exposed_prefix: String,
    /// Order in lists.
    pub position: i32,
    /// Whether its tools are offered.
    pub enabled: bool,
    /// What happens to tools that are new or changed.
    pub pin_mode: PinMode,
    /// When the tools it had were approved as its baseline; none: not yet.
    pub pinned_at: Option<Timestamp>,
    /// Who installed it.
    pub created_by: AccountId,
    /// When.
    pub created_at: Timestamp,
}

/// Writes a new definition with its first revision.
pub async fn insert(tx: &Tx, record: &ServerRecord) -> Result<()> {
    let row = mcp_server::ActiveModel {
        id: Set(record.id.0),
        namespace_id: Set(record.namespace.0),
        slug: Set(record.slug.to_string()),
        title: Set(record.title.clone()),
        kind: Set(record.kind.clone()),
        revision_id: Set(record.revision.0),
        created_by: Set(record.created_by.0),
        created_at: Set(stored(record.created_at)),
        updated_at: Set(stored(record.updated_at)),
    };
    let inserted = mcp_server::Entity::insert(row).exec_without_returning(tx.conn()).await;
    on_conflict(inserted.map(drop), || {
        err::conflict(format!("There is an MCP server \"{}\" already", record.slug))
            .with_hint(format!("to define it anew, without its secrets: aerostack mcp remove {}", record.slug))
    })?;
    insert_revision(tx, record, 1, record.created_at).await
}

/// Gives a definition what `record` says: title and, under `record.revision`, a new specification.
pub async fn update(tx: &Tx, record: &ServerRecord, by: AccountId) -> Result<()> {
    let number = server_revision::Entity::find()
        .filter(server_revision::Column::ServerId.eq(record.id.0))
        .count(tx.conn())
        .await?;
    let row = mcp_server::ActiveModel {
        title: Set(record.title.clone()),
        kind: Set(record.kind.clone()),
        revision_id: Set(record.revision.0),
        updated_at: Set(stored(record.updated_at)),
        ..Default::default()
    };
    let done = mcp_server::Entity::update_many()
        .set(row)
        .filter(mcp_server::Column::Id.eq(record.id.0))
        .filter(mcp_server::Column::NamespaceId.eq(record.namespace.0))
        .exec(tx.conn())
        .await?;
    if done.rows_affected == 0 {
        return Err(err::not_found(format!("No MCP server \"{}\"", record.slug)));
    }
    let revised = ServerRecord { created_by: by, ..record.clone() };
    insert_revision(tx, &revised, i32::try_from(number).unwrap_or(i32::MAX).saturating_add(1), record.updated_at).await
}

async fn insert_revision(tx: &Tx, record: &ServerRecord, number: i32, at: Timestamp) -> Result<()> {
    let spec = serde_json::to_string(&record.spec).map_err(|cause| Error::internal("writing a server", cause))?;
    let row = server_revision::ActiveModel {
        id: Set(record.revision.0),
        server_id: Set(record.id.0),
        number: Set(number),
        kind: Set(record.kind.clone()),
        spec: Set(spec),
        created_by: Set(record.created_by.0),
        created_at: Set(stored(at)),
    };
    server_revision::Entity::insert(row).exec_without_returning(tx.conn()).await?;
    Ok(())
}

/// Deletes a definition with its revisions, installations and secrets; whether there was one.
pub async fn delete(tx: &Tx, namespace: AccountId, id: ServerId) -> Result<bool> {
    let gone = mcp_server::Entity::delete_many()
        .filter(mcp_server::Column::Id.eq(id.0))
        .filter(mcp_server::Column::NamespaceId.eq(namespace.0))
        .exec(tx.conn())
        .await?;
    Ok(gone.rows_affected > 0)
}

/// A namespace's definition by slug.
pub async fn by_slug(db: &impl ConnectionTrait, namespace: AccountId, slug: &str) -> Result<Option<ServerRecord>> {
    let row = mcp_server::Entity::find()
        .filter(mcp_server::Column::NamespaceId.eq(namespace.0))
        .filter(mcp_server::Column::Slug.eq(slug))
        .one(db)
        .await?;
    one(db, row).await
}

/// A definition by id, whoever's it is.
pub async fn get(db: &impl ConnectionTrait, id: ServerId) -> Result<Option<ServerRecord>> {
    let row = mcp_server::Entity::find_by_id(id.0).one(db).await?;
    one(db, row).await
}

/// A namespace's definitions by slug.
pub async fn list(db: &impl ConnectionTrait, namespace: AccountId) -> Result<Vec<ServerRecord>> {
    let rows = mcp_server::Entity::find()
        .filter(mcp_server::Column::NamespaceId.eq(namespace.0))
        .order_by_asc(mcp_server::Column::Slug)
        .all(db)
        .await?;
    with_specs(db, rows).await
}

/// Every definition of the installation (for the catalogue's first snapshot).
pub async fn all(db: &impl ConnectionTrait) -> Result<Vec<ServerRecord>> {
    let rows = mcp_server::Entity::find().order_by_asc(mcp_server::Column::Id).all(db).await?;
    with_specs(db, rows).await
}

/// What a pinned revision says.
pub async fn revision(db: &impl ConnectionTrait, server: ServerId, id: RevisionId) -> Result<Option<ServerSpec>> {
    let row = server_revision::Entity::find_by_id(id.0)
        .filter(server_revision::Column::ServerId.eq(server.0))
        .one(db)
        .await?;
    row.map(|row| spec(&row)).transpose()
}

/// The versions of skills that are installed somewhere: whose, and what they say.
pub async fn installed_skills(db: &impl ConnectionTrait) -> Result<Vec<(ServerId, RevisionId, ServerSpec)>> {
    let installed = Query::select().column(workspace_server::Column::RevisionId).from(workspace_server::Entity).take();
    let rows = server_revision::Entity::find()
        .filter(server_revision::Column::Kind.eq(SKILL))
        .filter(server_revision::Column::Id.in_subquery(installed))
        .all(db)
        .await?;
    rows.iter().map(|row| Ok((ServerId(row.server_id), RevisionId(row.id), spec(row)?))).collect()
}

/// Installs a server in a workspace.
pub async fn install(tx: &Tx, record: &InstallationRecord) -> Result<()> {
    let row = workspace_server::ActiveModel {
        id: Set(record.id.0),
        workspace_id: Set(record.workspace.0),
        server_id: Set(record.server.0),
        revision_id: Set(record.revision.0),
        prefix: Set(record.prefix.clone()),
        exposed_prefix: Set(record.exposed_prefix.clone()),
        position: Set(record.position),
        enabled: Set(record.enabled),
        pin_mode: Set(record.pin_mode.as_str().to_owned()),
        pinned_at: Set(record.pinned_at.map(stored)),
        created_by: Set(record.created_by.0),
        created_at: Set(stored(record.created_at)),
    };
    let inserted = workspace_server::Entity::insert(row).exec_without_returning(tx.conn()).await;
    on_conflict(inserted.map(drop), || {
        err::conflict(format!(
            "The server is installed here already, or another one uses the prefix \"{}\"",
            record.exposed_prefix
        ))
    })
}

/// Writes what may change of an installation: revision, prefixes, position, whether it is enabled, its pins.
pub async fn update_installation(tx: &Tx, record: &InstallationRecord) -> Result<bool> {
    let row = workspace_server::ActiveModel {
        revision_id: Set(record.revision.0),
        prefix: Set(record.prefix.clone()),
        exposed_prefix: Set(record.exposed_prefix.clone()),
        position: Set(record.position),
        enabled: Set(record.enabled),
        pin_mode: Set(record.pin_mode.as_str().to_owned()),
        pinned_at: Set(record.pinned_at.map(stored)),
        ..Default::default()
    };
    let done = workspace_server::Entity::update_many()
        .set(row)
        .filter(workspace_server::Column::Id.eq(record.id.0))
        .filter(workspace_server::Column::WorkspaceId.eq(record.workspace.0))
        .exec(tx.conn())
        .await;
    let done = on_conflict(done, || {
        err::conflict(format!("Another server here uses the prefix \"{}\"", record.exposed_prefix))
    })?;
    Ok(done.rows_affected > 0)
}

/// Moves every installation of a server to another revision (an administrator edited the definition).
pub async fn move_installations(tx: &Tx, server: ServerId, to: RevisionId) -> Result<()> {
    let row = workspace_server::ActiveModel { revision_id: Set(to.0), ..Default::default() };
    workspace_server::Entity::update_many()
        .set(row)
        .filter(workspace_server::Column::ServerId.eq(server.0))
        .exec(tx.conn())
        .await?;
    Ok(())
}

/// Takes a server out of a workspace; whether it was in.
pub async fn uninstall(tx: &Tx, workspace: WorkspaceId, server: ServerId) -> Result<bool> {
    let gone = workspace_server::Entity::delete_many()
        .filter(workspace_server::Column::WorkspaceId.eq(workspace.0))
        .filter(workspace_server::Column::ServerId.eq(server.0))
        .exec(tx.conn())
        .await?;
    Ok(gone.rows_affected > 0)
}

/// A workspace's installations in their order.
pub async fn installations(db: &impl ConnectionTrait, workspace: WorkspaceId) -> Result<Vec<InstallationRecord>> {
    let rows = workspace_server::Entity::find()
        .filter(workspace_server::Column::WorkspaceId.eq(workspace.0))
        .order_by_asc(workspace_server::Column::Position)
        .order_by_asc(workspace_server::Column::Id)
        .all(db)
        .await?;
    rows.into_iter().map(installation).collect()
}

/// Every installation there is, workspace by workspace.
pub async fn all_installations(db: &impl ConnectionTrait) -> Result<Vec<InstallationRecord>> {
    let rows = workspace_server::Entity::find()
        .order_by_asc(workspace_server::Column::WorkspaceId)
        .order_by_asc(workspace_server::Column::Position)
        .order_by_asc(workspace_server::Column::Id)
        .all(db)
        .await?;
    rows.into_iter().map(installation).collect()
}

/// The workspaces that have a server.
pub async fn workspaces_with(db: &impl ConnectionTrait, server: ServerId) -> Result<Vec<WorkspaceId>> {
    let ids: Vec<uuid::Uuid> = workspace_server::Entity::find()
        .select_only()
        .column(workspace_server::Column::WorkspaceId)
        .filter(workspace_server::Column::ServerId.eq(server.0))
        .order_by_asc(workspace_server::Column::WorkspaceId)
        .into_tuple()
        .all(db)
        .await?;
    Ok(ids.into_iter().map(WorkspaceId).collect())
}

/// Gives a definition another title without a new revision.
pub async fn set_title(tx: &Tx, id: ServerId, title: &str) -> Result<()> {
    let row = mcp_server::ActiveModel { id: Unchanged(id.0), title: Set(title.to_owned()), ..Default::default() };
    row.update_without_returning(tx.conn()).await?;
    Ok(())
}

async fn one(db: &impl ConnectionTrait, row: Option<mcp_server::Model>) -> Result<Option<ServerRecord>> {
    Ok(with_specs(db, row.into_iter().collect()).await?.pop())
}

async fn with_specs(db: &impl ConnectionTrait, rows: Vec<mcp_server::Model>) -> Result<Vec<ServerRecord>> {
    let mut records = Vec::with_capacity(rows.len());
    // In slices: databases bound the number of values in one statement.
    for rows in rows.chunks(500) {
        let revisions = server_revision::Entity::find()
            .filter(server_revision::Column::Id.is_in(rows.iter().map(|row| row.revision_id)))
            .all(db)
            .await?;
        let revisions: std::collections::HashMap<_, _> = revisions.iter().map(|row| (row.id, row)).collect();
        for row in rows {
            let revision =
                revisions.get(&row.revision_id).ok_or_else(|| damaged("mcp_servers", "its revision is missing"))?;
            records.push(record(row, spec(revision)?)?);
        }
    }
    Ok(records)
}

fn record(row: &mcp_server::Model, spec: ServerSpec) -> Result<ServerRecord> {
    Ok(ServerRecord {
        id: ServerId(row.id),
        namespace: AccountId(row.namespace_id),
        slug: parsed("mcp_servers.slug", &row.slug)?,
        title: row.title.clone(),
        kind: row.kind.clone(),
        revision: RevisionId(row.revision_id),
        spec,
        created_by: AccountId(row.created_by),
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

fn spec(row: &server_revision::Model) -> Result<ServerSpec> {
    serde_json::from_str(&row.spec).map_err(|cause| damaged("server_revisions.spec", cause))
}

fn installation(row: workspace_server::Model) -> Result<InstallationRecord> {
    Ok(InstallationRecord {
        id: InstallationId(row.id),
        workspace: WorkspaceId(row.workspace_id),
        server: ServerId(row.server_id),
        revision: RevisionId(row.revision_id),
        prefix: row.prefix,
        exposed_prefix: row.exposed_prefix,
        position: row.position,
        enabled: row.enabled,
        pin_mode: row.pin_mode.parse().map_err(|()| damaged("workspace_servers.pin_mode", "unknown"))?,
        pinned_at: row.pinned_at,
        created_by: AccountId(row.created_by),
        created_at: row.created_at,
    })
}
