//! What surrounds every page of the dashboard: rail, top bar, breadcrumbs, what just happened.

use std::sync::Arc;

use actix_web::HttpResponse;

use crate::{
    actors::health::ActorState,
    admin::{actors as board, request::Paging, team, whoami},
    domain::{
        clock::{self, Timestamp},
        role::Role,
    },
    error::{Error, Result},
    upstream::ServerDef,
    web::{assets, visit::Visit},
};

/// Objects that the rail lists below the noun that is open; the list page has all.
const LISTED: usize = 12;

/// The nouns of the rail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noun {
    /// What happened, what needs somebody.
    Overview,
    /// Gateway URLs.
    Workspaces,
    /// What is behind them.
    Servers,
    /// What can be installed.
    Hub,
    /// People.
    Team,
    /// Who calls what, in all workspaces.
    Analytics,
    /// Calls as they end.
    Live,
    /// A call of one's own.
    Playground,
    /// Who did what.
    Audit,
    /// How the gateway is.
    Health,
    /// What may be had, how it is set.
    Settings,
    /// What there is no noun for: the own account.
    Other,
}

/// A line of the rail.
pub struct Item {
    /// Its noun.
    pub noun: Noun,
    /// Its word.
    pub word: &'static str,
    /// Where it leads.
    pub href: &'static str,
    /// Its drawing.
    pub icon: &'static str,
    /// A gap is above it.
    pub part: bool,
    /// How many there are.
    pub count: Option<usize>,
    /// The objects, while it is open: slug and link.
    pub objects: Vec<(String, String)>,
}

/// What just happened, said once in a corner.
pub struct Toast {
    /// One or two sentences.
    pub text: String,
    /// Where to see more: words and link.
    pub link: Option<(String, String)>,
    /// It did not work; it stays until it is closed.
    pub failed: bool,
}

impl Toast {
    /// Something worked.
    pub fn done(text: impl Into<String>) -> Self {
        Toast { text: text.into(), link: None, failed: false }
    }
    /// With somewhere to see more.
    pub fn with_link(mut self, words: &str, href: impl Into<String>) -> Self {
        self.link = Some((words.to_owned(), href.into()));
        self
    }
    /// Something was refused: what, and what to do.
    pub fn refused(error: &Error) -> Self {
        Toast { text: said(error), link: None, failed: true }
    }
}

/// A refusal in words: what, and what to do about it.
pub fn said(error: &Error) -> String {
    match error.hint() {
        Some(hint) => format!("{} ({hint})", error.message()),
        None => error.message().to_owned(),
    }
}

/// Everything around a page.
pub struct Shell {
    /// Of the window.
    pub title: String,
    /// Which noun is open.
    pub at: Noun,
    /// Which of its objects.
    pub object: String,
    /// The way here: words and links; the last one is the page itself.
    pub crumbs: Vec<(String, String)>,
    /// The rail.
    pub items: Vec<Item>,
    /// The namespace looked at.
    pub namespace: String,
    /// All that can be looked at.
    pub namespaces: Vec<String>,
    /// How the audit log names who looks.
    pub label: String,
    /// Their user name.
    pub username: String,
    /// Their role here.
    pub role: Role,
    /// Actors that do not run, and all; `None` for those who do not administer.
    pub actors: Option<(usize, usize)>,
    /// What every form brings back.
    pub csrf: String,
    /// Of the gateway.
    pub version: &'static str,
    /// What just happened.
    pub toast: Option<Toast>,
    /// What names the request in the log and in the audit log.
    pub request: Arc<str>,
    /// When the page was made.
    pub now: Timestamp,
    /// What the URLs of assets begin with.
    pub assets: &'static str,
}

impl Shell {
    /// Whether who looks administers the namespace.
    pub fn admin(&self) -> bool {
        self.role >= Role::Admin
    }
    /// Whether who looks owns the namespace.
    pub fn owner(&self) -> bool {
        self.role >= Role::Owner
    }
    /// Whether who looks may have tokens of their own.
    pub fn member(&self) -> bool {
        self.role >= Role::Member
    }
    /// The same with what just happened.
    pub fn saying(mut self, toast: Option<Toast>) -> Self {
        self.toast = toast;
        self
    }
    /// The same with the way to the page.
    pub fn on_the_way(mut self, crumbs: &[(&str, String)], last: &str) -> Self {
        self.crumbs = crumbs.iter().map(|(word, href)| ((*word).to_owned(), href.clone())).collect();
        self.crumbs.push((last.to_owned(), String::new()));
        self
    }
}

