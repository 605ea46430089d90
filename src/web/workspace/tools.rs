//! `/workspaces/{slug}/tools`: every tool of a workspace, offered or not: switches, other names, and definitions that
//! wait for somebody to look at them.

use actix_web::{
    http::StatusCode,
    web::{self, Path},
};
use askama::Template;
use serde::Deserialize;

use crate::{
    admin::{
        dto::{DecidePins, InstalledTool, Pin, PinDecision, ToolState, UpdateTools},
        installations, installed_tools,
        pins::{self, Which},
        tool_definition,
    },
    domain::tool_name,
    error::Result,
    web::{
        definition::Viewed,
        page,
        shell::{Shell, Toast},
        show, status_of,
        visit::{Answer, Visit},
        workspace::{Place, around, everything},
    },
};

/// Names longer than this are too long for some editors, which put a prefix of their own before them.
const LONG: usize = tool_name::WARN_LEN;

/// What is looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Look {
    /// Part of a name or of a description.
    q: String,
    /// The server of the tool that is looked at closely.
    server: String,
    /// That tool, by its server's own name: another name for it?
    rename: String,
    /// That tool, by its server's own name: its definition waits.
    review: String,
    /// That tool, by its server's own name: what does a model know of it?
    schema: String,
}

/// The forms of the page.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Form {
    #[serde(rename = "do")]
    act: String,
    server: String,
    tool: String,
    alias: String,
    fingerprint: String,
}

/// The tools of one installed server.
struct Group {
    /// How the use cases name the server.
    server: String,
    tools: Vec<InstalledTool>,
}

#[derive(Template)]
#[template(path = "workspace/tools.html")]
struct Page {
    shell: Shell,
    place: Place,
    look: Look,
    groups: Vec<Group>,
    offered: usize,
    all: usize,
    review: Option<Pin>,
    /// Names that some editors will not take.
    long: usize,
    viewed: Option<Viewed>,
}

impl Page {
    fn renames(&self, group: &Group, tool: &InstalledTool) -> bool {
        self.look.server == group.server && self.look.rename == tool.tool
    }
    fn reviews(&self, group: &Group, tool: &InstalledTool) -> Option<&Pin> {
        let this = self.look.server == group.server && self.look.review == tool.tool;
        self.review.as_ref().filter(|_| this)
    }
    fn link(&self, group: &Group, what: &str, tool: &InstalledTool) -> String {
        let (server, tool) = (show::part(&group.server), show::part(&tool.tool));
        let q = if self.look.q.is_empty() { String::new() } else { format!("&q={}", show::part(&self.look.q)) };
        format!("/workspaces/{}/tools?server={server}&{what}={tool}{q}", self.place.slug)
    }
}

fn offered_now(tool: &InstalledTool) -> bool {
    tool.state == ToolState::Offered
}

fn is_listed(tool: &InstalledTool) -> bool {
    tool.state != ToolState::NotListed
}

fn waits(tool: &InstalledTool) -> bool {
    matches!(tool.state, ToolState::WaitingNew | ToolState::WaitingChanged)
}

fn state(tool: &InstalledTool) -> String {
    match tool.state {
        ToolState::Offered => show::state("run", "offered"),
        ToolState::Off => show::state("gone", "off"),
        ToolState::ServerDisabled => show::state("gone", "server disabled"),
        ToolState::WaitingNew => show::state("wait", "new, waits"),
        ToolState::WaitingChanged => show::state("wait", "changed, waits"),
        ToolState::Rejected => show::state("fail", "rejected"),
        ToolState::NotListed => show::state("idle", "not listed"),
    }
}

