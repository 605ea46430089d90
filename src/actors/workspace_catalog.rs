//! WorkspaceCatalog: the only writer of workspaces, server definitions and installations. It commits, then publishes a
//! new [`Catalog`] snapshot that workers read without a message, then tells open streams what changed.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::AtomicU64, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, AtomicResponse, Context, Handler, Message,
    MessageResult, WrapFuture as _,
};
use arc_swap::{ArcSwap, Guard};
use serde_json::json;
use tokio::sync::watch;

use crate::{
    actors::{
        actor_ref::ActorRef,
        catalog::{Catalog, WorkspaceView},
        catalog_books::{Books, Discovery},
        catalog_sharing::settle_at_start,
        catalog_skills::Acted,
        catalog_tools::Recorded,
        client_session::ClientSessions,
        supervisor::{self, Drain, Group, Heartbeat, Runtime, Spec, supervise},
    },
    config::UpstreamConfig,
    domain::{
        clock,
        definition::{Fingerprint, PinMode},
        ids::{InstallationId, ServerId, WorkspaceId},
        plan::Plan,
        slug::Slug,
        tool_name,
    },
    error::{Error, Result, err},
    store::{
        Store, accounts,
        audit::AuditEntry,
        secrets,
        servers::{self, InstallationRecord},
        workspaces::{self, WorkspaceRecord},
    },
    upstream::lists::{Kinds, Offer},
};

pub use crate::actors::catalog_changes::{
    AddServer, ChangeServer, CreateWorkspace, DecidePins, DeleteWorkspace, Install, OfferDiscovered, RemoveServer,
    RenameWorkspace, SetTools, Uninstall, UpdateInstallation,
};
pub use crate::actors::catalog_skills::{ChangeSkill, ChangeVersion, PublishVersion, SkillVersion, UpgradeSkill};

/// The actor.
pub struct WorkspaceCatalog {
    pub(super) store: Store,
    pub(super) published: Published,
    config: UpstreamConfig,
    pub(super) books: Books,
    /// When pins were recorded last, and what of them is still to be recorded.
    pub(super) recorded: HashMap<Discovery, Instant>,
    pub(super) late: HashSet<Discovery>,
}

/// What outlives an incarnation.
#[derive(Clone)]
pub(super) struct Published {
    snapshot: Arc<ArcSwap<Catalog>>,
    version: watch::Sender<u64>,
    streams: ClientSessions,
    changes: Arc<AtomicU64>,
}

impl Published {
    pub(super) fn load(&self) -> Guard<Arc<Catalog>> {
        self.snapshot.load()
    }

    pub(super) fn publish(&self, catalog: Catalog) {
        let before = self.snapshot.swap(Arc::new(catalog));
        let after = self.snapshot.load();
        self.changes.fetch_add(1, Relaxed);
        self.version.send_modify(|version| *version += 1);
        for view in after.workspaces.values() {
            let changed = before.workspace(&view.slug).map_or(Kinds::ALL, |old| view.changes_since(old));
            if !changed.is_empty() {
                self.streams.changed(view.id, changed);
            }
        }
        before.definitions().filter(|def| !after.holds(def)).for_each(|def| def.retired.cancel());
    }
}

impl Actor for WorkspaceCatalog {
    type Context = Context<Self>;

    /// A fresh incarnation believes the database, not its predecessor; no message is handled before it has read it.
    fn started(&mut self, ctx: &mut Context<Self>) {
        let (store, config) = (self.store.clone(), self.config.clone());
        let known = self.published.snapshot.load_full();
        let load = async move {
            settle_at_start(&store).await;
            Books::load(&store, &config, &known).await
        };
        WorkspaceCatalog::look_for_due(ctx);
        ctx.wait(load.into_actor(self).map(|loaded, actor, ctx| match loaded {
            Ok(books) => {
                actor.books = books;
                actor.published.publish(actor.books.catalog());
            }
            Err(cause) => {
                tracing::error!(%cause, "the catalogue cannot be read");
                ctx.stop();
            }
        }));
    }
}

