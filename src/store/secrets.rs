//! Encrypted secrets (`mcp_workspace_secrets`). Written by the SecretVault only. Every query names the server; a
//! value for all workspaces has the nil workspace.

use entities::mcp_workspace_secret::{ActiveModel, Column, Entity, Model};
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, Set, Unchanged};
use uuid::Uuid;

use crate::{
    domain::{
        clock::Timestamp,
        ids::{AccountId, SecretId, ServerId, WorkspaceId},
        injection::Injection,
        seal::Sealed,
    },
    error::Result,
    store::{
        Tx,
        column::{damaged, signed, signed32, stored, unsigned, unsigned32},
    },
};

/// Whether a secret can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretState {
    /// It can.
    Active,
    /// Its server moved to another origin: it must be set again.
    NeedsReentry,
    /// It did not decrypt: the row was changed outside.
    IntegrityError,
}

impl SecretState {
    /// As it is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            SecretState::Active => "active",
            SecretState::NeedsReentry => "needs_reentry",
            SecretState::IntegrityError => "integrity_error",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [SecretState::Active, SecretState::NeedsReentry, SecretState::IntegrityError]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// An encrypted secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRecord {
    /// Its id, part of what the tag covers.
    pub id: SecretId,
    /// The namespace that owns the server.
    pub namespace: AccountId,
    /// The only workspace that uses it; none: every workspace with the server.
    pub workspace: Option<WorkspaceId>,
    /// Its server.
    pub server: ServerId,
    /// Its name.
    pub name: String,
    /// Counts its values from 1.
    pub value_version: u64,
    /// Version of the data key.
    pub dek_version: u32,
    /// The encrypted value.
    pub sealed: Sealed,
    /// The only origin it may go to.
    pub bound_origin: String,
    /// How it is sent; none: as a header named like the secret.
    pub injection: Option<Injection>,
    /// Whether it can be used.
    pub state: SecretState,
    /// Who set it first, as the audit log names them.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// Who changed it last.
    pub updated_by: String,
    /// When.
    pub updated_at: Timestamp,
}

/// Writes a secret: a new row, or the new contents of the row with its id.
pub async fn put(tx: &Tx, record: &SecretRecord) -> Result<()> {
    let (inject_mode, header) = injection_columns(record.injection.as_ref());
    let row = ActiveModel {
        id: Unchanged(record.id.0),
        namespace_id: Set(record.namespace.0),
        workspace_id: Set(workspace_column(record.workspace)),
        server_id: Set(record.server.0),
        account_id: Set(Uuid::nil()),
        name: Set(record.name.clone()),
        credential_scope: Set(if record.workspace.is_some() { "workspace" } else { "namespace" }.to_owned()),
        kind: Set("static".to_owned()),
        value_version: Set(signed(record.value_version)),
        dek_version: Set(signed32(record.dek_version)),
        iv: Set(record.sealed.iv.to_vec()),
        ct: Set(record.sealed.ciphertext.clone()),
        tag: Set(record.sealed.tag.to_vec()),
        bound_origin: Set(record.bound_origin.clone()),
        inject_mode: Set(inject_mode),
        header: Set(header),
        state: Set(record.state.as_str().to_owned()),
        expires_at: Set(None),
        created_by: Set(record.created_by.clone()),
        created_at: Set(stored(record.created_at)),
        updated_by: Set(record.updated_by.clone()),
        updated_at: Set(stored(record.updated_at)),
    };
    let updated = Entity::update_many()
        .set(row.clone())
        .filter(Column::Id.eq(record.id.0))
        .filter(Column::ServerId.eq(record.server.0))
        .exec(tx.conn())
        .await?;
    if updated.rows_affected == 0 {
        let row = ActiveModel { id: Set(record.id.0), ..row };
        Entity::insert(row).exec_without_returning(tx.conn()).await?;
    }
    Ok(())
}

/// Replaces a value encrypted under another data key, unless the secret changed meanwhile; whether it was replaced.
pub async fn reseal(tx: &Tx, before: &SecretRecord, dek_version: u32, sealed: &Sealed) -> Result<bool> {
    let row = ActiveModel {
        dek_version: Set(signed32(dek_version)),
        iv: Set(sealed.iv.to_vec()),
        ct: Set(sealed.ciphertext.clone()),
        tag: Set(sealed.tag.to_vec()),
        ..Default::default()
    };
    let done = Entity::update_many()
        .set(row)
        .filter(Column::Id.eq(before.id.0))
        .filter(Column::ValueVersion.eq(signed(before.value_version)))
        .filter(Column::DekVersion.eq(signed32(before.dek_version)))
        .exec(tx.conn())
        .await?;
    Ok(done.rows_affected > 0)
}

/// Marks a secret as usable or not.
pub async fn set_state(tx: &Tx, id: SecretId, state: SecretState) -> Result<()> {
    let row = ActiveModel { id: Unchanged(id.0), state: Set(state.as_str().to_owned()), ..Default::default() };
    row.update_without_returning(tx.conn()).await?;
    Ok(())
}

/// One secret of a server: of a workspace, or the one for all.
pub async fn get(
    db: &impl ConnectionTrait,
    server: ServerId,
    workspace: Option<WorkspaceId>,
    name: &str,
) -> Result<Option<SecretRecord>> {
    let row = Entity::find()
        .filter(Column::ServerId.eq(server.0))
        .filter(Column::WorkspaceId.eq(workspace_column(workspace)))
        .filter(Column::Name.eq(name))
        .one(db)
        .await?;
    row.map(record).transpose()
}

