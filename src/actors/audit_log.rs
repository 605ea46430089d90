//! AuditLog: everything about the audit log that is not part of somebody's transaction. It records events that have
//! none (refusals, failed logins, restarts), counts refusals per source instead of writing one entry each, removes
//! what is too old, and emits a checkpoint now and then, so that a log cut at its end can be told from a whole one.
//!
//! Administrative acts do not pass through here: they are written in the transaction of the act (`Tx::audit`). The
//! live tail is the store's, which sees every entry after its commit, whoever wrote it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, OnceLock},
    time::Duration,
};

use actix::prelude::*;
use chrono::TimeDelta;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::broadcast;

use crate::{
    actors::{
        actor_ref::ActorRef,
        checkpoints::Checkpoints,
        supervisor::{self, Drain, Group, Heartbeat, Runtime, Spec},
    },
    config::AuditConfig,
    domain::{
        audit_checkpoint::{self, Checkpoint, hex},
        clock::{self, Timestamp},
        ids::{AccountId, WorkspaceId},
    },
    error::Result,
    store::{
        Store,
        audit::{ActorKind, AuditEntry, AuditKind, AuditRecord},
        audit_check,
    },
};

/// How often counted refusals are written: at most six entries a minute for each source and kind.
const REFUSALS_EVERY: Duration = Duration::from_secs(10);
/// Sources told apart between two writes; further ones are counted together.
const SOURCES: usize = 256;
/// Entries kept while the database does not answer.
const WAITING: usize = 1000;
/// How often old entries are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// Entries removed in one transaction: other writers get their turn in between.
const PRUNE_ROWS: u32 = 1000;

/// An event that is not part of a transaction.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Record(pub AuditEntry);

/// Somebody was refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refused {
    /// Whose log it belongs to; none: the owner's of this installation (nobody else is known).
    pub namespace: Option<AccountId>,
    /// The workspace it happened in, if it is known.
    pub workspace: Option<WorkspaceId>,
    /// What was refused: `auth_failed`, `foreign_token`, `origin_refused`, `csrf_refused`, `forbidden`.
    pub action: &'static str,
    /// What was asked for: (kind, name), never a credential.
    pub target: (&'static str, Arc<str>),
    /// Who asked: anonymous by address, a token or a user by name.
    pub source: (ActorKind, Arc<str>),
}

/// Write what was gathered now; whether all of it was written.
#[derive(Message)]
#[rtype(result = "bool")]
pub struct Flush;

/// The log's address for everybody who records events.
#[derive(Clone)]
pub struct Audit {
    log: ActorRef<AuditLog>,
    refusals: Arc<Mutex<Refusals>>,
    store: Store,
    owner: Arc<OnceLock<AccountId>>,
    checkpoints: Checkpoints,
}

/// Counted beside the actor, so that a flood fills neither its mailbox nor the log.
type Refusals = BTreeMap<Refused, Count>;

struct Count {
    times: u64,
    first: Timestamp,
    last: Timestamp,
}

impl Audit {
    /// Starts the actor.
    ///
    /// # Errors
    /// `validation` when the place for checkpoints cannot be used.
    pub fn start(runtime: &Runtime, store: Store, config: &AuditConfig) -> Result<Self> {
        let checkpoints = Checkpoints::of(config)?;
        let checkpoint_every = Duration::from_secs(config.checkpoint_seconds.max(1));
        let retention = (config.retention_days > 0).then(|| TimeDelta::days(config.retention_days.into()));
        let spec = Spec::singleton("AuditLog", Group::Sinks);
        let refusals = Arc::new(Mutex::new(Refusals::new()));
        let owner: Arc<OnceLock<AccountId>> = Arc::default();
        let (of_actor, counted, owned_by, places) =
            (store.clone(), refusals.clone(), owner.clone(), checkpoints.clone());
        let factory = move || AuditLog {
            store: of_actor.clone(),
            retention,
            refusals: counted.clone(),
            owner: owned_by.clone(),
            waiting: VecDeque::new(),
            lost: 0,
            written: 0,
            checkpoints: places.clone(),
            checkpoint_every,
            checkpoint: None,
            checkpoint_failing: false,
        };
        let log = supervisor::supervise(runtime, spec, factory);
        Ok(Audit { log, refusals, store, owner, checkpoints })
    }

