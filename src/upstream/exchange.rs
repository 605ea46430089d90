//! One message to a server and what comes back, over HTTP. Builds the headers that do not change once per endpoint,
//! maps every way a server can misbehave to an [`UpstreamError`], and repeats a request only when the connection was
//! lost before an answer and the request changes nothing.
//!
//! Of a client's request nothing reaches a server but the message and the headers a caller names here: credentials
//! are the injected ones and no others (`security.md` S-25).

use std::{rc::Rc, sync::Arc, time::Instant};

use awc::http::{
    Method, StatusCode, Uri,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use bytes::Bytes;
use url::Url;
use zeroize::Zeroizing;

use crate::{
    protocol::{
        answer, headers,
        jsonrpc::{self, Incoming},
        revision::Revision,
        scan::{self, Document, ScanLimits},
    },
    upstream::{
        UpstreamError, Wire,
        body::read_body,
        client::HttpClient,
        h1_client::Origin,
        lost::{SendFailure, classify_send_failure},
        patience::Patience,
        response::Response,
        stream::EventStream,
    },
};

/// Counts how often a call has passed through a gateway, so that a loop ends (`security.md` S-23).
pub const HOP: HeaderName = HeaderName::from_static("aerostack-hop");

/// What a server sent back.
#[expect(clippy::large_enum_variant, reason = "moved once or twice per call; a box would cost every streamed answer")]
pub enum Answer {
    /// The message was taken; nothing follows.
    Accepted,
    /// One JSON document. Not yet checked to be the answer.
    Json(Bytes),
    /// Events; one of them should be the answer.
    Events(EventStream),
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Answer::Accepted => f.write_str("Accepted"),
            Answer::Json(body) => write!(f, "Json({} bytes)", body.len()),
            Answer::Events(_) => f.write_str("Events"),
        }
    }
}

/// One message on its way out.
#[derive(Clone, Copy)]
pub struct Outgoing<'a> {
    /// The message.
    pub body: &'a Bytes,
    /// Its method, for `Mcp-Method`.
    pub method: &'a str,
    /// What it is about, for `Mcp-Name`: the tool, prompt, URI or task.
    pub name: Option<&'a str>,
    /// Further headers (trace context, `Mcp-Param-*`, a higher [`HOP`]). None may replace an injected one.
    pub extra: &'a [(HeaderName, HeaderValue)],
}

impl Outgoing<'_> {
    fn is_notification(&self) -> bool {
        self.method.starts_with("notifications/")
    }

    /// Repeating it changes nothing at the server.
    fn is_repeatable(&self) -> bool {
        matches!(
            self.method,
            "initialize"
                | "ping"
                | "server/discover"
                | "tools/list"
                | "prompts/list"
                | "prompts/get"
                | "resources/list"
                | "resources/templates/list"
                | "resources/read"
                | "completion/complete"
                | "logging/setLevel"
        )
    }
}

/// How far the negotiation has come; decides the headers.
#[derive(Debug, Clone, Copy)]
pub enum Stage<'a> {
    /// Asking for 2026-07-28.
    Discover,
    /// Asking for an older revision: no version header, because a server may refuse one it does not know.
    Handshake,
    /// It is known.
    Known(&'a Wire),
}

/// Where and how messages are sent: one URL, one wire, one set of credentials.
pub struct Endpoint {
    client: HttpClient,
    uri: Uri,
    origin: Rc<Origin>,
    /// The head of every POST but for what differs from message to message; holds the credentials.
    head: Zeroizing<Vec<u8>>,
    /// The headers in `head`; a GET or DELETE takes those of them that fit.
    base: HeaderMap,
    wire: Option<Wire>,
    modern: bool,
}

impl Endpoint {
    /// An endpoint at `url` (HTTP+SSE: at the URL the server named).
    pub fn new(
        client: &HttpClient,
        url: &Url,
        stage: Stage<'_>,
        injected: &[(HeaderName, HeaderValue)],
    ) -> Result<Endpoint, UpstreamError> {
        let url = match stage {
            Stage::Known(Wire::Sse { post, .. }) => post,
            _ => url,
        };
        let uri = parse_uri(url)?;
        let base = base_headers(&uri, stage, injected)?;
        let head = Zeroizing::new(post_head(&uri, &base));
        let (wire, modern) = match stage {
            Stage::Discover => (None, true),
            Stage::Handshake => (None, false),
            Stage::Known(wire) => (Some(wire.clone()), wire.is_modern()),
        };
        Ok(Endpoint { client: client.clone(), origin: Origin::of(&uri), uri, head, base, wire, modern })
    }

    /// How the server is talked to; none while it is being found out.
    pub fn wire(&self) -> Option<&Wire> {
        self.wire.as_ref()
    }

