//! How long an exchange may take: until the answer begins, between two pieces of it, and in total.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::time::Sleep;

use crate::{domain::clock, upstream::failure::UpstreamError};

/// Bounds on the time of one exchange.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Until the answer's head is there.
    pub begin: Duration,
    /// Between two pieces of the answer; none: any time.
    pub idle: Option<Duration>,
    /// The latest end; none: no end.
    pub total: Option<Instant>,
}

impl Patience {
    /// Everything within `limit` from now.
    pub fn within(limit: Duration) -> Self {
        Patience { begin: limit, idle: Some(limit), total: Some(clock::instant() + limit) }
    }

    /// An answer that begins within `begin` and may then go on for ever.
    pub fn endless(begin: Duration) -> Self {
        Patience { begin, idle: None, total: None }
    }

    /// When the answer must have begun.
    pub(super) fn begin_by(&self) -> Instant {
        let begin = clock::instant() + self.begin;
        self.total.map_or(begin, |total| total.min(begin))
    }

    /// A clock for the pieces that follow.
    pub(super) fn clock(&self) -> Clock {
        Clock { patience: *self, active_at: clock::instant(), waiting_since: None, alarm: None }
    }
}

/// Tells when patience with a stream ends. A piece that arrives only leaves a mark; the timer is touched when it
/// fires, not with every event.
#[derive(Debug)]
pub(super) struct Clock {
    pub(super) patience: Patience,
    active_at: Instant,
    /// The server waits for an answer of ours: its silence is no fault of its own.
    waiting_since: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Clock {
    /// A piece arrived.
    pub(super) fn touch(&mut self) {
        self.active_at = clock::instant();
    }

    /// Stands still while the server waits for us; what it is given in total grows by that time.
    pub(super) fn wait_for_us(&mut self, waits: bool) {
        match (waits, self.waiting_since) {
            (true, None) => self.waiting_since = Some(clock::instant()),
            (false, Some(since)) => {
                let waited = clock::instant().saturating_duration_since(since);
                self.waiting_since = None;
                self.patience.total = self.patience.total.map(|total| total + waited);
                self.touch();
            }
            _ => {}
        }
    }

    /// Ready when patience has ended.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<UpstreamError> {
        let Some((due, bound)) = self.due() else { return Poll::Pending };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due.into())));
        while alarm.as_mut().poll(cx).is_ready() {
            if clock::instant() >= due {
                return Poll::Ready(UpstreamError::Timeout(bound));
            }
            alarm.as_mut().reset(due.into());
        }
        Poll::Pending
    }

    /// When patience ends if nothing more arrives, and the bound to name then.
    fn due(&self) -> Option<(Instant, Duration)> {
        if self.waiting_since.is_some() {
            return None;
        }
        let idle = self.patience.idle.map(|idle| (self.active_at + idle, idle));
        match (idle, self.patience.total) {
            (Some((due, _)), Some(total)) if total < due => {
                Some((total, total.saturating_duration_since(self.active_at)))
            }
            (None, Some(total)) => Some((total, total.saturating_duration_since(self.active_at))),
            (idle, _) => idle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_waits_for_us_loses_no_time() {
        let (second, now) = (Duration::from_secs(1), clock::instant());
        let patience = Patience { begin: second, idle: Some(second), total: Some(now + second * 9) };
        let mut clock = patience.clock();
        assert!(clock.due().is_some());
        clock.wait_for_us(true);
        assert_eq!(clock.due(), None);
        clock.waiting_since = now.checked_sub(second * 60);
        clock.wait_for_us(false);
        assert!(clock.patience.total.is_some_and(|total| total >= now + second * 69));
        assert!(clock.due().is_some());
    }
}
