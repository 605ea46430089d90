//! The actors as operators see them, and the operator's hand: restart one.

use actix_web::{
    HttpResponse,
    web::{self, Path},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    actors::{
        Actors,
        health::{ActorReport, ActorState},
    },
    admin::{
        Admin,
        auth::{Caller, require_installation},
        openapi::Problems,
        reply::Reply,
        request::{Nothing, Query},
    },
    domain::{near, role::Principal},
    error::{Error, Result, err},
    store::audit::AuditEntry,
};

/// All actors and how they are together.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActorHealth {
    /// `pass`, `warn` (one is being restarted or has failed) or `fail` (a critical one does not run).
    pub status: &'static str,
    /// One report each, by name.
    pub actors: Vec<ActorReport>,
}

const WHAT: &str = "see and restart its actors";

/// The health board.
pub fn list(actors: &Actors, by: &Principal) -> Result<ActorHealth> {
    require_installation(actors, by, WHAT)?;
    let reports = actors.runtime.board().reports();
    let status = match () {
        () if !actors.runtime.board().unready().is_empty() => "fail",
        () if reports.iter().any(|report| report.state != ActorState::Running) => "warn",
        () => "pass",
    };
    Ok(ActorHealth { status, actors: reports })
}

/// One actor, asked now.
pub async fn get(actors: &Actors, by: &Principal, name: &str) -> Result<ActorReport> {
    require_installation(actors, by, WHAT)?;
    actors.runtime.board().report(name).await.ok_or_else(|| unknown(actors, name))
}

/// Ends an actor's present incarnation; its supervisor starts a fresh one. It is written down first.
pub async fn restart(actors: &Actors, by: &Principal, name: &str) -> Result<ActorReport> {
    require_installation(actors, by, WHAT)?;
    if !actors.runtime.board().reports().iter().any(|report| report.name == name) {
        return Err(unknown(actors, name));
    }
    let entry = AuditEntry::new(by, "actor_restarted", ("actor", name));
    actors.store.write(move |tx| Box::pin(async move { tx.audit(entry).await })).await?;
    if !actors.runtime.board().restart(name) {
        return Err(unknown(actors, name));
    }
    tracing::warn!(actor = name, by = %by.label, "restarted by hand");
    actors.runtime.board().report(name).await.ok_or_else(|| unknown(actors, name))
}

fn unknown(actors: &Actors, name: &str) -> Error {
    let reports = actors.runtime.board().reports();
    err::not_found(near::no_such("actor", name, reports.iter().map(|report| report.name.as_str())))
}

/// List actors
#[utoipa::path(get, path = "/api/v1/admin/actors", tag = "system", responses((status = 200, body = ActorHealth), Problems))]
pub async fn list_route(admin: web::Data<Admin>, by: Caller, _: Query<Nothing>) -> Reply {
    Ok(HttpResponse::Ok().json(list(&admin.actors, &by.0)?))
}

/// Show an actor
#[utoipa::path(get, path = "/api/v1/admin/actors/{name}", tag = "system", params(("name" = String, Path)),
    responses((status = 200, body = ActorReport), Problems))]
pub async fn get_route(admin: web::Data<Admin>, by: Caller, name: Path<String>, _: Query<Nothing>) -> Reply {
    Ok(HttpResponse::Ok().json(get(&admin.actors, &by.0, &name).await?))
}

/// Restart an actor
#[utoipa::path(post, path = "/api/v1/admin/actors/{name}/restart", tag = "system", params(("name" = String, Path)),
    responses((status = 200, body = ActorReport), Problems))]
pub async fn restart_route(admin: web::Data<Admin>, by: Caller, name: Path<String>, _: Query<Nothing>) -> Reply {
    Ok(HttpResponse::Ok().json(restart(&admin.actors, &by.0, &name).await?))
}
