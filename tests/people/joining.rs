//! Accepting an invitation: on the page, over the API and on the command line; once, in time, by the right person.

use std::thread;

use serde_json::json;

use crate::support::{
    Browser, Upstream,
    people::{PASSWORD, on_both, setup},
    place::Place,
    place_with,
    process::Setup,
    servers,
};

#[test]
fn a_page_makes_an_account_and_a_token_and_looking_uses_nothing_up() {
    let toy = servers::plain(&["echo"]);
    let Place { gateway, admin, .. } = place_with(setup(), &[("toy", &toy)]);
    let code = gateway.invite(json!({ "email": "alice@example.com", "workspace": "eng" }));
    let mut browser = Browser::new(gateway.address);
    for _ in 0..5 {
        let page = browser.open_invitation(&code).expect(200);
        assert!(page.text().contains("Join @acme") && page.text().contains("alice@example.com"), "{}", page.text());
        assert_eq!(page.header("referrer-policy"), Some("strict-origin"));
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(page.header("x-frame-options"), Some("DENY"));
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert!(
            !page.text().contains("<script>") && !page.text().contains("http://") && !page.text().contains("https://")
        );
    }
    // Typed wrong: the form comes again, the invitation lives, and what was typed is only text.
    let join = |username: &'static str, password: &'static str| {
        [("do", "join"), ("code", code.as_str()), ("username", username), ("password", password)]
    };
    let typed = browser.submit("/join", &join("\"><b>x", PASSWORD)).expect(422);
    assert!(!typed.text().contains("<b>x"), "{}", typed.text());
    browser.submit("/join", &join("alice", "short")).expect(422);
    let done = browser.submit("/join", &join("alice", PASSWORD)).expect(201);
    let raw = done.text().split("mwt_").nth(1).map(|rest| format!("mwt_{}", &rest[..36])).expect("a token");
    assert!(gateway.editor("eng", &raw).tools().contains(&"toy__echo".to_owned()));
    assert!(browser.get("/account").expect(200).text().contains("@acme"), "signed in");
    let rows = admin.get("/workspaces/eng/tokens").json();
    assert!(rows["data"].as_array().unwrap().iter().any(|row| row["name"] == "alice"), "{rows}");
    // Used up: as one that never was.
    let never = "inv_0123456789ABCDEFGHIJKLMNOPQRST0wPdvp";
    let used = Browser::new(gateway.address).open_invitation(&code).expect(410);
    assert_eq!(used.text(), Browser::new(gateway.address).open_invitation(never).expect(410).text());
    assert!(!gateway.log().contains(&code) && !gateway.log().contains(PASSWORD));
}

/// S-66: an invitation is used once.
#[test]
fn of_twenty_who_accept_at_once_one_joins() {
    on_both(twenty_accept);
}

fn twenty_accept(setup: Setup) {
    let gateway = setup.start();
    let code = gateway.invite(json!({ "email": "alice@example.com" }));
    let mut statuses: Vec<u16> = thread::scope(|scope| {
        let ways: Vec<_> = (0..20)
            .map(|n| (n, &gateway, &code))
            .map(|(n, gateway, code)| scope.spawn(move || gateway.accept(code, &format!("alice{n}")).status))
            .collect();
        ways.into_iter().map(|way| way.join().unwrap()).collect()
    });
    statuses.sort_unstable();
    assert_eq!(statuses[0], 201, "{statuses:?}");
    // Those who come when the account is there are told so; the invitation is used up for all of them.
    assert!(statuses[1..].iter().all(|status| [409, 410].contains(status)), "{statuses:?}");
    assert_eq!(gateway.admin().get("/team/members").json()["data"].as_array().unwrap().len(), 2);
}

#[test]
fn replaced_revoked_and_foreign_invitations_are_refused_alike() {
    on_both(refused_alike);
}

