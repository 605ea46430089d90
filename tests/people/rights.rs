//! Every route of the admin API for every role, on what is one's own and on what is another's: the routes come from the
//! served document, so that a new one is asked without anybody thinking of it.

use std::{cell::Cell, fmt::Write as _};

use serde_json::{Value, json};

use crate::support::{
    Admin, Browser, Request, TestGateway, Upstream,
    people::{PASSWORD, setup},
    servers,
};

/// What each role may do with what the owner made: `yes`, `no` (403), `unknown` (404), or another status.
const DOCUMENTED: &str = include_str!("rights.txt");
const ROLES: [&str; 4] = ["owner", "admin", "member", "viewer"];
/// Who has them; the owner is there from the start.
const NAMES: [&str; 4] = ["acme", "ada", "max", "vic"];
/// Actors and the machine's health belong to the installation, not to a namespace.
const OF_THE_INSTALLATION: [&str; 2] = ["/actors", "/health"];

/// A route that needs somebody.
struct Route {
    method: &'static str,
    path: String,
    /// The schema of its body.
    body: Option<String>,
}

impl Route {
    fn places(&self) -> usize {
        self.path.matches('{').count()
    }
    fn within(&self, part: &str) -> bool {
        self.path.contains(part)
    }
}

fn routes(gateway: &TestGateway) -> Vec<Route> {
    let document = Request::get("/openapi.json").send(gateway.address).expect(200).json();
    let mut routes = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in ["GET", "POST", "PATCH", "DELETE"] {
            let operation = &operations[method.to_lowercase()];
            let open = operation["security"].as_array().is_some_and(|ways| ways.contains(&json!({})));
            if !operation.is_object() || open {
                continue;
            }
            let path = path.strip_prefix("/api/v1/admin").expect("a route of the admin API").to_owned();
            let schema = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str();
            let body = schema.map(|name| name.rsplit('/').next().unwrap().to_owned());
            routes.push(Route { method, path, body });
        }
    }
    assert!(routes.len() > 70, "{}", routes.len());
    routes
}

/// A namespace with things in it, made anew for each question: an answer may have used up what it was about.
struct Namespace<'a> {
    gateway: &'a TestGateway,
    name: &'static str,
    owner: Admin,
    upstream: &'a Upstream,
    made: Cell<usize>,
}

impl<'a> Namespace<'a> {
    fn new(gateway: &'a TestGateway, name: &'static str, owner: Admin, upstream: &'a Upstream) -> Self {
        Namespace { gateway, name, owner, upstream, made: Cell::new(0) }
    }

    /// Makes what a route is about: its path, and its body if it has one.
    fn fresh(&self, route: &Route) -> (String, Option<Value>) {
        let n = self.made.replace(self.made.get() + 1);
        let [workspace, server] = [format!("{}-w{n}", self.name), format!("{}-s{n}", self.name)];
        let in_workspace = route.within("/workspaces/{slug}");
        let of_server = route.within("/mcp-servers/{slug}");
        if in_workspace {
            self.owner.workspace(&workspace);
        }
        if of_server || route.within("{server}") || route.body.as_deref() == Some("InstallServer") {
            self.owner.server(&server, &self.upstream.url());
        }
        if route.within("{server}") {
            self.owner.install(&workspace, &server);
        }
        let mut path = route.path.replace("{slug}", if in_workspace { &workspace } else { &server });
        path = path.replace("{server}", &server);
        for (part, place) in [("/tokens", "{id}"), ("/secrets", "{name}"), ("/skills", "{namespace}/{name}")] {
            if route.within(part) && path.contains(place) {
                path = path.replace(place, &self.thing(part, &workspace, &server, n));
            }
        }
        for (part, place) in
            [("/api-keys", "{id}"), ("/sessions", "{id}"), ("/invites", "{id}"), ("/members", "{member}")]
        {
            if route.within(part) && path.contains(place) {
                path = path.replace(place, &self.thing(part, &workspace, &server, n));
            }
        }
        path = path.replace("{version}", "1.0.0").replace("/actors/{name}", "/actors/AnalyticsSink");
        assert!(!path.contains('{'), "what is {path}? say here how to make it");
        if path.ends_with("/explain") {
            self.owner.token(&workspace, &format!("t{n}"));
            let _ = write!(path, "?token=t{n}&tool=echo");
        }
        if path.ends_with("/tokens:revoke") {
            self.owner.token(&workspace, &format!("t{n}"));
        }
        (path, route.body.as_deref().map(|schema| self.body(schema, &server, n)))
    }

