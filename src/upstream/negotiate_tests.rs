use super::*;
use crate::upstream::fake::{Fake, Reply, Request, SOON, open_policy, small_config};

const DISCOVERED: &str = r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{"listChanged":true}},
    "instructions":"hi","ttlMs":1,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s","version":"1"}}}"#;
const INITIALIZED: &str =
    r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"old","version":"2"}}"#;

fn session(request: &Request, result: &str) -> Reply {
    let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, request.id());
    Reply::new(200, "content-type: application/json\r\nMcp-Session-Id: sess-1\r\n", &body)
}

/// A legacy server that gives `to_discover` to the probe.
fn legacy(to_discover: impl Fn(&Request) -> Reply) -> impl Fn(&Request) -> Reply {
    move |request| match request.rpc().as_str() {
        "server/discover" => to_discover(request),
        "initialize" => session(request, INITIALIZED),
        _ => Reply::empty(202),
    }
}

async fn approach(fake: &Fake, choice: ProtocolChoice, remembered: Option<Era>) -> Result<Negotiated, UpstreamError> {
    let client = HttpClient::new(open_policy(), &small_config());
    let patience = Patience::within(SOON);
    connect(&Approach {
        client: &client,
        url: &fake.url,
        injected: &[],
        choice,
        capabilities: "{}",
        remembered,
        patience,
    })
    .await
}

async fn auto(fake: &Fake) -> Result<Negotiated, UpstreamError> {
    approach(fake, ProtocolChoice::Auto, None).await
}