fn refused_alike(setup: Setup) {
    let gateway = setup.start();
    let owner = gateway.admin();
    let old = gateway.invite(json!({ "email": "alice@example.com" }));
    let new = gateway.invite(json!({ "email": "alice@example.com" }));
    let rows = owner.get("/team/members").json();
    let pending: Vec<_> = rows["data"].as_array().unwrap().iter().filter(|row| row["status"] == "pending").collect();
    assert_eq!(pending.len(), 1, "{rows}");
    let id = pending[0]["invite"].as_str().unwrap();
    let (mallory, _) = gateway.member("mallory", "viewer", None);
    // Of another namespace: unknown.
    mallory.delete(&format!("/team/invites/{id}")).expect(404);
    mallory.delete(&format!("/team/invites/ivt_{}", "0".repeat(32))).expect(404);
    owner.delete(&format!("/team/invites/{id}")).expect(200);
    owner.delete(&format!("/team/invites/{id}")).expect(404);
    let bodies: Vec<String> = [old.as_str(), new.as_str(), "inv_0123456789ABCDEFGHIJKLMNOPQRST0wPdvp"]
        .iter()
        .map(|code| {
            let mut body = gateway.accept(code, "alice").expect(410).json();
            body["request_id"] = json!(null);
            body["instance"] = json!(null);
            body.to_string()
        })
        .collect();
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
}

#[test]
fn an_expired_invitation_looks_like_one_that_never_was() {
    on_both(expired);
}

fn expired(setup: Setup) {
    let gateway = setup.start();
    let code = gateway.invite(json!({ "email": "alice@example.com" }));
    gateway.look_back("UPDATE invites SET expires_at = '2020-01-01T00:00:00+00:00'");
    let said = |answer: crate::support::Response| {
        let mut body = answer.expect(410).json();
        (body["request_id"], body["instance"]) = (json!(null), json!(null));
        body.to_string()
    };
    let never = "inv_0123456789ABCDEFGHIJKLMNOPQRST0wPdvp";
    assert_eq!(said(gateway.accept(&code, "alice")), said(gateway.accept(never, "alice")));
    let page = |code: &str| Browser::new(gateway.address).open_invitation(code).expect(410).text();
    assert_eq!(page(&code), page(never));
    let link = format!("http://{}/join#{code}", gateway.address);
    let arguments = ["team", "join", &link, "--username", "alice", "--password-stdin"];
    let (exit, _, err) = gateway.aerostack("alice", &arguments, &format!("{PASSWORD}\n"));
    assert!(exit == 3 && err.contains("410"), "{err}");
    let rows = gateway.admin().get("/team/members").json();
    assert_eq!(rows["data"].as_array().unwrap().len(), 1, "nobody joined, and it is not open any more: {rows}");
    // Another one can be made.
    let again = gateway.invite(json!({ "email": "alice@example.com" }));
    gateway.accept(&again, "alice").expect(201);
}

/// S-66: and by whom it was sent to.
#[test]
fn an_invitation_is_for_one_address() {
    on_both(for_one_address);
}

fn for_one_address(setup: Setup) {
    let gateway = setup.start();
    let (mallory, _) = gateway.member("mallory", "viewer", None);
    let code = gateway.invite(json!({ "email": "alice@example.com", "role": "admin" }));
    let accept = format!("/team/invites/{code}/accept");
    mallory.post(&accept, json!({})).expect(403);
    let (alice, joined) = {
        // An account of that address exists: nobody makes a second one, its owner accepts.
        gateway.accept(&code, "alice").expect(201);
        let again = gateway.invite(json!({ "email": "carol@example.com", "role": "viewer" }));
        let carol = gateway.accept(&again, "carol").expect(201).json();
        (gateway.with_key(carol["api_key"].as_str().unwrap()), carol)
    };
    assert_eq!((&joined["created"], &joined["role"]), (&json!(true), &json!("viewer")));
    gateway.admin().delete("/team/members/carol").expect(200);
    let back = gateway.invite(json!({ "email": "carol@example.com", "role": "member" }));
    gateway.accept(&back, "carol2").expect(409);
    let again = alice.post(&format!("/team/invites/{back}/accept"), json!({})).expect(201).json();
    assert_eq!((&again["created"], &again["role"]), (&json!(false), &json!("member")));
    // Members are not invited twice.
    gateway.admin().post("/team/invites", json!({ "email": "carol@example.com" })).expect(409);
}

#[test]
fn joining_on_the_command_line_makes_an_account_a_profile_and_a_token() {
    on_both(joins_on_the_command_line);
}

