//! The hub as registries are read: `GET /v0.1/servers` and its siblings, as the MCP Registry answers them (`/v0` is the
//! same). Lists public skills (reached through a workspace that has them) and the well-known servers. Whoever asks needs
//! an API key, unless `skills.open_registry` says otherwise.

use actix_web::{
    HttpRequest, HttpResponse,
    middleware::from_fn,
    web::{self, Path, ServiceConfig},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    actors::Actors,
    admin::{
        Admin, auth, frame,
        reply::Reply,
        request::{Query, decode_cursor, encode_cursor},
    },
    domain::{
        clock::Timestamp,
        injection::Injection,
        known_servers::{self, KnownServer},
        server::ServerSpec,
        server_json::{self, Header, Remote},
        skill::{self as rules, Visibility},
    },
    error::{Result, err},
    store::{
        accounts,
        public_skills::{self, PublicVersion, Sought},
        skills::{self, ListedVersion, SkillRecord},
    },
};

/// Servers on a page unless another number is asked for, and at most.
const PAGE: usize = 30;
const LARGEST_PAGE: usize = 100;
/// Version of the well-known servers: they have none.
const KNOWN: &str = "1.0.0";

/// Which servers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    cursor: Option<String>,
    limit: Option<usize>,
    search: Option<String>,
    updated_since: Option<Timestamp>,
    version: Option<String>,
}

impl Wanted {
    /// What is looked for in names.
    fn part(&self) -> Option<String> {
        self.search.as_ref().map(|part| part.to_lowercase())
    }
}

/// One version of a server.
struct Entry {
    remote: Remote,
    /// First published, and published as this version; none: not known.
    published: Option<(Timestamp, Timestamp)>,
    latest: bool,
    /// Withdrawn.
    deleted: bool,
}

impl Entry {
    fn key(&self) -> String {
        format!("{}\n{}", self.remote.name, self.remote.version)
    }

    fn json(&self) -> Value {
        let mut official =
            json!({ "status": if self.deleted { "deleted" } else { "active" }, "isLatest": self.latest });
        if let (Some(members), Some((first, this))) = (official.as_object_mut(), self.published) {
            members.insert("publishedAt".into(), json!(first));
            members.insert("updatedAt".into(), json!(this));
        }
        json!({ "server": self.remote.json(), "_meta": { "io.modelcontextprotocol.registry/official": official } })
    }

    fn fits(&self, wanted: &Wanted) -> bool {
        let version = match wanted.version.as_deref() {
            None => true,
            Some("latest") => self.latest,
            Some(version) => self.remote.version == version,
        };
        let changed = |since: Timestamp| self.published.is_some_and(|(_, this)| this >= since);
        version && wanted.updated_since.is_none_or(changed)
    }
}

fn known(server: &KnownServer) -> Option<Entry> {
    let spec = ServerSpec::for_url(&server.url).ok()?;
    let header = |secret: &known_servers::KnownSecret| {
        let (name, value) = match secret.injection() {
            Some(Injection::Bearer) => ("Authorization".to_owned(), format!("Bearer {{{}}}", secret.name)),
            Some(Injection::Header(name)) => (name, format!("{{{}}}", secret.name)),
            Some(Injection::Env(_)) | None => (secret.name.clone(), format!("{{{}}}", secret.name)),
        };
        Header { name, value: Some(value), description: secret.about.clone(), optional: secret.optional }
    };
    let remote = Remote {
        name: server_json::name(spec.url()?.host_str()?, None, &server.slug),
        title: server.title.clone(),
        description: server.about.clone(),
        version: KNOWN.to_owned(),
        url: server.url.clone(),
        variables: Vec::new(),
        sse: false,
        headers: server.secrets.iter().map(header).collect(),
    };
    Some(Entry { remote, published: None, latest: true, deleted: false })
}

