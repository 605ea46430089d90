//! Everything that runs, started in dependency order and drained in the opposite one.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use url::Url;

use crate::{
    actors::{
        analytics_sink::Analytics,
        audit_log::Audit,
        call_feed::CallFeed,
        client::Questions,
        client_session::ClientSessions,
        key_source::ConfiguredKeys,
        metrics::Metrics,
        own_session::Reach,
        rate_limiter::RateLimiters,
        secret_vault::Vault,
        supervisor::{self, Runtime},
        token_authority::Tokens,
        upstream_link::{Credentials, News},
        upstreams::Upstreams,
        workspace_catalog::{CatalogRef, DeleteWorkspace, RemoveServer, RenameWorkspace},
    },
    config::Config,
    domain::{
        clock,
        ids::{ServerId, WorkspaceId},
        role::Principal,
    },
    error::Result,
    mail::{self, Mail},
    store::{Store, alone::Alone, analytics::ToolCallEvent, workspaces::WorkspaceRecord},
    upstream::{NetworkPolicy, stdio::Host},
};

/// The handles that fronts work with. Actors know each other only through handles given at construction.
pub struct Actors {
    /// Settings.
    pub config: Arc<Config>,
    /// The URL editors use.
    pub public_url: Url,
    /// The databases.
    pub store: Store,
    /// Held while no other gateway may use the Postgres database.
    pub alone: Option<Alone>,
    /// Threads, limits, health board.
    pub runtime: Runtime,
    /// Tokens and API keys.
    pub tokens: Tokens,
    /// Secrets.
    pub vault: Vault,
    /// Workspaces, servers, installations.
    pub catalog: CatalogRef,
    /// MCP servers.
    pub upstreams: Upstreams,
    /// Windows of tokens.
    pub limiters: RateLimiters,
    /// Call statistics.
    pub analytics: Analytics,
    /// Who watches calls as they end.
    pub feed: Arc<CallFeed>,
    /// The audit log.
    pub audit: Audit,
    /// Open streams.
    pub streams: ClientSessions,
    /// Questions that clients have not answered yet.
    pub questions: Questions,
    /// Calls under way in the process.
    pub calls: Arc<AtomicUsize>,
    /// The mail server, if there is one.
    pub mail: Mail,
    /// What is counted for Prometheus.
    pub metrics: Arc<Metrics>,
}

impl Actors {
    /// Opens the databases and the keys and starts every actor. Nothing is served before this has returned.
    pub async fn start(
        config: Arc<Config>,
        public_url: Url,
        keys: ConfiguredKeys,
        policy: Arc<NetworkPolicy>,
    ) -> Result<Self> {
        let data_dir = config.server.data_dir.clone();
        // Before the database is migrated or anything of it is known here.
        let alone = Alone::take(&config.database).await?;
        let store = Store::open(&config.database, &data_dir).await?;
        match Actors::start_on(store.clone(), config, public_url, keys, policy, &data_dir).await {
            Ok(started) => Ok(Actors { alone, ..started }),
            Err(failed) => {
                store.close().await;
                Err(failed)
            }
        }
    }

