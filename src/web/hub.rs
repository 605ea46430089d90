//! `/hub`: what can be installed: well-known servers, and skills of one's teams and of everybody.

use actix_web::{http::StatusCode, web};
use askama::Template;
use serde::Deserialize;

use crate::{
    admin::{
        dto::{InstallServer, KnownServer, Skill},
        installations, known,
        skills::{self, SkillQuery},
        workspaces,
    },
    domain::skill::Visibility,
    error::Result,
    web::{
        page,
        shell::{Noun, Shell, Toast},
        show, status_of,
        visit::{Answer, Visit},
        workspace::everything,
    },
};

/// What is looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Look {
    /// `skills`, `public`, or empty: well-known servers.
    show: String,
    /// Words that have to be in name, description, category or tags.
    q: String,
    /// What is to be installed: in which workspace?
    install: String,
}

/// The form.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Form {
    server: String,
    workspace: String,
}

#[derive(Template)]
#[template(path = "hub.html")]
struct Page {
    shell: Shell,
    look: Look,
    servers: Vec<KnownServer>,
    skills: Vec<Skill>,
    workspaces: Vec<String>,
}

impl Page {
    fn link(&self, more: &str) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in [("show", &self.look.show), ("q", &self.look.q)] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        if !more.is_empty() {
            query.append_pair("install", more);
        }
        format!("/hub?{}", query.finish())
    }
    /// Whether who looks may install it.
    fn may(&self, skill: bool) -> bool {
        !self.workspaces.is_empty() && if skill { self.shell.member() } else { self.shell.admin() }
    }
}

/// How the chip of a skill's visibility looks.
fn tint(skill: &Skill) -> &'static str {
    match skill.visibility {
        Visibility::Public => "",
        Visibility::Team => "accent",
        Visibility::Private => "warn",
    }
}

async fn build(visit: &Visit, look: Look) -> Result<Page> {
    let shell = visit.shell(Noun::Hub, "", "Hub").await?;
    let (mut servers, mut skills) = (Vec::new(), Vec::new());
    if look.show.is_empty() {
        let words: Vec<String> = look.q.to_lowercase().split_whitespace().map(str::to_owned).collect();
        servers = known::list(&visit.by)?.data;
        servers.retain(|one| {
            let text = format!("{} {} {}", one.slug, one.title, one.description).to_lowercase();
            words.iter().all(|word| text.contains(word))
        });
    } else {
        let scope = if look.show == "public" { "public" } else { "mine" };
        let query = SkillQuery {
            scope: Some(scope.to_owned()),
            q: Some(look.q.clone()).filter(|words| !words.trim().is_empty()),
            limit: everything().limit,
            cursor: None,
        };
        skills = skills::list(visit.actors(), &visit.by, query).await?.data;
    }
    let listed = workspaces::list(visit.actors(), &visit.by, &everything()).await?.data;
    let workspaces = listed.into_iter().map(|one| one.slug).collect();
    Ok(Page { shell, look, servers, skills, workspaces })
}

/// Shows it.
pub async fn show(visit: Visit, look: web::Query<Look>) -> Answer {
    Ok(page(StatusCode::OK, &build(&visit, look.into_inner()).await?))
}

/// Installs something in a workspace; then shows the list.
pub async fn submit(visit: Visit) -> Answer {
    let form: Form = visit.form()?;
    let wanted = InstallServer { server: form.server.clone(), prefix: None, upgrade: false };
    let done = installations::install(visit.actors(), &visit.by, &form.workspace, wanted).await;
    let (status, toast) = match done {
        Ok(made) => {
            let server = &made.installation.server;
            let toast = match made.missing_secrets.first() {
                Some(secret) => {
                    Toast::done(format!("{server} is in {}. It needs the secret {secret}.", form.workspace))
                        .with_link("Open Secrets", format!("/servers/{server}/secrets"))
                }
                None => Toast::done(format!("{server} is in {}: every token there has its tools.", form.workspace))
                    .with_link("Open", format!("/workspaces/{}/servers", form.workspace)),
            };
            (StatusCode::OK, toast)
        }
        Err(error) => (status_of(&error), Toast::refused(&error)),
    };
    let built = build(&visit, Look::default()).await?;
    Ok(page(status, &Page { shell: built.shell.saying(Some(toast)), ..built }))
}
