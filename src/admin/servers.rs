//! MCP server definitions of a namespace: add, look, test, remove.

use std::{collections::HashMap, sync::Arc};

use actix_web::{
    HttpResponse,
    http::header,
    web::{self, Path},
};
use clap::ValueEnum as _;
use url::Url;

use crate::{
    actors::{
        Actors,
        workspace_catalog::{AddServer as Add, ChangeServer},
    },
    admin::{
        Admin, BASE,
        auth::Caller,
        discovery,
        dto::{AddServer, Page, Server, ServerTest, Tool, UpdateServer},
        openapi::Problems,
        programs,
        reply::Reply,
        request::{IfMatch, Json, Nothing, Paging, Query, page},
        workspaces::display_name,
    },
    domain::{
        clock,
        ids::ServerId,
        known_servers, near,
        role::{Principal, Role},
        server::{ProtocolChoice, Reach, ServerSpec},
        slug::{self, Slug},
    },
    error::{Error, Result, err},
    store::{
        servers::{self, ServerRecord},
        workspaces,
    },
    upstream::{ServerDef, lists::Offer},
};

/// Longest waits and most calls that can be asked for.
const LONGEST_WAIT: u64 = 3600;
const LONGEST_CALL: u64 = 86_400;
const MOST_CALLS: u64 = 10_000;
/// What stands for the values of a URL's query where it is shown.
const MASKED: &str = "***";
/// Parts of query parameters' names that mean their value opens something.
const CREDENTIALS: &[&str] =
    &["key", "token", "secret", "passw", "pwd", "auth", "credential", "signature", "sig", "jwt"];

/// A definition of the caller's namespace; any other looks as if it did not exist.
pub async fn find(actors: &Actors, by: &Principal, slug: &str) -> Result<ServerRecord> {
    let (wanted, namespace) = (slug.to_owned(), by.namespace);
    if slug::has_shape(slug) {
        let found = actors.store.read(move |db| async move { servers::by_slug(&db, namespace, &wanted).await }).await?;
        if let Some(record) = found {
            return Ok(record);
        }
    }
    Err(unknown(actors, by, slug).await)
}

/// 404 with a guess and the line to type.
pub async fn unknown(actors: &Actors, by: &Principal, slug: &str) -> Error {
    let namespace = by.namespace;
    let own = actors.store.read(move |db| async move { servers::list(&db, namespace).await }).await.unwrap_or_default();
    let guess = known_servers::did_you_mean(slug, own.iter().map(|record| &*record.slug)).into_iter().next();
    let guess = guess.map(|near| format!(" Did you mean {near}?")).unwrap_or_default();
    let hint = match known_servers::lookup(slug) {
        Some(_) => format!("aerostack mcp install {slug}"),
        None if slug::has_shape(slug) => format!("aerostack mcp add {slug} --url https://…"),
        None => "aerostack mcp add NAME --url https://…".to_owned(),
    };
    err::not_found(format!("No server \"{}\".{guess}", near::shown(slug))).with_hint(hint)
}

/// Where a server is, as it is shown: without what could open something.
pub fn shown_place(spec: &ServerSpec) -> String {
    match &spec.reach {
        Reach::Http { url } => shown_url(url),
        Reach::Stdio(program) => format!("stdio: {}", program.shown()),
        Reach::Skill { skill } => skill.worker.as_ref().map_or_else(|| skill.uri(), shown_url),
    }
}

/// The URL as it is shown: values of query parameters could open something.
fn shown_url(url: &Url) -> String {
    if url.query().is_none() {
        return url.to_string();
    }
    let mut shown = url.clone();
    let names: Vec<String> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
    shown.query_pairs_mut().clear().extend_pairs(names.iter().map(|name| (name.as_str(), MASKED)));
    shown.to_string()
}

