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
        Admin, frame,
        reply::Reply,
        request::{Query, decode_cursor, encode_cursor},
        skills as shown,
    },
    domain::{
        clock::Timestamp,
        injection::Injection,
        known_servers::{self, KnownServer},
        server::ServerSpec,
        server_json::{self, Header, Remote},
    },
    error::{Result, err},
    store::skills::{self, Of, SkillRecord},
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
        let name = self.remote.name.to_lowercase();
        let version = match wanted.version.as_deref() {
            None => true,
            Some("latest") => self.latest,
            Some(version) => self.remote.version == version,
        };
        let found = wanted.search.as_ref().is_none_or(|part| name.contains(&part.to_lowercase()));
        let changed = |since: Timestamp| self.published.is_some_and(|(_, this)| this >= since);
        version && found && wanted.updated_since.is_none_or(changed)
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
    let host = actors.public_url.host_str().unwrap_or_default();
    Remote {
        name: server_json::name(host, Some(&skill.owner), &skill.name),
        title: skill.reference(),
        description: skill.about.description.clone(),
        version,
        url: format!("{}/ws/{{workspace}}", actors.public_url.as_str().trim_end_matches('/')),
        variables: vec![("workspace", "A workspace in which the skill is installed")],
        sse: false,
        headers: vec![token],
    }
}

async fn entries(actors: &Actors) -> Result<Vec<Entry>> {
    let mut all: Vec<Entry> = known_servers::all().iter().filter_map(known).collect();
    for skill in actors.store.read(|db| async move { skills::list(&db, &Of::Public).await }).await? {
        let server = skill.about.server;
        let published = actors.store.read(move |db| async move { skills::published(&db, server).await }).await?;
        for version in shown::versions(actors, &skill).await? {
            let when = published.get(&version.revision).map(|(_, at)| (skill.created_at, *at));
            all.push(Entry {
                latest: skill.newest.as_ref() == Some(&version.version),
                deleted: version.yanked_at.is_some(),
                published: when,
                remote: remote_of(actors, &skill, version.version.to_string()),
            });
        }
    }
    all.sort_by_key(Entry::key);
    Ok(all)
}

fn page(entries: Vec<Entry>, wanted: &Wanted) -> Result<Value> {
    let after = wanted.cursor.as_deref().filter(|cursor| !cursor.is_empty()).map(decode_cursor).transpose()?;
    let size = wanted.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    let fits =
        |entry: &Entry| entry.fits(wanted) && !entry.deleted && after.as_ref().is_none_or(|after| entry.key() > *after);
    let mut rest = entries.into_iter().filter(fits);
    let servers: Vec<Entry> = rest.by_ref().take(size).collect();
    let mut metadata = json!({ "count": servers.len() });
    if let (Some(members), Some(_), Some(last)) = (metadata.as_object_mut(), rest.next(), servers.last()) {
        members.insert("nextCursor".into(), encode_cursor(&last.key()).into());
    }
    Ok(json!({ "servers": servers.iter().map(Entry::json).collect::<Vec<_>>(), "metadata": metadata }))
}

/// All versions of a server, newest first.
async fn named(actors: &Actors, name: &str) -> Result<Vec<Entry>> {
    let mut all = entries(actors).await?;
    all.retain(|entry| entry.remote.name == name);
    if all.is_empty() {
        return Err(err::not_found("Server not found"));
    }
    all.sort_by_key(|entry| std::cmp::Reverse(entry.published));
    Ok(all)
}

async fn list(admin: web::Data<Admin>, request: HttpRequest, wanted: Query<Wanted>) -> Reply {
    (admin.guard)(&request)?;
    Ok(HttpResponse::Ok().json(page(entries(&admin.actors).await?, &wanted.0)?))
}

async fn versions(admin: web::Data<Admin>, request: HttpRequest, name: Path<String>) -> Reply {
    (admin.guard)(&request)?;
    let all = named(&admin.actors, &name).await?;
    let servers: Vec<Value> = all.iter().map(Entry::json).collect();
    Ok(HttpResponse::Ok().json(json!({ "servers": servers, "metadata": { "count": servers.len() } })))
}

async fn version(admin: web::Data<Admin>, request: HttpRequest, path: Path<(String, String)>) -> Reply {
    (admin.guard)(&request)?;
    one(&admin.actors, &path.0, &path.1).await
}

async fn latest(admin: web::Data<Admin>, request: HttpRequest, name: Path<String>) -> Reply {
    (admin.guard)(&request)?;
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
