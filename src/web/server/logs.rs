//! `/servers/{slug}/logs`: the calls that went to a server, from all workspaces, and what a program wrote before it failed.

use actix_web::{
    http::StatusCode,
    web::{self, Path},
};
use askama::Template;
use serde::Deserialize;

use crate::{
    admin::{
        calls::{self, CallQuery},
        dto::Call,
    },
    domain::role::Role,
    web::{
        page,
        server::{Place, around},
        shell::Shell,
        show,
        visit::{Answer, Visit},
    },
};

/// Calls on the page.
const CALLS: u64 = 100;

/// What is looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Look {
    /// `failed`: only those.
    show: String,
}

#[derive(Template)]
#[template(path = "server/logs.html")]
struct Page {
    shell: Shell,
    place: Place,
    look: Look,
    calls: Vec<Call>,
}

/// How a call ended.
pub fn outcome(call: &Call) -> String {
    match (call.outcome.as_str(), call.error_code) {
        ("ok", _) => show::state("run", "ok"),
        ("tool_error", _) => show::state("wait", "tool error"),
        (_, Some(code)) => show::state("fail", &format!("error {code}")),
        (word, None) => show::state("fail", word),
    }
}

/// Shows them.
pub async fn show(visit: Visit, slug: Path<String>, look: web::Query<Look>) -> Answer {
    visit.by.require(Role::Admin)?;
    let (shell, place) = around(&visit, &slug, "Logs").await?;
    let look = look.into_inner();
    let query = CallQuery {
        server: Some(place.one.slug.clone()),
        failed: look.show == "failed",
        limit: Some(CALLS),
        ..CallQuery::default()
    };
    let calls = calls::list(visit.actors(), &visit.by, None, &query).await?.data;
    Ok(page(StatusCode::OK, &Page { shell, place, look, calls }))
}
