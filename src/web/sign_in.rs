//! `/signin` and `/signout`.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::{
    admin::{Admin, sessions},
    error::ErrorCode,
    web::{Bare, after_sign_in, go_to, page, problem, somebody, status_of},
};

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn<'a> {
    problem: &'a str,
    username: &'a str,
    next: &'a str,
}

/// Where to go afterwards.
#[derive(Deserialize)]
pub struct Next {
    next: Option<String>,
}

/// The form.
#[derive(Deserialize)]
pub struct Form {
    username: String,
    password: String,
    next: Option<String>,
}

/// Shows the form; who is signed in already goes on.
pub async fn show(admin: web::Data<Admin>, request: HttpRequest, query: web::Query<Next>) -> HttpResponse {
    let next = after_sign_in(query.next.as_deref());
    if let Err(error) = admin.cookies.require_usable() {
        return problem(&error);
    }
    match somebody(&admin, &request, None).await {
        Ok(Some(_)) => go_to(next),
        Ok(None) => page(StatusCode::OK, &SignIn { problem: "", username: "", next }),
        Err(error) => problem(&error),
    }
}

/// Signs in.
pub async fn submit(admin: web::Data<Admin>, request: HttpRequest, form: web::Form<Form>) -> HttpResponse {
    let form = form.into_inner();
    let next = after_sign_in(form.next.as_deref());
    if let Err(error) = admin.cookies.require_own_page(&request) {
        return problem(&error);
    }
    match sessions::sign_in(&admin, &request, form.username.clone(), SecretString::from(form.password)).await {
        Ok(begun) => {
            let mut answer = go_to(next);
            match answer.add_cookie(&admin.cookies.begin(begun.raw.expose_secret())) {
                Ok(()) => answer,
                Err(cause) => problem(&crate::error::Error::internal("setting a cookie", cause)),
            }
        }
        Err(error) if matches!(error.code(), ErrorCode::Unauthorized | ErrorCode::RateLimited) => {
            page(status_of(&error), &SignIn { problem: error.message(), username: &form.username, next })
        }
        Err(error) => problem(&error),
    }
}

/// Signs out.
pub async fn leave(admin: web::Data<Admin>, request: HttpRequest, form: web::Form<Bare>) -> HttpResponse {
    let left = match somebody(&admin, &request, form.csrf.as_deref()).await {
        Ok(Some(by)) => sessions::sign_out(&admin.actors, &by).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    let mut answer = match left {
        Ok(()) => go_to("/signin"),
        Err(error) => return problem(&error),
    };
    match answer.add_cookie(&admin.cookies.end()) {
        Ok(()) => answer,
        Err(cause) => problem(&crate::error::Error::internal("taking a cookie away", cause)),
    }
}
