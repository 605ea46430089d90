//! The events of one answer, pulled at the reader's pace (so a flood stops at the socket). Bounds the size of an
//! event and the time between bytes, resumes a legacy stream that its server closed early on purpose (SEP-1699), and
//! drops what is only noise when a server floods. Never looks into events otherwise.

use std::{future::poll_fn, rc::Rc, task::Poll, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::sync::mpsc;

use crate::{
    config::UpstreamConfig,
    domain::clock,
    protocol::{
        jsonrpc::{self, Incoming},
        scan::{self, Document, ScanLimits},
        sse::{Decoder, Event},
    },
    upstream::{
        Permit, UpstreamError,
        exchange::Endpoint,
        patience::{Clock, Patience},
        response::Response,
        stdio::Lines,
    },
};

/// After an answer is complete, how much of the stream's rest is read to keep the connection.
const DRAIN_BYTES: usize = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_millis(500);

/// Bounds on one stream of a server, as `config.rs` names them.
#[derive(Debug, Clone, Copy)]
pub struct StreamLimits {
    /// One event, bytes.
    pub event_bytes: usize,
    /// Notifications per second for long.
    pub notifications_per_second: u32,
    /// Notifications at once.
    pub notifications_burst: u32,
    /// How often one answer may be resumed.
    pub resumptions: u32,
    /// How often resuming may fail in a row.
    pub resume_failures: u32,
}

impl StreamLimits {
    /// Those of the settings.
    pub fn of(config: &UpstreamConfig) -> Self {
        StreamLimits {
            event_bytes: config.event_bytes,
            notifications_per_second: config.stream_notifications_per_second,
            notifications_burst: config.stream_notifications_burst,
            resumptions: config.stream_resumptions,
            resume_failures: config.stream_resume_failures,
        }
    }
}

/// The events of one answer. Dropping it before the answer ends the request at the server. Dropping it after the answer
/// reads the little that is left, so that the connection can be used again.
pub struct EventStream {
    source: Source,
    /// The last event looked like the answer.
    answered: bool,
    flood: Flood,
    permit: Option<Rc<Permit>>,
    begun: bool,
    /// An event that was read ahead.
    first: Option<Event>,
}

enum Source {
    Http(Box<HttpEvents>),
    Relayed(mpsc::Receiver<Result<Event, UpstreamError>>, Clock),
    Lines(Box<Lines>),
    Gone,
}

impl EventStream {
    /// The events in the body of `response`; `resume` names the endpoint where a broken legacy stream goes on.
    pub(super) fn http(
        response: Response,
        limits: StreamLimits,
        patience: Patience,
        resume: Option<Rc<Endpoint>>,
    ) -> Self {
        let events = HttpEvents {
            body: Some(response),
            decoder: Decoder::new(limits.event_bytes),
            limits,
            clock: patience.clock(),
            resume,
            last_id: None,
            retry: Duration::from_secs(1),
            resumed: 0,
        };
        EventStream::of(Source::Http(Box::new(events)), limits)
    }

    /// Events that another thread reads.
    pub fn relayed(
        events: mpsc::Receiver<Result<Event, UpstreamError>>,
        limits: StreamLimits,
        patience: Patience,
    ) -> Self {
        EventStream::of(Source::Relayed(events, patience.clock()), limits)
    }

    /// The lines that a process writes.
    pub(super) fn lines(lines: Lines, limits: StreamLimits) -> Self {
        EventStream::of(Source::Lines(Box::new(lines)), limits)
    }

    /// Nobody wanted an event of `size` bytes. A process that goes on like that is left waiting in its pipe.
    pub(super) async fn unwanted(&mut self, size: usize) {
        if let Source::Lines(lines) = &mut self.source {
            lines.unwanted(size).await;
        }
    }

    fn of(source: Source, limits: StreamLimits) -> Self {
        EventStream { source, answered: false, flood: Flood::new(limits), permit: None, begun: false, first: None }
    }

    /// Waits until the server has taken the message (an event without data) or says something, which is then given
    /// first.
    pub async fn begun(mut self) -> Result<Self, UpstreamError> {
        let Some(first) = self.heard().await? else { return Err(UpstreamError::Cut) };
        self.first = Some(first).filter(Event::is_message);
        Ok(self)
    }

    /// Counts as a call under way until the stream is gone, and tells the breaker how it began.
    pub fn hold(&mut self, permit: Rc<Permit>) {
        self.permit = Some(permit);
    }

    /// The next event that has data; `None` when the stream ended (before the answer, if it has not been seen). That a
    /// message was taken may be heard after the first words of its answer, and is none.
    pub async fn next(&mut self) -> Result<Option<Event>, UpstreamError> {
        loop {
            match self.heard().await? {
                Some(event) if event.data.is_empty() => {}
                next => return Ok(next),
            }
        }
    }

    async fn heard(&mut self) -> Result<Option<Event>, UpstreamError> {
        if let Some(first) = self.first.take() {
            let next = Ok(Some(first));
            self.report(&next);
            return next;
        }
        loop {
            let next = match &mut self.source {
                Source::Http(events) => events.next().await,
                Source::Relayed(events, clock) => relayed(events, clock).await,
                // All calls share these lines: who floods is slowed down by `unwanted`, and nothing is dropped.
                Source::Lines(lines) => return lines.next().await,
                Source::Gone => Ok(None),
            };
            self.report(&next);
            match next {
                Ok(Some(event)) if self.flood.is_excess(&event) => {}
                Ok(Some(event)) => {
                    self.answered = looks_like_an_answer(&event.data);
                    return Ok(Some(event));
                }
                end => {
                    self.answered = false;
                    return end;
                }
            }
        }
    }

    /// The server waits for an answer of ours (or does not any more): meanwhile its silence is no fault.
    pub fn wait_for_us(&mut self, waits: bool) {
        match &mut self.source {
            Source::Http(events) => events.clock.wait_for_us(waits),
            Source::Relayed(_, clock) => clock.wait_for_us(waits),
            // Nobody waits on all lines of a process at once; its calls have clocks of their own.
            Source::Lines(_) | Source::Gone => {}
        }
    }

    fn report(&mut self, next: &Result<Option<Event>, UpstreamError>) {
        let Some(permit) = &self.permit else { return };
        match next {
            Ok(_) if self.begun => {}
            Ok(Some(_)) => permit.report(None),
            Ok(None) => permit.report(Some(&UpstreamError::Cut)),
            Err(failure) => permit.report(Some(failure)),
        }
        self.begun = true;
    }

    /// The answer is complete, whatever it looked like.
    pub fn finish(mut self) {
        self.answered = true;
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        let source = std::mem::replace(&mut self.source, Source::Gone);
        let Source::Http(mut events) = source else { return };
        // Usually the end came with the answer. Else it is waited for, briefly, where there is somebody to wait.
        if self.answered && events.drain().now_or_never().is_none() && actix_rt::Arbiter::try_current().is_some() {
            actix_rt::spawn(tokio::time::timeout(DRAIN_TIME, async move { events.drain().await }));
        }
    }
}

/// A guess that costs nothing: only whether a connection is kept depends on it. Requests and notifications name their
/// method, and nearly always at the beginning.
fn looks_like_an_answer(data: &[u8]) -> bool {
    let beginning = data.get(..512).unwrap_or(data);
    memchr::memmem::find(beginning, b"\"method\"").is_none()
}

async fn relayed(
    events: &mut mpsc::Receiver<Result<Event, UpstreamError>>,
    clock: &mut Clock,
) -> Result<Option<Event>, UpstreamError> {
    let next = poll_fn(|cx| match events.poll_recv(cx) {
        Poll::Ready(next) => Poll::Ready(Ok(next)),
        Poll::Pending => clock.poll(cx).map(Err),
    })
    .await?;
    // That the message was taken is no answer yet.
    if !matches!(&next, Some(Ok(event)) if !event.is_message()) {
        clock.touch();
    }
    next.transpose()
}

struct HttpEvents {
    body: Option<Response>,
    decoder: Decoder,
    limits: StreamLimits,
    clock: Clock,
    resume: Option<Rc<Endpoint>>,
    last_id: Option<String>,
    retry: Duration,
    resumed: u32,
}

impl HttpEvents {
    async fn next(&mut self) -> Result<Option<Event>, UpstreamError> {
        loop {
            let decoded = self.decoder.next();
            let limit = self.limits.event_bytes;
            let event = decoded.map_err(|_limit| UpstreamError::TooLarge { what: "an event", limit })?;
            if let Some(event) = event {
                self.note(&event);
                if event.data.is_empty() {
                    continue;
                }
                return Ok(Some(event));
            }
            match self.chunk().await {
                Ok(Some(bytes)) => self.decoder.feed(&bytes),
                Ok(None) if self.resume().await? => {}
                Ok(None) if self.decoder.is_mid_event() => return Err(UpstreamError::Cut),
                Ok(None) => return Ok(None),
                Err(UpstreamError::Cut) if self.resume().await? => {}
                Err(failure) => return Err(failure),
            }
        }
    }

    fn note(&mut self, event: &Event) {
        if let Some(id) = &event.id {
            self.last_id = Some(id.clone()).filter(|id| !id.is_empty());
        }
        if let Some(retry) = event.retry {
            self.retry = Duration::from_millis(retry.clamp(10, 60_000));
        }
    }

    /// The next piece of the body; `None` at its end.
    async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        let Some(body) = &mut self.body else { return Ok(None) };
        let clock = &mut self.clock;
        poll_fn(|cx| match body.poll_piece(cx) {
            Poll::Ready(Some(Ok(bytes))) => {
                clock.touch();
                Poll::Ready(Ok(Some(bytes)))
            }
            Poll::Ready(Some(Err(failure))) => Poll::Ready(Err(failure)),
            Poll::Ready(None) => Poll::Ready(Ok(None)),
            Poll::Pending => clock.poll(cx).map(Err),
        })
        .await
    }

    /// Goes on after the last event id with a GET, if the server gave one. False when there is nothing to resume.
    async fn resume(&mut self) -> Result<bool, UpstreamError> {
        self.body = None;
        let (Some(endpoint), Some(last_id)) = (self.resume.clone(), self.last_id.clone()) else { return Ok(false) };
        for _ in 0..self.limits.resume_failures {
            self.resumed += 1;
            if self.resumed > self.limits.resumptions {
                return Ok(false);
            }
            self.wait(self.retry).await?;
            match endpoint.open(Some(&last_id), self.clock.patience).await {
                Ok(response) => {
                    self.body = Some(response);
                    self.decoder = Decoder::new(self.limits.event_bytes);
                    self.clock.touch();
                    return Ok(true);
                }
                Err(failure) if failure.is_outage() => {}
                Err(_refused) => return Ok(false),
            }
        }
        Ok(false)
    }

    async fn wait(&mut self, pause: Duration) -> Result<(), UpstreamError> {
        let clock = &mut self.clock;
        let patience = poll_fn(|cx| clock.poll(cx));
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            failure = patience => Err(failure),
        }
    }

    /// Reads to the end of the body, within bounds.
    async fn drain(&mut self) {
        let mut read = 0;
        while let Ok(Some(bytes)) = self.chunk().await {
            read += bytes.len();
            if read > DRAIN_BYTES {
                return;
            }
        }
    }
}

