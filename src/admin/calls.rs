//! Single calls, newest first: what stands behind every figure. Administrators see everybody's, others their own.

use actix_web::{
    HttpResponse,
    web::{self, Path},
};
use chrono::Weekday;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    actors::Actors,
    admin::{
        Admin,
        asked::{self, Asked, People, Question, only_in},
        auth::Caller,
        csv::{self, Format},
        dto::{Call, Page},
        openapi::Problems,
        reply::Reply,
        request::{Query, cut, decode_cursor, encode_cursor, newest},
    },
    domain::{clock, ids::CallId, role::Principal, span::WeekHour},
    error::{Error, ErrorCode, Result, err},
    store::{
        analytics::Outcome,
        calls::{self, CallFilter, CallRecord, Ended},
    },
};

/// What is kept is older than nothing before that.
const EVERYTHING: &str = "1970-01-01";

/// How calls ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WantedOutcome {
    /// With a result.
    Ok,
    /// Either way that is no success.
    Failed,
    /// The tool said that it failed.
    ToolError,
    /// With a JSON-RPC error.
    Error,
}

impl From<WantedOutcome> for Ended {
    fn from(wanted: WantedOutcome) -> Self {
        match wanted {
            WantedOutcome::Ok => Ended::Ok,
            WantedOutcome::Failed => Ended::Failed,
            WantedOutcome::ToolError => Ended::ToolError,
            WantedOutcome::Error => Ended::Error,
        }
    }
}

/// Which calls to show.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CallQuery {
    /// Only in this workspace (where the path names none).
    pub workspace: Option<String>,
    /// Only calls of this person or token.
    pub user: Option<String>,
    /// Only calls to this MCP server.
    pub server: Option<String>,
    /// Only calls of this tool.
    pub tool: Option<String>,
    /// `ok`, `failed`, `tool_error` or `error`.
    #[param(inline)]
    pub outcome: Option<WantedOutcome>,
    /// Only calls in this hour of the day, 0 to 23, of `weekday`: those behind a cell of the heat map.
    pub hour: Option<u32>,
    /// The day of `hour`: `mon` to `sun`.
    pub weekday: Option<String>,
    /// Minutes by which the time zone of `hour` and `weekday` is ahead of UTC.
    #[serde(default)]
    pub utc_offset_minutes: i32,
    /// The same as `outcome=failed`; with `outcome=tool_error` or `error` nothing is added.
    #[serde(default)]
    pub failed: bool,
    /// How far back: `1h`, `24h`, `7d`, …; everything that is kept unless given.
    pub period: Option<String>,
    /// Instead of `period`: not before this moment (RFC 3339, or a day).
    pub from: Option<String>,
    /// Another name of `from`.
    pub since: Option<String>,
    /// Before this moment; now unless given.
    pub to: Option<String>,
    /// At most so many: 50 unless given, at most 1000.
    pub limit: Option<u64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// `json` or `csv`.
    #[serde(default)]
    #[param(inline)]
    pub format: Format,
}

/// The cell of the heat map that is asked for.
fn cell(query: &CallQuery) -> Result<Option<WeekHour>> {
    let utc_offset_minutes = query.utc_offset_minutes;
    asked::zone(utc_offset_minutes)?;
    let (hour, day) = match (query.hour, &query.weekday) {
        (None, None) => return Ok(None),
        (Some(hour), Some(day)) => (hour, day),
        _ => return Err(err::validation("Give hour and weekday together")),
    };
    let day: Weekday =
        day.parse().map_err(|_odd| err::validation("weekday is one of mon, tue, wed, thu, fri, sat, sun"))?;
    if hour > 23 {
        return Err(err::validation("hour is 0 to 23"));
    }
    Ok(Some(WeekHour { hour: i64::from(day.num_days_from_monday() * 24 + hour), utc_offset_minutes }))
}

