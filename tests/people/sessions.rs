//! Signing in on the pages: the cookie, what it opens and what not, its end; wrong passwords.

use serde_json::json;

use crate::support::{
    Browser,
    people::{PASSWORD, on_both, setup},
    process::Setup,
};

#[test]
fn a_session_opens_the_admin_api_for_pages_of_this_gateway_only() {
    let gateway = setup().start();
    gateway.member("alice", "admin", None);
    let mut browser = Browser::new(gateway.address);
    let answer = browser
        .submit("/signin", &[("username", "alice@example.com"), ("password", PASSWORD), ("next", "//evil.example")]);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/overview")));
    let cookie = answer.header("set-cookie").unwrap();
    for part in ["aerostack=ses_", "HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert_eq!(browser.api("GET", "/whoami", None).expect(200).json()["username"], "alice");
    let body = json!({ "slug": "engineering" });
    let path = "/workspaces?namespace=acme";
    // A change needs a page of this gateway; reading does not.
    browser.api_request("GET", "/whoami", None).send(gateway.address).expect(200);
    browser.api_request("POST", path, Some(&body)).send(gateway.address).expect(403);
    for foreign in [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        browser.api_request("POST", path, Some(&body)).header(foreign.0, foreign.1).send(gateway.address).expect(403);
    }
    assert_eq!(gateway.admin().get("/workspaces").json()["data"], json!([]), "nothing was made");
    browser.api("POST", path, Some(&body)).expect(201);
    // It does not open the gateway, nor does a stolen one outlive its end.
    let stolen = browser.clone();
    browser.submit("/signout", &[]);
    assert_eq!(browser.cookie, None);
    stolen.api("GET", "/whoami", None).expect(401);
}

/// S-84: a new password ends the others; an ended one is worth nothing.
#[test]
fn a_new_password_ends_the_other_sessions_and_each_sign_in_is_a_new_session() {
    on_both(new_password);
}

fn new_password(setup: Setup) {
    let gateway = setup.start();
    let (key, _) = gateway.member("alice", "member", None);
    let (mut here, mut there) = (Browser::new(gateway.address), Browser::new(gateway.address));
    here.sign_in("alice", PASSWORD);
    there.sign_in("alice", PASSWORD);
    assert_ne!(here.cookie, there.cookie);
    assert_eq!(key.get("/sessions").expect(200).json()["data"].as_array().unwrap().len(), 2);
    let next = "a wholly different sentence";
    here.api("POST", "/account/password", Some(&json!({ "current": "wrong", "new": next }))).expect(403);
    here.api("POST", "/account/password", Some(&json!({ "current": PASSWORD, "new": "password1234" }))).expect(422);
    let page = here.submit("/account", &[("current", PASSWORD), ("new", next)]).expect(200);
    assert!(page.text().contains("The password is changed."), "{}", page.text());
    here.api("GET", "/whoami", None).expect(200);
    there.api("GET", "/whoami", None).expect(401);
    assert_eq!(there.submit("/signin", &[("username", "alice"), ("password", PASSWORD)]).status, 401);
    there.sign_in("alice", next);
    let sessions = here.api("GET", "/sessions", None).json();
    let other = sessions["data"].as_array().unwrap().iter().find(|one| one["current"] == false).unwrap().clone();
    here.api("DELETE", &format!("/sessions/{}", other["id"].as_str().unwrap()), None).expect(200);
    there.api("GET", "/whoami", None).expect(401);
}

#[test]
fn wrong_passwords_and_unknown_names_look_the_same_and_have_to_wait() {
    let gateway = setup().start();
    gateway.member("alice", "member", None);
    let try_as = |name: &str, password: &str| {
        Browser::new(gateway.address)
            .api_request("POST", "/session", Some(&json!({ "username": name, "password": password })))
            .send(gateway.address)
    };
    let answer = |name: &str| {
        let mut body = try_as(name, "wrong wrong wrong").expect(401).json();
        body["request_id"] = json!(null);
        body
    };
    assert_eq!(answer("alice"), answer("nobody"));
    (0..4).for_each(|_| drop(try_as("alice", "wrong wrong wrong").expect(401)));
    let waiting = try_as("alice", PASSWORD).expect(429);
    assert!(waiting.header("retry-after").is_some_and(|seconds| seconds.parse::<u64>().unwrap() > 20), "{waiting:?}");
    // Others do not wait.
    gateway.member("bob", "member", None);
    try_as("bob", PASSWORD).expect(201);
    // JSON only: no form of another site can send it.
    let form =
        Browser::new(gateway.address).form("/api/v1/admin/session", &[("username", "bob"), ("password", PASSWORD)]);
    form.send(gateway.address).expect(415);
}

#[test]
fn the_first_owner_sets_a_password_on_the_command_line() {
    let gateway = setup().start();
    let mut browser = Browser::new(gateway.address);
    assert_eq!(browser.submit("/signin", &[("username", "acme"), ("password", PASSWORD)]).status, 401);
    let (exit, out, err) =
        gateway.aerostack("owner", &["account", "password", "--password-stdin"], &format!("{PASSWORD}\n"));
    assert_eq!((exit, out.as_str()), (0, "✓ Password set.\n"), "{err}");
    browser.sign_in("acme", PASSWORD);
    // Again: the one until now is needed.
    let (exit, _, err) =
        gateway.aerostack("owner", &["account", "password", "--password-stdin"], "another long sentence\n");
    assert!(exit == 1 && err.contains("422"), "{err}");
    let (exit, out, _) = gateway.aerostack("owner", &["account", "sessions"], "");
    assert!(exit == 0 && out.contains("sin_"), "{out}");
}
