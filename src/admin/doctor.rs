//! The gateway's own check-up: its folder, databases, key, listener and actors (for the installation's owner), then what
//! the namespace that is acted in has: servers, secrets, names, tokens. Nothing is changed by looking; servers are asked
//! as `mcp test` asks them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use actix_web::{HttpResponse, web};
use futures_util::{StreamExt as _, stream};

use crate::{
    actors::{
        Actors,
        catalog::WorkspaceView,
        health::ActorState,
        key_source::{FILE_NAME, VARIABLE},
    },
    admin::{
        Admin,
        auth::{Caller, require_installation},
        dto::{Check, CheckUp},
        health, installed_tools,
        openapi::Problems,
        reply::Reply,
        request::{Nothing, Query},
        secrets::secrets_of,
    },
    domain::{
        clock,
        ids::{ServerId, WorkspaceId},
        injection::{self, Place},
        role::{Principal, Role},
    },
    error::{Error, Result},
    store::{
        secrets::SecretState,
        servers::{self, ServerRecord},
        tokens,
    },
    upstream::ServerDef,
};

/// Servers that are asked at once, and at most.
const AT_ONCE: usize = 8;
const SERVERS: usize = 200;
/// Free space below which something should be done, and below which writing will soon fail, in MB.
const LITTLE: u64 = 1024;
const TOO_LITTLE: u64 = 64;
/// Longest wait for one look at a database or a disk.
const LOOK: Duration = Duration::from_secs(10);

/// Looks at everything.
pub async fn examine(actors: &Arc<Actors>, by: &Principal) -> Result<CheckUp> {
    by.require(Role::Admin)?;
    let mut data = Vec::new();
    if require_installation(actors, by, "look at its machine").is_ok() {
        data.extend([folder(actors).await, database(actors).await, key(actors), listener(actors)]);
        data.extend([running(actors), statistics(actors), checkpoints(actors), mail(actors)]);
    }
    let views: Vec<_> =
        actors.catalog.load().workspaces.values().filter(|view| view.namespace == by.namespace).cloned().collect();
    data.extend(reachable(actors, &views).await);
    data.extend(secrets(actors, by, &views).await?);
    data.extend(names(actors, &views));
    data.extend(expiring(actors, &views).await?);
    Ok(CheckUp { data })
}

/// Can the data folder be written, and is there room?
async fn folder(actors: &Actors) -> Check {
    const ABOUT: &str = "data folder";
    let folder = actors.config.server.data_dir.clone();
    let look = actix_web::rt::task::spawn_blocking(move || {
        tempfile::tempfile_in(&folder)?;
        std::io::Result::Ok(health::room(&folder)?.free / (1024 * 1024))
    });
    let fix = "make room, or move the folder: serve --data-dir";
    match actix_web::rt::time::timeout(LOOK, look).await {
        Ok(Ok(Ok(mb))) if mb < TOO_LITTLE => Check::fail(ABOUT, format!("{mb} MB free"), fix),
        Ok(Ok(Ok(mb))) if mb < LITTLE => Check::warn(ABOUT, format!("{mb} MB free"), fix),
        Ok(Ok(Ok(mb))) => Check::ok(ABOUT, format!("can be written, {} GB free", mb / 1024)),
        Ok(Ok(Err(cause))) => {
            Check::fail(ABOUT, format!("cannot be written: {cause}"), "let the gateway's user write to it")
        }
        _ => Check::fail(ABOUT, "does not answer", "look at the disk"),
    }
}

/// Does the database answer, take writes, and have its schema and its pages whole?
async fn database(actors: &Actors) -> Check {
    const ABOUT: &str = "database";
    let written = actors.store.upkeep(|_tx| Box::pin(async { Ok(()) }));
    match actix_web::rt::time::timeout(LOOK, async { written.await.and(actors.store.quick_check(LOOK).await) }).await {
        Ok(Ok(found)) => Check::ok(ABOUT, format!("takes writes, schema of this version, {found}")),
        Ok(Err(error)) => {
            let fix = error.hint().unwrap_or("stop the gateway and put back the last good copy").to_owned();
            Check::fail(ABOUT, error.message(), fix)
        }
        Err(_elapsed) => Check::warn(
            ABOUT,
            format!("was not read within {} s", LOOK.as_secs()),
            "look at the disk, and run it again",
        ),
    }
}

