//! Each text must be valid in its language, hold what was asked for and nothing else.

use std::collections::HashSet;

use base64::{Engine, prelude::BASE64_STANDARD};
use percent_encoding::percent_decode_str;

use super::*;

const URL: &str = "https://gw.example.com/ws/engineering";

fn with_token() -> Connection<'static> {
    Connection { slug: "engineering", url: URL, token: Some("mwt_abc") }
}
fn without_token() -> Connection<'static> {
    Connection { token: None, ..with_token() }
}
fn parsed(client: &str, to: &Connection<'_>) -> Value {
    serde_json::from_str(&snippet(client, to).unwrap().text).unwrap()
}

#[test]
fn the_block_of_the_documents_has_a_type() {
    assert_eq!(
        mcp_json(&with_token()),
        json!({"mcpServers": {"engineering": {"type": "http", "url": URL, "headers": {"Authorization": "Bearer mwt_abc"}}}})
    );
}

#[test]
fn every_client_has_its_own_shape() {
    let auth = json!({"Authorization": "Bearer mwt_abc"});
    for (client, want) in [
        ("cursor", json!({"mcpServers": {"engineering": {"url": URL, "headers": auth}}})),
        ("vscode", json!({"servers": {"engineering": {"type": "http", "url": URL, "headers": auth}}})),
        ("claude-code-file", json!({"mcpServers": {"engineering": {"type": "http", "url": URL, "headers": auth}}})),
        ("windsurf", json!({"mcpServers": {"engineering": {"serverUrl": URL, "headers": auth}}})),
        ("zed", json!({"context_servers": {"engineering": {"url": URL, "headers": auth}}})),
        ("qwen", json!({"mcpServers": {"engineering": {"httpUrl": URL, "headers": auth}}})),
        (
            "opencode",
            json!({"mcp": {"engineering": {"type": "remote", "url": URL, "oauth": false, "headers": auth, "enabled": true}}}),
        ),
        (
            "copilot-cli",
            json!({"mcpServers": {"engineering": {"type": "http", "url": URL, "headers": auth, "tools": ["*"]}}}),
        ),
        ("kimi", json!({"mcpServers": {"engineering": {"transport": "http", "url": URL, "headers": auth}}})),
    ] {
        assert_eq!(parsed(client, &with_token()), want, "{client}");
    }
    let desktop = parsed("claude-desktop", &with_token());
    assert_eq!(
        desktop["mcpServers"]["engineering"],
        json!({"command": "aerostack", "args": ["connect", URL], "env": {"AEROSTACK_TOKEN": "mwt_abc"}})
    );
    assert_eq!(parsed("mcp-remote", &with_token())["mcpServers"]["engineering"]["env"]["AUTH"], "Bearer mwt_abc");
    assert_eq!(
        snippet("claude-code", &with_token()).unwrap().text,
        format!("claude mcp add --transport http engineering {URL} --header \"Authorization: Bearer mwt_abc\"")
    );
}

#[test]
fn texts_are_valid_in_their_language() {
    for to in [with_token(), without_token()] {
        for snippet in snippets(&to) {
            match snippet.language {
                "json" => assert!(serde_json::from_str::<Value>(&snippet.text).is_ok(), "{}", snippet.client),
                "toml" => assert!(toml::from_str::<toml::Table>(&snippet.text).is_ok(), "{}", snippet.client),
                "yaml" | "shell" | "python" | "typescript" => {}
                other => panic!("{other}"),
            }
            assert!(snippet.text.contains(URL), "{}", snippet.client);
            assert_eq!(
                snippet.language == "json" || snippet.language == "yaml" || snippet.language == "toml",
                snippet.file.is_some()
            );
        }
    }
}

#[test]
fn the_token_is_in_every_text_or_in_none() {
    for snippet in snippets(&with_token()) {
        assert!(snippet.text.contains("mwt_abc"), "{}", snippet.client);
        assert!(!format!("{snippet:?}").contains("mwt_abc"));
    }
    for snippet in snippets(&without_token()) {
        assert!(
            snippet.text.contains(TOKEN_VARIABLE)
                || snippet.text.contains(TOKEN_PLACEHOLDER)
                // One asks for it, the other looks where it was saved.
                || ["vscode", "claude-desktop"].contains(&snippet.client)
        );
        assert!(!snippet.text.contains("mwt_"), "{}", snippet.client);
    }
    assert!(!format!("{:?}", with_token()).contains("mwt_abc"));
}

#[test]
fn short_names_are_unique() {
    let names = names();
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
    assert!(names.len() >= 22 && names.starts_with(&["cursor", "vscode", "claude-code"]));
}

#[test]
fn links_carry_the_inner_entry() {
    let link = snippet("cursor", &with_token()).unwrap().install_url.unwrap();
    let config = link.strip_prefix("cursor://anysphere.cursor-deeplink/mcp/install?name=engineering&config=").unwrap();
    let config = BASE64_STANDARD.decode(percent_decode_str(config).decode_utf8().unwrap().as_bytes()).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&config).unwrap(),
        json!({"url": URL, "headers": {"Authorization": "Bearer mwt_abc"}})
    );
    let link = snippet("vscode", &without_token()).unwrap().install_url.unwrap();
    let config = percent_decode_str(link.strip_prefix("vscode:mcp/install?").unwrap()).decode_utf8().unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!((&config["name"], &config["inputs"][0]["id"]), (&json!("engineering"), &json!("aerostack_token")));
    assert_eq!(config["headers"]["Authorization"], "Bearer ${input:aerostack_token}");
}

#[test]
fn details_that_clients_stumble_over() {
    let reserved = Connection { slug: "workspace", ..with_token() };
    assert!(parsed("claude-code-file", &reserved)["mcpServers"].get("aerostack-workspace").is_some());
    let plain = Connection { url: "http://10.0.0.5:8787/ws/engineering", ..with_token() };
    assert!(snippet("mcp-remote", &plain).unwrap().text.contains("--allow-http"));
    assert!(!snippet("mcp-remote", &with_token()).unwrap().text.contains("--allow-http"));
    assert_eq!(parsed("vscode", &without_token())["inputs"][0]["password"], true);
    let text = snippet("cursor", &with_token()).unwrap().text;
    assert!(text.find("\"url\"").unwrap() < text.find("\"headers\"").unwrap());
}
