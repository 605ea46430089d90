//! Calls as they end: who sees which, what ends a stream, and what a reader who does not keep up is told.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    Admin, Browser, Request,
    events::Events,
    people::{PASSWORD, setup},
    place::Place,
    place_with, servers, until,
};

/// A stream that must end does so within this time.
const CUT: Duration = Duration::from_secs(20);

fn asking(admin: &Admin, query: &str) -> Request {
    let path = format!("/workspaces/eng/calls/stream?{query}");
    admin.request("GET", &path, None).header("accept", "text/event-stream")
}

/// Begins to watch; whatever ends from now on is seen.
#[track_caller]
fn watch(admin: &Admin, query: &str) -> Events {
    asking(admin, query).open(admin.address).events()
}

/// The next call: who, which tool, how it ended.
#[track_caller]
fn call(events: &mut Events) -> (String, String, String) {
    let event = events.next().expect("a call");
    assert_eq!(event.name, "call", "{event:?}");
    let call: Value = serde_json::from_str(&event.data).unwrap();
    assert_eq!(event.id.as_deref(), call["id"].as_str());
    let text = |name: &str| call[name].as_str().unwrap().to_owned();
    (text("user"), text("tool"), text("outcome"))
}

fn triple(user: &str, tool: &str, outcome: &str) -> (String, String, String) {
    (user.into(), tool.into(), outcome.into())
}

/// Whether a stream is over within the time it has.
fn ends(events: &mut Events) -> bool {
    let begun = crate::support::wait::now();
    while begun.elapsed() < CUT {
        if events.next_within(CUT).is_none() {
            return begun.elapsed() < CUT;
        }
    }
    false
}

#[test]
fn calls_are_seen_as_they_end_by_those_who_may_see_them() {
    let toy = servers::modern(&["echo", "fail"], |seen, conn| match seen.tool().as_str() {
        "fail" => conn.result(seen, json!({ "content": [{ "type": "text", "text": "no" }], "isError": true })),
        _ => conn.says(seen, "done"),
    });
    let other = servers::plain(&["echo"]);
    let Place { gateway, admin, editor: olga, .. } = place_with(setup(), &[("toy", &toy), ("other", &other)]);
    let (alice, joined) = gateway.member("alice", "member", Some("eng"));
    let alices = gateway.editor("eng", joined["token"]["token"].as_str().unwrap());
    let mut all = watch(&admin, "");
    let mut of_alice = watch(&admin, "user=alice");
    let mut of_other = watch(&admin, "server=other&tool=other__echo");
    let mut failed = watch(&admin, "failed=true");
    let mut own = watch(&alice, "namespace=acme");
    olga.call("toy__echo", json!({})).expect(200);
    assert_eq!(call(&mut all), triple("Alice Chen", "toy__echo", "ok"));
    alices.call("other__echo", json!({})).expect(200);
    for stream in [&mut all, &mut of_alice, &mut of_other, &mut own] {
        assert_eq!(call(stream), triple("alice", "other__echo", "ok"));
    }
    // Somebody new, and a call that fails.
    let late = gateway.editor("eng", &admin.token("eng", "Late Comer").raw);
    late.call("toy__fail", json!({})).expect(200);
    for stream in [&mut all, &mut failed] {
        assert_eq!(call(stream), triple("Late Comer", "toy__fail", "tool_error"));
    }
    alices.call("toy__fail", json!({})).expect(200);
    for stream in [&mut all, &mut failed, &mut own, &mut of_alice] {
        assert_eq!(call(stream), triple("alice", "toy__fail", "tool_error"), "and nothing in between");
    }
    for foreign in ["Late Comer", "Alice Chen"] {
        assert!(!own.raw.contains(foreign), "{}", own.raw);
    }
    // What was seen is what is listed.
    let listed = || admin.get("/workspaces/eng/calls").expect(200).json()["data"].as_array().unwrap().clone();
    until("the calls are written", || listed().len() == 4);
    let seen = all.raw.lines().filter_map(|line| line.strip_prefix("data: "));
    let mut seen: Vec<Value> = seen.map(|data| serde_json::from_str(data).unwrap()).collect();
    seen.reverse();
    assert_eq!(seen, listed());
}

