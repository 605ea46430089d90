//! A stop loses nothing: answers under way are completed, streams say goodbye, the exit is clean.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Conn, Place, Seen, Upstream, place, servers};

const SECOND: Duration = Duration::from_secs(1);

/// Streams progress, waits for the test, then answers with a large text.
fn held() -> (Upstream, std::sync::mpsc::Sender<()>) {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let upstream = servers::modern(&["work"], move |seen: &Seen, conn: &mut Conn| {
        let token = seen.json()["params"]["_meta"]["progressToken"].clone();
        conn.begin_events();
        conn.event(json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progressToken": token, "progress": 1 } }));
        let _released = held.lock().unwrap().recv();
        conn.event(json!({ "jsonrpc": "2.0", "id": seen.id(), "result": { "content": [{ "type": "text", "text": "x".repeat(1024 * 1024) }] } }));
        conn.end_events();
    });
    (upstream, release)
}

fn working(place: &Place) -> crate::support::events::Events {
    let params = json!({ "name": "toy__work", "arguments": {}, "_meta": { "progressToken": 1 } });
    let mut events = place.editor.modern(&json!(1), "tools/call", params).open(place.gateway.address).events();
    events.message();
    events
}

#[test]
fn answers_under_way_are_completed_streams_end_cleanly_and_the_exit_is_zero() {
    let (upstream, release) = held();
    let mut place = place(&[("toy", &upstream)]);
    place.editor.tools();
    let mut calls: Vec<_> = (0..5).map(|_| working(&place)).collect();
    let (mut listening, _) = place.editor.listen(&json!("L"));
    let mut stream = place.editor.initialize("2025-11-25").stream();
    let mut old = place.editor.http_sse();

    place.gateway.signal("TERM");
    // A listen stream gets its result; the older kinds have none and simply end.
    let last = listening.answer_to(&json!("L"));
    assert_eq!(last["result"]["resultType"], "complete", "{last}");
    assert_eq!(last["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "L");
    assert_eq!(listening.next(), None);
    assert!(stream.until_end().0.is_empty());
    assert!(old.events.until_end().0.is_empty());
    drop(release);
    for call in &mut calls {
        let answer: Value = call.answer_to(&json!(1));
        assert_eq!(answer["result"]["content"][0]["text"].as_str().unwrap().len(), 1024 * 1024);
    }
    let status = place.gateway.ended(SECOND * 10);
    assert_eq!(status.code(), Some(0), "{}", place.gateway.log());
}

#[test]
fn an_idle_gateway_stops_at_once() {
    let mut place = place(&[("toy", &servers::plain(&["echo"]))]);
    place.editor.tools();
    for signal in ["TERM", "INT"] {
        place.gateway.signal(signal);
        let status = place.gateway.ended(SECOND * 5);
        assert_eq!(status.code(), Some(0), "{signal}");
        let setup = place.gateway.setup.clone();
        place.gateway = setup.start();
    }
}

#[test]
fn a_second_signal_ends_it_without_waiting() {
    let (upstream, _release) = held();
    let mut place = place(&[("toy", &upstream)]);
    place.editor.tools();
    let _call = working(&place);
    place.gateway.signal("TERM");
    crate::support::until("it is stopping", || place.gateway.log().contains("stopping"));
    place.gateway.signal("TERM");
    let status = place.gateway.ended(SECOND * 2);
    assert_ne!(status.code(), Some(0));
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let upstream = servers::plain(&["echo"]);
    let mut place = place(&[("toy", &upstream)]);
    for round in 0..5 {
        let kept = place.admin.token("eng", &format!("kept {round}"));
        let revoked = place.admin.token("eng", &format!("revoked {round}"));
        place.admin.revoke("eng", &revoked.id);
        place.admin.secret("toy", "KEY", &format!("value-of-round-{round}"));
        place.gateway.signal("KILL");
        place.gateway.ended(SECOND * 5);
        let setup = place.gateway.setup.clone();
        place.gateway = setup.start();
        place.gateway.editor("eng", &kept.raw).call("toy__echo", json!({})).expect(200).result();
        assert_eq!(upstream.last_call().header("KEY"), Some(format!("value-of-round-{round}").as_str()));
        place.gateway.editor("eng", &revoked.raw).list().expect(401);
        place.admin.address = place.gateway.address;
    }
}