    async fn start_on(
        store: Store,
        config: Arc<Config>,
        public_url: Url,
        keys: ConfiguredKeys,
        policy: Arc<NetworkPolicy>,
        data_dir: &Path,
    ) -> Result<Self> {
        let mail = Mail::new(&config.mail, std::env::var(mail::PASSWORD_VARIABLE).ok())?;
        let runtime = Runtime::start(config.actors.clone());
        let vault = Vault::start(&runtime, store.clone(), keys, data_dir).await?;
        let audit = Audit::start(&runtime, store.clone(), &config.audit)?;
        let limiters = RateLimiters::start(&runtime, &config.limits);
        let tokens =
            Tokens::start(&runtime, store.clone(), &config.limits, &config.people, Arc::new(limiters.clone())).await?;
        let streams = ClientSessions::new(runtime.clone(), &config.limits);
        let catalog = CatalogRef::start(&runtime, &store, &config.upstream, streams.clone()).await?;
        let questions = Questions::default();
        let reach = Reach {
            streams: streams.clone(),
            questions: questions.clone(),
            patience: Duration::from_secs(config.limits.question_seconds),
        };
        let (known, told) = (catalog.clone(), streams.clone());
        let upstreams = Upstreams::new(
            runtime.clone(),
            config.upstream.clone(),
            policy,
            Credentials::of(vault.clone()),
            Arc::new(move |server, scope, news| match news {
                News::Offer(offer) => known.discovered(server, scope, offer),
                News::Updated(uris) => told.updated(server, scope, &uris),
            }),
            reach,
            Host { config: config.stdio.clone(), data_dir: std::path::absolute(data_dir).unwrap_or(data_dir.into()) },
        );
        let metrics = Arc::new(Metrics::default());
        let feed = Arc::new(CallFeed::new(&config.analytics));
        let (counted, shown) = (metrics.clone(), feed.clone());
        let watch = Arc::new(move |batch: &[ToolCallEvent]| {
            counted.observe(batch);
            shown.publish(batch);
        });
        let analytics = Analytics::start(&runtime, store.clone(), &config.analytics, watch);
        Ok(Actors {
            config,
            public_url,
            store,
            alone: None,
            runtime,
            tokens,
            vault,
            catalog,
            upstreams,
            limiters,
            analytics,
            feed,
            audit,
            streams,
            questions,
            calls: Arc::default(),
            mail,
            metrics,
        })
    }

    /// Renames a workspace. With another slug it has another URL: what runs under the old one is ended when this returns,
    /// and its tokens work under the new one.
    pub async fn rename_workspace(&self, rename: RenameWorkspace) -> Result<WorkspaceRecord> {
        let (workspace, moves) = (rename.workspace, rename.slug.is_some());
        let renamed = self.catalog.apply(rename).await;
        // When the database does not say whether it committed, tokens read it again all the same.
        if moves {
            self.tokens.cut_workspace(workspace).await;
        }
        renamed
    }

    /// Deletes a workspace. When this returns, its tokens are dead and its streams cut.
    pub async fn delete_workspace(&self, workspace: WorkspaceId, by: Principal) -> Result<()> {
        self.catalog.apply(DeleteWorkspace { workspace, by }).await?;
        self.tokens.cut_workspace(workspace).await;
        self.vault.forget_workspace(workspace);
        Ok(())
    }

    /// Removes a server definition with its secrets.
    pub async fn remove_server(&self, server: ServerId, by: Principal) -> Result<()> {
        self.catalog.apply(RemoveServer { server, by }).await?;
        self.vault.forget_server(server);
        Ok(())
    }

    /// Ends the streams of clients and of whoever watches.
    pub fn goodbye(&self) {
        self.streams.goodbye();
        self.feed.close();
    }

    /// Lets everything finish, within `deadline`: streams, sessions with servers, then the sinks, then the databases.
    pub async fn drain(&self, deadline: Duration) {
        let end = clock::instant() + deadline;
        let left = || end.saturating_duration_since(clock::instant());
        self.goodbye();
        self.upstreams.drain(end).await;
        self.catalog.drain(left()).await;
        supervisor::drain(self.tokens.actor(), left()).await;
        supervisor::drain(self.vault.actor(), left()).await;
        self.analytics.drain(left()).await;
        self.audit.drain(left()).await;
        self.runtime.stop();
        self.store.close().await;
        if let Some(alone) = &self.alone {
            alone.close().await;
        }
    }

    /// Resolves, with why, when another gateway uses the database. While that cannot be found out, no token is believed.
    pub async fn taken_over(&self) -> String {
        match &self.alone {
            Some(alone) => alone.lost(self.store.node_id(), async |known| self.tokens.believe(known).await).await,
            None => std::future::pending().await,
        }
    }
}
