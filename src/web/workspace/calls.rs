//! `/workspaces/{slug}/calls`, and `/calls` for all workspaces: the single calls behind a figure, newest first.

use actix_web::{
    http::StatusCode,
    web::{self, Path},
};
use askama::Template;
use serde::Deserialize;

use crate::{
    admin::{
        calls::{self, CallQuery, WantedOutcome},
        dto::Call,
    },
    error::Result,
    web::{
        page,
        server::logs::outcome,
        shell::Shell,
        show,
        visit::{Answer, Visit},
        workspace::{Place, among},
    },
};

/// Calls on a page.
const CALLS: u64 = 100;

/// What is looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Look {
    /// One of all workspaces.
    workspace: String,
    user: String,
    server: String,
    tool: String,
    from: String,
    to: String,
    /// A cell of the heat map: the day,
    weekday: String,
    /// and its hour, both of UTC.
    hour: String,
    /// `failed`: only those; or one outcome: `ok`, `tool_error`, `error`.
    show: String,
    cursor: String,
}

impl Look {
    fn outcome(&self) -> Option<WantedOutcome> {
        match self.show.as_str() {
            "ok" => Some(WantedOutcome::Ok),
            "tool_error" => Some(WantedOutcome::ToolError),
            "error" => Some(WantedOutcome::Error),
            _ => None,
        }
    }
    fn query(&self) -> CallQuery {
        let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        CallQuery {
            user: given(&self.user),
            server: given(&self.server),
            tool: given(&self.tool),
            from: given(&self.from),
            to: given(&self.to),
            weekday: given(&self.weekday),
            // What is no number is no hour either.
            hour: given(&self.hour).map(|hour| hour.parse().unwrap_or(u32::MAX)),
            failed: self.show == "failed",
            outcome: self.outcome(),
            cursor: given(&self.cursor),
            limit: Some(CALLS),
            ..CallQuery::default()
        }
    }
}

#[derive(Template)]
#[template(path = "workspace/calls.html")]
struct Page {
    shell: Shell,
    place: Place,
    look: Look,
    calls: Vec<Call>,
    next: Option<String>,
}

impl Page {
    fn link(&self, changed: &str, to: &str) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let now = [
            ("workspace", &self.look.workspace),
            ("user", &self.look.user),
            ("server", &self.look.server),
            ("tool", &self.look.tool),
            ("from", &self.look.from),
            ("to", &self.look.to),
            ("weekday", &self.look.weekday),
            ("hour", &self.look.hour),
            ("show", &self.look.show),
        ];
        // A day and its hour are one cell.
        let cell = ["weekday", "hour"];
        for (name, value) in now {
            let is_changed = name == changed || (cell.contains(&name) && cell.contains(&changed));
            let value = if is_changed { to } else { value.as_str() };
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        if changed == "cursor" {
            query.append_pair("cursor", to);
        }
        format!("{}/calls?{}", self.place.base(), query.finish())
    }
    fn filters(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("workspace", self.look.workspace.as_str()),
            ("user", &self.look.user),
            ("server", &self.look.server),
            ("tool", &self.look.tool),
            ("from", &self.look.from),
            ("to", &self.look.to),
            ("weekday", &self.look.weekday),
            ("hour", &self.look.hour),
            ("show", if self.look.outcome().is_some() { self.look.show.as_str() } else { "" }),
        ];
        all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }
}

async fn build(visit: &Visit, slug: Option<&str>, look: Look) -> Result<Page> {
    let (shell, place) = among(visit, slug, "Calls").await?;
    let within = slug.or(Some(look.workspace.as_str()).filter(|chosen| !chosen.is_empty()));
    let found = calls::list(visit.actors(), &visit.by, within, &look.query()).await?;
    Ok(Page { shell, place, look, calls: found.data, next: found.next_cursor })
}

/// Shows those of one workspace.
pub async fn show(visit: Visit, slug: Path<String>, look: web::Query<Look>) -> Answer {
    let look = Look { workspace: String::new(), ..look.into_inner() };
    Ok(page(StatusCode::OK, &build(&visit, Some(&slug), look).await?))
}

/// Shows those of all workspaces.
pub async fn everywhere(visit: Visit, look: web::Query<Look>) -> Answer {
    Ok(page(StatusCode::OK, &build(&visit, None, look.into_inner()).await?))
}
