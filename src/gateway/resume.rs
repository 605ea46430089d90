//! Streams that a client of 2025-11-25 may come back to (SEP-1699): the events of a call's stream are numbered and, within
//! bounds, kept. A client that left takes up the stream with a GET that names the last event it has seen. There, leaving
//! is not cancelling: the call goes on meanwhile, and its answer waits here.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use actix_web::HttpResponse;
use bytes::{Bytes, BytesMut};
use dashmap::DashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    actors::{client_session::StreamHandle, grant::Grant},
    config::LimitsConfig,
    domain::{clock, random},
    error::Result,
    gateway::{
        Gateway,
        stream::{self, QueueBody},
    },
    protocol::sse,
};

/// Milliseconds after which a client that lost the stream comes back.
const RETRY: u32 = 1000;

/// Nanoseconds between two looks for streams to let go of.
const SWEEP_NS: u64 = 1_000_000_000;

/// All streams that somebody may come back to.
pub struct Trails {
    kept: DashMap<Box<str>, Arc<Trail>>,
    limits: LimitsConfig,
    swept_ns: AtomicU64,
}

/// The events of one stream, the latest of them kept.
pub struct Trail {
    name: Box<str>,
    who: Arc<str>,
    most: (usize, usize),
    state: Mutex<State>,
    bell: Notify,
}

struct State {
    /// The number of the next event; the first kept one is `kept.len()` before it.
    next: u64,
    kept: VecDeque<Bytes>,
    bytes: usize,
    over: Option<Instant>,
}

/// A place in a stream.
pub struct Reader {
    trail: Arc<Trail>,
    next: u64,
}

impl Trails {
    /// None yet.
    pub fn new(limits: &LimitsConfig) -> Self {
        Trails { kept: DashMap::new(), limits: limits.clone(), swept_ns: AtomicU64::new(0) }
    }

    /// A stream for the client `who`; none when there are as many as may be.
    pub fn begin(&self, who: Arc<str>) -> Option<Arc<Trail>> {
        self.sweep();
        if self.kept.len() >= self.limits.resumable_streams {
            return None;
        }
        let secret: [u8; 12] = random::pooled();
        let name: Box<str> = secret.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
        let trail = Arc::new(Trail {
            name: name.clone(),
            who,
            most: (self.limits.resumable_events.max(1), self.limits.resumable_bytes),
            state: Mutex::new(State { next: 1, kept: VecDeque::new(), bytes: 0, over: None }),
            bell: Notify::new(),
        });
        self.kept.insert(name, trail.clone());
        Some(trail)
    }

    /// The place after the event `last`; none if the client `who` has no such stream, or what follows is not kept.
    pub fn at(&self, who: &str, last: &str) -> Option<Reader> {
        self.sweep();
        let (name, number) = last.split_once('.')?;
        let trail = self.kept.get(name).filter(|trail| *trail.who == *who)?.clone();
        let next = number.parse::<u64>().ok()?.checked_add(1)?;
        let state = trail.state.lock();
        let oldest = state.next.saturating_sub(state.kept.len() as u64);
        let known = (oldest..=state.next).contains(&next);
        drop(state);
        known.then_some(Reader { trail, next })
    }

    /// Lets go of streams that ended long enough ago; looks once a second at most.
    fn sweep(&self) {
        let now = clock::monotonic_ns();
        if now.saturating_sub(self.swept_ns.load(Relaxed)) < SWEEP_NS {
            return;
        }
        self.swept_ns.store(now, Relaxed);
        let longest = Duration::from_secs(self.limits.resumable_seconds);
        self.kept.retain(|_, trail| trail.state.lock().over.is_none_or(|over| over.elapsed() < longest));
    }
}

impl Trail {
    /// What the stream begins with: an id to come back with, and when.
    pub fn prime(&self) -> Bytes {
        format!("id: {}.0\nretry: {RETRY}\ndata: \n\n", self.name).into()
    }

