//! A newly installed server appears for every client at once: list changes on every kind of stream.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::support::{
    Place, Upstream,
    client::{Client, REVISIONS},
    elapsed, place,
    script::Script,
    scripted,
    servers::{self, tools},
    until,
};

const SECOND: Duration = Duration::from_secs(1);

fn quick(what: &str, notice: impl FnOnce() -> Value) -> Value {
    let (notice, took) = elapsed(notice);
    assert!(took < SECOND, "{what}: {took:?}");
    notice
}

#[test]
fn an_installed_server_is_announced_on_every_stream_within_a_second() {
    let place = place(&[]);
    let (mut listening, acknowledged) = place.editor.listen(&json!("L1"));
    assert_eq!(
        acknowledged,
        json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {
            "_meta": { "io.modelcontextprotocol/subscriptionId": "L1" },
            "notifications": { "toolsListChanged": true } } })
    );
    let (mut by_number, _) = place.editor.listen(&json!(17));
    let session = place.editor.initialize("2025-11-25");
    let mut stream = session.stream();
    let mut old = place.editor.http_sse();
    let other_workspace = {
        place.admin.workspace("ops");
        let token = place.admin.token("ops", "Olga").raw;
        place.gateway.editor("ops", &token).listen(&json!(1)).0
    };
    for change in ["install", "uninstall"] {
        let toy = servers::plain(&["echo"]);
        if change == "install" {
            place.admin.add("eng", "toy", &toy);
        } else {
            place.admin.delete("/workspaces/eng/servers/toy").expect(200);
        }
        let method = "notifications/tools/list_changed";
        let notice = quick("listen", || listening.notification(method));
        assert_eq!(notice["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "L1");
        let notice = quick("listen by number", || by_number.notification(method));
        assert_eq!(notice["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 17);
        let notice = quick("GET stream", || stream.notification(method));
        assert_eq!(notice.get("params"), None, "{notice}");
        quick("HTTP+SSE", || old.events.notification(method));
        crate::support::until("the list has changed", || place.editor.tools().is_empty() == (change == "uninstall"));
        // What follows belongs to the next change.
        for events in [&mut listening, &mut by_number, &mut stream, &mut old.events] {
            until("the stream is silent again", || events.is_silent_for(SECOND / 4));
        }
    }
    let mut other_workspace = other_workspace;
    assert!(other_workspace.is_silent_for(SECOND / 10), "another workspace is none of its business");
}

#[test]
fn only_what_was_asked_for_is_sent() {
    let place = place(&[]);
    let request = place.editor.modern(
        &json!(1),
        "subscriptions/listen",
        json!({ "notifications": { "promptsListChanged": true, "resourceSubscriptions": ["file:///a"] } }),
    );
    let mut events = request.open(place.gateway.address).events();
    assert_eq!(events.message()["params"]["notifications"], json!({ "promptsListChanged": true }));
    place.admin.add("eng", "toy", &servers::plain(&["echo"]));
    place.editor.tools();
    assert!(events.is_silent_for(SECOND / 2));

    for notifications in [json!(null), json!([]), json!("tools")] {
        let request = place.editor.modern(&json!(7), "subscriptions/listen", json!({ "notifications": notifications }));
        let answer = request.send(place.gateway.address);
        assert_eq!((answer.status, answer.code()), (200, -32602), "{}", answer.text());
    }
    let missing = place.editor.modern(&json!(7), "subscriptions/listen", json!({})).send(place.gateway.address);
    assert_eq!(missing.code(), -32602);
}

#[test]
fn a_listen_stream_needs_a_client_that_reads_events() {
    let place = place(&[]);
    let request = place.editor.modern(
        &json!(7),
        "subscriptions/listen",
        json!({ "notifications": { "toolsListChanged": true } }),
    );
    let answer = request.with("accept", "application/json").send(place.gateway.address).expect(406);
    assert_eq!((answer.code(), answer.json()["id"].clone()), (-32600, json!(7)));
}

/// A modern server whose tools change on command: it tells its listeners.
fn changing() -> (Upstream, std::sync::mpsc::Sender<()>) {
    let (change, changed) = std::sync::mpsc::channel();
    let changed = std::sync::Mutex::new(changed);
    let grown = std::sync::atomic::AtomicBool::new(false);
    let upstream = Upstream::start(move |seen, conn| match seen.rpc().as_str() {
        "server/discover" => conn.result(
            seen,
            json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"],
                "capabilities": { "tools": { "listChanged": true } }, "ttlMs": 0, "cacheScope": "private" }),
        ),
        "tools/list" => {
            let more = grown.load(std::sync::atomic::Ordering::SeqCst);
            conn.result(seen, tools(if more { &["one", "two"] } else { &["one"] }));
        }
        "subscriptions/listen" => {
            let meta = json!({ "io.modelcontextprotocol/subscriptionId": seen.id() });
            conn.begin_events();
            conn.event(json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
                "params": { "_meta": meta, "notifications": { "toolsListChanged": true } } }));
            while changed.lock().unwrap().recv().is_ok() {
                grown.store(true, std::sync::atomic::Ordering::SeqCst);
                conn.event(json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": { "_meta": meta } }));
            }
        }
        _ => conn.error(404, seen, -32601, "Method not found"),
    });
    (upstream, change)
}