    fn session(&self) -> Option<&Arc<str>> {
        self.wire.as_ref().and_then(Wire::session)
    }

    /// Sends one message and waits until its answer begins (a JSON answer: until it is there).
    pub async fn send(self: &Rc<Self>, message: Outgoing<'_>, patience: Patience) -> Result<Answer, UpstreamError> {
        let response = self.post(message, patience).await?;
        self.answer(response, message, patience).await
    }

    /// Like [`Endpoint::send`], also giving the session the server assigned.
    pub(super) async fn open_session(
        self: &Rc<Self>,
        message: Outgoing<'_>,
        patience: Patience,
    ) -> Result<(Answer, Option<Arc<str>>), UpstreamError> {
        let response = self.post(message, patience).await?;
        let session = response.header(headers::SESSION_ID).map(session_id).transpose()?;
        Ok((self.answer(response, message, patience).await?, session))
    }

    async fn post(&self, message: Outgoing<'_>, patience: Patience) -> Result<Response, UpstreamError> {
        let by = patience.begin_by();
        let first = self.post_once(message, by).await;
        let failure = match first {
            Ok(response) => return Ok(response),
            Err(SendFailure::Lost(_)) if message.is_repeatable() => match self.post_once(message, by).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            },
            Err(failure) => failure,
        };
        Err(failure.into_error(message.is_repeatable(), patience.begin))
    }

    async fn post_once(&self, message: Outgoing<'_>, by: Instant) -> Result<Response, SendFailure> {
        let own = self.own_fields(message);
        let sending = self.client.connections().send(&self.origin, [&self.head, &own], message.body);
        match tokio::time::timeout_at(by.into(), sending).await {
            Ok(sent) => Ok(Response::Asked(Box::new(sent?))),
            Err(_elapsed) => Err(SendFailure::Late),
        }
    }

    /// The header fields that belong to one message.
    fn own_fields(&self, message: Outgoing<'_>) -> Vec<u8> {
        let mut fields = Vec::with_capacity(256);
        let mut hops = HeaderValue::from_static("1");
        for (name, value) in message.extra {
            if *name == HOP {
                hops = value.clone();
            } else if !self.base.contains_key(name) {
                push_field(&mut fields, name.as_str(), value);
            }
        }
        push_field(&mut fields, HOP.as_str(), &hops);
        if self.modern {
            if let Ok(method) = HeaderValue::from_str(message.method) {
                push_field(&mut fields, headers::METHOD, &method);
            }
            let name = message.name.map(|name| HeaderValue::from_str(&headers::encode(name)));
            if let Some(Ok(name)) = name {
                push_field(&mut fields, headers::NAME, &name);
            }
        }
        fields
    }

    async fn answer(
        self: &Rc<Self>,
        response: Response,
        message: Outgoing<'_>,
        patience: Patience,
    ) -> Result<Answer, UpstreamError> {
        let limits = *self.client.limits();
        check_head(&response, limits.head_bytes)?;
        match self.judge(&response, message) {
            Verdict::Fails(failure) => Err(failure),
            Verdict::Taken => {
                // What little follows is read so that the connection can be used again.
                let _ignored = read_body(response, 64 * 1024, patience).await;
                Ok(Answer::Accepted)
            }
            Verdict::Json => match read_body(response, limits.answer_bytes, patience).await? {
                body if body.is_empty() && message.is_notification() => Ok(Answer::Accepted),
                body if body.is_empty() => Err(UpstreamError::Protocol("it answered with nothing".into())),
                // Without a length, a lost connection looks like the end.
                body if !matches!(body.trim_ascii_end().last(), Some(b'}' | b']')) => Err(UpstreamError::Cut),
                body => Ok(Answer::Json(body)),
            },
            Verdict::Events => {
                let resume = self.wire.as_ref().is_some_and(|wire| !wire.is_modern()).then(|| self.clone());
                Ok(Answer::Events(EventStream::http(response, limits.stream, patience, resume)))
            }
            Verdict::PerhapsError(otherwise) => {
                let Ok(body) = read_body(response, limits.answer_bytes, patience).await else { return Err(otherwise) };
                match self.error_answer(&body) {
                    ErrorAnswer::PassOn => Ok(Answer::Json(body)),
                    ErrorAnswer::SessionUnknown => Err(UpstreamError::SessionExpired),
                    ErrorAnswer::None => Err(otherwise),
                }
            }
        }
    }

    fn judge(&self, response: &Response, message: Outgoing<'_>) -> Verdict {
        let status = response.status();
        let kind = content_kind(response);
        let fails = |failure| Verdict::Fails(failure);
        match status.as_u16() {
            202 => Verdict::Taken,
            200..=299 if matches!(self.wire, Some(Wire::Sse { .. })) => Verdict::Taken,
            200..=299 if message.is_notification() && kind != Kind::Json => Verdict::Taken,
            204 => fails(UpstreamError::Protocol("it answered with nothing (HTTP 204)".into())),
            200..=299 => match kind {
                Kind::Json => Verdict::Json,
                Kind::Events => Verdict::Events,
                Kind::Other => fails(UpstreamError::Protocol(format!(
                    "it answered HTTP {} with neither JSON nor an event stream",
                    status.as_u16()
                ))),
            },
            300..=399 => fails(UpstreamError::Redirect(status.as_u16())),
            401 | 403 => fails(UpstreamError::Unauthorized(status.as_u16())),
            404 if self.session().is_some() => match kind {
                Kind::Json => Verdict::PerhapsError(UpstreamError::SessionExpired),
                _ => fails(UpstreamError::SessionExpired),
            },
            // Over HTTP+SSE a status is about the connection; what a request says is answered on the stream.
            400 | 404 if matches!(self.wire, Some(Wire::Sse { .. })) => fails(UpstreamError::SessionExpired),
            429 | 500..=599 => fails(UpstreamError::Status(status.as_u16(), retry_after(response))),
            400..=499 if kind == Kind::Json => Verdict::PerhapsError(UpstreamError::Status(status.as_u16(), None)),
            100..=199 => fails(UpstreamError::Protocol("it sent an interim answer only".into())),
            other => fails(UpstreamError::Status(other, None)),
        }
    }

    /// What the JSON body of a 4xx is.
    fn error_answer(&self, body: &[u8]) -> ErrorAnswer {
        let Ok(Document::Object(envelope)) = scan::scan(body, ScanLimits::default()) else { return ErrorAnswer::None };
        let Ok(Incoming::Response { id }) = jsonrpc::classify(body, &envelope) else { return ErrorAnswer::None };
        if envelope.error.is_none() {
            return ErrorAnswer::None;
        }
        let code = answer::error_code(body, &envelope);
        let text = envelope.error.and_then(|range| body.get(range)).unwrap_or_default().to_ascii_lowercase();
        let in_session = self.session().is_some();
        let names_session = in_session && memchr::memmem::find(&text, b"session").is_some();
        if id.is_some() || self.modern {
            // Some servers (server-everything) refuse a session they do not know with -32000 and the request's id.
            let unknown = (in_session && code == Some(-32001)) || (names_session && code == Some(-32000));
            return if unknown { ErrorAnswer::SessionUnknown } else { ErrorAnswer::PassOn };
        }
        // Others, built from a widespread example, answer 400 without an id.
        if names_session { ErrorAnswer::SessionUnknown } else { ErrorAnswer::None }
    }

    /// Opens the server's own stream (GET), or goes on after `last_event`.
    pub async fn open(&self, last_event: Option<&str>, patience: Patience) -> Result<Response, UpstreamError> {
        let mut request = self.client.request(Method::GET, &self.uri);
        let headers = request.headers_mut();
        *headers = self.base.clone();
        headers.insert(HOP, HeaderValue::from_static("1"));
        headers.remove(header::CONTENT_TYPE);
        headers.insert(header::ACCEPT, HeaderValue::from_static(headers::EVENT_STREAM));
        if let Some(Ok(id)) = last_event.map(HeaderValue::from_str) {
            headers.insert(HeaderName::from_static(headers::LAST_EVENT_ID), id);
        }
        let response = self.bodyless(request, patience).await?;
        check_head(&response, self.client.limits().head_bytes)?;
        match response.status().as_u16() {
            200..=299 if content_kind(&response) == Kind::Events => Ok(response),
            200..=299 => Err(UpstreamError::Protocol("it did not answer with an event stream".into())),
            300..=399 => Err(UpstreamError::Redirect(response.status().as_u16())),
            status @ (401 | 403) => Err(UpstreamError::Unauthorized(status)),
            404 if self.session().is_some() => Err(UpstreamError::SessionExpired),
            status => Err(UpstreamError::Status(status, retry_after(&response))),
        }
    }

    /// Ends the server's session, if there is one. Whether the server obeys does not matter.
    pub async fn end_session(&self, patience: Patience) {
        if self.session().is_none() {
            return;
        }
        let mut request = self.client.request(Method::DELETE, &self.uri);
        *request.headers_mut() = self.base.clone();
        request.headers_mut().insert(HOP, HeaderValue::from_static("1"));
        request.headers_mut().remove(header::CONTENT_TYPE);
        let _ended = self.bodyless(request, patience).await;
    }

    async fn bodyless(&self, request: awc::ClientRequest, patience: Patience) -> Result<Response, UpstreamError> {
        let failure = match tokio::time::timeout_at(patience.begin_by().into(), request.send()).await {
            Ok(Ok(response)) => return Ok(Response::Opened(Box::new(response))),
            Ok(Err(cause)) => classify_send_failure(cause, self.client.limits().head_bytes),
            Err(_elapsed) => SendFailure::Late,
        };
        Err(failure.into_error(true, patience.begin))
    }
}

