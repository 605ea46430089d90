//! Which message goes where: one task for each request of the client, with what it takes to answer it in spite of a
//! gateway that restarts.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    time::Duration,
};

use actix_web::rt;
use awc::http::{
    StatusCode,
    header::{HeaderName, HeaderValue},
};
use bytes::Bytes;
use tokio::sync::{Mutex, Notify, mpsc};

use super::{
    IN_FLIGHT,
    gateway::{Body, Broken, Gateway, Reply},
    params::Params,
    request::{Request, Retry},
    say,
    session::Session,
};
use crate::{
    domain::clock,
    error::{Error, ErrorCode, Result},
    protocol::{
        headers,
        jsonrpc::{Incoming, classify},
        meta,
        scan::{self, Document, ScanError, ScanLimits, member},
    },
};

/// The gateway has limits of its own; here only the size counts.
const UNLIMITED: ScanLimits = ScanLimits { depth: usize::MAX, values: usize::MAX, key_bytes: usize::MAX };

/// Everything that is joined.
pub(super) struct Bridge {
    pub(super) gateway: Gateway,
    out: mpsc::Sender<Bytes>,
    limit: usize,
    pub(super) session: RefCell<Option<Rc<Session>>>,
    pub(super) hearing: RefCell<Option<rt::task::JoinHandle<()>>>,
    /// One at a time opens a forgotten session anew.
    pub(super) reopening: Mutex<()>,
    /// Messages of a session leave in order up to the point where the gateway has taken them.
    pub(super) order: Mutex<()>,
    running: RefCell<HashMap<Bytes, Running>>,
    begun: Cell<u64>,
    finished: Notify,
    pub(super) params: RefCell<Params>,
    /// People were told that the gateway cannot be reached.
    away: Cell<bool>,
}

struct Running {
    number: u64,
    request: Rc<Request>,
    task: rt::task::JoinHandle<()>,
}

impl Bridge {
    pub(super) fn new(gateway: Gateway, out: mpsc::Sender<Bytes>, limit: usize) -> Self {
        Bridge {
            gateway,
            out,
            limit,
            session: RefCell::default(),
            hearing: RefCell::default(),
            reopening: Mutex::default(),
            order: Mutex::default(),
            running: RefCell::default(),
            begun: Cell::default(),
            finished: Notify::new(),
            params: RefCell::default(),
            away: Cell::default(),
        }
    }

    pub(super) fn scan(&self, message: &[u8]) -> Result<Document, ScanError> {
        scan::scan(message, UNLIMITED)
    }

    /// One message to the client.
    pub(super) async fn write(&self, message: Bytes) {
        // A client that is gone ends the bridge by itself.
        let _gone = self.out.send(message).await;
    }

