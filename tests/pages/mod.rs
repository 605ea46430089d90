//! The dashboard's pages over HTTP: what is shown once, what is never shown, who sees what. How they look and feel in a
//! real browser is in `tests/browser/`.

mod analytics;
mod closely;
mod details;
mod docs;
mod moving;
mod packed;
mod playground;

use serde_json::json;

use crate::support::{
    Browser, Request, TestGateway,
    people::{PASSWORD, setup},
    wait,
};

/// Every page that everybody in the team may open.
const FOR_ALL: &[&str] = &[
    "/overview",
    "/workspaces",
    "/workspaces/engineering/connect",
    "/workspaces/engineering/servers",
    "/workspaces/engineering/tools",
    "/workspaces/engineering/analytics?period=24h&by=tool",
    "/workspaces/engineering/calls?show=failed",
    "/workspaces/engineering/members",
    "/team",
    "/hub",
    "/analytics?by=workspace",
    "/calls?show=failed",
    "/settings",
    "/live",
    "/account",
];
/// Those for members.
const FOR_MEMBERS: &[&str] =
    &["/workspaces/engineering/tokens", "/servers", "/servers/github-mcp", "/playground", "/palette?q=new"];
/// Those for administrators.
const FOR_ADMINS: &[&str] = &[
    "/workspaces/engineering/audit",
    "/workspaces/engineering/diet",
    "/workspaces/engineering/settings?delete",
    "/servers/github-mcp/secrets",
    "/servers/github-mcp/logs",
    "/servers/github-mcp/settings?remove",
    "/audit",
    "/health",
];

/// A gateway with a workspace, a server that does not answer, and an owner with a password.
fn furnished() -> (TestGateway, Browser) {
    let gateway = setup().start();
    let owner = gateway.admin();
    owner.workspace("engineering");
    owner.server("github-mcp", "http://127.0.0.1:9/mcp");
    owner.install("engineering", "github-mcp");
    owner.post("/account/password", json!({ "new": PASSWORD })).expect(200);
    let mut browser = Browser::new(gateway.address);
    browser.sign_in("acme", PASSWORD);
    (gateway, browser)
}

#[test]
fn a_new_token_is_in_the_answer_that_made_it_and_in_no_page_afterwards() {
    let (gateway, mut browser) = furnished();
    let at = "/workspaces/engineering/tokens";
    let form = [("do", "create"), ("name", "Alice Chen"), ("expires_in", "86400"), ("read_only", "1")];
    let page = browser.submit(at, &form).expect(200);
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let text = page.text();
    let raw: String = text.split("<b>mwt_</b>").nth(1).expect("a token").chars().take(36).collect();
    assert!(
        text.contains("Shown once.") && text.contains("cursor://") && text.contains("vscode:mcp/install"),
        "{text}"
    );
    let listed = gateway.admin().get("/workspaces/engineering/tokens").json()["data"][0].clone();
    assert_eq!((listed["name"].as_str(), listed["scope"]["read_only"].as_bool()), (Some("Alice Chen"), Some(true)));
    assert!(raw.ends_with(listed["hint"].as_str().unwrap()), "{raw} {listed}");
    for path in [at, "/workspaces/engineering/connect", "/workspaces/engineering/audit", "/overview", "/audit"] {
        assert!(!browser.get(path).expect(200).text().contains(&raw), "{path}");
    }
    assert!(!gateway.log().contains(&raw));
    // The same name again: the form comes back with what was typed, and says why.
    let again = browser.submit(at, &form).expect(409).text();
    assert!(again.contains("value=\"Alice Chen\"") && again.contains("role=\"alert\""), "{again}");
}

