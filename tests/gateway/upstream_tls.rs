//! MCP servers behind TLS (security reference, R-19): a secret goes out only to a server that proves who it is.

use std::time::Duration;

use serde_json::json;

use crate::support::{
    Place, TestGateway, elapsed, place_with,
    tls::{Authority, TlsServer},
};

const SECRET: &str = "value-for-the-real-server-only";

/// A gateway that trusts `authority` besides the public ones, with this server and a secret for it.
fn toy(authority: &Authority, server: &TlsServer) -> (Place, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("company-ca.pem");
    std::fs::write(&file, &authority.pem).unwrap();
    let setup = TestGateway::setup()
        .env("SSL_CERT_FILE", &file.display().to_string())
        .set("upstream.connect_timeout_seconds", 1);
    let place = place_with(setup, &[]);
    place.admin.server("toy", &server.url());
    place.admin.secret("toy", "KEY", SECRET);
    place.admin.install("eng", "toy");
    (place, folder)
}

#[test]
fn a_server_with_a_certificate_of_a_trusted_authority_gets_the_secret() {
    let authority = Authority::new();
    let server = TlsServer::mcp(authority.issue("localhost", 2400));
    let (place, _folder) = toy(&authority, &server);
    place.editor.call("toy__echo", json!({})).expect(200).result();
    assert_eq!(server.seen().last().unwrap().header("KEY"), Some(SECRET));
}

/// What a TLS 1.0 server answers to a hello: a ServerHello that chooses version 3.1 and an old cipher suite.
const TLS_1_0: &[u8] = &{
    let mut hello = [0_u8; 5 + 4 + 38];
    let head = [0x16, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1];
    let mut at = 0;
    while at < head.len() {
        hello[at] = head[at];
        at += 1;
    }
    // 32 bytes of random (zeros), no session id, TLS_RSA_WITH_AES_128_CBC_SHA, no compression.
    hello[11 + 32 + 2] = 0x2f;
    hello
};

#[test]
fn a_server_that_does_not_prove_who_it_is_gets_nothing() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let cases = [
        ("an expired certificate", TlsServer::mcp(authority.issue("localhost", 2002)), "tls: "),
        ("a certificate for another host", TlsServer::mcp(authority.issue("mcp.example.com", 2400)), "tls: "),
        ("a certificate of an unknown authority", TlsServer::mcp(stranger.issue("localhost", 2400)), "tls: "),
        ("a downgrade to TLS 1.0", TlsServer::raw(TLS_1_0), "tls: "),
        ("no TLS at all", TlsServer::raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"), "tls: "),
        ("a handshake that hangs", TlsServer::raw(b""), "no connection in time"),
        ("a connection that ends", TlsServer::hanging_up(), "closed the connection"),
    ];
    for (what, server, says) in cases {
        let (place, _folder) = toy(&authority, &server);
        let (answer, took) = elapsed(|| place.editor.call("toy__echo", json!({})));
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        assert_eq!(answer.code(), -32010, "{what}: {}", answer.text());
        assert!(took < Duration::from_secs(5), "{what}: {took:?}");
        let report = place.admin.post("/mcp-servers/toy/test", json!({})).expect(200).json();
        assert_eq!(report["ok"], false, "{what}: {report}");
        let told = report["error"].as_str().unwrap();
        assert!(told.contains(says), "{what}: {told}");
        assert!(server.seen().is_empty(), "{what}: a request went out");
        assert!(!server.in_clear().contains(SECRET), "{what}");
        assert!(!answer.everything().contains(SECRET) && !place.gateway.log().contains(SECRET), "{what}");
    }
}
