//! `/workspaces/{slug}/calls`: the single calls behind a figure, newest first.

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
    web::{
        page,
        server::logs::outcome,
        shell::Shell,
        show,
        visit::{Answer, Visit},
        workspace::{Place, around},
    },
};

/// Calls on a page.
const CALLS: u64 = 100;

/// What is looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Look {
    user: String,
    server: String,
    tool: String,
    from: String,
    to: String,
    /// `failed`: only those.
    show: String,
    cursor: String,
}

impl Look {
    fn query(&self) -> CallQuery {
        let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        CallQuery {
            user: given(&self.user),
            server: given(&self.server),
            tool: given(&self.tool),
            from: given(&self.from),
            to: given(&self.to),
            failed: self.show == "failed",
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
            ("user", &self.look.user),
            ("server", &self.look.server),
            ("tool", &self.look.tool),
            ("from", &self.look.from),
            ("to", &self.look.to),
            ("show", &self.look.show),
        ];
        for (name, value) in now {
            let value = if name == changed { to } else { value.as_str() };
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        if changed == "cursor" {
            query.append_pair("cursor", to);
        }
        format!("/workspaces/{}/calls?{}", self.place.slug, query.finish())
    }
    fn filters(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("user", self.look.user.as_str()),
            ("server", &self.look.server),
            ("tool", &self.look.tool),
            ("from", &self.look.from),
            ("to", &self.look.to),
        ];
        all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }
}

/// Shows them.
pub async fn show(visit: Visit, slug: Path<String>, look: web::Query<Look>) -> Answer {
    let (shell, place) = around(&visit, &slug, "Analytics").await?;
    let look = look.into_inner();
    let found = calls::list(visit.actors(), &visit.by, Some(&slug), &look.query()).await?;
    Ok(page(StatusCode::OK, &Page { shell, place, look, calls: found.data, next: found.next_cursor }))
}
