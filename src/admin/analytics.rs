//! Who called which tool how often, from the merged statistics.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::{
    HttpResponse,
    web::{self, Path},
};
use chrono::TimeDelta;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    actors::Actors,
    admin::{
        Admin,
        auth::Caller,
        dto::{Usage, UsageRow},
        openapi::Problems,
        reply::Reply,
        request::Query,
        servers, workspaces,
    },
    domain::{
        clock::{self, Timestamp},
        ids::{AccountId, TokenId, WorkspaceId},
        near, period,
        role::{Principal, Role},
    },
    error::{Result, err},
    store::{
        tokens::{self, TokenRecord},
        usage::{self, Figures, UsageFilter, UsageKey},
    },
};

/// Which calls to count.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UsageQuery {
    /// How far back: `24h`, `7d` (default), `30d`, …
    pub period: Option<String>,
    /// Only calls of this person or token.
    pub user: Option<String>,
    /// Only calls to this MCP server.
    pub server: Option<String>,
}

/// Counts calls. Administrators see everybody's, others their own.
pub async fn usage(actors: &Actors, by: &Principal, slug: &str, query: UsageQuery) -> Result<Usage> {
    by.require(Role::Viewer)?;
    let workspace = workspaces::find(actors, by, slug).await?;
    let people = People::of(actors, by, workspace.id).await?;
    let (from, to) = span(query.period.as_deref())?;
    let server = match &query.server {
        Some(slug) => Some(servers::find(actors, by, slug).await?.id),
        None => None,
    };
    let filter =
        UsageFilter { workspace: workspace.id, tokens: people.chosen(query.user.as_deref())?, server, from, to };
    let counted = actors.store.analytics(move |db| async move { usage::usage(&db, filter).await }).await?;
    Ok(Usage { data: rows(&people, counted), next_cursor: None, from, to })
}

fn span(text: Option<&str>) -> Result<(Timestamp, Timestamp)> {
    let seconds = period::parse(text.unwrap_or("7d"))?;
    let to = clock::now();
    let back = i64::try_from(seconds).ok().and_then(TimeDelta::try_seconds).unwrap_or_default();
    Ok((to - back, to))
}

/// One row for each person and tool: tokens that followed one another under a name count together.
fn rows(people: &People, counted: Vec<(UsageKey, Figures)>) -> Vec<UsageRow> {
    let mut rows: BTreeMap<(String, String, String), UsageRow> = BTreeMap::new();
    for (key, figures) in counted {
        let user = people.name(key.token);
        let place = (user.to_lowercase(), user.clone(), key.tool.clone());
        let row = rows.entry(place).or_insert_with(|| UsageRow {
            user,
            tool: key.tool,
            server: key.server_slug,
            calls: 0,
            errors: 0,
            last_call: None,
        });
        row.calls += figures.calls;
        row.errors += figures.failures();
        row.last_call = row.last_call.max(figures.last_call());
    }
    rows.into_values().collect()
}

/// Who is behind the tokens of a workspace, as far as the caller may know.
pub struct People {
    tokens: Vec<TokenRecord>,
    everybody: bool,
}

impl People {
    /// Administrators know everybody, others themselves.
    pub async fn of(actors: &Actors, by: &Principal, workspace: WorkspaceId) -> Result<Self> {
        let everybody = by.role >= Role::Admin;
        let account = by.account;
        let mut tokens = actors.store.read(move |db| async move { tokens::list(&db, workspace).await }).await?;
        if !everybody {
            tokens.retain(|token| token.member == Some(account));
        }
        Ok(People { tokens, everybody })
    }
    /// Whether a token was there when this was read.
    pub fn knows(&self, token: TokenId) -> bool {
        self.tokens.iter().any(|known| known.id == token)
    }
    /// The name calls with this token are shown under.
    pub fn name(&self, token: TokenId) -> String {
        let found = self.tokens.iter().find(|known| known.id == token);
        found.map_or_else(|| token.to_string(), |known| known.name.clone())
    }
    /// The members that tokens belong to.
    pub fn members(&self) -> BTreeSet<AccountId> {
        self.tokens.iter().filter_map(|token| token.member).collect()
    }
    /// The tokens of whom `fits` says so, by their name and the member they belong to.
    pub fn tokens_of(&self, fits: impl Fn(&str, Option<AccountId>) -> bool) -> Vec<TokenId> {
        self.tokens.iter().filter(|token| fits(&token.name, token.member)).map(|token| token.id).collect()
    }
    /// The tokens to count: those of `user`, or all the caller may see (`None`: of everybody, deleted ones too).
    pub fn chosen(&self, user: Option<&str>) -> Result<Option<Vec<TokenId>>> {
        let Some(user) = user else { return Ok((!self.everybody).then(|| self.tokens_of(|_, _| true))) };
        let found = self.tokens_of(|name, _| name == user);
        match (found.is_empty(), self.everybody) {
            (false, _) => Ok(Some(found)),
            (true, true) => {
                Err(err::not_found(near::no_such("user", user, self.tokens.iter().map(|t| t.name.as_str()))))
            }
            (true, false) => Err(err::forbidden("Only administrators see the calls of others")),
        }
    }
}

/// Who called which tool, how often
#[utoipa::path(get, path = "/api/v1/admin/workspaces/{slug}/analytics", tag = "analytics",
    params(("slug" = String, Path), UsageQuery), responses((status = 200, body = Usage), Problems))]
pub async fn usage_route(admin: web::Data<Admin>, by: Caller, slug: Path<String>, query: Query<UsageQuery>) -> Reply {
    Ok(HttpResponse::Ok().json(usage(&admin.actors, &by.0, &slug, query.0).await?))
}
