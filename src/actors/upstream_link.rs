//! What an `UpstreamSession` and its lanes share: the published connection,
//! the published state, and the ways to secrets and catalogue.

use std::{
    fmt,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{
    actors::{
        own_session::Reach,
        secret_vault::{InjectedHeaders, Vault},
    },
    config::UpstreamConfig,
    domain::{
        clock::{self, Timestamp},
        ids::{ServerId, WorkspaceId},
    },
    error::Result,
    protocol::scrub::Scrubber,
    upstream::{
        Connected, NetworkPolicy, Refusal, ServerDef, UpstreamError,
        ask::{self, Question, Reply},
        ears::Ears,
        exchange::{Endpoint, Outgoing},
        lists::{Dropped, Offer},
        mint::Mint,
        patience::Patience,
        relay::{Posted, Relay},
        skill::SkillPeer,
        stdio::{Child, Host},
    },
};

type Load =
    dyn Fn(ServerId, Option<WorkspaceId>, String) -> BoxFuture<'static, Result<Arc<InjectedHeaders>>> + Send + Sync;

/// The way to the vault.
#[derive(Clone)]
pub struct Credentials {
    /// The version of a server's secrets: grows with each committed change.
    pub version: Arc<dyn Fn(ServerId) -> u64 + Send + Sync>,
    /// The headers of a server's secrets, for its origin.
    pub load: Arc<Load>,
}

impl Credentials {
    /// The secrets of `vault`.
    pub fn of(vault: Vault) -> Self {
        let versions = vault.clone();
        Credentials {
            version: Arc::new(move |server| versions.version(server)),
            load: Arc::new(move |server, scope, origin| {
                let vault = vault.clone();
                Box::pin(async move { vault.inject(server, scope, &origin).await })
            }),
        }
    }

    /// No server has secrets.
    pub fn none() -> Self {
        let empty = || InjectedHeaders {
            headers: Vec::new(),
            variables: Vec::new(),
            scrubber: Scrubber::default(),
            version: 0,
            loaded_ns: clock::monotonic_ns(),
        };
        Credentials {
            version: Arc::new(|_| 0),
            load: Arc::new(move |_, _, _| Box::pin(async move { Ok(Arc::new(empty())) })),
        }
    }
}

/// What a session found out about its server.
#[derive(Debug)]
pub enum News {
    /// What it offers.
    Offer(Offer),
    /// Resources that somebody subscribed to changed: the server's own URIs.
    Updated(Vec<String>),
}

/// Who is told.
pub type Discovered = dyn Fn(ServerId, Option<WorkspaceId>, News) + Send + Sync;

/// What sessions and lanes work with.
pub struct Parts {
    /// Limits.
    pub config: UpstreamConfig,
    /// Where connections may go.
    pub policy: Arc<NetworkPolicy>,
    /// The way to the vault.
    pub credentials: Credentials,
    /// Who is told of what sessions find out.
    pub discovered: Arc<Discovered>,
    /// The ways to clients.
    pub reach: Reach,
    /// What programs are given.
    pub host: Host,
}

impl Parts {
    /// How long connecting to a server may take.
    pub fn connect_limit(&self, def: &ServerDef) -> Duration {
        Duration::from_secs(match def.spec.program() {
            Some(_) => self.host.config.start_timeout_seconds,
            None => self.config.discovery_timeout_seconds,
        })
    }

    /// The headers of a server's secrets, if they may travel to it.
    pub async fn credentials_for(
        &self,
        def: &ServerDef,
        scope: Option<WorkspaceId>,
    ) -> Result<Arc<InjectedHeaders>, UpstreamError> {
        let injected = (self.credentials.load)(def.id, scope, def.spec.origin()).await?;
        if !injected.headers.is_empty() && self.policy.is_exposed(&def.spec) {
            return Err(UpstreamError::Refused(Refusal {
                reason: "its secrets would travel unencrypted over http".into(),
                remedy: Some("use its https URL, or define it with --allow-http".into()),
            }));
        }
        Ok(injected)
    }
}

/// A connection as everybody may know it. Another connection is another value: compare with `Arc::ptr_eq`.
#[derive(Debug)]
pub struct Live {
    /// What the server is.
    pub connected: Arc<Connected>,
    /// The version of the credentials it was made with.
    pub version: u64,
}

/// A connection as only its session's thread knows it.
#[derive(Clone)]
pub struct Line {
    pub(super) live: Arc<Live>,
    /// Where messages are posted, if it is reached over HTTP.
    pub(super) endpoint: Option<Rc<Endpoint>>,
    /// Finds the calls that answers belong to, if all come on one stream.
    pub(super) relay: Option<Rc<Relay>>,
    /// The process, if the server is a program.
    pub(super) child: Option<Rc<Child>>,
    /// The skill, if it is one.
    pub(super) skill: Option<Rc<SkillPeer>>,
    /// Keeps the secrets that it was made with out of what comes back.
    pub(super) scrubber: Scrubber,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({:?})", self.live.connected.wire.label())
    }
}

