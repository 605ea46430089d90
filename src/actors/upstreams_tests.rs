use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use awc::http::header::{HeaderName, HeaderValue};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::*;
use crate::{
    actors::{client::Questions, client_session::ClientSessions, secret_vault::InjectedHeaders, upstream_link::News},
    config::{ActorsConfig, LimitsConfig},
    domain::{
        ids::{AccountId, ServerId},
        server::ServerSpec,
    },
    error::ErrorCode,
    protocol::scrub::Scrubber,
    upstream::{
        Answer, Wire,
        fake::{Fake, Reply, Request, open_policy, sse_server},
        lists::Offer,
        stdio::Host,
    },
};

const DISCOVERED: &str = r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},
    "_meta":{"io.modelcontextprotocol/serverInfo":{"name":"fixture","version":"1"}}}"#;
const TOOLS: &str = r#"{"tools":[{"name":"echo","inputSchema":{"type":"object"}}]}"#;
const INITIALIZED: &str =
    r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"old","version":"2"}}"#;
const LISTENING: &str = r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"old","version":"2"}}"#;

/// A gateway's upstream half over one scripted server.
struct Rig {
    upstreams: Upstreams,
    def: Arc<ServerDef>,
    discovered: mpsc::UnboundedReceiver<Offer>,
    runtime: Runtime,
}

fn soon() -> Instant {
    clock::instant() + Duration::from_secs(5)
}

fn server(url: &str, config: &UpstreamConfig) -> Arc<ServerDef> {
    let names = (ServerId::generate(), "fixture".into(), AccountId::generate());
    Arc::new(ServerDef::new(names, (RevisionId::generate(), ServerSpec::for_url(url).unwrap()), config))
}

fn rig(url: &str, config: UpstreamConfig, credentials: Credentials) -> Rig {
    let (tell, discovered) = mpsc::unbounded_channel();
    let told: Arc<Discovered> = Arc::new(move |_, _, news| {
        if let News::Offer(offer) = news {
            let _gone = tell.send(offer);
        }
    });
    let runtime = Runtime::start(ActorsConfig::default());
    let def = server(url, &config);
    let reach = Reach {
        streams: ClientSessions::new(runtime.clone(), &LimitsConfig::default()),
        questions: Questions::default(),
        patience: Duration::from_secs(1),
    };
    let host = Host::default();
    let upstreams = Upstreams::new(runtime.clone(), config, open_policy(), credentials, told, reach, host);
    Rig { upstreams, def, discovered, runtime }
}

fn plain(fake: &Fake) -> Rig {
    rig(fake.url.as_str(), UpstreamConfig::default(), Credentials::none())
}

fn modern(request: &Request) -> Reply {
    match request.rpc().as_str() {
        "server/discover" => Reply::result(request, DISCOVERED),
        "tools/list" => Reply::result(request, TOOLS),
        _ => Reply::result(request, "{}"),
    }
}

/// A legacy server; `other` answers what is neither handshake nor list.
fn legacy(initialized: &'static str, other: impl Fn(&Request) -> Reply) -> impl Fn(&Request) -> Reply {
    let sessions = AtomicUsize::new(0);
    move |request| match (request.method.as_str(), request.rpc().as_str()) {
        ("POST", "server/discover") => Reply::empty(404),
        ("POST", "initialize") => {
            let headers =
                format!("content-type: application/json\r\nmcp-session-id: s{}\r\n", sessions.fetch_add(1, SeqCst));
            Reply::new(200, &headers, &format!(r#"{{"jsonrpc":"2.0","id":{},"result":{initialized}}}"#, request.id()))
        }
        ("POST", "notifications/initialized") => Reply::empty(202),
        ("POST", "tools/list") => Reply::result(request, TOOLS),
        ("DELETE", _) => Reply::empty(204),
        _ => other(request),
    }
}

fn message(id: &str) -> Bytes {
    format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"tools/call","params":{{"name":"echo"}}}}"#).into()
}

async fn send(lease: &Lease) -> Result<Answer, UpstreamError> {
    lease.send(message(&lease.mint_id()), "tools/call", Some("echo"), &[], soon()).await
}

async fn call(rig: &Rig) -> Result<Answer, UpstreamError> {
    send(&rig.upstreams.lease(&rig.def, None, soon()).await.map_err(UpstreamError::NotUsable)?).await
}

fn count(fake: &Fake, method: &str) -> usize {
    fake.methods().iter().filter(|found| *found == method).count()
}

