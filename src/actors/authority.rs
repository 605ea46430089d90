//! What the TokenAuthority does, without the actor: every change of a credential is one transaction (rules, limit,
//! row and audit entry), followed by the change of what is in force. The order of a revocation is: commit, take the
//! grant out of the ledger, end everything that runs under it, answer.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
};

use chrono::TimeDelta;
use parking_lot::Mutex;
use secrecy::SecretString;
use tokio::sync::watch;

use crate::{
    actors::{
        authority_welcome::Welcome, failed_lookups::FailedLookups, grant::Grant, last_used::LastUsed,
        passwords::Passwords, sign_in_pace::SignInPace, token_authority::WindowSource, token_ledger::Ledger,
        token_rules,
    },
    config::PeopleConfig,
    domain::{
        clock::Timestamp,
        ids::{AccountId, ApiKeyId, SessionId, TokenId, WorkspaceId},
        plan::Plan,
        role::Principal,
        scope::Scope,
        token::{self, Credential, TokenHash},
    },
    error::{Error, ErrorCode, Result, err},
    store::{
        Store, Tx, accounts, api_keys,
        audit::AuditEntry,
        sessions,
        tokens::{self, TokenRecord},
        workspaces::{self, WorkspaceRecord},
    },
};

/// How often a look-up is repeated because something was withdrawn while it read.
const ATTEMPTS: usize = 16;
/// Rows per transaction when times of last use are written or old sessions deleted: other writers get their turn in
/// between.
const FLUSH_ROWS: usize = 500;

/// A token to be issued.
#[derive(Debug, Clone)]
pub struct IssueToken {
    /// The workspace whose tools it will call.
    pub workspace: WorkspaceId,
    /// What it is for; unique among the workspace's active tokens.
    pub name: String,
    /// Its life; none: no end.
    pub expires_in_seconds: Option<u64>,
    /// The account it is for, a member of the namespace.
    pub member: Option<AccountId>,
    /// Its own limit; none: `limits.requests_per_minute`.
    pub requests_per_minute: Option<u32>,
    /// What it may use.
    pub scope: Scope,
    /// Who issues it.
    pub by: Principal,
}

/// An issued token. `raw` exists only here: it is shown once and stored nowhere.
pub struct IssuedToken {
    /// What is stored of it.
    pub record: TokenRecord,
    /// The token.
    pub raw: SecretString,
}

/// A token to be revoked.
#[derive(Debug, Clone)]
pub struct NameToken {
    /// Its workspace (a token of another one is unknown).
    pub workspace: WorkspaceId,
    /// The token.
    pub token: TokenId,
    /// Who does it.
    pub by: Principal,
}

/// A token that is to have another scope.
#[derive(Debug, Clone)]
pub struct ScopeToken {
    /// Its workspace (a token of another one is unknown).
    pub workspace: WorkspaceId,
    /// The token.
    pub token: TokenId,
    /// What it may use from now on; an empty one takes nothing away.
    pub scope: Scope,
    /// Who does it.
    pub by: Principal,
}

/// State of the authority; outlives the actor's incarnations.
pub(super) struct Authority {
    pub(super) store: Store,
    pub(super) ledger: Ledger,
    pub(super) windows: Arc<dyn WindowSource>,
    pub(super) failed: FailedLookups,
    pub(super) used: LastUsed<TokenId>,
    pub(super) used_keys: LastUsed<ApiKeyId>,
    pub(super) used_sessions: LastUsed<SessionId>,
    pub(super) people: PeopleConfig,
    pub(super) passwords: Passwords,
    pub(super) pace: SignInPace,
    /// Requests of each address to what needs no key.
    pub(super) open: FailedLookups,
    /// The link that opens the dashboard for the first time.
    pub(super) welcome: Welcome,
    /// How long session ids of older revisions are believed.
    pub(super) session_days: u32,
    /// How long before its end a token counts as one that expires soon.
    pub(super) expiry_warning: TimeDelta,
    /// Tokens that expire soon, as of the last look.
    pub(super) expiring: AtomicU64,
    /// Those that were warned of.
    pub(super) warned: Mutex<HashSet<TokenId>>,
    /// False while a fresh incarnation has not compared the ledger with the database yet.
    pub(super) settled: watch::Sender<bool>,
    /// Another gateway may be changing what is known here.
    pub(super) doubted: AtomicBool,
}

