//! The catalogue as workers read it: an immutable snapshot of workspaces, what is installed in them, and which exposed
//! tool name leads where. Built by `WorkspaceCatalog`, never changed in place. Routing is a table look-up; no name is
//! ever split.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;

use crate::{
    domain::{
        ids::{AccountId, InstallationId, ServerId, WorkspaceId},
        tool_name,
    },
    protocol::{scan, splice::Splice, splice::json_string},
    upstream::{
        ServerDef,
        mirror::{self, Mirrored},
        tools::Tool,
    },
};

/// An MCP server in a workspace.
#[derive(Debug, Clone)]
pub struct Installed {
    /// The installation.
    pub id: InstallationId,
    /// The server.
    pub def: Arc<ServerDef>,
    /// What stands before `__` in its tools' names; empty: nothing does.
    pub prefix: Arc<str>,
    /// Whether its tools are offered.
    pub enabled: bool,
    /// Its tools, once discovered.
    pub tools: Option<Arc<[Tool]>>,
}

/// Where an exposed tool name leads.
#[derive(Debug)]
pub struct Route {
    /// The name that clients see and analytics count.
    pub exposed: Arc<str>,
    /// The server's own name, when it differs.
    pub upstream_name: Box<str>,
    /// The server.
    pub def: Arc<ServerDef>,
    /// Arguments that a server of 2026-07-28 wants repeated in headers (`x-mcp-header`).
    pub mirrored: Vec<Mirrored>,
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
    /// The merged list: a JSON array, ready to be sent.
    pub tools_json: Bytes,
    /// Exposed names in list order, with the server each comes from.
    pub listed: Vec<Arc<Route>>,
}

impl WorkspaceView {
    /// Lays out routes and list of a workspace. Order: installations as given, then the server's own order.
    pub fn build(
        (id, namespace): (WorkspaceId, AccountId),
        (slug, name): (Arc<str>, Arc<str>),
        installed: Vec<Installed>,
    ) -> Self {
        let mut view = WorkspaceView {
            id,
            namespace,
            slug,
            name,
            installed: Vec::new(),
            routes: HashMap::new(),
            tools_json: Bytes::new(),
            listed: Vec::new(),
        };
        let mut json = String::from("[");
        for one in installed.iter().filter(|one| one.enabled) {
            for tool in one.tools.iter().flat_map(|tools| tools.iter()) {
                view.add(one, tool, &mut json);
            }
        }
        json.push(']');
        view.tools_json = json.into();
        view.installed = installed;
        view
    }

    fn add(&mut self, one: &Installed, tool: &Tool, json: &mut String) {
        let mut exposed: Arc<str> = tool_name::expose(&one.prefix, &tool.name).name.into();
        if self.listed.iter().any(|route| route.exposed == exposed) {
            exposed = tool_name::expose_apart(&one.prefix, &tool.name, &one.def.slug).name.into();
        }
        let route = Arc::new(Route {
            exposed: exposed.clone(),
            upstream_name: tool.name.clone(),
            def: one.def.clone(),
            mirrored: mirrored_arguments(tool),
        });
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str(&renamed(tool, &exposed));
        self.listed.push(route.clone());
        self.routes.insert((&*exposed).into(), route.clone());
        for prefix in tool_name::accepted_prefixes(&one.def.slug) {
            let also = tool_name::expose(&prefix, &tool.name).name;
            self.routes.entry(also.into()).or_insert_with(|| route.clone());
        }
    }

    /// Enabled installations whose tools are not known yet.
    pub fn undiscovered(&self) -> impl Iterator<Item = &Installed> {
        self.installed.iter().filter(|one| one.enabled && one.tools.is_none())
    }
}

/// What the tool's schema wants in headers. (A tool with invalid annotations never gets this far.)
fn mirrored_arguments(tool: &Tool) -> Vec<Mirrored> {
    #[derive(serde::Deserialize)]
    struct Described<'a> {
        #[serde(borrow, rename = "inputSchema")]
        schema: &'a serde_json::value::RawValue,
    }
    if !tool.raw.get().contains("x-mcp-header") {
        return Vec::new();
    }
    let described = serde_json::from_str::<Described<'_>>(tool.raw.get());
    described.ok().and_then(|tool| mirror::mirrored(tool.schema).ok()).unwrap_or_default()
}

/// The description with the exposed name in it; everything else stays byte for byte.
fn renamed(tool: &Tool, exposed: &str) -> String {
    let raw = tool.raw.get();
    if *tool.name == *exposed {
        return raw.into();
    }
    let members = scan::object_members(raw.as_bytes(), 0..raw.len());
    let Some(name) = scan::member(&members, raw.as_bytes(), "name") else { return raw.into() };
    let quoted = json_string(exposed);
    let spliced = Splice::new(raw.as_bytes()).replace(name, quoted.as_bytes()).finish();
    String::from_utf8(spliced).unwrap_or_else(|_| raw.into())
}

/// Everything that is installed where.
#[derive(Debug, Default)]
pub struct Catalog {
    /// By slug.
    pub workspaces: HashMap<Arc<str>, Arc<WorkspaceView>>,
    /// By id.
    pub servers: HashMap<ServerId, Arc<ServerDef>>,
}

impl Catalog {
    /// The workspace of that slug.
    pub fn workspace(&self, slug: &str) -> Option<&Arc<WorkspaceView>> {
        self.workspaces.get(slug)
    }

    /// The workspace of that id.
    pub fn workspace_by_id(&self, id: WorkspaceId) -> Option<&Arc<WorkspaceView>> {
        self.workspaces.values().find(|view| view.id == id)
    }
}
