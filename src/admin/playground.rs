//! What the playground of the dashboard needs of the actors: the tools of a workspace as a client sees them, and a token
//! with which somebody who is signed in calls them as themselves. It is a token like any other: listed, limited, audited,
//! revoked with its member. Its value lives in this process only, and not longer than it works.

use std::{collections::HashMap, sync::Arc};

use chrono::TimeDelta;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Mutex;

use crate::{
    actors::{
        Actors,
        token_authority::{IssueToken, IssuedToken, RenewToken},
    },
    admin::{Admin, discovery, workspaces},
    domain::{
        clock::{self, Timestamp},
        ids::{AccountId, TokenId, WorkspaceId},
        role::{Principal, Role},
        scope::Scope,
    },
    error::Result,
    store::{
        tokens::{self, TokenRecord},
        workspaces::WorkspaceRecord,
    },
};

/// How long a token lives, in seconds.
const LIFE_SECONDS: u64 = 3600;
/// A token with less time left than this gets more: a call must not be cut by its end.
const SPARE: TimeDelta = TimeDelta::seconds(120);
/// Tokens that are kept; more people at once get another value for theirs.
const KEPT: usize = 1024;

/// The tokens of those who used the playground lately. Each has a place of its own, locked while its token is got: a
/// slow database lets a person's second request wait, and nobody else.
#[derive(Default)]
pub struct OwnTokens(parking_lot::Mutex<HashMap<Whose, Place>>);

type Whose = (AccountId, WorkspaceId);
type Place = Arc<Mutex<Option<Kept>>>;

struct Kept {
    token: TokenId,
    raw: SecretString,
    until: Timestamp,
}

impl OwnTokens {
    /// Somebody's place. Places of tokens that are over and that nobody waits for make room; when there is none, the
    /// place is not kept.
    fn place(&self, whose: Whose, now: Timestamp) -> Place {
        let mut places = self.0.lock();
        places.retain(|_, place| {
            let in_use = Arc::strong_count(place) > 1;
            in_use || place.try_lock().is_ok_and(|kept| kept.as_ref().is_some_and(|one| now + SPARE < one.until))
        });
        match places.get(&whose) {
            Some(place) => place.clone(),
            None if places.len() < KEPT => places.entry(whose).or_default().clone(),
            None => Place::default(),
        }
    }
}

/// The caller's own token for a workspace: the value at hand, another one and another hour, or their first.
///
/// # Errors
/// `forbidden` for viewers, `not_found` for a foreign workspace, `plan_limit` when no token may be added.
pub async fn own_token(admin: &Admin, by: &Principal, slug: &str) -> Result<SecretString> {
    by.require(Role::Member)?;
    let actors = &admin.actors;
    let workspace = workspaces::find(actors, by, slug).await?;
    let place = admin.own_tokens.place((by.account, workspace.id), clock::now());
    let mut kept = place.lock().await;
    let now = clock::now();
    let usable = |one: &&Kept| now + SPARE < one.until && actors.tokens.grant(one.token).is_some();
    if let Some(one) = kept.as_ref().filter(usable) {
        return Ok(one.raw.clone());
    }
    let IssuedToken { record, raw } = fresh(actors, by, &workspace).await?;
    *kept = record.expires_at.map(|until| Kept { token: record.id, raw: raw.clone(), until });
    Ok(raw)
}

/// The value at hand was refused (another process gave the token another one): the next call gets a new one.
pub async fn forget_token(admin: &Admin, by: &Principal, slug: &str) -> Result<()> {
    let workspace = workspaces::find(&admin.actors, by, slug).await?;
    *admin.own_tokens.place((by.account, workspace.id), clock::now()).lock().await = None;
    Ok(())
}

