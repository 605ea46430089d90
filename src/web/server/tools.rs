//! `/servers/{slug}/tools`: what a server lists, under its own names.

use actix_web::{
    http::StatusCode,
    web::{self, Path},
};
use askama::Template;
use serde::Deserialize;

use crate::{
    admin::{dto::Tool, servers},
    web::{
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
}

/// Asks the server for its list and shows it.
pub async fn show(visit: Visit, slug: Path<String>, look: web::Query<Look>) -> Answer {
    let (listed, problem) = match servers::tools(visit.actors(), &visit.by, &slug).await {
        Ok(found) => (found.data, String::new()),
        Err(error) => (Vec::new(), said(&error)),
    };
    let (shell, place) = around(&visit, &slug, "Tools").await?;
    let (look, all) = (look.into_inner(), listed.len());
    let wanted = look.q.to_lowercase();
    let has = |text: &str| text.to_lowercase().contains(&wanted);
    let fits = |tool: &Tool| has(&tool.name) || tool.description.as_deref().is_some_and(has);
    let tools = listed.into_iter().filter(fits).collect();
    Ok(page(StatusCode::OK, &Page { shell, place, look, tools, all, problem }))
}
