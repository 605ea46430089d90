//! The HTTP side of `/ws/{slug}` and its equals: who may enter, what a body must look like, which message goes where.

use std::{
    cell::RefCell,
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderMap},
    web::{self, Payload},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

use crate::{
    actors::{client::ClientAnswer, grant::Grant},
    domain::{clock, peer::client_address, slug, token},
    error::{Error, ErrorCode, Result},
    gateway::{
        Caller, Gateway, Speech,
        dispatch::Request,
        era::{self, Era},
        list,
        refused::Refusal,
        reply, scan_body, session,
    },
    protocol::{
        headers,
        jsonrpc::{self, Incoming, classify},
        scan::{self, Document, Envelope},
        session_id::ClientCapabilities,
        trace::TraceContext,
    },
};

/// A body that is only read for its id (401) may be this large.
const ID_BODY: usize = 64 * 1024;
/// Distinct user agents a worker remembers.
const AGENTS: usize = 256;
/// Longest user agent kept.
const AGENT: usize = 120;

/// A request that came through this many gateways goes in circles.
const MOST_HOPS: u8 = 3;

/// How many gateways a request has come through.
fn hops(headers: &HeaderMap) -> u8 {
    let said = headers.get("aerostack-hop").and_then(|value| value.to_str().ok());
    said.map_or(0, |text| text.trim().parse().unwrap_or(MOST_HOPS))
}

/// The routes of the front.
pub fn configure(service: &mut web::ServiceConfig) {
    for path in ["/ws/{slug}", "/ws/{slug}/sse", "/ws/{slug}/mcp"] {
        service.service(
            web::resource(path)
                .route(web::post().to(post))
                .route(web::get().to(super::open::get))
                .route(web::delete().to(super::open::delete))
                .route(web::method(actix_web::http::Method::OPTIONS).to(super::open::preflight))
                .default_service(web::to(other_method)),
        );
    }
    service.service(
        web::resource("/ws/{slug}/messages")
            .route(web::post().to(super::open::message))
            .route(web::method(actix_web::http::Method::OPTIONS).to(super::open::preflight))
            .default_service(web::to(|| async { reply::method_not_allowed("POST", "Only POST is served here") })),
    );
}

/// Everything that is nobody's: a plain JSON 404 (OAuth discovery above all).
pub async fn not_served() -> HttpResponse {
    reply::not_served()
}

async fn other_method() -> HttpResponse {
    reply::method_not_allowed("GET, POST, DELETE", "This HTTP method is not served here")
}

impl Gateway {
    /// Host, origin and token. `Err` is the response to give; the audit log has it already.
    pub async fn enter(&self, request: &HttpRequest) -> std::result::Result<Arc<Grant>, Refusal> {
        let entered = self.identify(request).await;
        if let Err(refusal) = &entered {
            self.note_refusal(request, refusal);
        }
        entered
    }

    async fn identify(&self, request: &HttpRequest) -> std::result::Result<Arc<Grant>, Refusal> {
        self.addressed.check(request).map_err(Refusal::Error)?;
        let slug = request.match_info().get("slug").unwrap_or_default();
        if !slug::has_shape(slug) {
            return Err(Refusal::NotServed);
        }
        if request.query_string().contains("mwt_") {
            return Err(Refusal::Error(
                Error::new(ErrorCode::InvalidRequest, "A token does not belong into the URL (it ends up in logs)")
                    .with_hint("send it in the header Authorization: Bearer mwt_…, and replace this token"),
            ));
        }
        if hops(request.headers()) >= MOST_HOPS {
            return Err(Refusal::Error(
                Error::new(ErrorCode::InvalidRequest, "This request has come through aerostack three times already")
                    .with_hint("a server of this workspace leads back to a gateway; an admin should uninstall it"),
            ));
        }
        let Some(bearer) = request.headers().get(header::AUTHORIZATION) else {
            return Err(Refusal::Unauthorized);
        };
        let text = bearer.to_str().unwrap_or_default();
        let value = text.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("bearer ")).and_then(|_| text.get(7..));
        let hash = value.and_then(|value| token::parse(token::Credential::Mwt, value.trim()));
        let hash = hash.ok_or(Refusal::Unauthorized)?;
        let client = self.client_address(request);
        match self.tokens.authenticate(slug, &hash, client).await.map_err(Refusal::Error)? {
            Some(grant) => {
                self.tokens.used(grant.token);
                Ok(grant)
            }
            None => Err(self.tokens.lookup(&hash).map_or(Refusal::Unauthorized, Refusal::Foreign)),
        }
    }

    /// Where a request comes from: the peer, or what a trusted proxy says.
    pub(super) fn client_address(&self, request: &HttpRequest) -> IpAddr {
        let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
        let forwarded = request.headers().get_all("x-forwarded-for").filter_map(|value| value.to_str().ok());
        client_address(peer, &self.config.server.trusted_proxies, forwarded)
    }

    /// The caller of a request, before its session is known.
    pub fn caller(&self, request: &HttpRequest, grant: Arc<Grant>, speech: Speech) -> Caller {
        let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let trace = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
        Caller {
            grant,
            speech,
            client: agent(request.headers()),
            trace: trace.and_then(TraceContext::parse),
            takes_events: accept.is_none_or(|accept| accept.contains(headers::EVENT_STREAM) || accept.contains("*/*")),
            hops: hops(request.headers()),
        }
    }
}

