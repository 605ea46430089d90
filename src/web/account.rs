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
    web::{page, problem, sign_in_first, somebody, status_of},
};

#[derive(Template)]
#[template(path = "account.html")]
struct Account<'a> {
    who: &'a WhoAmI,
    problem: &'a str,
    done: &'a str,
}

/// The form for the password.
#[derive(Deserialize)]
pub struct Form {
    current: String,
    new: String,
}

/// Shows the account.
pub async fn show(admin: web::Data<Admin>, request: HttpRequest) -> HttpResponse {
    match described(&admin, &request).await {
        Ok(Some(who)) => page(StatusCode::OK, &Account { who: &who, problem: "", done: "" }),
        Ok(None) => sign_in_first(&request),
        Err(error) => problem(&error),
    }
}

async fn described(admin: &Admin, request: &HttpRequest) -> Result<Option<WhoAmI>> {
    match somebody(admin, request).await? {
        Some(by) => Ok(Some(whoami::whoami(&admin.actors, &by).await?)),
        None => Ok(None),
    }
}

/// Changes the password.
pub async fn submit(admin: web::Data<Admin>, request: HttpRequest, form: web::Form<Form>) -> HttpResponse {
    let by = match somebody(&admin, &request).await {
        Ok(Some(by)) => by,
        Ok(None) => return sign_in_first(&request),
        Err(error) => return problem(&error),
    };
    let who = match whoami::whoami(&admin.actors, &by).await {
        Ok(who) => who,
        Err(error) => return problem(&error),
    };
    let form = form.into_inner();
    let change = ChangePassword { current: Some(form.current), new: form.new };
    match sessions::change_password(&admin.actors, &by, change, auth::address(&admin, &request)).await {
        Ok(_) => page(StatusCode::OK, &Account { who: &who, problem: "", done: "The password is changed." }),
        Err(error) => page(status_of(&error), &Account { who: &who, problem: error.message(), done: "" }),
    }
}
