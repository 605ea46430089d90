//! `/account`: who is signed in, their teams, the password.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use serde::Deserialize;

use crate::{
    admin::{
        Admin, auth,
        dto::{ChangePassword, WhoAmI},
        sessions, whoami,
    },
    error::Result,
    web::{csrf_token, page, problem, sign_in_first, status_of, visitor},
};

#[derive(Template)]
#[template(path = "account.html")]
struct Account<'a> {
    who: &'a WhoAmI,
    csrf: String,
    problem: &'a str,
    done: &'a str,
}

/// The form for the password.
#[derive(Deserialize)]
pub struct Form {
    current: String,
    new: String,
    csrf: Option<String>,
}

/// Shows the account.
pub async fn show(admin: web::Data<Admin>, request: HttpRequest) -> HttpResponse {
    match described(&admin, &request).await {
        Ok(Some(who)) => account(&admin, &request, StatusCode::OK, &who, ("", "")),
        Ok(None) => sign_in_first(&request),
        Err(error) => problem(&error),
    }
}

fn account(
    admin: &Admin,
    request: &HttpRequest,
    status: StatusCode,
    who: &WhoAmI,
    (problem, done): (&str, &str),
) -> HttpResponse {
    page(status, &Account { who, csrf: csrf_token(admin, request), problem, done })
}

async fn described(admin: &Admin, request: &HttpRequest) -> Result<Option<WhoAmI>> {
    match visitor(admin, request, None).await? {
        Some(by) => Ok(Some(whoami::whoami(&admin.actors, &by).await?)),
        None => Ok(None),
    }
}

/// Changes the password.
pub async fn submit(admin: web::Data<Admin>, request: HttpRequest, form: web::Form<Form>) -> HttpResponse {
    let form = form.into_inner();
    let by = match visitor(&admin, &request, form.csrf.as_deref()).await {
        Ok(Some(by)) => by,
        Ok(None) => return sign_in_first(&request),
        Err(error) => return problem(&error),
    };
    let who = match whoami::whoami(&admin.actors, &by).await {
        Ok(who) => who,
        Err(error) => return problem(&error),
    };
    let change = ChangePassword { current: Some(form.current), new: form.new };
    match sessions::change_password(&admin.actors, &by, change, auth::address(&admin, &request)).await {
        Ok(_) => account(&admin, &request, StatusCode::OK, &who, ("", "The password is changed.")),
        Err(error) => account(&admin, &request, status_of(&error), &who, (error.message(), "")),
    }
}