/// Waits until the server has seen `method` that often.
async fn until_seen(fake: &Fake, method: &str, times: usize) {
    let waited = tokio::time::timeout(Duration::from_secs(5), fake.until(|| count(fake, method) >= times)).await;
    waited.unwrap_or_else(|_| panic!("{method} was seen {} times: {:?}", count(fake, method), fake.methods()));
}

#[actix_rt::test]
async fn calls_share_one_connection_and_negotiate_once() {
    let fake = Fake::start(modern).await;
    let mut rig = plain(&fake);
    let calls = (0..20).map(|_| call(&rig));
    for outcome in futures_util::future::join_all(calls).await {
        assert!(matches!(outcome, Ok(Answer::Json(_))), "{outcome:?}");
    }
    let offer = rig.discovered.recv().await.unwrap();
    assert_eq!(&*offer.tools()[0].name, "echo");
    assert_eq!(count(&fake, "server/discover"), 1);
    assert_eq!(count(&fake, "tools/list"), 1);
    assert_eq!(rig.def.in_flight.load(SeqCst), 0);
}

#[actix_rt::test]
async fn an_expired_session_is_renewed_once_for_all_who_need_it() {
    let fake = Fake::start(legacy(INITIALIZED, |request| match request.header("mcp-session-id") {
        Some("s0") => Reply::empty(404),
        _ => Reply::result(request, "{}"),
    }))
    .await;
    let rig = plain(&fake);
    let calls = (0..10).map(|_| async {
        let mut lease = rig.upstreams.lease(&rig.def, None, soon()).await.unwrap();
        let outcome = send(&lease).await;
        if matches!(outcome, Err(UpstreamError::SessionExpired)) {
            lease.renew(soon()).await.unwrap();
            return send(&lease).await;
        }
        outcome
    });
    for outcome in futures_util::future::join_all(calls).await {
        assert!(matches!(outcome, Ok(Answer::Json(_))), "{outcome:?}");
    }
    assert_eq!(count(&fake, "initialize"), 2);
}

/// Credentials whose value is their version.
fn versioned(version: &Arc<AtomicU64>) -> Credentials {
    let (now, then) = (version.clone(), version.clone());
    Credentials {
        version: Arc::new(move |_| now.load(SeqCst)),
        load: Arc::new(move |_, _, _| {
            let version = then.load(SeqCst);
            let value = HeaderValue::from_str(&format!("value-{version}")).unwrap();
            let headers = vec![(HeaderName::from_static("x-api-key"), value)];
            let loaded_ns = clock::monotonic_ns();
            Box::pin(async move {
                Ok(Arc::new(InjectedHeaders {
                    headers,
                    variables: Vec::new(),
                    scrubber: Scrubber::default(),
                    version,
                    loaded_ns,
                }))
            })
        }),
    }
}

#[actix_rt::test]
async fn a_changed_secret_is_used_by_the_very_next_call_with_a_new_session() {
    let fake = Fake::start(legacy(INITIALIZED, |request| Reply::result(request, "{}"))).await;
    let version = Arc::new(AtomicU64::new(1));
    let rig = rig(fake.url.as_str(), UpstreamConfig::default(), versioned(&version));
    call(&rig).await.unwrap();
    version.store(2, SeqCst);
    call(&rig).await.unwrap();
    let calls: Vec<Request> = fake.requests().into_iter().filter(|request| request.rpc() == "tools/call").collect();
    assert_eq!(calls[0].header("x-api-key"), Some("value-1"));
    assert_eq!(calls[1].header("x-api-key"), Some("value-2"));
    assert_ne!(calls[0].header("mcp-session-id"), calls[1].header("mcp-session-id"));
    until_seen(&fake, "DELETE", 1).await;
}

#[actix_rt::test]
async fn secrets_do_not_travel_in_clear() {
    let version = Arc::new(AtomicU64::new(1));
    let rig = rig("http://mcp.example.invalid/mcp", UpstreamConfig::default(), versioned(&version));
    let error = rig.upstreams.lease(&rig.def, None, soon()).await.err().unwrap();
    assert!(error.message().contains("unencrypted"), "{error:?}");
}

#[actix_rt::test]
async fn a_changed_tool_list_is_fetched_when_a_legacy_server_says_so() {
    let changed = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n";
    let ping = "data: {\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}\n\n";
    let both = format!("{changed}{changed}{ping}");
    let fake = Fake::start(legacy(LISTENING, move |request| match request.method.as_str() {
        "GET" => Reply::open_events(&both),
        _ => Reply::empty(202),
    }))
    .await;
    let mut rig = plain(&fake);
    rig.upstreams.ensure(&rig.def, None);
    rig.discovered.recv().await.unwrap();
    rig.discovered.recv().await.unwrap();
    until_seen(&fake, "POST", 1).await;
    let pong = fake.requests().into_iter().find(|request| request.body.contains("\"result\":{}")).unwrap();
    assert_eq!(pong.id(), "7");
    assert_eq!(count(&fake, "tools/list"), 2);
}