    /// Whose installation this is, once it is known.
    pub fn owner(&self) -> Option<AccountId> {
        self.owner.get().copied()
    }

    /// Where checkpoints go besides the log.
    pub fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    /// Says whose log gets the refusals that belong to no namespace. To be called before anything is served.
    pub fn set_owner(&self, owner: AccountId) {
        // Set once at the start; the owner of an installation never changes.
        _ = self.owner.set(owner);
    }

    /// Records an event that is not part of a transaction.
    pub fn record(&self, entry: AuditEntry) {
        if let Err(cause) = self.log.tell(Record(entry)) {
            tracing::error!(%cause, "an audit event was lost");
        }
    }

    /// Counts a refusal.
    pub fn refused(&self, mut refusal: Refused) {
        let now = clock::now();
        let mut refusals = self.refusals.lock();
        if refusals.len() >= SOURCES && !refusals.contains_key(&refusal) {
            refusal.source = (ActorKind::Anonymous, "others".into());
            refusal.target = (refusal.target.0, "others".into());
            refusal.workspace = None;
        }
        let count = refusals.entry(refusal).or_insert(Count { times: 0, first: now, last: now });
        count.times += 1;
        count.last = now;
    }

    /// Every entry from now on, administrative acts included.
    pub fn tail(&self) -> broadcast::Receiver<Arc<AuditRecord>> {
        self.store.audit_tail()
    }

    /// Writes everything that was recorded; nothing more is taken.
    pub async fn drain(&self, deadline: Duration) {
        supervisor::drain(&self.log, deadline).await;
    }

    /// The actor (flush, drain).
    pub fn log(&self) -> &ActorRef<AuditLog> {
        &self.log
    }
}

/// The actor.
pub struct AuditLog {
    store: Store,
    retention: Option<TimeDelta>,
    refusals: Arc<Mutex<Refusals>>,
    owner: Arc<OnceLock<AccountId>>,
    waiting: VecDeque<AuditEntry>,
    lost: u64,
    written: u64,
    checkpoints: Checkpoints,
    checkpoint_every: Duration,
    checkpoint: Option<Checkpoint>,
    /// The newest checkpoint did not reach its place.
    checkpoint_failing: bool,
}

impl Actor for AuditLog {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(REFUSALS_EVERY, |log, ctx| {
            log.close_refusals();
            ctx.spawn(log.write());
        });
        ctx.spawn(self.emit_checkpoint());
        ctx.run_interval(self.checkpoint_every, |log, ctx| {
            ctx.spawn(log.emit_checkpoint());
        });
        ctx.run_interval(PRUNE_EVERY, |log, ctx| log.prune(ctx));
        self.prune(ctx);
    }
}

impl Handler<Record> for AuditLog {
    type Result = ();

    fn handle(&mut self, Record(entry): Record, ctx: &mut Self::Context) {
        self.keep(entry);
        ctx.spawn(self.write());
    }
}

impl Handler<Flush> for AuditLog {
    type Result = ResponseActFuture<Self, bool>;

    fn handle(&mut self, _: Flush, _: &mut Self::Context) -> Self::Result {
        self.close_refusals();
        Box::pin(self.write().map(|(), log, _| log.waiting.is_empty()))
    }
}

impl Handler<Drain> for AuditLog {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Drain, _: &mut Self::Context) -> Self::Result {
        self.close_refusals();
        Box::pin(self.write().then(|(), log, _| {
            if !log.waiting.is_empty() {
                tracing::error!(entries = log.waiting.len(), "audit events were lost at the stop");
            }
            log.emit_checkpoint()
        }))
    }
}

impl Handler<Heartbeat> for AuditLog {
    type Result = MessageResult<Heartbeat>;

    fn handle(&mut self, _: Heartbeat, _: &mut Self::Context) -> Self::Result {
        MessageResult::<Heartbeat>(json!({
            "waiting": self.waiting.len(),
            "counting": self.refusals.lock().len(),
            "written": self.written,
            "lost": self.lost,
            "checkpoint": self.checkpoint.map(|at| at.seq),
            "checkpoint_failing": self.checkpoint_failing,
        }))
    }
}

