//! Who calls the admin API. Done once, in the frame around all routes, before anything of the request is looked at: a
//! route cannot forget it. Handlers get the result by asking for a [`Caller`].

use std::{net::IpAddr, sync::Arc};

use actix_web::{FromRequest, HttpMessage as _, HttpRequest, dev::Payload, dev::ServiceRequest, http::header};
use dashmap::DashMap;
use futures_util::future::{Ready, ready};

use crate::{
    actors::audit_log::Refused,
    admin::{Admin, BASE, reply::Refusal},
    domain::{
        clock,
        ids::ApiKeyId,
        peer::client_address,
        rate::{Decision, Window},
        role::Principal,
        token::{self, Credential},
    },
    error::{Error, ErrorCode, Result},
    store::audit::ActorKind,
};

/// Longest route that the audit log names, in characters.
const ROUTE: usize = 200;

/// The account that calls, in the namespace of its API key.
pub struct Caller(pub Principal);

impl FromRequest for Caller {
    type Error = Refusal;
    type Future = Ready<std::result::Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let principal = request.extensions().get::<Principal>().cloned();
        ready(principal.map(Caller).ok_or_else(|| Refusal(unauthorized())))
    }
}

/// One answer for every way of not being known.
fn unauthorized() -> Error {
    Error::new(ErrorCode::Unauthorized, "Unauthorized: the API key is missing, unknown, expired or revoked")
        .with_hint("send \"Authorization: Bearer aak_…\"; workspace tokens (mwt_…) do not open the admin API")
}

/// How often each API key has asked in the last minute.
#[derive(Default)]
pub struct KeyWindows(DashMap<ApiKeyId, Arc<Window>>);

impl KeyWindows {
    fn admit(&self, key: ApiKeyId, limit: u32) -> Decision {
        let window = self.0.entry(key).or_insert_with(|| Arc::new(Window::new(limit))).clone();
        window.admit(clock::monotonic_ns)
    }
}

/// Authenticates and counts. The decision goes into the answer's headers.
pub async fn authenticate(admin: &Admin, request: &ServiceRequest) -> Result<(Principal, Option<Decision>)> {
    let principal = match identify(admin, request).await {
        Ok(principal) => principal,
        Err(error) => {
            if matches!(error.code(), ErrorCode::Unauthorized | ErrorCode::RateLimited) {
                note_stranger(admin, request.request(), "auth_failed");
            }
            return Err(error);
        }
    };
    let Some(key) = principal.api_key else { return Ok((principal, None)) };
    let decision = admin.windows.admit(key, admin.actors.config.limits.admin_requests_per_minute);
    if decision.allowed {
        return Ok((principal, Some(decision)));
    }
    Err(Error::new(ErrorCode::RateLimited, "Rate limit exceeded")
        .with_hint(format!("at most {} requests a minute and API key", decision.limit))
        .with_retry_after(decision.retry_after_seconds()))
}

async fn identify(admin: &Admin, request: &ServiceRequest) -> Result<Principal> {
    let hash = bearer(request).and_then(|text| token::parse(Credential::Aak, text)).ok_or_else(unauthorized)?;
    let client = address(admin, request.request());
    admin.actors.tokens.api_key(&hash, client).await?.ok_or_else(unauthorized)
}

/// Counts a refusal of somebody unknown, for the audit log of the installation's owner.
pub fn note_stranger(admin: &Admin, request: &HttpRequest, action: &'static str) {
    admin.actors.audit.refused(Refused {
        namespace: None,
        workspace: None,
        action,
        target: ("api", BASE.into()),
        source: (ActorKind::Anonymous, address(admin, request).to_string().into()),
    });
}

/// Counts what somebody tried that their role does not allow.
pub fn note_forbidden(admin: &Admin, by: &Principal, request: &HttpRequest) {
    let asked: String = format!("{} {}", request.method(), request.path()).chars().take(ROUTE).collect();
    admin.actors.audit.refused(Refused {
        namespace: Some(by.namespace),
        workspace: None,
        action: "forbidden",
        target: ("api", asked.into()),
        source: (ActorKind::User, by.label.clone()),
    });
}

fn bearer(request: &ServiceRequest) -> Option<&str> {
    let mut values = request.headers().get_all(header::AUTHORIZATION);
    let (only, none) = (values.next()?, values.next());
    let (scheme, text) = only.to_str().ok().filter(|_| none.is_none())?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| text.trim())
}

/// Where a request comes from: the peer, or what a trusted proxy says.
fn address(admin: &Admin, request: &HttpRequest) -> IpAddr {
    let peer = request.peer_addr().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip());
    let forwarded = request.headers().get_all("x-forwarded-for").filter_map(|value| value.to_str().ok());
    client_address(peer, &admin.actors.config.server.trusted_proxies, forwarded)
}
