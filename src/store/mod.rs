//! The databases. `Store` owns the pools and the runtime they live on, opens and migrates them, and runs closures in
//! read, write and analytics mode. One file per aggregate holds its queries and its plain record types; entities
//! never leave this module. It never decides who may do what, and never caches.
//!
//! actix has a runtime per worker, and a pooled connection belongs to the runtime that opened it: so the pools have
//! a runtime of their own and every call hops onto it. A call once begun runs to its end even when the caller leaves.

mod column;
mod connect;
mod failure;
mod lock;
mod packs;
mod sql;
mod sums;
mod tx;
mod warrant;

pub mod accounts;
pub mod alone;
pub mod analytics;
pub mod api_keys;
pub mod audit;
pub mod audit_check;
mod audit_state;
pub mod calls;
pub mod due_work;
pub mod histogram;
pub mod invites;
pub mod kept_answers;
pub mod keyring;
pub mod login_requests;
pub mod passwords;
pub mod public_skills;
pub mod secrets;
pub mod servers;
pub mod sessions;
pub mod settings;
pub mod sign_ins;
pub mod skills;
pub mod snapshot;
pub mod standing;
pub mod tokens;
pub mod tool_pins;
pub mod tool_settings;
pub mod usage;
pub mod workspaces;

#[cfg(test)]
mod aggregate_tests;
#[cfg(test)]
mod analytics_tests;
#[cfg(test)]
mod audit_tests;
#[cfg(test)]
mod durability_tests;
#[cfg(test)]
mod people_tests;
#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod skill_tests;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;

use std::{fmt, future::Future, path::Path, pin::Pin, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, SqliteTransactionMode, Statement,
    TransactionOptions, TransactionTrait,
};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::broadcast,
    time::timeout,
};
use uuid::Uuid;

pub use self::tx::{Tx, changes_of, has_changed};
use self::{
    audit::AuditRecord,
    connect::{Opened, Pools},
    failure::unavailable,
    lock::FolderLock,
    tx::Doing,
};
use crate::{
    config::DatabaseConfig,
    domain::audit_chain::AuditKey,
    error::{Error, Result},
};

/// What the closure of a write returns.
pub type TxFuture<'t, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 't>>;

/// Audit entries a slow reader of the live tail may fall behind before it misses some.
const TAIL: usize = 256;

/// The priority that statistics are written with: a `nice` value, calls have 0.
#[cfg(target_os = "linux")]
const WRITER_NICE: i32 = 10;

/// The databases; cheap to clone, callable from any thread.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    runtime: OwnRuntime,
    /// Where statistics are written.
    writer: OwnRuntime,
    state: Pools,
    analytics: Pools,
    instance: Uuid,
    node: Uuid,
    limit: Duration,
    audit_key: ArcSwapOption<AuditKey>,
    tail: broadcast::Sender<Arc<AuditRecord>>,
    lock: Mutex<Option<FolderLock>>,
}

impl Store {
    /// Connects both databases and brings their schemas up to date.
    ///
    /// # Errors
    /// `store_unavailable` when a file is locked or unusable or Postgres cannot be reached (the message names it),
    /// `conflict` when the schema is newer than this program; nothing is changed then.
    pub async fn open(config: &DatabaseConfig, data_dir: &Path) -> Result<Store> {
        let (config, data_dir) = (config.clone(), data_dir.to_owned());
        Store::opened(config.clone(), move |writer| connect::open(config, data_dir, writer)).await
    }

    /// Opens the databases of an installation beside the gateway that may run on them, for what an operator does on its
    /// machine. Nothing is made, migrated or locked, so only what no process keeps in memory may be written.
    ///
    /// # Errors
    /// `store_unavailable` when there is no database, `conflict` when its schema is not this program's.
    pub async fn open_beside(config: &DatabaseConfig, data_dir: &Path) -> Result<Store> {
        let (config, data_dir) = (config.clone(), data_dir.to_owned());
        Store::opened(config.clone(), move |writer| connect::open_beside(config, data_dir, writer)).await
    }

