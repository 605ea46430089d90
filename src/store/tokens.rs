//! Workspace tokens. Written by the TokenAuthority only. Revoked and expired ones stay, for the list and the log.

use entities::{workspace, workspace_token};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, Set, Unchanged, sea_query::SelectStatement,
};
use uuid::Uuid;

use crate::{
    domain::{
        audit_checkpoint::hex,
        clock::{self, Timestamp},
        ids::{AccountId, TokenId, WorkspaceId},
        scope::Scope,
        token::TokenHash,
    },
    error::{Error, Result, err},
    store::{
        Tx,
        column::{array, damaged, signed32, stored, unsigned32},
        workspaces,
    },
};

/// A workspace token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// Its id.
    pub id: TokenId,
    /// The workspace whose tools it calls.
    pub workspace: WorkspaceId,
    /// What it is called; unique among the active ones of its workspace.
    pub name: String,
    /// Last characters of the value.
    pub hint: String,
    /// The account it was issued to, if it was.
    pub member: Option<AccountId>,
    /// Who made it.
    pub created_by: AccountId,
    /// When.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// When it was last used (up to a minute late).
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Until when the value it had before its last rotation still works.
    pub previous_until: Option<Timestamp>,
    /// Overrides `limits.requests_per_minute`.
    pub requests_per_minute: Option<u32>,
    /// What it may use; none: everything.
    pub scope: Option<Scope>,
}

impl TokenRecord {
    /// Whether it works at this moment.
    pub fn is_active(&self, at: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| at < end)
    }

    /// As who comes with the value before the last rotation has it: its time is over when the overlap is.
    fn through_its_previous_value(mut self) -> Self {
        let end = self.previous_until.unwrap_or(self.created_at);
        self.expires_at = Some(self.expires_at.map_or(end, |own| own.min(end)));
        self
    }
}

/// Writes a new token. Conflict when an active one of that name exists in the workspace.
pub async fn insert(tx: &Tx, record: &TokenRecord, hash: &TokenHash) -> Result<()> {
    if !workspaces::lock(tx, record.workspace).await? {
        return Err(err::not_found("No such workspace"));
    }
    let same_name = active(record.workspace, clock::now()).add(workspace_token::Column::Name.eq(&record.name));
    if workspace_token::Entity::find().filter(same_name).one(tx.conn()).await?.is_some() {
        return Err(err::conflict(format!("An active token is already called \"{}\"", record.name))
            .with_hint("Choose another name, or revoke that token first"));
    }
    let row = workspace_token::ActiveModel {
        id: Set(record.id.0),
        workspace_id: Set(record.workspace.0),
        hash: Set(hash.0.to_vec()),
        hint: Set(record.hint.clone()),
        name: Set(record.name.clone()),
        member_id: Set(record.member.map(|id| id.0)),
        scope: Set(record.scope.as_ref().map(scope_text).transpose()?),
        requests_per_minute: Set(record.requests_per_minute.map(signed32)),
        created_by: Set(record.created_by.0),
        created_at: Set(stored(record.created_at)),
        expires_at: Set(record.expires_at.map(stored)),
        last_used_at: Set(record.last_used_at.map(stored)),
        revoked_at: Set(record.revoked_at.map(stored)),
        previous_hash: Set(None),
        previous_until: Set(None),
    };
    workspace_token::Entity::insert(row).exec_without_returning(tx.conn()).await?;
    Ok(())
}

/// The token with this hash and its workspace's slug, whatever its state. Found by the value before its last rotation,
/// its time is over when the overlap is.
pub async fn by_hash(db: &impl ConnectionTrait, hash: &TokenHash) -> Result<Option<(TokenRecord, String)>> {
    use workspace_token::Column;

    let with = async |column: Column| workspace_token::Entity::find().filter(column.eq(hash.0.to_vec())).one(db).await;
    let found = match with(Column::Hash).await? {
        Some(row) => record(row)?,
        None => match with(Column::PreviousHash).await? {
            Some(row) => record(row)?.through_its_previous_value(),
            None => return Ok(None),
        },
    };
    let workspace = workspace::Entity::find_by_id(found.workspace.0).one(db).await?;
    Ok(workspace.map(|workspace| (found, workspace.slug)))
}

/// A workspace's token by id.
pub async fn get(db: &impl ConnectionTrait, workspace: WorkspaceId, id: TokenId) -> Result<Option<TokenRecord>> {
    let row = workspace_token::Entity::find_by_id(id.0)
        .filter(workspace_token::Column::WorkspaceId.eq(workspace.0))
        .one(db)
        .await?;
    row.map(record).transpose()
}