/// All secrets of a server, those for all workspaces first, then by name.
pub async fn of_server(db: &impl ConnectionTrait, server: ServerId) -> Result<Vec<SecretRecord>> {
    let rows = Entity::find()
        .filter(Column::ServerId.eq(server.0))
        .order_by_asc(Column::WorkspaceId)
        .order_by_asc(Column::Name)
        .all(db)
        .await?;
    rows.into_iter().map(record).collect()
}

/// Every secret of the installation in order of id, after `after`, at most `limit` (key rotation, self test).
pub async fn page(db: &impl ConnectionTrait, after: Option<SecretId>, limit: u64) -> Result<Vec<SecretRecord>> {
    use sea_orm::QuerySelect;

    let mut query = Entity::find();
    if let Some(after) = after {
        query = query.filter(Column::Id.gt(after.0));
    }
    let rows = query.order_by_asc(Column::Id).limit(limit).all(db).await?;
    rows.into_iter().map(record).collect()
}

/// The version of every secret's value in order of id, after `after`, at most `limit`. Nothing else of the rows is read,
/// so that one that was damaged does not hide the others.
pub async fn versions(db: &impl ConnectionTrait, after: Option<SecretId>, limit: u64) -> Result<Vec<(SecretId, u64)>> {
    use sea_orm::QuerySelect;

    let mut query = Entity::find().select_only().column(Column::Id).column(Column::ValueVersion);
    if let Some(after) = after {
        query = query.filter(Column::Id.gt(after.0));
    }
    let rows: Vec<(Uuid, i64)> = query.order_by_asc(Column::Id).limit(limit).into_tuple().all(db).await?;
    Ok(rows.into_iter().map(|(id, version)| (SecretId(id), unsigned(version))).collect())
}

/// Which workspaces have values of their own for which servers.
pub async fn overrides(db: &impl ConnectionTrait) -> Result<Vec<(WorkspaceId, ServerId)>> {
    use sea_orm::QuerySelect;

    let pairs: Vec<(Uuid, Uuid)> = Entity::find()
        .select_only()
        .column(Column::WorkspaceId)
        .column(Column::ServerId)
        .distinct()
        .filter(Column::WorkspaceId.ne(Uuid::nil()))
        .into_tuple()
        .all(db)
        .await?;
    Ok(pairs.into_iter().map(|(workspace, server)| (WorkspaceId(workspace), ServerId(server))).collect())
}

/// Deletes one secret of a server; whether there was one.
pub async fn delete(tx: &Tx, server: ServerId, workspace: Option<WorkspaceId>, name: &str) -> Result<bool> {
    let gone = Entity::delete_many()
        .filter(Column::ServerId.eq(server.0))
        .filter(Column::WorkspaceId.eq(workspace_column(workspace)))
        .filter(Column::Name.eq(name))
        .exec(tx.conn())
        .await?;
    Ok(gone.rows_affected > 0)
}

/// Deletes all secrets of a server, or only a workspace's own ones; how many.
pub async fn delete_all(tx: &Tx, server: ServerId, only: Option<WorkspaceId>) -> Result<u64> {
    let mut gone = Entity::delete_many().filter(Column::ServerId.eq(server.0));
    if let Some(workspace) = only {
        gone = gone.filter(Column::WorkspaceId.eq(workspace.0));
    }
    Ok(gone.exec(tx.conn()).await?.rows_affected)
}

/// Deletes the values a workspace had of its own (the workspace goes); how many.
pub async fn delete_of_workspace(tx: &Tx, workspace: WorkspaceId) -> Result<u64> {
    Ok(Entity::delete_many().filter(Column::WorkspaceId.eq(workspace.0)).exec(tx.conn()).await?.rows_affected)
}

fn workspace_column(workspace: Option<WorkspaceId>) -> Uuid {
    workspace.map_or(Uuid::nil(), |id| id.0)
}

fn injection_columns(injection: Option<&Injection>) -> (Option<String>, Option<String>) {
    match injection {
        None => (None, None),
        Some(Injection::Bearer) => (Some("bearer".to_owned()), None),
        Some(Injection::Header(name)) => (Some("header".to_owned()), Some(name.clone())),
        Some(Injection::Env(name)) => (Some("env".to_owned()), Some(name.clone())),
    }
}

fn record(row: Model) -> Result<SecretRecord> {
    let injection = match (row.inject_mode.as_deref(), row.header) {
        (None, _) => None,
        (Some("bearer"), _) => Some(Injection::Bearer),
        (Some("header"), Some(name)) => Some(Injection::Header(name)),
        (Some("env"), Some(name)) => Some(Injection::Env(name)),
        _ => return Err(damaged("mcp_workspace_secrets.inject_mode", "unknown")),
    };
    // Wrong lengths are an integrity problem of the value; it must not decrypt, but the row can still be listed.
    let (sealed, intact) = match Sealed::from_parts(&row.iv, &row.ct, &row.tag) {
        Ok(sealed) => (sealed, true),
        Err(_) => (Sealed { iv: [0; 12], ciphertext: Vec::new(), tag: [0; 16] }, false),
    };
    let state = SecretState::parse(&row.state).ok_or_else(|| damaged("mcp_workspace_secrets.state", &row.state))?;
    Ok(SecretRecord {
        id: SecretId(row.id),
        namespace: AccountId(row.namespace_id),
        workspace: Some(row.workspace_id).filter(|id| !id.is_nil()).map(WorkspaceId),
        server: ServerId(row.server_id),
        name: row.name,
        value_version: unsigned(row.value_version),
        dek_version: unsigned32(row.dek_version),
        sealed,
        bound_origin: row.bound_origin,
        injection,
        state: if intact { state } else { SecretState::IntegrityError },
        created_by: row.created_by,
        created_at: row.created_at,
        updated_by: row.updated_by,
        updated_at: row.updated_at,
    })
}
