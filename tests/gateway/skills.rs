//! Skills in a workspace: one tool and one resource each, answered by their document or their worker.

use serde_json::{Value, json};

use crate::support::{Accounts, Admin, Conn, Place, Seen, TestGateway, Upstream, place_with, process::Setup};

/// A tool's name, an input schema and more members.
fn manifest(name: &str, more: Value) -> Value {
    let mut manifest = json!({ "name": name, "type": "skill", "version": "1.0.0", "description": "Plans deploys.",
        "category": "developer-tools", "tags": ["deploy"],
        "tool": { "name": "plan", "description": "Plans one deploy.",
            "input_schema": { "type": "object", "properties": { "env": { "type": "string" }, "n": { "type": "number" } } } } });
    manifest.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    manifest
}

fn publish(admin: &Admin, manifest: &Value, document: &str) {
    admin.post("/skills", json!({ "manifest": manifest, "document": document })).expect(201);
}

fn acme() -> Setup {
    TestGateway::setup().set("server.namespace", "acme")
}

/// A worker that answers with what it was asked.
fn worker(script: impl Fn(&Seen, &mut Conn) + Send + Sync + 'static) -> (Upstream, Value) {
    let upstream = Upstream::start(script);
    let url = json!({ "worker_url": upstream.url() });
    (upstream, url)
}

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{result}"))
}

#[test]
fn a_document_is_one_tool_and_one_resource_for_every_client() {
    let place = place_with(acme(), &[]);
    publish(
        &place.admin,
        &manifest("deploy-skill", json!({})),
        "---\nname: deploy-skill\n---\n# Deploy to {{env}}, {{n}}",
    );
    let (mut listening, _) = place.editor.listen(&json!(1));
    place.admin.install("eng", "@acme/deploy-skill");
    listening.notification("notifications/tools/list_changed");
    assert_eq!(place.editor.tools(), ["deploy__plan"]);
    let called = place.editor.call("deploy__plan", json!({ "env": "prod", "n": 2 })).expect(200).result();
    assert_eq!(text(&called), "# Deploy to prod, 2");
    assert_eq!(called["resultType"], "complete");
    assert_eq!(text(&place.editor.call("deploy_skill__plan", json!({})).result()), "# Deploy to , ");

    let uri = "skill://acme/deploy-skill/SKILL.md";
    let read = place.editor.modern(&json!(2), "resources/read", json!({ "uri": uri }));
    let contents = place.editor.send(&read).expect(200).result()["contents"][0].clone();
    assert_eq!(contents["mimeType"], "text/markdown");
    assert!(contents["text"].as_str().unwrap().ends_with("# Deploy to {{env}}, {{n}}"), "{contents}");
    let session = place.editor.initialize("2025-06-18");
    let listed = session.request("resources/list", json!({})).result();
    assert_eq!(
        (&listed["resources"][0]["uri"], &listed["resources"][0]["name"]),
        (&json!(uri), &json!("deploy-skill"))
    );
    assert_eq!(text(&session.call("deploy__plan", json!({ "env": "x" })).result()), "# Deploy to x, ");
    let listed = session.request("tools/list", json!({})).result();
    assert_eq!(listed["tools"].as_array().unwrap().len(), 1);
    assert_eq!(session.call("deploy__other", json!({})).code(), -32602);
    let missing = session.request("resources/read", json!({ "uri": "skill://acme/other/SKILL.md" }));
    assert!(missing.code() == -32002 || missing.code() == -32602, "{}", missing.text());
}

