//! Secrets of MCP servers. Values come in and go to the vault; there is no code here that could answer one.

use std::sync::Arc;

use actix_web::{
    HttpResponse,
    web::{self, Path},
};
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    actors::{
        Actors,
        secret_vault::{NameSecret, NameServer, PutSecret, SecretInfo, SetInjection},
    },
    admin::{
        Admin,
        auth::Caller,
        discovery,
        dto::{InjectionRule, Page, Secret, SecretWritten, SecretsDeleted, SetSecret},
        known,
        openapi::Problems,
        references,
        reply::Reply,
        request::{IfMatch, Json, Query},
        workspaces,
    },
    domain::{
        ids::WorkspaceId,
        injection::{self, Injection},
        near,
        role::{Principal, Role},
    },
    error::{Result, err},
    store::servers::ServerRecord,
};

/// Whose value is meant.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Scope {
    /// Only this workspace's override; left out: the value for every workspace.
    pub workspace: Option<String>,
}

/// A server and, if one is named, the workspace whose override is meant.
struct Place {
    server: ServerRecord,
    workspace: Option<WorkspaceId>,
}

async fn place(actors: &Actors, by: &Principal, slug: &str, scope: &Scope) -> Result<Place> {
    by.require(Role::Admin)?;
    let workspace = match &scope.workspace {
        Some(slug) => Some(workspaces::find(actors, by, slug).await?.id),
        None => None,
    };
    let server = references::server(actors, by, slug, workspace).await?;
    Ok(Place { server, workspace })
}

impl Place {
    fn named(&self, name: &str, by: &Principal) -> NameSecret {
        NameSecret {
            namespace: self.server.namespace,
            server: self.server.id,
            workspace: self.workspace,
            name: name.to_owned(),
            by: by.clone(),
        }
    }
    async fn infos(&self, actors: &Actors, by: &Principal) -> Result<Vec<SecretInfo>> {
        secrets_of(actors, by, &self.server, self.workspace).await
    }
}

/// A server's secrets that are the caller's business; with a workspace, as that one uses them. Of a skill that others
/// install too, what they set for their workspaces is theirs, and what its publisher set is the publisher's.
pub async fn secrets_of(
    actors: &Actors,
    by: &Principal,
    server: &ServerRecord,
    workspace: Option<WorkspaceId>,
) -> Result<Vec<SecretInfo>> {
    let mut infos = actors.vault.list(server.id, workspace, &server.spec.origin()).await?;
    let catalog = actors.catalog.load();
    let owner = |id| catalog.workspace_by_id(id).map(|view| view.namespace);
    infos.retain(|info| match info.workspace {
        Some(id) => owner(id) == Some(by.namespace),
        None => server.namespace == by.namespace,
    });
    Ok(infos)
}

fn rule_of(dto: InjectionRule) -> Result<Injection> {
    match dto {
        InjectionRule::Header { header } => Injection::header(&header),
        InjectionRule::Bearer {} => Ok(Injection::Bearer),
        InjectionRule::Env { name } => Injection::variable(&name),
    }
}

/// The rule as the API shows it; a secret without one is sent under its own name.
pub fn rule_dto(at: injection::Place, rule: Option<&Injection>, name: &str) -> InjectionRule {
    match rule {
        Some(Injection::Env(name)) => InjectionRule::Env { name: name.clone() },
        None if at == injection::Place::Environment => InjectionRule::Env { name: name.to_owned() },
        Some(Injection::Bearer) => InjectionRule::Bearer {},
        Some(Injection::Header(header)) => InjectionRule::Header { header: header.clone() },
        None => InjectionRule::Header { header: name.to_owned() },
    }
}

fn dto(actors: &Actors, server: &ServerRecord, info: SecretInfo) -> Secret {
    let at = injection::Place::of(&server.spec.origin());
    let slug_of = |id: WorkspaceId| actors.catalog.load().workspace_by_id(id).map(|view| view.slug.to_string());
    Secret {
        injection: rule_dto(at, info.injection.as_ref(), &info.name),
        injected_as: injection::label(info.injection.as_ref(), &info.name).to_owned(),
        state: info.state.as_str().to_owned(),
        workspace: info.workspace.map(|id| slug_of(id).unwrap_or_else(|| id.to_string())),
        name: info.name,
        updated_at: info.updated_at,
        updated_by: info.updated_by,
    }
}

