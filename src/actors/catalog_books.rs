//! The catalogue's working copy: the records as committed, and what servers offer as discovered. Pure; `WorkspaceCatalog` owns
//! one and makes snapshots from it.

use std::{collections::HashMap, sync::Arc};

use crate::{
    actors::catalog::{Catalog, Installed, WorkspaceView},
    config::UpstreamConfig,
    domain::{
        ids::{ServerId, WorkspaceId},
        slug::Slug,
    },
    error::Result,
    store::{
        Store,
        servers::{self, InstallationRecord, ServerRecord},
        workspaces::{self, WorkspaceRecord},
    },
    upstream::{ServerDef, lists::Offer},
};

/// What servers offer, by server and credential scope.
type Discovered = HashMap<(ServerId, Option<WorkspaceId>), Offer>;

/// The records and the offers.
#[derive(Clone)]
pub struct Books {
    config: UpstreamConfig,
    workspaces: HashMap<WorkspaceId, WorkspaceRecord>,
    servers: HashMap<ServerId, (ServerRecord, Arc<ServerDef>)>,
    installed: HashMap<WorkspaceId, Vec<InstallationRecord>>,
    offers: Discovered,
}

impl Books {
    /// Nothing yet.
    pub fn empty(config: &UpstreamConfig) -> Self {
        Books {
            config: config.clone(),
            workspaces: HashMap::new(),
            servers: HashMap::new(),
            installed: HashMap::new(),
            offers: HashMap::new(),
        }
    }

    /// Reads every record. What `known` already shares (definitions of the same revision, offers) is kept.
    pub async fn load(store: &Store, config: &UpstreamConfig, known: &Catalog) -> Result<Self> {
        let (spaces, definitions, installations) = store
            .read(|db| async move {
                Ok((workspaces::all(&db).await?, servers::all(&db).await?, servers::all_installations(&db).await?))
            })
            .await?;
        let mut books = Books::empty(config);
        books.workspaces = spaces.into_iter().map(|record| (record.id, record)).collect();
        for record in definitions {
            match known.servers.get(&record.id).filter(|def| def.revision == record.revision) {
                Some(def) => drop(books.servers.insert(record.id, (record, def.clone()))),
                None => books.add_server(record),
            }
        }
        installations.into_iter().for_each(|record| books.install(record));
        for one in known.workspaces.values().flat_map(|view| &view.installed) {
            if let Some(offer) = &one.offer {
                books.offers.insert((one.def.id, None), offer.clone());
            }
        }
        Ok(books)
    }

    /// A snapshot.
    pub fn catalog(&self) -> Catalog {
        let views = self.workspaces.values().map(|record| {
            let view = self.view(record);
            (view.slug.clone(), Arc::new(view))
        });
        Catalog {
            workspaces: views.collect(),
            servers: self.servers.iter().map(|(id, (_, def))| (*id, def.clone())).collect(),
        }
    }

    fn view(&self, record: &WorkspaceRecord) -> WorkspaceView {
        let there = self.installed.get(&record.id).map(Vec::as_slice).unwrap_or_default();
        let installed = there.iter().filter_map(|one| {
            let (_, def) = self.servers.get(&one.server)?;
            let own = self.offers.get(&(one.server, Some(record.id)));
            let offer = own.or_else(|| self.offers.get(&(one.server, None))).cloned();
            let prefix = one.exposed_prefix.as_str().into();
            Some(Installed { id: one.id, def: def.clone(), prefix, enabled: one.enabled, offer })
        });
        let names = (record.slug.shared(), record.name.as_str().into());
        WorkspaceView::build((record.id, record.namespace), names, installed.collect())
    }

    /// Notes a workspace.
    pub fn add_workspace(&mut self, record: WorkspaceRecord) {
        self.workspaces.insert(record.id, record);
    }

    /// Forgets a workspace.
    pub fn remove_workspace(&mut self, id: WorkspaceId) {
        self.workspaces.remove(&id);
        self.installed.remove(&id);
        self.offers.retain(|(_, scope), _| *scope != Some(id));
    }

    /// Notes a server.
    pub fn add_server(&mut self, record: ServerRecord) {
        let names = (record.id, record.slug.shared(), record.namespace);
        let def = ServerDef::new(names, (record.revision, record.spec.clone()), &self.config);
        self.servers.insert(record.id, (record, Arc::new(def)));
    }

    /// Forgets a server.
    pub fn remove_server(&mut self, id: ServerId) {
        self.servers.remove(&id);
        self.installed.values_mut().for_each(|there| there.retain(|one| one.server != id));
        self.offers.retain(|(server, _), _| *server != id);
    }

    /// Notes an installation.
    pub fn install(&mut self, record: InstallationRecord) {
        self.installed.entry(record.workspace).or_default().push(record);
    }

    /// Forgets an installation.
    pub fn uninstall(&mut self, workspace: WorkspaceId, server: ServerId) {
        if let Some(there) = self.installed.get_mut(&workspace) {
            there.retain(|one| one.server != server);
        }
    }

    /// Notes what a server offers; whether anything changed.
    pub fn discovered(&mut self, server: ServerId, scope: Option<WorkspaceId>, offer: Offer) -> bool {
        if !self.servers.contains_key(&server) {
            return false;
        }
        let known = self.offers.insert((server, scope), offer.clone());
        known.is_none_or(|known| !known.says_the_same_as(&offer))
    }

    /// A server's record.
    pub fn server(&self, id: ServerId) -> Option<&ServerRecord> {
        self.servers.get(&id).map(|(record, _)| record)
    }

    /// A server's slug.
    pub fn server_slug(&self, id: ServerId) -> Option<Slug> {
        self.server(id).map(|record| record.slug.clone())
    }

    /// A workspace's slug.
    pub fn workspace_slug(&self, id: WorkspaceId) -> Option<Slug> {
        self.workspaces.get(&id).map(|record| record.slug.clone())
    }

    /// What is installed in a workspace.
    pub fn installations(&self, workspace: WorkspaceId) -> &[InstallationRecord] {
        self.installed.get(&workspace).map(Vec::as_slice).unwrap_or_default()
    }
}
