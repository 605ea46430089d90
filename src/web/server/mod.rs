//! One MCP server: what its pages have in common. A page is a tab; each has its file here, with its template beside it.

pub mod logs;
pub mod overview;
pub mod secrets;
pub mod settings;
pub mod tools;

use crate::{
    admin::{dto::Server, servers, standing},
    domain::role::Role,
    error::Result,
    web::{
        shell::{Noun, Shell},
        standing_of,
        visit::Visit,
        workspace::Tab,
    },
};

/// The head of a server's pages.
pub struct Place {
    /// The definition.
    pub one: Server,
    /// How it stands: the piece of HTML, and why.
    pub state: String,
    /// Why, if it does not answer.
    pub why: String,
    /// The tabs.
    pub tabs: Vec<Tab>,
}

/// Everything around a page of the server `slug`; `word` is its tab.
pub async fn around(visit: &Visit, slug: &str, word: &'static str) -> Result<(Shell, Place)> {
    visit.by.require(Role::Member)?;
    let one = servers::get(visit.actors(), &visit.by, slug).await?;
    let (state, why) = standing_of(&standing::server(visit.actors(), &one.id));
    let base = format!("/servers/{}", one.slug);
    let tab =
        |this: &'static str, end: &str| Tab { word: this, href: format!("{base}{end}"), count: None, on: this == word };
    let mut tabs = vec![tab("Overview", ""), tab("Tools", "/tools")];
    if visit.administers() {
        tabs.push(tab("Secrets", "/secrets"));
        tabs.push(tab("Logs", "/logs"));
        tabs.push(tab("Settings", "/settings"));
    }
    let crumbs = [("MCP Servers", "/servers".to_owned()), (one.slug.as_str(), base.clone())];
    let title = format!("{word} · {}", one.slug);
    let shell = visit.shell(Noun::Servers, &one.slug, &title).await?.on_the_way(&crumbs, word);
    Ok((shell, Place { one, state, why, tabs }))
}
