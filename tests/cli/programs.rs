//! Programs as MCP servers, by the command line of the machine that the gateway runs on.

use super::gateway::Gateway;
use crate::support::{programs::child, until};

#[test]
fn a_program_is_added_tested_called_and_removed() {
    let gateway = Gateway::start();
    gateway.ok("workspace create eng");
    let child = child().display().to_string();
    let said = gateway.ok(&format!("mcp add toy --env COLOUR=blue --workspace eng -- {child} modern"));
    assert!(said.contains("Installed toy in eng"), "{said}");
    let file = gateway.path("data/servers.d/toy.toml");
    assert!(std::fs::read_to_string(&file).unwrap().contains("COLOUR"));
    until("its tools are known", || gateway.ok("mcp list --workspace eng --tools-only").contains("toy__echo"));
    assert!(gateway.ok("mcp list --all").contains("stdio: "));
    assert!(gateway.ok("mcp test toy").contains("toy answers: stdio-child 1, stdio 2026-07-28, 8 tools"));
    gateway.ok("secrets set toy API_KEY short-1 --env TOY_KEY");
    assert!(gateway.ok("secrets list toy").contains("TOY_KEY"));
    let token = gateway.ok("workspace token create eng --name Alice --output token");
    let (status, answer) = gateway.call("eng", token.trim(), "toy__env");
    let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_default().to_owned();
    assert!(status == 200 && text.contains("TOY_KEY=short-1") && text.contains("COLOUR=blue"), "{answer}");

    let again = gateway.run(&format!("mcp add toy -- {child}"));
    assert_eq!(again.exit, 6, "{again:?}");
    let exported = gateway.run("mcp export toy");
    assert_ne!(exported.exit, 0);
    assert!(format!("{exported:?}").contains("names packages, not the command lines of programs"), "{exported:?}");
    let sse = gateway.run(&format!("mcp add other --protocol sse -- {child}"));
    assert_eq!(sse.exit, 2, "{sse:?}");
    assert_eq!(gateway.run("mcp remove toy").exit, 6, "it is installed");
    gateway.ok("mcp uninstall toy --workspace eng");
    gateway.ok("mcp remove toy");
    assert!(!file.exists());
    assert!(gateway.ok("mcp reload").contains("nothing changed"));
}

#[test]
fn an_editors_programs_are_imported_with_their_variables_in_the_vault() {
    let gateway = Gateway::start();
    gateway.ok("workspace create eng");
    let child = child().display().to_string();
    let entry = serde_json::json!({ "command": child, "args": ["legacy"], "env": { "API_KEY": "short-1" } });
    let file = gateway.file("mcp.json", &serde_json::json!({ "mcpServers": { "Toy Box": entry } }).to_string());
    let dry = gateway.ok(&format!("mcp import {} --workspace eng --dry-run", file.display()));
    assert!(dry.contains("Would import 1 server and 1 secret into eng"), "{dry}");
    assert!(!gateway.path("data/servers.d/toy-box.toml").exists());
    let done = gateway.ok(&format!("mcp import {} --workspace eng", file.display()));
    assert!(done.contains("Imported 1 server and 1 secret into eng"), "{done}");
    let written = std::fs::read_to_string(gateway.path("data/servers.d/toy-box.toml")).unwrap();
    assert!(!written.contains("short-1"), "{written}");
    let token = gateway.ok("workspace token create eng --name Alice --output token");
    until("its tools are known", || gateway.ok("mcp list --workspace eng --tools-only").contains("toy_box__env"));
    let (_, answer) = gateway.call("eng", token.trim(), "toy_box__env");
    assert!(answer.to_string().contains("API_KEY=short-1"), "{answer}");
}
