//! The editor-facing front: `/ws/{slug}` and its equals. Everything that a workspace token can reach is here.
//!
//! A request passes, in this order: host and origin, token, body and envelope, era, limit, method. Identity comes only
//! from the token; one parsed envelope serves every decision.

mod batch;
pub mod call;
mod demands;
pub mod dispatch;
pub mod era;
pub mod front;
pub mod list;
pub mod open;
pub mod origin;
pub mod refused;
pub mod reply;
pub mod resume;
pub mod session;
pub mod stream;
mod subscribe;

use std::sync::{Arc, atomic::AtomicUsize};

use bytes::Bytes;

use crate::{
    actors::{
        analytics_sink::Analytics,
        audit_log::Audit,
        client::{Client, Questions},
        client_session::{ClientSessions, StreamClient},
        grant::Grant,
        secret_vault::Vault,
        token_authority::Tokens,
        upstreams::Upstreams,
        workspace_catalog::CatalogRef,
    },
    config::Config,
    gateway::{call::park::ParkedCalls, dispatch::Request, resume::Trails},
    protocol::{
        log_level::Level,
        meta,
        revision::Revision,
        scan::{self, Document, ScanError, ScanLimits},
        session_id::ClientCapabilities,
        task_id::Holder,
        trace::TraceContext,
    },
    telemetry::otlp::Tracer,
};

/// What the front needs; one per process, shared by the workers.
pub struct Gateway {
    /// Settings.
    pub config: Arc<Config>,
    /// Limits of the scan of a request body.
    pub scan: ScanLimits,
    /// Hosts and origins that are ours.
    pub addressed: origin::Addressed,
    /// Credentials.
    pub tokens: Tokens,
    /// Workspaces, servers, tools.
    pub catalog: CatalogRef,
    /// MCP servers.
    pub upstreams: Upstreams,
    /// Secrets.
    pub vault: Vault,
    /// Open streams.
    pub streams: ClientSessions,
    /// Call statistics.
    pub analytics: Analytics,
    /// Traces of calls, if they are exported.
    pub tracer: Option<Arc<Tracer>>,
    /// Legacy sessions.
    pub sessions: Arc<session::Sessions>,
    /// Calls under way in the process.
    pub calls: Arc<AtomicUsize>,
    /// Questions of servers that clients have not answered yet.
    pub questions: Questions,
    /// Calls that wait for their client to come back with answers.
    pub parked: ParkedCalls,
    /// Streams that their client may come back to.
    pub trails: Trails,
    /// Log lines about calls that have no server.
    pub refusals: call::RefusalLines,
    /// The audit log.
    pub audit: Audit,
}

/// Bodies larger than this are scanned off the worker's loop: its other calls must not wait for them.
const SCANNED_HERE: usize = 256 * 1024;

/// Scans a body, on this thread if it is small.
pub async fn scan_body(body: &Bytes, limits: ScanLimits) -> Result<Document, ScanError> {
    if body.len() <= SCANNED_HERE {
        return scan::scan(body, limits);
    }
    let shared = body.clone();
    let scanned = actix_web::web::block(move || scan::scan(&shared, limits)).await;
    scanned.unwrap_or(Err(ScanError::TooLarge))
}

/// How the client of one request speaks.
#[derive(Debug, Clone)]
pub enum Speech {
    /// 2026-07-28.
    Modern,
    /// A legacy revision over Streamable HTTP, in a session.
    Session(Arc<session::Session>),
    /// A legacy revision over HTTP+SSE.
    Sse(Arc<StreamClient>),
}

impl Speech {
    /// Whether it is 2026-07-28.
    pub fn is_modern(&self) -> bool {
        matches!(self, Speech::Modern)
    }

    /// The name analytics count it under.
    pub fn label(&self) -> &'static str {
        match self {
            Speech::Modern => Revision::MODERN.as_str(),
            Speech::Session(session) => session.state.revision.as_str(),
            Speech::Sse(_) => Revision::V20241105.as_str(),
        }
    }
}

/// Who asks, in which workspace, in which words.
#[derive(Clone)]
pub struct Caller {
    /// The token's grant.
    pub grant: Arc<Grant>,
    /// How the client speaks.
    pub speech: Speech,
    /// The client's `User-Agent`, shortened.
    pub client: Arc<str>,
    /// The trace this request belongs to.
    pub trace: Option<TraceContext>,
    /// The client takes event streams.
    pub takes_events: bool,
    /// Gateways the request came through before.
    pub hops: u8,
}

impl Caller {
    /// Whose tasks this caller's are.
    pub fn holder(&self) -> Holder {
        Holder { token: self.grant.token, workspace: self.grant.workspace }
    }

    /// What this client declared that it can be asked: in its session, on its connection, or in this very request.
    pub fn askable(&self, request: &Request) -> ClientCapabilities {
        let declared = match &self.speech {
            Speech::Session(session) => session.state.capabilities,
            Speech::Sse(client) => client.capabilities(),
            Speech::Modern => {
                let raw = request.env.meta(&request.body, meta::CLIENT_CAPABILITIES);
                raw.map(ClientCapabilities::from_json).unwrap_or_default()
            }
        };
        declared.askable()
    }

    /// Tells this client from every other; a client of 2026-07-28 is as good as its token.
    pub fn who(&self) -> Arc<str> {
        match &self.speech {
            Speech::Session(session) => session.who.clone(),
            Speech::Sse(client) => client.who.clone(),
            Speech::Modern => self.grant.token.to_string().into(),
        }
    }

    /// This client as one with sessions of its own at servers; none if it declared nothing that they could ask.
    pub fn client(&self, request: &Request) -> Option<Client> {
        let capabilities = self.askable(request);
        (capabilities.0 != 0).then(|| Client { who: self.who(), token: self.grant.token, capabilities })
    }

    /// From which level on a legacy client wants log messages, if it said so.
    pub fn log_level(&self) -> Option<Level> {
        match &self.speech {
            Speech::Session(session) => session.log_level(),
            Speech::Sse(client) => client.log_level(),
            Speech::Modern => None,
        }
    }
}
