//! `/workspaces/{slug}/tokens/{id}`: one token: how it stands, what it may use and takes of its limits, how its calls
//! ended, with which clients, and the last ones. Another value for it, and its end, are forms of the page of all tokens.

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
        dto::{Call, Sums, Token, UpdateToken, UsageRow},
        figures::{self, FiguresQuery},
        tokens::{self, InUse},
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
const CALLS: usize = 25;
/// Its last calls that its clients are taken from.
const LOOKED_AT: u64 = 200;
/// Clients on the page.
const CLIENTS: usize = 8;
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

/// A client that its last calls were made with.
struct Client {
    /// As it names itself.
    name: String,
    last: Timestamp,
    calls: u64,
}

/// The clients of these calls, which are newest first.
fn clients(calls: &[Call]) -> Vec<Client> {
    let mut clients: Vec<Client> = Vec::new();
    for call in calls {
        match clients.iter_mut().find(|client| client.name == call.client) {
            Some(client) => client.calls += 1,
            None => clients.push(Client { name: call.client.clone(), last: call.at, calls: 1 }),
        }
    }
    clients.truncate(CLIENTS);
    clients
}

#[derive(Template)]
#[template(path = "workspace/token.html")]
struct Page {
    shell: Shell,
    place: Place,
    look: Look,
    token: Token,
    calls: Vec<Call>,
    clients: Vec<Client>,
    tools: Vec<UsageRow>,
    /// Tools that it used, those not shown included.
    used: u64,
    sums: Sums,
    counted_from: Timestamp,
    usual: u32,
    now: Option<InUse>,
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
    /// How its calls ended: the mark, the word, how many, and where they are if there are some.
    fn outcomes(&self) -> [(&'static str, &'static str, u64, Option<String>); 3] {
        let sums = &self.sums;
        let errors = sums.errors.saturating_sub(sums.tool_errors);
        let all = [
            ("run", "ok", "ok", sums.calls.saturating_sub(sums.errors)),
            ("wait", "tool error", "tool_error", sums.tool_errors),
            ("fail", "error", "error", errors),
        ];
        let behind = |wanted: &str, calls: u64| (calls > 0).then(|| self.behind(&[("show", wanted)]));
        all.map(|(mark, word, wanted, calls)| (mark, word, calls, behind(wanted, calls)))
    }
    /// The requests a minute that it may make; 0: as many as it likes.
    fn limit(&self) -> u32 {
        self.token.requests_per_minute.unwrap_or(self.usual)
    }
    fn behind_tool(&self, row: &UsageRow) -> String {
        self.behind(&[("tool", &row.tool)])
    }
    /// What its calls are with.
    fn client(&self) -> Option<&str> {
        self.clients.first().map(|client| client.name.as_str()).filter(|client| !client.is_empty())
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
    let asked = CallQuery { user: user.clone(), limit: Some(LOOKED_AT), ..CallQuery::default() };
    let mut calls = calls::list(actors, by, Some(slug), &asked).await?.data;
    let clients = clients(&calls);
    calls.truncate(CALLS);
    let week = FiguresQuery { user: user.clone(), top: Some(1), ..FiguresQuery::default() };
    let figures = figures::figures(actors, by, Some(slug), &week).await?;
    let (sums, counted_from) = (figures.total, figures.from);
    let used = analytics::usage(actors, by, slug, &UsageQuery { user, ..UsageQuery::default() }).await?;
    let mut tools = used.data;
    let used = u64::try_from(tools.len()).unwrap_or(u64::MAX);
    tools.sort_by_key(|row| std::cmp::Reverse(row.calls));
    tools.truncate(TOOLS);
    let form = Form::of(token.scope.as_ref());
    let usual = actors.config.limits.requests_per_minute;
    let now = tokens::in_use(actors, &token);
    Ok(Page {
        shell,
        place,
        look,
        token,
        calls,
        clients,
        tools,
        used,
        sums,
        counted_from,
        usual,
        now,
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
