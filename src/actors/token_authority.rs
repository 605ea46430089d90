//! The TokenAuthority owns all bearer credentials: it is the only writer of tokens and API keys, and of the ledger
//! of grants that every worker reads without a message. This file is the actor's shell and [`Tokens`], the way to it;
//! what it does is in `authority`.
//!
//! Each request runs as a task of its own, so that a panic costs one answer and a slow database never delays a
//! heartbeat. Nothing depends on the order of the tasks: the ledger's epochs keep it exact (see `token_ledger`).

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use actix::prelude::*;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;

pub use crate::actors::{
    authority::{IssueToken, IssuedToken, NameToken, ScopeToken},
    authority_keys::{Asked, IssueApiKey, IssuedApiKey, RevokeApiKey},
    authority_rotation::{RenewToken, RotateToken},
};
use crate::{
    actors::{
        actor_ref::ActorRef,
        authority::Authority,
        authority_rotation::expiry_warning,
        authority_welcome::Welcome,
        failed_lookups::FailedLookups,
        grant::Grant,
        last_used::LastUsed,
        passwords::Passwords,
        sign_in_pace::SignInPace,
        supervisor::{Drain, Group, Heartbeat, Runtime, Spec, supervise},
        token_ledger::Ledger,
    },
    config::{LimitsConfig, PeopleConfig},
    domain::{
        clock::Timestamp,
        ids::{ApiKeyId, TokenId, WorkspaceId},
        rate::Window,
        role::Principal,
        token::TokenHash,
    },
    error::Result,
    store::{Store, api_keys::ApiKeyRecord, tokens::TokenRecord},
};

/// Between two looks at what has expired.
const TICK: Duration = Duration::from_millis(250);
/// Ticks between two writes of last use (at most a minute late), and between two comparisons with the database.
const TICKS_PER_FLUSH: u64 = 120;
/// Ticks between two looks for tokens that expire soon and for sessions that nobody believes any more (an hour).
const TICKS_PER_PRUNE: u64 = 14_400;
/// Between two attempts to compare the ledger with a database that does not answer.
const RETRY: Duration = Duration::from_millis(200);

/// Where a token's windows come from: they outlive its grants and this actor.
pub trait WindowSource: Send + Sync + 'static {
    /// The window of a token's requests, under its own limit or the default.
    fn requests(&self, token: TokenId, own_limit: Option<u32>) -> Arc<Window>;
    /// The window of its notifications and responses.
    fn notifications(&self, token: TokenId) -> Arc<Window>;
    /// The token is gone for good.
    fn forget(&self, token: TokenId);
}

/// The way to the TokenAuthority, for every thread.
#[derive(Clone)]
pub struct Tokens(Arc<Shared>);

struct Shared {
    authority: Arc<Authority>,
    actor: ActorRef<TokenAuthority>,
    patience: Duration,
}

impl Tokens {
    /// Loads the active tokens and starts the actor.
    pub async fn start(
        runtime: &Runtime,
        store: Store,
        limits: &LimitsConfig,
        people: &PeopleConfig,
        windows: Arc<dyn WindowSource>,
    ) -> Result<Self> {
        let authority = Arc::new(Authority {
            store,
            ledger: Ledger::default(),
            windows,
            failed: FailedLookups::new(limits.failed_auth_per_minute),
            used: LastUsed::default(),
            used_keys: LastUsed::default(),
            used_sessions: LastUsed::default(),
            passwords: Passwords::new(people),
            pace: SignInPace::new(people),
            open: FailedLookups::new(people.open_requests_per_minute),
            people: people.clone(),
            welcome: Welcome::default(),
            session_days: limits.session_days,
            expiry_warning: expiry_warning(limits.token_expiry_warning_days),
            expiring: AtomicU64::new(0),
            warned: Mutex::default(),
            settled: watch::Sender::new(true),
            doubted: AtomicBool::new(false),
        });
        authority.reconcile().await?;
        let spec = Spec::singleton("TokenAuthority", Group::Control);
        let shared = authority.clone();
        let actor = supervise(runtime, spec, move || TokenAuthority { authority: shared.clone(), ticks: 0 });
        // A write may wait for the database three times (begin, work, commit) before it gives up by itself.
        Ok(Tokens(Arc::new(Shared { authority, actor, patience: runtime.ask_timeout() * 4 })))
    }

