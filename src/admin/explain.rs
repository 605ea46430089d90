//! Why a token can or cannot use a tool: every layer that a call passes, in order, with what was found there and what
//! to do about it. Asks nothing of the gateway's front and changes nothing; what it says is what the catalogue, the
//! ledger and the sessions know at this moment.
//!
//! Administrators may ask about every token, others about their own. Names of secrets are for administrators.

use std::sync::{Arc, atomic::Ordering::SeqCst};

use actix_web::{
    HttpResponse,
    web::{self, Path},
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    actors::{
        Actors,
        catalog::{Installed, Route, WorkspaceView},
        catalog_policy::Hidden,
    },
    admin::{
        Admin,
        auth::Caller,
        discovery,
        dto::{Cause, Explanation, Layer, Step},
        explain_server::{self, Asked},
        openapi::Problems,
        reply::Reply,
        request::Query,
        workspaces,
    },
    domain::{
        clock, near,
        role::{Principal, Role},
        scope::Refusal,
        tool_name,
    },
    error::{Error, Result, err},
    store::{
        servers,
        tokens::{self, TokenRecord},
        workspaces::{self as spaces, WorkspaceRecord},
    },
};

/// About whom and what.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Question {
    /// Id of the token, its name, or the beginning of its id; never its value.
    pub token: String,
    /// Name of the tool, as clients see it.
    pub tool: String,
}

impl Step {
    /// Nothing stands in the way.
    pub(super) fn passes(layer: Layer, finding: impl Into<String>) -> Self {
        Step { layer, passes: true, cause: None, finding: finding.into(), remedy: None }
    }
    /// This does.
    pub(super) fn fails(cause: Cause, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Step {
            layer: cause.layer(),
            passes: false,
            cause: Some(cause),
            finding: finding.into(),
            remedy: Some(remedy.into()),
        }
    }
    /// This is worth knowing.
    fn noted(cause: Cause, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Step { passes: true, ..Step::fails(cause, finding, remedy) }
    }
}

/// Looks at every layer.
pub async fn explain(actors: &Actors, by: &Principal, slug: &str, asked: &Question) -> Result<Explanation> {
    by.require(Role::Viewer)?;
    let workspace = workspaces::find(actors, by, slug).await?;
    if asked.token.starts_with("mwt_") {
        return Err(err::validation("A token's value does not belong into a question")
            .with_hint(format!("name it or give its id: aerostack workspace token list {slug}")));
    }
    let (record, token_step) = token(actors, &workspace, &asked.token).await?;
    let own = record.as_ref().is_some_and(|record| record.member == Some(by.account));
    if !own {
        by.require(Role::Admin)?;
    }
    discovery::discover_for_list(actors, &workspace.slug).await;
    let mut steps = vec![token_step];
    let view = actors.catalog.load().workspace(&workspace.slug).cloned();
    let view = view.ok_or_else(|| err::not_found(format!("No workspace \"{slug}\"")))?;
    let led = name(actors, by, &view, &asked.tool).await?;
    steps.extend(led.steps);
    if let (Some(route), Some(record)) = (&led.route, &record) {
        steps.push(scope(&view, route, record));
    }
    steps.extend(record.as_ref().and_then(|record| limits(actors, slug, record)));
    if let Some(one) = &led.server {
        let question = Asked { actors, view: &view, one, sees_names: by.require(Role::Admin).is_ok() };
        steps.extend(explain_server::steps(&question).await?);
    }
    let cause = steps.iter().find(|step| !step.passes).and_then(|step| step.cause);
    Ok(Explanation {
        workspace: workspace.slug.to_string(),
        token: record.map_or_else(|| near::shown(&asked.token), |record| record.name),
        tool: asked.tool.clone(),
        server: led.server.map(|one| one.def.slug.to_string()),
        usable: cause.is_none(),
        cause,
        steps,
    })
}

