//! Every route of the OpenAPI document, for every role and for a stranger, on own, foreign and unknown objects: nothing
//! foreign differs from what is not there, a higher role may what a lower one may, and nothing breaks.

use super::*;
use crate::admin::document;

/// Who asks.
struct Somebody {
    name: &'static str,
    key: String,
    /// Their own namespace's objects, and those of the other one.
    own: &'static str,
    foreign: &'static str,
}

/// A namespace's workspace and server have the same slug here.
const ACME: &str = "acme-things";
const OTHERS: &str = "other-things";
const NOWHERE: &str = "no-such-thing";

async fn member(gateway: &Gateway, name: &'static str, role: Role) -> Somebody {
    let (namespace, actors) = (gateway.owner, &gateway.actors);
    let account = account(actors, name, "enterprise").await;
    let join = actors.store.upkeep(move |tx| Box::pin(accounts::put_member(tx, namespace, account, role, None)));
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
    let key = actors.tokens.issue_api_key(wanted).await.unwrap().raw.expose_secret().to_owned();
    Somebody { name, key, own: ACME, foreign: OTHERS }
}

/// Makes what an earlier request has removed; the id of the namespace's token.
async fn furnish(gateway: &Gateway, key: &str, slug: &str) -> String {
    let post = |path: String, body: Value| async move { gateway.ask_as(key, Method::POST, &path, Some(body)).await };
    post("/workspaces".into(), json!({ "slug": slug })).await;
    post("/mcp-servers".into(), json!({ "slug": slug, "url": "http://127.0.0.1:9/mcp" })).await;
    post(format!("/workspaces/{slug}/servers"), json!({ "server": slug })).await;
    post(format!("/mcp-servers/{slug}/secrets"), json!({ "name": "KEY", "value": "v" })).await;
    post(format!("/workspaces/{slug}/tokens"), json!({ "name": "Alice Chen" })).await;
    let listed = gateway.ask_as(key, Method::GET, &format!("/workspaces/{slug}/tokens?limit=500"), None).await;
    let active = listed.body["data"].as_array().unwrap().iter().find(|token| token["active"] == true).cloned();
    active.unwrap()["id"].as_str().unwrap().to_owned()
}

/// A body that fits the schema, as plain as possible.
fn sample(document: &Value, schema: &Value) -> Value {
    if let Some(name) = schema["$ref"].as_str() {
        return sample(document, &document["components"]["schemas"][name.rsplit('/').next().unwrap()]);
    }
    if let Some(example) = schema.get("example").or_else(|| schema["examples"].get(0)) {
        return example.clone();
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    if let Some(first) = ["oneOf", "anyOf", "allOf"].iter().find_map(|one| schema[*one].get(0)) {
        return sample(document, first);
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"].get(0)?.as_str()).unwrap_or("object");
    match kind {
        "string" => json!("x"),
        "integer" | "number" => json!(1),
        "boolean" => json!(false),
        "array" => json!([]),
        _ => {
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            let members = required.iter().filter_map(Value::as_str);
            members.map(|name| (name.to_owned(), sample(document, &schema["properties"][name]))).collect()
        }
    }
}

/// The request of one route for one object.
fn asked(document: &Value, path: &str, operation: &Value, slug: &str, token: &str) -> (String, Option<Value>) {
    let mut filled = path.strip_prefix(BASE).unwrap().replace("{slug}", slug).replace("{server}", slug);
    filled = filled.replace("/tokens/{id}", &format!("/tokens/{token}")).replace("/secrets/{name}", "/secrets/KEY");
    while let (Some(from), Some(to)) = (filled.find('{'), filled.find('}')) {
        filled.replace_range(from..=to, "x");
    }
    let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    let needed = parameters.iter().filter(|one| one["in"] == "query" && one["required"] == true);
    let query: Vec<String> = needed.map(|one| format!("{}=x", one["name"].as_str().unwrap())).collect();
    if !query.is_empty() {
        filled = format!("{filled}?{}", query.join("&"));
    }
    let schema = operation["requestBody"]["content"]["application/json"].get("schema");
    (filled, schema.map(|schema| sample(document, schema)))
}

/// What an answer says, whatever the thing is called.
fn said(got: &Got, slug: &str) -> String {
    let mut body = got.body.clone();
    body["request_id"] = Value::Null;
    format!("{} {body}", got.status).replace(slug, "SLUG")
}

async fn people(gateway: &Gateway) -> Vec<Somebody> {
    let stranger = account(&gateway.actors, "mallory", "enterprise").await;
    let stranger = key(&gateway.actors, stranger, None).await;
    vec![
        member(gateway, "victor", Role::Viewer).await,
        member(gateway, "mia", Role::Member).await,
        member(gateway, "anna", Role::Admin).await,
        member(gateway, "olga", Role::Owner).await,
        Somebody { name: "stranger", key: stranger, own: OTHERS, foreign: ACME },
    ]
}

#[actix_web::test]
async fn every_route_for_every_role_on_own_and_foreign_objects() {
    let mut config = Config::default();
    config.limits.admin_requests_per_minute = 10_000;
    let gateway = Gateway::with(config, "enterprise").await;
    let people = people(&gateway).await;
    let document = serde_json::to_value(document()).unwrap();
    let stranger = &people.last().unwrap().key;
    let mut asked_for = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            // Restarting actors under the test would restart what answers it; signing in is for those without a key.
            if path.ends_with("/restart") || path.ends_with("/session") {
                continue;
            }
            let verb = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let mut allowed_below = false;
            for who in &people {
                let token = furnish(&gateway, &gateway.key, ACME).await;
                let foreign_token = furnish(&gateway, stranger, OTHERS).await;
                let (own, other) = if who.own == ACME { (&token, &foreign_token) } else { (&foreign_token, &token) };
                let ask = |slug: &'static str, token: String| {
                    let (filled, body) = asked(&document, path, operation, slug, &token);
                    let verb = verb.clone();
                    let gateway = &gateway;
                    async move { gateway.ask_as(&who.key, verb, &filled, body).await }
                };
                let what = format!("{method} {path} as {}", who.name);
                if path.contains("{slug}") {
                    let (foreign, unknown) = (ask(who.foreign, other.clone()).await, ask(NOWHERE, other.clone()).await);
                    assert!(foreign.status >= 400, "{what}: {foreign:?}");
                    assert_eq!(said(&foreign, who.foreign), said(&unknown, NOWHERE), "{what}");
                }
                let got = ask(who.own, own.clone()).await;
                let of_upstream = got.body["code"].as_str().is_some_and(|code| code.starts_with("upstream"));
                assert!(got.status < 500 || of_upstream, "{what}: {got:?}");
                assert_ne!(got.status, 401, "{what}");
                if got.status >= 400 {
                    assert_eq!(got.headers.get(header::CONTENT_TYPE).unwrap(), "application/problem+json", "{what}");
                }
                let allowed = got.status != 403;
                assert!(allowed || !allowed_below || who.name == "stranger", "{what}: a lower role may");
                allowed_below = allowed;
                asked_for += 1;
            }
        }
    }
    assert!(asked_for > 150, "only {asked_for} requests");
}
