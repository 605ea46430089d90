//! API keys, the TokenAuthority's other credentials: made, recognised and revoked here. They are looked up in the
//! database each time (the admin API is no hot path), so a revoked key and a changed role count at once.

use secrecy::SecretString;

use crate::{
    actors::{authority::Authority, token_rules},
    domain::{
        ids::{AccountId, ApiKeyId},
        role::{Principal, Role},
        token::{self, Credential, TokenHash},
    },
    error::{Result, err},
    store::{
        accounts,
        api_keys::{self, ApiKeyRecord},
        audit::AuditEntry,
    },
};

/// An API key to be issued.
#[derive(Debug, Clone)]
pub struct IssueApiKey {
    /// Whose key it is.
    pub account: AccountId,
    /// The namespace it acts in.
    pub namespace: AccountId,
    /// What it is for.
    pub name: String,
    /// Its life; none: no end.
    pub expires_in_seconds: Option<u64>,
    /// The most it may do, whatever its account may.
    pub max_role: Option<Role>,
    /// Who issues it.
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
    pub(super) async fn find_api_key(&self, hash: TokenHash) -> Result<Option<Principal>> {
        let now = self.ledger.now();
        let found = self
            .store
            .read(move |db| async move {
                let Some(key) = api_keys::by_hash(&db, &hash).await?.filter(|key| key.is_active(now)) else {
                    return Ok(None);
                };
                let Some(account) = accounts::get(&db, key.account).await? else { return Ok(None) };
                let Some(namespace) = accounts::get(&db, key.namespace).await? else { return Ok(None) };
                let Some(role) = accounts::role_of(&db, key.namespace, key.account).await? else { return Ok(None) };
                let label = account.email.unwrap_or_else(|| format!("{}@{}", account.username, namespace.username));
                Ok(Some(Principal {
                    account: key.account,
                    namespace: key.namespace,
                    username: account.username.into(),
                    label: label.into(),
                    role: key.max_role.map_or(role, |most| most.min(role)),
                    api_key: Some(key.id),
                }))
            })
            .await?;
        if let Some(key) = found.as_ref().and_then(|principal| principal.api_key) {
            self.used_keys.note(key);
        }
        Ok(found)
    }

    pub(super) async fn issue_api_key(&self, wanted: IssueApiKey) -> Result<IssuedApiKey> {
        let now = self.ledger.now();
        let fresh = token::generate(Credential::Aak);
        let record = ApiKeyRecord {
            id: ApiKeyId::generate(),
            account: wanted.account,
            namespace: wanted.namespace,
            name: token_rules::name(&wanted.name)?,
            hint: fresh.hint,
            max_role: wanted.max_role,
            created_at: now,
            expires_at: token_rules::expiry(now, wanted.expires_in_seconds)?,
            last_used_at: None,
            revoked_at: None,
        };
        let (row, by, hash) = (record.clone(), wanted.by, fresh.hash);
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    if accounts::role_of(tx.conn(), row.namespace, row.account).await?.is_none() {
                        return Err(err::not_found("The account is not a member of the namespace"));
                    }
                    api_keys::insert(tx, &row, &hash).await?;
                    tx.audit(entry(&by, "api_key_created", &row)).await?;
                    tx.change("api_key", row.id).await
                })
            })
            .await?;
        Ok(IssuedApiKey { record, raw: fresh.raw })
    }

    pub(super) async fn revoke_api_key(&self, named: RevokeApiKey) -> Result<ApiKeyRecord> {
        let now = self.ledger.now();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let revoked = api_keys::revoke(tx, named.account, named.key, now).await?;
                    let record = revoked.ok_or_else(|| err::not_found("No such API key in force"))?;
                    tx.audit(entry(&named.by, "api_key_revoked", &record)).await?;
                    tx.change("api_key", record.id).await?;
                    Ok(record)
                })
            })
            .await
    }
}

fn entry(by: &Principal, action: &str, record: &ApiKeyRecord) -> AuditEntry {
    let entry = AuditEntry { namespace: record.namespace, ..AuditEntry::new(by, action, ("api_key", &record.name)) };
    entry.with("key", record.id.to_string())
}