/// The client's name for analytics. Clients are few, so each name is kept once per worker.
fn agent(headers: &HeaderMap) -> Arc<str> {
    thread_local! {
        static KNOWN: RefCell<HashMap<Box<str>, Arc<str>>> = RefCell::new(HashMap::new());
    }
    let text = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let text = text.get(..AGENT).unwrap_or(text);
    KNOWN.with_borrow_mut(|known| {
        if let Some(agent) = known.get(text) {
            return agent.clone();
        }
        if known.len() >= AGENTS {
            known.clear();
        }
        let agent: Arc<str> = text.into();
        known.insert(text.into(), agent.clone());
        agent
    })
}

/// Reads a body, within its size and time. A body that came in one piece is not copied.
pub async fn read_body(mut payload: Payload, limit: usize, within: Duration) -> Result<Bytes> {
    let read = async {
        let mut first = Bytes::new();
        let mut rest: Option<BytesMut> = None;
        let mut total = 0;
        while let Some(chunk) = payload.next().await {
            let chunk =
                chunk.map_err(|_cause| Error::new(ErrorCode::InvalidRequest, "The request body was cut off"))?;
            total += chunk.len();
            if total > limit {
                return Err(Error::new(ErrorCode::TooLarge, format!("The request body is larger than {limit} bytes"))
                    .with_hint("send less, or ask an admin to raise limits.body_bytes"));
            }
            match rest.as_mut() {
                Some(rest) => rest.extend_from_slice(&chunk),
                None if first.is_empty() => first = chunk,
                None => {
                    let mut joined = BytesMut::with_capacity(total.max(16 * 1024));
                    joined.extend_from_slice(&first);
                    joined.extend_from_slice(&chunk);
                    rest = Some(joined);
                }
            }
        }
        Ok(rest.map_or(first, BytesMut::freeze))
    };
    match tokio::time::timeout(within, read).await {
        Ok(read) => read,
        Err(_elapsed) => Err(Error::new(ErrorCode::RequestTimeout, "The request body did not arrive in time")),
    }
}

/// The id of a request that is refused unread, if its body is small and comes soon.
async fn id_of(payload: Payload) -> Option<Bytes> {
    let body = read_body(payload, ID_BODY, Duration::from_secs(5)).await.ok()?;
    match scan::scan(&body, scan::ScanLimits::default()) {
        Ok(Document::Object(env)) => env.id.clone().map(|range| body.slice(range)),
        _ => None,
    }
}

/// `Content-Encoding`, `Content-Type` and `Accept` of a POST.
fn check_media(headers_in: &HeaderMap) -> Result<()> {
    let text = |name: header::HeaderName| headers_in.get(name).map(|value| value.to_str().unwrap_or("?").trim());
    if let Some(encoding) = text(header::CONTENT_ENCODING).filter(|value| !value.eq_ignore_ascii_case("identity")) {
        let shown: String = encoding.chars().take(32).collect();
        return Err(Error::new(ErrorCode::UnsupportedMediaType, format!("Content-Encoding {shown} is not served"))
            .with_hint("send the body uncompressed"));
    }
    let media = text(header::CONTENT_TYPE).unwrap_or_default();
    let essence = media.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(headers::JSON) {
        return Err(Error::new(ErrorCode::UnsupportedMediaType, "Content-Type must be application/json"));
    }
    match text(header::ACCEPT) {
        Some(accept)
            if !["application/json", "application/*", "*/*", headers::EVENT_STREAM]
                .iter()
                .any(|kind| accept.contains(kind)) =>
        {
            Err(Error::new(
                ErrorCode::NotAcceptable,
                "Not Acceptable: the client must accept application/json and text/event-stream",
            ))
        }
        _ => Ok(()),
    }
}