#[test]
fn a_token_that_was_revoked_on_the_page_is_dead_when_the_page_is_there() {
    let (gateway, mut browser) = furnished();
    let token = gateway.admin().token("engineering", "Bob Singh");
    let ping = || {
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        Request::post("/ws/engineering", body).bearer(&token.raw).send(gateway.address).status
    };
    assert_ne!(ping(), 401);
    let asked = browser.get(&format!("/workspaces/engineering/tokens?revoke={}", token.id)).expect(200).text();
    assert!(asked.contains("Revoke Bob Singh") && asked.contains("Its next call gets 401"), "{asked}");
    assert_ne!(ping(), 401, "asking is not doing");
    let done = browser.submit("/workspaces/engineering/tokens", &[("do", "revoke"), ("id", &token.id)]).expect(200);
    assert_eq!(ping(), 401);
    assert!(done.text().contains("Token Bob Singh revoked."), "{}", done.text());
}

#[test]
fn the_value_of_a_secret_is_in_no_page() {
    let (_gateway, mut browser) = furnished();
    let at = "/servers/github-mcp/secrets";
    let form = [("do", "save"), ("name", "GITHUB_TOKEN"), ("value", "CANARY-secret"), ("travels", "bearer")];
    let page = browser.submit(at, &form).expect(200).text();
    assert!(page.contains("Secret GITHUB_TOKEN saved") && page.contains("Authorization: Bearer"), "{page}");
    assert!(!page.contains("CANARY"), "{page}");
    // Refused: what was typed comes back, the value does not.
    let form = [("do", "save"), ("name", "lower case"), ("value", "CANARY-secret")];
    let page = browser.submit(at, &form).expect(422).text();
    assert!(page.contains("value=\"lower case\"") && !page.contains("CANARY"), "{page}");
    for path in [at, "/servers/github-mcp", "/audit", "/workspaces/engineering/audit"] {
        assert!(!browser.get(path).expect(200).text().contains("CANARY"), "{path}");
    }
    let page = browser.submit(at, &[("do", "delete"), ("name", "GITHUB_TOKEN")]).expect(200).text();
    assert!(page.contains("Secret GITHUB_TOKEN deleted"), "{page}");
}

#[test]
fn a_role_sees_the_pages_it_may_use_and_no_others() {
    let (gateway, mut owner) = furnished();
    for path in FOR_ALL.iter().chain(FOR_MEMBERS).chain(FOR_ADMINS) {
        owner.get(path).expect(200);
    }
    // Signing in is a fact; that somebody was turned away is for somebody to look at.
    let tinted = "<span class=\"chip warn\">security</span>";
    let audit = owner.get("/audit?kind=security").text();
    assert!(audit.contains("signed_in") && !audit.contains(tinted), "{audit}");
    for (name, role, members) in [("mia", "member", 200), ("vic", "viewer", 403)] {
        gateway.member(name, role, None);
        let mut browser = Browser::new(gateway.address);
        browser.sign_in(name, PASSWORD);
        for path in FOR_ALL {
            let text = browser.get(path).expect(200).text();
            assert!(text.contains("@acme"), "{path}: somebody without workspaces of their own looks at their team's");
            assert!(!text.contains("href=\"/audit\"") && !text.contains("href=\"/health\""), "{path}");
        }
        for path in FOR_MEMBERS.iter().filter(|path| !path.starts_with("/palette")) {
            browser.get(path).expect(members);
        }
        for path in FOR_ADMINS {
            browser.get(path).expect(403);
        }
        browser.submit("/workspaces", &[("slug", "mine")]).expect(403);
        browser.submit("/servers/github-mcp/secrets", &[("name", "A"), ("value", "b")]).expect(403);
    }
    let counted = || gateway.admin().get("/audit?kind=security").json().to_string().contains("forbidden");
    wait::until("the refusals are counted", counted);
    assert!(owner.get("/audit?kind=security").text().contains(tinted));
}

