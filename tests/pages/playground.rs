//! The playground: a call from the dashboard is a call like any other, as whoever is signed in.

use serde_json::{Value, json};

use super::PASSWORD;
use crate::support::{
    Browser, TestGateway, Upstream,
    people::setup,
    process::Setup,
    servers::{described, modern},
    wait,
};

const AT: &str = "/playground?workspace=engineering&tool=github__create_issue";

/// A tool with something of everything.
fn tool() -> Value {
    json!({ "name": "create_issue", "description": "Opens an <b>issue</b>", "inputSchema": {
        "type": "object", "required": ["title"],
        "properties": {
            "title": { "type": "string", "description": "A short one" },
            "labels": { "type": "array", "items": { "type": "string" } },
            "priority": { "enum": ["low", "high"] },
            "estimate": { "type": "integer" },
            "region": { "type": "string", "x-mcp-header": "Region" },
            "filter": { "type": "object" },
        } } })
}

/// A gateway with one server in its workspace, and its owner in a browser.
pub(super) fn furnished(setup: Setup, upstream: &Upstream) -> (TestGateway, Browser) {
    let gateway = setup.set("analytics.flush_ms", 50).start();
    let owner = gateway.admin();
    owner.workspace("engineering");
    owner.add("engineering", "github-mcp", upstream);
    owner.post("/account/password", json!({ "new": PASSWORD })).expect(200);
    let mut browser = Browser::new(gateway.address);
    browser.sign_in("acme", PASSWORD);
    (gateway, browser)
}

fn own_tokens(gateway: &TestGateway) -> Vec<Value> {
    let listed = gateway.admin().get("/workspaces/engineering/tokens").json();
    let all = listed["data"].as_array().expect("a list").clone();
    all.into_iter().filter(|token| token["name"] == "acme (Playground)" && token["active"] == true).collect()
}

