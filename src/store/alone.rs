//! One gateway per Postgres database: a gateway keeps its tokens in memory, so a second one would go on with a token that
//! the first has revoked. The lock is Postgres' own, held by a connection that does nothing else, so it is gone when its
//! holder is. (On SQLite the folder's lock does the same.) It needs a session of its own: a pooler between must not share
//! sessions.
//!
//! A connection can be lost while its gateway lives. Then the lock is taken again; if another gateway has it, or has had it
//! meanwhile and changed something, what this one knows is out of date and it must end. While nothing can be found out,
//! another gateway may be about to revoke what this one still accepts: it is told not to believe what it knows, before
//! Postgres lets go of the lock of a holder that is out of reach.

use std::time::{Duration, Instant};

use entities::change_log;
use sea_orm::{
    ColumnTrait as _, ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DbBackend, DbErr,
    EntityTrait as _, QueryFilter as _, QueryOrder as _, Statement,
};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::{
    connect::{quiet, without_password},
    failure::unavailable,
};
use crate::{
    config::DatabaseConfig,
    domain::clock,
    error::{Error, Result},
};

/// The lock's number; migrations have the one that ends in 281 (`connect`), the adding up of calls the one in 282 (`sums`).
const LOCK: i64 = 7_016_996_765_293_437_283;
/// The rows of the lock in Postgres' list of locks.
const LOCKED: &str = "l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
     AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
     AND ((l.classid::bigint << 32) | l.objid::bigint) = 7016996765293437283";
/// Between two attempts while another gateway still has it.
const PAUSE: Duration = Duration::from_millis(250);
/// Postgres notices within some 25 s that a holder's machine is gone.
const NOTICE: &str = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3";

/// Held while this process is the only gateway of a Postgres database.
pub struct Alone {
    db: DatabaseConnection,
    every: Duration,
    limit: Duration,
    /// How long what was found out last is good for; none: for ever.
    trust: Option<Duration>,
}

impl Alone {
    /// Takes the lock, before anything of the database is changed or read into memory. One that is about to be given back
    /// is waited for. None on SQLite, or when `database.exclusive` is off.
    ///
    /// # Errors
    /// `store_unavailable` when Postgres cannot be reached, or when another gateway (it is named) still has the lock after
    /// `database.takeover_seconds`.
    pub async fn take(config: &DatabaseConfig) -> Result<Option<Alone>> {
        let postgres = ["postgres://", "postgresql://"].iter().any(|scheme| config.url.starts_with(scheme));
        if !postgres || !config.exclusive {
            return Ok(None);
        }
        let place = without_password(&config.url);
        let mut options = quiet(ConnectOptions::new(&config.url), config);
        options
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .set_application_name(format!("aerostack gateway, process {}", std::process::id()));
        let db = Database::connect(options)
            .await
            .map_err(|cause| unavailable(format!("Cannot connect to {place}: {cause}")))?;
        let limit = Duration::from_secs(config.statement_timeout_seconds.max(1));
        let trust = Some(Duration::from_secs(config.trust_seconds)).filter(|trust| !trust.is_zero());
        let alone = Alone { db, every: Duration::from_secs(config.alone_check_seconds.max(1)), limit, trust };
        match alone.wait(Duration::from_secs(config.takeover_seconds), &place).await {
            Ok(()) => Ok(Some(alone)),
            Err(refused) => {
                alone.close().await;
                Err(refused)
            }
        }
    }

