//! Invitations: made, taken back and accepted. The code of a link is shown once and stored as a hash; it is for one
//! address, one use and some days, and a new invitation of the same address ends the one before. Accepting is one
//! transaction: the invitation, the account, the membership, and with a workspace a token of its own.

use chrono::TimeDelta;
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    actors::{
        authority::{Authority, IssuedToken, insert_token},
        authority_keys::{IssuedApiKey, insert_key, is_limited},
        token_rules,
    },
    domain::{
        clock::Timestamp,
        ids::{AccountId, ApiKeyId, InviteId, TokenId, WorkspaceId},
        password,
        plan::Plan,
        role::{Principal, Role},
        slug::Slug,
        token::{self, Credential, TokenHash},
    },
    error::{Error, Result, err},
    store::{
        Tx,
        accounts::{self, AccountRecord},
        api_keys::ApiKeyRecord,
        audit::AuditEntry,
        invites::{self, InviteRecord, Whose},
        passwords,
        tokens::{self, TokenRecord},
        workspaces::{self, WorkspaceRecord},
    },
};

/// Somebody to be invited.
#[derive(Debug, Clone)]
pub struct InviteMember {
    /// The address, checked and in lower case.
    pub email: String,
    /// With which role; not above that of who invites.
    pub role: Role,
    /// A workspace of the namespace, for a token of their own.
    pub workspace: Option<WorkspaceId>,
    /// Who invites.
    pub by: Principal,
}

/// An invitation. `raw` is in the link and nowhere else.
pub struct IssuedInvite {
    /// What is stored of it.
    pub record: InviteRecord,
    /// The link's code.
    pub raw: SecretString,
}

/// An open invitation of a namespace.
#[derive(Debug, Clone)]
pub struct NameInvite {
    /// Which one (one of another namespace is unknown).
    pub invite: InviteId,
    /// Who does it.
    pub by: Principal,
}

/// Who accepts an invitation.
#[derive(Debug, Clone)]
pub enum Joining {
    /// Somebody with an account.
    Known(Principal),
    /// Somebody who wants one.
    New {
        /// The user name, thereby the namespace.
        username: String,
        /// The password, as it was typed.
        password: SecretString,
    },
}

/// An invitation to be accepted.
#[derive(Debug, Clone)]
pub struct AcceptInvite {
    /// Hash of the link's code.
    pub hash: TokenHash,
    /// Who accepts.
    pub who: Joining,
    /// An API key is wanted as well, of this name.
    pub key_name: Option<String>,
}

/// What accepting gave.
pub struct Joined {
    /// Who joined.
    pub account: AccountRecord,
    /// Whether the account was made now.
    pub created: bool,
    /// The namespace.
    pub namespace: AccountRecord,
    /// The role there.
    pub role: Role,
    /// The workspace of the invitation, with the token for it.
    pub token: Option<(WorkspaceRecord, IssuedToken)>,
    /// The API key, if one was wanted.
    pub key: Option<IssuedApiKey>,
}

/// One answer for every invitation that cannot be accepted.
pub fn invite_over() -> Error {
    err::gone("This invitation is not valid: it was used, taken back, replaced by a newer one, or its time is over")
        .with_hint("ask whoever invited you to invite you again")
}

impl Authority {
    pub(super) async fn invite(&self, wanted: InviteMember) -> Result<IssuedInvite> {
        let now = self.ledger.now();
        let fresh = token::generate(Credential::Inv);
        let record = InviteRecord {
            id: InviteId::generate(),
            namespace: wanted.by.namespace,
            email: wanted.email,
            role: wanted.role,
            workspace: wanted.workspace,
            invited_by: wanted.by.account,
            created_at: now,
            expires_at: now + TimeDelta::hours(self.people.invite_hours.into()),
            used_at: None,
            revoked_at: None,
        };
        let (row, by, hash, most) = (record.clone(), wanted.by, fresh.hash, self.people.invites);
        self.store
            .write(move |tx| Box::pin(async move { insert_invite(tx, &row, &by, &hash, most, "member_invited").await }))
            .await?;
        Ok(IssuedInvite { record, raw: fresh.raw })
    }