/// The calls that fit. `workspace`: of one; none: of all that the namespace has.
pub async fn list(actors: &Actors, by: &Principal, workspace: Option<&str>, query: &CallQuery) -> Result<Page<Call>> {
    let from = match (&query.from, &query.since) {
        (Some(_), Some(_)) => return Err(err::validation("Give from or since, not both")),
        (from, since) => from.as_deref().or(since.as_deref()),
    };
    let question = Question {
        workspace,
        user: query.user.as_deref(),
        server: query.server.as_deref(),
        tool: query.tool.as_deref(),
        period: query.period.as_deref(),
        from: if query.period.is_none() { from.or(Some(EVERYTHING)) } else { from },
        to: query.to.as_deref(),
    };
    let asked = Asked::of(actors, by, question).await?;
    let ended = match (query.outcome, query.failed) {
        (Some(WantedOutcome::Ok), true) => {
            return Err(err::validation("No call ended well and failed: give outcome=ok or failed=true, not both"));
        }
        (Some(wanted), _) => Some(wanted.into()),
        (None, true) => Some(Ended::Failed),
        (None, false) => None,
    };
    let odd = |_| Error::new(ErrorCode::InvalidRequest, "The cursor is not one of ours");
    let before = query.cursor.as_deref().map(decode_cursor).transpose()?;
    let before = before.map(|text| text.parse::<CallId>().map_err(odd)).transpose()?;
    let limit = newest(query.limit);
    let latest = CallFilter::newest(asked.which.clone(), (asked.from, asked.to), limit + 1);
    let filter = CallFilter { ended, cell: cell(query)?, before, ..latest };
    let read = actors.store.analytics(move |db| async move { calls::calls(&db, &filter, clock::now()).await });
    let mut found = read.await?;
    let more = cut(&mut found, limit);
    let next_cursor = found.last().filter(|_| more).map(|call| encode_cursor(&call.call.to_string()));
    let shown = found.into_iter().map(|call| dto(&asked.people, asked.place(call.workspace), call));
    Ok(Page { data: shown.collect(), next_cursor })
}

/// What an error's code means: those of JSON-RPC, and those that the gateway answers for servers. Others are whatever a
/// server means by them.
fn meaning(code: i32) -> Option<&'static str> {
    let known = matches!(code, -32700..=-32600 | -32019..=-32010);
    ErrorCode::ALL.iter().find(|kind| known && kind.rpc() == code).map(|kind| kind.title())
}

/// A call as the caller may see it; `workspace` is the slug of where it was.
pub(super) fn dto(people: &People, workspace: String, call: CallRecord) -> Call {
    let (outcome, code) = match call.outcome {
        Outcome::Ok => ("ok", None),
        Outcome::ToolError => ("tool_error", None),
        Outcome::Error(code) => ("error", Some(code)),
    };
    Call {
        id: call.call.to_string(),
        at: call.at,
        workspace,
        user: people.name(call.token),
        tool: call.tool,
        server: call.server_slug,
        client: call.client,
        era: call.era,
        outcome: outcome.to_owned(),
        error_code: code,
        error: code.and_then(meaning).map(str::to_owned),
        latency_us: call.latency_us,
        upstream_us: call.upstream_us,
        bytes_in: call.bytes_in,
        bytes_out: call.bytes_out,
    }
}

const COLUMNS: [&str; 14] = [
    "id",
    "at",
    "workspace",
    "user",
    "tool",
    "server",
    "client",
    "era",
    "outcome",
    "error_code",
    "latency_us",
    "upstream_us",
    "bytes_in",
    "bytes_out",
];

fn reply(page: Page<Call>, format: Format) -> Reply {
    if format == Format::Json {
        return Ok(HttpResponse::Ok().json(page));
    }
    let rows = page.data.into_iter().map(|call| {
        let numbers = [call.latency_us, call.upstream_us, call.bytes_in, call.bytes_out].map(|n| n.to_string());
        let code = call.error_code.map(|code| code.to_string()).unwrap_or_default();
        let (at, who) = (csv::moment(Some(call.at)), [call.workspace, call.user, call.tool, call.server, call.client]);
        let mut row = vec![call.id, at];
        row.extend(who);
        row.extend([call.era, call.outcome, code]);
        row.extend(numbers);
        row
    });
    csv::answer("calls", &COLUMNS, rows, page.next_cursor)
}

/// List single calls of a workspace
#[utoipa::path(get, path = "/api/v1/admin/workspaces/{slug}/calls", tag = "analytics",
    params(("slug" = String, Path), CallQuery),
    responses((status = 200, content((Page<Call> = "application/json"), (String = "text/csv"))), Problems))]
pub async fn list_route(admin: web::Data<Admin>, by: Caller, slug: Path<String>, query: Query<CallQuery>) -> Reply {
    let place = only_in(&slug, query.0.workspace.as_deref())?;
    reply(list(&admin.actors, &by.0, place, &query.0).await?, query.0.format)
}

/// List single calls of all workspaces
#[utoipa::path(get, path = "/api/v1/admin/calls", tag = "analytics", params(CallQuery),
    responses((status = 200, content((Page<Call> = "application/json"), (String = "text/csv"))), Problems))]
pub async fn all_route(admin: web::Data<Admin>, by: Caller, query: Query<CallQuery>) -> Reply {
    reply(list(&admin.actors, &by.0, query.0.workspace.as_deref(), &query.0).await?, query.0.format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_explained_if_it_is_ours_or_everybodys() {
        assert_eq!(meaning(-32011), Some("MCP server timed out"));
        assert_eq!(meaning(-32602), Some("Invalid parameters"));
        // Servers use these as they like; the gateway answers with them only before a call has a server.
        assert_eq!((meaning(-32000), meaning(-32050), meaning(1)), (None, None, None));
    }
}
