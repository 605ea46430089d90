//! `/device`: somebody who is signed in says whether a command line may have a key.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use serde::Deserialize;

use crate::{
    admin::{Admin, auth, logins},
    error::{Result, err},
    store::login_requests::LoginRecord,
    web::{Message, csrf_token, page, problem, sign_in_first, somebody},
};

#[derive(Template)]
#[template(path = "device.html")]
struct Device<'a> {
    problem: &'a str,
    login: Option<&'a LoginRecord>,
    username: &'a str,
    csrf: &'a str,
}

/// The code, as it was typed.
#[derive(Deserialize)]
pub struct Typed {
    code: Option<String>,
}

/// The answer.
#[derive(Deserialize)]
pub struct Form {
    code: String,
    answer: String,
    csrf: Option<String>,
}

/// Asks for the code, or shows what waits under it.
pub async fn show(admin: web::Data<Admin>, request: HttpRequest, query: web::Query<Typed>) -> HttpResponse {
    let by = match somebody(&admin, &request, None).await {
        Ok(Some(by)) => by,
        Ok(None) => return sign_in_first(&request),
        Err(error) => return problem(&error),
    };
    let csrf = csrf_token(&admin, &request);
    let empty = Device { problem: "", login: None, username: &by.username, csrf: &csrf };
    let Some(code) = query.into_inner().code.filter(|code| !code.is_empty()) else {
        return page(StatusCode::OK, &empty);
    };
    match logins::waiting(&admin.actors, code, auth::address(&admin, &request)).await {
        Ok(Some(login)) => page(StatusCode::OK, &Device { login: Some(&login), ..empty }),
        Ok(None) => page(
            StatusCode::NOT_FOUND,
            &Device { problem: "No command line waits with this code: it may be mistyped or too old.", ..empty },
        ),
        Err(error) => problem(&error),
    }
}

/// Says yes or no.
pub async fn submit(admin: web::Data<Admin>, request: HttpRequest, form: web::Form<Form>) -> HttpResponse {
    let yes = form.answer == "yes";
    match answer(&admin, &request, form.into_inner(), yes).await {
        Ok(None) => sign_in_first(&request),
        Ok(Some(())) => {
            let text = if yes { "The command line is logged in. You can close this page." } else { "It gets no key." };
            page(StatusCode::OK, &Message { title: if yes { "Done" } else { "Refused" }, text, hint: "" })
        }
        Err(error) => problem(&error),
    }
}

async fn answer(admin: &Admin, request: &HttpRequest, form: Form, yes: bool) -> Result<Option<()>> {
    let Some(by) = somebody(admin, request, form.csrf.as_deref()).await? else { return Ok(None) };
    let waiting = logins::waiting(&admin.actors, form.code, auth::address(admin, request)).await?;
    let login = waiting.ok_or_else(|| err::gone("This login is over").with_hint("Begin again: aerostack login"))?;
    logins::answer(&admin.actors, &by, login.id, yes).await?;
    Ok(Some(()))
}
