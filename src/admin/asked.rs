//! What a question about calls is about: where, whose, of what, when, as far as the caller may know. Administrators may
//! ask about everybody, others about themselves.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::TimeDelta;

use crate::{
    actors::Actors,
    admin::{servers, workspaces},
    domain::{
        clock::{self, Timestamp},
        ids::{AccountId, TokenId, WorkspaceId},
        near, period,
        role::{Principal, Role},
        span::{FARTHEST, Span},
    },
    error::{Error, ErrorCode, Result, err},
    store::{
        tokens::{self, TokenRecord},
        usage::{self, UsageFilter, Which},
        workspaces as records,
    },
};

/// How far back figures go unless something else is asked for.
const PERIOD: &str = "7d";

/// A question, as it was asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Question<'q> {
    /// In which workspace; none: in all of the namespace.
    pub workspace: Option<&'q str>,
    /// Whose calls.
    pub user: Option<&'q str>,
    /// Of which server.
    pub server: Option<&'q str>,
    /// Of which tool.
    pub tool: Option<&'q str>,
    /// How far back.
    pub period: Option<&'q str>,
    /// Not before.
    pub from: Option<&'q str>,
    /// Before.
    pub to: Option<&'q str>,
}

/// What it is about.
pub struct Asked {
    /// The workspaces and their slugs.
    pub places: BTreeMap<WorkspaceId, String>,
    /// Who is behind the tokens.
    pub people: People,
    /// The calls.
    pub which: Which,
    /// Not before.
    pub from: Timestamp,
    /// Before.
    pub to: Timestamp,
}

impl Asked {
    /// Finds out. What is unknown, or not the caller's to know, is refused.
    pub async fn of(actors: &Actors, by: &Principal, question: Question<'_>) -> Result<Self> {
        by.require(Role::Viewer)?;
        let places = places(actors, by, question.workspace).await?;
        let (from, to) = stretch(actors, question)?;
        let people = People::of(actors, by, places.keys().copied().collect()).await?;
        let workspaces: Vec<WorkspaceId> = places.keys().copied().collect();
        let servers = match question.server {
            Some(slug) => {
                let (slug, within) = (slug.to_owned(), workspaces.clone());
                let called =
                    actors.store.analytics(move |db| async move { usage::servers_called(&db, &within, &slug).await });
                let mut known = called.await?;
                match servers::find(actors, by, question.server.unwrap_or_default()).await {
                    Ok(found) if !known.contains(&found.id) => known.push(found.id),
                    Err(unknown) if known.is_empty() => return Err(unknown),
                    _ => {}
                }
                Some(known)
            }
            None => None,
        };
        let which = Which {
            workspaces,
            tokens: people.chosen(question.user)?,
            servers,
            tools: question.tool.map(|tool| vec![tool.to_owned()]),
        };
        Ok(Asked { places, people, which, from, to })
    }

    /// The calls that are to be counted.
    pub fn filter(&self) -> UsageFilter {
        UsageFilter { which: self.which.clone(), span: Span::holding(self.from, self.to, clock::now()) }
    }

    /// The slug of a workspace that was asked about.
    pub fn place(&self, workspace: WorkspaceId) -> String {
        self.places.get(&workspace).cloned().unwrap_or_default()
    }
}

/// The workspace of that slug, or all of the namespace.
async fn places(actors: &Actors, by: &Principal, slug: Option<&str>) -> Result<BTreeMap<WorkspaceId, String>> {
    let found = match slug {
        Some(slug) => vec![workspaces::find(actors, by, slug).await?],
        None => {
            let namespace = by.namespace;
            actors.store.read(move |db| async move { records::list(&db, namespace).await }).await?
        }
    };
    Ok(found.into_iter().map(|record| (record.id, record.slug.to_string())).collect())
}