/// Their token with another value, or their first one. It is the same one for years, so that there is one for each person
/// and workspace, and every call made with it is known as theirs.
async fn fresh(actors: &Actors, by: &Principal, workspace: &WorkspaceRecord) -> Result<IssuedToken> {
    let (place, by) = (workspace.id, by.clone());
    let name = format!("{} (Playground)", by.username);
    let (whose, known_as) = ((place, by.account), name.clone());
    let known = actors.store.read(move |db| async move { tokens::latest_of(&db, whose, &known_as).await }).await?;
    if let Some(TokenRecord { id: token, .. }) = known {
        return actors.tokens.renew(RenewToken { workspace: place, token, life_seconds: LIFE_SECONDS, by }).await;
    }
    let wanted = IssueToken {
        workspace: place,
        name,
        expires_in_seconds: Some(LIFE_SECONDS),
        member: Some(by.account),
        requests_per_minute: None,
        scope: Scope::default(),
        by,
    };
    actors.tokens.issue(wanted).await
}

/// A tool as a client of 2026-07-28 sees it.
pub struct Callable {
    /// The name to call it by.
    pub name: String,
    /// The server it comes from.
    pub server: String,
    /// What it does.
    pub description: Option<String>,
    /// Its server says that it only reads.
    pub reads: bool,
    /// What it takes, byte for byte.
    pub schema: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    description: Option<String>,
    input_schema: Option<Box<RawValue>>,
}

/// The tools of a workspace that can be called, in list order. What it takes is read only for the one named `wanted`, or for
/// the first one if none is.
pub async fn callable(actors: &Actors, by: &Principal, slug: &str, wanted: &str) -> Result<Vec<Callable>> {
    by.require(Role::Member)?;
    let workspace = workspaces::find(actors, by, slug).await?;
    discovery::discover_for_list(actors, &workspace.slug).await;
    let catalog = actors.catalog.load();
    let Some(view) = catalog.workspace(&workspace.slug) else { return Ok(Vec::new()) };
    let entries = view.tools.entries().iter().filter_map(|entry| Some((&entry.route, view.tools.item(entry, true)?)));
    let tools = entries.enumerate().map(|(at, (route, item))| {
        let read = || serde_json::from_slice::<Described>(&item).ok();
        let described = (*route.exposed == *wanted || (at == 0 && wanted.is_empty())).then(read).flatten();
        let (description, schema) =
            described.map_or((None, None), |described| (described.description, described.input_schema));
        let (name, server) = (route.exposed.to_string(), route.def.slug.to_string());
        Callable { name, server, description, reads: route.reads, schema }
    });
    Ok(tools.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_database_lets_nobody_else_wait() {
        let (tokens, now) = (OwnTokens::default(), clock::now());
        let [alice, bob] = [(); 2].map(|()| (AccountId::generate(), WorkspaceId::generate()));
        let place = tokens.place(alice, now);
        let getting = place.try_lock().expect("nobody has it");
        assert!(tokens.place(alice, now).try_lock().is_err(), "one token for both of her requests");
        assert!(tokens.place((alice.0, bob.1), now).try_lock().is_ok(), "another workspace is another token");
        assert!(tokens.place(bob, now).try_lock().is_ok());
        drop(getting);
        assert!(tokens.place(alice, now).try_lock().is_ok());
    }

    #[test]
    fn a_token_that_is_over_makes_room_and_one_that_is_in_use_does_not() {
        let (tokens, now) = (OwnTokens::default(), clock::now());
        let whose: Vec<Whose> = (0..=KEPT).map(|_| (AccountId::generate(), WorkspaceId::generate())).collect();
        let kept = |until| Some(Kept { token: TokenId::generate(), raw: "mwt_x".into(), until });
        for one in &whose[..KEPT] {
            *tokens.place(*one, now).try_lock().unwrap() = kept(now + TimeDelta::hours(1));
        }
        let held = tokens.place(whose[0], now);
        let more = tokens.place(whose[KEPT], now);
        assert!(!Arc::ptr_eq(&more, &tokens.place(whose[KEPT], now)), "no room: not kept");
        let later = now + TimeDelta::hours(2);
        let more = tokens.place(whose[KEPT], later);
        assert!(Arc::ptr_eq(&more, &tokens.place(whose[KEPT], later)));
        assert!(Arc::ptr_eq(&held, &tokens.place(whose[0], later)));
        assert_eq!(tokens.0.lock().len(), 2);
    }
}
