//! RateLimiter: one actor per token in use. It owns the life of the token's windows (limits, figures, eviction); the
//! decision itself is taken on the worker, against the window in the grant, without a message.
//!
//! Windows are keyed by token id and outlive grants and actors; a restart of the process forgets them. The keeper starts
//! a limiter when a token is first used and ends it when the token has been idle, so unused tokens cost nothing.

use std::{sync::Arc, time::Duration};

use actix::{Actor, AsyncContext as _, Context, Handler, Message, MessageResult};
use dashmap::DashMap;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    actors::{
        actor_ref::ActorRef,
        supervisor::{Drain, Group, Heartbeat, Runtime, Spec, supervise},
        token_authority::WindowSource,
    },
    config::LimitsConfig,
    domain::{clock, ids::TokenId, rate::Window},
};

/// Between two looks at which tokens are in use.
const SWEEP: Duration = Duration::from_secs(1);
/// A token idle for this long needs no limiter.
const IDLE_NS: u64 = 300_000_000_000;

/// A token's limiter.
pub struct RateLimiter {
    token: TokenId,
    requests: Arc<Window>,
    notifications: Arc<Window>,
}

impl Actor for RateLimiter {
    type Context = Context<Self>;
}

/// Changes the token's requests per minute; what was counted stays counted.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SetLimit(pub u32);

impl Handler<SetLimit> for RateLimiter {
    type Result = ();
    fn handle(&mut self, limit: SetLimit, _: &mut Context<Self>) {
        self.requests.set_limit(limit.0);
    }
}

impl Handler<Heartbeat> for RateLimiter {
    type Result = MessageResult<Heartbeat>;
    fn handle(&mut self, _: Heartbeat, _: &mut Context<Self>) -> Self::Result {
        let (admitted, refused) = self.requests.totals();
        let (notifications, _) = self.notifications.totals();
        MessageResult(json!({
            "token": self.token, "limit": self.requests.limit(), "admitted": admitted, "refused": refused,
            "notifications": notifications,
        }))
    }
}

impl Handler<Drain> for RateLimiter {
    type Result = ();
    fn handle(&mut self, _: Drain, _: &mut Context<Self>) {}
}

struct Entry {
    requests: Arc<Window>,
    notifications: Arc<Window>,
    limiter: Option<(ActorRef<RateLimiter>, CancellationToken)>,
}

struct Directory {
    runtime: Runtime,
    entries: DashMap<TokenId, Entry>,
    default_limit: u32,
    notifications: u32,
}

/// All tokens' windows.
#[derive(Clone)]
pub struct RateLimiters(Arc<Directory>);

impl RateLimiters {
    /// Starts the keeper.
    pub fn start(runtime: &Runtime, limits: &LimitsConfig) -> Self {
        let directory = Arc::new(Directory {
            runtime: runtime.clone(),
            entries: DashMap::new(),
            default_limit: limits.requests_per_minute,
            notifications: limits.notifications_per_minute,
        });
        let kept = directory.clone();
        let spec = Spec::singleton("RateLimiters", Group::Control).uncritical();
        supervise(runtime, spec, move || Keeper(kept.clone()));
        RateLimiters(directory)
    }

    /// Requests admitted and refused, over all tokens.
    pub fn totals(&self) -> (u64, u64) {
        self.0
            .entries
            .iter()
            .map(|entry| entry.requests.totals())
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// The limiter of a token in use.
    pub fn limiter(&self, token: TokenId) -> Option<ActorRef<RateLimiter>> {
        self.0.entries.get(&token)?.limiter.as_ref().map(|(limiter, _)| limiter.clone())
    }
}

impl WindowSource for RateLimiters {
    fn requests(&self, token: TokenId, own_limit: Option<u32>) -> Arc<Window> {
        let limit = own_limit.unwrap_or(self.0.default_limit);
        let entry = self.0.entry(token, limit);
        entry.requests.set_limit(limit);
        entry.requests.clone()
    }

    fn notifications(&self, token: TokenId) -> Arc<Window> {
        self.0.entry(token, self.0.default_limit).notifications.clone()
    }

    fn forget(&self, token: TokenId) {
        if let Some((_, Entry { limiter: Some((_, retired)), .. })) = self.0.entries.remove(&token) {
            retired.cancel();
        }
    }
}

impl Directory {
    fn entry(&self, token: TokenId, limit: u32) -> dashmap::mapref::one::RefMut<'_, TokenId, Entry> {
        self.entries.entry(token).or_insert_with(|| Entry {
            requests: Arc::new(Window::new(limit)),
            notifications: Arc::new(Window::new(self.notifications)),
            limiter: None,
        })
    }

    fn sweep(&self) {
        let now = clock::monotonic_ns();
        for mut entry in self.entries.iter_mut() {
            let token = *entry.key();
            let used = entry.requests.totals().0 > 0;
            let idle = entry.requests.idle_ns(now) > IDLE_NS;
            match &entry.limiter {
                None if used && !idle => {
                    let retired = CancellationToken::new();
                    let spec = Spec::instance(format!("RateLimiter/{token}"), Group::Control, retired.clone());
                    let (requests, notifications) = (entry.requests.clone(), entry.notifications.clone());
                    let limiter = supervise(&self.runtime, spec, move || RateLimiter {
                        token,
                        requests: requests.clone(),
                        notifications: notifications.clone(),
                    });
                    entry.limiter = Some((limiter, retired));
                }
                Some((_, retired)) if idle => {
                    retired.cancel();
                    entry.limiter = None;
                }
                _ => {}
            }
        }
    }
}

/// Starts and ends limiters.
struct Keeper(Arc<Directory>);

impl Actor for Keeper {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(SWEEP, |keeper, _| keeper.0.sweep());
    }
}

impl Handler<Heartbeat> for Keeper {
    type Result = MessageResult<Heartbeat>;
    fn handle(&mut self, _: Heartbeat, _: &mut Context<Self>) -> Self::Result {
        let running = self.0.entries.iter().filter(|entry| entry.limiter.is_some()).count();
        MessageResult(json!({ "tokens": self.0.entries.len(), "limiters": running }))
    }
}

impl Handler<Drain> for Keeper {
    type Result = ();
    fn handle(&mut self, _: Drain, _: &mut Context<Self>) {}
}