    async fn opened<F, Fut>(config: DatabaseConfig, open: F) -> Result<Store>
    where
        F: FnOnce(Handle) -> Fut,
        Fut: Future<Output = Result<Opened>> + Send + 'static,
    {
        let runtime = OwnRuntime::start(Builder::new_multi_thread().worker_threads(2).thread_name("store"))?;
        let mut behind = Builder::new_multi_thread();
        behind.worker_threads(1).thread_name("statistics").on_thread_start(give_way);
        let writer = OwnRuntime::start(&mut behind)?;
        let opened = hop(&runtime.handle, Box::pin(open(writer.handle.clone()))).await?;
        Ok(Store(Arc::new(Inner {
            runtime,
            writer,
            state: opened.state,
            analytics: opened.analytics,
            instance: opened.instance,
            node: Uuid::now_v7(),
            limit: Duration::from_secs(config.busy_timeout_seconds.max(config.statement_timeout_seconds)),
            audit_key: ArcSwapOption::empty(),
            tail: broadcast::Sender::new(TAIL),
            lock: Mutex::new(opened.lock),
        })))
    }

    /// Runs queries on the main database. On SQLite these connections refuse to write.
    pub async fn read<T, F, Fut>(&self, work: F) -> Result<T>
    where
        F: FnOnce(DatabaseConnection) -> Fut,
        Fut: Future<Output = Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        hop(&self.0.runtime.handle, work(self.0.state.read.clone())).await
    }

    /// Runs what somebody does in a write transaction of the main database; commits when it returns `Ok`, has said who
    /// acts (by an audit entry, or by [`Tx::acts`]) and they still may. On SQLite the transaction begins IMMEDIATE, so
    /// nothing read in it can be outdated when it writes.
    ///
    /// # Errors
    /// Those of `work`; `unauthorized` or `forbidden` when who acts lost the right meanwhile; `internal` when nobody is
    /// said to act; `store_unavailable` when the transaction cannot begin or commit in time.
    pub async fn write<T, F>(&self, work: F) -> Result<T>
    where
        F: for<'t> FnOnce(&'t Tx) -> TxFuture<'t, T> + Send + 'static,
        T: Send + 'static,
    {
        let inner = self.0.clone();
        hop(&self.0.runtime.handle, async move { inner.transact(&inner.state.write, Doing::Act, work).await }).await
    }

    /// As [`write`](Store::write), for what nobody does: times of last use, what is over, the gateway's own keys. Also for
    /// what somebody asks whom nobody knows yet.
    pub async fn upkeep<T, F>(&self, work: F) -> Result<T>
    where
        F: for<'t> FnOnce(&'t Tx) -> TxFuture<'t, T> + Send + 'static,
        T: Send + 'static,
    {
        let inner = self.0.clone();
        hop(&self.0.runtime.handle, async move { inner.transact(&inner.state.write, Doing::Upkeep, work).await }).await
    }

    /// Runs queries on the analytics database. On SQLite these connections refuse to write.
    ///
    /// # Errors
    /// Those of `work`; `store_unavailable` when a query takes longer than `database.statement_timeout_seconds`, which
    /// ends it.
    pub async fn analytics<T, F, Fut>(&self, work: F) -> Result<T>
    where
        F: FnOnce(DatabaseConnection) -> Fut,
        Fut: Future<Output = Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        hop(&self.0.runtime.handle, work(self.0.analytics.read.clone())).await
    }

    /// Runs `work` in a write transaction of the analytics database (its sink is the only caller).
    pub async fn analytics_write<T, F>(&self, work: F) -> Result<T>
    where
        F: for<'t> FnOnce(&'t Tx) -> TxFuture<'t, T> + Send + 'static,
        T: Send + 'static,
    {
        let inner = self.0.clone();
        hop(&self.0.writer.handle, async move { inner.transact(&inner.analytics.write, Doing::Upkeep, work).await })
            .await
    }

    /// Sets the key that audit entries are chained with. Writes with an audit entry fail until it is set.
    pub fn set_audit_key(&self, key: AuditKey) {
        self.0.audit_key.store(Some(Arc::new(key)));
    }

    /// The key in force.
    pub fn audit_key(&self) -> Option<Arc<AuditKey>> {
        self.0.audit_key.load_full()
    }

    /// Every audit entry from now on, after its commit.
    pub fn audit_tail(&self) -> broadcast::Receiver<Arc<AuditRecord>> {
        self.0.tail.subscribe()
    }

    /// The id of this installation, made with the database.
    pub fn instance_id(&self) -> Uuid {
        self.0.instance
    }

    /// The id of this process in `change_log`.
    pub fn node_id(&self) -> Uuid {
        self.0.node
    }

    /// Whether the main database answers.
    pub async fn ping(&self) -> Result<()> {
        let limit = self.0.limit;
        self.read(move |db| async move {
            match timeout(limit, db.execute_unprepared("SELECT 1")).await {
                Ok(answer) => answer.map(drop).map_err(Error::from),
                Err(_) => Err(unavailable("The database does not answer")),
            }
        })
        .await
    }

    /// Looks whether the pages of the main database are whole, and says how they are.
    ///
    /// # Errors
    /// `store_unavailable` when they are not, or when looking took longer than `limit`.
    pub async fn quick_check(&self, limit: Duration) -> Result<&'static str> {
        self.read(move |db| async move {
            if db.get_database_backend() != DbBackend::Sqlite {
                return Ok("its pages looked after by Postgres");
            }
            let look = db.query_one_raw(Statement::from_string(DbBackend::Sqlite, "PRAGMA quick_check(1)"));
            let row =
                timeout(limit, look).await.map_err(|_elapsed| unavailable("The database was not read in time"))??;
            match row.map(|row| row.try_get_by_index::<String>(0)).transpose()?.as_deref() {
                Some("ok") => Ok("its pages whole"),
                said => Err(unavailable(format!("The database is damaged: {}", said.unwrap_or("it says nothing")))),
            }
        })
        .await
    }

    /// Closes the pools (what was begun is finished first) and lets go of the data folder.
    pub async fn close(&self) {
        let inner = self.0.clone();
        let closed = hop(&self.0.runtime.handle, async move {
            inner.analytics.close().await;
            inner.state.close().await;
            inner.lock.lock().take();
            Ok(())
        });
        if let Err(error) = closed.await {
            tracing::warn!(%error, "the store did not close cleanly");
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.0.instance)
    }
}

