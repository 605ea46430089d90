//! What is decided about an installed server and its tools: on or off, another name, another prefix. Everything counts
//! when the answer is there, and open streams are told.

use std::collections::BTreeSet;

use actix_web::{
    HttpResponse,
    web::{self, Path},
};

use crate::{
    actors::{
        Actors,
        catalog::Installed,
        catalog_items,
        catalog_policy::Hidden,
        workspace_catalog::{SetTools, UpdateInstallation as Update},
    },
    admin::{
        Admin,
        auth::Caller,
        discovery,
        dto::{Installation, InstalledTool, LongName, Page, ToolState, UpdateInstallation, UpdateTools},
        installations,
        openapi::Problems,
        reply::Reply,
        request::{IfMatch, Json, Nothing, Paging, Query, page},
    },
    domain::{
        ids::ServerId,
        near,
        role::{Principal, Role},
        tool_name,
    },
    error::{Error, Result, err},
};

/// Tools of a server whose names some editors will not take, with names that they would.
pub fn long_names(actors: &Actors, workspace: &str, server: ServerId) -> Vec<LongName> {
    let tools = installed(actors, workspace, server).map(|one| all(actors, workspace, &one)).unwrap_or_default();
    let long = tools.into_iter().filter(|tool| tool.too_long && tool.state == ToolState::Offered);
    long.map(|tool| LongName { alias: tool_name::shortened(&tool.name), tool: tool.tool, name: tool.name }).collect()
}

/// Most tools that one request decides about.
const AT_ONCE: usize = 2000;

/// Changes an installation.
pub async fn update(
    actors: &Actors,
    by: &Principal,
    (slug, server): (&str, &str),
    input: UpdateInstallation,
) -> Result<Installation> {
    by.require(Role::Admin)?;
    let (workspace, server, _) = installations::find(actors, by, slug, server).await?;
    let UpdateInstallation { enabled, prefix, pins } = input;
    let change = Update { workspace: workspace.id, server: server.id, enabled, prefix, pins, by: by.clone() };
    let record = actors.catalog.apply(change).await?;
    Ok(installations::dto(actors, &workspace, record, &server))
}

/// An installation as the catalogue has it.
pub fn installed(actors: &Actors, workspace: &str, server: ServerId) -> Option<Installed> {
    let catalog = actors.catalog.load();
    let view = catalog.workspace(workspace)?;
    view.installed.iter().find(|one| one.def.id == server).cloned()
}

/// The state that a reason not to be offered means.
pub fn state(hidden: Option<Hidden>) -> ToolState {
    match hidden {
        None => ToolState::Offered,
        Some(Hidden::ServerDisabled) => ToolState::ServerDisabled,
        Some(Hidden::SwitchedOff) => ToolState::Off,
        Some(Hidden::New) => ToolState::WaitingNew,
        Some(Hidden::Changed) => ToolState::WaitingChanged,
        Some(Hidden::Rejected) => ToolState::Rejected,
    }
}

/// All tools of an installation by their own names: those it lists, and those that something was decided about.
fn all(actors: &Actors, workspace: &str, one: &Installed) -> Vec<InstalledTool> {
    let catalog = actors.catalog.load();
    let view = catalog.workspace(workspace);
    let exposed = |tool: &str| {
        // What clients see where it is offered (two servers may want the same name), else what they would see.
        let routes = view.iter().flat_map(|view| view.tools.entries()).map(|entry| &entry.route);
        let mine = routes.filter(|route| route.def.id == one.def.id).find(|route| *route.upstream_name == *tool);
        mine.map_or_else(|| one.policy.exposed(&one.prefix, tool), |route| route.exposed.clone()).to_string()
    };
    let described = |tool: &str, state: ToolState| {
        let (enabled, alias) = one.policy.setting_of(tool);
        let name = exposed(tool);
        let too_long = tool_name::is_long(&name);
        let tool = tool.to_owned();
        let (read_only, destructive, open_world, description) = (false, false, false, None);
        InstalledTool { tool, name, state, enabled, alias, read_only, destructive, open_world, too_long, description }
    };
    let mut tools: Vec<InstalledTool> = one
        .tools()
        .map(|(item, print)| {
            let said = catalog_items::said(item);
            InstalledTool {
                read_only: said.reads,
                destructive: said.destroys,
                open_world: said.open_world,
                description: discovery::described(item),
                ..described(&item.name, state(one.hidden((item, print))))
            }
        })
        .collect();
    let listed: BTreeSet<String> = tools.iter().map(|tool| tool.tool.clone()).collect();
    let known: BTreeSet<&str> = one.policy.known_tools().filter(|tool| !listed.contains(*tool)).collect();
    tools.extend(known.into_iter().map(|tool| described(tool, ToolState::NotListed)));
    tools.sort_by(|a, b| a.tool.cmp(&b.tool));
    tools
}