/// The token that is meant, and whether it opens the workspace.
async fn token(actors: &Actors, workspace: &WorkspaceRecord, asked: &str) -> Result<(Option<TokenRecord>, Step)> {
    let (id, namespace) = (workspace.id, workspace.namespace);
    let (here, elsewhere) = actors
        .store
        .read(move |db| async move {
            let mut elsewhere = Vec::new();
            for other in spaces::list(&db, namespace).await?.into_iter().filter(|other| other.id != id) {
                let theirs = tokens::list(&db, other.id).await?;
                elsewhere.extend(theirs.into_iter().map(|record| (record, other.slug.to_string())));
            }
            Ok((tokens::list(&db, id).await?, elsewhere))
        })
        .await?;
    let (slug, now) = (&workspace.slug, clock::now());
    let list = format!("aerostack workspace token list {slug}");
    let fits = |record: &TokenRecord| {
        let id = record.id.to_string();
        id == asked || record.name == asked || (asked.len() > 8 && id.starts_with(asked))
    };
    // Of several with that name the one that works is meant, else the newest.
    let mut named: Vec<&TokenRecord> = here.iter().filter(|record| fits(record)).collect();
    named.sort_by_key(|record| (record.is_active(now), record.id));
    let Some(record) = named.pop() else {
        if let Some((record, other)) = elsewhere.iter().find(|(record, _)| fits(record)) {
            let finding = format!("The token \"{}\" opens the workspace {other}, not {slug}", record.name);
            let remedy = format!("aerostack workspace token create {slug} --name \"{}\"", record.name);
            return Ok((None, Step::fails(Cause::TokenOfAnotherWorkspace, finding, remedy)));
        }
        let known = here.iter().map(|record| record.name.as_str());
        return Ok((None, Step::fails(Cause::TokenUnknown, near::no_such("token", asked, known), list)));
    };
    let again = format!("aerostack workspace token create {slug} --name \"{}\"", record.name);
    let name = &record.name;
    let step = match (record.revoked_at, record.expires_at) {
        (Some(at), _) => Step::fails(Cause::TokenRevoked, format!("\"{name}\" was revoked {}", day(at)), again),
        (None, Some(end)) if end <= now => {
            Step::fails(Cause::TokenExpired, format!("\"{name}\" expired {}", day(end)), again)
        }
        _ => Step::passes(Layer::Token, format!("\"{name}\" opens {slug}")),
    };
    Ok((Some(record.clone()), step))
}

