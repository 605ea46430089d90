//! Opening the databases: pools and their settings, migrations, the rows that must exist. SQLite gets two files with
//! one writing connection each, so that writers queue here in order instead of polling for a lock; Postgres gets two
//! pools, so that statistics never take the last connection from a revoke, and one connection to write them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use migration::MigratorTrait;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbErr, EntityTrait, Set,
    sea_query::OnConflict,
    sqlx::{
        self,
        sqlite::{SqliteConnection, SqliteJournalMode, SqliteSynchronous},
    },
};
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::{
    config::DatabaseConfig,
    domain::{audit_chain, clock},
    error::{Error, ErrorCode, Result},
    store::{
        failure::unavailable,
        lock::{self, FolderLock},
        sums,
    },
};

/// Name of the `head` row of `audit_head`.
pub(super) const HEAD: &str = "head";
/// Name of the setting with the installation's id.
const INSTANCE: &str = "instance_id";

/// Where to read and where to write one database.
#[derive(Clone)]
pub(super) struct Pools {
    pub(super) read: DatabaseConnection,
    pub(super) write: DatabaseConnection,
}

impl Pools {
    pub(super) async fn close(&self) {
        for pool in [&self.read, &self.write] {
            if let Err(cause) = pool.close_by_ref().await {
                tracing::warn!(%cause, "a database did not close cleanly");
            }
        }
    }
}

/// Everything `Store::open` needs.
pub(super) struct Opened {
    pub(super) state: Pools,
    pub(super) analytics: Pools,
    pub(super) lock: Option<FolderLock>,
    pub(super) instance: Uuid,
}

/// Opens and migrates. What statistics are written with lives on the threads of `writer`.
pub(super) async fn open(config: DatabaseConfig, data_dir: PathBuf, writer: Handle) -> Result<Opened> {
    if config.url.is_empty() {
        open_sqlite(&config, &data_dir, &writer).await
    } else if config.url.starts_with("postgres://") || config.url.starts_with("postgresql://") {
        open_postgres(&config, &writer).await
    } else {
        Err(Error::new(ErrorCode::Validation, "database.url is not a postgres:// URL")
            .with_hint("Leave it empty for SQLite files in the data folder"))
    }
}

/// Opens the databases of an installation beside the gateway that may run on them: nothing is made, migrated or locked.
pub(super) async fn open_beside(config: DatabaseConfig, data_dir: PathBuf, writer: Handle) -> Result<Opened> {
    let (state, analytics) = if config.url.is_empty() {
        let files = ["aerostack.db", "analytics.db"].map(|name| data_dir.join(name));
        if let Some(missing) = files.iter().find(|file| !file.is_file()) {
            return Err(unavailable(format!("There is no database at {}", missing.display()))
                .with_hint("Name the gateway's data folder, or its database.url"));
        }
        let [state, analytics] = files;
        (state_pools(&config, &state).await?, analytics_pools(&config, &analytics, &writer).await?)
    } else {
        postgres_pools(&config, &writer).await?
    };
    let place = if config.url.is_empty() { data_dir.display().to_string() } else { without_password(&config.url) };
    let current = is_current::<migration::State>(&state.write, &place).await?;
    let instance = if current { instance_of(&state.write).await? } else { None };
    let Some(instance) = instance else {
        return Err(Error::new(ErrorCode::Conflict, format!("{place} was not written by this version of aerostack"))
            .with_hint("Start the gateway of this version on it once"));
    };
    Ok(Opened { state, analytics, lock: None, instance })
}

async fn open_sqlite(config: &DatabaseConfig, data_dir: &Path, writer: &Handle) -> Result<Opened> {
    let lock = FolderLock::take(data_dir)?;
    let path = data_dir.join("aerostack.db");
    let state = state_pools(config, &path).await?;
    migrate::<migration::State>(&state.write, &path.display().to_string()).await?;
    let instance = first_rows(&state.write).await?;
    let path = data_dir.join("analytics.db");
    let analytics = analytics_pools(config, &path, writer).await?;
    migrate::<migration::Analytics>(&analytics.write, &path.display().to_string()).await?;
    sums::complete(&analytics.write).await?;
    Ok(Opened { state, analytics, lock: Some(lock), instance })
}