/// From when to when: `period` back from now, or `from` and `to`. Nothing is older than what is kept.
fn stretch(actors: &Actors, question: Question<'_>) -> Result<(Timestamp, Timestamp)> {
    let now = clock::now();
    let (from, to) = match (question.period, question.from, question.to) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
            return Err(err::validation("Give either a period, or from and to"));
        }
        (None, None, Some(_)) => return Err(err::validation("Give from as well as to")),
        (None, Some(from), to) => (period::moment(from)?, to.map_or(Ok(now), period::moment)?),
        (period, None, None) => {
            let seconds = period::parse(period.unwrap_or(PERIOD))?;
            let back = i64::try_from(seconds).ok().and_then(TimeDelta::try_seconds).unwrap_or_default();
            (now - back, now)
        }
    };
    if from >= to {
        return Err(err::validation("from must be before to"));
    }
    let oldest = now - TimeDelta::days(i64::from(actors.config.analytics.retention_days));
    // A stretch that is over before anything was kept has nothing in it, but is a stretch.
    Ok((from.max(oldest), to.clamp(oldest + TimeDelta::seconds(1), now + TimeDelta::days(1))))
}

/// A time zone that there is.
pub fn zone(utc_offset_minutes: i32) -> Result<()> {
    match (-FARTHEST..=FARTHEST).contains(&utc_offset_minutes) {
        true => Ok(()),
        false => Err(err::validation(format!("A time zone is at most {FARTHEST} minutes from UTC"))),
    }
}

/// A workspace named by the path is not named by the query as well.
pub fn only_in<'q>(path: &'q str, query: Option<&str>) -> Result<Option<&'q str>> {
    match query {
        Some(_) => Err(Error::new(ErrorCode::InvalidRequest, "The path names the workspace already")),
        None => Ok(Some(path)),
    }
}

/// Who is behind the tokens of workspaces, as far as the caller may know.
pub struct People {
    tokens: HashMap<TokenId, TokenRecord>,
    everybody: bool,
}

impl People {
    /// Administrators know everybody, others themselves.
    pub async fn of(actors: &Actors, by: &Principal, workspaces: Vec<WorkspaceId>) -> Result<Self> {
        let everybody = by.role >= Role::Admin;
        let account = by.account;
        let read = actors.store.read(move |db| async move {
            let mut all = Vec::new();
            for workspace in workspaces {
                all.extend(tokens::list(&db, workspace).await?);
            }
            Ok(all)
        });
        let mut tokens = read.await?;
        if !everybody {
            tokens.retain(|token| token.member == Some(account));
        }
        Ok(People { tokens: tokens.into_iter().map(|token| (token.id, token)).collect(), everybody })
    }

    /// The tokens that the caller may know of.
    pub fn tokens(&self) -> impl Iterator<Item = &TokenRecord> {
        self.tokens.values()
    }

    /// Whether a token was there when this was read.
    pub fn knows(&self, token: TokenId) -> bool {
        self.tokens.contains_key(&token)
    }

    /// The name calls with this token are shown under.
    pub fn name(&self, token: TokenId) -> String {
        self.tokens.get(&token).map_or_else(|| token.to_string(), |known| known.name.clone())
    }

    /// The members that tokens belong to.
    pub fn members(&self) -> BTreeSet<AccountId> {
        self.tokens.values().filter_map(|token| token.member).collect()
    }

    /// The tokens of whom `fits` says so, by their name and the member they belong to.
    pub fn tokens_of(&self, fits: impl Fn(&str, Option<AccountId>) -> bool) -> Vec<TokenId> {
        self.tokens.values().filter(|token| fits(&token.name, token.member)).map(|token| token.id).collect()
    }

    /// The tokens to count: those of `user`, or all the caller may see (`None`: of everybody, deleted ones too).
    pub fn chosen(&self, user: Option<&str>) -> Result<Option<Vec<TokenId>>> {
        let Some(user) = user else { return Ok((!self.everybody).then(|| self.tokens_of(|_, _| true))) };
        let found = self.tokens_of(|name, _| name == user);
        match (found.is_empty(), self.everybody) {
            (false, _) => Ok(Some(found)),
            (true, true) => {
                Err(err::not_found(near::no_such("user", user, self.tokens.values().map(|t| t.name.as_str()))))
            }
            (true, false) => Err(err::forbidden("Only administrators see the calls of others")),
        }
    }
}
