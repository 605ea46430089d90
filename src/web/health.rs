//! `/health`: the actors, and the operator's hand: start one anew; the databases, the disk, the versions, and all of it in
//! one file for whoever helps.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
    web,
};
use askama::Template;
use serde::Deserialize;

use crate::{
    actors::health::{ActorReport, ActorState},
    admin::{
        actors::{self as board, ActorHealth},
        dto::{DatabaseHealth, DiskHealth, Health, SchemaSteps},
        health, support_bundle,
    },
    domain::clock,
    error::Result,
    web::{
        page,
        shell::{Noun, Shell, Toast},
        show, status_of,
        visit::{Answer, Visit},
    },
};

/// What is looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Look {
    /// `trouble`: only those that do not run.
    show: String,
}

/// The form.
#[derive(Debug, Clone, Deserialize)]
pub struct Form {
    name: String,
}

/// Actors of one kind that are many: limiters of tokens, lanes on threads.
struct Row {
    kind: String,
    instance: String,
    report: ActorReport,
    many: usize,
}

#[derive(Template)]
#[template(path = "health.html")]
struct Page {
    shell: Shell,
    look: Look,
    rows: Vec<Row>,
    all: usize,
    trouble: usize,
    now: Health,
}

impl Page {
    fn sentence(&self) -> String {
        if !self.now.database.reachable {
            return "The database does not answer.".to_owned();
        }
        match self.now.status.as_str() {
            "pass" => format!("All {} actors are fine.", self.all),
            "warn" => format!(
                "Degraded: {} of {} actors are fine, the gateway is serving.",
                self.all - self.trouble,
                self.all
            ),
            _ if self.now.disk.error.is_some() => "The disk of the data folder does not answer.".to_owned(),
            _ => "An actor that the gateway needs does not run.".to_owned(),
        }
    }
    fn database(&self) -> &DatabaseHealth {
        &self.now.database
    }
    fn disk(&self) -> &DiskHealth {
        &self.now.disk
    }
    /// What the databases take, together.
    fn database_bytes(&self) -> Option<u64> {
        let one = &self.now.database;
        one.state_bytes.map(|bytes| bytes.saturating_add(one.analytics_bytes.unwrap_or_default()))
    }
    /// What kind of database, and how soon it answers.
    fn database_means(&self) -> String {
        let one = &self.now.database;
        match one.latency_ms {
            Some(ms) => format!("{} answers in {ms:.1} ms", product(one)),
            None => format!("{} does not answer", product(one)),
        }
    }
    fn disk_means(&self) -> String {
        match self.now.disk.total_bytes {
            Some(total) => format!("of {}", show::bytes(total)),
            None => "not known".to_owned(),
        }
    }
}

/// What the database program is called.
fn product(one: &DatabaseHealth) -> &'static str {
    if one.kind == "sqlite" { "SQLite" } else { "PostgreSQL" }
}

/// Bytes as a large figure, its unit smaller.
fn large(bytes: Option<u64>) -> String {
    let Some(bytes) = bytes else { return r#"<span class="dim">–</span>"#.into() };
    let said = show::bytes(bytes);
    let (figure, unit) = said.split_once(' ').unwrap_or((&said, ""));
    format!("{figure}<small>{unit}</small>")
}

/// Bytes, or that they are not known.
fn size(bytes: Option<&u64>) -> String {
    bytes.map_or_else(|| r#"<span class="dim">not known</span>"#.into(), |bytes| show::bytes(*bytes))
}

/// The steps of a schema: all of them, or how many are missing.
fn steps(of: Option<&SchemaSteps>) -> String {
    let Some(of) = of else { return r#"<span class="dim">not known</span>"#.into() };
    let newest = show::text(&of.newest);
    let said = match of.applied == of.known {
        true => format!("all {} migrations applied", of.known),
        false => format!("{} of {} migrations applied", of.applied, of.known),
    };
    format!(r#"{said}<span class="dim small any"> up to <code>{newest}</code></span>"#)
}

fn state(report: &ActorReport) -> String {
    match report.state {
        ActorState::Running => show::state("run", "running"),
        ActorState::Restarting => show::state("wait", "restarting"),
        ActorState::Stalled => show::state("wait", "stalled"),
        ActorState::Failed => show::state("fail", "failed"),
        ActorState::Draining => show::state("idle", "draining"),
        ActorState::Stopped => show::state("gone", "stopped"),
    }
}

/// Milliseconds, or that there are none.
fn ms(value: f64) -> String {
    if value <= 0.0 { r#"<span class="dim">–</span>"#.into() } else { format!("{value:.1}") }
}

/// How full a mailbox is.
fn fill(report: &ActorReport) -> &'static str {
    match report.in_flight.saturating_mul(100) / report.max_in_flight.max(1) {
        0..40 => "",
        40..80 => "warn",
        _ => "bad",
    }
}

/// One line for each kind whose instances are all alike and fine; those in trouble have their own.
fn rows(health: ActorHealth, trouble_only: bool) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for report in health.actors {
        let fine = report.state == ActorState::Running;
        if trouble_only && fine {
            continue;
        }
        let (kind, instance) = report.name.split_once('/').unwrap_or((&report.name, ""));
        let (kind, instance) = (kind.to_owned(), instance.to_owned());
        let many = matches!(kind.as_str(), "RateLimiter" | "UpstreamLane" | "ClientSession" | "ClientSessions") && fine;
        match rows.iter_mut().find(|row| many && row.kind == kind && row.many > 0) {
            Some(row) => {
                row.many += 1;
                row.report.restarts += report.restarts;
                row.report.in_flight = row.report.in_flight.max(report.in_flight);
            }
            None => rows.push(Row {
                instance: if many { String::new() } else { instance },
                kind,
                many: usize::from(many),
                report,
            }),
        }
    }
    rows
}

async fn build(visit: &Visit, look: Look) -> Result<Page> {
    let now = health::examine(visit.actors(), &visit.by).await?;
    let found = board::list(visit.actors(), &visit.by)?;
    let shell = visit.shell(Noun::Health, "", "Health").await?;
    let (all, trouble) = (now.actors, now.actors.saturating_sub(now.actors_running));
    let rows = rows(found, look.show == "trouble");
    Ok(Page { shell, look, rows, all, trouble, now })
}

/// Shows them.
pub async fn show(visit: Visit, look: web::Query<Look>) -> Answer {
    Ok(page(StatusCode::OK, &build(&visit, look.into_inner()).await?))
}

/// Starts one anew; then shows them.
pub async fn submit(visit: Visit) -> Answer {
    let form: Form = visit.form()?;
    let done = board::restart(visit.actors(), &visit.by, &form.name).await;
    let (status, toast) = match &done {
        Ok(report) => (StatusCode::OK, Toast::done(format!("{} is started anew.", report.name))),
        Err(error) => (status_of(error), Toast::refused(error)),
    };
    let built = build(&visit, Look::default()).await?;
    Ok(page(status, &Page { shell: built.shell.saying(Some(toast)), ..built }))
}

/// Everything that helps whoever looks for a fault, as a file.
pub async fn bundle(visit: Visit) -> Answer {
    let text = support_bundle::bundle(&visit.admin.actors, &visit.by).await?;
    let name = format!("aerostack-support-{}.json", clock::now().format("%Y-%m-%d"));
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .body(text))
}
