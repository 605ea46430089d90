//! `/servers/{slug}/secrets`: the names of a server's secrets and how they travel. A value goes in with the form and is
//! in no page: there is nothing here that could show one.

use actix_web::{
    http::StatusCode,
    web::{self, Path},
};
use askama::Template;
use serde::Deserialize;

use crate::{
    admin::{
        dto::{InjectionRule, KnownSecret, Secret, SetSecret},
        known,
        secrets::{self, Scope},
    },
    error::Result,
    web::{
        page,
        server::{Place, around},
        shell::{Shell, Toast, said},
        show, status_of,
        visit::{Answer, Visit},
    },
};

/// What is looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Look {
    /// The form is open.
    add: Option<String>,
    /// With this name filled in.
    name: String,
    /// The secret that is asked about: delete it?
    delete: String,
    /// The workspace whose override is meant.
    workspace: String,
}

/// The forms of the page. The value is in it until it is in the vault.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct Form {
    #[serde(rename = "do")]
    act: String,
    name: String,
    value: String,
    travels: String,
    header: String,
    workspace: String,
}

#[derive(Template)]
#[template(path = "server/secrets.html")]
struct Page {
    shell: Shell,
    place: Place,
    look: Look,
    secrets: Vec<Secret>,
    missing: Vec<KnownSecret>,
    form: Form,
    problem: String,
}

impl Page {
    fn open(&self) -> bool {
        self.look.add.is_some() || self.secrets.is_empty()
    }
    fn program(&self) -> bool {
        self.place.one.kind == "stdio"
    }
    fn asked(&self, secret: &Secret) -> bool {
        self.look.delete == secret.name && self.look.workspace == secret.workspace.as_deref().unwrap_or_default()
    }
    fn replaces(&self) -> bool {
        self.secrets.iter().any(|secret| secret.name == self.form.name)
    }
    fn link(&self, secret: &Secret, more: &str) -> String {
        let workspace = secret.workspace.as_deref().map(|slug| format!("&workspace={}", show::part(slug)));
        format!(
            "/servers/{}/secrets?{more}={}{}",
            self.place.one.slug,
            show::part(&secret.name),
            workspace.unwrap_or_default()
        )
    }
}

/// How a secret travels, in front of its seal.
fn travels(rule: &InjectionRule) -> String {
    match rule {
        InjectionRule::Header { header } => format!("{header}: "),
        InjectionRule::Bearer {} => "Authorization: Bearer ".to_owned(),
        InjectionRule::Env { name } => format!("{name}="),
    }
}

async fn build(visit: &Visit, slug: &str, look: Look) -> Result<Page> {
    let (shell, place) = around(visit, slug, "Secrets").await?;
    let secrets = secrets::list(visit.actors(), &visit.by, slug, &Scope::default()).await?.data;
    let known = known::list(&visit.by)?.data.into_iter().find(|known| known.slug == place.one.slug);
    let mut missing = known.map(|known| known.secrets).unwrap_or_default();
    missing.retain(|wanted| !secrets.iter().any(|secret| secret.name == wanted.name));
    let name = if look.name.is_empty() { missing.first().map(|one| one.name.clone()) } else { Some(look.name.clone()) };
    let form = Form { name: name.unwrap_or_default(), workspace: look.workspace.clone(), ..Form::default() };
    Ok(Page { shell, place, look, secrets, missing, form, problem: String::new() })
}

/// Shows names and rules.
pub async fn show(visit: Visit, slug: Path<String>, look: web::Query<Look>) -> Answer {
    Ok(page(StatusCode::OK, &build(&visit, &slug, look.into_inner()).await?))
}

fn scope_of(form: &Form) -> Scope {
    Scope { workspace: Some(form.workspace.clone()).filter(|slug| !slug.is_empty()) }
}

async fn save(visit: &Visit, slug: &str, form: &mut Form) -> Result<Toast> {
    let injection = match form.travels.as_str() {
        "bearer" => Some(InjectionRule::Bearer {}),
        "header" => Some(InjectionRule::Header { header: form.header.trim().to_owned() }),
        _ => None,
    };
    let input = SetSecret { name: form.name.trim().to_owned(), value: std::mem::take(&mut form.value), injection };
    let written = secrets::set(&visit.admin.actors, &visit.by, slug, &scope_of(form), input).await?;
    let what = if written.created { "saved" } else { "replaced" };
    Ok(Toast::done(format!("Secret {} {what}. In use from the next call.", written.name))
        .with_link("View audit", "/audit"))
}

/// Saves or deletes one; then shows the list.
pub async fn submit(visit: Visit, slug: Path<String>) -> Answer {
    let mut form: Form = visit.form()?;
    let done = match form.act.as_str() {
        "delete" => {
            let gone = secrets::delete(visit.actors(), &visit.by, &slug, &form.name, &scope_of(&form)).await;
            gone.map(|_| Toast::done(format!("Secret {} deleted. {} gets it no more.", form.name, *slug)))
        }
        _ => save(&visit, &slug, &mut form).await,
    };
    match done {
        Ok(toast) => {
            let built = build(&visit, &slug, Look::default()).await?;
            Ok(page(StatusCode::OK, &Page { shell: built.shell.saying(Some(toast)), ..built }))
        }
        Err(error) => {
            let look = Look { add: Some(String::new()), ..Look::default() };
            let built = build(&visit, &slug, look).await?;
            // The value is typed again: it is in no page.
            form.value.clear();
            Ok(page(status_of(&error), &Page { form, problem: said(&error), ..built }))
        }
    }
}
