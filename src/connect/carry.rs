//! One request, from its POST to its answer, in spite of a gateway that restarts, forgets or closes early.

use std::{rc::Rc, time::Duration};

use awc::http::{
    StatusCode,
    header::{HeaderName, HeaderValue},
};
use bytes::Bytes;

use super::{
    bridge::Bridge,
    gateway::{Body, Broken, Events, Headers, Reply},
    request::{Request, Retry},
    say,
    session::Session,
};
use crate::{
    error::{ErrorCode, Result},
    protocol::{
        headers, jsonrpc, meta,
        scan::{self, Document, member},
    },
};

/// How often one answer's stream is resumed.
const RESUMPTIONS: u32 = 1000;
/// Longest pause before that which a gateway may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How far an attempt came.
enum Attempt {
    Answered,
    /// What stood in the way was cleared.
    Again,
    Broken(Broken),
}

impl Bridge {
    /// Answers one request.
    pub(super) async fn serve(&self, request: &Rc<Request>) -> Result<()> {
        if request.modern.is_none() {
            let turn = self.order.lock().await;
            if request.method == "initialize" {
                return self.handshake(request).await;
            }
            drop(turn);
        }
        let mut retry = if request.listens() { Retry::endless() } else { Retry::new() };
        let mut cleared = false;
        loop {
            let session = self.session.borrow().clone().filter(|_| request.modern.is_none());
            let with = self.headers(request, session.as_deref());
            let attempt = match self.gateway.post(request.line.clone(), &with).await {
                Ok(reply) => {
                    self.reached();
                    self.deliver(request, session.as_ref(), reply, cleared, &mut retry).await?
                }
                Err(broken) => Attempt::Broken(broken),
            };
            let broken = match attempt {
                Attempt::Answered => return Ok(()),
                Attempt::Again => {
                    cleared = true;
                    continue;
                }
                Attempt::Broken(broken) => broken,
            };
            let again = match &broken {
                Broken::NotSent(_) => true,
                Broken::Lost(_) => request.repeatable(),
                Broken::TooLarge => false,
            };
            if !again || !self.wait(&mut retry, &broken).await {
                return Err(broken.into());
            }
        }
    }

