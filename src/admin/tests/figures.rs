//! Figures, tables and the calls behind them, as a page asks for them.

use chrono::Timelike as _;

use super::*;
use crate::{
    actors::{analytics_sink::Flush, token_authority::IssueToken},
    domain::ids::{CallId, ServerId, TokenId, WorkspaceId},
    store::{
        analytics::{Outcome, ToolCallEvent},
        testing,
    },
};

fn call(workspace: WorkspaceId, token: TokenId, tool: &str, minutes_ago: i64, outcome: Outcome) -> ToolCallEvent {
    let at = clock::now() - chrono::TimeDelta::minutes(minutes_ago) - chrono::TimeDelta::seconds(1);
    ToolCallEvent {
        call: CallId::of_call(at),
        at,
        workspace,
        token,
        account: None,
        credential: String::new(),
        client: "cursor".into(),
        era: "modern",
        server: ServerId(uuid::Uuid::from_u128(if tool.starts_with("crm") { 1 } else { 2 })),
        server_slug: if tool.starts_with("crm") { "crm-mcp" } else { "=github-mcp" }.into(),
        tool: tool.into(),
        outcome,
        latency_us: if tool.starts_with("crm") { 9000 } else { 1000 },
        upstream_us: 800,
        bytes_in: 3,
        bytes_out: 5,
    }
}

/// Two workspaces; in the first Alice (a member) and Bob, in the second Carol.
struct Office {
    gateway: Gateway,
    alice: String,
}

async fn issue(gateway: &Gateway, slug: &str, name: &str, member: Option<AccountId>) -> (WorkspaceId, TokenId) {
    let workspace = gateway.actors.catalog.load().workspace(slug).unwrap().id;
    let wanted = IssueToken {
        workspace,
        name: name.into(),
        expires_in_seconds: (name == "Bob").then_some(2 * 3600),
        member,
        requests_per_minute: None,
        scope: Default::default(),
        by: gateway.principal(),
    };
    (workspace, gateway.actors.tokens.issue(wanted).await.unwrap().record.id)
}

async fn office(gateway: Gateway) -> Office {
    gateway.workspace("engineering").await;
    gateway.workspace("sales").await;
    let (namespace, account) = (gateway.owner, account(&gateway.actors, "alice", "enterprise").await);
    let join = gateway
        .actors
        .store
        .upkeep(move |tx| Box::pin(accounts::put_member(tx, namespace, account, Role::Member, None)));
    join.await.unwrap();
    let wanted = IssueApiKey {
        account,
        namespace,
        bound: false,
        name: "cli".into(),
        expires_in_seconds: None,
        max_role: None,
        by: gateway.principal(),
    };
    let key = gateway.actors.tokens.issue_api_key(wanted).await.unwrap().raw.expose_secret().to_owned();
    let (engineering, alice) = issue(&gateway, "engineering", "Alice", Some(account)).await;
    let (_, bob) = issue(&gateway, "engineering", "Bob", None).await;
    let (sales, carol) = issue(&gateway, "sales", "Carol", None).await;
    for (many, workspace, token, tool, ago, outcome) in [
        (6, engineering, alice, "github__list", 2, Outcome::Ok),
        (2, engineering, alice, "crm__find", 2, Outcome::ToolError),
        (3, engineering, bob, "crm__find", 60 * 30, Outcome::Ok),
        (1, engineering, bob, "github__list", 60 * 30, Outcome::Error(-32011)),
        (4, sales, carol, "crm__find", 5, Outcome::Ok),
    ] {
        for _ in 0..many {
            gateway.actors.analytics.record(call(workspace, token, tool, ago, outcome));
        }
    }
    gateway.actors.analytics.sink().ask(Flush, std::time::Duration::from_secs(5)).await.unwrap();
    Office { gateway, alice: key }
}

fn rows(body: &Value) -> Value {
    let rows = body["data"].as_array().unwrap().iter();
    json!(rows.map(|row| json!([row["name"], row["calls"], row["errors"]])).collect::<Vec<_>>())
}

fn sum(numbers: &Value) -> u64 {
    numbers.as_array().unwrap().iter().map(|number| number.as_u64().unwrap()).sum()
}

