//! `/device#code`: somebody who is signed in says whether a command line may have a key. The code is typed, or comes
//! behind the link's `#` and is put into the form by a script.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use serde::Deserialize;

use crate::{
    admin::{Admin, auth, logins},
    domain::role::Principal,
    error::{Result, err},
    store::login_requests::LoginRecord,
    web::{Message, csrf_token, page, problem, sign_in_first, visitor},
};

#[derive(Template)]
#[template(path = "device.html")]
struct Device<'a> {
    problem: &'a str,
    login: Option<&'a LoginRecord>,
    username: &'a str,
    csrf: &'a str,
}

/// The forms: the code alone, or with the answer.
#[derive(Deserialize)]
pub struct Form {
    code: String,
    answer: Option<String>,
    csrf: Option<String>,
}

/// Asks for the code.
pub async fn show(admin: web::Data<Admin>, request: HttpRequest) -> HttpResponse {
    match visitor(&admin, &request, None).await {
        Ok(Some(by)) => {
            let csrf = csrf_token(&admin, &request);
            page(StatusCode::OK, &Device { problem: "", login: None, username: &by.username, csrf: &csrf })
        }
        Ok(None) => sign_in_first(&request),
        Err(error) => problem(&error),
    }
}

/// Shows what waits under a code, or says yes or no to it.
pub async fn submit(admin: web::Data<Admin>, request: HttpRequest, form: web::Form<Form>) -> HttpResponse {
    let form = form.into_inner();
    let by = match visitor(&admin, &request, form.csrf.as_deref()).await {
        Ok(Some(by)) => by,
        Ok(None) => return sign_in_first(&request),
        Err(error) => return problem(&error),
    };
    let Some(said) = &form.answer else { return look(&admin, &request, &by, form.code).await };
    let yes = said == "yes";
    match answer(&admin, &request, &by, form.code, yes).await {
        Ok(()) => {
            let text = if yes { "The command line is logged in. You can close this page." } else { "It gets no key." };
            let title = if yes { "Done" } else { "Refused" };
            page(StatusCode::OK, &Message { title, text, hint: "", request: "" })
        }
        Err(error) => problem(&error),
    }
}

async fn look(admin: &Admin, request: &HttpRequest, by: &Principal, code: String) -> HttpResponse {
    let csrf = csrf_token(admin, request);
    let empty = Device { problem: "", login: None, username: &by.username, csrf: &csrf };
    match logins::waiting(&admin.actors, code, auth::address(admin, request)).await {
        Ok(Some(login)) => page(StatusCode::OK, &Device { login: Some(&login), ..empty }),
        Ok(None) => page(
            StatusCode::NOT_FOUND,
            &Device { problem: "No command line waits with this code: it may be mistyped or too old.", ..empty },
        ),
        Err(error) => problem(&error),
    }
}

async fn answer(admin: &Admin, request: &HttpRequest, by: &Principal, code: String, yes: bool) -> Result<()> {
    let waiting = logins::waiting(&admin.actors, code, auth::address(admin, request)).await?;
    let login = waiting.ok_or_else(|| err::gone("This login is over").with_hint("Begin again: aerostack login"))?;
    logins::answer(&admin.actors, by, login.id, yes).await
}
