//! `/welcome#code`: the first look at the dashboard, by the link that the start of the gateway says. The owner chooses a
//! password and is signed in. Like that of an invitation, the code stands behind the `#`, where no server sees it.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::{
    actors::token_people::{Welcomed, welcome_over},
    admin::{Admin, auth, sessions},
    domain::token::{self, Credential, TokenHash},
    error::{Error, ErrorCode, Result},
    store::accounts::AccountRecord,
    web::{go_to, page, problem, status_of},
};

#[derive(Template)]
#[template(path = "welcome_code.html")]
struct Asking;

#[derive(Template)]
#[template(path = "welcome.html")]
struct Welcome<'a> {
    code: &'a str,
    username: &'a str,
    problem: &'a str,
}

/// The forms: looking brings the code, choosing the password as well.
#[derive(Deserialize)]
pub struct Form {
    code: String,
    password: Option<String>,
}

/// Asks for the code.
pub async fn show(admin: web::Data<Admin>) -> HttpResponse {
    match admin.cookies.require_usable() {
        Ok(()) => page(StatusCode::OK, &Asking),
        Err(error) => problem(&error),
    }
}

async fn look(admin: &Admin, request: &HttpRequest, code: &str) -> Result<(TokenHash, AccountRecord)> {
    admin.cookies.require_own_page(request)?;
    admin.cookies.require_usable()?;
    let client = auth::address(admin, request);
    // The whole link may have been pasted.
    let bare = code.trim().rsplit('#').next().unwrap_or_default();
    let found = match token::parse(Credential::Rec, bare) {
        Some(hash) => admin.actors.tokens.look_at_welcome(hash, client).await.map(|account| (hash, account)),
        None => admin.actors.tokens.count_open(client).and(Err(welcome_over())),
    };
    found.inspect_err(|error| {
        if error.code() == ErrorCode::Gone {
            auth::note_stranger(admin, request, "welcome_refused");
        }
    })
}

/// Shows what the link opens, or opens it.
pub async fn submit(admin: web::Data<Admin>, request: HttpRequest, form: web::Form<Form>) -> HttpResponse {
    let form = form.into_inner();
    let (hash, account) = match look(&admin, &request, &form.code).await {
        Ok(found) => found,
        Err(error) => return problem(&error),
    };
    let welcome =
        |status, said: &str| page(status, &Welcome { code: &form.code, username: &account.username, problem: said });
    let Some(password) = &form.password else { return welcome(StatusCode::OK, "") };
    let at = sessions::place(&admin, &request);
    let wanted = Welcomed { hash, password: SecretString::from(password.clone()), at };
    match admin.actors.tokens.welcome(wanted).await {
        Ok(begun) => {
            let mut answer = go_to("/overview");
            match answer.add_cookie(&admin.cookies.begin(begun.raw.expose_secret())) {
                Ok(()) => answer,
                Err(cause) => problem(&Error::internal("setting a cookie", cause)),
            }
        }
        Err(error) if error.code() == ErrorCode::Validation => welcome(status_of(&error), error.message()),
        Err(error) => problem(&error),
    }
}
