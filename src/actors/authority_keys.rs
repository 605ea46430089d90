//! API keys, the TokenAuthority's other credentials: made, recognised and revoked here, and how a credential becomes
//! somebody who acts. They are looked up in the database each time (the admin API is no hot path), so a revoked key and a
//! changed role count at once.

use chrono::TimeDelta;
use sea_orm::ConnectionTrait;
use secrecy::SecretString;

use crate::{
    actors::{authority::Authority, token_rules},
    domain::{
        clock::Timestamp,
        ids::{AccountId, ApiKeyId, SessionId},
        role::{Principal, Role},
        slug,
        token::{self, Credential, TokenHash},
    },
    error::{Error, Result, err},
    store::{
        Tx, accounts,
        api_keys::{self, ApiKeyRecord},
        audit::AuditEntry,
        sign_ins::{self, SignInRecord},
    },
};

/// A credential, and the namespace that is asked for with it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The credential.
    pub hash: TokenHash,
    /// User name of the namespace; none: the credential's own.
    pub namespace: Option<String>,
}

/// What a credential says of who acts with it.
pub(super) struct Acting {
    pub(super) account: AccountId,
    /// The namespace unless another is asked for.
    pub(super) home: AccountId,
    /// No other may be asked for.
    pub(super) bound: bool,
    /// The most it may do.
    pub(super) max_role: Option<Role>,
    pub(super) api_key: Option<ApiKeyId>,
    pub(super) session: Option<SessionId>,
}

impl Acting {
    fn of_key(key: &ApiKeyRecord) -> Self {
        Acting {
            account: key.account,
            home: key.namespace,
            bound: key.bound,
            max_role: key.max_role,
            api_key: Some(key.id),
            session: None,
        }
    }
    pub(super) fn of_session(session: &SignInRecord) -> Self {
        Acting {
            account: session.account,
            home: session.account,
            bound: false,
            max_role: None,
            api_key: None,
            session: Some(session.id),
        }
    }
}

/// A namespace that is not there and one that somebody is not in look the same.
fn unknown_namespace(name: &str) -> Error {
    let shown =
        if slug::has_shape(name) { format!("No namespace @{name} for you") } else { "No such namespace".into() };
    err::not_found(shown).with_hint("aerostack whoami lists the namespaces you are a member of")
}

/// Who acts, with the role they have at this moment. `None`: no longer there, or no longer a member.
pub(super) async fn principal(
    db: &impl ConnectionTrait,
    acting: Acting,
    wanted: Option<&str>,
) -> Result<Option<Principal>> {
    let Some(account) = accounts::get(db, acting.account).await? else { return Ok(None) };
    let namespace = match wanted {
        None => accounts::get(db, acting.home).await?,
        Some(name) => {
            let found = accounts::by_username(db, name).await?;
            found.filter(|namespace| !acting.bound || namespace.id == acting.home)
        }
    };
    let role = match &namespace {
        Some(namespace) => accounts::role_of(db, namespace.id, account.id).await?,
        None => None,
    };
    let (Some(namespace), Some(role)) = (namespace, role) else {
        return wanted.map_or(Ok(None), |name| Err(unknown_namespace(name)));
    };
    Ok(Some(Principal {
        account: account.id,
        namespace: namespace.id,
        label: accounts::label(&account, &namespace).into(),
        username: account.username.into(),
        role: acting.max_role.map_or(role, |most| most.min(role)),
        api_key: acting.api_key,
        session: acting.session,
        request: None,
        address: None,
        seen: None,
    }))
}

/// An API key to be issued.
#[derive(Debug, Clone)]
pub struct IssueApiKey {
    /// Whose key it is.
    pub account: AccountId,
    /// The namespace it acts in.
    pub namespace: AccountId,
    /// Whether it acts in that namespace only.
    pub bound: bool,
    /// What it is for.
    pub name: String,
    /// Its life; none: no end.
    pub expires_in_seconds: Option<u64>,
    /// The most it may do, whatever its account may.
    pub max_role: Option<Role>,
    /// Who issues it. A key that is limited itself makes no key that is not.
    pub by: Principal,
}

/// An issued API key. `raw` exists only here.
pub struct IssuedApiKey {
    /// What is stored of it.
    pub record: ApiKeyRecord,
    /// The key.
    pub raw: SecretString,
}

/// An API key to be revoked.
#[derive(Debug, Clone)]
pub struct RevokeApiKey {
    /// Whose key it is (another account's is unknown).
    pub account: AccountId,
    /// The key.
    pub key: ApiKeyId,
    /// Who does it.
    pub by: Principal,
}

impl Authority {
    /// Who acts with this key, with the role they have at this moment.
    pub(super) async fn find_api_key(&self, asked: Asked) -> Result<Option<Principal>> {
        let now = self.ledger.now();
        let found = self
            .store
            .read(move |db| async move {
                let Some(key) = api_keys::by_hash(&db, &asked.hash).await?.filter(|key| key.is_active(now)) else {
                    return Ok(None);
                };
                principal(&db, Acting::of_key(&key), asked.namespace.as_deref()).await
            })
            .await?;
        if let Some(key) = found.as_ref().and_then(|principal| principal.api_key) {
            self.used_keys.note(key);
        }
        Ok(found)
    }