#[test]
fn a_stream_is_asked_for_in_so_many_words_and_by_those_who_may() {
    let toy = servers::plain(&["echo"]);
    let Place { gateway, admin, .. } =
        place_with(setup().set("analytics.live_readers_per_account", 2), &[("toy", &toy)]);
    let (alice, _) = gateway.member("alice", "viewer", None);
    let (stranger, _) = gateway.member("mallory", "viewer", None);
    let status = |who: &Admin, query: &str| asking(who, query).open(who.address).status;
    let plain = admin.get("/workspaces/eng/calls/stream").expect(406).json();
    assert!(plain["hint"].as_str().unwrap().contains("text/event-stream"), "{plain}");
    assert_eq!(status(&stranger, ""), 404, "a foreign workspace is unknown");
    assert_eq!(status(&admin, "user=Nobody"), 404);
    assert_eq!(status(&admin, "usr=Nobody"), 400);
    assert_eq!(status(&alice, "namespace=acme&user=Alice%20Chen"), 403);
    let (first, second) = (watch(&admin, ""), watch(&admin, ""));
    assert_eq!(status(&admin, ""), 429);
    let _others_may = watch(&alice, "namespace=acme");
    first.leave();
    until("the place is free", || status(&admin, "") == 200);
    second.leave();
}

#[test]
fn a_stream_ends_with_the_right_to_see_it() {
    let toy = servers::plain(&["echo"]);
    let setup = setup().set("analytics.live_check_seconds", 1);
    let Place { gateway, admin, editor, .. } = place_with(setup, &[("toy", &toy)]);
    let (alice, _) = gateway.member("alice", "admin", None);
    let (bob, _) = gateway.member("bob", "member", None);
    let made = admin.post("/api-keys", json!({ "name": "watcher" })).expect(201).json();
    let key = gateway.with_key(made["key"].as_str().unwrap());
    let mut browser = Browser::new(gateway.address);
    browser.sign_in("alice", PASSWORD);
    let page = browser.api_request("GET", "/workspaces/eng/calls/stream?namespace=acme", None);
    let mut on_a_page = page.header("accept", "text/event-stream").open(gateway.address).events();
    let (mut with_key, mut alices) = (watch(&key, ""), watch(&alice, "namespace=acme"));
    let mut bobs = watch(&bob, "namespace=acme");
    editor.call("toy__echo", json!({})).expect(200);
    for stream in [&mut on_a_page, &mut with_key, &mut alices] {
        call(stream);
    }
    browser.api("DELETE", "/session", None);
    assert!(ends(&mut on_a_page), "the session ended");
    admin.delete(&format!("/api-keys/{}", made["id"].as_str().unwrap())).expect(200);
    assert!(ends(&mut with_key), "the key was revoked");
    admin.patch("/team/members/alice", json!({ "role": "member" })).expect(200);
    assert!(ends(&mut alices), "the role changed");
    admin.delete("/team/members/bob").expect(200);
    assert!(ends(&mut bobs), "no member any more");
    let (mut mine, mut moved) = (watch(&admin, ""), watch(&admin, ""));
    editor.call("toy__echo", json!({})).expect(200);
    call(&mut mine);
    admin.delete("/workspaces/eng").expect(200);
    assert!(ends(&mut mine) && ends(&mut moved), "the workspace is gone");
}

#[test]
fn a_stream_in_which_nothing_happens_ends_within_seconds_of_the_right_to_see_it() {
    let Place { gateway, admin, .. } = place_with(setup(), &[]);
    let (bob, _) = gateway.member("bob", "member", None);
    let made = admin.post("/api-keys", json!({ "name": "watcher" })).expect(201).json();
    let mut with_key = watch(&gateway.with_key(made["key"].as_str().unwrap()), "");
    let mut bobs = watch(&bob, "namespace=acme");
    admin.delete(&format!("/api-keys/{}", made["id"].as_str().unwrap())).expect(200);
    admin.delete("/team/members/bob").expect(200);
    // As configured, and without a call that would bring it to light.
    assert!(ends(&mut with_key), "the key was revoked");
    assert!(ends(&mut bobs), "no member any more");
}

#[test]
fn whoever_does_not_keep_up_is_told_how_many_were_left_out() {
    let toy = servers::plain(&["echo"]);
    let setup = setup().set("analytics.live_queue", 1).set("analytics.flush_ms", 1500);
    let Place { mut gateway, admin, editor, .. } = place_with(setup, &[("toy", &toy)]);
    let mut events = watch(&admin, "");
    for _ in 0..20 {
        editor.call("toy__echo", json!({})).expect(200);
    }
    let (mut seen, mut missed) = (0, 0);
    while seen + missed < 20 {
        let event = events.next().expect("another event");
        match event.name.as_str() {
            "call" => seen += 1,
            _ => missed += serde_json::from_str::<Value>(&event.data).unwrap()["missed"].as_u64().unwrap(),
        }
    }
    assert!(seen >= 1 && missed >= 1 && seen + missed == 20, "{seen} seen, {missed} missed");
    // A gateway that stops does not wait for whoever watches.
    gateway.signal("TERM");
    assert!(ends(&mut events));
    assert_eq!(gateway.ended(CUT).code(), Some(0));
}