impl Authority {
    pub(super) async fn until_settled(&self) {
        // The sender is a field of self: it cannot be gone.
        _ = self.settled.subscribe().wait_for(|settled| *settled).await;
    }

    /// The grant of a token that is not in the ledger.
    pub(super) async fn find(&self, hash: TokenHash) -> Result<Option<Arc<Grant>>> {
        self.until_settled().await;
        for _ in 0..ATTEMPTS {
            let epoch = self.ledger.epoch();
            self.require_belief()?;
            let found = self.store.read(move |db| async move { tokens::by_hash(&db, &hash).await }).await?;
            let Some((record, slug)) = found else { return Ok(None) };
            if !record.is_active(self.ledger.now()) {
                return Ok(None);
            }
            if let Some(grant) = self.ledger.admit(epoch, hash, || self.grant(&record, slug.into())) {
                return Ok(Some(grant));
            }
        }
        Err(Error::new(ErrorCode::Overloaded, "Too many tokens change at once").with_retry_after(1))
    }

    fn grant(&self, record: &TokenRecord, slug: Arc<str>) -> Grant {
        let grant = Grant::new(
            record.id,
            record.workspace,
            slug,
            record.name.as_str().into(),
            record.member,
            record.expires_at,
            self.windows.requests(record.id, record.requests_per_minute),
            self.windows.notifications(record.id),
        );
        grant.set_scope(record.scope.clone().map(Arc::new));
        grant
    }

    pub(super) async fn issue(&self, wanted: IssueToken) -> Result<IssuedToken> {
        self.until_settled().await;
        let now = self.ledger.now();
        let fresh = token::generate(Credential::Mwt);
        let record = TokenRecord {
            id: TokenId::generate(),
            workspace: wanted.workspace,
            name: token_rules::name(&wanted.name)?,
            hint: fresh.hint,
            member: wanted.member,
            created_by: wanted.by.account,
            created_at: now,
            expires_at: token_rules::expiry(now, wanted.expires_in_seconds)?,
            last_used_at: None,
            revoked_at: None,
            previous_until: None,
            requests_per_minute: token_rules::requests_per_minute(wanted.requests_per_minute)?,
            scope: wanted.scope.checked()?,
        };
        let epoch = self.ledger.epoch();
        let (row, by, hash) = (record.clone(), wanted.by, fresh.hash);
        let workspace =
            self.store.write(move |tx| Box::pin(async move { insert_token(tx, &row, &by, &hash).await })).await?;
        // Not admitted when something was withdrawn meanwhile (perhaps this very token): its first use looks it up.
        self.ledger.admit(epoch, hash, || self.grant(&record, workspace.slug.shared()));
        Ok(IssuedToken { record, raw: fresh.raw })
    }

