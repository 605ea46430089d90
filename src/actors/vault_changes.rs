//! Changes of secrets, the SecretVault's writing half: each is one transaction (rules, row, audit entry), then the
//! server's version grows.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::{
    actors::{
        keyring::Keyring,
        vault::{Publish, VaultState, context},
    },
    domain::{
        clock,
        ids::{AccountId, SecretId, ServerId, WorkspaceId},
        injection::{self, Injection, Place},
        keys::{DataKey, Slot},
        role::Principal,
        seal::{self, Sealed},
    },
    error::{Error, Result, err},
    store::{
        Tx,
        audit::AuditEntry,
        secrets::{self, SecretRecord, SecretState},
        servers::{self, ServerRecord},
        workspaces,
    },
};

/// A secret to be set: a new one, or a new value of one that exists.
pub struct PutSecret {
    /// The namespace of the server.
    pub namespace: AccountId,
    /// The server it is for, and the only one it will be sent to.
    pub server: ServerId,
    /// The only workspace that will use it; none: every workspace with the server.
    pub workspace: Option<WorkspaceId>,
    /// The server's origin as the person who sets it sees it.
    pub origin: String,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: SecretString,
    /// How it is sent; none: as before, and for a new one as a header named like it.
    pub injection: Option<Injection>,
    /// Who sets it.
    pub by: Principal,
}

/// A secret by name.
#[derive(Debug, Clone)]
pub struct NameSecret {
    /// The namespace of the server.
    pub namespace: AccountId,
    /// The server.
    pub server: ServerId,
    /// The workspace whose own value is meant; none: the value for all.
    pub workspace: Option<WorkspaceId>,
    /// Its name.
    pub name: String,
    /// Who asks.
    pub by: Principal,
}

/// Another rule for a secret.
#[derive(Debug, Clone)]
pub struct SetInjection {
    /// Which secret, and who changes it.
    pub secret: NameSecret,
    /// How it is sent from now on; none: as a header named like it.
    pub injection: Option<Injection>,
}

/// All secrets of a server.
#[derive(Debug, Clone)]
pub struct NameServer {
    /// The namespace of the server.
    pub namespace: AccountId,
    /// The server.
    pub server: ServerId,
    /// Only this workspace's own values; none: all there are.
    pub workspace: Option<WorkspaceId>,
    /// Who asks.
    pub by: Principal,
}

impl VaultState {
    /// Sets a secret; whether it is new.
    pub(super) async fn put(&self, secret: PutSecret) -> Result<bool> {
        injection::check_secret_name(&secret.name)?;
        injection::check_value_for(Place::of(&secret.origin), secret.value.expose_secret())?;
        let _turn = self.writing.lock().await;
        let _publish = Publish(self, secret.server);
        let (server, workspace, instance) = (secret.server, secret.workspace, self.store.instance_id());
        let keyring: Arc<Keyring> = self.keyring.clone();
        let (created, slot, key) =
            self.store.write(move |tx| Box::pin(async move { put(tx, &keyring, instance, secret).await })).await?;
        self.keyring.remember(slot, key);
        if let Some(workspace) = workspace {
            self.overrides.insert((workspace, server));
        }
        Ok(created)
    }

