//! Invitations on their way to the mail server: encrypted as `mail.tls` says, to a server that proves who it is, or not
//! at all. A mail that no server accepted is never called sent.

use crate::support::{
    people::setup,
    process::Setup,
    smtp::{Manner, Protection, Smtp},
    tls::Authority,
};

/// A gateway that trusts `authority` and mails through `smtp`.
fn mailing(smtp: &Smtp, tls: &str, authority: &Authority) -> Setup {
    let setup = setup();
    let file = setup.data_dir().with_file_name("company-ca.pem");
    std::fs::write(&file, &authority.pem).unwrap();
    setup
        .env("SSL_CERT_FILE", &file.display().to_string())
        .set("mail.host", "localhost")
        .set("mail.port", smtp.address.port())
        .set("mail.tls", tls)
        .set("mail.from", "Aerostack <aerostack@example.com>")
        .set("mail.user", "postman")
        .env("AEROSTACK_MAIL_PASSWORD", "CANARY-smtp-password")
}

/// What inviting says on the command line; the invitation is there in any case.
fn invited(setup: Setup) -> String {
    let gateway = setup.start();
    let (exit, out, err) = gateway.aerostack("owner", &["team", "invite", "alice@example.com"], "");
    assert_eq!(exit, 0, "{err}");
    assert!(!gateway.log().contains("CANARY") && !gateway.log().contains("inv_"), "{}", gateway.log());
    out
}

#[test]
fn over_starttls_and_tls_the_mail_and_the_password_go_encrypted() {
    let authority = Authority::new();
    for tls in ["starttls", "tls"] {
        let config = authority.issue("localhost", 2400).server();
        let protection = if tls == "tls" { Protection::Tls(config) } else { Protection::StartTls(config) };
        let smtp = Smtp::protected(Manner::Accepting, protection);
        let out = invited(mailing(&smtp, tls, &authority));
        assert_eq!(out, "✓ Invitation sent. Alice will receive a join link via email.\n", "{tls}");
        assert!(smtp.mail().contains("/join#inv_"), "{tls}");
        let said = smtp.said();
        assert!(said.iter().any(|line| line.starts_with("AUTH PLAIN")), "{tls}: {said:?}");
        let clear: Vec<String> =
            smtp.said_in_clear().iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
        let expected: &[&str] = if tls == "tls" { &[] } else { &["EHLO", "STARTTLS"] };
        assert_eq!(clear, expected, "{tls}");
    }
}

#[test]
fn a_mail_server_that_does_not_prove_who_it_is_gets_neither_mail_nor_password() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let untrusted = "the certificate of the mail server is not trusted";
    let cases = [
        ("an unknown authority", stranger.issue("localhost", 2400)),
        ("another host", authority.issue("mail.example.com", 2400)),
        ("an expired certificate", authority.issue("localhost", 2002)),
    ];
    for (what, identity) in cases {
        let config = identity.server();
        for (tls, protection) in
            [("starttls", Protection::StartTls(config.clone())), ("tls", Protection::Tls(config.clone()))]
        {
            let smtp = Smtp::protected(Manner::Accepting, protection);
            let out = invited(mailing(&smtp, tls, &authority));
            let sentence = format!("✓ Invitation created, but no mail was sent ({untrusted}); share this link: http");
            assert!(out.starts_with(&sentence) && out.contains("/join#inv_"), "{what}, {tls}: {out}");
            assert!(smtp.mails().is_empty(), "{what}, {tls}");
            let told = smtp.said().iter().any(|line| line.starts_with("AUTH") || line.starts_with("MAIL"));
            assert!(!told, "{what}, {tls}: {:?}", smtp.said());
        }
    }
}

#[test]
fn a_mail_server_that_does_not_encrypt_gets_nothing_and_it_is_said_why() {
    let authority = Authority::new();
    for (tls, why) in [
        ("starttls", "the mail server does not offer STARTTLS"),
        ("tls", "no encrypted connection to the mail server is possible"),
    ] {
        let smtp = Smtp::start(Manner::Accepting);
        let out = invited(mailing(&smtp, tls, &authority));
        assert!(out.contains(&format!("no mail was sent ({why}); share this link: http")), "{tls}: {out}");
        assert!(!out.contains("Invitation sent") && smtp.mails().is_empty(), "{tls}: {out}");
        let told = smtp.said().iter().any(|line| line.starts_with("AUTH") || line.starts_with("MAIL"));
        assert!(!told, "{tls}: {:?}", smtp.said());
    }
}
