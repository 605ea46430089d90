//! The pages about calls: figures that lead to the calls behind them, and what the tool list costs.

use serde_json::json;

use super::furnished;
use crate::support::{
    Browser, Editor, TestGateway,
    people::{PASSWORD, setup},
    servers, wait,
};

/// A gateway where Alice called one of two tools, twice, and once what fails.
fn called() -> (TestGateway, Browser) {
    let (gateway, browser) = furnished();
    let owner = gateway.admin();
    owner.add("engineering", "tools-mcp", &servers::plain(&["create_issue", "list_issues"]));
    let token = owner.token("engineering", "Alice Chen");
    let editor = Editor::new(gateway.address, "/ws/engineering", &token.raw);
    for _ in 0..2 {
        editor.call("tools__create_issue", json!({})).expect(200);
    }
    let counted =
        || owner.get("/workspaces/engineering/calls").json()["data"].as_array().is_some_and(|calls| calls.len() == 2);
    wait::until("the calls are counted", counted);
    (gateway, browser)
}

/// Where the links of a page lead that begin so, as a browser reads them.
fn links(page: &str, begin: &str) -> Vec<String> {
    let found = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    found.map(|link| link.replace("&#38;", "&").replace("&amp;", "&")).filter(|link| link.starts_with(begin)).collect()
}

