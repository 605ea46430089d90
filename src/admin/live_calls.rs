//! The calls of a workspace as they end, for as long as somebody watches. Administrators see everybody's, others their
//! own. Who watches is looked up again before anything is shown: a key that was revoked, a session that ended, another
//! role or a workspace that is gone end the stream.

use std::{future::ready, sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    body::BodyStream,
    http::header,
    web::{self, Path},
};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    actors::{
        Actors,
        call_feed::{Came, Watched, Watching},
    },
    admin::{
        Admin,
        asked::People,
        auth::Caller,
        calls,
        dto::{Call, MissedCalls},
        openapi::Problems,
        reply::Reply,
        request::Query,
        servers, workspaces,
    },
    domain::{
        ids::WorkspaceId,
        role::{Principal, Role},
    },
    error::{Error, ErrorCode, Result},
    protocol::{headers::EVENT_STREAM, sse},
};

/// Which calls to watch.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LiveQuery {
    /// Only calls of this person or token.
    pub user: Option<String>,
    /// Only calls to this MCP server.
    pub server: Option<String>,
    /// Only calls of this tool.
    pub tool: Option<String>,
    /// Only calls that failed.
    #[serde(default)]
    pub failed: bool,
}

/// What came: first the calls, in the order they ended, then how many did not fit into the queue. Both may be nothing:
/// then only time has passed.
#[derive(Debug, Default)]
pub struct Seen {
    /// Calls that ended.
    pub calls: Vec<Call>,
    /// Calls that ended and were not kept for a reader that was too slow (those of other users than the one asked for
    /// are counted, too).
    pub missed: u64,
}

/// Somebody who watches.
pub struct LiveCalls {
    actors: Arc<Actors>,
    by: Principal,
    slug: String,
    workspace: WorkspaceId,
    user: Option<String>,
    people: People,
    watching: Watching,
}

impl LiveCalls {
    /// Begins to watch: every call that ends after this is seen.
    pub async fn open(actors: &Arc<Actors>, by: &Principal, slug: &str, query: LiveQuery) -> Result<Self> {
        by.require(Role::Viewer)?;
        let workspace = workspaces::find(actors, by, slug).await?.id;
        let people = People::of(actors, by, vec![workspace]).await?;
        people.chosen(query.user.as_deref())?;
        let server = match &query.server {
            Some(slug) => Some(servers::find(actors, by, slug).await?.id),
            None => None,
        };
        let account = (by.role < Role::Admin).then_some(by.account);
        let watched = Watched { workspace, account, server, tool: query.tool, failed: query.failed };
        let watching = actors.feed.watch(by.account, watched)?;
        Ok(LiveCalls {
            actors: actors.clone(),
            by: by.clone(),
            slug: slug.to_owned(),
            workspace,
            user: query.user,
            people,
            watching,
        })
    }

    /// What came next, or nothing after `analytics.live_check_seconds`. `None`: it is over.
    pub async fn next(&mut self) -> Option<Seen> {
        let wait = Duration::from_secs(self.actors.config.analytics.live_check_seconds.max(1));
        let came = match actix_web::rt::time::timeout(wait, self.watching.next()).await {
            Ok(came) => came?,
            Err(_nothing_came) => Came::default(),
        };
        match self.seen(came).await {
            Ok(seen) => seen,
            Err(error) => {
                tracing::debug!(%error, "a stream of calls ends");
                None
            }
        }
    }

    async fn seen(&mut self, came: Came) -> Result<Option<Seen>> {
        let now = self.actors.tokens.still(&self.by).await?;
        let Some(now) = now.filter(|now| now.role == self.by.role) else { return Ok(None) };
        if workspaces::find(&self.actors, &now, &self.slug).await?.id != self.workspace {
            return Ok(None);
        }
        if came.calls.iter().any(|call| !self.people.knows(call.token)) {
            self.people = People::of(&self.actors, &now, vec![self.workspace]).await?;
        }
        let calls = came.calls.into_iter().map(|call| calls::dto(&self.people, self.slug.clone(), call.into()));
        let calls = calls.filter(|call| self.user.as_ref().is_none_or(|user| call.user == *user)).collect();
        Ok(Some(Seen { calls, missed: came.missed }))
    }
}

/// What came, as events; when nothing came, a comment that keeps the connection.
fn events(seen: &Seen) -> Bytes {
    let mut out = BytesMut::new();
    for call in &seen.calls {
        let data = serde_json::to_vec(call).unwrap_or_default();
        sse::encode_event(&mut out, Some("call"), Some(&call.id), &data);
    }
    if seen.missed > 0 {
        let data = serde_json::to_vec(&MissedCalls { missed: seen.missed }).unwrap_or_default();
        sse::encode_event(&mut out, Some("missed"), None, &data);
    }
    if out.is_empty() {
        return Bytes::from_static(sse::KEEP_ALIVE);
    }
    out.freeze()
}

/// Whoever does not ask for events would wait for an end that never comes.
fn require_events(request: &HttpRequest) -> Result<()> {
    let accepted = request.headers().get_all(header::ACCEPT).filter_map(|value| value.to_str().ok());
    if accepted.flat_map(|value| value.split(',')).any(|one| one.trim().starts_with(EVENT_STREAM)) {
        return Ok(());
    }
    Err(Error::new(ErrorCode::NotAcceptable, "This is a stream of events that does not end")
        .with_hint("ask for it with the header Accept: text/event-stream; GET …/calls lists calls that have ended"))
}

/// Watch calls as they end
///
/// Asked for with `Accept: text/event-stream`. Each `call` event has the call's id and, as data, a `Call` as in the list
/// of calls, a moment after it ended. A `missed` event (`MissedCalls`) says that so many calls between the event before and
/// the next one were left out, because they were not read fast enough. Comments in between keep the connection. The stream
/// ends when the key is revoked or expires, the session ends, the role changes, the workspace is gone, or the gateway
/// stops.
#[utoipa::path(get, path = "/api/v1/admin/workspaces/{slug}/calls/stream", tag = "analytics",
    params(("slug" = String, Path), LiveQuery),
    responses((status = 200, description = "Events, until one of the two ends it", body = String, content_type = "text/event-stream"), Problems))]
pub async fn stream_route(
    admin: web::Data<Admin>,
    by: Caller,
    slug: Path<String>,
    query: Query<LiveQuery>,
    request: HttpRequest,
) -> Reply {
    let live = LiveCalls::open(&admin.actors, &by.0, &slug, query.0).await?;
    require_events(&request)?;
    let began = stream::once(ready(Bytes::from_static(sse::KEEP_ALIVE)));
    let came = stream::unfold(live, |mut live| async move { Some((events(&live.next().await?), live)) });
    let body = BodyStream::new(Box::pin(began.chain(came).map(Ok::<_, actix_web::Error>)));
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, EVENT_STREAM))
        // No proxy may gather what is to arrive at once.
        .insert_header(("x-accel-buffering", "no"))
        .body(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_a_comment_and_what_was_missed_is_counted() {
        assert_eq!(&events(&Seen::default())[..], sse::KEEP_ALIVE);
        let missed = events(&Seen { calls: Vec::new(), missed: 3 });
        assert_eq!(&missed[..], b"event: missed\ndata: {\"missed\":3}\n\n");
    }
}
