//! `/overview`: what happened in the namespace, and what needs somebody.

use actix_web::http::StatusCode;
use askama::Template;
use chrono::{NaiveTime, TimeDelta};
use serde::Deserialize;

use crate::{
    admin::{
        audit::{self, AuditQuery},
        dto::{AuditEntry, Figures, MemberStatus, Overview, Point, Server, Subject, VolumeLayer},
        figures::{self, FiguresQuery, TableQuery},
        naming,
        overview::{self, OverviewQuery},
        servers, standing, team, workspaces,
    },
    domain::role::Role,
    error::Result,
    web::{
        go_to, page,
        shell::{Noun, Shell, said},
        show::{self, figures::LAYERS},
        standing_of, status_of,
        visit::{Answer, Visit},
        workspace::everything,
    },
};

/// Entries of the audit log on the page.
const ENTRIES: u64 = 8;
/// Servers whose calls are looked up.
const SERVERS: usize = 500;
/// Days before an open invitation is worth a line.
const INVITED_DAYS: i64 = 3;
/// A moment in a query.
const EXACT: &str = "%Y-%m-%dT%H:%M:%SZ";

/// A server on the page.
struct ServerRow {
    one: Server,
    state: String,
    calls: u64,
    p95: Option<u64>,
}

/// Something that somebody should do.
struct Need {
    state: String,
    text: String,
    act: (String, String),
}

/// The name of a namespace that nothing goes by yet.
struct Naming {
    /// Whether it can be changed.
    open: bool,
    /// What was typed, at first the present one.
    name: String,
    problem: String,
}

