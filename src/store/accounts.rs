//! Accounts, their namespaces and the members of a namespace. An account's id is also its namespace's id.

use entities::{account, member};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Set, Unchanged, sea_query::OnConflict,
};

use crate::{
    domain::{
        clock::{self, Timestamp},
        ids::AccountId,
        role::Role,
    },
    error::{Result, err},
    store::{
        Tx,
        column::{parsed, stored},
        failure::on_conflict,
    },
};

/// A person who can sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRecord {
    /// Its id, also its namespace's.
    pub id: AccountId,
    /// Its user name, also its namespace's name.
    pub username: String,
    /// Lower case.
    pub email: Option<String>,
    /// The plan whose limits apply to the namespace.
    pub plan: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An account's role in a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRecord {
    /// The account.
    pub account: AccountRecord,
    /// Its role.
    pub role: Role,
    /// Who let it in.
    pub invited_by: Option<AccountId>,
    /// Since when.
    pub created_at: Timestamp,
}

/// How lists and the audit log name an account in a namespace.
pub fn label(account: &AccountRecord, namespace: &AccountRecord) -> String {
    account.email.clone().unwrap_or_else(|| format!("{}@{}", account.username, namespace.username))
}

/// Writes a new account and makes it the owner of its own namespace.
pub async fn create(tx: &Tx, record: &AccountRecord) -> Result<()> {
    let row = account::ActiveModel {
        id: Set(record.id.0),
        username: Set(record.username.clone()),
        email: Set(record.email.as_deref().map(str::to_lowercase)),
        plan: Set(record.plan.clone()),
        created_at: Set(stored(record.created_at)),
    };
    let inserted = account::Entity::insert(row).exec_without_returning(tx.conn()).await;
    on_conflict(inserted, || err::conflict(format!("The user name or email of @{} is taken", record.username)))?;
    put_member(tx, record.id, record.id, Role::Owner, None).await
}

/// Gives an account another user name; the namespace is renamed with it.
pub async fn rename(tx: &Tx, id: AccountId, username: &str) -> Result<()> {
    let row = account::ActiveModel { id: Unchanged(id.0), username: Set(username.to_owned()), ..Default::default() };
    let updated = row.update_without_returning(tx.conn()).await;
    on_conflict(updated.map(drop), || err::conflict(format!("The user name @{username} is taken")))
}

/// Puts a namespace on another plan.
pub async fn set_plan(tx: &Tx, id: AccountId, plan: &str) -> Result<()> {
    let row = account::ActiveModel { id: Unchanged(id.0), plan: Set(plan.to_owned()), ..Default::default() };
    row.update_without_returning(tx.conn()).await?;
    Ok(())
}

/// The account with this id.
pub async fn get(db: &impl ConnectionTrait, id: AccountId) -> Result<Option<AccountRecord>> {
    Ok(account::Entity::find_by_id(id.0).one(db).await?.map(record))
}

/// The account with this user name.
pub async fn by_username(db: &impl ConnectionTrait, username: &str) -> Result<Option<AccountRecord>> {
    let row = account::Entity::find().filter(account::Column::Username.eq(username)).one(db).await?;
    Ok(row.map(record))
}

/// The account with this email.
pub async fn by_email(db: &impl ConnectionTrait, email: &str) -> Result<Option<AccountRecord>> {
    let row = account::Entity::find().filter(account::Column::Email.eq(email.to_lowercase())).one(db).await?;
    Ok(row.map(record))
}

/// Gives an account that has none this email address.
pub async fn set_email(tx: &Tx, id: AccountId, email: &str) -> Result<()> {
    let row =
        account::ActiveModel { id: Unchanged(id.0), email: Set(Some(email.to_lowercase())), ..Default::default() };
    let updated = row.update_without_returning(tx.conn()).await;
    on_conflict(updated.map(drop), || err::conflict("Another account has this email address"))
}

/// Holds others who change the same namespace's members until this transaction ends; whether it is there.
pub async fn lock(tx: &Tx, namespace: AccountId) -> Result<bool> {
    Ok(account::Entity::find_by_id(namespace.0).lock_exclusive().one(tx.conn()).await?.is_some())
}

/// How many accounts there are; none means this is the first start.
pub async fn count(db: &impl ConnectionTrait) -> Result<u64> {
    Ok(account::Entity::find().count(db).await?)
}

/// The account made first: the owner of the installation.
pub async fn first(db: &impl ConnectionTrait) -> Result<Option<AccountRecord>> {
    let row = account::Entity::find()
        .order_by_asc(account::Column::CreatedAt)
        .order_by_asc(account::Column::Id)
        .one(db)
        .await?;
    Ok(row.map(record))
}