impl Line {
    /// Asks a question of our own.
    pub(super) async fn ask(
        &self,
        method: &'static str,
        members: &str,
        patience: Patience,
    ) -> Result<Reply, UpstreamError> {
        let question = Question::new(Mint::default().mint(), method, members, self.live.connected.wire.is_modern());
        let reply = match (&self.skill, &self.relay, &self.endpoint) {
            (Some(skill), ..) => ask::reply_of(skill.send(&question.body, &[], patience).await?)?,
            (None, Some(relay), _) => relay.ask(&question, patience).await?,
            (None, None, Some(endpoint)) => ask::ask(endpoint, &question, patience).await?,
            (None, None, None) => return Err(UpstreamError::SessionExpired),
        };
        reply.scrubbed(&self.scrubber)
    }

    /// Tells the server that its session is over, if it has one. A program is gone when this returns, if it goes in
    /// time.
    pub(super) async fn end_session(&self, stop: Duration) {
        if let Some(child) = &self.child {
            child.close();
            let _how = child.ended(stop).await;
        }
        if let Some(endpoint) = &self.endpoint {
            endpoint.end_session(Patience::within(Duration::from_secs(2))).await;
        }
    }
}

impl Line {
    /// Sends what needs no answer; nobody waits for it.
    pub(super) fn tell(&self, method: impl Into<String>, body: Bytes) {
        let method = method.into();
        match (&self.relay, self.endpoint.clone()) {
            (Some(relay), _) => relay.post(Posted { id: None, method, body, begin: NOTE_PATIENCE, events: None }),
            (None, None) => {}
            (None, Some(endpoint)) => {
                actix_rt::spawn(async move {
                    let message = Outgoing { body: &body, method: &method, name: None, extra: &[] };
                    if let Err(cause) = endpoint.send(message, Patience::within(NOTE_PATIENCE)).await {
                        tracing::debug!(%cause, method, "a server did not take a notification");
                    }
                });
            }
        }
    }
}

/// How long a server may take to accept what needs no answer.
pub(super) const NOTE_PATIENCE: Duration = Duration::from_secs(5);

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nobody needed it yet.
    #[default]
    Idle,
    /// Finding out what the server speaks.
    Connecting,
    /// Usable.
    Connected,
    /// The last attempt failed; the next comes by itself.
    Failed,
}

/// A session as operators see it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Status {
    /// How far it is.
    pub phase: Phase,
    /// How the server is talked to.
    pub transport: Option<&'static str>,
    /// The revision spoken.
    pub revision: Option<&'static str>,
    /// Tools offered, once listed.
    pub tools: Option<usize>,
    /// Tools not offered, and why.
    pub dropped: Vec<Dropped>,
    /// When the tools were last listed.
    pub listed_at: Option<Timestamp>,
    /// Why the last attempt failed.
    pub failure: Option<String>,
    /// The kind of failure (`upstream_timeout`, …).
    pub failure_code: Option<&'static str>,
    /// The last lines a program wrote to its standard error before it failed the last time, without its secrets.
    pub last_words: Vec<String>,
}

/// What a session publishes.
#[derive(Default)]
pub struct Link {
    /// The connection, while there is one.
    pub live: ArcSwapOption<Live>,
    /// The state.
    pub status: ArcSwap<Status>,
    /// What is to be heard of the server.
    pub ears: Arc<Ears>,
    /// A client's own session: when a call last used it, and the calls under way in it.
    own: Mutex<Own>,
    used_ns: AtomicU64,
}

/// What a server says in a client's own session but not as part of a call's answer.
pub type Remark = Bytes;

/// Remarks that wait for one call.
const REMARKS: usize = 16;

#[derive(Default)]
struct Own {
    calls: Vec<(u64, mpsc::Sender<Remark>)>,
    attended: u64,
}

