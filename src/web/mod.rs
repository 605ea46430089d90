//! Pages for people: the dashboard, and outside of it signing in, joining, and confirming a login of a command line; and
//! the documentation, for everybody. One file per page with its handlers, beside its template. They load nothing from
//! elsewhere, and work without scripts as far as a page can; what they do is what the admin API does, by the same
//! functions.
//!
//! A page has one path. `GET` shows it, and what is looked at is in its query; `POST` takes its forms, which say in `do`
//! what is to be done, and shows the page again with what happened. `visit::Visit` is who asks, `shell::Shell` what
//! surrounds every page of the dashboard, `show` its small pieces. htmx turns links and forms into swaps of the body.
//!
//! The referrer policy is `strict-origin`: no page's path leaves with a request, and the browser still says `Origin` when a
//! form is sent (with `no-referrer` it would say `null`). Codes of links (invitations, logins) are in no path at all: they
//! stand behind the `#`, and a script puts them into a form (`code.html`).
//!
//! # Changes from a page
//!
//! A change by somebody who is signed in brings the token of their session (`cookie`, S-81); without it the answer is
//! 403 `csrf_refused`, here and on the admin API alike. A page gets it by `csrf_token` and passes it on in one of two
//! ways:
//!
//! - A form has it in a hidden field: the template has a member `csrf` and writes `{% include "csrf.html" %}` inside the
//!   form, the form's struct has `csrf: Option<String>`, and the handler asks `somebody` with it.
//! - A script takes it from `<meta name="csrf-token" content="{{ csrf }}">` in the page's head and sends it as the header
//!   `X-CSRF-Token` with every POST, PATCH and DELETE (htmx: `hx-headers` on the body). The header counts before the
//!   field.
//!
//! Each page shows it differently, and each holds as long as the session does. Pages of the dashboard write
//! `{% include "field.html" %}` into every form; `visit::Visit` reads the form and checks the token before a handler sees
//! either.

mod account;
mod assets;
mod audit;
mod definition;
mod device;
mod docs;
mod front;
#[cfg(debug_assertions)]
mod gallery;
mod health;
mod hub;
mod icons;
mod join;
mod live;
mod overview;
mod packed;
mod palette;
mod playground;
mod server;
mod servers;
mod settings;
mod shell;
mod show;
mod sign_in;
mod spaces;
mod team;
mod visit;
mod welcome;
mod workspace;
mod workspaces;

pub use docs::Docs;
pub use front::Front;

use actix_web::{
    HttpMessage as _, HttpRequest, HttpResponse, HttpResponseBuilder,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    error::UrlencodedError,
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
    middleware::{Next, from_fn},
    web::{self, FormConfig, QueryConfig, ServiceConfig},
};
use askama::Template;

use crate::{
    admin::{
        Admin, auth,
        body::unread,
        cookie,
        frame::{REQUEST_ID, in_time, log_change, request_id},
        standing::Standing,
    },
    domain::role::Principal,
    error::{Error, ErrorCode, Result},
};

/// Largest form, in bytes.
const FORM_BYTES: usize = 64 * 1024;
/// What a page may load and do: what is served here, and nothing that is written into the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// Where somebody may be sent after signing in: pages of this gateway, never elsewhere.
const AFTER_SIGN_IN: &[&str] = &[
    "/overview",
    "/workspaces",
    "/servers",
    "/hub",
    "/team",
    "/audit",
    "/health",
    "/analytics",
    "/calls",
    "/live",
    "/playground",
    "/settings",
    "/account",
    "/device",
    "/join",
];

/// Declares pages: path, method, handler.
macro_rules! pages {
    ($service:ident: $($path:literal { $($method:ident => $handler:path),+ $(,)? })+) => {
        $($service.service(
            web::resource($path)
                .app_data(forms())
                .app_data(queries())
                .app_data(web::PayloadConfig::new(FORM_BYTES))
                .wrap(from_fn(frame))
                $(.route(web::$method().to($handler)))+,
        );)+
    };
}

fn forms() -> FormConfig {
    FormConfig::default().limit(FORM_BYTES).error_handler(|cause, _| {
        tracing::debug!(%cause, "a form was not understood");
        let why = match cause {
            UrlencodedError::Payload(cause) => unread(&cause.into()),
            _ => Error::new(ErrorCode::InvalidRequest, "The form was not understood"),
        };
        visit::Turned::from(why).into()
    })
}

fn queries() -> QueryConfig {
    QueryConfig::default().error_handler(|cause, _| {
        tracing::debug!(%cause, "a query was not understood");
        visit::Turned::from(Error::new(ErrorCode::InvalidRequest, "The address was not understood")).into()
    })
}

