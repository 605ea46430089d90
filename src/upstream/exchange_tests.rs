use std::{rc::Rc, time::Duration};

use awc::http::header::{HeaderName, HeaderValue};
use bytes::Bytes;

use super::*;
use crate::upstream::{
    client::HttpClient,
    fake::{Fake, Reply, Request, SOON, Then, open_policy, small_config},
    wire::Wire,
};

fn client() -> HttpClient {
    HttpClient::new(open_policy(), &small_config())
}

fn modern() -> Wire {
    Wire::Modern { revision: Revision::MODERN }
}

fn legacy(session: Option<&str>) -> Wire {
    Wire::Streamable { revision: Revision::V20251125, session: session.map(Into::into) }
}

fn endpoint(fake: &Fake, wire: &Wire) -> Rc<Endpoint> {
    let secret = (HeaderName::from_static("x-api-key"), HeaderValue::from_static("sk-injected"));
    Rc::new(Endpoint::new(&client(), &fake.url, Stage::Known(wire), &[secret]).unwrap())
}

async fn call(endpoint: &Rc<Endpoint>, extra: &[(HeaderName, HeaderValue)]) -> Result<Answer, UpstreamError> {
    let body =
        Bytes::from_static(br#"{"jsonrpc":"2.0","id":"a1","method":"tools/call","params":{"name":"na\u00efve"}}"#);
    let message = Outgoing { body: &body, method: "tools/call", name: Some("naïve"), extra };
    endpoint.send(message, Patience::within(SOON)).await
}

/// Calls a server that gives `reply` to everything.
async fn outcome(wire: Wire, reply: Reply) -> Result<Answer, UpstreamError> {
    let fake = Fake::start(move |_| reply.clone()).await;
    call(&endpoint(&fake, &wire), &[]).await
}

fn failure(outcome: Result<Answer, UpstreamError>) -> UpstreamError {
    outcome.expect_err("a failure")
}

async fn json(outcome: Result<Answer, UpstreamError>) -> String {
    match outcome {
        Ok(Answer::Json(body)) => String::from_utf8_lossy(&body).into_owned(),
        other => panic!("not JSON: {other:?}"),
    }
}

#[actix_rt::test]
async fn a_modern_request_names_revision_method_and_tool_and_carries_the_secret_only() {
    let fake = Fake::start(|request| Reply::result(request, "{}")).await;
    let extra = [
        (HeaderName::from_static("traceparent"), HeaderValue::from_static("00-a-b-01")),
        (HeaderName::from_static("x-api-key"), HeaderValue::from_static("from the client")),
    ];
    json(call(&endpoint(&fake, &modern()), &extra).await).await;
    let seen: Request = fake.requests().remove(0);
    assert_eq!(seen.header("mcp-protocol-version"), Some("2026-07-28"));
    assert_eq!(seen.header("mcp-method"), Some("tools/call"));
    assert_eq!(seen.header("mcp-name"), Some("=?base64?bmHDr3Zl?="));
    assert_eq!(seen.header("accept"), Some("application/json, text/event-stream"));
    assert_eq!(seen.header("accept-encoding"), Some("identity"));
    assert_eq!(seen.header("traceparent"), Some("00-a-b-01"));
    assert_eq!(seen.headers.iter().filter(|(name, _)| name == "x-api-key").count(), 1);
    assert_eq!(seen.header("x-api-key"), Some("sk-injected"));
    assert_eq!(seen.header("host"), Some(fake.url.authority()));
    assert_eq!(seen.header("aerostack-hop"), Some("1"));
    let second = (HOP, HeaderValue::from_static("2"));
    json(call(&endpoint(&fake, &modern()), &[second]).await).await;
    assert_eq!(fake.requests()[1].headers.iter().filter(|(name, _)| name == "aerostack-hop").count(), 1);
    assert_eq!(fake.requests()[1].header("aerostack-hop"), Some("2"));
}

#[actix_rt::test]
async fn a_legacy_request_carries_the_session_and_no_modern_header() {
    let fake = Fake::start(|request| Reply::result(request, "{}")).await;
    json(call(&endpoint(&fake, &legacy(Some("s-1"))), &[]).await).await;
    let seen = fake.requests().remove(0);
    assert_eq!(seen.header("mcp-session-id"), Some("s-1"));
    assert_eq!(seen.header("mcp-protocol-version"), Some("2025-11-25"));
    assert_eq!(seen.header("mcp-method"), None);
}

#[actix_rt::test]
async fn redirects_are_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let target = Fake::start(|request| Reply::result(request, "{}")).await;
        let location = format!("location: {}\r\n", target.url);
        let reply = Reply::new(status, &location, "");
        assert!(matches!(failure(outcome(modern(), reply).await), UpstreamError::Redirect(found) if found == status));
        assert!(target.requests().is_empty());
    }
}

