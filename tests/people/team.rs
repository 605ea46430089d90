//! The team: inviting by mail and without, lists, roles.

use serde_json::json;

use crate::support::{
    people::{on_both, setup},
    process::Setup,
    smtp::{Manner, Smtp},
};

fn with_mail(smtp: &Smtp) -> Setup {
    setup()
        .set("mail.host", "127.0.0.1")
        .set("mail.port", smtp.address.port())
        .set("mail.tls", "none")
        .set("mail.from", "Aerostack <aerostack@example.com>")
        .set("mail.user", "postman")
        .env("AEROSTACK_MAIL_PASSWORD", "CANARY-smtp-password")
}

#[test]
fn an_invitation_is_mailed_and_the_link_is_in_the_mail_alone() {
    let smtp = Smtp::start(Manner::Accepting);
    let gateway = with_mail(&smtp).start();
    gateway.admin().workspace("engineering");
    let (exit, out, err) =
        gateway.aerostack("owner", &["team", "invite", "alice@example.com", "--workspace", "engineering"], "");
    assert_eq!((exit, out.as_str()), (0, "✓ Invitation sent. Alice will receive a join link via email.\n"), "{err}");
    let mail = smtp.mail();
    assert!(mail.contains("To: alice@example.com") && mail.contains("@acme") && mail.contains("engineering"), "{mail}");
    let link = mail.split_whitespace().find(|word| word.contains("/join#inv_")).expect("a link").to_owned();
    assert!(link.starts_with(&format!("http://{}", gateway.address)), "{link}");
    let said = smtp.said().join("\n");
    assert!(said.contains("AUTH PLAIN") && said.contains("RCPT TO:<alice@example.com>"), "{said}");
    let answer = gateway.admin().post("/team/invites", json!({ "email": "bob@example.com" })).expect(201);
    assert_eq!((&answer.json()["mail"], &answer.json()["link"]), (&json!("sent"), &json!(null)));
    assert!(!answer.text().contains("inv_") && !gateway.log().contains("CANARY") && !gateway.log().contains("inv_"));
    let code = link.rsplit('#').next().unwrap();
    gateway.accept(code, "alice").expect(201);
}

#[test]
fn a_mail_that_was_not_accepted_is_never_called_sent() {
    let smtp = Smtp::start(Manner::Refusing);
    let gateway = with_mail(&smtp).start();
    let (exit, out, _) = gateway.aerostack("owner", &["team", "invite", "alice@example.com"], "");
    assert_eq!(exit, 0);
    assert!(
        out.starts_with(
            "✓ Invitation created, but no mail was sent (the mail server refused it); share this link: http"
        ),
        "{out}"
    );
    assert!(!out.contains("Invitation sent"), "{out}");
    // A server without STARTTLS gets neither the mail nor the password.
    let gateway = with_mail(&smtp).set("mail.tls", "starttls").start();
    let before = smtp.said().len();
    let made = gateway.admin().post("/team/invites", json!({ "email": "alice@example.com" })).expect(201).json();
    assert_eq!(made["mail"], "failed", "{made}");
    assert!(made["link"].as_str().unwrap().contains("/join#inv_"));
    assert!(!smtp.said()[before..].iter().any(|line| line.starts_with("AUTH") || line.starts_with("MAIL")));
}

#[test]
fn without_a_mail_server_the_link_is_shown_once_and_it_is_said_so() {
    let gateway = setup().start();
    let (exit, out, err) = gateway.aerostack("owner", &["team", "invite", "alice@example.com"], "");
    let sentence =
        format!("✓ Invitation created. Email is not configured; share this link: http://{}/join#inv_", gateway.address);
    assert!(exit == 0 && out.starts_with(&sentence), "{out} {err}");
    let list = gateway.admin().get("/team/members").expect(200);
    assert!(!list.text().contains("inv_"), "a list never holds a link");
    gateway.admin().post("/team/invites", json!({ "email": "not an address" })).expect(422);
    gateway.admin().post("/team/invites", json!({ "email": "a@x.example", "role": "king" })).expect(422);
    gateway.admin().post("/team/invites", json!({ "email": "a@x.example", "workspace": "nowhere" })).expect(404);
}

#[test]
fn the_list_of_the_team_is_the_seeds_list() {
    let gateway = setup().start();
    gateway.member("alice", "member", None);
    gateway.invite(json!({ "email": "bob@example.com" }));
    let (_, out, _) = gateway.aerostack("owner", &["team", "list"], "");
    let lines: Vec<Vec<&str>> =
        out.lines().map(|line| line.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect()).collect();
    assert_eq!(lines[0], ["Members of @acme:"], "{out}");
    assert_eq!(lines[1], ["MEMBER", "STATUS", "JOINED", "ROLE"], "{out}");
    let today = aerostack::domain::clock::now().format("%Y-%m-%d").to_string();
    assert_eq!(lines[2], ["acme@acme", "active", &today, "owner"], "{out}");
    assert_eq!(lines[3], ["alice@example.com", "active", &today, "member"], "{out}");
    assert_eq!(lines[4], ["bob@example.com", "pending", &format!("invited {today}"), "member"], "{out}");
    let (_, json, _) = gateway.aerostack("owner", &["team", "list", "-o", "json"], "");
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(rows[1]["joined_at"].is_string() && rows[2]["invited_at"].is_string(), "{json}");
}

#[test]
fn roles_are_given_by_those_who_have_them_and_the_last_owner_stays() {
    on_both(roles_are_given);
}

fn roles_are_given(setup: Setup) {
    let gateway = setup.start();
    let owner = gateway.admin();
    let (alice, _) = gateway.member("alice", "admin", None);
    let (bob, _) = gateway.member("bob", "member", None);
    let in_acme = |path: &str| format!("{path}?namespace=acme");
    // An admin lets people in, but makes no owner and touches none.
    alice.post(&in_acme("/team/invites"), json!({ "email": "c@x.example", "role": "owner" })).expect(403);
    alice.post(&in_acme("/team/invites"), json!({ "email": "c@x.example", "role": "viewer" })).expect(201);
    alice.patch(&in_acme("/team/members/acme"), json!({ "role": "member" })).expect(403);
    alice.patch(&in_acme("/team/members/bob"), json!({ "role": "viewer" })).expect(200);
    // A viewer does neither, from the next request on.
    bob.post(&in_acme("/team/invites"), json!({ "email": "d@x.example" })).expect(403);
    bob.patch(&in_acme("/team/members/bob"), json!({ "role": "admin" })).expect(403);
    assert_eq!(bob.get(&in_acme("/team/members")).expect(200).json()["data"].as_array().unwrap().len(), 3);
    // Demoted: what they may not do any more is void, and refused at once.
    owner.patch("/team/members/alice@example.com", json!({ "role": "viewer" })).expect(200);
    alice.post(&in_acme("/team/invites"), json!({ "email": "e@x.example" })).expect(403);
    let rows = owner.get("/team/members").json();
    assert!(rows["data"].as_array().unwrap().iter().all(|row| row["status"] == "active"), "{rows}");
    for answer in [owner.patch("/team/members/acme", json!({ "role": "admin" })), owner.delete("/team/members/acme")] {
        assert_eq!(answer.status, 409, "{}", answer.text());
    }
    owner.patch("/team/members/nobody", json!({ "role": "admin" })).expect(404);
    let log = owner.get("/workspaces").expect(200);
    assert_eq!(log.json()["data"], json!([]));
}
