//! `/workspaces/{slug}/tokens`: the tokens of a workspace. A new one is shown in the answer to the form that made it, and
//! in no other: looking at the page again shows the list.

use std::collections::HashMap;

use actix_web::{
    http::StatusCode,
    web::{self, Path},
};
use askama::Template;
use serde::Deserialize;

use crate::{
    admin::{
        analytics::{self, UsageQuery},
        dto::{CreateToken, RotateToken, Seats, Snippet, Token, TokenCreated, TokenStatus},
        tokens,
    },
    domain::{
        clients::{self, Connection},
        clock::{self, Timestamp},
        plan::Plan,
        scope::Scope,
    },
    error::{Result, err},
    web::{
        page,
        shell::{Shell, Toast, said},
        show, status_of,
        visit::{Answer, Visit},
        workspace::{Place, SHOWN, around},
    },
};

/// What is looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Look {
    /// `all`: revoked and expired ones too.
    show: String,
    /// Part of a name.
    q: String,
    /// `name`, `used` or `calls`; newest first otherwise.
    sort: String,
    /// The token that is asked about: revoke it?
    revoke: String,
    /// The token that is asked about: give it another value?
    rotate: String,
    /// The form for a new one is open.
    new: Option<String>,
    /// How many pages come before this one.
    page: usize,
}

/// The forms of the page.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Form {
    #[serde(rename = "do")]
    act: String,
    id: String,
    name: String,
    expires_in: String,
    allow: String,
    deny: String,
    read_only: Option<String>,
    requests_per_minute: String,
    overlap: String,
}

/// A line of the list.
struct Row {
    token: Token,
    calls: u64,
}

/// What was asked about a token.
#[derive(PartialEq, Eq)]
enum Asked {
    Nothing,
    Revoke,
    Rotate,
}

/// A value, this once, and how each client is told: with it and without.
struct Reveal {
    made: TokenCreated,
    clients: Vec<(Snippet, String, Option<String>)>,
}

#[derive(Template)]
#[template(path = "workspace/tokens.html")]
struct Page {
    shell: Shell,
    place: Place,
    look: Look,
    rows: Vec<Row>,
    all: u64,
    /// How many there are of those that are shown, on all pages.
    fitting: usize,
    counted_from: Timestamp,
    seats: Seats,
    form: Form,
    problem: String,
    reveal: Option<Reveal>,
}

impl Page {
    fn asked(&self, token: &Token) -> Asked {
        match () {
            () if !token.active => Asked::Nothing,
            () if self.look.revoke == token.id => Asked::Revoke,
            () if self.look.rotate == token.id => Asked::Rotate,
            () => Asked::Nothing,
        }
    }
    fn plan(&self) -> &'static str {
        Plan::parse(&self.seats.plan).title()
    }
    fn link(&self, more: &str) -> String {
        let all = if self.look.show == "all" { "show=all&" } else { "" };
        format!("/workspaces/{}/tokens?{all}{more}", self.place.slug)
    }
    /// The calls that were counted for a token.
    fn behind(&self, token: &Token) -> String {
        let base = self.place.base();
        show::figures::behind(&base, self.counted_from, &[("user", &token.name)])
    }
    /// The page after this one, if there is one.
    fn more(&self) -> Option<String> {
        let next = self.look.page.saturating_add(1);
        if next.saturating_mul(SHOWN) >= self.fitting {
            return None;
        }
        let (q, sort) = (show::part(&self.look.q), show::part(&self.look.sort));
        Some(self.link(&format!("q={q}&sort={sort}&page={next}")))
    }
    /// The link of a column's head, and how the column is sorted.
    fn sorted(&self, by: &str) -> bool {
        self.look.sort == by
    }
}

pub(super) fn status(token: &Token, now: &Timestamp) -> String {
    match token.status {
        TokenStatus::Revoked => show::state("gone", "revoked"),
        TokenStatus::Expired => show::state("idle", "expired"),
        TokenStatus::Active => match token.expires_at.filter(|_| token.expires_soon) {
            Some(end) => show::state("wait", &format!("expires in {}", show::left(end, now))),
            None => show::state("run", "active"),
        },
    }
}

fn scope(scope: Option<&Scope>) -> Option<&'static str> {
    scope.map(|scope| if scope.read_only { "read-only tools" } else { "some tools" })
}

/// Shows the list.
pub async fn show(visit: Visit, slug: Path<String>, look: web::Query<Look>) -> Answer {
    let built = build(&visit, &slug, look.into_inner()).await?;
    Ok(page(StatusCode::OK, &built))
}

