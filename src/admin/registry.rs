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
        ids::ServerId,
        injection::Injection,
        known_servers::{self, KnownServer},
        server::ServerSpec,
        server_json::{self, Header, Remote},
        skill::Visibility,
    },
    error::{Result, err},
    store::{
        accounts,
        skills::{self, Of, SkillRecord},
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
    fn names(&self, name: &str) -> bool {
        self.search.as_ref().is_none_or(|part| name.to_lowercase().contains(&part.to_lowercase()))
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
fn remote_of(actors: &Actors, skill: &SkillRecord, version: String) -> Remote {
    let token = Header {
        name: "Authorization".to_owned(),
        value: Some("Bearer {token}".to_owned()),
        description: "A token of that workspace (mwt_…)".to_owned(),
        optional: false,
    };
    Remote {
        name: name_of(actors, skill),
        title: skill.reference(),
        description: skill.about.description.clone(),
        version,
        url: format!("{}/ws/{{workspace}}", actors.public_url.as_str().trim_end_matches('/')),
        variables: vec![("workspace", "A workspace in which the skill is installed")],
        sse: false,
        headers: vec![token],
    }
}

/// A server of which there may be many versions; they are read when its turn comes.
enum Candidate {
    Known(Box<Entry>),
    Skill(String, Box<SkillRecord>),
}

impl Candidate {
    fn name(&self) -> &str {
        match self {
            Candidate::Known(entry) => &entry.remote.name,
            Candidate::Skill(name, _) => name,
        }
    }
}

/// What a skill is called here.
fn name_of(actors: &Actors, skill: &SkillRecord) -> String {
    server_json::name(actors.public_url.host_str().unwrap_or_default(), Some(&skill.owner), &skill.name)
}

/// All versions of some candidates.
async fn entries(actors: &Actors, candidates: Vec<Candidate>) -> Result<Vec<Entry>> {
    let of = |one: &Candidate| match one {
        Candidate::Skill(_, skill) => Some(skill.about.server),
        Candidate::Known(_) => None,
    };
    let servers: Vec<ServerId> = candidates.iter().filter_map(of).collect();
    let versions = actors.store.read(move |db| async move { skills::versions_of(&db, &servers).await }).await?;
    let mut all = Vec::new();
    for one in candidates {
        let skill = match one {
            Candidate::Known(entry) => {
                all.push(*entry);
                continue;
            }
            Candidate::Skill(_, skill) => skill,
        };
        for version in versions.iter().filter(|version| version.server == skill.about.server) {
            all.push(Entry {
                latest: skill.newest.as_ref() == Some(&version.version),
                deleted: version.yanked,
                published: version.published.map(|at| (skill.created_at, at)),
                remote: remote_of(actors, &skill, version.version.to_string()),
            });
        }
    }
    all.sort_by_key(Entry::key);
    Ok(all)
}

/// A page of the list. Versions are read of many servers at a time, until the page is full.
async fn page(actors: &Actors, wanted: &Wanted) -> Result<Value> {
    let after = wanted.cursor.as_deref().filter(|cursor| !cursor.is_empty()).map(decode_cursor).transpose()?;
    let size = wanted.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    let skills = actors.store.read(|db| async move { skills::list(&db, &Of::Public).await }).await?;
    let known = known_servers::all().iter().filter_map(known).map(|entry| Candidate::Known(Box::new(entry)));
    let skills = skills.into_iter().map(|skill| Candidate::Skill(name_of(actors, &skill), Box::new(skill)));
    // A key is a name and a version; a name sorts as its keys do.
    let from = after.as_deref().and_then(|key| key.split('\n').next());
    let fits = |one: &Candidate| wanted.names(one.name()) && from.is_none_or(|from| one.name() >= from);
    let mut candidates: Vec<Candidate> = known.chain(skills).filter(fits).collect();
    candidates.sort_by(|a, b| a.name().cmp(b.name()));
    let (mut rest, mut servers) = (candidates.into_iter(), Vec::new());
    while servers.len() <= size {
        let next: Vec<Candidate> = rest.by_ref().take(LARGEST_PAGE).collect();
        if next.is_empty() {
            break;
        }
        let fits = |entry: &Entry| {
            entry.fits(wanted) && !entry.deleted && after.as_ref().is_none_or(|after| entry.key() > *after)
        };
        servers.extend(entries(actors, next).await?.into_iter().filter(fits));
    }
    let more = servers.len() > size;
    servers.truncate(size);
    let mut metadata = json!({ "count": servers.len() });
    if let (Some(members), true, Some(last)) = (metadata.as_object_mut(), more, servers.last()) {
        members.insert("nextCursor".into(), encode_cursor(&last.key()).into());
    }
    Ok(json!({ "servers": servers.iter().map(Entry::json).collect::<Vec<_>>(), "metadata": metadata }))
}

/// All versions of a server, newest first. Nothing is read of others.
async fn named(actors: &Actors, name: &str) -> Result<Vec<Entry>> {
    let known = known_servers::all().iter().filter_map(known).find(|entry| entry.remote.name == name);
    let mut found: Vec<Candidate> = known.map(|entry| Candidate::Known(Box::new(entry))).into_iter().collect();
    if let Some(skill) = skill_named(actors, name).await? {
        found.push(Candidate::Skill(name.to_owned(), Box::new(skill)));
    }
    let mut all = entries(actors, found).await?;
    if all.is_empty() {
        return Err(err::not_found("Server not found"));
    }
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
    let public = |skill: &SkillRecord| skill.about.visibility == Visibility::Public && name_of(actors, skill) == name;
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
