//! For operators: `/livez` and `/readyz` on the main port, `/health/actors` and `/metrics` on a listener of their own
//! (loopback by default), so that editors never reach them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use actix_web::{HttpResponse, http::header, web};
use serde_json::json;

use crate::actors::{Actors, health::ActorState};

/// Whether the gateway takes requests. Ready once every start-up step is done; not ready again when it stops.
#[derive(Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Start-up is done.
    pub fn ready(&self) {
        self.0.store(true, SeqCst);
    }
    /// The stop has begun.
    pub fn stopping(&self) {
        self.0.store(false, SeqCst);
    }
    /// Whether requests are taken.
    pub fn is_ready(&self) -> bool {
        self.0.load(SeqCst)
    }
}

/// What the operators' routes look at.
pub struct Ops {
    /// Everything that runs.
    pub actors: Arc<Actors>,
    /// Start-up and stop.
    pub readiness: Readiness,
}

/// Probes, on the main port: words only, no detail.
pub fn probes(service: &mut web::ServiceConfig) {
    service
        .service(web::resource("/livez").route(web::get().to(livez)))
        .service(web::resource(["/readyz", "/healthz"]).route(web::get().to(readyz)));
}

/// Everything, on the operators' listener.
pub fn configure(service: &mut web::ServiceConfig) {
    probes(service);
    service
        .service(web::resource("/health/actors").route(web::get().to(actors)))
        .service(web::resource("/health/actors/{name:.*}").route(web::get().to(actor)))
        .service(web::resource("/metrics").route(web::get().to(metrics)))
        .default_service(web::to(|| async {
            HttpResponse::NotFound().json(json!({ "title": "Not found", "status": 404,
                "detail": "Served here: /livez, /readyz, /health/actors, /health/actors/{name}, /metrics" }))
        }));
}

async fn livez() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "pass" }))
}

async fn readyz(ops: web::Data<Ops>) -> HttpResponse {
    let mut not_ready: Vec<String> = Vec::new();
    if !ops.readiness.is_ready() {
        not_ready.push("starting or stopping".into());
    }
    not_ready.extend(ops.actors.runtime.board().unready().into_iter().map(|name| format!("actor {name}")));
    if ops.actors.store.ping().await.is_err() {
        not_ready.push("database".into());
    }
    if not_ready.is_empty() {
        return HttpResponse::Ok().json(json!({ "status": "pass" }));
    }
    HttpResponse::ServiceUnavailable()
        .insert_header((header::RETRY_AFTER, 1))
        .json(json!({ "status": "fail", "not_ready": not_ready }))
}

async fn actors(ops: web::Data<Ops>) -> HttpResponse {
    let reports = ops.actors.runtime.board().reports();
    let failed = reports.iter().any(|one| one.critical && one.state != ActorState::Running);
    let warned = reports.iter().any(|one| !matches!(one.state, ActorState::Running | ActorState::Stopped));
    let status = if failed {
        "fail"
    } else if warned {
        "warn"
    } else {
        "pass"
    };
    let mut response = if failed { HttpResponse::ServiceUnavailable() } else { HttpResponse::Ok() };
    response.json(json!({ "status": status, "actors": reports, "streams": ops.actors.streams.observe() }))
}

async fn actor(ops: web::Data<Ops>, name: web::Path<String>) -> HttpResponse {
    match ops.actors.runtime.board().report(&name).await {
        Some(report) => HttpResponse::Ok().json(report),
        None => HttpResponse::NotFound().json(json!({ "title": format!("No actor \"{name}\""), "status": 404,
            "detail": "GET /health/actors lists them" })),
    }
}

async fn metrics(ops: web::Data<Ops>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8"))
        .body(ops.actors.metrics.render(&ops.actors))
}