/// What a handler answers after a commit.
pub(super) type Reply<T> = AtomicResponse<WorkspaceCatalog, Result<T>>;

impl WorkspaceCatalog {
    /// Runs `work` on the store, then notes its result in the books and publishes them; nothing else runs meanwhile.
    pub(super) fn change<T: 'static>(
        &self,
        work: impl Future<Output = Result<T>> + 'static,
        note: impl FnOnce(&mut Books, &T) + 'static,
    ) -> Reply<T> {
        AtomicResponse::new(Box::pin(work.into_actor(self).map(|result, actor, _| {
            if let Ok(done) = &result {
                note(&mut actor.books, done);
                actor.published.publish(actor.books.catalog());
            }
            result
        })))
    }
}

impl WorkspaceCatalog {
    /// As `change`, when the books make the answer out of what the work brought.
    pub(super) fn changing<T: 'static, U: 'static>(
        &self,
        work: impl Future<Output = Result<T>> + 'static,
        note: impl FnOnce(&mut Books, T) -> U + 'static,
    ) -> Reply<U> {
        AtomicResponse::new(Box::pin(work.into_actor(self).map(|result, actor, _| {
            let noted = note(&mut actor.books, result?);
            actor.published.publish(actor.books.catalog());
            Ok(noted)
        })))
    }
}

impl Handler<CreateWorkspace> for WorkspaceCatalog {
    type Result = Reply<WorkspaceRecord>;
    fn handle(&mut self, create: CreateWorkspace, _: &mut Context<Self>) -> Self::Result {
        let store = self.store.clone();
        let record = WorkspaceRecord {
            id: WorkspaceId::generate(),
            namespace: create.by.namespace,
            slug: create.slug,
            name: create.name,
            created_by: create.by.account,
            created_at: clock::now(),
        };
        let work = async move {
            let made = record.clone();
            store
                .write(move |tx| {
                    Box::pin(async move {
                        let account = accounts::get(tx.conn(), record.namespace)
                            .await?
                            .ok_or_else(|| err::not_found("No such namespace"))?;
                        let plan = Plan::parse(&account.plan);
                        let used = workspaces::count(tx.conn(), record.namespace).await?;
                        if let Some(limit) = plan.workspaces().filter(|limit| used >= *limit) {
                            return Err(plan.exceeded("workspaces", used, limit));
                        }
                        workspaces::insert(tx, &record).await?;
                        tx.change("workspace", record.id).await?;
                        let entry = AuditEntry::new(&create.by, "workspace_created", ("workspace", &record.slug));
                        tx.audit(entry.in_workspace(record.id)).await
                    })
                })
                .await?;
            Ok(made)
        };
        self.change(work, |books, record| books.add_workspace(record.clone()))
    }
}

impl Handler<DeleteWorkspace> for WorkspaceCatalog {
    type Result = Reply<()>;
    fn handle(&mut self, delete: DeleteWorkspace, _: &mut Context<Self>) -> Self::Result {
        let store = self.store.clone();
        let id = delete.workspace;
        let slug = self.books.workspace_slug(id);
        let work = async move {
            let slug = slug.ok_or_else(|| err::not_found("No such workspace"))?;
            store
                .write(move |tx| {
                    Box::pin(async move {
                        secrets::delete_of_workspace(tx, id).await?;
                        if !workspaces::delete(tx, delete.by.namespace, id).await? {
                            return Err(err::not_found(format!("No workspace \"{slug}\"")));
                        }
                        tx.change("workspace", id).await?;
                        let entry = AuditEntry::new(&delete.by, "workspace_deleted", ("workspace", &slug));
                        tx.audit(entry.with("workspace_id", id.to_string())).await
                    })
                })
                .await
        };
        self.change(work, move |books, ()| books.remove_workspace(id))
    }
}

