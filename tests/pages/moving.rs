//! A server that moves: what happens to its secrets, and that the page asks before.

use serde_json::json;

use super::furnished;
use crate::support::{Editor, servers};

#[test]
fn at_another_origin_a_server_gets_no_secret_until_it_is_set_again() {
    let (gateway, mut browser) = furnished();
    let owner = gateway.admin();
    let (old, new) = (servers::plain(&["create_issue"]), servers::plain(&["create_issue"]));
    owner.add("engineering", "tools-mcp", &old);
    owner.secret("tools-mcp", "API_KEY", "value-of-the-old-place");
    let token = owner.token("engineering", "Alice Chen");
    let editor = Editor::new(gateway.address, "/ws/engineering", &token.raw);
    editor.call("tools__create_issue", json!({})).expect(200);
    assert!(old.seen().iter().any(|seen| seen.text().contains("value-of-the-old-place")));
    let (at, url) = ("/servers/tools-mcp/settings", new.url());
    let form = [("url", url.as_str()), ("title", "Tools"), ("protocol", "auto")];
    // Another origin: the page says what that does, and nothing is done.
    let asked = browser.submit(at, &[&form[..], &[("do", "save")]].concat()).expect(200).text();
    assert!(asked.contains("Move tools-mcp") && asked.contains("<code>API_KEY</code>"), "{asked}");
    assert!(!asked.contains("value-of") && owner.get("/mcp-servers/tools-mcp").json()["url"] != json!(url), "{asked}");
    let done = browser.submit(at, &[&form[..], &[("do", "move")]].concat()).expect(200).text();
    assert!(done.contains("tools-mcp is saved"), "{done}");
    let known = owner.get("/mcp-servers/tools-mcp").json();
    assert_eq!((&known["url"], &known["workspaces"]), (&json!(url), &json!(["engineering"])));
    let before = old.seen().len();
    let refused = editor.call("tools__create_issue", json!({})).json();
    assert_eq!(refused["error"]["code"], -32015, "{refused}");
    assert_eq!(refused["error"]["data"]["reason"], "secret_needs_reentry");
    assert_eq!(owner.get("/mcp-servers/tools-mcp/secrets").json()["data"][0]["state"], "needs_reentry");
    assert!(browser.get("/servers/tools-mcp/secrets").expect(200).text().contains("set it again"));
    owner.secret("tools-mcp", "API_KEY", "value-of-the-new-place");
    editor.call("tools__create_issue", json!({})).expect(200);
    let sent = new.seen();
    assert!(sent.iter().any(|seen| seen.rpc() == "tools/call" && seen.text().contains("value-of-the-new-place")));
    assert!(!sent.iter().any(|seen| seen.text().contains("value-of-the-old-place")), "it stays where it belongs");
    let later = old.seen();
    let called = later.iter().skip(before).any(|seen| seen.rpc() == "tools/call");
    assert!(!called && !later.iter().any(|seen| seen.text().contains("value-of-the-new-place")));
}

#[test]
fn a_move_is_checked_like_a_new_server_and_on_the_same_origin_keeps_the_secrets() {
    let (gateway, mut browser) = furnished();
    let (owner, at) = (gateway.admin(), "/servers/github-mcp/settings");
    owner.secret("github-mcp", "GITHUB_TOKEN", "a-value-that-stays");
    let known = || owner.get("/mcp-servers/github-mcp").json();
    let now = known();
    for bad in ["http://169.254.169.254/", "http://10.1.2.3/mcp", "https://a.example/?api_key=x", "file:///etc", ""] {
        owner.patch("/mcp-servers/github-mcp", json!({ "url": bad })).expect(422);
    }
    let form = [("do", "save"), ("url", "http://10.1.2.3/mcp"), ("title", "GitHub"), ("protocol", "auto")];
    let text = browser.submit(at, &form).expect(422).text();
    assert!(text.contains("role=\"alert\"") && text.contains("value=\"http://10.1.2.3/mcp\""), "{text}");
    assert_eq!(known(), now);
    // Another path of the same place: no question, and the secret goes on.
    let form = [("do", "save"), ("url", "http://127.0.0.1:9/other?profile=team"), ("title", "G"), ("protocol", "auto")];
    assert!(browser.submit(at, &form).expect(200).text().contains("github-mcp is saved"));
    assert_eq!(owner.get("/mcp-servers/github-mcp/secrets").json()["data"][0]["state"], "active");
    // What is shown masked is no new address when it comes back.
    let shown = known()["url"].clone();
    assert_eq!(shown, json!("http://127.0.0.1:9/other?profile=***"));
    owner.patch("/mcp-servers/github-mcp", json!({ "url": shown, "title": "Same" })).expect(200);
    // With another path the value behind the mask would be lost.
    let other = json!({ "url": "http://127.0.0.1:9/third?profile=***" });
    let refused = owner.patch("/mcp-servers/github-mcp", other).expect(422).text();
    assert!(refused.contains("a value of its query is not shown"), "{refused}");
    let form = [("do", "save"), ("url", "http://127.0.0.1:9/third?profile=***"), ("title", "G"), ("protocol", "auto")];
    assert!(browser.submit(at, &form).expect(422).text().contains("a value of its query is not shown"));
    assert_eq!(known()["url"], shown);
    gateway.member("mia", "member", None).0.patch("/mcp-servers/github-mcp", json!({ "url": "https://a.example/" }));
    assert_eq!(known()["url"], shown);
}
