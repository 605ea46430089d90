//! Secrets go to the server they were set for, as the injection rule says, from the very next call on.

use serde_json::json;

use crate::support::{Place, Seen, TestGateway, Upstream, place, place_with, servers};

fn toy() -> (Place, Upstream) {
    let upstream = servers::plain(&["echo"]);
    let place = place(&[("toy", &upstream)]);
    (place, upstream)
}

fn call(place: &Place, upstream: &Upstream) -> Seen {
    place.editor.call("toy__echo", json!({})).expect(200).result();
    upstream.last_call()
}

fn inject(place: &Place, name: &str, rule: serde_json::Value) {
    place.admin.patch(&format!("/mcp-servers/toy/secrets/{name}"), rule).expect(200);
}

#[test]
fn a_secret_travels_as_header_of_its_name_as_another_header_or_as_bearer() {
    let (place, upstream) = toy();
    place.admin.secret("toy", "GITHUB_TOKEN", "ghp_xxx_first");
    let sent = call(&place, &upstream);
    assert_eq!(sent.header("GITHUB_TOKEN"), Some("ghp_xxx_first"));
    assert_eq!(sent.header("authorization"), None);

    inject(&place, "GITHUB_TOKEN", json!({ "mode": "header", "header": "Authorization" }));
    let sent = call(&place, &upstream);
    assert_eq!((sent.header("authorization"), sent.header("GITHUB_TOKEN")), (Some("ghp_xxx_first"), None));

    inject(&place, "GITHUB_TOKEN", json!({ "mode": "bearer" }));
    let sent = call(&place, &upstream);
    assert_eq!((sent.header("authorization"), sent.header("GITHUB_TOKEN")), (Some("Bearer ghp_xxx_first"), None));

    place.admin.secret_with("toy", json!({ "name": "API_KEY", "value": "sk-xxx-second", "injection": { "mode": "header", "header": "X-API-Key" } }));
    let sent = call(&place, &upstream);
    assert_eq!(sent.header("x-api-key"), Some("sk-xxx-second"));
    assert_eq!(sent.header("authorization"), Some("Bearer ghp_xxx_first"));
}

#[test]
fn a_rotated_secret_is_used_by_the_next_call_and_a_deleted_one_no_more() {
    let (place, upstream) = toy();
    for round in 0..20 {
        let value = format!("rotated-value-{round}");
        place.admin.secret("toy", "KEY", &value);
        // Both workers, and connections that were opened before.
        for _ in 0..4 {
            assert_eq!(call(&place, &upstream).header("KEY"), Some(value.as_str()));
        }
    }
    let answer = place.admin.delete("/mcp-servers/toy/secrets/KEY");
    assert!((200..300).contains(&answer.status));
    assert_eq!(call(&place, &upstream).header("KEY"), None);
    place.admin.secret("toy", "ONE", "first-of-two");
    place.admin.secret("toy", "TWO", "second-of-two");
    let deleted = place.admin.delete("/mcp-servers/toy/secrets").expect(200).json();
    assert_eq!(deleted["deleted"], 2);
    let sent = call(&place, &upstream);
    assert_eq!((sent.header("ONE"), sent.header("TWO")), (None, None));
    place.admin.delete("/mcp-servers/toy/secrets/KEY").expect(404);
}

#[test]
fn each_server_gets_its_own_secrets_and_nobody_elses() {
    let three = [servers::plain(&["echo"]), servers::plain(&["echo"]), servers::plain(&["echo"])];
    let setup = TestGateway::setup().set("limits.requests_per_minute", 0);
    let place = place_with(setup, &[("one", &three[0]), ("two", &three[1]), ("three", &three[2])]);
    for slug in ["one", "two", "three"] {
        place.admin.secret(slug, "API_TOKEN", &format!("value-for-{slug}-only"));
    }
    place.editor.tools();
    std::thread::scope(|scope| {
        for lane in 0..3 {
            let place = &place;
            scope.spawn(move || {
                let mut connection = crate::support::Connection::to(place.gateway.address);
                for round in 0..100 {
                    let slug = ["one", "two", "three"][(lane + round) % 3];
                    connection.send(&place.editor.calling(&format!("{slug}__echo"), json!({}))).expect(200).result();
                }
            });
        }
    });
    for (slug, upstream) in ["one", "two", "three"].iter().zip(&three) {
        let (transcript, mine) = (upstream.transcript(), format!("value-for-{slug}-only"));
        assert!(upstream.calls().iter().all(|seen| seen.header("API_TOKEN") == Some(&mine)), "{slug}");
        for other in ["one", "two", "three"].iter().filter(|other| *other != slug) {
            assert!(!transcript.contains(&format!("value-for-{other}-only")), "{other} at {slug}");
        }
    }
}

