//! Pages for people: signing in, joining, confirming a login of a command line, and the own account. One file per page
//! beside its template. They work without scripts and load nothing from elsewhere; what they do is what the admin API
//! does, by the same functions.
//!
//! The referrer policy is `strict-origin`: no page's path, which may hold an invitation's code, leaves with a request,
//! and the browser still says `Origin` when a form is sent (with `no-referrer` it would say `null`).
//!
//! # Changes from a page
//!
//! A change by somebody who is signed in brings the token of their session ([`cookie`], S-81); without it the answer is
//! 403 `csrf_refused`, here and on the admin API alike. A page gets it by [`csrf_token`] and passes it on in one of two
//! ways:
//!
//! - A form has it in a hidden field: the template has a member `csrf` and writes `{% include "csrf.html" %}` inside the
//!   form, the form's struct has `csrf: Option<String>`, and the handler asks [`somebody`] with it.
//! - A script takes it from `<meta name="csrf-token" content="{{ csrf }}">` in the page's head and sends it as the header
//!   `X-CSRF-Token` with every POST, PATCH and DELETE (htmx: `hx-headers` on the body). The header counts before the
//!   field.
//!
//! It stays the same as long as the session does.

mod account;
mod device;
mod join;
mod sign_in;

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
    middleware::{Next, from_fn},
    web::{self, FormConfig, ServiceConfig},
};
use askama::Template;

use crate::{
    admin::{Admin, auth, cookie},
    domain::role::Principal,
    error::{Error, Result},
};

/// Largest form, in bytes.
const FORM_BYTES: usize = 16 * 1024;
/// What a page may load and do: its style sheet, and forms that are sent here.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const STYLE: &str = include_str!("pages.css");
/// Where somebody may be sent after signing in: pages of this gateway, never elsewhere.
const AFTER_SIGN_IN: &[&str] = &["/account", "/device", "/join/"];

/// Registers the pages. The admin API's state must be registered as well.
pub fn configure(service: &mut ServiceConfig) {
    let forms = || FormConfig::default().limit(FORM_BYTES);
    service
        .service(web::resource("/ui/pages.css").route(web::get().to(style)))
        .service(
            web::resource("/signin")
                .app_data(forms())
                .wrap(from_fn(frame))
                .route(web::get().to(sign_in::show))
                .route(web::post().to(sign_in::submit)),
        )
        .service(web::resource("/signout").wrap(from_fn(frame)).route(web::post().to(sign_in::leave)))
        .service(
            web::resource("/account")
                .app_data(forms())
                .wrap(from_fn(frame))
                .route(web::get().to(account::show))
                .route(web::post().to(account::submit)),
        )
        .service(
            web::resource("/join/{code}")
                .app_data(forms())
                .wrap(from_fn(frame))
                .route(web::get().to(join::show))
                .route(web::post().to(join::submit)),
        )
        .service(
            web::resource("/device")
                .app_data(forms())
                .wrap(from_fn(frame))
                .route(web::get().to(device::show))
                .route(web::post().to(device::submit)),
        );
}

async fn style() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/css; charset=utf-8"))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(STYLE)
}

/// What surrounds every page: who it was addressed to, and the headers that every answer has, refusals too.
async fn frame(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> std::result::Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let refused = request.app_data::<web::Data<Admin>>().and_then(|admin| {
        let refused = admin.check_address(request.request()).err()?;
        auth::note_stranger(admin, request.request(), "origin_refused");
        Some(refused)
    });
    let mut response = match refused {
        Some(error) => request.into_response(problem(&error)),
        None => next.call(request).await?.map_into_boxed_body(),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "strict-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
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

/// A page that says what happened.
#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    title: &'a str,
    text: &'a str,
    hint: &'a str,
}

/// The page for a refusal.
fn problem(error: &Error) -> HttpResponse {
    let message =
        Message { title: error.code().title(), text: error.message(), hint: error.hint().unwrap_or_default() };
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
    next.filter(fits).unwrap_or("/account")
}

/// To the page for signing in, and from there back.
fn sign_in_first(request: &HttpRequest) -> HttpResponse {
    let path = request.uri().path_and_query().map_or("/account", |path| path.as_str());
    let next: String = url::form_urlencoded::byte_serialize(path.as_bytes()).collect();
    go_to(&format!("/signin?next={next}"))
}

/// Who is signed in, if somebody is. A form brings the session's token in its field `csrf`.
async fn somebody(admin: &Admin, request: &HttpRequest, csrf: Option<&str>) -> Result<Option<Principal>> {
    let found = auth::session(admin, request, None, csrf).await;
    if let Err(error) = &found {
        auth::note_forged(admin, request, error);
    }
    found
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
        for own in ["/account", "/device?code=BCDF-GHJK", "/join/inv_x"] {
            assert_eq!(after_sign_in(Some(own)), own);
        }
        for elsewhere in
            ["https://evil.example", "//evil.example", "/\\evil.example", "/ws/x", "", "/join/x\r\nSet-Cookie: a=b"]
        {
            assert_eq!(after_sign_in(Some(elsewhere)), "/account", "{elsewhere}");
        }
        assert_eq!(after_sign_in(None), "/account");
    }
}
