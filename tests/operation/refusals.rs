//! What is refused leaves a trace that operators and admins find: a log line for each call, a counted audit entry for
//! each source and kind. Neither can be flooded, and neither shows a credential.

use serde_json::{Value, json};

use crate::support::{Connection, Place, TestGateway, place, place_with, servers, until};

/// The log's lines about calls, once there are that many.
fn calls(place: &Place, at_least: usize) -> Vec<Value> {
    let lines = || -> Vec<Value> {
        let log = place.gateway.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["target"] == "aerostack::call").collect()
    };
    until("the calls are logged", || lines().len() >= at_least);
    lines()
}

#[test]
fn each_call_leaves_one_log_line_also_if_it_reaches_no_server() {
    let upstream = servers::plain(&["echo"]);
    let setup = TestGateway::setup().set("limits.requests_per_minute", 4).set("upstream.call_timeout_seconds", 1);
    let place = place_with(setup, &[("toy", &upstream)]);
    place.editor.tools();
    place.editor.call("toy__echo", json!({ "argument": "PRIVATE" })).expect(200).result();
    let traced = place.editor.calling("nonsense", json!({ "argument": "PRIVATE" }));
    let traced = traced.header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    place.editor.send(&traced).code();
    let long = "x".repeat(5000);
    place.editor.call(&long, json!({})).code();
    place.editor.call("toy__echo", json!({})).expect(429);
    let lines = calls(&place, 4);
    let seen: Vec<_> = lines
        .iter()
        .map(|line| (line["outcome"].as_str().unwrap(), line["reason"].as_str(), line["code"].as_i64()))
        .collect();
    assert_eq!(
        seen,
        [
            ("ok", None, None),
            ("refused", Some("invalid_params"), Some(-32602)),
            ("refused", Some("invalid_params"), Some(-32602)),
            ("refused", Some("rate_limited"), Some(-32000)),
        ]
    );
    assert_eq!((lines[1]["tool"].as_str(), lines[1]["workspace"].as_str()), (Some("nonsense"), Some("eng")));
    assert_eq!(lines[1]["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(lines[2]["tool"].as_str().unwrap().len(), 128, "a line stays a line");
    let log = place.gateway.log();
    assert!(!log.contains("PRIVATE") && !log.contains(&place.token.raw));
}

#[test]
fn a_flood_of_refused_calls_is_a_few_lines() {
    let setup = TestGateway::setup().set("limits.requests_per_minute", 1).set("telemetry.refused_calls_per_second", 2);
    let place = place_with(setup, &[("toy", &servers::plain(&["echo"]))]);
    place.editor.tools();
    let mut connection = Connection::to(place.gateway.address);
    let begun = crate::support::wait::now();
    for _ in 0..300 {
        connection.send(&place.editor.calling("toy__echo", json!({}))).expect(429);
    }
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap() + 2;
    let lines = calls(&place, 2);
    assert!(lines.len() <= 2 * seconds, "{} lines in {seconds} s", lines.len());
    // The line after a pause says how many there were.
    until("a line counts the rest", || {
        connection.send(&place.editor.calling("toy__echo", json!({}))).expect(429);
        calls(&place, 2).iter().any(|line| line["held_back"].as_u64() > Some(0))
    });
}

/// The entries about refusals, after a restart (which writes what was counted).
fn refusals(place: &mut Place) -> Vec<Value> {
    place.gateway.restart();
    place.admin.address = place.gateway.address;
    let answer = place.admin.get("/workspaces/eng/audit?kind=security").expect(200).json();
    answer["data"].as_array().unwrap().clone()
}

/// S-72: each refusal is counted, and a flood is at most sixty entries a minute and source.
#[test]
fn refusals_are_in_the_audit_log_counted_by_source_and_kind() {
    let setup = TestGateway::setup().set("limits.failed_auth_per_minute", 100);
    let mut place = place_with(setup, &[]);
    place.admin.workspace("ops");
    let foreign = place.gateway.editor("ops", &place.token.raw);
    foreign.list().expect(401);
    foreign.list().expect(401);
    let revoked = place.admin.token("eng", "Revoked");
    place.admin.revoke("eng", &revoked.id);
    let revoked = place.gateway.editor("eng", &revoked.raw);
    let mut connection = Connection::to(place.gateway.address);
    let request = revoked.modern(&json!(1), "tools/list", json!({}));
    for at in 0..2000 {
        let status = connection.send(&request).status;
        assert!(if at < 100 { status == 401 } else { status == 429 || status == 401 }, "{at}: {status}");
    }
    place.editor.send(&place.editor.calling("x", json!({})).header("origin", "https://evil.example")).expect(403);

    let entries = refusals(&mut place);
    let of = |action: &str| -> Vec<&Value> { entries.iter().filter(|entry| entry["action"] == action).collect() };
    let times = |action: &str| of(action).iter().map(|entry| entry["times"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(times("auth_failed"), 2000, "each is counted");
    assert!(of("auth_failed").len() <= 60, "and few are written");
    assert_eq!(of("auth_failed")[0]["actor"], "127.0.0.1");
    assert_eq!(times("origin_refused"), 1);
    assert_eq!(times("foreign_token"), 2);
    assert_eq!(
        (of("foreign_token")[0]["actor"].as_str(), of("foreign_token")[0]["target"].as_str()),
        (Some("Alice Chen"), Some("ops"))
    );
    assert!(entries.iter().all(|entry| entry["kind"] == "security"));
    let text = serde_json::to_string(&entries).unwrap();
    assert!(!text.contains("mwt_"), "{text}");
}

#[test]
fn names_that_somebody_invents_are_one_entry() {
    let mut place = place(&[]);
    for at in 0..50 {
        place.gateway.editor(&format!("guess-{at}"), &place.token.raw).list().expect(401);
    }
    let entries = refusals(&mut place);
    assert!(entries.iter().all(|entry| entry["target"] == "unknown"), "{entries:?}");
    assert_eq!(entries.iter().map(|entry| entry["times"].as_u64().unwrap()).sum::<u64>(), 50);
    assert!(entries.len() <= 3, "{entries:?}");
}