    pub(super) async fn revoke(&self, named: NameToken) -> Result<TokenRecord> {
        let (token, now) = (named.token, self.ledger.now());
        let written = self
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let workspace = workspace_of(tx, named.workspace).await?;
                    let Some((_, record)) = tokens::revoke(tx, workspace.id, token, now).await? else {
                        // Revoked already: the answer is the same, and whatever still runs is ended below.
                        tx.acts(&named.by);
                        let known = tokens::get(tx.conn(), workspace.id, token).await?;
                        return known.ok_or_else(|| err::not_found("No such token in this workspace"));
                    };
                    tx.audit(entry(&workspace, &named.by, "token_revoked", &record)).await?;
                    tx.change("token", token).await?;
                    Ok(record)
                })
            })
            .await;
        // When the database does not say whether it committed, the token is cut all the same: if it is still valid,
        // its next use finds that out.
        if !matches!(&written, Err(refused) if refused.code() == ErrorCode::NotFound) {
            self.end(self.ledger.withdraw([token])).await;
        }
        if written.is_ok() {
            self.windows.forget(token);
        }
        written
    }

    /// Gives a token another scope. When this returns, every call and list is decided by it.
    pub(super) async fn rescope(&self, change: ScopeToken) -> Result<TokenRecord> {
        self.until_settled().await;
        let (workspace, token, now) = (change.workspace, change.token, self.ledger.now());
        let scope = change.scope.checked()?;
        let written = self
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let workspace = workspace_of(tx, workspace).await?;
                    let known = tokens::get(tx.conn(), workspace.id, token).await?;
                    let record = known.filter(|record| record.is_active(now)).ok_or_else(|| {
                        err::not_found("No such active token in this workspace")
                            .with_hint(format!("aerostack workspace token list {} --active", workspace.slug))
                    })?;
                    tokens::set_scope(tx, workspace.id, token, scope.as_ref()).await?;
                    let said =
                        |scope: Option<&Scope>| scope.map_or_else(|| Scope::default().to_string(), Scope::to_string);
                    let entry = entry(&workspace, &change.by, "token_scope_changed", &record);
                    tx.audit(entry.changed("scope", said(record.scope.as_ref()), said(scope.as_ref()))).await?;
                    tx.change("token", token).await?;
                    Ok(TokenRecord { scope, ..record })
                })
            })
            .await;
        match &written {
            Ok(_) => self.publish_scope(workspace, token).await,
            Err(refused) if refused.code() == ErrorCode::NotFound => {}
            // Perhaps it was committed: the token's next use asks the database.
            Err(_) => self.end(self.ledger.withdraw([token])).await,
        }
        written
    }

    /// Puts what the database says of a token's scope in force. Read again when something changed meanwhile, so that of
    /// two changes the later one stays.
    async fn publish_scope(&self, workspace: WorkspaceId, token: TokenId) {
        for _ in 0..ATTEMPTS {
            let epoch = self.ledger.epoch();
            let read = self.store.read(move |db| async move { tokens::get(&db, workspace, token).await }).await;
            let Ok(Some(record)) = read else { break };
            if self.ledger.rescope(epoch, token, record.scope.map(Arc::new)) {
                return;
            }
        }
        // Nothing is known for sure: what runs is ended, and the token's next use asks the database.
        self.end(self.ledger.withdraw([token])).await;
    }

    /// See [`Tokens::believe`](crate::actors::token_authority::Tokens::believe). Doubt comes first, then the withdrawal: a
    /// look-up that began before either is not admitted.
    pub(super) async fn believe(&self, known: bool) {
        self.doubted.store(!known, SeqCst);
        if !known {
            self.end(self.ledger.withdraw_all()).await;
        }
    }

    pub(super) fn require_belief(&self) -> Result<()> {
        if !self.doubted.load(SeqCst) {
            return Ok(());
        }
        Err(Error::new(ErrorCode::StoreUnavailable, "The database cannot be asked which tokens are valid")
            .with_hint("Nothing is wrong with the token; the operator looks at the database")
            .with_retry_after(2))
    }

    /// Ends everything of a workspace that is gone (the caller has committed that).
    pub(super) async fn cut_workspace(&self, workspace: WorkspaceId) {
        self.end(self.ledger.withdraw_workspace(workspace)).await;
    }

    /// Ends grants whose time is over.
    pub(super) async fn expire(&self) {
        self.end(self.ledger.withdraw_expired()).await;
    }

    pub(super) async fn end(&self, grants: Vec<Arc<Grant>>) {
        futures_util::future::join_all(grants.iter().map(|grant| grant.kill())).await;
        self.ledger.bury(&grants);
    }

    /// Makes the ledger equal to the database: after a restart, when an earlier incarnation may have died between a
    /// commit and its consequence, and now and then.
    pub(super) async fn reconcile(&self) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let (revision, now) = (self.ledger.revision(), self.ledger.now());
            let active = self.store.read(move |db| async move { tokens::active_with_hash(&db, now).await }).await?;
            let grants = active.into_iter().map(|(hash, record, slug)| {
                let (scope, end) = (record.scope.clone().map(Arc::new), record.expires_at);
                ((hash, scope, end), move || self.grant(&record, slug.into()))
            });
            if let Some(gone) = self.ledger.reconcile(revision, grants.collect()) {
                if !gone.is_empty() {
                    tracing::warn!(tokens = gone.len(), "tokens in force were not active in the database");
                }
                self.end(gone).await;
                return Ok(());
            }
        }
        Err(Error::new(ErrorCode::Overloaded, "Too many tokens change at once").with_retry_after(1))
    }

    /// Deletes what is remembered of sessions whose ids nobody believes any more.
    pub(super) async fn prune_sessions(&self) {
        // A day more: rows are compared by when they changed, ids by when they were made.
        let before = self.ledger.now() - TimeDelta::days(i64::from(self.session_days) + 1);
        loop {
            let step = self
                .store
                .upkeep(move |tx| Box::pin(async move { sessions::prune(tx, before, FLUSH_ROWS as u64).await }));
            match step.await {
                Ok(gone) if gone < FLUSH_ROWS as u64 => return,
                Ok(_) => {}
                Err(error) => return tracing::warn!(%error, "old sessions were not deleted; it is tried again"),
            }
        }
    }

    /// Writes buffered times of last use.
    pub(super) async fn flush(&self) {
        let (used, keys) = (self.used.take(), self.used_keys.take());
        for rows in used.chunks(FLUSH_ROWS) {
            let batch = rows.to_vec();
            let done = self.store.upkeep(move |tx| Box::pin(async move { tokens::touch_last_used(tx, &batch).await }));
            if let Err(error) = done.await {
                tracing::warn!(%error, "times of last use were not written; they will be tried again");
                self.used.give_back(rows.iter().map(|(id, _)| *id));
            }
        }
        self.flush_sessions().await;
        for rows in keys.chunks(FLUSH_ROWS) {
            let batch = rows.to_vec();
            let done =
                self.store.upkeep(move |tx| Box::pin(async move { api_keys::touch_last_used(tx, &batch).await }));
            if let Err(error) = done.await {
                tracing::warn!(%error, "times of last use were not written; they will be tried again");
                self.used_keys.give_back(rows.iter().map(|(id, _)| *id));
            }
        }
    }
}

