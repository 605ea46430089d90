//! Hearing of changes: the GET stream of a legacy server and `resources/subscribe`, `subscriptions/listen` of a modern
//! one. Reopens what breaks, ever more slowly; gives up only when the server says that it has no such stream. A changed
//! set of wanted resources reaches a modern server as a new stream, opened before the old one is let go.

use std::{collections::BTreeSet, convert::Infallible, future::pending, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use tokio::sync::watch;

use crate::{
    protocol::{jsonrpc, splice::json_string},
    upstream::{
        Answer, Connected, EventStream, UpstreamError,
        ask::{self, Message, Question, Reply},
        backoff::Backoff,
        ears::{Ears, Wanted},
        exchange::Endpoint,
        lists::{Kind, Kinds},
        mint::Mint,
        patience::Patience,
        stream::StreamLimits,
    },
};

/// Subscriptions that are asked for at once.
const AT_ONCE: usize = 8;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The lists whose changes a server can declare and a listen request can ask for.
const LISTS: [(Kind, &str, &str); 3] = [
    (Kind::Tools, "tools/listChanged", "toolsListChanged"),
    (Kind::Prompts, "prompts/listChanged", "promptsListChanged"),
    (Kind::Resources, "resources/listChanged", "resourcesListChanged"),
];

/// Something changed at the server (or may have while nobody listened), or it says something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// These lists.
    Lists(Kinds),
    /// The resource of this URI.
    Resource(String),
    /// Nothing: it asks something, or tells of something else. The whole message.
    None(Bytes),
}

impl Change {
    /// What a notification says has changed. `uri`: that of its parameters.
    pub fn of(method: &str, uri: Option<String>) -> Option<Change> {
        match method {
            "notifications/tools/list_changed" => Some(Change::Lists(Kinds::NONE.with(Kind::Tools))),
            "notifications/prompts/list_changed" => Some(Change::Lists(Kinds::NONE.with(Kind::Prompts))),
            "notifications/resources/list_changed" => {
                Some(Change::Lists(Kinds::NONE.with(Kind::Resources).with(Kind::Templates)))
            }
            "notifications/resources/updated" => uri.map(Change::Resource),
            _ => None,
        }
    }
}

/// Why listening is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The server has nothing to listen to.
    NoStream,
    /// The connection is of no use any more: another must be made.
    Lost,
}

/// A server and how it is listened to.
#[derive(Clone)]
pub struct Listening {
    /// What the server is.
    pub about: Arc<Connected>,
    /// What is wanted, and where it is noted what is heard.
    pub ears: Arc<Ears>,
    /// Bounds on its streams.
    pub limits: StreamLimits,
    /// How long a stream may take to open, and a subscription to be answered.
    pub begin: Duration,
    /// There was another connection before: what changed between the two was not heard.
    pub missed: bool,
    /// The server may ask something: its stream is wanted in any case.
    pub asked: bool,
}

impl Listening {
    /// Whether the server tells of changes of its lists.
    fn tells_of_lists(&self) -> bool {
        LISTS.iter().any(|(_, declared, _)| self.about.declares(declared))
    }

