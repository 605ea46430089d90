//! Skills: what there is, in which versions.

use actix_web::{
    HttpResponse,
    web::{self, Path},
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    actors::Actors,
    admin::{
        Admin,
        auth::Caller,
        dto::{Page, Skill, SkillDetail, SkillPackage, SkillVersion},
        openapi::Problems,
        references,
        reply::Reply,
        request::{Nothing, Paging, Query, page},
    },
    domain::{
        near,
        role::{Principal, Role},
        server::ServerSpec,
        skill::{self as rules, Reference, Wanted},
    },
    error::{Error, ErrorCode, Result, err},
    store::{
        accounts, api_keys, servers,
        skills::{self, Of, SkillRecord, VersionRecord},
    },
};

/// Which skills.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SkillQuery {
    /// `mine` (default): all of the namespaces one is a member of, `public`: everybody's public ones.
    pub scope: Option<String>,
    /// Only those with all of these words in name, description, category or tags.
    pub q: Option<String>,
    /// Items on a page: 50 unless given, at most 500.
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A skill as it is shown.
pub fn dto(record: SkillRecord) -> Skill {
    Skill {
        skill: record.reference(),
        namespace: record.owner,
        name: record.name,
        visibility: record.about.visibility,
        description: record.about.description,
        category: record.about.category,
        tags: record.about.tags,
        newest: record.newest.map(|version| version.to_string()),
        created_at: record.created_at,
        updated_at: record.updated_at,
    }
}

fn matches(record: &SkillRecord, words: &[String]) -> bool {
    let text = [&record.owner, "/", &record.name, " ", &record.about.description, " ", &record.about.category];
    let text = format!("{} {}", text.concat(), record.about.tags.join(" ")).to_lowercase();
    words.iter().all(|word| text.contains(word))
}

/// The skills of one's namespaces, or everybody's public ones, by name.
pub async fn list(actors: &Actors, by: &Principal, query: SkillQuery) -> Result<Page<Skill>> {
    by.require(Role::Viewer)?;
    let public = match query.scope.as_deref() {
        None | Some("mine") => false,
        Some("public") => true,
        Some(_) => {
            return Err(Error::new(ErrorCode::InvalidRequest, "No such scope").with_hint("mine or public"));
        }
    };
    let (who, acts_in, key) = (by.account, by.namespace, by.api_key);
    let mut all = actors
        .store
        .read(move |db| async move {
            let of = match public {
                true => Of::Public,
                false => {
                    let stays = api_keys::is_bound(&db, who, key).await?;
                    let mut mine: Vec<_> =
                        accounts::namespaces_of(&db, who).await?.into_iter().map(|(account, _)| account.id).collect();
                    mine.retain(|id| !stays || *id == acts_in);
                    if !mine.contains(&acts_in) {
                        mine.push(acts_in);
                    }
                    Of::Namespaces(mine)
                }
            };
            skills::list(&db, &of).await
        })
        .await?;
    let words: Vec<String> = query.q.unwrap_or_default().to_lowercase().split_whitespace().map(str::to_owned).collect();
    all.retain(|record| references::may_see(by, record) && matches(record, &words));
    // What nobody can install is of use to its namespace only.
    all.retain(|record| !public || record.newest.is_some());
    let paging = Paging { limit: query.limit, cursor: query.cursor };
    let Page { data, next_cursor } = page(all, &paging, SkillRecord::reference)?;
    Ok(Page { data: data.into_iter().map(dto).collect(), next_cursor })
}

/// A skill's versions, newest first.
pub async fn versions(actors: &Actors, skill: &SkillRecord) -> Result<Vec<VersionRecord>> {
    let server = skill.about.server;
    actors.store.read(move |db| async move { skills::versions(&db, server).await }).await
}

/// What a version runs.
pub async fn spec(actors: &Actors, version: &VersionRecord) -> Result<ServerSpec> {
    let (server, revision) = (version.server, version.revision);
    let found = actors.store.read(move |db| async move { servers::revision(&db, server, revision).await }).await?;
    found.ok_or_else(|| err::not_found("The version is gone"))
}

/// The version to install: the newest of the wanted ones that was not withdrawn.
pub fn pick(skill: &SkillRecord, versions: &[VersionRecord], wanted: Option<&Wanted>) -> Result<VersionRecord> {
    let offered = versions.iter().filter(|one| one.yanked_at.is_none());
    let newest = rules::newest(offered.map(|one| &one.version), wanted);
    if let Some(found) = newest.and_then(|newest| versions.iter().find(|one| one.version == *newest)) {
        return Ok(found.clone());
    }
    let reference = skill.reference();
    let see = format!("aerostack skill show {reference}");
    match wanted {
        Some(wanted) if versions.iter().any(|one| wanted.matches(&one.version)) => {
            Err(err::conflict(format!("Version {wanted} of {reference} was withdrawn")).with_hint(see))
        }
        Some(wanted) => Err(err::not_found(format!("{reference} has no version {wanted}")).with_hint(see)),
        None => Err(err::conflict(format!("Every version of {reference} was withdrawn")).with_hint(see)),
    }
}

