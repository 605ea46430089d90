//! Streams that a client opens with GET: HTTP+SSE of 2024-11-05 and the stream of a legacy session; and the POSTs that
//! belong to an HTTP+SSE connection.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{self, Payload},
};
use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::{
    actors::{
        client::ClientAnswer,
        client_session::{Begin, CancelCall, End, Kind, OpenStream, StreamClient, StreamHandle},
        grant::Grant,
    },
    domain::clock,
    error::{Error, ErrorCode, Result},
    gateway::{
        Caller, Gateway, Speech,
        dispatch::{Outcome, ROOTS_CHANGED, Request},
        front::{read_body, with_cors},
        list,
        refused::Refusal,
        reply, scan_body,
        stream::{self, Pump as _, QueueBody, StreamSlot},
    },
    protocol::{
        headers,
        jsonrpc::{self, Incoming, classify},
        scan::{Document, Envelope, member, string_text},
        session_id::ClientCapabilities,
        sse,
    },
};

/// GET: the stream of a session, an HTTP+SSE connection, or (a person with a browser) how to connect.
pub async fn get(gateway: web::Data<Gateway>, request: HttpRequest) -> HttpResponse {
    let gateway = gateway.into_inner();
    let wants_page = accepts(&request, "text/html");
    let grant = match gateway.enter(&request).await {
        Ok(grant) => grant,
        Err(_) if wants_page && request.headers().get(header::AUTHORIZATION).is_none() => {
            return how_to_connect(&request);
        }
        Err(refusal) => return with_cors(&request, refusal.response(None)),
    };
    let session = request.headers().contains_key(headers::SESSION_ID);
    let versioned = request.headers().contains_key(headers::PROTOCOL_VERSION);
    let response = if !accepts(&request, headers::EVENT_STREAM) || (!session && versioned) {
        reply::method_not_allowed("POST", "GET serves event streams only, and 2026-07-28 has none: use POST")
    } else if session {
        gateway.session_stream(&request, grant).await
    } else {
        gateway.sse_stream(&request, grant)
    };
    with_cors(&request, response)
}

/// DELETE ends a session.
pub async fn delete(gateway: web::Data<Gateway>, request: HttpRequest) -> HttpResponse {
    let gateway = gateway.into_inner();
    let grant = match gateway.enter(&request).await {
        Ok(grant) => grant,
        Err(refusal) => return with_cors(&request, refusal.response(None)),
    };
    if !request.headers().contains_key(headers::SESSION_ID) {
        return with_cors(
            &request,
            reply::method_not_allowed("POST", "DELETE ends a session, and this request names none"),
        );
    }
    let ended = match gateway.session_of(&request, &grant).await {
        Ok(session) => {
            let ended = gateway.sessions.end(&session).await;
            gateway.upstreams.end_client(&session.who);
            gateway.streams.end_client(&session.who);
            ended
        }
        Err(error) => Err(error),
    };
    let response = match ended {
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(error) => reply::error_response(&error, None, false),
    };
    with_cors(&request, response)
}

/// CORS preflight of a browser client.
pub async fn preflight(gateway: web::Data<Gateway>, request: HttpRequest) -> HttpResponse {
    if let Err(error) = gateway.addressed.check(&request) {
        let refusal = Refusal::Error(error);
        gateway.note_refusal(&request, &refusal);
        return refusal.response(None);
    }
    let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let mut response = HttpResponse::NoContent()
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE"))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, "600"))
        .finish();
    if let Some(asked) = asked {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked);
    }
    with_cors(&request, response)
}

fn accepts(request: &HttpRequest, media: &str) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains(media))
}