async fn rule(gateway: Gateway) {
    // Somebody who has no workspace yet.
    for path in ["/analytics/table?server=github-mcp", "/calls?server=github-mcp"] {
        let got = gateway.get(path).await;
        assert_eq!(got.status, 404, "{path}: {got:?}");
    }
    let office = office(gateway).await;
    let get = async |path: &str| {
        let got = office.gateway.get(path).await;
        assert_eq!(got.status, 200, "{path}: {got:?}");
        got.body
    };
    let figures = get("/workspaces/engineering/analytics/figures?period=7d&by=tool&utc_offset_minutes=120").await;
    assert_eq!((&figures["total"]["calls"], &figures["total"]["errors"]), (&json!(12), &json!(3)), "{figures}");
    assert_eq!(figures["total"]["error_rate"], 0.25);
    assert!(figures["total"]["p50_us"].as_u64().unwrap().abs_diff(1000) < 20, "{figures}");
    assert!(figures["total"]["p95_us"].as_u64().unwrap().abs_diff(9000) < 180);
    let points = figures["points"].as_array().unwrap();
    assert_eq!(points.iter().map(|point| point["calls"].as_u64().unwrap()).sum::<u64>(), 12);
    let layers = figures["layers"].as_array().unwrap();
    assert!(layers.iter().all(|layer| layer["calls"].as_array().unwrap().len() == points.len()), "one for each step");
    let named: Vec<_> = layers.iter().map(|layer| (layer["name"].clone(), sum(&layer["calls"]))).collect();
    assert_eq!(named, [(json!("github__list"), 7), (json!("crm__find"), 5)]);
    assert_eq!(figures["heat"].as_array().unwrap().iter().map(sum).sum::<u64>(), 12);
    let top = get("/workspaces/engineering/analytics/figures?by=user&top=1").await;
    let named: Vec<_> = top["layers"].as_array().unwrap().iter().map(|one| (&one["name"], &one["total"])).collect();
    assert_eq!(named, [(&json!("Alice"), &json!(8)), (&Value::Null, &json!(4))], "the others together");
    let hour = get("/workspaces/engineering/analytics/figures?period=1h&user=Alice&tool=crm__find").await;
    assert_eq!((&hour["total"]["calls"], &hour["step_seconds"]), (&json!(2), &json!(60)));

    let all = get("/analytics/table?by=workspace").await;
    assert_eq!(rows(&all), json!([["engineering", 12, 3], ["sales", 4, 0]]));
    let people = get("/analytics/table?by=user&sort=name&reverse=true").await;
    assert_eq!(rows(&people), json!([["Carol", 4, 0], ["Bob", 4, 1], ["Alice", 8, 2]]));
    let slow = get("/workspaces/engineering/analytics/table?by=server&sort=p95").await;
    assert_eq!(rows(&slow), json!([["crm-mcp", 5, 2], ["=github-mcp", 7, 1]]));
    let first = get("/analytics/table?by=tool&limit=1").await;
    assert_eq!((rows(&first), &first["rows"]), (json!([["crm__find", 9, 2]]), &json!(2)));
    assert_eq!(first["data"][0]["server"], "crm-mcp");
    let next =
        get(&format!("/analytics/table?by=tool&limit=1&cursor={}", first["next_cursor"].as_str().unwrap())).await;
    assert_eq!((rows(&next), &next["next_cursor"]), (json!([["github__list", 7, 1]]), &Value::Null));

    for (query, many) in [
        ("user=Alice", 8),
        ("tool=crm__find", 9),
        ("workspace=sales", 4),
        ("server=crm-mcp&outcome=ok", 7),
        ("outcome=failed", 3),
        ("outcome=tool_error&failed=true&user=Alice", 2),
        ("outcome=error", 1),
        ("period=1h", 12),
        ("period=1h&user=Bob", 0),
    ] {
        let calls = get(&format!("/calls?{query}")).await;
        assert_eq!(calls["data"].as_array().unwrap().len(), many, "{query}: {calls}");
    }
    let until = get(&format!("/calls?from={}&to={}", day(-3), day(-1))).await;
    assert!(until["data"].as_array().unwrap().len() <= 4, "{until}");

    let overview = get("/overview").await;
    assert_eq!((&overview["week"]["calls"], &overview["active_week"]), (&json!(16), &json!(3)));
    assert_eq!((&overview["expiring"][0]["user"], &overview["recorded"]), (&json!("Bob"), &json!(true)));
    office.own_only().await;
    office.csv().await;
    office.pages_while_calls_arrive().await;
    office.refused().await;
    office.odd_texts().await;
    office.today_begins_at_midnight().await;
}

fn day(back: i64) -> String {
    (clock::now() + chrono::TimeDelta::days(back)).format("%Y-%m-%d").to_string()
}

