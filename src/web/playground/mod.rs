//! `/playground`: a tool of a workspace called as oneself, with what was said on both sides. The call goes through the
//! gateway's front with a token of the person's own, so that it is allowed, limited, counted and recorded like any other.

mod exchange;
mod form;

use actix_web::{HttpRequest, http::StatusCode, web};
use askama::Template;
use serde::Deserialize;

use crate::{
    admin::{
        playground::{self, Callable},
        workspaces,
    },
    domain::role::Role,
    error::{Error, Result, err},
    web::{
        front::Front,
        page,
        playground::{
            exchange::{Call, Exchange},
            form::{Form, Kind},
        },
        shell::{Noun, Shell, said},
        show, status_of,
        visit::{Answer, Visit},
        workspace::everything,
    },
};

/// What is looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Look {
    /// The workspace; the first one unless given.
    workspace: String,
    /// The tool; the first one unless given.
    tool: String,
    /// All arguments are typed as JSON.
    raw: Option<String>,
}

impl Look {
    /// The address of this very form.
    fn here(&self) -> String {
        let raw = if self.raw.is_some() { "&raw" } else { "" };
        format!("{}{raw}", self.with_form())
    }
    /// With a field for each argument.
    fn with_form(&self) -> String {
        format!("/playground?workspace={}&tool={}", show::part(&self.workspace), show::part(&self.tool))
    }
}

/// What was called, and what came back.
struct Done {
    exchange: Exchange,
    curl: String,
    command: String,
}

#[derive(Template)]
#[template(path = "playground.html")]
struct Page {
    shell: Shell,
    look: Look,
    workspaces: Vec<String>,
    /// By server, in list order.
    groups: Vec<(String, Vec<String>)>,
    tool: Option<Callable>,
    form: Form,
    problem: String,
    done: Option<Done>,
}

async fn build(visit: &Visit, mut look: Look) -> Result<Page> {
    visit.by.require(Role::Member)?;
    let listed = workspaces::list(visit.actors(), &visit.by, &everything()).await?.data;
    let workspaces: Vec<String> = listed.into_iter().map(|one| one.slug).collect();
    if look.workspace.is_empty() {
        look.workspace = workspaces.first().cloned().unwrap_or_default();
    }
    let mut tools = Vec::new();
    if !look.workspace.is_empty() {
        tools = playground::callable(visit.actors(), &visit.by, &look.workspace, &look.tool).await?;
    }
    if look.tool.is_empty() {
        look.tool = tools.first().map(|first| first.name.clone()).unwrap_or_default();
    }
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for tool in &tools {
        match groups.iter_mut().find(|(server, _)| *server == tool.server) {
            Some((_, names)) => names.push(tool.name.clone()),
            None => groups.push((tool.server.clone(), vec![tool.name.clone()])),
        }
    }
    let tool = tools.into_iter().find(|tool| tool.name == look.tool);
    let form = Form::of(tool.as_ref().and_then(|tool| tool.schema.as_deref()), look.raw.is_some());
    let shell = visit.shell(Noun::Playground, "", "Playground").await?;
    Ok(Page { shell, look, workspaces, groups, tool, form, problem: String::new(), done: None })
}

/// Shows the form.
pub async fn show(visit: Visit, look: web::Query<Look>) -> Answer {
    Ok(page(StatusCode::OK, &build(&visit, look.into_inner()).await?))
}

/// Calls the tool; then shows what was sent and what came back. Nothing that was typed is in an address.
pub async fn submit(visit: Visit, request: HttpRequest, look: web::Query<Look>) -> Answer {
    let typed: Vec<(String, String)> = visit.form()?;
    let mut built = build(&visit, look.into_inner()).await?;
    built.form = built.form.filled(&typed);
    match call(&visit, &request, &built).await {
        Ok(done) => Ok(page(StatusCode::OK, &Page { done: Some(done), ..built })),
        Err(error) => Ok(page(status_of(&error), &Page { problem: said(&error), ..built })),
    }
}

async fn call(visit: &Visit, request: &HttpRequest, built: &Page) -> Result<Done> {
    let slug = built.look.workspace.as_str();
    let Some(tool) = &built.tool else {
        return Err(err::not_found(format!("{slug} has no tool {}", built.look.tool))
            .with_hint("choose one of the list: it may have been switched off"));
    };
    let front = request.app_data::<Front>();
    let front = front.ok_or_else(|| Error::internal("calling a tool", "the front is not registered"))?;
    let arguments = built.form.arguments()?;
    let url = workspaces::gateway_url(visit.actors(), slug);
    let call = Call { slug, url: &url, tool: &tool.name, arguments: &arguments, schema: tool.schema.as_deref() };
    let token = playground::own_token(&visit.admin, &visit.by, slug).await?;
    let mut exchange = call.make(front, &token).await?;
    if exchange.status == StatusCode::UNAUTHORIZED {
        // Nothing was called: another process, or its owner, gave the token another value meanwhile.
        playground::forget_token(&visit.admin, &visit.by, slug).await?;
        let token = playground::own_token(&visit.admin, &visit.by, slug).await?;
        exchange = call.make(front, &token).await?;
    }
    Ok(Done { exchange, curl: call.curl(), command: call.command() })
}
