//! Who watches calls as they end. The AnalyticsSink shows every call here on its way to the database, so that a call
//! pays nothing for it. Each reader has a queue of its own: one that does not keep up loses calls and is told how many,
//! and nobody else notices.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    config::AnalyticsConfig,
    domain::ids::{AccountId, ServerId, WorkspaceId},
    error::{Error, ErrorCode, Result},
    store::analytics::{Outcome, ToolCallEvent},
};

/// Which calls somebody watches.
#[derive(Debug, Clone)]
pub struct Watched {
    /// Those of this workspace.
    pub workspace: WorkspaceId,
    /// Only those of this account's tokens.
    pub account: Option<AccountId>,
    /// Only those to this server.
    pub server: Option<ServerId>,
    /// Only those of the tool with this exposed name.
    pub tool: Option<String>,
    /// Only those that failed.
    pub failed: bool,
}

impl Watched {
    fn fits(&self, call: &ToolCallEvent) -> bool {
        self.workspace == call.workspace
            && self.account.is_none_or(|account| call.account == Some(account))
            && self.server.is_none_or(|server| call.server == server)
            && self.tool.as_deref().is_none_or(|tool| *tool == *call.tool)
            && !(self.failed && call.outcome == Outcome::Ok)
    }
}

/// What came since a reader looked last: first the calls, then those that did not fit any more.
#[derive(Debug, Default)]
pub struct Came {
    /// In the order they ended.
    pub calls: Vec<ToolCallEvent>,
    /// How many more there were.
    pub missed: u64,
}

#[derive(Debug)]
struct Reader {
    by: AccountId,
    watched: Watched,
    came: Mutex<Came>,
    ready: Notify,
}

impl Reader {
    /// Once something was missed, everything is until the reader looks: what it reads is in order.
    fn take(&self, calls: &[ToolCallEvent], most: usize) {
        let mut came = self.came.lock();
        let mut any = false;
        for call in calls.iter().filter(|call| self.watched.fits(call)) {
            any = true;
            if came.missed == 0 && came.calls.len() < most {
                came.calls.push(call.clone());
            } else {
                came.missed += 1;
            }
        }
        drop(came);
        if any {
            self.ready.notify_one();
        }
    }
}

/// All readers of the process.
#[derive(Debug)]
pub struct CallFeed {
    queue: usize,
    most: usize,
    most_of_one: usize,
    readers: Mutex<Vec<Arc<Reader>>>,
    over: CancellationToken,
}

impl CallFeed {
    /// One that nobody reads yet.
    pub fn new(config: &AnalyticsConfig) -> Self {
        CallFeed {
            queue: config.live_queue,
            most: config.live_readers,
            most_of_one: config.live_readers_per_account,
            readers: Mutex::default(),
            over: CancellationToken::new(),
        }
    }

    /// Shows calls that have ended to whoever watches them.
    pub fn publish(&self, calls: &[ToolCallEvent]) {
        for reader in self.readers.lock().iter() {
            reader.take(calls, self.queue);
        }
    }

    /// Begins to watch, for `by`.
    ///
    /// # Errors
    /// `rate_limited` when the account watches as often as it may, `overloaded` when all accounts together do.
    pub fn watch(self: &Arc<Self>, by: AccountId, watched: Watched) -> Result<Watching> {
        let reader = Arc::new(Reader { by, watched, came: Mutex::default(), ready: Notify::new() });
        let mut readers = self.readers.lock();
        if readers.iter().filter(|other| other.by == by).count() >= self.most_of_one {
            let message = format!("You watch calls {} times already, the most allowed", self.most_of_one);
            return Err(Error::new(ErrorCode::RateLimited, message)
                .with_hint("end one, or raise analytics.live_readers_per_account")
                .with_retry_after(5));
        }
        if readers.len() >= self.most {
            return Err(Error::new(ErrorCode::Overloaded, "Too many people watch calls")
                .with_hint("raise analytics.live_readers")
                .with_retry_after(5));
        }
        readers.push(reader.clone());
        drop(readers);
        Ok(Watching { feed: self.clone(), reader })
    }

    /// Readers now.
    pub fn len(&self) -> usize {
        self.readers.lock().len()
    }

    /// Whether nobody watches.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The gateway stops: whoever watches is told that it is over.
    pub fn close(&self) {
        self.over.cancel();
    }
}

/// Somebody watches; ends with this value.
#[derive(Debug)]
pub struct Watching {
    feed: Arc<CallFeed>,
    reader: Arc<Reader>,
}

