//! Who calls the admin API. Done once, in the frame around all routes, before anything of the request is looked at: a
//! route cannot forget it. Handlers get the result by asking for a [`Caller`].

use std::{net::IpAddr, sync::Arc};

use actix_web::{
    FromRequest, HttpMessage as _, HttpRequest,
    dev::{Payload, ServiceRequest},
    http::{Method, header},
};
use dashmap::DashMap;
use futures_util::future::{Ready, ready};
use uuid::Uuid;

use crate::{
    actors::{Actors, audit_log::Refused, token_authority::Asked},
    admin::{Admin, BASE, cookie, reply::Refusal, request},
    config::LimitsConfig,
    domain::{
        clock,
        peer::client_address,
        rate::{Decision, WINDOW_NS, Window},
        role::{Principal, Role},
        token::{self, Credential},
    },
    error::{Error, ErrorCode, Result, err},
    store::audit::ActorKind,
};

/// Longest route that the audit log names, in characters.
const ROUTE: usize = 200;

/// The account that calls, in the namespace of its API key.
pub struct Caller(pub Principal);

/// The account that calls, on a route that is also open to those who have none.
pub struct MaybeCaller(pub Option<Principal>);

impl FromRequest for MaybeCaller {
    type Error = Refusal;
    type Future = Ready<std::result::Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(MaybeCaller(request.extensions().get::<Principal>().cloned())))
    }
}

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

/// How often each API key (or session) has asked in the last minute.
pub struct KeyWindows {
    limit: u32,
    most: usize,
    windows: DashMap<Uuid, Arc<Window>>,
}

impl KeyWindows {
    /// Windows of `limits.admin_requests_per_minute`, for at most `limits.admin_keys` that have asked in the last minute.
    pub fn new(limits: &LimitsConfig) -> Self {
        KeyWindows { limit: limits.admin_requests_per_minute, most: limits.admin_keys, windows: DashMap::new() }
    }

    /// Windows of `limits.pages_per_minute`, for as many sessions.
    pub fn of_pages(limits: &LimitsConfig) -> Self {
        KeyWindows { limit: limits.pages_per_minute, ..KeyWindows::new(limits) }
    }

    fn admit(&self, key: Uuid, clock: impl Fn() -> u64) -> Result<Decision> {
        let known = self.windows.get(&key).map(|window| window.clone());
        let window = match known {
            Some(window) => window,
            None => {
                self.make_room(clock())?;
                self.windows.entry(key).or_insert_with(|| Arc::new(Window::new(self.limit))).clone()
            }
        };
        Ok(window.admit(clock))
    }

    /// A window of which nothing counts any more is forgotten; what still counts is not.
    fn make_room(&self, now: u64) -> Result<()> {
        if self.windows.len() >= self.most {
            self.windows.retain(|_, window| window.idle_ns(now) < WINDOW_NS);
        }
        if self.windows.len() < self.most {
            return Ok(());
        }
        Err(Error::new(ErrorCode::Overloaded, "Too many API keys and sessions are in use at once")
            .with_hint("raise limits.admin_keys")
            .with_retry_after(WINDOW_NS / 1_000_000_000))
    }
}

/// Routes that nobody needs a key for. They count their requests themselves.
const OPEN: &[(Method, &str)] =
    &[(Method::POST, "/session"), (Method::POST, "/login-requests"), (Method::POST, "/login-requests:poll")];

/// The one route that takes an account if there is one, and does without.
fn is_accepting(method: &Method, path: &str) -> bool {
    let code = path.strip_prefix("/team/invites/").and_then(|rest| rest.strip_suffix("/accept"));
    *method == Method::POST && code.is_some_and(|code| !code.is_empty() && !code.contains('/'))
}

/// Whether a route below [`BASE`] is open to those who have no key. Everything else is closed, also what does not exist.
pub fn is_open(method: &Method, path: &str) -> bool {
    OPEN.iter().any(|(open, at)| open == method && *at == path) || is_accepting(method, path)
}

/// Authenticates and counts. The decision goes into the answer's headers. Nobody, on a route that is open.
pub async fn authenticate(admin: &Admin, request: &ServiceRequest) -> Result<(Option<Principal>, Option<Decision>)> {
    let path = request.path().strip_prefix(BASE).unwrap_or_default();
    if is_open(request.method(), path) {
        let brings =
            request.headers().contains_key(header::AUTHORIZATION) || admin.cookies.read(request.request()).is_some();
        if !is_accepting(request.method(), path) || !brings {
            return Ok((None, None));
        }
    }
    let principal = match identify(admin, request).await {
        Ok(principal) => principal,
        Err(error) => {
            match error.code() {
                ErrorCode::Unauthorized | ErrorCode::RateLimited => {
                    note_stranger(admin, request.request(), "auth_failed");
                }
                _ => note_forged(admin, request.request(), &error),
            }
            return Err(error);
        }
    };
    let key = principal.api_key.map(|key| key.0).or(principal.session.map(|session| session.0));
    let Some(key) = key else { return Ok((Some(principal), None)) };
    let decision = admin.windows.admit(key, clock::monotonic_ns)?;
    if decision.allowed {
        return Ok((Some(principal), Some(decision)));
    }
    Err(Error::new(ErrorCode::RateLimited, "Rate limit exceeded")
        .with_hint(format!("at most {} requests a minute and API key", decision.limit))
        .with_retry_after(decision.retry_after_seconds()))
}