/// What is read of the state is found by its key.
async fn state_pools(config: &DatabaseConfig, path: &Path) -> Result<Pools> {
    sqlite_pools(config, path, (SqliteSynchronous::Full, None), &Handle::current()).await
}

/// What is read of the statistics may be much: each read has the time that a statement has on Postgres, where none is no
/// limit.
async fn analytics_pools(config: &DatabaseConfig, path: &Path, writer: &Handle) -> Result<Pools> {
    let limit = Duration::from_secs(config.statement_timeout_seconds);
    let kind = (SqliteSynchronous::Normal, Some(limit).filter(|limit| !limit.is_zero()));
    sqlite_pools(config, path, kind, writer).await
}

/// Instructions of SQLite's machine between two looks at the clock: well under a millisecond.
const BETWEEN_LOOKS: i32 = 10_000;

/// Ends what is done with a connection from now on when `limit` is over; the connection can be used again then. Called
/// whenever one is handed out.
async fn bound(connection: &mut SqliteConnection, limit: Duration) -> std::result::Result<(), sqlx::Error> {
    let begun = clock::instant();
    connection.lock_handle().await?.set_progress_handler(BETWEEN_LOOKS, move || begun.elapsed() < limit);
    Ok(())
}

async fn sqlite_pools(
    config: &DatabaseConfig,
    path: &Path,
    (synchronous, reads_within): (SqliteSynchronous, Option<Duration>),
    writer: &Handle,
) -> Result<Pools> {
    lock::touch(path)?;
    let options = |connections: u32, query_only: bool| {
        let (path, busy) = (path.to_owned(), Duration::from_secs(config.busy_timeout_seconds));
        let mut options = quiet(ConnectOptions::new("sqlite://aerostack.db"), config);
        options.max_connections(connections).test_before_acquire(false).idle_timeout(None).max_lifetime(None);
        options.map_sqlx_sqlite_opts(move |options| {
            let options = options
                .filename(&path)
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(synchronous)
                .busy_timeout(busy)
                .foreign_keys(true)
                .pragma("journal_size_limit", "67108864");
            if query_only { options.pragma("query_only", "ON") } else { options }
        });
        if let Some(limit) = reads_within.filter(|_| query_only) {
            options.map_sqlx_sqlite_pool_opts(move |pool| {
                pool.after_connect(move |connection, _| Box::pin(bound(connection, limit))).before_acquire(
                    move |connection, _| {
                        Box::pin(async move {
                            bound(connection, limit).await?;
                            Ok(true)
                        })
                    },
                )
            });
        }
        options
    };
    let named = |cause: DbErr| unavailable(format!("Cannot open {}: {cause}", path.display()));
    let write = connect_on(writer, options(1, false)).await.map_err(named)?;
    let read = Database::connect(options(config.max_connections.max(1), true)).await.map_err(named)?;
    Ok(Pools { read, write })
}

async fn open_postgres(config: &DatabaseConfig, writer: &Handle) -> Result<Opened> {
    let instance = prepare_postgres(config).await?;
    let (state, analytics) = postgres_pools(config, writer).await?;
    Ok(Opened { state, analytics, lock: None, instance })
}

async fn postgres_pools(config: &DatabaseConfig, writer: &Handle) -> Result<(Pools, Pools)> {
    let named = |cause: DbErr| unavailable(format!("Cannot connect to {}: {cause}", without_password(&config.url)));
    let statement = Duration::from_secs(config.statement_timeout_seconds);
    let options = |connections: u32| {
        let mut options = quiet(ConnectOptions::new(&config.url), config);
        options.max_connections(connections.max(1)).set_application_name("aerostack").statement_timeout(statement);
        options.test_before_acquire_if_idle_for(Duration::from_secs(5));
        options
    };
    let state = Database::connect(options(config.max_connections)).await.map_err(named)?;
    let read = Database::connect(options((config.max_connections / 2).saturating_sub(1))).await.map_err(named)?;
    let write = connect_on(writer, options(1)).await.map_err(named)?;
    Ok((Pools { read: state.clone(), write: state }, Pools { read, write }))
}

/// Connects on a runtime of its own: a connection's threads begin with the priority of who opens it.
async fn connect_on(runtime: &Handle, options: ConnectOptions) -> std::result::Result<DatabaseConnection, DbErr> {
    let connecting = runtime.spawn(async move { Database::connect(options).await });
    connecting.await.unwrap_or_else(|cause| Err(DbErr::Custom(cause.to_string())))
}