    /// Changes how a secret is sent.
    pub(super) async fn set_injection(&self, change: SetInjection) -> Result<()> {
        let SetInjection { secret: named, injection: rule } = change;
        let _turn = self.writing.lock().await;
        let _publish = Publish(self, named.server);
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let server = server_of(tx, named.namespace, named.server).await?;
                    injection::check_rule_for(Place::of(&server.spec.origin()), rule.as_ref(), &named.name)?;
                    let rows = secrets::of_server(tx.conn(), server.id).await?;
                    check_collision(&rows, &server, named.workspace, &named.name, rule.as_ref())?;
                    let found = rows.into_iter().find(|row| is_named(row, named.workspace, &named.name));
                    let row = found.ok_or_else(|| unknown(&server, &named.name))?;
                    let [before, after] =
                        [&row.injection, &rule].map(|rule| serde_json::to_value(rule).unwrap_or_default());
                    let changed = SecretRecord {
                        injection: rule,
                        updated_by: named.by.label.to_string(),
                        updated_at: clock::now(),
                        ..row
                    };
                    secrets::put(tx, &changed).await?;
                    let entry = entry(tx, &server, &named.by, "secret_injection_updated", &changed).await?;
                    tx.audit(entry.changed("inject", before, after)).await?;
                    tx.change("secret", server.id).await
                })
            })
            .await
    }

    /// Deletes one secret.
    pub(super) async fn delete(&self, named: NameSecret) -> Result<()> {
        let (namespace, workspace) = (named.namespace, named.workspace);
        let (server, by, name) = (named.server, named.by, named.name);
        let deleted = self.delete_where(namespace, server, workspace, by, move |row| is_named(row, workspace, &name));
        match deleted.await? {
            (_, 1..) => Ok(()),
            (server, 0) => Err(err::not_found(format!("No such secret for {}", server.slug))
                .with_hint(format!("See: aerostack secrets list {}", server.slug))),
        }
    }

    /// Deletes a server's secrets; how many.
    pub(super) async fn delete_all(&self, named: NameServer) -> Result<u64> {
        let only = named.workspace;
        let matches = move |row: &SecretRecord| only.is_none() || row.workspace == only;
        Ok(self.delete_where(named.namespace, named.server, only, named.by, matches).await?.1)
    }

    async fn delete_where(
        &self,
        namespace: AccountId,
        server: ServerId,
        workspace: Option<WorkspaceId>,
        by: Principal,
        matches: impl Fn(&SecretRecord) -> bool + Send + Sync + 'static,
    ) -> Result<(ServerRecord, u64)> {
        let _turn = self.writing.lock().await;
        let _publish = Publish(self, server);
        let (record, deleted, left) = self
            .store
            .write(move |tx| {
                Box::pin(async move {
                    // There may be none.
                    tx.acts(&by);
                    let record = server_of(tx, namespace, server).await?;
                    let rows = secrets::of_server(tx.conn(), server).await?;
                    let (gone, left): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| matches(row));
                    for row in &gone {
                        secrets::delete(tx, server, row.workspace, &row.name).await?;
                        tx.audit(entry(tx, &record, &by, "secret_deleted", row).await?).await?;
                    }
                    if !gone.is_empty() {
                        tx.change("secret", server).await?;
                    }
                    let left: Vec<WorkspaceId> = left.into_iter().filter_map(|row| row.workspace).collect();
                    Ok((record, gone.len() as u64, left))
                })
            })
            .await?;
        let affected = |known: WorkspaceId| workspace.is_none_or(|only| only == known);
        self.overrides.retain(|(known, of)| *of != server || !affected(*known) || left.contains(known));
        Ok((record, deleted))
    }
}

/// Where a secret would go: to the server or, of a skill, to the worker of the version that the workspace has.
async fn destination(tx: &Tx, server: &ServerRecord, workspace: Option<WorkspaceId>) -> Result<String> {
    if let Some(workspace) = workspace.filter(|_| server.spec.skill().is_some()) {
        let there = servers::installations(tx.conn(), workspace).await?;
        if let Some(installed) = there.iter().find(|one| one.server == server.id)
            && let Some(spec) = servers::revision(tx.conn(), server.id, installed.revision).await?
        {
            return Ok(spec.origin());
        }
    }
    Ok(server.spec.origin())
}

