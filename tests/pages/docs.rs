//! The documentation at `/docs` over HTTP: for everybody, complete, without a dead link, and like every other page.

use std::collections::{BTreeMap, BTreeSet};

use aerostack::{config::Config, error::ErrorCode};
use serde_json::Value;

use crate::support::{Request, Response, TestGateway};

fn gateway() -> TestGateway {
    TestGateway::setup().start()
}

fn get(gateway: &TestGateway, path: &str) -> Response {
    Request::get(path).send(gateway.address)
}

/// What stands between `before` and the next `after`, everywhere.
fn between<'a>(text: &'a str, before: &str, after: char) -> Vec<&'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split_once(after).map(|(part, _)| part)).collect()
}

/// The pages that the list for programs names, without `.md`.
fn pages(gateway: &TestGateway) -> Vec<String> {
    let list = get(gateway, "/llms.txt").expect(200).text();
    let pages: Vec<String> = between(&list, "](", ')').iter().map(|to| to.trim_end_matches(".md").to_owned()).collect();
    assert!(pages.len() >= 16, "{list}");
    pages
}

fn has_id(page: &str, id: &str) -> bool {
    page.contains(&format!("id=\"{id}\""))
}

#[test]
fn the_documentation_is_for_everybody_and_like_every_other_page() {
    let gateway = gateway();
    for path in [vec!["/docs".to_owned()], pages(&gateway)].concat() {
        let page = get(&gateway, &path).expect(200);
        for (name, part) in [
            ("content-security-policy", "default-src 'none'; script-src 'self'; style-src 'self'"),
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "strict-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("content-type", "text/html; charset=utf-8"),
            ("cache-control", "no-cache"),
        ] {
            assert!(page.header(name).is_some_and(|value| value.starts_with(part)), "{path}: {name}");
        }
        assert!(page.header("set-cookie").is_none(), "{path}");
        let text = page.text();
        let lower = text.to_ascii_lowercase();
        assert!(!lower.contains("<style") && !lower.contains(" style=") && !lower.contains("javascript:"), "{path}");
        assert_eq!(lower.matches("<script").count(), lower.matches("<script src=\"/ui/").count(), "{path}");
        for source in between(&text, " src=\"", '"') {
            assert!(source.starts_with("/ui/"), "{path} loads {source}");
        }
        assert_eq!(text.matches("<h1").count(), 1, "{path}: one title");
        let tag = page.header("etag").expect("a tag");
        let again = Request::get(&path).header("if-none-match", tag).send(gateway.address);
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        let packed = Request::get(&path).header("accept-encoding", "gzip, br").send(gateway.address).expect(200);
        assert_eq!(packed.header("content-encoding"), Some("gzip"), "{path}");
        assert!(packed.body.len() < page.body.len(), "{path}");
    }
}

#[test]
fn every_link_of_the_documentation_leads_to_a_page_and_to_a_heading_of_it() {
    let gateway = gateway();
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let mut waiting = vec!["/docs".to_owned()];
    let mut links: BTreeSet<(String, String)> = BTreeSet::new();
    while let Some(path) = waiting.pop() {
        if seen.contains_key(&path) {
            continue;
        }
        let text = get(&gateway, &path).expect(200).text();
        for link in between(&text, "href=\"", '"') {
            links.insert((path.clone(), link.to_owned()));
            let to = link.split('#').next().unwrap_or_default();
            if to == "/docs" || to.starts_with("/docs/") && !to.ends_with(".md") {
                waiting.push(to.to_owned());
            }
        }
        seen.insert(path, text);
    }
    for page in pages(&gateway) {
        assert!(seen.contains_key(&page), "no link leads to {page}");
        let source = get(&gateway, &format!("{page}.md")).expect(200);
        assert_eq!(source.header("content-type"), Some("text/markdown; charset=utf-8"), "{page}");
        assert!(source.text().starts_with("# "), "{page}");
    }
    assert!(links.len() > 300, "{} links", links.len());
    let mut others: BTreeMap<&str, u16> = BTreeMap::new();
    for (from, link) in &links {
        let (to, id) = link.split_once('#').map_or((&**link, None), |(to, id)| (to, Some(id)));
        let to = if to.is_empty() { from.as_str() } else { to };
        if let Some(page) = seen.get(to) {
            assert!(id.is_none_or(|id| has_id(page, id)), "{from}: no heading for {link}");
        } else if to.starts_with('/') {
            let status = *others.entry(to).or_insert_with(|| get(&gateway, to).status);
            assert!(status < 400, "{from}: {link} answers {status}");
        } else {
            assert!(to.starts_with("https://"), "{from}: {link}");
        }
    }
}

