//! Sessions of the legacy revisions. The id handed to a client is sealed state (token, workspace, revision): nothing is
//! stored for it, it survives a restart and works wherever the key is. Only "ended" is stored.
//!
//! Invariant: a session belongs to one token. Presented with another, it does not exist (404).

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::{
        Arc,
        atomic::{
            AtomicU8, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
};

use chrono::TimeDelta;
use dashmap::{DashMap, DashSet};
use tokio_util::sync::CancellationToken;

use crate::{
    actors::grant::Grant,
    domain::{clock, random},
    error::{Error, ErrorCode, Result},
    protocol::{
        cursor::{self, Cursor},
        log_level::Level,
        revision::Revision,
        session_id::{self, ClientCapabilities, SessionState, StateKey},
    },
    store::{Store, sessions},
};

/// Opened session ids a worker remembers.
const REMEMBERED: usize = 1024;
/// Log levels that are kept before those are forgotten whose sessions no worker remembers.
const LEVELS: usize = 4096;
/// Ended sessions the process remembers. More are forgotten together with all that workers remember, so that the
/// database is asked again.
const ENDED: usize = 65_536;

thread_local! {
    static OPENED: RefCell<Opened> = RefCell::default();
}

/// What a worker remembers, and the forgetting it was remembered after.
#[derive(Default)]
struct Opened {
    after: u64,
    sessions: HashMap<Box<str>, Arc<Session>>,
}

impl Opened {
    /// What was remembered since the last forgetting.
    fn since(&mut self, forgetting: u64) -> &mut HashMap<Box<str>, Arc<Session>> {
        if std::mem::replace(&mut self.after, forgetting) != forgetting {
            self.sessions.clear();
        }
        &mut self.sessions
    }
}

/// An opened session.
#[derive(Debug)]
pub struct Session {
    /// Its id, as the client sends it.
    pub id: Arc<str>,
    /// Tells its client from every other; no credential.
    pub who: Arc<str>,
    /// The lowest level of log messages its client wants; 0: it has not said. Shared by the workers.
    level: Arc<AtomicU8>,
    /// Under which it is remembered.
    row: [u8; 32],
    /// What was sealed in it.
    pub state: SessionState,
}

impl Session {
    /// From which level on the client wants log messages, if it said so.
    pub fn log_level(&self) -> Option<Level> {
        Level::from_number(self.level.load(Relaxed))
    }
}

/// Seals, opens and ends sessions, and knows the calls under way in them (`notifications/cancelled` arrives on a
/// request of its own).
pub struct Sessions {
    key: StateKey,
    store: Store,
    believed: TimeDelta,
    ended: DashSet<[u8; 32]>,
    forgettings: AtomicU64,
    calls: DashMap<CallKey, CancellationToken>,
    /// Log levels of sessions that some worker remembers.
    levels: DashMap<[u8; 32], Arc<AtomicU8>>,
}

/// (session, request id as written).
type CallKey = (Arc<str>, Box<[u8]>);

impl Sessions {
    /// Sessions sealed with `key`, whose ids are believed for `days`; the ends of sessions are remembered in `store`.
    pub fn new(key: StateKey, store: Store, days: u32) -> Self {
        Sessions {
            key,
            store,
            believed: TimeDelta::days(days.into()),
            ended: DashSet::new(),
            forgettings: AtomicU64::new(0),
            calls: DashMap::new(),
            levels: DashMap::new(),
        }
    }

    /// The key of everything that is sealed into a client's hands.
    pub fn key(&self) -> &StateKey {
        &self.key
    }

    /// A fresh session for a handshake that negotiated `revision`.
    pub fn begin(&self, grant: &Grant, revision: Revision, capabilities: ClientCapabilities) -> String {
        session_id::seal(
            &self.key,
            &SessionState {
                token: grant.token,
                workspace: grant.workspace,
                revision,
                capabilities,
                node: 0,
                issued_at: clock::now(),
                nonce: random::bytes(),
            },
        )
    }

    /// The session of that id, if it is this grant's, not ended and not too old.
    pub async fn open(&self, grant: &Grant, id: &str) -> Result<Arc<Session>> {
        let forgetting = self.forgettings.load(SeqCst);
        let known = OPENED.with_borrow_mut(|opened| opened.since(forgetting).get(id).cloned());
        let session = match known {
            Some(session) => session,
            None => Box::pin(self.unseal(grant, id)).await?,
        };
        let state = &session.state;
        let foreign = state.token != grant.token || state.workspace != grant.workspace;
        if foreign || self.ended.contains(&session.row) || clock::now() - state.issued_at > self.believed {
            return Err(unknown());
        }
        Ok(session)
    }

    /// The first time a worker sees an id: it is opened, and the store asked whether it was ended before a restart.
    async fn unseal(&self, grant: &Grant, id: &str) -> Result<Arc<Session>> {
        let state = session_id::open(&self.key, id).filter(|state| state.token == grant.token).ok_or_else(unknown)?;
        let (token, row) = (state.token, state.row_key());
        let forgetting = self.forgettings.load(SeqCst);
        let stored = self.store.read(move |db| async move { sessions::get(&db, token, &row).await }).await?;
        if stored.as_ref().is_some_and(|stored| stored.ended_at.is_some()) {
            return Err(unknown());
        }
        let level = stored.and_then(|stored| Level::parse(&stored.log_level?)).map_or(0, |level| level as u8);
        let who = uuid::Uuid::from_slice(row.get(..16).unwrap_or_default()).unwrap_or_default().simple().to_string();
        let session = Arc::new(Session { id: id.into(), who: who.into(), level: self.level(row, level), row, state });
        OPENED.with_borrow_mut(|opened| {
            let sessions = opened.since(forgetting);
            if sessions.len() >= REMEMBERED {
                sessions.clear();
            }
            sessions.insert(id.into(), session.clone());
        });
        Ok(session)
    }

    /// The level of a session, the same for all workers; `stored` if none of them knows the session yet.
    fn level(&self, row: [u8; 32], stored: u8) -> Arc<AtomicU8> {
        if self.levels.len() >= LEVELS {
            self.levels.retain(|_, level| Arc::strong_count(level) > 1);
        }
        self.levels.entry(row).or_insert_with(|| Arc::new(AtomicU8::new(stored))).clone()
    }

    /// Notes from which level on a session's client wants log messages; it is remembered over a restart.
    pub async fn set_log_level(&self, session: &Session, level: Level) -> Result<()> {
        let (token, row) = (session.state.token, session.row);
        self.store
            .upkeep(move |tx| Box::pin(async move { sessions::set_log_level(tx, token, &row, level.as_str()).await }))
            .await?;
        session.level.store(level as u8, Relaxed);
        Ok(())
    }

    /// Notes what a session's client is subscribed to; it is remembered over a restart.
    pub async fn set_subscriptions(&self, session: &Session, uris: &[Arc<str>]) -> Result<()> {
        let (token, row) = (session.state.token, session.row);
        let uris = serde_json::Value::from(uris.iter().map(|uri| uri.to_string()).collect::<Vec<_>>()).to_string();
        self.store
            .upkeep(move |tx| Box::pin(async move { sessions::set_subscriptions(tx, token, &row, &uris).await }))
            .await
    }

    /// What a session's client was last known to be subscribed to.
    pub async fn subscriptions(&self, session: &Session) -> Result<Vec<String>> {
        let (token, row) = (session.state.token, session.row);
        let stored = self.store.read(move |db| async move { sessions::get(&db, token, &row).await }).await?;
        let uris = stored.and_then(|stored| serde_json::from_str(&stored.subscriptions?).ok());
        Ok(uris.unwrap_or_default())
    }

    /// Ends a session: its id is unknown from now on, after a restart too.
    pub async fn end(&self, session: &Session) -> Result<()> {
        let (token, row) = (session.state.token, session.row);
        self.ended.insert(row);
        let written =
            self.store.upkeep(move |tx| Box::pin(async move { sessions::end(tx, token, &row, clock::now()).await }));
        let written = written.await;
        if self.ended.len() > ENDED {
            self.ended.clear();
            self.forgettings.fetch_add(1, SeqCst);
        }
        // Perhaps forgotten while it was written, by a worker that did not find it in the database yet.
        self.ended.insert(row);
        written
    }

    /// A cursor as text for a client.
    pub fn seal_cursor(&self, cursor: &Cursor) -> String {
        cursor::seal(&self.key, cursor)
    }

    /// What a client's cursor says, if it was made here.
    pub fn open_cursor(&self, text: &str) -> Option<Cursor> {
        cursor::open(&self.key, text)
    }

    /// Remembers a call under way until the guard is dropped; `notifications/cancelled` finds it by its id.
    pub fn under_way(self: &Arc<Self>, session: &Session, request_id: &[u8]) -> (CancellationToken, UnderWay) {
        let key: CallKey = (session.id.clone(), request_id.into());
        let cancel = CancellationToken::new();
        self.calls.insert(key.clone(), cancel.clone());
        (cancel, UnderWay { sessions: self.clone(), key })
    }

    /// Cancels a call of that session.
    pub fn cancel(&self, session: &Session, request_id: &[u8]) {
        let key: CallKey = (session.id.clone(), request_id.into());
        if let Some((_, call)) = self.calls.remove(&key) {
            call.cancel();
        }
    }
}

/// A call under way; forgotten when dropped.
pub struct UnderWay {
    sessions: Arc<Sessions>,
    key: CallKey,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.sessions.calls.remove(&self.key);
    }
}

fn unknown() -> Error {
    Error::new(ErrorCode::SessionNotFound, "Session not found")
        .with_hint("send initialize again without the Mcp-Session-Id header")
}

/// 400: a legacy request without a session id.
pub fn required() -> Error {
    Error::new(ErrorCode::SessionRequired, "Bad Request: Mcp-Session-Id header is required")
        .with_hint("send initialize first and repeat the session id it answers with")
}
