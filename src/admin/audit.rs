//! The audit log of a workspace: administrative acts and installations from the tamper-evident log, tool calls merged
//! in by time from the analytics.

use std::collections::HashMap;

use actix_web::{
    HttpResponse,
    web::{self, Path},
};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::IntoParams;

use crate::{
    actors::Actors,
    admin::{
        Admin,
        asked::People,
        auth::Caller,
        csv::{self, Format},
        dto::{AuditChange, AuditEntry, Page},
        openapi::Problems,
        reply::Reply,
        request::{Query, cut, decode_cursor, encode_cursor, newest},
        workspaces,
    },
    domain::{
        clock::{self, Timestamp},
        ids::{AccountId, CallId, TokenId, WorkspaceId},
        role::{Principal, Role},
    },
    error::{Error, ErrorCode, Result},
    store::{
        accounts,
        audit::{self, AuditFilter, AuditKind, AuditRecord},
        calls::{self, CallFilter, CallRecord},
        usage::Which,
    },
};

const TOOL_CALL: &str = "tool_call";

/// Which acts to show.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// `admin`, `install`, `call` or `security`; left out: the first three.
    pub kind: Option<String>,
    /// Only acts of this person or token.
    pub user: Option<String>,
    /// Only this action.
    pub action: Option<String>,
    /// Only the entry at this position, of whatever kind.
    pub seq: Option<u64>,
    /// Not before this moment.
    #[param(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// At most so many: 50 unless given, at most 1000.
    pub limit: Option<u64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// `json` or `csv`.
    #[serde(default)]
    #[param(inline)]
    pub format: Format,
}

/// Which page: before which entry, and before which moment calls are merged in.
struct Before {
    seq: Option<u64>,
    call: Option<CallId>,
    moment: Timestamp,
}

impl Before {
    fn now() -> Self {
        Before { seq: None, call: None, moment: clock::now() }
    }
    fn decode(cursor: &str) -> Result<Self> {
        let text = decode_cursor(cursor)?;
        let odd = || Error::new(ErrorCode::InvalidRequest, "The cursor is not one of ours");
        if let Ok(call) = text.parse::<CallId>() {
            return Ok(Before { call: Some(call), ..Before::now() });
        }
        let (seq, ms) = text.split_once('.').ok_or_else(odd)?;
        let moment = ms.parse().ok().and_then(Timestamp::from_timestamp_millis).ok_or_else(odd)?;
        Ok(Before { seq: Some(seq.parse().map_err(|_text| odd())?), call: None, moment })
    }
}

/// The newest acts first. Tool calls are merged in by time, at most as many as entries were asked for, so that a busy
/// workspace's calls never push its administrative acts off the page; `kind=call` pages through all of them.
pub async fn list(actors: &Actors, by: &Principal, slug: &str, query: AuditQuery) -> Result<Page<AuditEntry>> {
    by.require(Role::Admin)?;
    let workspace = workspaces::find(actors, by, slug).await?.id;
    let limit = newest(query.limit);
    let before = query.cursor.as_deref().map_or_else(|| Ok(Before::now()), Before::decode)?;
    let callers = Callers::of(actors, by, workspace).await?;
    if query.kind.as_deref() == Some("call") {
        let mut found = merged(
            actors,
            &callers,
            workspace,
            &query,
            (query.since.unwrap_or(Timestamp::UNIX_EPOCH), &before),
            limit + 1,
        )
        .await?;
        let more = cut(&mut found, limit);
        let next_cursor = found.last().filter(|_| more).map(|call| encode_cursor(&call.call.to_string()));
        return Ok(Page { data: found.into_iter().map(|call| callers.dto(call)).collect(), next_cursor });
    }
    let filter = AuditFilter {
        workspace: Some(workspace),
        kinds: if query.seq.is_some() { Vec::new() } else { kinds(query.kind.as_deref())? },
        actor: query.user.clone(),
        action: query.action.clone(),
        since: query.since,
        before: before.seq,
        seq: query.seq,
        ..AuditFilter::newest(by.namespace, limit + 1)
    };
    let mut records = actors.store.read(move |db| async move { audit::list(&db, filter).await }).await?;
    let more = cut(&mut records, limit);
    let oldest = records.last().filter(|_| more).map(|record| (record.seq, record.entry.at));
    let mut data: Vec<AuditEntry> = Vec::new();
    if query.kind.is_none() && query.seq.is_none() && query.action.as_deref().is_none_or(|action| action == TOOL_CALL) {
        let from = oldest.map(|(_, at)| at).max(query.since).unwrap_or(Timestamp::UNIX_EPOCH);
        let found = merged(actors, &callers, workspace, &query, (from, &before), limit).await?;
        data.extend(found.into_iter().map(|call| callers.dto(call)));
    }
    data.extend(records.into_iter().map(dto));
    data.sort_by_key(|entry| std::cmp::Reverse(entry.at));
    let next_cursor = oldest.map(|(seq, at)| encode_cursor(&format!("{seq}.{}", at.timestamp_millis())));
    Ok(Page { data, next_cursor })
}

