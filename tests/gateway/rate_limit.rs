//! 120 requests per minute and token, exactly (the seeds' limit), and how the 121st is told.

use std::sync::{
    Barrier,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use serde_json::json;

use crate::support::{Connection, TestGateway, place, place_with, servers};

fn ping(id: u32) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list","params":{{}}}}"#)
}

#[test]
fn call_121_within_the_window_is_refused_as_the_seed_says() {
    let place = place(&[]);
    let session = place.editor.initialize("2025-11-25");
    let mut connection = Connection::to(place.gateway.address);
    for at in 1..120 {
        let answer = connection.send(&session.post(ping(at))).expect(200);
        assert_eq!(answer.header("ratelimit-policy"), Some(r#""token";q=120;w=60"#));
        let left = 119 - at;
        assert!(answer.header("ratelimit").unwrap().starts_with(&format!(r#""token";r={left};t="#)));
    }
    let refused = connection.send(&session.post(ping(1))).expect(429);
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert!(refused.header("ratelimit").unwrap().starts_with(r#""token";r=0;t="#));
    assert_eq!(refused.header("ratelimit-policy"), Some(r#""token";q=120;w=60"#));
    let mut body = refused.json();
    // What is additional is in `data`; the rest is the seed's body.
    let data = body["error"].as_object_mut().unwrap().remove("data").unwrap();
    assert_eq!(data["retry_after_seconds"], seconds);
    insta::assert_json_snapshot!(body, @r#"
    {
      "error": {
        "code": -32000,
        "message": "Rate limit exceeded"
      },
      "id": 1,
      "jsonrpc": "2.0"
    }
    "#);
}

/// S-62: parallel connections get no more than one.
#[test]
fn of_500_parallel_calls_exactly_120_are_accepted() {
    let upstream = servers::plain(&["echo"]);
    let place = place(&[("toy", &upstream)]);
    let (accepted, refused, start) = (AtomicUsize::new(0), AtomicUsize::new(0), Barrier::new(50));
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                let mut connection = Connection::to(place.gateway.address);
                start.wait();
                for _ in 0..10 {
                    let answer = connection.send(&place.editor.calling("toy__echo", json!({})));
                    match answer.status {
                        200 => accepted.fetch_add(1, SeqCst),
                        429 => refused.fetch_add(1, SeqCst),
                        other => panic!("{other}: {}", answer.text()),
                    };
                }
            });
        }
    });
    assert_eq!((accepted.into_inner(), refused.into_inner()), (120, 380));
    assert_eq!(upstream.calls().len(), 120);
}

#[test]
fn the_limit_is_per_token_and_a_token_may_have_its_own() {
    let place = place_with(TestGateway::setup().set("limits.requests_per_minute", 3), &[]);
    let own = place.admin.token_with("eng", json!({ "name": "Busy", "requests_per_minute": 5 }));
    let count = |raw: &str| {
        let editor = place.gateway.editor("eng", raw);
        (0..8).filter(|_| editor.list().status == 200).count()
    };
    assert_eq!(count(&place.token.raw), 3);
    assert_eq!(count(&own.raw), 5);
    // Another session, another path, another connection: the same token, the same window.
    place.editor.at("/ws/eng/sse").list().expect(429);
    let handshake = place.editor.initialize_request("2025-11-25");
    place.editor.send(&handshake).expect(429);
}

/// S-64: what counts, and what does not.
#[test]
fn only_requests_count() {
    let place = place_with(TestGateway::setup().set("limits.requests_per_minute", 4), &[]);
    let session = place.editor.initialize("2025-03-26");
    for _ in 0..5 {
        session.notify("notifications/roots/list_changed", json!({})).expect(202);
        session.post(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#).send(place.gateway.address).expect(202);
    }
    drop(session.stream());
    session.editor.at("/ws/eng").post("not json").send(place.gateway.address).expect(400);
    // An error is a request too; a batch counts each of its messages.
    session.request("no/such/method", json!({})).expect(200);
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"ping"},{"jsonrpc":"2.0","id":3,"method":"ping"}]"#;
    let answers = session.post(batch).send(place.gateway.address).expect(200).json();
    let codes: Vec<_> = answers.as_array().unwrap().iter().map(|one| one["error"]["code"].clone()).collect();
    assert_eq!(codes, [json!(null), json!(null), json!(-32000)]);
    // Ending a session is always possible.
    session.end().expect(204);
}

#[test]
fn limit_zero_means_unlimited_and_is_warned_about() {
    let place = place_with(TestGateway::setup().set("limits.requests_per_minute", 0), &[]);
    let mut connection = Connection::to(place.gateway.address);
    for _ in 0..300 {
        let answer = connection.send(&place.editor.modern(&json!(1), "server/discover", json!({}))).expect(200);
        assert_eq!(answer.header("ratelimit"), None);
    }
    assert!(place.gateway.log().contains("limits.requests_per_minute is 0"));
}
