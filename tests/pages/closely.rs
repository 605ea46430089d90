//! What is looked at closely: the machine, the definition of a tool, one act of the audit log, how a token's calls ended;
//! and a refusal that says which request was refused.

use serde_json::{Value, json};

use super::{PASSWORD, furnished, playground::furnished as with_server};
use crate::support::{
    Browser,
    people::{on_both, setup},
    servers::{described, modern},
    wait,
};

#[test]
fn health_tells_of_the_databases_the_disk_and_the_versions() {
    on_both(|setup| {
        let gateway = setup.start();
        let owner = gateway.admin();
        owner.post("/account/password", json!({ "new": PASSWORD })).expect(200);
        let health = owner.get("/health").expect(200).json();
        assert_eq!(health["status"], "pass", "{health}");
        assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
        let (database, disk) = (&health["database"], &health["disk"]);
        assert_eq!(database["reachable"], true, "{health}");
        assert!(database["latency_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{health}");
        assert!(database["state_bytes"].as_u64().is_some_and(|bytes| bytes > 10_000), "{health}");
        let files = database["kind"] == "sqlite";
        assert_eq!(database["analytics_bytes"].as_u64().is_some(), files, "one database on Postgres: {health}");
        for schema in ["state_schema", "analytics_schema"] {
            let steps = &database[schema];
            assert!(steps["applied"].as_u64().is_some_and(|n| n > 3) && steps["applied"] == steps["known"], "{health}");
            assert!(steps["newest"].as_str().is_some_and(|name| name.starts_with("m2026")), "{health}");
        }
        let [free, total] = ["free_bytes", "total_bytes"].map(|name| disk[name].as_u64().expect("a number"));
        assert!(0 < free && free <= total, "{health}");
        let mut browser = Browser::new(gateway.address);
        browser.sign_in("acme", PASSWORD);
        let page = browser.get("/health").expect(200).text();
        let kind = if files { "SQLite answers in" } else { "PostgreSQL answers in" };
        for said in [kind, "migrations applied", "Disk free", "Download support bundle", "href=\"/health/bundle\""] {
            assert!(page.contains(said), "{said}: {page}");
        }
        assert_eq!(page.contains("analytics.db"), files);
    });
}

#[test]
fn the_support_bundle_is_a_file_without_what_opens_anything() {
    let (gateway, mut browser) = furnished();
    let owner = gateway.admin();
    owner.server("hidden-mcp", "http://127.0.0.1:9/s/CANARY-path/mcp");
    owner.secret("github-mcp", "GITHUB_TOKEN", "CANARY-secret-value");
    let token = owner.token("engineering", "Alice Chen");
    let page = browser.get("/health/bundle").expect(200);
    let name = page.header("content-disposition").expect("it is a file");
    assert!(name.starts_with("attachment; filename=\"aerostack-support-"), "{name}");
    let (text, bundle) = (page.text(), page.json());
    for opens in ["CANARY", token.raw.as_str(), owner.key.as_str(), PASSWORD] {
        assert!(!text.contains(opens), "{opens}: {text}");
    }
    assert_eq!(bundle["gateway"]["health"]["database"]["reachable"], true, "{text}");
    let servers = bundle["gateway"]["servers"]["data"].as_array().expect("a list");
    assert!(servers.iter().all(|server| server["url"] == "http://127.0.0.1:9/…"), "{servers:?}");
    let findings = bundle["findings"].as_array().expect("a list");
    for about in ["data folder", "database", "server github-mcp"] {
        assert!(findings.iter().any(|one| one["about"] == about), "{about}: {findings:?}");
    }
    gateway.member("ada", "member", None);
    let mut ada = Browser::new(gateway.address);
    ada.sign_in("ada", PASSWORD);
    ada.get("/health/bundle").expect(403);
}

/// A tool with something of everything, as its server writes it.
fn tool() -> Value {
    json!({ "name": "create_issue", "title": "Create <i>issue</i>", "description": "Opens an <b>issue</b>\nand <script>alert(1)</script>\u{202e}",
        "annotations": { "destructiveHint": true, "openWorldHint": true },
        "inputSchema": { "type": "object", "properties": { "</code><script>alert(2)</script>": { "type": "string" } } },
        "outputSchema": { "type": "object", "properties": { "number": { "type": "integer" } } } })
}

#[test]
fn the_definition_of_a_tool_is_shown_when_it_is_wanted_and_as_text() {
    let large = json!({ "name": "large", "description": "x".repeat(100_000), "annotations": { "readOnlyHint": true,
        "destructiveHint": true }, "inputSchema": { "type": "object", "description": "y".repeat(100_000) } });
    let long = json!({ "name": "l".repeat(45), "inputSchema": { "type": "object" } });
    let (upstream, _) = described(vec![tool(), large, long]);
    let (gateway, mut browser) = with_server(setup(), &upstream);
    let at = "/workspaces/engineering/tools";
    let listed = browser.get(at).expect(200).text();
    assert!(!listed.contains("input schema") && !listed.contains("<script>alert"), "{listed}");
    let link = "/workspaces/engineering/tools?server=github-mcp&#38;schema=create_issue";
    assert!(listed.contains(link) && listed.contains("1 name is"), "{listed}");
    for fact in ["read-only", "destructive", "open world"] {
        assert_eq!(listed.matches(&format!("\">{fact}</span>")).count(), 1, "{fact}: {listed}");
    }
    let tools = gateway.admin().get("/workspaces/engineering/servers/github-mcp/tools").expect(200).json();
    let facts = |at: usize| {
        let one = &tools["data"][at];
        ["read_only", "destructive", "open_world"].map(|name| one[name].as_bool().expect("it is said"))
    };
    assert_eq!((facts(0), facts(1)), ([false, true, true], [true, false, false]), "what reads destroys nothing");

    let places = [
        ("/workspaces/engineering/tools?server=github-mcp&schema=", "github__create_issue"),
        ("/servers/github-mcp/tools?tool=", "create_issue"),
    ];
    for (place, name) in places {
        let shown = browser.get(&format!("{place}create_issue")).expect(200).text();
        let dialog = shown.split("<dialog id=\"definition\"").nth(1).expect("it is open");
        for said in
            [name, "input schema", "output schema", "destructive", "open world", "Opens an &lt;b&gt;issue&lt;/b&gt;"]
        {
            assert!(dialog.contains(said), "{said}: {dialog}");
        }
        assert!(dialog.contains("Create &lt;i&gt;issue") && dialog.contains("\\u{202e}"), "{dialog}");
        assert!(dialog.contains("&quot;properties&quot;</span>: {"), "laid out in lines: {dialog}");
        assert!(!shown.contains("<script>alert") && !shown.contains("<b>issue"), "{shown}");
        let shown = browser.get(&format!("{place}large")).expect(200);
        assert!(
            shown.text().matches("bytes in all").count() >= 2 && shown.body.len() < 300_000,
            "{}",
            shown.body.len()
        );
        assert!(shown.text().contains("It has no output schema"));
        browser.get(&format!("{place}none")).expect(404);
    }
    gateway.member("vic", "viewer", None);
    let mut viewer = Browser::new(gateway.address);
    viewer.sign_in("vic", PASSWORD);
    viewer.get("/workspaces/engineering/tools?server=github-mcp&schema=create_issue").expect(200);
    viewer.get("/servers/github-mcp/tools?tool=create_issue").expect(403);
}

#[test]
fn what_is_refused_on_a_page_says_which_request_it_was_and_the_logs_know_it() {
    let (gateway, mut browser) = furnished();
    let owner = gateway.admin();
    // A form that is refused: the toast stays, with the id to copy.
    let refused = browser.submit("/health", &[("name", "Nobody")]).expect(404);
    let id = refused.header("x-request-id").expect("an id").to_owned();
    let text = refused.text();
    assert!(
        text.contains("role=\"alert\" data-stays") && text.contains(&format!("Request <code>{id}</code>")),
        "{text}"
    );
    assert!(text.contains(&format!("data-copy-text=\"{id}\"")), "{text}");
    wait::until("the log knows it", || gateway.log().contains(&id));
    // What works says nothing of it.
    let done = browser.submit("/health", &[("name", "AnalyticsSink")]).expect(200).text();
    assert!(done.contains("is started anew") && !done.contains("Request <code>"), "{done}");
    // A page that there is not.
    let refused = browser.get("/workspaces/nowhere/tools").expect(404);
    let id = refused.header("x-request-id").expect("an id").to_owned();
    assert!(refused.text().contains(&format!("Request <code>{id}</code>")), "{}", refused.text());
    wait::until("the log knows it", || gateway.log().contains(&id));
    // An id that came along is used, if it is harmless; and an act is written down with it, and from where it was done.
    let csrf = browser.csrf.clone().expect("a token");
    let act = |id: &str, slug: &str| {
        let form = browser.form("/workspaces", &[("slug", slug), ("csrf", &csrf)]).header("x-request-id", id);
        form.header("origin", &format!("http://{}", gateway.address)).send(gateway.address)
    };
    let made = act("from-a-page-7", "platform");
    assert_eq!((made.status / 100, made.header("x-request-id")), (3, Some("from-a-page-7")), "{}", made.text());
    let odd = act("<script>", "odd");
    assert!(
        odd.header("x-request-id").is_some_and(|id| id.len() == 32 && !id.contains('<')),
        "{:?}",
        odd.header("x-request-id")
    );
    let rows = owner.get("/audit?action=workspace_created").json();
    let row =
        rows["data"].as_array().expect("a list").iter().find(|row| row["target"] == "platform").expect("it is there");
    assert_eq!((&row["request_id"], &row["address"]), (&json!("from-a-page-7"), &json!("127.0.0.1")), "{row}");
}

#[test]
fn one_act_is_looked_at_with_who_when_from_where_and_what_it_changed() {
    let (gateway, mut browser) = furnished();
    let owner = gateway.admin();
    owner.workspace("other");
    let token = owner.token("engineering", "Alice Chen");
    owner
        .patch(&format!("/workspaces/engineering/tokens/{}", token.id), json!({ "scope": { "allow": ["<b>*"] } }))
        .expect(200);
    owner
        .patch("/mcp-servers/github-mcp", json!({ "url": "http://127.0.0.1:9/CANARY-path", "title": "Our GitHub" }))
        .expect(200);
    owner.secret("github-mcp", "GITHUB_TOKEN", "CANARY-secret");
    owner.patch("/workspaces/engineering", json!({ "name": "The <i>engineers</i>" })).expect(200);
    let found = |action: &str| {
        let rows = owner.get(&format!("/audit?action={action}")).expect(200).json();
        rows["data"][0].clone()
    };
    let open = |browser: &mut Browser, action: &str| {
        let seq = found(action)["seq"].as_u64().expect("a position");
        for list in ["/audit", "/workspaces/engineering/audit"] {
            let link = format!("{list}?entry={seq}");
            assert!(browser.get(list).expect(200).text().contains(&format!("href=\"{link}\"")), "{link}");
            let page = browser.get(&link).expect(200).text();
            let act = page.split("<dialog id=\"act\"").nth(1).expect("it is open").to_owned();
            for said in ["127.0.0.1", "Copy the request id", "Verify the log", &format!("<dd>{seq},"), " UTC"] {
                assert!(act.contains(said), "{said}: {act}");
            }
            assert!(!page.contains("CANARY"), "{page}");
        }
        browser.get(&format!("/audit?entry={seq}")).text().split("<dialog id=\"act\"").nth(1).expect("open").to_owned()
    };
    let act = open(&mut browser, "workspace_renamed");
    assert!(act.contains(">engineering</code>") && act.contains("The &lt;i&gt;engineers&lt;/i&gt;</code>"), "{act}");
    let act = open(&mut browser, "token_scope_changed");
    assert!(act.contains("scope</th>") && act.contains("&lt;b&gt;*"), "{act}");
    let act = open(&mut browser, "mcp_changed");
    assert!(act.contains(">Our GitHub</code>") && act.contains("reached another way"), "{act}");
    let act = open(&mut browser, "secret_updated");
    assert!(act.contains("value version"), "{act}");
    let seq = found("workspace_renamed")["seq"].as_u64().expect("a position");
    let one = owner.get(&format!("/workspaces/engineering/audit?seq={seq}")).expect(200).json();
    assert_eq!(
        one["data"][0]["changes"],
        json!([{ "field": "name", "before": "engineering", "after": "The <i>engineers</i>" }])
    );
    assert_eq!(one["data"].as_array().map(Vec::len), Some(1));
    // What is in another log, or in none, is not here.
    for nowhere in
        [format!("/workspaces/other/audit?entry={seq}"), "/audit?entry=999999".into(), "/audit?entry=%3Cb%3E".into()]
    {
        let text = browser.get(&nowhere).expect(404).text();
        assert!(text.contains("This log has no entry") && !text.contains("<b>"), "{text}");
    }
}

#[test]
fn a_tool_that_is_switched_says_before_and_after_and_what_did_not_change_says_nothing() {
    let (upstream, _) = described(vec![tool()]);
    let (gateway, _) = with_server(setup(), &upstream);
    let owner = gateway.admin();
    let at = "/workspaces/engineering/servers/github-mcp";
    owner.get(&format!("{at}/tools")).expect(200);
    let changes = |action: &str| owner.get(&format!("/audit?action={action}")).json()["data"][0]["changes"].clone();
    let change =
        |field: &str, before: Value, after: Value| json!([{ "field": field, "before": before, "after": after }]);
    owner.patch(&format!("{at}/tools"), json!({ "tools": ["create_issue"], "enabled": false })).expect(200);
    assert_eq!(changes("tool_disabled"), change("enabled", json!("true"), json!("false")));
    owner.patch(&format!("{at}/tools"), json!({ "tools": ["create_issue"], "alias": "issue" })).expect(200);
    assert_eq!(changes("tool_alias_changed"), change("alias", Value::Null, json!("issue")));
    owner.patch(at, json!({ "prefix": "gh" })).expect(200);
    assert_eq!(changes("mcp_prefix_changed"), change("prefix", json!("github"), json!("gh")));
    owner.patch(&format!("{at}/tools"), json!({ "tools": ["create_issue"], "enabled": true })).expect(200);
    owner.patch(&format!("{at}/tools"), json!({ "tools": ["create_issue"], "enabled": true })).expect(200);
    assert_eq!(changes("tool_enabled"), Value::Null, "it was on already");
}

#[test]
fn the_page_of_a_token_tells_how_its_calls_ended_with_which_clients_and_what_it_takes() {
    let upstream = modern(&["good", "bad", "broken"], |seen, conn| match seen.tool().as_str() {
        "good" => conn.says(seen, "done"),
        "bad" => conn.result(seen, json!({ "isError": true, "content": [{ "type": "text", "text": "no" }] })),
        _ => conn.error(200, seen, -32050, "broken"),
    });
    let (gateway, mut browser) = with_server(setup(), &upstream);
    let token = gateway.admin().token("engineering", "Alice Chen");
    let editor = gateway.editor("engineering", &token.raw);
    for tool in ["good", "good", "bad", "broken"] {
        let calling = editor.calling(&format!("github__{tool}"), json!({}));
        editor.send(&calling.header("user-agent", "cursor-vscode/2.4"));
    }
    let at = format!("/workspaces/engineering/tokens/{}", token.id);
    let counted = "<span class=\"label\">Calls, 7 days</span><span class=\"figure\">4</span>";
    wait::until("the calls are counted", || {
        let page = browser.clone().get(&at).text();
        page.contains(counted) && page.contains("4 calls of the last ones")
    });
    let page = browser.get(&at).expect(200).text();
    assert!(page.contains("Last clients seen") && page.contains("cursor-vscode"), "{page}");
    assert!(page.contains("<span class=\"figure\">4<small>of 120</small></span>"), "{page}");
    for (outcome, calls) in [("ok", 2), ("tool_error", 1), ("error", 1)] {
        let mut links = page.split("href=\"").map(|rest| rest.split('"').next().unwrap_or_default());
        let link = links.find(|link| link.contains(&format!("show={outcome}&"))).expect("a link");
        assert!(page.contains(&format!("{link}\">{calls}</a>")), "{outcome}: {page}");
        let behind = browser.get(&link.replace("&#38;", "&").replace("&amp;", "&")).expect(200).text();
        assert_eq!(
            behind.split("<tbody>").nth(1).expect("a table").matches("<tr>").count(),
            calls,
            "{outcome}: {behind}"
        );
        assert!(behind.contains(&format!("show: {outcome}")), "{behind}");
    }
    // An error that is the server's own has no meaning of ours.
    let failed = gateway.admin().get("/workspaces/engineering/calls?outcome=error").json()["data"][0].clone();
    assert_eq!((&failed["error_code"], &failed["error"]), (&json!(-32050), &Value::Null), "{failed}");
    gateway.admin().revoke("engineering", &token.id);
    assert!(browser.get(&at).expect(200).text().contains("it does not work any more"));
}
