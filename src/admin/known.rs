//! The catalogue of well-known servers: what can be installed by its slug alone.

use actix_web::HttpResponse;

use crate::{
    admin::{
        auth::Caller,
        dto::{KnownSecret, KnownServer, Page},
        openapi::Problems,
        reply::Reply,
        request::{Nothing, Query},
        secrets::rule_dto,
    },
    domain::{
        injection::{Injection, Place},
        known_servers::{self, KnownServer as Known},
        role::{Principal, Role},
        server::ServerSpec,
    },
    error::Result,
    store::servers::ServerRecord,
};

/// The catalogue's entry for a definition that still points where the catalogue does. What was re-pointed is no longer
/// the known server, so nothing of it is assumed.
fn entry(server: &ServerRecord) -> Option<&'static Known> {
    let known = known_servers::lookup(&server.slug)?;
    ServerSpec::for_url(&known.url).is_ok_and(|spec| spec.origin() == server.spec.origin()).then_some(known)
}

/// How the server expects a secret, if it is a known one.
pub fn rule(server: &ServerRecord, secret: &str) -> Option<Injection> {
    entry(server)?.secret(secret)?.injection()
}

/// Names of the secrets it does not work without.
pub fn needed_secrets(server: &ServerRecord) -> Vec<String> {
    if let Some(skill) = server.spec.skill() {
        return skill.secrets.clone();
    }
    let secrets = entry(server).map(|known| known.secrets.as_slice()).unwrap_or_default();
    secrets.iter().filter(|secret| !secret.optional).map(|secret| secret.name.clone()).collect()
}

fn dto(known: &Known) -> KnownServer {
    let secret = |secret: &known_servers::KnownSecret| KnownSecret {
        injection: rule_dto(Place::Headers, secret.injection().as_ref(), &secret.name),
        name: secret.name.clone(),
        optional: secret.optional,
        description: secret.about.clone(),
    };
    KnownServer {
        slug: known.slug.clone(),
        title: known.title.clone(),
        description: known.about.clone(),
        url: known.url.clone(),
        secrets: known.secrets.iter().map(secret).collect(),
    }
}

/// The whole catalogue, by slug.
pub fn list(by: &Principal) -> Result<Page<KnownServer>> {
    by.require(Role::Viewer)?;
    Ok(Page { data: known_servers::all().iter().map(dto).collect(), next_cursor: None })
}

/// List well-known servers
#[utoipa::path(get, path = "/api/v1/admin/known-servers", tag = "mcp-servers",
    responses((status = 200, body = Page<KnownServer>), Problems))]
pub async fn list_route(by: Caller, _: Query<Nothing>) -> Reply {
    Ok(HttpResponse::Ok().json(list(&by.0)?))
}