fn dto(record: ServerRecord, workspaces: Vec<String>) -> Server {
    let protocol = record.spec.protocol.to_possible_value().map(|value| value.get_name().to_owned());
    Server {
        id: record.id.to_string(),
        slug: record.slug.to_string(),
        title: record.title,
        kind: record.kind,
        url: shown_place(&record.spec),
        protocol: protocol.unwrap_or_default(),
        timeout_seconds: record.spec.timeout_seconds,
        total_seconds: record.spec.total_seconds,
        max_in_flight: record.spec.max_in_flight.and_then(|n| u64::try_from(n).ok()),
        allow_http: record.spec.allow_http,
        created_at: record.created_at,
        updated_at: record.updated_at,
        workspaces,
    }
}

/// Slugs of the workspaces each server is installed in.
async fn places(actors: &Actors, by: &Principal) -> Result<HashMap<ServerId, Vec<String>>> {
    let namespace = by.namespace;
    actors
        .store
        .read(move |db| async move {
            let mut places: HashMap<ServerId, Vec<String>> = HashMap::new();
            for workspace in workspaces::list(&db, namespace).await? {
                for installation in servers::installations(&db, workspace.id).await? {
                    places.entry(installation.server).or_default().push(workspace.slug.to_string());
                }
            }
            Ok(places)
        })
        .await
}

/// All definitions by slug.
pub async fn list(actors: &Actors, by: &Principal, paging: &Paging) -> Result<Page<Server>> {
    by.require(Role::Member)?;
    let namespace = by.namespace;
    let mut all = actors.store.read(move |db| async move { servers::list(&db, namespace).await }).await?;
    // Skills have a list of their own.
    all.retain(|record| record.spec.skill().is_none());
    all.sort_by(|a, b| a.slug.cmp(&b.slug));
    let mut places = places(actors, by).await?;
    let Page { data, next_cursor } = page(all, paging, |record| record.slug.to_string())?;
    let data = data.into_iter().map(|record| {
        let installed = places.remove(&record.id).unwrap_or_default();
        dto(record, installed)
    });
    Ok(Page { data: data.collect(), next_cursor })
}

/// One definition.
pub async fn get(actors: &Actors, by: &Principal, slug: &str) -> Result<Server> {
    by.require(Role::Member)?;
    let record = find(actors, by, slug).await?;
    let installed = places(actors, by).await?.remove(&record.id).unwrap_or_default();
    Ok(dto(record, installed))
}

/// Adds a definition.
pub async fn add(actors: &Actors, by: &Principal, input: AddServer) -> Result<Server> {
    by.require(Role::Admin)?;
    let slug = Slug::parse(&input.slug)?;
    let spec = match &input.command {
        Some(command) => programs::spec_of(actors, command, &input)?,
        None => spec_of(actors, &input)?,
    };
    let title = display_name(input.title, &slug)?;
    let record = actors.catalog.apply(Add { slug, title, spec, by: by.clone() }).await?;
    Ok(dto(record, Vec::new()))
}

/// Where a server is to be: checked like that of a new one.
pub fn reach_at(actors: &Actors, url: &str) -> Result<ServerSpec> {
    refuse_credentials(url)?;
    refuse_masked(url)?;
    let spec = ServerSpec::for_url(url)?;
    actors.upstreams.policy().parse_url(url).map_err(|refusal| refusal.into_validation())?;
    Ok(spec)
}

fn spec_of(actors: &Actors, input: &AddServer) -> Result<ServerSpec> {
    if !input.args.is_empty() || !input.env.is_empty() {
        return Err(err::validation("args and env go with command, not with a URL"));
    }
    let known = known_servers::lookup(&input.slug);
    let url = input.url.as_deref().or(known.map(|known| known.url.as_str())).ok_or_else(|| {
        err::validation(format!("Where is {}? It is not among the known servers", input.slug))
            .with_hint(format!("aerostack mcp add {} --url https://…", input.slug))
    })?;
    let mut spec = reach_at(actors, url)?;
    spec.allow_http = input.allow_http;
    with_settings(spec, input)
}

/// The specification with what every kind of server has.
pub fn with_settings(mut spec: ServerSpec, input: &AddServer) -> Result<ServerSpec> {
    if let Some(protocol) = &input.protocol {
        spec.protocol = protocol_of(protocol)?;
    }
    spec.timeout_seconds = within("timeout_seconds", input.timeout_seconds, LONGEST_WAIT)?;
    spec.total_seconds = within("total_seconds", input.total_seconds, LONGEST_CALL)?;
    let calls = within("max_in_flight", input.max_in_flight, MOST_CALLS)?;
    spec.max_in_flight = calls.and_then(|n| usize::try_from(n).ok());
    Ok(spec)
}

