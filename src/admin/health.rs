//! How the installation is: its actors, its databases, its disk, its versions. Nothing is changed by looking, and no
//! server is asked (that is [`super::doctor`]); what does not answer within its time is told as such.

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};

use actix_web::{HttpResponse, rt::time::timeout, web};

use crate::{
    actors::{Actors, health::ActorState},
    admin::{
        Admin, actors as board,
        auth::{Caller, require_installation},
        dto::{DatabaseHealth, DiskHealth, Health, SchemaSteps},
        openapi::Problems,
        reply::Reply,
        request::{Nothing, Query},
    },
    domain::role::Principal,
    error::{Error, ErrorCode, Result},
    store::standing::{DatabaseKind, Standing, Steps},
};

/// Longest wait for a database, and for a disk.
const LOOK: Duration = Duration::from_secs(3);
/// The files of the two databases in the data folder, and what SQLite keeps beside each.
const STATE: &str = "aerostack.db";
const ANALYTICS: &str = "analytics.db";
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// Room on a disk, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// What the gateway's user may still write.
    pub(super) free: u64,
    /// All of the file system.
    pub(super) total: u64,
}

/// How much room the file system of a folder has.
pub(super) fn room(folder: &Path) -> io::Result<Room> {
    let found = rustix::fs::statvfs(folder)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Room { free: bytes(found.f_bavail), total: bytes(found.f_blocks) })
}

/// Bytes of a SQLite database: its file, and those beside it that are there.
fn files(folder: &Path, name: &str) -> io::Result<u64> {
    let own = folder.join(name).metadata()?.len();
    let beside = BESIDE.iter().filter_map(|end| folder.join(format!("{name}{end}")).metadata().ok());
    Ok(beside.fold(own, |sum, file| sum.saturating_add(file.len())))
}

/// What a look at the disk finds, or that it does not answer.
async fn on_disk<T: Send + 'static>(look: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    let failed = |why: String| Error::new(ErrorCode::StoreUnavailable, why);
    match timeout(LOOK, actix_web::rt::task::spawn_blocking(look)).await {
        Ok(Ok(Ok(found))) => Ok(found),
        Ok(Ok(Err(cause))) => Err(failed(format!("The data folder cannot be read: {cause}"))),
        _ => Err(failed("The disk does not answer".into())),
    }
}

/// Looks at everything.
pub async fn examine(actors: &Actors, by: &Principal) -> Result<Health> {
    require_installation(actors, by, "see how it is")?;
    let actors_now = board::list(actors, by)?;
    let running = actors_now.actors.iter().filter(|one| one.state == ActorState::Running).count();
    let streams = actors_now.actors.iter().filter(|one| one.name.starts_with("ClientSession/")).count();
    let folder = actors.config.server.data_dir.clone();
    let database = database(actors, &folder).await;
    let disk = disk(folder).await;
    let well = database.reachable && disk.error.is_none();
    Ok(Health {
        status: if well { actors_now.status } else { "fail" }.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        actors: actors_now.actors.len(),
        actors_running: running,
        restarts: actors_now.actors.iter().map(|one| one.restarts).sum(),
        streams,
        calls: actors.calls.load(Relaxed),
        database,
        disk,
    })
}

async fn database(actors: &Actors, folder: &Path) -> DatabaseHealth {
    let kind = if actors.config.database.url.is_empty() { "sqlite" } else { "postgres" };
    match actors.store.standing(LOOK).await {
        Ok(found) => of_standing(kind, found, folder).await,
        Err(error) => DatabaseHealth {
            kind: kind.to_owned(),
            error: Some(error.message().to_owned()),
            ..DatabaseHealth::default()
        },
    }
}

async fn of_standing(kind: &str, found: Standing, folder: &Path) -> DatabaseHealth {
    let (mut state_bytes, mut analytics_bytes) = (found.bytes, None);
    if found.kind == DatabaseKind::Sqlite {
        let folder = folder.to_owned();
        // Without their sizes the databases are still told.
        let sizes = on_disk(move || Ok((files(&folder, STATE)?, files(&folder, ANALYTICS)?))).await.ok();
        (state_bytes, analytics_bytes) = sizes.unzip();
    }
    DatabaseHealth {
        kind: kind.to_owned(),
        reachable: true,
        error: None,
        latency_ms: Some(found.answered_in.as_secs_f64() * 1000.0),
        version: Some(found.version),
        state_bytes,
        analytics_bytes,
        state_schema: Some(schema(found.state)),
        analytics_schema: Some(schema(found.analytics)),
    }
}

fn schema(steps: Steps) -> SchemaSteps {
    SchemaSteps { applied: steps.applied, known: steps.known, newest: steps.newest }
}

async fn disk(folder: PathBuf) -> DiskHealth {
    let shown = folder.display().to_string();
    match on_disk(move || room(&folder)).await {
        Ok(room) => {
            DiskHealth { folder: shown, free_bytes: Some(room.free), total_bytes: Some(room.total), error: None }
        }
        Err(error) => {
            let error = Some(error.message().to_owned());
            DiskHealth { folder: shown, free_bytes: None, total_bytes: None, error }
        }
    }
}

/// Show how the installation is
#[utoipa::path(get, path = "/api/v1/admin/health", tag = "system",
    responses((status = 200, description = "Also when something is not well: `status` says so", body = Health), Problems))]
pub async fn show(admin: web::Data<Admin>, by: Caller, _: Query<Nothing>) -> Reply {
    Ok(HttpResponse::Ok().json(examine(&admin.actors, &by.0).await?))
}
