//! The catalogue as workers read it: an immutable snapshot of workspaces, what is installed in them, and where the
//! exposed name of a tool or prompt and the URI of a resource lead. Built by `WorkspaceCatalog`, never changed in place.
//! Routing is a table look-up; no name is ever split.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{
    actors::{
        catalog_abilities::Abilities,
        catalog_items::{is_repeatable, mirrored, reads, show},
        catalog_listing::{Listing, ListingBuilder},
        catalog_policy::{Hidden, Policy, Printed},
        catalog_resources::{Resources, ShownNames},
        catalog_scope::ScopedLists,
    },
    domain::{
        definition::Fingerprint,
        ids::{AccountId, InstallationId, RevisionId, ServerId, WorkspaceId},
        tool_name,
    },
    upstream::{
        ServerDef,
        lists::{Item, Kind, Kinds, Offer},
        mirror::Mirrored,
    },
};

/// An MCP server in a workspace.
#[derive(Debug, Clone)]
pub struct Installed {
    /// The installation.
    pub id: InstallationId,
    /// The server.
    pub def: Arc<ServerDef>,
    /// What stands before `__` in the names of its tools and prompts; empty: nothing does.
    pub prefix: Arc<str>,
    /// Whether anything of it is offered.
    pub enabled: bool,
    /// What it offers, once discovered.
    pub offer: Option<Offer>,
    /// The fingerprints of its tools, in their order.
    pub prints: Arc<[Fingerprint]>,
    /// What was decided about its tools.
    pub policy: Arc<Policy>,
}

impl Installed {
    /// Its tools with the fingerprints of their definitions.
    pub fn tools(&self) -> impl Iterator<Item = Printed<'_>> {
        self.offer.iter().flat_map(|offer| offer.tools()).zip(self.prints.iter().copied())
    }

    /// Why a tool of it is not offered, if it is not.
    pub fn hidden(&self, (item, print): Printed<'_>) -> Option<Hidden> {
        if self.enabled { self.policy.hidden(&item.name, print) } else { Some(Hidden::ServerDisabled) }
    }
}

/// Where an exposed name or URI leads.
#[derive(Debug)]
pub struct Route {
    /// The name (of a resource: the URI) that clients see and analytics count.
    pub exposed: Arc<str>,
    /// `prefix__tool`, where `exposed` is another name that stands for it.
    pub plain_name: Option<Box<str>>,
    /// Its server says that it only reads (`annotations.readOnlyHint`).
    pub reads: bool,
    /// The server's own name or URI.
    pub upstream_name: Box<str>,
    /// The server.
    pub def: Arc<ServerDef>,
    /// Arguments that a server of 2026-07-28 wants repeated in headers (`x-mcp-header`).
    pub mirrored: Vec<Mirrored>,
    /// Clients of older revisions get structured content as the member `result` of an object: that is how they see the
    /// tool's output schema, whose root is not an object.
    pub wraps_output: bool,
    /// Its server says that calling it twice does no more than calling it once (`readOnlyHint`, `idempotentHint`).
    pub repeatable: bool,
    /// Some URIs of the workspace are shown otherwise than their servers write them: answers are looked through.
    pub shows_uris_apart: bool,
}

impl Route {
    /// A route with nothing special about it.
    pub fn plain(exposed: Arc<str>, upstream_name: Box<str>, def: Arc<ServerDef>) -> Self {
        Route {
            exposed,
            plain_name: None,
            reads: false,
            upstream_name,
            def,
            mirrored: Vec::new(),
            wraps_output: false,
            repeatable: false,
            shows_uris_apart: false,
        }
    }
}

/// A workspace as workers see it.
#[derive(Debug)]
pub struct WorkspaceView {
    /// The workspace.
    pub id: WorkspaceId,
    /// Whose it is.
    pub namespace: AccountId,
    /// Its slug.
    pub slug: Arc<str>,
    /// Its display name.
    pub name: Arc<str>,
    /// What is installed, in order.
    pub installed: Vec<Installed>,
    /// Exposed name → tool.
    pub routes: HashMap<Box<str>, Arc<Route>>,
    /// `tools/list`, merged.
    pub tools: Listing,
    /// `prompts/list`, merged.
    pub prompts: Listing,
    /// Resources and templates.
    pub resources: Resources,
    /// What the servers can do, together.
    pub abilities: Abilities,
    /// The lists as tokens with a scope see them.
    pub scoped: ScopedLists,
    /// Exposed name → tool that is not offered, and why.
    withheld: HashMap<Box<str>, (Arc<Route>, Hidden)>,
    prompt_routes: HashMap<Box<str>, Arc<Route>>,
}

