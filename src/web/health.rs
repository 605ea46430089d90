//! `/health`: the actors, and the operator's hand: start one anew.

use actix_web::{http::StatusCode, web};
use askama::Template;
use serde::Deserialize;

use crate::{
    actors::health::{ActorReport, ActorState},
    admin::actors::{self as board, ActorHealth},
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
    status: &'static str,
    rows: Vec<Row>,
    all: usize,
    trouble: usize,
    restarts: u64,
    streams: usize,
    calls: usize,
}

impl Page {
    fn sentence(&self) -> String {
        match self.status {
            "pass" => format!("All {} actors are fine.", self.all),
            "warn" => format!(
                "Degraded: {} of {} actors are fine, the gateway is serving.",
                self.all - self.trouble,
                self.all
            ),
            _ => "An actor that the gateway needs does not run.".to_owned(),
        }
    }
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
    let health = board::list(visit.actors(), &visit.by)?;
    let shell = visit.shell(Noun::Health, "", "Health").await?;
    let all = health.actors.len();
    let trouble = health.actors.iter().filter(|one| one.state != ActorState::Running).count();
    let restarts = health.actors.iter().map(|one| one.restarts).sum();
    let streams = health.actors.iter().filter(|one| one.name.starts_with("ClientSession/")).count();
    let calls = visit.actors().calls.load(std::sync::atomic::Ordering::Relaxed);
    let status = health.status;
    let rows = rows(health, look.show == "trouble");
    Ok(Page { shell, look, status, rows, all, trouble, restarts, streams, calls })
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