/// Counts a page that somebody who is signed in asks for.
///
/// # Errors
/// `rate_limited` when the session has asked for too many in the last minute.
pub fn count_page(admin: &Admin, by: &Principal) -> Result<()> {
    let Some(session) = by.session else { return Ok(()) };
    let decision = admin.pages.admit(session.0, clock::monotonic_ns)?;
    if decision.allowed {
        return Ok(());
    }
    Err(Error::new(ErrorCode::RateLimited, "Too many pages in a minute")
        .with_hint(format!("at most {} pages a minute; this one is there again in a moment", decision.limit))
        .with_retry_after(decision.retry_after_seconds()))
}

async fn identify(admin: &Admin, request: &ServiceRequest) -> Result<Principal> {
    let client = address(admin, request.request());
    let namespace = request::namespace(request.query_string())?;
    if request.headers().contains_key(header::AUTHORIZATION) {
        let hash = bearer(request).and_then(|text| token::parse(Credential::Aak, text)).ok_or_else(unauthorized)?;
        return admin.actors.tokens.api_key(Asked { hash, namespace }, client).await?.ok_or_else(unauthorized);
    }
    session(admin, request.request(), namespace, None).await?.ok_or_else(unauthorized)
}

/// Who is signed in with the cookie that the request brings. A change must come from a page of this gateway and bring
/// the session's token, in a header or as `field` of a form.
pub async fn session(
    admin: &Admin,
    request: &HttpRequest,
    namespace: Option<String>,
    field: Option<&str>,
) -> Result<Option<Principal>> {
    let Some(value) = admin.cookies.read(request) else { return Ok(None) };
    let Some(hash) = token::parse(Credential::Ses, &value) else { return Ok(None) };
    admin.cookies.require_own_page(request)?;
    cookie::require_csrf_token(request, &value, field)?;
    admin.actors.tokens.session(Asked { hash, namespace }, address(admin, request)).await
}

/// Counts a change that no page of the session asked for, if `error` says so.
pub fn note_forged(admin: &Admin, request: &HttpRequest, error: &Error) {
    match error.code() {
        ErrorCode::OriginRefused => note_stranger(admin, request, "origin_refused"),
        ErrorCode::CsrfRefused => note_stranger(admin, request, "csrf_refused"),
        _ => {}
    }
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

/// Goes on only for who administers the installation: what concerns the machine and all tenants is the business of the
/// namespace that it was set up with. `what` they would do, in words.
pub fn require_installation(actors: &Actors, by: &Principal, what: &str) -> Result<()> {
    by.require(Role::Admin)?;
    if actors.audit.owner() == Some(by.namespace) {
        return Ok(());
    }
    Err(err::forbidden(format!("Only administrators of the namespace that owns this installation {what}")))
}

fn bearer(request: &ServiceRequest) -> Option<&str> {
    let mut values = request.headers().get_all(header::AUTHORIZATION);
    let (only, none) = (values.next()?, values.next());
    let (scheme, text) = only.to_str().ok().filter(|_| none.is_none())?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| text.trim())
}

/// Where a request comes from: the peer, or what a trusted proxy says.
pub fn address(admin: &Admin, request: &HttpRequest) -> IpAddr {
    let peer = request.peer_addr().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip());
    let forwarded = request.headers().get_all("x-forwarded-for").filter_map(|value| value.to_str().ok());
    client_address(peer, &admin.actors.config.server.trusted_proxies, forwarded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_have_not_asked_for_a_minute_are_forgotten_and_no_others() {
        let limits = LimitsConfig { admin_requests_per_minute: 1, admin_keys: 3, ..LimitsConfig::default() };
        let windows = KeyWindows::new(&limits);
        let keys: Vec<Uuid> = (1..=5).map(Uuid::from_u128).collect();
        let admit = |key: usize, second: u64| windows.admit(keys[key], || second * 1_000_000_000);
        for (key, second) in [(0, 1), (1, 2), (2, 40)] {
            assert!(admit(key, second).unwrap().allowed);
        }
        let full = admit(3, 41).unwrap_err();
        assert_eq!((full.code(), full.retry_after()), (ErrorCode::Overloaded, Some(60)));
        assert!(!admit(0, 42).unwrap().allowed, "one that is known is answered as ever");
        assert!(admit(3, 62).unwrap().allowed, "the two that are over made room");
        assert_eq!(windows.windows.len(), 2);
        assert!(!admit(2, 63).unwrap().allowed, "what still counts was kept");
        assert!(admit(4, 64).unwrap().allowed && admit(0, 64).is_err());
    }
}
