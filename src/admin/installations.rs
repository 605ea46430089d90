//! MCP servers in a workspace: install, uninstall, list, and the tools that come of it.

use std::time::Duration;

use actix_web::{
    HttpResponse,
    http::header,
    web::{self, Path},
};

use crate::{
    actors::{
        Actors,
        catalog::Installed,
        catalog_policy::Hidden,
        workspace_catalog::{Install, Uninstall},
    },
    admin::{
        Admin, BASE,
        auth::Caller,
        discovery,
        dto::{AddServer, InstallServer, Installation, Installed as InstalledServer, Page, Tool},
        installed_tools, known,
        openapi::Problems,
        reply::Reply,
        request::{Json, Nothing, Paging, Query, page},
        servers, whoami, workspaces,
    },
    domain::{
        known_servers,
        role::{Principal, Role},
    },
    error::{ErrorCode, Result, err},
    store::{
        servers::{self as records, InstallationRecord, ServerRecord},
        workspaces::WorkspaceRecord,
    },
};

/// The server meant by `slug`, `ns/slug` or `@ns/slug`. Another namespace's is none of the caller's (design.md §7).
async fn reference(actors: &Actors, by: &Principal, text: &str) -> Result<String> {
    let Some((namespace, slug)) = text.trim_start_matches('@').split_once('/') else { return Ok(text.to_owned()) };
    let own = whoami::namespace(actors, by).await?.username;
    if namespace == own {
        Ok(slug.to_owned())
    } else {
        Err(err::forbidden(format!("You are not a member of @{namespace}")))
    }
}

/// The definition to install, made from the catalogue of known servers if need be.
async fn definition(actors: &Actors, by: &Principal, slug: &str) -> Result<(ServerRecord, bool)> {
    match servers::find(actors, by, slug).await {
        Err(error) if error.code() == ErrorCode::NotFound => {
            let known = known_servers::lookup(slug).ok_or(error)?;
            let input = AddServer { slug: slug.to_owned(), title: Some(known.title.clone()), ..AddServer::default() };
            servers::add(actors, by, input).await?;
            Ok((servers::find(actors, by, slug).await?, true))
        }
        found => Ok((found?, false)),
    }
}

/// A server in a workspace, as both are named.
pub async fn find(
    actors: &Actors,
    by: &Principal,
    slug: &str,
    server: &str,
) -> Result<(WorkspaceRecord, ServerRecord, InstallationRecord)> {
    let workspace = workspaces::find(actors, by, slug).await?;
    let server = servers::find(actors, by, &reference(actors, by, server).await?).await?;
    let (place, wanted) = (workspace.id, server.id);
    let installed = actors.store.read(move |db| async move { records::installations(&db, place).await }).await?;
    match installed.into_iter().find(|record| record.server == wanted) {
        Some(record) => Ok((workspace, server, record)),
        None => Err(err::not_found(format!("{} is not installed in {slug}", server.slug))
            .with_hint(format!("aerostack mcp list --workspace {slug}"))),
    }
}

/// An installation as it is shown.
pub fn dto(
    actors: &Actors,
    workspace: &WorkspaceRecord,
    record: InstallationRecord,
    server: &ServerRecord,
) -> Installation {
    let catalog = actors.catalog.load();
    let here =
        catalog.workspace(&workspace.slug).and_then(|view| view.installed.iter().find(|one| one.id == record.id));
    let number = |tools: usize| u64::try_from(tools).unwrap_or(u64::MAX);
    let waits = |hidden| matches!(hidden, Some(Hidden::New | Hidden::Changed));
    let waiting = here.map_or(0, |one| {
        one.tools().filter(|(item, print)| waits(one.policy.hidden_by_pin(&item.name, *print))).count()
    });
    let offers = |one: &&Installed| one.offer.is_some();
    let tools = here.filter(offers).map(|one| number(one.tools().filter(|tool| one.hidden(*tool).is_none()).count()));
    Installation {
        id: record.id.to_string(),
        server: server.slug.to_string(),
        title: server.title.clone(),
        prefix: record.exposed_prefix,
        enabled: record.enabled,
        pins: record.pin_mode,
        tools,
        waiting: number(waiting),
        url: servers::shown_place(&server.spec),
        created_at: record.created_at,
    }
}

/// What is installed, in order.
pub async fn list(actors: &Actors, by: &Principal, slug: &str, paging: &Paging) -> Result<Page<Installation>> {
    by.require(Role::Viewer)?;
    let workspace = workspaces::find(actors, by, slug).await?;
    let id = workspace.id;
    let all = actors
        .store
        .read(move |db| async move {
            let mut all = Vec::new();
            for record in records::installations(&db, id).await? {
                if let Some(server) = records::get(&db, record.server).await? {
                    all.push((record, server));
                }
            }
            Ok(all)
        })
        .await?;
    let Page { data, next_cursor } = page(all, paging, |(record, _)| format!("{:010}/{}", record.position, record.id))?;
    Ok(Page {
        data: data.into_iter().map(|(record, server)| dto(actors, &workspace, record, &server)).collect(),
        next_cursor,
    })
}

