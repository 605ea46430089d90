//! What surrounds every answer: tags, links, methods, repeated requests.

use entities::kept_answer;
use sea_orm::EntityTrait as _;

use super::*;

impl Gateway {
    async fn with_header(&self, method: Method, path: &str, header: (&str, &str), body: Option<Value>) -> Got {
        let request = TestRequest::with_uri(&format!("{BASE}{path}")).method(method).insert_header(header);
        let request = request.insert_header((header::AUTHORIZATION, format!("Bearer {}", self.key)));
        let service = init_service(App::new().configure(configure(self.admin.clone()))).await;
        let request = match body {
            Some(body) => request.set_json(body),
            None => request,
        };
        let answer = call_service(&service, request.to_request()).await;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = serde_json::from_slice(&read_body(answer).await).unwrap_or(Value::Null);
        Got { status, headers, body }
    }
}

fn header<'a>(got: &'a Got, name: &str) -> &'a str {
    got.headers.get(name).unwrap_or_else(|| panic!("no {name} in {got:?}")).to_str().unwrap()
}

#[actix_web::test]
async fn what_was_seen_is_not_sent_again_and_what_changed_is_not_overwritten() {
    let gateway = Gateway::start().await;
    gateway.workspace("engineering").await;
    let seen = gateway.get("/workspaces/engineering").await;
    let tag = header(&seen, "etag").to_owned();
    let again = gateway.with_header(Method::GET, "/workspaces/engineering", ("If-None-Match", &tag), None).await;
    assert_eq!((again.status, &again.body, header(&again, "etag")), (304, &Value::Null, &*tag));
    assert!(again.headers.contains_key("x-request-id"));
    let list = gateway.get("/workspaces").await;
    let same = gateway.with_header(Method::GET, "/workspaces", ("If-None-Match", header(&list, "etag")), None).await;
    assert_eq!(same.status, 304);

    let rename = |tag: String, name: &'static str| {
        let gateway = &gateway;
        async move {
            let body = Some(json!({ "name": name }));
            gateway.with_header(Method::PATCH, "/workspaces/engineering", ("If-Match", &tag), body).await
        }
    };
    assert_eq!(rename(tag.clone(), "One").await.status, 200);
    let stale = rename(tag.clone(), "Two").await;
    assert_eq!((stale.status, &stale.body["code"]), (412, &json!("precondition_failed")), "{stale:?}");
    assert_eq!(rename("*".into(), "Three").await.status, 200);
    let delete = gateway.with_header(Method::DELETE, "/workspaces/engineering", ("If-Match", &tag), None).await;
    assert_eq!(delete.status, 412);
    let now = gateway.get("/workspaces/engineering").await;
    assert_eq!(now.body["name"], "Three");
    let tag = header(&now, "etag").to_owned();
    let delete = gateway.with_header(Method::DELETE, "/workspaces/engineering", ("If-Match", &tag), None).await;
    assert_eq!(delete.status, 200);
}

#[actix_web::test]
async fn a_page_links_to_the_next_one() {
    let gateway = Gateway::start().await;
    for slug in ["alpha", "beta", "gamma"] {
        gateway.workspace(slug).await;
    }
    let (mut path, mut seen) = (format!("{BASE}/workspaces?limit=2"), Vec::new());
    loop {
        let got = gateway.get(path.strip_prefix(BASE).unwrap()).await;
        seen.extend(got.body["data"].as_array().unwrap().iter().map(|one| one["slug"].clone()));
        let Some(link) = got.headers.get("link") else { break };
        let link = link.to_str().unwrap().strip_suffix(">; rel=\"next\"").unwrap();
        path = link.strip_prefix('<').unwrap().to_owned();
        assert!(path.contains("limit=2"), "{path}");
    }
    assert_eq!(seen, ["alpha", "beta", "gamma"]);
}

#[actix_web::test]
async fn methods_are_told_and_head_is_a_get_without_a_body() {
    let gateway = Gateway::start().await;
    let options = gateway.with_header(Method::OPTIONS, "/workspaces", ("x-nothing", "1"), None).await;
    assert_eq!((options.status, header(&options, "allow")), (204, "GET, POST, HEAD, OPTIONS"));
    let head = gateway.with_header(Method::HEAD, "/whoami", ("x-nothing", "1"), None).await;
    assert_eq!((head.status, header(&head, "etag")), (200, header(&gateway.get("/whoami").await, "etag")));
    let wrong = gateway.with_header(Method::DELETE, "/whoami", ("x-nothing", "1"), None).await;
    assert_eq!((wrong.status, header(&wrong, "allow")), (405, "GET, HEAD, OPTIONS"));
    let stranger = gateway.ask_as("", Method::OPTIONS, "/workspaces", None).await;
    assert_eq!(stranger.status, 401);
}