/// The whole rule of issuing: the row and its audit entry.
pub(super) async fn insert_token(
    tx: &Tx,
    record: &TokenRecord,
    by: &Principal,
    hash: &TokenHash,
) -> Result<WorkspaceRecord> {
    let workspace = may_begin(tx, record, record.created_at).await?;
    tokens::insert(tx, record, hash).await?;
    tx.audit(entry(&workspace, by, "token_created", record).with("hash", tokens::told_by(&hash.0))).await?;
    tx.change("token", record.id).await?;
    Ok(workspace)
}

/// Whether a token may begin to work, under its workspace's lock: what is counted and compared still holds at the commit.
pub(super) async fn may_begin(tx: &Tx, record: &TokenRecord, at: Timestamp) -> Result<WorkspaceRecord> {
    if record.member.is_some() {
        // Before the workspace, as everywhere: whoever is removed at this moment gets no token any more.
        let namespace = workspace_of(tx, record.workspace).await?.namespace;
        accounts::lock(tx, namespace).await?;
    }
    workspaces::lock(tx, record.workspace).await?;
    let workspace = workspace_of(tx, record.workspace).await?;
    if let Some(member) = record.member
        && accounts::role_of(tx.conn(), workspace.namespace, member).await?.is_none()
    {
        return Err(err::not_found("The account this token is for is not a member of the namespace"));
    }
    let mut active = tokens::list_active(tx.conn(), workspace.id, at).await?;
    active.retain(|other| other.id != record.id);
    let wanted = token_rules::folded(&record.name);
    if let Some(same) = active.iter().find(|token| token_rules::folded(&token.name) == wanted) {
        let known = format!("An active token of this workspace is already called \"{}\"", same.name);
        return Err(err::conflict(known).with_hint(format!(
            "Choose another name, or revoke that one first: aerostack workspace token revoke {} {}",
            workspace.slug, same.id
        )));
    }
    let plan = accounts::get(tx.conn(), workspace.namespace).await?.map(|account| Plan::parse(&account.plan));
    let plan = plan.unwrap_or_default();
    let used = active.len() as u64;
    if let Some(limit) = plan.tokens().filter(|limit| used >= *limit) {
        return Err(plan.exceeded(&format!("active tokens in {}", workspace.slug), used, limit));
    }
    Ok(workspace)
}

pub(super) async fn workspace_of(tx: &Tx, id: WorkspaceId) -> Result<WorkspaceRecord> {
    workspaces::get(tx.conn(), id).await?.ok_or_else(|| err::not_found("No such workspace"))
}

pub(super) fn entry(workspace: &WorkspaceRecord, by: &Principal, action: &str, record: &TokenRecord) -> AuditEntry {
    let entry = AuditEntry { namespace: workspace.namespace, ..AuditEntry::new(by, action, ("token", &record.name)) };
    let entry = entry.in_workspace(workspace.id).with("token", record.id.to_string());
    entry.with("workspace", workspace.slug.to_string()).with("workspace_id", workspace.id.to_string())
}
