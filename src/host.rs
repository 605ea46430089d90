//! The operator's hand on the gateway's machine: what needs the database and the key instead of an API key. It works
//! beside a gateway that runs, so it writes only what no process keeps in memory, in one transaction with its audit
//! entry, like everybody else. Backups are in `backup`, their file in `archive`.

mod archive;
mod backup;

use std::path::PathBuf;

use secrecy::ExposeSecret as _;

use crate::{
    actors::{
        key_source::{self, ConfiguredKeys},
        secret_vault::Vault,
    },
    admin::{
        audit_verify,
        dto::{AuditVerdict, KeyReset, NamespacePlan},
    },
    cli::{HostAnswer, HostCommand, Installation},
    config::{Config, Flags},
    domain::{
        audit_checkpoint::{self, Known},
        clock,
        ids::{AccountId, ApiKeyId},
        plan::Plan,
        token::{self, Credential},
    },
    error::{Error, Result, err},
    store::{
        Store, accounts,
        api_keys::{self, ApiKeyRecord},
        audit::{ActorKind, AuditEntry},
        audit_check::{self, Scope},
        workspaces,
    },
};

/// Who the audit log says it was.
const OPERATOR: (ActorKind, &str) = (ActorKind::System, "operator on the host");

/// Does one command.
pub fn run(command: HostCommand) -> Result<HostAnswer> {
    key_source::protect_process();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| Error::internal("starting", cause))?;
    runtime.block_on(async move {
        match command {
            HostCommand::VerifyAudit { installation, from, checkpoints, with_state } => {
                let opened = Opened::open(&installation).await?;
                let verdict = opened.verify(from, checkpoints, with_state).await;
                opened.store.close().await;
                verdict.map(HostAnswer::Verdict)
            }
            HostCommand::ResetKey { installation, account, revoke_others } => {
                let opened = Opened::open(&installation).await?;
                let made = opened.reset_key(account, revoke_others).await;
                opened.store.close().await;
                made.map(HostAnswer::Key)
            }
            HostCommand::Plan { installation, namespace, plan } => {
                let opened = Opened::open(&installation).await?;
                let shown = opened.plan(&namespace, plan.as_deref()).await;
                opened.store.close().await;
                shown.map(HostAnswer::Plan)
            }
            HostCommand::CreateBackup { installation, file, with_analytics, force } => {
                let creation = backup::Creation { installation, file, with_analytics, force };
                backup::create(creation).await.map(HostAnswer::BackupMade)
            }
            HostCommand::VerifyBackup { file, data_dir } => {
                backup::verify(&file, data_dir).await.map(HostAnswer::BackupFound)
            }
            HostCommand::RestoreBackup { file, data_dir } => {
                backup::restore(&file, data_dir).await.map(HostAnswer::BackupRestored)
            }
        }
    })
}

/// The settings of an installation.
fn settings(installation: &Installation) -> Result<Config> {
    let environment: Vec<(String, String)> = std::env::vars().collect();
    let mut flags = Flags::new();
    let mut say = |section, key, value: Option<String>| {
        flags.extend(value.map(|value| (section, key, toml::Value::String(value))));
    };
    say("server", "data_dir", installation.data_dir.as_ref().map(|path| path.display().to_string()));
    say("database", "url", installation.database_url.clone());
    Config::load(installation.config.as_deref(), &environment, flags)
}

/// An installation that is looked at beside its gateway.
struct Opened {
    config: Config,
    store: Store,
}

impl Opened {
    async fn open(installation: &Installation) -> Result<Self> {
        let config = settings(installation)?;
        let store = Store::open_beside(&config.database, &config.server.data_dir).await?;
        Ok(Opened { config, store })
    }

    async fn audit_keys(&self) -> Result<Vec<crate::domain::audit_chain::AuditKey>> {
        let configured = ConfiguredKeys::from_environment()?;
        Vault::audit_keys_beside(&self.store, configured, &self.config.server.data_dir).await
    }