/// The newest acts of the whole namespace first, those that belong to no workspace included. Tool calls are in the logs
/// of workspaces.
pub async fn of_namespace(actors: &Actors, by: &Principal, query: AuditQuery) -> Result<Page<AuditEntry>> {
    by.require(Role::Admin)?;
    let limit = newest(query.limit);
    let before = query.cursor.as_deref().map_or_else(|| Ok(Before::now()), Before::decode)?;
    if query.kind.as_deref() == Some("call") {
        return Err(Error::new(ErrorCode::InvalidRequest, "Tool calls are in the logs of workspaces")
            .with_hint("aerostack workspace audit NAME --kind call"));
    }
    let all = [AuditKind::Admin, AuditKind::Install, AuditKind::Security];
    let kinds = if query.kind.is_some() { kinds(query.kind.as_deref())? } else { all.to_vec() };
    let filter = AuditFilter {
        kinds,
        actor: query.user,
        action: query.action,
        since: query.since,
        before: before.seq,
        seq: query.seq,
        ..AuditFilter::newest(by.namespace, limit + 1)
    };
    let mut records = actors.store.read(move |db| async move { audit::list(&db, filter).await }).await?;
    let more = cut(&mut records, limit);
    let oldest = records.last().filter(|_| more);
    let next_cursor = oldest.map(|last| encode_cursor(&format!("{}.{}", last.seq, last.entry.at.timestamp_millis())));
    Ok(Page { data: records.into_iter().map(dto).collect(), next_cursor })
}

/// Who makes calls, as the log names people: the member whose token it is, else the token's name.
struct Callers {
    people: People,
    labels: HashMap<AccountId, String>,
}

impl Callers {
    async fn of(actors: &Actors, by: &Principal, workspace: WorkspaceId) -> Result<Self> {
        let people = People::of(actors, by, vec![workspace]).await?;
        let (members, namespace) = (people.members(), by.namespace);
        let labels = actors
            .store
            .read(move |db| async move {
                let mut labels = HashMap::new();
                let Some(namespace) = accounts::get(&db, namespace).await? else { return Ok(labels) };
                for id in members {
                    let account = accounts::get(&db, id).await?;
                    labels.extend(account.map(|account| (id, accounts::label(&account, &namespace))));
                }
                Ok(labels)
            })
            .await?;
        Ok(Callers { people, labels })
    }

    /// The tokens of `user`; `None`: everybody's. Somebody who only administers has none, and that is no error.
    fn tokens(&self, user: Option<&str>) -> Option<Vec<TokenId>> {
        let user = user?;
        let is_theirs = |member: AccountId| self.labels.get(&member).is_some_and(|label| label == user);
        Some(self.people.tokens_of(|name, member| name == user || member.is_some_and(is_theirs)))
    }

    fn dto(&self, call: CallRecord) -> AuditEntry {
        let member = call.account.and_then(|account| self.labels.get(&account));
        AuditEntry {
            at: call.at,
            actor: member.cloned().unwrap_or_else(|| self.people.name(call.token)),
            kind: "call".to_owned(),
            action: TOOL_CALL.to_owned(),
            target: call.tool.clone(),
            skill: Some(call.tool),
            request_id: None,
            times: None,
            seq: None,
            target_kind: None,
            address: None,
            changes: Vec::new(),
            detail: Map::new(),
        }
    }
}