#[test]
fn without_a_session_every_page_leads_to_signing_in_and_back() {
    let (gateway, _) = furnished();
    let mut stranger = Browser::new(gateway.address);
    for path in FOR_ALL.iter().chain(FOR_MEMBERS).chain(FOR_ADMINS).chain(&["/"]) {
        let answer = stranger.get(path).expect(303);
        assert!(answer.header("location").is_some_and(|to| to.starts_with("/signin?next=%2F")), "{path}");
        assert_eq!(answer.text(), "", "{path}");
    }
    let to = [("username", "acme"), ("password", PASSWORD), ("next", "/workspaces/engineering/tokens?show=all")];
    let answer = stranger.submit("/signin", &to).expect(303);
    assert_eq!(answer.header("location"), Some("/workspaces/engineering/tokens?show=all"));
}

#[test]
fn a_form_without_the_sessions_own_token_changes_nothing() {
    let (gateway, browser) = furnished();
    let page = format!("http://{}", gateway.address);
    let forms: &[(&str, &[(&str, &str)])] = &[
        ("/workspaces", &[("slug", "other")]),
        ("/workspaces/engineering/tokens", &[("do", "create"), ("name", "Eve")]),
        ("/servers", &[("slug", "evil-mcp"), ("url", "https://evil.example/mcp")]),
        ("/servers/github-mcp/secrets", &[("do", "save"), ("name", "A"), ("value", "b")]),
        ("/team", &[("do", "invite"), ("email", "eve@example.com")]),
        ("/hub", &[("server", "github-mcp"), ("workspace", "engineering")]),
        ("/health", &[("name", "AuditLog")]),
        ("/workspaces/engineering/diet", &[("tool", "github__create_issue")]),
        ("/playground?workspace=engineering&tool=x", &[("arguments", "{}")]),
        ("/servers/github-mcp/settings", &[]),
        ("/overview", &[("name", "other")]),
    ];
    for (path, fields) in forms {
        browser.form(path, fields).header("origin", &page).send(gateway.address).expect(403);
        let csrf = browser.csrf.clone().unwrap();
        let with = [*fields, &[("csrf", csrf.as_str())]].concat();
        browser.form(path, &with).header("origin", "https://evil.example").send(gateway.address).expect(403);
    }
    let owner = gateway.admin();
    for path in ["/workspaces/engineering/tokens", "/mcp-servers/github-mcp/secrets"] {
        assert_eq!(owner.get(path).json()["data"], json!([]), "{path}");
    }
    assert_eq!(owner.get("/workspaces").json()["data"].as_array().unwrap().len(), 1);
    assert_eq!(owner.get("/team/members").json()["data"].as_array().unwrap().len(), 1);
}

#[test]
fn a_page_runs_only_what_is_served_here_and_assets_are_kept_for_ever() {
    let (gateway, mut browser) = furnished();
    let page = browser.get("/overview").expect(200);
    let policy = page.header("content-security-policy").unwrap();
    for part in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    let text = page.text();
    assert!(!text.contains(" style=") && !text.contains("<style"), "{text}");
    let links: Vec<&str> = text.split('"').filter(|part| part.starts_with("/ui/")).collect();
    assert!(links.len() >= 4, "{links:?}");
    let mut compressed = page.text().len();
    for link in links {
        let asset = Request::get(link).header("accept-encoding", "gzip, br").send(gateway.address).expect(200);
        assert_eq!(asset.header("cache-control"), Some("public, max-age=31536000, immutable"), "{link}");
        assert_eq!(asset.header("content-encoding"), Some("gzip"), "{link}");
        compressed += asset.body.len();
    }
    assert!(compressed < 100 * 1024, "a first load takes {compressed} bytes");
    // The gallery of all components, in debug builds only.
    browser.get("/ui/_gallery").expect(if cfg!(debug_assertions) { 200 } else { 404 });
    let old = Request::get("/ui/0000000000000000/app.css").send(gateway.address).expect(200);
    assert_eq!(old.header("cache-control"), Some("no-cache"), "of another build: served, not kept");
    Request::get("/ui/0000000000000000/none.css").send(gateway.address).expect(404);
}

