//! Where people can sign in at all: not where their password would cross a network in clear.

use super::*;

fn config() -> Config {
    let mut config = Config::default();
    config.people.password_memory_kib = 64;
    config.people.password_rounds = 1;
    config
}

async fn sign_in(url: &str) -> Got {
    let gateway = Gateway::at(url, config(), "enterprise").await;
    let password = "violet tram sings";
    assert_eq!(gateway.post("/account/password", json!({"new": password})).await.status, 200);
    let body = json!({"username": "acme", "password": password});
    let request = TestRequest::post().uri(&format!("{BASE}/session"));
    gateway.send(request.peer_addr("192.0.2.1:1".parse().unwrap()).set_json(body)).await
}

#[actix_web::test]
async fn over_http_beyond_this_machine_nobody_signs_in() {
    let refused = sign_in("http://mcp.example.com").await;
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.body["hint"].as_str().unwrap().contains("server.public_url"), "{refused:?}");
    assert!(refused.headers.get(header::SET_COOKIE).is_none());
}

#[actix_web::test]
async fn over_tls_the_cookie_is_for_this_host_and_for_tls_alone() {
    let begun = sign_in("https://mcp.example.com").await;
    assert_eq!(begun.status, 201, "{begun:?}");
    let cookie = begun.headers.get(header::SET_COOKIE).unwrap().to_str().unwrap();
    assert!(cookie.starts_with("__Host-aerostack=ses_") && cookie.contains("Secure"), "{cookie}");
}
