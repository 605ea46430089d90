//! What surrounds every admin route: request id, `Host` and `Origin`, authentication, and the problem document when
//! something is refused. A route that is added to the table gets all of it.

use std::time::Duration;

use actix_web::{
    HttpMessage as _,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
    web,
};
use uuid::Uuid;

use crate::{
    admin::{
        Admin, auth, body,
        conventions::Asked,
        dto::VERSION_HEADER,
        idempotency::{self, Begun},
        reply::{Refusal, of_status, problem},
    },
    domain::{rate::Decision, role::Principal},
    error::{Error, ErrorCode, Result},
    protocol::trace::TraceContext,
};

/// The header that says which request it is, both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST_ID: usize = 64;

/// What names a request in answers, log lines and the audit log: the id that came with it if it is harmless, else that
/// of the trace it belongs to (`traceparent`), else a fresh one.
pub fn request_id(headers: &HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let safe = |id: &&str| {
        (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
    };
    if let Some(given) = text(REQUEST_ID.as_str()).filter(safe) {
        return given.to_owned();
    }
    let trace = text("traceparent").and_then(TraceContext::parse).map(|trace| trace.trace_id);
    trace.unwrap_or_else(|| Uuid::now_v7().simple().to_string())
}

/// The frame. Order: id, address check, key, route.
pub async fn frame(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> std::result::Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let id = request_id(request.headers());
    let (method, path) = (request.method().clone(), request.path().to_owned());
    let asked = Asked::of(&mut request);
    let (response, decision) = match admit(&request, &id).await {
        Err(error) => (request.into_response(problem(&error, &path, &id)), None),
        Ok(decision) => {
            in_time(&mut request);
            (asked.dress(answered(request, next, &path, &id).await?), decision)
        }
    };
    log_change(&method, &response, &id);
    Ok(labelled(response, &id, decision))
}

/// Gives the body of a request its deadline.
pub fn in_time(request: &mut ServiceRequest) {
    let admin = request.app_data::<web::Data<Admin>>();
    let Some(seconds) = admin.map(|admin| admin.actors.config.server.body_timeout_seconds) else { return };
    let body = request.take_payload();
    request.set_payload(body::within(body, Duration::from_secs(seconds)));
}

/// One line for each change that somebody known asked for. It names the route and not the path, which may hold an
/// invitation's code.
pub fn log_change(method: &Method, response: &ServiceResponse<BoxBody>, id: &str) {
    let request = response.request();
    let extensions = request.extensions();
    let Some(by) = extensions.get::<Principal>().filter(|_| !method.is_safe()) else { return };
    tracing::info!(
        target: "aerostack::admin",
        account = &*by.username,
        method = method.as_str(),
        route = request.match_pattern().as_deref(),
        status = response.status().as_u16(),
        request_id = id,
        "change asked for"
    );
}

/// The route's answer, or the one that the same request got before.
async fn answered(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    path: &str,
    id: &str,
) -> std::result::Result<ServiceResponse<BoxBody>, actix_web::Error> {
    if !idempotency::is_wanted(&request) {
        return Ok(explained(next.call(request).await?, path, id));
    }
    // A client that leaves takes this future with it. What is begun under a key is finished all the same, so that whoever
    // repeats the request gets its answer.
    let finished = actix_rt::spawn(once(request, next, path.to_owned(), id.to_owned())).await;
    finished.unwrap_or_else(|cause| Err(Refusal(Error::internal("finishing a request", cause)).into()))
}

async fn once(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    path: String,
    id: String,
) -> std::result::Result<ServiceResponse<BoxBody>, actix_web::Error> {
    match idempotency::begin(&mut request).await {
        Err(refused) => Ok(request.into_response(problem(&refused, &path, &id))),
        Ok(Begun::Replay(answer)) => Ok(request.into_response(answer)),
        Ok(Begun::Plain) => Ok(explained(next.call(request).await?, &path, &id)),
        Ok(Begun::First(retry)) => Ok(retry.finish(explained(next.call(request).await?, &path, &id)).await),
    }
}

async fn admit(request: &ServiceRequest, id: &str) -> Result<Option<Decision>> {
    let admin = request
        .app_data::<web::Data<Admin>>()
        .ok_or_else(|| Error::internal("serving the admin API", "its state is not registered"))?;
    if let Err(error) = admin.check_address(request.request()) {
        auth::note_stranger(admin, request.request(), "origin_refused");
        return Err(error);
    }
    let (principal, decision) = auth::authenticate(admin, request).await?;
    if let Some(principal) = principal {
        let address = Some(auth::address(admin, request.request()));
        request.extensions_mut().insert(Principal { request: Some(id.into()), address, ..principal });
    }
    Ok(decision)
}

/// Turns whatever refused into a problem document that names this request.
fn explained(response: ServiceResponse<impl MessageBody + 'static>, path: &str, id: &str) -> ServiceResponse<BoxBody> {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response.map_into_boxed_body();
    }
    let refused =
        response.response().error().and_then(|error| error.as_error::<Refusal>()).map(|refusal| refusal.0.clone());
    let allow = response.headers().get(header::ALLOW).cloned();
    let error = refused.unwrap_or_else(|| of_status(status));
    let (request, _) = response.into_parts();
    if error.code() == ErrorCode::Forbidden
        && let Some(admin) = request.app_data::<web::Data<Admin>>()
        && let Some(by) = request.extensions().get::<Principal>()
    {
        auth::note_forbidden(admin, by, &request);
    }
    let mut answer = problem(&error, path, id);
    if let Some(allow) = allow {
        answer.headers_mut().insert(header::ALLOW, allow);
    }
    ServiceResponse::new(request, answer)
}

fn labelled(mut response: ServiceResponse<BoxBody>, id: &str, decision: Option<Decision>) -> ServiceResponse<BoxBody> {
    let headers = response.headers_mut();
    let mut put = |name: HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    put(REQUEST_ID, id);
    put(header::CACHE_CONTROL, "no-store");
    put(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if decision.is_some() {
        put(HeaderName::from_static(VERSION_HEADER), env!("CARGO_PKG_VERSION"));
    }
    if let Some(decision) = decision.filter(|decision| decision.limit > 0) {
        put(HeaderName::from_static("ratelimit-policy"), &format!("\"api-key\";q={};w=60", decision.limit));
        let (left, reset) = (decision.remaining, decision.retry_after_ns.div_ceil(1_000_000_000));
        put(HeaderName::from_static("ratelimit"), &format!("\"api-key\";r={left};t={reset}"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_taken_only_if_it_is_harmless() {
        let with = |id: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(id).unwrap());
            request_id(&headers)
        };
        assert_eq!(with("trace-42.a_b:c"), "trace-42.a_b:c");
        for bad in ["", "a b", "<script>", &"a".repeat(65)] {
            assert_eq!(with(bad).len(), 32, "{bad}");
        }
    }

    #[test]
    fn a_request_of_a_trace_has_its_id() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let with = |given: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in given {
                headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
            }
            request_id(&headers)
        };
        let parent = format!("00-{trace}-b7ad6b7169203331-01");
        assert_eq!(with(&[("traceparent", &parent)]), trace);
        assert_eq!(with(&[("traceparent", &parent), ("x-request-id", "mine")]), "mine");
        assert_eq!(with(&[("traceparent", &parent), ("x-request-id", "not safe")]), trace);
        assert_ne!(with(&[("traceparent", &parent.replace("00-", "ff-"))]), trace);
    }
}
