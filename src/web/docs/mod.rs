//! The documentation at `/docs`: pages that people have written (`src/docs/*.md`), some of which go on with what is made
//! from the thing itself: the table of failures, the command tree, `config.toml`, the OpenAPI document, the clients'
//! configurations. Each page is there as HTML and, with `.md` behind its name, as Markdown; `/llms.txt` lists them.
//!
//! They are for everybody and hold nothing of this installation. A page is made when it is asked for first, and kept.

mod api;
mod clients;
mod commands;
mod errors;
mod markdown;
mod settings;

use std::{fmt::Write as _, sync::OnceLock};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::{self, Bytes, Path},
};
use askama::Template;
use clap::Command;

use self::markdown::{Heading, Rendered};
use crate::{
    admin::{etag, has_seen},
    domain::near,
    error::{Error, Result},
    web::{self as pages, assets, packed, show},
};

const HTML: &str = "text/html; charset=utf-8";
const MARKDOWN: &str = "text/markdown; charset=utf-8";
/// What the documentation is about, for a list of its pages.
const ABOUT: &str =
    "A self-hosted MCP gateway for teams: one URL and one token per person, the keys stay in the vault.";

/// A page.
struct Page {
    /// Its name in the address; the first one's is empty.
    slug: &'static str,
    title: &'static str,
    /// In a sentence, for lists of pages.
    about: &'static str,
    /// The heading that the navigation has it under.
    part: &'static str,
    /// What somebody has written.
    written: &'static str,
    /// What is made from the thing itself, below that.
    made: Option<fn(&Command) -> String>,
}

/// Declares the pages, part by part, in reading order.
macro_rules! documents {
    (made) => { None };
    (made $made:expr) => { Some($made) };
    ($($part:literal { $($slug:literal $title:literal $about:literal $(+ $made:expr)?;)+ })+) => {
        const PAGES: &[Page] = &[
            Page {
                slug: "", title: "Documentation", about: ABOUT, part: "",
                written: include_str!("../../docs/index.md"), made: Some(|_| contents()),
            },
            $($(Page {
                slug: $slug, title: $title, about: $about, part: $part,
                written: include_str!(concat!("../../docs/", $slug, ".md")),
                made: documents!(made $($made)?),
            },)+)+
        ];
    };
}

documents! {
    "Begin" {
        "start" "Start" "From nothing to a first call, in ten minutes.";
        "concepts" "Concepts" "The words that commands, pages and the API use.";
        "connect" "Connect an editor" "What each client wants to be told, and its quirks." + |_| clients::page();
    }
    "Use" {
        "teams" "Teams and roles" "Invite people, what each role may, what happens when somebody leaves.";
        "tokens" "Workspaces and tokens" "Gateway URLs, scopes, expiry, rotation, the limit of calls.";
        "servers" "MCP servers and secrets" "Servers over HTTP and on this machine, and how their keys reach them.";
        "skills" "Skills and hub" "Publish a tool as a package, find and install packages.";
        "analytics" "Analytics and logs" "Who called what, how fast, what failed.";
        "audit" "Audit" "What is recorded, and how to check that it is what was written.";
    }
    "Run" {
        "operations" "Operations" "Settings, databases, TLS, health, metrics, upgrades.";
        "security" "Security" "What is encrypted, who may read what, what stops which attack.";
        "compatibility" "Compatibility" "Which client works with which server, over which transport.";
    }
    "Reference" {
        "cli" "Command line" "Every command with its options and examples." + commands::page;
        "config" "Settings" "Every setting with its default and what it does." + |_| settings::page();
        "api" "Admin API" "Every operation with its parameters, bodies and answers." + |_| api::page();
        "errors" "Errors" "Every kind of failure: when it happens and what to do." + |_| errors::page();
    }
}

/// What a page is sent as.
struct Kept {
    kind: &'static str,
    plain: Bytes,
    packed: Bytes,
    tag: String,
}

impl Kept {
    fn new(kind: &'static str, text: String) -> Self {
        Kept { kind, tag: etag(text.as_bytes()), packed: packed::once(text.as_bytes()), plain: text.into() }
    }

    /// The page, or that it is still the one that the caller has.
    fn answer(&self, request: &HttpRequest) -> HttpResponse {
        // The same tag for both encodings is a weak one.
        let tag = (header::ETAG, format!("W/{}", self.tag));
        let cache = (header::CACHE_CONTROL, "no-cache");
        if has_seen(request.headers(), &self.tag) {
            return HttpResponse::NotModified().insert_header(tag).insert_header(cache).finish();
        }
        let mut answer = HttpResponse::Ok();
        answer.insert_header(tag).insert_header(cache).insert_header((header::CONTENT_TYPE, self.kind));
        answer.insert_header((header::VARY, "accept-encoding"));
        if packed::is_taken(request) {
            return answer.insert_header((header::CONTENT_ENCODING, "gzip")).body(self.packed.clone());
        }
        answer.body(self.plain.clone())
    }
}

/// A page in both forms.
struct Ready {
    html: Kept,
    source: Kept,
}

/// All pages, and what they are made from.
pub struct Docs {
    tree: Command,
    ready: Vec<OnceLock<Ready>>,
    list: OnceLock<Kept>,
}