    /// A new link for an open invitation; the old one is worth nothing from now on.
    pub(super) async fn renew_invite(&self, named: NameInvite) -> Result<IssuedInvite> {
        let (now, hours, most) = (self.ledger.now(), self.people.invite_hours, self.people.invites);
        let fresh = token::generate(Credential::Inv);
        let hash = fresh.hash;
        let record = self
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let known = open_invite(tx, &named, now).await?;
                    let record = InviteRecord {
                        id: InviteId::generate(),
                        invited_by: named.by.account,
                        created_at: now,
                        expires_at: now + TimeDelta::hours(hours.into()),
                        ..known
                    };
                    named.by.may_give(record.role)?;
                    insert_invite(tx, &record, &named.by, &hash, most, "invite_renewed").await?;
                    Ok(record)
                })
            })
            .await?;
        Ok(IssuedInvite { record, raw: fresh.raw })
    }

    pub(super) async fn revoke_invite(&self, named: NameInvite) -> Result<InviteRecord> {
        let now = self.ledger.now();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let known = open_invite(tx, &named, now).await?;
                    invites::revoke(tx, known.namespace, Whose::One(known.id), now).await?;
                    tx.audit(entry(&named.by, "invite_revoked", &known)).await?;
                    Ok(InviteRecord { revoked_at: Some(now), ..known })
                })
            })
            .await
    }

    /// The invitation of a code that can be accepted now, and its namespace.
    pub(super) async fn look_at_invite(&self, hash: TokenHash) -> Result<Option<(InviteRecord, AccountRecord)>> {
        let now = self.ledger.now();
        self.store
            .read(move |db| async move {
                let Some(invite) = invites::by_hash(&db, &hash).await?.filter(|invite| invite.is_open(now)) else {
                    return Ok(None);
                };
                Ok(accounts::get(&db, invite.namespace).await?.map(|namespace| (invite, namespace)))
            })
            .await
    }

    pub(super) async fn accept_invite(&self, accepting: AcceptInvite) -> Result<Joined> {
        self.until_settled().await;
        let now = self.ledger.now();
        // Before a password is hashed for nothing.
        let (invite, _) = self.look_at_invite(accepting.hash).await?.ok_or_else(invite_over)?;
        let newcomer = match &accepting.who {
            Joining::Known(_) => None,
            Joining::New { username, password } => {
                let username = Slug::parse(username.trim())?.to_string();
                let password = password::check(password.expose_secret(), &username)?;
                Some((username, self.passwords.hash(&password).await?))
            }
        };
        let key = accepting.key_name.as_deref().map(token_rules::name).transpose()?;
        let fresh = (token::generate(Credential::Mwt), token::generate(Credential::Aak));
        let hashes = (fresh.0.hash, fresh.1.hash);
        let hints = (fresh.0.hint, fresh.1.hint);
        let (who, keys) = (accepting.who, self.people.api_keys);
        let done = self
            .store
            .write(move |tx| {
                Box::pin(async move {
                    accounts::lock(tx, invite.namespace).await?;
                    let (account, created) = joiner(tx, &invite, who, newcomer, now).await?;
                    if !invites::consume(tx, invite.id, account.id, now).await? {
                        return Err(invite_over());
                    }
                    let (namespace, role) = admit(tx, &invite, &account).await?;
                    let own = acting(&account, account.id, Role::Owner, accounts::label(&account, &account));
                    let here = acting(&account, namespace.id, role, accounts::label(&account, &namespace));
                    let token = match invite.workspace {
                        None => None,
                        Some(workspace) => Some(own_token(tx, workspace, &here, (hashes.0, hints.0), now).await?),
                    };
                    let key = match key {
                        None => None,
                        Some(name) => {
                            let record = own_key(&account, name, hints.1, now);
                            Some(insert_key(tx, record, &own, &hashes.1, keys).await?)
                        }
                    };
                    tx.change("member", account.id).await?;
                    Ok((account, created, namespace, role, token, key))
                })
            })
            .await?;
        let (account, created, namespace, role, token, key) = done;
        Ok(Joined {
            account,
            created,
            namespace,
            role,
            token: token.map(|(workspace, record)| (workspace, IssuedToken { record, raw: fresh.0.raw })),
            key: key.map(|record| IssuedApiKey { record, raw: fresh.1.raw }),
        })
    }
}

/// The whole rule of inviting. An older invitation of the same address is void from now on.
async fn insert_invite(
    tx: &Tx,
    record: &InviteRecord,
    by: &Principal,
    hash: &TokenHash,
    most: u64,
    action: &str,
) -> Result<()> {
    accounts::lock(tx, record.namespace).await?;
    if let Some(known) = accounts::by_email(tx.conn(), &record.email).await?
        && accounts::role_of(tx.conn(), record.namespace, known.id).await?.is_some()
    {
        return Err(err::conflict(format!("{} is a member already", record.email)).with_hint("aerostack team list"));
    }
    invites::revoke(tx, record.namespace, Whose::To(&record.email), record.created_at).await?;
    let open = invites::count_open(tx.conn(), record.namespace, record.created_at).await?;
    if open >= most {
        return Err(err::conflict(format!("{open} invitations are open, and that is the limit"))
            .with_hint("take some back in the list of `aerostack team list`, or raise people.invites"));
    }
    invites::insert(tx, record, hash).await?;
    tx.audit(entry(by, action, record)).await?;
    tx.change("invite", record.id).await
}

async fn open_invite(tx: &Tx, named: &NameInvite, now: Timestamp) -> Result<InviteRecord> {
    let found = invites::get_open(tx.conn(), named.by.namespace, named.invite, now).await?;
    found.ok_or_else(|| err::not_found("No such open invitation").with_hint("aerostack team list"))
}

