//! `/workspaces/{slug}/tokens/{id}`: one token: how it stands, what it may use, its last calls. Another value for it, and
//! its end, are forms of the page of all tokens.

use actix_web::{
    http::StatusCode,
    web::{self, Path},
};
use askama::Template;
use serde::Deserialize;

use crate::{
    admin::{
        analytics::{self, UsageQuery},
        calls::{self, CallQuery},
        dto::{Call, Token, UpdateToken, UsageRow},
        tokens,
    },
    domain::{clock::Timestamp, scope::Scope},
    error::Result,
    web::{
        page,
        server::logs::outcome,
        shell::{Shell, Toast, said},
        show, status_of,
        visit::{Answer, Visit},
        workspace::{
            Place, around,
            tokens::{patterns, status},
        },
    },
};

/// Calls on the page.
const CALLS: u64 = 25;
/// Tools on the page.
const TOOLS: usize = 6;

/// What is looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Look {
    /// Another value is asked about.
    rotate: Option<String>,
    /// Its end is asked about.
    revoke: Option<String>,
}

/// What it may use.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Form {
    allow: String,
    deny: String,
    read_only: Option<String>,
}

impl Form {
    fn of(scope: Option<&Scope>) -> Self {
        let scope = scope.cloned().unwrap_or_default();
        let read_only = scope.read_only.then(String::new);
        Form { allow: scope.allow.join(", "), deny: scope.deny.join(", "), read_only }
    }
}

#[derive(Template)]
#[template(path = "workspace/token.html")]
struct Page {
    shell: Shell,
    place: Place,
    look: Look,
    token: Token,
    calls: Vec<Call>,
    tools: Vec<UsageRow>,
    made: u64,
    failed: u64,
    counted_from: Timestamp,
    usual: u32,
    form: Form,
    problem: String,
}

impl Page {
    fn here(&self) -> String {
        format!("/workspaces/{}/tokens/{}", self.place.slug, self.token.id)
    }
    fn all(&self) -> String {
        format!("/workspaces/{}/tokens", self.place.slug)
    }
    /// The calls that were counted, with these filters.
    fn behind(&self, filters: &[(&str, &str)]) -> String {
        let filters = [&[("user", self.token.name.as_str())], filters].concat();
        show::figures::behind(&self.place.base(), self.counted_from, &filters)
    }
    fn behind_calls(&self, failed: bool) -> String {
        self.behind(if failed { &[("show", "failed")] } else { &[] })
    }
    fn behind_tool(&self, row: &UsageRow) -> String {
        self.behind(&[("tool", &row.tool)])
    }
    /// What its calls are with.
    fn client(&self) -> Option<&str> {
        self.calls.first().map(|call| call.client.as_str()).filter(|client| !client.is_empty())
    }
}

async fn build(visit: &Visit, slug: &str, id: &str, look: Look) -> Result<Page> {
    let (shell, place) = around(visit, slug, "Tokens").await?;
    let (actors, by) = (visit.actors(), &visit.by);
    let token = tokens::get(actors, by, slug, id).await?;
    let back = format!("/workspaces/{}", place.slug);
    let way = [
        ("Workspaces", "/workspaces".to_owned()),
        (place.slug.as_str(), format!("{back}/connect")),
        ("Tokens", format!("{back}/tokens")),
    ];
    let shell = shell.on_the_way(&way, &token.name);
    let user = Some(token.name.clone());
    let asked = CallQuery { user: user.clone(), limit: Some(CALLS), ..CallQuery::default() };
    let calls = calls::list(actors, by, Some(slug), &asked).await?.data;
    let used = analytics::usage(actors, by, slug, &UsageQuery { user, ..UsageQuery::default() }).await?;
    let (mut tools, counted_from) = (used.data, used.from);
    let made = tools.iter().map(|row| row.calls).sum();
    let failed = tools.iter().map(|row| row.errors).sum();
    tools.sort_by_key(|row| std::cmp::Reverse(row.calls));
    tools.truncate(TOOLS);
    let form = Form::of(token.scope.as_ref());
    let usual = actors.config.limits.requests_per_minute;
    Ok(Page {
        shell,
        place,
        look,
        token,
        calls,
        tools,
        made,
        failed,
        counted_from,
        usual,
        form,
        problem: String::new(),
    })
}

/// Shows it.
pub async fn show(visit: Visit, path: Path<(String, String)>, look: web::Query<Look>) -> Answer {
    let built = build(&visit, &path.0, &path.1, look.into_inner()).await?;
    Ok(page(StatusCode::OK, &built))
}

/// Changes what it may use; the next call and list are decided by it.
pub async fn submit(visit: Visit, path: Path<(String, String)>) -> Answer {
    let form: Form = visit.form()?;
    let (slug, id) = (path.0.as_str(), path.1.as_str());
    let scope = Scope { allow: patterns(&form.allow), deny: patterns(&form.deny), read_only: form.read_only.is_some() };
    match tokens::update(visit.actors(), &visit.by, slug, id, UpdateToken { scope }).await {
        Ok(token) => {
            let built = build(&visit, slug, id, Look::default()).await?;
            let toast =
                Toast::done(format!("What {} may use is changed. It counts from the next call on.", token.name));
            Ok(page(StatusCode::OK, &Page { shell: built.shell.saying(Some(toast)), ..built }))
        }
        Err(error) => {
            let built = build(&visit, slug, id, Look::default()).await?;
            Ok(page(status_of(&error), &Page { form, problem: said(&error), ..built }))
        }
    }
}
