//! Open streams to clients: one `ClientSession` actor per stream (HTTP+SSE connection, GET stream of a legacy session,
//! `subscriptions/listen`). It owns the calls under way on the stream and turns notices into the words of its revision.
//! Never reads a request: the front does, on the worker that received it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU16, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use actix::{Actor, Context, Handler, Message, MessageResult};
use bytes::{Bytes, BytesMut};
use dashmap::DashMap;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    actors::{
        actor_ref::ActorRef,
        grant::Grant,
        subscriptions::{Resource, Subscriptions},
        supervisor::{Drain, Group, Heartbeat, Runtime, Spec, supervise_here},
    },
    config::LimitsConfig,
    domain::ids::{ServerId, TokenId, WorkspaceId},
    protocol::{jsonrpc, log_level::Level, meta, session_id::ClientCapabilities, splice::json_string, sse},
    upstream::{
        ears::Watch,
        lists::{self, Kinds},
    },
};

/// How a change of each list is announced.
const NOTICES: [(lists::Kind, &str); 3] = [
    (lists::Kind::Tools, "notifications/tools/list_changed"),
    (lists::Kind::Prompts, "notifications/prompts/list_changed"),
    (lists::Kind::Resources, "notifications/resources/list_changed"),
];

/// What kind of stream it is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// HTTP+SSE of 2024-11-05: answers and notices travel on it.
    Sse,
    /// The GET stream of a legacy session: notices only.
    Get,
    /// `subscriptions/listen` of 2026-07-28: raw JSON id of the listen request, and what it asked for.
    Listen {
        /// The id, as written.
        id: Vec<u8>,
        /// The lists whose changes were asked for.
        lists: Kinds,
    },
}

/// The writing end of a stream. Bounded: a reader that does not read is cut.
#[derive(Clone)]
pub struct StreamHandle {
    sender: mpsc::Sender<Bytes>,
    /// Cancelled when the stream is over, whoever ended it.
    pub closed: CancellationToken,
}

impl StreamHandle {
    /// A stream that holds `queue` unread messages.
    pub fn open(queue: usize) -> (Self, mpsc::Receiver<Bytes>) {
        let (sender, receiver) = mpsc::channel(queue);
        (StreamHandle { sender, closed: CancellationToken::new() }, receiver)
    }

    /// Queues encoded events; a full queue means a reader that does not read, and ends the stream.
    pub fn send(&self, events: Bytes) {
        if self.sender.try_send(events).is_err() {
            self.closed.cancel();
        }
    }

    /// Queues one JSON-RPC message as a `message` event.
    pub fn send_message(&self, message: &[u8]) {
        let mut events = BytesMut::with_capacity(message.len() + 32);
        sse::encode_event(&mut events, Some("message"), None, message);
        self.send(events.freeze());
    }
}

/// One open stream.
pub struct ClientSession {
    kind: Kind,
    handle: StreamHandle,
    calls: HashMap<Vec<u8>, CancellationToken>,
}

impl Actor for ClientSession {
    type Context = Context<Self>;
}

/// Lists of the workspace changed.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub struct ListsChanged(pub Kinds);

/// Resources that the client subscribed to changed; the URIs as it knows them.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ResourcesUpdated(pub Vec<Arc<str>>);

/// A call began on this stream; `cancel` ends it.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Begin {
    /// The request's id, as written.
    pub id: Vec<u8>,
    /// Ends the call.
    pub cancel: CancellationToken,
}

/// A call is over.
#[derive(Message)]
#[rtype(result = "()")]
pub struct End {
    /// The request's id, as written.
    pub id: Vec<u8>,
}

/// The client cancelled a call.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CancelCall {
    /// The request's id, as written.
    pub id: Vec<u8>,
}

/// The gateway stops: say goodbye in the words of the revision.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Goodbye;

