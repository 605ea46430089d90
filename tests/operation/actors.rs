//! The operator sees every actor and can restart each; nothing that was acknowledged is lost by it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Place, elapsed, place, servers, until};

fn names(place: &Place) -> Vec<String> {
    let board = place.gateway.operators("/health/actors").expect(200).json();
    board["actors"].as_array().unwrap().iter().map(|actor| actor["name"].as_str().unwrap().to_owned()).collect()
}

fn report(place: &Place, name: &str) -> Value {
    place.gateway.operators(&format!("/health/actors/{name}")).expect(200).json()
}

#[test]
fn the_board_names_every_singleton_and_one_can_be_asked_for() {
    let place = place(&[("toy", &servers::plain(&["echo"]))]);
    place.editor.call("toy__echo", json!({})).result();
    let names = names(&place);
    for singleton in ["TokenAuthority", "SecretVault", "WorkspaceCatalog", "AnalyticsSink", "AuditLog"] {
        assert!(names.iter().any(|name| name == singleton), "{singleton} of {names:?}");
        assert_eq!(report(&place, singleton)["state"], "running");
    }
    assert!(names.iter().any(|name| name.contains("toy")), "the server's session: {names:?}");
    let missing = place.gateway.operators("/health/actors/Nobody").expect(404).json();
    assert_eq!(missing["title"], "No actor \"Nobody\"");
}

#[test]
fn every_actor_can_be_restarted_by_hand_and_calls_go_on() {
    let upstream = servers::plain(&["echo"]);
    let place = place(&[("toy", &upstream)]);
    place.admin.secret("toy", "KEY", "kept-over-restarts");
    place.editor.call("toy__echo", json!({})).result();
    for name in names(&place) {
        let before = report(&place, &name)["restarts"].as_u64().unwrap_or(0);
        place.admin.post(&format!("/actors/{name}/restart"), json!({})).expect(200);
        let (back, took) = elapsed(|| {
            crate::support::wait::within(Duration::from_secs(5), || {
                let report = place.gateway.operators(&format!("/health/actors/{name}"));
                // An actor of a stream or a server may be gone for good until it is needed again.
                report.status == 404
                    || (report.json()["state"] == "running" && report.json()["restarts"].as_u64() > Some(before))
            })
        });
        assert!(back, "{name}: {:?}", report(&place, &name));
        assert!(took < Duration::from_secs(2), "{name}: {took:?}");
        until("calls go on", || place.editor.call("toy__echo", json!({})).json().get("result").is_some());
        assert_eq!(upstream.last_call().header("KEY"), Some("kept-over-restarts"), "after {name}");
    }
    until("all is well again", || place.gateway.operators("/readyz").status == 200);
    let token = place.admin.token("eng", "After");
    place.gateway.editor("eng", &token.raw).call("toy__echo", json!({})).result();
    place.admin.post("/actors/Nobody/restart", json!({})).expect(404);
}

#[test]
fn only_an_admin_may_restart() {
    let place = place(&[]);
    let stranger = crate::support::Admin::new(place.gateway.address, &place.token.raw);
    stranger.post("/actors/TokenAuthority/restart", json!({})).expect(401);
    let posted = crate::support::Request::post("/health/actors/TokenAuthority/restart", "{}").send(place.gateway.ops);
    assert!(matches!(posted.status, 404 | 405), "{}", posted.status);
}