/// What to do with a response, decided from its head.
enum Verdict {
    Taken,
    Json,
    Events,
    PerhapsError(UpstreamError),
    Fails(UpstreamError),
}

enum ErrorAnswer {
    PassOn,
    SessionUnknown,
    None,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Events,
    Other,
}

fn push_field(fields: &mut Vec<u8>, name: &str, value: &HeaderValue) {
    fields.extend_from_slice(name.as_bytes());
    fields.extend_from_slice(b": ");
    fields.extend_from_slice(value.as_bytes());
    fields.extend_from_slice(b"\r\n");
}

fn post_head(uri: &Uri, base: &HeaderMap) -> Vec<u8> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut head = Vec::with_capacity(1024);
    head.extend_from_slice(b"POST ");
    head.extend_from_slice(path.as_bytes());
    head.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in base {
        push_field(&mut head, name.as_str(), value);
    }
    head
}

fn content_kind(response: &Response) -> Kind {
    let Some(value) = response.header("content-type") else { return Kind::Other };
    let essence = value.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(headers::JSON) {
        Kind::Json
    } else if essence.eq_ignore_ascii_case(headers::EVENT_STREAM) {
        Kind::Events
    } else {
        Kind::Other
    }
}

fn parse_uri(url: &Url) -> Result<Uri, UpstreamError> {
    let bare = url.as_str().split('#').next().unwrap_or_default();
    bare.parse().map_err(|_cause| UpstreamError::Unavailable("its URL cannot be used over HTTP".into()))
}

