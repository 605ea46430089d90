//! Bad input gets a clear error and loses nothing: the server behind sees none of it.

use serde_json::json;

use crate::support::{Connection, Place, Upstream, elapsed, place, place_with, servers};

fn toy() -> (Place, Upstream) {
    let upstream = servers::plain(&["echo"]);
    (place(&[("toy", &upstream)]), upstream)
}

#[test]
fn a_body_that_is_not_one_json_rpc_message_is_refused() {
    let (place, upstream) = toy();
    let session = place.editor.initialize("2025-11-25");
    let nested = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{}{}}}"#, "[".repeat(70), "]".repeat(70));
    let long_key = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"{}":1}}}}"#, "k".repeat(2000));
    let parse: &[&[u8]] = &[
        b"",
        b"   ",
        b"{",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"} x",
        b"{'jsonrpc':'2.0'}",
        b"\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\\ud800\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":01,\"method\":\"ping\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",}",
        b"NaN",
    ];
    for body in parse {
        let answer = session.editor.send(&session.post(*body));
        assert_eq!(
            (answer.status, answer.code()),
            (400, -32700),
            "{}: {}",
            String::from_utf8_lossy(body),
            answer.text()
        );
        assert_eq!(answer.json()["id"], json!(null));
    }
    let invalid: &[&str] = &[
        "5",
        "\"ping\"",
        "null",
        "[]",
        "{}",
        r#"{"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","param\u017f":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"safe","name":"danger"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"toy__echo","n\u0061me":"danger"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"toy__echo","arguments":{"a":1,"a":2}}}"#,
        nested.as_str(),
        long_key.as_str(),
    ];
    for body in invalid {
        let answer = session.editor.send(&session.post(*body));
        assert_eq!((answer.status, answer.code()), (400, -32600), "{body}: {}", answer.text());
    }
    assert!(upstream.calls().is_empty(), "{:?}", upstream.calls());
    session.request("ping", json!({})).expect(200);
}

#[test]
fn a_refusal_is_quick_however_nasty_the_body() {
    let (place, _) = toy();
    let bomb = "[".repeat(100_000);
    let strings = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":[{}""]}}"#, "\"\",".repeat(1_000_000));
    for body in [bomb, strings] {
        let (answer, took) = elapsed(|| place.editor.send(&place.editor.post(body)));
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(took.as_secs() < 5, "{took:?}");
    }
}

#[test]
fn a_body_over_the_limit_is_413_whether_or_not_its_length_is_announced() {
    let setup = crate::support::TestGateway::setup().set("limits.body_bytes", 10_000);
    let upstream = servers::plain(&["echo"]);
    let place = place_with(setup, &[("toy", &upstream)]);
    let call = |size: usize| place.editor.calling("toy__echo", json!({ "text": "x".repeat(size) }));
    place.editor.send(&call(9_000)).expect(200);
    let answer = place.editor.send(&call(11_000)).expect(413);
    assert_eq!(answer.code(), -32600);
    assert!(answer.text().contains("larger than 10000 bytes"), "{}", answer.text());

    let request = call(11_000).header("transfer-encoding", "chunked");
    let mut chunked = request.clone();
    chunked.body = request
        .body
        .chunks(1000)
        .flat_map(|piece| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat())
        .collect();
    chunked.body.extend_from_slice(b"0\r\n\r\n");
    Connection::to(place.gateway.address).try_send(&chunked).unwrap().expect(413);
    let ids: Vec<_> = upstream.calls().iter().map(|seen| seen.body.len()).collect();
    assert_eq!(ids.len(), 1);
    place.editor.send(&call(9_000)).expect(200);
}

#[test]
fn a_body_that_does_not_arrive_ends_with_408_and_a_head_too() {
    let setup = crate::support::TestGateway::setup()
        .set("server.body_timeout_seconds", 1)
        .set("server.head_timeout_seconds", 1);
    let place = place_with(setup, &[]);
    let mut slow = Connection::to(place.gateway.address);
    let request = place.editor.post("{}").header("content-length", "100");
    slow.write(&request.bytes(place.gateway.address));
    let (answer, took) = elapsed(|| slow.answer().unwrap());
    assert_eq!((answer.status, answer.code()), (408, -32600));
    assert!(took.as_secs() < 5, "{took:?}");
    let mut head = Connection::to(place.gateway.address);
    head.write(b"POST /ws/eng HTTP/1.1\r\nhost: x\r\n");
    let (ended, took) = elapsed(|| head.answer().map(|answer| answer.status));
    assert!(matches!(ended, Ok(408) | Err(_)), "{ended:?}");
    assert!(took.as_secs() < 10, "{took:?}");
}

