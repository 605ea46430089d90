//! Changing a member's role, and leaving. Whoever leaves a namespace is out when the call returns: their tokens there are
//! dead and what ran under them is cut, their keys there and their sessions are over, their invitations are void. Their
//! own account lives on.

use crate::{
    actors::authority::Authority,
    domain::{
        clock::Timestamp,
        ids::{AccountId, TokenId},
        role::{Principal, Role},
    },
    error::{ErrorCode, Result, err},
    store::{
        Tx,
        accounts::{self, AccountRecord, MemberRecord},
        api_keys,
        audit::AuditEntry,
        due_work::{self, Due},
        invites::{self, Whose},
        sign_ins,
        tokens::{self, TokenRecord},
    },
};

/// A member and another role.
#[derive(Debug, Clone)]
pub struct ChangeRole {
    /// The member's account.
    pub account: AccountId,
    /// The role from now on.
    pub role: Role,
    /// Who does it.
    pub by: Principal,
}

/// A member who leaves.
#[derive(Debug, Clone)]
pub struct RemoveMember {
    /// The member's account.
    pub account: AccountId,
    /// Who does it.
    pub by: Principal,
}

/// Somebody who left.
#[derive(Debug, Clone)]
pub struct Left {
    /// Who, with the role they had.
    pub member: MemberRecord,
    /// Tokens that were revoked now.
    pub tokens: Vec<TokenRecord>,
    /// All tokens they ever had here, these included.
    pub all_tokens: Vec<TokenId>,
    /// API keys that were revoked now.
    pub keys: u64,
    /// Sessions that were ended now.
    pub sessions: u64,
    /// Invitations that were taken back.
    pub invites: u64,
    /// When.
    pub at: Timestamp,
}

impl Authority {
    pub(super) async fn change_role(&self, change: ChangeRole) -> Result<MemberRecord> {
        let now = self.ledger.now();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let by = &change.by;
                    let (member, now_acts) = member(tx, by, change.account).await?;
                    now_acts.may_give(change.role)?;
                    if member.role == Role::Owner && change.role != Role::Owner {
                        stays_owned(tx, by.namespace, &member).await?;
                    }
                    if member.role == change.role {
                        tx.acts(by);
                        return Ok(member);
                    }
                    accounts::put_member(tx, by.namespace, member.account.id, change.role, None).await?;
                    if change.role < Role::Admin {
                        invites::revoke(tx, by.namespace, Whose::By(member.account.id), now).await?;
                    }
                    sign_ins::end_all(tx, member.account.id, by.session, now).await?;
                    let entry = entry(tx, by, "role_changed", &member).await?;
                    let entry = if by.account == change.account { entry.of_own_rights() } else { entry };
                    tx.audit(entry.changed("role", member.role.as_str(), change.role.as_str())).await?;
                    tx.change("member", member.account.id).await?;
                    Ok(MemberRecord { role: change.role, ..member })
                })
            })
            .await
    }

    pub(super) async fn remove_member(&self, leaving: RemoveMember) -> Result<Left> {
        self.until_settled().await;
        let (namespace, account, now) = (leaving.by.namespace, leaving.account, self.ledger.now());
        let before = self.store.read(move |db| async move { tokens::of_member(&db, namespace, account).await }).await?;
        let written =
            self.store.write(move |tx| Box::pin(async move { take_out(tx, &leaving.by, account, now).await })).await;
        let dead: Vec<TokenId> = match &written {
            Ok(left) => left.tokens.iter().map(|token| token.id).collect(),
            Err(refused) if is_certain(refused.code()) => Vec::new(),
            // Perhaps it was committed: what runs is cut all the same, and a token's next use asks the database.
            Err(_) => before.iter().map(|token| token.id).collect(),
        };
        self.end(self.ledger.withdraw(dead.iter().copied())).await;
        if written.is_ok() {
            dead.iter().for_each(|token| self.windows.forget(*token));
        }
        written
    }
}

/// Whether nothing was changed for sure.
fn is_certain(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NotFound
            | ErrorCode::Unauthorized
            | ErrorCode::Forbidden
            | ErrorCode::Conflict
            | ErrorCode::Validation
            | ErrorCode::PreconditionFailed
    )
}

