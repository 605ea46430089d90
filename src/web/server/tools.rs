//! `/servers/{slug}/tools`: what a server lists, under its own names.

use actix_web::{
    http::StatusCode,
    web::{self, Path},
};
use askama::Template;
use serde::Deserialize;

use crate::{
    admin::{dto::Tool, servers, tool_definition},
    error::Result,
    upstream::lists::Offer,
    web::{
        definition::Viewed,
        page,
        server::{Place, around},
        shell::{Shell, said},
        show,
        visit::{Answer, Visit},
    },
};

/// What is looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Look {
    /// Part of a name or of a description.
    q: String,
    /// This tool: what does a model know of it?
    tool: String,
}

#[derive(Template)]
#[template(path = "server/tools.html")]
struct Page {
    shell: Shell,
    place: Place,
    look: Look,
    tools: Vec<Tool>,
    all: usize,
    problem: String,
    viewed: Option<Viewed>,
}

impl Page {
    fn link(&self, tool: &Tool) -> String {
        let q = if self.look.q.is_empty() { String::new() } else { format!("&q={}", show::part(&self.look.q)) };
        format!("/servers/{}/tools?tool={}{q}", self.place.one.slug, show::part(&tool.name))
    }
}

/// The tool that is looked at closely.
fn viewed(offer: &Offer, slug: &str, look: &Look) -> Result<Option<Viewed>> {
    if look.tool.is_empty() {
        return Ok(None);
    }
    let item = offer.tools().iter().find(|item| *item.name == *look.tool);
    let one = item.map(tool_definition::of).ok_or_else(|| tool_definition::unlisted(slug, &look.tool))?;
    let q = if look.q.is_empty() { String::new() } else { format!("?q={}", show::part(&look.q)) };
    Ok(Some(Viewed { name: look.tool.clone(), one, back: format!("/servers/{slug}/tools{q}") }))
}

/// Asks the server for its list and shows it.
pub async fn show(visit: Visit, slug: Path<String>, look: web::Query<Look>) -> Answer {
    let look = look.into_inner();
    let (listed, viewed, problem) = match servers::offer(visit.actors(), &visit.by, &slug).await {
        Ok(offer) => (servers::listed(&offer, &slug), viewed(&offer, &slug, &look)?, String::new()),
        Err(error) => (Vec::new(), None, said(&error)),
    };
    let (shell, place) = around(&visit, &slug, "Tools").await?;
    let all = listed.len();
    let wanted = look.q.to_lowercase();
    let has = |text: &str| text.to_lowercase().contains(&wanted);
    let fits = |tool: &Tool| has(&tool.name) || tool.description.as_deref().is_some_and(has);
    let tools = listed.into_iter().filter(fits).collect();
    Ok(page(StatusCode::OK, &Page { shell, place, look, tools, all, problem, viewed }))
}
