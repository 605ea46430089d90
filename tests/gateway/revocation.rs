//! A revoked token is dead when the revoke call returns: new calls 401, open streams and calls cut.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{Conn, Place, Seen, Upstream, events::Events, place, servers, wait::now};

const CUT: Duration = Duration::from_millis(100);

fn streaming(seen: &Seen, conn: &mut Conn) {
    let token = seen.json()["params"]["_meta"]["progressToken"].clone();
    if token.is_null() {
        conn.note("hanging");
        conn.until_gone();
        return conn.note("dropped");
    }
    conn.begin_events();
    let mut step = 0;
    let progress = |step| json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progressToken": token, "progress": step } });
    while conn.event(progress(step)) {
        step += 1;
        std::thread::park_timeout(Duration::from_millis(5));
    }
    conn.close();
    conn.note("dropped");
}

fn toy() -> (Place, Upstream) {
    let upstream = servers::modern(&["work"], streaming);
    let place = place(&[("toy", &upstream)]);
    place.editor.tools();
    (place, upstream)
}

/// Reads a stream to its end on a thread; says when it ended and what came.
fn watch(mut events: Events) -> mpsc::Receiver<(Instant, Vec<Value>)> {
    let (over, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let (events, _) = events.until_end();
        let _nobody_waits =
            over.send((now(), events.iter().map(|one| serde_json::from_str(&one.data).unwrap_or_default()).collect()));
    });
    ended
}

/// S-60: streams and calls under way end with the token.
#[test]
fn open_streams_and_calls_of_a_revoked_token_are_cut_within_100_ms() {
    let (place, upstream) = toy();
    let victim = place.admin.token("eng", "Victim");
    let editor = place.gateway.editor("eng", &victim.raw);
    let session = editor.initialize("2025-11-25");
    let with_progress = json!({ "name": "toy__work", "arguments": {}, "_meta": { "progressToken": 1 } });
    let mut survivor = place.editor.listen(&json!(1)).0;

    let http_sse = editor.http_sse();
    let endpoint = http_sse.endpoint.clone();
    let post = |request: crate::support::Request| {
        let mut events = request.open(place.gateway.address).events();
        events.message();
        events
    };
    let streams = [
        ("listen", watch(editor.listen(&json!(1)).0)),
        ("GET stream", watch(session.stream())),
        ("HTTP+SSE", watch(http_sse.events)),
        ("POST of 2026-07-28", watch(post(editor.modern(&json!(5), "tools/call", with_progress.clone())))),
        ("POST in a session", watch(post(session.asking(&json!(6), "tools/call", with_progress)))),
    ];
    // A call that has not begun to answer.
    let (over, hanging) = mpsc::channel();
    let call = editor.calling("toy__work", json!({}));
    let address = place.gateway.address;
    std::thread::spawn(move || over.send((call.send(address), now())));
    upstream.until_noted("hanging", Duration::from_secs(10));

    place.admin.revoke("eng", &victim.id);
    let revoked = now();

    for (what, stream) in streams {
        let (ended, messages) =
            stream.recv_timeout(Duration::from_secs(5)).unwrap_or_else(|_| panic!("{what} goes on"));
        let took = ended.saturating_duration_since(revoked);
        assert!(took <= CUT, "{what}: {took:?}");
        if what.starts_with("POST") {
            let last = messages.last().unwrap();
            assert_eq!(last["error"]["code"], -32016, "{what}: {last}");
        }
    }
    let (answer, ended) = hanging.recv_timeout(Duration::from_secs(5)).expect("the call is cut");
    assert_eq!(answer.status, 401, "{}", answer.text());
    assert!(ended.saturating_duration_since(revoked) <= CUT);
    upstream.until_noted("dropped", Duration::from_secs(1));

    for request in [editor.calling("toy__work", json!({})), session.asking(&json!(1), "ping", json!({})), session.get()]
    {
        editor.send(&request).expect(401);
    }
    crate::support::Request::post(endpoint, "{}").bearer(&victim.raw).send(address).expect(401);
    editor.send(&editor.initialize_request("2025-11-25")).expect(401);
    // Nobody else is touched.
    assert!(survivor.is_silent_for(CUT));
    place.editor.list().expect(200);
}

#[test]
fn an_expiring_token_is_cut_the_same_way() {
    let (place, _) = toy();
    let short = place.admin.token_with("eng", json!({ "name": "Short", "expires_in": 2 }));
    let expires: chrono::DateTime<chrono::Utc> = serde_json::from_value(short.answer["expires_at"].clone()).unwrap();
    let editor = place.gateway.editor("eng", &short.raw);
    let stream = watch(editor.listen(&json!(1)).0);
    stream.recv_timeout(Duration::from_secs(10)).expect("the stream ends with its token");
    let late = aerostack::domain::clock::now() - expires;
    assert!(late >= chrono::Duration::zero() && late < chrono::Duration::seconds(1), "{late}");
    editor.list().expect(401);
}

#[test]
fn deleting_a_workspace_ends_its_tokens_the_same_way() {
    let (place, _) = toy();
    let stream = watch(place.editor.listen(&json!(1)).0);
    let session = place.editor.initialize("2025-11-25");
    let answer = place.admin.delete("/workspaces/eng");
    assert!((200..300).contains(&answer.status), "{}", answer.text());
    let deleted = now();
    let (ended, _) = stream.recv_timeout(Duration::from_secs(5)).expect("cut");
    assert!(ended.saturating_duration_since(deleted) <= CUT);
    session.request("ping", json!({})).expect(401);
    // A new workspace of that name is another one.
    place.admin.workspace("eng");
    place.editor.list().expect(401);
}

#[test]
fn a_revoked_token_stays_revoked_after_a_restart() {
    let (mut place, _) = toy();
    let victim = place.admin.token("eng", "Victim");
    place.admin.revoke("eng", &victim.id);
    place.gateway.restart();
    place.gateway.editor("eng", &victim.raw).list().expect(401);
    place.editor.list().expect(200);
}

#[test]
fn a_revoked_token_stays_revoked_when_its_actor_is_restarted() {
    let (place, _) = toy();
    let victim = place.admin.token("eng", "Victim");
    let editor = place.gateway.editor("eng", &victim.raw);
    editor.list().expect(200);
    place.admin.revoke("eng", &victim.id);
    place.admin.post("/actors/TokenAuthority/restart", json!({})).expect(200);
    for _ in 0..20 {
        let status = editor.list().status;
        assert!(matches!(status, 401 | 429 | 503), "{status}");
    }
    crate::support::until("the valid token works", || place.editor.list().status == 200);
}
