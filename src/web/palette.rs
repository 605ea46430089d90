//! `/palette`: what the command palette finds. It is a piece of a page; the dialog around it is in the shell.

use std::collections::HashMap;

use actix_web::{http::StatusCode, web};
use askama::Template;
use serde::Deserialize;

use crate::{
    admin::{auth, tokens},
    domain::{ids::WorkspaceId, role::Role},
    error::Result,
    web::{
        page, show,
        visit::{Answer, Visit},
    },
};

/// Entries of a group.
const ENTRIES: usize = 6;

/// What is looked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Look {
    q: String,
}

/// Somewhere to go.
struct Entry {
    icon: &'static str,
    /// Of whom, where that is drawn instead of an icon.
    face: Option<String>,
    words: String,
    detail: String,
    href: String,
    keys: &'static [&'static str],
    /// It leads to a question before something is lost.
    loses: bool,
}

struct Group {
    title: &'static str,
    entries: Vec<Entry>,
}

#[derive(Template)]
#[template(path = "palette.html")]
struct Piece {
    groups: Vec<Group>,
}

fn entry(icon: &'static str, words: impl Into<String>, href: impl Into<String>) -> Entry {
    Entry { icon, face: None, words: words.into(), detail: String::new(), href: href.into(), keys: &[], loses: false }
}

/// The pages, with the keys that lead there.
fn pages(visit: &Visit) -> Vec<Entry> {
    let to = |icon, words, href, keys| Entry { keys, ..entry(icon, words, href) };
    let mut all = vec![
        to("gauge", "Overview", "/overview", &["g", "o"][..]),
        to("layers", "Workspaces", "/workspaces", &["g", "w"]),
        to("server", "MCP Servers", "/servers", &["g", "s"]),
        to("package", "Hub", "/hub", &["g", "h"]),
        to("users", "Team", "/team", &["g", "t"]),
        to("chart-column", "Analytics", "/analytics", &["g", "c"]),
        to("activity", "Live", "/live", &["g", "l"]),
    ];
    if visit.by.role >= Role::Member {
        all.push(to("terminal", "Playground", "/playground", &["g", "p"]));
    }
    if visit.administers() {
        all.push(to("file-text", "Audit", "/audit", &["g", "a"]));
    }
    if auth::require_installation(visit.actors(), &visit.by, "see its actors").is_ok() {
        all.push(to("heart-pulse", "Health", "/health", &["g", "e"]));
    }
    all.push(entry("key-round", "Your account", "/account"));
    all
}

async fn groups(visit: &Visit, wanted: &str) -> Result<Vec<Group>> {
    let (mut workspaces, mut servers, slugs) = {
        let catalog = visit.actors().catalog.load();
        let here = visit.by.namespace;
        let own = catalog.workspaces.values().filter(|view| view.namespace == here);
        let views: Vec<_> = own.collect();
        let slugs: HashMap<WorkspaceId, String> = views.iter().map(|view| (view.id, view.slug.to_string())).collect();
        let workspaces: Vec<(String, String)> =
            views.iter().map(|view| (view.slug.to_string(), view.name.to_string())).collect();
        let own = catalog.servers.values().filter(|def| def.namespace == here && def.spec.skill().is_none());
        let servers: Vec<String> = own.map(|def| def.slug.to_string()).collect();
        (workspaces, servers, slugs)
    };
    workspaces.sort_unstable();
    servers.sort_unstable();
    let (mut people, mut actions) = (Vec::new(), Vec::new());
    if visit.by.role >= Role::Member && !wanted.is_empty() {
        for (workspace, token) in tokens::of_namespace(visit.actors(), &visit.by).await? {
            if let Some(slug) = slugs.get(&workspace) {
                let path = format!("/workspaces/{slug}/tokens?q={}", show::part(&token.name));
                let detail = format!("mwt_…{} in {slug}", token.hint);
                people.push(Entry { face: Some(token.name.clone()), detail, ..entry("user", &token.name, path) });
                let path = format!("/workspaces/{slug}/tokens?revoke={}", token.id);
                let detail = format!("in {slug}");
                actions.push(Entry { loses: true, detail, ..entry("x", format!("Revoke {}…", token.name), path) });
            }
        }
    }
    if visit.by.role >= Role::Member {
        for (slug, _) in &workspaces {
            actions.push(entry("plus", format!("New Token in {slug}"), format!("/workspaces/{slug}/tokens?new")));
        }
    }
    if visit.administers() {
        for slug in &servers {
            actions.push(entry("lock", format!("Add Secret to {slug}"), format!("/servers/{slug}/secrets?add")));
        }
        actions.push(entry("server", "Add server", "/servers?new"));
        actions.push(entry("layers", "New Workspace", "/workspaces?new"));
        actions.push(entry("mail", "Invite Member", "/team?invite"));
    }
    let mut places = pages(visit);
    for (slug, name) in &workspaces {
        let detail = if name == slug { String::new() } else { name.clone() };
        places.push(Entry { detail, ..entry("layers", slug, format!("/workspaces/{slug}/connect")) });
    }
    if visit.by.role >= Role::Member {
        places.extend(servers.iter().map(|slug| entry("server", slug, format!("/servers/{slug}"))));
    }
    Ok(vec![
        Group { title: "People and tokens", entries: people },
        Group { title: "Actions", entries: actions },
        Group { title: "Go to", entries: places },
    ])
}

/// Finds what has all the words.
pub async fn show(visit: Visit, look: web::Query<Look>) -> Answer {
    let words: Vec<String> = look.q.to_lowercase().split_whitespace().map(str::to_owned).collect();
    let mut groups = groups(&visit, look.q.trim()).await?;
    for group in &mut groups {
        group.entries.retain(|one| {
            let text = format!("{} {}", one.words, one.detail).to_lowercase();
            words.iter().all(|word| text.contains(word))
        });
        group.entries.truncate(if group.title == "Go to" { ENTRIES * 2 } else { ENTRIES });
    }
    groups.retain(|group| !group.entries.is_empty());
    Ok(page(StatusCode::OK, &Piece { groups }))
}
