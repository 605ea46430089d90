//! What the tests of the TokenAuthority and the SecretVault start from: a store with one namespace, one workspace
//! and servers to taste.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use dashmap::DashMap;

use crate::{
    actors::{
        secret_vault::Vault,
        supervisor::Runtime,
        token_authority::{IssueToken, IssuedToken, NameToken, Tokens, WindowSource},
    },
    config::{ActorsConfig, LimitsConfig, PeopleConfig},
    domain::{
        clock,
        ids::{AccountId, RevisionId, ServerId, TokenId, WorkspaceId},
        rate::Window,
        role::Principal,
        scope::Scope,
        server::ServerSpec,
        slug::Slug,
    },
    error::Result,
    store::{
        Store,
        accounts::{self, AccountRecord},
        audit::{self, AuditFilter},
        servers::{self, InstallationRecord, ServerRecord},
        workspaces::{self, WorkspaceRecord},
    },
};

pub(super) const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Declares tests `async fn name(store: TestStore) { … }` inside an actix system, on SQLite and on Postgres.
macro_rules! on_both_in_actix {
    ($(async fn $name:ident($store:ident) $body:block)*) => {$(
        mod $name {
            use super::*;
            async fn rule($store: $crate::store::testing::TestStore) $body
            #[actix_web::test]
            async fn sqlite() {
                rule($crate::store::testing::sqlite().await).await;
            }
            #[actix_web::test]
            async fn postgres() {
                if let Some(store) = $crate::store::testing::postgres().await {
                    rule(store).await;
                }
            }
        }
    )*};
}
pub(super) use on_both_in_actix;

#[derive(Default)]
pub(super) struct Windows(DashMap<TokenId, Arc<Window>>);

impl WindowSource for Windows {
    fn requests(&self, token: TokenId, own_limit: Option<u32>) -> Arc<Window> {
        self.0.entry(token).or_insert_with(|| Arc::new(Window::new(own_limit.unwrap_or(120)))).clone()
    }
    fn notifications(&self, _: TokenId) -> Arc<Window> {
        Arc::new(Window::new(1200))
    }
    fn forget(&self, token: TokenId) {
        self.0.remove(&token);
    }
}

pub(super) fn runtime() -> Runtime {
    Runtime::start(ActorsConfig { heartbeat_ms: 20, ..ActorsConfig::default() })
}

/// A namespace with a workspace.
pub(super) struct World {
    pub(super) store: Store,
    pub(super) namespace: AccountId,
    pub(super) workspace: WorkspaceId,
    pub(super) by: Principal,
}

impl World {
    pub(super) async fn new(store: &Store, plan: &str) -> World {
        World::with(store, plan, "engineering").await
    }

    /// Another namespace in the same store.
    pub(super) async fn new_in(store: &Store, slug: &str) -> World {
        World::with(store, "enterprise", slug).await
    }

    async fn with(store: &Store, plan: &str, slug: &str) -> World {
        let (namespace, plan) = (AccountId::generate(), plan.to_owned());
        let record = AccountRecord {
            id: namespace,
            username: format!("acme-{}", namespace.0.simple()),
            email: None,
            plan,
            created_at: clock::now(),
        };
        let by = Principal { label: "alice@acme".into(), ..Principal::system(namespace) };
        store.upkeep(move |tx| Box::pin(async move { accounts::create(tx, &record).await })).await.unwrap();
        let mut world = World { store: store.clone(), namespace, workspace: WorkspaceId::generate(), by };
        world.workspace = world.add_workspace(slug).await;
        world
    }

    pub(super) async fn add_workspace(&self, slug: &str) -> WorkspaceId {
        let id = WorkspaceId::generate();
        let (slug, name) = (Slug::parse(slug).unwrap(), slug.to_owned());
        let (namespace, created_by, created_at) = (self.namespace, self.namespace, clock::now());
        let record = WorkspaceRecord { id, namespace, slug, name, created_by, created_at };
        self.store.upkeep(move |tx| Box::pin(async move { workspaces::insert(tx, &record).await })).await.unwrap();
        id
    }

    pub(super) async fn add_server(&self, slug: &str, url: &str) -> ServerRecord {
        let now = clock::now();
        let record = ServerRecord {
            id: ServerId::generate(),
            namespace: self.namespace,
            slug: Slug::parse(slug).unwrap(),
            title: slug.to_owned(),
            kind: "http".into(),
            revision: RevisionId::generate(),
            spec: ServerSpec::for_url(url).unwrap(),
            created_by: self.namespace,
            created_at: now,
            updated_at: now,
        };
        let installed = InstallationRecord {
            id: crate::domain::ids::InstallationId::generate(),
            workspace: self.workspace,
            server: record.id,
            revision: record.revision,
            prefix: None,
            exposed_prefix: slug.to_owned(),
            position: 0,
            enabled: true,
            pin_mode: crate::domain::definition::PinMode::Pin,
            pinned_at: None,
            created_by: self.namespace,
            created_at: now,
        };
        let row = record.clone();
        self.store
            .upkeep(move |tx| {
                Box::pin(async move {
                    servers::insert(tx, &row).await?;
                    servers::install(tx, &installed).await
                })
            })
            .await
            .unwrap();
        record
    }

    pub(super) async fn tokens(&self, runtime: &Runtime) -> Tokens {
        let limits = LimitsConfig::default();
        let people = PeopleConfig { password_memory_kib: 64, password_rounds: 1, ..PeopleConfig::default() };
        Tokens::start(runtime, self.store.clone(), &limits, &people, Arc::new(Windows::default())).await.unwrap()
    }

    pub(super) async fn vault(&self, runtime: &Runtime, data_dir: &std::path::Path) -> Vault {
        Vault::start(runtime, self.store.clone(), Default::default(), data_dir).await.unwrap()
    }

    pub(super) fn wanted(&self, name: &str) -> IssueToken {
        IssueToken {
            scope: Scope::default(),
            workspace: self.workspace,
            name: name.into(),
            expires_in_seconds: None,
            member: None,
            requests_per_minute: None,
            by: self.by.clone(),
        }
    }

    pub(super) async fn issue(&self, tokens: &Tokens, name: &str) -> Result<IssuedToken> {
        tokens.issue(self.wanted(name)).await
    }

    pub(super) fn named(&self, token: TokenId) -> NameToken {
        NameToken { workspace: self.workspace, token, by: self.by.clone() }
    }

    /// `action: target` of the workspace's audit log, oldest first.
    pub(super) async fn audit(&self) -> Vec<String> {
        let filter = AuditFilter { workspace: Some(self.workspace), ..AuditFilter::newest(self.namespace, 100) };
        let rows = self.store.read(|db| async move { audit::list(&db, filter).await }).await.unwrap();
        rows.into_iter().rev().map(|row| format!("{}: {}", row.entry.action, row.entry.target)).collect()
    }
}

/// Whether any file in `folder` contains `text`.
pub(super) fn stored_anywhere(folder: &std::path::Path, text: &str) -> bool {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    files.map(|path| std::fs::read(path).unwrap()).any(|bytes| memchr::memmem::find(&bytes, text.as_bytes()).is_some())
}