    pub(super) async fn fail(&self, id: Option<&[u8]>, error: &Error) {
        let mut body = serde_json::json!({"code": error.code().rpc(), "message": error.message()});
        if let (Some(hint), Some(members)) = (error.hint(), body.as_object_mut()) {
            members.insert("data".into(), serde_json::json!({ "hint": hint }));
        }
        let id = id.unwrap_or(b"null");
        let message = [br#"{"jsonrpc":"2.0","id":"#, id, br#","error":"#, body.to_string().as_bytes(), b"}"].concat();
        self.write(message.into()).await;
    }

    /// Refuses a line that was too long to be read.
    pub(super) async fn refuse_line(&self) {
        let what = format!("The message is larger than {} bytes", self.limit);
        say(&what);
        let error = Error::new(ErrorCode::TooLarge, what).with_hint("raise it with aerostack connect --max-message");
        self.fail(None, &error).await;
    }

    /// Waits before the next attempt; false once the time is up.
    pub(super) async fn wait(&self, retry: &mut Retry, broken: &Broken) -> bool {
        if retry.until.is_some_and(|until| clock::instant() + retry.pause > until) {
            return false;
        }
        if let Broken::NotSent(how) = broken
            && !self.away.replace(true)
        {
            say(&format!("{} cannot be reached ({how}): waiting for it", self.gateway.shown));
        }
        tokio::time::sleep(retry.pause).await;
        retry.pause = (retry.pause * 2).min(Retry::LONGEST);
        true
    }

    /// The gateway answers.
    pub(super) fn reached(&self) {
        if self.away.replace(false) {
            say(&format!("{} is back", self.gateway.shown));
        }
    }

    /// A reply that is no answer.
    pub(super) fn no_answer(&self, status: StatusCode) -> Error {
        let what = format!("{} answered HTTP {}, not as a gateway does", self.gateway.shown, status.as_u16());
        Error::new(ErrorCode::UpstreamProtocol, what)
    }

    /// Takes one message of the client. Never waits: whatever takes time is a task.
    pub(super) fn take(self: Rc<Self>, line: Bytes) {
        let env = match self.scan(&line) {
            Ok(Document::Object(env)) => env,
            Ok(Document::Array(elements)) => return self.take_batch(line, &elements),
            Ok(Document::Other) => {
                return self.refuse(Error::new(ErrorCode::InvalidRequest, "The line is no JSON-RPC message"));
            }
            Err(cause) => return self.refuse(cause.into()),
        };
        let version = env.meta_str(&line, meta::PROTOCOL_VERSION);
        let modern = version.and_then(|version| HeaderValue::from_str(&version).ok());
        match classify(&line, &env) {
            Ok(Incoming::Request { id, method }) => {
                let (id, method) = (line.slice_ref(id), method.into_owned());
                let (cancelled, acknowledged) = (Cell::new(false), Cell::new(false));
                self.begin(Request { line, env, id, method, modern, cancelled, acknowledged });
            }
            Ok(Incoming::Notification { method }) if method == "notifications/cancelled" => {
                let cancelled = member(&env.params_members, &line, "requestId").map(|range| line.slice(range));
                self.cancel(line, cancelled);
            }
            Ok(Incoming::Notification { method }) => {
                let opens = method == "notifications/initialized";
                self.pass_on(line, modern, opens);
            }
            Ok(Incoming::Response { .. }) => self.pass_on(line, None, false),
            Err(cause) => self.refuse(cause.into()),
        }
    }

    fn refuse(self: Rc<Self>, error: Error) {
        rt::spawn(async move { self.fail(None, &error).await });
    }

    /// A batch (2025-03-26) is one POST; if it fails, each of its requests does.
    fn take_batch(self: Rc<Self>, line: Bytes, elements: &[std::ops::Range<usize>]) {
        let ids = elements.iter().filter_map(|range| {
            let element = line.slice(range.clone());
            match self.scan(&element) {
                Ok(Document::Object(env)) if env.method.is_some() => env.id.map(|id| element.slice(id)),
                _ => None,
            }
        });
        let ids: Vec<Bytes> = ids.collect();
        rt::spawn(async move {
            drop(self.order.lock().await);
            let with = self.session.borrow().as_ref().map(|session| session.headers()).unwrap_or_default();
            let failure = match self.gateway.post(line, &with).await {
                Ok(Reply { status, body: Body::Whole(body), .. }) if !body.is_empty() => match body.first() {
                    Some(b'{' | b'[') => return self.write(body).await,
                    _ => self.no_answer(status),
                },
                Ok(Reply { body: Body::Whole(_), .. }) => return,
                Ok(Reply { body: Body::Events(mut events), .. }) => {
                    while let Ok(Some(event)) = events.next().await {
                        self.write(event.data).await;
                    }
                    return;
                }
                Err(broken) => broken.into(),
            };
            for id in ids {
                self.fail(Some(&id), &failure).await;
            }
        });
    }

    fn begin(self: Rc<Self>, request: Request) {
        let id = request.id.clone();
        if self.running.borrow().len() >= IN_FLIGHT {
            let error = Error::new(ErrorCode::Overloaded, format!("{IN_FLIGHT} requests are under way already"));
            rt::spawn(async move { self.fail(Some(&id), &error).await });
            return;
        }
        let number = self.begun.get() + 1;
        self.begun.set(number);
        let (bridge, request) = (self.clone(), Rc::new(request));
        let served = request.clone();
        let task = rt::spawn(async move {
            match bridge.serve(&served).await {
                Err(error) if !served.cancelled.get() => bridge.fail(Some(&served.id), &error).await,
                _ => {}
            }
            bridge.finish(&served.id, number);
        });
        self.running.borrow_mut().insert(id, Running { number, request, task });
    }

    fn finish(&self, id: &Bytes, number: u64) {
        let mut running = self.running.borrow_mut();
        if running.get(id).is_some_and(|found| found.number == number) {
            running.remove(id);
        }
        self.finished.notify_waiters();
    }

    /// The client does not want an answer any more. In the stateless era the POST's end says so.
    fn cancel(self: Rc<Self>, line: Bytes, id: Option<Bytes>) {
        let found = id.as_ref().and_then(|id| {
            let running = self.running.borrow();
            running.get(id).map(|found| (found.request.clone(), found.number))
        });
        match (found, id) {
            (Some((request, number)), Some(id)) if request.modern.is_some() => {
                if let Some(found) = self.running.borrow().get(&id) {
                    found.task.abort();
                }
                self.finish(&id, number);
            }
            (found, _) => {
                if let Some((request, _)) = found {
                    request.cancelled.set(true);
                }
                self.pass_on(line, None, false);
            }
        }
    }

    /// Posts what wants no answer: into the session, or on its own if it names a revision.
    fn pass_on(self: Rc<Self>, line: Bytes, modern: Option<HeaderValue>, opens: bool) {
        rt::spawn(async move {
            let turn = self.order.lock().await;
            let with = match (modern, &*self.session.borrow()) {
                (Some(version), _) => vec![(HeaderName::from_static(headers::PROTOCOL_VERSION), version)],
                (None, Some(session)) => session.headers(),
                // Without a session nobody is there to be told.
                (None, None) => return,
            };
            self.notify(line, &with).await;
            drop(turn);
            if opens {
                self.hear();
            }
        });
    }

    /// Waits until every request but the listening ones is answered, at most `within`.
    pub(super) async fn drained(&self, within: Duration) {
        let drain = async {
            loop {
                let finished = self.finished.notified();
                if self.running.borrow().values().all(|running| running.request.listens()) {
                    return;
                }
                finished.await;
            }
        };
        let _elapsed = tokio::time::timeout(within, drain).await;
    }

    /// Ends what runs, and the session.
    pub(super) async fn end(&self, within: Duration) {
        for (_, running) in self.running.borrow_mut().drain() {
            running.task.abort();
        }
        if let Some(hearing) = self.hearing.take() {
            hearing.abort();
        }
        let session = self.session.take().filter(|session| session.has_id());
        if let Some(session) = session {
            let _elapsed = tokio::time::timeout(within, self.gateway.delete(&session.headers())).await;
        }
    }
}
