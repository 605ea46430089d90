//! Plans are data: an operator sets them on the host, and they hold however many ask at once.

use std::{
    process::Output,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use serde_json::{Value, json};

use crate::support::{Place, Response, TestGateway, database::fresh_postgres, place_with, process::Setup};

fn plan(place: &Place, arguments: &[&str]) -> Output {
    let setup = &place.gateway.setup;
    let mut command = setup.command();
    command.args(["admin", "plan"]).args(arguments).arg("--data-dir").arg(setup.data_dir());
    command.output().unwrap()
}

#[track_caller]
fn sets(place: &Place, name: &str) -> String {
    let output = plan(place, &["admin", name]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn exactly_twenty_five(setup: Setup) {
    // The limit on requests is another one.
    let place = place_with(setup.set("limits.admin_requests_per_minute", 10_000), &[]);
    assert_eq!(sets(&place, "pro"), "✓ @admin is on the Pro plan: 25 tokens per workspace, 1 of 5 workspaces used.\n");
    let (next, made) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while let Some(n) = Some(next.fetch_add(1, SeqCst)).filter(|n| *n < 200) {
                    let ask = || place.admin.post("/workspaces/eng/tokens", json!({ "name": format!("t{n}") }));
                    // A database with too much to do says so; it is asked again.
                    let answer = std::iter::repeat_with(ask).find(|answer| answer.status != 503).unwrap();
                    if answer.status == 201 {
                        made.fetch_add(1, SeqCst);
                    } else {
                        assert_eq!(limit_of(&answer.expect(403).json()), ("pro", 25, 25));
                    }
                }
            });
        }
    });
    let listed = place.admin.get("/workspaces/eng/tokens?limit=500").json();
    let active = listed["data"].as_array().unwrap().iter().filter(|one| one["active"] == true).count();
    assert_eq!((active, made.load(SeqCst)), (25, 24), "one was there before");
    assert_eq!(listed["seats"], json!({ "plan": "pro", "used": 25, "limit": 25 }));
    place.admin.revoke("eng", &place.token.id);
    place.admin.token("eng", "one more");
}

fn limit_of(problem: &Value) -> (&str, u64, u64) {
    assert!(problem["title"].as_str().unwrap().contains("plan allows"), "{problem}");
    assert_eq!(problem["type"], "/docs/errors#plan-limit");
    let data = &problem["data"];
    (data["plan"].as_str().unwrap(), data["used"].as_u64().unwrap(), data["limit"].as_u64().unwrap())
}

/// S-65: a seat is counted in the transaction that takes it.
#[test]
fn two_hundred_at_once_against_a_limit_of_25_give_exactly_25() {
    exactly_twenty_five(TestGateway::setup());
}

#[test]
fn two_hundred_at_once_against_a_limit_of_25_give_exactly_25_on_postgres() {
    let Some(url) = fresh_postgres() else { return };
    exactly_twenty_five(TestGateway::setup().env("AEROSTACK_DATABASE_URL", &url));
}

/// Asks `many` times at once; how many were made. The others are refused as `limit` says.
fn at_once(many: usize, ask: impl Fn(usize) -> Response + Sync, limit: impl Fn(Response) + Sync) -> usize {
    let made = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for n in 0..many {
            let (ask, limit, made) = (&ask, &limit, &made);
            scope.spawn(move || {
                let answer = std::iter::repeat_with(|| ask(n)).find(|answer| answer.status != 503).unwrap();
                match answer.status {
                    201 => {
                        made.fetch_add(1, SeqCst);
                    }
                    _ => limit(answer),
                }
            });
        }
    });
    made.into_inner()
}

/// S-65: workspaces and invitations are counted as tokens are, on both databases.
#[test]
fn forty_workspaces_and_invitations_at_once_are_as_many_as_there_may_be() {
    let rule = |setup: Setup| {
        let place = place_with(setup.set("people.invites", 5), &[]);
        sets(&place, "pro");
        let ask = |n: usize| place.admin.post("/workspaces", json!({ "slug": format!("more-{n}") }));
        let made = at_once(40, ask, |refused| assert_eq!(limit_of(&refused.expect(403).json()), ("pro", 5, 5)));
        assert_eq!(made, 4, "one was there before");
        let all = place.admin.get("/workspaces").expect(200).json()["data"].as_array().unwrap().clone();
        assert_eq!(all.len(), 5);
        let one = all.iter().map(|one| one["slug"].as_str().unwrap()).find(|slug| *slug != "eng").unwrap();
        assert!(place.admin.delete(&format!("/workspaces/{one}")).status < 300);
        place.admin.workspace("in-its-place");

        let ask = |n: usize| place.admin.post("/team/invites", json!({ "email": format!("p{n}@example.com") }));
        let full = |refused: Response| {
            let title = refused.expect(409).json()["title"].as_str().unwrap().to_owned();
            assert!(title.contains("5 invitations are open"), "{title}");
        };
        assert_eq!(at_once(40, ask, full), 5);
        let team = place.admin.get("/team/members").expect(200).json();
        let open = team["data"].as_array().unwrap().iter().filter(|one| one["status"] == "pending").count();
        assert_eq!(open, 5, "{team}");
    };
    rule(TestGateway::setup());
    if let Some(url) = fresh_postgres() {
        rule(TestGateway::setup().env("AEROSTACK_DATABASE_URL", &url));
    }
}

#[test]
fn an_operator_sets_a_plan_beside_the_gateway_and_it_holds_at_once() {
    let place = place_with(TestGateway::setup(), &[]);
    let shown = plan(&place, &["@admin"]);
    assert_eq!(String::from_utf8_lossy(&shown.stdout), "✓ @admin is on the Enterprise plan: no limits.\n");
    assert_eq!(sets(&place, "free"), "✓ @admin is on the Free plan: 3 tokens per workspace, 1 of 1 workspace used.\n");
    let second = place.admin.post("/workspaces", json!({ "slug": "ops" })).expect(403).json();
    assert_eq!(limit_of(&second), ("free", 1, 1));
    place.admin.token("eng", "two");
    place.admin.token("eng", "three");
    let fourth = place.admin.post("/workspaces/eng/tokens", json!({ "name": "four" })).expect(403).json();
    assert_eq!(limit_of(&fourth), ("free", 3, 3));
    let list = place.gateway.setup.command().args(["workspace", "token", "list", "eng"]).output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    assert_eq!(list.lines().last(), Some("3 of 3 tokens used (Free plan)"), "{list}");
    sets(&place, "enterprise");
    place.admin.token("eng", "four");
    place.admin.workspace("ops");
    for (arguments, exit) in [(&["admin", "gold"][..], 2), (&["nobody", "pro"], 3)] {
        assert_eq!(plan(&place, arguments).status.code(), Some(exit), "{arguments:?}");
    }
    let audit = place.admin.get("/audit?action=plan_changed").expect(200).json();
    assert_eq!(audit["data"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&audit["data"][0]["actor"], &audit["data"][0]["target"]),
        (&json!("operator on the host"), &json!("@admin"))
    );
    assert_eq!(place.admin.post("/audit:verify", json!({})).expect(200).json()["intact"], json!(true));
}