async fn post(gateway: web::Data<Gateway>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let gateway = gateway.into_inner();
    let grant = match gateway.enter(&request).await {
        Ok(grant) => grant,
        Err(refusal) => {
            let id = Box::pin(id_of(payload)).await;
            return with_cors(&request, refusal.response(id.as_deref()));
        }
    };
    let limits = &gateway.config.limits;
    let within = Duration::from_secs(gateway.config.server.body_timeout_seconds);
    let read = match check_media(request.headers()) {
        Ok(()) => read_body(payload, limits.body_bytes, within).await,
        Err(error) => Err(error),
    };
    let response = match read {
        Ok(body) => gateway.clone().receive(&request, grant, body).await,
        Err(error) => reply::error_response(&error, None, false),
    };
    with_cors(&request, response)
}

/// Lets a page of an allowed origin read the answer (an `Origin` that got this far is allowed).
pub fn with_cors(request: &HttpRequest, mut response: HttpResponse) -> HttpResponse {
    if let Some(origin) = request.headers().get(header::ORIGIN) {
        let allowed = response.status() != actix_web::http::StatusCode::FORBIDDEN;
        let headers = response.headers_mut();
        if allowed {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::VARY, header::HeaderValue::from_static("origin"));
            headers.insert(
                header::ACCESS_CONTROL_EXPOSE_HEADERS,
                header::HeaderValue::from_static("mcp-session-id, mcp-protocol-version, www-authenticate, retry-after"),
            );
        }
    }
    response
}

impl Gateway {
    async fn receive(self: Arc<Self>, request: &HttpRequest, grant: Arc<Grant>, body: Bytes) -> HttpResponse {
        match scan_body(&body, self.scan).await {
            Ok(Document::Object(env)) => self.receive_one(request, grant, body, env).await,
            Ok(Document::Array(elements)) => {
                let messages = elements.into_iter().map(|range| body.slice(range)).collect();
                Box::pin(self.receive_batch(request, grant, messages)).await
            }
            Ok(Document::Other) => reply::error_response(
                &Error::new(ErrorCode::InvalidRequest, "The body is not a JSON-RPC message"),
                None,
                false,
            ),
            Err(cause) => reply::error_response(&cause.into(), None, false),
        }
    }

    // What is rare is boxed, here and in `answer`, so that a plain call does not carry its size.
    async fn receive_one(
        self: &Arc<Self>,
        request: &HttpRequest,
        grant: Arc<Grant>,
        body: Bytes,
        env: Box<Envelope>,
    ) -> HttpResponse {
        let incoming = match classify(&body, &env) {
            Ok(incoming) => incoming,
            Err(cause) => return reply::error_response(&cause.into(), valid_id(&body, &env), false),
        };
        let (method, id) = match incoming {
            Incoming::Request { id, method } => (method.into_owned(), Some(body.slice_ref(id))),
            Incoming::Notification { method } => (method.into_owned(), None),
            Incoming::Response { id } => {
                let id = id.and_then(scan::string_text).unwrap_or_default().into_owned();
                let answer = ClientAnswer::new(body, &env);
                return Box::pin(self.receive_response(request, &grant, &id, answer)).await;
            }
        };
        let era = match era::classify(request.headers(), &body, &env, &method, id.is_some()) {
            Ok(era) => era,
            Err(error) => return reply::error_response(&error, id.as_deref(), true),
        };
        let Some(id) = id else {
            return Box::pin(self.receive_notification(request, grant, &body, &env, &method, era)).await;
        };
        let message = Request { body, env, method, id, cancel: None };
        match era {
            Era::Handshake => self.handshake(request, grant, &message),
            Era::Modern if message.method == "subscriptions/listen" => {
                Box::pin(self.listen(request, grant, message)).await
            }
            Era::Modern => {
                if let Err(error) = self.check_demands(request.headers(), &grant, &message) {
                    return reply::error_response(&error, Some(&message.id), true);
                }
                let caller = self.caller(request, grant, Speech::Modern);
                self.serve(caller, message).await
            }
            Era::Legacy => match self.session_of(request, &grant).await {
                Ok(session) => {
                    let caller = self.caller(request, grant, Speech::Session(session));
                    self.serve(caller, message).await
                }
                Err(error) => reply::error_response(&error, Some(&message.id), false),
            },
        }
    }

