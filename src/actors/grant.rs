//! What a valid workspace token grants, as every worker reads it without a message.
//!
//! Invariant: after [`Grant::kill`] has returned, nothing is sent or written for this token any more. A flag alone
//! cannot promise that (a worker may have read it just before), so every poll that may write passes the gate: it
//! counts itself in, looks at the flag, and counts itself out; `kill` sets the flag and waits until nobody is inside.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::domain::{
    clock::{self, Timestamp},
    ids::{AccountId, TokenId, WorkspaceId},
    rate::Window,
    scope::Scope,
};

/// How long `kill` waits for a poll under way. A poll is microseconds; this only bounds a stuck worker.
const KILL_WAIT: Duration = Duration::from_secs(2);
/// The end of what has none, in milliseconds.
const NEVER: i64 = i64::MAX;

/// A valid token. Made by the TokenAuthority only.
pub struct Grant {
    /// The token's id.
    pub token: TokenId,
    /// Its workspace.
    pub workspace: WorkspaceId,
    /// The workspace's slug.
    pub slug: Arc<str>,
    /// The token's name.
    pub name: Arc<str>,
    /// The account it was issued to, if it was.
    pub member: Option<AccountId>,
    /// Its requests of the last 60 seconds.
    pub window: Arc<Window>,
    /// Its notifications of the last 60 seconds.
    pub notifications: Arc<Window>,
    /// Calls under way.
    pub calls: AtomicUsize,
    /// Streams open.
    pub streams: AtomicUsize,
    /// Cancelled when the token is revoked: everything under way ends.
    pub cut: CancellationToken,
    /// Whether there is a scope: a token that may use everything pays for one look at this.
    scoped: AtomicBool,
    scope: ArcSwapOption<Scope>,
    /// When it stops working by itself, in milliseconds. A rotation gives the grant of the old value an end.
    ends_ms: AtomicI64,
    revoked: AtomicBool,
    sending: AtomicU32,
}

impl Grant {
    /// A grant that is in force.
    #[expect(clippy::too_many_arguments, reason = "one value each, made in one place")]
    pub fn new(
        token: TokenId,
        workspace: WorkspaceId,
        slug: Arc<str>,
        name: Arc<str>,
        member: Option<AccountId>,
        expires_at: Option<Timestamp>,
        window: Arc<Window>,
        notifications: Arc<Window>,
    ) -> Self {
        Grant {
            token,
            workspace,
            slug,
            name,
            member,
            window,
            notifications,
            calls: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            cut: CancellationToken::new(),
            scoped: AtomicBool::new(false),
            scope: ArcSwapOption::empty(),
            ends_ms: AtomicI64::new(expires_at.map_or(NEVER, |at| at.timestamp_millis())),
            revoked: AtomicBool::new(false),
            sending: AtomicU32::new(0),
        }
    }

    /// Whether the token works now.
    pub fn is_valid(&self) -> bool {
        if self.revoked.load(SeqCst) {
            return false;
        }
        let ends = self.ends_ms.load(SeqCst);
        ends == NEVER || clock::now().timestamp_millis() < ends
    }

    /// When it stops working by itself, to the millisecond.
    pub fn ends_at(&self) -> Option<Timestamp> {
        match self.ends_ms.load(SeqCst) {
            NEVER => None,
            ms => Timestamp::from_timestamp_millis(ms),
        }
    }

    /// Gives it another end.
    pub(super) fn set_end(&self, end: Option<Timestamp>) {
        self.ends_ms.store(end.map_or(NEVER, |at| at.timestamp_millis()), SeqCst);
    }

    /// What the token may use; none: everything its workspace offers.
    pub fn scope(&self) -> Option<Arc<Scope>> {
        if !self.scoped.load(SeqCst) {
            return None;
        }
        self.scope.load_full()
    }

    /// Gives the token another scope: whoever asks from now on is told this one.
    pub(super) fn set_scope(&self, scope: Option<Arc<Scope>>) {
        let scoped = scope.is_some();
        self.scope.store(scope);
        self.scoped.store(scoped, SeqCst);
    }

    /// Runs `f` unless the token is revoked. `kill` does not return while `f` runs.
    pub fn gate<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        struct Out<'a>(&'a AtomicU32);
        impl Drop for Out<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, SeqCst);
            }
        }
        self.sending.fetch_add(1, SeqCst);
        let _out = Out(&self.sending);
        if self.revoked.load(SeqCst) {
            return None;
        }
        Some(f())
    }

    /// Ends the grant: cuts what is under way, and returns when no poll is inside the gate.
    pub async fn kill(&self) {
        self.revoked.store(true, SeqCst);
        self.cut.cancel();
        let begun = clock::instant();
        while self.sending.load(SeqCst) != 0 {
            if begun.elapsed() > KILL_WAIT {
                tracing::error!(token = %self.token, "a worker is stuck inside a revoked token's gate");
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Wraps `future` so that it is polled only through the gate and ends with `None` when the token is revoked.
    pub fn gated<F: Future>(self: &Arc<Self>, future: F) -> Gated<F> {
        Gated::new(self, future)
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grant({} in {})", self.token, self.slug)
    }
}

/// A future under a grant.
pub struct Gated<F> {
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    grant: Arc<Grant>,
    future: Pin<Box<F>>,
}

impl<F: Future> Gated<F> {
    /// `future` under `grant`.
    pub fn new(grant: &Arc<Grant>, future: F) -> Self {
        Gated { cut: Box::pin(grant.cut.clone().cancelled_owned()), grant: grant.clone(), future: Box::pin(future) }
    }
}

impl<F: Future> Future for Gated<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        let future = this.future.as_mut();
        match this.grant.gate(|| future.poll(cx)) {
            None => Poll::Ready(None),
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(output)) => Poll::Ready(Some(output)),
        }
    }
}