#[test]
fn every_kind_of_problem_is_explained_where_its_type_leads() {
    let gateway = gateway();
    let page = get(&gateway, "/docs/errors").expect(200).text();
    for code in ErrorCode::ALL {
        let at = code.page();
        let id = at.strip_prefix("/docs/errors#").expect("a part of the page of errors");
        assert!(has_id(&page, id), "{}: {at}", code.name());
        assert!(page.contains(&format!("<code>{}</code>", code.name())), "{}", code.name());
        assert!(page.contains(&format!("<code>{}</code>", code.rpc())), "{}: {}", code.name(), code.rpc());
        assert!(code.when().ends_with('.') && code.remedy().ends_with('.'), "{}: whole sentences", code.name());
    }
    let problem = gateway.admin().get("/workspaces/enginering").expect(404).json();
    let at = problem["type"].as_str().expect("a type").to_owned();
    let (path, id) = at.split_once('#').expect("a part of a page");
    assert!(has_id(&get(&gateway, path).expect(200).text(), id), "{at}");
}

fn commands(command: &clap::Command, path: &str, out: &mut Vec<(String, clap::Command)>) {
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let path = if path.is_empty() { sub.get_name().to_owned() } else { format!("{path}-{}", sub.get_name()) };
        out.push((path.clone(), sub.clone()));
        commands(sub, &path, out);
    }
}

#[test]
fn every_command_has_its_part_of_the_documentation_with_its_options() {
    let gateway = gateway();
    let page = get(&gateway, "/docs/cli").expect(200).text();
    let mut tree = aerostack::cli::command();
    tree.build();
    let mut all = Vec::new();
    commands(&tree, "", &mut all);
    assert!(all.len() > 60, "{} commands", all.len());
    for (id, command) in all {
        let from = page.find(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("{id} is not on the page"));
        let section = &page[from..];
        let ends = ["<h2 id=", "<h3 id="].map(|next| section.find(next).unwrap_or(section.len()));
        let section = &section[..ends[0].min(ends[1])];
        assert!(section.contains(&format!("aerostack {}", id.split('-').next().unwrap())), "{id}: {section}");
        for option in command.get_arguments().filter(|arg| !arg.is_global_set() && !arg.is_hide_set()) {
            let Some(long) = option.get_long().filter(|long| !["help", "version"].contains(long)) else { continue };
            assert!(section.contains(&format!("--{long}")), "{id}: --{long} in {section}");
        }
    }
}

#[test]
fn every_setting_and_every_operation_of_the_api_is_on_its_page() {
    let gateway = gateway();
    let page = get(&gateway, "/docs/config").expect(200).text();
    let defaults = toml::Table::try_from(Config::default()).unwrap();
    for (section, values) in &defaults {
        for key in values.as_table().unwrap().keys() {
            assert!(has_id(&page, &format!("{section}-{key}")), "{section}.{key}");
            let variable = format!("AEROSTACK_{section}_{key}").to_uppercase();
            assert!(page.contains(&variable), "{variable}");
        }
    }
    let page = get(&gateway, "/docs/api").expect(200).text();
    let document: Value = get(&gateway, "/openapi.json").expect(200).json();
    let mut operations = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let line = format!("<code>{} {path}</code>", method.to_uppercase());
            assert_eq!(page.matches(&line).count(), 1, "{line}");
            let parts = path.trim_start_matches("/api/v1/admin").split(|c: char| !c.is_ascii_alphanumeric());
            let parts: Vec<&str> = [&**method].into_iter().chain(parts).filter(|part| !part.is_empty()).collect();
            assert!(has_id(&page, &parts.join("-")), "{parts:?}");
            assert!(page.contains(&beginning(operation["summary"].as_str().unwrap())), "{line}");
            operations += 1;
        }
    }
    assert!(operations > 50, "{operations} operations");
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(has_id(&page, &format!("schema-{}", name.to_lowercase().replace('_', "-"))), "{name}");
    }
}

/// The beginning of a text, as far as it is written in a page as it is.
fn beginning(text: &str) -> String {
    text.split(['\'', '"', '`', '&', '<']).next().unwrap_or_default().trim().to_owned()
}

#[test]
fn a_page_that_is_not_there_is_said_to_be_missing_on_a_page_of_ours() {
    let gateway = gateway();
    let missing = get(&gateway, "/docs/strat").expect(404);
    assert_eq!(missing.header("cache-control"), Some("no-store"));
    let text = missing.text();
    assert!(text.contains("Did you mean start?") && text.contains("href=\"/docs/start\""), "{text}");
    let hostile = get(&gateway, "/docs/%3Cscript%3Ealert(1)%3C%2Fscript%3E").expect(404).text();
    assert!(!hostile.contains("<script>") && hostile.contains("&lt;script&gt;"), "{hostile}");
    for path in ["/docs/start/more", "/docs/../Cargo.toml", "/docs/nothing.md"] {
        get(&gateway, path).expect(404);
    }
    get(&gateway, "/docs/").expect(200);
    get(&gateway, "/docs/index.md").expect(200);
}
