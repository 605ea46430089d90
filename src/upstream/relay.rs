//! Talking to an HTTP+SSE server: messages are posted, every answer comes on the one stream. The stream lives on one
//! thread; calls on other threads hand their message over and get their events back through a bounded channel, found
//! by the id they minted.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::{
    protocol::{
        jsonrpc::{self, Incoming},
        scan::{self, Document, Envelope, ScanLimits},
        sse::Event,
    },
    upstream::{
        UpstreamError,
        ask::{self, Message, Question, Reply},
        exchange::{Endpoint, Outgoing},
        listen::{self, Change},
        patience::Patience,
    },
};

/// Events that wait for one caller.
pub const QUEUE: usize = 64;
/// Abandoned callers are swept out when there are this many.
const SWEEP_AT: usize = 64;

type Events = mpsc::Sender<Result<Event, UpstreamError>>;

/// A message on its way to the server.
#[derive(Debug)]
pub struct Posted {
    /// Its id, if an answer is expected.
    pub id: Option<String>,
    /// Its method.
    pub method: String,
    /// The message.
    pub body: Bytes,
    /// How long the server may take to accept it.
    pub begin: Duration,
    /// Where its events go.
    pub events: Option<Events>,
}

/// One HTTP+SSE connection.
pub struct Relay {
    endpoint: Rc<Endpoint>,
    waiting: RefCell<HashMap<String, Events>>,
    ended: Cell<bool>,
}

impl Relay {
    /// A relay that posts to `endpoint`. Its stream is read by [`Relay::pump`].
    pub fn new(endpoint: Rc<Endpoint>) -> Rc<Self> {
        Rc::new(Relay { endpoint, waiting: RefCell::default(), ended: Cell::new(false) })
    }

    /// Posts a message; its events, or why there are none, go to its channel.
    pub fn post(self: &Rc<Self>, message: Posted) {
        if self.ended.get() {
            if let Some(events) = message.events {
                let _gone = events.try_send(Err(UpstreamError::SessionExpired));
            }
            return;
        }
        if let (Some(id), Some(events)) = (&message.id, message.events) {
            let mut waiting = self.waiting.borrow_mut();
            if waiting.len() >= SWEEP_AT {
                waiting.retain(|_, events| !events.is_closed());
            }
            waiting.insert(id.clone(), events);
        }
        let relay = self.clone();
        actix_rt::spawn(async move {
            let outgoing = Outgoing { body: &message.body, method: &message.method, name: None, extra: &[] };
            let sent = relay.endpoint.send(outgoing, Patience::within(message.begin)).await;
            if let (Err(failure), Some(id)) = (sent, &message.id)
                && let Some(events) = relay.waiting.borrow_mut().remove(id)
            {
                let _gone = events.try_send(Err(failure));
            }
        });
    }

    /// Reads the stream to its end, giving each event to the call it belongs to.
    pub async fn pump(self: Rc<Self>, mut stream: crate::upstream::EventStream, changed: impl Fn(Change)) {
        while let Ok(Some(event)) = stream.next().await {
            if event.is_message() {
                self.route(event, &changed);
            }
        }
        self.ended.set(true);
        for (_, events) in self.waiting.borrow_mut().drain() {
            let _gone = events.try_send(Err(UpstreamError::Cut));
        }
    }

    fn route(&self, event: Event, changed: &impl Fn(Change)) {
        let Ok(Document::Object(envelope)) = scan::scan(&event.data, ScanLimits::default()) else {
            return tracing::debug!("an HTTP+SSE server sent an event that is no message");
        };
        match jsonrpc::classify(&event.data, &envelope) {
            Ok(Incoming::Response { id: Some(id) }) => {
                let id = scan::string_text(id).unwrap_or_default().into_owned();
                if let Some(events) = self.waiting.borrow_mut().remove(&id) {
                    // One place in the queue is kept for the answer, so this fails only when nobody waits.
                    let _gone = events.try_send(Ok(event));
                }
            }
            Ok(Incoming::Notification { .. }) if self.progress(&event, &envelope) => {}
            _ => listen::hear(&self.endpoint, event.data, changed),
        }
    }

    /// Gives a progress notification to its call. False when it is none.
    fn progress(&self, event: &Event, envelope: &Envelope) -> bool {
        let Some(token) = envelope.param_str(&event.data, "progressToken") else { return false };
        if let Some(events) = self.waiting.borrow().get(&*token) {
            // A reader that does not keep up loses progress, never the answer.
            if events.capacity() > 1 {
                let _gone = events.try_send(Ok(event.clone()));
            }
        }
        true
    }

    /// Asks a question of our own.
    pub async fn ask(self: &Rc<Self>, question: &Question, patience: Patience) -> Result<Reply, UpstreamError> {
        let (events, mut answers) = mpsc::channel(QUEUE);
        self.post(Posted {
            id: Some(question.id.clone()),
            method: question.method.into(),
            body: question.body.clone(),
            begin: patience.begin,
            events: Some(events),
        });
        let answer = async {
            while let Some(event) = answers.recv().await {
                if let Message::Reply(_, reply) = ask::read_message(event?.data)? {
                    return Ok(reply);
                }
            }
            Err(UpstreamError::Cut)
        };
        let answered = tokio::time::timeout_at(patience.begin_by().into(), answer).await;
        answered.map_err(|_elapsed| UpstreamError::Timeout(patience.begin))?
    }
}