    /// The actor's address (to drain it).
    pub fn actor(&self) -> &ActorRef<TokenAuthority> {
        &self.0.actor
    }

    /// The grant of a token that is known here; no message, no waiting. `None` says nothing yet: see
    /// [`Tokens::authenticate`].
    pub fn lookup(&self, hash: &TokenHash) -> Option<Arc<Grant>> {
        self.0.authority.ledger.get(hash)
    }

    /// The grant of a token in the workspace `slug`, known here or not. `None`: unknown, revoked, expired or of
    /// another workspace, which all look the same. `rate_limited` when `client` has guessed too often.
    /// `store_unavailable` while no token is believed.
    pub async fn authenticate(&self, slug: &str, hash: &TokenHash, client: IpAddr) -> Result<Option<Arc<Grant>>> {
        self.0.authority.require_belief()?;
        let grant = match self.lookup(hash) {
            Some(grant) => Some(grant),
            None => Box::pin(self.0.authority.failed.attempt(client, self.ask(Find(*hash)))).await?,
        };
        Ok(grant.filter(|grant| *grant.slug == *slug && grant.is_valid()))
    }

    /// The grant of a token, if it is in force here.
    pub fn grant(&self, token: TokenId) -> Option<Arc<Grant>> {
        self.0.authority.ledger.of_token(token)
    }

    /// Issues a token.
    pub async fn issue(&self, token: IssueToken) -> Result<IssuedToken> {
        self.ask(Issue(token)).await
    }

    /// Revokes a token. When this returns, nothing is accepted, sent or written for it any more. Revoking it again
    /// is fine.
    pub async fn revoke(&self, token: NameToken) -> Result<TokenRecord> {
        self.ask(Revoke(token)).await
    }

    /// Gives a token a new value; the old one works until the overlap ends. Without an overlap it is dead when this
    /// returns.
    pub async fn rotate(&self, token: RotateToken) -> Result<IssuedToken> {
        self.ask(Rotate(token)).await
    }

    /// Gives a token that was made to end a new value and another life, also when its time is over.
    pub async fn renew(&self, token: RenewToken) -> Result<IssuedToken> {
        self.ask(Renew(token)).await
    }

    /// Gives a token another scope. When this returns, every call and list is decided by it.
    pub async fn rescope(&self, change: ScopeToken) -> Result<TokenRecord> {
        self.ask(Rescope(change)).await
    }

    /// Believes what is known of tokens, or not: then whatever runs is ended when this returns, whoever calls is refused, and
    /// each token is looked up again when it is used once they are believed again.
    pub async fn believe(&self, known: bool) {
        self.0.authority.believe(known).await;
    }

    /// Ends everything that runs in a workspace whose deletion has been committed.
    pub async fn cut_workspace(&self, workspace: WorkspaceId) {
        self.0.authority.cut_workspace(workspace).await;
    }

    /// Who acts with this API key, in the namespace that is asked for, else the key's own. `None`: unknown, revoked,
    /// expired, or no longer a member. `rate_limited` when `client` has guessed too often, `not_found` when the key
    /// does not reach that namespace.
    pub async fn api_key(&self, asked: Asked, client: IpAddr) -> Result<Option<Principal>> {
        self.0.authority.failed.attempt(client, self.ask(FindApiKey(asked))).await
    }

    /// Issues an API key.
    pub async fn issue_api_key(&self, key: IssueApiKey) -> Result<IssuedApiKey> {
        self.ask(IssueKey(key)).await
    }

    /// Revokes an API key; its next use is refused.
    pub async fn revoke_api_key(&self, key: RevokeApiKey) -> Result<ApiKeyRecord> {
        self.ask(RevokeKey(key)).await
    }

    /// Whether a token that ends then is one that expires soon.
    pub fn expires_soon(&self, expires_at: Option<Timestamp>) -> bool {
        let now = self.0.authority.ledger.now();
        expires_at.is_some_and(|end| now < end && end <= now + self.0.authority.expiry_warning)
    }

    /// Tokens that expire soon, at most an hour old.
    pub fn expiring(&self) -> u64 {
        self.0.authority.expiring.load(Relaxed)
    }