async fn build(visit: &Visit, slug: &str, look: Look) -> Result<Page> {
    let (shell, place) = around(visit, slug, "Tools").await?;
    let (actors, by) = (visit.actors(), &visit.by);
    let wanted = look.q.to_lowercase();
    let has = |text: &str| text.to_lowercase().contains(&wanted);
    let (mut groups, mut offered, mut all, mut long) = (Vec::new(), 0, 0, 0);
    let mut name = look.schema.clone();
    for one in installations::list(actors, by, slug, &everything()).await?.data {
        let server = one.skill.unwrap_or(one.server);
        let mut tools = installed_tools::list(actors, by, (slug, &server), &everything()).await?.data;
        all += tools.len();
        offered += tools.iter().filter(|tool| offered_now(tool)).count();
        long += tools.iter().filter(|tool| tool.too_long && offered_now(tool)).count();
        if let Some(wanted) = tools.iter().find(|tool| server == look.server && tool.tool == look.schema) {
            name.clone_from(&wanted.name);
        }
        tools.retain(|tool| has(&tool.name) || has(&tool.tool) || tool.description.as_deref().is_some_and(has));
        groups.push(Group { server, tools });
    }
    let mut review = None;
    if !look.review.is_empty() {
        let which = Which { tool: Some(look.review.clone()), ..Which::default() };
        let found = pins::list(actors, by, (slug, &look.server), which).await?.data;
        review = found.into_iter().find(|pin| pin.waiting.is_some());
    }
    let mut viewed = None;
    if !look.schema.is_empty() {
        let one = tool_definition::of_installed(actors, by, (slug, &look.server), &look.schema).await?;
        let q = if look.q.is_empty() { String::new() } else { format!("?q={}", show::part(&look.q)) };
        viewed = Some(Viewed { name, one, back: format!("/workspaces/{}/tools{q}", place.slug) });
    }
    Ok(Page { shell, place, look, groups, offered, all, review, long, viewed })
}

/// Shows them.
pub async fn show(visit: Visit, slug: Path<String>, look: web::Query<Look>) -> Answer {
    Ok(page(StatusCode::OK, &build(&visit, &slug, look.into_inner()).await?))
}

async fn change(visit: &Visit, slug: &str, form: &Form) -> Result<Toast> {
    let (actors, by, place) = (visit.actors(), &visit.by, (slug, form.server.as_str()));
    let update = UpdateTools { tools: vec![form.tool.clone()], ..UpdateTools::default() };
    Ok(match form.act.as_str() {
        "approve" | "reject" => {
            let decision = PinDecision { tool: form.tool.clone(), fingerprint: form.fingerprint.clone() };
            let approve = form.act == "approve";
            pins::decide(actors, by, place, (approve, DecidePins { tools: vec![decision] })).await?;
            match approve {
                true => Toast::done(format!("{} is approved. Every token has it now.", form.tool)),
                false => Toast::done(format!("{} is rejected. Nobody gets this definition.", form.tool)),
            }
        }
        "rename" => {
            let alias = Some(form.alias.trim().to_owned());
            let now = installed_tools::set(actors, by, place, UpdateTools { alias, ..update }).await?.data;
            let name = now.into_iter().next().map(|tool| tool.name).unwrap_or_default();
            Toast::done(format!("{} is called {name} here.", form.tool))
        }
        act => {
            let on = act == "on";
            installed_tools::set(actors, by, place, UpdateTools { enabled: Some(on), ..update }).await?;
            let what = if on { "on. Every token has it now" } else { "off. It is in no list and cannot be called" };
            Toast::done(format!("{} is switched {what}.", form.tool))
        }
    })
}

/// Switches, renames, approves or rejects; then shows them.
pub async fn submit(visit: Visit, slug: Path<String>) -> Answer {
    let form: Form = visit.form()?;
    let (status, toast) = match change(&visit, &slug, &form).await {
        Ok(toast) => (StatusCode::OK, toast),
        Err(error) => (status_of(&error), Toast::refused(&error)),
    };
    let built = build(&visit, &slug, Look::default()).await?;
    Ok(page(status, &Page { shell: built.shell.saying(Some(toast)), ..built }))
}