fn day(at: clock::Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// Where a name leads.
#[derive(Default)]
struct Led {
    steps: Vec<Step>,
    route: Option<Arc<Route>>,
    server: Option<Installed>,
}

async fn name(actors: &Actors, by: &Principal, view: &WorkspaceView, tool: &str) -> Result<Led> {
    let installed = |route: &Route| view.installed.iter().find(|one| one.def.id == route.def.id).cloned();
    if let Some(route) = view.routes.get(tool) {
        let steps = vec![found(view, route, tool), Step::passes(Layer::Discovery, "Its server lists it")];
        let mut led = Led { steps, server: installed(route), route: Some(route.clone()) };
        led.steps.push(Step::passes(Layer::Switch, "It is switched on"));
        let mode = led.server.as_ref().map(|one| one.policy.mode.as_str()).unwrap_or_default();
        led.steps.push(Step::passes(Layer::Pins, format!("Its definition is approved (pins: {mode})")));
        return Ok(led);
    }
    if let Some((route, why)) = view.withheld(tool) {
        let own = near::shown(&route.upstream_name);
        let step = Step::passes(Layer::Name, format!("It is the tool \"{own}\" of {}", route.def.slug));
        let hidden = withheld(actors, view, route, *why).await?;
        return Ok(Led { steps: vec![step, hidden], server: installed(route), route: Some(route.clone()) });
    }
    unknown(actors, by, view, tool).await
}

/// A name that leads to a tool; whether another tool would have had it.
fn found(view: &WorkspaceView, route: &Route, tool: &str) -> Step {
    let own = near::shown(&route.upstream_name);
    let finding = format!("It is the tool \"{own}\" of {}", route.def.slug);
    let others = view.installed.iter().filter(|one| one.enabled && one.def.id != route.def.id);
    let mut wanting = others.flat_map(|one| one.tools().map(move |(item, _)| (one, item)));
    let other = wanting.find(|(one, item)| tool_name::plain(&one.prefix, &item.name) == tool);
    let Some((one, item)) = other else { return Step::passes(Layer::Name, finding) };
    let shown = view.tools.entries().iter().map(|entry| &entry.route);
    let shown = shown.filter(|route| route.def.id == one.def.id).find(|route| route.upstream_name == item.name);
    let shown = shown.map_or_else(|| "not shown".to_owned(), |route| format!("shown as {}", route.exposed));
    let finding = format!("{finding}; {} has a tool that would be called so, too: it is {shown}", one.def.slug);
    let remedy = format!(
        "aerostack mcp tool alias {} \"{}\" NAME --workspace {}",
        one.def.slug,
        near::shown(&item.name),
        view.slug
    );
    Step::noted(Cause::NameTaken, finding, remedy)
}

async fn withheld(actors: &Actors, view: &WorkspaceView, route: &Route, why: Hidden) -> Result<Step> {
    let (server, slug, own) = (&route.def.slug, &view.slug, near::shown(&route.upstream_name));
    let place = format!("--workspace {slug}");
    let review = format!("aerostack mcp pins diff {server} \"{own}\" {place}");
    Ok(match why {
        Hidden::ServerDisabled => explain_server::off(actors, view, &route.def).await?,
        Hidden::SwitchedOff => Step::fails(
            Cause::SwitchedOff,
            "It is switched off in this workspace",
            format!("aerostack mcp tool enable {server} \"{own}\" {place}"),
        ),
        Hidden::New => {
            Step::fails(Cause::PinNew, "It is new since the server was installed and waits for approval", review)
        }
        Hidden::Changed => Step::fails(Cause::PinChanged, "Its definition changed and waits for approval", review),
        Hidden::Rejected => Step::fails(Cause::PinRejected, "An administrator rejected its definition", review),
    })
}

/// A name that leads nowhere: the likeliest reason first.
async fn unknown(actors: &Actors, by: &Principal, view: &WorkspaceView, tool: &str) -> Result<Led> {
    let only = |step: Step| Led { steps: vec![step], ..Led::default() };
    let list = format!("aerostack mcp list --workspace {} --tools-only", view.slug);
    let all = || view.installed.iter().flat_map(|one| one.tools().map(move |(item, _)| (one, item)));
    if let Some((one, item)) = all().find(|(_, item)| *item.name == *tool) {
        let exposed = one.policy.exposed(&one.prefix, &item.name);
        let finding = format!("That is the name {} gives it; here it is called {exposed}", one.def.slug);
        return Ok(only(Step::fails(Cause::OwnName, finding, format!("ask for {exposed}"))));
    }
    for one in &view.installed {
        let status = actors.upstreams.status(&one.def, actors.vault.scope(view.id, one.def.id));
        let named = |name: &str| name == tool || *one.policy.exposed(&one.prefix, name) == *tool;
        let dropped = status.iter().flat_map(|status| &status.dropped).find(|dropped| named(&dropped.name));
        if let Some(dropped) = dropped {
            let finding = format!("{} lists it, but it cannot be passed on: {}", one.def.slug, dropped.reason);
            let step = Step::fails(Cause::ToolDropped, finding, format!("aerostack mcp test {}", one.def.slug));
            return Ok(Led { steps: vec![step], server: Some(one.clone()), route: None });
        }
    }
    let begins = |prefix: &str| tool.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(tool_name::SEPARATOR));
    let silent =
        view.installed.iter().find(|one| one.offer.is_none() && (begins(&one.prefix) || begins(&one.def.slug)));
    if let Some(one) = silent {
        let finding = format!("Its server is probably {}, whose tools are not known", one.def.slug);
        return Ok(Led { steps: vec![Step::passes(Layer::Name, finding)], server: Some(one.clone()), route: None });
    }
    let namespace = by.namespace;
    let own = actors.store.read(move |db| async move { servers::list(&db, namespace).await }).await?;
    let absent = own.iter().filter(|record| view.installed.iter().all(|one| one.def.id != record.id));
    let mut absent = absent.filter(|record| begins(&tool_name::derived_prefix(&record.slug)) || begins(&record.slug));
    if let Some(record) = absent.next() {
        let finding = format!("Its server is probably {}, which is not installed in {}", record.slug, view.slug);
        let remedy = format!("aerostack mcp install {} --workspace {}", record.slug, view.slug);
        return Ok(only(Step::fails(Cause::ServerNotInstalled, finding, remedy)));
    }
    let known = view.tools.entries().iter().map(|entry| &*entry.route.exposed);
    Ok(only(Step::fails(Cause::ToolUnknown, near::no_such("tool", tool, known), list)))
}

