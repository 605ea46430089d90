//! The hub as registry clients read it, and server.json in and out.

use serde_json::{Value, json};

use crate::support::{Request, Response, TestGateway, process::Setup, servers};

fn acme() -> Setup {
    TestGateway::setup().set("server.namespace", "acme")
}

fn get(gateway: &TestGateway, path: &str, key: Option<&str>) -> Response {
    let request = Request::get(path);
    let request = key.map_or_else(|| request.clone(), |key| request.clone().bearer(key));
    request.send(gateway.address)
}

fn publish(gateway: &TestGateway, name: &str, version: &str, visibility: &str) {
    let manifest = json!({ "name": name, "type": "skill", "version": version, "description": "Plans deploys.",
        "tool": { "name": "plan", "description": "Plans.", "input_schema": { "type": "object" } } });
    let body = json!({ "manifest": manifest, "document": "# x", "visibility": visibility });
    gateway.admin().post("/skills", body).expect(201);
}

fn names(answer: &Value) -> Vec<String> {
    let servers = answer["servers"].as_array().unwrap();
    servers
        .iter()
        .map(|one| {
            format!("{} {}", one["server"]["name"].as_str().unwrap(), one["server"]["version"].as_str().unwrap())
        })
        .collect()
}

#[test]
fn registry_clients_list_public_skills_and_known_servers() {
    let gateway = acme().start();
    publish(&gateway, "deploy-skill", "1.0.0", "public");
    publish(&gateway, "deploy-skill", "1.1.0", "public");
    publish(&gateway, "crm-skill", "1.0.0", "team");
    get(&gateway, "/v0.1/servers", None).expect(401);
    let key = gateway.key.clone();
    let ask = |path: &str| get(&gateway, path, Some(&key)).expect(200).json();
    assert_eq!(
        names(&ask("/v0.1/servers?search=Deploy-Skill")),
        ["localhost.acme/deploy-skill 1.0.0", "localhost.acme/deploy-skill 1.1.0"]
    );
    let latest = ask("/v0.1/servers?search=deploy-skill&version=latest&unknown=1");
    let entry = &latest["servers"][0];
    assert_eq!((&entry["server"]["version"], &latest["metadata"]["count"]), (&json!("1.1.0"), &json!(1)));
    let official = &entry["_meta"]["io.modelcontextprotocol.registry/official"];
    assert_eq!((&official["status"], &official["isLatest"]), (&json!("active"), &json!(true)));
    let remote = &entry["server"]["remotes"][0];
    assert_eq!(remote["type"], "streamable-http");
    assert!(remote["url"].as_str().unwrap().ends_with("/ws/{workspace}"), "{remote}");
    assert!(remote["variables"]["workspace"].is_object() && remote["headers"][0]["isSecret"] == true, "{remote}");

    // All pages together are the whole list, once each.
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = ask(&format!("/v0/servers?limit=7&cursor={cursor}"));
        all.extend(names(&page));
        match page["metadata"]["nextCursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    let mut once = all.clone();
    once.sort();
    once.dedup();
    assert!(all.len() > 20 && once.len() == all.len(), "{all:?}");
    assert!(all.iter().any(|name| name.starts_with("com.githubcopilot.api/github-mcp ")), "{all:?}");
    assert!(!all.iter().any(|name| name.contains("crm-skill")), "a team's skill is nobody else's business");

    let named = "/v0.1/servers/localhost.acme%2Fdeploy-skill";
    assert_eq!(names(&ask(&format!("{named}/versions")))[0], "localhost.acme/deploy-skill 1.1.0");
    for (path, version) in [("/versions/latest", "1.1.0"), ("/versions/1.0.0", "1.0.0"), ("", "1.1.0")] {
        assert_eq!(ask(&format!("{named}{path}"))["server"]["version"], version, "{path}");
    }
    get(&gateway, &format!("{named}/versions/9.9.9"), Some(&key)).expect(404);
    get(&gateway, "/v0.1/servers/localhost.acme%2Fcrm-skill/versions", Some(&key)).expect(404);
    gateway.admin().patch("/skills/acme/deploy-skill/versions/1.1.0", json!({ "yanked": true })).expect(200);
    assert_eq!(names(&ask("/v0.1/servers?search=deploy-skill")), ["localhost.acme/deploy-skill 1.0.0"]);
    assert_eq!(ask(&format!("{named}/versions/latest"))["server"]["version"], "1.0.0");
}

#[test]
fn an_open_registry_answers_without_a_key_and_only_under_its_own_name() {
    let gateway = acme().set("skills.open_registry", true).start();
    publish(&gateway, "deploy-skill", "1.0.0", "public");
    let answer = get(&gateway, "/v0.1/servers?search=deploy", None).expect(200).json();
    assert_eq!(names(&answer), ["localhost.acme/deploy-skill 1.0.0"]);
    let rebound = Request::get("/v0.1/servers").header("host", "evil.example").send(gateway.address);
    assert_eq!(rebound.status, 403, "{}", rebound.text());
    get(&gateway, "/api/v1/admin/skills", None).expect(401);
}

#[test]
fn a_definition_goes_out_and_in_as_server_json_without_its_secret() {
    let upstream = servers::plain(&["echo"]);
    let (from, to) = (acme().start(), acme().start());
    from.admin().server("internal-api", &upstream.url());
    from.admin().secret_with(
        "internal-api",
        json!({ "name": "API_KEY", "value": "canary-value", "injection": { "mode": "header", "header": "X-API-Key" } }),
    );
    let run = |gateway: &TestGateway, args: &[&str]| {
        let output = gateway.setup.command().args(args).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{args:?}: {}{}", text(&output.stdout), text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    };
    let (document, _) = run(&from, &["mcp", "export", "internal-api"]);
    assert!(!document.contains("canary-value"));
    let described: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(described["name"], "localhost.acme/internal-api");
    assert_eq!(described["remotes"][0]["headers"][0]["name"], "X-API-Key");
    let file = to.setup.data_dir().join("server.json");
    std::fs::write(&file, &document).unwrap();
    to.admin().workspace("eng");
    let (said, hints) = run(&to, &["mcp", "import", &file.display().to_string(), "--workspace", "eng"]);
    assert_eq!(said, "✓ Imported 1 server and 0 secrets into eng.\n");
    assert!(hints.contains("aerostack secrets set internal-api API_KEY"), "{hints}");
    let token = to.admin().token("eng", "Alice");
    assert_eq!(to.editor("eng", &token.raw).tools(), ["internal_api__echo"]);
}

#[test]
fn who_asks_an_open_registry_too_often_has_to_wait() {
    let setup = acme().set("skills.open_registry", true).set("people.open_requests_per_minute", 6);
    let gateway = setup.start();
    publish(&gateway, "deploy-skill", "1.0.0", "public");
    let named = "/v0.1/servers/localhost.acme%2Fdeploy-skill";
    for path in
        ["/v0.1/servers", "/v0/servers", named, &format!("{named}/versions"), &format!("{named}/versions/1.0.0")]
    {
        get(&gateway, path, None).expect(200);
    }
    get(&gateway, "/v0.1/servers/nobody%2Fknows-it", None).expect(404);
    let refused = get(&gateway, named, None).expect(429);
    assert!(refused.header("retry-after").is_some());
    gateway.admin().get("/whoami").expect(200);
}
