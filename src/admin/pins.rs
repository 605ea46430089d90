//! Pins: which definitions of an installed server's tools are approved, which wait, how the two differ, and deciding.
//! A decision names the fingerprint of what was looked at: what changed meanwhile is not decided about.

use actix_web::{
    HttpResponse,
    web::{self, Path},
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    actors::{Actors, workspace_catalog::DecidePins as Decide},
    admin::{
        Admin,
        auth::Caller,
        dto::{DecidePins, Page, Pin, PinDecision, ToolState},
        installations, installed_tools,
        openapi::Problems,
        reply::Reply,
        request::{Json, Nothing, Paging, Query, page},
    },
    domain::{
        definition::Fingerprint,
        definition_diff,
        ids::ServerId,
        near,
        role::{Principal, Role},
    },
    error::{Error, Result, err},
    store::{
        servers::InstallationRecord,
        tool_pins::{self, PinDetail},
    },
};

/// Fewest digits of a fingerprint that a decision may be made by.
const DIGITS: usize = 12;
/// Most definitions that one request decides about.
const AT_ONCE: usize = 2000;

/// Which pins, and which page of them.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// Only this tool (its own name), with how its definitions differ.
    pub tool: Option<String>,
    /// Items on a page: 50 unless given, at most 500.
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

fn dto(detail: PinDetail) -> Pin {
    let pin = detail.pin;
    let state = match (pin.seen.is_some(), pin.rejected, pin.approved.is_some()) {
        (false, ..) => ToolState::Offered,
        (true, true, _) => ToolState::Rejected,
        (true, false, true) => ToolState::WaitingChanged,
        (true, false, false) => ToolState::WaitingNew,
    };
    Pin {
        tool: pin.tool,
        state,
        approved: pin.approved.map(|print| print.to_string()),
        waiting: pin.seen.map(|print| print.to_string()),
        seen_at: detail.seen_at,
        decided_by: detail.decided_by,
        decided_at: detail.decided_at,
        diff: Vec::new(),
    }
}

async fn of(actors: &Actors, installation: &InstallationRecord) -> Result<Vec<PinDetail>> {
    let id = installation.id;
    actors.store.read(move |db| async move { tool_pins::of_installation(&db, id).await }).await
}

/// The pins of an installation by tool, or one with its difference.
pub async fn list(actors: &Actors, by: &Principal, (slug, server): (&str, &str), which: Which) -> Result<Page<Pin>> {
    by.require(Role::Viewer)?;
    let (_, server, record) = installations::find(actors, by, slug, server).await?;
    let pins = of(actors, &record).await?;
    let Which { tool, limit, cursor } = which;
    let Some(tool) = tool else {
        let pins = pins.into_iter().map(dto).collect();
        return page(pins, &Paging { limit, cursor }, |pin| pin.tool.clone());
    };
    let own = own_name(actors, slug, server.id, &tool);
    let known: Vec<String> = pins.iter().map(|detail| detail.pin.tool.clone()).collect();
    let found = pins.into_iter().find(|detail| detail.pin.tool == own);
    let found = found.ok_or_else(|| unknown(&known, &tool, (slug, &server.slug)))?;
    // Long definitions take a moment: not on a worker's loop.
    let data = web::block(move || vec![with_diff(found)]).await;
    Ok(Page { data: data.map_err(|cause| Error::internal("comparing definitions", cause))?, next_cursor: None })
}

/// The server's own name of a tool that may be named as clients see it.
fn own_name(actors: &Actors, slug: &str, server: ServerId, tool: &str) -> String {
    let one = installed_tools::installed(actors, slug, server);
    let named = one.and_then(|one| {
        let own = one.tools().find(|(item, _)| *item.name == *tool);
        let own = own.or_else(|| one.tools().find(|(item, _)| *one.policy.exposed(&one.prefix, &item.name) == *tool));
        own.map(|(item, _)| item.name.to_string())
    });
    named.unwrap_or_else(|| tool.to_owned())
}

fn unknown(known: &[String], tool: &str, (slug, server): (&str, &str)) -> Error {
    err::not_found(near::no_such(&format!("pinned tool of {server}"), tool, known.iter().map(String::as_str)))
        .with_hint(format!("aerostack mcp pins list {server} --workspace {slug}"))
}

fn with_diff(detail: PinDetail) -> Pin {
    let diff = detail.seen.as_ref().map(|now| definition_diff::diff(detail.approved.as_deref(), now));
    Pin { diff: diff.unwrap_or_default(), ..dto(detail) }
}