    /// Notes that a token is used now.
    pub fn used(&self, token: TokenId) {
        self.0.authority.used.note(token);
    }

    /// When a token was last used in this process: fresher than what is stored.
    pub fn last_used(&self, token: TokenId) -> Option<Timestamp> {
        self.0.authority.used.get(token)
    }

    /// When an API key was last used in this process.
    pub fn api_key_last_used(&self, key: ApiKeyId) -> Option<Timestamp> {
        self.0.authority.used_keys.get(key)
    }

    /// What it does, for requests that change nothing and need no turn of the actor.
    pub(super) fn authority(&self) -> &Authority {
        &self.0.authority
    }

    pub(super) async fn ask<M, T>(&self, message: M) -> Result<T>
    where
        TokenAuthority: Handler<M>,
        M: Message<Result = Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        self.0.actor.ask(message, self.0.patience).await?
    }
}

/// The actor. Its state is the authority, which outlives it.
pub struct TokenAuthority {
    pub(super) authority: Arc<Authority>,
    ticks: u64,
}

impl Actor for TokenAuthority {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Whatever an earlier incarnation committed and did not finish is finished before anything is answered.
        self.authority.settled.send_replace(false);
        let authority = self.authority.clone();
        actix_rt::spawn(async move {
            while let Err(error) = authority.reconcile().await {
                tracing::warn!(%error, "waiting for the database to compare tokens with it");
                actix_rt::time::sleep(RETRY).await;
            }
            authority.settled.send_replace(true);
        });
        ctx.run_interval(TICK, |actor, _| actor.tick());
    }
}

impl TokenAuthority {
    fn tick(&mut self) {
        self.ticks += 1;
        let (authority, flush) = (self.authority.clone(), self.ticks.is_multiple_of(TICKS_PER_FLUSH));
        let prune = self.ticks % TICKS_PER_PRUNE == 1;
        actix_rt::spawn(async move {
            authority.expire().await;
            if flush {
                authority.failed.sweep();
                authority.open.sweep();
                authority.pace.sweep();
                authority.flush().await;
                if let Err(error) = authority.reconcile().await {
                    tracing::warn!(%error, "tokens could not be compared with the database");
                }
            }
            if prune {
                authority.warn_of_expiry().await;
                authority.prune_sessions().await;
                authority.prune_people().await;
            }
        });
    }
}

impl Handler<Heartbeat> for TokenAuthority {
    type Result = MessageResult<Heartbeat>;

    fn handle(&mut self, _: Heartbeat, _: &mut Self::Context) -> Self::Result {
        let authority = &self.authority;
        MessageResult(json!({
            "tokens": authority.ledger.len(),
            "withdrawals": authority.ledger.epoch(),
            "settled": *authority.settled.borrow(),
            "addresses_with_failures": authority.failed.len(),
        }))
    }
}

impl Handler<Drain> for TokenAuthority {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, _: &mut Self::Context) -> Self::Result {
        let authority = self.authority.clone();
        Box::pin(async move { authority.flush().await })
    }
}

/// Declares the actor's messages: each is one call of the authority, in a task of its own.
macro_rules! requests {
    ($($name:ident($argument:ty) -> $answer:ty = $method:ident;)*) => {$(
        struct $name($argument);

        impl Message for $name {
            type Result = Result<$answer>;
        }

        impl Handler<$name> for TokenAuthority {
            type Result = ResponseFuture<Result<$answer>>;

            fn handle(&mut self, message: $name, _: &mut Self::Context) -> Self::Result {
                let authority = self.authority.clone();
                Box::pin(async move { authority.$method(message.0).await })
            }
        }
    )*};
}

pub(super) use requests;

requests! {
    Find(TokenHash) -> Option<Arc<Grant>> = find;
    Issue(IssueToken) -> IssuedToken = issue;
    Revoke(NameToken) -> TokenRecord = revoke;
    Rotate(RotateToken) -> IssuedToken = rotate;
    Renew(RenewToken) -> IssuedToken = renew;
    Rescope(ScopeToken) -> TokenRecord = rescope;
    FindApiKey(Asked) -> Option<Principal> = find_api_key;
    IssueKey(IssueApiKey) -> IssuedApiKey = issue_api_key;
    RevokeKey(RevokeApiKey) -> ApiKeyRecord = revoke_api_key;
}
