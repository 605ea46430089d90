//! What the SecretVault does, without the actor. Every change is one transaction with its audit entry; after the
//! commit the server's version grows, which every worker compares before it uses headers again, so a changed secret
//! counts from the very next call.
//!
//! A value opens only for the server, workspace, name and origin it was set for. Messages for members never name a
//! secret; nothing ever names a value.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use dashmap::{DashMap, DashSet};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    actors::{
        injected::{InjectedHeaders, Opened},
        keyring::Keyring,
    },
    domain::{
        clock::Timestamp,
        ids::{ServerId, WorkspaceId},
        injection::{Injection, Place},
        keys::{Purpose, Slot},
        seal::{self, NotAuthentic, Terms, ValueContext},
    },
    error::{Error, ErrorCode, Result},
    store::{
        Store,
        audit::{ActorKind, AuditEntry, AuditKind},
        secrets::{self, SecretRecord, SecretState},
        servers,
    },
};

/// What may be known of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretInfo {
    /// Its name.
    pub name: String,
    /// The workspace that has this value of its own; none: it is for all.
    pub workspace: Option<WorkspaceId>,
    /// How it is sent; none: as a header named like it.
    pub injection: Option<Injection>,
    /// Whether it can be used.
    pub state: SecretState,
    /// When it was set or its rule changed.
    pub updated_at: Timestamp,
    /// By whom, as the audit log names them.
    pub updated_by: String,
}

/// State of the vault; outlives the actor's incarnations.
pub(super) struct VaultState {
    pub(super) store: Store,
    pub(super) keyring: Arc<Keyring>,
    versions: DashMap<ServerId, u64>,
    changes: AtomicU64,
    pub(super) overrides: DashSet<(WorkspaceId, ServerId)>,
    /// One change at a time: what is published after a commit is published in the order of the commits.
    pub(super) writing: tokio::sync::Mutex<()>,
}

/// Publishes a change of a server's secrets when dropped, so also when the commit's answer was lost: too often is
/// harmless (headers are read again), too seldom would keep an old value alive.
pub(super) struct Publish<'a>(pub(super) &'a VaultState, pub(super) ServerId);

impl Drop for Publish<'_> {
    fn drop(&mut self) {
        let version = self.0.changes.fetch_add(1, Relaxed) + 1;
        self.0.versions.insert(self.1, version);
    }
}

impl VaultState {
    pub(super) async fn open(store: Store, keyring: Keyring) -> Result<Self> {
        let overrides = store.read(|db| async move { secrets::overrides(&db).await }).await?;
        Ok(VaultState {
            store,
            keyring: Arc::new(keyring),
            versions: DashMap::new(),
            changes: AtomicU64::new(0),
            overrides: overrides.into_iter().collect(),
            writing: tokio::sync::Mutex::new(()),
        })
    }

    pub(super) fn version(&self, server: ServerId) -> u64 {
        self.versions.get(&server).map_or(0, |version| *version)
    }

    pub(super) fn scope(&self, workspace: WorkspaceId, server: ServerId) -> Option<WorkspaceId> {
        self.overrides.contains(&(workspace, server)).then_some(workspace)
    }

    pub(super) fn forget_server(&self, server: ServerId) {
        drop(Publish(self, server));
        self.overrides.retain(|(_, known)| *known != server);
    }

    pub(super) fn forget_workspace(&self, workspace: WorkspaceId) {
        self.overrides.retain(|(known, _)| *known != workspace);
    }

    pub(super) fn observed(&self) -> serde_json::Value {
        serde_json::json!({
            "data_keys": self.keyring.len(),
            "changes": self.changes.load(Relaxed),
            "workspace_overrides": self.overrides.len(),
        })
    }

    /// The headers of a server's secrets for one workspace's scope, if they may go to `origin`.
    pub(super) async fn inject(
        &self,
        server: ServerId,
        scope: Option<WorkspaceId>,
        origin: &str,
    ) -> Result<InjectedHeaders> {
        // Before the read: a change in between makes what was read count as old.
        let version = self.version(server);
        let rows = self.store.read(move |db| async move { secrets::of_server(&db, server).await }).await?;
        let mut opened = Vec::new();
        for row in effective(rows, scope) {
            if row.bound_origin != origin {
                tracing::warn!(%server, secret = row.name, "the server's address changed: its secret must be set again");
                return Err(unusable(
                    "secret_needs_reentry",
                    "This MCP server's address changed: its credential must be entered again",
                ));
            }
            match self.open_value(&row).await? {
                Ok(value) => opened.push(Opened { name: row.name, rule: row.injection, value }),
                Err(NotAuthentic) => {
                    self.report_damage(&row).await;
                    return Err(unusable(
                        "secret_integrity",
                        "This MCP server's stored credential is damaged and was not sent",
                    ));
                }
            }
        }
        InjectedHeaders::build(Place::of(origin), &opened, version)
    }