/// Names, rules and dates.
pub async fn list(actors: &Actors, by: &Principal, slug: &str, scope: &Scope) -> Result<Page<Secret>> {
    let place = place(actors, by, slug, scope).await?;
    let data = place.infos(actors, by).await?.into_iter().map(|info| dto(actors, &place.server, info)).collect();
    Ok(Page { data, next_cursor: None })
}

/// One of them.
pub async fn get(actors: &Actors, by: &Principal, slug: &str, name: &str, scope: &Scope) -> Result<Secret> {
    let place = place(actors, by, slug, scope).await?;
    let infos = place.infos(actors, by).await?;
    let known: Vec<String> = infos.iter().map(|info| info.name.clone()).collect();
    let info = infos.into_iter().find(|info| info.name == name && info.workspace == place.workspace);
    info.map(|info| dto(actors, &place.server, info)).ok_or_else(|| {
        let slug = &place.server.slug;
        err::not_found(near::no_such("secret", name, known.iter().map(String::as_str)))
            .with_hint(format!("aerostack secrets list {slug}   or set it: aerostack secrets set {slug} NAME"))
    })
}

/// Sets a secret, new or again; the next call uses it.
pub async fn set(
    actors: &Arc<Actors>,
    by: &Principal,
    slug: &str,
    scope: &Scope,
    input: SetSecret,
) -> Result<SecretWritten> {
    let value = SecretString::from(input.value);
    let place = place(actors, by, slug, scope).await?;
    let spec = &place.server.spec;
    if spec.skill().is_some_and(|skill| skill.worker.is_none()) {
        return Err(err::validation(format!("{slug} is a document: it has no worker that a secret could go to")));
    }
    if actors.upstreams.policy().is_exposed(spec) {
        return Err(err::validation(format!(
            "{slug} is reached over http: the secret would cross the network in clear"
        ))
        .with_hint("use an https URL, or add the server again with --allow-http if the network is yours"));
    }
    let wanted = match input.injection {
        Some(rule) => Some(rule_of(rule)?),
        None => known_rule(actors, by, &place, &input.name).await?,
    };
    let put = PutSecret {
        namespace: place.server.namespace,
        server: place.server.id,
        workspace: place.workspace,
        origin: spec.origin(),
        name: input.name.clone(),
        value,
        injection: wanted,
        by: by.clone(),
    };
    let created = actors.vault.put(put).await?;
    discovery::begin(actors, place.server.id);
    Ok(SecretWritten {
        server: place.server.slug.to_string(),
        name: input.name,
        workspace: scope.workspace.clone(),
        created,
    })
}

/// A new secret of a well-known server travels as that server expects it, so that setting it is enough.
async fn known_rule(actors: &Actors, by: &Principal, place: &Place, name: &str) -> Result<Option<Injection>> {
    let Some(rule) = known::rule(&place.server, name) else { return Ok(None) };
    let exists =
        place.infos(actors, by).await?.iter().any(|info| info.name == name && info.workspace == place.workspace);
    Ok(if exists { None } else { Some(rule) })
}

/// Changes how a secret is sent.
pub async fn inject(
    actors: &Actors,
    by: &Principal,
    slug: &str,
    name: &str,
    scope: &Scope,
    rule: InjectionRule,
) -> Result<Secret> {
    let injection = Some(rule_of(rule)?);
    get(actors, by, slug, name, scope).await?;
    let place = place(actors, by, slug, scope).await?;
    actors.vault.set_injection(SetInjection { secret: place.named(name, by), injection }).await?;
    get(actors, by, slug, name, scope).await
}

/// Deletes one secret.
pub async fn delete(actors: &Actors, by: &Principal, slug: &str, name: &str, scope: &Scope) -> Result<SecretsDeleted> {
    get(actors, by, slug, name, scope).await?;
    let place = place(actors, by, slug, scope).await?;
    actors.vault.delete(place.named(name, by)).await?;
    Ok(SecretsDeleted { deleted: 1 })
}

/// Deletes all secrets of a server, or all overrides of one workspace.
pub async fn delete_all(actors: &Actors, by: &Principal, slug: &str, scope: &Scope) -> Result<SecretsDeleted> {
    let place = place(actors, by, slug, scope).await?;
    if place.server.spec.skill().is_some() {
        let mut deleted = 0;
        for info in place.infos(actors, by).await? {
            if place.workspace.is_none() || info.workspace == place.workspace {
                let named = NameSecret { workspace: info.workspace, ..place.named(&info.name, by) };
                actors.vault.delete(named).await?;
                deleted += 1;
            }
        }
        return Ok(SecretsDeleted { deleted });
    }
    let all = NameServer {
        namespace: place.server.namespace,
        server: place.server.id,
        workspace: place.workspace,
        by: by.clone(),
    };
    Ok(SecretsDeleted { deleted: actors.vault.delete_all(all).await? })
}

