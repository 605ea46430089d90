//! `/account`: who is signed in, their teams, the password.

use actix_web::http::StatusCode;
use askama::Template;
use serde::Deserialize;

use crate::{
    admin::{
        dto::{ChangePassword, WhoAmI},
        sessions, whoami,
    },
    error::Result,
    web::{
        page,
        shell::{Noun, Shell, Toast, said},
        show, status_of,
        visit::{Answer, Visit},
    },
};

#[derive(Template)]
#[template(path = "account.html")]
struct Page {
    shell: Shell,
    who: WhoAmI,
    problem: String,
}

/// The form for the password.
#[derive(Deserialize)]
struct Form {
    current: String,
    new: String,
}

async fn build(visit: &Visit) -> Result<Page> {
    let shell = visit.shell(Noun::Other, "", "Your account").await?;
    let who = whoami::whoami(visit.actors(), &visit.by).await?;
    Ok(Page { shell, who, problem: String::new() })
}

/// Shows the account.
pub async fn show(visit: Visit) -> Answer {
    Ok(page(StatusCode::OK, &build(&visit).await?))
}

/// Changes the password.
pub async fn submit(visit: Visit) -> Answer {
    let form: Form = visit.form()?;
    let change = ChangePassword { current: Some(form.current), new: form.new };
    let done = sessions::change_password(visit.actors(), &visit.by, change, visit.address()).await;
    let built = build(&visit).await?;
    match done {
        Ok(_) => {
            let shell = built.shell.saying(Some(Toast::done("The password is changed.")));
            Ok(page(StatusCode::OK, &Page { shell, ..built }))
        }
        Err(error) => Ok(page(status_of(&error), &Page { problem: said(&error), ..built })),
    }
}