async fn build(visit: &Visit, slug: &str, look: Look) -> Result<Page> {
    let (shell, place) = around(visit, slug, "Tokens").await?;
    let listed = tokens::newest(visit.actors(), &visit.by, slug, look.show == "all").await?;
    let used = analytics::usage(visit.actors(), &visit.by, slug, &UsageQuery::default()).await?;
    let mut calls: HashMap<String, u64> = HashMap::new();
    let counted_from = used.from;
    used.data.into_iter().for_each(|row| *calls.entry(row.user).or_default() += row.calls);
    let wanted = look.q.to_lowercase();
    let fits = |token: &Token| wanted.is_empty() || token.name.to_lowercase().contains(&wanted);
    let row = |token: Token| Row { calls: calls.get(&token.name).copied().unwrap_or(0), token };
    let mut rows: Vec<Row> = listed.tokens.into_iter().filter(fits).map(row).collect();
    match look.sort.as_str() {
        "name" => rows.sort_by_key(|row| row.token.name.to_lowercase()),
        "used" => rows.sort_by_key(|row| std::cmp::Reverse(row.token.last_used_at)),
        "calls" => rows.sort_by_key(|row| std::cmp::Reverse(row.calls)),
        // Those that open nothing any more come last.
        _ => rows.sort_by_key(|row| !row.token.active),
    }
    let fitting = rows.len();
    let rows = rows.into_iter().skip(look.page.saturating_mul(SHOWN)).take(SHOWN).collect();
    Ok(Page {
        shell,
        place,
        look,
        rows,
        all: listed.ever,
        fitting,
        counted_from,
        seats: listed.seats,
        form: Form::default(),
        problem: String::new(),
        reveal: None,
    })
}

pub(super) fn patterns(text: &str) -> Vec<String> {
    text.split([',', ' ', '\n', '\r', '\t']).filter(|one| !one.is_empty()).map(str::to_owned).collect()
}

pub(in crate::web) fn figure<T: std::str::FromStr>(text: &str, what: &str) -> Result<Option<T>> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_not_a_number| err::validation(format!("{what} must be a whole number")))
}

fn wanted(form: &Form) -> Result<CreateToken> {
    let scope = Scope { allow: patterns(&form.allow), deny: patterns(&form.deny), read_only: form.read_only.is_some() };
    Ok(CreateToken {
        name: form.name.clone(),
        expires_in: figure(&form.expires_in, "The expiry")?,
        requests_per_minute: figure(&form.requests_per_minute, "The limit")?,
        scope: Some(scope).filter(|scope| !scope.is_empty()),
    })
}

/// The snippets of a new token, with its value and with what stands for it.
fn reveal(made: TokenCreated, slug: &str) -> Reveal {
    let url = made.url.clone();
    let without = clients::snippets(&Connection { slug, url: &url, token: None });
    let clients =
        made.snippets.iter().cloned().zip(without).map(|(with, without)| (with, without.text, without.install_url));
    Reveal { clients: clients.collect(), made }
}

/// Makes a token, gives one another value, or revokes one; then shows the list.
pub async fn submit(visit: Visit, slug: Path<String>) -> Answer {
    let form: Form = visit.form()?;
    let (actors, by) = (visit.actors(), &visit.by);
    let done = match form.act.as_str() {
        "revoke" => tokens::revoke(actors, by, &slug, &form.id).await.map(|token| {
            let text = format!("Token {} revoked. Its next call gets 401.", token.name);
            (Some(Toast::done(text)), None)
        }),
        "rotate" => {
            let overlap_seconds = figure(&form.overlap, "The overlap")?;
            let made = tokens::rotate(actors, by, &slug, &form.id, RotateToken { overlap_seconds }).await;
            made.map(|made| (None, Some(reveal(made, &slug))))
        }
        _ => match wanted(&form) {
            Ok(input) => tokens::create(actors, by, &slug, input).await.map(|made| (None, Some(reveal(made, &slug)))),
            Err(error) => Err(error),
        },
    };
    match done {
        Ok((toast, reveal)) => {
            let built = build(&visit, &slug, Look::default()).await?;
            Ok(page(StatusCode::OK, &Page { shell: built.shell.saying(toast), reveal, ..built }))
        }
        Err(error) if form.act == "create" => {
            let look = Look { new: Some(String::new()), ..Look::default() };
            let built = build(&visit, &slug, look).await?;
            let problem = said(&error);
            Ok(page(status_of(&error), &Page { form, problem, ..built }))
        }
        Err(error) => {
            let built = build(&visit, &slug, Look::default()).await?;
            let shell = built.shell.saying(Some(Toast::refused(&error)));
            Ok(page(status_of(&error), &Page { shell, ..built }))
        }
    }
}

/// Whether a token was used, for whoever waits for its first call.
#[derive(Template)]
#[template(path = "workspace/seen.html")]
struct Seen {
    slug: String,
    id: String,
    name: String,
    used: Option<Timestamp>,
    client: Option<String>,
    now: Timestamp,
}

/// Says whether a token was used. Asked again and again until it was.
pub async fn seen(visit: Visit, path: Path<(String, String)>) -> Answer {
    let (slug, id) = path.into_inner();
    let token = tokens::get(visit.actors(), &visit.by, &slug, &id).await?;
    let client = super::connect::client_of(&visit, &slug, &token.name).await?;
    let now = clock::now();
    Ok(page(StatusCode::OK, &Seen { slug, id, name: token.name, used: token.last_used_at, client, now }))
}
