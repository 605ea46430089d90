//! `/workspaces/{slug}/settings`: its names, and its end.

use actix_web::{
    http::StatusCode,
    web::{self, Path},
};
use askama::Template;
use serde::Deserialize;

use crate::{
    admin::{
        dto::{UpdateWorkspace, Workspace},
        workspaces,
    },
    domain::role::Role,
    error::Result,
    web::{
        go_to, page,
        shell::{Shell, said},
        show, status_of,
        visit::{Answer, Visit},
        workspace::{Place, around},
    },
};

/// What is looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Look {
    /// Its end is asked about.
    delete: Option<String>,
}

/// The forms of the page.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Form {
    #[serde(rename = "do")]
    act: String,
    slug: String,
    name: String,
}

#[derive(Template)]
#[template(path = "workspace/settings.html")]
struct Page {
    shell: Shell,
    place: Place,
    asked: bool,
    form: Form,
    problem: String,
}

async fn build(visit: &Visit, slug: &str, asked: bool) -> Result<Page> {
    visit.by.require(Role::Admin)?;
    let (shell, place) = around(visit, slug, "Settings").await?;
    let form = Form { slug: place.slug.clone(), name: place.name.clone(), ..Form::default() };
    Ok(Page { shell, place, asked, form, problem: String::new() })
}

/// Shows it.
pub async fn show(visit: Visit, slug: Path<String>, look: web::Query<Look>) -> Answer {
    Ok(page(StatusCode::OK, &build(&visit, &slug, look.delete.is_some()).await?))
}

/// Renames it. The form comes back with both names: one that was not touched is not said again, so that a name that only
/// repeats the other follows it.
async fn save(visit: &Visit, slug: &str, form: &Form) -> Result<Workspace> {
    let known = workspaces::get(visit.actors(), &visit.by, slug).await?;
    let name = Some(form.name.trim().to_owned()).filter(|name| !name.is_empty() && *name != known.name);
    let input = UpdateWorkspace { slug: Some(form.slug.trim().to_owned()), name };
    workspaces::update(visit.actors(), &visit.by, slug, input).await
}

/// Renames or deletes it.
pub async fn submit(visit: Visit, slug: Path<String>) -> Answer {
    let form: Form = visit.form()?;
    let done = match form.act.as_str() {
        "delete" => workspaces::delete(visit.actors(), &visit.by, &slug).await.map(|_| "/workspaces".to_owned()),
        _ => {
            let changed = save(&visit, &slug, &form).await;
            changed.map(|now| format!("/workspaces/{}/settings", now.slug))
        }
    };
    match done {
        Ok(to) => Ok(go_to(&to)),
        Err(error) => {
            let built = build(&visit, &slug, false).await?;
            Ok(page(status_of(&error), &Page { form, problem: said(&error), ..built }))
        }
    }
}
