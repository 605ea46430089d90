//! `/servers/{slug}/settings`: how a server is defined, and its end. Its secrets are bound to where it is: before it moves
//! to another origin the page says what that does, and does it only when it is told again.

use actix_web::{
    http::StatusCode,
    web::{self, Path},
};
use askama::Template;
use serde::Deserialize;

use crate::{
    admin::{
        dto::{Server, UpdateServer},
        secrets::{self, Scope},
        servers,
    },
    domain::{role::Role, server::ServerSpec},
    error::{Error, ErrorCode, Result},
    web::{
        go_to, page,
        server::{Place, around},
        shell::{Shell, Toast, said},
        show, status_of,
        visit::{Answer, Visit},
        workspace::tokens::figure,
    },
};

/// What is looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Look {
    /// The removal is asked about.
    remove: Option<String>,
}

/// The forms of the page.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Form {
    #[serde(rename = "do")]
    act: String,
    /// Where it is; empty for a program.
    url: String,
    title: String,
    protocol: String,
    timeout: String,
    total: String,
    calls: String,
}

impl Form {
    fn of(one: &Server) -> Self {
        let text = |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
        Form {
            act: String::new(),
            url: if one.kind == "http" { one.url.clone() } else { String::new() },
            title: one.title.clone(),
            protocol: one.protocol.clone(),
            timeout: text(one.timeout_seconds),
            total: text(one.total_seconds),
            calls: text(one.max_in_flight),
        }
    }

    /// All that was typed, to be sent again.
    fn fields(&self) -> [(&'static str, &str); 6] {
        [
            ("url", &self.url),
            ("title", &self.title),
            ("protocol", &self.protocol),
            ("timeout", &self.timeout),
            ("total", &self.total),
            ("calls", &self.calls),
        ]
    }

    fn wanted(&self) -> Result<UpdateServer> {
        // What is left empty is as the gateway is set.
        let of = |text, what| figure::<u64>(text, what).map(|value| value.or(Some(0)));
        Ok(UpdateServer {
            url: Some(self.url.trim().to_owned()).filter(|url| !url.is_empty()),
            title: Some(self.title.clone()),
            protocol: Some(self.protocol.clone()),
            timeout_seconds: of(&self.timeout, "The wait for an answer")?,
            total_seconds: of(&self.total, "The length of a call")?,
            max_in_flight: of(&self.calls, "The number of calls")?,
        })
    }
}

#[derive(Template)]
#[template(path = "server/settings.html")]
struct Page {
    shell: Shell,
    place: Place,
    asked: bool,
    form: Form,
    problem: String,
    moving: Option<Moving>,
}

/// A move that is asked about.
struct Moving {
    /// The origin it moves to.
    to: String,
    /// Its secrets, which are bound to the origin it has.
    secrets: Vec<String>,
}

/// The move that a form wants, if it leads to another origin than the server has.
async fn moving(visit: &Visit, one: &Server, form: &Form) -> Result<Option<Moving>> {
    let url = form.url.trim();
    if one.kind != "http" || url.is_empty() || url == one.url {
        return Ok(None);
    }
    let to = servers::reach_at(visit.actors(), url)?.origin();
    if ServerSpec::for_url(&one.url)?.origin() == to {
        return Ok(None);
    }
    let known = secrets::list(visit.actors(), &visit.by, &one.slug, &Scope::default()).await?.data;
    let mut secrets: Vec<String> = known.into_iter().map(|secret| secret.name).collect();
    secrets.sort_unstable();
    secrets.dedup();
    Ok(Some(Moving { to, secrets }))
}

async fn build(visit: &Visit, slug: &str, asked: bool) -> Result<Page> {
    visit.by.require(Role::Admin)?;
    let (shell, place) = around(visit, slug, "Settings").await?;
    let form = Form::of(&place.one);
    Ok(Page { shell, place, asked, form, problem: String::new(), moving: None })
}

/// Shows it.
pub async fn show(visit: Visit, slug: Path<String>, look: web::Query<Look>) -> Answer {
    Ok(page(StatusCode::OK, &build(&visit, &slug, look.remove.is_some()).await?))
}

/// Changes the definition, or removes it with its secrets.
pub async fn submit(visit: Visit, slug: Path<String>) -> Answer {
    let form: Form = visit.form()?;
    match form.act.as_str() {
        "save" => {
            let built = build(&visit, &slug, false).await?;
            return match moving(&visit, &built.place.one, &form).await {
                Ok(None) => save(&visit, &slug, form).await,
                Ok(moving) => Ok(page(StatusCode::OK, &Page { form, moving, ..built })),
                Err(error) => Ok(page(status_of(&error), &Page { form, problem: said(&error), ..built })),
            };
        }
        "move" => return save(&visit, &slug, form).await,
        "remove" => {}
        _ => return Err(Error::new(ErrorCode::InvalidRequest, "The form was not understood").into()),
    }
    match servers::remove(visit.actors(), &visit.by, &slug).await {
        Ok(_) => Ok(go_to("/servers")),
        Err(error) => {
            let built = build(&visit, &slug, false).await?;
            let shell = built.shell.saying(Some(Toast::refused(&error)));
            Ok(page(status_of(&error), &Page { shell, ..built }))
        }
    }
}

async fn save(visit: &Visit, slug: &str, form: Form) -> Answer {
    let saved = match form.wanted() {
        Ok(wanted) => servers::update(visit.actors(), &visit.by, slug, wanted).await,
        Err(error) => Err(error),
    };
    let built = build(visit, slug, false).await?;
    match saved {
        Ok(server) => {
            let toast = Toast::done(format!("{} is saved. Its next call goes by it.", server.slug));
            Ok(page(StatusCode::OK, &Page { shell: built.shell.saying(Some(toast)), ..built }))
        }
        Err(error) => Ok(page(status_of(&error), &Page { form, problem: said(&error), ..built })),
    }
}
