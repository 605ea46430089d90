//! The single calls of a workspace, newest first. Administrators see everybody's, others their own.

use actix_web::{
    HttpResponse,
    web::{self, Path},
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    actors::Actors,
    admin::{
        Admin,
        analytics::People,
        auth::Caller,
        dto::{Call, Page},
        openapi::Problems,
        reply::Reply,
        request::{Query, cut, decode_cursor, encode_cursor, newest},
        servers, workspaces,
    },
    domain::{
        clock::{self, Timestamp},
        ids::CallId,
        role::{Principal, Role},
    },
    error::{Error, ErrorCode, Result},
    store::{
        analytics::Outcome,
        usage::{self, CallFilter, CallRecord, UsageFilter},
    },
};

/// Which calls to show.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CallQuery {
    /// Only calls of this person or token.
    pub user: Option<String>,
    /// Only calls to this MCP server.
    pub server: Option<String>,
    /// Only calls of this tool.
    pub tool: Option<String>,
    /// Only calls that failed.
    #[serde(default)]
    pub failed: bool,
    /// Not before this moment.
    #[param(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// At most so many: 50 unless given, at most 1000.
    pub limit: Option<u64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// The calls that fit.
pub async fn list(actors: &Actors, by: &Principal, slug: &str, query: CallQuery) -> Result<Page<Call>> {
    by.require(Role::Viewer)?;
    let workspace = workspaces::find(actors, by, slug).await?.id;
    let people = People::of(actors, by, workspace).await?;
    let server = match &query.server {
        Some(slug) => Some(servers::find(actors, by, slug).await?.id),
        None => None,
    };
    let odd = |_| Error::new(ErrorCode::InvalidRequest, "The cursor is not one of ours");
    let before = query.cursor.as_deref().map(decode_cursor).transpose()?;
    let before = before.map(|text| text.parse::<CallId>().map_err(odd)).transpose()?;
    let limit = newest(query.limit);
    let usage = UsageFilter {
        workspace,
        tokens: people.chosen(query.user.as_deref())?,
        server,
        from: query.since.unwrap_or(Timestamp::UNIX_EPOCH),
        to: clock::now(),
    };
    let filter = CallFilter { usage, tool: query.tool, failed: query.failed, before, limit: limit + 1 };
    let mut found = actors.store.analytics(move |db| async move { usage::calls(&db, filter).await }).await?;
    let more = cut(&mut found, limit);
    let next_cursor = found.last().filter(|_| more).map(|call| encode_cursor(&call.call.to_string()));
    Ok(Page { data: found.into_iter().map(|call| dto(&people, call)).collect(), next_cursor })
}

/// A call as the caller may see it.
pub(super) fn dto(people: &People, call: CallRecord) -> Call {
    let (outcome, code) = match call.outcome {
        Outcome::Ok => ("ok", None),
        Outcome::ToolError => ("tool_error", None),
        Outcome::Error(code) => ("error", Some(code)),
    };
    Call {
        id: call.call.to_string(),
        at: call.at,
        user: people.name(call.token),
        tool: call.tool,
        server: call.server_slug,
        client: call.client,
        era: call.era,
        outcome: outcome.to_owned(),
        error_code: code,
        latency_us: call.latency_us,
        upstream_us: call.upstream_us,
        bytes_in: call.bytes_in,
        bytes_out: call.bytes_out,
    }
}

/// List single calls
#[utoipa::path(get, path = "/api/v1/admin/workspaces/{slug}/calls", tag = "analytics",
    params(("slug" = String, Path), CallQuery), responses((status = 200, body = Page<Call>), Problems))]
pub async fn list_route(admin: web::Data<Admin>, by: Caller, slug: Path<String>, query: Query<CallQuery>) -> Reply {
    Ok(HttpResponse::Ok().json(list(&admin.actors, &by.0, &slug, query.0).await?))
}
