//! What a client wants to hear of: `subscriptions/listen` of 2026-07-28; `resources/subscribe`, `resources/unsubscribe`
//! and `logging/setLevel` of the revisions with sessions. A subscription is acknowledged when the server's news can
//! reach us, not before: what changes right after the acknowledgement is told.

use std::{sync::Arc, time::Duration};

use actix_web::{HttpRequest, HttpResponse};
use futures_util::future::{join, join_all};
use serde_json::json;

use crate::{
    actors::{
        catalog::WorkspaceView,
        client_session::{Kind as StreamKind, StreamClient},
        grant::Grant,
    },
    domain::ids::{ServerId, WorkspaceId},
    error::{Error, ErrorCode, Result},
    gateway::{Caller, Gateway, Speech, dispatch::Request, list, reply, stream},
    protocol::{
        jsonrpc,
        log_level::Level,
        meta,
        scan::{member, object_members, string_value},
        splice::json_string,
    },
    upstream::{
        ears::Watch,
        lists::{Kind, Kinds},
    },
};

/// What a server must declare so that its resources can be subscribed to.
const SUBSCRIBE: &str = "resources/subscribe";

/// What a listen request can ask for, by the lists it is about.
const FILTERS: [(Kind, &str); 3] = [
    (Kind::Tools, "toolsListChanged"),
    (Kind::Prompts, "promptsListChanged"),
    (Kind::Resources, "resourcesListChanged"),
];

/// What a listen request asks for, and what of it is honoured.
#[derive(Debug, Default)]
struct Filters {
    lists: Kinds,
    uris: Vec<String>,
}

impl Filters {
    fn asked(message: &Request) -> Result<Self> {
        let wrong = |what: &str| Error::new(ErrorCode::InvalidParams, format!("Invalid params: {what}"));
        let no_object = || wrong("subscriptions/listen needs params.notifications, an object");
        let (body, env) = (&*message.body, &message.env);
        let wanted = member(&env.params_members, body, "notifications").ok_or_else(no_object)?;
        if body.get(wanted.start) != Some(&b'{') {
            return Err(no_object());
        }
        let members = object_members(body, wanted);
        let is_true = |name: &str| member(&members, body, name).and_then(|range| body.get(range)) == Some(b"true");
        let lists = FILTERS.into_iter().filter(|(_, name)| is_true(name)).map(|(kind, _)| kind);
        let lists = lists.fold(Kinds::NONE, Kinds::with);
        let uris = member(&members, body, "resourceSubscriptions").and_then(|range| body.get(range));
        let uris = uris.filter(|raw| *raw != b"null").map(serde_json::from_slice::<Vec<String>>).transpose();
        let uris = uris.map_err(|_cause| wrong("resourceSubscriptions is a list of URIs"))?.unwrap_or_default();
        Ok(Filters { lists, uris })
    }

    /// As raw JSON.
    fn json(&self) -> String {
        let lists = FILTERS.into_iter().filter(|(kind, _)| self.lists.has(*kind));
        let mut filters: Vec<String> = lists.map(|(_, name)| format!("\"{name}\":true")).collect();
        if !self.uris.is_empty() {
            let uris: Vec<String> = self.uris.iter().map(|uri| json_string(uri)).collect();
            filters.push(format!("\"resourceSubscriptions\":[{}]", uris.join(",")));
        }
        format!("{{{}}}", filters.join(","))
    }
}