#[test]
fn a_workspace_may_override_a_value_for_itself() {
    let (place, upstream) = toy();
    place.admin.workspace("ops");
    place.admin.install("ops", "toy");
    let ops = place.gateway.editor("ops", &place.admin.token("ops", "Olga").raw);
    place.admin.secret("toy", "KEY", "value-for-all");
    let override_it = json!({ "name": "KEY", "value": "value-for-ops" });
    let answer = place.admin.post("/mcp-servers/toy/secrets?workspace=ops", override_it);
    assert!((200..300).contains(&answer.status), "{}", answer.text());
    assert_eq!(call(&place, &upstream).header("KEY"), Some("value-for-all"));
    ops.call("toy__echo", json!({})).expect(200);
    assert_eq!(upstream.last_call().header("KEY"), Some("value-for-ops"));
    place.admin.delete("/mcp-servers/toy/secrets/KEY?workspace=ops").expect(200);
    ops.call("toy__echo", json!({})).expect(200);
    assert_eq!(upstream.last_call().header("KEY"), Some("value-for-all"));
}

#[test]
fn a_removed_servers_secrets_are_gone_when_its_slug_comes_back() {
    let (place, upstream) = toy();
    place.admin.secret("toy", "KEY", "value-of-the-first");
    place.admin.delete("/mcp-servers/toy").expect(409);
    place.admin.delete("/workspaces/eng/servers/toy").expect(200);
    place.admin.delete("/mcp-servers/toy").expect(200);
    place.admin.add("eng", "toy", &upstream);
    assert_eq!(call(&place, &upstream).header("KEY"), None);
    assert_eq!(place.admin.get("/mcp-servers/toy/secrets").json()["data"], json!([]));
}

#[test]
fn the_clients_own_headers_never_stand_in_for_a_secret() {
    let (place, upstream) = toy();
    place.admin.secret("toy", "GITHUB_TOKEN", "from-the-vault");
    for name in ["GITHUB_TOKEN", "Github-Token", "github_token", "X-Api-Key", "Proxy-Authorization", "Cookie"] {
        let request = place.editor.calling("toy__echo", json!({})).header(name, "from-the-client");
        request.send(place.gateway.address).expect(200);
        let sent = upstream.last_call();
        assert_eq!(sent.header("GITHUB_TOKEN"), Some("from-the-vault"));
        assert!(!sent.text().contains("from-the-client"), "{name}: {}", sent.text());
    }
    assert!(!upstream.transcript().contains("mwt_"));
}

