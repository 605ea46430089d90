//! Who may call: the seeds' authentication flow. All ways of not being known look the same.

use serde_json::json;

use crate::support::{Request, Response, place, servers, until};

/// What everybody sees who is not let in, apart from the time.
fn shape(response: &Response) -> (u16, String, Vec<(String, String)>) {
    let mut headers = response.headers.clone();
    headers.retain(|(name, _)| name != "date");
    headers.sort();
    (response.status, response.text(), headers)
}

#[test]
fn every_way_of_not_being_known_looks_the_same() {
    let upstream = servers::plain(&["echo"]);
    let place = place(&[("toy", &upstream)]);
    place.admin.workspace("ops");
    let foreign = place.admin.token("ops", "Foreign").raw;
    let revoked = place.admin.token("eng", "Revoked");
    place.admin.revoke("eng", &revoked.id);
    let expired = place.admin.token_with("eng", json!({ "name": "Short", "expires_in": 1 })).raw;
    let short = place.gateway.editor("eng", &expired);
    until("the token expires", || short.call("toy__echo", json!({})).status == 401);
    let before = upstream.calls().len();

    // A token that was never issued, of the right shape: another gateway's.
    let elsewhere = crate::support::place(&[]).token.raw;
    let good = &place.token.raw;
    let cases = [
        ("no token", "eng", None),
        ("garbage", "eng", Some("Bearer mwt_garbage".to_owned())),
        ("not base62", "eng", Some("Bearer mwt_'; DROP TABLE workspace_tokens; --".to_owned())),
        ("empty", "eng", Some("Bearer ".to_owned())),
        ("another scheme", "eng", Some(format!("Basic {good}"))),
        ("unknown", "eng", Some(format!("Bearer {elsewhere}"))),
        ("expired", "eng", Some(format!("Bearer {expired}"))),
        ("revoked", "eng", Some(format!("Bearer {}", revoked.raw))),
        ("foreign", "eng", Some(format!("Bearer {foreign}"))),
        ("an API key", "eng", Some(format!("Bearer {}", place.gateway.key))),
        ("unknown workspace", "nowhere", Some(format!("Bearer {good}"))),
        ("unknown workspace, no token", "nowhere", None),
    ];
    let mut seen = Vec::new();
    for (what, slug, authorization) in cases {
        let body = r#"{"jsonrpc":"2.0","id":"seven","method":"tools/call","params":{"name":"toy__echo"}}"#;
        let mut request = Request::post(format!("/ws/{slug}"), body);
        if let Some(value) = authorization {
            request = request.header("authorization", &value);
        }
        let response = request.send(place.gateway.address);
        seen.push((what, shape(&response)));
    }
    for (what, one) in &seen {
        assert_eq!(*one, seen[0].1, "{what}");
    }
    let (status, text, headers) = &seen[0].1;
    assert_eq!(*status, 401);
    let challenge = headers.iter().find(|(name, _)| name == "www-authenticate").expect("a challenge");
    assert_eq!(challenge.1, r#"Bearer realm="aerostack""#);
    let body: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(body["id"], "seven");
    assert_eq!(body["error"]["code"], -32003);
    assert!(body["error"]["message"].as_str().unwrap().starts_with("Unauthorized: "), "{text}");
    assert_eq!(upstream.calls().len(), before, "nothing reached the server");
}

#[test]
fn no_transport_is_open_without_a_token() {
    let upstream = servers::plain(&["echo"]);
    let place = place(&[("toy", &upstream)]);
    let session = place.editor.initialize("2025-11-25");
    let endpoint = place.editor.http_sse().endpoint;
    for slug in ["/ws/eng", "/ws/eng/sse", "/ws/eng/mcp"] {
        let stream = Request::get(slug).header("accept", "text/event-stream");
        let requests = [
            Request::post(slug, "{}"),
            Request::post(slug, "not json"),
            stream.clone(),
            stream.header("mcp-session-id", &session.id),
            Request::new("DELETE", slug).header("mcp-session-id", &session.id),
        ];
        for request in requests {
            let method = request.method;
            request.send(place.gateway.address).expect(401);
            request.bearer("mwt_wrong").send(place.gateway.address).expect(401);
            assert!(!method.is_empty());
        }
    }
    Request::post(endpoint, r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).send(place.gateway.address).expect(401);
    assert!(upstream.calls().is_empty());
}

#[test]
fn the_id_of_a_refused_request_comes_back_whatever_its_type() {
    let place = place(&[]);
    for id in ["1", "\"1\"", "9007199254740993", "\"ü\\n\"", "-5"] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        let answer = Request::post("/ws/eng", body).send(place.gateway.address).expect(401);
        assert!(answer.text().contains(&format!(r#""id":{id}"#)), "{id}: {}", answer.text());
    }
    // A notification, not JSON, and a body too long to be read only for its id.
    let long = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#, "x".repeat(70_000));
    for body in [r#"{"jsonrpc":"2.0","method":"ping"}"#, "{", "", long.as_str()] {
        let answer = Request::post("/ws/eng", body).send(place.gateway.address).expect(401);
        assert_eq!(answer.json()["id"], json!(null), "{}", answer.text());
    }
}

#[test]
fn a_token_in_the_url_is_refused_and_never_logged() {
    let place = place(&[]);
    let raw = &place.token.raw;
    let request = Request::post(format!("/ws/eng?token={raw}"), r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    let answer = request.send(place.gateway.address).expect(400);
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("does not belong into the URL"));
    request.bearer(raw).send(place.gateway.address).expect(400);
    assert!(!place.gateway.log().contains(raw.as_str()));
}

#[test]
fn guessing_tokens_is_slowed_down_but_never_blocks_a_valid_one() {
    let upstream = servers::plain(&["echo"]);
    let place = place(&[("toy", &upstream)]);
    place.editor.call("toy__echo", json!({})).expect(200);
    // Tokens of the right shape that are not ours: those of another gateway.
    let other = crate::support::place(&[]);
    let strangers: Vec<String> = (0..70).map(|n| other.admin.token("eng", &format!("t{n}")).raw).collect();
    let statuses: Vec<u16> =
        strangers.iter().map(|raw| place.gateway.editor("eng", raw).call("toy__echo", json!({})).status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 60);
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 10);
    place.editor.call("toy__echo", json!({})).expect(200);
}
