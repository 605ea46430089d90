//! `/servers`: the MCP servers of the namespace.

use actix_web::{http::StatusCode, web};
use askama::Template;
use serde::Deserialize;

use crate::{
    admin::{
        dto::{AddServer, KnownServer, Server},
        known, servers, standing,
    },
    error::Result,
    web::{
        go_to, page,
        shell::{Noun, Shell, said},
        show, standing_of, status_of,
        visit::{Answer, Visit},
        workspace::everything,
    },
};

/// What is looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Look {
    /// The form for another one is open.
    new: Option<String>,
    /// With this slug filled in.
    slug: String,
}

/// The form for another one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Form {
    slug: String,
    url: String,
    title: String,
    protocol: String,
    allow_http: Option<String>,
}

struct Row {
    one: Server,
    state: String,
    why: String,
    tools: Option<usize>,
}

#[derive(Template)]
#[template(path = "servers.html")]
struct Page {
    shell: Shell,
    rows: Vec<Row>,
    known: Vec<KnownServer>,
    open: bool,
    form: Form,
    problem: String,
}

async fn build(visit: &Visit, open: bool) -> Result<Page> {
    let shell = visit.shell(Noun::Servers, "", "MCP Servers").await?;
    let actors = visit.actors();
    let listed = servers::list(actors, &visit.by, &everything()).await?.data;
    let mut known = known::list(&visit.by)?.data;
    known.retain(|known| !listed.iter().any(|one| one.slug == known.slug));
    let row = |one: Server| {
        let found = standing::server(actors, &one.id);
        let (state, why) = standing_of(&found);
        let tools = if let standing::Standing::Running { tools, .. } = found { tools } else { None };
        Row { one, state, why, tools }
    };
    let rows = listed.into_iter().map(row).collect();
    Ok(Page { shell, rows, known, open, form: Form::default(), problem: String::new() })
}

/// Shows them.
pub async fn show(visit: Visit, look: web::Query<Look>) -> Answer {
    let built = build(&visit, look.new.is_some()).await?;
    let form = Form { slug: look.into_inner().slug, ..Form::default() };
    Ok(page(StatusCode::OK, &Page { form, ..built }))
}

/// Adds one and goes there.
pub async fn submit(visit: Visit) -> Answer {
    let form: Form = visit.form()?;
    let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let wanted = AddServer {
        slug: form.slug.trim().to_owned(),
        url: given(&form.url),
        title: given(&form.title),
        protocol: given(&form.protocol),
        allow_http: form.allow_http.is_some(),
        ..AddServer::default()
    };
    match servers::add(visit.actors(), &visit.by, wanted).await {
        Ok(made) => Ok(go_to(&format!("/servers/{}", made.slug))),
        Err(error) => {
            let built = build(&visit, true).await?;
            Ok(page(status_of(&error), &Page { form, problem: said(&error), ..built }))
        }
    }
}
