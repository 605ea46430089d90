//! Where the gateway goes and where it never goes: no redirects, no metadata services, not itself.

use serde_json::json;

use crate::support::{Place, TestGateway, Upstream, place, place_with, servers};

fn refused(place: &Place, url: &str) -> String {
    let answer = place.admin.post("/mcp-servers", json!({ "slug": "bad", "url": url }));
    assert_eq!(answer.status, 422, "{url}: {}", answer.text());
    let problem = answer.json();
    format!("{} {}", problem["title"], problem["hint"])
}

#[test]
fn urls_that_lead_inside_are_refused_when_they_are_saved() {
    let place = place(&[]);
    for url in [
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/",
        "http://[fe80::1]/mcp",
        "http://0.0.0.0/mcp",
        "http://[::]/mcp",
        "http://255.255.255.255/mcp",
        "http://224.0.0.1/mcp",
        "http://10.0.0.1/mcp",
        "http://192.168.1.1/mcp",
        "http://100.64.0.1/mcp",
        "http://[fd00::1]/mcp",
        "http://[fec0::1]/mcp",
        "http://[::ffff:169.254.169.254]/mcp",
        "http://[64:ff9b::a9fe:a9fe]/mcp",
        "http://[2002:a9fe:a9fe::]/mcp",
        "http://2852039166/mcp",
        "http://0xa9fea9fe/mcp",
        "http://0251.0376.0251.0376/mcp",
        "file:///etc/passwd",
        "ftp://example.com/",
        "gopher://example.com/",
        "javascript:alert(1)",
        "http://user:pass@example.com/mcp",
        "http:///mcp",
        "http:/example.com/mcp",
        "http:example.com/mcp",
        "http://?mcp",
        "https:\\\\example.com\\mcp",
        "https://example.com\\@127.0.0.1/",
        " https://example.com/mcp",
        "not a url",
        "",
        "/mcp",
    ] {
        refused(&place, url);
    }
    assert!(refused(&place, "http://10.1.2.3/mcp").contains("allow_networks"), "the refusal prints the line to add");
}

#[test]
fn the_gateway_is_never_its_own_server() {
    let place = place(&[]);
    for address in [place.gateway.address, place.gateway.ops] {
        refused(&place, &format!("http://{address}/ws/eng"));
        refused(&place, &format!("http://localhost:{}/ws/eng", address.port()));
    }
}

#[test]
fn redirects_are_never_followed_and_the_secret_stays() {
    for status in [301, 302, 303, 307, 308] {
        let second = servers::plain(&["echo"]);
        let location = second.url();
        let upstream = servers::modern(&["echo"], move |_, conn| {
            conn.reply(status, &[("location", &location), ("refresh", &format!("0; url={location}"))], "");
        });
        let place = place(&[("toy", &upstream)]);
        place.admin.secret("toy", "KEY", "value-that-must-stay");
        place.editor.tools();
        let answer = place.editor.call("toy__echo", json!({})).expect(200);
        assert_eq!(answer.code(), -32012, "{}", answer.text());
        assert_eq!(answer.json()["error"]["data"]["reason"], "upstream_redirect");
        assert!(!answer.text().contains(&second.address.to_string()), "{}", answer.text());
        assert!(second.seen().is_empty());
        assert_eq!(upstream.calls().len(), 1);
    }
}

#[test]
fn a_redirect_of_the_handshake_is_not_followed_either() {
    let second = servers::plain(&["echo"]);
    let location = second.url();
    let upstream = Upstream::start(move |_, conn| conn.reply(308, &[("location", &location)], ""));
    let place = place(&[("toy", &upstream)]);
    assert!(place.editor.tools().is_empty());
    let test = place.admin.post("/mcp-servers/toy/test", json!({})).expect(200).json();
    assert_eq!(test["ok"], false, "{test}");
    assert!(test["error"].as_str().unwrap().contains("redirect"), "{test}");
    assert!(second.seen().is_empty());
}

#[test]
fn proxies_of_the_environment_are_not_used() {
    let proxy = Upstream::start(|_, conn| conn.reply(502, &[], ""));
    let url = format!("http://{}", proxy.address);
    let mut setup = TestGateway::setup();
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        setup = setup.env(name, &url);
    }
    let upstream = servers::plain(&["echo"]);
    let place = place_with(setup, &[("toy", &upstream)]);
    place.editor.call("toy__echo", json!({})).expect(200).result();
    assert!(proxy.seen().is_empty());
}

#[test]
fn a_key_in_a_url_is_not_shown() {
    let upstream = servers::plain(&["echo"]);
    let place = place(&[]);
    let answer = place
        .admin
        .post("/mcp-servers", json!({ "slug": "toy", "url": format!("{}?api_key=SECRETVALUE", upstream.url()) }));
    if answer.status == 422 {
        assert!(!answer.text().contains("SECRETVALUE"));
        return;
    }
    for path in ["/mcp-servers", "/mcp-servers/toy"] {
        assert!(!place.admin.get(path).text().contains("SECRETVALUE"));
    }
}
