//! What a client sees, and how soon, when an MCP server misbehaves (security reference, R-10 to R-1C). Always JSON-RPC
//! on HTTP 200, naming the server and never what it said.

use std::time::Duration;

use serde_json::json;

use crate::support::{Conn, Place, Response, Seen, TestGateway, Upstream, elapsed, place, place_with, servers};

const SECOND: Duration = Duration::from_secs(1);
/// What a server says in its failures; no client may ever see it.
const PRIVATE: &str = "stack trace of a private server";

fn failed(answer: &Response, code: i64) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.code(), code, "{}", answer.text());
    assert_eq!(answer.json()["id"], 1);
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("\"toy\""), "{message}");
    assert!(!answer.everything().contains(PRIVATE), "{}", answer.text());
}

/// A gateway with one server that answers calls by `call`, found and listed.
fn toy(
    setup: crate::support::process::Setup,
    call: impl Fn(&Seen, &mut Conn) + Send + Sync + 'static,
) -> (Place, Upstream) {
    let upstream = servers::modern(&["echo"], call);
    let place = place_with(setup.set("upstream.breaker_failures", 1000), &[("toy", &upstream)]);
    assert_eq!(place.editor.tools(), ["toy__echo"]);
    (place, upstream)
}

fn quick() -> crate::support::process::Setup {
    TestGateway::setup().set("upstream.call_timeout_seconds", 1).set("upstream.call_total_seconds", 3)
}

#[test]
fn a_server_that_cannot_be_reached_is_unavailable_at_once() {
    let place = place(&[]);
    place.admin.server("toy", &servers::nobody());
    place.admin.install("eng", "toy");
    let (answer, took) = elapsed(|| place.editor.call("toy__echo", json!({})));
    failed(&answer, -32010);
    assert!(took < SECOND * 3, "{took:?}");
    assert!(answer.text().contains("aerostack mcp test toy"), "{}", answer.text());
}

#[test]
fn a_name_that_does_not_resolve_is_unavailable() {
    let place = place(&[]);
    place.admin.server("toy", "https://no-such-host.invalid/mcp");
    place.admin.install("eng", "toy");
    let (answer, took) = elapsed(|| place.editor.call("toy__echo", json!({})));
    failed(&answer, -32010);
    assert!(took < SECOND * 12, "{took:?}");
}

#[test]
fn a_server_that_accepts_and_never_answers_times_out() {
    let (place, upstream) = toy(quick(), |_, conn| {
        conn.until_gone();
        conn.note("dropped");
    });
    let (answer, took) = elapsed(|| place.editor.call("toy__echo", json!({})));
    failed(&answer, -32011);
    assert!(took >= SECOND && took < SECOND + SECOND / 2, "{took:?}");
    upstream.until_noted("dropped", SECOND);
}

#[test]
fn a_server_that_drips_for_ever_ends_with_the_total_deadline() {
    let (place, _) = toy(quick(), |_, conn| {
        conn.raw("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n");
        while conn.raw(" ") {
            std::thread::park_timeout(SECOND / 10);
        }
        conn.close();
    });
    let (answer, took) = elapsed(|| place.editor.call("toy__echo", json!({})));
    failed(&answer, -32011);
    assert!(took >= SECOND * 2 && took < SECOND * 4, "{took:?}");
}

#[test]
fn the_timeout_of_a_server_wins_over_the_setting() {
    let upstream = servers::modern(&["echo"], |_, conn| conn.until_gone());
    let place = place(&[]);
    place.admin.server_with("toy", &upstream.url(), json!({ "timeout_seconds": 1 }));
    place.admin.install("eng", "toy");
    place.editor.tools();
    let (answer, took) = elapsed(|| place.editor.call("toy__echo", json!({})));
    failed(&answer, -32011);
    assert!(took < SECOND * 2, "{took:?}");
}

/// One way of breaking the protocol, and the codes it may end with.
type Fault = (&'static str, &'static [i64], fn(&Seen, &mut Conn));