impl Handler<Install> for WorkspaceCatalog {
    type Result = Reply<InstallationRecord>;
    fn handle(&mut self, install: Install, _: &mut Context<Self>) -> Self::Result {
        let store = self.store.clone();
        if let Some(skill) = &install.skill {
            self.books.know_skill(install.server, skill.revision, &skill.spec);
        }
        let planned = self.plan_installation(&install);
        // Installing approves the tools as they are known.
        let baseline = planned.as_ref().ok().and_then(|(record, _)| Recorded::of(&self.books, record));
        let skill = self.books.skill_reference(install.server);
        let work = async move {
            let (record, slug) = planned?;
            let made = record.clone();
            let baseline = store
                .write(move |tx| {
                    Box::pin(async move {
                        servers::install(tx, &record).await?;
                        if let Some(baseline) = &baseline {
                            baseline.write(tx).await?;
                        }
                        tx.change("installation", record.id).await?;
                        let acted = Acted { server: "mcp_installed", skill: "install" };
                        let entry = acted.entry(&install.by, &slug, skill.as_deref());
                        tx.audit(entry.in_workspace(record.workspace)).await?;
                        Ok(baseline)
                    })
                })
                .await?;
            Ok((made, baseline))
        };
        self.changing(work, |books, (record, baseline)| {
            books.install(record.clone());
            if let Some(baseline) = baseline {
                books.carry_out(&baseline.installation, &baseline.plan);
            }
            record
        })
    }
}

impl WorkspaceCatalog {
    fn plan_installation(&self, install: &Install) -> Result<(InstallationRecord, Slug)> {
        let record = self.books.server(install.server).ok_or_else(|| err::not_found("No such MCP server"))?;
        let workspace =
            self.books.workspace_slug(install.workspace).ok_or_else(|| err::not_found("No such workspace"))?;
        let there = self.books.installations(install.workspace);
        if there.iter().any(|one| one.server == install.server) {
            return Err(err::conflict(format!("{} is installed in {workspace} already", record.slug)));
        }
        let taken = |prefix: &str| there.iter().any(|one| one.exposed_prefix == prefix);
        let exposed_prefix = match &install.prefix {
            Some(prefix) => {
                tool_name::check_prefix(prefix)?;
                if taken(prefix) {
                    return Err(err::conflict(format!("The prefix \"{prefix}\" is in use in {workspace}"))
                        .with_hint("choose another with --prefix"));
                }
                prefix.clone()
            }
            None => tool_name::choose_prefix(&record.slug, taken),
        };
        let position = there.iter().map(|one| one.position).max().unwrap_or(0) + 1;
        let installation = InstallationRecord {
            id: InstallationId::generate(),
            workspace: install.workspace,
            server: install.server,
            revision: install.skill.as_ref().map_or(record.revision, |skill| skill.revision),
            prefix: install.prefix.clone(),
            exposed_prefix,
            position,
            enabled: true,
            pin_mode: PinMode::Pin,
            pinned_at: None,
            created_by: install.by.account,
            created_at: clock::now(),
        };
        Ok((installation, record.slug.clone()))
    }
}

impl Handler<Uninstall> for WorkspaceCatalog {
    type Result = Reply<()>;
    fn handle(&mut self, uninstall: Uninstall, _: &mut Context<Self>) -> Self::Result {
        let store = self.store.clone();
        let slug = self.books.server_slug(uninstall.server);
        let skill = self.books.skill_reference(uninstall.server);
        let (workspace, server) = (uninstall.workspace, uninstall.server);
        let work = async move {
            let slug = slug.ok_or_else(|| err::not_found("No such MCP server"))?;
            store
                .write(move |tx| {
                    Box::pin(async move {
                        if !servers::uninstall(tx, workspace, server).await? {
                            return Err(err::not_found(format!("{slug} is not installed in this workspace")));
                        }
                        tx.change("installation", server).await?;
                        let acted = Acted { server: "mcp_uninstalled", skill: "uninstall" };
                        let entry = acted.entry(&uninstall.by, &slug, skill.as_deref());
                        tx.audit(entry.in_workspace(workspace)).await
                    })
                })
                .await
        };
        self.change(work, move |books, ()| books.uninstall(workspace, server))
    }
}

