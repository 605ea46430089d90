//! Where names and URIs lead in a workspace of several servers.

use std::sync::Arc;

use serde_json::json;

use crate::{
    actors::catalog::{Installed, WorkspaceView},
    config::UpstreamConfig,
    domain::{
        clock,
        ids::{AccountId, InstallationId, RevisionId, ServerId, WorkspaceId},
        server::ServerSpec,
        tool_name,
    },
    protocol::revision::Revision,
    upstream::{
        Connected, ServerDef, Wire,
        lists::{Kind, Offer},
    },
};

fn server(slug: &str, uris: &[&str], templates: &[&str], prompts: &[&str]) -> Installed {
    let names = (ServerId::generate(), slug.into(), AccountId::generate());
    let spec = ServerSpec::for_url("http://127.0.0.1:9/mcp").unwrap();
    let def = Arc::new(ServerDef::new(names, (RevisionId::generate(), spec), &UpstreamConfig::default()));
    let about = Connected {
        wire: Wire::Modern { revision: Revision::MODERN },
        server_info: None,
        capabilities: json!({ "tools": {}, "prompts": {}, "resources": {} }),
        instructions: None,
        at: clock::now(),
    };
    let items = |key: &str, names: &[&str]| names.iter().map(|name| json!({ key: name }).to_string()).collect();
    let offer = Offer::empty(Arc::new(about))
        .listing(Kind::Resources, items("uri", uris))
        .listing(Kind::Templates, items("uriTemplate", templates))
        .listing(Kind::Prompts, items("name", prompts));
    let prefix = tool_name::derived_prefix(slug).into();
    Installed {
        id: InstallationId::generate(),
        def,
        prefix,
        enabled: true,
        offer: Some(offer),
        prints: [].into(),
        policy: Arc::default(),
    }
}

fn view(installed: Vec<Installed>) -> WorkspaceView {
    let ids = (WorkspaceId::generate(), AccountId::generate());
    WorkspaceView::build(ids, ("eng".into(), "Eng".into()), installed)
}

/// Server and its own URI behind a URI that clients see.
fn leads(view: &WorkspaceView, uri: &str) -> Option<(String, String)> {
    let route = view.resource(uri)?;
    assert_eq!(&*route.exposed, uri);
    Some((route.def.slug.to_string(), route.upstream_name.to_string()))
}

fn to(server: &str, uri: &str) -> Option<(String, String)> {
    Some((server.into(), uri.into()))
}

#[test]
fn a_uri_leads_to_the_server_that_listed_it_or_whose_template_is_closest() {
    let view = view(vec![
        server("a", &["file:///x"], &["db://{table}"], &[]),
        server("b", &["file:///y"], &["db://users/{+path}", "db://{other}/{row}"], &[]),
    ]);
    assert_eq!(leads(&view, "file:///x"), to("a", "file:///x"));
    assert_eq!(leads(&view, "file:///y"), to("b", "file:///y"));
    assert_eq!(leads(&view, "db://orders"), to("a", "db://orders"));
    assert_eq!(leads(&view, "db://users/7"), to("b", "db://users/7"));
    assert_eq!(leads(&view, "file:///z"), None, "several servers have resources");
    assert!(!view.resources.shows_some_apart());
}

#[test]
fn with_one_server_every_uri_is_its_own() {
    let tools_only = Installed { offer: None, ..server("tools", &[], &[], &[]) };
    let view = view(vec![tools_only, server("a", &["file:///x"], &[], &[])]);
    assert_eq!(leads(&view, "anything://at/all"), to("a", "anything://at/all"));
}

#[test]
fn what_is_shown_apart_maps_back_and_answers_are_shown_alike() {
    let view = view(vec![
        server("a", &["file:///x", "ui://v"], &["db://{table}"], &[]),
        server("b", &["file:///x", "ui://v", "https://e.com"], &["db://{table}"], &[]),
        server("c", &["https://e.com"], &[], &[]),
    ]);
    assert_eq!(leads(&view, "b+file:///x"), to("b", "file:///x"));
    assert_eq!(leads(&view, "ui://b/v"), to("b", "ui://v"));
    assert_eq!(leads(&view, "b+db://orders"), to("b", "db://orders"));
    assert_eq!(leads(&view, "c+file:///unlisted"), to("c", "file:///unlisted"));
    assert_eq!(leads(&view, "https://e.com"), to("b", "https://e.com"));
    let id = |slug: &str| view.installed.iter().find(|one| &*one.def.slug == slug).unwrap().def.id;
    let shown = |slug: &str, uri: &str| view.resources.shown(id(slug), slug, uri);
    assert!(view.resources.shows_some_apart());
    for uri in ["file:///x", "ui://v", "db://orders", "https://e.com", "file:///unlisted"] {
        assert_eq!(shown("a", uri), None, "{uri}");
    }
    for (uri, expected) in [("file:///x", "b+file:///x"), ("ui://v", "ui://b/v"), ("db://orders", "b+db://orders")] {
        assert_eq!(shown("b", uri).as_deref(), Some(expected));
        assert_eq!(leads(&view, expected), to("b", uri), "and back");
    }
    assert_eq!(shown("c", "https://e.com"), None);
}

#[test]
fn prompts_are_named_as_tools_are() {
    let view = view(vec![server("github-mcp", &[], &[], &["review"]), server("b", &[], &[], &["review"])]);
    for (exposed, slug) in [("github__review", "github-mcp"), ("github-mcp__review", "github-mcp"), ("b__review", "b")]
    {
        let route = view.prompt(exposed).unwrap();
        assert_eq!((&*route.def.slug, &*route.upstream_name), (slug, "review"));
    }
    assert!(view.prompt("review").is_none());
    assert!(view.routes.is_empty(), "a prompt is no tool");
}

#[test]
fn a_disabled_server_is_not_there() {
    let gone = Installed { enabled: false, ..server("a", &["file:///x"], &[], &["p"]) };
    let view = view(vec![gone]);
    assert!(view.resource("file:///x").is_none() && view.prompt("a__p").is_none());
    assert_eq!(view.listing(Kind::Resources).json(true), "[]");
}
