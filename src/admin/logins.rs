//! Logins of command lines for people without a terminal on the gateway's machine: begun here, confirmed on the page
//! `/device` by somebody who is signed in, and fetched here once.

use actix_web::{HttpRequest, HttpResponse, web};
use secrecy::ExposeSecret as _;

use crate::{
    actors::{
        Actors,
        token_people::{AnswerLogin, LoginState, PollLogin as Poll, TypedCode, Where},
    },
    admin::{
        Admin, auth,
        dto::{BeginLogin, LoginBegun, LoginPolled, LoginStatus, PollLogin},
        openapi::Problems,
        reply::Reply,
        request::{Json, Nothing, Query},
    },
    domain::{
        ids::LoginId,
        role::{Principal, Role},
        token::{self, Credential},
    },
    error::{ErrorCode, Result, err},
    store::login_requests::LoginRecord,
};

/// Begins a login: what to ask with, and what to show the person.
pub async fn begin(actors: &Actors, at: Where) -> Result<LoginBegun> {
    let begun = actors.tokens.begin_login(at).await?;
    let page = format!("{}/device", actors.public_url.as_str().trim_end_matches('/'));
    let life = begun.record.expires_at - begun.record.created_at;
    Ok(LoginBegun {
        device_code: begun.raw.expose_secret().to_owned(),
        verification_url_complete: format!("{page}#{}", begun.record.user_code),
        verification_url: page,
        user_code: begun.record.user_code,
        expires_in_seconds: u64::try_from(life.num_seconds()).unwrap_or_default(),
        interval_seconds: actors.config.people.login_poll_seconds,
    })
}

/// Whether a login was confirmed.
pub async fn poll(actors: &Actors, input: &PollLogin, client: std::net::IpAddr) -> Result<LoginPolled> {
    let Some(hash) = token::parse(Credential::Rec, &input.device_code) else {
        actors.tokens.count_open(client)?;
        return Err(err::gone("This is no login").with_hint("begin again: aerostack login"));
    };
    Ok(match actors.tokens.poll_login(Poll { hash, address: client }).await? {
        LoginState::Waiting => LoginPolled { status: LoginStatus::Waiting, username: None, api_key: None },
        LoginState::Confirmed(confirmed) => LoginPolled {
            status: LoginStatus::Confirmed,
            api_key: Some(confirmed.0.raw.expose_secret().to_owned()),
            username: Some(confirmed.1.username),
        },
    })
}

/// The login that waits under a code.
pub async fn waiting(actors: &Actors, code: String, client: std::net::IpAddr) -> Result<Option<LoginRecord>> {
    actors.tokens.login_of_code(TypedCode { code, address: client }).await
}

/// Says yes or no to a login. Only somebody who is signed in: a key must not make itself another one this way.
pub async fn answer(actors: &Actors, by: &Principal, login: LoginId, yes: bool) -> Result<()> {
    by.require(Role::Viewer)?;
    if by.session.is_none() {
        return Err(err::forbidden("A login is confirmed by somebody who is signed in"));
    }
    actors.tokens.answer_login(AnswerLogin { login, yes, by: by.clone() }).await
}

/// Begin a login that somebody confirms in a browser
#[utoipa::path(post, path = "/api/v1/admin/login-requests", tag = "account", request_body = BeginLogin, security(()),
    responses((status = 201, body = LoginBegun), Problems))]
pub async fn begin_route(
    admin: web::Data<Admin>,
    request: HttpRequest,
    _: Query<Nothing>,
    body: Json<BeginLogin>,
) -> Reply {
    let at = Where { client: body.0.client, address: auth::address(&admin, &request) };
    Ok(HttpResponse::Created().json(begin(&admin.actors, at).await?))
}

/// Ask whether a login was confirmed; its key is in this one answer
#[utoipa::path(post, path = "/api/v1/admin/login-requests:poll", tag = "account", request_body = PollLogin, security(()),
    responses((status = 200, body = LoginPolled), Problems))]
pub async fn poll_route(
    admin: web::Data<Admin>,
    request: HttpRequest,
    _: Query<Nothing>,
    body: Json<PollLogin>,
) -> Reply {
    match poll(&admin.actors, &body.0, auth::address(&admin, &request)).await {
        Ok(polled) => Ok(HttpResponse::Ok().json(polled)),
        Err(error) => {
            if matches!(error.code(), ErrorCode::Gone | ErrorCode::RateLimited) {
                auth::note_stranger(&admin, &request, "login_refused");
            }
            Err(error.into())
        }
    }
}