/// Installs a server; every token of the workspace has its tools at once.
pub async fn install(actors: &Actors, by: &Principal, slug: &str, input: InstallServer) -> Result<InstalledServer> {
    by.require(Role::Admin)?;
    let workspace = workspaces::find(actors, by, slug).await?;
    let wanted = reference(actors, by, &input.server).await?;
    let (server, defined) = definition(actors, by, &wanted).await?;
    let change = Install { workspace: workspace.id, server: server.id, prefix: input.prefix, by: by.clone() };
    let record = actors.catalog.apply(change).await?;
    discovery::discover(actors, &workspace.slug, Duration::from_secs(actors.config.upstream.list_wait_seconds)).await;
    let set = actors.vault.list(server.id, Some(workspace.id), &server.spec.origin()).await?;
    let missing = known::needed_secrets(&server).filter(|name| !set.iter().any(|info| info.name == *name));
    let missing_secrets = missing.map(str::to_owned).collect();
    let long_names = installed_tools::long_names(actors, &workspace.slug, &server.slug);
    let installation = dto(actors, &workspace, record, &server);
    Ok(InstalledServer { installation, defined, missing_secrets, long_names })
}

/// Takes a server out of a workspace.
pub async fn uninstall(actors: &Actors, by: &Principal, slug: &str, server: &str) -> Result<Installation> {
    by.require(Role::Admin)?;
    let (workspace, server, record) = find(actors, by, slug, server).await?;
    let gone = dto(actors, &workspace, record, &server);
    actors.catalog.apply(Uninstall { workspace: workspace.id, server: server.id, by: by.clone() }).await?;
    Ok(gone)
}

/// The tools that a token of the workspace sees.
pub async fn tools(actors: &Actors, by: &Principal, slug: &str) -> Result<Page<Tool>> {
    by.require(Role::Viewer)?;
    let workspace = workspaces::find(actors, by, slug).await?;
    discovery::discover(actors, &workspace.slug, Duration::from_secs(actors.config.upstream.discovery_timeout_seconds))
        .await;
    let catalog = actors.catalog.load();
    let Some(view) = catalog.workspace(&workspace.slug) else {
        return Ok(Page { data: Vec::new(), next_cursor: None });
    };
    let data = view.tools.entries().iter().map(|entry| &entry.route).map(|route| Tool {
        name: route.exposed.to_string(),
        upstream_name: route.upstream_name.to_string(),
        server: route.def.slug.to_string(),
        description: discovery::description(view, route),
    });
    Ok(Page { data: data.collect(), next_cursor: None })
}

/// List installed servers
#[utoipa::path(get, path = "/api/v1/admin/workspaces/{slug}/servers", tag = "installations",
    params(("slug" = String, Path), Paging), responses((status = 200, body = Page<Installation>), Problems))]
pub async fn list_route(admin: web::Data<Admin>, by: Caller, slug: Path<String>, paging: Query<Paging>) -> Reply {
    Ok(HttpResponse::Ok().json(list(&admin.actors, &by.0, &slug, &paging.0).await?))
}

/// Install a server
#[utoipa::path(post, path = "/api/v1/admin/workspaces/{slug}/servers", tag = "installations", params(("slug" = String, Path)),
    request_body = InstallServer, responses((status = 201, body = InstalledServer), Problems))]
pub async fn install_route(
    admin: web::Data<Admin>,
    by: Caller,
    slug: Path<String>,
    _: Query<Nothing>,
    body: Json<InstallServer>,
) -> Reply {
    let made = install(&admin.actors, &by.0, &slug, body.0).await?;
    let location = format!("{BASE}/workspaces/{slug}/servers/{}", made.installation.server);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(made))
}

/// Uninstall a server
#[utoipa::path(delete, path = "/api/v1/admin/workspaces/{slug}/servers/{server}", tag = "installations",
    params(("slug" = String, Path), ("server" = String, Path)),
    responses((status = 200, description = "What was uninstalled", body = Installation), Problems))]
pub async fn uninstall_route(
    admin: web::Data<Admin>,
    by: Caller,
    path: Path<(String, String)>,
    _: Query<Nothing>,
) -> Reply {
    Ok(HttpResponse::Ok().json(uninstall(&admin.actors, &by.0, &path.0, &path.1).await?))
}

/// List the tools that a token of the workspace sees
#[utoipa::path(get, path = "/api/v1/admin/workspaces/{slug}/tools", tag = "installations", params(("slug" = String, Path)),
    responses((status = 200, body = Page<Tool>), Problems))]
pub async fn tools_route(admin: web::Data<Admin>, by: Caller, slug: Path<String>, _: Query<Nothing>) -> Reply {
    Ok(HttpResponse::Ok().json(tools(&admin.actors, &by.0, &slug).await?))
}