#[actix_web::test]
async fn a_request_with_an_idempotency_key_is_done_once() {
    let gateway = Gateway::start().await;
    let post = |path: &'static str, key: &'static str, body: Value| {
        let gateway = &gateway;
        async move { gateway.with_header(Method::POST, path, ("Idempotency-Key", key), Some(body)).await }
    };
    let first = post("/workspaces", "a-1", json!({ "slug": "engineering" })).await;
    let again = post("/workspaces", "a-1", json!({ "slug": "engineering" })).await;
    assert_eq!((first.status, again.status, &first.body), (201, 201, &again.body));
    assert_eq!(header(&again, "idempotency-replayed"), "true");
    let other = post("/workspaces", "a-1", json!({ "slug": "sales" })).await;
    assert_eq!(other.status, 422, "{other:?}");
    let conflict = post("/workspaces", "a-2", json!({ "slug": "engineering" })).await;
    assert_eq!(conflict.status, 409, "another request");

    let path = "/workspaces/engineering/tokens";
    let made = post(path, "t-1", json!({ "name": "Alice Chen" })).await;
    assert_eq!(made.status, 201);
    let repeated = post(path, "t-1", json!({ "name": "Alice Chen" })).await;
    assert_eq!((repeated.status, &repeated.body["data"]["id"]), (409, &made.body["id"]), "{repeated:?}");
    let raw = made.body["token"].as_str().unwrap();
    assert!(!repeated.body.to_string().contains(raw));
    assert_eq!(gateway.get(path).await.body["data"].as_array().unwrap().len(), 1);
    let kept = std::fs::read_dir(gateway._folder.path()).unwrap().flatten().filter(|entry| entry.path().is_file());
    for entry in kept {
        let bytes = std::fs::read(entry.path()).unwrap();
        assert!(memchr::memmem::find(&bytes, raw.as_bytes()).is_none(), "{entry:?} holds the token");
    }
    for bad in ["", &"k".repeat(256)] {
        let request = TestRequest::post().uri(&format!("{BASE}/workspaces")).insert_header(("Idempotency-Key", bad));
        let request = request.insert_header((header::AUTHORIZATION, format!("Bearer {}", gateway.key)));
        assert_eq!(gateway.send(request.set_json(json!({ "slug": "x-y" }))).await.status, 400, "{bad:?}");
    }
}

#[actix_web::test]
async fn what_is_kept_of_a_request_cannot_be_tried_out_without_the_installations_key() {
    let mut kept = Vec::new();
    for _ in 0..2 {
        let gateway = Gateway::start().await;
        let body = Some(json!({ "slug": "engineering" }));
        let made = gateway.with_header(Method::POST, "/workspaces", ("Idempotency-Key", "a-1"), body).await;
        assert_eq!(made.status, 201);
        let read = gateway.actors.store.read(|db| async move { Ok(kept_answer::Entity::find().one(&db).await?) });
        kept.push(read.await.unwrap().unwrap().fingerprint);
    }
    assert_eq!(kept[0].len(), 32);
    assert_ne!(kept[0], kept[1], "the same request leaves something else with another key");
}

#[actix_web::test]
async fn many_repetitions_at_once_do_it_once() {
    let gateway = Gateway::start().await;
    gateway.workspace("engineering").await;
    let service = init_service(App::new().configure(configure(gateway.admin.clone()))).await;
    let ask = |_| {
        let request = TestRequest::post().uri(&format!("{BASE}/workspaces/engineering/tokens:revoke"));
        let request = request.insert_header((header::AUTHORIZATION, format!("Bearer {}", gateway.key)));
        let request = request.insert_header(("Idempotency-Key", "same")).set_json(json!({ "name": "Nobody" }));
        call_service(&service, request.to_request())
    };
    let answers = futures_util::future::join_all((0..8).map(ask)).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status().as_u16()).collect();
    let done = answers.iter().filter(|one| one.status() == 404 && !one.headers().contains_key("idempotency-replayed"));
    assert_eq!(done.count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [404, 409].contains(status)), "{statuses:?}");
}
