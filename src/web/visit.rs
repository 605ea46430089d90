//! Somebody who is signed in and looks at a page of the dashboard: who they are, in which namespace, what their form
//! says, and how a page is refused to them. Handlers ask for a [`Visit`]; without a session, or for a change without the
//! session's token, they are not reached.

use std::{fmt, net::IpAddr, sync::Arc};

use actix_web::{
    FromRequest, HttpMessage as _, HttpRequest, HttpResponse, ResponseError,
    cookie::{Cookie, SameSite},
    dev::Payload,
    http::StatusCode,
    web::{self, Bytes},
};
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use crate::{
    actors::Actors,
    admin::{Admin, auth, body::unread, whoami},
    domain::role::{Principal, Role},
    error::{Error, ErrorCode, Result},
    web::{csrf_token, problem, sign_in_first, status_of},
};

/// The cookie that keeps which namespace somebody looks at, if they are in several.
const NAMESPACE: &str = "aerostack-namespace";

/// A page, or why there is none.
pub type Answer = std::result::Result<HttpResponse, Turned>;

/// What names the request in its answer, in log lines and in the audit log.
pub(super) struct RequestId(pub(super) Arc<str>);

/// Somebody who is signed in.
pub struct Visit {
    /// The way to the use cases.
    pub admin: web::Data<Admin>,
    /// Who looks, with their role in the namespace they look at.
    pub by: Principal,
    request: HttpRequest,
    form: Bytes,
}

impl Visit {
    /// What their form says.
    pub fn form<T: DeserializeOwned>(&self) -> Result<T> {
        let text = std::str::from_utf8(&self.form).unwrap_or_default();
        web::Query::<T>::from_query(text).map(web::Query::into_inner).map_err(|cause| {
            tracing::debug!(%cause, "a form was not understood");
            Error::new(ErrorCode::InvalidRequest, "The form was not understood").with_hint("load the page again")
        })
    }

    /// The token that the page's forms bring back.
    pub fn csrf(&self) -> String {
        csrf_token(&self.admin, &self.request)
    }

    /// From where they ask.
    pub fn address(&self) -> IpAddr {
        auth::address(&self.admin, &self.request)
    }

    /// The actors, as use cases take them.
    pub fn actors(&self) -> &Actors {
        &self.admin.actors
    }

    /// Whether they administer the namespace.
    pub fn administers(&self) -> bool {
        self.by.role >= Role::Admin
    }
}

/// Why somebody does not get a page.
#[derive(Debug)]
pub enum Turned {
    /// They have to sign in first.
    Stranger(HttpRequest),
    /// Something refused.
    Refused(Error),
}

impl From<Error> for Turned {
    fn from(error: Error) -> Self {
        Turned::Refused(error)
    }
}

impl fmt::Display for Turned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Turned::Stranger(_) => f.write_str("nobody is signed in"),
            Turned::Refused(error) => f.write_str(error.message()),
        }
    }
}

impl ResponseError for Turned {
    fn status_code(&self) -> StatusCode {
        match self {
            Turned::Stranger(_) => StatusCode::SEE_OTHER,
            Turned::Refused(error) => status_of(error),
        }
    }
    fn error_response(&self) -> HttpResponse {
        match self {
            Turned::Stranger(request) => sign_in_first(request),
            Turned::Refused(error) => problem(error),
        }
    }
}

impl FromRequest for Visit {
    type Error = Turned;
    type Future = LocalBoxFuture<'static, std::result::Result<Self, Turned>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let body = (!request.method().is_safe()).then(|| Bytes::from_request(&request, payload));
        Box::pin(async move {
            let form = match body {
                Some(body) => body.await.map_err(|error| unread(&error))?,
                None => Bytes::new(),
            };
            let csrf = url::form_urlencoded::parse(&form).find(|(name, _)| name == "csrf").map(|(_, value)| value);
            let admin = request.app_data::<web::Data<Admin>>().cloned();
            let admin = admin.ok_or_else(|| Error::internal("showing a page", "its state is not registered"))?;
            let by = signed_in(&admin, &request, csrf.as_deref()).await;
            let by = by.inspect_err(|error| auth::note_forged(&admin, &request, error))?;
            drop(csrf);
            let Some(by) = by else { return Err(Turned::Stranger(request)) };
            auth::count_page(&admin, &by)?;
            let by = by_request(&admin, &request, by);
            request.extensions_mut().insert(by.clone());
            Ok(Visit { admin, by, request, form })
        })
    }
}

/// Who acts, with the request that they act by: what they do is written down with it.
pub(super) fn by_request(admin: &Admin, request: &HttpRequest, by: Principal) -> Principal {
    let id = request.extensions().get::<RequestId>().map(|id| id.0.clone());
    Principal { request: id, address: Some(auth::address(admin, request)), ..by }
}

/// Who is signed in, in the namespace they chose. Without a choice it is their own, or, while that is empty, the team
/// that they are in.
async fn signed_in(admin: &Admin, request: &HttpRequest, csrf: Option<&str>) -> Result<Option<Principal>> {
    if let Some(chosen) = request.cookie(NAMESPACE).map(|cookie| cookie.value().to_owned()) {
        match auth::session(admin, request, Some(chosen), csrf).await {
            // They left the team that they looked at.
            Err(error) if error.code() == ErrorCode::NotFound => {}
            other => return other,
        }
    }
    let Some(own) = auth::session(admin, request, None, csrf).await? else { return Ok(None) };
    let catalog = admin.actors.catalog.load();
    if catalog.workspaces.values().any(|view| view.namespace == own.namespace) {
        return Ok(Some(own));
    }
    drop(catalog);
    let who = whoami::whoami(&admin.actors, &own).await?;
    match who.namespaces.into_iter().find(|one| one.namespace != who.namespace) {
        Some(team) => auth::session(admin, request, Some(team.namespace), csrf).await,
        None => Ok(Some(own)),
    }
}

/// Keeps which namespace is looked at.
pub fn namespace_cookie(namespace: &str, encrypted: bool) -> Cookie<'static> {
    Cookie::build(NAMESPACE, namespace.to_owned())
        .path("/")
        .http_only(true)
        .secure(encrypted)
        .same_site(SameSite::Lax)
        .finish()
}

/// Counts what somebody tried that their role does not allow; called by the frame around all pages.
pub(super) fn note_forbidden(request: &HttpRequest, turned: &Turned) {
    if let Turned::Refused(error) = turned
        && error.code() == ErrorCode::Forbidden
        && let Some(admin) = request.app_data::<web::Data<Admin>>()
        && let Some(by) = request.extensions().get::<Principal>()
    {
        auth::note_forbidden(admin, by, request);
    }
}
