//! Who leaves and what that means: in 2026-07-28 and HTTP+SSE leaving is cancelling, in the revisions between it is not.

use std::time::Duration;

use serde_json::json;

use crate::support::{Conn, Place, Seen, Upstream, place, servers};

const SECOND: Duration = Duration::from_secs(1);

/// Says that it has begun, then nothing until the caller leaves.
fn hangs(seen: &Seen, conn: &mut Conn) {
    conn.note(&format!("{} began", seen.tool()));
    conn.until_gone();
    conn.note(&format!("{} was dropped", seen.tool()));
}

/// Streams its beginning, then nothing until the caller leaves.
fn streams(seen: &Seen, conn: &mut Conn) {
    let token = seen.json()["params"]["_meta"]["progressToken"].clone();
    conn.begin_events();
    conn.event(json!({ "jsonrpc": "2.0", "method": "notifications/progress",
        "params": { "progressToken": token, "progress": 1 } }));
    hangs(seen, conn);
}

fn tool(seen: &Seen, conn: &mut Conn) {
    if seen.tool() == "hang" { hangs(seen, conn) } else { streams(seen, conn) }
}

fn toy() -> (Place, Upstream, Upstream) {
    let modern = servers::modern(&["hang", "stream"], tool);
    let (legacy, _) = servers::legacy(&["hang", "stream"], tool);
    let place = place(&[("fresh", &modern), ("old", &legacy)]);
    place.editor.tools();
    (place, modern, legacy)
}

/// Sends without reading the answer.
fn begin(place: &Place, request: &crate::support::Request) -> std::net::TcpStream {
    use std::io::Write as _;
    let mut stream = std::net::TcpStream::connect(place.gateway.address).unwrap();
    stream.write_all(&request.bytes(place.gateway.address)).unwrap();
    stream
}

#[test]
fn a_client_of_2026_07_28_that_leaves_cancels_its_call_at_the_server() {
    let (place, modern, legacy) = toy();
    for (prefix, upstream) in [("fresh", &modern), ("old", &legacy)] {
        let client = begin(&place, &place.editor.calling(&format!("{prefix}__hang"), json!({})));
        upstream.until_noted("hang began", SECOND * 10);
        drop(client);
        upstream.until_noted("hang was dropped", SECOND);

        let params = json!({ "name": format!("{prefix}__stream"), "arguments": {}, "_meta": { "progressToken": 1 } });
        let mut events = place.editor.modern(&json!(1), "tools/call", params).open(place.gateway.address).events();
        assert_eq!(events.message()["params"]["progress"], 1);
        events.leave();
        upstream.until_noted("stream was dropped", SECOND);
    }
    // A legacy server does not take a closed connection for an answer: it is told.
    legacy.until_noted("cancelled", SECOND);
}

#[test]
fn an_http_sse_client_that_leaves_cancels_its_calls() {
    let (place, modern, _) = toy();
    let client = place.editor.http_sse();
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "fresh__hang", "arguments": {} } });
    client.post(&call).expect(202);
    modern.until_noted("hang began", SECOND * 10);
    client.events.leave();
    modern.until_noted("hang was dropped", SECOND);
}

#[test]
fn a_client_of_a_legacy_session_may_leave_without_cancelling() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let upstream = servers::modern(&["write"], move |seen, conn| {
        conn.note("began");
        held.lock().unwrap().recv().unwrap();
        conn.says(seen, "written");
        conn.note("written");
    });
    let place = place(&[("toy", &upstream)]);
    let session = place.editor.initialize("2025-11-25");
    let client =
        begin(&place, &session.asking(&json!(1), "tools/call", json!({ "name": "toy__write", "arguments": {} })));
    upstream.until_noted("began", SECOND * 10);
    drop(client);
    // Whatever the gateway does about a client that left, it has done when it has served another client after it.
    session.request("ping", json!({})).expect(200);
    assert!(!crate::support::wait::within(SECOND / 2, || upstream.notes().iter().any(|note| note.contains("dropped"))));
    release.send(()).unwrap();
    upstream.until_noted("written", SECOND);
    let counted = || place.admin.get("/workspaces/eng/analytics").expect(200).json()["data"][0]["calls"].clone();
    crate::support::until("the call is counted", || counted() == 1);
}

#[test]
fn cancelled_of_a_legacy_session_reaches_the_server() {
    let (place, modern, legacy) = toy();
    let session = place.editor.initialize("2025-11-25");
    for (prefix, upstream, id) in [("fresh", &modern, json!(41)), ("old", &legacy, json!("forty-one"))] {
        let call = session.asking(&id, "tools/call", json!({ "name": format!("{prefix}__hang"), "arguments": {} }));
        let client = begin(&place, &call);
        upstream.until_noted("hang began", SECOND * 10);
        // Not an id of a call under way: nothing happens.
        session.notify("notifications/cancelled", json!({ "requestId": 99 })).expect(202);
        session.notify("notifications/cancelled", json!({ "requestId": id, "reason": "enough" })).expect(202);
        upstream.until_noted("hang was dropped", SECOND);
        drop(client);
    }
    legacy.until_noted("cancelled", SECOND);
    let told = legacy.of("notifications/cancelled").pop().unwrap().json();
    let call = legacy.last_call().json();
    assert_eq!(told["params"]["requestId"], call["id"], "the id that the server knows");
}

#[test]
fn cancelled_on_http_sse_reaches_the_server() {
    let (place, _, legacy) = toy();
    let client = place.editor.http_sse();
    let call = json!({ "jsonrpc": "2.0", "id": "c", "method": "tools/call", "params": { "name": "old__hang", "arguments": {} } });
    client.post(&call).expect(202);
    legacy.until_noted("hang began", SECOND * 10);
    client
        .post(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": "c" } }))
        .expect(202);
    legacy.until_noted("hang was dropped", SECOND);
    legacy.until_noted("cancelled", SECOND);
}

#[test]
fn one_sessions_cancellation_does_not_touch_anothers_call_of_the_same_id() {
    let (place, modern, _) = toy();
    let (mine, theirs) = (place.editor.initialize("2025-11-25"), place.editor.initialize("2025-11-25"));
    let call = |session: &crate::support::Session| {
        begin(&place, &session.asking(&json!(1), "tools/call", json!({ "name": "fresh__hang", "arguments": {} })))
    };
    let client = call(&mine);
    modern.until_noted("hang began", SECOND * 10);
    theirs.notify("notifications/cancelled", json!({ "requestId": 1 })).expect(202);
    assert!(!crate::support::wait::within(SECOND / 5, || modern.notes().contains(&"hang was dropped".to_owned())));
    mine.notify("notifications/cancelled", json!({ "requestId": 1 })).expect(202);
    modern.until_noted("hang was dropped", SECOND);
    drop(client);
}

#[test]
fn calls_that_were_left_leave_nothing_behind() {
    let (place, modern, _) = toy();
    let clients: Vec<_> = (0..40).map(|_| begin(&place, &place.editor.calling("fresh__hang", json!({})))).collect();
    modern.until_seen("all calls", |seen| seen.iter().filter(|one| one.rpc() == "tools/call").count() == 40);
    drop(clients);
    let dropped = || modern.notes().iter().filter(|note| *note == "hang was dropped").count();
    assert!(crate::support::wait::within(SECOND * 2, || dropped() == 40), "{}", dropped());
}