#[actix_rt::test]
async fn a_changed_tool_list_is_fetched_when_a_modern_server_says_so() {
    let discovered = DISCOVERED.replace(r#""tools":{}"#, r#""tools":{"listChanged":true}"#);
    let fake = Fake::start(move |request| match request.rpc().as_str() {
        "server/discover" => Reply::result(request, &discovered),
        "subscriptions/listen" => Reply::open_events(
            "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":{}}\n\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\",\"params\":{}}\n\n",
        ),
        _ => modern(request),
    })
    .await;
    let mut rig = plain(&fake);
    rig.upstreams.ensure(&rig.def, None);
    rig.discovered.recv().await.unwrap();
    rig.discovered.recv().await.unwrap();
    let listen = fake.requests().into_iter().find(|request| request.rpc() == "subscriptions/listen").unwrap();
    assert!(listen.body.contains("\"toolsListChanged\":true") && listen.header("mcp-method").is_some());
}

#[actix_rt::test]
async fn a_server_without_a_get_stream_is_used_all_the_same() {
    let fake = Fake::start(legacy(LISTENING, |request| match request.method.as_str() {
        "GET" => Reply::empty(405),
        _ => Reply::result(request, "{}"),
    }))
    .await;
    let rig = plain(&fake);
    assert!(call(&rig).await.is_ok());
    until_seen(&fake, "GET", 1).await;
    assert!(call(&rig).await.is_ok());
}

#[actix_rt::test]
async fn an_http_sse_server_answers_each_call_on_its_own_channel() {
    let fake = sse_server(INITIALIZED).await;
    let rig = plain(&fake);
    let calls = (0..5).map(|_| async {
        let lease = rig.upstreams.lease(&rig.def, None, soon()).await.unwrap();
        assert!(matches!(lease.wire(), Wire::Sse { .. }));
        let id = lease.mint_id();
        let Ok(Answer::Events(mut events)) = lease.send(message(&id), "tools/call", None, &[], soon()).await else {
            panic!("no events")
        };
        let progress = events.next().await.unwrap().unwrap();
        let answer = events.next().await.unwrap().unwrap();
        for event in [&progress, &answer] {
            let text = String::from_utf8_lossy(&event.data);
            assert!(text.contains(&id), "{id}: {text}");
        }
        events.finish();
    });
    futures_util::future::join_all(calls).await;
    assert_eq!(count(&fake, "GET"), 1);
}

#[actix_rt::test]
async fn a_lost_http_sse_session_is_noticed_by_the_call_and_renewed() {
    let first = sse_server(INITIALIZED).await;
    let mut rig = plain(&first);
    let mut lease = rig.upstreams.lease(&rig.def, None, soon()).await.unwrap();
    let another = rig.upstreams.lease(&rig.def, None, soon()).await.unwrap();
    // Until it has its list, the session itself is about to find out, and may be renewed before the call comes.
    rig.discovered.recv().await.unwrap();
    first.forget_streams();
    let lost = send(&lease).await;
    assert!(matches!(lost, Err(UpstreamError::SessionExpired | UpstreamError::Cut)), "{lost:?}");
    lease.renew(soon()).await.unwrap();
    assert!(matches!(send(&lease).await, Ok(Answer::Events(_))));
    assert!(matches!(send(&another).await, Ok(Answer::Events(_))), "a call that comes after the renewal needs none");
}

#[actix_rt::test]
async fn an_idle_lane_lets_go_of_its_connections() {
    let fake = Fake::start(modern).await;
    let config = UpstreamConfig { lane_idle_seconds: 1, ..UpstreamConfig::default() };
    let rig = rig(fake.url.as_str(), config, Credentials::none());
    call(&rig).await.unwrap();
    assert_eq!(fake.connections(), 2, "one of the session, one of the lane");
    tokio::time::timeout(Duration::from_secs(5), fake.until_closed(1)).await.unwrap();
    assert!(call(&rig).await.is_ok());
}