fn named(namespace: &str, name: &str) -> Reference {
    Reference { namespace: Some(namespace.to_owned()), name: name.to_owned(), version: None }
}

/// A skill with its versions.
pub async fn get(actors: &Actors, by: &Principal, (namespace, name): (&str, &str)) -> Result<SkillDetail> {
    by.require(Role::Viewer)?;
    let found = references::skill(actors, by, &named(namespace, name)).await?;
    let server = found.skill.about.server;
    let published = actors.store.read(move |db| async move { skills::published(&db, server).await }).await?;
    let versions = versions(actors, &found.skill).await?;
    let shown = versions.into_iter().map(|one| version_dto(&one, published.get(&one.revision).cloned()));
    Ok(SkillDetail { versions: shown.collect(), skill: dto(found.skill) })
}

fn version_dto(version: &VersionRecord, published: Option<(String, crate::domain::clock::Timestamp)>) -> SkillVersion {
    let (published_by, published_at) = published.unwrap_or_default();
    SkillVersion {
        version: version.version.to_string(),
        hash: version.hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        published_by,
        published_at,
        yanked_at: version.yanked_at,
    }
}

/// A version of a skill that may be seen: `latest`, in full or in part.
pub async fn version(
    actors: &Actors,
    by: &Principal,
    (namespace, name, wanted): (&str, &str, &str),
) -> Result<(SkillRecord, VersionRecord)> {
    let found = references::skill(actors, by, &named(namespace, name)).await?;
    let all = versions(actors, &found.skill).await?;
    let exact = all.iter().find(|one| one.version.to_string() == wanted);
    let version = match (exact, wanted) {
        (Some(version), _) => version.clone(),
        (None, "latest") => pick(&found.skill, &all, None)?,
        (None, wanted) => {
            let missing = || {
                let (reference, wanted) = (found.skill.reference(), near::shown(wanted));
                err::not_found(format!("{reference} has no version {wanted}"))
            };
            pick(&found.skill, &all, Some(&wanted.parse().map_err(|_odd: Error| missing())?))?
        }
    };
    Ok((found.skill, version))
}

/// A version with everything that was published.
pub async fn package(actors: &Actors, by: &Principal, named: (&str, &str, &str)) -> Result<SkillPackage> {
    by.require(Role::Viewer)?;
    let (skill, version) = version(actors, by, named).await?;
    let server = skill.about.server;
    let published = actors.store.read(move |db| async move { skills::published(&db, server).await }).await?;
    let spec = spec(actors, &version).await?;
    Ok(SkillPackage {
        skill: skill.reference(),
        version: version_dto(&version, published.get(&version.revision).cloned()),
        manifest: serde_json::from_str(&version.manifest)
            .map_err(|cause| Error::internal("reading a manifest", cause))?,
        document: spec.skill().map(|skill| skill.document.clone()).unwrap_or_default(),
    })
}

/// List skills
#[utoipa::path(get, path = "/api/v1/admin/skills", tag = "skills", params(SkillQuery),
    responses((status = 200, body = Page<Skill>), Problems))]
pub async fn list_route(admin: web::Data<Admin>, by: Caller, query: Query<SkillQuery>) -> Reply {
    Ok(HttpResponse::Ok().json(list(&admin.actors, &by.0, query.0).await?))
}

/// Show a skill and its versions
#[utoipa::path(get, path = "/api/v1/admin/skills/{namespace}/{name}", tag = "skills",
    params(("namespace" = String, Path), ("name" = String, Path)), responses((status = 200, body = SkillDetail), Problems))]
pub async fn get_route(admin: web::Data<Admin>, by: Caller, path: Path<(String, String)>, _: Query<Nothing>) -> Reply {
    Ok(HttpResponse::Ok().json(get(&admin.actors, &by.0, (&path.0, &path.1)).await?))
}

/// Get a version with its manifest and document
#[utoipa::path(get, path = "/api/v1/admin/skills/{namespace}/{name}/versions/{version}", tag = "skills",
    params(("namespace" = String, Path), ("name" = String, Path), ("version" = String, Path, description = "`1.2.0`, `1.2`, `1` or `latest`")),
    responses((status = 200, body = SkillPackage), Problems))]
pub async fn package_route(
    admin: web::Data<Admin>,
    by: Caller,
    path: Path<(String, String, String)>,
    _: Query<Nothing>,
) -> Reply {
    let (namespace, name, version) = &*path;
    Ok(HttpResponse::Ok().json(package(&admin.actors, &by.0, (namespace, name, version)).await?))
}
