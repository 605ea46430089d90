//! Names that are not what they seem: refused where people tell things apart by them, and harmless text wherever they are
//! shown (S-67, S-74, S-80, S-83).

use serde_json::{Value, json};

use crate::support::{
    Browser,
    people::{PASSWORD, setup},
};

/// Control characters, a terminal's commands, letters that turn or hide, and letters of two alphabets in one word.
const FALSE: &[&str] =
    &["a\n2026 admin token_created", "\u{1b}[2J", "\u{202e}ecilA", "Ali\u{200b}ce", "\u{0}", "\u{9b}31m"];
const FORMULAS: &[&str] = &["=HYPERLINK(\"http://x\")", "+1", "-1+cmd", "@SUM(A1)", "\u{ff1d}1"];
const MARKUP: &str = "<img src=x onerror=alert(1)>\"'&</script>";

/// S-67, S-74: a name is what it looks like, and one line.
#[test]
fn names_with_control_characters_or_of_two_alphabets_are_refused_everywhere() {
    let gateway = setup().start();
    let owner = gateway.admin();
    owner.workspace("eng");
    for name in FALSE {
        for (path, body) in [
            ("/workspaces/eng/tokens", json!({ "name": name })),
            ("/api-keys", json!({ "name": name })),
            ("/workspaces", json!({ "slug": "other", "name": name })),
            ("/mcp-servers", json!({ "slug": "toy", "url": "http://127.0.0.1:9/mcp", "title": name })),
            ("/workspaces", json!({ "slug": name })),
            ("/team/invites", json!({ "email": format!("{name}@example.com") })),
        ] {
            let refused = owner.post(path, body.clone());
            assert_eq!(refused.status, 422, "{path} {body}: {}", refused.text());
            let shown = refused.json()["title"].as_str().unwrap().to_owned();
            assert!(!shown.chars().any(char::is_control) && !shown.contains('\u{202e}'), "{shown:?}");
        }
        let code = gateway.invite(json!({ "email": "alice@example.com" }));
        gateway.accept(&code, name).expect(422);
    }
    owner.post("/workspaces/eng/tokens", json!({ "name": "\u{410}lice" })).expect(422);
    owner.token("eng", "Alice");
    owner.post("/workspaces/eng/tokens", json!({ "name": "\u{ff21}lice" })).expect(409);
    assert_eq!(owner.get("/workspaces").json()["data"].as_array().unwrap().len(), 1);
}

/// The rows of a CSV text, cells as a spreadsheet would see them.
fn cells(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}

/// S-83: a spreadsheet computes nothing, and the API says what was typed.
#[test]
fn no_cell_of_any_list_begins_a_formula_and_the_api_gives_names_as_they_are() {
    let gateway = setup().start();
    let owner = gateway.admin();
    owner.workspace("eng");
    for name in FORMULAS {
        owner.token("eng", name);
        owner.post("/api-keys", json!({ "name": name })).expect(201);
    }
    owner.post("/workspaces", json!({ "slug": "ops", "name": "=1+1" })).expect(201);
    owner.post("/mcp-servers", json!({ "slug": "toy", "url": "http://127.0.0.1:9/mcp", "title": "=1+1" })).expect(201);
    for command in [
        &["workspace", "token", "list", "eng"][..],
        &["key", "list"],
        &["workspace", "list"],
        &["mcp", "list"],
        &["audit", "list"],
        &["workspace", "audit", "eng"],
        &["team", "list"],
    ] {
        let (exit, out, err) = gateway.aerostack("owner", &[command, &["-o", "csv"]].concat(), "");
        assert_eq!(exit, 0, "{command:?}: {err}");
        for cell in cells(&out).into_iter().flatten() {
            let first = cell.chars().next().unwrap_or('x');
            assert!(!"=+-@\t\r\u{ff1d}\u{ff0b}\u{ff0d}\u{ff20}".contains(first), "{command:?}: {cell:?}");
        }
    }
    let rows = owner.get("/workspaces/eng/tokens").json();
    let names: Vec<&Value> = rows["data"].as_array().unwrap().iter().map(|row| &row["name"]).collect();
    assert!(FORMULAS.iter().all(|name| names.contains(&&json!(name))), "{rows}");
}

/// S-80: what strangers write is text.
#[test]
fn markup_in_names_is_text_on_every_page() {
    let gateway = setup().start();
    let begun = Browser::new(gateway.address)
        .api_request("POST", "/login-requests", Some(&json!({ "client": MARKUP })))
        .send(gateway.address)
        .expect(201)
        .json();
    gateway.member("alice", "member", None);
    let mut browser = Browser::new(gateway.address);
    let tried =
        browser.submit("/signin", &[("username", MARKUP), ("password", PASSWORD), ("next", MARKUP)]).expect(401);
    browser.sign_in("alice", PASSWORD);
    let device = browser.submit("/device", &[("code", begun["user_code"].as_str().unwrap())]).expect(200);
    for page in [tried, device] {
        let text = page.text();
        let only_ours = text.split("<script").skip(1).all(|rest| rest.starts_with(" src=\"/ui/"));
        assert!(!text.contains("<img") && only_ours, "{text}");
        assert!(text.contains("&#60;img") || text.contains("&lt;img"), "it is shown: {text}");
        assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    }
}