/// The tools or prompts of a workspace while they are put together.
struct Named {
    list: ListingBuilder,
    taken: HashSet<Arc<str>>,
    routes: HashMap<Box<str>, Arc<Route>>,
}

impl WorkspaceView {
    /// Lays out routes and lists of a workspace. Order: installations as given, then the server's own order.
    pub fn build(
        (id, namespace): (WorkspaceId, AccountId),
        (slug, name): (Arc<str>, Arc<str>),
        installed: Vec<Installed>,
    ) -> Self {
        let uris = ShownNames::of(&installed);
        let tools = Named::build(Kind::Tools, &installed, &uris);
        let prompts = Named::build(Kind::Prompts, &installed, &uris);
        WorkspaceView {
            id,
            namespace,
            slug,
            name,
            routes: tools.routes,
            scoped: ScopedLists::default(),
            withheld: withheld(&installed),
            tools: tools.list.finish(),
            prompts: prompts.list.finish(),
            prompt_routes: prompts.routes,
            resources: Resources::build(&installed, uris),
            abilities: Abilities::of(&installed),
            installed,
        }
    }

    /// Where a prompt leads.
    pub fn prompt(&self, exposed: &str) -> Option<&Arc<Route>> {
        self.prompt_routes.get(exposed)
    }

    /// A tool that is installed but not offered, and why.
    pub fn withheld(&self, exposed: &str) -> Option<&(Arc<Route>, Hidden)> {
        self.withheld.get(exposed)
    }

    /// The tool of that name, offered or not.
    pub fn leads_to(&self, exposed: &str) -> Option<&Arc<Route>> {
        self.routes.get(exposed).or_else(|| self.withheld(exposed).map(|(route, _)| route))
    }

    /// Where a resource leads; `upstream_name` is the server's own URI.
    pub fn resource(&self, uri: &str) -> Option<Arc<Route>> {
        self.resources.route(uri)
    }

    /// The merged list of that kind.
    pub fn listing(&self, kind: Kind) -> &Listing {
        match kind {
            Kind::Tools => &self.tools,
            Kind::Prompts => &self.prompts,
            Kind::Resources => &self.resources.list,
            Kind::Templates => &self.resources.templates,
        }
    }

    /// Milliseconds that clients may rely on a list: as long as every server with such a list lets them.
    pub fn ttl_ms(&self, kind: Kind) -> u64 {
        let parts = self.installed.iter().filter(|one| one.enabled).filter_map(|one| match &one.offer {
            Some(offer) if !offer.about.declares(kind.capability()) => None,
            Some(offer) => Some(offer.list(kind).ttl_ms.unwrap_or(0)),
            None => Some(0),
        });
        parts.min().unwrap_or(0)
    }

    /// Which lists say something else than those of `old`.
    pub fn changes_since(&self, old: &WorkspaceView) -> Kinds {
        let changed = |kind: &Kind| self.listing(*kind).differs_from(old.listing(*kind));
        Kind::ALL.into_iter().filter(changed).fold(Kinds::NONE, Kinds::with)
    }

    /// Enabled installations that have not yet said what they offer.
    pub fn undiscovered(&self) -> impl Iterator<Item = &Installed> {
        self.installed.iter().filter(|one| one.enabled && one.offer.is_none())
    }
}

impl Named {
    fn build(kind: Kind, installed: &[Installed], uris: &ShownNames) -> Self {
        let mut named = Named { list: ListingBuilder::default(), taken: HashSet::new(), routes: HashMap::new() };
        if kind == Kind::Tools {
            // An alias is whose it is, whatever comes before it in the list.
            named.taken.extend(installed.iter().flat_map(|one| one.policy.aliases().map(|(_, alias)| alias.clone())));
        }
        for one in installed.iter().filter(|one| one.enabled) {
            if kind == Kind::Tools {
                let offered = one.tools().filter(|tool| one.hidden(*tool).is_none());
                offered.for_each(|(item, _)| named.add(kind, one, item, uris));
                continue;
            }
            for item in one.offer.iter().flat_map(|offer| &offer.list(kind).items) {
                named.add(kind, one, item, uris);
            }
        }
        named
    }

