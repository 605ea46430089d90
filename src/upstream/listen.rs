//! Hearing of changes: the GET stream of a legacy server, `subscriptions/listen` of a modern one. Reopens what breaks,
//! ever more slowly; gives up only when the server says that it has no such stream.

use std::{rc::Rc, time::Duration};

use bytes::Bytes;

use crate::upstream::{
    Answer, EventStream, UpstreamError,
    ask::{self, Message, Question},
    backoff::Backoff,
    exchange::Endpoint,
    lists::{Kind, Kinds},
    mint::Mint,
    patience::Patience,
};

/// Something changed at the server (or may have while nobody listened).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// These lists.
    Lists(Kinds),
    /// A resource.
    Resource,
}

impl Change {
    /// What a notification says has changed.
    pub fn of(method: &str) -> Option<Change> {
        match method {
            "notifications/tools/list_changed" => Some(Change::Lists(Kinds::NONE.with(Kind::Tools))),
            "notifications/prompts/list_changed" => Some(Change::Lists(Kinds::NONE.with(Kind::Prompts))),
            "notifications/resources/list_changed" => {
                Some(Change::Lists(Kinds::NONE.with(Kind::Resources).with(Kind::Templates)))
            }
            "notifications/resources/updated" => Some(Change::Resource),
            _ => None,
        }
    }
}

/// Listens until the server has nothing to listen to. `begin` bounds the opening of the stream.
pub async fn listen(endpoint: Rc<Endpoint>, event_bytes: usize, begin: Duration, changed: impl Fn(Change)) {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
    let mut last_event = None;
    let mut opened_before = false;
    loop {
        match open(&endpoint, last_event.as_deref(), event_bytes, begin).await {
            Ok(mut events) => {
                if std::mem::replace(&mut opened_before, true) {
                    changed(Change::Lists(Kinds::ALL));
                }
                if read(&endpoint, &mut events, &mut last_event, &changed).await > 0 {
                    backoff.reset();
                }
            }
            Err(failure) if failure.is_outage() => {}
            // No such stream, or not for us, or the session is gone: the next call will find out.
            Err(failure) => return tracing::debug!(%failure, "a server has no stream of changes"),
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

async fn open(
    endpoint: &Rc<Endpoint>,
    last_event: Option<&str>,
    event_bytes: usize,
    begin: Duration,
) -> Result<EventStream, UpstreamError> {
    let patience = Patience::endless(begin);
    if !endpoint.wire().is_some_and(crate::upstream::Wire::is_modern) {
        let response = endpoint.open(last_event, patience).await?;
        return Ok(EventStream::http(response, event_bytes, patience, None));
    }
    let wanted = r#""notifications":{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true}"#;
    let question = Question::new(Mint::default().mint(), "subscriptions/listen", wanted, true);
    match endpoint.send(ask::outgoing(&question), patience).await? {
        Answer::Events(events) => Ok(events),
        Answer::Json(_) | Answer::Accepted => Err(UpstreamError::Protocol("it does not let us listen".into())),
    }
}

/// Reads to the end of the stream; how many messages there were.
async fn read(
    endpoint: &Rc<Endpoint>,
    events: &mut EventStream,
    last_event: &mut Option<String>,
    changed: &impl Fn(Change),
) -> usize {
    let mut messages = 0;
    while let Ok(Some(event)) = events.next().await {
        if event.id.is_some() {
            last_event.clone_from(&event.id);
        }
        if event.is_message() {
            messages += 1;
            hear(endpoint, event.data, changed);
        }
    }
    messages
}

/// Acts on one message that nobody asked for.
pub fn hear(endpoint: &Rc<Endpoint>, data: Bytes, changed: &impl Fn(Change)) {
    match ask::read_message(data) {
        Ok(Message::Notification(method)) => {
            if let Some(change) = Change::of(&method) {
                changed(change);
            }
        }
        Ok(Message::Request(id, method)) => ask::answer_request(endpoint.clone(), &id, &method),
        Ok(Message::Reply(..)) | Err(_) => {}
    }
}
