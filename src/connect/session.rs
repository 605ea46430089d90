//! The session of a client that shook hands: opened with the client's own `initialize`, opened again with it when the
//! gateway does not know the session any more, and the stream on which the gateway speaks unasked.

use std::{rc::Rc, time::Duration};

use awc::http::{
    StatusCode,
    header::{HeaderName, HeaderValue},
};
use bytes::Bytes;

use super::{
    bridge::Bridge,
    gateway::{Body, Broken, Headers, Reply},
    request::{Request, Retry},
    say,
};
use crate::{
    error::{Error, ErrorCode, Result},
    protocol::{
        headers,
        jsonrpc::{self, Incoming, classify},
        scan::{Document, member, string_value},
    },
};

/// Longest wait for the answer to a notification.
const NOTIFICATION: Duration = Duration::from_secs(10);
/// Pause before the session's stream is opened again, unless the gateway names another.
const REOPEN: Duration = Duration::from_secs(1);
/// Longest pause a gateway may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A session.
pub(super) struct Session {
    /// None if the gateway gave none.
    id: Option<HeaderValue>,
    revision: HeaderValue,
    /// The client's `initialize`.
    opening: Bytes,
}

impl Session {
    /// What every message of the session carries.
    pub(super) fn headers(&self) -> Headers {
        let mut with = vec![(HeaderName::from_static(headers::PROTOCOL_VERSION), self.revision.clone())];
        with.extend(self.id.clone().map(|id| (HeaderName::from_static(headers::SESSION_ID), id)));
        with
    }

    /// Whether the gateway could have forgotten it.
    pub(super) fn has_id(&self) -> bool {
        self.id.is_some()
    }
}

/// The revision that an answer to `initialize` agrees on; `None` if it is an error.
fn agreed(bridge: &Bridge, answer: &[u8]) -> Option<HeaderValue> {
    let Document::Object(env) = bridge.scan(answer).ok()? else { return None };
    let revision = member(&env.result_members, answer, "protocolVersion")?;
    HeaderValue::from_str(&string_value(answer, revision)?).ok()
}

impl Bridge {
    /// Opens the session that the client asks for and answers it.
    pub(super) async fn handshake(&self, request: &Request) -> Result<()> {
        let (answer, session) = self.open(&request.line).await?;
        if let Some(session) = session {
            *self.session.borrow_mut() = Some(Rc::new(session));
        }
        self.write(answer).await;
        Ok(())
    }

    async fn open(&self, opening: &Bytes) -> Result<(Bytes, Option<Session>)> {
        let mut retry = Retry::new();
        let (reply, answer) = loop {
            let broken = match self.gateway.post(opening.clone(), &Headers::new()).await {
                Ok(reply) => match self.only_answer(reply).await {
                    Ok(answered) => break answered,
                    Err(broken) => broken,
                },
                Err(broken) => broken,
            };
            if broken == Broken::TooLarge || !self.wait(&mut retry, &broken).await {
                return Err(broken.into());
            }
        };
        self.reached();
        if answer.is_empty() {
            return Err(self.no_answer(reply.status));
        }
        let opened =
            agreed(self, &answer).map(|revision| Session { id: reply.session, revision, opening: opening.clone() });
        Ok((answer, opened))
    }

    /// The answer in a reply that holds nothing else of interest.
    async fn only_answer(&self, mut reply: Reply) -> Result<(Reply, Bytes), Broken> {
        let answer = match &mut reply.body {
            Body::Whole(body) if body.first() == Some(&b'{') => body.clone(),
            Body::Whole(_) => Bytes::new(),
            Body::Events(events) => loop {
                let Some(event) = events.next().await? else {
                    return Err(Broken::Lost("the stream ended before the answer".into()));
                };
                if self.is_response(&event.data) {
                    break event.data;
                }
            },
        };
        Ok((reply, answer))
    }

    fn is_response(&self, message: &[u8]) -> bool {
        match self.scan(message) {
            Ok(Document::Object(env)) => matches!(classify(message, &env), Ok(Incoming::Response { .. })),
            _ => false,
        }
    }

    /// Opens the session anew after the gateway forgot `lost`; whoever comes second finds it done.
    pub(super) async fn reopen(&self, lost: &Rc<Session>) -> Result<()> {
        let _turn = self.reopening.lock().await;
        if self.session.borrow().as_ref().is_none_or(|current| !Rc::ptr_eq(current, lost)) {
            return Ok(());
        }
        let (_, session) = self.open(&lost.opening).await?;
        let session = session.ok_or_else(|| {
            Error::new(ErrorCode::SessionNotFound, "The gateway forgot the session and opens no other")
        })?;
        let with = session.headers();
        *self.session.borrow_mut() = Some(Rc::new(session));
        self.notify(Bytes::from(jsonrpc::notification("notifications/initialized", None)), &with).await;
        Ok(())
    }

    /// Passes a notification or an answer of the client on. Nobody waits for an answer, so a failure is only told.
    pub(super) async fn notify(&self, message: Bytes, with: &Headers) {
        let mut retry = Retry::new();
        let sending = async {
            loop {
                match self.gateway.post(message.clone(), with).await {
                    Err(broken @ Broken::NotSent(_)) if self.wait(&mut retry, &broken).await => {}
                    other => return other,
                }
            }
        };
        match tokio::time::timeout(NOTIFICATION, sending).await {
            Ok(Ok(_taken)) => self.reached(),
            Ok(Err(_)) | Err(_) => say("a notification of the client did not reach the gateway"),
        }
    }

    /// Opens the session's own stream, once for each session.
    pub(super) fn hear(self: &Rc<Self>) {
        let bridge = self.clone();
        let hearing = actix_web::rt::spawn(async move { bridge.hear_on().await });
        if let Some(before) = self.hearing.replace(Some(hearing)) {
            before.abort();
        }
    }

    async fn hear_on(&self) {
        let (mut last_id, mut retry) = (None::<String>, Retry::endless());
        loop {
            let Some(session) = self.session.borrow().clone() else { return };
            let mut with = session.headers();
            let resume = last_id.as_deref().and_then(|id| HeaderValue::from_str(id).ok());
            with.extend(resume.map(|id| (HeaderName::from_static(headers::LAST_EVENT_ID), id)));
            let mut pause = REOPEN;
            match self.gateway.get(&with).await {
                Ok(Reply { status, body: Body::Events(mut events), .. }) if status.is_success() => {
                    retry = Retry::endless();
                    self.reached();
                    while let Ok(Some(event)) = events.next().await {
                        self.write(event.data).await;
                    }
                    pause = events.retry.unwrap_or(REOPEN).min(LONGEST_PAUSE);
                    last_id = events.last_id.or(last_id);
                }
                Ok(Reply { status: StatusCode::NOT_FOUND, .. }) if session.has_id() => {
                    last_id = None;
                    if self.reopen(&session).await.is_err() {
                        return;
                    }
                    continue;
                }
                // No such stream here, or none for this token.
                Ok(Reply { status, .. }) if status.is_client_error() => return,
                Ok(_) => {}
                Err(broken) => {
                    self.wait(&mut retry, &broken).await;
                    continue;
                }
            }
            tokio::time::sleep(pause).await;
        }
    }
}