#[actix_rt::test]
async fn statuses_mean_what_the_table_says() {
    for status in [401, 403] {
        assert!(matches!(failure(outcome(modern(), Reply::empty(status)).await), UpstreamError::Unauthorized(_)));
    }
    for status in [400, 404, 405, 409, 500, 502, 504] {
        let failed = failure(outcome(legacy(None), Reply::empty(status)).await);
        assert!(matches!(failed, UpstreamError::Status(found, None) if found == status), "{failed}");
    }
    let busy = Reply::new(429, "retry-after: 7\r\n", "");
    assert!(matches!(failure(outcome(modern(), busy).await), UpstreamError::Status(429, Some(7))));
    let later = Reply::new(503, "retry-after: Wed, 21 Oct 2015 07:28:00 GMT\r\n", "");
    assert!(matches!(failure(outcome(modern(), later).await), UpstreamError::Status(503, Some(0))));
    assert!(matches!(outcome(legacy(None), Reply::empty(202)).await, Ok(Answer::Accepted)));
}

#[actix_rt::test]
async fn an_unknown_session_is_told_from_an_unknown_method() {
    let expired = |reply| outcome(legacy(Some("s-1")), reply);
    assert!(matches!(failure(expired(Reply::empty(404)).await), UpstreamError::SessionExpired));
    let plain =
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}}"#;
    assert!(matches!(failure(expired(Reply::json(400, plain)).await), UpstreamError::SessionExpired));
    let coded = r#"{"jsonrpc":"2.0","id":"a1","error":{"code":-32001,"message":"Session not found"}}"#;
    assert!(matches!(failure(expired(Reply::json(404, coded)).await), UpstreamError::SessionExpired));
    let method = r#"{"jsonrpc":"2.0","id":"a1","error":{"code":-32601,"message":"Method not found"}}"#;
    assert!(json(expired(Reply::json(404, method)).await).await.contains("-32601"));
}

#[actix_rt::test]
async fn a_modern_error_on_400_or_404_is_an_answer() {
    for (status, code) in [(400, -32021), (404, -32601)] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":"a1","error":{{"code":{code},"message":"m"}}}}"#);
        assert_eq!(json(outcome(modern(), Reply::json(status, &body)).await).await, body);
    }
    let page = Reply::json(404, r#"{"error":"not found"}"#);
    assert!(matches!(failure(outcome(modern(), page).await), UpstreamError::Status(404, None)));
}

#[actix_rt::test]
async fn what_is_no_answer_is_a_protocol_failure() {
    let html = Reply::new(200, "content-type: text/html\r\n", "<html>");
    let untyped = Reply::new(200, "", "{}");
    let packed = Reply::new(200, "content-type: application/json\r\ncontent-encoding: br\r\n", "x");
    for reply in [html, untyped, packed, Reply::empty(204), Reply::json(200, "")] {
        let shown = format!("{reply:?}");
        let failed = failure(outcome(modern(), reply).await);
        assert!(matches!(failed, UpstreamError::Protocol(_)), "{failed} for {shown}");
    }
    let not_http = failure(outcome(modern(), Reply::raw("SSH-2.0-x\r\n\r\n", Then::Close)).await);
    assert!(matches!(not_http, UpstreamError::Protocol(_)), "{not_http}");
}