    /// Who somebody is now who was let in before: the same credential in the same namespace, with the role of this moment.
    /// It does not count as a use. `None`: the credential is over, or they are no longer a member.
    pub(super) async fn still(&self, by: &Principal) -> Result<Option<Principal>> {
        let (now, by) = (self.ledger.now(), by.clone());
        let found = self
            .store
            .read(move |db| async move {
                let key = match by.api_key {
                    Some(key) => api_keys::get(&db, by.account, key).await?.filter(|key| key.is_active(now)),
                    None => None,
                };
                let session = match by.session {
                    Some(id) => sign_ins::list(&db, by.account, now).await?.into_iter().find(|one| one.id == id),
                    None => None,
                };
                let acting = key.as_ref().map(Acting::of_key).or(session.as_ref().map(Acting::of_session));
                let Some(acting) = acting else { return Ok(None) };
                let there = principal(&db, Acting { home: by.namespace, ..acting }, None).await?;
                Ok(there.map(|principal| (principal, session)))
            })
            .await?;
        let Some((principal, session)) = found else { return Ok(None) };
        Ok(session.is_none_or(|session| !self.is_idle(&session, now)).then_some(principal))
    }

    /// Whether a session was not used for too long.
    pub(super) fn is_idle(&self, session: &SignInRecord, now: Timestamp) -> bool {
        let seen = self.used_sessions.get(session.id).map_or(session.seen_at, |used| used.max(session.seen_at));
        now - seen > TimeDelta::minutes(self.people.session_idle_minutes.into())
    }

    pub(super) async fn issue_api_key(&self, wanted: IssueApiKey) -> Result<IssuedApiKey> {
        let now = self.ledger.now();
        let fresh = token::generate(Credential::Aak);
        let record = ApiKeyRecord {
            id: ApiKeyId::generate(),
            account: wanted.account,
            namespace: wanted.namespace,
            bound: wanted.bound,
            name: token_rules::name(&wanted.name)?,
            hint: fresh.hint,
            max_role: wanted.max_role,
            created_at: now,
            expires_at: token_rules::expiry(now, wanted.expires_in_seconds)?,
            last_used_at: None,
            revoked_at: None,
        };
        let (row, by, hash, most) = (record, wanted.by, fresh.hash, self.people.api_keys);
        let record =
            self.store.write(move |tx| Box::pin(async move { insert_key(tx, row, &by, &hash, most).await })).await?;
        Ok(IssuedApiKey { record, raw: fresh.raw })
    }

    pub(super) async fn revoke_api_key(&self, named: RevokeApiKey) -> Result<ApiKeyRecord> {
        let now = self.ledger.now();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    if named.by.api_key != Some(named.key) && is_limited(tx.conn(), &named.by).await? {
                        return Err(err::forbidden("This key is limited: it can revoke itself only"));
                    }
                    let revoked = api_keys::revoke(tx, named.account, named.key, now).await?;
                    let record = revoked.ok_or_else(|| err::not_found("No such API key in force"))?;
                    let entry = entry(&named.by, "api_key_revoked", &record);
                    let own = named.by.api_key == Some(named.key);
                    tx.audit(if own { entry.of_own_rights() } else { entry }).await?;
                    tx.change("api_key", record.id).await?;
                    Ok(record)
                })
            })
            .await
    }
}

/// Whether somebody acts with a key that may do less than its account.
pub(super) async fn is_limited(db: &impl ConnectionTrait, by: &Principal) -> Result<bool> {
    let Some(key) = by.api_key else { return Ok(false) };
    let record = api_keys::get(db, by.account, key).await?;
    Ok(record.is_none_or(|key| key.bound || key.max_role.is_some()))
}

/// The whole rule of issuing a key. What is written may be less than what was asked for: never more than the key that
/// asks may do itself.
pub(super) async fn insert_key(
    tx: &Tx,
    mut record: ApiKeyRecord,
    by: &Principal,
    hash: &TokenHash,
    most: usize,
) -> Result<ApiKeyRecord> {
    accounts::lock(tx, record.namespace).await?;
    if accounts::role_of(tx.conn(), record.namespace, record.account).await?.is_none() {
        return Err(err::not_found("The account is not a member of the namespace"));
    }
    if let Some(own) = by.api_key
        && let Some(own) = api_keys::get(tx.conn(), by.account, own).await?
    {
        if own.bound && own.namespace != record.namespace {
            return Err(err::forbidden("This key acts in one namespace only, and makes keys for that one only"));
        }
        record.bound |= own.bound;
        record.max_role = match (own.max_role, record.max_role) {
            (Some(most), Some(wanted)) => Some(most.min(wanted)),
            (most, wanted) => most.or(wanted),
        };
    }
    let known = api_keys::list(tx.conn(), record.account).await?;
    let active = known.iter().filter(|key| key.is_active(record.created_at)).count();
    if active >= most {
        return Err(err::conflict(format!("This account has {active} API keys in force, and that is the limit"))
            .with_hint("revoke those that are no longer needed: aerostack key list"));
    }
    api_keys::insert(tx, &record, hash).await?;
    tx.audit(entry(by, "api_key_created", &record)).await?;
    tx.change("api_key", record.id).await?;
    Ok(record)
}

fn entry(by: &Principal, action: &str, record: &ApiKeyRecord) -> AuditEntry {
    let entry = AuditEntry { namespace: record.namespace, ..AuditEntry::new(by, action, ("api_key", &record.name)) };
    entry.with("key", record.id.to_string())
}