    async fn wait(&self, patience: Duration, place: &str) -> Result<()> {
        let (begun, mut said) = (clock::instant(), false);
        while !in_time(self.limit, self.lock()).await? {
            let holder = in_time(self.limit, self.holder()).await?;
            if begun.elapsed() >= patience {
                return Err(unavailable(format!("{place} is used by another gateway: {holder}")).with_hint(
                    "Stop that one, or give this one a database of its own; database.exclusive = false lets both run, but a \
                     token that is revoked at one then goes on at the other",
                ));
            }
            if !std::mem::replace(&mut said, true) {
                tracing::info!(%holder, "another gateway uses the database; waiting for its end");
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Resolves, with why, when this gateway is not the only one any more. `node` is its id in `change_log`. `believe` is
    /// told when that was not known for `database.trust_seconds` (false), and when it is again (true).
    pub async fn lost(&self, node: Uuid, believe: impl AsyncFn(bool)) -> String {
        let (mut known, mut seen, mut in_doubt, mut believed) = (None, clock::instant(), false, true);
        loop {
            let begun = clock::instant();
            // Nothing is waited for longer than what is known may be believed.
            let limit = self.left(seen).filter(|_| believed).map_or(self.limit, |left| left.min(self.limit));
            let looked = in_time(limit, self.look(node, &mut known)).await;
            match looked {
                Ok(Some(why)) => return why,
                Ok(None) => {
                    (seen, in_doubt) = (begun, false);
                    if !std::mem::replace(&mut believed, true) {
                        tracing::warn!("this is the only gateway of its database; calls go on");
                        believe(true).await;
                    }
                }
                // Said once: a database that is away is away for a while.
                Err(error) if !std::mem::replace(&mut in_doubt, true) => {
                    tracing::warn!(%error, "whether this is the only gateway is not known; trying again");
                }
                Err(_) => {}
            }
            let left = self.left(seen).filter(|_| believed);
            if left.is_some_and(|left| left.is_zero()) {
                believed = false;
                tracing::error!(
                    "the database was out of reach for database.trust_seconds; calls are refused until it is back"
                );
                believe(false).await;
            }
            sleep(left.filter(|left| !left.is_zero()).map_or(self.every, |left| left.min(self.every))).await;
        }
    }

    /// How long what was found out at `seen` may still be believed; none: for ever.
    fn left(&self, seen: Instant) -> Option<Duration> {
        self.trust.map(|trust| trust.saturating_sub(seen.elapsed()))
    }

    /// Why this gateway must end, if it must. `known` is the newest change when the lock was last seen held: what another
    /// process writes afterwards is newer, and what there was before is never looked through again.
    async fn look(&self, node: Uuid, known: &mut Option<i64>) -> std::result::Result<Option<String>, DbErr> {
        if !self.holds().await? {
            if !self.lock().await? {
                return Ok(Some(format!("another gateway has taken the database over: {}", self.holder().await?)));
            }
            if let Some(known) = *known
                && self.others_wrote_after(known, node).await?
            {
                return Ok(Some("another gateway has used the database meanwhile".to_owned()));
            }
            tracing::warn!("the connection that holds the database was lost; it is held again");
        }
        *known = Some(self.newest().await?);
        Ok(None)
    }

    async fn lock(&self) -> std::result::Result<bool, DbErr> {
        self.db.execute_unprepared(NOTICE).await?;
        self.ask(format!("SELECT pg_try_advisory_lock({LOCK})")).await
    }

    /// Whether the present session of the connection has the lock: a new one, after the old was lost, has not.
    async fn holds(&self) -> std::result::Result<bool, DbErr> {
        self.ask(format!("SELECT EXISTS (SELECT FROM pg_locks l WHERE l.pid = pg_backend_pid() AND {LOCKED})")).await
    }

    async fn ask(&self, question: String) -> std::result::Result<bool, DbErr> {
        let row = self.db.query_one_raw(Statement::from_string(DbBackend::Postgres, question)).await?;
        row.map_or(Ok(false), |row| row.try_get_by_index(0))
    }

    async fn holder(&self) -> std::result::Result<String, DbErr> {
        let question = format!(
            "SELECT a.application_name || coalesce(' at ' || host(a.client_addr), ' on its own machine') \
             FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid WHERE {LOCKED} LIMIT 1"
        );
        let row = self.db.query_one_raw(Statement::from_string(DbBackend::Postgres, question)).await?;
        let named = row.map(|row| row.try_get_by_index::<Option<String>>(0)).transpose()?.flatten();
        Ok(named.unwrap_or_else(|| "one that this user may not see".to_owned()))
    }

    async fn newest(&self) -> std::result::Result<i64, DbErr> {
        let newest = change_log::Entity::find().order_by_desc(change_log::Column::Seq).one(&self.db).await?;
        Ok(newest.map_or(0, |row| row.seq))
    }

    async fn others_wrote_after(&self, known: i64, node: Uuid) -> std::result::Result<bool, DbErr> {
        let newer = change_log::Entity::find().filter(change_log::Column::Seq.gt(known));
        Ok(newer.filter(change_log::Column::NodeId.ne(node)).one(&self.db).await?.is_some())
    }

    /// Gives the lock back, after everything else of the database was closed.
    pub async fn close(&self) {
        if let Err(cause) = self.db.close_by_ref().await {
            tracing::warn!(%cause, "the connection that held the database did not close cleanly");
        }
    }
}

async fn in_time<T>(limit: Duration, asked: impl Future<Output = std::result::Result<T, DbErr>>) -> Result<T> {
    let answered = timeout(limit, asked).await;
    answered.map_err(|_elapsed| unavailable("The database does not answer"))?.map_err(Error::from)
}
