//! The directory of upstream sessions and lanes, and the lease that a call works with. Sessions are shared by all
//! threads; lanes belong to the thread that calls. Both start when first needed and end with their definition.

use std::{
    cell::RefCell,
    collections::HashMap,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use actix::{Handler, Message};
use dashmap::DashMap;
use tokio_util::sync::CancellationToken;

use crate::{
    actors::{
        actor_ref::ActorRef,
        supervisor::{Group, Runtime, Spec, drain, supervise, supervise_here},
        upstream_lane::{Hand, UpstreamLane, not_asked},
        upstream_lease::{self, Lease},
        upstream_link::{Credentials, Discovered, Link, Parts, Status, TestReport},
        upstream_session::{Probe, Refresh, UpstreamSession},
    },
    config::UpstreamConfig,
    domain::{
        clock,
        ids::{RevisionId, ServerId, WorkspaceId},
    },
    error::{Error, ErrorCode, Result},
    protocol::log_level::Level,
    upstream::{NetworkPolicy, ServerDef, UpstreamError, ears::Watch},
};

/// One set of credentials of one server.
type Key = (ServerId, Option<WorkspaceId>);

/// A running session, as lanes know it.
pub struct Session {
    pub(super) def: Arc<ServerDef>,
    pub(super) scope: Option<WorkspaceId>,
    pub(super) address: ActorRef<UpstreamSession>,
    pub(super) link: Arc<Link>,
}

/// Reaches MCP servers. Cloning is cheap.
#[derive(Clone)]
pub struct Upstreams {
    shared: Arc<Shared>,
}

struct Shared {
    /// Tells this directory's lanes from another's on the same thread (tests run several gateways in a process).
    instance: u64,
    runtime: Runtime,
    parts: Arc<Parts>,
    sessions: DashMap<Key, Arc<Session>>,
}

static INSTANCES: AtomicU64 = AtomicU64::new(1);
static THREADS: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static THREAD: u64 = THREADS.fetch_add(1, Relaxed);
    static LANES: RefCell<HashMap<(u64, Key), Lane>> = RefCell::default();
}

/// A lane on this thread.
#[derive(Clone)]
struct Lane {
    revision: RevisionId,
    address: ActorRef<UpstreamLane>,
    hand: Rc<Hand>,
    retire: CancellationToken,
}

impl Upstreams {
    /// An empty directory.
    pub fn new(
        runtime: Runtime,
        config: UpstreamConfig,
        policy: Arc<NetworkPolicy>,
        credentials: Credentials,
        discovered: Arc<Discovered>,
    ) -> Self {
        let parts = Arc::new(Parts { config, policy, credentials, discovered });
        let instance = INSTANCES.fetch_add(1, Relaxed);
        Upstreams { shared: Arc::new(Shared { instance, runtime, parts, sessions: DashMap::new() }) }
    }

    /// Where connections may go.
    pub fn policy(&self) -> &Arc<NetworkPolicy> {
        &self.shared.parts.policy
    }

    /// Leave and means to make one call to `def`. Must be called on the thread that makes the call.
    pub async fn lease(&self, def: &Arc<ServerDef>, scope: Option<WorkspaceId>, deadline: Instant) -> Result<Lease> {
        let leased = self.try_lease(def, scope, deadline).await;
        leased.map_err(|failure| failure.into_error(&def.slug))
    }

    async fn try_lease(
        &self,
        def: &Arc<ServerDef>,
        scope: Option<WorkspaceId>,
        deadline: Instant,
    ) -> Result<Lease, UpstreamError> {
        let permit = def.admit(&self.shared.parts.config)?;
        let lane = self.lane(def, scope);
        let ready = match lane.hand.ready() {
            Some(ready) => ready,
            None => upstream_lease::make_ready(&lane.hand, &lane.address, None, deadline).await?,
        };
        Ok(Lease::new(lane.hand, lane.address, ready, permit))
    }

    /// Starts the session of `def` if there is none: its tools are then discovered and kept up to date.
    pub fn ensure(&self, def: &Arc<ServerDef>, scope: Option<WorkspaceId>) -> Arc<Session> {
        let key = (def.id, scope);
        if let Some(session) = self.shared.sessions.get(&key)
            && session.def.revision == def.revision
            && !session.def.retired.is_cancelled()
        {
            return session.clone();
        }
        self.shared.sessions.retain(|_, session| !session.def.retired.is_cancelled());
        let mut entry = self.shared.sessions.entry(key).or_insert_with(|| self.start(def, scope));
        if entry.def.revision != def.revision || entry.def.retired.is_cancelled() {
            *entry = self.start(def, scope);
        }
        entry.clone()
    }

    fn start(&self, def: &Arc<ServerDef>, scope: Option<WorkspaceId>) -> Arc<Session> {
        let link = Arc::new(Link::default());
        let spec = Spec::instance(name("UpstreamSession", def, scope), Group::Upstream, def.retired.clone());
        let (parts, made_for, published) = (self.shared.parts.clone(), def.clone(), link.clone());
        let address = supervise(&self.shared.runtime, spec, move || {
            UpstreamSession::new(parts.clone(), made_for.clone(), scope, published.clone())
        });
        Arc::new(Session { def: def.clone(), scope, address, link })
    }

