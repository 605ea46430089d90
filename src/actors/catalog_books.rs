//! The catalogue's working copy: the records as committed, and what servers offer as discovered. Pure; `WorkspaceCatalog` owns
//! one and makes snapshots from it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{
    actors::{
        catalog::{Catalog, Installed, WorkspaceView},
        catalog_policy::{self, PinPlan, Policy, Printed},
    },
    config::UpstreamConfig,
    domain::{
        clock,
        definition::Fingerprint,
        ids::{InstallationId, RevisionId, ServerId, WorkspaceId},
        server::ServerSpec,
        slug::Slug,
    },
    error::Result,
    store::{
        Store,
        servers::{self, InstallationRecord, ServerRecord},
        tool_pins,
        tool_settings::{self, ToolSetting},
        workspaces::{self, WorkspaceRecord},
    },
    upstream::{ServerDef, lists::Offer, skill},
};

/// What servers offer, by server and credential scope.
type Offers = HashMap<Discovery, (Offer, Arc<[Fingerprint]>)>;

/// One discovery: of a server, with a workspace's own credentials or everybody's.
pub type Discovery = (ServerId, Option<WorkspaceId>);

/// The records and the offers.
#[derive(Clone)]
pub struct Books {
    config: UpstreamConfig,
    workspaces: HashMap<WorkspaceId, WorkspaceRecord>,
    servers: HashMap<ServerId, (ServerRecord, Arc<ServerDef>)>,
    installed: HashMap<WorkspaceId, Vec<InstallationRecord>>,
    offers: Offers,
    policies: HashMap<InstallationId, Arc<Policy>>,
    skills: HashMap<RevisionId, KnownSkill>,
}