/// A skill is reached where it is installed.
fn remote_of(actors: &Actors, (owner, short): (&str, &str), description: String, version: String) -> Remote {
    let token = Header {
        name: "Authorization".to_owned(),
        value: Some("Bearer {token}".to_owned()),
        description: "A token of that workspace (mwt_…)".to_owned(),
        optional: false,
    };
    Remote {
        name: name_of(actors, owner, short),
        title: rules::reference(owner, short),
        description,
        version,
        url: format!("{}/ws/{{workspace}}", actors.public_url.as_str().trim_end_matches('/')),
        variables: vec![("workspace", "A workspace in which the skill is installed")],
        sse: false,
        headers: vec![token],
    }
}

/// What a skill is called here.
fn name_of(actors: &Actors, owner: &str, short: &str) -> String {
    server_json::name(actors.public_url.host_str().unwrap_or_default(), Some(owner), short)
}

/// All versions of a skill.
async fn versions_of(actors: &Actors, skill: &SkillRecord) -> Result<Vec<Entry>> {
    let server = [skill.about.server];
    let versions = actors.store.read(move |db| async move { skills::versions_of(&db, &server).await }).await?;
    let named = (skill.owner.as_str(), skill.name.as_str());
    let entry = |version: ListedVersion| Entry {
        latest: skill.newest.as_ref() == Some(&version.version),
        deleted: version.yanked,
        published: version.published.map(|at| (skill.created_at, at)),
        remote: remote_of(actors, named, skill.about.description.clone(), version.version.to_string()),
    };
    Ok(versions.into_iter().map(entry).collect())
}

/// A page of the list.
async fn page(actors: &Actors, wanted: &Wanted) -> Result<Value> {
    let after = wanted.cursor.as_deref().filter(|cursor| !cursor.is_empty()).map(decode_cursor).transpose()?;
    let size = wanted.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    let skills = public(actors, wanted, after.as_deref(), size + 1).await?;
    // What comes after the last skill that was read is for the next page.
    let end = skills.last().filter(|_| skills.len() > size).map(Entry::key);
    let part = wanted.part();
    let is_next = |key: &str| after.as_deref().is_none_or(|after| key > after);
    let fits = |entry: &Entry| {
        let (key, name) = (entry.key(), entry.remote.name.to_lowercase());
        let named = part.as_ref().is_none_or(|part| name.contains(part.as_str()));
        named && is_next(&key) && end.as_ref().is_none_or(|end| key <= *end)
    };
    let known = known_servers::all().iter().filter_map(known).filter(fits);
    let mut servers: Vec<Entry> = known.chain(skills).filter(|entry| entry.fits(wanted)).collect();
    servers.sort_by_key(Entry::key);
    let more = servers.len() > size;
    servers.truncate(size);
    let next = if more { servers.last().map(Entry::key) } else { end };
    let mut metadata = json!({ "count": servers.len() });
    if let (Some(members), Some(next)) = (metadata.as_object_mut(), next) {
        members.insert("nextCursor".into(), encode_cursor(&next).into());
    }
    Ok(json!({ "servers": servers.iter().map(Entry::json).collect::<Vec<_>>(), "metadata": metadata }))
}

/// Public skills after a key, at most `limit`: of each the newest version, or all that are wanted.
async fn public(actors: &Actors, wanted: &Wanted, after: Option<&str>, limit: usize) -> Result<Vec<Entry>> {
    let host = actors.public_url.host_str().unwrap_or_default();
    let latest = wanted.version.as_deref() == Some("latest");
    let sought = Sought {
        prefix: server_json::prefix(host),
        search: wanted.part(),
        after: after.map(|key| key.split_once('\n').unwrap_or((key, ""))).map(|(a, b)| (a.to_owned(), b.to_owned())),
        since: wanted.updated_since,
        version: wanted.version.clone().filter(|_| !latest),
        limit,
    };
    let read = actors.store.read(move |db| async move {
        match latest {
            true => public_skills::newest(&db, &sought).await,
            false => public_skills::versions(&db, &sought).await,
        }
    });
    let entry = |one: PublicVersion| Entry {
        remote: remote_of(actors, (&one.owner, &one.name), one.description, one.version.to_string()),
        published: one.published.map(|at| (one.created_at, at)),
        latest: one.latest,
        deleted: false,
    };
    Ok(read.await?.into_iter().map(entry).collect())
}