impl Handler<ListsChanged> for ClientSession {
    type Result = ();
    fn handle(&mut self, ListsChanged(kinds): ListsChanged, _: &mut Context<Self>) {
        for (list, method) in NOTICES {
            if !kinds.has(list) {
                continue;
            }
            match &self.kind {
                Kind::Sse | Kind::Get => self.handle.send_message(&jsonrpc::notification(method, None)),
                Kind::Listen { id, lists } if lists.has(list) => {
                    let params =
                        [br#"{"_meta":{""#.as_slice(), meta::SUBSCRIPTION_ID.as_bytes(), b"\":", id, b"}}"].concat();
                    self.handle.send_message(&jsonrpc::notification(method, Some(&params)));
                }
                Kind::Listen { .. } => {}
            }
        }
    }
}

impl Handler<ResourcesUpdated> for ClientSession {
    type Result = ();
    fn handle(&mut self, ResourcesUpdated(uris): ResourcesUpdated, _: &mut Context<Self>) {
        // Together they take one place in the queue: many updates at once are no sign of a reader that does not read.
        let mut events = BytesMut::new();
        for uri in uris {
            let mut params = format!("{{\"uri\":{}", json_string(&uri)).into_bytes();
            if let Kind::Listen { id, .. } = &self.kind {
                params.extend_from_slice(br#","_meta":{""#);
                params.extend_from_slice(meta::SUBSCRIPTION_ID.as_bytes());
                params.extend_from_slice(b"\":");
                params.extend_from_slice(id);
                params.push(b'}');
            }
            params.push(b'}');
            let message = jsonrpc::notification("notifications/resources/updated", Some(&params));
            sse::encode_event(&mut events, Some("message"), None, &message);
        }
        self.handle.send(events.freeze());
    }
}

impl Handler<Begin> for ClientSession {
    type Result = ();
    fn handle(&mut self, begin: Begin, _: &mut Context<Self>) {
        self.calls.insert(begin.id, begin.cancel);
    }
}

impl Handler<End> for ClientSession {
    type Result = ();
    fn handle(&mut self, end: End, _: &mut Context<Self>) {
        self.calls.remove(&end.id);
    }
}

impl Handler<CancelCall> for ClientSession {
    type Result = ();
    fn handle(&mut self, cancel: CancelCall, _: &mut Context<Self>) {
        if let Some(call) = self.calls.remove(&cancel.id) {
            call.cancel();
        }
    }
}

impl Handler<Goodbye> for ClientSession {
    type Result = ();
    fn handle(&mut self, _: Goodbye, _: &mut Context<Self>) {
        if let Kind::Listen { id, .. } = &self.kind {
            let key = meta::SUBSCRIPTION_ID.as_bytes();
            let result = [br#"{"resultType":"complete","_meta":{""#.as_slice(), key, b"\":", id, b"}}"].concat();
            self.handle.send_message(&jsonrpc::response(id, &result));
        }
        self.handle.closed.cancel();
    }
}

impl Handler<Heartbeat> for ClientSession {
    type Result = MessageResult<Heartbeat>;
    fn handle(&mut self, _: Heartbeat, _: &mut Context<Self>) -> Self::Result {
        let kind = match self.kind {
            Kind::Sse => "http+sse",
            Kind::Get => "get",
            Kind::Listen { .. } => "listen",
        };
        MessageResult(json!({ "kind": kind, "calls": self.calls.len(), "queue_free": self.handle.sender.capacity() }))
    }
}

impl Handler<Drain> for ClientSession {
    type Result = ();
    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        Handler::<Goodbye>::handle(self, Goodbye, ctx);
    }
}

/// The client at the other end of a stream.
#[derive(Debug)]
pub struct StreamClient {
    /// Tells it from every other; no credential.
    pub who: Arc<str>,
    /// HTTP+SSE: what it declared in its handshake.
    capabilities: AtomicU16,
    /// HTTP+SSE: the lowest level of log messages it wants; 0: it has not said.
    level: AtomicU8,
}

impl StreamClient {
    /// The client `who`.
    pub fn new(who: Arc<str>) -> Arc<Self> {
        Arc::new(StreamClient { who, capabilities: AtomicU16::new(0), level: AtomicU8::new(0) })
    }
    /// A client that nothing is known of yet.
    pub fn unknown() -> Arc<Self> {
        StreamClient::new(uuid::Uuid::new_v4().simple().to_string().into())
    }
    /// What it declared in its handshake.
    pub fn capabilities(&self) -> ClientCapabilities {
        ClientCapabilities(self.capabilities.load(Relaxed))
    }
    /// Notes what it declared.
    pub fn declare(&self, capabilities: ClientCapabilities) {
        self.capabilities.store(capabilities.0, Relaxed);
    }
    /// From which level on it wants log messages, if it said so.
    pub fn log_level(&self) -> Option<Level> {
        Level::from_number(self.level.load(Relaxed))
    }
    /// Notes from which level on it wants log messages.
    pub fn set_log_level(&self, level: Level) {
        self.level.store(level as u8, Relaxed);
    }
}

/// An open stream, as the rest of the gateway finds it.
#[derive(Clone)]
pub struct OpenStream {
    /// The workspace whose changes it hears of.
    pub workspace: WorkspaceId,
    /// The token that opened it.
    pub token: TokenId,
    /// Who reads it.
    pub client: Arc<StreamClient>,
    /// Counts the streams of the process: a later one has a greater number.
    number: u64,
    /// Its actor.
    pub actor: ActorRef<ClientSession>,
    /// Its writing end.
    pub handle: StreamHandle,
}

/// All open streams of this process, by an unguessable id.
#[derive(Clone)]
pub struct ClientSessions {
    runtime: Runtime,
    streams: Arc<DashMap<Arc<str>, OpenStream>>,
    opened: Arc<AtomicU64>,
    subscriptions: Arc<Subscriptions>,
    /// Subscriptions of a client.
    most: usize,
    /// How long the subscriptions of a session without a stream are kept.
    linger: Duration,
}

impl ClientSessions {
    /// None open yet.
    pub fn new(runtime: Runtime, limits: &LimitsConfig) -> Self {
        ClientSessions {
            runtime,
            streams: Arc::default(),
            opened: Arc::default(),
            subscriptions: Arc::default(),
            most: limits.subscriptions_per_client,
            linger: Duration::from_secs(limits.subscription_linger_seconds),
        }
    }