fn within(name: &str, value: Option<u64>, most: u64) -> Result<Option<u64>> {
    match value {
        Some(value) if !(1..=most).contains(&value) => {
            Err(err::validation(format!("{name} must be between 1 and {most}")))
        }
        fine => Ok(fine),
    }
}

/// A URL is stored in clear and shown: what opens something belongs into the vault (S-34).
fn refuse_credentials(url: &str) -> Result<()> {
    let Ok(url) = Url::parse(url) else { return Ok(()) };
    let opens = |name: &str| {
        let name = name.to_ascii_lowercase();
        CREDENTIALS.iter().any(|part| name.contains(part))
    };
    match url.query_pairs().find(|(name, _)| opens(name)) {
        Some((name, _)) => Err(err::validation(format!("The URL carries a credential in \"{}\"", name.escape_debug()))
            .with_hint("leave it out of the URL and store it: aerostack secrets set SERVER NAME, then secrets inject --header or --bearer")),
        None => Ok(()),
    }
}

/// An address that was changed as it is shown would lose the values that are not.
fn refuse_masked(url: &str) -> Result<()> {
    match Url::parse(url).is_ok_and(|url| url.query_pairs().any(|(_, value)| value == MASKED)) {
        true => Err(err::validation(format!("The URL has {MASKED} where a value of its query is not shown"))
            .with_hint("write the value itself")),
        false => Ok(()),
    }
}

/// Changes a definition. It is a new revision of it, which every installation uses from its next call on. At another
/// origin its secrets wait to be set again.
///
/// # Errors
/// `conflict` for a program that a file of `servers.d` defines (it is changed there), and for a skill.
pub async fn update(actors: &Actors, by: &Principal, slug: &str, input: UpdateServer) -> Result<Server> {
    by.require(Role::Admin)?;
    let known = find(actors, by, slug).await?;
    if known.spec.program().is_some_and(|program| program.from_file) {
        return Err(err::conflict(format!("{slug} is defined by a file on the gateway's machine"))
            .with_hint(format!("change servers.d/{slug}.toml there, then: aerostack mcp reload")));
    }
    if known.spec.skill().is_some() {
        return Err(err::conflict(format!("{slug} is a skill")).with_hint("publish another version of it"));
    }
    let title = match input.title {
        Some(title) => display_name(Some(title), &known.slug)?,
        None => known.title.clone(),
    };
    let mut spec = known.spec.clone();
    if let Some(url) = input.url.filter(|url| *url != shown_place(&known.spec)) {
        if spec.url().is_none() {
            return Err(err::validation(format!("{slug} is a program: it has no URL")));
        }
        spec.reach = reach_at(actors, &url)?.reach;
    }
    if let Some(protocol) = &input.protocol {
        spec.protocol = protocol_of(protocol)?;
    }
    // 0 takes an own setting away.
    let changed = |name, value: Option<u64>, most, own: Option<u64>| match value {
        None => Ok(own),
        Some(0) => Ok(None),
        Some(value) => within(name, Some(value), most),
    };
    spec.timeout_seconds = changed("timeout_seconds", input.timeout_seconds, LONGEST_WAIT, spec.timeout_seconds)?;
    spec.total_seconds = changed("total_seconds", input.total_seconds, LONGEST_CALL, spec.total_seconds)?;
    let calls = spec.max_in_flight.and_then(|n| u64::try_from(n).ok());
    let calls = changed("max_in_flight", input.max_in_flight, MOST_CALLS, calls)?;
    spec.max_in_flight = calls.and_then(|n| usize::try_from(n).ok());
    let (server, installed) = (known.id, places(actors, by).await?.remove(&known.id).unwrap_or_default());
    if spec == known.spec && title == known.title {
        return Ok(dto(known, installed));
    }
    let change = ChangeServer { server, made_of: Some(known.revision), title, spec, by: by.clone() };
    let record = actors.catalog.apply(change).await?;
    Ok(dto(record, installed))
}

