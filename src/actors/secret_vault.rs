//! The SecretVault: the only part of the program that sees the installation's key, the data keys and secrets in
//! clear. This file is the actor's shell and [`Vault`], the way to it; what it does is in `vault` and
//! `vault_changes`.
//!
//! What workers ask before every call (has something changed, has this workspace values of its own) they read
//! without a message; decrypting is a message.

use std::{path::Path, sync::Arc, time::Duration};

use actix::prelude::*;

pub use crate::actors::{
    injected::InjectedHeaders,
    vault::SecretInfo,
    vault_changes::{NameSecret, NameServer, PutSecret, SetInjection},
};
use crate::{
    actors::{
        actor_ref::ActorRef,
        key_source::ConfiguredKeys,
        keyring::Keyring,
        supervisor::{Drain, Group, Heartbeat, Runtime, Spec, supervise},
        vault::VaultState,
    },
    domain::{
        audit_chain::AuditKey,
        ids::{ServerId, WorkspaceId},
        keys::{DataKey, Purpose},
    },
    error::Result,
    store::Store,
};

/// The way to the SecretVault, for every thread.
#[derive(Clone)]
pub struct Vault(Arc<Shared>);

struct Shared {
    state: Arc<VaultState>,
    actor: ActorRef<SecretVault>,
    patience: Duration,
    audit_keys: Vec<AuditKey>,
    state_key: DataKey,
    session_key: DataKey,
}

impl Vault {
    /// Opens the keys (or makes them, at a first start), gives the store its audit key, and starts the actor.
    ///
    /// # Errors
    /// A refusal (see `key_source`) when the key that protects the database is not among the given ones.
    pub async fn start(runtime: &Runtime, store: Store, keys: ConfiguredKeys, data_dir: &Path) -> Result<Self> {
        let keyring = Keyring::open(&store, keys, data_dir).await?;
        let audit_keys = keyring.audit_keys();
        let audit = keyring.installation(Purpose::Audit)?;
        let (state_key, session_key) = (keyring.installation(Purpose::State)?, keyring.installation(Purpose::Session)?);
        store.set_audit_key(AuditKey { version: audit.version, key: audit.key });
        let state = Arc::new(VaultState::open(store, keyring).await?);
        let shared = state.clone();
        let spec = Spec::singleton("SecretVault", Group::Control);
        let actor = supervise(runtime, spec, move || SecretVault { state: shared.clone() });
        // A write may wait for the database three times (begin, work, commit) before it gives up by itself.
        let patience = runtime.ask_timeout() * 4;
        Ok(Vault(Arc::new(Shared { state, actor, patience, audit_keys, state_key, session_key })))
    }

    /// The actor's address (to drain it).
    pub fn actor(&self) -> &ActorRef<SecretVault> {
        &self.0.actor
    }

    /// Grows with every committed change of the server's secrets. Headers of another version must not be used.
    pub fn version(&self, server: ServerId) -> u64 {
        self.0.state.version(server)
    }

    /// Which values a workspace uses: its own (`Some`), where it has any, or those for all.
    pub fn scope(&self, workspace: WorkspaceId, server: ServerId) -> Option<WorkspaceId> {
        self.0.state.scope(workspace, server)
    }

    /// The headers to send to `origin` (as `ServerSpec::origin` writes it) for this server; empty when it has no
    /// secrets.
    ///
    /// # Errors
    /// `server_not_usable` with `data.reason` `secret_needs_reentry` or `secret_integrity`.
    pub async fn inject(
        &self,
        server: ServerId,
        scope: Option<WorkspaceId>,
        origin: &str,
    ) -> Result<Arc<InjectedHeaders>> {
        self.ask(Inject { server, scope, origin: origin.to_owned() }).await
    }

    /// Sets a secret; whether it is new. The next call uses it.
    pub async fn put(&self, secret: PutSecret) -> Result<bool> {
        self.ask(secret).await
    }

    /// Changes how a secret is sent.
    pub async fn set_injection(&self, change: SetInjection) -> Result<()> {
        self.ask(change).await
    }

    /// Deletes one secret.
    pub async fn delete(&self, secret: NameSecret) -> Result<()> {
        self.ask(secret).await
    }

    /// Deletes a server's secrets; how many.
    pub async fn delete_all(&self, server: NameServer) -> Result<u64> {
        self.ask(server).await
    }

    /// What may be known of a server's secrets: all of them, or those that concern one workspace. `origin` is the
    /// server's present one: secrets bound to another need to be entered again.
    pub async fn list(
        &self,
        server: ServerId,
        workspace: Option<WorkspaceId>,
        origin: &str,
    ) -> Result<Vec<SecretInfo>> {
        self.0.state.list(server, workspace, origin).await
    }

    /// A server's deletion has been committed (its secrets went with it).
    pub fn forget_server(&self, server: ServerId) {
        self.0.state.forget_server(server);
    }

    /// A workspace's deletion has been committed (with `store::secrets::delete_of_workspace`).
    pub fn forget_workspace(&self, workspace: WorkspaceId) {
        self.0.state.forget_workspace(workspace);
    }

    /// Seals what clients carry for us: session ids, cursors.
    pub fn state_key(&self) -> DataKey {
        self.0.state_key.clone()
    }

    /// Seals dashboard sessions.
    pub fn session_key(&self) -> DataKey {
        self.0.session_key.clone()
    }

    /// Every version of the audit key, to check the chain.
    pub fn audit_keys(&self) -> &[AuditKey] {
        &self.0.audit_keys
    }

    /// Every version of the audit key, oldest first, of a database that is looked at beside the gateway.
    ///
    /// # Errors
    /// A refusal (see `key_source`) when the key that protects the database is not among the given ones.
    pub async fn audit_keys_beside(store: &Store, keys: ConfiguredKeys, data_dir: &Path) -> Result<Vec<AuditKey>> {
        Ok(Keyring::beside(store, keys, data_dir).await?.audit_keys())
    }

    async fn ask<M, T>(&self, message: M) -> Result<T>
    where
        SecretVault: Handler<M>,
        M: Message<Result = Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        self.0.actor.ask(message, self.0.patience).await?
    }
}

/// The actor. Its state outlives it.
pub struct SecretVault {
    state: Arc<VaultState>,
}

impl Actor for SecretVault {
    type Context = Context<Self>;
}

struct Inject {
    server: ServerId,
    scope: Option<WorkspaceId>,
    origin: String,
}

/// Declares the actor's messages: each is one call of the vault, in a task of its own.
macro_rules! requests {
    ($($message:ident -> $answer:ty = |$state:ident, $it:ident| $call:expr;)*) => {$(
        impl Message for $message {
            type Result = Result<$answer>;
        }

        impl Handler<$message> for SecretVault {
            type Result = ResponseFuture<Result<$answer>>;

            fn handle(&mut self, $it: $message, _: &mut Self::Context) -> Self::Result {
                let $state = self.state.clone();
                Box::pin(async move { $call.await })
            }
        }
    )*};
}

requests! {
    Inject -> Arc<InjectedHeaders> = |state, it| async { Ok(Arc::new(state.inject(it.server, it.scope, &it.origin).await?)) };
    PutSecret -> bool = |state, it| state.put(it);
    SetInjection -> () = |state, it| state.set_injection(it);
    NameSecret -> () = |state, it| state.delete(it);
    NameServer -> u64 = |state, it| state.delete_all(it);
}

impl Handler<Heartbeat> for SecretVault {
    type Result = MessageResult<Heartbeat>;

    fn handle(&mut self, _: Heartbeat, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.state.observed())
    }
}

impl Handler<Drain> for SecretVault {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Self::Context) {}
}