    /// The lane of `def` on this thread.
    fn lane(&self, def: &Arc<ServerDef>, scope: Option<WorkspaceId>) -> Lane {
        let key = (self.shared.instance, (def.id, scope));
        LANES.with_borrow_mut(|lanes| {
            if let Some(lane) = lanes.get(&key)
                && lane.revision == def.revision
                && !lane.retire.is_cancelled()
            {
                return lane.clone();
            }
            let lane = self.start_lane(def, scope);
            lanes.insert(key, lane.clone());
            lane
        })
    }

    fn start_lane(&self, def: &Arc<ServerDef>, scope: Option<WorkspaceId>) -> Lane {
        let session = self.ensure(def, scope);
        let hand = Hand::new(self.shared.parts.clone(), session);
        let retire = def.retired.child_token();
        let thread = THREAD.with(|thread| *thread);
        let spec =
            Spec::instance(format!("{}@{thread}", name("UpstreamLane", def, scope)), Group::Upstream, retire.clone());
        let (held, stop) = (hand.clone(), retire.clone());
        let address = supervise_here(&self.shared.runtime, spec, move || UpstreamLane::new(held.clone(), stop.clone()));
        Lane { revision: def.revision, address, hand, retire }
    }

    /// Fetches the tool list of `def` now; how many tools there are.
    pub async fn refresh(&self, def: &Arc<ServerDef>, scope: Option<WorkspaceId>) -> Result<usize> {
        self.ask_session(def, scope, Refresh).await
    }

    /// Tests `def`: connects, lists, reports. Counts as neither success nor failure of a call.
    pub async fn probe(&self, def: &Arc<ServerDef>, scope: Option<WorkspaceId>) -> Result<TestReport> {
        self.ask_session(def, scope, Probe).await
    }

    async fn ask_session<M, T>(&self, def: &Arc<ServerDef>, scope: Option<WorkspaceId>, message: M) -> Result<T>
    where
        UpstreamSession: Handler<M>,
        M: Message<Result = Result<T, UpstreamError>> + Send + 'static,
        T: Send + 'static,
    {
        // Connecting and all pages of a list.
        let patience = Duration::from_secs(self.shared.parts.config.discovery_timeout_seconds.saturating_mul(3));
        let asked = self.ensure(def, scope).address.ask(message, patience).await;
        let answered = asked.unwrap_or_else(|cause| Err(not_asked(cause, patience)));
        answered.map_err(|failure| failure.into_error(&def.slug))
    }

    /// Tells `def`, if it is of a revision with sessions, to log from `level` on; the lowest that anybody wants counts.
    pub fn want_log_level(&self, def: &Arc<ServerDef>, scope: Option<WorkspaceId>, level: Level) {
        self.ensure(def, scope).link.ears.want_level(level);
    }

    /// Waits, at most `wait`, until changes at `def` reach us. At once if it cannot be listened to.
    pub async fn listen(&self, def: &Arc<ServerDef>, scope: Option<WorkspaceId>, wait: Duration) {
        let _heard = self.ensure(def, scope).link.ears.until_heard(wait).await;
    }

    /// Subscribes to a resource of `def` (its own URI), at most once however many do, until the watch is dropped.
    pub async fn watch(
        &self,
        def: &Arc<ServerDef>,
        scope: Option<WorkspaceId>,
        uri: &str,
        wait: Duration,
    ) -> Result<Watch> {
        let session = self.ensure(def, scope);
        let most = self.shared.parts.config.subscriptions;
        let Some(watch) = session.link.ears.want(uri, most) else {
            let full = format!("{} has {most} resources subscribed to, the most allowed", def.slug);
            return Err(Error::new(ErrorCode::Overloaded, full).with_retry_after(60));
        };
        if !session.link.ears.until_heard(wait).await {
            return Err(UpstreamError::Unavailable("it cannot be listened to now".into()).into_error(&def.slug));
        }
        if watch.is_refused() {
            let refused = format!("{} does not let clients subscribe to this resource", def.slug);
            return Err(Error::new(ErrorCode::InvalidParams, refused));
        }
        Ok(watch)
    }

    /// How the session of a server is, if it was ever needed.
    pub fn status(&self, server: ServerId, scope: Option<WorkspaceId>) -> Option<Arc<Status>> {
        self.shared.sessions.get(&(server, scope)).map(|session| session.link.status.load_full())
    }

    /// Ends the sessions at the servers, all at once, each within the time that is left.
    pub async fn drain(&self, deadline: Instant) {
        let left = deadline.saturating_duration_since(clock::instant());
        let sessions: Vec<Arc<Session>> = self.shared.sessions.iter().map(|entry| entry.value().clone()).collect();
        futures_util::future::join_all(sessions.iter().map(|session| drain(&session.address, left))).await;
    }
}

/// Lets go of this thread's lanes that were retired, and so of their connections.
pub(super) fn sweep_lanes() {
    let gone = LANES.with_borrow_mut(|lanes| {
        let retired = |_: &(u64, Key), lane: &mut Lane| lane.retire.is_cancelled();
        lanes.extract_if(retired).collect::<Vec<_>>()
    });
    drop(gone);
}

/// A name that tells sessions of equal slugs apart.
fn name(kind: &str, def: &ServerDef, scope: Option<WorkspaceId>) -> String {
    let id = def.id.0.simple().to_string();
    let tail = id.get(26..).unwrap_or_default();
    match scope {
        Some(workspace) => format!("{kind}/{}.{tail}.{workspace}", def.slug),
        None => format!("{kind}/{}.{tail}", def.slug),
    }
}

#[cfg(test)]
#[path = "upstreams_tests.rs"]
mod tests;
