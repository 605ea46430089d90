//! Files as people have them become servers and secrets; what cannot is named, and no value is ever repeated.

use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;
use crate::domain::clients::{Connection, snippets};

fn only(text: &str) -> ImportedServer {
    let mut import = read(text).unwrap();
    assert!(import.skipped.is_empty() && import.servers.len() == 1, "{import:?}");
    import.servers.remove(0)
}
impl ImportedServer {
    fn url(&self) -> &str {
        match &self.reach {
            Reach::Http { url } => url.as_str(),
            Reach::Stdio(_) | Reach::Skill { .. } => panic!("not over HTTP"),
        }
    }
}
fn secret(secret: &ImportedSecret) -> (String, Injection, String) {
    let value = match &secret.value {
        ImportedValue::Given(value) => value.expose_secret().to_owned(),
        ImportedValue::Variable(name) => format!("variable {name}"),
    };
    (secret.name.clone(), secret.injection.clone(), value)
}
fn header(name: &str) -> Injection {
    Injection::Header(name.to_owned())
}

#[test]
fn a_bearer_token_becomes_the_servers_token() {
    let found = only(
        r#"{"mcpServers":{"GitHub MCP":{"type":"http","url":"https://api.githubcopilot.com/mcp/","headers":{"Authorization":"bearer ghp_x"}}}}"#,
    );
    assert_eq!((&*found.slug, found.url(), found.enabled), ("github-mcp", "https://api.githubcopilot.com/mcp/", true));
    assert_eq!(secret(&found.secrets[0]), ("GITHUB_TOKEN".into(), Injection::Bearer, "ghp_x".into()));
}

#[test]
fn other_headers_become_secrets_with_that_header() {
    let found = only(
        r#"{"servers":{"x":{"url":"https://x.example/mcp","headers":{"X-Api-Key":"k1","Api-Key":"k2","Authorization":"Basic dXNlcg==","9-Lives":"k3","Content-Type":"application/json","Host":"evil","X-Bad":"caf\u00e9"}}}}"#,
    );
    let mut secrets: Vec<_> = found.secrets.iter().map(secret).collect();
    secrets.sort_by(|a, b| a.2.cmp(&b.2));
    assert_eq!(
        secrets,
        [
            ("X_AUTHORIZATION".into(), header("Authorization"), "Basic dXNlcg==".into()),
            (secrets[1].0.clone(), header("X-Api-Key"), "k1".into()),
            (secrets[2].0.clone(), header("Api-Key"), "k2".into()),
            ("_9_LIVES".into(), header("9-Lives"), "k3".into()),
        ]
    );
    let mut names = [secrets[1].0.as_str(), secrets[2].0.as_str()];
    names.sort_unstable();
    assert_eq!(names, ["API_KEY", "API_KEY_2"]);
    assert_eq!(found.notes.len(), 2, "{:?}", found.notes);
    assert!(!format!("{found:?}").contains("dXNlcg"));
}

#[test]
fn variables_are_named_not_stored() {
    for (value, name, variable) in [
        ("Bearer ${env:GITHUB_PAT}", "GITHUB_PAT", "GITHUB_PAT"),
        ("Bearer ${GITHUB_PAT}", "GITHUB_PAT", "GITHUB_PAT"),
        ("Bearer $GITHUB_PAT", "GITHUB_PAT", "GITHUB_PAT"),
        ("Bearer {env:GITHUB_PAT}", "GITHUB_PAT", "GITHUB_PAT"),
        ("Bearer ${{ secrets.GITHUB_PAT }}", "GITHUB_PAT", "GITHUB_PAT"),
        ("Bearer ${input:github_pat}", "S_TOKEN", "github_pat"),
    ] {
        let text =
            serde_json::json!({"servers": {"s": {"url": "https://x.example", "headers": {"Authorization": value}}}});
        let found = only(&text.to_string());
        assert_eq!(
            secret(&found.secrets[0]),
            (name.into(), Injection::Bearer, format!("variable {variable}")),
            "{value}"
        );
    }
}

#[test]
fn settings_with_comments_and_trailing_commas_are_read() {
    let found = only(
        "\u{feff}// mine\n{ /* a, } \"*/ \"context_servers\": {\n  \"s\": { \"url\": \"https://x.example/a//b,\", // end\n  \"headers\": {\"X-K\": \"a\\\"/*b*/,\",}, },\n}, }\n",
    );
    assert_eq!(found.url(), "https://x.example/a//b,");
    assert_eq!(secret(&found.secrets[0]).2, "a\"/*b*/,");
    for broken in ["", "{", "{,}", "[1,,2]", "{\"a\":,}", "nonsense ghp_secret"] {
        let refused = read(broken).unwrap_err();
        assert!(!refused.message().contains("ghp_secret"));
    }
}

