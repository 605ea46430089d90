//! Response bodies that are event streams.
//!
//! Invariants: every poll that may write passes the token's gate; a revoked token's stream ends at once; a stream that
//! is silent carries a comment every few seconds so that proxies and clients keep it.

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::{Arc, atomic::Ordering::SeqCst},
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{
    HttpResponse,
    body::{BodySize, MessageBody},
    http::header,
};
use bytes::{Bytes, BytesMut};
use futures_util::future::LocalBoxFuture;
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{
    actors::{client_session::StreamHandle, grant::Grant},
    error::{Error, ErrorCode},
    gateway::reply,
    protocol::{headers::EVENT_STREAM, sse},
};

/// Headers of every event stream: no cache, no proxy buffering.
pub fn response(body: impl MessageBody + 'static) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, EVENT_STREAM))
        .insert_header((header::CACHE_CONTROL, "no-cache, no-transform"))
        .insert_header(("x-accel-buffering", "no"))
        .body(body)
}

/// One JSON-RPC message as an event.
pub fn event(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(message.len() + 32);
    sse::encode_event(&mut out, Some("message"), None, message);
    out.freeze()
}

fn keep_alive(seconds: u64) -> Interval {
    let period = Duration::from_secs(seconds.max(1));
    let mut interval = tokio::time::interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

type Cut = Pin<Box<WaitForCancellationFutureOwned>>;

/// One of the streams a token may have open; counted until dropped.
pub struct StreamSlot(Arc<Grant>);

impl StreamSlot {
    /// Takes a slot if the token has one left.
    pub fn take(grant: &Arc<Grant>, most: usize) -> Result<Self, Error> {
        if grant.streams.fetch_add(1, SeqCst) >= most {
            grant.streams.fetch_sub(1, SeqCst);
            return Err(Error::new(
                ErrorCode::RateLimited,
                format!("This token has {most} streams open, the most allowed"),
            )
            .with_hint("close one, or ask an admin to raise limits.streams_per_token")
            .with_retry_after(5));
        }
        Ok(StreamSlot(grant.clone()))
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, SeqCst);
    }
}

/// The body of a stream that is fed through a queue: HTTP+SSE, a GET stream, `subscriptions/listen`.
pub struct QueueBody {
    queue: mpsc::Receiver<Bytes>,
    slot: StreamSlot,
    cut: Cut,
    closed: CancellationToken,
    over: Cut,
    comments: Interval,
}

impl QueueBody {
    /// Streams what is queued on `handle` until it is closed, the client leaves or the token is revoked.
    pub fn new(queue: mpsc::Receiver<Bytes>, handle: &StreamHandle, slot: StreamSlot, comment_seconds: u64) -> Self {
        QueueBody {
            queue,
            cut: Box::pin(slot.0.cut.clone().cancelled_owned()),
            slot,
            closed: handle.closed.clone(),
            over: Box::pin(handle.closed.clone().cancelled_owned()),
            comments: keep_alive(comment_seconds),
        }
    }
}

impl Drop for QueueBody {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

impl MessageBody for QueueBody {
    type Error = actix_web::Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = &mut *self;
        if this.cut.as_mut().poll(cx).is_ready() {
            this.closed.cancel();
            return Poll::Ready(None);
        }
        let queue = &mut this.queue;
        let received = this.slot.0.gate(|| {
            let Poll::Ready(first) = queue.poll_recv(cx) else { return Poll::Pending };
            let Some(first) = first else { return Poll::Ready(None) };
            // Everything that waits goes out in one write.
            let Ok(second) = queue.try_recv() else { return Poll::Ready(Some(first)) };
            let mut all = BytesMut::from(&first[..]);
            all.extend_from_slice(&second);
            while let Ok(more) = queue.try_recv() {
                all.extend_from_slice(&more);
            }
            Poll::Ready(Some(all.freeze()))
        });
        match received {
            None | Some(Poll::Ready(None)) => return Poll::Ready(None),
            Some(Poll::Ready(Some(bytes))) => return Poll::Ready(Some(Ok(bytes))),
            Some(Poll::Pending) => {}
        }
        if this.over.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        if this.comments.poll_tick(cx).is_ready() {
            return Poll::Ready(Some(Ok(Bytes::from_static(sse::KEEP_ALIVE))));
        }
        Poll::Pending
    }
}

/// Something that yields encoded events until it is done: a call whose server answers with a stream.
pub trait Pump: 'static {
    /// The next events, or none when the answer has been given.
    fn next(&mut self) -> impl Future<Output = Option<Bytes>>;
    /// The id of the request it answers, as written.
    fn request_id(&self) -> Bytes;
    /// Whether the call goes on when the client leaves (legacy revisions: leaving is not cancelling).
    fn outlives_client(&self) -> bool;
    /// Is set when the client has left and the call goes on.
    fn away(&self) -> Rc<Cell<bool>>;
}

type Step<P> = LocalBoxFuture<'static, (P, Option<Bytes>)>;

/// The body of a call that is answered as a stream.
pub struct PumpBody<P: Pump> {
    step: Option<Step<P>>,
    grant: Arc<Grant>,
    cut: Cut,
    comments: Interval,
    request_id: Bytes,
    outlives_client: bool,
    away: Rc<Cell<bool>>,
}

impl<P: Pump> PumpBody<P> {
    /// Streams what `pump` yields, under `grant`.
    pub fn new(pump: P, grant: Arc<Grant>, comment_seconds: u64) -> Self {
        PumpBody {
            cut: Box::pin(grant.cut.clone().cancelled_owned()),
            grant,
            comments: keep_alive(comment_seconds),
            request_id: pump.request_id(),
            outlives_client: pump.outlives_client(),
            away: pump.away(),
            step: Some(step(pump)),
        }
    }
}

fn step<P: Pump>(mut pump: P) -> Step<P> {
    Box::pin(async move {
        let events = pump.next().await;
        (pump, events)
    })
}

impl<P: Pump> Drop for PumpBody<P> {
    fn drop(&mut self) {
        let Some(step) = self.step.take().filter(|_| self.outlives_client) else { return };
        let grant = self.grant.clone();
        self.away.set(true);
        actix_rt::spawn(async move {
            let finish = async move {
                let (mut pump, mut events) = step.await;
                while events.is_some() {
                    events = pump.next().await;
                }
            };
            grant.gated(finish).await;
        });
    }
}

impl<P: Pump> MessageBody for PumpBody<P> {
    type Error = actix_web::Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = &mut *self;
        let Some(running) = this.step.as_mut() else { return Poll::Ready(None) };
        let polled =
            if this.cut.as_mut().poll(cx).is_ready() { None } else { this.grant.gate(|| running.as_mut().poll(cx)) };
        match polled {
            None => {
                this.step = None;
                let error = Error::new(ErrorCode::Cut, "The token was revoked while the call ran");
                Poll::Ready(Some(Ok(event(&reply::error_message(&error, Some(&this.request_id))))))
            }
            Some(Poll::Ready((_, None))) => {
                this.step = None;
                Poll::Ready(None)
            }
            Some(Poll::Ready((pump, Some(events)))) => {
                this.step = Some(step(pump));
                this.comments.reset();
                Poll::Ready(Some(Ok(events)))
            }
            Some(Poll::Pending) if this.comments.poll_tick(cx).is_ready() => {
                Poll::Ready(Some(Ok(Bytes::from_static(sse::KEEP_ALIVE))))
            }
            Some(Poll::Pending) => Poll::Pending,
        }
    }
}