fn protocol_of(name: &str) -> Result<ProtocolChoice> {
    ProtocolChoice::from_str(name, false)
        .map_err(|_unknown| err::validation("No such protocol").with_hint("auto, modern, legacy or sse"))
}

/// Removes a definition and its secrets. Refused while it is installed somewhere.
pub async fn remove(actors: &Actors, by: &Principal, slug: &str) -> Result<Server> {
    by.require(Role::Admin)?;
    let gone = get(actors, by, slug).await?;
    if let Some(first) = gone.workspaces.first() {
        return Err(err::conflict(format!("{slug} is installed in {}", gone.workspaces.join(", ")))
            .with_hint(format!("aerostack mcp uninstall {slug} --workspace {first}")));
    }
    let server = find(actors, by, slug).await?;
    if let Some(skill) = server.spec.skill() {
        return Err(err::conflict(format!("{slug} is a skill"))
            .with_hint(format!("aerostack skill remove {}", skill.reference())));
    }
    actors.remove_server(server.id, by.clone()).await?;
    programs::delete_file(actors, &server).await?;
    Ok(gone)
}

/// Connects and asks for the tools.
pub async fn test(actors: &Actors, by: &Principal, slug: &str) -> Result<ServerTest> {
    by.require(Role::Admin)?;
    let def = definition(actors, find(actors, by, slug).await?.id, slug)?;
    let started = clock::instant();
    Ok(match actors.upstreams.probe(&def, None).await {
        Ok(report) => ServerTest {
            ok: true,
            latency_ms: report.latency_ms,
            protocol: Some(format!("{} {}", report.transport, report.revision)),
            server_name: report.server_name,
            server_version: report.server_version,
            tools: u64::try_from(report.tools).ok(),
            error: None,
            hint: None,
            last_words: Vec::new(),
        },
        Err(error) => ServerTest {
            ok: false,
            latency_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            protocol: None,
            server_name: None,
            server_version: None,
            tools: None,
            error: Some(error.message().to_owned()),
            // Where this test is the advice, there is none to give.
            hint: error.hint().filter(|hint| !hint.contains("mcp test")).map(str::to_owned),
            last_words: actors.upstreams.status(&def, None).map(|seen| seen.last_words.clone()).unwrap_or_default(),
        },
    })
}

fn definition(actors: &Actors, id: ServerId, slug: &str) -> Result<Arc<ServerDef>> {
    actors.catalog.load().servers.get(&id).cloned().ok_or_else(|| err::not_found(format!("No server \"{slug}\"")))
}

/// The tools a server lists, asked now, under their own names.
pub async fn tools(actors: &Actors, by: &Principal, slug: &str) -> Result<Page<Tool>> {
    Ok(Page { data: listed(&offer(actors, by, slug).await?, slug), next_cursor: None })
}

/// What a server offers, asked for now.
pub async fn offer(actors: &Actors, by: &Principal, slug: &str) -> Result<Offer> {
    by.require(Role::Member)?;
    let def = definition(actors, find(actors, by, slug).await?.id, slug)?;
    actors.upstreams.refresh(&def, None).await
}

/// The tools of what a server offers.
pub fn listed(offer: &Offer, slug: &str) -> Vec<Tool> {
    let tools = offer.tools().iter().map(|tool| Tool {
        name: tool.name.to_string(),
        upstream_name: tool.name.to_string(),
        server: slug.to_owned(),
        description: discovery::described(tool),
    });
    tools.collect()
}

/// List definitions
#[utoipa::path(get, path = "/api/v1/admin/mcp-servers", tag = "mcp-servers", params(Paging),
    responses((status = 200, body = Page<Server>), Problems))]
pub async fn list_route(admin: web::Data<Admin>, by: Caller, paging: Query<Paging>) -> Reply {
    Ok(HttpResponse::Ok().json(list(&admin.actors, &by.0, &paging.0).await?))
}

/// Add a definition
#[utoipa::path(post, path = "/api/v1/admin/mcp-servers", tag = "mcp-servers", request_body = AddServer,
    responses((status = 201, body = Server), Problems))]