    /// Listens until there is nothing (more) to listen to. `ask` sends a request with the given members of `params`.
    pub async fn run(
        &self,
        endpoint: Rc<Endpoint>,
        ask: impl AsyncFn(&'static str, &str) -> Result<Reply, UpstreamError>,
        changed: impl Fn(Change),
    ) -> Ended {
        let ended = if self.about.wire.is_modern() {
            self.run_modern(&endpoint, &changed).await
        } else {
            let stream = watch::Sender::new(Stream::Closed);
            tokio::select! {
                ended = self.hold_stream(&endpoint, &stream, &changed) => ended,
                ended = self.subscribe(stream.subscribe(), &ask, &changed) => ended,
                Ended::Lost = self.set_levels(&ask) => Ended::Lost,
            }
        };
        self.ears.deaf();
        ended
    }

    /// Keeps the subscriptions of a server whose stream is read elsewhere (HTTP+SSE).
    pub async fn run_beside_stream(
        &self,
        ask: impl AsyncFn(&'static str, &str) -> Result<Reply, UpstreamError>,
        changed: impl Fn(Change),
    ) -> Ended {
        let stream = watch::Sender::new(Stream::Open);
        let ended = tokio::select! {
            ended = self.subscribe(stream.subscribe(), &ask, &changed) => ended,
            Ended::Lost = self.set_levels(&ask) => Ended::Lost,
        };
        self.ears.deaf();
        ended
    }
}

impl Listening {
    /// Keeps a request to listen at a server of 2026-07-28 that tells of changes on the one stream of its answers, which
    /// is read elsewhere (stdio). `tell` sends a message.
    pub async fn run_modern_beside_stream(&self, tell: impl Fn(Bytes, &'static str)) -> Ended {
        let mut wanted = self.ears.wanted();
        let mut present: Option<String> = None;
        loop {
            let now = wanted.borrow_and_update().clone();
            let something = self.tells_of_lists() || !now.uris.is_empty();
            let next = something.then(|| {
                let question = Question::new(Mint::default().mint(), "subscriptions/listen", &self.filters(&now), true);
                tell(question.body, question.method);
                question.id
            });
            if let Some(before) = std::mem::replace(&mut present, next) {
                let method = "notifications/cancelled";
                let params = format!("{{\"requestId\":{}}}", json_string(&before));
                tell(jsonrpc::notification(method, Some(params.as_bytes())).into(), method);
            }
            self.ears.hears(now.number, []);
            if wanted.changed().await.is_err() {
                return Ended::NoStream;
            }
        }
    }
}

/// The GET stream of a legacy server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Closed,
    Open,
    /// The server has none.
    Missing,
}

// Revisions with sessions.
impl Listening {
    /// Keeps the GET stream open while there is something to hear on it.
    async fn hold_stream(
        &self,
        endpoint: &Rc<Endpoint>,
        state: &watch::Sender<Stream>,
        changed: &impl Fn(Change),
    ) -> Ended {
        let mut wanted = self.ears.wanted();
        if !self.tells_of_lists() && !self.asked && wanted.wait_for(|wanted| !wanted.uris.is_empty()).await.is_err() {
            return Ended::NoStream;
        }
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        let mut last_event = None;
        let mut opened_before = false;
        loop {
            let patience = Patience::endless(self.begin);
            match endpoint.open(last_event.as_deref(), patience).await {
                Ok(response) => {
                    let mut events = EventStream::http(response, self.limits, patience, None);
                    state.send_replace(Stream::Open);
                    if std::mem::replace(&mut opened_before, true) {
                        self.all_may_have_changed(changed);
                    }
                    if read(endpoint, &mut events, &mut last_event, changed).await > 0 {
                        backoff.reset();
                    }
                }
                Err(failure) if failure.is_outage() => {
                    state.send_replace(Stream::Closed);
                    self.ears.deaf();
                }
                Err(UpstreamError::SessionExpired) => return Ended::Lost,
                Err(failure) => {
                    tracing::debug!(%failure, "a server has no stream of changes");
                    state.send_replace(Stream::Missing);
                    pending::<()>().await;
                }
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }

    /// Subscribes to what is wanted, and ends what is wanted no more. Begins when the stream is open on which the
    /// server tells of it.
    async fn subscribe(
        &self,
        mut stream: watch::Receiver<Stream>,
        ask: &impl AsyncFn(&'static str, &str) -> Result<Reply, UpstreamError>,
        changed: &impl Fn(Change),
    ) -> Ended {
        let mut wanted = self.ears.wanted();
        let mut subscribed: BTreeSet<Arc<str>> = BTreeSet::new();
        let mut missed = self.missed;
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let now = wanted.borrow_and_update().clone();
            let needs_stream = !now.uris.is_empty() || self.tells_of_lists();
            if needs_stream && stream.wait_for(|stream| *stream != Stream::Closed).await.is_err() {
                return Ended::NoStream;
            }
            match self.change_subscriptions(&now, &mut subscribed, ask).await {
                Ok(refused) => self.ears.hears(now.number, refused),
                Err(UpstreamError::SessionExpired) => return Ended::Lost,
                Err(failure) => {
                    tracing::debug!(%failure, "subscribing to resources failed; it is tried again");
                    tokio::time::sleep(backoff.next()).await;
                    continue;
                }
            }
            if std::mem::take(&mut missed) {
                subscribed.iter().for_each(|uri| changed(Change::Resource(uri.to_string())));
            }
            backoff.reset();
            let again = tokio::select! {
                changed = wanted.changed() => changed,
                changed = stream.changed() => changed,
            };
            if again.is_err() {
                return Ended::NoStream;
            }
        }
    }

    /// Tells the server from which level on somebody wants log messages.
    async fn set_levels(&self, ask: &impl AsyncFn(&'static str, &str) -> Result<Reply, UpstreamError>) -> Ended {
        if !self.about.declares("logging") {
            return Ended::NoStream;
        }
        let mut level = self.ears.level();
        loop {
            let wanted = *level.borrow_and_update();
            if let Some(wanted) = wanted {
                let told = ask("logging/setLevel", &format!("\"level\":\"{}\"", wanted.as_str())).await;
                match told {
                    Err(UpstreamError::SessionExpired) => return Ended::Lost,
                    Err(failure) => tracing::debug!(%failure, "a server was not told a log level"),
                    Ok(_) => {}
                }
            }
            if level.changed().await.is_err() {
                return Ended::NoStream;
            }
        }
    }

    /// What the server refused.
    async fn change_subscriptions(
        &self,
        wanted: &Wanted,
        subscribed: &mut BTreeSet<Arc<str>>,
        ask: &impl AsyncFn(&'static str, &str) -> Result<Reply, UpstreamError>,
    ) -> Result<Vec<Arc<str>>, UpstreamError> {
        let about = |uri: &str| format!("\"uri\":{}", json_string(uri));
        let fresh: Vec<Arc<str>> = wanted.uris.difference(subscribed).cloned().collect();
        let asked = stream::iter(fresh).map(|uri| async move {
            let answered = ask("resources/subscribe", &about(&uri)).await;
            (uri, answered)
        });
        let mut asked = asked.buffer_unordered(AT_ONCE);
        let mut refused = Vec::new();
        while let Some((uri, answered)) = asked.next().await {
            match answered {
                Ok(reply) if reply.error_code().is_none() => {
                    subscribed.insert(uri);
                }
                Ok(_) | Err(UpstreamError::Protocol(_)) => refused.push(uri),
                Err(failure) => return Err(failure),
            }
        }
        drop(asked);
        let ended: Vec<Arc<str>> = subscribed.difference(&wanted.uris).cloned().collect();
        for uri in ended {
            // Whatever it says: nobody is told of it any more.
            let _answered = ask("resources/unsubscribe", &about(&uri)).await;
            subscribed.remove(&uri);
        }
        Ok(refused)
    }
}

// 2026-07-28.
impl Listening {
    async fn run_modern(&self, endpoint: &Rc<Endpoint>, changed: &impl Fn(Change)) -> Ended {
        let mut wanted = self.ears.wanted();
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        let mut present: Option<EventStream> = None;
        let mut missed = self.missed;
        loop {
            let now = wanted.borrow_and_update().clone();
            if !self.tells_of_lists() && now.uris.is_empty() {
                present = None;
                self.ears.hears(now.number, []);
                if wanted.changed().await.is_err() {
                    return Ended::NoStream;
                }
                continue;
            }
            let opened = match &mut present {
                None => self.open(endpoint, &now, changed).await,
                Some(present) => read_meanwhile(endpoint, present, changed, self.open(endpoint, &now, changed)).await,
            };
            match opened {
                Ok((events, refused)) => {
                    let events = present.insert(events);
                    let mut no_resuming = None;
                    self.ears.hears(now.number, refused);
                    if std::mem::take(&mut missed) {
                        self.all_may_have_changed(changed);
                    }
                    tokio::select! {
                        biased;
                        _ = wanted.changed() => {
                            backoff.reset();
                            continue;
                        }
                        heard = read(endpoint, events, &mut no_resuming, changed) => if heard > 0 { backoff.reset() },
                    }
                    self.ears.interrupted();
                }
                Err(failure) if failure.is_outage() => self.ears.deaf(),
                Err(failure) => {
                    tracing::debug!(%failure, "a server does not let us listen");
                    return Ended::NoStream;
                }
            }
            present = None;
            missed = true;
            tokio::time::sleep(backoff.next()).await;
        }
    }

    /// Opens a stream for what is wanted and reads the acknowledgement; also what the server did not acknowledge.
    async fn open(
        &self,
        endpoint: &Rc<Endpoint>,
        wanted: &Wanted,
        changed: &impl Fn(Change),
    ) -> Result<(EventStream, Vec<Arc<str>>), UpstreamError> {
        let patience = Patience::endless(self.begin);
        let question = Question::new(Mint::default().mint(), "subscriptions/listen", &self.filters(wanted), true);
        let Answer::Events(mut events) = endpoint.send(ask::outgoing(&question), patience).await? else {
            return Err(UpstreamError::Protocol("it does not let us listen".into()));
        };
        let first = tokio::time::timeout_at(patience.begin_by().into(), events.next()).await;
        let first = first.map_err(|_elapsed| UpstreamError::Timeout(self.begin))??.ok_or(UpstreamError::Cut)?;
        let refused = match acknowledged(&first.data) {
            Some(honoured) => wanted.uris.iter().filter(|uri| !honoured.contains(&***uri)).cloned().collect(),
            None => {
                hear(first.data, changed, |id, method| ask::answer_request(endpoint.clone(), id, method));
                Vec::new()
            }
        };
        Ok((events, refused))
    }

    fn filters(&self, wanted: &Wanted) -> String {
        let lists = LISTS.iter().filter(|(_, declared, _)| self.about.declares(declared));
        let mut filters: Vec<String> = lists.map(|(_, _, filter)| format!("\"{filter}\":true")).collect();
        if !wanted.uris.is_empty() {
            let uris: Vec<String> = wanted.uris.iter().map(|uri| json_string(uri)).collect();
            filters.push(format!("\"resourceSubscriptions\":[{}]", uris.join(",")));
        }
        format!("\"notifications\":{{{}}}", filters.join(","))
    }

    /// Nobody listened for a while.
    fn all_may_have_changed(&self, changed: &impl Fn(Change)) {
        changed(Change::Lists(Kinds::ALL));
        let uris = self.ears.wanted().borrow().uris.clone();
        uris.iter().for_each(|uri| changed(Change::Resource(uri.to_string())));
    }
}

/// The URIs that an acknowledgement names; none if the message is no acknowledgement.
fn acknowledged(message: &[u8]) -> Option<BTreeSet<String>> {
    let message: Value = serde_json::from_slice(message).ok()?;
    if message.get("method")? != "notifications/subscriptions/acknowledged" {
        return None;
    }
    let uris = message.pointer("/params/notifications/resourceSubscriptions").and_then(Value::as_array);
    Some(uris.into_iter().flatten().filter_map(|uri| Some(uri.as_str()?.to_owned())).collect())
}

/// Goes on reading a stream while something else is done.
async fn read_meanwhile<T>(
    endpoint: &Rc<Endpoint>,
    present: &mut EventStream,
    changed: &impl Fn(Change),
    other: impl Future<Output = T>,
) -> T {
    tokio::pin!(other);
    let reading = async {
        let _heard = read(endpoint, present, &mut Option::default(), changed).await;
        // Ended early: the other is waited for all the same.
        pending::<Infallible>().await
    };
    tokio::select! {
        biased;
        done = &mut other => done,
        never = reading => match never {},
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
            hear(event.data, changed, |id, method| ask::answer_request(endpoint.clone(), id, method));
        }
    }
    messages
}

/// Acts on one message that nobody asked for; `answer` is given what every client answers by itself (`ping`).
pub fn hear(data: Bytes, changed: &impl Fn(Change), answer: impl FnOnce(&[u8], &str)) {
    match ask::read_message(data.clone()) {
        Ok(Message::Notification(method, uri)) => {
            changed(Change::of(&method, uri).unwrap_or(Change::None(data)));
        }
        Ok(Message::Request(id, method)) if method == "ping" => answer(&id, &method),
        Ok(Message::Request(..)) => changed(Change::None(data)),
        Ok(Message::Reply(..)) | Err(_) => {}
    }
}
