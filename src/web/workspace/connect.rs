//! `/workspaces/{slug}/connect`: how an editor gets the tools of a workspace, and who has them already.

use actix_web::{http::StatusCode, web::Path};
use askama::Template;

use crate::{
    admin::{
        calls::{self, CallQuery},
        dto::Token,
        tokens, workspaces,
    },
    domain::{
        clients::{self, Connection, Snippet},
        role::Role,
    },
    error::Result,
    web::{
        page,
        shell::Shell,
        show,
        visit::{Answer, Visit},
        workspace::{Place, around},
    },
};

/// Tokens on the list of who is connected.
const LISTED: usize = 8;

/// A token and what it is used with.
struct Connected {
    token: Token,
    client: Option<String>,
}

#[derive(Template)]
#[template(path = "workspace/connect.html")]
struct Page {
    shell: Shell,
    place: Place,
    clients: Vec<Snippet>,
    connected: Vec<Connected>,
    waiting: Option<Token>,
    tokens: usize,
    tools: usize,
}

impl Page {
    fn command(&self) -> String {
        format!("aerostack connect {} --install cursor", self.place.url)
    }
}

/// What clients are called in the calls of a token, newest call first.
pub(super) async fn client_of(visit: &Visit, slug: &str, name: &str) -> Result<Option<String>> {
    let query = CallQuery { user: Some(name.to_owned()), limit: Some(1), ..CallQuery::default() };
    let found = calls::list(visit.actors(), &visit.by, Some(slug), &query).await?;
    Ok(found.data.into_iter().next().map(|call| call.client).filter(|client| !client.is_empty()))
}

/// Shows it.
pub async fn show(visit: Visit, slug: Path<String>) -> Answer {
    let (shell, place) = around(&visit, &slug, "Connect").await?;
    let mut known = Vec::new();
    if visit.by.role >= Role::Member {
        known = tokens::newest(visit.actors(), &visit.by, &slug, false).await?.tokens;
    }
    let tokens = known.len();
    let waiting = known.iter().find(|token| token.last_used_at.is_none()).cloned();
    known.retain(|token| token.last_used_at.is_some());
    known.sort_by_key(|token| std::cmp::Reverse(token.last_used_at));
    let mut connected = Vec::new();
    for token in known.into_iter().take(LISTED) {
        let client = client_of(&visit, &slug, &token.name).await?;
        connected.push(Connected { token, client });
    }
    let url = workspaces::gateway_url(visit.actors(), &place.slug);
    let clients = clients::snippets(&Connection { slug: &place.slug, url: &url, token: None });
    let tools = visit.actors().catalog.load().workspace(&place.slug).map_or(0, |view| view.tools.entries().len());
    Ok(page(StatusCode::OK, &Page { shell, place, clients, connected, waiting, tokens, tools }))
}
