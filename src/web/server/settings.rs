//! `/servers/{slug}/settings`: how a server is defined, and its end.

use actix_web::{
    http::StatusCode,
    web::{self, Path},
};
use askama::Template;
use serde::Deserialize;

use crate::{
    admin::servers,
    domain::role::Role,
    error::Result,
    web::{
        go_to, page,
        server::{Place, around},
        shell::{Shell, Toast},
        show, status_of,
        visit::{Answer, Visit},
    },
};

/// What is looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Look {
    /// The removal is asked about.
    remove: Option<String>,
}

#[derive(Template)]
#[template(path = "server/settings.html")]
struct Page {
    shell: Shell,
    place: Place,
    asked: bool,
}

async fn build(visit: &Visit, slug: &str, asked: bool) -> Result<Page> {
    visit.by.require(Role::Admin)?;
    let (shell, place) = around(visit, slug, "Settings").await?;
    Ok(Page { shell, place, asked })
}

/// Shows it.
pub async fn show(visit: Visit, slug: Path<String>, look: web::Query<Look>) -> Answer {
    Ok(page(StatusCode::OK, &build(&visit, &slug, look.remove.is_some()).await?))
}

/// Removes the definition with its secrets.
pub async fn submit(visit: Visit, slug: Path<String>) -> Answer {
    match servers::remove(visit.actors(), &visit.by, &slug).await {
        Ok(_) => Ok(go_to("/servers")),
        Err(error) => {
            let built = build(&visit, &slug, false).await?;
            let shell = built.shell.saying(Some(Toast::refused(&error)));
            Ok(page(status_of(&error), &Page { shell, ..built }))
        }
    }
}
