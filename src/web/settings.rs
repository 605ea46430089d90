//! `/settings`: what the namespace may have, and how the gateway is set. It is changed where it is written: a plan by the
//! operator, settings in the configuration, roles on Team.

use actix_web::http::StatusCode;
use askama::Template;

use crate::{
    admin::{dto::WhoAmI, whoami},
    config::Config,
    domain::plan::Plan,
    web::{
        page,
        shell::{Noun, Shell},
        show,
        visit::{Answer, Visit},
    },
};

#[derive(Template)]
#[template(path = "settings.html")]
struct Page<'a> {
    shell: Shell,
    who: WhoAmI,
    plan: Plan,
    workspaces: u64,
    config: &'a Config,
}

/// A limit of a plan.
fn most(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), show::number)
}

/// Shows them.
pub async fn show(visit: Visit) -> Answer {
    let shell = visit.shell(Noun::Settings, "", "Settings").await?;
    let who = whoami::whoami(visit.actors(), &visit.by).await?;
    let here = visit.by.namespace;
    let held = visit.actors().catalog.load().workspaces.values().filter(|view| view.namespace == here).count();
    let (plan, workspaces) = (Plan::parse(&who.plan), u64::try_from(held).unwrap_or(u64::MAX));
    let config = &*visit.actors().config;
    Ok(page(StatusCode::OK, &Page { shell, who, plan, workspaces, config }))
}