pub async fn add_route(admin: web::Data<Admin>, by: Caller, _: Query<Nothing>, body: Json<AddServer>) -> Reply {
    let made = add(&admin.actors, &by.0, body.0).await?;
    let location = format!("{BASE}/mcp-servers/{}", made.slug);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(made))
}

/// Show a definition
#[utoipa::path(get, path = "/api/v1/admin/mcp-servers/{slug}", tag = "mcp-servers", params(("slug" = String, Path)),
    responses((status = 200, body = Server), Problems))]
pub async fn get_route(admin: web::Data<Admin>, by: Caller, slug: Path<String>, _: Query<Nothing>) -> Reply {
    Ok(HttpResponse::Ok().json(get(&admin.actors, &by.0, &slug).await?))
}

/// Change a definition
#[utoipa::path(patch, path = "/api/v1/admin/mcp-servers/{slug}", tag = "mcp-servers", params(("slug" = String, Path), IfMatch),
    request_body = UpdateServer, responses((status = 200, body = Server), Problems))]
pub async fn update_route(
    admin: web::Data<Admin>,
    by: Caller,
    slug: Path<String>,
    _: Query<Nothing>,
    seen: IfMatch,
    body: Json<UpdateServer>,
) -> Reply {
    let (actors, by) = (&admin.actors, &by.0);
    let thing = async { Ok(("server", find(actors, by, &slug).await?.id.to_string())) };
    let by = seen.hold(actors, by, thing, get(actors, by, &slug)).await?;
    Ok(HttpResponse::Ok().json(update(actors, &by, &slug, body.0).await?))
}

/// Remove a definition and its secrets
#[utoipa::path(delete, path = "/api/v1/admin/mcp-servers/{slug}", tag = "mcp-servers", params(("slug" = String, Path), IfMatch),
    responses((status = 200, description = "What was removed", body = Server), Problems))]
pub async fn remove_route(
    admin: web::Data<Admin>,
    by: Caller,
    slug: Path<String>,
    _: Query<Nothing>,
    seen: IfMatch,
) -> Reply {
    let (actors, by) = (&admin.actors, &by.0);
    let thing = async { Ok(("server", find(actors, by, &slug).await?.id.to_string())) };
    let by = seen.hold(actors, by, thing, get(actors, by, &slug)).await?;
    Ok(HttpResponse::Ok().json(remove(actors, &by, &slug).await?))
}

/// Connect to a server and say what it answers
#[utoipa::path(post, path = "/api/v1/admin/mcp-servers/{slug}/test", tag = "mcp-servers", params(("slug" = String, Path)),
    responses((status = 200, description = "Whether it answered, and what", body = ServerTest), Problems))]
pub async fn test_route(admin: web::Data<Admin>, by: Caller, slug: Path<String>, _: Query<Nothing>) -> Reply {
    Ok(HttpResponse::Ok().json(test(&admin.actors, &by.0, &slug).await?))
}

/// List a server's tools under their own names
#[utoipa::path(get, path = "/api/v1/admin/mcp-servers/{slug}/tools", tag = "mcp-servers", params(("slug" = String, Path)),
    responses((status = 200, body = Page<Tool>), Problems))]
pub async fn tools_route(admin: web::Data<Admin>, by: Caller, slug: Path<String>, _: Query<Nothing>) -> Reply {
    Ok(HttpResponse::Ok().json(tools(&admin.actors, &by.0, &slug).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_urls_are_refused_and_values_masked() {
        for bad in ["https://h/?api_key=CANARY", "https://h/mcp?x=1&access_token=CANARY", "https://h/?Auth=CANARY"] {
            let error = refuse_credentials(bad).unwrap_err();
            assert!(!error.message().contains("CANARY") && error.hint().unwrap().contains("secrets set"), "{error}");
        }
        assert!(refuse_credentials("https://h/mcp?profile=team").is_ok());
        let shown = shown_url(&Url::parse("https://h/mcp?profile=CANARY&b=CANARY").unwrap());
        assert_eq!(shown, "https://h/mcp?profile=***&b=***");
    }
}