impl Visit {
    /// What surrounds a page about `object` below the noun `at`.
    pub async fn shell(&self, at: Noun, object: &str, title: &str) -> Result<Shell> {
        let who = whoami::whoami(self.actors(), &self.by).await?;
        let people = team::list(self.actors(), &self.by, &Paging { limit: Some(500), cursor: None }).await?.data.len();
        let actors = match board::list(self.actors(), &self.by) {
            Ok(health) => {
                let trouble = health.actors.iter().filter(|one| one.state != ActorState::Running).count();
                Some((trouble, health.actors.len()))
            }
            Err(_not_theirs) => None,
        };
        Ok(Shell {
            title: title.to_owned(),
            at,
            object: object.to_owned(),
            crumbs: Vec::new(),
            items: self.items(at, people, actors.is_some()),
            namespace: who.namespace,
            namespaces: who.namespaces.into_iter().map(|one| one.namespace).collect(),
            label: who.label,
            username: who.username,
            role: self.by.role,
            actors,
            csrf: self.csrf(),
            version: env!("CARGO_PKG_VERSION"),
            toast: None,
            request: self.by.request.clone().unwrap_or_default(),
            now: clock::now(),
            assets: assets::base(),
        })
    }

    fn items(&self, at: Noun, people: usize, sees_actors: bool) -> Vec<Item> {
        let catalog = self.actors().catalog.load();
        let here = self.by.namespace;
        let mut workspaces: Vec<&str> =
            catalog.workspaces.values().filter(|view| view.namespace == here).map(|view| &*view.slug).collect();
        workspaces.sort_unstable();
        let own =
            |def: &&Arc<ServerDef>| def.namespace == here && def.spec.skill().is_none() && self.by.role >= Role::Member;
        let mut servers: Vec<&str> = catalog.servers.values().filter(own).map(|def| &*def.slug).collect();
        servers.sort_unstable();
        let below = |noun: Noun, slugs: &[&str], base: &str| -> Vec<(String, String)> {
            let shown = if noun == at { slugs.len().min(LISTED) } else { 0 };
            slugs.iter().take(shown).map(|slug| ((*slug).to_owned(), format!("{base}/{slug}"))).collect()
        };
        let item =
            |noun, word, href, icon| Item { noun, word, href, icon, part: false, count: None, objects: Vec::new() };
        let mut items = vec![
            item(Noun::Overview, "Overview", "/overview", "gauge"),
            Item {
                count: Some(workspaces.len()),
                objects: below(Noun::Workspaces, &workspaces, "/workspaces"),
                ..item(Noun::Workspaces, "Workspaces", "/workspaces", "layers")
            },
            Item {
                count: Some(servers.len()),
                objects: below(Noun::Servers, &servers, "/servers"),
                ..item(Noun::Servers, "MCP Servers", "/servers", "server")
            },
            item(Noun::Hub, "Hub", "/hub", "package"),
            Item { count: Some(people), ..item(Noun::Team, "Team", "/team", "users") },
        ];
        items.push(Item { part: true, ..item(Noun::Analytics, "Analytics", "/analytics", "chart-column") });
        items.push(item(Noun::Live, "Live", "/live", "activity"));
        if self.by.role >= Role::Member {
            items.push(item(Noun::Playground, "Playground", "/playground", "terminal"));
        }
        if self.by.role >= Role::Admin {
            items.push(item(Noun::Audit, "Audit", "/audit", "file-text"));
        }
        if sees_actors {
            items.push(item(Noun::Health, "Health", "/health", "heart-pulse"));
        }
        items.push(item(Noun::Settings, "Settings", "/settings", "sliders-horizontal"));
        items
    }
}

/// The page at `/`.
pub async fn home(_: Visit) -> HttpResponse {
    super::go_to("/overview")
}
