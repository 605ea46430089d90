//! `Host` and `Origin`: a page of somebody else's must not reach a gateway on loopback (DNS rebinding).

use crate::support::{Connection, Place, Request, TestGateway, place, place_with};

/// The status of a request with these headers, on every transport.
fn statuses(place: &Place, headers: &[(&str, &str)]) -> Vec<u16> {
    let session = place.editor.initialize("2025-11-25");
    let open = place.editor.http_sse();
    let endpoint = open.endpoint.clone();
    let stream = Request::get("/ws/eng").bearer(&place.token.raw).header("accept", "text/event-stream");
    let mut requests = vec![
        session.post(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#),
        place.editor.modern(&serde_json::json!(1), "server/discover", serde_json::json!({})),
        stream.clone(),
        stream.header("mcp-session-id", &session.id),
        Request::post(endpoint, r#"{"jsonrpc":"2.0","method":"x"}"#).bearer(&place.token.raw),
        Request::new("OPTIONS", "/ws/eng"),
        place.admin.request("GET", "/whoami", None),
        Request::new("DELETE", "/ws/eng").bearer(&place.token.raw).header("mcp-session-id", &session.id),
    ];
    for request in &mut requests {
        for (name, value) in headers {
            *request = request.clone().with(name, value);
        }
    }
    requests.iter().map(|request| request.open(place.gateway.address).status).collect()
}

#[test]
fn a_foreign_origin_or_host_is_refused_on_every_transport() {
    let place = place(&[]);
    let port = place.gateway.address.port();
    let foreign = [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("origin", "http://localhost.evil.example"),
        ("origin", "http://user@localhost"),
        ("origin", "file://"),
        ("host", "evil.example"),
        ("host", "127.0.0.1.nip.io"),
        ("host", "localhost@evil.example"),
    ];
    for (name, value) in foreign {
        let statuses = statuses(&place, &[(name, value)]);
        assert!(statuses.iter().all(|status| *status == 403), "{name}: {value}: {statuses:?}");
    }
    let (own, named) = (format!("http://127.0.0.1:{port}"), format!("localhost:{port}"));
    for (name, value) in [("origin", own.as_str()), ("origin", "http://localhost:3000"), ("host", named.as_str())] {
        let statuses = statuses(&place, &[(name, value)]);
        assert!(statuses.iter().all(|status| (200..300).contains(status)), "{name}: {value}: {statuses:?}");
    }
}

#[test]
fn the_answer_to_a_foreign_page_is_json_rpc_and_not_readable_for_it() {
    let place = place(&[]);
    let request = place.editor.post(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).header("origin", "http://evil");
    let answer = request.send(place.gateway.address).expect(403);
    assert_eq!(answer.code(), -32600);
    assert_eq!(answer.header("access-control-allow-origin"), None);
    assert_eq!(answer.header("www-authenticate"), None);
}

#[test]
fn an_absolute_target_and_a_second_host_are_no_way_around() {
    let place = place(&[]);
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let request = Request::post("http://evil.example/ws/eng", body).bearer(&place.token.raw);
    request.send(place.gateway.address).expect(403);
    let mut connection = Connection::to(place.gateway.address);
    let twice = format!(
        "POST /ws/eng HTTP/1.1\r\nhost: {}\r\nhost: evil.example\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        place.gateway.address,
        place.token.raw,
        body.len()
    );
    connection.write(twice.as_bytes());
    let status = connection.answer().unwrap().status;
    assert!(matches!(status, 400 | 403), "{status}");
}

#[test]
fn an_allowed_page_may_read_answers_and_ask_first() {
    let setup = TestGateway::setup().set("server.allowed_origins", "https://tools.example");
    let place = place_with(setup, &[]);
    let request = place.editor.initialize_request("2025-11-25").header("origin", "https://tools.example");
    let answer = request.send(place.gateway.address).expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://tools.example"));
    assert!(answer.header("access-control-expose-headers").unwrap().contains("mcp-session-id"));
    let preflight = Request::new("OPTIONS", "/ws/eng")
        .header("origin", "https://tools.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,mcp-param-city");
    let answer = preflight.send(place.gateway.address).expect(204);
    assert_eq!(answer.header("access-control-allow-headers"), Some("authorization,mcp-param-city"));
    // Not the scheme, not the port, not a name inside.
    for origin in ["http://tools.example", "https://tools.example:8443", "https://a.tools.example"] {
        request.clone().with("origin", origin).send(place.gateway.address).expect(403);
    }
}