#[test]
fn a_list_shows_names_rules_and_dates_but_never_a_value() {
    let (place, _) = toy();
    place.admin.secret("toy", "GITHUB_TOKEN", "ghp_value_that_is_never_shown");
    inject(&place, "GITHUB_TOKEN", json!({ "mode": "bearer" }));
    place.admin.secret_with("toy", json!({ "name": "WEBHOOK_SECRET", "value": "another_value_never_shown", "injection": { "mode": "header", "header": "X-Webhook-Secret" } }));
    let answer = place.admin.get("/mcp-servers/toy/secrets").expect(200);
    assert!(!answer.text().contains("never"), "{}", answer.text());
    let shown: Vec<_> = answer.json()["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["name"].clone(), one["injected_as"].clone(), one["updated_at"].is_string()))
        .collect();
    assert_eq!(
        shown,
        [
            (json!("GITHUB_TOKEN"), json!("Authorization"), true),
            (json!("WEBHOOK_SECRET"), json!("X-Webhook-Secret"), true)
        ]
    );
    // One alone says no more than the list, and there is no way to ask for its value.
    let alone = place.admin.get("/mcp-servers/toy/secrets/GITHUB_TOKEN").expect(200);
    assert_eq!(alone.json(), answer.json()["data"][0]);
    assert!(!alone.text().contains("never"), "{}", alone.text());
    place.admin.get("/mcp-servers/toy/secrets/GITHUB_TOKEN/value").expect(404);
}

#[test]
fn values_and_headers_that_would_break_a_request_are_refused_without_repeating_them() {
    let (place, upstream) = toy();
    let long = "x".repeat(8193);
    for value in
        ["a\r\nX-Evil: 1", "é-value-x", "nul\0value", "del\u{7f}value", " leading-space", "trailing-space ", "", &long]
    {
        let answer = place.admin.post("/mcp-servers/toy/secrets", json!({ "name": "KEY", "value": value })).expect(422);
        assert!(value.is_empty() || !answer.text().contains(value.trim()), "{}", answer.text());
    }
    for name in ["", "1KEY", "KEY NAME", "KEY-NAME", "KEY:", "é", &"K".repeat(129)] {
        place.admin.post("/mcp-servers/toy/secrets", json!({ "name": name, "value": "harmless-value" })).expect(422);
    }
    for header in [
        "Content-Length",
        "Host",
        "Transfer-Encoding",
        "Mcp-Method",
        "MCP-Protocol-Version",
        "Connection",
        "X-Forwarded-For",
        "Via",
        "a b",
        "",
        "a:b",
    ] {
        let body =
            json!({ "name": "KEY", "value": "harmless-value", "injection": { "mode": "header", "header": header } });
        place.admin.post("/mcp-servers/toy/secrets", body).expect(422);
    }
    place.admin.post("/mcp-servers/nowhere/secrets", json!({ "name": "KEY", "value": "harmless-value" })).expect(404);
    assert_eq!(call(&place, &upstream).header("KEY"), None);
}

#[test]
fn a_secret_survives_a_restart_and_a_member_never_learns_its_name() {
    let (mut place, upstream) = toy();
    place.admin.secret("toy", "VERY_PRIVATE_NAME", "value-that-stays");
    place.gateway.restart();
    assert_eq!(call(&place, &upstream).header("VERY_PRIVATE_NAME"), Some("value-that-stays"));
    let seen = [
        place.editor.list().everything(),
        place.editor.send(&place.editor.modern(&json!(1), "server/discover", json!({}))).everything(),
        place.editor.call("toy__echo", json!({})).everything(),
        place.editor.call("toy__no", json!({})).everything(),
    ];
    assert!(!seen.concat().contains("VERY_PRIVATE_NAME"));
}

/// Refuses everybody who does not bring `KEY`; whoever does may list its tool.
fn closed() -> Upstream {
    Upstream::start(|seen, conn| match (seen.header("KEY"), seen.rpc().as_str()) {
        (None, _) => conn.json(401, "{}"),
        (_, "server/discover") => conn.result(
            seen,
            json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} },
                "ttlMs": 0, "cacheScope": "private" }),
        ),
        (_, "tools/list") => conn.result(
            seen,
            json!({ "tools": [servers::tool("go", "Goes.")], "resultType": "complete", "ttlMs": 0,
                "cacheScope": "private" }),
        ),
        _ => conn.error(404, seen, -32601, "Method not found"),
    })
}

#[test]
fn setting_a_secret_asks_only_the_server_it_is_for_what_it_offers() {
    // Two that wait for a key in one workspace, and one of the same name in somebody else's namespace.
    let (toy, neighbour, namesake) = (closed(), closed(), closed());
    let place = place(&[("toy", &toy), ("neighbour", &neighbour)]);
    let (bob, _) = place.gateway.member("bob", "viewer", None);
    bob.workspace("bobs");
    bob.add("bobs", "toy", &namesake);
    let asked = |upstream: &Upstream| upstream.seen().len();
    assert!(asked(&toy) > 0 && asked(&neighbour) > 0 && asked(&namesake) > 0, "installing asks");
    for round in 1..=5 {
        let before = (asked(&neighbour), asked(&namesake));
        place.admin.secret("toy", "KEY", &format!("value-number-{round}"));
        if round == 1 {
            toy.until_seen("its tools are asked for", |seen| seen.iter().any(|one| one.rpc() == "tools/list"));
        }
        assert_eq!((asked(&neighbour), asked(&namesake)), before, "round {round}");
    }
}
