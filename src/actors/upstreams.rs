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
use bytes::Bytes;
use dashmap::DashMap;
use tokio_util::sync::CancellationToken;

use crate::{
    actors::{
        actor_ref::ActorRef,
        client::Client,
        own_session::Reach,
        supervisor::{Group, Runtime, Spec, drain, supervise, supervise_here},
        upstream_lane::{Hand, UpstreamLane, not_asked},
        upstream_lease::{self, Lease},
        upstream_link::{Credentials, Discovered, Link, NOTE_PATIENCE, Parts, Status, TestReport},
        upstream_session::{Post, Probe, Refresh, UpstreamSession, Whose},
    },
    config::UpstreamConfig,
    domain::{
        clock,
        ids::{RevisionId, WorkspaceId},
    },
    error::{Error, ErrorCode, Result},
    protocol::log_level::Level,
    upstream::{NetworkPolicy, ServerDef, UpstreamError, ears::Watch, lists::Offer, relay::Posted, stdio::Host},
};

/// One set of credentials of one revision of a server, for everybody or for one client.
type Key = (RevisionId, Option<WorkspaceId>, Option<Client>);

/// A running session, as lanes know it.
pub struct Session {
    pub(super) def: Arc<ServerDef>,
    pub(super) scope: Option<WorkspaceId>,
    /// Whose it is; none: everybody's.
    pub(super) client: Option<Client>,
    /// Ends it: with its definition or, if it is a client's, when nobody needs it any more.
    pub(super) retire: CancellationToken,
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
        reach: Reach,
        host: Host,
    ) -> Self {
        let parts = Arc::new(Parts { config, policy, credentials, discovered, reach, host });
        let instance = INSTANCES.fetch_add(1, Relaxed);
        Upstreams { shared: Arc::new(Shared { instance, runtime, parts, sessions: DashMap::new() }) }
    }

    /// Where connections may go.
    pub fn policy(&self) -> &Arc<NetworkPolicy> {
        &self.shared.parts.policy
    }

    /// What programs on this machine are given.
    pub fn host(&self) -> &Host {
        &self.shared.parts.host
    }

    /// Leave and means to make one call to `def`. Must be called on the thread that makes the call.
    pub async fn lease(&self, def: &Arc<ServerDef>, scope: Option<WorkspaceId>, deadline: Instant) -> Result<Lease> {
        let leased = self.try_lease(def, scope, None, deadline).await;
        leased.map_err(|failure| failure.into_error(&def.slug))
    }

    /// As [`Upstreams::lease`], in a session of the client's own: there the server may ask it what it declared. When
    /// there are as many such sessions as may be and all are in use, in the shared one.
    pub async fn lease_own(
        &self,
        def: &Arc<ServerDef>,
        scope: Option<WorkspaceId>,
        client: Client,
        deadline: Instant,
    ) -> Result<Lease> {
        let key = (def.revision, scope, Some(client));
        let may_have = def.spec.program().is_none_or(|program| !program.isolation.is_shared());
        let client = match may_have && (self.shared.sessions.contains_key(&key) || self.make_room()) {
            true => key.2,
            false => None,
        };
        let leased = self.try_lease(def, scope, client, deadline).await;
        leased.map_err(|failure| failure.into_error(&def.slug))
    }

    /// Whether one more session of a client's own may begin; the one unused for longest goes if there are too many.
    fn make_room(&self) -> bool {
        let most = self.shared.parts.config.client_sessions;
        let mut own: Vec<(u64, Arc<Session>)> = Vec::new();
        self.shared.sessions.retain(|_, session| {
            let lives = !session.retire.is_cancelled();
            if lives && session.client.is_some() {
                own.push((session.link.used_ns(), session.clone()));
            }
            lives
        });
        if own.len() < most {
            return true;
        }
        let idle = own.iter().filter(|(_, session)| session.link.is_unused());
        let Some((_, oldest)) = idle.min_by_key(|(used, _)| *used) else { return false };
        oldest.retire.cancel();
        true
    }

    /// A client is gone: its own sessions end.
    pub fn end_client(&self, who: &str) {
        for session in self.own_sessions(who) {
            session.retire.cancel();
        }
    }

    /// Tells the servers that a client has sessions of its own with what it says (a notification).
    pub fn tell_own(&self, who: &str, method: &str, body: &Bytes) {
        for session in self.own_sessions(who) {
            let (method, body, begin) = (method.into(), body.clone(), NOTE_PATIENCE);
            let _unheard = session.address.tell(Post(Posted { id: None, method, body, begin, events: None }));
        }
    }

    fn own_sessions(&self, who: &str) -> Vec<Arc<Session>> {
        let sessions = self.shared.sessions.iter();
        let own = sessions.filter(|session| session.client.as_ref().is_some_and(|client| *client.who == *who));
        own.map(|session| session.value().clone()).collect()
    }

    async fn try_lease(
        &self,
        def: &Arc<ServerDef>,
        scope: Option<WorkspaceId>,
        client: Option<Client>,
        deadline: Instant,
    ) -> Result<Lease, UpstreamError> {
        let permit = def.admit(&self.shared.parts.config)?;
        let lane = self.lane(def, scope, client);
        let ready = match lane.hand.ready() {
            Some(ready) => ready,
            None => Box::pin(upstream_lease::make_ready(&lane.hand, &lane.address, None, deadline)).await?,
        };
        Ok(Lease::new(lane.hand, lane.address, ready, permit))
    }

    /// Starts the session of `def` if there is none: its tools are then discovered and kept up to date.
    pub fn ensure(&self, def: &Arc<ServerDef>, scope: Option<WorkspaceId>) -> Arc<Session> {
        self.session(def, scope, None)
    }

    fn session(&self, def: &Arc<ServerDef>, scope: Option<WorkspaceId>, client: Option<Client>) -> Arc<Session> {
        let key = (def.revision, scope, client.clone());
        if let Some(session) = self.shared.sessions.get(&key)
            && !session.retire.is_cancelled()
        {
            return session.clone();
        }
        self.shared.sessions.retain(|_, session| !session.retire.is_cancelled());
        // Looked up before the entry is held.
        let client = client.map(|client| (client, self.session(def, scope, None).address.clone()));
        let mut entry = self.shared.sessions.entry(key).or_insert_with(|| self.start(def, scope, client.clone()));
        if entry.retire.is_cancelled() {
            *entry = self.start(def, scope, client);
        }
        entry.clone()
    }

    /// Starts a session: everybody's or, beside that one, a client's own.
    fn start(
        &self,
        def: &Arc<ServerDef>,
        scope: Option<WorkspaceId>,
        client: Option<(Client, ActorRef<UpstreamSession>)>,
    ) -> Arc<Session> {
        let (client, shared) = client.unzip();
        let link = Arc::new(Link::default());
        link.touch();
        let retire = def.retired.child_token();
        let spec = Spec::instance(name("UpstreamSession", def, scope, &client), Group::Upstream, retire.clone());
        let address = supervise(&self.shared.runtime, spec, {
            let (parts, def, link) = (self.shared.parts.clone(), def.clone(), link.clone());
            let (client, retire) = (client.clone(), retire.clone());
            let whose = client.zip(shared).map(|(client, shared)| Whose { client, retire, shared });
            move || UpstreamSession::new(parts.clone(), def.clone(), scope, whose.clone(), link.clone())
        });
        Arc::new(Session { def: def.clone(), scope, client, retire, address, link })
    }

    /// The lane of `def` on this thread.
    fn lane(&self, def: &Arc<ServerDef>, scope: Option<WorkspaceId>, client: Option<Client>) -> Lane {
        let key = (self.shared.instance, (def.revision, scope, client));
        LANES.with_borrow_mut(|lanes| {
            if let Some(lane) = lanes.get(&key)
                && !lane.retire.is_cancelled()
            {
                return lane.clone();
            }
            let lane = self.start_lane(def, scope, key.1.2.clone());
            lanes.insert(key, lane.clone());
            lane
        })
    }

    fn start_lane(&self, def: &Arc<ServerDef>, scope: Option<WorkspaceId>, client: Option<Client>) -> Lane {
        let called = name("UpstreamLane", def, scope, &client);
        let session = self.session(def, scope, client);
        let retire = session.retire.child_token();
        let hand = Hand::new(self.shared.parts.clone(), session);
        let thread = THREAD.with(|thread| *thread);
        let spec = Spec::instance(format!("{called}@{thread}"), Group::Upstream, retire.clone());
        let (held, stop) = (hand.clone(), retire.clone());
        let address = supervise_here(&self.shared.runtime, spec, move || UpstreamLane::new(held.clone(), stop.clone()));
        Lane { address, hand, retire }
    }

    /// Fetches the lists of `def` now: what it offers.
    pub async fn refresh(&self, def: &Arc<ServerDef>, scope: Option<WorkspaceId>) -> Result<Offer> {
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
        let patience = self.shared.parts.connect_limit(def).saturating_mul(3);
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
    pub fn status(&self, def: &ServerDef, scope: Option<WorkspaceId>) -> Option<Arc<Status>> {
        self.shared.sessions.get(&(def.revision, scope, None)).map(|session| session.link.status.load_full())
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
fn name(kind: &str, def: &ServerDef, scope: Option<WorkspaceId>, client: &Option<Client>) -> String {
    let id = def.id.0.simple().to_string();
    let tail = id.get(26..).unwrap_or_default();
    let workspace = scope.map(|workspace| format!(".{workspace}")).unwrap_or_default();
    let client = client.as_ref().map(|client| format!(".{}", client.who)).unwrap_or_default();
    format!("{kind}/{}.{tail}{workspace}{client}", def.slug)
}

#[cfg(test)]
#[path = "upstreams_tests.rs"]
mod tests;