/// Registers the pages. The admin API's state must be registered as well.
pub fn configure(service: &mut ServiceConfig) {
    service.service(web::resource("/ui/{hash}/{name}").route(web::get().to(assets::serve)));
    pages! { service:
        "/signin" { get => sign_in::show, post => sign_in::submit }
        "/welcome" { get => welcome::show, post => welcome::submit }
        "/signout" { post => sign_in::leave }
        "/account" { get => account::show, post => account::submit }
        "/join" { get => join::show, post => join::submit }
        "/device" { get => device::show, post => device::submit }
        "/" { get => shell::home }
        "/namespace" { post => spaces::submit }
        "/palette" { get => palette::show }
        "/overview" { get => overview::show, post => overview::submit }
        "/workspaces" { get => workspaces::show, post => workspaces::submit }
        "/workspaces/{slug}" { get => workspaces::one }
        "/workspaces/{slug}/connect" { get => workspace::connect::show }
        "/workspaces/{slug}/tokens" { get => workspace::tokens::show, post => workspace::tokens::submit }
        "/workspaces/{slug}/tokens/{id}" { get => workspace::token::show, post => workspace::token::submit }
        "/workspaces/{slug}/members" { get => workspace::members::show }
        "/workspaces/{slug}/tokens/{id}/seen" { get => workspace::tokens::seen }
        "/workspaces/{slug}/tools" { get => workspace::tools::show, post => workspace::tools::submit }
        "/workspaces/{slug}/analytics" { get => workspace::analytics::show }
        "/workspaces/{slug}/calls" { get => workspace::calls::show }
        "/workspaces/{slug}/diet" { get => workspace::diet::show, post => workspace::diet::submit }
        "/workspaces/{slug}/settings" { get => workspace::settings::show, post => workspace::settings::submit }
        "/workspaces/{slug}/audit" { get => audit::of_workspace }
        "/servers" { get => servers::show, post => servers::submit }
        "/servers/{slug}" { get => server::overview::show, post => server::overview::submit }
        "/servers/{slug}/tools" { get => server::tools::show }
        "/servers/{slug}/secrets" { get => server::secrets::show, post => server::secrets::submit }
        "/servers/{slug}/logs" { get => server::logs::show }
        "/servers/{slug}/settings" { get => server::settings::show, post => server::settings::submit }
        "/hub" { get => hub::show, post => hub::submit }
        "/team" { get => team::show, post => team::submit }
        "/audit" { get => audit::show, post => audit::submit }
        "/analytics" { get => workspace::analytics::everywhere }
        "/calls" { get => workspace::calls::everywhere }
        "/live" { get => live::show }
        "/playground" { get => playground::show, post => playground::submit }
        "/settings" { get => settings::show }
        "/health" { get => health::show, post => health::submit }
        "/health/bundle" { get => health::bundle }
        "/workspaces/{slug}/servers" { get => workspace::servers::show, post => workspace::servers::submit }
        "/docs" { get => docs::index }
        "/docs/{page:.*}" { get => docs::show }
        "/llms.txt" { get => docs::for_models }
    }
    #[cfg(debug_assertions)]
    pages! { service: "/ui/_gallery" { get => gallery::show } }
}

/// How a server stands: the piece of HTML, and why.
fn standing_of(found: &Standing) -> (String, String) {
    match found {
        Standing::Idle => (show::state("idle", "idle"), String::new()),
        Standing::Connecting => (show::state("wait", "connecting"), String::new()),
        Standing::Running { .. } => (show::state("run", "running"), String::new()),
        Standing::Resting { seconds, failures } => {
            (show::state("wait", &format!("backoff {seconds} s")), format!("failed {failures} times in a row"))
        }
        Standing::Failed { why } => (show::state("fail", "failed"), why.clone()),
    }
}

/// What surrounds every page: which request it is, who it was addressed to, and the headers that every answer has,
/// refusals too.
async fn frame(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> std::result::Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let (id, method) = (request_id(request.headers()), request.method().clone());
    request.extensions_mut().insert(visit::RequestId(id.as_str().into()));
    let refused = request.app_data::<web::Data<Admin>>().and_then(|admin| {
        let refused = admin.check_address(request.request()).err()?;
        auth::note_stranger(admin, request.request(), "origin_refused");
        Some(refused)
    });
    let mut response = match refused {
        Some(error) => request.into_response(problem(&error)),
        None => {
            in_time(&mut request);
            let answered = next.call(request).await?.map_into_boxed_body();
            if let Some(turned) = answered.response().error().and_then(|error| error.as_error::<visit::Turned>()) {
                visit::note_forbidden(answered.request(), turned);
            }
            answered
        }
    };
    let refused = response.response().extensions().get::<Refused>().map(|refused| refused.0.clone());
    if let Some(error) = refused {
        log_refusal(&response, &error, &id);
        // Of strangers the log has no line for each page, and they get the same page whatever they ask for.
        let shown = if response.request().extensions().contains::<Principal>() { id.as_str() } else { "" };
        let (request, _without_its_id) = response.into_parts();
        response = ServiceResponse::new(request, refusal(&error, shown));
    }
    log_change(&method, &response, &id);
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "strict-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Only the documentation, which holds nothing of this installation, says otherwise.
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(packed::page(response).await)
}

