//! What a load balancer, a service manager and an operator ask.

use serde_json::json;

use crate::support::{Request, place, servers};

#[test]
fn probes_say_words_and_nothing_about_the_machine() {
    let place = place(&[]);
    for path in ["/livez", "/readyz", "/healthz"] {
        let answer = Request::get(path).send(place.gateway.address).expect(200);
        assert_eq!(answer.json(), json!({ "status": "pass" }), "{path}");
        assert_eq!(answer.header("server"), None);
        place.gateway.operators(path).expect(200);
    }
}

#[test]
fn figures_and_actors_are_not_on_the_port_that_editors_use() {
    let place = place(&[]);
    for path in ["/metrics", "/health/actors", "/health/actors/TokenAuthority", "/debug"] {
        Request::get(path).send(place.gateway.address).expect(404);
    }
    // A page for people of that name asks who they are first.
    let page = Request::get("/health").send(place.gateway.address).expect(303);
    assert!(page.header("location").is_some_and(|place| place.starts_with("/signin")));
    Request::get("/api/v1/admin/actors").send(place.gateway.address).expect(401);
    place.gateway.operators("/ws/eng").expect(404);
    place.gateway.operators("/api/v1/admin/whoami").expect(404);
}

#[test]
fn metrics_count_calls_and_carry_no_names_of_people_or_values() {
    let place = place(&[("toy", &servers::plain(&["echo"]))]);
    for _ in 0..3 {
        place.editor.call("toy__echo", json!({})).result();
    }
    let counted = || place.gateway.operators("/metrics").expect(200);
    crate::support::until("calls are in the metrics", || {
        let text = counted().text();
        text.lines().any(|line| {
            !line.starts_with('#') && line.starts_with("aerostack_tool_calls_total{") && line.ends_with(" 3")
        })
    });
    let metrics = counted();
    assert!(metrics.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let text = metrics.text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    for name in ["Alice", "mwt_", &place.token.raw[4..12]] {
        assert!(!text.contains(name), "{name}: {text}");
    }
}