#[test]
fn a_call_from_the_playground_is_a_call_like_any_other() {
    let (upstream, _) = described(vec![tool()]);
    let (gateway, mut browser) = furnished(setup(), &upstream);
    let form = browser.get(AT).expect(200).text();
    for field in ["arg.title", "arg.labels", "arg.priority", "arg.estimate", "arg.filter"] {
        assert!(form.contains(&format!("name=\"{field}\"")), "{field}: {form}");
    }
    assert!(own_tokens(&gateway).is_empty(), "looking calls nothing");
    let typed = [
        ("arg.title", "A \"bug\""),
        ("arg.labels", "one\r\ntwo"),
        ("arg.priority", "\"high\""),
        ("arg.estimate", "12345678901234567890123"),
        ("arg.region", "eu-west"),
        ("arg.filter", r#"{"a":1.50}"#),
    ];
    let page = browser.submit(AT, &typed).expect(200);
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let text = page.text();
    assert!(
        text.contains("create_issue") && text.contains("tools/call") && text.contains("What the model would be told")
    );
    let sent = upstream.last_call().text();
    let arguments = r#"{"title":"A \"bug\"","estimate":12345678901234567890123,"filter":{"a":1.50},"labels":["one","two"],"priority":"high","region":"eu-west"}"#;
    assert!(sent.contains(arguments), "{sent}");
    // What was typed is in the form again, and no credential is anywhere.
    assert!(text.contains("value=\"eu-west\"") && !text.contains("mwt_"), "{text}");
    browser.submit(AT, &typed).expect(200);
    let tokens = own_tokens(&gateway);
    assert_eq!(tokens.len(), 1, "{tokens:?}");
    assert!(tokens[0]["expires_at"].is_string() && tokens[0]["last_used_at"].is_string());
    let owner = gateway.admin();
    let calls = || owner.get("/workspaces/engineering/calls?user=acme%20(Playground)").json()["data"].clone();
    wait::until("both calls are listed", || calls().as_array().is_some_and(|all| all.len() == 2));
    let call = &calls()[0];
    assert_eq!((call["tool"].as_str(), call["outcome"].as_str()), (Some("github__create_issue"), Some("ok")));
    assert!(call["client"].as_str().is_some_and(|client| client.starts_with("aerostack-playground/")), "{call}");
    let audited = owner.get("/workspaces/engineering/audit").json().to_string();
    assert!(audited.contains("token_created") && audited.contains("acme (Playground)"), "{audited}");
    assert!(!gateway.log().contains("mwt_"));
}

#[test]
fn somebody_who_comes_back_every_day_has_one_token_and_all_their_calls() {
    let (upstream, _) = described(vec![tool()]);
    let (mut gateway, mut browser) = furnished(setup(), &upstream);
    for _ in 0..3 {
        browser.submit(AT, &[("arg.title", "x")]).expect(200);
        // The next day.
        gateway.look_back("UPDATE workspace_tokens SET expires_at = '2020-01-01T00:00:00+00:00'");
        gateway.restart();
    }
    assert_eq!((upstream.calls().len(), own_tokens(&gateway).len()), (3, 0));
    browser.submit(AT, &[("arg.title", "x")]).expect(200);
    let owner = gateway.admin();
    let listed = owner.get("/workspaces/engineering/tokens").expect(200).json();
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!((&listed["data"][0]["active"], &listed["seats"]["used"]), (&json!(true), &json!(1)), "{listed}");
    let calls = || owner.get("/workspaces/engineering/calls?user=acme%20(Playground)").json()["data"].clone();
    wait::until("all calls are listed", || calls().as_array().is_some_and(|all| all.len() == 4));
    let verdict = owner.post("/audit:verify", json!({ "with_state": true })).expect(200).json();
    assert_eq!(verdict["intact"], json!(true), "{verdict}");
}

#[test]
fn what_a_server_says_of_a_secret_reaches_no_page() {
    let upstream = modern(&["create_issue"], |seen, conn| {
        let heard = seen.header("authorization").unwrap_or_default().to_owned();
        conn.says(seen, &format!("I was told: {heard} <script>alert(1)</script>"));
    });
    let (gateway, mut browser) = furnished(setup(), &upstream);
    let secret = json!({ "name": "GITHUB_TOKEN", "value": "CANARY-secret-4711", "injection": { "mode": "bearer" } });
    gateway.admin().secret_with("github-mcp", secret);
    let text = browser.submit(AT, &[("arguments", "{}")]).expect(200).text();
    assert!(text.contains("I was told") && !text.contains("CANARY"), "{text}");
    assert!(!text.contains("<script>alert"), "{text}");
}

#[test]
fn the_playground_is_limited_refused_and_switched_off_as_an_editor_is() {
    let (upstream, _) = described(vec![tool()]);
    let (gateway, mut browser) = furnished(setup().set("limits.requests_per_minute", 2), &upstream);
    let form = [("arg.title", "x")];
    for _ in 0..2 {
        browser.submit(AT, &form).expect(200);
    }
    let text = browser.submit(AT, &form).expect(200).text();
    assert!(text.contains("Rate limit exceeded") && text.contains("retry-after"), "{text}");
    assert_eq!(upstream.calls().len(), 2);
    // What is no argument is told before anything is called, and what was typed is there.
    let text = browser.submit(AT, &[("arg.title", "kept"), ("arg.estimate", "many")]).expect(422).text();
    assert!(text.contains("estimate must be a whole number") && text.contains("value=\"kept\""), "{text}");
    let off = json!({ "tools": ["create_issue"], "enabled": false });
    gateway.admin().patch("/workspaces/engineering/servers/github-mcp/tools", off).expect(200);
    browser.submit(AT, &form).expect(404);
    browser.submit("/playground?workspace=unknown&tool=a", &form).expect(404);
    let page = format!("http://{}", gateway.address);
    browser.form(AT, &form).header("origin", &page).send(gateway.address).expect(403);
    gateway.member("vic", "viewer", None);
    let mut viewer = Browser::new(gateway.address);
    viewer.sign_in("vic", PASSWORD);
    viewer.get(AT).expect(403);
    viewer.submit(AT, &form).expect(403);
    assert_eq!(upstream.calls().len(), 2);
}

#[test]
fn a_token_of_the_playground_that_was_taken_away_is_replaced_and_one_of_somebody_who_left_is_dead() {
    let (upstream, _) = described(vec![tool()]);
    let (gateway, mut browser) = furnished(setup(), &upstream);
    let owner = gateway.admin();
    let form = [("arg.title", "x")];
    browser.submit(AT, &form).expect(200);
    let first = own_tokens(&gateway)[0]["id"].as_str().expect("an id").to_owned();
    // Another value than the one at hand: as if another process of the gateway had made one.
    owner.post(&format!("/workspaces/engineering/tokens/{first}/rotate"), json!({ "overlap_seconds": 0 })).expect(200);
    let text = browser.submit(AT, &form).expect(200).text();
    assert!(!text.contains("Unauthorized"), "{text}");
    assert_eq!(upstream.calls().len(), 2);
    owner.revoke("engineering", &first).expect(200);
    browser.submit(AT, &form).expect(200);
    let again = own_tokens(&gateway);
    assert_eq!((again.len(), upstream.calls().len()), (1, 3));
    assert_ne!(again[0]["id"], json!(first));
    gateway.member("mia", "member", None);
    let mut mia = Browser::new(gateway.address);
    mia.sign_in("mia", PASSWORD);
    mia.submit(AT, &form).expect(200);
    let of_mia = || owner.get("/workspaces/engineering/tokens").json().to_string().matches("mia (Playground)").count();
    assert_eq!((of_mia(), upstream.calls().len()), (1, 4));
    let receipt = owner.delete("/team/members/mia").expect(200).json();
    assert_eq!(receipt["tokens_revoked"].as_array().map(Vec::len), Some(1), "{receipt}");
}

#[test]
fn a_schema_that_is_no_form_or_full_of_markup_breaks_no_page() {
    let hostile = "\"><script>alert(1)</script>";
    let deep = (0..20).fold(json!({}), |inner, _| json!({ "type": "object", "properties": { "a": inner } }));
    let wide: serde_json::Map<String, Value> =
        (0..300).map(|n| (format!("p{n}"), json!({ "type": "string" }))).collect();
    let names = ["create_issue", "hostile", "deep", "wide", "anything"];
    let schemas = [
        json!({ "type": "object" }),
        json!({ "type": "object", "required": [hostile], "properties": {
            hostile: { "type": "string", "description": hostile, "default": hostile },
            "pick": { "enum": [hostile, 1, true] } } }),
        deep,
        json!({ "type": "object", "properties": wide }),
        json!({ "type": "object", "oneOf": [{ "required": ["a"] }, {}] }),
    ];
    let tools = names.iter().zip(schemas);
    let tools = tools.map(|(name, schema)| json!({ "name": name, "description": hostile, "inputSchema": schema }));
    let (upstream, _) = described(tools.collect());
    let (_gateway, mut browser) = furnished(setup(), &upstream);
    for name in names {
        let at = format!("/playground?workspace=engineering&tool=github__{name}");
        let text = browser.get(&at).expect(200).text();
        assert!(!text.contains("<script>alert"), "{name}: {text}");
        let key = format!("arg.{hostile}");
        let typed = [(key.as_str(), hostile), ("arguments", r#"{"any":[1]}"#), ("arg.pick", "1")];
        let text = browser.submit(&at, &typed).expect(200).text();
        assert!(!text.contains("<script>alert"), "{name}: {text}");
    }
    let sent: Vec<String> = upstream.calls().iter().map(|seen| seen.text()).collect();
    assert!(sent[1].contains(r#""pick":1"#) && sent[3].contains(r#""arguments":{"any":[1]}"#), "{sent:?}");
    // As JSON whatever the schema is.
    let raw = "/playground?workspace=engineering&tool=github__hostile&raw";
    assert!(browser.get(raw).expect(200).text().contains("name=\"arguments\""));
    browser.submit(raw, &[("arguments", "not json")]).expect(422);
}