/// Approves or rejects what waits.
pub async fn decide(
    actors: &Actors,
    by: &Principal,
    (slug, server): (&str, &str),
    (approve, input): (bool, DecidePins),
) -> Result<Page<Pin>> {
    by.require(Role::Admin)?;
    let (workspace, server, record) = installations::find(actors, by, slug, server).await?;
    if input.tools.is_empty() || input.tools.len() > AT_ONCE {
        return Err(err::validation(format!("Name 1 to {AT_ONCE} tools")));
    }
    let pins = of(actors, &record).await?;
    let mut tools = Vec::with_capacity(input.tools.len());
    for PinDecision { tool, fingerprint } in &input.tools {
        let own = own_name(actors, slug, server.id, tool);
        let known: Vec<String> = pins.iter().map(|detail| detail.pin.tool.clone()).collect();
        let pin = pins.iter().find(|detail| detail.pin.tool == own).map(|detail| &detail.pin);
        let pin = pin.ok_or_else(|| unknown(&known, tool, (slug, &server.slug)))?;
        tools.push((own, looked_at(pin.seen, fingerprint, tool, (slug, &server.slug))?));
    }
    let named: Vec<String> = tools.iter().map(|(tool, _)| tool.clone()).collect();
    let change = Decide { workspace: workspace.id, server: server.id, tools, approve, by: by.clone() };
    actors.catalog.apply(change).await?;
    let pins = of(actors, &record).await?.into_iter().filter(|detail| named.contains(&detail.pin.tool));
    Ok(Page { data: pins.map(dto).collect(), next_cursor: None })
}

/// The definition that waits, if it is the one that was looked at.
fn looked_at(
    waiting: Option<Fingerprint>,
    fingerprint: &str,
    tool: &str,
    (slug, server): (&str, &str),
) -> Result<Fingerprint> {
    let again = format!("aerostack mcp pins diff {server} \"{tool}\" --workspace {slug}");
    let Some(waiting) = waiting else {
        return Err(err::conflict(format!("No definition of \"{}\" waits for a decision", near::shown(tool)))
            .with_hint(format!("aerostack mcp pins list {server} --workspace {slug}")));
    };
    if fingerprint.len() < DIGITS {
        return Err(err::validation(format!("A fingerprint has at least {DIGITS} hex digits")).with_hint(again));
    }
    if !waiting.to_string().starts_with(&fingerprint.to_ascii_lowercase()) {
        let shown = near::shown(tool);
        return Err(err::conflict(format!(
            "The definition of \"{shown}\" that waits is not the one with this fingerprint"
        ))
        .with_hint(format!("look again: {again}")));
    }
    Ok(waiting)
}

/// List pins, or show how one tool's definitions differ
#[utoipa::path(get, path = "/api/v1/admin/workspaces/{slug}/servers/{server}/pins", tag = "installations",
    params(("slug" = String, Path), ("server" = String, Path), Which), responses((status = 200, body = Page<Pin>), Problems))]
pub async fn list_route(
    admin: web::Data<Admin>,
    by: Caller,
    path: Path<(String, String)>,
    which: Query<Which>,
) -> Reply {
    Ok(HttpResponse::Ok().json(list(&admin.actors, &by.0, (&path.0, &path.1), which.0).await?))
}

/// Approve definitions that wait
#[utoipa::path(post, path = "/api/v1/admin/workspaces/{slug}/servers/{server}/pins:approve", tag = "installations",
    params(("slug" = String, Path), ("server" = String, Path)), request_body = DecidePins,
    responses((status = 200, description = "The pins that were decided about", body = Page<Pin>), Problems))]
pub async fn approve_route(
    admin: web::Data<Admin>,
    by: Caller,
    path: Path<(String, String)>,
    _: Query<Nothing>,
    body: Json<DecidePins>,
) -> Reply {
    Ok(HttpResponse::Ok().json(decide(&admin.actors, &by.0, (&path.0, &path.1), (true, body.0)).await?))
}

/// Reject definitions that wait
#[utoipa::path(post, path = "/api/v1/admin/workspaces/{slug}/servers/{server}/pins:reject", tag = "installations",
    params(("slug" = String, Path), ("server" = String, Path)), request_body = DecidePins,
    responses((status = 200, description = "The pins that were decided about", body = Page<Pin>), Problems))]
pub async fn reject_route(
    admin: web::Data<Admin>,
    by: Caller,
    path: Path<(String, String)>,
    _: Query<Nothing>,
    body: Json<DecidePins>,
) -> Reply {
    Ok(HttpResponse::Ok().json(decide(&admin.actors, &by.0, (&path.0, &path.1), (false, body.0)).await?))
}