    /// The name of a new thing of a kind.
    fn thing(&self, kind: &str, workspace: &str, server: &str, n: usize) -> String {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let body = |name: &str| json!({ "name": format!("{name}{n}") });
        match kind {
            "/tokens" => self.owner.token(workspace, &format!("t{n}")).id,
            "/secrets" => {
                self.owner.secret(server, "KEY", "a-value-of-a-secret");
                "KEY".into()
            }
            "/skills" => {
                self.owner.post("/skills", package(&format!("k{n}"), "1.0.0")).expect(201);
                format!("{}/k{n}", self.name)
            }
            "/api-keys" => text(&self.owner.post("/api-keys", body("k")).expect(201).json()["id"]),
            "/sessions" => {
                Browser::new(self.gateway.address).sign_in(self.name, PASSWORD);
                let sessions = self.owner.get("/sessions").expect(200).json();
                text(&sessions["data"].as_array().or(sessions.as_array()).unwrap()[0]["id"])
            }
            "/invites" => {
                let invited = json!({ "email": format!("{}-{n}@example.com", self.name), "role": "viewer" });
                text(&self.owner.post("/team/invites", invited).expect(201).json()["id"])
            }
            "/members" => {
                let invited = json!({ "email": format!("{}-m{n}@example.com", self.name), "role": "viewer" });
                let link = text(&self.owner.post("/team/invites", invited).expect(201).json()["link"]);
                let username = format!("{}-m{n}", self.name);
                self.gateway.accept(link.rsplit('#').next().unwrap(), &username).expect(201);
                username
            }
            other => panic!("{other}: say here how to make it"),
        }
    }

    /// A good body.
    fn body(&self, schema: &str, server: &str, n: usize) -> Value {
        match schema {
            "ChangePassword" => json!({ "current": PASSWORD, "new": PASSWORD }),
            "CreateApiKey" => json!({ "name": format!("new{n}") }),
            "CreateToken" => json!({ "name": format!("new{n}") }),
            "AddServer" => json!({ "slug": format!("{server}-new"), "url": self.upstream.url() }),
            "UpdateServer" => json!({ "title": "Renamed" }),
            "SetSecret" => json!({ "name": "KEY", "value": format!("another-value-{n}") }),
            "InjectionRule" => json!({ "mode": "bearer" }),
            "PublishSkill" => package(&format!("k{n}"), "1.0.1"),
            "ChangeVersion" => json!({ "yanked": true }),
            "InviteMember" => json!({ "email": format!("{}-i{n}@example.com", self.name), "role": "viewer" }),
            "UpdateMember" => json!({ "role": "viewer" }),
            "CreateWorkspace" => json!({ "slug": format!("{}-n{n}", self.name) }),
            "UpdateWorkspace" => json!({ "name": "Renamed" }),
            "InstallServer" => json!({ "server": server }),
            "UpdateInstallation" => json!({ "enabled": false }),
            "DecidePins" => json!({ "tools": [{ "tool": "echo", "fingerprint": "1a2b3c4d5e6f" }] }),
            "UpdateTools" => json!({ "tools": ["echo"], "enabled": false }),
            "UpdateToken" => json!({ "scope": {} }),
            "RevokeByName" => json!({ "name": format!("t{n}") }),
            "RenameAccount" => json!({ "name": self.name }),
            "ApplyDiet" | "RotateToken" | "VerifyAudit" => json!({}),
            other => panic!("{other}: say here what a good one is"),
        }
    }
}

fn package(name: &str, version: &str) -> Value {
    json!({ "document": "# Deploy", "visibility": "private", "manifest": { "name": name, "type": "skill",
        "version": version, "description": "Plans deploys.", "category": "developer-tools",
        "tool": { "name": "plan", "description": "Plans one.", "input_schema": { "type": "object" } } } })
}

/// The status and body; of a stream that was begun, its status.
fn asked(who: &Admin, method: &'static str, path: &str, body: Option<&Value>) -> (u16, String) {
    let request = who.request(method, path, body);
    let request = if path.contains("/calls/stream") { request.with("accept", "text/event-stream") } else { request };
    if path.contains("/calls/stream") && request.open(who.address).status == 200 {
        return (200, String::new());
    }
    let answer = request.send(who.address);
    let problem = answer.header("content-type") == Some("application/problem+json");
    assert_eq!(problem, answer.status >= 400, "{method} {path}: {}", answer.text());
    (answer.status, answer.text())
}

/// A path in a namespace.
fn within(namespace: &str, path: &str) -> String {
    format!("{path}{}namespace={namespace}", if path.contains('?') { '&' } else { '?' })
}

fn start() -> (TestGateway, Upstream) {
    let much = 1_000_000;
    let gateway =
        setup().set("limits.admin_requests_per_minute", much).set("people.open_requests_per_minute", much).start();
    gateway.admin().post("/account/password", json!({ "new": PASSWORD })).expect(200);
    (gateway, servers::plain(&["echo"]))
}