impl Docs {
    /// The documentation of a program with this command tree.
    pub fn new(tree: Command) -> Self {
        Docs { tree, ready: PAGES.iter().map(|_| OnceLock::new()).collect(), list: OnceLock::new() }
    }

    fn page(&self, slug: &str) -> Option<Result<&Ready>> {
        let (at, page) = PAGES.iter().enumerate().find(|(_, page)| page.slug == slug)?;
        let place = self.ready.get(at)?;
        if let Some(ready) = place.get() {
            return Some(Ok(ready));
        }
        let made = self.make(at, page);
        Some(made.map(|made| place.get_or_init(|| made)))
    }

    fn make(&self, at: usize, page: &Page) -> Result<Ready> {
        let mut source = page.written.to_owned();
        if let Some(made) = page.made {
            source.push_str(&made(&self.tree));
        }
        let Rendered { html, headings } = markdown::render(&source);
        let turned = |to: Option<usize>| to.and_then(|to| PAGES.get(to));
        let sheet = Sheet {
            title: page.title,
            slug: page.slug,
            source: format!("/docs/{}.md", if page.slug.is_empty() { "index" } else { page.slug }),
            body: &html,
            headings: headings.iter().filter(|heading| heading.level == 2).collect(),
            before: turned(at.checked_sub(1)),
            after: turned(Some(at + 1)),
        };
        let html = sheet.render().map_err(|cause| Error::internal("writing a page of the documentation", cause))?;
        Ok(Ready { html: Kept::new(HTML, html), source: Kept::new(MARKDOWN, source) })
    }
}

/// A page and what surrounds it.
#[derive(Template)]
#[template(path = "docs/page.html")]
struct Sheet<'a> {
    title: &'a str,
    slug: &'a str,
    /// Where its Markdown is; empty: it has none.
    source: String,
    body: &'a str,
    headings: Vec<&'a Heading>,
    before: Option<&'a Page>,
    after: Option<&'a Page>,
}

/// The parts of the navigation with their pages.
fn parts() -> Vec<(&'static str, Vec<&'static Page>)> {
    let mut parts: Vec<(&str, Vec<&Page>)> = Vec::new();
    for page in PAGES.iter().filter(|page| !page.slug.is_empty()) {
        match parts.last_mut().filter(|(part, _)| *part == page.part) {
            Some((_, pages)) => pages.push(page),
            None => parts.push((page.part, vec![page])),
        }
    }
    parts
}

/// What the renderer has made is safe: it passes no markup of a source on.
fn rendered(html: &str) -> &str {
    html
}

fn href(page: &Page) -> String {
    if page.slug.is_empty() { "/docs".to_owned() } else { format!("/docs/{}", page.slug) }
}

/// The list of all pages, for the first one.
fn contents() -> String {
    let mut out = String::new();
    for (part, pages) in parts() {
        let _infallible = write!(out, "\n## {part}\n\n");
        for page in pages {
            let _infallible = writeln!(out, "- [{}]({}.md): {}", page.title, page.slug, page.about);
        }
    }
    out
}

/// The first page.
pub async fn index(docs: web::Data<Docs>, request: HttpRequest) -> HttpResponse {
    answer(&docs, &request, "")
}

/// One page, or its Markdown.
pub async fn show(docs: web::Data<Docs>, request: HttpRequest, name: Path<String>) -> HttpResponse {
    answer(&docs, &request, name.trim_end_matches('/'))
}

/// All pages, for programs that read documentation.
pub async fn for_models(docs: web::Data<Docs>, request: HttpRequest) -> HttpResponse {
    let list = docs.list.get_or_init(|| {
        let mut out = format!("# aerostack\n\n> {ABOUT}\n");
        for (part, pages) in parts() {
            let _infallible = write!(out, "\n## {part}\n\n");
            for page in pages {
                let _infallible = writeln!(out, "- [{}](/docs/{}.md): {}", page.title, page.slug, page.about);
            }
        }
        Kept::new("text/plain; charset=utf-8", out)
    });
    list.answer(&request)
}

fn answer(docs: &Docs, request: &HttpRequest, name: &str) -> HttpResponse {
    let (slug, source) = name.strip_suffix(".md").map_or((name, false), |slug| (slug, true));
    let slug = if slug == "index" { "" } else { slug };
    match docs.page(slug) {
        Some(Ok(ready)) if source => ready.source.answer(request),
        Some(Ok(ready)) => ready.html.answer(request),
        Some(Err(error)) => pages::problem(&error),
        None => unknown(slug),
    }
}

fn unknown(slug: &str) -> HttpResponse {
    let said = near::no_such("page", slug, PAGES.iter().map(|page| page.slug));
    let source = format!("# Not found\n\n{}\n\n[All pages](index.md)\n", markdown::text(&said));
    let Rendered { html, .. } = markdown::render(&source);
    let sheet = Sheet {
        title: "Not found",
        slug: "-",
        source: String::new(),
        body: &html,
        headings: Vec::new(),
        before: None,
        after: None,
    };
    pages::page(StatusCode::NOT_FOUND, &sheet)
}
