//! One token and the members of a workspace on their pages, and the link that opens the dashboard for the first time.

use std::fs;

use serde_json::json;

use super::{PASSWORD, furnished};
use crate::support::{Admin, Browser, people::setup};

#[test]
fn the_page_of_a_token_says_what_it_may_and_changes_it() {
    let (gateway, mut browser) = furnished();
    let owner = gateway.admin();
    let token = owner.token("engineering", "Alice Chen");
    let at = format!("/workspaces/engineering/tokens/{}", token.id);
    assert!(browser.get("/workspaces/engineering/tokens").text().contains(&at), "the list leads there");
    let text = browser.get(&at).expect(200).text();
    assert!(text.contains("Alice Chen") && text.contains("No calls yet") && !text.contains(&token.raw), "{text}");
    let scope = [("do", "scope"), ("read_only", "1"), ("allow", "github__*, slack__send"), ("deny", "*delete*")];
    let text = browser.submit(&at, &scope).expect(200).text();
    assert!(
        text.contains("github__*, slack__send") && text.contains("name=\"read_only\" value=\"1\" checked"),
        "{text}"
    );
    let known = owner.get(&format!("/workspaces/engineering/tokens/{}", token.id)).json();
    assert_eq!(known["scope"]["allow"], json!(["github__*", "slack__send"]), "{known}");
    let refused = browser.submit(&at, &[("do", "scope"), ("allow", &"x".repeat(4000))]);
    assert_eq!(refused.status, 422);
    assert!(browser.get(&format!("{at}?revoke")).expect(200).text().contains("Revoke Alice Chen"));
    assert!(browser.get(&format!("{at}?rotate")).expect(200).text().contains("Rotate Alice Chen"));
    let all = "/workspaces/engineering/tokens";
    // An overlap that is none: the form is there again and says so.
    for (bad, why) in [("soon", "must be a whole number"), ("99999999", "is too long")] {
        let text = browser.submit(all, &[("do", "rotate"), ("id", &token.id), ("overlap", bad)]).expect(422).text();
        assert!(text.contains(why) && text.contains("value=\"rotate\">Rotate Alice Chen"), "{bad}: {text}");
    }
    let text = browser.submit(all, &[("do", "rotate"), ("id", &token.id), ("overlap", "3600")]).expect(200).text();
    assert!(text.contains("Shown once."), "{text}");
    assert!(browser.get(&at).expect(200).text().contains("Old value"));
    browser.submit(all, &[("do", "revoke"), ("id", &token.id)]).expect(200);
    let text = browser.get(&at).expect(200).text();
    assert!(text.contains("revoked") && !text.contains("?revoke"), "{text}");
    // Somebody else's is unknown to a member, and an id that is none to everybody.
    let other = owner.token("engineering", "Bob Singh");
    gateway.member("mia", "member", None);
    let mut mia = Browser::new(gateway.address);
    mia.sign_in("mia", PASSWORD);
    mia.get(&format!("/workspaces/engineering/tokens/{}", other.id)).expect(404);
    browser.get("/workspaces/engineering/tokens/nothing").expect(404);
    mia.submit(&format!("/workspaces/engineering/tokens/{}", other.id), &[("allow", "")]).expect(404);
}

#[test]
fn the_members_of_a_workspace_are_seen_by_all_and_their_tokens_by_who_administers() {
    let (gateway, mut browser) = furnished();
    let owner = gateway.admin();
    let (mia, _) = gateway.member("mia", "member", None);
    mia.post("/workspaces/engineering/tokens?namespace=acme", json!({ "name": "Mia Cursor" })).expect(201);
    owner.token("engineering", "CI Pipeline");
    let at = "/workspaces/engineering/members";
    let text = browser.get(at).expect(200).text();
    assert!(text.contains("mia@example.com") && text.contains("own tokens, installs skills"), "{text}");
    assert!(text.contains("1 token of") && text.contains("workspace=engineering"), "{text}");
    let mut theirs = Browser::new(gateway.address);
    theirs.sign_in("mia", PASSWORD);
    let text = theirs.get(at).expect(200).text();
    assert!(text.contains("mia@example.com") && !text.contains("data-label=\"tokens\""), "{text}");
    browser.get("/workspaces/unknown/members").expect(404);
}

