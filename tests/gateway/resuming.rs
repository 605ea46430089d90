//! Streams that a client of 2025-11-25 comes back to: there, leaving is not cancelling, and the answer waits.

use std::sync::{Mutex, mpsc};

use serde_json::json;

use crate::support::{Place, Request, Upstream, place, servers};

/// Streams a notification, waits until it is let go, and answers.
fn toy() -> (Place, Upstream, mpsc::Sender<()>) {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let upstream = servers::modern(&["work"], move |seen, conn| {
        conn.begin_events();
        let token = seen.json()["params"]["_meta"]["progressToken"].clone();
        let progress = |step: i64| {
            json!({ "jsonrpc": "2.0", "method": "notifications/progress",
                "params": { "progressToken": token, "progress": step } })
        };
        conn.event(progress(1));
        held.lock().unwrap().recv().unwrap();
        conn.event(progress(2));
        conn.event(json!({ "jsonrpc": "2.0", "id": seen.id(), "result": { "content": [] } }));
        conn.end_events();
        conn.note("answered");
    });
    (place(&[("toy", &upstream)]), upstream, release)
}

fn call(session: &crate::support::Session) -> Request {
    let params = json!({ "name": "toy__work", "arguments": {}, "_meta": { "progressToken": 1 } });
    session.asking(&json!(4), "tools/call", params)
}

#[test]
fn a_client_that_left_comes_back_for_the_rest_of_its_stream() {
    let (place, upstream, release) = toy();
    let session = place.editor.initialize("2025-11-25");
    let mut events = call(&session).open(place.gateway.address).events();
    let first = events.next().unwrap();
    assert!(events.raw.starts_with("id: ") && events.raw.contains("\nretry: "), "primed: {}", events.raw);
    let seen = first.id.unwrap();
    events.leave();
    release.send(()).unwrap();
    upstream.until_noted("answered", crate::support::wait::DEADLINE);
    let back = session.get().header("last-event-id", &seen).open(place.gateway.address);
    let mut back = back.events();
    assert_eq!(back.message()["params"]["progress"], 2);
    assert_eq!(back.answer_to(&json!(4))["result"], json!({ "content": [] }));
    assert!(back.next().is_none(), "the stream ends with the answer");
    // As often as it likes, from wherever it was.
    let again = session.get().header("last-event-id", &seen).open(place.gateway.address).events().until_end().0;
    assert_eq!(again.len(), 2);
}

#[test]
fn nobody_else_can_take_up_a_stream() {
    let (place, _, release) = toy();
    let session = place.editor.initialize("2025-11-25");
    let mut events = call(&session).open(place.gateway.address).events();
    let seen = events.next().unwrap().id.unwrap();
    release.send(()).unwrap();
    events.until_end();
    let other = place.editor.initialize("2025-11-25");
    let mut stream = other.get().header("last-event-id", &seen).open(place.gateway.address).events();
    // It gets a stream of its own, with nothing of that one on it.
    assert!(stream.is_silent_for(std::time::Duration::from_millis(200)));
}

#[test]
fn older_revisions_and_2026_07_28_get_streams_without_ids() {
    let (place, _, release) = toy();
    for _ in 0..2 {
        release.send(()).unwrap();
    }
    let session = place.editor.initialize("2025-06-18");
    let params = json!({ "name": "toy__work", "arguments": {}, "_meta": { "progressToken": 1 } });
    for request in [call(&session), place.editor.modern(&json!(4), "tools/call", params)] {
        let (events, _) = request.open(place.gateway.address).events().until_end();
        assert_eq!(events.len(), 3);
        assert!(events.iter().all(|event| event.id.is_none()));
    }
}