impl AuditLog {
    fn keep(&mut self, entry: AuditEntry) {
        if self.waiting.len() >= WAITING {
            self.lost += 1;
            tracing::error!(action = entry.action, "an audit event was lost: the database does not answer");
        } else {
            self.waiting.push_back(entry);
        }
    }

    /// Turns the counted refusals into entries.
    fn close_refusals(&mut self) {
        let refusals = std::mem::take(&mut *self.refusals.lock());
        for (refusal, count) in refusals {
            let Some(namespace) = refusal.namespace.or_else(|| self.owner.get().copied()) else { continue };
            let target = (refusal.target.0, refusal.target.1.as_ref());
            let who = (refusal.source.0, refusal.source.1.as_ref());
            let mut entry = AuditEntry::by_actor(namespace, who, refusal.action, target)
                .of_kind(AuditKind::Security)
                .in_workspaces(refusal.workspace)
                .with("times", count.times);
            entry.at = count.last;
            if count.times > 1 {
                entry = entry.with("first", count.first.to_rfc3339());
            }
            self.keep(entry);
        }
    }

    /// Writes what waits, in one transaction; on failure it waits on. `AuditLog` has one write under way at a time
    /// because the entries are out of the queue while it lasts.
    fn write(&mut self) -> impl ActorFuture<Self, Output = ()> + use<> {
        let entries: Vec<AuditEntry> = self.waiting.drain(..).collect();
        let store = self.store.clone();
        let write = async move {
            if entries.is_empty() {
                return (Ok(()), entries);
            }
            let copies = entries.clone();
            let result = store
                .write(move |tx| {
                    Box::pin(async move {
                        for entry in copies {
                            tx.audit(entry).await?;
                        }
                        Ok(())
                    })
                })
                .await;
            (result, entries)
        };
        write.into_actor(self).map(|(result, entries): (Result<()>, Vec<AuditEntry>), log: &mut Self, _| match result {
            Ok(()) => log.written += entries.len() as u64,
            Err(error) => {
                tracing::warn!(%error, entries = entries.len(), "audit events were not written yet");
                let room = WAITING.saturating_sub(log.waiting.len());
                log.lost += entries.len().saturating_sub(room) as u64;
                for entry in entries.into_iter().take(room).rev() {
                    log.waiting.push_front(entry);
                }
            }
        })
    }

    /// Hands the end of the chain to whoever keeps it outside the database: the log, the file, the command. What did not
    /// reach its place is tried again at the next turn.
    fn emit_checkpoint(&mut self) -> impl ActorFuture<Self, Output = ()> + use<> {
        let (store, places, last) = (self.store.clone(), self.checkpoints.clone(), self.checkpoint);
        let emit = async move {
            let head = store.read(|db| async move { audit_check::head(&db).await }).await;
            let head = head.map_err(|cause| cause.to_string())?;
            if head.seq == 0 || last == Some(head) {
                return Ok(None);
            }
            tracing::info!(target: "aerostack::audit", seq = head.seq, mac = hex(&head.mac), "checkpoint");
            places.put(audit_checkpoint::line(&head, store.instance_id(), clock::now())).await?;
            Ok(Some(head))
        };
        emit.into_actor(self).map(|emitted: Result<Option<Checkpoint>, String>, log: &mut Self, _| match emitted {
            Ok(None) => {}
            Ok(Some(head)) => {
                log.checkpoint = Some(head);
                log.checkpoint_failing = false;
            }
            Err(cause) => {
                log.checkpoint_failing = true;
                tracing::error!(cause, "an audit checkpoint did not reach its place");
            }
        })
    }

    fn prune(&self, ctx: &mut Context<Self>) {
        let Some(retention) = self.retention else { return };
        let store = self.store.clone();
        let before = clock::now() - retention;
        let prune = async move {
            loop {
                match store.prune_audit(before, PRUNE_ROWS).await {
                    Ok(Some(seq)) => tracing::info!(seq, "audit entries up to here were removed"),
                    Ok(None) => return,
                    Err(error) => return tracing::warn!(%error, "old audit entries were not removed"),
                }
            }
        };
        ctx.spawn(prune.into_actor(self));
    }
}