/// List a server's secrets: names and rules, never values
#[utoipa::path(get, path = "/api/v1/admin/mcp-servers/{slug}/secrets", tag = "secrets", params(("slug" = String, Path), Scope),
    responses((status = 200, body = Page<Secret>), Problems))]
pub async fn list_route(admin: web::Data<Admin>, by: Caller, slug: Path<String>, scope: Query<Scope>) -> Reply {
    Ok(HttpResponse::Ok().json(list(&admin.actors, &by.0, &slug, &scope.0).await?))
}

/// Set a secret, new or again
#[utoipa::path(post, path = "/api/v1/admin/mcp-servers/{slug}/secrets", tag = "secrets", params(("slug" = String, Path), Scope),
    request_body = SetSecret, responses((status = 201, description = "New", body = SecretWritten),
    (status = 200, description = "Replaced", body = SecretWritten), Problems))]
pub async fn set_route(
    admin: web::Data<Admin>,
    by: Caller,
    slug: Path<String>,
    scope: Query<Scope>,
    body: Json<SetSecret>,
) -> Reply {
    let written = set(&admin.actors, &by.0, &slug, &scope.0, body.0).await?;
    let mut answer = if written.created { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(answer.json(written))
}

/// Show a secret: its name and rule, never its value
#[utoipa::path(get, path = "/api/v1/admin/mcp-servers/{slug}/secrets/{name}", tag = "secrets",
    params(("slug" = String, Path), ("name" = String, Path), Scope), responses((status = 200, body = Secret), Problems))]
pub async fn get_route(
    admin: web::Data<Admin>,
    by: Caller,
    path: Path<(String, String)>,
    scope: Query<Scope>,
) -> Reply {
    Ok(HttpResponse::Ok().json(get(&admin.actors, &by.0, &path.0, &path.1, &scope.0).await?))
}

async fn held(
    actors: &Actors,
    by: &Principal,
    (slug, name): (&str, &str),
    scope: &Scope,
    seen: &IfMatch,
) -> Result<Principal> {
    // The change log tells the secrets of one server together.
    let thing = async { Ok(("secret", place(actors, by, slug, scope).await?.server.id.to_string())) };
    seen.hold(actors, by, thing, get(actors, by, slug, name, scope)).await
}

/// Change how a secret is sent
#[utoipa::path(patch, path = "/api/v1/admin/mcp-servers/{slug}/secrets/{name}", tag = "secrets",
    params(("slug" = String, Path), ("name" = String, Path), Scope, IfMatch), request_body = InjectionRule,
    responses((status = 200, body = Secret), Problems))]
pub async fn inject_route(
    admin: web::Data<Admin>,
    by: Caller,
    path: Path<(String, String)>,
    scope: Query<Scope>,
    seen: IfMatch,
    body: Json<InjectionRule>,
) -> Reply {
    let by = held(&admin.actors, &by.0, (&path.0, &path.1), &scope.0, &seen).await?;
    Ok(HttpResponse::Ok().json(inject(&admin.actors, &by, &path.0, &path.1, &scope.0, body.0).await?))
}

/// Delete a secret
#[utoipa::path(delete, path = "/api/v1/admin/mcp-servers/{slug}/secrets/{name}", tag = "secrets",
    params(("slug" = String, Path), ("name" = String, Path), Scope, IfMatch), responses((status = 200, body = SecretsDeleted), Problems))]
pub async fn delete_route(
    admin: web::Data<Admin>,
    by: Caller,
    path: Path<(String, String)>,
    scope: Query<Scope>,
    seen: IfMatch,
) -> Reply {
    let by = held(&admin.actors, &by.0, (&path.0, &path.1), &scope.0, &seen).await?;
    Ok(HttpResponse::Ok().json(delete(&admin.actors, &by, &path.0, &path.1, &scope.0).await?))
}

/// Delete all secrets of a server
#[utoipa::path(delete, path = "/api/v1/admin/mcp-servers/{slug}/secrets", tag = "secrets", params(("slug" = String, Path), Scope),
    responses((status = 200, body = SecretsDeleted), Problems))]
pub async fn delete_all_route(admin: web::Data<Admin>, by: Caller, slug: Path<String>, scope: Query<Scope>) -> Reply {
    Ok(HttpResponse::Ok().json(delete_all(&admin.actors, &by.0, &slug, &scope.0).await?))
}