#[test]
fn the_first_link_opens_the_dashboard_once_and_only_while_the_owner_has_no_password() {
    let setup = setup();
    let folder = setup.data_dir();
    let mut gateway = setup.start();
    let link = || fs::read_to_string(folder.join("dashboard-link")).ok();
    let first = link().expect("a link");
    let code = first.trim().rsplit('#').next().expect("a code").to_owned();
    assert!(first.contains("/welcome#rec_") && !gateway.log().contains(&code), "{first}");
    // Another start makes another one: that of before is worth nothing.
    gateway.restart();
    let second = link().expect("a link").trim().to_owned();
    let code = second.rsplit('#').next().expect("a code").to_owned();
    let mut browser = Browser::new(gateway.address);
    let page = browser.get("/welcome").expect(200);
    assert!(page.text().contains("action=\"/welcome\"") && !page.text().contains("rec_"));
    for dead in [first.trim(), "rec_nothing", ""] {
        browser.submit("/welcome", &[("code", dead), ("password", PASSWORD)]).expect(410);
    }
    // Looking uses nothing up; a password that is none does not either.
    assert!(browser.submit("/welcome", &[("code", &code)]).expect(200).text().contains("@acme"));
    let refused = browser.submit("/welcome", &[("code", &second), ("password", "short")]).expect(422).text();
    assert!(refused.contains("role=\"alert\""), "{refused}");
    let foreign = browser.form("/welcome", &[("code", &code), ("password", PASSWORD)]);
    foreign.header("origin", "https://evil.example").send(gateway.address).expect(403);
    let opened = browser.submit("/welcome", &[("code", &code), ("password", PASSWORD)]).expect(303);
    assert_eq!(opened.header("location"), Some("/overview"));
    browser.get("/overview").expect(200);
    let mut again = Browser::new(gateway.address);
    again.submit("/welcome", &[("code", &code), ("password", PASSWORD)]).expect(410);
    again.sign_in("acme", PASSWORD);
    gateway.restart();
    assert_eq!(link(), None, "who has a password signs in with it");
    assert!(!gateway.log().contains(&code));
}

#[test]
fn the_definition_of_a_server_is_changed_on_its_settings() {
    let (gateway, mut browser) = furnished();
    let (owner, at) = (gateway.admin(), "/servers/github-mcp/settings");
    let known = || owner.get("/mcp-servers/github-mcp").json();
    let form =
        [("do", "save"), ("title", "GitHub"), ("protocol", "legacy"), ("timeout", "7"), ("total", ""), ("calls", "3")];
    let text = browser.submit(at, &form).expect(200).text();
    assert!(text.contains("github-mcp is saved") && text.contains("value=\"GitHub\""), "{text}");
    let now = known();
    let shown =
        (&now["title"], &now["protocol"], &now["timeout_seconds"], &now["total_seconds"], &now["max_in_flight"]);
    assert_eq!(shown, (&json!("GitHub"), &json!("legacy"), &json!(7), &json!(null), &json!(3)));
    assert_eq!(now["url"], json!("http://127.0.0.1:9/mcp"));
    assert_eq!(now["workspaces"], json!(["engineering"]), "it stays where it is installed");
    // What is refused changes nothing, and what was typed is there.
    for (field, bad) in [("timeout", "soon"), ("timeout", "99999999"), ("calls", "many")] {
        let form = form.map(|(name, value)| if name == field { (name, bad) } else { (name, value) });
        let text = browser.submit(at, &form).expect(422).text();
        assert!(text.contains("role=\"alert\"") && text.contains(&format!("value=\"{bad}\"")), "{field} {text}");
        assert_eq!(known(), now);
    }
    // An empty field takes its own setting away, as 0 does for the API.
    let bare =
        [("do", "save"), ("title", "GitHub"), ("protocol", "auto"), ("timeout", ""), ("total", ""), ("calls", "")];
    browser.submit(at, &bare).expect(200);
    assert_eq!((&known()["timeout_seconds"], &known()["max_in_flight"]), (&json!(null), &json!(null)));
    owner.patch("/mcp-servers/github-mcp", json!({ "total_seconds": 9 })).expect(200);
    owner.patch("/mcp-servers/github-mcp", json!({ "total_seconds": 0, "title": "G" })).expect(200);
    assert_eq!((&known()["total_seconds"], &known()["title"]), (&json!(null), &json!("G")));
    owner.patch("/mcp-servers/github-mcp", json!({ "protocol": "smoke" })).expect(422);
    assert_eq!(browser.submit(at, &[]).status, 400, "what is to be done must be said");
    assert!(owner.get("/audit").json().to_string().contains("mcp_changed"));
}

