//! Talking to a server whose every answer comes on one stream (HTTP+SSE, stdio). The stream lives on one thread; calls
//! on other threads hand their message over and get their events back through a bounded channel, found by the id they
//! minted. How a message reaches the server is the relay's [`Outlet`].

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
        stdio::Inlet,
    },
};

/// Events that wait for one caller.
pub const QUEUE: usize = 64;
/// How long a server may take to accept our answer to what it asked.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
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

/// The way of a message to a server that answers elsewhere.
#[derive(Clone)]
pub enum Outlet {
    /// Posted over HTTP.
    Post(Rc<Endpoint>),
    /// Written to a program.
    Child(Inlet),
}

impl Outlet {
    /// Returns when the server has the message.
    pub async fn send(&self, body: &Bytes, method: &str, patience: Patience) -> Result<(), UpstreamError> {
        match self {
            Outlet::Post(endpoint) => {
                let outgoing = Outgoing { body, method, name: None, extra: &[] };
                endpoint.send(outgoing, patience).await.map(drop)
            }
            Outlet::Child(inlet) => inlet.send(body, patience).await,
        }
    }

    /// Sends our answer to what the server asked (`id` is raw JSON); nobody waits for it.
    pub fn answer(&self, id: &[u8], method: &str) {
        let (outlet, body) = (self.clone(), ask::own_answer(id, method));
        actix_rt::spawn(async move {
            // A response travels like a notification: nothing comes back.
            let sent = outlet.send(&body, "notifications/response", Patience::within(ANSWER_PATIENCE)).await;
            if let Err(cause) = sent {
                tracing::debug!(%cause, "a server did not take the answer to its request");
            }
        });
    }
}

/// One connection.
pub struct Relay {
    outlet: Outlet,
    waiting: RefCell<HashMap<String, Events>>,
    ended: Cell<bool>,
}

impl Relay {
    /// A relay that sends through `outlet`. Its stream is read by [`Relay::pump`].
    pub fn new(outlet: Outlet) -> Rc<Self> {
        Rc::new(Relay { outlet, waiting: RefCell::default(), ended: Cell::new(false) })
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
            let patience = Patience::within(message.begin);
            let sent = relay.outlet.send(&message.body, &message.method, patience).await;
            let Some(id) = &message.id else { return };
            match sent {
                Ok(()) => relay.accepted(id),
                Err(failure) => {
                    if let Some(events) = relay.waiting.borrow_mut().remove(id) {
                        let _gone = events.try_send(Err(failure));
                    }
                }
            }
        });
    }

    /// Tells the caller that the server has taken its message: an event without data. Until it knows that, it listens
    /// to nothing else, and a server may ask before it answers.
    fn accepted(&self, id: &str) {
        let waiting = self.waiting.borrow();
        // One place in the queue is kept for the answer.
        if let Some(events) = waiting.get(id).filter(|events| events.capacity() > 1) {
            let _gone = events.try_send(Ok(Event::default()));
        }
    }

    /// Reads the stream to its end, giving each event to the call it belongs to.
    pub async fn pump(self: Rc<Self>, mut stream: crate::upstream::EventStream, changed: impl Fn(Change)) {
        let failure = loop {
            match stream.next().await {
                Ok(Some(event)) => {
                    let size = event.data.len();
                    if !event.is_message() || !self.route(event, &changed) {
                        stream.unwanted(size).await;
                    }
                }
                Ok(None) => break UpstreamError::Cut,
                Err(failure) => break failure,
            }
        };
        self.ended.set(true);
        for (_, events) in self.waiting.borrow_mut().drain() {
            let _gone = events.try_send(Err(failure.clone()));
        }
    }

    /// Whether calls are under way.
    pub fn is_busy(&self) -> bool {
        self.waiting.borrow().values().any(|events| !events.is_closed())
    }

    /// Gives a message to whom it concerns; false when nobody wanted it.
    fn route(&self, event: Event, changed: &impl Fn(Change)) -> bool {
        let Ok(Document::Object(envelope)) = scan::scan(&event.data, ScanLimits::default()) else {
            tracing::debug!("a server sent something that is no message");
            return false;
        };
        match jsonrpc::classify(&event.data, &envelope) {
            Ok(Incoming::Response { id: Some(id) }) => {
                let id = scan::string_text(id).unwrap_or_default().into_owned();
                let found = self.waiting.borrow_mut().remove(&id);
                // One place in the queue is kept for the answer, so this fails only when nobody waits.
                found.is_some_and(|events| events.try_send(Ok(event)).is_ok())
            }
            Ok(Incoming::Notification { .. }) if is_progress(&event, &envelope) => self.progress(event, &envelope),
            _ => {
                listen::hear(event.data, changed, |id, method| self.outlet.answer(id, method));
                false
            }
        }
    }

    /// Gives a progress notification to its call; false when nobody wanted it.
    fn progress(&self, event: Event, envelope: &Envelope) -> bool {
        let token = envelope.param_str(&event.data, "progressToken").unwrap_or_default().into_owned();
        let waiting = self.waiting.borrow();
        // A reader that does not keep up loses progress, never the answer.
        let call = waiting.get(&token).filter(|events| events.capacity() > 1);
        call.is_some_and(|events| events.try_send(Ok(event)).is_ok())
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
                let event = event?;
                if event.is_message()
                    && let Message::Reply(_, reply) = ask::read_message(event.data)?
                {
                    return Ok(reply);
                }
            }
            Err(UpstreamError::Cut)
        };
        let answered = tokio::time::timeout_at(patience.begin_by().into(), answer).await;
        answered.map_err(|_elapsed| UpstreamError::Timeout(patience.begin))?
    }
}

fn is_progress(event: &Event, envelope: &Envelope) -> bool {
    envelope.param_str(&event.data, "progressToken").is_some()
}
