//! What would let somebody in: it ends in time, is in no log and no copy of the database, and no page or link can be turned
//! against whoever has it (S-66, S-82, S-84, S-85, S-87).

use std::{fs, time::Duration};

use aerostack::domain::clock;
use chrono::TimeDelta;
use serde_json::json;

use crate::support::{
    Browser, Request,
    people::{PASSWORD, on_both, setup},
    place_with,
    process::Setup,
};

fn hours_ago(hours: i64) -> String {
    (clock::now() - TimeDelta::hours(hours)).to_rfc3339()
}

/// S-84: how long a session lives.
#[test]
fn a_session_ends_when_nobody_uses_it_for_eight_hours_and_after_a_week_in_any_case() {
    on_both(idle_and_old);
}

fn idle_and_old(setup: Setup) {
    let mut gateway = setup.start();
    let mut browsers: Vec<Browser> = ["alice", "bob"]
        .iter()
        .map(|name| {
            gateway.member(name, "member", None);
            let mut browser = Browser::new(gateway.address);
            browser.sign_in(name, PASSWORD);
            browser
        })
        .collect();
    gateway.signal("TERM");
    assert_eq!(gateway.ended(Duration::from_secs(20)).code(), Some(0));
    for (name, hours) in [("alice", 9), ("bob", 7)] {
        let of = format!("account_id = (SELECT id FROM accounts WHERE username = '{name}')");
        gateway.look_back(&format!("UPDATE sessions SET seen_at = '{}' WHERE {of}", hours_ago(hours)));
    }
    let next = gateway.setup.clone().start();
    browsers.iter_mut().for_each(|browser| browser.address = next.address);
    let [alice, bob] = browsers.as_mut_slice() else { panic!("two") };
    alice.api("GET", "/whoami", None).expect(401);
    assert_eq!(alice.get("/overview").status, 303, "to signing in");
    bob.api("GET", "/whoami", None).expect(200);
    // Used, and too old all the same.
    next.look_back(&format!("UPDATE sessions SET expires_at = '{}'", hours_ago(0)));
    bob.api("GET", "/whoami", None).expect(401);
}

/// S-84: a new one at each sign-in, none after a change of rights.
#[test]
fn a_session_is_never_one_that_was_there_before_and_ends_with_another_role() {
    let gateway = setup().start();
    gateway.member("alice", "member", None);
    let planted = "aerostack=ses_0123456789ABCDEFGHIJKLMNOPQRST0wPdvp";
    let mut browser = Browser::new(gateway.address);
    browser.cookie = Some(planted.into());
    browser.sign_in("alice", PASSWORD);
    assert_ne!(browser.cookie.as_deref(), Some(planted));
    let old = browser.clone();
    browser.sign_in("alice", PASSWORD);
    assert_ne!(browser.cookie, old.cookie, "each time another one");
    gateway.admin().patch("/team/members/alice", json!({ "role": "admin" })).expect(200);
    for replayed in [&old, &browser] {
        replayed.api("GET", "/whoami", None).expect(401);
    }
}

/// S-82: refusals and errors included.
#[test]
fn no_page_can_be_put_into_a_frame_whatever_it_answers() {
    let place = place_with(setup(), &[]);
    let gateway = &place.gateway;
    gateway.member("alice", "viewer", None);
    let mut browser = Browser::new(gateway.address);
    let mut answers = Vec::new();
    let paths = ["/", "/signin", "/join", "/device", "/account", "/overview", "/workspaces", "/workspaces/nowhere"];
    for path in paths.iter().chain(&["/team", "/audit", "/settings", "/nowhere", "/signin?next=%ff", "/ws/eng"]) {
        answers.push((*path, browser.get(path)));
    }
    browser.sign_in("alice", PASSWORD);
    for path in paths.iter().chain(&["/team", "/audit", "/health", "/ui/x/nothing.js"]) {
        answers.push((*path, browser.get(path)));
    }
    answers.push(("POST /join", browser.submit("/join", &[("do", "look"), ("code", "inv_x")])));
    answers.push(("POST /signin", browser.form("/signin", &[("username", "x")]).send(gateway.address)));
    answers.push(("Host: evil", Request::get("/signin").with("host", "evil.example").send(gateway.address)));
    let mut pages = 0;
    for (path, answer) in answers {
        if answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
            pages += 1;
            assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}: {}", answer.status);
            let policy = answer.header("content-security-policy").unwrap_or_default();
            assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        }
    }
    assert!(pages >= 12, "only {pages} pages");
}