/// The form of the page: another name for the namespace.
#[derive(Debug, Deserialize)]
struct Form {
    name: String,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Page {
    shell: Shell,
    all: Overview,
    figures: Figures,
    servers: Vec<ServerRow>,
    up: usize,
    failed: usize,
    workspaces: Vec<String>,
    tokens: u64,
    needs: Vec<Need>,
    audit: Vec<AuditEntry>,
    host: String,
    url: String,
    naming: Naming,
}

impl Page {
    /// Whether a team works with it already; before that the page shows the way there.
    fn begun(&self) -> bool {
        !self.servers.is_empty() && !self.workspaces.is_empty() && self.tokens > 0
    }
    fn date(&self) -> String {
        self.shell.now.format("%A %-d %B").to_string()
    }
    /// Today's calls, or those of them that failed.
    fn today_link(&self, failed: bool) -> String {
        let midnight = self.shell.now.date_naive().and_time(NaiveTime::MIN).and_utc();
        show::figures::behind("", midnight, if failed { &[("show", "failed")] } else { &[] })
    }
    /// A server's calls among those of the figures.
    fn server_link(&self, row: &ServerRow) -> String {
        show::figures::behind("", self.figures.from, &[("server", &row.one.slug)])
    }
    /// The calls of a step.
    fn step_link(&self, point: &Point) -> String {
        let seconds = i64::try_from(self.figures.step_seconds).unwrap_or_default();
        let to = (point.at + TimeDelta::seconds(seconds)).format(EXACT).to_string();
        show::figures::behind("", point.at, &[("to", &to)])
    }
    fn layer_calls(&self, layer: &VolumeLayer, nth: &usize) -> u64 {
        layer.calls.get(*nth).copied().unwrap_or(0)
    }
    fn tokens_link(&self) -> String {
        match self.workspaces.as_slice() {
            [] => "/workspaces?new".into(),
            [one] => format!("/workspaces/{one}/tokens?new"),
            _ => "/workspaces".into(),
        }
    }
}

async fn needs(visit: &Visit, all: &Overview, servers: &[ServerRow], shell: &Shell) -> Result<Vec<Need>> {
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
    for one in &all.unusual {
        let text = match one.is_new {
            true => format!("a new token of {}: {} calls in a day", one.workspace, show::number(one.calls)),
            false => format!(
                "{} calls in a day, {} on its busiest before",
                show::number(one.calls),
                show::number(one.busiest_day)
            ),
        };
        needs.push(Need {
            state: show::state("fail", &format!("{} is unlike itself", one.user)),
            text,
            act: ("Look".into(), format!("/workspaces/{}/calls?user={}", one.workspace, show::part(&one.user))),
        });
    }
    for one in &all.expiring {
        needs.push(Need {
            state: show::state("wait", &format!("{} expires in {}", one.user, show::left(one.expires_at, shell.now))),
            text: format!("a token of {}", one.workspace),
            act: ("Rotate".into(), format!("/workspaces/{}/tokens?rotate={}", one.workspace, one.token)),
        });
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
    Ok(page(StatusCode::OK, &build(&visit).await?))
}

/// Gives the namespace another name.
pub async fn submit(visit: Visit) -> Answer {
    let form: Form = visit.form()?;
    match naming::rename(visit.actors(), &visit.by, &form.name).await {
        Ok(_) => Ok(go_to("/overview")),
        Err(error) => {
            let built = build(&visit).await?;
            let naming = Naming { name: form.name, problem: said(&error), ..built.naming };
            Ok(page(status_of(&error), &Page { naming, ..built }))
        }
    }
}

async fn build(visit: &Visit) -> Result<Page> {
    let shell = visit.shell(Noun::Overview, "", "Overview").await?;
    let actors = visit.actors();
    let places = workspaces::list(actors, &visit.by, &everything()).await?.data;
    let tokens = places.iter().map(|place| place.active_tokens).sum();
    let slugs: Vec<String> = places.into_iter().map(|place| place.slug).collect();
    let all = overview::overview(actors, &visit.by, OverviewQuery::default()).await?;
    let day = Some("24h".to_owned());
    let query = FiguresQuery { period: day.clone(), top: Some(LAYERS), ..FiguresQuery::default() };
    let figures = figures::figures(actors, &visit.by, None, &query).await?;
    let query = TableQuery { period: day, by: Subject::Server, limit: Some(SERVERS), ..TableQuery::default() };
    let called = figures::table(actors, &visit.by, None, &query).await?.data;
    let mut rows = Vec::new();
    let (mut up, mut failed) = (0, 0);
    if visit.by.role >= Role::Member {
        for one in servers::list(actors, &visit.by, &everything()).await?.data {
            let def = actors.catalog.load().servers.values().find(|def| def.id.to_string() == one.id).cloned();
            let found = def.map_or(standing::Standing::Idle, |def| standing::of(actors, &def, None));
            up += usize::from(matches!(found, standing::Standing::Running { .. }));
            failed +=
                usize::from(matches!(found, standing::Standing::Failed { .. } | standing::Standing::Resting { .. }));
            let sums = called.iter().find(|row| row.name == one.slug).map(|row| row.sums.clone()).unwrap_or_default();
            rows.push(ServerRow { one, state: standing_of(&found).0, calls: sums.calls, p95: sums.p95_us });
        }
    }
    let (mut wanted, mut entries) = (Vec::new(), Vec::new());
    if visit.administers() {
        wanted = needs(visit, &all, &rows, &shell).await?;
        entries = audit::of_namespace(actors, &visit.by, AuditQuery { limit: Some(ENTRIES), ..AuditQuery::default() })
            .await?
            .data;
    }
    let host = actors.public_url.host_str().unwrap_or_default().to_owned();
    let url = actors.public_url.as_str().trim_end_matches('/').to_owned();
    let open = naming::is_open(actors, &visit.by).await?;
    let naming = Naming { open, name: shell.namespace.clone(), problem: String::new() };
    Ok(Page {
        shell,
        all,
        figures,
        servers: rows,
        up,
        failed,
        workspaces: slugs,
        tokens,
        needs: wanted,
        audit: entries,
        host,
        url,
        naming,
    })
}
