//! The admin API under `/api/v1/admin`: one file per resource with its use cases (plain functions that take the actors
//! and the principal, so that other front ends can call them) and thin routes around them.
//!
//! [`ROUTES`] is the one list: it registers the handlers, and the OpenAPI document is made from the same handlers.

pub mod actors;
pub mod analytics;
pub mod asked;
pub mod audit;
pub mod audit_verify;
pub mod auth;
pub mod body;
pub mod calls;
mod conventions;
pub mod cookie;
pub mod csv;
pub mod diet;
#[cfg(test)]
mod diet_tests;
pub mod discovery;
pub mod doctor;
pub mod dto;
mod dto_analytics;
mod dto_audit;
mod dto_doctor;
mod dto_people;
mod dto_servers;
mod dto_skills;
mod dto_tools;
pub mod explain;
mod explain_server;
#[cfg(test)]
mod explain_tests;
pub mod figures;
pub mod frame;
pub mod health;
mod idempotency;
pub mod installations;
pub mod installed_tools;
pub mod invites;
pub mod keys;
pub mod known;
pub mod leaving;
pub mod live_calls;
pub mod logins;
pub mod naming;
pub mod openapi;
pub mod overview;
pub mod pins;
pub mod playground;
pub mod programs;
pub mod publishing;
pub mod reach;
mod references;
mod registry;
pub mod reply;
pub mod request;
pub mod secrets;
pub mod servers;
pub mod sessions;
pub mod skills;
pub mod standing;
pub mod support_bundle;
pub mod team;
#[cfg(test)]
mod tests;
pub mod tokens;
pub mod tool_definition;
pub mod whoami;
pub mod workspaces;

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, header},
    middleware::from_fn,
    web::{self, ServiceConfig},
};

use self::{auth::KeyWindows, cookie::Cookies, reply::Refusal};
pub use self::{
    conventions::{etag, has_seen},
    openapi::document,
};
use crate::{
    actors::Actors,
    error::{Error, ErrorCode, Result, err},
};

/// Where the routes are.
pub const BASE: &str = "/api/v1/admin";

/// Refuses requests that were addressed to somebody else (`Host`, `Origin`).
type Guard = Box<dyn Fn(&HttpRequest) -> Result<()> + Send + Sync>;

/// What handlers work with. One for the process, shared by all workers.
pub struct Admin {
    /// The way to everything that has state.
    pub actors: Arc<Actors>,
    /// How the cookies of sessions look.
    pub cookies: Cookies,
    guard: Guard,
    windows: KeyWindows,
    pages: KeyWindows,
    /// Tokens of those who use the playground.
    own_tokens: playground::OwnTokens,
    /// One check of the audit log at a time.
    audit_check: tokio::sync::Semaphore,
}

impl Admin {
    /// `guard` refuses requests that were addressed to somebody else (`Host`, `Origin`).
    pub fn new(actors: Arc<Actors>, guard: impl Fn(&HttpRequest) -> Result<()> + Send + Sync + 'static) -> Self {
        let cookies = Cookies::new(&actors.public_url, actors.config.people.session_days);
        let audit_check = tokio::sync::Semaphore::new(1);
        let windows = KeyWindows::new(&actors.config.limits);
        let pages = KeyWindows::of_pages(&actors.config.limits);
        let own_tokens = playground::OwnTokens::default();
        Admin { actors, cookies, guard: Box::new(guard), windows, pages, own_tokens, audit_check }
    }

    /// Refuses a request that was addressed to somebody else.
    pub fn check_address(&self, request: &HttpRequest) -> Result<()> {
        (self.guard)(request)
    }
}

/// Declares every route once: path, method, handler. Makes the registration, [`ROUTES`] and the OpenAPI paths from it.
macro_rules! route_table {
    ($($path:literal { $($method:ident => $module:ident :: $handler:ident),+ $(,)? })+) => {
        /// Every route: path below [`BASE`] and method.
        pub const ROUTES: &[(&str, &str)] = &[$($(($path, stringify!($method)),)+)+];

        fn register(scope: &mut ServiceConfig) {
            $(scope.service(
                web::resource($path)
                    $(.route(web::$method().to($module::$handler)))+
                    .default_service(web::to(|request: HttpRequest| wrong_method(request, &[$(stringify!($method)),+]))),
            );)+
        }

        /// The handlers' part of the OpenAPI document.
        #[derive(utoipa::OpenApi)]
        #[openapi(paths($($($module::$handler,)+)+), components(schemas(dto::MissedCalls)))]
        struct Paths;
    };
}

