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
        workspace_catalog::{Install, SkillVersion, Uninstall, UpgradeSkill},
    },
    admin::{
        Admin, BASE,
        auth::Caller,
        conventions::tagged,
        discovery,
        dto::{AddServer, InstallOutcome, InstallServer, Installation, Installed as InstalledServer, Page, Tool},
        installed_tools, known,
        openapi::Problems,
        references::{self, Found, Target},
        reply::Reply,
        request::{IfMatch, Json, Nothing, Paging, Query, page},
        servers, skills, workspaces,
    },
    domain::{
        ids::WorkspaceId,
        known_servers,
        role::{Principal, Role},
        skill::{Reference, Skill, Wanted},
    },
    error::{ErrorCode, Result, err},
    store::{
        servers::{self as records, InstallationRecord, ServerRecord},
        workspaces::WorkspaceRecord,
    },
};

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

/// A server in a workspace, as both are named: the one that is installed there, whoever's it is.
pub async fn find(
    actors: &Actors,
    by: &Principal,
    slug: &str,
    server: &str,
) -> Result<(WorkspaceRecord, ServerRecord, InstallationRecord)> {
    let workspace = workspaces::find(actors, by, slug).await?;
    let wanted: Reference = server.parse()?;
    let namespace = references::limited_to(actors, by, &wanted).await?.map(|account| account.id);
    let mut there = all(actors, workspace.id).await?;
    there.retain(|(_, server)| *server.slug == *wanted.name && namespace.is_none_or(|id| id == server.namespace));
    // Of two with the same name one's own.
    let at = there.iter().position(|(_, server)| server.namespace == by.namespace).unwrap_or(0);
    if at < there.len() {
        let (record, server) = there.swap_remove(at);
        return Ok((workspace, server, record));
    }
    let known = match references::target(actors, by, &wanted).await? {
        Target::Skill(found) => found.skill.reference(),
        Target::Server => servers::find(actors, by, &wanted.name).await?.slug.to_string(),
    };
    Err(err::not_found(format!("{known} is not installed in {slug}"))
        .with_hint(format!("aerostack mcp list --workspace {slug}")))
}

/// What is installed in a workspace, skills in their installed version.
async fn all(actors: &Actors, workspace: WorkspaceId) -> Result<Vec<(InstallationRecord, ServerRecord)>> {
    actors
        .store
        .read(move |db| async move {
            let mut all = Vec::new();
            for record in records::installations(&db, workspace).await? {
                let Some(mut server) = records::get(&db, record.server).await? else { continue };
                if server.spec.skill().is_some()
                    && let Some(installed) = records::revision(&db, server.id, record.revision).await?
                {
                    server.spec = installed;
                }
                all.push((record, server));
            }
            Ok(all)
        })
        .await
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
        skill: server.spec.skill().map(Skill::reference),
        version: server.spec.skill().map(|skill| skill.version.clone()),
        created_at: record.created_at,
    }
}

/// What is installed, in order.
pub async fn list(actors: &Actors, by: &Principal, slug: &str, paging: &Paging) -> Result<Page<Installation>> {
    by.require(Role::Viewer)?;
    let workspace = workspaces::find(actors, by, slug).await?;
    let all = all(actors, workspace.id).await?;
    let Page { data, next_cursor } = page(all, paging, |(record, _)| format!("{:010}/{}", record.position, record.id))?;
    Ok(Page {
        data: data.into_iter().map(|(record, server)| dto(actors, &workspace, record, &server)).collect(),
        next_cursor,
    })
}

/// One installation.
pub async fn get(actors: &Actors, by: &Principal, slug: &str, server: &str) -> Result<Installation> {
    by.require(Role::Viewer)?;
    let (workspace, server, record) = find(actors, by, slug, server).await?;
    Ok(dto(actors, &workspace, record, &server))
}

/// An installation without how many tools its server lists just now.
fn lasting(installation: &Installation) -> Installation {
    Installation { tools: None, ..installation.clone() }
}

/// Who acts, held to what they have seen of an installation.
pub async fn held(actors: &Actors, by: &Principal, (slug, server): (&str, &str), seen: &IfMatch) -> Result<Principal> {
    let thing = async { Ok(("installation", find(actors, by, slug, server).await?.2.id.to_string())) };
    seen.hold(actors, by, thing, async { Ok(lasting(&get(actors, by, slug, server).await?)) }).await
}

/// Installs a server or a skill; every token of the workspace has its tools at once.
pub async fn install(actors: &Actors, by: &Principal, slug: &str, input: InstallServer) -> Result<InstalledServer> {
    by.require(Role::Member)?;
    let workspace = workspaces::find(actors, by, slug).await?;
    let wanted: Reference = input.server.parse()?;
    if let Target::Skill(found) = references::target(actors, by, &wanted).await? {
        return install_skill(actors, by, &workspace, *found, (wanted.version.as_ref(), input)).await;
    }
    by.require(Role::Admin)?;
    let (server, defined) = definition(actors, by, &wanted.name).await?;
    let (workspace_id, prefix) = (workspace.id, input.prefix);
    let change = Install { workspace: workspace_id, server: server.id, prefix, skill: None, by: by.clone() };
    let record = actors.catalog.apply(change).await?;
    discovery::discover(actors, &workspace.slug, Duration::from_secs(actors.config.upstream.list_wait_seconds)).await;
    let made = described(actors, &workspace, record, &server).await?;
    Ok(InstalledServer { defined, ..made })
}