    /// A message as the next event.
    pub fn event(&self, message: &[u8]) -> Bytes {
        let mut state = self.state.lock();
        let mut event = BytesMut::with_capacity(message.len() + 80);
        sse::encode_event(&mut event, Some("message"), Some(&format!("{}.{}", self.name, state.next)), message);
        let event = event.freeze();
        state.next += 1;
        state.bytes += event.len();
        state.kept.push_back(event.clone());
        while state.kept.len() > self.most.0 || (state.bytes > self.most.1 && state.kept.len() > 1) {
            state.bytes -= state.kept.pop_front().map_or(0, |event| event.len());
        }
        drop(state);
        self.bell.notify_waiters();
        event
    }

    /// Nothing follows.
    pub fn end(&self) {
        self.state.lock().over = Some(clock::instant());
        self.bell.notify_waiters();
    }
}

impl Reader {
    /// What follows, all that is there; none at the end, or when events were lost because nobody read them.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let rung = self.trail.bell.notified();
            tokio::pin!(rung);
            rung.as_mut().enable();
            {
                let state = self.trail.state.lock();
                let oldest = state.next.saturating_sub(state.kept.len() as u64);
                let skip = self.next.checked_sub(oldest).and_then(|skip| usize::try_from(skip).ok())?;
                if skip < state.kept.len() {
                    self.next = state.next;
                    return Some(state.kept.iter().skip(skip).flat_map(|event| event.iter().copied()).collect());
                }
                if state.over.is_some() {
                    return None;
                }
            }
            rung.await;
        }
    }
}

impl Gateway {
    /// A client is back: what it has not seen, then what comes.
    pub fn resume(&self, grant: &Arc<Grant>, mut reader: Reader) -> Result<HttpResponse> {
        let limits = &self.config.limits;
        let slot = self.slot(grant)?;
        let (handle, queue) = StreamHandle::open(limits.stream_queue);
        let body = QueueBody::new(queue, &handle, slot, limits.keep_alive_comment_seconds);
        actix_rt::spawn(async move {
            loop {
                tokio::select! {
                    () = handle.closed.cancelled() => return,
                    events = reader.next() => match events {
                        Some(events) => handle.send(events),
                        // The queue is read to its end before the body ends.
                        None => return,
                    }
                }
            }
        });
        Ok(stream::response(body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trails(events: usize, streams: usize) -> Trails {
        Trails::new(&LimitsConfig { resumable_events: events, resumable_streams: streams, ..LimitsConfig::default() })
    }
    async fn rest(reader: &mut Reader) -> String {
        String::from_utf8(reader.next().await.unwrap_or_default().to_vec()).unwrap()
    }

    #[actix_rt::test]
    async fn a_client_gets_what_it_has_not_seen_and_then_what_comes() {
        let trails = trails(10, 10);
        let trail = trails.begin("alice".into()).unwrap();
        let primed = String::from_utf8(trail.prime().to_vec()).unwrap();
        assert!(primed.starts_with("id: ") && primed.contains("retry: 1000\ndata: \n\n"), "{primed}");
        trail.event(b"one");
        trail.event(b"two");
        let mut reader = trails.at("alice", &format!("{}.1", trail.name)).unwrap();
        assert!(rest(&mut reader).await.contains("data: two"));
        let (waiting, ()) = tokio::join!(rest(&mut reader), async { drop(trail.event(b"three")) });
        assert!(waiting.contains("data: three") && !waiting.contains("two"), "{waiting}");
        trail.end();
        assert_eq!(reader.next().await, None);
        let mut whole = trails.at("alice", &format!("{}.0", trail.name)).unwrap();
        assert_eq!(rest(&mut whole).await.matches("data: ").count(), 3);
    }

    #[test]
    fn a_stream_is_its_clients_and_bounded() {
        let trails = trails(2, 1);
        let trail = trails.begin("alice".into()).unwrap();
        assert!(trails.begin("bob".into()).is_none(), "one stream at most");
        for message in [b"1", b"2", b"3"] {
            trail.event(message);
        }
        let at = |who: &str, number: &str| trails.at(who, &format!("{}.{number}", trail.name)).is_some();
        assert!(at("alice", "1") && at("alice", "3"));
        assert!(!at("bob", "1"), "somebody else's");
        assert!(!at("alice", "0"), "what follows is not kept any more");
        assert!(!at("alice", "4") && !at("alice", "x"));
        assert!(trails.at("alice", "").is_none() && trails.at("alice", "a.1").is_none());
    }
}