fn scope(view: &WorkspaceView, route: &Route, record: &TokenRecord) -> Step {
    let Some(scope) = &record.scope else { return Step::passes(Layer::Scope, "The token may use everything") };
    let update = format!("aerostack workspace token update {} {}", view.slug, record.id);
    let exposed = &route.exposed;
    match route.refusal(scope) {
        None => Step::passes(Layer::Scope, format!("The token may use it ({scope})")),
        Some(Refusal::Denied(pattern)) => {
            let finding = format!("The token may not: --deny '{pattern}' fits {exposed}");
            Step::fails(Cause::ScopeDenied, finding, format!("{update} with other --deny patterns, or --everything"))
        }
        Some(Refusal::NotAllowed) => {
            let finding = format!("The token may not: no --allow pattern ({scope}) fits {exposed}");
            Step::fails(Cause::ScopeNotAllowed, finding, format!("{update} --allow '{exposed}' and what it had"))
        }
        Some(Refusal::NotReadOnly) => {
            let finding = "The token reads only, and the server does not say that the tool does \
                           (annotations.readOnlyHint is not true)";
            Step::fails(Cause::ScopeNotReadOnly, finding, format!("{update} without --read-only"))
        }
    }
}

/// What is used up now, if the token is in use.
fn limits(actors: &Actors, slug: &str, record: &TokenRecord) -> Option<Step> {
    let grant = actors.tokens.grant(record.id)?;
    let limits = &actors.config.limits;
    let decision = grant.window.peek(clock::monotonic_ns());
    if !decision.allowed {
        let finding = format!(
            "Its {} requests a minute are used up; the next is possible in {} s",
            decision.limit,
            decision.retry_after_seconds()
        );
        let remedy =
            format!("wait, or give it its own limit: aerostack workspace token create {slug} --requests-per-minute N");
        return Some(Step::fails(Cause::RateLimited, finding, remedy));
    }
    let busy = |cause, what: &str, most: usize, setting: &str| {
        let finding = format!("{what} has {most} calls under way, the most allowed");
        Some(Step::fails(cause, finding, format!("wait for some to end, or raise {setting}")))
    };
    if grant.calls.load(SeqCst) >= limits.calls_per_token {
        return busy(Cause::TokenBusy, "The token", limits.calls_per_token, "limits.calls_per_token");
    }
    if actors.calls.load(SeqCst) >= limits.calls {
        return busy(Cause::GatewayBusy, "The gateway", limits.calls, "limits.calls");
    }
    let left = if decision.limit == 0 { "any number of".to_owned() } else { decision.remaining.to_string() };
    Some(Step::passes(Layer::Limits, format!("{left} requests are left this minute")))
}

/// Say why a token can or cannot use a tool
#[utoipa::path(get, path = "/api/v1/admin/workspaces/{slug}/explain", tag = "tokens",
    params(("slug" = String, Path), Question), responses((status = 200, body = Explanation), Problems))]
pub async fn explain_route(
    admin: web::Data<Admin>,
    by: Caller,
    slug: Path<String>,
    question: Query<Question>,
) -> Reply {
    let explained: std::result::Result<Explanation, Error> = explain(&admin.actors, &by.0, &slug, &question.0).await;
    Ok(HttpResponse::Ok().json(explained?))
}