    async fn open_value(&self, row: &SecretRecord) -> Result<Result<Zeroizing<Vec<u8>>, NotAuthentic>> {
        let slot = Slot { namespace: row.namespace.0, purpose: Purpose::Secrets, version: row.dek_version };
        if self.keyring.get(&slot).is_none() {
            self.keyring.refresh(&self.store).await?;
        }
        let opened = |key| seal::open(&key, &context(self.store.instance_id(), row), &row.sealed);
        Ok(self.keyring.get(&slot).ok_or(NotAuthentic).and_then(opened))
    }

    /// Tells the administrators once, by state and audit entry. Failing to do so does not change the caller's answer.
    async fn report_damage(&self, row: &SecretRecord) {
        tracing::error!(server = %row.server, secret = row.name, "a stored secret does not decrypt: it was changed outside, or its key is damaged");
        if row.state == SecretState::IntegrityError {
            return;
        }
        let (id, server, name) = (row.id, row.server, row.name.clone());
        let told = self.store.upkeep(move |tx| {
            Box::pin(async move {
                let Some(server) = servers::get(tx.conn(), server).await? else { return Ok(()) };
                secrets::set_state(tx, id, SecretState::IntegrityError).await?;
                let target = format!("{}/{name}", server.slug);
                let entry = AuditEntry::by_actor(
                    server.namespace,
                    (ActorKind::System, "vault"),
                    "secret_integrity_error",
                    ("secret", &target),
                )
                .of_kind(AuditKind::Security)
                .in_workspaces(servers::workspaces_with(tx.conn(), server.id).await?);
                tx.audit(entry).await
            })
        });
        if let Err(error) = told.await {
            tracing::warn!(%error, "the damaged secret could not be recorded");
        }
    }

    /// A server's secrets: for `workspace`, what it would use and what that replaces; otherwise all.
    pub(super) async fn list(
        &self,
        server: ServerId,
        workspace: Option<WorkspaceId>,
        origin: &str,
    ) -> Result<Vec<SecretInfo>> {
        let rows = self.store.read(move |db| async move { secrets::of_server(&db, server).await }).await?;
        let shown =
            rows.into_iter().filter(|row| workspace.is_none() || row.workspace.is_none() || row.workspace == workspace);
        Ok(shown
            .map(|row| SecretInfo {
                state: match row.state {
                    SecretState::Active if row.bound_origin != origin => SecretState::NeedsReentry,
                    state => state,
                },
                name: row.name,
                workspace: row.workspace,
                injection: row.injection,
                updated_at: row.updated_at,
                updated_by: row.updated_by,
            })
            .collect())
    }
}

/// A server that cannot be used because of its secrets. Members see this text: it names no secret.
fn unusable(reason: &str, message: &str) -> Error {
    Error::new(ErrorCode::ServerNotUsable, message)
        .with_hint("An administrator sets it again: aerostack secrets set SERVER NAME")
        .with_data(serde_json::json!({ "reason": reason }))
}

/// One row per name: the scope's own value instead of the one for all.
fn effective(rows: Vec<SecretRecord>, scope: Option<WorkspaceId>) -> impl Iterator<Item = SecretRecord> {
    let mut chosen: BTreeMap<String, SecretRecord> = BTreeMap::new();
    for row in rows.into_iter().filter(|row| row.workspace.is_none() || row.workspace == scope) {
        let replaces = row.workspace.is_some() || !chosen.contains_key(&row.name);
        if replaces {
            chosen.insert(row.name.clone(), row);
        }
    }
    chosen.into_values()
}

pub(super) fn context(instance: Uuid, row: &SecretRecord) -> ValueContext<'_> {
    ValueContext {
        instance,
        namespace: row.namespace.0,
        workspace: row.workspace.map_or(Uuid::nil(), |id| id.0),
        server: row.server.0,
        secret: row.id.0,
        name: &row.name,
        value_version: row.value_version,
        origin: &row.bound_origin,
        terms: Terms::default(),
    }
}
