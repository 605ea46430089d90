//! Where a request leads: by the name of a tool or prompt, by the URI of a resource, by the id of a task, or, for
//! methods that only the servers know, to the one server there is. Look-ups in the workspace's tables; no name is split.

use std::sync::Arc;

use crate::{
    actors::catalog::{Route, WorkspaceView},
    error::{Error, ErrorCode, Result},
    gateway::{Caller, Gateway, dispatch::Request, list},
    protocol::{
        scan::{member, object_members, string_value},
        task_id,
    },
    upstream::{UpstreamError, lists},
};

/// What kind of request it is: decides what changes in it and in its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `tools/call`.
    Tool,
    /// `prompts/get`.
    Prompt,
    /// `resources/read`.
    Resource,
    /// `completion/complete` for an argument of a prompt.
    PromptCompletion,
    /// `completion/complete` for a variable of a resource template.
    ResourceCompletion,
    /// `tasks/*`.
    Task,
    /// A method that only its server knows, found by this parameter; none: there is only one server.
    Other(Option<&'static str>),
}

impl Kind {
    /// Whether a server of 2026-07-28 may ask for input before it answers.
    pub fn has_rounds(self) -> bool {
        matches!(self, Kind::Tool | Kind::Prompt | Kind::Resource)
    }

    /// Whether its server may want to ask the client something meanwhile.
    pub fn may_be_asked_back(self) -> bool {
        !matches!(self, Kind::PromptCompletion | Kind::ResourceCompletion)
    }

    /// Whether asking twice changes nothing at the server, whatever is asked.
    pub fn is_read(self, method: &str) -> bool {
        match self {
            Kind::Prompt | Kind::Resource | Kind::PromptCompletion | Kind::ResourceCompletion => true,
            Kind::Task => matches!(method, "tasks/get" | "tasks/result"),
            Kind::Tool | Kind::Other(_) => false,
        }
    }
}

/// Methods that are ours to answer, belong to the other era, or are never passed on.
const OURS: [&str; 12] = [
    "initialize",
    "ping",
    "server/discover",
    "subscriptions/listen",
    "resources/list",
    "resources/read",
    "resources/templates/list",
    "resources/subscribe",
    "resources/unsubscribe",
    "sampling/createMessage",
    "elicitation/create",
    "roots/list",
];
/// What begins like this is known in full: nobody adds to it.
const CLOSED: [&str; 6] = ["tools/", "prompts/", "completion/", "logging/", "tasks/", "notifications/"];

/// Whether a method may be one that only a server knows.
fn is_foreign(method: &str) -> bool {
    !OURS.contains(&method) && !CLOSED.iter().any(|begin| method.starts_with(begin))
}

/// A request and where it leads.
pub struct Target {
    /// What kind of request it is.
    pub kind: Kind,
    /// Where it leads.
    pub route: Arc<Route>,
}

/// Finds where a request leads. A server whose lists are not known yet gets a moment to say them.
pub async fn find(gateway: &Gateway, caller: &Caller, request: &Request) -> Result<Target> {
    match request.method.as_str() {
        "tools/call" => tool(gateway, caller, request).await,
        "prompts/get" => {
            let name = text(request, "name")?;
            let route = listed(gateway, caller, lists::Kind::Prompts, |view| view.prompt(&name).cloned()).await?;
            found(Kind::Prompt, route, || unknown_prompt(&name))
        }
        "resources/read" => {
            let uri = text(request, "uri")?;
            let route = listed(gateway, caller, lists::Kind::Resources, |view| view.resource(&uri)).await?;
            found(Kind::Resource, route, || unknown_resource(&uri))
        }
        "completion/complete" => completion(gateway, caller, request).await,
        "tasks/get" | "tasks/cancel" => task(gateway, caller, request),
        "tasks/update" if caller.speech.is_modern() => task(gateway, caller, request),
        "tasks/result" if !caller.speech.is_modern() => task(gateway, caller, request),
        method if is_foreign(method) => other(gateway, caller, request).await,
        method => Err(unknown_method(method)),
    }
}

fn found(kind: Kind, route: Option<Arc<Route>>, missing: impl FnOnce() -> Error) -> Result<Target> {
    route.map(|route| Target { kind, route }).ok_or_else(missing)
}

fn text<'a>(request: &'a Request, name: &str) -> Result<std::borrow::Cow<'a, str>> {
    request.env.param_str(&request.body, name).ok_or_else(|| {
        let method = &request.method;
        Error::new(ErrorCode::InvalidParams, format!("Invalid params: {method} needs params.{name}, a string"))
    })
}

/// What is listed, unless the token's scope leaves it out: then it looks as if it did not exist.
async fn listed(
    gateway: &Gateway,
    caller: &Caller,
    kind: lists::Kind,
    look: impl Fn(&WorkspaceView) -> Option<Arc<Route>>,
) -> Result<Option<Arc<Route>>> {
    let look = |view: &WorkspaceView| look(view).filter(|route| list::may_use(view, kind, route, &caller.grant));
    if let Some(route) = look(&*gateway.workspace(caller)?) {
        return Ok(Some(route));
    }
    Ok(look(&*gateway.discovered(caller).await?))
}

