//! `/live`: the calls of a workspace as they end. The page holds the frame; a script fills it from the admin API's stream
//! of events, which ends with the session.

use actix_web::{http::StatusCode, web};
use askama::Template;
use serde::Deserialize;

use crate::{
    admin::workspaces,
    web::{
        page,
        shell::{Noun, Shell},
        show,
        visit::{Answer, Visit},
        workspace::everything,
    },
};

/// What is looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Look {
    /// The workspace; the first one unless given.
    workspace: String,
    /// `failed`: only those.
    show: String,
}

#[derive(Template)]
#[template(path = "live.html")]
struct Page {
    shell: Shell,
    look: Look,
    workspaces: Vec<String>,
}

impl Page {
    /// Where the events come from.
    fn source(&self) -> String {
        let failed = if self.look.show == "failed" { "&failed=true" } else { "" };
        let (slug, namespace) = (show::part(&self.look.workspace), show::part(&self.shell.namespace));
        format!("/api/v1/admin/workspaces/{slug}/calls/stream?namespace={namespace}{failed}")
    }
}

/// Shows it.
pub async fn show(visit: Visit, look: web::Query<Look>) -> Answer {
    let mut look = look.into_inner();
    let shell = visit.shell(Noun::Live, "", "Live").await?;
    let listed = workspaces::list(visit.actors(), &visit.by, &everything()).await?.data;
    let workspaces: Vec<String> = listed.into_iter().map(|one| one.slug).collect();
    if !workspaces.contains(&look.workspace) {
        look.workspace = workspaces.first().cloned().unwrap_or_default();
    }
    Ok(page(StatusCode::OK, &Page { shell, look, workspaces }))
}
