//! Finding out what a server speaks. Order: 2026-07-28 (`server/discover`), then the older handshake (`initialize`),
//! then HTTP+SSE. Only answers that a server of another era would give are evidence of that era: refused credentials
//! (401, 403), redirects, 5xx, 429 and silence are failures, and end the search.

use std::rc::Rc;

use awc::http::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use crate::{
    domain::{clock, server::ProtocolChoice},
    protocol::{jsonrpc, revision::Revision},
    upstream::{
        Connected, EventStream, UpstreamError, Wire,
        ask::{self, CLIENT_INFO, Question, Reply},
        client::HttpClient,
        exchange::{Endpoint, Outgoing, Stage},
        mint::Mint,
        patience::Patience,
        sse,
    },
};

/// What a server was found to speak the last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// 2026-07-28.
    Modern,
    /// A handshake first (Streamable HTTP, stdio).
    Legacy,
    /// HTTP+SSE.
    Sse,
}

impl Era {
    /// The era of a wire.
    pub fn of(wire: &Wire) -> Era {
        match wire {
            Wire::Sse { .. } => Era::Sse,
            wire if wire.is_modern() => Era::Modern,
            _ => Era::Legacy,
        }
    }
}

/// A server and how it is approached.
pub struct Approach<'a> {
    /// Sends the requests.
    pub client: &'a HttpClient,
    /// The server's URL.
    pub url: &'a Url,
    /// Its credentials.
    pub injected: &'a [(HeaderName, HeaderValue)],
    /// What the definition says about the protocol.
    pub choice: ProtocolChoice,
    /// What a legacy server is told that it may ask us, as raw JSON.
    pub capabilities: &'a str,
    /// A verdict that is still believed.
    pub remembered: Option<Era>,
    /// The bound on everything together.
    pub patience: Patience,
}

/// A server that answered.
pub struct Negotiated {
    /// What it is.
    pub connected: Connected,
    /// HTTP+SSE: the stream that its answers come on.
    pub stream: Option<EventStream>,
}

/// One step's outcome that is not a failure.
#[expect(clippy::large_enum_variant, reason = "made once per connection")]
enum Step {
    Found(Negotiated),
    /// The server is of another era; the failure to report if no era fits.
    Other(UpstreamError),
}

/// Finds out what a server speaks.
pub async fn connect(approach: &Approach<'_>) -> Result<Negotiated, UpstreamError> {
    let only = |step| match step {
        Step::Found(found) => Ok(found),
        Step::Other(failure) => Err(failure),
    };
    match approach.choice {
        ProtocolChoice::Modern => only(discover(approach).await?),
        ProtocolChoice::Legacy => only(handshake(approach).await?),
        ProtocolChoice::Sse => only(event_stream(approach).await?),
        ProtocolChoice::Auto => {
            let remembered = match approach.remembered {
                Some(Era::Legacy) => Some(handshake(approach).await?),
                Some(Era::Sse) => Some(event_stream(approach).await?),
                Some(Era::Modern) | None => None,
            };
            match remembered {
                Some(Step::Found(found)) => Ok(found),
                _ => search(approach).await,
            }
        }
    }
}

async fn search(approach: &Approach<'_>) -> Result<Negotiated, UpstreamError> {
    if let Step::Found(found) = discover(approach).await? {
        return Ok(found);
    }
    let failure = match handshake(approach).await? {
        Step::Found(found) => return Ok(found),
        Step::Other(failure) => failure,
    };
    if !matches!(failure, UpstreamError::Status(400 | 404 | 405, _)) {
        return Err(failure);
    }
    match event_stream(approach).await {
        Ok(Step::Found(found)) => Ok(found),
        // The handshake's failure says more about a URL that is simply wrong.
        Ok(Step::Other(_)) => Err(failure),
        Err(worse) => Err(worse),
    }
}

/// Whether a failure says that the server is of another era.
fn is_evidence(failure: &UpstreamError) -> bool {
    match failure {
        UpstreamError::Status(status, _) => (400..500).contains(status) && *status != 429 && *status != 408,
        UpstreamError::Protocol(_) | UpstreamError::SessionExpired => true,
        _ => false,
    }
}

async fn discover(approach: &Approach<'_>) -> Result<Step, UpstreamError> {
    let endpoint = Rc::new(Endpoint::new(approach.client, approach.url, Stage::Discover, approach.injected)?);
    let question = Question::new(Mint::default().mint(), "server/discover", "", true);
    let reply = match ask::ask(&endpoint, &question, approach.patience).await {
        Ok(reply) => reply,
        Err(failure) if is_evidence(&failure) => return Ok(Step::Other(failure)),
        Err(failure) => return Err(failure),
    };
    Ok(match judge_modern(&reply, Wire::Modern { revision: Revision::MODERN }) {
        Ok(connected) => Step::Found(Negotiated { connected, stream: None }),
        Err(other) => Step::Other(other),
    })
}

