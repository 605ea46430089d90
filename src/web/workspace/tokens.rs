//! `/workspaces/{slug}/tokens`: the tokens of a workspace. A new one is shown in the answer to the form that made it, and
//! in no other: looking at the page again shows the list.

use std::{cmp::Ordering, collections::HashMap};

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
        request::{decode_cursor, encode_cursor},
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
    /// Where the page before ended.
    after: String,
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

/// Where a row stands in a list: by what it is sorted by, then by its token's id. Calls change the one meanwhile, so the
/// page after a row begins behind where that row stood.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Standing {
    key: String,
    id: String,
}

impl Standing {
    fn of(row: &Row, sort: &str) -> Self {
        let key = match sort {
            "name" => row.token.name.to_lowercase(),
            "used" => format!("{:020}", row.token.last_used_at.map_or(0, |at| at.timestamp_micros().max(0))),
            "calls" => format!("{:020}", row.calls),
            // Those that open nothing any more come last.
            _ => u8::from(row.token.active).to_string(),
        };
        Standing { key, id: row.token.id.clone() }
    }

    fn compare(&self, other: &Self, sort: &str) -> Ordering {
        let order = if sort == "name" { self.key.cmp(&other.key) } else { other.key.cmp(&self.key) };
        order.then_with(|| other.id.cmp(&self.id))
    }

    fn encode(&self) -> String {
        encode_cursor(&format!("{}.{}", self.key, self.id))
    }

    fn decode(cursor: &str) -> Result<Self> {
        let text = decode_cursor(cursor)?;
        let (key, id) = text.rsplit_once('.').unwrap_or((&text, ""));
        Ok(Standing { key: key.to_owned(), id: id.to_owned() })
    }
}

/// Sorts rows and cuts a page out of them: the rows behind `after`, and where it ends if there are more.
fn cut(rows: Vec<Row>, sort: &str, after: &str, most: usize) -> Result<(Vec<Row>, Option<String>)> {
    let after = Some(after).filter(|after| !after.is_empty()).map(Standing::decode).transpose()?;
    let mut rows: Vec<(Standing, Row)> = rows.into_iter().map(|row| (Standing::of(&row, sort), row)).collect();
    rows.retain(|(standing, _)| after.as_ref().is_none_or(|after| standing.compare(after, sort).is_gt()));
    rows.sort_by(|(a, _), (b, _)| a.compare(b, sort));
    let more = rows.len() > most;
    rows.truncate(most);
    let next = rows.last().filter(|_| more).map(|(standing, _)| standing.encode());
    Ok((rows.into_iter().map(|(_, row)| row).collect(), next))
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
    /// Where this page ends, if there are more.
    next: Option<String>,
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
        let next = self.next.as_deref()?;
        let (q, sort) = (show::part(&self.look.q), show::part(&self.look.sort));
        Some(self.link(&format!("q={q}&sort={sort}&after={next}")))
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
    let rows: Vec<Row> = listed.tokens.into_iter().filter(fits).map(row).collect();
    let fitting = rows.len();
    let (rows, next) = cut(rows, &look.sort, &look.after, SHOWN)?;
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
        next,
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
        "rotate" => match figure(&form.overlap, "The overlap") {
            Ok(overlap_seconds) => {
                let made = tokens::rotate(actors, by, &slug, &form.id, RotateToken { overlap_seconds }).await;
                made.map(|made| (None, Some(reveal(made, &slug))))
            }
            Err(error) => Err(error),
        },
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
            // The form of a rotation is open again.
            let rotate = if form.act == "rotate" { form.id } else { String::new() };
            let built = build(&visit, &slug, Look { rotate, ..Look::default() }).await?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{clock, ids::TokenId};

    fn row(name: &str, calls: u64) -> Row {
        let token = Token {
            id: TokenId::generate().to_string(),
            name: name.into(),
            hint: String::new(),
            created_at: clock::now(),
            expires_at: None,
            last_used_at: None,
            expires_soon: false,
            revoked_at: None,
            previous_until: None,
            requests_per_minute: None,
            scope: None,
            active: true,
            status: TokenStatus::Active,
        };
        Row { token, calls }
    }

    fn names(rows: &[Row]) -> Vec<&str> {
        rows.iter().map(|row| row.token.name.as_str()).collect()
    }

    #[test]
    fn no_token_is_on_two_pages_when_calls_arrive_between_them() {
        let all = [("a", 9), ("b", 7), ("c", 5), ("d", 5), ("e", 1)].map(|(name, calls)| row(name, calls));
        let now = |calls_of_e: u64| {
            let again = all.iter().map(|row| Row { token: row.token.clone(), calls: row.calls });
            let mut rows: Vec<Row> = again.collect();
            rows[4].calls = calls_of_e;
            rows
        };
        let (first, next) = cut(now(1), "calls", "", 2).unwrap();
        assert_eq!(names(&first), ["a", "b"]);
        // The last one is the first one now, and pushes the others down.
        let (second, end) = cut(now(100), "calls", &next.unwrap(), 2).unwrap();
        assert_eq!((names(&second), end), (vec!["d", "c"], None), "equal ones: the newest first");
        for (sort, order) in [("name", ["a", "b", "c", "d", "e"]), ("", ["e", "d", "c", "b", "a"])] {
            let (mut seen, mut after) = (Vec::new(), String::new());
            loop {
                let (rows, next) = cut(now(1), sort, &after, 2).unwrap();
                seen.extend(names(&rows).into_iter().map(str::to_owned));
                let Some(next) = next else { break };
                after = next;
            }
            assert_eq!(seen, order, "{sort}");
        }
        assert!(cut(now(1), "", "%", 2).is_err());
    }
}