    /// Opens a stream on this worker. It ends when the handle's `closed` is cancelled.
    pub fn open(
        &self,
        kind: Kind,
        client: Arc<StreamClient>,
        grant: &Arc<Grant>,
        handle: StreamHandle,
    ) -> (Arc<str>, OpenStream) {
        let id: Arc<str> = uuid::Uuid::new_v4().simple().to_string().into();
        let number = self.opened.fetch_add(1, Relaxed);
        let spec = Spec::instance(format!("ClientSession/{number}"), Group::Control, handle.closed.clone());
        let is_whole_client = !matches!(kind, Kind::Get);
        let factory_handle = handle.clone();
        let actor = supervise_here(&self.runtime, spec, move || ClientSession {
            kind: kind.clone(),
            handle: factory_handle.clone(),
            calls: HashMap::new(),
        });
        let who = client.who.clone();
        let stream = OpenStream {
            workspace: grant.workspace,
            token: grant.token,
            client,
            number,
            actor,
            handle: handle.clone(),
        };
        self.streams.insert(id.clone(), stream.clone());
        let (all, key) = (self.clone(), id.clone());
        actix_rt::spawn(async move {
            handle.closed.cancelled().await;
            all.streams.remove(&key);
            if is_whole_client {
                all.subscriptions.release(&who);
            } else {
                all.release_unless_heard(&who).await;
            }
        });
        (id, stream)
    }

    /// The stream of that id.
    pub fn get(&self, id: &str) -> Option<OpenStream> {
        self.streams.get(id).map(|entry| entry.value().clone())
    }

    /// The stream on which a client is told what it did not ask for just now: the latest, as the earlier ones of a
    /// session may be dead without anybody having noticed.
    fn of(&self, who: &str) -> Option<OpenStream> {
        let theirs = self.streams.iter().filter(|stream| *stream.client.who == *who);
        theirs.max_by_key(|stream| stream.number).map(|stream| stream.value().clone())
    }