fn base_headers(
    uri: &Uri,
    stage: Stage<'_>,
    injected: &[(HeaderName, HeaderValue)],
) -> Result<HeaderMap, UpstreamError> {
    let mut base = HeaderMap::with_capacity(8 + injected.len());
    let host = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
    let text = |value: &str| {
        HeaderValue::from_str(value)
            .map_err(|_bad| UpstreamError::Unavailable("its URL cannot be used over HTTP".into()))
    };
    base.insert(header::HOST, text(host)?);
    base.insert(header::USER_AGENT, HeaderValue::from_static(concat!("aerostack/", env!("CARGO_PKG_VERSION"))));
    base.insert(header::CONTENT_TYPE, HeaderValue::from_static(headers::JSON));
    base.insert(header::ACCEPT, HeaderValue::from_static(headers::ACCEPT_BOTH));
    base.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let revision = match stage {
        Stage::Discover => Some(Revision::MODERN),
        Stage::Handshake => None,
        // The header came with 2025-06-18.
        Stage::Known(wire) => Some(wire.revision()).filter(|revision| *revision >= Revision::V20250618),
    };
    if let Some(revision) = revision {
        base.insert(HeaderName::from_static(headers::PROTOCOL_VERSION), HeaderValue::from_static(revision.as_str()));
    }
    if let Stage::Known(wire) = stage
        && let Some(session) = wire.session()
    {
        base.insert(HeaderName::from_static(headers::SESSION_ID), text(session)?);
    }
    for (name, value) in injected {
        base.insert(name.clone(), value.clone());
    }
    Ok(base)
}

/// Bounds the head, and refuses an encoding nobody asked for: decoding it would be the bomb's fuse.
fn check_head(response: &Response, limit: usize) -> Result<(), UpstreamError> {
    if response.head_bytes() > limit {
        return Err(UpstreamError::TooLarge { what: "the head of its answer", limit });
    }
    let encoded = response.header("content-encoding").is_some_and(|value| value != "identity");
    if encoded && response.status() != StatusCode::NO_CONTENT {
        return Err(UpstreamError::Protocol("it compressed its answer although it was asked not to".into()));
    }
    Ok(())
}

/// A session id the server assigned: visible ASCII, of a sane length.
fn session_id(text: &str) -> Result<Arc<str>, UpstreamError> {
    let sane = (1..=1024).contains(&text.len()) && text.bytes().all(|b| (0x21..=0x7E).contains(&b));
    match sane {
        true => Ok(text.into()),
        false => Err(UpstreamError::Protocol("its session id is not visible ASCII".into())),
    }
}

/// Seconds of `Retry-After`, given as seconds or as a date.
fn retry_after(response: &Response) -> Option<u64> {
    let text = response.header("retry-after")?.trim();
    let seconds = match text.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let at = chrono::DateTime::parse_from_rfc2822(text).ok()?;
            u64::try_from((at.to_utc() - crate::domain::clock::now()).num_seconds()).unwrap_or(0)
        }
    };
    Some(seconds.min(3600))
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
