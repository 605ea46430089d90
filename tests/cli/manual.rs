//! The documentation's own command lines: the page for beginners is done from its first to its last line, and help leads
//! to the documentation. That all others at least make sense is held by `tests/tidy/docs.rs`.

use super::gateway::{Gateway, mcp_server};

const START: &str = include_str!("../../src/docs/start.md");

/// The commands of a page's shell blocks, in order.
fn commands(page: &str) -> Vec<&str> {
    let mut shell = false;
    let mut found = Vec::new();
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some(kind) => shell = kind == "sh",
            None if shell => found.push(line),
            None => {}
        }
    }
    found
}

#[test]
fn the_page_for_beginners_works_from_its_first_to_its_last_line() {
    let gateway = Gateway::start();
    let server = mcp_server(&["find_ticket"]);
    gateway.file("api-key.txt", "key-of-the-ticket-system\n");
    let mut done = Vec::new();
    for line in commands(START) {
        // What is installed and started already.
        if line.starts_with("cargo ") || line.starts_with("aerostack serve ") {
            continue;
        }
        let line = line.replace("https://tickets.example.com/mcp", &server);
        let said = gateway.shell(&["-c", &line], "");
        assert_eq!(said.exit, 0, "{line}\n{}{}", said.out, said.err);
        done.push((line, said.out));
    }
    let out = |part: &str| &done.iter().find(|(line, _)| line.contains(part)).expect("the command").1;
    assert!(out("mcp list").contains("tickets__find_ticket"), "{done:?}");
    assert!(out("workspace audit").contains("token_created: Alice Chen"), "{done:?}");
    assert!(done.len() >= 10, "{done:?}");
    let token = std::fs::read_to_string(gateway.path("alice.txt")).unwrap();
    assert_eq!(gateway.call("engineering", token.trim(), "tickets__find_ticket").0, 401, "it was revoked last");
}

#[test]
fn help_ends_with_a_link_to_the_gateway_that_is_used() {
    let gateway = Gateway::start();
    for (line, part) in [
        ("help token create", "#token-create"),
        ("workspace token rotate --help", "#workspace-token-rotate"),
        ("mcp -h", "#mcp"),
        ("--help", ""),
    ] {
        let text = gateway.ok(line);
        let link = format!("Docs: {}/docs/cli{part}", gateway.url);
        assert_eq!(text.trim_end().lines().last(), Some(&*link), "{line}");
    }
    gateway.ok("logout");
    let elsewhere = gateway.shell(&["-c", "AEROSTACK_URL=https://mcp.example.com/ aerostack token list --help"], "");
    let last = elsewhere.out.trim_end().lines().last();
    assert_eq!(last, Some("Docs: https://mcp.example.com/docs/cli#token-list"), "{elsewhere:?}");
    let at_home = gateway.shell(&["-c", "AEROSTACK_CONFIG_DIR=nowhere aerostack token list --help"], "");
    let last = at_home.out.trim_end().lines().last();
    assert_eq!(last, Some("Docs: http://127.0.0.1:8787/docs/cli#token-list"), "{at_home:?}");
}