/// Lets an account into a namespace, or changes its role there.
pub async fn put_member(
    tx: &Tx,
    namespace: AccountId,
    account: AccountId,
    role: Role,
    invited_by: Option<AccountId>,
) -> Result<()> {
    let row = member::ActiveModel {
        namespace_id: Set(namespace.0),
        account_id: Set(account.0),
        role: Set(role.as_str().to_owned()),
        invited_by: Set(invited_by.map(|id| id.0)),
        created_at: Set(stored(clock::now())),
    };
    let again = OnConflict::columns([member::Column::NamespaceId, member::Column::AccountId])
        .update_column(member::Column::Role)
        .to_owned();
    member::Entity::insert(row).on_conflict(again).exec_without_returning(tx.conn()).await?;
    Ok(())
}

/// Takes an account out of a namespace; whether it was in.
pub async fn remove_member(tx: &Tx, namespace: AccountId, account: AccountId) -> Result<bool> {
    let gone = member::Entity::delete_by_id((namespace.0, account.0)).exec(tx.conn()).await?;
    Ok(gone.rows_affected > 0)
}

/// Who is a member of which namespace, with the role as it is stored, in order of their ids, after `after`, at most
/// `limit`. Nothing is made of the role, so that one that was damaged does not hide the others.
pub async fn roles(
    db: &impl ConnectionTrait,
    after: Option<(AccountId, AccountId)>,
    limit: u64,
) -> Result<Vec<(AccountId, AccountId, String)>> {
    use member::Column;

    let mut query =
        member::Entity::find().select_only().columns([Column::NamespaceId, Column::AccountId, Column::Role]);
    if let Some((namespace, account)) = after {
        let same = Condition::all().add(Column::NamespaceId.eq(namespace.0)).add(Column::AccountId.gt(account.0));
        query = query.filter(Condition::any().add(Column::NamespaceId.gt(namespace.0)).add(same));
    }
    let rows: Vec<(uuid::Uuid, uuid::Uuid, String)> = query
        .order_by_asc(Column::NamespaceId)
        .order_by_asc(Column::AccountId)
        .limit(limit)
        .into_tuple()
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|(namespace, account, role)| (AccountId(namespace), AccountId(account), role)).collect())
}

/// Everybody in a namespace, longest first.
pub async fn members(db: &impl ConnectionTrait, namespace: AccountId) -> Result<Vec<MemberRecord>> {
    let rows = member::Entity::find()
        .filter(member::Column::NamespaceId.eq(namespace.0))
        .order_by_asc(member::Column::CreatedAt)
        .order_by_asc(member::Column::AccountId)
        .all(db)
        .await?;
    let ids: Vec<_> = rows.iter().map(|row| row.account_id).collect();
    let accounts = account::Entity::find().filter(account::Column::Id.is_in(ids)).all(db).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(account) = accounts.iter().find(|account| account.id == row.account_id) else { continue };
        found.push(MemberRecord {
            account: record(account.clone()),
            role: parsed("members.role", &row.role)?,
            invited_by: row.invited_by.map(AccountId),
            created_at: row.created_at,
        });
    }
    Ok(found)
}

/// The namespaces an account is in, with its role there.
pub async fn namespaces_of(db: &impl ConnectionTrait, account: AccountId) -> Result<Vec<(AccountRecord, Role)>> {
    let rows = member::Entity::find().filter(member::Column::AccountId.eq(account.0)).all(db).await?;
    let ids: Vec<_> = rows.iter().map(|row| row.namespace_id).collect();
    let namespaces = account::Entity::find()
        .filter(account::Column::Id.is_in(ids))
        .order_by_asc(account::Column::Username)
        .all(db)
        .await?;
    let mut found = Vec::with_capacity(namespaces.len());
    for namespace in namespaces {
        let Some(row) = rows.iter().find(|row| row.namespace_id == namespace.id) else { continue };
        found.push((record(namespace), parsed("members.role", &row.role)?));
    }
    Ok(found)
}

/// An account's role in a namespace, if it is in.
pub async fn role_of(db: &impl ConnectionTrait, namespace: AccountId, account: AccountId) -> Result<Option<Role>> {
    let row = member::Entity::find_by_id((namespace.0, account.0)).one(db).await?;
    row.map(|row| parsed("members.role", &row.role)).transpose()
}

fn record(row: account::Model) -> AccountRecord {
    AccountRecord {
        id: AccountId(row.id),
        username: row.username,
        email: row.email,
        plan: row.plan,
        created_at: row.created_at,
    }
}