fn acknowledged(id: &[u8], honoured: &Filters) -> Vec<u8> {
    let (key, filters) = (meta::SUBSCRIPTION_ID.as_bytes(), honoured.json());
    let params =
        [br#"{"_meta":{""#.as_slice(), key, b"\":", id, br#"},"notifications":"#, filters.as_bytes(), b"}"].concat();
    jsonrpc::notification("notifications/subscriptions/acknowledged", Some(&params))
}

impl Gateway {
    /// `subscriptions/listen`: acknowledged first, then the notices that were asked for.
    pub async fn listen(&self, request: &HttpRequest, grant: Arc<Grant>, message: Request) -> HttpResponse {
        let caller = self.caller(request, grant, Speech::Modern);
        let decision = self.admit(&caller);
        if !decision.allowed {
            return reply::error_response(&reply::rate_limited(&decision), Some(&message.id), true);
        }
        let opened = self.open_listen(&caller, &message).await;
        opened.unwrap_or_else(|error| reply::error_response(&error, Some(&message.id), true))
    }

    async fn open_listen(&self, caller: &Caller, message: &Request) -> Result<HttpResponse> {
        if !caller.takes_events {
            return Err(Error::new(
                ErrorCode::NotAcceptable,
                "subscriptions/listen answers with text/event-stream; accept it",
            ));
        }
        let asked = Filters::asked(message)?;
        let view = self.workspace(caller)?;
        let wait = Duration::from_secs(self.config.upstream.list_wait_seconds);
        let watched = asked.uris.iter().take(self.config.limits.subscriptions_per_client).map(|uri| {
            let view = &view;
            async move { (uri, self.watch((view, &caller.grant), uri, wait).await) }
        });
        let ((), watched) = join(self.hear(&view, wait), join_all(watched)).await;
        let client = StreamClient::unknown();
        let mut honoured = Filters { lists: asked.lists, uris: Vec::new() };
        for (uri, watched) in watched {
            match watched {
                Ok(_) if honoured.uris.contains(uri) => {}
                Ok(watched) => {
                    if self.streams.subscribe(&client.who, uri, watched) {
                        honoured.uris.push(uri.clone());
                    }
                }
                Err(cause) => tracing::debug!(%cause, "a resource cannot be subscribed to"),
            }
        }
        let id = message.id.to_vec();
        let ack = stream::event(&acknowledged(&id, &honoured));
        let (who, kind) = (client.who.clone(), StreamKind::Listen { id, lists: honoured.lists });
        let opened = self.open(&caller.grant, kind, client, |_| Some(ack));
        if opened.is_err() {
            self.streams.end_client(&who);
        }
        opened
    }

    /// Waits, at most `wait`, until changes at the servers of a workspace reach us.
    async fn hear(&self, view: &WorkspaceView, wait: Duration) {
        let servers = view.installed.iter().filter(|one| one.enabled);
        let heard = servers.map(|one| self.upstreams.listen(&one.def, self.vault.scope(view.id, one.def.id), wait));
        join_all(heard).await;
    }

    /// Subscribes to a resource at its server.
    async fn watch(
        &self,
        (view, grant): (&WorkspaceView, &Grant),
        uri: &str,
        wait: Duration,
    ) -> Result<(ServerId, Option<WorkspaceId>, Watch)> {
        let route = view.resource(uri).filter(|route| list::may_use(view, Kind::Resources, route, grant));
        let Some(route) = route else {
            let shown: String = uri.chars().take(256).collect();
            let unknown = Error::new(ErrorCode::InvalidParams, format!("Unknown resource: {shown}"));
            return Err(unknown.with_data(json!({ "uri": shown })));
        };
        let offer = view.installed.iter().find(|one| one.def.id == route.def.id).and_then(|one| one.offer.as_ref());
        if !offer.is_some_and(|offer| offer.about.declares(SUBSCRIBE)) {
            let silent = format!("{} does not tell of changes of its resources", route.def.slug);
            return Err(Error::new(ErrorCode::InvalidParams, silent));
        }
        let scope = self.vault.scope(view.id, route.def.id);
        let watch = self.upstreams.watch(&route.def, scope, &route.upstream_name, wait).await?;
        Ok((route.def.id, scope, watch))
    }

    /// `resources/subscribe` of a session: lasts as long as the session, or until its streams are gone for a while.
    pub async fn subscribe(&self, caller: &Caller, request: &Request) -> Result<Vec<u8>> {
        let uri = uri_of(request)?;
        let view = self.discovered(caller).await?;
        if !view.abilities.may(false, SUBSCRIBE) {
            return Err(list::no_such_ability(&request.method));
        }
        let wait = Duration::from_secs(self.config.upstream.discovery_timeout_seconds);
        let watched = self.watch((&view, &caller.grant), &uri, wait).await?;
        if !self.streams.subscribe(&caller.who(), &uri, watched) {
            let most = self.config.limits.subscriptions_per_client;
            let full = format!("This session is subscribed to {most} resources, the most allowed");
            return Err(Error::new(ErrorCode::InvalidParams, full).with_hint("unsubscribe from some"));
        }
        self.remember(caller).await?;
        Ok(b"{}".to_vec())
    }

    /// Keeps what a session is subscribed to. An HTTP+SSE connection is gone with all of it.
    async fn remember(&self, caller: &Caller) -> Result<()> {
        match &caller.speech {
            Speech::Session(session) => {
                let uris = self.streams.subscriptions_of(&session.who);
                self.sessions.set_subscriptions(session, &uris).await
            }
            Speech::Sse(_) | Speech::Modern => Ok(()),
        }
    }

    /// A session's client listens again, after a while or after a restart of the gateway: what it was subscribed to is
    /// subscribed to again, and counts as changed.
    pub(super) async fn resubscribe(&self, caller: Caller) {
        let Speech::Session(session) = &caller.speech else { return };
        if !self.streams.subscriptions_of(&session.who).is_empty() {
            return;
        }
        let uris = self.sessions.subscriptions(session).await.unwrap_or_default();
        if uris.is_empty() {
            return;
        }
        let Ok(view) = self.discovered(&caller).await else { return };
        let wait = Duration::from_secs(self.config.upstream.discovery_timeout_seconds);
        let (view, grant, who) = (&view, &caller.grant, &session.who);
        let again = uris.iter().map(|uri| async move {
            match self.watch((view, grant), uri, wait).await {
                Ok(watched) => {
                    let _fits = self.streams.subscribe(who, uri, watched);
                }
                Err(cause) => tracing::debug!(%cause, "a session's resource cannot be subscribed to again"),
            }
        });
        join_all(again).await;
        self.streams.tell_updated(who, self.streams.subscriptions_of(who));
    }

    /// `resources/unsubscribe` of a session.
    pub async fn unsubscribe(&self, caller: &Caller, request: &Request) -> Result<Vec<u8>> {
        self.streams.unsubscribe(&caller.who(), &uri_of(request)?);
        self.remember(caller).await?;
        Ok(b"{}".to_vec())
    }

    /// `logging/setLevel` of a session: remembered with the session, and told to the servers that log.
    pub async fn set_log_level(&self, caller: &Caller, request: &Request) -> Result<Vec<u8>> {
        let level = request.env.param_str(&request.body, "level").and_then(|text| Level::parse(&text));
        let Some(level) = level else {
            let levels = Level::ALL.map(Level::as_str).join(", ");
            return Err(Error::new(ErrorCode::InvalidParams, format!("Invalid params: level is one of {levels}")));
        };
        let view = self.discovered(caller).await?;
        if !view.abilities.may(false, "logging") {
            return Err(list::no_such_ability(&request.method));
        }
        match &caller.speech {
            Speech::Session(session) => self.sessions.set_log_level(session, level).await?,
            Speech::Sse(client) => client.set_log_level(level),
            Speech::Modern => {}
        }
        for one in view.installed.iter().filter(|one| one.enabled) {
            self.upstreams.want_log_level(&one.def, self.vault.scope(view.id, one.def.id), level);
        }
        Ok(b"{}".to_vec())
    }
}

fn uri_of(request: &Request) -> Result<String> {
    let uri = member(&request.env.params_members, &request.body, "uri");
    let uri = uri.and_then(|range| string_value(&request.body, range)).filter(|uri| !uri.is_empty());
    let missing = || {
        Error::new(ErrorCode::InvalidParams, format!("Invalid params: {} needs params.uri, a string", request.method))
    };
    uri.map(|uri| uri.into_owned()).ok_or_else(missing)
}