async fn put(tx: &Tx, keyring: &Keyring, instance: Uuid, secret: PutSecret) -> Result<(bool, Slot, DataKey)> {
    let server = server_of(tx, secret.namespace, secret.server).await?;
    if destination(tx, &server, secret.workspace).await? != secret.origin {
        return Err(err::conflict(format!("The address of {} has just changed", server.slug))
            .with_hint("Look at its new address, then set the secret again"));
    }
    if let Some(workspace) = secret.workspace {
        // Others than its publisher install a skill, too: each in workspaces of their own.
        let owner = if server.spec.skill().is_some() { secret.by.namespace } else { server.namespace };
        let known = workspaces::get(tx.conn(), workspace).await?;
        known.filter(|known| known.namespace == owner).ok_or_else(|| err::not_found("No such workspace"))?;
    }
    let rows = secrets::of_server(tx.conn(), server.id).await?;
    let before = rows.iter().find(|row| is_named(row, secret.workspace, &secret.name));
    let rule = secret.injection.or_else(|| before.and_then(|row| row.injection.clone()));
    injection::check_rule_for(Place::of(&secret.origin), rule.as_ref(), &secret.name)?;
    check_collision(&rows, &server, secret.workspace, &secret.name, rule.as_ref())?;
    let (slot, key) = keyring.for_sealing(tx, server.namespace.0).await?;
    let (now, by) = (clock::now(), secret.by.label.to_string());
    let unsealed = Sealed { iv: [0; 12], ciphertext: Vec::new(), tag: [0; 16] };
    let mut row = SecretRecord {
        id: before.map_or_else(SecretId::generate, |row| row.id),
        namespace: server.namespace,
        workspace: secret.workspace,
        server: server.id,
        name: secret.name,
        value_version: before.map_or(1, |row| row.value_version.saturating_add(1)),
        dek_version: slot.version,
        sealed: unsealed,
        bound_origin: secret.origin,
        injection: rule,
        state: SecretState::Active,
        created_by: before.map_or_else(|| by.clone(), |row| row.created_by.clone()),
        created_at: before.map_or(now, |row| row.created_at),
        updated_by: by,
        updated_at: now,
    };
    row.sealed = seal::seal(&key, &context(instance, &row), secret.value.expose_secret().as_bytes());
    secrets::put(tx, &row).await?;
    tx.audit(entry(tx, &server, &secret.by, "secret_updated", &row).await?).await?;
    tx.change("secret", server.id).await?;
    Ok((before.is_none(), slot, key))
}

async fn server_of(tx: &Tx, namespace: AccountId, id: ServerId) -> Result<ServerRecord> {
    let found = servers::get(tx.conn(), id).await?.filter(|server| server.namespace == namespace);
    found.ok_or_else(|| err::not_found("No such MCP server"))
}

fn is_named(row: &SecretRecord, workspace: Option<WorkspaceId>, name: &str) -> bool {
    row.workspace == workspace && row.name == name
}

fn unknown(server: &ServerRecord, name: &str) -> Error {
    err::not_found(format!("{} has no secret {name}", server.slug))
        .with_hint(format!("Set it first: aerostack secrets set {} {name}", server.slug))
}

/// Two secrets in one header or variable would overwrite each other on the way.
fn check_collision(
    rows: &[SecretRecord],
    server: &ServerRecord,
    workspace: Option<WorkspaceId>,
    name: &str,
    rule: Option<&Injection>,
) -> Result<()> {
    let header = injection::folded(injection::label(rule, name));
    let together = |row: &&SecretRecord| {
        row.name != name && (row.workspace.is_none() || workspace.is_none() || row.workspace == workspace)
    };
    let mut others = rows.iter().filter(together);
    match others.find(|row| injection::folded(injection::label(row.injection.as_ref(), &row.name)) == header) {
        None => Ok(()),
        Some(other) => Err(err::conflict(format!(
            "{} is already sent to {} as {}",
            other.name,
            server.slug,
            injection::label(other.injection.as_ref(), &other.name)
        ))
        .with_hint(format!(
            "Choose another place (--header NAME, for a program --env NAME), or delete it: aerostack secrets delete {} {}",
            server.slug, other.name
        ))),
    }
}

/// `secret_updated: github-mcp/GITHUB_TOKEN`, shown in the log of every workspace it concerns. The value's version and
/// what the row goes away with go with it, so that an older row put back by hand and a removed one can be found out.
async fn entry(tx: &Tx, server: &ServerRecord, by: &Principal, action: &str, row: &SecretRecord) -> Result<AuditEntry> {
    let concerned = match row.workspace {
        Some(workspace) => vec![workspace],
        None => servers::workspaces_with(tx.conn(), server.id).await?,
    };
    let target = format!("{}/{}", server.slug, row.name);
    // What somebody sets of a foreign skill for a workspace of theirs is theirs.
    let theirs = row.workspace.is_some() && server.spec.skill().is_some();
    let namespace = if theirs { by.namespace } else { server.namespace };
    let entry = AuditEntry { namespace, ..AuditEntry::new(by, action, ("secret", &target)) };
    let entry = entry.in_workspaces(concerned).with("secret", row.id.to_string());
    let entry = entry.with("value_version", row.value_version).with("server", server.id.to_string());
    Ok(row.workspace.into_iter().fold(entry, |entry, only| entry.with("workspace_id", only.to_string())))
}