/// A workspace's tokens, oldest first.
pub async fn list(db: &impl ConnectionTrait, workspace: WorkspaceId) -> Result<Vec<TokenRecord>> {
    let rows = workspace_token::Entity::find()
        .filter(workspace_token::Column::WorkspaceId.eq(workspace.0))
        .order_by_asc(workspace_token::Column::Id)
        .all(db)
        .await?;
    rows.into_iter().map(record).collect()
}

/// A workspace's tokens that work at `at`: however many it has had, only these are read.
pub async fn list_active(db: &impl ConnectionTrait, workspace: WorkspaceId, at: Timestamp) -> Result<Vec<TokenRecord>> {
    let rows = workspace_token::Entity::find().filter(active(workspace, at)).all(db).await?;
    rows.into_iter().map(record).collect()
}

/// Those of all workspaces of a namespace, in one query.
pub async fn active_in_namespace(
    db: &impl ConnectionTrait,
    namespace: AccountId,
    at: Timestamp,
) -> Result<Vec<TokenRecord>> {
    let rows = workspace_token::Entity::find()
        .filter(unrevoked(at))
        .filter(workspace_token::Column::WorkspaceId.in_subquery(workspaces_of(namespace)))
        .all(db)
        .await?;
    rows.into_iter().map(record).collect()
}

fn workspaces_of(namespace: AccountId) -> SelectStatement {
    workspace::Entity::find()
        .select_only()
        .column(workspace::Column::Id)
        .filter(workspace::Column::NamespaceId.eq(namespace.0))
        .into_query()
}

/// How many tokens a workspace has had; with a member, how many of theirs.
pub async fn count(db: &impl ConnectionTrait, workspace: WorkspaceId, member: Option<AccountId>) -> Result<u64> {
    let all = workspace_token::Entity::find().filter(workspace_token::Column::WorkspaceId.eq(workspace.0));
    let these = all.apply_if(member, |query, id| query.filter(workspace_token::Column::MemberId.eq(id.0)));
    Ok(these.count(db).await?)
}

/// Every value of a token of the installation that works at `at`, as a hash, with its workspace's slug: the
/// TokenAuthority's first map. A token in the overlap of a rotation is there twice.
pub async fn active_with_hash(
    db: &impl ConnectionTrait,
    at: Timestamp,
) -> Result<Vec<(TokenHash, TokenRecord, String)>> {
    let rows = workspace_token::Entity::find().filter(unrevoked(at)).all(db).await?;
    let slugs: std::collections::HashMap<_, _> =
        workspace::Entity::find().all(db).await?.into_iter().map(|row| (row.id, row.slug)).collect();
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let slug = slugs.get(&row.workspace_id).ok_or_else(|| damaged("workspace_tokens", "no workspace"))?;
        let (hash, previous) = (TokenHash(array("workspace_tokens.hash", &row.hash)?), row.previous_hash.clone());
        let token = record(row)?;
        if let Some(previous) = previous.filter(|_| token.previous_until.is_some_and(|until| at < until)) {
            let previous = TokenHash(array("workspace_tokens.previous_hash", &previous)?);
            found.push((previous, token.clone().through_its_previous_value(), slug.clone()));
        }
        found.push((hash, token, slug.clone()));
    }
    Ok(found)
}

/// Revokes a workspace's token and gives it back with its hash; `None` when there is no such unrevoked token.
pub async fn revoke(
    tx: &Tx,
    workspace: WorkspaceId,
    id: TokenId,
    at: Timestamp,
) -> Result<Option<(TokenHash, TokenRecord)>> {
    let revoked = workspace_token::ActiveModel { revoked_at: Set(Some(stored(at))), ..Default::default() };
    let Some(row) = change(tx, workspace, id, revoked).await? else { return Ok(None) };
    let hash = TokenHash(array("workspace_tokens.hash", &row.hash)?);
    Ok(Some((hash, record(workspace_token::Model { revoked_at: Some(stored(at)), ..row })?)))
}

