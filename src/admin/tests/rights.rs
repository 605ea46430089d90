//! Who may do what: each route, for somebody with another role and for a stranger.

use super::*;

/// A fitting body where something is decided about what a workspace offers.
fn decision(path: &str) -> Option<Value> {
    Some(match path {
        "/workspaces/{slug}" => json!({"name": "x"}),
        "/mcp-servers/{slug}" => json!({"title": "x"}),
        "/audit:verify" | "/workspaces/{slug}/diet:apply" => json!({}),
        "/skills" | "/skills/{namespace}/{name}/versions" => json!({"manifest": {}, "document": "x"}),
        "/skills/{namespace}/{name}/versions/{version}" => json!({"yanked": true}),
        "/workspaces/{slug}/tokens/{id}" => json!({"scope": {}}),
        "/workspaces/{slug}/tokens/{id}/rotate" => json!({"overlap_seconds": 0}),
        "/workspaces/{slug}/servers/{server}" => json!({"enabled": false}),
        "/workspaces/{slug}/servers/{server}/tools" => json!({"tools": ["x"], "enabled": false}),
        "/workspaces/{slug}/servers/{server}/pins:approve" | "/workspaces/{slug}/servers/{server}/pins:reject" => {
            json!({"tools": [{"tool": "x", "fingerprint": "1a2b3c4d5e6f"}]})
        }
        "/team/members/{member}" => json!({"role": "viewer"}),
        "/team/invites" => json!({"email": "bob@example.com"}),
        _ => return None,
    })
}

#[actix_web::test]
async fn what_is_foreign_looks_unknown() {
    let gateway = Gateway::start().await;
    gateway.workspace("engineering").await;
    gateway.server("my-api").await;
    gateway.post("/workspaces/engineering/servers", json!({"server": "my-api"})).await;
    let stranger = account(&gateway.actors, "mallory", "enterprise").await;
    let stranger = key(&gateway.actors, stranger, None).await;
    let before = gateway.get("/workspaces/engineering").await.body;
    for (path, method) in ROUTES.iter().filter(|(path, _)| path.contains("{slug}")) {
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let body = match *path {
            "/workspaces/{slug}/tokens" => json!({"name": "x"}),
            "/workspaces/{slug}/tokens:revoke" => json!({"name": "x"}),
            "/workspaces/{slug}/servers" => json!({"server": "my-api"}),
            "/mcp-servers/{slug}/secrets" => json!({"name": "X", "value": "v"}),
            "/mcp-servers/{slug}/secrets/{name}" => json!({"mode": "bearer"}),
            _ => decision(path).unwrap_or(json!({})),
        };
        let (own, unknown) =
            if path.starts_with("/workspaces") { ("engineering", "engineerinx") } else { ("my-api", "my-apx") };
        let mut answers = Vec::new();
        for slug in [own, unknown] {
            let path = filled(&path.replace("{slug}", slug));
            let mut got = gateway.ask_as(&stranger, method.clone(), &path, Some(body.clone())).await;
            assert_eq!(got.status, 404, "{method} {path}: {got:?}");
            got.body["request_id"] = Value::Null;
            answers.push(got.body.to_string().replace(slug, "SLUG"));
        }
        assert_eq!(answers[0], answers[1], "{method} {path}");
    }
    assert_eq!(gateway.get("/workspaces/engineering").await.body, before, "nothing changed");
}

#[actix_web::test]
async fn roles_are_held_on_every_route() {
    let gateway = Gateway::start().await;
    gateway.workspace("engineering").await;
    gateway.server("my-api").await;
    gateway.post("/workspaces/engineering/servers", json!({"server": "my-api"})).await;
    let viewer = key(&gateway.actors, gateway.owner, Some(Role::Viewer)).await;
    let may: &[(&str, &str)] = &[
        ("/whoami", "get"),
        ("/workspaces", "get"),
        ("/workspaces/{slug}", "get"),
        ("/workspaces/{slug}/servers", "get"),
        ("/workspaces/{slug}/servers/{server}", "get"),
        ("/workspaces/{slug}/servers/{server}/tools", "get"),
        ("/workspaces/{slug}/servers/{server}/pins", "get"),
        ("/workspaces/{slug}/tools", "get"),
        ("/workspaces/{slug}/analytics", "get"),
        ("/workspaces/{slug}/analytics/figures", "get"),
        ("/workspaces/{slug}/analytics/table", "get"),
        ("/workspaces/{slug}/calls", "get"),
        ("/overview", "get"),
        ("/analytics/figures", "get"),
        ("/analytics/table", "get"),
        ("/calls", "get"),
        ("/skills", "get"),
        ("/known-servers", "get"),
        ("/team/members", "get"),
    ];
    // These are about the own account, whatever its role: `tests/people` holds them.
    let own = ["/session", "/account", "/login-requests", "/api-keys", "/team/invites/{code}"];
    // What an explanation says depends on whose token it is about: `explain_tests` holds that.
    // A stream has no end to wait for: `tests/people/live.rs` holds who sees what in it.
    let elsewhere = ["/explain", "/calls/stream"];
    for route in ROUTES.iter().filter(|(path, _)| !elsewhere.iter().any(|end| path.ends_with(end))) {
        let (path, method) = *route;
        if own.iter().any(|own| path.starts_with(own)) {
            continue;
        }
        let slug = if path.starts_with("/workspaces") { "engineering" } else { "my-api" };
        let body = match path {
            "/workspaces" | "/mcp-servers" => json!({"slug": "new"}),
            "/workspaces/{slug}/servers" => json!({"server": "my-api"}),
            "/mcp-servers/{slug}/secrets" => json!({"name": "X", "value": "v"}),
            "/mcp-servers/{slug}/secrets/{name}" => json!({"mode": "bearer"}),
            _ => decision(path).unwrap_or(json!({"name": "x"})),
        };
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let got = gateway.ask_as(&viewer, method, &filled(&path.replace("{slug}", slug)), Some(body)).await;
        let expected = match *route {
            // Everybody in the team may look; nobody has that name.
            ("/team/members/{member}", "get") => 404,
            _ if may.contains(route) => 200,
            _ => 403,
        };
        assert_eq!(got.status, expected, "{route:?}: {got:?}");
    }
}

#[actix_web::test]
async fn who_does_not_run_the_installation_sees_neither_its_actors_nor_its_folder() {
    let gateway = Gateway::start().await;
    let tenant = account(&gateway.actors, "mallory", "enterprise").await;
    let tenant = key(&gateway.actors, tenant, None).await;
    for (method, path) in [
        (Method::GET, "/actors"),
        (Method::GET, "/actors/TokenAuthority"),
        (Method::POST, "/actors/TokenAuthority/restart"),
        (Method::POST, "/mcp-servers:reload"),
        (Method::GET, "/health"),
    ] {
        let got = gateway.ask_as(&tenant, method.clone(), path, None).await;
        assert_eq!(got.status, 403, "{path}: {got:?}");
        assert!(got.body["title"].as_str().unwrap().contains("owns this installation"), "{got:?}");
        assert_eq!(gateway.ask_as(&gateway.key, method, path, None).await.status, 200, "{path}");
    }
    let unknown = gateway.post("/actors/Nobody/restart", json!({})).await;
    assert_eq!(unknown.status, 404, "{unknown:?}");
    let log = gateway.get("/audit").await;
    let restarts: Vec<&Value> =
        log.body["data"].as_array().unwrap().iter().filter(|row| row["action"] == "actor_restarted").collect();
    assert_eq!(restarts.len(), 1, "{log:?}");
    assert_eq!(restarts[0]["target"], "TokenAuthority");
}