async fn merged(
    actors: &Actors,
    callers: &Callers,
    workspace: WorkspaceId,
    query: &AuditQuery,
    (from, before): (Timestamp, &Before),
    limit: u64,
) -> Result<Vec<CallRecord>> {
    let tokens = callers.tokens(query.user.as_deref());
    let which = Which { tokens, ..Which::in_workspace(workspace) };
    let filter = CallFilter { before: before.call, ..CallFilter::newest(which, (from, before.moment), limit) };
    actors.store.analytics(move |db| async move { calls::calls(&db, &filter, clock::now()).await }).await
}

fn kinds(kind: Option<&str>) -> Result<Vec<AuditKind>> {
    let Some(kind) = kind else { return Ok(vec![AuditKind::Admin, AuditKind::Install]) };
    let known = kind.parse().map(|kind| vec![kind]);
    known.map_err(|()| {
        Error::new(ErrorCode::InvalidRequest, "No such kind of act").with_hint("admin, install, call or security")
    })
}

fn dto(record: AuditRecord) -> AuditEntry {
    let entry = record.entry;
    let skill = (entry.target_kind == "skill").then(|| entry.target.clone());
    let mut detail = entry.detail;
    let mut text = |name: &str| Some(detail.remove(name)?.as_str()?.to_owned());
    let (request_id, address) = (text("request_id"), text(audit::ADDRESS));
    let times = detail.remove("times").and_then(|value| value.as_u64());
    AuditEntry {
        at: entry.at,
        times,
        seq: Some(record.seq),
        target_kind: Some(entry.target_kind),
        address,
        changes: changes(detail.remove(audit::CHANGED)),
        detail,
        kind: entry.kind.as_str().to_owned(),
        request_id,
        actor: entry.actor,
        action: entry.action,
        target: entry.target,
        skill,
    }
}

/// What was changed, as it is written down.
fn changes(written: Option<Value>) -> Vec<AuditChange> {
    let said = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let Some(Value::Object(fields)) = written else { return Vec::new() };
    let change = |(field, both): (String, Value)| match both.as_array().map(Vec::as_slice) {
        Some([before, after]) => Some(AuditChange { field, before: said(before), after: said(after) }),
        _ => None,
    };
    fields.into_iter().filter_map(change).collect()
}

const COLUMNS: [&str; 8] = ["at", "actor", "kind", "action", "target", "skill", "request_id", "times"];

fn reply(page: Page<AuditEntry>, format: Format) -> Reply {
    if format == Format::Json {
        return Ok(HttpResponse::Ok().json(page));
    }
    let rows = page.data.into_iter().map(|entry| {
        let (skill, request) = (entry.skill.unwrap_or_default(), entry.request_id.unwrap_or_default());
        let (at, times) = (csv::moment(Some(entry.at)), csv::number(entry.times));
        vec![at, entry.actor, entry.kind, entry.action, entry.target, skill, request, times]
    });
    csv::answer("audit", &COLUMNS, rows, page.next_cursor)
}

/// Who did what
#[utoipa::path(get, path = "/api/v1/admin/workspaces/{slug}/audit", tag = "audit", params(("slug" = String, Path), AuditQuery),
    responses((status = 200, content((Page<AuditEntry> = "application/json"), (String = "text/csv"))), Problems))]
pub async fn list_route(admin: web::Data<Admin>, by: Caller, slug: Path<String>, query: Query<AuditQuery>) -> Reply {
    let format = query.0.format;
    reply(list(&admin.actors, &by.0, &slug, query.0).await?, format)
}

/// Who did what in the namespace
#[utoipa::path(get, path = "/api/v1/admin/audit", tag = "audit", params(AuditQuery),
    responses((status = 200, content((Page<AuditEntry> = "application/json"), (String = "text/csv"))), Problems))]
pub async fn namespace_route(admin: web::Data<Admin>, by: Caller, query: Query<AuditQuery>) -> Reply {
    let format = query.0.format;
    reply(of_namespace(&admin.actors, &by.0, query.0).await?, format)
}
