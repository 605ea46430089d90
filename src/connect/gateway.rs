//! HTTP to one gateway URL: POST, GET and DELETE with the token, streams as events, and whether a request that failed
//! can have arrived. Never follows a redirect, never uses a proxy from the environment.

use std::{future::poll_fn, pin::Pin, time::Duration};

use actix_web::error::ParseError;
use awc::{
    ClientRequest, ClientResponse,
    error::{ConnectError, SendRequestError},
    http::{
        Method, StatusCode, Uri,
        header::{self, HeaderName, HeaderValue},
    },
};
use bytes::Bytes;
use futures_util::Stream as _;
use secrecy::ExposeSecret as _;

use super::{ANSWER, SILENCE};
use crate::{
    cli::Target,
    error::{Error, ErrorCode, Result, err},
    protocol::{
        headers,
        sse::{Decoder, Event},
    },
    upstream::client::tls_config,
};

const CONNECT: Duration = Duration::from_secs(5);
const AGENT: &str = concat!("aerostack-connect/", env!("CARGO_PKG_VERSION"));

/// Headers of one request.
pub(super) type Headers = Vec<(HeaderName, HeaderValue)>;

/// The gateway.
pub(super) struct Gateway {
    http: awc::Client,
    url: Uri,
    bearer: HeaderValue,
    limit: usize,
    /// `https://host` for people.
    pub(super) shown: String,
}

/// How a request ended without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Broken {
    /// It did not arrive.
    NotSent(String),
    /// It may have arrived.
    Lost(String),
    /// The answer is larger than the limit.
    TooLarge,
}

/// What the gateway answered.
pub(super) struct Reply {
    /// HTTP status.
    pub(super) status: StatusCode,
    /// The session that was opened.
    pub(super) session: Option<HeaderValue>,
    /// The body.
    pub(super) body: Body,
}

/// The body of a reply.
pub(super) enum Body {
    /// Read to its end; may be empty.
    Whole(Bytes),
    /// Events, as they come.
    Events(Box<Events>),
}

/// Events of one answer. Dropping it closes the connection.
pub(super) struct Events {
    response: ClientResponse,
    decoder: Decoder,
    /// Where the stream can be resumed.
    pub(super) last_id: Option<String>,
    /// How long to wait before that.
    pub(super) retry: Option<Duration>,
}

impl Gateway {
    /// The gateway of `target`.
    pub(super) fn new(target: &Target) -> Result<Self> {
        let url: Uri = target.url.as_str().parse().map_err(|_cause| err::validation("The URL cannot be used"))?;
        let bearer = HeaderValue::from_str(&format!("Bearer {}", target.token.expose_secret()));
        let mut bearer = bearer.map_err(|_secret| err::validation("The token holds characters that no token has"))?;
        bearer.set_sensitive(true);
        let connector = awc::Connector::new()
            .rustls_0_23(tls_config())
            // Each stream holds a connection for as long as it lasts: no limit but that on requests.
            .limit(0)
            .timeout(CONNECT)
            .handshake_timeout(CONNECT);
        let http = awc::Client::builder().connector(connector).disable_redirects().disable_timeout().finish();
        let shown = target.url.origin().ascii_serialization();
        Ok(Gateway { http, url, bearer, limit: target.message_bytes, shown })
    }

    /// Posts one message.
    pub(super) async fn post(&self, body: Bytes, with: &Headers) -> Result<Reply, Broken> {
        let request = self.request(Method::POST, with).insert_header((header::CONTENT_TYPE, headers::JSON));
        let request = request.insert_header((header::ACCEPT, headers::ACCEPT_BOTH));
        self.reply(request.send_body(body)).await
    }

    /// Opens or resumes a stream of a session.
    pub(super) async fn get(&self, with: &Headers) -> Result<Reply, Broken> {
        let request = self.request(Method::GET, with).insert_header((header::ACCEPT, headers::EVENT_STREAM));
        self.reply(request.send()).await
    }

    /// Ends a session.
    pub(super) async fn delete(&self, with: &Headers) -> Result<Reply, Broken> {
        self.reply(self.request(Method::DELETE, with).send()).await
    }