/// S-80: what servers and members write is text.
#[test]
fn names_full_of_markup_and_marks_are_text_on_every_page() {
    let (gateway, mut browser) = furnished();
    let hostile = "<script>alert(1)</script>";
    let owner = gateway.admin();
    // What turns text around is in no name to begin with.
    owner.patch("/workspaces/engineering", json!({ "name": format!("{hostile}\u{202e}gpj") })).expect(422);
    owner.patch("/workspaces/engineering", json!({ "name": hostile })).expect(200);
    owner.token("engineering", "\"><img src=x onerror=alert(1)>");
    for path in FOR_ALL.iter().chain(FOR_MEMBERS).chain(FOR_ADMINS) {
        let text = browser.get(path).expect(200).text();
        assert!(!text.contains("<script>alert") && !text.contains("<img"), "{path}");
    }
    let shown = browser.get("/workspaces").text();
    assert!(shown.contains("&#60;script&#62;alert") || shown.contains("&lt;script&gt;alert"), "{shown}");
    let long = "q".repeat(10_000);
    for path in [format!("/workspaces/engineering/tokens?q={long}"), "/audit?user=%00%E2%80%AE%1B".to_owned()] {
        let answer = browser.get(&path);
        assert!(answer.status < 500, "{path}: {}", answer.status);
    }
}

#[test]
fn a_token_that_works_is_found_however_many_worked_before_it() {
    let (gateway, mut browser) = furnished();
    gateway.admin().token("engineering", "Newest One");
    gateway.look_back(
        "WITH RECURSIVE old(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM old WHERE n < 600)
         INSERT INTO workspace_tokens (id, workspace_id, hash, hint, name, created_by, created_at, revoked_at)
         SELECT unhex(printf('%032x', n)), workspace_id, randomblob(32), 'abcd', printf('Old %04d', n), created_by,
             created_at, created_at FROM workspace_tokens, old",
    );
    let at = "/workspaces/engineering/tokens";
    for path in [at, "/workspaces/engineering/tokens?show=all", "/palette?q=newest", "/workspaces/engineering/connect"]
    {
        let page = browser.get(path).expect(200).text();
        assert!(page.contains("Newest One"), "{path}: {page}");
    }
    assert!(!browser.get(at).expect(200).text().contains("Old 0600"));
    assert!(browser.get(&format!("{at}?show=all&q=old+0001")).expect(200).text().contains("Old 0001"));
    let (mut found, mut next) = (std::collections::BTreeSet::new(), Some(format!("{at}?show=all")));
    while let Some(path) = next {
        let page = browser.get(&path).expect(200).text();
        let names = page.match_indices("Old 0").filter_map(|(at, _)| page.get(at..at + 8).map(str::to_owned));
        found.extend(names);
        let more = page.split("Older tokens").next().filter(|before| before.len() < page.len());
        let link = more.and_then(|before| before.rsplit("href=\"").next()?.split('"').next());
        next = link.map(|link| link.replace("&amp;", "&").replace("&#38;", "&"));
    }
    assert_eq!(found.len(), 600);
}

#[test]
fn a_name_that_repeats_the_slug_goes_on_doing_so_when_the_page_renames_it() {
    let (gateway, mut browser) = furnished();
    let rename = |browser: &mut Browser, from: &str, to: &str, name: &str| {
        let form = [("do", "save"), ("slug", to), ("name", name)];
        browser.submit(&format!("/workspaces/{from}/settings"), &form).expect(303);
        let now = gateway.admin().get(&format!("/workspaces/{to}")).expect(200).json();
        now["name"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(rename(&mut browser, "engineering", "platform", "engineering"), "platform");
    assert_eq!(rename(&mut browser, "platform", "platform", "The Platform"), "The Platform");
    assert_eq!(rename(&mut browser, "platform", "core", "The Platform"), "The Platform");
}