/// A call under way in a client's own session hears what the server says outside of answers, until this is dropped.
pub struct Attendance {
    link: Arc<Link>,
    number: u64,
    remarks: mpsc::Receiver<Remark>,
}

impl Attendance {
    /// The next remark.
    pub async fn remark(&mut self) -> Option<Remark> {
        self.remarks.recv().await
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        self.link.own.lock().calls.retain(|(number, _)| *number != self.number);
        self.link.touch();
    }
}

impl Link {
    /// A call begins that can pass on what the server says.
    pub fn attend(self: &Arc<Self>) -> Attendance {
        self.touch();
        let (sender, remarks) = mpsc::channel(REMARKS);
        let mut own = self.own.lock();
        own.attended += 1;
        let number = own.attended;
        own.calls.push((number, sender));
        Attendance { link: self.clone(), number, remarks }
    }

    /// Gives a remark to a call under way, the latest first. Back when there is none.
    pub(super) fn remark(&self, mut remark: Remark) -> Result<(), Remark> {
        for (_, call) in self.own.lock().calls.iter().rev() {
            match call.try_send(remark) {
                Ok(()) => return Ok(()),
                Err(refused) => remark = refused.into_inner(),
            }
        }
        Err(remark)
    }

    /// It is being used.
    pub(super) fn touch(&self) {
        self.used_ns.store(clock::monotonic_ns(), Relaxed);
    }

    /// When a call last began or ended in it.
    pub(super) fn used_ns(&self) -> u64 {
        self.used_ns.load(Relaxed)
    }

    /// Whether no call is under way in it.
    pub(super) fn is_unused(&self) -> bool {
        self.own.lock().calls.is_empty()
    }

    /// Since when no call is under way in it.
    pub(super) fn idle(&self) -> Duration {
        match self.is_unused() {
            true => Duration::from_nanos(clock::monotonic_ns().saturating_sub(self.used_ns())),
            false => Duration::ZERO,
        }
    }

    fn update(&self, change: impl Fn(&mut Status)) {
        self.status.rcu(|status| {
            let mut status = Status::clone(status);
            change(&mut status);
            status
        });
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.update(|status| status.phase = phase);
    }

    pub(super) fn connected(&self, live: &Arc<Live>) {
        self.live.store(Some(live.clone()));
        let wire = &live.connected.wire;
        self.update(|status| {
            status.phase = Phase::Connected;
            status.transport = Some(wire.label());
            status.revision = Some(wire.revision().as_str());
            status.failure = None;
            status.failure_code = None;
        });
    }

    pub(super) fn listed(&self, tools: usize, dropped: Vec<Dropped>) {
        self.update(|status| {
            status.tools = Some(tools);
            status.dropped.clone_from(&dropped);
            status.listed_at = Some(clock::now());
            status.failure = None;
            status.failure_code = None;
        });
    }

    pub(super) fn failed(&self, failure: &UpstreamError) {
        self.update(|status| {
            status.phase = Phase::Failed;
            status.failure = Some(failure.to_string());
            status.failure_code = Some(failure.clone().into_error("").code().name());
        });
    }

    /// Notes what a program wrote to its standard error last.
    pub(super) fn said(&self, last_words: Vec<String>) {
        self.update(|status| status.last_words.clone_from(&last_words));
    }

    /// Takes a connection back that is of no use any more.
    pub(super) fn withdraw(&self, live: &Arc<Live>) {
        self.live.rcu(|present| match present {
            Some(present) if Arc::ptr_eq(present, live) => None,
            other => other.clone(),
        });
    }
}

/// What a test of a server found.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TestReport {
    /// Milliseconds until the tools were there.
    pub latency_ms: u64,
    /// How the server is talked to.
    pub transport: String,
    /// The revision spoken.
    pub revision: String,
    /// What the server calls itself.
    pub server_name: Option<String>,
    /// Its version.
    pub server_version: Option<String>,
    /// Tools offered.
    pub tools: usize,
    /// Tools not offered, and why.
    pub dropped: Vec<Dropped>,
}

impl TestReport {
    pub(super) fn new(latency: Duration, connected: &Connected, status: &Status) -> Self {
        let (server_name, server_version) = connected.name_and_version();
        TestReport {
            latency_ms: u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
            transport: connected.wire.label().into(),
            revision: connected.wire.revision().as_str().into(),
            server_name,
            server_version,
            tools: status.tools.unwrap_or(0),
            dropped: status.dropped.clone(),
        }
    }
}