#[test]
fn a_session_that_asks_for_too_many_pages_waits_and_nobody_else_does() {
    let gateway = setup().set("limits.pages_per_minute", 8).start();
    gateway.admin().post("/account/password", json!({ "new": PASSWORD })).expect(200);
    let mut browser = Browser::new(gateway.address);
    browser.sign_in("acme", PASSWORD);
    let page = browser.get("/overview").expect(200).text();
    let asset = page.split("href=\"/ui/").nth(1).expect("a style sheet").split('"').next().unwrap().to_owned();
    let shown = (0..20).take_while(|_| browser.get("/overview").status == 200).count();
    assert!((1..8).contains(&shown), "the one of signing in counts as well: {shown}");
    for path in ["/overview", "/workspaces", "/account"] {
        let refused = browser.get(path).expect(429);
        assert_eq!(refused.header("content-type"), Some("text/html; charset=utf-8"));
        let seconds: u64 = refused.header("retry-after").expect("when to come back").parse().unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
        assert!(refused.text().contains("Too many pages in a minute"), "{}", refused.text());
    }
    let team = [("do", "create"), ("slug", "late"), ("name", "Late")];
    assert_eq!(browser.submit("/workspaces", &team).status, 429, "a form is a page");
    // What a page loads, the API, other sessions and signing in and out are not concerned.
    for _ in 0..12 {
        browser.get(&format!("/ui/{asset}")).expect(200);
    }
    assert_eq!(browser.api("GET", "/whoami", None).status, 200);
    let mut other = Browser::new(gateway.address);
    other.sign_in("acme", PASSWORD);
    other.get("/overview").expect(200);
    assert_eq!(browser.submit("/signout", &[]).status, 303);
    assert!(gateway.admin().get("/workspaces").json()["data"].as_array().unwrap().is_empty());
}

#[test]
fn a_namespace_is_renamed_while_nothing_goes_by_it() {
    let gateway = setup().start();
    let owner = gateway.admin();
    owner.post("/account/password", json!({ "new": PASSWORD })).expect(200);
    let mut browser = Browser::new(gateway.address);
    browser.sign_in("acme", PASSWORD);
    let page = browser.get("/overview").expect(200).text();
    for part in
        ["Three steps", "Your namespace", "shown once", "aerostack admin reset-key", "name=\"name\" value=\"acme\""]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    for bad in ["Not A Name", "admin", "", "x\u{202e}y"] {
        let refused = browser.submit("/overview", &[("name", bad)]).expect(422).text();
        assert!(refused.contains("role=\"alert\""), "{bad}: {refused}");
    }
    browser.submit("/overview", &[("name", "globex")]).expect(303);
    assert!(browser.get("/overview").expect(200).text().contains("@globex"), "the session goes on");
    let who = owner.get("/whoami").json();
    assert_eq!((&who["username"], &who["namespace"]), (&json!("globex"), &json!("globex")), "and so does the key");
    Browser::new(gateway.address).sign_in("globex", PASSWORD);
    assert!(owner.get("/audit").json().to_string().contains("namespace_renamed"));
    // The name it has is no change; whoever has a limited key does not rename.
    owner.post("/account/name", json!({ "name": "globex" })).expect(200);
    let key = owner.post("/api-keys", json!({ "name": "CI", "role": "admin" })).expect(201).json();
    let limited = Admin::new(gateway.address, key["key"].as_str().unwrap());
    limited.post("/account/name", json!({ "name": "initech" })).expect(403);
    // What is in use keeps its name.
    owner.workspace("engineering");
    let refused = owner.post("/account/name", json!({ "name": "initech" })).expect(409).text();
    assert!(refused.contains("it has a workspace"), "{refused}");
    let page = browser.get("/overview").expect(200).text();
    assert!(page.contains("its name stays") && !page.contains("namespace-name"), "{page}");
    browser.submit("/overview", &[("name", "initech")]).expect(409);
    let (at_home, _) = gateway.member("mia", "member", None);
    let mut mia = Browser::new(gateway.address);
    mia.sign_in("mia", PASSWORD);
    mia.submit("/overview", &[("name", "initech")]).expect(403);
    // A member's deeds are told under their name: it is not another one tomorrow.
    let refused = at_home.post("/account/name", json!({ "name": "initech" })).expect(409).text();
    assert!(refused.contains("a member of another namespace"), "{refused}");
    assert_eq!(at_home.get("/whoami").json()["username"], json!("mia"));
    assert!(!mia.get("/overview").text().contains("Your admin key"));
}

#[test]
fn what_an_audit_page_shows_is_there_as_a_file() {
    let (gateway, mut browser) = furnished();
    gateway.admin().token("engineering", "=HYPERLINK(1)");
    for at in ["/audit", "/workspaces/engineering/audit", "/workspaces/engineering/audit?kind=admin&user=acme%40acme"] {
        let page = browser.get(at).expect(200).text();
        let file = page.split("href=\"").find(|part| part.starts_with("/api/v1/admin") && part.contains("format=csv"));
        let file = file.and_then(|part| part.split('"').next()).expect("a link to the file").replace("&#38;", "&");
        let csv = browser.get(&file.replace("&amp;", "&")).expect(200);
        assert!(csv.header("content-type").is_some_and(|kind| kind.starts_with("text/csv")), "{at}");
        let text = csv.text();
        assert!(
            text.starts_with("at,actor,kind,action,target,") && text.contains("token_created,'=HYPERLINK(1)"),
            "{text}"
        );
    }
    browser.get("/api/v1/admin/audit?format=yaml").expect(400);
}
