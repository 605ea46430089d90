//! Signing in on the pages: sessions, their cookie, and the password behind them.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{self, Path},
};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    actors::{
        Actors,
        token_people::{ChangePassword as Change, EndSession, SignIn as Try, SignedIn as Begun, Where},
    },
    admin::{
        Admin, auth,
        auth::Caller,
        cookie,
        dto::{ChangePassword, Ended, Page, Session, SignIn, SignedIn},
        openapi::Problems,
        reply::Reply,
        request::{Json, Nothing, Query},
    },
    domain::{
        clock,
        ids::SessionId,
        role::{Principal, Role},
    },
    error::{ErrorCode, Result, err},
    store::sign_ins,
};

/// Where a request comes from.
pub fn place(admin: &Admin, request: &HttpRequest) -> Where {
    let agent = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    Where { client: agent.unwrap_or("unknown").to_owned(), address: auth::address(admin, request) }
}

/// Signs in; who fails is counted in the log.
pub async fn sign_in(admin: &Admin, request: &HttpRequest, name: String, password: SecretString) -> Result<Begun> {
    admin.cookies.require_usable()?;
    let tried = admin.actors.tokens.sign_in(Try { name, password, at: place(admin, request) }).await;
    if let Err(error) = &tried
        && matches!(error.code(), ErrorCode::Unauthorized | ErrorCode::RateLimited)
    {
        auth::note_stranger(admin, request, "sign_in_failed");
    }
    tried
}

/// Ends the session that acts.
pub async fn sign_out(actors: &Actors, by: &Principal) -> Result<()> {
    let session = by.session.ok_or_else(|| err::conflict("This is no session: an API key is revoked instead"))?;
    actors.tokens.end_session(EndSession { session, by: by.clone() }).await
}

/// The own sessions, oldest first.
pub async fn list(actors: &Actors, by: &Principal) -> Result<Page<Session>> {
    by.require(Role::Viewer)?;
    let (account, now) = (by.account, clock::now());
    let rows = actors.store.read(move |db| async move { sign_ins::list(&db, account, now).await }).await?;
    let row = |row: sign_ins::SignInRecord| Session {
        id: row.id.to_string(),
        client: row.client,
        address: row.address,
        created_at: row.created_at,
        last_used_at: actors.tokens.session_last_seen(row.id).map_or(row.seen_at, |seen| seen.max(row.seen_at)),
        expires_at: row.expires_at,
        current: by.session == Some(row.id),
    };
    Ok(Page { data: rows.into_iter().map(row).collect(), next_cursor: None })
}

/// Ends one of the own sessions.
pub async fn end(actors: &Actors, by: &Principal, id: &str) -> Result<Ended> {
    let session = id.parse::<SessionId>().map_err(|_not_one| err::not_found("No such session"))?;
    actors.tokens.end_session(EndSession { session, by: by.clone() }).await?;
    Ok(Ended { sessions_ended: 1 })
}

/// Sets the own password, and ends the other sessions.
pub async fn change_password(
    actors: &Actors,
    by: &Principal,
    input: ChangePassword,
    client: std::net::IpAddr,
) -> Result<Ended> {
    by.require(Role::Viewer)?;
    let change = Change {
        current: input.current.map(SecretString::from),
        next: SecretString::from(input.new),
        by: by.clone(),
        address: client,
    };
    Ok(Ended { sessions_ended: actors.tokens.change_password(change).await? })
}

/// Sign in; the answer sets the session's cookie
#[utoipa::path(post, path = "/api/v1/admin/session", tag = "account", request_body = SignIn, security(()),
    responses((status = 201, body = SignedIn), Problems))]
pub async fn sign_in_route(
    admin: web::Data<Admin>,
    request: HttpRequest,
    _: Query<Nothing>,
    body: Json<SignIn>,
) -> Reply {
    // JSON cannot be sent from another site without asking first, and nobody is allowed to.
    let begun = sign_in(&admin, &request, body.0.username, SecretString::from(body.0.password)).await?;
    let answer = SignedIn {
        session: begun.record.id.to_string(),
        username: begun.account.username,
        csrf_token: cookie::csrf_token(begun.raw.expose_secret()),
        expires_at: begun.record.expires_at,
    };
    let cookie = admin.cookies.begin(begun.raw.expose_secret());
    Ok(HttpResponse::Created().cookie(cookie).json(answer))
}

/// Sign out
#[utoipa::path(delete, path = "/api/v1/admin/session", tag = "account", security(("session" = [])),
    responses((status = 200, body = Ended), Problems))]
pub async fn sign_out_route(admin: web::Data<Admin>, by: Caller, _: Query<Nothing>) -> Reply {
    sign_out(&admin.actors, &by.0).await?;
    Ok(HttpResponse::Ok().cookie(admin.cookies.end()).json(Ended { sessions_ended: 1 }))
}

/// List the own sessions
#[utoipa::path(get, path = "/api/v1/admin/sessions", tag = "account",
    responses((status = 200, body = Page<Session>), Problems))]
pub async fn list_route(admin: web::Data<Admin>, by: Caller, _: Query<Nothing>) -> Reply {
    Ok(HttpResponse::Ok().json(list(&admin.actors, &by.0).await?))
}

/// End one of the own sessions
#[utoipa::path(delete, path = "/api/v1/admin/sessions/{id}", tag = "account", params(("id" = String, Path)),
    responses((status = 200, body = Ended), Problems))]
pub async fn end_route(admin: web::Data<Admin>, by: Caller, id: Path<String>, _: Query<Nothing>) -> Reply {
    Ok(HttpResponse::Ok().json(end(&admin.actors, &by.0, &id).await?))
}

/// Set or change the own password; other sessions end
#[utoipa::path(post, path = "/api/v1/admin/account/password", tag = "account", request_body = ChangePassword,
    responses((status = 200, body = Ended), Problems))]
pub async fn password_route(
    admin: web::Data<Admin>,
    request: HttpRequest,
    by: Caller,
    _: Query<Nothing>,
    body: Json<ChangePassword>,
) -> Reply {
    let client = auth::address(&admin, &request);
    Ok(HttpResponse::Ok().json(change_password(&admin.actors, &by.0, body.0, client).await?))
}