#[actix_rt::test]
async fn answers_over_the_limits_are_dropped_at_the_limit() {
    let announced =
        Reply::raw("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99999999\r\n\r\n", Then::Hang);
    let big = "x".repeat(5000);
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{big}\r\n",
        big.len()
    );
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    let endless_head = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(1_000_000));
    for reply in [
        announced,
        Reply::raw(&chunked, Then::Hang),
        Reply::raw(&head, Then::Hang),
        Reply::raw(&endless_head, Then::Hang),
    ] {
        let failed = failure(outcome(modern(), reply).await);
        assert!(matches!(failed, UpstreamError::TooLarge { .. }), "{failed}");
    }
    let event = format!("data: {}\n", "z".repeat(5000));
    for reply in [Reply::open_events(&event), Reply::open_events(&format!("data: {}", "z".repeat(5000)))] {
        let Ok(Answer::Events(mut events)) = outcome(modern(), reply).await else { panic!() };
        assert!(matches!(events.next().await, Err(UpstreamError::TooLarge { .. })));
    }
}

#[actix_rt::test]
async fn a_server_that_hangs_is_left_at_the_deadline() {
    for reply in [
        Reply::silence(),
        Reply::raw("HTTP/1.1 100 Continue\r\n\r\n", Then::Hang),
        Reply::raw("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{", Then::Hang),
    ] {
        assert!(matches!(failure(outcome(modern(), reply).await), UpstreamError::Timeout(_)));
    }
    let Ok(Answer::Events(mut events)) = outcome(modern(), Reply::open_events("")).await else { panic!() };
    assert!(matches!(events.next().await, Err(UpstreamError::Timeout(_))));
}

#[actix_rt::test]
async fn a_lost_connection_is_unknown_for_a_call_and_repeated_once_for_a_list() {
    let lost = failure(outcome(modern(), Reply::raw("", Then::Close)).await);
    assert!(matches!(lost, UpstreamError::OutcomeUnknown(_)), "{lost}");
    let count = std::sync::atomic::AtomicUsize::new(0);
    let fake = Fake::start(move |request| match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        0 => Reply::raw("", Then::Close),
        _ => Reply::result(request, "{}"),
    })
    .await;
    let body = Bytes::from_static(br#"{"jsonrpc":"2.0","id":"a1","method":"tools/list"}"#);
    let list = Outgoing { body: &body, method: "tools/list", name: None, extra: &[] };
    json(endpoint(&fake, &modern()).send(list, Patience::within(SOON)).await).await;
    assert_eq!(fake.requests().len(), 2);
}

#[actix_rt::test]
async fn a_body_cut_short_is_a_cut() {
    for reply in [
        Reply::raw("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{", Then::Close),
        Reply::raw(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{",
            Then::Close,
        ),
    ] {
        let failed = failure(outcome(modern(), reply).await);
        assert!(matches!(failed, UpstreamError::Cut), "{failed}");
    }
}

#[actix_rt::test]
async fn nothing_listening_is_unavailable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = Url::parse(&format!("http://{free}/mcp")).unwrap();
    let endpoint = Rc::new(Endpoint::new(&client(), &url, Stage::Discover, &[]).unwrap());
    let failed = failure(call(&endpoint, &[]).await);
    assert!(matches!(&failed, UpstreamError::Unavailable(reason) if reason.contains("refused")), "{failed}");
}

#[actix_rt::test]
async fn a_forbidden_address_says_which_line_allows_it() {
    let strict = std::sync::Arc::new(crate::upstream::NetworkPolicy::new(false, Vec::new()));
    let client = HttpClient::new(strict, &small_config());
    let fake = Fake::start(|request| Reply::result(request, "{}")).await;
    let endpoint = Rc::new(Endpoint::new(&client, &fake.url, Stage::Discover, &[]).unwrap());
    let UpstreamError::Refused(refusal) = failure(call(&endpoint, &[]).await) else { panic!() };
    assert!(refusal.remedy.unwrap().contains("allow_networks = [\"127.0.0.1/32\"]"));
    assert!(fake.requests().is_empty());
}

#[actix_rt::test]
async fn events_arrive_in_order_and_the_connection_is_used_again() {
    let stream = "event: message\ndata: {\"a\":1}\n\n: comment\n\ndata: {\"b\":2}\n\n";
    let fake = Fake::start(move |_| Reply::events(stream)).await;
    let endpoint = endpoint(&fake, &modern());
    for _ in 0..3 {
        let Ok(Answer::Events(mut events)) = call(&endpoint, &[]).await else { panic!() };
        assert_eq!(&events.next().await.unwrap().unwrap().data[..], b"{\"a\":1}");
        assert_eq!(&events.next().await.unwrap().unwrap().data[..], b"{\"b\":2}");
    }
    assert_eq!(fake.connections(), 1);
}