fn how_to_connect(request: &HttpRequest) -> HttpResponse {
    let slug = request.match_info().get("slug").unwrap_or_default();
    HttpResponse::Unauthorized()
        .insert_header((header::CONTENT_TYPE, "text/plain; charset=utf-8"))
        .insert_header((header::WWW_AUTHENTICATE, r#"Bearer realm="aerostack""#))
        .body(format!(
            "This is an MCP gateway. Editors connect to this URL with a workspace token:\n\n\
             Authorization: Bearer mwt_…\n\n\
             An admin issues one with:\n\n  aerostack workspace token create {slug} --name \"Your Name\"\n\n\
             The answer holds the configuration to paste into Cursor, Claude Code, VS Code, Codex and others.\n"
        ))
}

impl Gateway {
    pub(super) fn slot(&self, grant: &Arc<Grant>) -> Result<StreamSlot> {
        if self.streams.len() >= self.config.limits.streams {
            return Err(
                Error::new(ErrorCode::Overloaded, "The gateway has as many streams open as it may").with_retry_after(5)
            );
        }
        StreamSlot::take(grant, self.config.limits.streams_per_token)
    }

    /// Opens a stream; `first` makes the events it begins with from its id.
    pub(super) fn open(
        &self,
        grant: &Arc<Grant>,
        kind: Kind,
        client: Arc<StreamClient>,
        first: impl FnOnce(&str) -> Option<Bytes>,
    ) -> Result<HttpResponse> {
        let limits = &self.config.limits;
        let slot = self.slot(grant)?;
        let (handle, queue) = StreamHandle::open(limits.stream_queue);
        let connection = matches!(kind, Kind::Sse).then(|| client.who.clone());
        let (id, stream) = self.streams.open(kind, client, grant, handle);
        if let Some(who) = connection {
            let (upstreams, closed) = (self.upstreams.clone(), stream.handle.closed.clone());
            actix_rt::spawn(async move {
                closed.cancelled().await;
                upstreams.end_client(&who);
            });
        }
        stream.handle.send(first(&id).unwrap_or_else(|| Bytes::from_static(sse::KEEP_ALIVE)));
        Ok(stream::response(QueueBody::new(queue, &stream.handle, slot, limits.keep_alive_comment_seconds)))
    }

    async fn session_stream(self: &Arc<Self>, request: &HttpRequest, grant: Arc<Grant>) -> HttpResponse {
        let opened = self.session_of(request, &grant).await.and_then(|session| {
            let last = request.headers().get(headers::LAST_EVENT_ID).and_then(|value| value.to_str().ok());
            if let Some(reader) = last.and_then(|last| self.trails.at(&session.who, last)) {
                return self.resume(&grant, reader);
            }
            let opened = self.open(&grant, Kind::Get, StreamClient::new(session.who.clone()), |_| None)?;
            let (gateway, caller) = (self.clone(), self.caller(request, grant, Speech::Session(session)));
            actix_rt::spawn(async move { gateway.resubscribe(caller).await });
            Ok(opened)
        });
        opened.unwrap_or_else(|error| reply::error_response(&error, None, false))
    }

    fn sse_stream(&self, request: &HttpRequest, grant: Arc<Grant>) -> HttpResponse {
        let slug = request.match_info().get("slug").unwrap_or_default();
        let opened = self.open(&grant, Kind::Sse, StreamClient::unknown(), |id| {
            let mut first = BytesMut::new();
            sse::encode_event(
                &mut first,
                Some("endpoint"),
                None,
                format!("/ws/{slug}/messages?sessionId={id}").as_bytes(),
            );
            Some(first.freeze())
        });
        opened.unwrap_or_else(|error| reply::error_response(&error, None, false))
    }
}

/// The query of an HTTP+SSE post.
#[derive(Deserialize)]
pub struct MessageQuery {
    #[serde(rename = "sessionId")]
    session: Option<String>,
}

/// A message of an HTTP+SSE client: taken at once, answered on its stream.
pub async fn message(
    gateway: web::Data<Gateway>,
    request: HttpRequest,
    query: web::Query<MessageQuery>,
    payload: Payload,
) -> HttpResponse {
    let gateway = gateway.into_inner();
    let grant = match gateway.enter(&request).await {
        Ok(grant) => grant,
        Err(refusal) => return with_cors(&request, refusal.response(None)),
    };
    let limit = gateway.config.limits.body_bytes;
    let within = Duration::from_secs(gateway.config.server.body_timeout_seconds);
    let taken = async {
        let Some(id) = query.into_inner().session else {
            return Err(Error::new(ErrorCode::SessionRequired, "Bad Request: the sessionId parameter is missing"));
        };
        let stream = gateway.streams.get(&id).filter(|stream| stream.token == grant.token).ok_or_else(|| {
            Error::new(ErrorCode::SessionNotFound, "Session not found")
                .with_hint("open the event stream again with GET")
        })?;
        let body = read_body(payload, limit, within).await?;
        let document = scan_body(&body, gateway.scan).await?;
        gateway.take(&request, grant, stream, body, document)
    };
    let response = match taken.await {
        Ok(()) => HttpResponse::Accepted().insert_header((header::CONTENT_TYPE, "text/plain")).body("Accepted"),
        Err(error) => reply::error_response(&error, None, false),
    };
    with_cors(&request, response)
}

impl Gateway {
    fn take(
        self: &Arc<Self>,
        request: &HttpRequest,
        grant: Arc<Grant>,
        stream: OpenStream,
        body: Bytes,
        document: Document,
    ) -> Result<()> {
        let Document::Object(env) = document else {
            return Err(Error::new(ErrorCode::InvalidRequest, "HTTP+SSE takes one message per request"));
        };
        let (method, id) = match classify(&body, &env)? {
            Incoming::Request { id, method } => (method.into_owned(), body.slice_ref(id)),
            Incoming::Notification { method } => {
                self.notified_on(&grant, &stream, &body, &env, &method);
                return Ok(());
            }
            Incoming::Response { id } => {
                if !grant.notifications.admit(clock::monotonic_ns).allowed {
                    return Ok(());
                }
                let id = id.and_then(string_text).unwrap_or_default().into_owned();
                self.questions.answered(&stream.client.who, &id, ClientAnswer::new(body, &env));
                return Ok(());
            }
        };
        let cancel = stream.handle.closed.child_token();
        let caller = self.caller(request, grant, Speech::Sse(stream.client.clone()));
        let caller = Caller { takes_events: true, ..caller };
        let message = Request { body, env, method, id, cancel: Some(cancel.clone()) };
        actix_rt::spawn(self.clone().serve_on(caller, stream, message, cancel));
        Ok(())
    }

    fn notified_on(&self, grant: &Grant, stream: &OpenStream, body: &[u8], env: &Envelope, method: &str) {
        let fits = grant.notifications.admit(clock::monotonic_ns).allowed;
        if fits && method == ROOTS_CHANGED {
            self.tell_servers(&stream.client.who);
        }
        if !fits || method != "notifications/cancelled" {
            return;
        }
        if let Some(id) = member(&env.params_members, body, "requestId").and_then(|range| body.get(range)) {
            let _ = stream.actor.tell(CancelCall { id: id.to_vec() });
        }
    }

    /// Answers one request on its stream. The stream's end cancels the call.
    async fn serve_on(
        self: Arc<Self>,
        caller: Caller,
        stream: OpenStream,
        message: Request,
        cancel: CancellationToken,
    ) {
        let id = message.id.clone();
        let _ = stream.actor.tell(Begin { id: id.to_vec(), cancel: cancel.clone() });
        let decision = self.admit(&caller);
        let outcome = if !decision.allowed {
            Outcome::Failure(self.over_limit(&caller, &message, &decision))
        } else if message.method == "initialize" {
            let declared = message.env.param(&message.body, "capabilities").unwrap_or(b"{}");
            stream.client.declare(ClientCapabilities::from_json(declared));
            match Gateway::negotiate(&message)
                .and_then(|revision| Ok(list::handshake(&*self.workspace(&caller)?, revision)))
            {
                Ok(result) => Outcome::Message(jsonrpc::response(&id, &result)),
                Err(error) => Outcome::Failure(error),
            }
        } else {
            tokio::select! {
                () = cancel.cancelled() => Outcome::Cancelled,
                outcome = self.handle(&caller, message) => outcome,
            }
        };
        match outcome {
            Outcome::Message(message) | Outcome::Refused(message, _) => stream.handle.send_message(&message),
            Outcome::Failure(error) => stream.handle.send_message(&reply::error_message(&error, Some(&id))),
            Outcome::Cancelled => {}
            Outcome::Stream(mut pump) => {
                while let Some(events) = pump.next().await {
                    stream.handle.send(events);
                }
            }
        }
        let _ = stream.actor.tell(End { id: id.to_vec() });
    }
}