impl Watching {
    /// What came since the last time, as soon as there is something. None: the gateway stops. Nothing is lost when this is
    /// not waited for to its end.
    pub async fn next(&self) -> Option<Came> {
        loop {
            let came = std::mem::take(&mut *self.reader.came.lock());
            if !came.calls.is_empty() || came.missed > 0 {
                return Some(came);
            }
            tokio::select! {
                () = self.reader.ready.notified() => {}
                () = self.feed.over.cancelled() => return None,
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.feed.readers.lock().retain(|other| !Arc::ptr_eq(other, &self.reader));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::domain::{
        clock,
        ids::{CallId, TokenId},
    };

    fn call(workspace: WorkspaceId, tool: &str, outcome: Outcome) -> ToolCallEvent {
        ToolCallEvent {
            call: CallId::generate(),
            at: clock::now(),
            workspace,
            token: TokenId::generate(),
            account: None,
            credential: String::new(),
            client: "cursor".into(),
            era: "modern",
            server: ServerId::generate(),
            server_slug: "my-api".into(),
            tool: tool.into(),
            outcome,
            latency_us: 1000,
            upstream_us: 900,
            bytes_in: 1,
            bytes_out: 2,
        }
    }

    fn feed(queue: usize, most: usize) -> Arc<CallFeed> {
        let config = AnalyticsConfig { live_queue: queue, live_readers: most, ..AnalyticsConfig::default() };
        Arc::new(CallFeed::new(&config))
    }

    fn all(workspace: WorkspaceId) -> Watched {
        Watched { workspace, account: None, server: None, tool: None, failed: false }
    }

    fn tools(came: &Came) -> Vec<&str> {
        came.calls.iter().map(|call| &*call.tool).collect()
    }

    #[tokio::test]
    async fn a_reader_sees_what_it_asked_for_and_nothing_else() {
        let (feed, workspace, mia) = (feed(10, 10), WorkspaceId::generate(), AccountId::generate());
        let failed = feed.watch(mia, Watched { failed: true, ..all(workspace) }).unwrap();
        let own = feed.watch(mia, Watched { account: Some(mia), ..all(workspace) }).unwrap();
        let one = feed.watch(mia, Watched { tool: Some("b".into()), ..all(workspace) }).unwrap();
        let foreign = feed.watch(mia, all(WorkspaceId::generate())).unwrap();
        let mias = ToolCallEvent { account: Some(mia), ..call(workspace, "b", Outcome::Error(-32011)) };
        feed.publish(&[call(workspace, "a", Outcome::Ok), mias, call(workspace, "c", Outcome::ToolError)]);
        assert_eq!(tools(&failed.next().await.unwrap()), ["b", "c"]);
        assert_eq!(tools(&own.next().await.unwrap()), ["b"]);
        assert_eq!(tools(&one.next().await.unwrap()), ["b"]);
        assert!(foreign.next().now_or_never().is_none() && own.next().now_or_never().is_none());
        feed.publish(&[call(workspace, "a", Outcome::Ok)]);
        assert!(failed.next().now_or_never().is_none() && one.next().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_slow_reader_loses_calls_is_told_how_many_and_delays_nobody() {
        let (feed, workspace) = (feed(2, 10), WorkspaceId::generate());
        let (slow, quick) = (AccountId::generate(), AccountId::generate());
        let (slow, quick) = (feed.watch(slow, all(workspace)).unwrap(), feed.watch(quick, all(workspace)).unwrap());
        for name in ["a", "b", "c", "d"] {
            feed.publish(&[call(workspace, name, Outcome::Ok)]);
            assert_eq!(tools(&quick.next().await.unwrap()), [name]);
        }
        let came = slow.next().await.unwrap();
        assert_eq!((tools(&came), came.missed), (vec!["a", "b"], 2));
        feed.publish(&[call(workspace, "e", Outcome::Ok)]);
        let came = slow.next().await.unwrap();
        assert_eq!((tools(&came), came.missed), (vec!["e"], 0));
    }

    #[tokio::test]
    async fn readers_are_counted_until_they_leave_and_the_end_reaches_them() {
        let (feed, workspace) = (feed(2, 3), WorkspaceId::generate());
        let config = AnalyticsConfig::default();
        let mia = AccountId::generate();
        let first: Vec<_> = (0..3).map(|_| feed.watch(mia, all(workspace)).unwrap()).collect();
        assert_eq!(feed.watch(AccountId::generate(), all(workspace)).unwrap_err().code(), ErrorCode::Overloaded);
        drop(first);
        assert!(feed.is_empty());
        let wide = Arc::new(CallFeed::new(&config));
        let own: Vec<_> =
            (0..config.live_readers_per_account).map(|_| wide.watch(mia, all(workspace)).unwrap()).collect();
        assert_eq!(wide.watch(mia, all(workspace)).unwrap_err().code(), ErrorCode::RateLimited);
        assert!(wide.watch(AccountId::generate(), all(workspace)).is_ok());
        wide.publish(&[call(workspace, "a", Outcome::Ok)]);
        wide.close();
        assert_eq!(tools(&own[0].next().await.unwrap()), ["a"], "what came before the end is read");
        assert!(own[0].next().await.is_none());
    }
}