impl Office {
    /// A member sees their own calls everywhere.
    async fn own_only(&self) {
        for (path, user) in [
            ("/analytics/table?by=user", "Alice"),
            ("/analytics/table?by=workspace", "engineering"),
            ("/workspaces/engineering/analytics/table", "Alice"),
        ] {
            let got = self.gateway.ask_as(&self.alice, Method::GET, path, None).await;
            assert_eq!(rows(&got.body), json!([[user, 8, 2]]), "{path}: {got:?}");
        }
        let got = self.gateway.ask_as(&self.alice, Method::GET, "/analytics/figures?by=tool", None).await;
        assert_eq!(got.body["total"]["calls"], 8);
        assert_eq!(got.body["heat"].as_array().unwrap().iter().map(sum).sum::<u64>(), 8);
        let got = self.gateway.ask_as(&self.alice, Method::GET, "/calls", None).await;
        assert_eq!(got.body["data"].as_array().unwrap().len(), 8);
        let got = self.gateway.ask_as(&self.alice, Method::GET, "/overview", None).await;
        assert_eq!((&got.body["week"]["calls"], &got.body["expiring"]), (&json!(8), &json!([])), "{got:?}");
        for path in ["/calls?user=Bob", "/analytics/figures?user=Bob", "/analytics/table?user=Nobody"] {
            let got = self.gateway.ask_as(&self.alice, Method::GET, path, None).await;
            assert_eq!(got.status, 403, "{path}: {got:?}");
        }
    }

    async fn csv(&self) {
        let text = async |path: &str| {
            let request = TestRequest::with_uri(&format!("{BASE}{path}"));
            let request = request.insert_header((header::AUTHORIZATION, format!("Bearer {}", self.gateway.key)));
            let service = init_service(App::new().configure(configure(self.gateway.admin.clone()))).await;
            let answer = call_service(&service, request.to_request()).await;
            assert_eq!(answer.headers().get(header::CONTENT_TYPE).unwrap(), "text/csv; charset=utf-8", "{path}");
            let next = answer.headers().get(header::LINK).map(|link| link.to_str().unwrap().to_owned());
            (String::from_utf8(read_body(answer).await.to_vec()).unwrap(), next)
        };
        // A file that is not all of it says where the rest is.
        for (path, lines) in [("/calls?format=csv&limit=9", [10, 8]), ("/analytics/table?format=csv&limit=2", [3, 2])] {
            let (first, next) = text(path).await;
            let next = next.unwrap_or_else(|| panic!("{path}: {first}"));
            let at =
                next.strip_prefix(&format!("<{BASE}")).and_then(|rest| rest.strip_suffix(">; rel=\"next\"")).unwrap();
            let (rest, end) = text(at).await;
            assert_eq!(([first.lines().count(), rest.lines().count()], end), (lines, None), "{path}: {next}");
        }
        let text = async |path: &str| text(path).await.0;
        let table = text("/analytics/table?by=server&format=csv").await;
        assert!(table.starts_with("server,of_server,calls,errors,tool_errors,error_rate,p50_us"), "{table}");
        assert!(table.contains("\r\n'=github-mcp,,7,1,0,0.142857,"), "no formula: {table}");
        let figures = text("/workspaces/engineering/analytics/figures?period=24h&format=csv").await;
        assert!(figures.starts_with("at,calls,errors,") && figures.lines().count() >= 25, "{figures}");
        assert!(
            text("/calls?user=Bob&format=csv")
                .await
                .contains(",Bob,github__list,'=github-mcp,cursor,modern,error,-32011,")
        );
        assert!(text("/workspaces/sales/analytics?format=csv").await.contains("\r\nCarol,crm__find,crm-mcp,4,0,20"));
    }