    async fn verify(&self, from: Option<u64>, mut known: Vec<Known>, with_state: bool) -> Result<AuditVerdict> {
        let keys = self.audit_keys().await?;
        let instance = self.store.instance_id();
        if known.iter().any(|known| known.instance.is_some_and(|of| of != instance)) {
            return Err(err::validation("A checkpoint belongs to another installation")
                .with_hint("Take the file that this gateway's audit.checkpoint_file names"));
        }
        let own = Some(PathBuf::from(&self.config.audit.checkpoint_file)).filter(|path| path.is_file());
        if let Some(path) = own {
            let text = std::fs::read_to_string(&path)
                .map_err(|cause| err::validation(format!("{} cannot be read: {cause}", path.display())))?;
            known.extend(audit_checkpoint::read(&text).into_iter().filter(|known| known.instance == Some(instance)));
        }
        let places: Vec<_> = known.into_iter().map(|known| known.place).collect();
        let check = move |db| async move {
            let scope = Scope { from, checkpoints: &places, with_state };
            audit_check::verify(&db, &keys, scope).await
        };
        Ok(audit_verify::dto(&self.store.read(check).await?, instance))
    }

    async fn plan(&self, namespace: &str, plan: Option<&str>) -> Result<NamespacePlan> {
        let name = namespace.trim_start_matches('@').to_owned();
        let known = self.store.read(move |db| async move { accounts::by_username(&db, &name).await }).await?;
        let account = known.ok_or_else(|| {
            err::not_found("There is no such namespace").with_hint("A namespace is a user name: aerostack whoami")
        })?;
        let before = Plan::parse(&account.plan);
        let plan = plan.map(Plan::named).transpose()?;
        if let Some(plan) = plan.filter(|plan| *plan != before) {
            let key = self.audit_keys().await?.pop();
            self.store.set_audit_key(key.ok_or_else(|| Error::internal("looking for the audit key", "none"))?);
            self.set_plan(account.id, &account.username, before, plan).await?;
        }
        let (id, plan) = (account.id, plan.unwrap_or(before));
        let workspaces_used = self.store.read(move |db| async move { workspaces::count(&db, id).await }).await?;
        Ok(NamespacePlan {
            namespace: account.username,
            plan: plan.as_str().to_owned(),
            tokens_per_workspace: plan.tokens(),
            workspaces: plan.workspaces(),
            workspaces_used,
        })
    }

    /// Makes a key of an account in its own namespace. A gateway that runs looks keys up in the database each time.
    async fn reset_key(&self, account: Option<String>, revoke_others: bool) -> Result<KeyReset> {
        let name = account.map(|name| name.trim_start_matches('@').to_owned());
        let known = self.store.read(move |db| async move {
            match name {
                Some(name) => accounts::by_username(&db, &name).await,
                None => accounts::first(&db).await,
            }
        });
        let account = known.await?.ok_or_else(|| err::not_found("There is no such account"))?;
        let key = self.audit_keys().await?.pop();
        self.store.set_audit_key(key.ok_or_else(|| Error::internal("looking for the audit key", "none"))?);
        let (fresh, now) = (token::generate(Credential::Aak), clock::now());
        let record = ApiKeyRecord {
            id: ApiKeyId::generate(),
            account: account.id,
            namespace: account.id,
            bound: false,
            name: "reset on the host".to_owned(),
            hint: fresh.hint,
            max_role: None,
            created_at: now,
            expires_at: None,
            last_used_at: None,
            revoked_at: None,
        };
        let (id, username, hash) = (account.id, account.username.clone(), fresh.hash);
        let write = self.store.write(move |tx| {
            Box::pin(async move {
                let mut ids = Vec::new();
                for other in api_keys::list(tx.conn(), id).await?.into_iter().filter(|_| revoke_others) {
                    ids.extend(api_keys::revoke(tx, id, other.id, now).await?.map(|gone| gone.id.to_string()));
                }
                let revoked = u64::try_from(ids.len()).unwrap_or(u64::MAX);
                api_keys::insert(tx, &record, &hash).await?;
                let entry = AuditEntry::by_actor(id, OPERATOR, "api_key_reset", ("account", &username));
                let entry = entry.with("key", record.id.to_string()).with("revoked", revoked);
                tx.audit(entry.with("key_ids", ids)).await?;
                Ok(revoked)
            })
        });
        let revoked = write.await?;
        Ok(KeyReset { username: account.username, key: fresh.raw.expose_secret().to_owned(), revoked })
    }

    async fn set_plan(&self, id: AccountId, username: &str, before: Plan, plan: Plan) -> Result<()> {
        let target = format!("@{username}");
        let entry = AuditEntry::by_actor(id, OPERATOR, "plan_changed", ("namespace", &target)).changed(
            "plan",
            before.as_str(),
            plan.as_str(),
        );
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    accounts::set_plan(tx, id, plan.as_str()).await?;
                    tx.audit(entry).await
                })
            })
            .await
    }
}