#[test]
fn a_servers_own_list_change_reaches_the_clients() {
    let (upstream, change) = changing();
    let place: Place = place(&[("toy", &upstream)]);
    assert_eq!(place.editor.tools(), ["toy__one"]);
    // Pinned, a new tool would wait for an administrator.
    place.admin.patch("/workspaces/eng/servers/toy", json!({ "pins": "track" })).expect(200);
    let (mut listening, _) = place.editor.listen(&json!(1));
    let session = place.editor.initialize("2025-11-25");
    let mut stream = session.stream();
    upstream.until_seen("the gateway listens", |seen| seen.iter().any(|one| one.rpc() == "subscriptions/listen"));
    change.send(()).unwrap();
    quick("listen", || listening.notification("notifications/tools/list_changed"));
    quick("GET stream", || stream.notification("notifications/tools/list_changed"));
    // The list was fetched before it was announced.
    assert_eq!(place.editor.tools(), ["toy__one", "toy__two"]);
}

#[test]
fn too_many_streams_of_one_token_are_refused_and_places_come_back() {
    let setup = crate::support::TestGateway::setup().set("limits.streams_per_token", 3);
    let place = crate::support::place_with(setup, &[]);
    let open: Vec<_> = (0..3).map(|id| place.editor.listen(&json!(id)).0).collect();
    let request = || {
        place.editor.modern(&json!(9), "subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }))
    };
    let refused = request().open(place.gateway.address);
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").is_some());
    open.into_iter().for_each(crate::support::events::Events::leave);
    crate::support::until("a place is free again", || request().open(place.gateway.address).status == 200);
}

#[test]
fn a_server_that_waited_for_its_secret_appears_when_it_is_set() {
    let upstream = Upstream::start(|seen, conn| match (seen.header("authorization"), seen.rpc().as_str()) {
        (None, _) => conn.reply(401, &[("www-authenticate", "Bearer")], ""),
        (_, "server/discover") => conn.result(
            seen,
            json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} } }),
        ),
        (_, "tools/list") => conn.result(seen, tools(&["one"])),
        _ => conn.error(404, seen, -32601, "Method not found"),
    });
    let place = place(&[("toy", &upstream)]);
    assert!(place.editor.tools().is_empty());
    let (mut listening, _) = place.editor.listen(&json!(1));
    let bearer = json!({ "name": "KEY", "value": "value-it-waited-for", "injection": { "mode": "bearer" } });
    place.admin.secret_with("toy", bearer);
    quick("listen", || listening.notification("notifications/tools/list_changed"));
    assert_eq!(place.editor.tools(), ["toy__one"]);
}

#[test]
fn a_change_that_a_server_tells_of_within_an_answer_is_passed_on() {
    let upstream = scripted::streamable(Arc::new(Script::new("2025-11-25", "toy")));
    let place = place(&[("toy", &upstream)]);
    until("listed", || place.editor.tools().contains(&"toy__announce".to_owned()));
    let mut clients = REVISIONS.map(|revision| Client::new(&place.editor, revision));
    for at in 0..clients.len() {
        let exchange = clients[at].ask("tools/call", json!({ "name": "toy__announce", "arguments": {} }));
        assert_eq!(exchange.text(), "changed");
        for client in &mut clients {
            assert!(client.hears("notifications/prompts/list_changed"), "{} client", client.revision);
        }
    }
}