impl Handler<Heartbeat> for WorkspaceCatalog {
    type Result = MessageResult<Heartbeat>;
    fn handle(&mut self, _: Heartbeat, _: &mut Context<Self>) -> Self::Result {
        let catalog = self.published.snapshot.load();
        MessageResult(json!({
            "workspaces": catalog.workspaces.len(),
            "servers": catalog.servers.len(),
            "tools": catalog.workspaces.values().map(|view| view.tools.entries().len()).sum::<usize>(),
            "snapshots": self.published.changes.load(Relaxed),
        }))
    }
}

impl Handler<Drain> for WorkspaceCatalog {
    type Result = ();
    fn handle(&mut self, _: Drain, _: &mut Context<Self>) {}
}

/// The catalogue, as everybody else holds it.
#[derive(Clone)]
pub struct CatalogRef {
    actor: ActorRef<WorkspaceCatalog>,
    published: Published,
    timeout: Duration,
}

impl CatalogRef {
    /// Reads the books from the store and starts the actor.
    pub async fn start(
        runtime: &Runtime,
        store: &Store,
        config: &UpstreamConfig,
        streams: ClientSessions,
    ) -> Result<Self> {
        settle_at_start(store).await;
        let books = Books::load(store, config, &Catalog::default()).await?;
        let published = Published {
            snapshot: Arc::new(ArcSwap::from_pointee(books.catalog())),
            version: watch::Sender::new(0),
            streams,
            changes: Arc::default(),
        };
        let (store, shared, config) = (store.clone(), published.clone(), config.clone());
        let actor = supervise(runtime, Spec::singleton("WorkspaceCatalog", Group::Control), move || WorkspaceCatalog {
            store: store.clone(),
            published: shared.clone(),
            books: Books::empty(&config),
            config: config.clone(),
            recorded: HashMap::new(),
            late: HashSet::new(),
        });
        Ok(CatalogRef { actor, published, timeout: runtime.ask_timeout() })
    }

    /// The snapshot.
    pub fn load(&self) -> Guard<Arc<Catalog>> {
        self.published.snapshot.load()
    }

    /// Sends a change and waits for its commit.
    pub async fn apply<M, T>(&self, change: M) -> Result<T>
    where
        WorkspaceCatalog: Handler<M>,
        M: Message<Result = Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        self.actor.ask(change, self.timeout).await.map_err(Error::from)?
    }

    /// Notes what a server said (from its session; never waits).
    pub fn discovered(&self, server: ServerId, scope: Option<WorkspaceId>, offer: Offer) {
        // On the session's thread: the catalogue's has better things to do.
        let prints = offer.tools().iter().map(|tool| Fingerprint::of(tool.raw.get())).collect();
        if self.actor.tell(OfferDiscovered { server, scope, offer, prints }).is_err() {
            tracing::warn!(%server, "what a server offers was not taken; it is asked again later");
        }
    }

    /// Waits, at most `wait`, until `answered` fewer installations of the workspace are undiscovered than now, or none.
    pub async fn settled(&self, workspace: WorkspaceId, answered: usize, wait: Duration) {
        let mut version = self.published.version.subscribe();
        let open = |catalog: &Catalog| {
            catalog.workspace_by_id(workspace).map_or(0, |view: &Arc<WorkspaceView>| view.undiscovered().count())
        };
        let goal = open(&self.load()).saturating_sub(answered);
        let _ = tokio::time::timeout(wait, async {
            while open(&self.load()) > goal {
                if version.changed().await.is_err() {
                    return;
                }
            }
        })
        .await;
    }

    /// Finishes what is under way.
    pub async fn drain(&self, deadline: Duration) {
        supervisor::drain(&self.actor, deadline).await;
    }
}