#[actix_rt::test]
async fn a_legacy_stream_closed_early_on_purpose_is_resumed_after_its_last_event() {
    let fake = Fake::start(|request| match request.method.as_str() {
        "POST" => Reply::events("id: e1\nretry: 10\ndata:\n\n"),
        _ if request.header("last-event-id") == Some("e1") => Reply::events("id: e2\nretry: 10\ndata:\n\n"),
        _ => Reply::events("id: e3\ndata: {\"done\":true}\n\n"),
    })
    .await;
    let Ok(Answer::Events(mut events)) = call(&endpoint(&fake, &legacy(Some("s"))), &[]).await else { panic!() };
    assert_eq!(&events.next().await.unwrap().unwrap().data[..], b"{\"done\":true}");
    let asked: Vec<_> = fake.requests().iter().map(|r| r.header("last-event-id").map(str::to_owned)).collect();
    assert_eq!(asked, [None, Some("e1".into()), Some("e2".into())]);
    assert_eq!(fake.requests()[1].header("mcp-session-id"), Some("s"));
}

#[actix_rt::test]
async fn a_stream_without_event_ids_that_ends_is_at_its_end() {
    let fake = Fake::start(|_| Reply::events("data: {}\n\n")).await;
    let Ok(Answer::Events(mut events)) = call(&endpoint(&fake, &legacy(None)), &[]).await else { panic!() };
    assert!(events.next().await.unwrap().is_some());
    assert!(events.next().await.unwrap().is_none());
    let cut = Fake::start(|_| {
        Reply::raw(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n5\r\ndata:",
            Then::Close,
        )
    })
    .await;
    let Ok(Answer::Events(mut events)) = call(&endpoint(&cut, &legacy(None)), &[]).await else { panic!() };
    assert!(matches!(events.next().await, Err(UpstreamError::Cut)));
}

#[actix_rt::test]
async fn a_dropped_answer_closes_the_connection() {
    let fake = Fake::start(|_| Reply::open_events("data: {\"method\":\"notifications/progress\"}\n\n")).await;
    let Ok(Answer::Events(mut events)) = call(&endpoint(&fake, &modern()), &[]).await else { panic!() };
    events.next().await.unwrap();
    drop(events);
    tokio::time::timeout(Duration::from_secs(2), fake.until_closed(1)).await.unwrap();
}

#[actix_rt::test]
async fn a_connection_that_its_server_closed_meanwhile_is_replaced_without_a_word() {
    let fake = Fake::start(|request| Reply { then: Then::Close, ..Reply::result(request, "{}") }).await;
    let other = Fake::start(|request| Reply::result(request, "{}")).await;
    let endpoint = endpoint(&fake, &modern());
    for round in 1..=5 {
        json(call(&endpoint, &[]).await).await;
        fake.until_closed(round).await;
        // Whatever is waited for now, this thread hears of the end as well.
        call(&self::endpoint(&other, &modern()), &[]).await.unwrap();
    }
    assert_eq!(fake.connections(), 5);
}

#[actix_rt::test]
async fn a_large_request_arrives_whole_and_an_interim_answer_is_not_the_answer() {
    let fake = Fake::start(|request| {
        let told = format!(r#"{{"jsonrpc":"2.0","id":"a1","result":{{"bytes":{}}}}}"#, request.body.len());
        let reply = Reply::json(200, &told);
        let interim = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".to_vec();
        Reply { bytes: [interim, reply.bytes].concat(), then: Then::Keep, more: None }
    })
    .await;
    let endpoint = endpoint(&fake, &modern());
    for size in [10, 16 * 1024, 16 * 1024 + 1, 3_000_000] {
        let body = Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":"a1","method":"x","p":"{}"}}"#, "y".repeat(size)));
        let message = Outgoing { body: &body, method: "x", name: None, extra: &[] };
        let answer = json(endpoint.send(message, Patience::within(SOON)).await).await;
        assert!(answer.contains(&format!(":{}}}", body.len())), "{answer}");
    }
    assert_eq!(fake.connections(), 1);
}
