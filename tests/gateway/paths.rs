//! Three equal paths, what is served nowhere, and the tricks that must not lead anywhere.

use serde_json::json;

use crate::support::{Connection, Request, place, servers};

#[test]
fn the_three_paths_are_equal() {
    let place = place(&[("toy", &servers::plain(&["echo"]))]);
    let session = place.editor.initialize("2025-11-25");
    for path in ["/ws/eng", "/ws/eng/sse", "/ws/eng/mcp"] {
        let editor = place.editor.at(path);
        assert_eq!(editor.tools(), ["toy__echo"]);
        assert_eq!(editor.call("toy__echo", json!({})).expect(200).result()["content"][0]["text"], "done");
        // A session begun on one path goes on on another.
        let moved = crate::support::Session { editor, ..session.clone() };
        moved.request("ping", json!({})).expect(200);
        drop(moved.stream());
    }
}

#[test]
fn oauth_discovery_is_a_plain_json_404_because_clients_parse_whatever_comes() {
    let place = place(&[]);
    let paths = [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/ws/eng",
        "/.well-known/oauth-protected-resource/ws/eng/sse",
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/ws/eng",
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/ws/eng",
        "/ws/eng/.well-known/openid-configuration",
        "/register",
        "/authorize",
        "/token",
    ];
    for path in paths {
        let answer = Request::get(path).send(place.gateway.address).expect(404);
        assert!(answer.header("content-type").unwrap().starts_with("application/json"), "{path}");
        assert_eq!(answer.json()["error"], "invalid_request", "{path}");
        let posted = Request::post(path, "{}").send(place.gateway.address).expect(404);
        assert_eq!(posted.body, answer.body, "{path}");
    }
}

#[test]
fn path_tricks_lead_nowhere_and_all_look_the_same() {
    let place = place(&[("toy", &servers::plain(&["echo"]))]);
    let long = format!("/ws/{}", "a".repeat(10_000));
    let tricks = [
        "/ws/ENG",
        "/ws/Eng",
        "/ws/eng%2f..%2fops",
        "/ws/eng%2F",
        "/ws/%65ng%00",
        "/ws/..",
        "/ws/.",
        "/ws/%2e%2e",
        "/ws/%2e%2e/eng",
        "/ws/eng;x=1",
        "/ws/eng%3Bx",
        "/ws/eng.",
        "/ws/-eng",
        "/ws/eng_",
        "/ws/eng%20",
        "/ws/%c0%ae%c0%ae",
        "/ws/e%CC%81ng",
        "/ws/",
        "/ws",
        "/ws//eng",
        "//ws/eng",
        "/ws/eng/",
        "/ws/eng/other",
        "/ws/eng/sse/",
        "/ws/eng/../eng",
        "/WS/eng",
        long.as_str(),
    ];
    let plain = place.editor.at("/nothing").list();
    for path in tricks {
        let answer = place.editor.at(path).list();
        // Not UTF-8 after decoding may be refused as such.
        assert!(answer.status == 404 || (answer.status == 400 && path.contains("%c0")), "{path}: {}", answer.status);
        if answer.status == 404 {
            assert_eq!(answer.body, plain.body, "{path}");
        }
        assert_eq!(answer.header("location"), None, "{path}: never redirected to a normal form");
    }
}

#[test]
fn a_person_with_a_browser_is_told_how_to_connect() {
    let place = place(&[]);
    let browser = Request::get("/ws/eng").header("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    let page = browser.send(place.gateway.address).expect(401);
    assert!(page.text().contains("aerostack workspace token create eng"), "{}", page.text());
    // The page says the same for a workspace that is not there.
    let nowhere = Request::get("/ws/nowhere").header("accept", "text/html").send(place.gateway.address).expect(401);
    assert_eq!(nowhere.text().replace("nowhere", "eng"), page.text());
}

#[test]
fn requests_may_follow_each_other_on_one_connection_whatever_came_before() {
    let place = place(&[("toy", &servers::plain(&["echo"]))]);
    let mut connection = Connection::to(place.gateway.address);
    let good = place.editor.calling("toy__echo", json!({}));
    for bad in [
        Request::post("/ws/eng", "{}"),
        place.editor.post("{"),
        place.editor.post("[]").with("content-type", "text/plain"),
        Request::get("/nothing"),
        Request::new("PUT", "/ws/eng"),
    ] {
        let refused = connection.send(&bad);
        assert!((400..500).contains(&refused.status), "{refused:?}");
        // An unread body ends the connection, which is said.
        if refused.header("connection") == Some("close") {
            connection = Connection::to(place.gateway.address);
        }
        connection.send(&good).expect(200);
    }
}