#[derive(Deserialize)]
struct Discovered {
    #[serde(rename = "supportedVersions")]
    supported: Vec<String>,
    #[serde(default)]
    capabilities: serde_json::Value,
    instructions: Option<String>,
    #[serde(rename = "_meta")]
    meta: Option<DiscoveredMeta>,
    #[serde(rename = "serverInfo")]
    server_info: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct DiscoveredMeta {
    #[serde(rename = "io.modelcontextprotocol/serverInfo")]
    server_info: Option<Box<RawValue>>,
}

/// What an answer to `server/discover` says about the era.
pub(super) fn judge_modern(reply: &Reply, wire: Wire) -> Result<Connected, UpstreamError> {
    let not_modern = || Err(UpstreamError::Protocol("it does not speak 2026-07-28".into()));
    if reply.error_code().is_some() {
        // Even -32022 leads there: what we asked for is the only modern revision we speak.
        return not_modern();
    }
    let Ok(found) = reply.parse::<Discovered>() else { return not_modern() };
    if !found.supported.iter().any(|revision| revision == Revision::MODERN.as_str()) {
        return not_modern();
    }
    Ok(Connected {
        wire,
        server_info: found.meta.and_then(|meta| meta.server_info).or(found.server_info),
        capabilities: found.capabilities,
        instructions: found.instructions,
        at: clock::now(),
    })
}

/// The older handshake's question.
pub(super) fn initialize(capabilities: &str) -> Question {
    let members = format!(
        r#""protocolVersion":"{}","capabilities":{capabilities},"clientInfo":{CLIENT_INFO}"#,
        Revision::LATEST_LEGACY
    );
    Question::new(Mint::default().mint(), "initialize", &members, false)
}

async fn handshake(approach: &Approach<'_>) -> Result<Step, UpstreamError> {
    let endpoint = Rc::new(Endpoint::new(approach.client, approach.url, Stage::Handshake, approach.injected)?);
    let question = initialize(approach.capabilities);
    let opened = async {
        let (answer, session) = endpoint.open_session(ask::outgoing(&question), approach.patience).await?;
        Ok((ask::reply_in(&endpoint, answer, &question.id).await?, session))
    };
    let (reply, session) = match opened.await {
        Ok(opened) => opened,
        Err(failure) if is_evidence(&failure) => return Ok(Step::Other(failure)),
        Err(failure) => return Err(failure),
    };
    if let Err(refused) = reply.result() {
        return Ok(Step::Other(refused));
    }
    let connected = judge_initialized(&reply, |revision| Wire::Streamable { revision, session })?;
    confirm(approach, &connected).await?;
    Ok(Step::Found(Negotiated { connected, stream: None }))
}

#[derive(Deserialize)]
struct Initialized {
    #[serde(rename = "protocolVersion")]
    revision: String,
    #[serde(default)]
    capabilities: serde_json::Value,
    #[serde(rename = "serverInfo")]
    server_info: Option<Box<RawValue>>,
    instructions: Option<String>,
}

/// What the answer to the handshake says.
pub(super) fn judge_initialized(
    reply: &Reply,
    wire: impl FnOnce(Revision) -> Wire,
) -> Result<Connected, UpstreamError> {
    let found: Initialized = reply.parse()?;
    let revision = Revision::parse(&found.revision).filter(|revision| !revision.is_modern());
    let Some(revision) = revision else {
        return Err(UpstreamError::Protocol("it answered the handshake with a revision nobody offered".into()));
    };
    Ok(Connected {
        wire: wire(revision),
        server_info: found.server_info,
        capabilities: found.capabilities,
        instructions: found.instructions,
        at: clock::now(),
    })
}

/// Sends `notifications/initialized`. A server that answers it with an error status has a session all the same.
async fn confirm(approach: &Approach<'_>, connected: &Connected) -> Result<(), UpstreamError> {
    let endpoint = Endpoint::new(approach.client, approach.url, Stage::Known(&connected.wire), approach.injected)?;
    let method = "notifications/initialized";
    let body = jsonrpc::notification(method, None).into();
    let sent =
        Rc::new(endpoint).send(Outgoing { body: &body, method, name: None, extra: &[] }, approach.patience).await;
    match sent {
        Err(failure) if failure.is_outage() || matches!(failure, UpstreamError::Unauthorized(_)) => Err(failure),
        _ => Ok(()),
    }
}

async fn event_stream(approach: &Approach<'_>) -> Result<Step, UpstreamError> {
    let opened = match sse::open(approach).await {
        Ok(opened) => opened,
        Err(failure) if is_evidence(&failure) => return Ok(Step::Other(failure)),
        Err(failure) => return Err(failure),
    };
    let (mut stream, post) = opened;
    let wire = |revision| Wire::Sse { revision, post: post.clone() };
    let provisional = wire(Revision::V20241105);
    let endpoint =
        Rc::new(Endpoint::new(approach.client, approach.url, Stage::Known(&provisional), approach.injected)?);
    let question = initialize(approach.capabilities);
    endpoint.send(ask::outgoing(&question), approach.patience).await?;
    let by = approach.patience.begin_by().into();
    let answer = |id: &[u8], method: &str| ask::answer_request(endpoint.clone(), id, method);
    let reply = tokio::time::timeout_at(by, ask::reply_among(&mut stream, &question.id, answer)).await;
    let reply = reply.map_err(|_elapsed| UpstreamError::Timeout(approach.patience.begin))??;
    let connected = judge_initialized(&reply, wire)?;
    confirm(approach, &connected).await?;
    Ok(Step::Found(Negotiated { connected, stream: Some(stream) }))
}

#[cfg(test)]
#[path = "negotiate_tests.rs"]
mod tests;
