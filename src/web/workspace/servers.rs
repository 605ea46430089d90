//! `/workspaces/{slug}/servers`: which MCP servers and skills a workspace has.

use actix_web::{
    http::StatusCode,
    web::{self, Path},
};
use askama::Template;
use serde::Deserialize;

use crate::{
    admin::{
        dto::{InstallServer, Installation, KnownServer, UpdateInstallation},
        installations, installed_tools, known, servers, standing,
    },
    error::{Error, Result},
    web::{
        page,
        shell::{Shell, Toast, said},
        show, standing_of, status_of,
        visit::{Answer, Visit},
        workspace::{Place, around, everything},
    },
};

/// What is looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Look {
    /// The server that is asked about: take it out?
    uninstall: String,
    /// The form for another one is open.
    install: Option<String>,
}

/// The forms of the page.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Form {
    #[serde(rename = "do")]
    act: String,
    server: String,
    prefix: String,
}

/// A line of the list.
struct Row {
    one: Installation,
    state: String,
    why: String,
}

impl Row {
    /// How the use cases name it: a skill with its namespace.
    fn named(&self) -> &str {
        self.one.skill.as_deref().unwrap_or(&self.one.server)
    }
}

#[derive(Template)]
#[template(path = "workspace/servers.html")]
struct Page {
    shell: Shell,
    place: Place,
    look: Look,
    rows: Vec<Row>,
    own: Vec<String>,
    known: Vec<KnownServer>,
    form: Form,
    problem: String,
}

async fn build(visit: &Visit, slug: &str, look: Look) -> Result<Page> {
    let (shell, place) = around(visit, slug, "MCP Servers").await?;
    let actors = visit.actors();
    let listed = installations::list(actors, &visit.by, slug, &everything()).await?.data;
    let mut own = Vec::new();
    if visit.administers() {
        let defined = servers::list(actors, &visit.by, &everything()).await?.data;
        own = defined.into_iter().map(|server| server.slug).collect();
        own.retain(|slug| !listed.iter().any(|one| one.skill.is_none() && one.server == *slug));
    }
    let mut known = known::list(&visit.by)?.data;
    known.retain(|known| !listed.iter().any(|one| one.server == known.slug) && !own.contains(&known.slug));
    let row = |one: Installation| {
        let found = standing::installed(actors, &place.slug, &one.id);
        let (state, why) =
            if one.enabled { standing_of(&found) } else { (show::state("gone", "disabled"), String::new()) };
        Row { one, state, why }
    };
    let rows = listed.into_iter().map(row).collect();
    Ok(Page { shell, place, look, rows, own, known, form: Form::default(), problem: String::new() })
}

/// Shows what is installed.
pub async fn show(visit: Visit, slug: Path<String>, look: web::Query<Look>) -> Answer {
    Ok(page(StatusCode::OK, &build(&visit, &slug, look.into_inner()).await?))
}

async fn change(visit: &Visit, slug: &str, form: &Form) -> Result<Toast> {
    let (actors, by) = (visit.actors(), &visit.by);
    let place = (slug, form.server.as_str());
    let switch = |on| UpdateInstallation { enabled: Some(on), ..UpdateInstallation::default() };
    Ok(match form.act.as_str() {
        "uninstall" => {
            let gone = installations::uninstall(actors, by, slug, &form.server).await?;
            Toast::done(format!("{} is taken out of {slug}. Its tools are gone for everybody.", gone.server))
        }
        "disable" => {
            let one = installed_tools::update(actors, by, place, switch(false)).await?;
            Toast::done(format!("{} is disabled in {slug}.", one.server))
        }
        "enable" => {
            let one = installed_tools::update(actors, by, place, switch(true)).await?;
            Toast::done(format!("{} is enabled in {slug}.", one.server))
        }
        _ => {
            let prefix = Some(form.prefix.trim().to_owned()).filter(|prefix| !prefix.is_empty());
            let wanted = InstallServer { server: form.server.clone(), prefix, upgrade: false };
            let made = installations::install(actors, by, slug, wanted).await?;
            let server = &made.installation.server;
            match made.missing_secrets.first() {
                Some(secret) => Toast::done(format!("{server} is installed. It needs the secret {secret}."))
                    .with_link("Open Secrets", format!("/servers/{server}/secrets")),
                None => Toast::done(format!("{server} is installed. Every token of {slug} has its tools.")),
            }
        }
    })
}

/// Installs, takes out, switches on and off; then shows the list.
pub async fn submit(visit: Visit, slug: Path<String>) -> Answer {
    let form: Form = visit.form()?;
    match change(&visit, &slug, &form).await {
        Ok(toast) => {
            let built = build(&visit, &slug, Look::default()).await?;
            Ok(page(StatusCode::OK, &Page { shell: built.shell.saying(Some(toast)), ..built }))
        }
        Err(error) => refused(&visit, &slug, form, &error).await,
    }
}

async fn refused(visit: &Visit, slug: &str, form: Form, error: &Error) -> Answer {
    if form.act != "install" {
        let built = build(visit, slug, Look::default()).await?;
        let shell = built.shell.saying(Some(Toast::refused(error)));
        return Ok(page(status_of(error), &Page { shell, ..built }));
    }
    let built = build(visit, slug, Look { install: Some(String::new()), ..Look::default() }).await?;
    let problem = said(error);
    Ok(page(status_of(error), &Page { form, problem, ..built }))
}
