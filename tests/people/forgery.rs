//! Changes that somebody signed in did not ask for: no page of another site, and no page of another session, makes one
//! with their cookie (S-81).

use serde_json::{Value, json};

use crate::support::{
    Browser, Request, TestGateway,
    people::{PASSWORD, setup},
};

/// Every route that changes something and needs somebody: method and path with something in each place.
fn changing_routes(gateway: &TestGateway) -> Vec<(&'static str, String)> {
    let document = Request::get("/openapi.json").send(gateway.address).expect(200).json();
    let filled = |path: &str| {
        let path = path.strip_prefix("/api/v1/admin").expect("a route of the admin API");
        path.replace("{slug}", "engineering").replace(['{', '}'], "")
    };
    let mut routes = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in ["POST", "PATCH", "DELETE"] {
            let operation = &operations[method.to_lowercase()];
            let open = operation["security"] == json!([{}]);
            if operation.is_object() && !open {
                routes.push((method, filled(path)));
            }
        }
    }
    assert!(routes.len() > 30, "{routes:?}");
    routes
}

/// What there is, and what was done.
fn state(gateway: &TestGateway) -> Vec<Value> {
    let owner = gateway.admin();
    let paths = ["/workspaces", "/mcp-servers", "/team/members", "/api-keys", "/audit?kind=admin"];
    paths.iter().map(|path| owner.get(path).expect(200).json()["data"].clone()).map(without_use).collect()
}

/// Without what reading itself changes.
fn without_use(mut rows: Value) -> Value {
    for row in rows.as_array_mut().unwrap() {
        row.as_object_mut().unwrap().remove("last_used_at");
    }
    rows
}

/// S-81: no other page acts for a session.
#[test]
fn no_route_changes_anything_for_a_page_that_is_not_of_the_session() {
    let gateway = setup().start();
    gateway.admin().workspace("engineering");
    gateway.admin().post("/account/password", json!({ "new": PASSWORD })).expect(200);
    let (mut here, mut there) = (Browser::new(gateway.address), Browser::new(gateway.address));
    here.sign_in("acme", PASSWORD);
    there.sign_in("acme", PASSWORD);
    let (own, other) = (here.csrf.clone().unwrap(), there.csrf.clone().unwrap());
    assert_ne!(own, other, "each session has a token of its own");
    let page = format!("http://{}", gateway.address);
    let before = state(&gateway);
    for (method, path) in changing_routes(&gateway) {
        let asked = |headers: &[(&str, &str)]| {
            let request = here.api_request(method, &path, Some(&json!({})));
            let request = headers.iter().fold(request, |request, (name, value)| request.with(name, value));
            let answer = request.send(gateway.address);
            let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
            assert_eq!(answer.status, 403, "{method} {path} with {headers:?}: {}", answer.text());
            code
        };
        let token = ("x-csrf-token", own.as_str());
        assert_eq!(asked(&[("origin", &page)]), "csrf_refused", "no token: {method} {path}");
        assert_eq!(asked(&[("origin", &page), ("x-csrf-token", "")]), "csrf_refused");
        assert_eq!(asked(&[("origin", &page), ("x-csrf-token", &other)]), "csrf_refused", "of another session");
        assert_eq!(asked(&[token]), "origin_refused", "from nowhere: {method} {path}");
        assert_eq!(asked(&[("origin", "https://evil.example"), token]), "origin_refused");
        assert_eq!(asked(&[("sec-fetch-site", "cross-site"), token]), "origin_refused");
        assert_eq!(asked(&[("origin", "null"), ("content-type", "text/plain")]), "origin_refused");
    }
    assert_eq!(state(&gateway), before, "nothing was changed");
    here.api("POST", "/workspaces", Some(&json!({ "slug": "mine" }))).expect(201);
}

#[test]
fn forms_bring_the_token_of_their_session() {
    let gateway = setup().start();
    gateway.member("alice", "member", None);
    let (mut here, mut there) = (Browser::new(gateway.address), Browser::new(gateway.address));
    here.sign_in("alice", PASSWORD);
    there.sign_in("alice", PASSWORD);
    let other = there.csrf.clone().unwrap();
    let code = gateway.invite(json!({ "email": "bob@example.com", "role": "viewer" }));
    let forms: [(&str, Vec<(&str, &str)>); 5] = [
        ("/account", vec![("current", PASSWORD), ("new", "a wholly different sentence")]),
        ("/device", vec![("code", "BCDF-GHJK"), ("answer", "yes")]),
        ("/device", vec![("code", "BCDF-GHJK")]),
        ("/join", vec![("do", "join"), ("code", &code)]),
        ("/signout", vec![]),
    ];
    for (path, fields) in forms {
        let send = |fields: &[(&str, &str)]| {
            here.form(path, fields).header("sec-fetch-site", "same-origin").send(gateway.address)
        };
        let refused = send(&fields).expect(403);
        assert!(refused.text().contains("load the page again"), "{path}: {}", refused.text());
        let foreign: Vec<_> = fields.iter().copied().chain([("csrf", other.as_str())]).collect();
        send(&foreign).expect(403);
    }
    here.api("GET", "/whoami", None).expect(200);
    // A script may send it as a header instead; whoever signs in by the API is told it.
    let signed_in = Browser::new(gateway.address)
        .api_request("POST", "/session", Some(&json!({ "username": "alice", "password": PASSWORD })))
        .send(gateway.address)
        .expect(201);
    let mut third = Browser::new(gateway.address);
    third.cookie = signed_in.header("set-cookie").and_then(|cookie| cookie.split(';').next()).map(str::to_owned);
    third.csrf = signed_in.json()["csrf_token"].as_str().map(str::to_owned);
    third.api("DELETE", "/session", None).expect(200);
    third.api("GET", "/whoami", None).expect(401);
    here.submit("/signout", &[]);
    assert_eq!(here.cookie, None);
}