/// Lies the key where the database lies?
fn key(actors: &Actors) -> Check {
    const ABOUT: &str = "vault key";
    if actors.config.server.data_dir.join(FILE_NAME).exists() {
        return Check::warn(
            ABOUT,
            format!("{FILE_NAME} lies in the folder of the database: whoever copies the folder has both"),
            format!("keep it elsewhere: {VARIABLE}_FILE or {VARIABLE}_COMMAND"),
        );
    }
    Check::ok(ABOUT, "fits the database, and is kept apart from it")
}

/// Can the network read along?
fn listener(actors: &Actors) -> Check {
    const ABOUT: &str = "listener";
    let server = &actors.config.server;
    let (url, near) = (&actors.public_url, server.bind.ip().is_loopback());
    if url.scheme() == "https" || near {
        return Check::ok(
            ABOUT,
            format!(
                "{} at {}",
                if near { "this machine only" } else { "encrypted" },
                url.as_str().trim_end_matches('/')
            ),
        );
    }
    Check::warn(
        ABOUT,
        format!("listens on {} without TLS: tokens cross the network in clear", server.bind.ip()),
        "set server.tls_cert and server.tls_key, or put a proxy with TLS in front and an https server.public_url",
    )
}

fn running(actors: &Actors) -> Check {
    const ABOUT: &str = "actors";
    let board = actors.runtime.board();
    let names = |names: Vec<String>| names.join(", ");
    let down = board.unready();
    if !down.is_empty() {
        return Check::fail(ABOUT, format!("do not run: {}", names(down)), "read the log, and restart the gateway");
    }
    let reports = board.reports();
    let ill = reports.iter().filter(|report| !matches!(report.state, ActorState::Running | ActorState::Stopped));
    let ill: Vec<String> = ill.map(|report| report.name.clone()).collect();
    if ill.is_empty() {
        return Check::ok(ABOUT, format!("{} run", reports.len()));
    }
    Check::warn(
        ABOUT,
        format!("being started again, or failed: {}", names(ill)),
        "GET /api/v1/admin/actors/{name} says why",
    )
}

fn statistics(actors: &Actors) -> Check {
    const ABOUT: &str = "statistics";
    let figures = actors.analytics.figures();
    match figures.dropped() {
        0 => Check::ok(ABOUT, format!("{} calls written since the start", figures.written())),
        lost => {
            Check::warn(ABOUT, format!("{lost} calls were not counted"), "look at the disk, or raise analytics.queue")
        }
    }
}

fn checkpoints(actors: &Actors) -> Check {
    const ABOUT: &str = "audit log";
    let audit = &actors.config.audit;
    if audit.checkpoint_file.is_empty() && audit.checkpoint_command.is_empty() {
        return Check::warn(
            ABOUT,
            "has no checkpoints outside the database: a log that was cut at its end looks whole",
            "set audit.checkpoint_file, best on another machine's disk",
        );
    }
    Check::ok(ABOUT, "leaves checkpoints outside the database")
}

fn mail(actors: &Actors) -> Check {
    let host = &actors.config.mail.host;
    let found = if host.is_empty() { "none: invitations are links to share".into() } else { format!("goes to {host}") };
    Check::ok("mail", found)
}

/// Do the servers that are installed answer?
async fn reachable(actors: &Actors, views: &[Arc<WorkspaceView>]) -> Vec<Check> {
    let mut wanted = HashMap::new();
    for view in views {
        for one in view.installed.iter().filter(|one| one.enabled) {
            let scope = actors.vault.scope(view.id, one.def.id);
            wanted.insert((one.def.id, one.def.revision, scope), one.def.clone());
        }
    }
    let mut asked: Vec<_> = wanted.into_iter().map(|((_, _, scope), def)| (def, scope)).collect();
    asked.sort_by(|(a, _), (b, _)| a.slug.cmp(&b.slug));
    asked.truncate(SERVERS);
    let ask = |(def, scope): (Arc<ServerDef>, Option<WorkspaceId>)| async move {
        (actors.upstreams.probe(&def, scope).await, def)
    };
    let answers: Vec<_> = stream::iter(asked).map(ask).buffer_unordered(AT_ONCE).collect().await;
    let fine = answers.iter().filter(|(answer, _)| answer.is_ok()).count();
    let mut checks = vec![Check::ok("MCP servers", format!("{fine} of {} answer", answers.len()))];
    checks.extend(answers.iter().filter_map(|(answer, def)| Some(failing(def, answer.as_ref().err()?))));
    checks
}

fn failing(def: &ServerDef, error: &Error) -> Check {
    let fix = error.hint().map_or_else(|| format!("aerostack mcp test {}", def.slug), str::to_owned);
    Check::fail(&format!("server {}", def.slug), error.message(), fix)
}

