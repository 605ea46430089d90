//! Logging in a command line with a browser: confirmed, refused, once.

use std::io::{BufRead as _, BufReader};

use serde_json::{Value, json};

use crate::support::{
    Browser,
    people::{PASSWORD, on_both, setup},
    process::Setup,
};

fn begin(browser: &Browser) -> Value {
    let body = json!({ "client": "a laptop" });
    browser.api_request("POST", "/login-requests", Some(&body)).send(browser.address).expect(201).json()
}

fn poll(browser: &Browser, begun: &Value) -> crate::support::Response {
    let body = json!({ "device_code": begun["device_code"] });
    browser.api_request("POST", "/login-requests:poll", Some(&body)).send(browser.address)
}

#[test]
fn a_command_line_gets_its_key_when_somebody_confirms_it_and_logging_out_revokes_it() {
    let gateway = setup().set("people.login_poll_seconds", 1).start();
    gateway.member("alice", "member", None);
    let url = format!("http://{}", gateway.address);
    let mut command = gateway.command_of("laptop", &["login", "--url", &url, "--browser"]).spawn().unwrap();
    let mut said = BufReader::new(command.stderr.take().unwrap()).lines().map_while(Result::ok);
    let first = said.next().unwrap();
    let page = first.split_whitespace().find(|word| word.starts_with("http")).unwrap().to_owned();
    let code = said.next().unwrap().trim_end_matches('.').rsplit(' ').next().unwrap().to_owned();
    assert_eq!(page.strip_prefix(&url), Some(format!("/device#{code}").as_str()), "behind the #: no log sees it");

    let mut browser = Browser::new(gateway.address);
    let sent = browser.get("/device");
    assert_eq!(sent.status, 303, "signing in comes first");
    assert_eq!(sent.header("location"), Some("/signin?next=%2Fdevice"), "{sent:?}");
    browser.sign_in("alice", PASSWORD);
    assert!(!browser.get("/device").expect(200).text().contains(&code));
    let shown = browser.submit("/device", &[("code", &code)]).expect(200).text();
    assert!(shown.contains(&code) && shown.contains("127.0.0.1"), "{shown}");
    // A page of another site cannot say yes.
    browser
        .form("/device", &[("code", &code), ("answer", "yes")])
        .header("origin", "https://evil.example")
        .send(gateway.address)
        .expect(403);
    browser.submit("/device", &[("code", &code), ("answer", "yes")]).expect(200);
    let output = command.wait_with_output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{out}");
    assert_eq!(out, format!("✓ Logged in to {url} as alice (owner), profile \"default\".\n"));
    let (exit, out, _) = gateway.aerostack("laptop", &["key", "list"], "");
    assert!(exit == 0 && out.contains("login of") && out.contains("active (this one)"), "{out}");
    let (exit, out, _) = gateway.aerostack("laptop", &["logout"], "");
    assert_eq!((exit, out.as_str()), (0, "✓ Revoked and forgot the key of profile \"default\".\n"));
    let (exit, _, _) = gateway.aerostack("laptop", &["whoami"], "");
    assert_eq!(exit, 4);
    let keys = browser.api("GET", "/api-keys", None).json();
    assert!(keys["data"].as_array().unwrap().iter().any(|key| key["status"] == "revoked"), "{keys}");
}

#[test]
fn a_login_is_answered_once_and_its_key_fetched_once() {
    on_both(login_once);
}

fn login_once(setup: Setup) {
    let gateway = setup.start();
    gateway.member("alice", "member", None);
    let mut browser = Browser::new(gateway.address);
    browser.sign_in("alice", PASSWORD);
    let begun = begin(&browser);
    assert_eq!(poll(&browser, &begun).expect(200).json()["status"], "waiting");
    let code = begun["user_code"].as_str().unwrap();
    browser.submit("/device", &[("code", code), ("answer", "yes")]).expect(200);
    browser.submit("/device", &[("code", code), ("answer", "yes")]).expect(410);
    let fetched = poll(&browser, &begun).expect(200).json();
    assert_eq!((&fetched["status"], &fetched["username"]), (&json!("confirmed"), &json!("alice")));
    gateway.with_key(fetched["api_key"].as_str().unwrap()).get("/whoami").expect(200);
    poll(&browser, &begun).expect(410);

    let refused = begin(&browser);
    browser.submit("/device", &[("code", refused["user_code"].as_str().unwrap()), ("answer", "no")]).expect(200);
    poll(&browser, &refused).expect(410);
    browser.submit("/device", &[("code", "BCDF-GHJK")]).expect(404);
    // Without a session nobody says yes; an unknown secret is over.
    let begun = begin(&browser);
    let stranger = &mut Browser::new(gateway.address);
    assert_eq!(
        stranger.submit("/device", &[("code", begun["user_code"].as_str().unwrap()), ("answer", "yes")]).status,
        303
    );
    poll(&browser, &json!({ "device_code": "rec_x" })).expect(410);
    assert!(!gateway.log().contains(begun["device_code"].as_str().unwrap()));
}

#[test]
fn who_asks_too_often_without_a_key_has_to_wait() {
    let gateway = setup().set("people.open_requests_per_minute", 5).start();
    let browser = Browser::new(gateway.address);
    (0..5).for_each(|_| drop(begin(&browser)));
    let body = json!({ "client": "a laptop" });
    let refused = browser.api_request("POST", "/login-requests", Some(&body)).send(gateway.address).expect(429);
    assert!(refused.header("retry-after").is_some());
    gateway.admin().get("/whoami").expect(200);
}

#[test]
fn logging_out_revokes_the_saved_key_whichever_the_environment_has() {
    let gateway = setup().start();
    let code = gateway.invite(json!({ "email": "alice@example.com" }));
    let link = format!("http://{}/join#{code}", gateway.address);
    let join = ["team", "join", &link, "--username", "alice", "--password-stdin"];
    assert_eq!(gateway.aerostack("alice", &join, &format!("{PASSWORD}\n")).0, 0);
    let saved = gateway.setup.config_dir().with_file_name("config-alice").join("credentials.toml");
    let text = std::fs::read_to_string(saved).unwrap();
    let saved = text.split('"').find(|word| word.starts_with("aak_")).unwrap().to_owned();
    gateway.with_key(&saved).get("/whoami").expect(200);
    let output = gateway.command_of("alice", &["logout"]).env("AEROSTACK_API_KEY", &gateway.key).output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(out, "✓ Revoked and forgot the key of profile \"default\".\n");
    gateway.with_key(&saved).get("/whoami").expect(401);
    gateway.admin().get("/whoami").expect(200);
}
