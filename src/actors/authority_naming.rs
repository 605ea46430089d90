//! A namespace's other name, while nothing goes by the one it has: no reference, no saved command and nobody's memory
//! leads to what is then somewhere else.

use sea_orm::ConnectionTrait;

use crate::{
    actors::authority::Authority,
    domain::{clock::Timestamp, ids::AccountId, role::Principal, slug::Slug},
    error::{Result, err},
    store::{
        Tx,
        accounts::{self, AccountRecord},
        audit::AuditEntry,
        invites, servers, workspaces,
    },
};

/// Another name for the own namespace, and thereby for its account.
#[derive(Debug, Clone)]
pub struct RenameNamespace {
    /// The name from now on.
    pub name: Slug,
    /// Who does it: its owner, as the caller has made sure.
    pub by: Principal,
}

/// What already goes by a namespace's name, in words; none: it is unused.
pub async fn in_use(db: &impl ConnectionTrait, namespace: AccountId, now: Timestamp) -> Result<Option<&'static str>> {
    Ok(if !workspaces::list(db, namespace).await?.is_empty() {
        Some("it has a workspace")
    } else if !servers::list(db, namespace).await?.is_empty() {
        Some("it has an MCP server or a skill")
    } else if accounts::members(db, namespace).await?.len() > 1 {
        Some("it has members")
    } else if invites::count_open(db, namespace, now).await? > 0 {
        Some("somebody is invited")
    } else if accounts::namespaces_of(db, namespace).await?.iter().any(|(other, _)| other.id != namespace) {
        // Audit logs and lists of members elsewhere name its account by it.
        Some("its account is a member of another namespace")
    } else {
        None
    })
}

impl Authority {
    /// Gives the namespace that is acted in another name.
    ///
    /// # Errors
    /// `forbidden` for anybody but the account whose own it is, `conflict` when it is in use or the name is taken.
    pub(super) async fn rename_namespace(&self, wanted: RenameNamespace) -> Result<AccountRecord> {
        let now = self.ledger.now();
        self.store.write(move |tx| Box::pin(async move { rename(tx, wanted, now).await })).await
    }
}

async fn rename(tx: &Tx, RenameNamespace { name, by }: RenameNamespace, now: Timestamp) -> Result<AccountRecord> {
    tx.acts(&by);
    if by.account != by.namespace {
        return Err(err::forbidden("A namespace is renamed by the account that it belongs to"));
    }
    accounts::lock(tx, by.namespace).await?;
    let known = accounts::get(tx.conn(), by.namespace).await?.ok_or_else(|| err::not_found("No such namespace"))?;
    if known.username == *name {
        return Ok(known);
    }
    if let Some(why) = in_use(tx.conn(), by.namespace, now).await? {
        return Err(err::conflict(format!("@{} cannot be renamed any more: {why}", known.username)));
    }
    accounts::rename(tx, by.account, &name).await?;
    tx.change("member", by.account).await?;
    let entry = AuditEntry::new(&by, "namespace_renamed", ("account", &name));
    tx.audit(entry.changed("namespace", known.username.as_str(), name.to_string())).await?;
    Ok(AccountRecord { username: name.to_string(), ..known })
}