    fn request(&self, method: Method, with: &Headers) -> ClientRequest {
        let request = self.http.request(method, &self.url).insert_header((header::USER_AGENT, AGENT));
        let request = request.insert_header((header::AUTHORIZATION, self.bearer.clone()));
        with.iter().fold(request, |request, (name, value)| request.insert_header((name.clone(), value.clone())))
    }

    async fn reply(
        &self,
        sending: impl Future<Output = std::result::Result<ClientResponse, SendRequestError>>,
    ) -> Result<Reply, Broken> {
        let late = || Broken::Lost(format!("no answer came within {} s", ANSWER.as_secs()));
        let sent = tokio::time::timeout(ANSWER, sending).await.map_err(|_elapsed| late())?;
        let mut response = sent.map_err(|cause| broken(&cause))?;
        let status = response.status();
        let session = response.headers().get(headers::SESSION_ID).cloned();
        let media = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if media.is_some_and(|media| media.starts_with(headers::EVENT_STREAM)) {
            let decoder = Decoder::new(self.limit);
            let events = Events { response, decoder, last_id: None, retry: None };
            return Ok(Reply { status, session, body: Body::Events(Box::new(events)) });
        }
        let read = tokio::time::timeout(SILENCE, response.body().limit(self.limit)).await;
        let read = read.map_err(|_elapsed| Broken::Lost("the answer stopped half-way".into()))?;
        let body = read.map_err(|cause| match cause {
            awc::error::PayloadError::Overflow => Broken::TooLarge,
            _ => Broken::Lost("the answer broke off".into()),
        })?;
        Ok(Reply { status, session, body: Body::Whole(body) })
    }
}

impl Events {
    /// The next event with data; `None` at the end of the stream.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, Broken> {
        loop {
            while let Some(event) = self.decoder.next().map_err(|_too_large| Broken::TooLarge)? {
                if let Some(id) = &event.id {
                    self.last_id = Some(id.clone());
                }
                self.retry = event.retry.map(Duration::from_millis).or(self.retry);
                if event.is_message() {
                    return Ok(Some(event));
                }
            }
            let chunk = poll_fn(|cx| Pin::new(&mut self.response).poll_next(cx));
            match tokio::time::timeout(SILENCE, chunk).await {
                Ok(Some(Ok(bytes))) => self.decoder.feed(&bytes),
                Ok(Some(Err(_))) => return Err(Broken::Lost("the stream broke".into())),
                Ok(None) if self.decoder.is_mid_event() => return Err(Broken::Lost("the stream broke".into())),
                Ok(None) => return Ok(None),
                Err(_elapsed) => return Err(Broken::Lost("the stream fell silent".into())),
            }
        }
    }
}

fn broken(cause: &SendRequestError) -> Broken {
    match cause {
        SendRequestError::Connect(ConnectError::Disconnected) => Broken::Lost("the connection was closed".into()),
        SendRequestError::Connect(ConnectError::Io(cause)) => Broken::NotSent(cause.to_string()),
        SendRequestError::Connect(ConnectError::Timeout) => Broken::NotSent("no connection in time".into()),
        SendRequestError::Connect(cause) => Broken::NotSent(cause.to_string()),
        SendRequestError::Url(_) => Broken::NotSent("the URL cannot be used".into()),
        SendRequestError::Response(ParseError::TooLarge) => Broken::TooLarge,
        _ => Broken::Lost("the connection broke".into()),
    }
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::NotSent(how) => {
                Error::new(ErrorCode::UpstreamUnavailable, format!("The gateway cannot be reached: {how}"))
            }
            Broken::Lost(how) => Error::new(
                ErrorCode::OutcomeUnknown,
                format!("Outcome unknown: the request was sent to the gateway, then {how}. It was not sent again"),
            ),
            Broken::TooLarge => Error::new(ErrorCode::UpstreamTooLarge, "The answer is larger than a message may be")
                .with_hint("raise it with aerostack connect --max-message"),
        }
    }
}