/// Whether each token of the installation was revoked, and what tells its value from others, in order of id, after `after`,
/// at most `limit`. Nothing else of the rows is read, so that one that was damaged does not hide the others.
pub async fn revoked(
    db: &impl ConnectionTrait,
    after: Option<TokenId>,
    limit: u64,
) -> Result<Vec<(TokenId, bool, String)>> {
    use workspace_token::Column;

    let mut query =
        workspace_token::Entity::find().select_only().columns([Column::Id, Column::RevokedAt, Column::Hash]);
    if let Some(after) = after {
        query = query.filter(Column::Id.gt(after.0));
    }
    let rows: Vec<(Uuid, Option<Timestamp>, Vec<u8>)> =
        query.order_by_asc(Column::Id).limit(limit).into_tuple().all(db).await?;
    Ok(rows.into_iter().map(|(id, at, hash)| (TokenId(id), at.is_some(), told_by(&hash))).collect())
}

/// What tells one value of a token from another in the audit log: the beginning of its hash, hexadecimal.
pub fn told_by(hash: &[u8]) -> String {
    hex(hash.get(..8).unwrap_or_default())
}

/// Changes a token of a workspace that was not revoked; the row as it was, if there is one.
async fn change(
    tx: &Tx,
    workspace: WorkspaceId,
    id: TokenId,
    to: workspace_token::ActiveModel,
) -> Result<Option<workspace_token::Model>> {
    let found = workspace_token::Entity::find_by_id(id.0)
        .filter(workspace_token::Column::WorkspaceId.eq(workspace.0))
        .filter(workspace_token::Column::RevokedAt.is_null())
        .lock_exclusive()
        .one(tx.conn())
        .await?;
    if found.is_some() {
        let to = workspace_token::ActiveModel { id: Unchanged(id.0), ..to };
        to.update_without_returning(tx.conn()).await?;
    }
    Ok(found)
}

/// All tokens of a namespace's workspaces that were issued to an account, whatever their state.
pub async fn of_member(db: &impl ConnectionTrait, namespace: AccountId, member: AccountId) -> Result<Vec<TokenRecord>> {
    let rows = workspace_token::Entity::find()
        .filter(workspace_token::Column::MemberId.eq(member.0))
        .filter(workspace_token::Column::WorkspaceId.in_subquery(workspaces_of(namespace)))
        .order_by_asc(workspace_token::Column::Id)
        .all(db)
        .await?;
    rows.into_iter().map(record).collect()
}

/// Another value for a token.
#[derive(Debug, Clone)]
pub struct NewValue {
    /// Its hash.
    pub hash: TokenHash,
    /// Its last characters.
    pub hint: String,
    /// Until when the present value works as well; none: it is unknown from the commit on.
    pub previous_until: Option<Timestamp>,
}

/// Gives a token that works at `at` a new value under the same id; gives back the hash of the value it had. A value that
/// was kept by an earlier rotation is unknown from the commit on. `None` when there is no such token.
pub async fn replace_value(
    tx: &Tx,
    workspace: WorkspaceId,
    id: TokenId,
    value: NewValue,
    at: Timestamp,
) -> Result<Option<(TokenHash, TokenRecord)>> {
    let found =
        workspace_token::Entity::find_by_id(id.0).filter(active(workspace, at)).lock_exclusive().one(tx.conn()).await?;
    let Some(row) = found else { return Ok(None) };
    let old = TokenHash(array("workspace_tokens.hash", &row.hash)?);
    // Not longer than the token itself.
    let until = value.previous_until.map(|until| row.expires_at.map_or(until, |end| end.min(until)));
    let changed = workspace_token::ActiveModel {
        id: Unchanged(id.0),
        hash: Set(value.hash.0.to_vec()),
        hint: Set(value.hint.clone()),
        previous_hash: Set(until.map(|_| row.hash.clone())),
        previous_until: Set(until.map(stored)),
        ..Default::default()
    };
    changed.update_without_returning(tx.conn()).await?;
    let row = workspace_token::Model { hint: value.hint, previous_until: until.map(stored), ..row };
    Ok(Some((old, record(row)?)))
}

/// Gives a token that was not revoked a new value and another end; the values it had are unknown from the commit on.
/// `None` when there is no such token.
pub async fn renew(
    tx: &Tx,
    workspace: WorkspaceId,
    id: TokenId,
    value: NewValue,
    until: Option<Timestamp>,
) -> Result<Option<TokenRecord>> {
    let renewed = workspace_token::ActiveModel {
        hash: Set(value.hash.0.to_vec()),
        hint: Set(value.hint),
        expires_at: Set(until.map(stored)),
        previous_hash: Set(None),
        previous_until: Set(None),
        ..Default::default()
    };
    match change(tx, workspace, id, renewed).await? {
        Some(_) => get(tx.conn(), workspace, id).await,
        None => Ok(None),
    }
}