const FAULTS: &[Fault] = &[
    ("closed without a word", &[-32019, -32012, -32010], |_, conn| conn.close()),
    ("head cut off", &[-32019, -32012], |_, conn| {
        conn.raw("HTTP/1.1 200 OK\r\ncontent-ty");
        conn.close();
    }),
    ("body cut off", &[-32012], |_, conn| {
        conn.raw("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{\"jsonrpc\":");
        conn.close();
    }),
    ("chunk cut off", &[-32012], |_, conn| {
        conn.raw("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nff\r\n{");
        conn.close();
    }),
    ("stream ends without an answer", &[-32012], |_, conn| {
        conn.begin_events();
        conn.end_events();
    }),
    ("stream breaks off", &[-32012], |_, conn| {
        conn.begin_events();
        conn.event(
            json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": "info", "data": 1 } }),
        );
        conn.close();
    }),
    ("not JSON", &[-32012], |_, conn| conn.json(200, format!("oops: {PRIVATE}"))),
    ("not JSON-RPC", &[-32012], |_, conn| conn.json(200, "{\"ok\":true}")),
    ("wrong id", &[-32012], |_, conn| conn.json(200, r#"{"jsonrpc":"2.0","id":"nobody's","result":{}}"#)),
    ("no version", &[-32012], |seen, conn| conn.json(200, format!(r#"{{"id":{},"result":{{}}}}"#, seen.id()))),
    ("result and error", &[-32012], |seen, conn| {
        let error = r#"{"code":1,"message":"x"}"#;
        conn.json(200, format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}},"error":{error}}}"#, seen.id()));
    }),
    ("neither", &[-32012], |seen, conn| conn.json(200, format!(r#"{{"jsonrpc":"2.0","id":{}}}"#, seen.id()))),
    ("not UTF-8", &[-32012], |seen, conn| {
        let head = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"x":""#, seen.id());
        conn.json(200, [head.as_bytes(), b"\xff\"}}"].concat());
    }),
    ("a BOM", &[-32012], |seen, conn| {
        conn.json(200, format!("\u{feff}{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{{}}}}", seen.id()))
    }),
    ("duplicate keys", &[-32012], |seen, conn| conn.result(seen, r#"{"content":[],"content":[1]}"#)),
    ("a broken event", &[-32012], |_, conn| {
        conn.begin_events();
        conn.event("{broken");
        conn.end_events();
    }),
    ("HTML", &[-32012], |_, conn| conn.reply(200, &[("content-type", "text/html")], PRIVATE)),
    ("an empty 200", &[-32012], |_, conn| conn.reply(200, &[], "")),
    ("204", &[-32012], |_, conn| conn.reply(204, &[], "")),
    ("202 and no answer", &[-32012], |_, conn| conn.reply(202, &[], "")),
    ("compressed uninvited", &[-32012], |_, conn| {
        conn.reply(200, &[("content-type", "application/json"), ("content-encoding", "gzip")], "\x1f");
    }),
    ("bad status line", &[-32012], |_, conn| {
        conn.raw("SMTP ready\r\n\r\n");
        conn.close();
    }),
    ("401", &[-32014], |_, conn| {
        let challenge = "Bearer resource_metadata=\"http://169.254.169.254/\"";
        conn.reply(401, &[("www-authenticate", challenge)], PRIVATE);
    }),
    ("403", &[-32014], |_, conn| conn.reply(403, &[], PRIVATE)),
    ("301", &[-32012], |_, conn| conn.reply(301, &[("location", "http://169.254.169.254/")], PRIVATE)),
    ("307", &[-32012], |_, conn| conn.reply(307, &[("location", "/other")], PRIVATE)),
    ("400", &[-32010], |_, conn| conn.reply(400, &[], PRIVATE)),
    ("405", &[-32010], |_, conn| conn.reply(405, &[], PRIVATE)),
    ("409", &[-32010], |_, conn| conn.reply(409, &[], PRIVATE)),
    ("429", &[-32010], |_, conn| conn.reply(429, &[("retry-after", "7")], PRIVATE)),
    ("500", &[-32010], |_, conn| conn.reply(500, &[], PRIVATE)),
    ("502", &[-32010], |_, conn| conn.reply(502, &[("content-type", "text/html")], PRIVATE)),
    ("503", &[-32010], |_, conn| conn.reply(503, &[("retry-after", "3")], PRIVATE)),
    ("504", &[-32010], |_, conn| conn.reply(504, &[], PRIVATE)),
];

#[test]
fn whatever_a_server_answers_the_client_gets_a_clear_error_at_once() {
    let (place, upstream) = toy(TestGateway::setup(), |seen, conn| {
        let at = seen.json()["params"]["arguments"]["fault"].as_u64().unwrap();
        match FAULTS.get(usize::try_from(at).unwrap()) {
            Some((_, _, fault)) => fault(seen, conn),
            None => conn.says(seen, "well"),
        }
    });
    for (at, (what, codes, _)) in FAULTS.iter().enumerate() {
        let before = upstream.calls().len();
        let (answer, took) = elapsed(|| place.editor.call("toy__echo", json!({ "fault": at })));
        let code = answer.code();
        assert!(codes.contains(&code), "{what}: {}", answer.text());
        failed(&answer, code);
        assert!(!answer.everything().contains("169.254"), "{what}: {}", answer.everything());
        assert!(took < SECOND, "{what}: {took:?}");
        assert_eq!(upstream.calls().len(), before + 1, "{what}: asked once, never again");
        let next = place.editor.call("toy__echo", json!({ "fault": 9999 }));
        assert_eq!(next.result()["content"][0]["text"], "well", "after {what}");
    }
    let busy = FAULTS.iter().position(|(what, ..)| *what == "429").unwrap();
    let error = place.editor.call("toy__echo", json!({ "fault": busy })).json()["error"].clone();
    assert_eq!(error["data"]["status"], 429, "{error}");
}

#[test]
fn an_answer_over_the_limit_is_cut_and_the_gateway_stays_small() {
    let (place, upstream) = toy(TestGateway::setup(), |seen, conn| {
        let megabyte = "x".repeat(1024 * 1024);
        let kind = seen.json()["params"]["arguments"]["kind"].clone();
        match kind.as_str().unwrap() {
            "body" => {
                conn.raw("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 17825792\r\n\r\n\"");
                while conn.raw(&megabyte) {}
            }
            "event" => {
                conn.begin_events();
                conn.event(megabyte.repeat(5));
            }
            "endless" => {
                conn.begin_events();
                conn.raw("ffffffff\r\ndata: ");
                while conn.raw(&megabyte) {}
            }
            _ => {
                conn.raw(format!("HTTP/1.1 200 OK\r\nx-large: {megabyte}\r\n\r\n"));
            }
        }
        conn.close();
        conn.note(&kind.to_string());
    });
    for kind in ["body", "event", "endless", "head"] {
        let answer = place.editor.call("toy__echo", json!({ "kind": kind }));
        failed(&answer, -32013);
        upstream.until_noted(&format!("\"{kind}\""), SECOND * 5);
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", place.gateway.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: u64 = peak.trim().split(' ').next().unwrap().parse().unwrap();
    assert!(kilobytes < 300_000, "{kilobytes} kB");
}

#[test]
fn notifications_before_a_break_stay_delivered_and_the_error_is_the_last_event() {
    let (place, _) = toy(TestGateway::setup(), |seen, conn| {
        let token = seen.json()["params"]["_meta"]["progressToken"].clone();
        conn.begin_events();
        conn.event(json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progressToken": token, "progress": 1 } }));
        conn.close();
    });
    let params = json!({ "name": "toy__echo", "arguments": {}, "_meta": { "progressToken": 1 } });
    let mut events = place.editor.modern(&json!(1), "tools/call", params).open(place.gateway.address).events();
    assert_eq!(events.message()["params"]["progress"], 1);
    let last = events.message();
    assert_eq!((last["id"].clone(), last["error"]["code"].clone()), (json!(1), json!(-32012)), "{last}");
    assert_eq!(events.next(), None);
}

#[test]
fn one_dead_and_one_hanging_server_do_not_hide_the_others() {
    let (good, other) = (servers::plain(&["one", "two"]), servers::plain(&["three"]));
    let hanging = Upstream::start(|_, conn| conn.until_gone());
    let place = place(&[]);
    place.admin.add("eng", "good", &good);
    place.admin.server("dead", &servers::nobody());
    place.admin.install("eng", "dead");
    place.admin.add("eng", "hang", &hanging);
    place.admin.add("eng", "other", &other);
    for _ in 0..2 {
        let (tools, took) = elapsed(|| place.editor.tools());
        assert_eq!(tools, ["good__one", "good__two", "other__three"]);
        assert!(took < SECOND * 3, "{took:?}");
    }
    let (answer, took) = elapsed(|| place.editor.call("other__three", json!({})));
    answer.expect(200).result();
    assert!(took < SECOND, "{took:?}");
    let of_dead = place.editor.call("dead__x", json!({}));
    assert_eq!(of_dead.code(), -32010, "whose fault it is, not \"unknown tool\": {}", of_dead.text());
}

#[test]
fn after_five_failures_in_a_row_a_server_rests_and_is_tried_again() {
    let healthy = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let health = healthy.clone();
    let upstream = servers::modern(&["echo"], move |seen, conn| {
        if health.load(std::sync::atomic::Ordering::SeqCst) {
            conn.says(seen, "well")
        } else {
            conn.reply(500, &[], "")
        }
    });
    let setup = TestGateway::setup().set("limits.requests_per_minute", 0);
    let place = place_with(setup, &[("toy", &upstream), ("fine", &servers::plain(&["echo"]))]);
    place.editor.tools();
    for _ in 0..5 {
        failed(&place.editor.call("toy__echo", json!({})), -32010);
    }
    let asked = upstream.calls().len();
    let (answer, took) = elapsed(|| place.editor.call("toy__echo", json!({})));
    failed(&answer, -32010);
    assert!(answer.text().contains("failed 5 times in a row"), "{}", answer.text());
    assert!(took < SECOND / 5, "{took:?}");
    assert_eq!(upstream.calls().len(), asked, "it rests");
    place.editor.call("fine__echo", json!({})).expect(200).result();
    healthy.store(true, std::sync::atomic::Ordering::SeqCst);
    crate::support::until("it is tried again", || {
        place.editor.call("toy__echo", json!({})).json().get("result").is_some()
    });
    for _ in 0..3 {
        place.editor.call("toy__echo", json!({})).result();
    }
}

#[test]
fn more_calls_than_a_server_takes_are_refused_with_when_to_come_back() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let upstream = servers::modern(&["echo"], move |seen, conn| {
        let _released = held.lock().unwrap().recv();
        conn.says(seen, "done");
    });
    let place = place(&[]);
    place.admin.server_with("toy", &upstream.url(), json!({ "max_in_flight": 2 }));
    place.admin.install("eng", "toy");
    place.editor.tools();
    std::thread::scope(|scope| {
        let first: Vec<_> = (0..2).map(|_| scope.spawn(|| place.editor.call("toy__echo", json!({})))).collect();
        upstream.until_seen("two calls", |seen| seen.iter().filter(|one| one.rpc() == "tools/call").count() == 2);
        let (refused, took) = elapsed(|| place.editor.call("toy__echo", json!({})));
        assert_eq!((refused.status, refused.code()), (503, -32017), "{}", refused.text());
        assert!(refused.header("retry-after").is_some() && took < SECOND, "{took:?}");
        drop(release);
        first.into_iter().for_each(|call| drop(call.join().unwrap().expect(200)));
    });
    place.editor.call("toy__echo", json!({})).expect(200);
}