#[test]
fn every_figure_leads_to_the_calls_behind_it() {
    let (_gateway, mut browser) = called();
    let page = browser.get("/workspaces/engineering/analytics?period=24h&by=tool").expect(200).text();
    for part in ["Call volume", "Latency percentiles", "Error rate", "Busy hours", "Per user", "Per tool", "Per server"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    let calls = links(&page, "/workspaces/engineering/calls?");
    assert!(calls.len() >= 8, "{calls:?}");
    for of in ["user=Alice", "tool=tools__create_issue", "server=tools-mcp"] {
        let link = calls.iter().find(|link| link.contains(of)).expect("a link to these calls");
        let shown = browser.get(link).expect(200).text();
        assert_eq!(shown.matches("Alice Chen</a>").count(), 2, "{link}: {shown}");
    }
    let failed = calls.iter().find(|link| link.contains("show=failed")).expect("a link to what failed");
    assert!(browser.get(failed).expect(200).text().contains("No call fits"), "{failed}");
    // The step in which they were.
    let step = calls.iter().rfind(|link| link.contains("calls?from=") && !link.contains("show=")).expect("a step");
    assert!(browser.get(step).expect(200).text().contains("Alice Chen</a>"), "{step}");
    // The cells of the heat map, in their hours and in no other.
    let cells: Vec<_> = calls.iter().filter(|link| link.contains("weekday=")).collect();
    let shown = cells.iter().map(|cell| browser.get(cell).expect(200).text().matches("Alice Chen</a>").count());
    assert_eq!(shown.sum::<usize>(), 2, "{cells:?}");
    let cell = cells.first().expect("a cell with calls");
    let (before, hour) = cell.rsplit_once("&hour=").expect("its hour");
    let other = format!("{before}&hour={}", (hour.parse::<u32>().unwrap() + 12) % 24);
    assert!(browser.get(&other).expect(200).text().contains("No call fits"), "{other}");
    let way =
        r#"<a href="/workspaces/engineering/analytics">Analytics</a></li><li><span aria-current="page">Calls</span>"#;
    assert!(browser.get(cell).text().contains(way), "the way to the calls");
    for odd in ["weekday=mon", "hour=3", "weekday=mon&hour=24", "weekday=mon&hour=x", "weekday=moon&hour=3"] {
        browser.get(&format!("/workspaces/engineering/calls?{odd}")).expect(422);
    }
    // Other pages' figures lead there too, and show as many as they say.
    let token = links(&browser.get("/workspaces/engineering/tokens").text(), "/workspaces/engineering/tokens/tok_");
    for (path, least) in [
        ("/overview", 4),
        ("/workspaces", 1),
        ("/workspaces/engineering/tokens", 1),
        ("/workspaces/engineering/diet", 1),
        (token.first().expect("a token's page"), 3),
    ] {
        let page = browser.get(path).expect(200).text();
        let found = [links(&page, "/calls?"), links(&page, "/workspaces/engineering/calls?")].concat();
        assert!(found.len() >= least, "{path}: {found:?}");
        for link in found {
            let shown = browser.get(&link).expect(200).text().matches("Alice Chen</a>").count();
            let expected = if link.contains("show=failed") {
                0..=0
            } else if link.contains("to=") {
                1..=2
            } else {
                2..=2
            };
            assert!(expected.contains(&shown), "{path}: {link} shows {shown}");
        }
    }
}

#[test]
fn all_workspaces_are_looked_at_together_and_one_by_one() {
    let (gateway, mut browser) = called();
    let owner = gateway.admin();
    owner.workspace("support");
    owner.install("support", "tools-mcp");
    let token = owner.token("support", "Bob Singh");
    let editor = Editor::new(gateway.address, "/ws/support", &token.raw);
    editor.call("tools__list_issues", json!({})).expect(200);
    wait::until("it is counted", || browser.get("/calls").text().contains("Bob Singh</a>"));
    let list = browser.get("/workspaces").expect(200).text();
    for (slug, calls) in [("support", "1"), ("engineering", "2")] {
        let row = list.split(&format!("href=\"/workspaces/{slug}/calls?")).nth(1).expect("its calls");
        let shown = row.split_once('>').and_then(|(_, rest)| rest.split_once('<')).map(|(shown, _)| shown);
        assert_eq!(shown, Some(calls), "{slug}: {list}");
        assert!(list.contains(&format!("href=\"/workspaces/{slug}/analytics\">1</a>")), "its people: {list}");
    }
    let page = browser.get("/analytics?period=24h&by=workspace").expect(200).text();
    assert!(page.contains("Per workspace") && page.contains("Every workspace of @acme"), "{page}");
    let calls = links(&page, "/calls?");
    for (of, found) in
        [("workspace=support", 1), ("workspace=engineering", 2), ("server=tools-mcp", 3), ("user=Bob", 1)]
    {
        let link = calls.iter().find(|link| link.contains(of)).expect("a link to these calls");
        assert_eq!(browser.get(link).expect(200).text().matches("</a></span></td>").count(), found, "{link}");
    }
    let files = links(&page, "/api/v1/admin/analytics/");
    assert_eq!(files.len(), 5, "{files:?}");
    for file in &files {
        let csv = browser.get(file).expect(200).text();
        assert!(csv.lines().count() > 1 && csv.contains(",0,"), "{file}: {csv}");
    }
    let one = browser.get("/analytics?period=24h&workspace=support").expect(200).text();
    assert!(one.contains("Without the filter workspace") && !one.contains("Alice Chen"), "{one}");
    browser.get("/analytics?workspace=unknown").expect(404);
    // A filter of all workspaces is none of one of them.
    let page = browser.get("/workspaces/engineering/analytics?workspace=support").expect(200).text();
    assert!(page.contains("Alice Chen") && !page.contains("Per workspace"), "{page}");
    gateway.member("mia", "member", None);
    let mut mia = Browser::new(gateway.address);
    mia.sign_in("mia", PASSWORD);
    for path in ["/analytics", "/calls"] {
        let page = mia.get(path).expect(200).text();
        assert!(!page.contains("Alice Chen") && !page.contains("Bob Singh"), "{path}: {page}");
    }
    mia.get("/calls?user=Alice+Chen").expect(403);
    Browser::new(gateway.address).get("/analytics").expect(303);
}

#[test]
fn any_stretch_of_time_is_in_the_address_and_what_it_shows_is_there_as_a_file() {
    let (_gateway, mut browser) = called();
    let page = browser.get("/workspaces/engineering/analytics").expect(200).text();
    let last_day = page.split("name=\"to\" value=\"").nth(1).expect("the last day of the range");
    let today: String = last_day.chars().take(10).collect();
    let at = format!("/workspaces/engineering/analytics?from={today}&to={today}&user=Alice+Chen&by=server");
    let page = browser.get(&at).expect(200).text();
    assert!(page.contains("Without the filter user") && page.contains("Per server"), "today, to its end: {page}");
    let files = links(&page, "/api/v1/admin/workspaces/engineering/analytics/");
    assert_eq!(files.len(), 4, "{files:?}");
    for file in &files {
        let csv = browser.get(file).expect(200);
        assert!(csv.header("content-type").is_some_and(|kind| kind.starts_with("text/csv")), "{file}");
        assert!(csv.text().contains(",2,0,"), "{file}: {}", csv.text());
    }
    // Before anything was kept there is nothing, and what is no stretch of time is said.
    for (query, status) in
        [("from=2020-01-01&to=2020-01-02", 200), ("period=soon", 422), ("from=tomorrow", 422), ("to=2020-01-01", 200)]
    {
        browser.get(&format!("/workspaces/engineering/analytics?{query}")).expect(status);
    }
}

#[test]
fn a_member_sees_the_figures_of_their_own_calls_only() {
    let (gateway, _) = called();
    gateway.member("mia", "member", None);
    let mut browser = Browser::new(gateway.address);
    browser.sign_in("mia", PASSWORD);
    for path in ["/workspaces/engineering/analytics", "/workspaces/engineering/calls", "/overview"] {
        let page = browser.get(path).expect(200).text();
        assert!(!page.contains("Alice Chen"), "{path}: {page}");
    }
    browser.get("/workspaces/engineering/analytics?user=Alice+Chen").expect(403);
    browser.get("/workspaces/engineering/diet").expect(403);
}

#[test]
fn tools_that_nobody_uses_are_switched_off_with_one_click() {
    let (gateway, mut browser) = called();
    let at = "/workspaces/engineering/diet";
    let page = browser.get(at).expect(200).text();
    assert!(page.contains("o200k_base") && page.contains("too new to tell") && !page.contains("Switch off"), "{page}");
    assert!(
        browser.submit(at, &[("tool", "tools__list_issues")]).expect(409).text().contains("not known to be unused")
    );
    gateway.look_back("UPDATE workspace_servers SET created_at = '2020-01-01T00:00:00+00:00'");
    gateway.look_back("UPDATE tool_pins SET first_seen_at = '2020-01-01T00:00:00+00:00'");
    let page = browser.get(at).expect(200).text();
    assert!(page.contains("Switch off 1 unused tool"), "{page}");
    let done = browser.submit(at, &[]).expect(200).text();
    assert!(done.contains("1 tool switched off. Every conversation is spared about"), "{done}");
    assert!(done.contains("tools__</span>create_issue") && !done.contains("tools__</span>list_issues"), "{done}");
    let listed = gateway.admin().get("/workspaces/engineering/tools").json().to_string();
    assert!(listed.contains("create_issue"), "{listed}");
}

#[test]
fn a_token_unlike_itself_is_flagged_on_the_overview() {
    let gateway = setup().set("analytics.unusual_calls", 1).set("analytics.unusual_new_calls", 2).start();
    let owner = gateway.admin();
    owner.workspace("engineering");
    owner.add("engineering", "tools-mcp", &servers::plain(&["create_issue"]));
    owner.post("/account/password", json!({ "new": PASSWORD })).expect(200);
    let token = owner.token("engineering", "<b>Night Shift</b>");
    let editor = Editor::new(gateway.address, "/ws/engineering", &token.raw);
    for _ in 0..3 {
        editor.call("tools__create_issue", json!({})).expect(200);
    }
    let mut browser = Browser::new(gateway.address);
    browser.sign_in("acme", PASSWORD);
    wait::until("it is flagged", || browser.get("/overview").text().contains("is unlike itself"));
    let page = browser.get("/overview").text();
    assert!(page.contains("&lt;b&gt;Night Shift&lt;/b&gt; is unlike itself") && !page.contains("<b>Night"), "{page}");
    assert!(page.contains("/workspaces/engineering/calls?user=%3Cb%3ENight"), "{page}");
}
