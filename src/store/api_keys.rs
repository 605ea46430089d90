//! API keys of accounts. Written by the TokenAuthority only; the value itself is never here.

use entities::api_key;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set,
    Unchanged,
};

use crate::{
    domain::{
        clock::Timestamp,
        ids::{AccountId, ApiKeyId},
        role::Role,
        token::TokenHash,
    },
    error::Result,
    store::{
        Tx,
        column::{array, parsed, stored},
    },
};

/// An account's key for the admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRecord {
    /// Its id.
    pub id: ApiKeyId,
    /// Whose it is.
    pub account: AccountId,
    /// The namespace it acts in unless the caller names another.
    pub namespace: AccountId,
    /// Whether it acts in that namespace only.
    pub bound: bool,
    /// What it is called.
    pub name: String,
    /// Last characters of the value.
    pub hint: String,
    /// Upper bound of the role it acts with.
    pub max_role: Option<Role>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// When it was last seen (up to a minute late).
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl ApiKeyRecord {
    /// Whether it works at this moment.
    pub fn is_active(&self, at: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| at < end)
    }
}

/// Writes a new key.
pub async fn insert(tx: &Tx, record: &ApiKeyRecord, hash: &TokenHash) -> Result<()> {
    let row = api_key::ActiveModel {
        id: Set(record.id.0),
        account_id: Set(record.account.0),
        namespace_id: Set(record.namespace.0),
        bound: Set(record.bound),
        name: Set(record.name.clone()),
        hash: Set(hash.0.to_vec()),
        hint: Set(record.hint.clone()),
        max_role: Set(record.max_role.map(|role| role.as_str().to_owned())),
        created_at: Set(stored(record.created_at)),
        expires_at: Set(record.expires_at.map(stored)),
        last_used_at: Set(record.last_used_at.map(stored)),
        revoked_at: Set(record.revoked_at.map(stored)),
    };
    api_key::Entity::insert(row).exec_without_returning(tx.conn()).await?;
    Ok(())
}

/// The key with this hash, whatever its state.
pub async fn by_hash(db: &impl ConnectionTrait, hash: &TokenHash) -> Result<Option<ApiKeyRecord>> {
    let row = api_key::Entity::find().filter(api_key::Column::Hash.eq(hash.0.to_vec())).one(db).await?;
    row.map(record).transpose()
}

/// Whether who acts with that key of an account stays in its namespace; without a key, in none.
pub async fn is_bound(db: &impl ConnectionTrait, account: AccountId, key: Option<ApiKeyId>) -> Result<bool> {
    let Some(key) = key else { return Ok(false) };
    Ok(get(db, account, key).await?.is_none_or(|key| key.bound))
}

/// An account's keys, oldest first.
pub async fn list(db: &impl ConnectionTrait, account: AccountId) -> Result<Vec<ApiKeyRecord>> {
    let rows = api_key::Entity::find()
        .filter(api_key::Column::AccountId.eq(account.0))
        .order_by_asc(api_key::Column::Id)
        .all(db)
        .await?;
    rows.into_iter().map(record).collect()
}

/// All keys that were not revoked, with their hashes (expired ones included; the caller looks at the clock).
pub async fn active_with_hash(db: &impl ConnectionTrait) -> Result<Vec<(TokenHash, ApiKeyRecord)>> {
    let rows = api_key::Entity::find().filter(api_key::Column::RevokedAt.is_null()).all(db).await?;
    rows.into_iter().map(|row| Ok((TokenHash(array("api_keys.hash", &row.hash)?), record(row)?))).collect()
}

/// Revokes an account's key; `None` when there is no such unrevoked key.
pub async fn revoke(tx: &Tx, account: AccountId, id: ApiKeyId, at: Timestamp) -> Result<Option<ApiKeyRecord>> {
    let found = api_key::Entity::find_by_id(id.0)
        .filter(api_key::Column::AccountId.eq(account.0))
        .filter(api_key::Column::RevokedAt.is_null())
        .one(tx.conn())
        .await?;
    let Some(row) = found else { return Ok(None) };
    let revoked = api_key::ActiveModel { id: Unchanged(id.0), revoked_at: Set(Some(stored(at))), ..Default::default() };
    revoked.update_without_returning(tx.conn()).await?;
    record(api_key::Model { revoked_at: Some(stored(at)), ..row }).map(Some)
}

/// Revokes all keys of an account whose namespace this is; gives back which they were.
pub async fn revoke_in(tx: &Tx, account: AccountId, namespace: AccountId, at: Timestamp) -> Result<Vec<ApiKeyId>> {
    let theirs = Condition::all()
        .add(api_key::Column::AccountId.eq(account.0))
        .add(api_key::Column::NamespaceId.eq(namespace.0))
        .add(api_key::Column::RevokedAt.is_null());
    let ids: Vec<uuid::Uuid> = api_key::Entity::find()
        .select_only()
        .column(api_key::Column::Id)
        .filter(theirs.clone())
        .order_by_asc(api_key::Column::Id)
        .into_tuple()
        .all(tx.conn())
        .await?;
    let row = api_key::ActiveModel { revoked_at: Set(Some(stored(at))), ..Default::default() };
    api_key::Entity::update_many().set(row).filter(theirs).exec(tx.conn()).await?;
    Ok(ids.into_iter().map(ApiKeyId).collect())
}

/// Whether each key of the installation was revoked, in order of id, after `after`, at most `limit`. Nothing else of the
/// rows is read, so that one that was damaged does not hide the others.
pub async fn revoked(db: &impl ConnectionTrait, after: Option<ApiKeyId>, limit: u64) -> Result<Vec<(ApiKeyId, bool)>> {
    use api_key::Column;

    let mut query = api_key::Entity::find().select_only().column(Column::Id).column(Column::RevokedAt);
    if let Some(after) = after {
        query = query.filter(Column::Id.gt(after.0));
    }
    let rows: Vec<(uuid::Uuid, Option<Timestamp>)> =
        query.order_by_asc(Column::Id).limit(limit).into_tuple().all(db).await?;
    Ok(rows.into_iter().map(|(id, at)| (ApiKeyId(id), at.is_some())).collect())
}

/// An account's key by id.
pub async fn get(db: &impl ConnectionTrait, account: AccountId, id: ApiKeyId) -> Result<Option<ApiKeyRecord>> {
    let row = api_key::Entity::find_by_id(id.0).filter(api_key::Column::AccountId.eq(account.0)).one(db).await?;
    row.map(record).transpose()
}

/// Notes when keys were last used.
pub async fn touch_last_used(tx: &Tx, used: &[(ApiKeyId, Timestamp)]) -> Result<()> {
    for (id, at) in used {
        let row =
            api_key::ActiveModel { id: Unchanged(id.0), last_used_at: Set(Some(stored(*at))), ..Default::default() };
        api_key::Entity::update_many().set(row).filter(api_key::Column::Id.eq(id.0)).exec(tx.conn()).await?;
    }
    Ok(())
}

fn record(row: api_key::Model) -> Result<ApiKeyRecord> {
    Ok(ApiKeyRecord {
        id: ApiKeyId(row.id),
        account: AccountId(row.account_id),
        namespace: AccountId(row.namespace_id),
        bound: row.bound,
        name: row.name,
        hint: row.hint,
        max_role: row.max_role.map(|role| parsed("api_keys.max_role", &role)).transpose()?,
        created_at: row.created_at,
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
        revoked_at: row.revoked_at,
    })
}
