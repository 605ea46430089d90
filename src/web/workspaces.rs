//! `/workspaces`: the gateway URLs of the namespace.

use actix_web::{
    http::StatusCode,
    web::{self, Path},
};
use askama::Template;
use serde::Deserialize;

use crate::{
    admin::{
        analytics::{self, InWorkspace},
        dto::{CreateWorkspace, Workspace},
        workspaces,
    },
    error::Result,
    web::{
        go_to, page,
        shell::{Noun, Shell, said},
        show, status_of,
        visit::{Answer, Visit},
        workspace::everything,
    },
};

/// What is looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Look {
    /// The form for a new one is open.
    new: Option<String>,
}

/// The form for a new one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Form {
    slug: String,
    name: String,
}

struct Row {
    one: Workspace,
    calls: u64,
    behind: String,
    people: usize,
}

#[derive(Template)]
#[template(path = "workspaces.html")]
struct Page {
    shell: Shell,
    rows: Vec<Row>,
    open: bool,
    form: Form,
    problem: String,
}

async fn build(visit: &Visit, open: bool) -> Result<Page> {
    let shell = visit.shell(Noun::Workspaces, "", "Workspaces").await?;
    let places = workspaces::list(visit.actors(), &visit.by, &everything()).await?.data;
    let (from, mut counted) = analytics::in_workspaces(visit.actors(), &visit.by).await?;
    let row = |one: Workspace| {
        let InWorkspace { calls, people } = counted.remove(&one.slug).unwrap_or_default();
        let behind = show::figures::behind(&format!("/workspaces/{}", one.slug), from, &[]);
        Row { calls, behind, people: people.len(), one }
    };
    let rows = places.into_iter().map(row).collect();
    Ok(Page { shell, rows, open, form: Form::default(), problem: String::new() })
}

/// Shows them.
pub async fn show(visit: Visit, look: web::Query<Look>) -> Answer {
    Ok(page(StatusCode::OK, &build(&visit, look.new.is_some()).await?))
}

/// Makes one and goes there.
pub async fn submit(visit: Visit) -> Answer {
    let form: Form = visit.form()?;
    let wanted = CreateWorkspace {
        slug: form.slug.trim().to_owned(),
        name: Some(form.name.trim().to_owned()).filter(|name| !name.is_empty()),
    };
    match workspaces::create(visit.actors(), &visit.by, wanted).await {
        Ok(made) => Ok(go_to(&format!("/workspaces/{}/servers", made.slug))),
        Err(error) => {
            let built = build(&visit, true).await?;
            let problem = said(&error);
            Ok(page(status_of(&error), &Page { form, problem, ..built }))
        }
    }
}

/// One workspace: its first tab.
pub async fn one(_: Visit, slug: Path<String>) -> Answer {
    Ok(go_to(&format!("/workspaces/{}/connect", show::part(&slug))))
}
