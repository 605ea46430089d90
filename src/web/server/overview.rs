//! `/servers/{slug}`: how a server is, and a test of its connection.

use actix_web::{http::StatusCode, web::Path};
use askama::Template;

use crate::{
    admin::{
        dto::ServerTest,
        servers,
        standing::{self, Standing},
    },
    error::Result,
    web::{
        page,
        server::{Place, around},
        shell::{Shell, Toast},
        show, status_of,
        visit::{Answer, Visit},
    },
};

#[derive(Template)]
#[template(path = "server/overview.html")]
struct Page {
    shell: Shell,
    place: Place,
    standing: Standing,
    test: Option<ServerTest>,
}

async fn build(visit: &Visit, slug: &str, test: Option<ServerTest>) -> Result<Page> {
    let (shell, place) = around(visit, slug, "Overview").await?;
    let standing = standing::server(visit.actors(), &place.one.id);
    Ok(Page { shell, place, standing, test })
}

/// Shows it.
pub async fn show(visit: Visit, slug: Path<String>) -> Answer {
    Ok(page(StatusCode::OK, &build(&visit, &slug, None).await?))
}

/// Tests the connection and shows what was found.
pub async fn submit(visit: Visit, slug: Path<String>) -> Answer {
    match servers::test(visit.actors(), &visit.by, &slug).await {
        Ok(test) => Ok(page(StatusCode::OK, &build(&visit, &slug, Some(test)).await?)),
        Err(error) => {
            let built = build(&visit, &slug, None).await?;
            let shell = built.shell.saying(Some(Toast::refused(&error)));
            Ok(page(status_of(&error), &Page { shell, ..built }))
        }
    }
}