impl Inner {
    async fn transact<T, F>(&self, pool: &DatabaseConnection, doing: Doing, work: F) -> Result<T>
    where
        F: for<'t> FnOnce(&'t Tx) -> TxFuture<'t, T> + Send,
        T: Send,
    {
        let conn = match timeout(self.limit, begin(pool)).await {
            Ok(conn) => conn?,
            Err(_) => return Err(unavailable("The database is locked by other writes")),
        };
        let tx = Tx::new(conn, self.node, doing);
        let done = timeout(self.limit, async {
            let value = work(&tx).await?;
            let key = self.audit_key.load_full();
            Ok::<_, Error>((value, tx.finish(key.as_deref()).await?))
        })
        .await
        .unwrap_or_else(|_| Err(unavailable("The database took too long; nothing was changed")));
        let conn = tx.into_conn();
        match done {
            Ok((value, entries)) => {
                self.commit(conn).await?;
                for entry in entries {
                    // Nobody listening is fine.
                    let _ = self.tail.send(entry);
                }
                Ok(value)
            }
            Err(error) => {
                // A rollback that fails or hangs ends with the connection, which the database rolls back itself.
                if !matches!(timeout(self.limit, conn.rollback()).await, Ok(Ok(()))) {
                    tracing::warn!("a transaction was not rolled back in order");
                }
                Err(error)
            }
        }
    }

    /// A commit whose answer is lost may have happened: the caller is told to look again.
    async fn commit(&self, conn: DatabaseTransaction) -> Result<()> {
        let cause = match timeout(self.limit, conn.commit()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(cause)) => cause.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::error!(%cause, "a commit was not confirmed");
        Err(unavailable("The database did not confirm the change; look whether it is there before repeating it"))
    }
}

async fn begin(pool: &DatabaseConnection) -> Result<DatabaseTransaction> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    Ok(pool.begin_with_options(options).await?)
}

/// Runs `work` on the store's runtime.
async fn hop<T, Fut>(handle: &Handle, work: Fut) -> Result<T>
where
    Fut: Future<Output = Result<T>> + Send + 'static,
    T: Send + 'static,
{
    match handle.spawn(work).await {
        Ok(result) => result,
        Err(cause) if cause.is_panic() => Err(Error::internal("using the database", cause)),
        Err(_) => Err(unavailable("The store is closed")),
    }
}

/// Dropping a runtime inside another one panics; this one is let go instead.
struct OwnRuntime {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl OwnRuntime {
    fn start(builder: &mut Builder) -> Result<Self> {
        let runtime = builder.enable_all().build();
        let runtime = runtime.map_err(|cause| Error::internal("starting the store's threads", cause))?;
        Ok(OwnRuntime { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }
}

/// Takes a lower priority for the calling thread and those it starts: a batch of statistics is written in one go, and on a
/// busy processor calls must not wait for it. It keeps a share that is enough for what the processor can call meanwhile.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(cause) = rustix::process::setpriority_process(None, WRITER_NICE) {
        tracing::debug!(%cause, "statistics are written with the priority of calls");
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