    fn add(&mut self, kind: Kind, one: &Installed, item: &Item, uris: &ShownNames) {
        let plain = tool_name::plain(&one.prefix, &item.name);
        let (mut exposed, is_alias) = match kind {
            Kind::Tools => (one.policy.exposed(&one.prefix, &item.name), one.policy.setting(&item.name).1.is_some()),
            _ => (tool_name::expose(&one.prefix, &item.name).name.into(), false),
        };
        if !self.taken.insert(exposed.clone()) && !is_alias {
            exposed = tool_name::expose_apart(&one.prefix, &item.name, &one.def.slug).name.into();
            self.taken.insert(exposed.clone());
        }
        let shown = show(kind, item, &exposed, one, &|uri| uris.get(one.def.id, uri).map(str::to_owned));
        let route = Arc::new(Route {
            mirrored: if kind == Kind::Tools { mirrored(item) } else { Vec::new() },
            wraps_output: shown.wraps_output,
            repeatable: kind == Kind::Tools && is_repeatable(item),
            plain_name: (*plain != *exposed).then(|| plain.as_str().into()),
            reads: kind == Kind::Tools && reads(item),
            shows_uris_apart: !uris.is_empty(),
            ..Route::plain(exposed.clone(), item.name.clone(), one.def.clone())
        });
        self.list.push(route.clone(), shown.modern.as_deref(), Some(&shown.legacy));
        self.routes.insert((&*exposed).into(), route.clone());
        for also in also_called(one, &item.name) {
            self.routes.entry(also.into()).or_insert_with(|| route.clone());
        }
    }
}

/// Other names under which a tool or prompt is found: what it would be called without an alias, and under the slug.
pub fn also_called(one: &Installed, name: &str) -> Vec<String> {
    let [slug, full] = tool_name::accepted_prefixes(&one.def.slug);
    [&*one.prefix, &slug, &full].map(|prefix| tool_name::expose(prefix, name).name).into()
}

/// Tools that are installed but not offered.
fn withheld(installed: &[Installed]) -> HashMap<Box<str>, (Arc<Route>, Hidden)> {
    let mut withheld = HashMap::new();
    for one in installed {
        for (item, print) in one.tools() {
            let Some(why) = one.hidden((item, print)) else { continue };
            let exposed = one.policy.exposed(&one.prefix, &item.name);
            let plain = tool_name::plain(&one.prefix, &item.name);
            let route = Arc::new(Route {
                plain_name: (*plain != *exposed).then(|| plain.into()),
                reads: reads(item),
                ..Route::plain(exposed.clone(), item.name.clone(), one.def.clone())
            });
            for name in std::iter::once(exposed.to_string()).chain(also_called(one, &item.name)) {
                withheld.entry(name.into()).or_insert_with(|| (route.clone(), why));
            }
        }
    }
    withheld
}

/// Everything that is installed where.
#[derive(Debug, Default)]
pub struct Catalog {
    /// By slug.
    pub workspaces: HashMap<Arc<str>, Arc<WorkspaceView>>,
    /// By id; of a skill the version published last.
    pub servers: HashMap<ServerId, Arc<ServerDef>>,
    /// The versions of skills that are installed somewhere.
    pub skills: HashMap<RevisionId, Arc<ServerDef>>,
}

impl Catalog {
    /// The workspace of that slug.
    pub fn workspace(&self, slug: &str) -> Option<&Arc<WorkspaceView>> {
        self.workspaces.get(slug)
    }

    /// Every definition that something may be done with.
    pub fn definitions(&self) -> impl Iterator<Item = &Arc<ServerDef>> {
        self.servers.values().chain(self.skills.values())
    }

    /// Whether this very definition is one of them.
    pub fn holds(&self, def: &Arc<ServerDef>) -> bool {
        let known = [self.servers.get(&def.id), self.skills.get(&def.revision)];
        known.into_iter().flatten().any(|known| Arc::ptr_eq(known, def))
    }

    /// The workspace of that id.
    pub fn workspace_by_id(&self, id: WorkspaceId) -> Option<&Arc<WorkspaceView>> {
        self.workspaces.values().find(|view| view.id == id)
    }
}