#[test]
fn a_worker_gets_tool_and_input_and_its_own_secrets_and_nothing_else() {
    let (crm, url) = worker(|seen, conn| {
        let token = seen.header("crm_token").unwrap_or("none").to_owned();
        conn.json(200, json!({ "content": [{ "type": "text", "text": format!("with {token}") }], "n": 1 }).to_string());
    });
    let place = place_with(acme(), &[]);
    let mut more = url;
    more["secrets"] = json!(["CRM_TOKEN"]);
    publish(&place.admin, &manifest("crm-skill", more), "# CRM");
    let body = json!({ "server": "@acme/crm-skill" });
    let installed = place.admin.post("/workspaces/eng/servers", body).expect(201).json();
    assert_eq!(installed["missing_secrets"], json!(["CRM_TOKEN"]));
    assert_eq!(installed["skill"], "@acme/crm-skill");
    let plain = place.editor.call("crm__plan", json!({ "n": 12345678901234567890u64 })).result();
    assert_eq!(text(&plain), "with none");
    place.admin.secret("@acme%2Fcrm-skill", "CRM_TOKEN", "canary-crm-value");
    let called = place.editor.call("crm__plan", json!({ "env": "prod" })).result();
    assert_eq!(text(&called), "with [redacted secret]");
    assert_eq!(called["n"], 1);

    let seen = crm.seen();
    assert_eq!(seen[0].body, br#"{"tool":"plan","input":{"n":12345678901234567890}}"#);
    assert_eq!(seen[1].json(), json!({ "tool": "plan", "input": { "env": "prod" } }));
    assert_eq!(seen[1].header("crm_token"), Some("canary-crm-value"));
    assert_eq!(seen[1].header("content-type"), Some("application/json"));
    assert!(seen.iter().all(|seen| seen.header("authorization").is_none() && seen.header("mcp-method").is_none()));
    assert!(!crm.transcript().contains("mwt_") && !place.gateway.log().contains("canary-crm-value"));
    let set = place.admin.get("/mcp-servers/@acme%2Fcrm-skill/secrets").expect(200).json();
    assert_eq!(set["data"][0]["name"], "CRM_TOKEN");
}

#[test]
fn what_a_worker_does_wrong_is_its_own_failure() {
    let (bad, url) = worker(|seen, conn| match seen.json()["input"]["env"].as_str().unwrap_or_default() {
        "nonsense" => conn.json(200, "{\"content\":\"no\"}"),
        "smuggle" => conn.json(200, r#"{"content":[]},"error":{"code":1,"message":"x"}"#),
        "asks" => conn.json(200, r#"{"content":[],"resultType":"input_required"}"#),
        "redirect" => conn.reply(307, &[("location", "http://127.0.0.1:1/")], ""),
        "denied" => conn.json(401, "{}"),
        "broken" => conn.json(500, "{\"secret\":\"CANARY\"}"),
        "events" => conn.reply(200, &[("content-type", "text/event-stream")], "data: {}\n\n"),
        "slow" => conn.until_gone(),
        "error" => conn.json(200, r#"{"content":[{"type":"text","text":"no such customer"}],"isError":true}"#),
        _ => conn.json(200, r#"{"content":[]}"#),
    });
    let place = place_with(acme().set("upstream.call_timeout_seconds", 1).set("upstream.breaker_failures", 1000), &[]);
    publish(&place.admin, &manifest("crm-skill", url), "# CRM");
    place.admin.install("eng", "@acme/crm-skill");
    let code = |env: &str| {
        let answer = place.editor.call("crm__plan", json!({ "env": env }));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(!answer.text().contains("CANARY"), "{}", answer.text());
        answer.code()
    };
    for env in ["nonsense", "smuggle", "asks", "redirect", "events"] {
        assert_eq!(code(env), -32012, "{env}");
    }
    assert_eq!(code("denied"), -32014);
    assert_eq!(code("broken"), -32010);
    assert_eq!(code("slow"), -32011);
    let said = place.editor.call("crm__plan", json!({ "env": "error" })).result();
    assert_eq!((said["isError"].as_bool(), text(&said)), (Some(true), "no such customer"));
    assert_eq!(place.editor.call("crm__plan", json!({})).result()["content"], json!([]));
    assert_eq!(bad.seen().len(), 10, "nothing is asked twice");
}

#[test]
fn a_skill_is_switched_off_renamed_and_explained_like_any_server() {
    let place = place_with(acme(), &[]);
    publish(&place.admin, &manifest("deploy-skill", json!({})), "# Deploy");
    place.admin.install("eng", "acme/deploy-skill");
    let path = "/workspaces/eng/servers/@acme%2Fdeploy-skill";
    let tools = place.admin.get(&format!("{path}/tools")).expect(200).json();
    assert_eq!(tools["data"][0]["name"], "deploy__plan");
    assert_eq!(tools["data"].as_array().unwrap().len(), 1);
    place.admin.patch(path, json!({ "enabled": false })).expect(200);
    assert!(place.editor.tools().is_empty());
    place.admin.patch(path, json!({ "enabled": true, "prefix": "ship" })).expect(200);
    assert_eq!(place.editor.tools(), ["ship__plan"]);
    let pins = place.admin.get("/workspaces/eng/servers/deploy-skill/pins").expect(200).json();
    assert_eq!(pins["data"][0]["state"], "offered", "installing approves it: {pins}");
    let why = place.admin.get("/workspaces/eng/explain?token=Alice%20Chen&tool=ship__plan").expect(200).text();
    assert!(why.contains("deploy-skill"), "{why}");
    let listed = place.admin.get("/workspaces/eng/servers").expect(200).json();
    assert_eq!(
        (&listed["data"][0]["skill"], &listed["data"][0]["version"]),
        (&json!("@acme/deploy-skill"), &json!("1.0.0"))
    );
    assert_eq!(place.admin.get("/mcp-servers").expect(200).json()["data"], json!([]));
    place.admin.delete("/mcp-servers/deploy-skill").expect(409);
    place.admin.post("/mcp-servers", json!({ "slug": "deploy-skill", "url": "http://127.0.0.1:1/" })).expect(409);
    place.admin.delete(path).expect(200);
    assert!(place.editor.tools().is_empty());
}

#[test]
fn two_workspaces_have_two_versions_of_a_skill_and_both_outlive_a_restart() {
    let (one, old) = worker(|_, conn| conn.json(200, r#"{"content":[{"type":"text","text":"old"}]}"#));
    let (two, new) = worker(|_, conn| conn.json(200, r#"{"content":[{"type":"text","text":"new"}]}"#));
    let Place { mut gateway, admin, editor, .. } = place_with(acme(), &[]);
    publish(&admin, &manifest("crm-skill", old), "# 1");
    admin.install("eng", "@acme/crm-skill");
    let mut next = manifest("crm-skill", new);
    next["version"] = json!("1.1.0");
    publish(&admin, &next, "# 2");
    admin.workspace("ops");
    admin.install("ops", "@acme/crm-skill");
    let token = admin.token("ops", "Olga");
    let other = gateway.editor("ops", &token.raw);
    for round in 0..2 {
        for _ in 0..3 {
            assert_eq!(text(&editor.call("crm__plan", json!({})).result()), "old");
            assert_eq!(text(&other.call("crm__plan", json!({})).result()), "new");
        }
        if round == 0 {
            gateway.restart();
        }
    }
    assert_eq!((one.seen().len(), two.seen().len()), (6, 6));
    admin.post("/workspaces/eng/servers", json!({ "server": "@acme/crm-skill", "upgrade": true })).expect(200);
    assert_eq!(text(&editor.call("crm__plan", json!({})).result()), "new");
}

#[test]
fn skills_of_one_name_are_told_apart_by_their_namespaces() {
    let place = place_with(acme(), &[]);
    let accounts = Accounts::in_folder(&place.gateway.setup.data_dir());
    accounts.make("johndoe");
    let johndoe = Admin::new(place.gateway.address, &accounts.key("johndoe", "johndoe"));
    publish(&place.admin, &manifest("crm-skill", json!({})), "acme's");
    publish(&johndoe, &manifest("crm-skill", json!({})), "johndoe's");
    place.admin.install("eng", "johndoe/crm-skill");
    place.admin.install("eng", "@acme/crm-skill");
    assert_eq!(place.editor.tools(), ["crm__plan", "crm_skill__plan"]);
    assert_eq!(text(&place.editor.call("crm__plan", json!({})).result()), "johndoe's");
    assert_eq!(text(&place.editor.call("crm_skill__plan", json!({})).result()), "acme's");
    let path = |who: &str| format!("/workspaces/eng/servers/@{who}%2Fcrm-skill");
    for (who, name) in [("johndoe", "crm__plan"), ("acme", "crm_skill__plan")] {
        let tools = place.admin.get(&format!("{}/tools", path(who))).expect(200).json();
        assert_eq!(tools["data"][0]["name"], name, "{who}");
    }
    let resources = place.editor.send(&place.editor.modern(&json!(1), "resources/list", json!({}))).result();
    assert_eq!(resources["resources"][1]["uri"], "skill://acme/crm-skill/SKILL.md");
    // Whose secrets they are is their namespace's business.
    let secrets = "/mcp-servers/@johndoe%2Fcrm-skill/secrets";
    place.admin.get(secrets).expect(403);
    place.admin.delete("/skills/johndoe/crm-skill").expect(403);
    johndoe.delete("/skills/johndoe/crm-skill").expect(409);
    place.admin.delete(&path("johndoe")).expect(200);
    assert_eq!(place.editor.tools(), ["crm_skill__plan"]);
    johndoe.delete("/skills/johndoe/crm-skill").expect(200);
    place.admin.get("/skills/johndoe/crm-skill").expect(403);
}

#[test]
fn a_foreign_skills_worker_gets_this_workspaces_own_secret() {
    let (crm, url) = worker(|seen, conn| {
        let known = seen.header("crm_token").is_some();
        conn.json(200, json!({ "content": [{ "type": "text", "text": format!("known: {known}") }] }).to_string());
    });
    let place = place_with(acme(), &[]);
    let accounts = Accounts::in_folder(&place.gateway.setup.data_dir());
    accounts.make("johndoe");
    let johndoe = Admin::new(place.gateway.address, &accounts.key("johndoe", "johndoe"));
    publish(&johndoe, &manifest("crm-skill", url), "# CRM");
    let set = |workspace: &str| {
        let path = format!("/mcp-servers/@johndoe%2Fcrm-skill/secrets?workspace={workspace}");
        place.admin.post(&path, json!({ "name": "CRM_TOKEN", "value": "canary-crm-value" }))
    };
    set("eng").expect(403);
    place.admin.install("eng", "@johndoe/crm-skill");
    set("eng").expect(201);
    assert_eq!(text(&place.editor.call("crm__plan", json!({})).result()), "known: true");
    place.admin.workspace("ops");
    place.admin.install("ops", "@johndoe/crm-skill");
    let token = place.admin.token("ops", "Olga");
    let other = place.gateway.editor("ops", &token.raw);
    assert_eq!(text(&other.call("crm__plan", json!({})).result()), "known: false");
    assert_eq!(crm.seen().len(), 2);
    let theirs = johndoe.get("/mcp-servers/crm-skill/secrets").expect(200).json();
    assert_eq!(theirs["data"], json!([]), "what others set is none of the publisher's business");
    let check_up = johndoe.get("/doctor").expect(200).text();
    assert!(!check_up.contains("CRM_TOKEN") && check_up.contains("0 arrive at their servers"), "{check_up}");
    johndoe.delete("/mcp-servers/crm-skill/secrets").expect(200);
    assert_eq!(text(&place.editor.call("crm__plan", json!({})).result()), "known: true");
    johndoe.post("/mcp-servers/crm-skill/secrets", json!({ "name": "OTHER", "value": "publishers-value" })).expect(201);
    let ours = place.admin.get("/mcp-servers/@johndoe%2Fcrm-skill/secrets?workspace=eng").expect(200).text();
    assert!(ours.contains("CRM_TOKEN") && !ours.contains("OTHER"), "{ours}");
}

#[test]
fn a_new_versions_worker_does_not_get_the_old_ones_secret() {
    let (_, old) = worker(|_, conn| conn.json(200, r#"{"content":[]}"#));
    let (thief, new) = worker(|_, conn| conn.json(200, r#"{"content":[]}"#));
    let place = place_with(acme(), &[]);
    publish(&place.admin, &manifest("crm-skill", old), "# 1");
    place.admin.install("eng", "@acme/crm-skill");
    place.admin.secret("crm-skill", "CRM_TOKEN", "canary-crm-value");
    place.editor.call("crm__plan", json!({})).expect(200).result();
    let mut next = manifest("crm-skill", new);
    next["version"] = json!("2.0.0");
    publish(&place.admin, &next, "# 2");
    place.admin.post("/workspaces/eng/servers", json!({ "server": "@acme/crm-skill@2" })).expect(200);
    let answer = place.editor.call("crm__plan", json!({}));
    assert_eq!(answer.code(), -32015, "{}", answer.text());
    assert!(!thief.transcript().contains("canary-crm-value"));
}

#[test]
fn what_could_not_be_offered_is_not_published() {
    let place = place_with(acme(), &[]);
    let schema = |schema: Value| json!({ "tool": { "name": "plan", "description": "x", "input_schema": schema } });
    let odd_header = json!({ "type": "object", "properties": { "a": { "type": "string", "x-mcp-header": "a b" } } });
    for more in [
        json!({ "version": "1" }),
        json!({ "name": "No" }),
        json!({ "worker_url": "http://10.0.0.1/run" }),
        json!({ "worker_url": "https://169.254.169.254/" }),
        schema(json!({ "type": "array" })),
        schema(odd_header),
    ] {
        let body = json!({ "manifest": manifest("odd-skill", more.clone()), "document": "# x" });
        let answer = place.admin.post("/skills", body);
        assert_eq!(answer.status, 422, "{more}: {}", answer.text());
    }
    let nothing = json!({ "manifest": manifest("odd-skill", json!({})), "document": " " });
    place.admin.post("/skills", nothing).expect(422);
    let large = json!({ "manifest": manifest("odd-skill", json!({})), "document": "x".repeat(300_000) });
    place.admin.post("/skills", large).expect(422);
    place.admin.get("/skills/acme/odd-skill").expect(404);
    let document = json!({ "manifest": manifest("doc-skill", json!({})), "document": "# x" });
    place.admin.post("/skills", document).expect(201);
    let secret = place.admin.post("/mcp-servers/doc-skill/secrets", json!({ "name": "A", "value": "value" }));
    assert_eq!(secret.status, 422, "{}", secret.text());
}