fn joins_on_the_command_line(setup: Setup) {
    let gateway = setup.start();
    gateway.admin().workspace("engineering");
    let code = gateway.invite(json!({ "email": "alice@example.com", "workspace": "engineering" }));
    let link = format!("http://{}/join#{code}", gateway.address);
    let (exit, _, err) = gateway.aerostack("alice", &["team", "join", &link], "");
    assert!(exit == 2 && err.contains("--username"), "{err}");
    let arguments = ["team", "join", &link, "--username", "alice", "--password-stdin"];
    let (exit, out, err) = gateway.aerostack("alice", &arguments, &format!("{PASSWORD}\n"));
    assert_eq!(exit, 0, "{err}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "✓ Joined @acme as member. Logged in as alice, profile \"default\".", "{out}");
    assert!(lines[1].starts_with("mwt_") && gateway.editor("engineering", lines[1]).tools().is_empty(), "{out}");
    let (_, out, _) = gateway.aerostack("alice", &["whoami", "-o", "json"], "");
    assert!(out.contains("\"username\": \"alice\"") && out.contains("\"namespace\": \"acme\""), "{out}");
    let (exit, out, err) = gateway.aerostack("alice", &["team", "use", "acme"], "");
    assert_eq!((exit, out.as_str()), (0, "✓ Now acting in @acme as member.\n"), "{err}");
    let (_, out, _) = gateway.aerostack("alice", &["workspace", "list"], "");
    assert!(out.contains("engineering"), "{out}");
    let (exit, _, err) = gateway.aerostack("alice", &arguments, &format!("{PASSWORD}\n"));
    assert!(exit == 3 && err.contains("410"), "{err}");
}

#[test]
fn a_form_from_elsewhere_does_nothing() {
    let gateway = setup().start();
    let code = gateway.invite(json!({ "email": "alice@example.com" }));
    let browser = Browser::new(gateway.address);
    let form = browser.form("/join", &[("do", "join"), ("code", &code), ("username", "alice"), ("password", PASSWORD)]);
    for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("x-nothing", "x")] {
        form.clone().header(name, value).send(gateway.address).expect(403);
    }
    gateway.accept(&code, "alice").expect(201);
}

#[test]
fn a_link_gets_the_key_of_the_environment_only_where_it_would_have_gone_without_the_link() {
    let stranger = Upstream::start(|_, conn| conn.json(200, "{}"));
    let gateway = setup().start();
    let (alice, _) = gateway.member("alice", "viewer", None);
    gateway.admin().delete("/team/members/alice").expect(200);
    let code = gateway.invite(json!({ "email": "alice@example.com" }));
    let url = |address| format!("http://{address}/join#{code}");
    let join = |link: &str, others: &[(&str, &str)]| {
        let mut command = gateway.command_of("alice", &["team", "join", link]);
        let output = command.env("AEROSTACK_API_KEY", &alice.key).envs(others.iter().copied()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let own = format!("http://{}", gateway.address);
    for others in [&[][..], &[("AEROSTACK_URL", own.as_str())]] {
        let (exit, said) = join(&url(stranger.address), others);
        assert!(exit == Some(2) && said.contains("Which user name"), "{said}");
    }
    assert!(!stranger.transcript().contains("aak_"), "whoever wrote the link does not get it");
    let (exit, said) = join(&url(gateway.address), &[]);
    assert_eq!(exit, Some(2), "not chosen without the link either: {said}");
    let (exit, said) = join(&url(gateway.address), &[("AEROSTACK_URL", &own)]);
    assert_eq!(exit, Some(0), "{said}");
}

#[test]
fn a_password_that_others_can_read_on_the_way_is_warned_of() {
    let gateway = setup().start();
    let code = gateway.invite(json!({ "email": "alice@example.com" }));
    // The same gateway under an address that is not known to stay on this machine.
    let link = format!("http://[::ffff:127.0.0.1]:{}/join#{code}", gateway.address.port());
    let arguments = ["team", "join", &link, "--username", "alice", "--password-stdin"];
    let (_, _, err) = gateway.aerostack("alice", &arguments, &format!("{PASSWORD}\n"));
    assert!(err.contains("is not encrypted: the password crosses the network in clear"), "{err}");
}
