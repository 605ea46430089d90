//! Invitations to namespaces. Written by the TokenAuthority only; the code of the link is never here.

use entities::invite::{ActiveModel, Column, Entity, Model};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, Set};

use crate::{
    domain::{
        clock::Timestamp,
        ids::{AccountId, InviteId, WorkspaceId},
        role::Role,
        token::TokenHash,
    },
    error::Result,
    store::{
        Tx,
        column::{parsed, stored},
    },
};

/// An e-mail address that may join a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteRecord {
    /// Its id.
    pub id: InviteId,
    /// The namespace.
    pub namespace: AccountId,
    /// Lower case.
    pub email: String,
    /// With which role.
    pub role: Role,
    /// The workspace that accepting issues a token for.
    pub workspace: Option<WorkspaceId>,
    /// Who invites.
    pub invited_by: AccountId,
    /// Since when.
    pub created_at: Timestamp,
    /// When it stops being one.
    pub expires_at: Timestamp,
    /// When it was accepted.
    pub used_at: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

impl InviteRecord {
    /// Whether it can be accepted at this moment.
    pub fn is_open(&self, at: Timestamp) -> bool {
        self.used_at.is_none() && self.revoked_at.is_none() && at < self.expires_at
    }
}

/// Writes a new invitation.
pub async fn insert(tx: &Tx, record: &InviteRecord, hash: &TokenHash) -> Result<()> {
    let row = ActiveModel {
        id: Set(record.id.0),
        namespace_id: Set(record.namespace.0),
        hash: Set(hash.0.to_vec()),
        email: Set(record.email.clone()),
        role: Set(record.role.as_str().to_owned()),
        workspace_id: Set(record.workspace.map(|id| id.0)),
        invited_by: Set(record.invited_by.0),
        created_at: Set(stored(record.created_at)),
        expires_at: Set(stored(record.expires_at)),
        used_at: Set(record.used_at.map(stored)),
        used_by: Set(None),
        revoked_at: Set(record.revoked_at.map(stored)),
    };
    Entity::insert(row).exec_without_returning(tx.conn()).await?;
    Ok(())
}

/// The invitation with this hash, whatever its state.
pub async fn by_hash(db: &impl ConnectionTrait, hash: &TokenHash) -> Result<Option<InviteRecord>> {
    Entity::find().filter(Column::Hash.eq(hash.0.to_vec())).one(db).await?.map(record).transpose()
}

/// A namespace's invitation by id, if it can still be accepted.
pub async fn get_open(
    db: &impl ConnectionTrait,
    namespace: AccountId,
    id: InviteId,
    at: Timestamp,
) -> Result<Option<InviteRecord>> {
    let row = Entity::find_by_id(id.0).filter(open(namespace, at)).one(db).await?;
    row.map(record).transpose()
}

/// A namespace's invitations that can still be accepted, oldest first.
pub async fn list_open(db: &impl ConnectionTrait, namespace: AccountId, at: Timestamp) -> Result<Vec<InviteRecord>> {
    let rows = Entity::find().filter(open(namespace, at)).order_by_asc(Column::Id).all(db).await?;
    rows.into_iter().map(record).collect()
}

/// How many can still be accepted.
pub async fn count_open(db: &impl ConnectionTrait, namespace: AccountId, at: Timestamp) -> Result<u64> {
    Ok(Entity::find().filter(open(namespace, at)).count(db).await?)
}

/// Uses an invitation up; false when somebody else did, or it is over.
pub async fn consume(tx: &Tx, id: InviteId, by: AccountId, at: Timestamp) -> Result<bool> {
    let row = ActiveModel { used_at: Set(Some(stored(at))), used_by: Set(Some(by.0)), ..Default::default() };
    let done = Entity::update_many()
        .set(row)
        .filter(Column::Id.eq(id.0))
        .filter(Column::UsedAt.is_null())
        .filter(Column::RevokedAt.is_null())
        .filter(Column::ExpiresAt.gt(stored(at)))
        .exec(tx.conn())
        .await?;
    Ok(done.rows_affected > 0)
}

/// Which invitations are taken back.
pub enum Whose<'a> {
    /// This one.
    One(InviteId),
    /// Those to this address.
    To(&'a str),
    /// Those that this account made.
    By(AccountId),
}

/// Takes open invitations of a namespace back; gives back how many there were.
pub async fn revoke(tx: &Tx, namespace: AccountId, whose: Whose<'_>, at: Timestamp) -> Result<u64> {
    let row = ActiveModel { revoked_at: Set(Some(stored(at))), ..Default::default() };
    let these = match whose {
        Whose::One(id) => Column::Id.eq(id.0),
        Whose::To(email) => Column::Email.eq(email),
        Whose::By(account) => Column::InvitedBy.eq(account.0),
    };
    let done = Entity::update_many().set(row).filter(open(namespace, at)).filter(these).exec(tx.conn()).await?;
    Ok(done.rows_affected)
}

fn open(namespace: AccountId, at: Timestamp) -> Condition {
    Condition::all()
        .add(Column::NamespaceId.eq(namespace.0))
        .add(Column::UsedAt.is_null())
        .add(Column::RevokedAt.is_null())
        .add(Column::ExpiresAt.gt(stored(at)))
}

fn record(row: Model) -> Result<InviteRecord> {
    Ok(InviteRecord {
        id: InviteId(row.id),
        namespace: AccountId(row.namespace_id),
        email: row.email,
        role: parsed("invites.role", &row.role)?,
        workspace: row.workspace_id.map(WorkspaceId),
        invited_by: AccountId(row.invited_by),
        created_at: row.created_at,
        expires_at: row.expires_at,
        used_at: row.used_at,
        revoked_at: row.revoked_at,
    })
}