/// An installation with what it still needs.
async fn described(
    actors: &Actors,
    workspace: &WorkspaceRecord,
    record: InstallationRecord,
    server: &ServerRecord,
) -> Result<InstalledServer> {
    let set = actors.vault.list(server.id, Some(workspace.id), &server.spec.origin()).await?;
    let mut missing_secrets = known::needed_secrets(server);
    missing_secrets.retain(|name| !set.iter().any(|info| info.name == *name));
    Ok(InstalledServer {
        installation: dto(actors, workspace, record, server),
        outcome: InstallOutcome::Installed,
        visibility: None,
        newer: None,
        defined: false,
        missing_secrets,
        long_names: installed_tools::long_names(actors, &workspace.slug, server.id),
    })
}

/// Installs a version of a skill, or leaves the installed one unless another one was asked for.
async fn install_skill(
    actors: &Actors,
    by: &Principal,
    workspace: &WorkspaceRecord,
    found: Found,
    (wanted, input): (Option<&Wanted>, InstallServer),
) -> Result<InstalledServer> {
    let Found { skill, mut server } = found;
    let versions = skills::versions(actors, &skill).await?;
    let there = all(actors, workspace.id).await?.into_iter().find(|(_, other)| other.id == server.id);
    let installed = there.as_ref().and_then(|(record, _)| versions.iter().find(|one| one.revision == record.revision));
    let stays = installed.filter(|one| !input.upgrade && wanted.is_none_or(|wanted| wanted.matches(&one.version)));
    let version = match stays {
        Some(version) => version.clone(),
        None => skills::pick(&skill, &versions, wanted)?,
    };
    server.spec = skills::spec(actors, &version).await?;
    let (to, id) = (SkillVersion { revision: version.revision, spec: server.spec.clone() }, workspace.id);
    let by = by.clone();
    let (outcome, record) = match there {
        Some((record, _)) if record.revision == version.revision => (InstallOutcome::Unchanged, record),
        Some(_) => {
            let upgrade = UpgradeSkill { workspace: id, server: server.id, to, by };
            (InstallOutcome::Upgraded, actors.catalog.apply(upgrade).await?)
        }
        None => {
            let install = Install { workspace: id, server: server.id, prefix: input.prefix, skill: Some(to), by };
            (InstallOutcome::Installed, actors.catalog.apply(install).await?)
        }
    };
    let newer = skill.newest.as_ref().filter(|newest| **newest > version.version).map(ToString::to_string);
    let made = described(actors, workspace, record, &server).await?;
    Ok(InstalledServer { outcome, visibility: Some(skill.about.visibility), newer, ..made })
}

/// Takes a server out of a workspace. A member takes out the skills that they installed.
pub async fn uninstall(actors: &Actors, by: &Principal, slug: &str, server: &str) -> Result<Installation> {
    by.require(Role::Member)?;
    let (workspace, server, record) = find(actors, by, slug, server).await?;
    if server.spec.skill().is_none() || record.created_by != by.account {
        by.require(Role::Admin)?;
    }
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

/// Install a server or a skill
#[utoipa::path(post, path = "/api/v1/admin/workspaces/{slug}/servers", tag = "installations", params(("slug" = String, Path)),
    request_body = InstallServer, responses((status = 201, description = "Installed", body = InstalledServer),
    (status = 200, description = "The skill was installed already", body = InstalledServer), Problems))]
pub async fn install_route(
    admin: web::Data<Admin>,
    by: Caller,
    slug: Path<String>,
    _: Query<Nothing>,
    body: Json<InstallServer>,
) -> Reply {
    let made = install(&admin.actors, &by.0, &slug, body.0).await?;
    if made.outcome != InstallOutcome::Installed {
        return Ok(HttpResponse::Ok().json(made));
    }
    let location = format!("{BASE}/workspaces/{slug}/servers/{}", made.installation.server);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(made))
}

/// Show an installed server
#[utoipa::path(get, path = "/api/v1/admin/workspaces/{slug}/servers/{server}", tag = "installations",
    params(("slug" = String, Path), ("server" = String, Path)), responses((status = 200, body = Installation), Problems))]
pub async fn get_route(admin: web::Data<Admin>, by: Caller, path: Path<(String, String)>, _: Query<Nothing>) -> Reply {
    let shown = get(&admin.actors, &by.0, &path.0, &path.1).await?;
    Ok(tagged(&shown, &lasting(&shown)))
}

/// Uninstall a server
#[utoipa::path(delete, path = "/api/v1/admin/workspaces/{slug}/servers/{server}", tag = "installations",
    params(("slug" = String, Path), ("server" = String, Path), IfMatch),
    responses((status = 200, description = "What was uninstalled", body = Installation), Problems))]
pub async fn uninstall_route(
    admin: web::Data<Admin>,
    by: Caller,
    path: Path<(String, String)>,
    _: Query<Nothing>,
    seen: IfMatch,
) -> Reply {
    let by = held(&admin.actors, &by.0, (&path.0, &path.1), &seen).await?;
    Ok(HttpResponse::Ok().json(uninstall(&admin.actors, &by, &path.0, &path.1).await?))
}

/// List the tools that a token of the workspace sees
#[utoipa::path(get, path = "/api/v1/admin/workspaces/{slug}/tools", tag = "installations", params(("slug" = String, Path)),
    responses((status = 200, body = Page<Tool>), Problems))]
pub async fn tools_route(admin: web::Data<Admin>, by: Caller, slug: Path<String>, _: Query<Nothing>) -> Reply {
    Ok(HttpResponse::Ok().json(tools(&admin.actors, &by.0, &slug).await?))
}
