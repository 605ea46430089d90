//! Workspaces: a gateway URL and what is installed under it.

use actix_web::{
    HttpResponse,
    http::header,
    web::{self, Path},
};
use sea_orm::DatabaseConnection;

use crate::{
    actors::{
        Actors,
        workspace_catalog::{CreateWorkspace as Create, RenameWorkspace as Rename},
    },
    admin::{
        Admin, BASE,
        auth::Caller,
        dto::{CreateWorkspace, Page, UpdateWorkspace, Workspace},
        openapi::Problems,
        reply::Reply,
        request::{IfMatch, Json, Nothing, Paging, Query, page},
    },
    domain::{
        clock, near,
        role::{Principal, Role},
        slug::{self, Slug},
        visible::is_invisible,
    },
    error::{Error, Result, err},
    store::{
        servers, tokens,
        workspaces::{self, WorkspaceRecord},
    },
};

/// Longest display name, characters.
const NAME_CHARS: usize = 100;

/// A workspace of the caller's namespace. One of another namespace looks like one that does not exist.
pub async fn find(actors: &Actors, by: &Principal, slug: &str) -> Result<WorkspaceRecord> {
    if slug::has_shape(slug) {
        let (wanted, namespace) = (slug.to_owned(), by.namespace);
        let found = actors.store.read(move |db| async move { workspaces::by_slug(&db, &wanted).await }).await?;
        if let Some(record) = found.filter(|record| record.namespace == namespace) {
            return Ok(record);
        }
    }
    Err(unknown(actors, by, slug).await)
}

async fn unknown(actors: &Actors, by: &Principal, slug: &str) -> Error {
    let namespace = by.namespace;
    let all =
        actors.store.read(move |db| async move { workspaces::list(&db, namespace).await }).await.unwrap_or_default();
    err::not_found(near::no_such("workspace", slug, all.iter().map(|record| &*record.slug)))
        .with_hint("aerostack workspace list")
}

/// The URL editors use.
pub fn gateway_url(actors: &Actors, slug: &str) -> String {
    format!("{}/ws/{slug}", actors.public_url.as_str().trim_end_matches('/'))
}

async fn describe(db: &DatabaseConnection, record: WorkspaceRecord) -> Result<(WorkspaceRecord, u64, u64)> {
    let installed = servers::installations(db, record.id).await?.len();
    let active = tokens::count_active(db, record.id, clock::now()).await?;
    Ok((record, u64::try_from(installed).unwrap_or(u64::MAX), active))
}

fn dto(actors: &Actors, (record, servers, active_tokens): (WorkspaceRecord, u64, u64)) -> Workspace {
    Workspace {
        id: record.id.to_string(),
        url: gateway_url(actors, &record.slug),
        slug: record.slug.to_string(),
        name: record.name,
        created_at: record.created_at,
        servers,
        active_tokens,
    }
}

/// All workspaces of the namespace, by slug.
pub async fn list(actors: &Actors, by: &Principal, paging: &Paging) -> Result<Page<Workspace>> {
    by.require(Role::Viewer)?;
    let namespace = by.namespace;
    let all = actors.store.read(move |db| async move { workspaces::list(&db, namespace).await }).await?;
    let Page { data, next_cursor } = page(all, paging, |record| record.slug.to_string())?;
    let described = actors
        .store
        .read(move |db| async move {
            let mut described = Vec::with_capacity(data.len());
            for record in data {
                described.push(describe(&db, record).await?);
            }
            Ok(described)
        })
        .await?;
    Ok(Page { data: described.into_iter().map(|one| dto(actors, one)).collect(), next_cursor })
}

/// One workspace.
pub async fn get(actors: &Actors, by: &Principal, slug: &str) -> Result<Workspace> {
    by.require(Role::Viewer)?;
    let record = find(actors, by, slug).await?;
    let described = actors.store.read(move |db| async move { describe(&db, record).await }).await?;
    Ok(dto(actors, described))
}

/// Makes a workspace.
pub async fn create(actors: &Actors, by: &Principal, input: CreateWorkspace) -> Result<Workspace> {
    by.require(Role::Admin)?;
    let slug = Slug::parse(&input.slug)?;
    let name = display_name(input.name, &slug)?;
    let record = actors.catalog.apply(Create { slug, name, by: by.clone() }).await?;
    Ok(dto(actors, (record, 0, 0)))
}