/// S-85: a poisoned `Host` is in no link.
#[test]
fn links_are_made_of_the_public_url_whatever_host_a_request_names() {
    let place = place_with(setup().known_as("https://mcp.example.com/team"), &[]);
    let made = place.admin.post("/workspaces/eng/tokens", json!({ "name": "Bob" })).expect(201).json();
    assert_eq!(made["url"], "https://mcp.example.com/team/ws/eng");
    assert!(
        made.to_string().contains("https://mcp.example.com/team/ws/eng") && !made.to_string().contains("127.0.0.1")
    );
    let invited = place.admin.post("/team/invites", json!({ "email": "alice@example.com" })).expect(201).json();
    assert!(invited["link"].as_str().unwrap().starts_with("https://mcp.example.com/team/join#inv_"), "{invited}");
    // A name that is not ours is refused before anything is made.
    for (path, body) in [
        ("/workspaces/eng/tokens", json!({ "name": "Mallory" })),
        ("/team/invites", json!({ "email": "mallory@example.com" })),
    ] {
        let poisoned = place.admin.request("POST", path, Some(&body)).with("host", "evil.example");
        let answer = poisoned.send(place.admin.address).expect(403);
        assert!(!answer.everything().contains("evil.example"), "{}", answer.everything());
    }
    let left = place.admin.get("/workspaces/eng/tokens").text() + &place.admin.get("/team/members").text();
    assert!(!left.contains("allory"), "{left}");
}

/// S-87: a stolen copy of the database opens nothing.
#[test]
fn what_opens_something_is_in_no_log_and_in_no_copy_of_the_database() {
    on_both(in_no_copy);
}

fn in_no_copy(setup: Setup) {
    let setup = setup.set("telemetry.log", "trace");
    let url = setup.environment("AEROSTACK_DATABASE_URL");
    let place = place_with(setup, &[]);
    let gateway = &place.gateway;
    place.admin.server("toy", "http://127.0.0.1:9/mcp");
    place.admin.secret("toy", "KEY", "CANARY-5e0c7d9b1a3f5e7c");
    // A link that a mail scanner opens is as good as before; the one that nobody opened too.
    let (opened, open) = (
        gateway.invite(json!({ "email": "alice@example.com" })),
        gateway.invite(json!({ "email": "bob@example.com" })),
    );
    for _ in 0..5 {
        let page = Browser::new(gateway.address).get("/join").expect(200);
        assert!(!page.everything().contains("inv_"), "{}", page.everything());
        Browser::new(gateway.address).open_invitation(&opened).expect(200);
    }
    let joined = gateway.accept(&opened, "alice").expect(201).json();
    let mut browser = Browser::new(gateway.address);
    browser.sign_in("alice", PASSWORD);
    let begun = browser.api_request("POST", "/login-requests", Some(&json!({ "client": "x" })));
    let begun = begun.send(gateway.address).expect(201).json();
    let cookie = browser.cookie.clone().unwrap();
    let key = fs::read(gateway.setup.data_dir().join("secrets.key")).expect("the key that the first start made");
    let key = String::from_utf8(key).unwrap().trim().to_owned();
    let secrets = [
        ("a workspace token", place.token.raw.as_str()),
        ("an API key", joined["api_key"].as_str().unwrap()),
        ("the owner's key", place.admin.key.as_str()),
        ("a used invitation", &opened),
        ("an open invitation", &open),
        ("a session", cookie.split('=').nth(1).unwrap()),
        ("a login", begun["device_code"].as_str().unwrap()),
        ("a password", PASSWORD),
        ("a secret of a server", "CANARY-5e0c7d9b1a3f5e7c"),
        ("the vault's key", &key),
    ];
    let mut kept = vec![("the log".to_owned(), gateway.log().into_bytes())];
    for entry in fs::read_dir(gateway.setup.data_dir()).unwrap().flatten() {
        if entry.file_name().to_string_lossy().contains(".db") {
            kept.push((entry.path().display().to_string(), fs::read(entry.path()).unwrap()));
        }
    }
    if let Some(url) = url {
        let dump = std::process::Command::new("pg_dump").arg("--inserts").arg(&url).output().expect("pg_dump");
        assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
        kept.push(("the dump".into(), dump.stdout));
    }
    assert!(kept.len() >= 2, "nothing was looked at");
    for (place, bytes) in &kept {
        for (what, value) in secrets {
            assert!(value.len() > 8 && memchr::memmem::find(bytes, value.as_bytes()).is_none(), "{what} is in {place}");
        }
    }
}
