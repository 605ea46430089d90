//! What an `UpstreamSession` and its lanes share: the published connection,
//! the published state, and the ways to secrets and catalogue.

use std::{fmt, rc::Rc, sync::Arc, time::Duration};

use arc_swap::{ArcSwap, ArcSwapOption};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::{
    actors::secret_vault::{InjectedHeaders, Vault},
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
        exchange::Endpoint,
        lists::{Dropped, Offer},
        mint::Mint,
        patience::Patience,
        relay::Relay,
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
}

impl Parts {
    /// The headers of a server's secrets, if they may travel to it.
    pub async fn credentials_for(
        &self,
        def: &ServerDef,
        scope: Option<WorkspaceId>,
    ) -> Result<Arc<InjectedHeaders>, UpstreamError> {
        let injected = (self.credentials.load)(def.id, scope, def.spec.origin()).await?;
        let clear =
            def.spec.url.scheme() == "http" && !def.spec.allow_http && !self.policy.allows_clear_text(&def.spec.url);
        if clear && !injected.headers.is_empty() {
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
pub struct Line {
    pub(super) live: Arc<Live>,
    pub(super) endpoint: Rc<Endpoint>,
    pub(super) relay: Option<Rc<Relay>>,
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
        match &self.relay {
            Some(relay) => relay.ask(&question, patience).await,
            None => ask::ask(&self.endpoint, &question, patience).await,
        }
    }
}

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
}

impl Link {
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
        });
    }

    pub(super) fn listed(&self, tools: usize, dropped: Vec<Dropped>) {
        self.update(|status| {
            status.tools = Some(tools);
            status.dropped.clone_from(&dropped);
            status.listed_at = Some(clock::now());
            status.failure = None;
        });
    }

    pub(super) fn failed(&self, failure: &UpstreamError) {
        self.update(|status| {
            status.phase = Phase::Failed;
            status.failure = Some(failure.to_string());
        });
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