    fn headers(&self, request: &Request, session: Option<&Session>) -> Headers {
        let Some(version) = &request.modern else { return session.map(Session::headers).unwrap_or_default() };
        let mut with = vec![(HeaderName::from_static(headers::PROTOCOL_VERSION), version.clone())];
        let mut add = |name: &'static str, value: &str| {
            with.extend(HeaderValue::from_str(value).ok().map(|value| (HeaderName::from_static(name), value)));
        };
        add(headers::METHOD, &request.method);
        let name =
            headers::name_member(&request.method).and_then(|member| request.env.param_str(&request.line, member));
        if let Some(name) = &name {
            add(headers::NAME, &headers::encode(name));
        }
        if let (Some(name), "tools/call") = (&name, request.method.as_str()) {
            let arguments = request.env.param(&request.line, "arguments").unwrap_or(b"{}");
            with.extend(self.params.borrow().headers(name, arguments));
        }
        with
    }

    /// Hands a reply to the client. `cleared`: something was put right already, once is enough.
    async fn deliver(
        &self,
        request: &Request,
        session: Option<&Rc<Session>>,
        reply: Reply,
        cleared: bool,
        retry: &mut Retry,
    ) -> Result<Attempt> {
        let (status, body) = match reply.body {
            Body::Events(events) => return self.pump(request, session, *events, retry).await,
            Body::Whole(body) => (reply.status, body),
        };
        let forgotten = session.filter(|session| session.has_id() && status == StatusCode::NOT_FOUND && !cleared);
        if let Some(session) = forgotten {
            self.reopen(session).await?;
            return Ok(Attempt::Again);
        }
        if status == StatusCode::UNAUTHORIZED {
            say("the gateway refuses the token: an admin issues one with `aerostack workspace token create`");
        }
        if !matches!(body.first(), Some(b'{' | b'[')) {
            // Accepted without an answer: the client cancelled it.
            return if status.is_success() { Ok(Attempt::Answered) } else { Err(self.no_answer(status)) };
        }
        let calls = request.modern.is_some() && request.method == "tools/call" && !cleared;
        if calls && status == StatusCode::BAD_REQUEST && self.code_of(&body) == Some(ErrorCode::HeaderMismatch.rpc()) {
            self.list_tools(request).await;
            return Ok(Attempt::Again);
        }
        self.answer(request, body).await;
        Ok(Attempt::Answered)
    }

    async fn answer(&self, request: &Request, message: Bytes) {
        if request.modern.is_some() && request.method == "tools/list" {
            self.params.borrow_mut().learn(&message);
        }
        self.write(message).await;
    }

    fn code_of(&self, message: &[u8]) -> Option<i32> {
        let Ok(Document::Object(env)) = self.scan(message) else { return None };
        let members = scan::object_members(message, env.error?);
        let code = message.get(member(&members, message, "code")?)?;
        std::str::from_utf8(code).ok()?.parse().ok()
    }

    /// Learns which arguments travel in headers, with the `_meta` of the call that needs it.
    async fn list_tools(&self, request: &Request) {
        let Some(meta) = member(&request.env.params_members, &request.line, "_meta") else { return };
        let meta = request.line.get(meta).unwrap_or(b"{}");
        let params = [br#"{"_meta":"#.as_slice(), meta, b"}"].concat();
        let line = jsonrpc::request(br#""aerostack-connect""#, "tools/list", Some(&params));
        let mut with: Headers = Vec::new();
        with.extend(
            request.modern.clone().map(|version| (HeaderName::from_static(headers::PROTOCOL_VERSION), version)),
        );
        with.push((HeaderName::from_static(headers::METHOD), HeaderValue::from_static("tools/list")));
        if let Ok(Reply { body: Body::Whole(body), .. }) = self.gateway.post(line.into(), &with).await {
            self.params.borrow_mut().learn(&body);
        }
    }

    /// Passes events on until the answer is among them. A session's stream that ends early is resumed where it says so.
    async fn pump(
        &self,
        request: &Request,
        session: Option<&Rc<Session>>,
        mut events: Events,
        retry: &mut Retry,
    ) -> Result<Attempt> {
        for _ in 0..RESUMPTIONS {
            let broken = loop {
                match events.next().await {
                    Ok(Some(event)) if self.is_answer(request, &event.data) => {
                        self.answer(request, event.data).await;
                        return Ok(Attempt::Answered);
                    }
                    Ok(Some(event)) => self.event(request, event.data, retry).await,
                    Ok(None) => break Broken::Lost("the stream ended before the answer".into()),
                    Err(broken) => break broken,
                }
            };
            if request.cancelled.get() {
                return Ok(Attempt::Answered);
            }
            let resume = events.last_id.as_deref().and_then(|id| HeaderValue::from_str(id).ok());
            let (Some(session), Some(last)) = (session, resume) else { return Ok(Attempt::Broken(broken)) };
            if broken == Broken::TooLarge {
                return Ok(Attempt::Broken(broken));
            }
            tokio::time::sleep(events.retry.unwrap_or_default().min(LONGEST_PAUSE)).await;
            let mut with = session.headers();
            with.push((HeaderName::from_static(headers::LAST_EVENT_ID), last));
            let mut patience = Retry::new();
            events = loop {
                match self.gateway.get(&with).await {
                    Ok(Reply { body: Body::Events(mut resumed), .. }) => {
                        resumed.last_id = resumed.last_id.or(events.last_id);
                        break *resumed;
                    }
                    Err(how @ Broken::NotSent(_)) if self.wait(&mut patience, &how).await => {}
                    _ => return Ok(Attempt::Broken(broken)),
                }
            };
        }
        Ok(Attempt::Broken(Broken::Lost("its stream was resumed too often".into())))
    }

    fn is_answer(&self, request: &Request, message: &[u8]) -> bool {
        let Ok(Document::Object(env)) = self.scan(message) else { return false };
        env.method.is_none() && env.raw_id(message) == Some(&request.id)
    }

    /// Something on the stream that is not the answer. A second acknowledgement means that the listening was interrupted:
    /// what changed in between is not known, so everything listened to is said to have changed.
    async fn event(&self, request: &Request, message: Bytes, retry: &mut Retry) {
        if !request.listens() {
            return self.write(message).await;
        }
        let Ok(Document::Object(env)) = self.scan(&message) else { return };
        if env.method_str(&message).as_deref() != Some("notifications/subscriptions/acknowledged") {
            return self.write(message).await;
        }
        *retry = Retry::endless();
        if !request.acknowledged.replace(true) {
            return self.write(message).await;
        }
        let Some(honoured) = member(&env.params_members, &message, "notifications") else { return };
        let honoured = scan::object_members(&message, honoured);
        for (wanted, method) in [
            ("toolsListChanged", "notifications/tools/list_changed"),
            ("promptsListChanged", "notifications/prompts/list_changed"),
            ("resourcesListChanged", "notifications/resources/list_changed"),
        ] {
            if member(&honoured, &message, wanted).and_then(|range| message.get(range)) == Some(b"true") {
                let key = meta::SUBSCRIPTION_ID.as_bytes();
                let params = [br#"{"_meta":{""#.as_slice(), key, b"\":", &request.id, b"}}"].concat();
                self.write(jsonrpc::notification(method, Some(&params)).into()).await;
            }
        }
    }
}
