//! JSON-RPC errors and answers as HTTP responses. Inside `/ws/*` an error is always JSON-RPC, with the request's id
//! wherever it is known.

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::{StatusCode, header},
};
use serde_json::{Value, json};

use crate::{
    domain::rate::Decision,
    error::{Error, ErrorCode},
    protocol::{headers::JSON, jsonrpc},
};

/// An error as a JSON-RPC message of the legacy revisions. `id` is raw JSON; none writes `null`.
pub fn error_message(error: &Error, id: Option<&[u8]>) -> Vec<u8> {
    error_message_of(error, id, false)
}

/// An error as a JSON-RPC message of the given era. `id` is raw JSON; none writes `null`.
pub fn error_message_of(error: &Error, id: Option<&[u8]>, modern: bool) -> Vec<u8> {
    let message = match error.hint() {
        Some(hint) => format!("{}. To fix it: {hint}", error.message().trim_end_matches('.')),
        None => error.message().to_owned(),
    };
    let data = error.data().map(Value::to_string);
    let code = if modern { error.code().modern_rpc() } else { error.code().rpc() };
    jsonrpc::error(id, code.into(), &message, data.as_deref().map(str::as_bytes))
}

/// An error as an HTTP response of the given era.
pub fn error_response(error: &Error, id: Option<&[u8]>, modern: bool) -> HttpResponse {
    let code = error.code();
    let status = if modern { code.modern_status() } else { code.gateway_status() };
    let mut builder = HttpResponse::build(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    builder.insert_header((header::CONTENT_TYPE, JSON)).insert_header((header::CACHE_CONTROL, "no-store"));
    if let Some(seconds) = error.retry_after() {
        builder.insert_header((header::RETRY_AFTER, seconds));
    }
    builder.body(error_message_of(error, id, modern))
}

/// HTTP status of a server's JSON-RPC error that is passed on to a client of 2026-07-28 (mcp 2026-07-28, error codes).
pub fn relayed_status(code: i64) -> StatusCode {
    match code {
        -32601 => StatusCode::NOT_FOUND,
        -32022..=-32020 => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}

/// 401: the same for a missing, malformed, unknown, expired, revoked or foreign token and for an unknown workspace.
pub fn unauthorized(id: Option<&[u8]>) -> HttpResponse {
    let what = "Unauthorized: no valid workspace token (missing, unknown, expired, revoked, or for another workspace). \
                Send the header Authorization: Bearer mwt_…; your admin issues a token with \
                `aerostack workspace token create`";
    HttpResponse::Unauthorized()
        .insert_header((header::CONTENT_TYPE, JSON))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::WWW_AUTHENTICATE, r#"Bearer realm="aerostack""#))
        .body(error_message(&Error::new(ErrorCode::Unauthorized, what), id))
}

/// The refusal of the request that did not fit into the window.
pub fn rate_limited(decision: &Decision) -> Error {
    let seconds = decision.retry_after_seconds();
    let data = json!({ "retry_after_seconds": seconds, "limit": decision.limit, "window_seconds": 60 });
    Error::new(ErrorCode::RateLimited, "Rate limit exceeded").with_data(data).with_retry_after(seconds)
}

/// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers).
pub fn rate_headers(response: &mut HttpResponse, decision: &Decision) {
    if decision.limit == 0 {
        return;
    }
    let seconds = if decision.allowed { 60 } else { decision.retry_after_seconds() };
    let policy = format!("\"token\";q={};w=60", decision.limit);
    let state = format!("\"token\";r={};t={seconds}", decision.remaining);
    for (name, text) in [("ratelimit-policy", policy), ("ratelimit", state)] {
        if let Ok(value) = header::HeaderValue::try_from(text) {
            response.headers_mut().insert(header::HeaderName::from_static(name), value);
        }
    }
}

/// 200 with one JSON-RPC message.
pub fn json(message: impl Into<bytes::Bytes>) -> HttpResponse {
    json_with(StatusCode::OK, message)
}

/// A JSON-RPC message with a status of its own.
pub fn json_with(status: StatusCode, message: impl Into<bytes::Bytes>) -> HttpResponse {
    HttpResponseBuilder::new(status)
        .insert_header((header::CONTENT_TYPE, header::HeaderValue::from_static(JSON)))
        .body(message.into())
}

/// 202, empty: a notification or a response was taken.
pub fn accepted() -> HttpResponse {
    HttpResponse::Accepted().finish()
}

/// A plain JSON 404 for what is not served here: OAuth discovery above all (clients parse whatever comes).
pub fn not_served() -> HttpResponse {
    HttpResponse::NotFound().insert_header((header::CONTENT_TYPE, JSON)).body(
        json!({
            "error": "invalid_request",
            "error_description": "This gateway uses workspace tokens (mwt_…), not OAuth. If you came here after a 401: \
                                  the token sent is missing, invalid, expired or revoked.",
        })
        .to_string(),
    )
}

/// 405 with the methods that are served.
pub fn method_not_allowed(allow: &'static str, why: &str) -> HttpResponse {
    let error = Error::new(ErrorCode::MethodNotAllowed, why);
    let mut response = error_response(&error, None, false);
    response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allow));
    response
}