/// Gives a workspace another name. With another slug its URL changes at once: streams under the old one are cut, and it
/// looks like a workspace that never was.
pub async fn update(actors: &Actors, by: &Principal, slug: &str, input: UpdateWorkspace) -> Result<Workspace> {
    by.require(Role::Admin)?;
    let known = find(actors, by, slug).await?;
    let wanted = input.slug.as_deref().map(Slug::parse).transpose()?.filter(|wanted| *wanted != known.slug);
    let base = wanted.as_ref().unwrap_or(&known.slug);
    let name = match input.name {
        Some(name) => Some(display_name(Some(name), base)?),
        // A name that only repeated the slug goes on doing so.
        None => (known.name == *known.slug).then(|| base.to_string()),
    };
    if wanted.is_none() && name.is_none() {
        return get(actors, by, slug).await;
    }
    let rename = Rename { workspace: known.id, slug: wanted, name, by: by.clone() };
    let record = actors.rename_workspace(rename).await?;
    let described = actors.store.read(move |db| async move { describe(&db, record).await }).await?;
    Ok(dto(actors, described))
}

/// A name for people: given or the slug, visible, not too long.
pub fn display_name(given: Option<String>, slug: &Slug) -> Result<String> {
    let name =
        given.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| slug.to_string());
    if name.chars().count() > NAME_CHARS || name.chars().any(is_invisible) {
        return Err(err::validation(format!("A name has at most {NAME_CHARS} visible characters")));
    }
    Ok(name)
}

/// Deletes a workspace; its tokens are dead when this returns.
pub async fn delete(actors: &Actors, by: &Principal, slug: &str) -> Result<Workspace> {
    by.require(Role::Admin)?;
    let gone = get(actors, by, slug).await?;
    let record = find(actors, by, slug).await?;
    actors.delete_workspace(record.id, by.clone()).await?;
    Ok(gone)
}

async fn held(actors: &Actors, by: &Principal, slug: &str, seen: &IfMatch) -> Result<Principal> {
    let thing = async { Ok(("workspace", find(actors, by, slug).await?.id.to_string())) };
    seen.hold(actors, by, thing, get(actors, by, slug)).await
}

/// List workspaces
#[utoipa::path(get, path = "/api/v1/admin/workspaces", tag = "workspaces", params(Paging),
    responses((status = 200, body = Page<Workspace>), Problems))]
pub async fn list_route(admin: web::Data<Admin>, by: Caller, paging: Query<Paging>) -> Reply {
    Ok(HttpResponse::Ok().json(list(&admin.actors, &by.0, &paging.0).await?))
}

/// Make a workspace
#[utoipa::path(post, path = "/api/v1/admin/workspaces", tag = "workspaces", request_body = CreateWorkspace,
    responses((status = 201, body = Workspace), Problems))]
pub async fn create_route(
    admin: web::Data<Admin>,
    by: Caller,
    _: Query<Nothing>,
    body: Json<CreateWorkspace>,
) -> Reply {
    let made = create(&admin.actors, &by.0, body.0).await?;
    let location = format!("{BASE}/workspaces/{}", made.slug);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(made))
}

/// Show a workspace
#[utoipa::path(get, path = "/api/v1/admin/workspaces/{slug}", tag = "workspaces", params(("slug" = String, Path)),
    responses((status = 200, body = Workspace), Problems))]
pub async fn get_route(admin: web::Data<Admin>, by: Caller, slug: Path<String>, _: Query<Nothing>) -> Reply {
    Ok(HttpResponse::Ok().json(get(&admin.actors, &by.0, &slug).await?))
}

/// Rename a workspace; another slug is another gateway URL
#[utoipa::path(patch, path = "/api/v1/admin/workspaces/{slug}", tag = "workspaces", params(("slug" = String, Path), IfMatch),
    request_body = UpdateWorkspace, responses((status = 200, body = Workspace), Problems))]
pub async fn update_route(
    admin: web::Data<Admin>,
    by: Caller,
    slug: Path<String>,
    _: Query<Nothing>,
    seen: IfMatch,
    body: Json<UpdateWorkspace>,
) -> Reply {
    let by = held(&admin.actors, &by.0, &slug, &seen).await?;
    Ok(HttpResponse::Ok().json(update(&admin.actors, &by, &slug, body.0).await?))
}

/// Delete a workspace with its tokens and installations
#[utoipa::path(delete, path = "/api/v1/admin/workspaces/{slug}", tag = "workspaces", params(("slug" = String, Path), IfMatch),
    responses((status = 200, description = "What was deleted", body = Workspace), Problems))]
pub async fn delete_route(
    admin: web::Data<Admin>,
    by: Caller,
    slug: Path<String>,
    _: Query<Nothing>,
    seen: IfMatch,
) -> Reply {
    let by = held(&admin.actors, &by.0, &slug, &seen).await?;
    Ok(HttpResponse::Ok().json(delete(&admin.actors, &by, &slug).await?))
}
