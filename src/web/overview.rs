//! `/overview`: what happened in the namespace, and what needs somebody.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use askama::Template;
use chrono::TimeDelta;

use crate::{
    admin::{
        analytics::{self, UsageQuery},
        audit::{self, AuditQuery},
        dto::{AuditEntry, MemberStatus, Server, Token, TokenStatus},
        servers, standing, team, tokens, workspaces,
    },
    domain::role::Role,
    error::Result,
    web::{
        page,
        shell::{Noun, Shell},
        show, standing_of,
        visit::{Answer, Visit},
        workspace::everything,
    },
};

/// Entries of the audit log on the page.
const ENTRIES: u64 = 5;
/// Days before an open invitation is worth a line.
const INVITED_DAYS: i64 = 3;

/// Calls of some days, counted.
#[derive(Default)]
struct Counted {
    calls: u64,
    errors: u64,
    people: usize,
    servers: BTreeMap<String, u64>,
}

/// A server on the page.
struct ServerRow {
    one: Server,
    state: String,
    calls: u64,
}

/// Something that somebody should do.
struct Need {
    state: String,
    text: String,
    act: (String, String),
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Page {
    shell: Shell,
    today: Counted,
    week: Counted,
    servers: Vec<ServerRow>,
    up: usize,
    failed: usize,
    workspaces: Vec<String>,
    tokens: u64,
    needs: Vec<Need>,
    audit: Vec<AuditEntry>,
    host: String,
}

impl Page {
    /// Whether a team works with it already; before that the page shows the way there.
    fn begun(&self) -> bool {
        !self.servers.is_empty() && !self.workspaces.is_empty() && self.tokens > 0
    }
    fn date(&self) -> String {
        self.shell.now.format("%A %-d %B").to_string()
    }
    /// The workspace that buttons lead to.
    fn first(&self) -> &str {
        self.workspaces.first().map_or("", String::as_str)
    }
    fn tokens_link(&self) -> String {
        match self.workspaces.as_slice() {
            [] => "/workspaces?new".into(),
            [one] => format!("/workspaces/{one}/tokens?new"),
            _ => "/workspaces".into(),
        }
    }
}

async fn counted(visit: &Visit, slugs: &[String], period: &str) -> Result<Counted> {
    let mut sum = Counted::default();
    let mut people: Vec<String> = Vec::new();
    for slug in slugs {
        let query = UsageQuery { period: Some(period.to_owned()), ..UsageQuery::default() };
        for row in analytics::usage(visit.actors(), &visit.by, slug, &query).await?.data {
            sum.calls += row.calls;
            sum.errors += row.errors;
            *sum.servers.entry(row.server).or_default() += row.calls;
            people.push(row.user);
        }
    }
    people.sort_unstable();
    people.dedup();
    sum.people = people.len();
    Ok(sum)
}

async fn needs(visit: &Visit, slugs: &[String], servers: &[ServerRow], shell: &Shell) -> Result<Vec<Need>> {
    let mut needs = Vec::new();
    for row in servers {
        let def = visit.actors().catalog.load().servers.values().find(|def| def.id.to_string() == row.one.id).cloned();
        let Some(standing::Standing::Failed { why }) = def.map(|def| standing::of(visit.actors(), &def, None)) else {
            continue;
        };
        needs.push(Need {
            state: show::state("fail", &format!("{} does not answer", row.one.slug)),
            text: why,
            act: ("Open".into(), format!("/servers/{}", row.one.slug)),
        });
    }
    for slug in slugs {
        let listed = tokens::list(visit.actors(), &visit.by, slug, &everything()).await?.data;
        // What was made for an hour (a demo's token, that of the playground) needs nobody when the hour is over.
        let lasting = |token: &Token| token.expires_at.is_some_and(|end| end - token.created_at > TimeDelta::hours(1));
        let soon = listed.into_iter().filter(|token| token.status == TokenStatus::Active && token.expires_soon);
        let soon = soon.filter(lasting);
        needs.extend(soon.filter_map(|token| {
            let left = show::left(token.expires_at?, shell.now);
            Some(Need {
                state: show::state("wait", &format!("{} expires in {left}", token.name)),
                text: format!("a token of {slug}"),
                act: ("Rotate".into(), format!("/workspaces/{slug}/tokens?rotate={}", token.id)),
            })
        }));
    }
    let invited = team::list(visit.actors(), &visit.by, &everything()).await?.data;
    for one in invited.iter().filter(|one| one.status == MemberStatus::Pending) {
        let days = one.invited_at.map_or(0, |at| (shell.now - at).num_days());
        if days < INVITED_DAYS {
            continue;
        }
        let left = one.expires_at.map(|end| format!(", the link is valid {} more", show::left(end, shell.now)));
        needs.push(Need {
            state: show::state("idle", &format!("Invitation to {} pending", one.member)),
            text: format!("sent {days} days ago{}", left.unwrap_or_default()),
            act: ("Open".into(), "/team".into()),
        });
    }
    Ok(needs)
}

/// Shows it.
pub async fn show(visit: Visit) -> Answer {
    let shell = visit.shell(Noun::Overview, "", "Overview").await?;
    let actors = visit.actors();
    let places = workspaces::list(actors, &visit.by, &everything()).await?.data;
    let tokens = places.iter().map(|place| place.active_tokens).sum();
    let slugs: Vec<String> = places.into_iter().map(|place| place.slug).collect();
    let (today, week) = (counted(&visit, &slugs, "24h").await?, counted(&visit, &slugs, "7d").await?);
    let mut rows = Vec::new();
    let (mut up, mut failed) = (0, 0);
    if visit.by.role >= Role::Member {
        for one in servers::list(actors, &visit.by, &everything()).await?.data {
            let def = actors.catalog.load().servers.values().find(|def| def.id.to_string() == one.id).cloned();
            let found = def.map_or(standing::Standing::Idle, |def| standing::of(actors, &def, None));
            up += usize::from(matches!(found, standing::Standing::Running { .. }));
            failed +=
                usize::from(matches!(found, standing::Standing::Failed { .. } | standing::Standing::Resting { .. }));
            let calls = today.servers.get(&one.slug).copied().unwrap_or(0);
            rows.push(ServerRow { one, state: standing_of(&found).0, calls });
        }
    }
    let (mut wanted, mut entries) = (Vec::new(), Vec::new());
    if visit.administers() {
        wanted = needs(&visit, &slugs, &rows, &shell).await?;
        entries = audit::of_namespace(actors, &visit.by, AuditQuery { limit: Some(ENTRIES), ..AuditQuery::default() })
            .await?
            .data;
    }
    let host = actors.public_url.host_str().unwrap_or_default().to_owned();
    Ok(page(
        StatusCode::OK,
        &Page {
            shell,
            today,
            week,
            servers: rows,
            up,
            failed,
            workspaces: slugs,
            tokens,
            needs: wanted,
            audit: entries,
            host,
        },
    ))
}