/// Counts what a stream sends. Only when it floods are events looked at, and only notifications dropped.
struct Flood {
    per_second: u32,
    burst: u32,
    left: u32,
    filled_at: u64,
    dropped: u64,
}

impl Flood {
    fn new(limits: StreamLimits) -> Self {
        let (per_second, burst) = (limits.notifications_per_second, limits.notifications_burst);
        Flood { per_second, burst, left: burst, filled_at: clock::monotonic_ns(), dropped: 0 }
    }

    fn is_excess(&mut self, event: &Event) -> bool {
        if self.left == 0 {
            self.refill();
        }
        if self.left > 0 {
            self.left -= 1;
            return false;
        }
        if !is_notification(&event.data) {
            return false;
        }
        self.dropped += 1;
        if self.dropped == 1 {
            tracing::warn!(limit_per_second = self.per_second, "an MCP server floods a stream; dropping");
        }
        true
    }

    fn refill(&mut self) {
        let now = clock::monotonic_ns();
        let earned = now.saturating_sub(self.filled_at).saturating_mul(u64::from(self.per_second)) / 1_000_000_000;
        if earned > 0 {
            self.left = u32::try_from(earned).unwrap_or(u32::MAX).min(self.burst);
            self.filled_at = now;
        }
    }
}

fn is_notification(data: &[u8]) -> bool {
    let Ok(Document::Object(envelope)) = scan::scan(data, ScanLimits::default()) else { return false };
    matches!(jsonrpc::classify(data, &envelope), Ok(Incoming::Notification { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(data: &'static str) -> Event {
        Event { data: Bytes::from_static(data.as_bytes()), ..Event::default() }
    }

    #[test]
    fn a_flood_loses_notifications_and_never_the_answer() {
        let mut flood = Flood::new(StreamLimits::of(&UpstreamConfig::default()));
        let note = event(r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#);
        let passed = (0..10_000).filter(|_| !flood.is_excess(&note)).count();
        assert!((500..600).contains(&passed), "{passed}");
        assert!(!flood.is_excess(&event(r#"{"jsonrpc":"2.0","id":"a","result":{}}"#)));
    }
    #[actix_rt::test]
    async fn that_a_message_was_taken_is_no_event_of_its_answer_whenever_it_is_heard() {
        let (progress, answer) = ("{\"method\":\"notifications/progress\"}", "{\"result\":{}}");
        for told in 0..=2 {
            let (send, events) = mpsc::channel(8);
            let mut said = vec![event(progress), event(answer)];
            said.insert(told, Event::default());
            for event in said {
                send.try_send(Ok(event)).unwrap();
            }
            drop(send);
            let limits = StreamLimits::of(&UpstreamConfig::default());
            let stream = EventStream::relayed(events, limits, Patience::within(Duration::from_secs(60)));
            let mut stream = stream.begun().await.unwrap();
            for wanted in [progress, answer] {
                assert_eq!(&stream.next().await.unwrap().unwrap().data[..], wanted.as_bytes(), "told as number {told}");
            }
            assert!(stream.next().await.unwrap().is_none());
        }
    }
}