/// A version of a skill: it offers the same for ever.
#[derive(Clone)]
struct KnownSkill {
    def: Arc<ServerDef>,
    offer: (Offer, Arc<[Fingerprint]>),
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
            policies: HashMap::new(),
            skills: HashMap::new(),
        }
    }

    /// Reads every record. What `known` already shares (definitions of the same revision, offers) is kept.
    pub async fn load(store: &Store, config: &UpstreamConfig, known: &Catalog) -> Result<Self> {
        let ((spaces, definitions, installations), (settings, pins, skills)) = store
            .read(|db| async move {
                let placed =
                    (workspaces::all(&db).await?, servers::all(&db).await?, servers::all_installations(&db).await?);
                let skills = servers::installed_skills(&db).await?;
                Ok((placed, (tool_settings::all(&db).await?, tool_pins::all(&db).await?, skills)))
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
        for (server, revision, spec) in skills {
            match known.skills.get(&revision) {
                Some(def) => books.skills.extend(KnownSkill::of(def.clone()).map(|known| (revision, known))),
                None => books.know_skill(server, revision, &spec),
            }
        }
        let policies = catalog_policy::collect(&settings, pins);
        books.policies = policies.into_iter().map(|(id, policy)| (id, Arc::new(policy))).collect();
        installations.into_iter().for_each(|record| books.install(record));
        for one in known.workspaces.values().flat_map(|view| &view.installed) {
            if let Some(offer) = one.offer.as_ref().filter(|_| one.def.spec.skill().is_none()) {
                books.offers.insert((one.def.id, None), (offer.clone(), one.prints.clone()));
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
            skills: self.skills.iter().map(|(id, known)| (*id, known.def.clone())).collect(),
        }
    }

    fn view(&self, record: &WorkspaceRecord) -> WorkspaceView {
        let there = self.installed.get(&record.id).map(Vec::as_slice).unwrap_or_default();
        let installed = there.iter().filter_map(|one| {
            let pinned = self.skills.get(&one.revision).map(|known| &known.def);
            let def = pinned.or_else(|| self.servers.get(&one.server).map(|(_, def)| def))?;
            let (offer, prints) = self.seen_by(one).cloned().unzip();
            Some(Installed {
                id: one.id,
                def: def.clone(),
                prefix: one.exposed_prefix.as_str().into(),
                enabled: one.enabled,
                offer,
                prints: prints.unwrap_or_default(),
                policy: self.policy(one.id),
            })
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
        for gone in self.installed.remove(&id).into_iter().flatten() {
            self.policies.remove(&gone.id);
        }
        self.offers.retain(|(_, scope), _| *scope != Some(id));
    }

    /// Notes a server.
    pub fn add_server(&mut self, record: ServerRecord) {
        let names = (record.id, record.slug.shared(), record.namespace);
        let def = ServerDef::new(names, (record.revision, record.spec.clone()), &self.config);
        self.servers.insert(record.id, (record, Arc::new(def)));
    }

    /// Notes a server's new revision.
    pub fn change_server(&mut self, record: ServerRecord) {
        let (id, revision) = (record.id, record.revision);
        self.add_server(record);
        let all = self.installed.values_mut().flatten();
        all.filter(|one| one.server == id).for_each(|one| one.revision = revision);
    }

    /// Forgets a server.
    pub fn remove_server(&mut self, id: ServerId) {
        self.servers.remove(&id);
        let places: Vec<WorkspaceId> = self.installed.keys().copied().collect();
        places.into_iter().for_each(|workspace| self.uninstall(workspace, id));
        self.offers.retain(|(server, _), _| *server != id);
    }

    /// Notes an installation.
    pub fn install(&mut self, record: InstallationRecord) {
        self.note_pinning(&record);
        self.installed.entry(record.workspace).or_default().push(record);
    }

    /// Forgets an installation.
    pub fn uninstall(&mut self, workspace: WorkspaceId, server: ServerId) {
        if let Some(there) = self.installed.get_mut(&workspace) {
            let gone = there.extract_if(.., |one| one.server == server);
            gone.for_each(|one| drop(self.policies.remove(&one.id)));
        }
        self.forget_unused_skills();
    }

    /// Notes a version of a skill that is going to be installed.
    pub fn know_skill(&mut self, server: ServerId, revision: RevisionId, spec: &ServerSpec) {
        let Some((record, _)) = self.servers.get(&server).filter(|_| !self.skills.contains_key(&revision)) else {
            return;
        };
        let names = (record.id, record.slug.shared(), record.namespace);
        let def = Arc::new(ServerDef::new(names, (revision, spec.clone()), &self.config));
        self.skills.extend(KnownSkill::of(def).map(|known| (revision, known)));
    }

    /// Forgets versions that are not installed anywhere (any more).
    pub fn forget_unused_skills(&mut self) {
        let used: HashSet<RevisionId> = self.installed.values().flatten().map(|one| one.revision).collect();
        self.skills.retain(|revision, _| used.contains(revision));
    }

    /// How a server is named that is a skill.
    pub fn skill_reference(&self, id: ServerId) -> Option<String> {
        Some(self.server(id)?.spec.skill()?.reference())
    }

    /// Notes what changed of an installation.
    pub fn replace_installation(&mut self, record: InstallationRecord) {
        self.note_pinning(&record);
        let there = self.installed.get_mut(&record.workspace);
        let Some(known) = there.and_then(|there| there.iter_mut().find(|one| one.id == record.id)) else { return };
        if known.exposed_prefix != record.exposed_prefix {
            self.policies.entry(record.id).and_modify(|policy| Arc::make_mut(policy).forget_short_names());
        }
        *known = record;
        self.forget_unused_skills();
    }

    fn note_pinning(&mut self, record: &InstallationRecord) {
        let policy = Arc::make_mut(self.policies.entry(record.id).or_default());
        (policy.mode, policy.pinned) = (record.pin_mode, record.pinned_at.is_some());
    }

    /// What was decided about an installation's tools.
    pub fn policy(&self, installation: InstallationId) -> Arc<Policy> {
        self.policies.get(&installation).cloned().unwrap_or_default()
    }

    /// Notes a decision about a tool.
    pub fn set_tool(&mut self, setting: &ToolSetting) {
        Arc::make_mut(self.policies.entry(setting.installation).or_default()).set(setting);
    }

    /// Notes a decision about a definition that waited.
    pub fn decide(&mut self, installation: InstallationId, tool: &str, print: Fingerprint, approve: bool) {
        Arc::make_mut(self.policies.entry(installation).or_default()).decide(tool, print, approve);
    }

    /// What an installation's discovery changes in its pins.
    pub fn pin_plan(&self, installation: &InstallationRecord) -> PinPlan {
        let Some((offer, prints)) = self.seen_by(installation) else { return PinPlan::default() };
        let tools: Vec<Printed<'_>> = offer.tools().iter().zip(prints.iter().copied()).collect();
        self.policy(installation.id).plan(installation.pin_mode, &installation.exposed_prefix, &tools)
    }

    /// Notes pins that were written.
    pub fn carry_out(&mut self, installation: &InstallationRecord, plan: &PinPlan) {
        let there = self.installed.get_mut(&installation.workspace);
        let known = there.and_then(|there| there.iter_mut().find(|one| one.id == installation.id));
        if let Some(known) = known.filter(|_| plan.baseline) {
            known.pinned_at = Some(clock::now());
        }
        Arc::make_mut(self.policies.entry(installation.id).or_default()).carry_out(plan);
    }

    /// The discovery an installation sees: with its workspace's own credentials, else with everybody's. What a version
    /// of a skill offers is not discovered, but known.
    fn seen_by(&self, one: &InstallationRecord) -> Option<&(Offer, Arc<[Fingerprint]>)> {
        if let Some(known) = self.skills.get(&one.revision) {
            return Some(&known.offer);
        }
        let own = self.offers.get(&(one.server, Some(one.workspace)));
        own.or_else(|| self.offers.get(&(one.server, None)))
    }

    /// The installations that see a discovery.
    pub fn seeing(&self, (server, scope): Discovery) -> impl Iterator<Item = &InstallationRecord> {
        let sees = move |one: &&InstallationRecord| {
            let own = self.offers.contains_key(&(server, Some(one.workspace)));
            one.server == server && if own { scope == Some(one.workspace) } else { scope.is_none() }
        };
        self.installed.values().flatten().filter(sees)
    }

    /// Notes what a server offers; whether anything changed.
    pub fn discovered(&mut self, key: Discovery, offer: Offer, prints: Arc<[Fingerprint]>) -> bool {
        if self.server(key.0).is_none_or(|record| record.spec.skill().is_some()) {
            return false;
        }
        let known = self.offers.insert(key, (offer.clone(), prints));
        known.is_none_or(|(known, _)| !known.says_the_same_as(&offer))
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

impl KnownSkill {
    fn of(def: Arc<ServerDef>) -> Option<Self> {
        let offer = skill::offer(def.spec.skill()?);
        let prints = offer.tools().iter().map(|tool| Fingerprint::of(tool.raw.get())).collect();
        Some(KnownSkill { def, offer: (offer, prints) })
    }
}
