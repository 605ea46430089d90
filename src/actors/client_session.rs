//! Open streams to clients: one `ClientSession` actor per stream (HTTP+SSE connection, GET stream of a legacy session,
//! `subscriptions/listen`). It owns the calls under way on the stream and turns notices into the words of its revision.
//! Never reads a request: the front does, on the worker that received it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
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
        supervisor::{Drain, Group, Heartbeat, Runtime, Spec, supervise_here},
    },
    domain::ids::{TokenId, WorkspaceId},
    protocol::{jsonrpc, meta, sse},
    upstream::lists::{self, Kinds},
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

/// An open stream, as the rest of the gateway finds it.
#[derive(Clone)]
pub struct OpenStream {
    /// The workspace whose changes it hears of.
    pub workspace: WorkspaceId,
    /// The token that opened it.
    pub token: TokenId,
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
}

impl ClientSessions {
    /// None open yet.
    pub fn new(runtime: Runtime) -> Self {
        ClientSessions { runtime, streams: Arc::default(), opened: Arc::default() }
    }

    /// Opens a stream on this worker. It ends when the handle's `closed` is cancelled.
    pub fn open(&self, kind: Kind, grant: &Arc<Grant>, handle: StreamHandle) -> (Arc<str>, OpenStream) {
        let id: Arc<str> = uuid::Uuid::new_v4().simple().to_string().into();
        let number = self.opened.fetch_add(1, Relaxed);
        let spec = Spec::instance(format!("ClientSession/{number}"), Group::Control, handle.closed.clone());
        let factory_handle = handle.clone();
        let actor = supervise_here(&self.runtime, spec, move || ClientSession {
            kind: kind.clone(),
            handle: factory_handle.clone(),
            calls: HashMap::new(),
        });
        let stream = OpenStream { workspace: grant.workspace, token: grant.token, actor, handle: handle.clone() };
        self.streams.insert(id.clone(), stream.clone());
        let (streams, key) = (self.streams.clone(), id.clone());
        actix_rt::spawn(async move {
            handle.closed.cancelled().await;
            streams.remove(&key);
        });
        (id, stream)
    }

    /// The stream of that id.
    pub fn get(&self, id: &str) -> Option<OpenStream> {
        self.streams.get(id).map(|entry| entry.value().clone())
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
        for stream in self.streams.iter().filter(|stream| stream.workspace == workspace) {
            let _ = stream.actor.tell(ListsChanged(kinds));
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
        json!({ "open": self.streams.len(), "opened": self.opened.load(Relaxed) })
    }
}
