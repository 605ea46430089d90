//! Publishing skills: versions, who may see them, withdrawing and removing.

use actix_web::{
    HttpResponse,
    http::header,
    web::{self, Path},
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::{
    actors::{
        Actors,
        workspace_catalog::{ChangeSkill, ChangeVersion as Withdraw, PublishVersion},
    },
    admin::{
        Admin, BASE,
        auth::Caller,
        dto::{ChangeVersion, PublishSkill, Published, Skill, SkillDetail},
        openapi::Problems,
        references::{self, Found},
        reply::Reply,
        request::{IfMatch, Json, Nothing, Query},
        skills, whoami,
    },
    domain::{
        definition::canonical,
        near,
        role::{Principal, Role},
        server::ServerSpec,
        skill::{self as rules, Reference},
        skill_manifest::{Instead, Manifest},
    },
    error::{ErrorCode, Result, err},
    protocol::scan::{self, ScanLimits},
    store::{servers, workspaces},
    upstream::{lists::Kind, skill::offer},
};

/// Publishes a version in the caller's namespace. The same again changes nothing but, if it is said, who may see it.
pub async fn publish(actors: &Actors, by: &Principal, input: PublishSkill) -> Result<Published> {
    by.require(Role::Admin)?;
    let owner = whoami::namespace(actors, by).await?.username;
    check_sizes(actors, &input)?;
    let instead = Instead { name: input.name.as_deref(), worker_url: input.worker_url.as_deref() };
    let manifest = Manifest::read(input.manifest.get(), &instead)?;
    let content = [canonical(&manifest.text).as_bytes(), b"\0", input.document.as_bytes()].concat();
    let hash: [u8; 32] = Sha256::digest(content).into();
    let wanted = Reference { namespace: None, name: manifest.name.to_string(), version: None };
    match references::skill(actors, by, &wanted).await {
        Ok(known) => {
            let versions = skills::versions(actors, &known.skill).await?;
            if versions.iter().any(|one| one.version == manifest.version && one.hash == hash) {
                return republish(actors, by, known, &manifest, &input).await;
            }
        }
        Err(error) if error.code() == ErrorCode::NotFound => {}
        Err(error) => return Err(error),
    }
    let (name, version, text) = (manifest.name.clone(), manifest.version.clone(), manifest.text.clone());
    let (category, tags) = (manifest.category.clone(), manifest.tags.clone());
    let skill = manifest.skill(&owner, input.document);
    if let Some(worker) = &skill.worker {
        let judged = actors.upstreams.policy().parse_url(worker.as_str());
        judged.map_err(|refusal| refusal.into_validation())?;
    }
    check_offer(&skill)?;
    let change = PublishVersion {
        namespace: by.namespace,
        name,
        spec: ServerSpec::for_skill(skill),
        version: version.clone(),
        manifest: text,
        hash,
        visibility: input.visibility,
        category,
        tags,
        limits: actors.config.skills.clone(),
        by: by.clone(),
    };
    let record = actors.catalog.apply(change).await?;
    let known = references::skill(actors, by, &Reference { name: record.slug.to_string(), ..wanted }).await?;
    let visibility = known.skill.about.visibility;
    Ok(Published { skill: known.skill.reference(), version: version.to_string(), visibility, created: true })
}

fn check_sizes(actors: &Actors, input: &PublishSkill) -> Result<()> {
    let limits = &actors.config.skills;
    if input.manifest.get().len() > limits.manifest_bytes {
        return Err(err::validation(format!("aerostack.json has more than {} bytes", limits.manifest_bytes)));
    }
    if input.document.trim().is_empty() || input.document.len() > limits.document_bytes {
        return Err(err::validation(format!("SKILL.md must have 1 to {} bytes", limits.document_bytes)));
    }
    Ok(())
}

/// What would not be offered is not published.
fn check_offer(skill: &rules::Skill) -> Result<()> {
    if let Err(cause) = scan::scan(skill.tool_json().as_bytes(), ScanLimits::default()) {
        return Err(err::validation(format!("aerostack.json: tool.input_schema is {cause}")));
    }
    let offered = offer(skill);
    match offered.dropped().into_iter().next() {
        Some(dropped) => Err(err::validation(format!("The tool cannot be offered: {}", dropped.reason))),
        None if offered.tools().len() == 1 && offered.list(Kind::Resources).items.len() == 1 => Ok(()),
        None => Err(err::validation("A skill is exactly one tool")),
    }
}

async fn republish(
    actors: &Actors,
    by: &Principal,
    known: Found,
    manifest: &Manifest,
    input: &PublishSkill,
) -> Result<Published> {
    let before = known.skill.about.visibility;
    let visibility = input.visibility.unwrap_or(before);
    if visibility != before {
        let server = known.skill.about.server;
        actors.catalog.apply(ChangeSkill { server, visibility, by: by.clone() }).await?;
    }
    let version = manifest.version.to_string();
    Ok(Published { skill: known.skill.reference(), version, visibility, created: false })
}

/// A skill that the caller may change: one of the namespace that is acted in.
async fn own(actors: &Actors, by: &Principal, (namespace, name): (&str, &str)) -> Result<Found> {
    by.require(Role::Admin)?;
    let wanted = Reference { namespace: Some(namespace.to_owned()), name: name.to_owned(), version: None };
    let found = references::skill(actors, by, &wanted).await?;
    if found.skill.namespace == by.namespace {
        return Ok(found);
    }
    Err(err::forbidden(format!("{} belongs to @{}", found.skill.reference(), near::shown(namespace))))
}

/// Withdraws a version, or takes that back.
pub async fn change_version(
    actors: &Actors,
    by: &Principal,
    (namespace, name, version): (&str, &str, &str),
    input: &ChangeVersion,
) -> Result<SkillDetail> {
    own(actors, by, (namespace, name)).await?;
    let (skill, found) = skills::version(actors, by, (namespace, name, version)).await?;
    let change = Withdraw {
        server: skill.about.server,
        revision: found.revision,
        version: found.version.to_string(),
        yanked: input.yanked,
        by: by.clone(),
    };
    actors.catalog.apply(change).await?;
    skills::get(actors, by, (namespace, name)).await
}

/// Removes a skill with all its versions and secrets. Refused while it is installed somewhere.
pub async fn remove(actors: &Actors, by: &Principal, (namespace, name): (&str, &str)) -> Result<Skill> {
    let found = own(actors, by, (namespace, name)).await?;
    let server = found.skill.about.server;
    let places = actors
        .store
        .read(move |db| async move {
            let mut places = Vec::new();
            for id in servers::workspaces_with(&db, server).await? {
                places.extend(workspaces::get(&db, id).await?);
            }
            Ok(places)
        })
        .await?;
    let reference = found.skill.reference();
    if let Some(first) = places.iter().find(|place| place.namespace == by.namespace) {
        return Err(err::conflict(format!("{reference} is installed in {}", first.slug))
            .with_hint(format!("aerostack skill uninstall {reference} --workspace {}", first.slug)));
    }
    if !places.is_empty() {
        return Err(err::conflict(format!("{reference} is installed in {} workspace(s) of others", places.len()))
            .with_hint(format!("withdraw its versions instead: aerostack skill remove {reference}@VERSION")));
    }
    actors.remove_server(server, by.clone()).await?;
    Ok(skills::dto(found.skill))
}

/// Who acts, held to what they have seen.
async fn held<T: Serialize>(
    actors: &Actors,
    by: &Principal,
    skill: (&str, &str),
    (seen, now): (&IfMatch, impl Future<Output = Result<T>>),
) -> Result<Principal> {
    let thing = async { Ok(("server", own(actors, by, skill).await?.skill.about.server.to_string())) };
    seen.hold(actors, by, Box::pin(thing), now).await
}

fn answer(published: Published) -> HttpResponse {
    if !published.created {
        return HttpResponse::Ok().json(published);
    }
    let place = published.skill.trim_start_matches('@');
    let location = format!("{BASE}/skills/{place}/versions/{}", published.version);
    HttpResponse::Created().insert_header((header::LOCATION, location)).json(published)
}

/// Publish a skill, or another version of it
#[utoipa::path(post, path = "/api/v1/admin/skills", tag = "skills", request_body = PublishSkill,
    responses((status = 201, description = "Published", body = Published),
    (status = 200, description = "The very same was published already", body = Published), Problems))]