#[test]
fn every_usual_file_is_understood() {
    for text in [
        r#"{"mcp":{"servers":{"s":{"url":"https://x.example"}}}}"#,
        r#"{"mcp":{"s":{"type":"remote","url":"https://x.example"}}}"#,
        r#"{"mcpServers":{"s":{"serverUrl":"https://x.example"}}}"#,
        r#"{"mcpServers":{"s":{"httpUrl":"https://x.example"}}}"#,
        r#"{"s":{"url":"https://x.example"}}"#,
    ] {
        assert_eq!(only(text).url(), "https://x.example/", "{text}");
    }
    for text in ["{}", "[]", "3", r#"{"editor":{"font":1}}"#, r#"{"mcpServers":[]}"#] {
        assert!(read(text).is_err(), "{text}");
    }
    let sse = only(r#"{"mcpServers":{"s":{"type":"sse","url":"https://x.example/sse","disabled":true}}}"#);
    assert_eq!((sse.protocol, sse.enabled), (ProtocolChoice::Sse, false));
}

#[test]
fn programs_are_taken_over_with_their_variables_as_secrets() {
    let text = r#"{"mcpServers":{"fs":{"command":"/usr/bin/npx","args":["-y","server","--token=ghp_secret"],"cwd":"/srv",
        "env":{"API_KEY":"k-canary","TEAM":"${TEAM}","NODE_OPTIONS":"--no-warnings","PATH":"${PATH}","EMPTY":""}}}}"#;
    let found = only(text);
    let Reach::Stdio(program) = &found.reach else { panic!("{found:?}") };
    assert_eq!((program.command.as_str(), program.cwd.as_deref()), ("/usr/bin/npx", Some("/srv")));
    assert_eq!(program.args, ["-y", "server", "--token=ghp_secret"]);
    assert_eq!(program.env, [("NODE_OPTIONS".to_owned(), "--no-warnings".to_owned())].into());
    let mut secrets: Vec<_> = found.secrets.iter().map(secret).collect();
    secrets.sort_by(|a, b| a.0.cmp(&b.0));
    let env = |name: &str| Injection::Env(name.to_owned());
    assert_eq!(
        secrets,
        [("API_KEY".into(), env("API_KEY"), "k-canary".into()), ("TEAM".into(), env("TEAM"), "variable TEAM".into())]
    );
    assert_eq!(found.notes.len(), 4, "{:?}", found.notes);
    assert!(!found.notes.concat().contains("ghp_secret") && !found.notes.concat().contains("canary"));
}

#[test]
fn what_cannot_be_taken_over_is_named_without_repeating_its_arguments() {
    let import = read(r#"{"mcpServers":{"v":{"command":"x","args":["--token=ghp_secret","${HOME}"]},"c":{"command":7},"n":{},"h":{"url":"https://${HOST}/mcp"},"b":{"url":"ftp://x"},"é":{"url":"https://x.example"}}}"#).unwrap();
    assert!(import.servers.is_empty());
    let reasons: Vec<String> = import.skipped.iter().map(|s| format!("{}: {}", s.name, s.reason)).collect();
    assert_eq!(reasons.len(), 6);
    assert!(reasons.iter().any(|r| r.starts_with("v: its command line names a variable")), "{reasons:?}");
    assert!(!reasons.concat().contains("ghp_secret"));
}

#[test]
fn a_bridge_is_the_server_behind_it() {
    let found = only(
        r#"{"mcpServers":{"linear":{"command":"npx","args":["-y","mcp-remote@latest","https://mcp.linear.app/mcp","--header","Authorization:${AUTH}","--header","X-Team: ${TEAM}"],"env":{"AUTH":"Bearer lin_api"}}}}"#,
    );
    assert_eq!(found.url(), "https://mcp.linear.app/mcp");
    assert_eq!(secret(&found.secrets[0]), ("LINEAR_TOKEN".into(), Injection::Bearer, "lin_api".into()));
    assert_eq!(secret(&found.secrets[1]), ("TEAM".into(), header("X-Team"), "variable TEAM".into()));
    assert_eq!(found.notes.len(), 1);
}

#[test]
fn names_become_slugs_that_are_free() {
    let import = read(r#"{"mcpServers":{"docs":{"url":"https://a.example"},"My Server!":{"url":"https://b.example"},"my_server":{"url":"https://c.example"},"MY-SERVER":{"url":"https://d.example?apiKey=1"}}}"#).unwrap();
    let mut slugs: Vec<&str> = import.servers.iter().map(|server| &*server.slug).collect();
    slugs.sort_unstable();
    assert_eq!(slugs, ["docs-mcp", "my-server", "my-server-2", "my-server-mcp"]);
    assert_eq!(import.servers.iter().filter(|server| !server.notes.is_empty()).count(), 1);
}

#[test]
fn what_we_tell_clients_we_can_read_back() {
    let to = Connection { slug: "engineering", url: "https://gw.example.com/ws/engineering", token: Some("mwt_abc") };
    for snippet in snippets(&to).into_iter().filter(|snippet| snippet.language == "json") {
        let found = only(&snippet.text);
        assert_eq!(found.url(), to.url, "{}", snippet.client);
        assert_eq!(secret(&found.secrets[0]), ("ENGINEERING_TOKEN".into(), Injection::Bearer, "mwt_abc".into()));
    }
}

proptest! {
    #[test]
    fn strict_json_is_left_as_it_is(texts in prop::collection::btree_map(any::<String>(), any::<String>(), 0..5), pretty in any::<bool>()) {
        let value = serde_json::json!([texts, texts.keys().collect::<Vec<_>>(), {"n": [1, null, {}, []]}]);
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        prop_assert_eq!(relaxed::strict(&text), text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[{}\\[\\],:\"/*\\\\ a-z\n]{0,60}") {
        let _ = read(&text);
    }
}