    /// Counts a request and answers it.
    async fn serve(self: &Arc<Self>, mut caller: Caller, message: Request) -> HttpResponse {
        let decision = self.admit(&caller);
        let id = message.id.clone();
        let mut response = if decision.allowed {
            if caller.trace.is_none() {
                let in_meta = message.env.meta_str(&message.body, "traceparent");
                caller.trace = in_meta.as_deref().and_then(TraceContext::parse);
            }
            let outcome = self.handle(&caller, message).await;
            self.respond(&caller, &id, outcome)
        } else {
            let error = self.over_limit(&caller, &message, &decision);
            reply::error_response(&error, Some(&id), caller.speech.is_modern())
        };
        reply::rate_headers(&mut response, &decision);
        response
    }

    fn handshake(&self, request: &HttpRequest, grant: Arc<Grant>, message: &Request) -> HttpResponse {
        let caller = self.caller(request, grant, Speech::Modern);
        let decision = self.admit(&caller);
        if !decision.allowed {
            return reply::error_response(&reply::rate_limited(&decision), Some(&message.id), false);
        }
        let begun = (|| {
            let revision = Gateway::negotiate(message)?;
            let view = self.workspace(&caller)?;
            let capabilities = message.env.param(&message.body, "capabilities").unwrap_or(b"{}");
            let id = self.sessions.begin(&caller.grant, revision, ClientCapabilities::from_json(capabilities));
            Ok((id, list::handshake(&view, revision)))
        })();
        let mut response = match begun {
            Ok((session, result)) => {
                let mut response = reply::json(jsonrpc::response(&message.id, &result));
                if let Ok(value) = header::HeaderValue::try_from(session) {
                    response.headers_mut().insert(header::HeaderName::from_static(headers::SESSION_ID), value);
                }
                response
            }
            Err(error) => reply::error_response(&error, Some(&message.id), false),
        };
        reply::rate_headers(&mut response, &decision);
        response
    }

    /// The session a legacy request belongs to.
    pub async fn session_of(&self, request: &HttpRequest, grant: &Grant) -> Result<Arc<session::Session>> {
        let id = request.headers().get(headers::SESSION_ID).ok_or_else(session::required)?;
        self.sessions.open(grant, id.to_str().unwrap_or_default()).await
    }

    async fn receive_notification(
        &self,
        request: &HttpRequest,
        grant: Arc<Grant>,
        body: &[u8],
        env: &Envelope,
        method: &str,
        era: Era,
    ) -> HttpResponse {
        if era == Era::Legacy {
            match self.session_of(request, &grant).await {
                Ok(session) => self.notified(&self.caller(request, grant, Speech::Session(session)), body, env, method),
                Err(error) => return reply::error_response(&error, None, false),
            }
        }
        reply::accepted()
    }

    /// An answer to a question that a server asked the client of this session. What nobody waits for is dropped.
    async fn receive_response(
        &self,
        request: &HttpRequest,
        grant: &Grant,
        id: &str,
        answer: ClientAnswer,
    ) -> HttpResponse {
        match self.session_of(request, grant).await {
            Ok(session) => {
                if grant.notifications.admit(clock::monotonic_ns).allowed {
                    self.questions.answered(&session.who, id, answer);
                }
                reply::accepted()
            }
            Err(error) => reply::error_response(&error, None, false),
        }
    }
}

/// The id of a message that is not one, if it has a valid one.
pub fn valid_id<'a>(body: &'a [u8], env: &Envelope) -> Option<&'a [u8]> {
    env.raw_id(body).filter(|id| scan::IdKind::of(id).is_valid())
}
