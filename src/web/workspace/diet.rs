//! `/workspaces/{slug}/diet`: what the tool list costs every conversation, which tools nobody uses, and switching those off.

use actix_web::{http::StatusCode, web::Path};
use askama::Template;
use chrono::TimeDelta;
use serde::Deserialize;

use crate::{
    admin::{
        diet,
        dto::{ApplyDiet, Diet, DietServer, DietTool, Worth},
    },
    domain::{role::Role, span::Span},
    error::Result,
    web::{
        page,
        shell::{Shell, Toast},
        show, status_of,
        visit::{Answer, Visit},
        workspace::{Place, around},
    },
};

/// The form of the page.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Form {
    /// The tool to switch off, by the name clients see; empty: all that nobody uses.
    tool: String,
}

#[derive(Template)]
#[template(path = "workspace/diet.html")]
struct Page {
    shell: Shell,
    place: Place,
    diet: Diet,
}

impl Page {
    fn tools(&self) -> usize {
        self.diet.servers.iter().map(|server| server.tools.len()).sum()
    }
    fn most(&self, server: &DietServer) -> u64 {
        server.tools.iter().map(|tool| tool.tokens).max().unwrap_or(0)
    }
    fn is_unused(&self, tool: &DietTool) -> bool {
        tool.worth == Worth::Unused
    }
    /// The calls that were counted for a tool.
    fn behind(&self, tool: &DietTool) -> String {
        let now = self.shell.now;
        let from = Span::holding(now - TimeDelta::days(i64::from(self.diet.days)), now, now).from();
        show::figures::behind(&self.place.base(), from, &[("tool", &tool.name)])
    }
    fn command(&self) -> String {
        format!("aerostack mcp diet --workspace {} --apply", self.place.slug)
    }
}

fn worth(tool: &DietTool) -> String {
    match tool.worth {
        Worth::Used => show::state("run", "used"),
        Worth::Unused => show::state("wait", "unused"),
        Worth::TooNew => show::state("idle", "too new to tell"),
    }
}

async fn build(visit: &Visit, slug: &str) -> Result<Page> {
    visit.by.require(Role::Admin)?;
    let (shell, place) = around(visit, slug, "Tool diet").await?;
    Ok(Page { shell, place, diet: diet::diet(visit.actors(), &visit.by, slug).await? })
}

/// Shows it.
pub async fn show(visit: Visit, slug: Path<String>) -> Answer {
    Ok(page(StatusCode::OK, &build(&visit, &slug).await?))
}

async fn switch_off(visit: &Visit, slug: &str) -> Result<Toast> {
    let form: Form = visit.form()?;
    let wanted = ApplyDiet { tools: Some(vec![form.tool]).filter(|tools| tools.iter().all(|tool| !tool.is_empty())) };
    let done = diet::apply(visit.actors(), &visit.by, slug, wanted).await?;
    let tools = done.switched_off.iter().map(|one| one.tools.len()).sum::<usize>();
    let (tools, saved) =
        (show::counted(u64::try_from(tools).unwrap_or(u64::MAX), "tool"), show::number(done.saved_tokens));
    let text = format!("{tools} switched off. Every conversation is spared about {saved} tokens.");
    Ok(Toast::done(text).with_link("Tools", format!("/workspaces/{slug}/tools")))
}

/// Switches off what nobody uses, or one tool of it; then shows what is left.
pub async fn submit(visit: Visit, slug: Path<String>) -> Answer {
    let (status, toast) = match switch_off(&visit, &slug).await {
        Ok(toast) => (StatusCode::OK, toast),
        Err(error) => (status_of(&error), Toast::refused(&error)),
    };
    let built = build(&visit, &slug).await?;
    Ok(page(status, &Page { shell: built.shell.saying(Some(toast)), ..built }))
}
