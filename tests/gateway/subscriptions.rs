//! Hearing of single resources, in every era on either side: once at the server, to everybody who asked, and to nobody
//! else.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Library, Place, TestGateway, Upstream, events::Events, place, place_with, until};

const UPDATED: &str = "notifications/resources/updated";
const A_MOMENT: Duration = Duration::from_millis(250);

/// A server with these resources.
fn library(uris: &[&str]) -> Library {
    let items: Vec<String> = uris.iter().map(|uri| json!({ "uri": uri, "name": uri }).to_string()).collect();
    Library::new().having("resources", &items.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The same server in both eras.
fn of_either_era(uris: &[&str]) -> [(&'static str, Library, Upstream); 2] {
    let (new, old) = (library(uris), library(uris));
    let (modern, legacy) = (new.modern(), old.legacy());
    [("modern", new, modern), ("legacy", old, legacy)]
}

/// `subscriptions/listen` for resources; also what was honoured.
fn listen(place: &Place, id: u8, uris: &[&str]) -> (Events, Value) {
    let params = json!({ "notifications": { "resourceSubscriptions": uris } });
    let mut events =
        place.editor.modern(&json!(id), "subscriptions/listen", params).open(place.gateway.address).events();
    let honoured = events.message()["params"]["notifications"].clone();
    (events, honoured)
}

#[test]
fn what_changes_right_after_the_acknowledgement_is_told() {
    for (era, library, upstream) in of_either_era(&["file:///a", "file:///b"]) {
        let place = place(&[("lib", &upstream)]);
        let (mut first, honoured) = listen(&place, 1, &["file:///a"]);
        assert_eq!(honoured, json!({ "resourceSubscriptions": ["file:///a"] }), "{era}");
        library.updated("file:///a");
        let told = first.message();
        assert_eq!((&told["method"], &told["params"]["uri"]), (&json!(UPDATED), &json!("file:///a")), "{era}: {told}");
        assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
        // Another resource, asked for later: both are heard, each by whoever asked for it.
        let (mut second, _) = listen(&place, 2, &["file:///b"]);
        library.updated("file:///b");
        assert_eq!(second.message()["params"]["uri"], "file:///b", "{era}");
        library.updated("file:///a");
        assert_eq!(first.message()["params"]["uri"], "file:///a", "{era}");
        assert!(second.is_silent_for(A_MOMENT) && first.is_silent_for(A_MOMENT), "{era}");
    }
}

#[test]
fn only_what_its_server_honours_is_acknowledged() {
    for (era, library, upstream) in of_either_era(&["file:///a", "file:///no"]) {
        library.refuse("file:///no");
        let deaf = self::library(&["db://x"]).capabilities(json!({ "resources": {} }));
        let place = place(&[("lib", &upstream), ("deaf", &deaf.modern())]);
        let (_events, honoured) =
            listen(&place, 1, &["file:///no", "db://x", "nobody://has", "file:///a", "file:///a"]);
        assert_eq!(honoured, json!({ "resourceSubscriptions": ["file:///a"] }), "{era}");
        until("what was refused is not asked for any more", || library.subscribed() == ["file:///a"]);

        let session = place.editor.initialize("2025-11-25");
        let subscribe = |uri: Value| session.request("resources/subscribe", json!({ "uri": uri })).expect(200);
        for uri in [json!("file:///no"), json!("db://x"), json!("nobody://has"), json!(7), json!("")] {
            assert_eq!(subscribe(uri.clone()).code(), -32602, "{era} {uri}");
        }
    }
    let wrong = json!({ "notifications": { "resourceSubscriptions": "file:///a" } });
    let place = place(&[]);
    let answer = place.editor.send(&place.editor.modern(&json!(1), "subscriptions/listen", wrong));
    assert_eq!(answer.code(), -32602);
}

#[test]
fn a_session_hears_on_exactly_one_of_its_streams() {
    for (era, library, upstream) in of_either_era(&["file:///a"]) {
        let place = place(&[("lib", &upstream)]);
        let (mine, other) = (place.editor.initialize("2025-11-25"), place.editor.initialize("2025-06-18"));
        let (mut first, mut second, mut others) = (mine.stream(), mine.stream(), other.stream());
        assert_eq!(mine.request("resources/subscribe", json!({ "uri": "file:///a" })).expect(200).result(), json!({}));
        library.updated("file:///a");
        let told = second.message();
        assert_eq!(told, json!({ "jsonrpc": "2.0", "method": UPDATED, "params": { "uri": "file:///a" } }), "{era}");
        assert!(first.is_silent_for(A_MOMENT) && others.is_silent_for(A_MOMENT), "{era}");
        // The latest stream is gone: the other one is used.
        second.leave();
        until("the other stream hears", || {
            library.updated("file:///a");
            !first.is_silent_for(A_MOMENT)
        });
        mine.request("resources/unsubscribe", json!({ "uri": "file:///a" })).expect(200).result();
        until("the server is told", || library.subscribed().is_empty());
        // Lists change on one stream, too.
        let mut again = mine.stream();
        library.put("tools", &[r#"{"name":"t","inputSchema":{}}"#]);
        library.announce("tools");
        assert_eq!(again.message()["method"], "notifications/tools/list_changed", "{era}");
        assert_eq!(others.message()["method"], "notifications/tools/list_changed", "{era}");
        while !first.is_silent_for(A_MOMENT) {}
        assert!(!first.raw.contains("list_changed"), "{era}");
    }
}

#[test]
fn many_clients_are_one_subscription_at_the_server() {
    for (era, library, upstream) in of_either_era(&["file:///a"]) {
        let place = place(&[("lib", &upstream)]);
        let session = place.editor.initialize("2025-11-25");
        let mut stream = session.stream();
        session.request("resources/subscribe", json!({ "uri": "file:///a" })).expect(200).result();
        let (listening, _) = listen(&place, 1, &["file:///a"]);
        let (mut also, _) = listen(&place, 2, &["file:///a"]);
        let asked = if era == "modern" { "subscriptions/listen" } else { "resources/subscribe" };
        let for_it = |seen: &&crate::support::Seen| seen.text().contains("file:///a");
        assert_eq!(upstream.of(asked).iter().filter(for_it).count(), 1, "{era}");
        library.updated("file:///a");
        assert_eq!(stream.message()["params"]["uri"], "file:///a");
        assert_eq!(also.message()["params"]["uri"], "file:///a");

        listening.leave();
        session.end().expect(204);
        assert!(stream.until_end().0.is_empty(), "an ended session has no stream");
        library.updated("file:///a");
        assert_eq!(also.message()["params"]["uri"], "file:///a", "{era}: one is left");
        also.leave();
        until("the last one left", || library.subscribed().is_empty());
    }
}

#[test]
fn an_old_client_subscribes_on_its_connection() {
    for (era, library, upstream) in of_either_era(&["file:///a"]) {
        let place = place(&[("lib", &upstream)]);
        let mut client = place.editor.http_sse();
        let answer = client.ask(&json!(1), "resources/subscribe", json!({ "uri": "file:///a" }));
        assert_eq!(answer["result"], json!({}), "{era}");
        library.updated("file:///a");
        assert_eq!(client.events.notification(UPDATED)["params"], json!({ "uri": "file:///a" }));
        client.events.leave();
        until("its subscriptions end with it", || library.subscribed().is_empty());
    }
}

#[test]
fn updates_name_the_uri_that_the_client_knows() {
    let (one, two) = (library(&["file:///same"]), library(&["file:///same"]));
    let place = place(&[("one", &one.legacy()), ("two", &two.modern())]);
    let (mut events, _) = listen(&place, 1, &["file:///same", "two+file:///same"]);
    two.updated("file:///same");
    assert_eq!(events.message()["params"]["uri"], "two+file:///same");
    one.updated("file:///same");
    assert_eq!(events.message()["params"]["uri"], "file:///same");
}

#[test]
fn a_restarted_server_is_subscribed_to_again() {
    for (era, library, upstream) in of_either_era(&["file:///a"]) {
        let place = place(&[("lib", &upstream)]);
        let (mut events, _) = listen(&place, 1, &["file:///a"]);
        library.forget();
        // What may have changed meanwhile counts as changed.
        assert_eq!(events.message()["params"]["uri"], "file:///a", "{era}");
        until("it is subscribed to again", || library.subscribed() == ["file:///a"] && library.listeners() == 1);
        library.updated("file:///a");
        assert_eq!(events.message()["params"]["uri"], "file:///a", "{era}");
    }
}

#[test]
fn many_updates_at_once_reach_a_client_that_reads() {
    let uris: Vec<String> = (0..200).map(|number| format!("file:///{number}")).collect();
    let uris: Vec<&str> = uris.iter().map(String::as_str).collect();
    let library = library(&uris);
    let place = place(&[("lib", &library.modern())]);
    let (mut events, honoured) = listen(&place, 1, &uris);
    assert_eq!(honoured["resourceSubscriptions"].as_array().unwrap().len(), 200);
    uris.iter().for_each(|uri| library.updated(uri));
    let mut told: Vec<String> =
        uris.iter().map(|_| events.message()["params"]["uri"].as_str().unwrap().to_owned()).collect();
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 200);
}

#[test]
fn a_client_has_no_more_subscriptions_than_it_may() {
    let library = library(&["file:///a", "file:///b", "file:///c"]);
    let setup = TestGateway::setup().set("limits.subscriptions_per_client", 2);
    let place = place_with(setup, &[("lib", &library.legacy())]);
    let session = place.editor.initialize("2025-11-25");
    let subscribe = |uri: &str| session.request("resources/subscribe", json!({ "uri": uri })).expect(200).json();
    assert_eq!(subscribe("file:///a")["result"], json!({}));
    assert_eq!(subscribe("file:///b")["result"], json!({}));
    assert_eq!(subscribe("file:///c")["error"]["code"], -32602);
    assert_eq!(subscribe("file:///a")["result"], json!({}), "it has this one already");
    session.request("resources/unsubscribe", json!({ "uri": "file:///a" })).expect(200).result();
    assert_eq!(subscribe("file:///c")["result"], json!({}));
    let (_events, honoured) = listen(&place, 1, &["file:///a", "file:///b", "file:///c"]);
    assert_eq!(honoured["resourceSubscriptions"], json!(["file:///a", "file:///b"]));
}

#[test]
fn subscriptions_of_a_session_that_nobody_hears_end_after_a_while() {
    let library = library(&["file:///a"]);
    let setup = TestGateway::setup().set("limits.subscription_linger_seconds", 1);
    let place = place_with(setup, &[("lib", &library.legacy())]);
    let session = place.editor.initialize("2025-11-25");
    session.request("resources/subscribe", json!({ "uri": "file:///a" })).expect(200).result();
    assert_eq!(library.subscribed(), ["file:///a"]);
    until("it had no stream", || library.subscribed().is_empty());

    let stream = session.stream();
    session.request("resources/subscribe", json!({ "uri": "file:///a" })).expect(200).result();
    stream.leave();
    until("its stream is gone", || library.subscribed().is_empty());
}

#[test]
fn subscriptions_of_a_session_survive_a_restart_of_the_gateway() {
    for (era, library, upstream) in of_either_era(&["file:///a", "file:///b"]) {
        let mut place = place(&[("lib", &upstream)]);
        let session = place.editor.initialize("2025-11-25");
        for uri in ["file:///a", "file:///b"] {
            session.request("resources/subscribe", json!({ "uri": uri })).expect(200).result();
        }
        session.request("resources/unsubscribe", json!({ "uri": "file:///b" })).expect(200).result();
        place.gateway.restart();
        let mut stream = session.stream();
        // What may have changed meanwhile counts as changed.
        assert_eq!(stream.notification(UPDATED)["params"], json!({ "uri": "file:///a" }), "{era}");
        assert_eq!(library.subscribed(), ["file:///a"]);
        library.updated("file:///a");
        assert_eq!(stream.notification(UPDATED)["params"], json!({ "uri": "file:///a" }), "{era}");
    }
}

#[test]
fn a_log_level_is_kept_with_the_session_and_the_lowest_is_told_to_the_server() {
    let capabilities = json!({ "tools": {}, "logging": {} });
    let (old, new) = (Library::new().capabilities(capabilities.clone()), Library::new().capabilities(capabilities));
    let (legacy, modern) = (old.legacy(), new.modern());
    let place = place(&[("old", &legacy), ("fresh", &modern)]);
    let session = place.editor.initialize("2025-11-25");
    let set = |level: Value| session.request("logging/setLevel", json!({ "level": level })).expect(200);
    let levels =
        || legacy.of("logging/setLevel").iter().map(|seen| seen.json()["params"]["level"].clone()).collect::<Vec<_>>();
    assert_eq!(set(json!("warning")).result(), json!({}));
    until("the server is told", || levels() == ["warning"]);
    assert_eq!(set(json!("error")).result(), json!({}));
    assert_eq!(set(json!("debug")).result(), json!({}));
    until("only a lower level is told", || levels() == ["warning", "debug"]);
    for wrong in [json!("loud"), json!(3), json!(null), json!("Debug")] {
        assert_eq!(set(wrong.clone()).code(), -32602, "{wrong}");
    }
    assert!(modern.of("logging/setLevel").is_empty(), "a server of 2026-07-28 is told per request");
    let removed = place.editor.modern(&json!(1), "logging/setLevel", json!({ "level": "debug" }));
    assert_eq!(place.editor.send(&removed).expect(404).code(), -32601);
}