#[actix_rt::test]
async fn a_dead_server_is_left_alone_after_five_failures_and_says_so_at_once() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rig = rig(&format!("http://{free}/mcp"), UpstreamConfig::default(), Credentials::none());
    let mut last = None;
    for _ in 0..10 {
        last = rig.upstreams.lease(&rig.def, None, soon()).await.err();
    }
    let error = last.unwrap();
    assert_eq!(error.code(), ErrorCode::UpstreamUnavailable);
    assert!(error.message().contains("in a row") && error.retry_after().is_some(), "{error:?}");
    assert_eq!(rig.def.in_flight.load(SeqCst), 0);
    let status = rig.upstreams.status(&rig.def, None).unwrap();
    assert!(status.failure.as_ref().unwrap().contains("refused"), "{status:?}");
}

#[actix_rt::test]
async fn a_full_server_refuses_the_next_call_and_a_stream_counts_until_it_is_dropped() {
    let fake = Fake::start(|request| match request.rpc().as_str() {
        "tools/call" => Reply::open_events("data: {}\n\n"),
        _ => modern(request),
    })
    .await;
    let config = UpstreamConfig { calls_per_server: 1, ..UpstreamConfig::default() };
    let rig = rig(fake.url.as_str(), config, Credentials::none());
    let lease = rig.upstreams.lease(&rig.def, None, soon()).await.unwrap();
    let Ok(Answer::Events(events)) = send(&lease).await else { panic!() };
    drop(lease);
    let error = rig.upstreams.lease(&rig.def, None, soon()).await.err().unwrap();
    assert_eq!(error.code(), ErrorCode::Overloaded);
    drop(events);
    assert!(rig.upstreams.lease(&rig.def, None, soon()).await.is_ok());
}

#[actix_rt::test]
async fn a_retired_definition_takes_its_actors_with_it_and_ends_its_session() {
    let fake = Fake::start(legacy(INITIALIZED, |request| Reply::result(request, "{}"))).await;
    let rig = plain(&fake);
    call(&rig).await.unwrap();
    assert_eq!(rig.runtime.board().reports().len(), 2);
    rig.def.retired.cancel();
    until_seen(&fake, "DELETE", 1).await;
    let gone = tokio::time::timeout(Duration::from_secs(5), async {
        while !rig.runtime.board().reports().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(gone.await.is_ok());
}

#[actix_rt::test]
async fn a_legacy_server_is_told_of_a_cancelled_call() {
    let fake = Fake::start(legacy(INITIALIZED, |_| Reply::empty(202))).await;
    let rig = plain(&fake);
    let lease = rig.upstreams.lease(&rig.def, None, soon()).await.unwrap();
    lease.cancel("a\"1");
    until_seen(&fake, "notifications/cancelled", 1).await;
    let cancelled = fake.requests().into_iter().find(|request| request.rpc() == "notifications/cancelled").unwrap();
    assert!(cancelled.body.contains(r#""requestId":"a\"1""#));
}

#[actix_rt::test]
async fn a_probe_reports_what_it_found() {
    let fake = Fake::start(modern).await;
    let rig = plain(&fake);
    let report = rig.upstreams.probe(&rig.def, None).await.unwrap();
    assert_eq!(
        (report.tools, report.revision.as_str(), report.server_name.as_deref()),
        (1, "2026-07-28", Some("fixture"))
    );
    let broken = Fake::start(|_| Reply::empty(401)).await;
    let error = plain(&broken).upstreams.probe(&plain(&broken).def, None).await.err().unwrap();
    assert_eq!(error.code(), ErrorCode::UpstreamUnauthorized);
}

#[actix_rt::test]
async fn a_lane_forgets_decrypted_headers_in_time() {
    let fake = Fake::start(modern).await;
    let version = Arc::new(AtomicU64::new(1));
    let loads = Arc::new(Mutex::new(0));
    let counted = versioned(&version);
    let (load, count) = (counted.load.clone(), loads.clone());
    let credentials = Credentials {
        version: counted.version.clone(),
        load: Arc::new(move |server, scope, origin| {
            *count.lock().unwrap() += 1;
            load(server, scope, origin)
        }),
    };
    let config = UpstreamConfig { header_cache_seconds: 1, ..UpstreamConfig::default() };
    let rig = rig(fake.url.as_str(), config, credentials);
    call(&rig).await.unwrap();
    call(&rig).await.unwrap();
    let lane = rig.upstreams.lane(&rig.def, None, None);
    assert!(lane.hand.ready().is_some());
    let before = *loads.lock().unwrap();
    let forgotten = tokio::time::timeout(Duration::from_secs(5), async {
        while lane.hand.holds_headers() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(forgotten.await.is_ok());
    call(&rig).await.unwrap();
    assert_eq!(*loads.lock().unwrap(), before + 1);
}