/// The newest token of that name that was issued to an account for a time, whether its time is over or not.
pub async fn latest_of(
    db: &impl ConnectionTrait,
    (workspace, member): (WorkspaceId, AccountId),
    name: &str,
) -> Result<Option<TokenRecord>> {
    use workspace_token::Column;

    let row = workspace_token::Entity::find()
        .filter(Column::WorkspaceId.eq(workspace.0))
        .filter(Column::MemberId.eq(member.0))
        .filter(Column::Name.eq(name))
        .filter(Column::RevokedAt.is_null())
        .filter(Column::ExpiresAt.is_not_null())
        .order_by_desc(Column::Id)
        .one(db)
        .await?;
    row.map(record).transpose()
}

/// Tokens of the installation whose time is over between two moments, with their workspaces' slugs, soonest first, at
/// most `limit`.
pub async fn expiring(
    db: &impl ConnectionTrait,
    from: Timestamp,
    until: Timestamp,
    limit: u64,
) -> Result<Vec<(TokenRecord, String)>> {
    let rows = workspace_token::Entity::find()
        .filter(unrevoked(from))
        .filter(workspace_token::Column::ExpiresAt.lte(stored(until)))
        .order_by_asc(workspace_token::Column::ExpiresAt)
        .limit(limit)
        .all(db)
        .await?;
    let ids = rows.iter().map(|row| row.workspace_id);
    let workspaces = workspace::Entity::find().filter(workspace::Column::Id.is_in(ids)).all(db).await?;
    let slug = |id| workspaces.iter().find(|known| known.id == id).map_or_else(String::new, |known| known.slug.clone());
    let named = |row: workspace_token::Model| {
        let slug = slug(row.workspace_id);
        Ok((record(row)?, slug))
    };
    rows.into_iter().map(named).collect()
}

/// Gives a token another scope; none: everything. Whether there is such an unrevoked token.
pub async fn set_scope(tx: &Tx, workspace: WorkspaceId, id: TokenId, scope: Option<&Scope>) -> Result<bool> {
    let row = workspace_token::ActiveModel { scope: Set(scope.map(scope_text).transpose()?), ..Default::default() };
    Ok(change(tx, workspace, id, row).await?.is_some())
}

/// Notes when tokens were last used; tokens deleted meanwhile are passed over.
pub async fn touch_last_used(tx: &Tx, used: &[(TokenId, Timestamp)]) -> Result<()> {
    for (id, at) in used {
        let row = workspace_token::ActiveModel { last_used_at: Set(Some(stored(*at))), ..Default::default() };
        workspace_token::Entity::update_many()
            .set(row)
            .filter(workspace_token::Column::Id.eq(id.0))
            .exec(tx.conn())
            .await?;
    }
    Ok(())
}

/// How many tokens of a workspace work at `at`. Before an insert, take [`workspaces::lock`] first.
pub async fn count_active(db: &impl ConnectionTrait, workspace: WorkspaceId, at: Timestamp) -> Result<u64> {
    Ok(workspace_token::Entity::find().filter(active(workspace, at)).count(db).await?)
}

fn active(workspace: WorkspaceId, at: Timestamp) -> Condition {
    unrevoked(at).add(workspace_token::Column::WorkspaceId.eq(workspace.0))
}

fn unrevoked(at: Timestamp) -> Condition {
    let lasting = Condition::any()
        .add(workspace_token::Column::ExpiresAt.is_null())
        .add(workspace_token::Column::ExpiresAt.gt(stored(at)));
    Condition::all().add(workspace_token::Column::RevokedAt.is_null()).add(lasting)
}

fn record(row: workspace_token::Model) -> Result<TokenRecord> {
    let scope = row.scope.map(|text| serde_json::from_str(&text)).transpose();
    Ok(TokenRecord {
        id: TokenId(row.id),
        workspace: WorkspaceId(row.workspace_id),
        name: row.name,
        hint: row.hint,
        member: row.member_id.map(AccountId),
        created_by: AccountId(row.created_by),
        created_at: row.created_at,
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
        revoked_at: row.revoked_at,
        previous_until: row.previous_until,
        requests_per_minute: row.requests_per_minute.map(unsigned32),
        scope: scope.map_err(|cause| damaged("workspace_tokens.scope", cause))?,
    })
}

fn scope_text(scope: &Scope) -> Result<String> {
    serde_json::to_string(scope).map_err(|cause| Error::internal("writing a token's scope", cause))
}