fn entry(by: &Principal, action: &str, invite: &InviteRecord) -> AuditEntry {
    let entry = AuditEntry { namespace: invite.namespace, ..AuditEntry::new(by, action, ("member", &invite.email)) };
    let entry = entry.with("invite", invite.id.to_string()).with("role", invite.role.as_str());
    invite.workspace.into_iter().fold(entry, AuditEntry::in_workspace)
}

/// The account that joins: the one that acts, if it is the invited one, or a new one.
async fn joiner(
    tx: &Tx,
    invite: &InviteRecord,
    who: Joining,
    newcomer: Option<(String, String)>,
    now: Timestamp,
) -> Result<(AccountRecord, bool)> {
    let by_email = accounts::by_email(tx.conn(), &invite.email).await?;
    if let Joining::Known(by) = who {
        tx.acts(&by);
        if is_limited(tx.conn(), &by).await? {
            return Err(err::forbidden("A limited API key cannot accept an invitation"));
        }
        let account = accounts::get(tx.conn(), by.account).await?.ok_or_else(invite_over)?;
        match &account.email {
            Some(email) if *email == invite.email => return Ok((account, false)),
            None if by_email.is_none() => {
                accounts::set_email(tx, account.id, &invite.email).await?;
                return Ok((AccountRecord { email: Some(invite.email.clone()), ..account }, false));
            }
            _ => {
                return Err(err::forbidden("This invitation is for another e-mail address than that of your account")
                    .with_hint("sign out, or ask for an invitation of your own address"));
            }
        }
    }
    if by_email.is_some() {
        return Err(err::conflict("There is an account with this e-mail address already")
            .with_hint("sign in with it first, then open the link again"));
    }
    let Some((username, hash)) = newcomer else { return Err(invite_over()) };
    let account = AccountRecord {
        id: AccountId::generate(),
        username,
        email: Some(invite.email.clone()),
        plan: Plan::default().as_str().to_owned(),
        created_at: now,
    };
    accounts::create(tx, &account).await?;
    passwords::set(tx, account.id, &hash, now).await?;
    let by = acting_at_home(&account);
    tx.audit(AuditEntry::new(&by, "account_created", ("account", &account.username))).await?;
    Ok((account, true))
}

/// Makes the account a member. An invitation never takes a role away.
async fn admit(tx: &Tx, invite: &InviteRecord, account: &AccountRecord) -> Result<(AccountRecord, Role)> {
    let namespace = accounts::get(tx.conn(), invite.namespace).await?.ok_or_else(invite_over)?;
    let before = accounts::role_of(tx.conn(), namespace.id, account.id).await?;
    let role = before.map_or(invite.role, |role| role.max(invite.role));
    accounts::put_member(tx, namespace.id, account.id, role, Some(invite.invited_by)).await?;
    let by = acting(account, namespace.id, role, accounts::label(account, &namespace));
    let entry = entry(&by, "member_joined", invite).with("account", account.id.to_string());
    tx.audit(entry.with("now", role.as_str())).await?;
    Ok((namespace, role))
}

/// An account, acting in its own namespace.
pub(super) fn acting_at_home(account: &AccountRecord) -> Principal {
    acting(account, account.id, Role::Owner, accounts::label(account, account))
}

/// An account, acting in a namespace.
fn acting(account: &AccountRecord, namespace: AccountId, role: Role, label: String) -> Principal {
    Principal {
        account: account.id,
        namespace,
        username: account.username.as_str().into(),
        label: label.into(),
        role,
        api_key: None,
        session: None,
        request: None,
        address: None,
        seen: None,
    }
}

fn own_key(account: &AccountRecord, name: String, hint: String, now: Timestamp) -> ApiKeyRecord {
    ApiKeyRecord {
        id: ApiKeyId::generate(),
        account: account.id,
        namespace: account.id,
        bound: false,
        name,
        hint,
        max_role: None,
        created_at: now,
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
    }
}

/// A token of their own for whoever joins, under a name that is free.
async fn own_token(
    tx: &Tx,
    workspace: WorkspaceId,
    by: &Principal,
    (hash, hint): (TokenHash, String),
    now: Timestamp,
) -> Result<(WorkspaceRecord, TokenRecord)> {
    let taken = tokens::list_active(tx.conn(), workspace, now).await?;
    let is_free = |name: &String| !taken.iter().any(|token| token_rules::folded(&token.name) == *name);
    let names = std::iter::once(by.username.to_string()).chain((2..).map(|n| format!("{} {n}", by.username)));
    let name = names.take(taken.len() + 1).find(is_free).unwrap_or_else(|| by.username.to_string());
    let record = TokenRecord {
        id: TokenId::generate(),
        workspace,
        name,
        hint,
        member: Some(by.account),
        created_by: by.account,
        created_at: now,
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
        previous_until: None,
        requests_per_minute: None,
        scope: None,
    };
    insert_token(tx, &record, by, &hash).await?;
    let workspace = workspaces::get(tx.conn(), workspace).await?.ok_or_else(invite_over)?;
    Ok((workspace, record))
}
