//! `doctor`, and `mcp call`: what an editor would see, from the command line.

use serde_json::{Value, json};

use crate::support::{Place, TestGateway, people::setup, place_with, servers, until};

fn doctor(gateway: &TestGateway, who: &str) -> (i32, Vec<Value>, String) {
    let (exit, json, _) = gateway.aerostack(who, &["doctor", "-o", "json"], "");
    let (same, text, _) = gateway.aerostack(who, &["doctor"], "");
    assert_eq!(exit, same, "{text}");
    let findings: Vec<Value> = serde_json::from_str(&json).unwrap_or_else(|cause| panic!("{cause}: {json}"));
    for one in &findings {
        let well = one["state"] == "ok";
        assert!(well == one["fix"].is_null(), "what is not well says what to do: {one}");
        let mark = match one["state"].as_str().unwrap() {
            "ok" => "✓",
            "warn" => "!",
            _ => "✗",
        };
        assert!(text.contains(&format!("{mark} {}: ", one["about"].as_str().unwrap())), "{one} in\n{text}");
    }
    assert_eq!(exit == 0, findings.iter().all(|one| one["state"] != "fail"), "{text}");
    (exit, findings, text)
}

fn state<'a>(findings: &'a [Value], about: &str) -> &'a str {
    let found = findings.iter().find(|one| one["about"] == about);
    found.unwrap_or_else(|| panic!("nothing about {about} in {findings:?}"))["state"].as_str().unwrap()
}

#[test]
fn a_gateway_that_is_well_is_said_to_be() {
    let toy = servers::plain(&["echo"]);
    let Place { gateway, token, .. } = place_with(setup(), &[("toy", &toy)]);
    let url = format!("http://{}/ws/eng", gateway.address);
    let saved =
        gateway.command_of("owner", &["connect", "--save-token", &url]).env("AEROSTACK_TOKEN", &token.raw).output();
    assert!(saved.unwrap().status.success());
    let (exit, findings, text) = doctor(&gateway, "owner");
    assert_eq!(exit, 0, "{text}");
    for well in [
        "saved gateways",
        "gateway",
        "encryption",
        "API key",
        "clocks",
        "versions",
        "streams",
        "data folder",
        "database",
        "listener",
        "actors",
        "statistics",
        "mail",
        "MCP servers",
        "secrets",
        "tokens",
    ] {
        assert_eq!(state(&findings, well), "ok", "{well}: {text}");
    }
    assert_eq!(state(&findings, "vault key"), "warn", "the first start's key lies beside the database");
    assert!(text.contains(&format!("✓ token for {url}: 1 tool in ")), "{text}");
    assert!(text.contains("✓ MCP servers: 1 of 1 answer\n") && text.contains("\nAll works; "), "{text}");
}

#[test]
fn what_does_not_work_is_named_with_what_to_do() {
    let Place { gateway, admin, token, .. } = place_with(setup(), &[]);
    admin.server("gone", &servers::nobody());
    admin.install("eng", "gone");
    admin.server("idle", &servers::nobody());
    admin.secret("idle", "KEY", "CANARY-value");
    admin.secret("gone", "MY_KEY", "CANARY-value");
    admin.token_with("eng", json!({ "name": "CI Bot", "expires_in": 86_400 }));
    let home = gateway.setup.config_dir().parent().unwrap().to_owned();
    let url = format!("http://{}/ws/eng", gateway.address);
    std::fs::create_dir_all(home.join(".cursor")).unwrap();
    let entry = json!({ "url": url, "headers": { "Authorization": format!("Bearer {}", token.raw) } });
    std::fs::write(home.join(".cursor/mcp.json"), json!({ "mcpServers": { "eng": entry } }).to_string()).unwrap();
    std::fs::write(home.join(".claude.json"), json!({ "mcpServers": { "eng": entry } }).to_string()).unwrap();
    let (exit, findings, text) = doctor(&gateway, "owner");
    assert_eq!(exit, 1, "{text}");
    for (about, expected) in [
        ("server gone", "fail"),
        ("secret idle/KEY", "warn"),
        ("secret gone/MY_KEY", "warn"),
        ("token \"CI Bot\"", "warn"),
        ("cursor", "ok"),
        ("claude-code-file", "fail"),
    ] {
        assert_eq!(state(&findings, about), expected, "{about}: {text}");
    }
    assert!(text.contains("  fix: aerostack workspace token rotate eng tok_"), "{text}");
    assert!(!text.contains("CANARY") && !text.contains(&token.raw), "{text}");
    admin.revoke("eng", &token.id);
    let (_, findings, text) = doctor(&gateway, "owner");
    assert_eq!(state(&findings, "cursor"), "fail", "its token was revoked: {text}");

    // Who may not administer is told of this machine alone, and of nobody else's.
    let key = admin.post("/api-keys", json!({ "name": "mia", "role": "member" })).expect(201).json();
    let mut command = gateway.command_of("nobody", &["doctor"]);
    command.env("AEROSTACK_API_KEY", key["key"].as_str().unwrap());
    command.env("AEROSTACK_URL", format!("http://{}", gateway.address));
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("✓ API key") && !text.contains("At the gateway"), "{text}");
    let (exit, findings, text) = doctor(&gateway, "nobody");
    assert_eq!((exit, state(&findings, "gateway")), (1, "fail"), "not logged in: {text}");
}

#[test]
fn a_tool_is_called_as_an_editor_calls_it() {
    let schema =
        json!({ "type": "object", "properties": { "title": { "type": "string" }, "count": { "type": "integer" } } });
    let (toy, _) = servers::described(vec![json!({ "name": "add", "description": "Adds", "inputSchema": schema })]);
    let Place { gateway, token, editor, .. } = place_with(setup(), &[("toy", &toy)]);
    until("its tools are known", || editor.tools() == ["toy__add"]);
    let call = |token: &str, more: &[&str]| {
        let mut command = gateway.command_of("owner", &[&["mcp", "call", "--workspace", "eng"], more].concat());
        let output = command.env("AEROSTACK_TOKEN", token).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let good = call(&token.raw, &["toy__add", "title=42", "count=3"]);
    assert_eq!(good, (0, "add\n".into(), String::new()));
    assert_eq!(toy.last_call().json()["params"]["arguments"], json!({ "title": "42", "count": 3 }));
    let (_, out, _) = call(&token.raw, &["toy__add", "--arguments", r#"{"count":12345678901234567890}"#, "-o", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["content"][0]["text"], "add");
    assert!(toy.last_call().text().contains("12345678901234567890"));
    let calls = toy.calls().len();
    let (exit, _, err) = call(&token.raw, &["toy__ad"]);
    assert!(exit == 3 && err.starts_with("✗ No tool \"toy__ad\". Did you mean toy__add?\n"), "{err}");
    assert_eq!(call(&token.raw, &["toy__add", "count=many"]).0, 2);
    assert_eq!(call("mwt_garbage", &["toy__add"]).0, 2, "no token has that form");
    assert_eq!(call("", &["toy__add"]).0, 4);
    gateway.admin().revoke("eng", &token.id);
    let (exit, _, err) = call(&token.raw, &["toy__add"]);
    assert!(exit == 4 && err.starts_with("✗ -32003: Unauthorized"), "{err}");
    assert_eq!(toy.calls().len(), calls, "none of these reached the server");
}