async fn tool(gateway: &Gateway, caller: &Caller, request: &Request) -> Result<Target> {
    let name = text(request, "name")?;
    let arguments = request.env.param(&request.body, "arguments").and_then(|raw| raw.first().copied());
    if !matches!(arguments, None | Some(b'{' | b'n')) {
        return Err(Error::new(ErrorCode::InvalidParams, "Invalid params: params.arguments must be an object"));
    }
    let view = gateway.workspace(caller)?;
    if let Some(route) = view.routes.get(&*name) {
        return list::permitted(route, &caller.grant, &name).map(|route| Target { kind: Kind::Tool, route });
    }
    let view = gateway.discovered(caller).await?;
    if let Some(route) = view.routes.get(&*name) {
        return list::permitted(route, &caller.grant, &name).map(|route| Target { kind: Kind::Tool, route });
    }
    // A tool of a server that does not answer is not "unknown": say whose fault it is.
    let silent = view.undiscovered().find(|one| name.starts_with(&*one.prefix) || name.starts_with(&*one.def.slug));
    match silent {
        Some(one) => Err(UpstreamError::Unavailable("its tools could not be listed".into()).into_error(&one.def.slug)),
        None => Err(list::not_offered(&view, &caller.grant, &name)),
    }
}

async fn completion(gateway: &Gateway, caller: &Caller, request: &Request) -> Result<Target> {
    let wrong = || {
        let what = "completion/complete needs params.ref of type ref/prompt or ref/resource";
        Error::new(ErrorCode::InvalidParams, format!("Invalid params: {what}"))
    };
    let (body, env) = (&*request.body, &request.env);
    let members = object_members(body, member(&env.params_members, body, "ref").ok_or_else(wrong)?);
    let said = |name: &str| member(&members, body, name).and_then(|range| string_value(body, range));
    match said("type").as_deref() {
        Some("ref/prompt") => {
            let name = said("name").ok_or_else(wrong)?;
            let route = listed(gateway, caller, lists::Kind::Prompts, |view| view.prompt(&name).cloned()).await?;
            found(Kind::PromptCompletion, route, || unknown_prompt(&name))
        }
        Some("ref/resource") => {
            let uri = said("uri").ok_or_else(wrong)?;
            let route = listed(gateway, caller, lists::Kind::Templates, |view| view.resource(&uri)).await?;
            found(Kind::ResourceCompletion, route, || unknown_resource(&uri))
        }
        _ => Err(wrong()),
    }
}

fn task(gateway: &Gateway, caller: &Caller, request: &Request) -> Result<Target> {
    let exposed = text(request, "taskId")?;
    let known = resolve_task(gateway, caller, &exposed)?;
    found(Kind::Task, known, || {
        let shown: String = exposed.chars().take(128).collect();
        Error::new(ErrorCode::InvalidParams, format!("Unknown task: {shown}"))
    })
}

fn resolve_task(gateway: &Gateway, caller: &Caller, exposed: &str) -> Result<Option<Arc<Route>>> {
    let view = gateway.workspace(caller)?;
    let Some((slug, id)) = task_id::resolve(gateway.sessions.key(), caller.holder(), exposed) else {
        return Ok(None);
    };
    let one = view.installed.iter().find(|one| one.enabled && *one.def.slug == *slug);
    Ok(one.map(|one| Arc::new(Route::plain(exposed.into(), id.into(), one.def.clone()))))
}

/// A method that no revision knows goes to the server that its name, URI or task belongs to, or to the only server.
async fn other(gateway: &Gateway, caller: &Caller, request: &Request) -> Result<Target> {
    let view = gateway.workspace(caller)?;
    let said = |name: &str| request.env.param_str(&request.body, name);
    let may_use = |kind, route: &Arc<Route>| list::may_use(&view, kind, route, &caller.grant);
    let tool = |name: &str| view.routes.get(name).filter(|route| may_use(lists::Kind::Tools, route));
    let prompt = |name: &str| view.prompt(name).filter(|route| may_use(lists::Kind::Prompts, route));
    let by_name = || said("name").and_then(|name| tool(&name).or_else(|| prompt(&name)).cloned());
    let by_uri =
        || said("uri").and_then(|uri| view.resource(&uri)).filter(|route| may_use(lists::Kind::Resources, route));
    if let Some(route) = by_name() {
        return Ok(Target { kind: Kind::Other(Some("name")), route });
    }
    if let Some(route) = by_uri() {
        return Ok(Target { kind: Kind::Other(Some("uri")), route });
    }
    if let Some(id) = said("taskId")
        && let Some(route) = resolve_task(gateway, caller, &id)?
    {
        return Ok(Target { kind: Kind::Other(Some("taskId")), route });
    }
    // Nobody knows what such a method does: a token with a scope may not.
    let mut enabled = view.installed.iter().filter(|one| one.enabled && caller.grant.scope().is_none());
    let only = match (enabled.next(), enabled.next()) {
        (Some(one), None) => Some(Arc::new(Route::plain(request.method.as_str().into(), "".into(), one.def.clone()))),
        _ => None,
    };
    found(Kind::Other(None), only, || unknown_method(&request.method))
}

/// The error for a method that nobody knows.
pub fn unknown_method(method: &str) -> Error {
    let shown: String = method.chars().take(128).collect();
    Error::new(ErrorCode::MethodNotFound, format!("Method not found: {shown}"))
}

fn unknown_prompt(name: &str) -> Error {
    let shown: String = name.chars().take(128).collect();
    Error::new(ErrorCode::InvalidParams, format!("Unknown prompt: {shown}"))
}

fn unknown_resource(uri: &str) -> Error {
    let shown: String = uri.chars().take(512).collect();
    Error::new(ErrorCode::ResourceNotFound, format!("Resource not found: {shown}"))
        .with_data(serde_json::json!({ "uri": uri }))
}