/// All versions of a server, newest first. Nothing is read of others.
async fn named(actors: &Actors, name: &str) -> Result<Vec<Entry>> {
    let mut all: Vec<Entry> = known_servers::all().iter().filter_map(known).collect();
    all.retain(|entry| entry.remote.name == name);
    if let Some(skill) = skill_named(actors, name).await? {
        all.extend(versions_of(actors, &skill).await?);
    }
    if all.is_empty() {
        return Err(err::not_found("Server not found"));
    }
    all.sort_by_key(Entry::key);
    all.sort_by_key(|entry| std::cmp::Reverse(entry.published));
    Ok(all)
}

/// The public skill of that name.
async fn skill_named(actors: &Actors, name: &str) -> Result<Option<SkillRecord>> {
    let Some((place, short)) = name.rsplit_once('/') else { return Ok(None) };
    let owner = place.rsplit('.').next().unwrap_or_default().to_owned();
    let short = short.to_owned();
    let read = actors.store.read(move |db| async move {
        let Some(owner) = accounts::by_username(&db, &owner).await? else { return Ok(None) };
        skills::by_name(&db, owner.id, &short).await
    });
    let is_it = |skill: &SkillRecord| name_of(actors, &skill.owner, &skill.name) == name;
    let public = |skill: &SkillRecord| skill.about.visibility == Visibility::Public && is_it(skill);
    Ok(read.await?.filter(public))
}

/// With a key, the frame has counted the request; an open registry counts by address.
fn let_in(admin: &Admin, request: &HttpRequest) -> Result<()> {
    (admin.guard)(request)?;
    match admin.actors.config.skills.open_registry {
        true => admin.actors.tokens.count_open(auth::address(admin, request)),
        false => Ok(()),
    }
}

async fn list(admin: web::Data<Admin>, request: HttpRequest, wanted: Query<Wanted>) -> Reply {
    let_in(&admin, &request)?;
    Ok(HttpResponse::Ok().json(page(&admin.actors, &wanted.0).await?))
}

async fn versions(admin: web::Data<Admin>, request: HttpRequest, name: Path<String>) -> Reply {
    let_in(&admin, &request)?;
    let all = named(&admin.actors, &name).await?;
    let servers: Vec<Value> = all.iter().map(Entry::json).collect();
    Ok(HttpResponse::Ok().json(json!({ "servers": servers, "metadata": { "count": servers.len() } })))
}

async fn version(admin: web::Data<Admin>, request: HttpRequest, path: Path<(String, String)>) -> Reply {
    let_in(&admin, &request)?;
    one(&admin.actors, &path.0, &path.1).await
}

async fn latest(admin: web::Data<Admin>, request: HttpRequest, name: Path<String>) -> Reply {
    let_in(&admin, &request)?;
    one(&admin.actors, &name, "latest").await
}

async fn one(actors: &Actors, name: &str, version: &str) -> Reply {
    let all = named(actors, name).await?;
    let wanted = |entry: &&Entry| if version == "latest" { entry.latest } else { entry.remote.version == version };
    match all.iter().find(wanted) {
        Some(entry) => Ok(HttpResponse::Ok().json(entry.json())),
        None => Err(err::not_found("Server not found").into()),
    }
}

fn routes(scope: &mut ServiceConfig) {
    scope
        .service(web::resource("/servers").route(web::get().to(list)))
        .service(web::resource("/servers/{name}/versions").route(web::get().to(versions)))
        .service(web::resource("/servers/{name}/versions/{version}").route(web::get().to(version)))
        .service(web::resource("/servers/{name}").route(web::get().to(latest)));
}

/// Registers the registry's read API.
pub fn configure(app: &mut ServiceConfig, open: bool) {
    for place in ["/v0.1", "/v0"] {
        match open {
            true => app.service(web::scope(place).configure(routes)),
            false => app.service(web::scope(place).wrap(from_fn(frame::frame)).configure(routes)),
        };
    }
}
