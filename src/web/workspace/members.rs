//! `/workspaces/{slug}/members`: who reaches a workspace, with which role, and with how many tokens.

use actix_web::{http::StatusCode, web::Path};
use askama::Template;

use crate::{
    admin::{reach, reach::Reach},
    domain::role::Role,
    web::{
        page,
        shell::Shell,
        show,
        visit::{Answer, Visit},
        workspace::{Place, around},
    },
};

#[derive(Template)]
#[template(path = "workspace/members.html")]
struct Page {
    shell: Shell,
    place: Place,
    reach: Reach,
}

/// What a role may do in a workspace.
fn may(role: Role) -> &'static str {
    match role {
        Role::Viewer => "sees the gateway URL and the own calls",
        Role::Member => "own tokens, installs skills",
        Role::Admin | Role::Owner => "everything here",
    }
}

/// Shows them.
pub async fn show(visit: Visit, slug: Path<String>) -> Answer {
    let (shell, place) = around(&visit, &slug, "Members").await?;
    let reach = reach::of_workspace(visit.actors(), &visit.by, &slug).await?;
    Ok(page(StatusCode::OK, &Page { shell, place, reach }))
}