#[test]
fn bodies_of_the_admin_api_and_of_pages_arrive_in_time_or_end_with_408() {
    use std::io::ErrorKind;
    let place = place_with(crate::support::TestGateway::setup().set("server.body_timeout_seconds", 1), &[]);
    let host = place.gateway.address;
    let key = format!("authorization: Bearer {}\r\n", place.gateway.key);
    let json = "content-type: application/json\r\n";
    let form = format!("origin: http://{host}\r\ncontent-type: application/x-www-form-urlencoded\r\n");
    for (path, headers) in [
        ("/api/v1/admin/session", json.to_owned()),
        ("/api/v1/admin/workspaces", format!("{key}{json}")),
        ("/api/v1/admin/workspaces", format!("{key}{json}idempotency-key: one\r\n")),
        ("/signin", form.clone()),
        ("/team", form),
    ] {
        let mut slow = Connection::to(host);
        let head = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\n{headers}content-length: 100\r\n\r\n{{");
        slow.write(head.as_bytes());
        let (answer, took) = elapsed(|| slow.answer().unwrap());
        assert_eq!(answer.status, 408, "{path}: {}", answer.text());
        assert!(took.as_secs() < 10, "{path}: {took:?}");
        let over = slow.answer().map(|answer| answer.status).unwrap_err().kind();
        assert!(matches!(over, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{path}: {over:?}");
    }
    place.admin.get("/workspaces").expect(200);
}

#[test]
fn smuggled_framing_is_refused() {
    let (place, upstream) = toy();
    let token = &place.token.raw;
    let head = |more: &str| {
        format!(
            "POST /ws/eng HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n{more}\r\n",
            place.gateway.address
        )
    };
    let smuggled = "0\r\n\r\nPOST /ws/eng HTTP/1.1\r\n";
    for bytes in [
        head("content-length: 5\r\ncontent-length: 6\r\n") + "{}{}{}",
        head("transfer-encoding: chunked\r\ncontent-length: 4\r\n") + smuggled,
        head("content-length: -1\r\n"),
        head("content-length: 99999999999999999999\r\n"),
        head("transfer-encoding: chunked\r\n") + "zz\r\n{}\r\n0\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
        "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ] {
        let mut connection = Connection::to(place.gateway.address);
        connection.write(bytes.as_bytes());
        connection.finish_writing();
        let status = connection.answer().map(|answer| answer.status);
        assert!(!matches!(status, Ok(200..=299)), "{status:?}: {bytes}");
    }
    assert!(upstream.calls().is_empty());
    place.editor.call("toy__echo", json!({})).expect(200);
}

#[test]
fn messages_name_the_thing_and_what_to_do() {
    let (place, _) = toy();
    let session = place.editor.initialize("2025-11-25");
    let message = |request: crate::support::Request| {
        place.editor.send(&request).json()["error"]["message"].as_str().unwrap().to_owned()
    };
    let session_gone = crate::support::Session { id: "gone".into(), ..session.clone() };
    insta::assert_snapshot!(
        [
            message(session.post("{")),
            message(session.post("[]")),
            message(session.post(r#"{"jsonrpc":"2.0","id":1,"method":7}"#)),
            message(session.post(r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#)),
            message(session.asking(&json!(1), "tools/destroy", json!({}))),
            message(session.asking(&json!(1), "tools/call", json!({ "name": "toy__ecko" }))),
            message(session.asking(&json!(1), "tools/call", json!({}))),
            message(session.asking(&json!(1), "tools/list", json!({ "cursor": "x" }))),
            message(session.asking(&json!(1), "ping", json!({})).with("content-type", "text/plain")),
            message(session.asking(&json!(1), "ping", json!({})).with("accept", "text/html")),
            message(session.asking(&json!(1), "ping", json!({})).header("content-encoding", "gzip")),
            message(place.editor.post(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#)),
            message(session_gone.asking(&json!(1), "ping", json!({}))),
            message(session.asking(&json!(1), "ping", json!({})).header("origin", "http://evil")),
            message(session.asking(&json!(1), "ping", json!({})).without("authorization")),
        ]
        .join("\n"), @r#"
    The body was refused: not valid JSON (byte 1)
    An empty batch is not a request
    Not a JSON-RPC message: method must be a string
    The body was refused: the same member name twice in one object
    Method not found: tools/destroy
    Unknown tool: toy__ecko
    Invalid params: tools/call needs params.name, a string
    Invalid cursor: "x". To fix it: list again without a cursor; the list may have changed since it was given
    Content-Type must be application/json
    Not Acceptable: the client must accept application/json and text/event-stream
    Content-Encoding gzip is not served. To fix it: send the body uncompressed
    Bad Request: Mcp-Session-Id header is required. To fix it: send initialize first and repeat the session id it answers with
    Session not found. To fix it: send initialize again without the Mcp-Session-Id header
    The Origin of this request is not allowed. To fix it: an admin may add it to server.allowed_origins
    Unauthorized: no valid workspace token (missing, unknown, expired, revoked, or for another workspace). Send the header Authorization: Bearer mwt_…; your admin issues a token with `aerostack workspace token create`
    "#);
}

#[test]
fn a_client_that_hangs_up_in_the_middle_harms_nobody() {
    let (place, _) = toy();
    let bytes = place.editor.calling("toy__echo", json!({})).bytes(place.gateway.address);
    for cut in (1..bytes.len()).step_by(37) {
        let mut connection = Connection::to(place.gateway.address);
        connection.write(&bytes[..cut]);
    }
    place.editor.call("toy__echo", json!({})).expect(200);
    let actors = place.gateway.operators("/health/actors").expect(200).json();
    assert_eq!(actors["status"], "pass", "{actors}");
}