route_table! {
    "/whoami" { get => whoami::show }
    "/workspaces" { get => workspaces::list_route, post => workspaces::create_route }
    "/workspaces/{slug}" { get => workspaces::get_route, patch => workspaces::update_route, delete => workspaces::delete_route }
    "/workspaces/{slug}/tokens" { get => tokens::list_route, post => tokens::create_route }
    "/workspaces/{slug}/tokens:revoke" { post => tokens::revoke_by_name_route }
    "/workspaces/{slug}/tokens/{id}" { get => tokens::get_route, patch => tokens::update_route, delete => tokens::revoke_route }
    "/workspaces/{slug}/tokens/{id}/rotate" { post => tokens::rotate_route }
    "/workspaces/{slug}/servers" { get => installations::list_route, post => installations::install_route }
    "/workspaces/{slug}/servers/{server}" { get => installations::get_route, patch => installed_tools::update_route, delete => installations::uninstall_route }
    "/workspaces/{slug}/servers/{server}/tools" { get => installed_tools::list_route, patch => installed_tools::set_route }
    "/workspaces/{slug}/servers/{server}/pins" { get => pins::list_route }
    "/workspaces/{slug}/servers/{server}/pins:approve" { post => pins::approve_route }
    "/workspaces/{slug}/servers/{server}/pins:reject" { post => pins::reject_route }
    "/workspaces/{slug}/explain" { get => explain::explain_route }
    "/workspaces/{slug}/diet" { get => diet::diet_route }
    "/workspaces/{slug}/diet:apply" { post => diet::apply_route }
    "/workspaces/{slug}/tools" { get => installations::tools_route }
    "/workspaces/{slug}/analytics" { get => analytics::usage_route }
    "/workspaces/{slug}/analytics/figures" { get => figures::workspace_figures_route }
    "/workspaces/{slug}/analytics/table" { get => figures::workspace_table_route }
    "/workspaces/{slug}/calls" { get => calls::list_route }
    "/workspaces/{slug}/calls/stream" { get => live_calls::stream_route }
    "/workspaces/{slug}/audit" { get => audit::list_route }
    "/overview" { get => overview::overview_route }
    "/analytics/figures" { get => figures::figures_route }
    "/analytics/table" { get => figures::table_route }
    "/calls" { get => calls::all_route }
    "/audit" { get => audit::namespace_route }
    "/audit:verify" { post => audit_verify::verify_route }
    "/mcp-servers" { get => servers::list_route, post => servers::add_route }
    "/mcp-servers:reload" { post => programs::reload_route }
    "/mcp-servers/{slug}" { get => servers::get_route, patch => servers::update_route, delete => servers::remove_route }
    "/mcp-servers/{slug}/test" { post => servers::test_route }
    "/mcp-servers/{slug}/tools" { get => servers::tools_route }
    "/mcp-servers/{slug}/secrets" { get => secrets::list_route, post => secrets::set_route, delete => secrets::delete_all_route }
    "/mcp-servers/{slug}/secrets/{name}" { get => secrets::get_route, patch => secrets::inject_route, delete => secrets::delete_route }
    "/skills" { get => skills::list_route, post => publishing::publish_route }
    "/skills/{namespace}/{name}" { get => skills::get_route, delete => publishing::remove_route }
    "/skills/{namespace}/{name}/versions" { post => publishing::version_route }
    "/skills/{namespace}/{name}/versions/{version}" { get => skills::package_route, patch => publishing::change_version_route }
    "/team/members" { get => team::list_route }
    "/team/members/{member}" { get => team::get_route, patch => team::update_route, delete => leaving::remove_route }
    "/team/invites" { post => invites::create_route }
    "/team/invites/{id}" { delete => invites::revoke_route }
    "/team/invites/{id}/resend" { post => invites::resend_route }
    "/team/invites/{code}/accept" { post => invites::accept_route }
    "/session" { post => sessions::sign_in_route, delete => sessions::sign_out_route }
    "/sessions" { get => sessions::list_route }
    "/sessions/{id}" { delete => sessions::end_route }
    "/account/name" { post => naming::rename_route }
    "/account/password" { post => sessions::password_route }
    "/login-requests" { post => logins::begin_route }
    "/login-requests:poll" { post => logins::poll_route }
    "/api-keys" { get => keys::list_route, post => keys::create_route }
    "/api-keys/{id}" { get => keys::get_route, delete => keys::revoke_route }
    "/known-servers" { get => known::list_route }
    "/doctor" { get => doctor::examine_route }
    "/health" { get => health::show }
    "/actors" { get => actors::list_route }
    "/actors/{name:.+}/restart" { post => actors::restart_route }
    "/actors/{name:.+}" { get => actors::get_route }
}

/// Registers the admin API and `/openapi.json`.
pub fn configure(admin: web::Data<Admin>) -> impl FnOnce(&mut ServiceConfig) {
    move |app| {
        let limits = &admin.actors.config.limits;
        let bodies = web::PayloadConfig::new(limits.body_bytes);
        registry::configure(app, admin.actors.config.skills.open_registry);
        app.app_data(admin);
        app.service(
            web::resource("/openapi.json").route(web::get().to(openapi::serve)).route(web::head().to(openapi::serve)),
        );
        app.service(
            web::scope(BASE)
                .app_data(bodies)
                .wrap(from_fn(frame::frame))
                .configure(register)
                .default_service(web::to(|| std::future::ready(no_such_page()))),
        );
    }
}

fn no_such_page() -> std::result::Result<HttpResponse, Refusal> {
    Err(err::not_found("No such page of the admin API").with_hint("every route is in /openapi.json").into())
}

async fn wrong_method(request: HttpRequest, allowed: &'static [&'static str]) -> HttpResponse {
    let mut allow = allowed.join(", ").to_uppercase();
    if allowed.contains(&"get") {
        allow.push_str(", HEAD");
    }
    allow.push_str(", OPTIONS");
    if request.method() == Method::OPTIONS {
        return HttpResponse::NoContent().insert_header((header::ALLOW, allow)).finish();
    }
    let error = Error::new(ErrorCode::MethodNotAllowed, format!("Only {allow} is possible here"));
    let mut answer = HttpResponse::from_error(Refusal(error));
    if let Ok(value) = header::HeaderValue::from_str(&allow) {
        answer.headers_mut().insert(header::ALLOW, value);
    }
    answer
}