/// Do the secrets arrive anywhere, and can they be used?
async fn secrets(actors: &Actors, by: &Principal, views: &[Arc<WorkspaceView>]) -> Result<Vec<Check>> {
    let namespace = by.namespace;
    let all = actors.store.read(move |db| async move { servers::list(&db, namespace).await }).await?;
    let is_installed = |id: ServerId| views.iter().any(|view| view.installed.iter().any(|one| one.def.id == id));
    let (mut checks, mut fine) = (Vec::new(), 0);
    for server in &all {
        for info in secrets_of(actors, by, server, None).await? {
            let about = format!("secret {}/{}", server.slug, info.name);
            match info.state {
                SecretState::NeedsReentry => checks.push(Check::fail(
                    &about,
                    "was set for another address of its server, and is not sent",
                    format!("aerostack secrets set {} {}", server.slug, info.name),
                )),
                SecretState::IntegrityError => checks.push(Check::fail(
                    &about,
                    "does not decrypt: its row was changed outside",
                    format!("aerostack secrets set {} {}", server.slug, info.name),
                )),
                SecretState::Active if !is_installed(server.id) => checks.push(Check::warn(
                    &about,
                    "goes nowhere: its server is installed in no workspace",
                    format!(
                        "aerostack mcp install {0} --workspace NAME, or: aerostack secrets delete {0} --all",
                        server.slug
                    ),
                )),
                SecretState::Active if may_be_dropped(server, &info.name, info.injection.as_ref()) => {
                    checks.push(Check::warn(
                        &about,
                        "is sent in a header with an underscore, which some proxies drop",
                        format!("aerostack secrets inject {} {} --header NAME", server.slug, info.name),
                    ));
                }
                SecretState::Active => fine += 1,
            }
        }
    }
    checks.insert(0, Check::ok("secrets", format!("{fine} arrive at their servers")));
    Ok(checks)
}

fn may_be_dropped(server: &ServerRecord, name: &str, rule: Option<&injection::Injection>) -> bool {
    Place::of(&server.spec.origin()) == Place::Headers && injection::label(rule, name).contains('_')
}

/// Will editors take the tools' names?
fn names(actors: &Actors, views: &[Arc<WorkspaceView>]) -> Vec<Check> {
    let mut checks = Vec::new();
    for view in views {
        for one in &view.installed {
            for long in installed_tools::long_names(actors, &view.slug, one.def.id) {
                checks.push(Check::warn(
                    &format!("tool {}", long.name),
                    format!("has a name that some editors refuse ({} characters)", long.name.chars().count()),
                    format!(
                        "aerostack mcp tool alias {} \"{}\" {} --workspace {}",
                        one.def.slug, long.tool, long.alias, view.slug
                    ),
                ));
            }
        }
    }
    checks
}

/// Which tokens end soon?
async fn expiring(actors: &Actors, views: &[Arc<WorkspaceView>]) -> Result<Vec<Check>> {
    let (ids, now): (Vec<_>, _) = (views.iter().map(|view| view.id).collect(), clock::now());
    let active = actors
        .store
        .read(move |db| async move {
            let mut all = Vec::new();
            for id in ids {
                all.extend(tokens::list_active(&db, id, now).await?);
            }
            Ok(all)
        })
        .await?;
    let soon: Vec<_> = active.iter().filter(|token| actors.tokens.expires_soon(token.expires_at)).collect();
    let mut checks = vec![Check::ok("tokens", format!("{} in force, {} expire soon", active.len(), soon.len()))];
    for token in soon {
        let Some(view) = views.iter().find(|view| view.id == token.workspace) else { continue };
        let end = token.expires_at.map(|end| end.format("%Y-%m-%d %H:%M UTC").to_string()).unwrap_or_default();
        checks.push(Check::warn(
            &format!("token \"{}\"", token.name),
            format!("of {} expires {end}", view.slug),
            format!("aerostack workspace token rotate {} {}", view.slug, token.id),
        ));
    }
    Ok(checks)
}

/// Check the gateway and the namespace
#[utoipa::path(get, path = "/api/v1/admin/doctor", tag = "system",
    responses((status = 200, description = "What was looked at, and what to do", body = CheckUp), Problems))]
pub async fn examine_route(admin: web::Data<Admin>, by: Caller, _: Query<Nothing>) -> Reply {
    Ok(HttpResponse::Ok().json(examine(&admin.actors, &by.0).await?))
}