/// The tools of an installation, offered or not.
pub async fn list(
    actors: &Actors,
    by: &Principal,
    (slug, server): (&str, &str),
    paging: &Paging,
) -> Result<Page<InstalledTool>> {
    by.require(Role::Viewer)?;
    let (workspace, server, _) = installations::find(actors, by, slug, server).await?;
    discovery::discover_for_list(actors, &workspace.slug).await;
    let tools = installed(actors, &workspace.slug, server.id).map(|one| all(actors, &workspace.slug, &one));
    page(tools.unwrap_or_default(), paging, |tool| tool.tool.clone())
}

/// The server's own names of tools that are named as people do.
pub fn own_names(tools: &[InstalledTool], named: &[String], server: &str, slug: &str) -> Result<Vec<String>> {
    let mut own = Vec::with_capacity(named.len());
    for name in named {
        let by_own = tools.iter().find(|tool| tool.tool == *name);
        let found = by_own.or_else(|| tools.iter().find(|tool| tool.name == *name)).map(|tool| tool.tool.clone());
        own.push(found.ok_or_else(|| unknown(tools, name, server, slug))?);
    }
    Ok(own)
}

fn unknown(tools: &[InstalledTool], name: &str, server: &str, slug: &str) -> Error {
    let known = tools.iter().flat_map(|tool| [tool.tool.as_str(), tool.name.as_str()]);
    err::not_found(near::no_such(&format!("tool of {server}"), name, known))
        .with_hint(format!("aerostack mcp tools {server} --workspace {slug}"))
}

/// Decides about tools.
pub async fn set(
    actors: &Actors,
    by: &Principal,
    (slug, server): (&str, &str),
    input: UpdateTools,
) -> Result<Page<InstalledTool>> {
    by.require(Role::Admin)?;
    let (workspace, server, _) = installations::find(actors, by, slug, server).await?;
    if input.tools.is_empty() || input.tools.len() > AT_ONCE {
        return Err(err::validation(format!("Name 1 to {AT_ONCE} tools")));
    }
    let known = |actors: &Actors| {
        let one = installed(actors, &workspace.slug, server.id);
        one.map(|one| all(actors, &workspace.slug, &one)).unwrap_or_default()
    };
    let tools = own_names(&known(actors), &input.tools, &server.slug, slug)?;
    let change = SetTools {
        workspace: workspace.id,
        server: server.id,
        tools: tools.clone(),
        enabled: input.enabled,
        alias: input.alias.map(|alias| Some(alias).filter(|alias| !alias.is_empty())),
        by: by.clone(),
    };
    actors.catalog.apply(change).await?;
    let data = known(actors).into_iter().filter(|tool| tools.contains(&tool.tool)).collect();
    Ok(Page { data, next_cursor: None })
}

/// Change an installed server: on or off, prefix, pins
#[utoipa::path(patch, path = "/api/v1/admin/workspaces/{slug}/servers/{server}", tag = "installations",
    params(("slug" = String, Path), ("server" = String, Path), IfMatch), request_body = UpdateInstallation,
    responses((status = 200, body = Installation), Problems))]
pub async fn update_route(
    admin: web::Data<Admin>,
    by: Caller,
    path: Path<(String, String)>,
    _: Query<Nothing>,
    seen: IfMatch,
    body: Json<UpdateInstallation>,
) -> Reply {
    let by = installations::held(&admin.actors, &by.0, (&path.0, &path.1), &seen).await?;
    Ok(HttpResponse::Ok().json(update(&admin.actors, &by, (&path.0, &path.1), body.0).await?))
}

/// List an installed server's tools, offered or not
#[utoipa::path(get, path = "/api/v1/admin/workspaces/{slug}/servers/{server}/tools", tag = "installations",
    params(("slug" = String, Path), ("server" = String, Path), Paging),
    responses((status = 200, body = Page<InstalledTool>), Problems))]
pub async fn list_route(
    admin: web::Data<Admin>,
    by: Caller,
    path: Path<(String, String)>,
    paging: Query<Paging>,
) -> Reply {
    Ok(HttpResponse::Ok().json(list(&admin.actors, &by.0, (&path.0, &path.1), &paging.0).await?))
}

/// Switch tools on or off, or give one another name
#[utoipa::path(patch, path = "/api/v1/admin/workspaces/{slug}/servers/{server}/tools", tag = "installations",
    params(("slug" = String, Path), ("server" = String, Path)), request_body = UpdateTools,
    responses((status = 200, description = "The tools that were named", body = Page<InstalledTool>), Problems))]
pub async fn set_route(
    admin: web::Data<Admin>,
    by: Caller,
    path: Path<(String, String)>,
    _: Query<Nothing>,
    body: Json<UpdateTools>,
) -> Reply {
    Ok(HttpResponse::Ok().json(set(&admin.actors, &by.0, (&path.0, &path.1), body.0).await?))
}