/// A page.
fn page(status: StatusCode, template: &impl Template) -> HttpResponse {
    match template.render() {
        Ok(text) => HttpResponseBuilder::new(status)
            .insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"))
            .body(text),
        Err(cause) => {
            tracing::error!(%cause, "a page could not be written");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// One line for each page that somebody known is refused to look at; what they wanted to change has its own.
fn log_refusal(response: &ServiceResponse<BoxBody>, error: &Error, id: &str) {
    let request = response.request();
    let extensions = request.extensions();
    let Some(by) = extensions.get::<Principal>().filter(|_| request.method().is_safe()) else { return };
    tracing::info!(
        target: "aerostack::admin",
        account = &*by.username,
        route = request.match_pattern().as_deref(),
        reason = error.code().name(),
        request_id = id,
        "page refused"
    );
}

/// A page that says what happened.
#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    title: &'a str,
    text: &'a str,
    hint: &'a str,
    request: &'a str,
}

/// Says the frame around all pages that a page is a refusal, so that it can add which request was refused.
struct Refused(Error);

/// The page for a refusal.
fn problem(error: &Error) -> HttpResponse {
    let mut answer = refusal(error, "");
    answer.extensions_mut().insert(Refused(error.clone()));
    answer
}

/// The page for a refusal of a request that logs name.
fn refusal(error: &Error, request: &str) -> HttpResponse {
    let (title, hint) = (error.code().title(), error.hint().unwrap_or_default());
    let message = Message { title, text: error.message(), hint, request };
    let mut answer = page(status_of(error), &message);
    if let Some(value) = error.retry_after().and_then(|seconds| HeaderValue::from_str(&seconds.to_string()).ok()) {
        answer.headers_mut().insert(header::RETRY_AFTER, value);
    }
    answer
}

fn status_of(error: &Error) -> StatusCode {
    StatusCode::from_u16(error.code().admin_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// To another page, after a form.
fn go_to(path: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, path)).finish()
}

/// The page to go to after signing in, if it is one of this gateway's.
fn after_sign_in(next: Option<&str>) -> &str {
    let fits = |next: &&str| {
        AFTER_SIGN_IN.iter().any(|known| next.starts_with(known))
            && next.bytes().all(|byte| (0x21..0x7f).contains(&byte) && byte != b'\\')
    };
    next.filter(fits).unwrap_or("/overview")
}

/// To the page for signing in, and from there back.
fn sign_in_first(request: &HttpRequest) -> HttpResponse {
    let path = request.uri().path_and_query().map_or("/overview", |path| path.as_str());
    let next: String = url::form_urlencoded::byte_serialize(path.as_bytes()).collect();
    go_to(&format!("/signin?next={next}"))
}

/// Who is signed in, if somebody is. A form brings the session's token in its field `csrf`.
async fn somebody(admin: &Admin, request: &HttpRequest, csrf: Option<&str>) -> Result<Option<Principal>> {
    let found = auth::session(admin, request, None, csrf).await;
    if let Err(error) = &found {
        auth::note_forged(admin, request, error);
    }
    Ok(found?.map(|by| visit::by_request(admin, request, by)))
}

/// As [`somebody`], for a page that counts.
async fn visitor(admin: &Admin, request: &HttpRequest, csrf: Option<&str>) -> Result<Option<Principal>> {
    let found = somebody(admin, request, csrf).await?;
    found.iter().try_for_each(|by| auth::count_page(admin, by))?;
    Ok(found)
}

/// The token that forms and scripts of a page bring back; empty without a session, where none is needed.
fn csrf_token(admin: &Admin, request: &HttpRequest) -> String {
    admin.cookies.read(request).map(|value| cookie::csrf_token(&value)).unwrap_or_default()
}

/// What a form brings that has nothing to say.
#[derive(serde::Deserialize)]
struct Bare {
    csrf: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_signing_in_nobody_is_sent_elsewhere() {
        for own in ["/account", "/device", "/join", "/workspaces/eng/tokens?show=all"] {
            assert_eq!(after_sign_in(Some(own)), own);
        }
        for elsewhere in
            ["https://evil.example", "//evil.example", "/\\evil.example", "/ws/x", "", "/join\r\nSet-Cookie: a=b"]
        {
            assert_eq!(after_sign_in(Some(elsewhere)), "/overview", "{elsewhere}");
        }
        assert_eq!(after_sign_in(None), "/overview");
    }
}
