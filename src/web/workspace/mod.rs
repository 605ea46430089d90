//! One workspace: what its pages have in common. A page is a tab; each has its file here, with its template beside it.

pub mod analytics;
pub mod calls;
pub mod connect;
pub mod diet;
pub mod members;
pub mod servers;
pub mod settings;
pub mod token;
pub mod tokens;
pub mod tools;

use crate::{
    admin::{request::Paging, workspaces},
    domain::role::Role,
    error::Result,
    web::{
        shell::{Noun, Shell},
        visit::Visit,
    },
};

/// Items that a page of the dashboard shows of a list.
pub const SHOWN: usize = 500;

/// All that fits on a page.
pub fn everything() -> Paging {
    Paging { limit: Some(SHOWN), cursor: None }
}

/// The head of a workspace's pages, or of those about all workspaces.
pub struct Place {
    /// Its slug; empty: all workspaces.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Its gateway URL.
    pub url: String,
    /// The tabs: word, end of the link, how many there are.
    pub tabs: Vec<Tab>,
}

impl Place {
    /// What the paths of its pages begin with.
    pub fn base(&self) -> String {
        if self.is_everywhere() { String::new() } else { format!("/workspaces/{}", self.slug) }
    }
    /// Whether it is all workspaces.
    pub fn is_everywhere(&self) -> bool {
        self.slug.is_empty()
    }
}

/// A tab.
pub struct Tab {
    /// Its word.
    pub word: &'static str,
    /// Where it leads.
    pub href: String,
    /// How many there are behind it.
    pub count: Option<u64>,
    /// It is the one that is shown.
    pub on: bool,
}

/// Everything around a page of the workspace `slug`; `word` is its tab.
pub async fn around(visit: &Visit, slug: &str, word: &'static str) -> Result<(Shell, Place)> {
    let workspace = workspaces::get(visit.actors(), &visit.by, slug).await?;
    let base = format!("/workspaces/{}", workspace.slug);
    let tab = |this: &'static str, end: &str, count| Tab {
        word: this,
        href: format!("{base}/{end}"),
        count,
        on: this == word,
    };
    let mut tabs = vec![tab("Connect", "connect", None)];
    if visit.by.role >= Role::Member {
        tabs.push(tab("Tokens", "tokens", visit.administers().then_some(workspace.active_tokens)));
    }
    let tools = visit.actors().catalog.load().workspace(&workspace.slug).map(|view| view.tools.entries().len());
    tabs.push(tab("Tools", "tools", tools.and_then(|tools| u64::try_from(tools).ok())));
    tabs.push(tab("MCP Servers", "servers", Some(workspace.servers)));
    tabs.push(tab("Analytics", "analytics", None));
    tabs.push(tab("Members", "members", None));
    if visit.administers() {
        tabs.push(tab("Tool diet", "diet", None));
        tabs.push(tab("Workspace Audit", "audit", None));
        tabs.push(tab("Settings", "settings", None));
    }
    let crumbs = [("Workspaces", "/workspaces".to_owned()), (workspace.slug.as_str(), format!("{base}/connect"))];
    let title = format!("{word} · {}", workspace.slug);
    let shell = visit.shell(Noun::Workspaces, &workspace.slug, &title).await?.on_the_way(&crumbs, word);
    let place = Place { slug: workspace.slug, name: workspace.name, url: workspace.url, tabs };
    Ok((shell, place))
}

/// Everything around a page about calls: of one workspace, or of all that the namespace has. `word` is its name.
pub async fn among(visit: &Visit, slug: Option<&str>, word: &'static str) -> Result<(Shell, Place)> {
    if let Some(slug) = slug {
        let (mut shell, place) = around(visit, slug, "Analytics").await?;
        if word != "Analytics" {
            let way = [
                ("Workspaces", "/workspaces".to_owned()),
                (place.slug.as_str(), format!("{}/connect", place.base())),
                ("Analytics", format!("{}/analytics", place.base())),
            ];
            shell = shell.on_the_way(&way, word);
            shell.title = format!("{word} · {}", place.slug);
        }
        return Ok((shell, place));
    }
    let mut shell = visit.shell(Noun::Analytics, "", word).await?;
    if word != "Analytics" {
        shell = shell.on_the_way(&[("Analytics", "/analytics".to_owned())], word);
    }
    let place = Place { slug: String::new(), name: word.to_owned(), url: String::new(), tabs: Vec::new() };
    Ok((shell, place))
}