/// A member of the namespace, held until the transaction ends, whom `by` may change; and who acts, with the role of now.
async fn member(tx: &Tx, by: &Principal, account: AccountId) -> Result<(MemberRecord, Principal)> {
    accounts::lock(tx, by.namespace).await?;
    let all = accounts::members(tx.conn(), by.namespace).await?;
    let found = all.into_iter().find(|member| member.account.id == account);
    let found = found.ok_or_else(|| err::not_found("No such member").with_hint("aerostack team list"))?;
    // Whoever acts may have lost the role since the request was let in.
    let role = accounts::role_of(tx.conn(), by.namespace, by.account).await?;
    let now = Principal { role: role.map_or(Role::Viewer, |role| role.min(by.role)), ..by.clone() };
    if by.account != account || role.is_none() {
        now.may_give(found.role)?;
    }
    Ok((found, now))
}

/// Refuses what would leave a namespace without an owner, or without the account whose namespace it is.
async fn stays_owned(tx: &Tx, namespace: AccountId, member: &MemberRecord) -> Result<()> {
    let all = accounts::members(tx.conn(), namespace).await?;
    let others = all.iter().filter(|other| other.role == Role::Owner && other.account.id != member.account.id).count();
    if others == 0 {
        return Err(err::conflict("The last owner cannot be removed and stays an owner")
            .with_hint("make somebody else an owner first: aerostack team role NAME owner"));
    }
    if member.account.id == namespace {
        return Err(err::conflict(format!(
            "@{0} is the namespace of {0}, who stays its owner",
            member.account.username
        )));
    }
    Ok(())
}

async fn entry(tx: &Tx, by: &Principal, action: &str, member: &MemberRecord) -> Result<AuditEntry> {
    let namespace =
        accounts::get(tx.conn(), by.namespace).await?.unwrap_or_else(|| AccountRecord::clone(&member.account));
    let entry = AuditEntry::new(by, action, ("member", &accounts::label(&member.account, &namespace)));
    Ok(entry.with("account", member.account.id.to_string()))
}

async fn take_out(tx: &Tx, by: &Principal, account: AccountId, now: Timestamp) -> Result<Left> {
    let (member, _) = member(tx, by, account).await?;
    if member.role == Role::Owner {
        stays_owned(tx, by.namespace, &member).await?;
    }
    let entry = entry(tx, by, "member_removed", &member).await?;
    let entry = if by.account == account { entry.of_own_rights() } else { entry };
    let all = tokens::of_member(tx.conn(), by.namespace, account).await?;
    let all_tokens = all.iter().map(|token| token.id).collect();
    let mut dead = Vec::new();
    for token in all.into_iter().filter(|token| token.revoked_at.is_none()) {
        if let Some((_, token)) = tokens::revoke(tx, token.workspace, token.id, now).await? {
            dead.push(token);
        }
    }
    let key_ids = api_keys::revoke_in(tx, account, by.namespace, now).await?;
    let keys = u64::try_from(key_ids.len()).unwrap_or(u64::MAX);
    let sessions = sign_ins::end_all(tx, account, None, now).await?;
    let invites = invites::revoke(tx, by.namespace, Whose::By(account), now).await?;
    accounts::remove_member(tx, by.namespace, account).await?;
    // Installations are the catalogue's: it switches off what is the team's.
    due_work::add(tx, Due::WithholdSkills, by.namespace).await?;
    let names: Vec<&str> = dead.iter().map(|token| token.name.as_str()).collect();
    let entry = dead.iter().map(|token| token.workspace).fold(entry, |entry, workspace| {
        if entry.workspaces.contains(&workspace) { entry } else { entry.in_workspace(workspace) }
    });
    let entry = entry.with("tokens_revoked", names).with("keys_revoked", keys);
    // By id too, so that one that is put back in force by hand is found out.
    let entry = entry.with("token_ids", texts(dead.iter().map(|token| token.id))).with("key_ids", texts(key_ids));
    tx.audit(entry.with("sessions_ended", sessions).with("invites_revoked", invites)).await?;
    tx.change("member", account).await?;
    Ok(Left { member, tokens: dead, all_tokens, keys, sessions, invites, at: now })
}

fn texts(ids: impl IntoIterator<Item: ToString>) -> Vec<String> {
    ids.into_iter().map(|id| id.to_string()).collect()
}