    /// Who was on a page is not on the next one, whoever comes first by then.
    async fn pages_while_calls_arrive(&self) {
        let at = "/workspaces/engineering/analytics/table?by=user&limit=1";
        let first = self.gateway.get(at).await.body;
        assert_eq!(rows(&first), json!([["Alice", 8, 2]]));
        let (workspace, dan) = issue(&self.gateway, "engineering", "Dan", None).await;
        for _ in 0..9 {
            self.gateway.actors.analytics.record(call(workspace, dan, "github__list", 1, Outcome::Ok));
        }
        self.gateway.actors.analytics.sink().ask(Flush, std::time::Duration::from_secs(5)).await.unwrap();
        let cursor = first["next_cursor"].as_str().unwrap();
        let second = self.gateway.get(&format!("{at}&cursor={cursor}")).await.body;
        assert_eq!((rows(&second), &second["next_cursor"]), (json!([["Bob", 4, 1]]), &Value::Null));
        for sort in ["errors", "error_rate", "p50", "p95", "p99", "last_call", "name"] {
            let (mut seen, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = self.gateway.get(&format!("{at}&sort={sort}{cursor}")).await.body;
                seen.extend(page["data"].as_array().unwrap().iter().map(|row| row["name"].clone()));
                let Some(next) = page["next_cursor"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
            seen.sort_by_key(Value::to_string);
            assert_eq!(seen, ["Alice", "Bob", "Dan"], "{sort}");
        }
    }

    /// Some eight hours ago it was midnight, half an hour after an hour of UTC began, as it is in India.
    async fn today_begins_at_midnight(&self) {
        let hours_ago = clock::now() - chrono::TimeDelta::hours(8);
        let hour = hours_ago - chrono::TimeDelta::seconds(i64::from(hours_ago.num_seconds_from_midnight() % 3600));
        let midnight = i64::from(hour.num_seconds_from_midnight() / 60) + 30;
        let offset = if midnight >= 600 { 1440 - midnight } else { -midnight };
        let path = format!("/overview?utc_offset_minutes={offset}");
        let before = self.gateway.get(&path).await;
        let (workspace, token) = issue(&self.gateway, "engineering", "Dev", None).await;
        for minute in [10, 50] {
            let at = hour + chrono::TimeDelta::minutes(minute);
            let event = call(workspace, token, "github__list", 0, Outcome::Ok);
            self.gateway.actors.analytics.record(ToolCallEvent { at, call: CallId::of_call(at), ..event });
        }
        self.gateway.actors.analytics.sink().ask(Flush, std::time::Duration::from_secs(5)).await.unwrap();
        let calls = |got: &Got, when: &str| got.body[when]["calls"].as_u64().unwrap_or_else(|| panic!("{got:?}"));
        let now = self.gateway.get(&path).await;
        assert_eq!(calls(&now, "week"), calls(&before, "week") + 2);
        assert_eq!(calls(&now, "today"), calls(&before, "today") + 1, "ten past was yesterday: {now:?}");
    }

    /// What no text may hold is the caller's mistake, or not found: it is no failure of the database.
    async fn odd_texts(&self) {
        for path in [
            "/analytics/figures?tool=%00",
            "/analytics/table?server=a%00b",
            "/calls?tool=a%00",
            "/audit?user=%00",
            "/audit?action=a%00",
            "/workspaces/engineering/audit?user=%00",
            "/workspaces/a%00",
            "/team/members/a%00",
            "/whoami?namespace=a%00",
        ] {
            let got = self.gateway.get(path).await;
            assert!(got.status < 500, "{path}: {got:?}");
        }
    }

    async fn refused(&self) {
        for (path, status) in [
            ("/analytics/figures?period=soon", 422),
            ("/analytics/figures?period=7d&from=2026-01-01", 422),
            ("/analytics/figures?to=2026-01-01", 422),
            ("/analytics/figures?from=2026-01-02&to=2026-01-01", 422),
            ("/analytics/figures?from=yesterday", 422),
            ("/analytics/figures?utc_offset_minutes=900", 422),
            ("/analytics/figures?by=mood", 400),
            ("/analytics/figures?workspace=nowhere", 404),
            ("/analytics/figures?server=nowhere", 404),
            ("/workspaces/sales/analytics/figures?workspace=sales", 400),
            ("/analytics/table?cursor=%25", 400),
            ("/calls?outcome=odd", 400),
            ("/calls?outcome=ok&failed=true", 422),
            ("/workspaces/sales/calls?outcome=ok&failed=true", 422),
            ("/analytics/table?cursor=MQ", 400),
            ("/calls?from=2026-01-01&since=2026-01-01", 422),
        ] {
            let got = self.gateway.get(path).await;
            assert_eq!(got.status, status, "{path}: {got:?}");
        }
    }
}

#[actix_web::test]
async fn figures_and_the_calls_behind_them_agree_on_sqlite() {
    rule(Gateway::start().await).await;
}

#[actix_web::test]
async fn figures_and_the_calls_behind_them_agree_on_postgres() {
    let Some(url) = testing::postgres_url().await else { return };
    let mut config = Config::default();
    config.database.url = url;
    rule(Gateway::with(config, "enterprise").await).await;
}