#[actix_rt::test]
async fn a_modern_server_needs_one_request() {
    let fake = Fake::start(|request| Reply::result(request, DISCOVERED)).await;
    let found = auto(&fake).await.unwrap().connected;
    assert!(found.wire.is_modern() && found.declares("tools/listChanged") && !found.declares("prompts"));
    assert_eq!(found.name_and_version(), (Some("s".into()), Some("1".into())));
    assert_eq!(found.instructions.as_deref(), Some("hi"));
    assert_eq!(fake.methods(), ["server/discover"]);
    let sent: serde_json::Value = serde_json::from_str(&fake.requests()[0].body).unwrap();
    assert_eq!(sent["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    assert_eq!(sent["params"]["_meta"]["io.modelcontextprotocol/clientInfo"]["name"], "aerostack");
    assert_eq!(sent["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"], serde_json::json!({}));
}

#[actix_rt::test]
async fn a_legacy_server_is_recognised_however_it_refuses_the_probe() {
    let refusals: [fn(&Request) -> Reply; 8] = [
        |request| Reply::error(200, request, -32601),
        |request| Reply::error(200, request, -32000),
        |request| Reply::error(400, request, -32022),
        |_| {
            Reply::json(
                400,
                r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Mcp-Session-Id header is required"}}"#,
            )
        },
        |_| Reply::empty(400),
        |_| Reply::empty(404),
        |_| Reply::empty(202),
        |request| Reply::result(request, r#"{"supportedVersions":["2025-06-18"],"capabilities":{}}"#),
    ];
    for refusal in refusals {
        let fake = Fake::start(legacy(refusal)).await;
        let found = auto(&fake).await.unwrap().connected;
        assert_eq!(found.wire, Wire::Streamable { revision: Revision::V20250618, session: Some("sess-1".into()) });
        assert_eq!(fake.methods(), ["server/discover", "initialize", "notifications/initialized"]);
        let requests = fake.requests();
        assert_eq!(requests[1].header("mcp-protocol-version"), None);
        assert_eq!(requests[2].header("mcp-session-id"), Some("sess-1"));
        assert_eq!(requests[2].header("mcp-protocol-version"), Some("2025-06-18"));
    }
}

#[actix_rt::test]
async fn a_handshake_answered_by_events_is_understood() {
    let fake = Fake::start(|request| match request.rpc().as_str() {
        "initialize" => {
            let id = request.id();
            Reply::events(&format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{INITIALIZED}}}\n\n"))
        }
        "server/discover" => Reply::empty(405),
        _ => Reply::empty(202),
    })
    .await;
    let found = auto(&fake).await.unwrap().connected;
    assert_eq!(found.wire, Wire::Streamable { revision: Revision::V20250618, session: None });
}

#[actix_rt::test]
async fn refused_credentials_outages_and_silence_are_no_evidence_of_an_era() {
    type Case = (fn(&Request) -> Reply, fn(&UpstreamError) -> bool);
    let cases: [Case; 6] = [
        (|_| Reply::empty(401), |f| matches!(f, UpstreamError::Unauthorized(401))),
        (|_| Reply::empty(403), |f| matches!(f, UpstreamError::Unauthorized(403))),
        (|_| Reply::empty(503), |f| matches!(f, UpstreamError::Status(503, _))),
        (|_| Reply::empty(429), |f| matches!(f, UpstreamError::Status(429, _))),
        (|_| Reply::silence(), |f| matches!(f, UpstreamError::Timeout(_))),
        (|_| Reply::new(307, "location: /x\r\n", ""), |f| matches!(f, UpstreamError::Redirect(307))),
    ];
    for (reply, expected) in cases {
        let fake = Fake::start(legacy(reply)).await;
        let failure = auto(&fake).await.err().unwrap();
        assert!(expected(&failure), "{failure}");
        assert_eq!(fake.methods(), ["server/discover"]);
    }
}

#[actix_rt::test]
async fn an_era_that_was_chosen_is_the_only_one_tried() {
    let fake = Fake::start(legacy(|request| Reply::error(200, request, -32601))).await;
    assert!(approach(&fake, ProtocolChoice::Modern, None).await.is_err());
    assert_eq!(fake.methods(), ["server/discover"]);
    let fake = Fake::start(legacy(|request| Reply::result(request, DISCOVERED))).await;
    assert!(approach(&fake, ProtocolChoice::Legacy, None).await.is_ok());
    assert_eq!(fake.methods(), ["initialize", "notifications/initialized"]);
}

#[actix_rt::test]
async fn a_remembered_verdict_saves_the_probe_and_a_wrong_one_is_found_out() {
    let fake = Fake::start(legacy(|request| Reply::error(200, request, -32601))).await;
    approach(&fake, ProtocolChoice::Auto, Some(Era::Legacy)).await.unwrap();
    assert_eq!(fake.methods(), ["initialize", "notifications/initialized"]);
    let upgraded = Fake::start(|request| match request.rpc().as_str() {
        "server/discover" => Reply::result(request, DISCOVERED),
        _ => Reply::error(404, request, -32601),
    })
    .await;
    let found = approach(&upgraded, ProtocolChoice::Auto, Some(Era::Legacy)).await.unwrap();
    assert!(found.connected.wire.is_modern());
}

#[actix_rt::test]
async fn http_with_sse_is_the_last_resort_and_talks_on_its_stream() {
    let fake = crate::upstream::fake::sse_server(INITIALIZED).await;
    let found = auto(&fake).await.unwrap();
    assert!(matches!(&found.connected.wire, Wire::Sse { post, .. } if post.path() == "/messages"));
    assert!(found.stream.is_some());
    assert_eq!(fake.methods(), ["server/discover", "initialize", "GET", "initialize", "notifications/initialized"]);
}

#[actix_rt::test]
async fn a_url_that_is_simply_wrong_says_404() {
    let fake = Fake::start(|_| Reply::empty(404)).await;
    assert!(matches!(auto(&fake).await.err().unwrap(), UpstreamError::Status(404, None)));
}

#[actix_rt::test]
async fn answers_that_make_no_sense_are_refused() {
    let nonsense = [
        "{}}",
        "[]",
        "\u{feff}{}",
        r#"{"jsonrpc":"2.0","id":"other","result":{}}"#,
        r#"{"id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":1,"result":{}}"#,
    ];
    for body in nonsense {
        let fake = Fake::start(move |_| Reply::json(200, body)).await;
        let failure = approach(&fake, ProtocolChoice::Modern, None).await.err().unwrap();
        assert!(matches!(failure, UpstreamError::Protocol(_)), "{failure} for {body}");
    }
}