/// The owner, and somebody in each of the other roles.
fn team(gateway: &TestGateway) -> [(&'static str, Admin); 4] {
    let mut names = NAMES.into_iter();
    ROLES.map(|role| {
        let name = names.next().expect("a name for each role");
        let who = if role == "owner" { gateway.admin() } else { gateway.member(name, role, None).0 };
        (role, who)
    })
}

#[test]
fn each_role_may_do_with_the_owners_things_what_the_table_says() {
    let (gateway, upstream) = start();
    let team = team(&gateway);
    let own = Namespace::new(&gateway, "acme", gateway.admin(), &upstream);
    let mut table = format!("{:<65}{:<9}{:<9}{:<9}{}\n", "", ROLES[0], ROLES[1], ROLES[2], ROLES[3]);
    for route in routes(&gateway) {
        let _ = write!(table, "{:<65}", format!("{} {}", route.method, route.path));
        for (at, (_, who)) in team.iter().enumerate() {
            let (path, body) = own.fresh(&route);
            let (status, text) = asked(who, route.method, &within("acme", &path), body.as_ref());
            assert!(status < 500, "{} {path}: {status} {text}", route.method);
            let said = match status {
                200..=299 => "yes".to_owned(),
                403 => "no".to_owned(),
                404 => "unknown".to_owned(),
                other => other.to_string(),
            };
            let _ = write!(table, "{said:<width$}", width = if at == 3 { 0 } else { 9 });
        }
        table.push('\n');
    }
    assert_eq!(table, DOCUMENTED, "the table of tests/people/rights.txt:\n{table}");
}

/// The same path with names and ids that nothing has, and the names and ids that differ.
fn unknown(route: &Route, path: &str) -> (String, Vec<(String, String)>) {
    let (path, query) = path.split_once('?').map_or((path, String::new()), |(path, query)| (path, format!("?{query}")));
    let mut differ = Vec::new();
    let parts = route.path.split('/').zip(path.split('/')).map(|(template, part)| {
        if template == part || template == "{version}" {
            return part.to_owned();
        }
        let other = if part.contains("zed") { part.replace("zed", "zee") } else { another_id(part) };
        // What follows a place (`pins:approve`) is no part of its name.
        differ.push((other.clone(), part.to_owned()));
        other
    });
    let path = parts.collect::<Vec<_>>().join("/");
    (format!("{path}{query}"), differ)
}

/// An id of the same form.
fn another_id(id: &str) -> String {
    let (front, last) = id.split_at(id.len() - 1);
    format!("{front}{}", if last == "7" { "8" } else { "7" })
}

/// An answer without what tells two requests apart.
fn alike(answer: (u16, String), differ: &[(String, String)]) -> (u16, Value) {
    let mut body: Value = serde_json::from_str(&answer.1).unwrap_or(Value::Null);
    body["request_id"] = json!(null);
    let text = differ.iter().fold(body.to_string(), |text, (other, own)| text.replace(other, own));
    (answer.0, json!(text))
}

/// The last thing that the audit of a namespace says.
fn last_entry(owner: &Admin) -> Value {
    let last = owner.get("/audit?kind=admin&limit=1").expect(200).json()["data"][0].clone();
    assert!(last["at"].is_string(), "{last}");
    last
}

#[test]
fn what_is_anothers_is_answered_like_what_does_not_exist() {
    let (gateway, upstream) = start();
    let (zed, _) = gateway.member("zed", "viewer", None);
    gateway.admin().delete("/team/members/zed").expect(200);
    let team = team(&gateway);
    gateway.admin().workspace("home");
    gateway.admin().server("home-mcp", &upstream.url());
    let foreign = Namespace::new(&gateway, "zed", zed.clone(), &upstream);
    let mut compared = 0;
    for route in routes(&gateway) {
        if OF_THE_INSTALLATION.iter().any(|part| route.within(part)) {
            continue;
        }
        let (path, body) = foreign.fresh(&route);
        let (nowhere, differ) = unknown(&route, &path);
        let before = last_entry(&zed);
        for (role, who) in &team {
            let ask = |path: &str| asked(who, route.method, path, body.as_ref());
            let mut pairs = vec![(within("zed", &path), within("zee", &path), vec![("zee".into(), "zed".into())])];
            if route.places() > 0 {
                pairs.push((within("acme", &path), within("acme", &nowhere), differ.clone()));
            }
            pairs.extend(in_own_place(&route, &path, &nowhere).map(|(path, nowhere)| (path, nowhere, differ.clone())));
            for (there, nowhere, differ) in pairs {
                let (real, none) = (alike(ask(&there), &differ), alike(ask(&nowhere), &differ));
                assert_eq!(real, none, "{role}: {} {there} and {nowhere}", route.method);
                assert!(matches!(real.0, 403 | 404), "{role}: {} {there}: {real:?}", route.method);
                assert!(*role != "owner" || real.0 == 404 || route.within("/skills/"), "{there}: {real:?}");
                compared += 1;
            }
        }
        assert_eq!(last_entry(&zed), before, "{} {path} did nothing there", route.method);
    }
    assert!(compared > 500, "{compared}");
}

/// Another's thing asked for in a place of one's own, and one that nothing has.
fn in_own_place(route: &Route, path: &str, nowhere: &str) -> Option<(String, String)> {
    let own = ["/workspaces/{slug}/", "/mcp-servers/{slug}/"].into_iter().find(|place| route.within(place))?;
    if route.places() < 2 {
        return None;
    }
    let home = if own.starts_with("/workspaces") { "home" } else { "home-mcp" };
    let moved = |path: &str| {
        let mut parts: Vec<_> = path.split('/').collect();
        parts[2] = home;
        within("acme", &parts.join("/"))
    };
    Some((moved(path), moved(nowhere)))
}