/// Migrates over one connection that holds an advisory lock, so that nodes started together take turns.
async fn prepare_postgres(config: &DatabaseConfig) -> Result<Uuid> {
    let place = without_password(&config.url);
    let mut options = quiet(ConnectOptions::new(&config.url), config);
    options.max_connections(1).set_application_name("aerostack migrate");
    let db =
        Database::connect(options).await.map_err(|cause| unavailable(format!("Cannot connect to {place}: {cause}")))?;
    let work = async {
        db.execute_unprepared("SELECT pg_advisory_lock(7016996765293437281)").await?;
        migrate::<migration::State>(&db, &place).await?;
        migrate::<migration::Analytics>(&db, &place).await?;
        sums::complete(&db).await?;
        first_rows(&db).await
    };
    let instance = work.await;
    // Closing the only connection releases the lock.
    if let Err(cause) = db.close().await {
        tracing::warn!(%cause, "the migration connection did not close cleanly");
    }
    instance
}

async fn migrate<M: MigratorTrait>(db: &DatabaseConnection, place: &str) -> Result<()> {
    if is_current::<M>(db, place).await? {
        return Ok(());
    }
    M::up(db, None).await.map_err(|cause| unavailable(format!("Cannot bring {place} up to date: {cause}")))
}

/// Whether every step was taken; an error if one was that this program does not know.
async fn is_current<M: MigratorTrait>(db: &DatabaseConnection, place: &str) -> Result<bool> {
    match M::get_pending_migrations_read_only(db).await {
        Ok(pending) => Ok(pending.is_empty()),
        // The migrator's only complaint of its own: a step is recorded that this program does not know.
        Err(DbErr::Custom(cause)) => {
            tracing::error!(%place, cause, "the schema is newer than this program");
            Err(Error::new(ErrorCode::Conflict, format!("{place} was written by a newer aerostack"))
                .with_hint("Start that version again, or restore a backup made before the upgrade")
                .with_data(serde_json::json!({"reason": "newer_schema"})))
        }
        Err(cause) => Err(unavailable(format!("Cannot read the schema of {place}: {cause}"))),
    }
}

/// The installation's id and the start of the audit chain; made once, by whoever comes first.
async fn first_rows(db: &DatabaseConnection) -> Result<Uuid> {
    use entities::{audit_head, setting};

    let fresh = setting::ActiveModel { name: Set(INSTANCE.into()), value: Set(Uuid::now_v7().to_string()) };
    let unless_there = OnConflict::column(setting::Column::Name).do_nothing().to_owned();
    setting::Entity::insert(fresh).on_conflict(unless_there).exec_without_returning(db).await?;
    let head = audit_head::ActiveModel {
        name: Set(HEAD.into()),
        seq: Set(0),
        mac: Set(audit_chain::GENESIS.to_vec()),
        key_version: Set(0),
        seal: Set(Vec::new()),
        ts_ms: Set(0),
    };
    let unless_there = OnConflict::column(audit_head::Column::Name).do_nothing().to_owned();
    audit_head::Entity::insert(head).on_conflict(unless_there).exec_without_returning(db).await?;

    instance_of(db).await?.ok_or_else(|| Error::internal("reading the installation's id", "no usable row in settings"))
}

async fn instance_of(db: &DatabaseConnection) -> Result<Option<Uuid>> {
    let row = entities::setting::Entity::find_by_id(INSTANCE).one(db).await?;
    Ok(row.and_then(|row| row.value.parse().ok()))
}

pub(super) fn quiet(mut options: ConnectOptions, config: &DatabaseConfig) -> ConnectOptions {
    options
        .sqlx_logging(false)
        .record_stmt_in_spans(false)
        .acquire_timeout(Duration::from_secs(config.acquire_timeout_seconds))
        .connect_timeout(Duration::from_secs(config.acquire_timeout_seconds));
    options
}

/// The address for messages: user and host, never the password or query.
pub(super) fn without_password(url: &str) -> String {
    let Ok(mut url) = url::Url::parse(url) else { return "the database".to_owned() };
    let _ = url.set_password(None);
    url.set_query(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_never_carry_the_password() {
        let shown = without_password("postgres://gate:hunter2@db:5432/aerostack?password=hunter2");
        assert_eq!(shown, "postgres://gate@db:5432/aerostack");
    }
}