    /// A stream on which the client `who` can be told and asked something.
    pub fn of_client(&self, who: &str) -> Option<StreamHandle> {
        self.of(who).map(|stream| stream.handle)
    }

    /// Subscribes a client to a resource that it knows as `shown`. False when it has as many as it may.
    pub fn subscribe(&self, who: &Arc<str>, shown: &str, watched: (ServerId, Option<WorkspaceId>, Watch)) -> bool {
        let added = self.subscriptions.add(who, shown, watched, self.most);
        if added && self.of(who).is_none() {
            let (all, who) = (self.clone(), who.clone());
            actix_rt::spawn(async move { all.release_unless_heard(&who).await });
        }
        added
    }

    /// Ends a client's subscription to what it knows as `shown`.
    pub fn unsubscribe(&self, who: &str, shown: &str) {
        self.subscriptions.remove(who, shown);
    }

    /// Ends the subscriptions of a client that has no stream and opens none for a while.
    async fn release_unless_heard(&self, who: &str) {
        if self.of(who).is_none() && !self.subscriptions.of_client(who).is_empty() {
            tokio::time::sleep(self.linger).await;
        }
        if self.of(who).is_none() {
            self.subscriptions.release(who);
        }
    }

    /// A session is over: its streams end, and with them its subscriptions.
    pub fn end_client(&self, who: &str) {
        for stream in self.streams.iter().filter(|stream| *stream.client.who == *who) {
            stream.handle.closed.cancel();
        }
        self.subscriptions.release(who);
    }

    /// Resources of a server changed (its own URIs): whoever subscribed to them is told, on one stream each.
    pub fn updated(&self, server: ServerId, scope: Option<WorkspaceId>, uris: &[String]) {
        let mut told: HashMap<Arc<str>, Vec<Arc<str>>> = HashMap::new();
        for uri in uris {
            for (who, shown) in self.subscriptions.of(&Resource { server, scope, uri: uri.as_str().into() }) {
                told.entry(who).or_default().push(shown);
            }
        }
        for (who, shown) in told {
            self.tell_updated(&who, shown);
        }
    }

    /// What a client is subscribed to, as it knows it.
    pub fn subscriptions_of(&self, who: &str) -> Vec<Arc<str>> {
        self.subscriptions.of_client(who)
    }

    /// Tells a client that resources changed, on one of its streams.
    pub fn tell_updated(&self, who: &str, shown: Vec<Arc<str>>) {
        if let Some(stream) = self.of(who).filter(|_| !shown.is_empty()) {
            let _gone = stream.actor.tell(ResourcesUpdated(shown));
        }
    }

    /// Streams open now.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether no stream is open.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Tells every stream of a workspace that its lists changed.
    pub fn changed(&self, workspace: WorkspaceId, kinds: Kinds) {
        // Templates are announced as resources.
        let kinds = if kinds.has(lists::Kind::Templates) { kinds.with(lists::Kind::Resources) } else { kinds };
        // A session may have several streams; each message travels on one.
        let mut latest: HashMap<Arc<str>, OpenStream> = HashMap::new();
        for stream in self.streams.iter().filter(|stream| stream.workspace == workspace) {
            let known = latest.entry(stream.client.who.clone()).or_insert_with(|| stream.value().clone());
            if known.number < stream.number {
                *known = stream.value().clone();
            }
        }
        for stream in latest.into_values() {
            let _gone = stream.actor.tell(ListsChanged(kinds));
        }
    }

    /// Ends every stream politely.
    pub fn goodbye(&self) {
        for stream in self.streams.iter() {
            let _ = stream.actor.tell(Goodbye);
        }
    }

    /// What operators see.
    pub fn observe(&self) -> Value {
        let subscriptions = self.subscriptions.len();
        json!({ "open": self.streams.len(), "opened": self.opened.load(Relaxed), "subscriptions": subscriptions })
    }
}