pub async fn publish_route(admin: web::Data<Admin>, by: Caller, _: Query<Nothing>, body: Json<PublishSkill>) -> Reply {
    Ok(answer(publish(&admin.actors, &by.0, body.0).await?))
}

/// Publish another version of a skill
#[utoipa::path(post, path = "/api/v1/admin/skills/{namespace}/{name}/versions", tag = "skills",
    params(("namespace" = String, Path), ("name" = String, Path)), request_body = PublishSkill,
    responses((status = 201, description = "Published", body = Published),
    (status = 200, description = "The very same was published already", body = Published), Problems))]
pub async fn version_route(
    admin: web::Data<Admin>,
    by: Caller,
    path: Path<(String, String)>,
    _: Query<Nothing>,
    body: Json<PublishSkill>,
) -> Reply {
    own(&admin.actors, &by.0, (&path.0, &path.1)).await?;
    let input = PublishSkill { name: Some(path.1.clone()), ..body.0 };
    Ok(answer(publish(&admin.actors, &by.0, input).await?))
}

/// Withdraw a version of a skill, or take that back
#[utoipa::path(patch, path = "/api/v1/admin/skills/{namespace}/{name}/versions/{version}", tag = "skills",
    params(("namespace" = String, Path), ("name" = String, Path), ("version" = String, Path), IfMatch), request_body = ChangeVersion,
    responses((status = 200, body = SkillDetail), Problems))]
pub async fn change_version_route(
    admin: web::Data<Admin>,
    by: Caller,
    path: Path<(String, String, String)>,
    _: Query<Nothing>,
    seen: IfMatch,
    body: Json<ChangeVersion>,
) -> Reply {
    let (namespace, name, version) = &*path;
    let (actors, named) = (&admin.actors, (&**namespace, &**name, &**version));
    let now = Box::pin(skills::package(actors, &by.0, named));
    let by = held(actors, &by.0, (namespace, name), (&seen, now)).await?;
    Ok(HttpResponse::Ok().json(change_version(actors, &by, named, &body.0).await?))
}

/// Remove a skill with all its versions and secrets
#[utoipa::path(delete, path = "/api/v1/admin/skills/{namespace}/{name}", tag = "skills",
    params(("namespace" = String, Path), ("name" = String, Path), IfMatch),
    responses((status = 200, description = "What was removed", body = Skill), Problems))]
pub async fn remove_route(
    admin: web::Data<Admin>,
    by: Caller,
    path: Path<(String, String)>,
    _: Query<Nothing>,
    seen: IfMatch,
) -> Reply {
    let (actors, named) = (&admin.actors, (&*path.0, &*path.1));
    let now = Box::pin(skills::get(actors, &by.0, named));
    let by = held(actors, &by.0, named, (&seen, now)).await?;
    Ok(HttpResponse::Ok().json(remove(actors, &by, named).await?))
}
