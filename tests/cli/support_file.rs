//! `doctor --bundle`, and `doctor` behind a proxy that gathers events.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    thread,
};

use serde_json::{Value, json};

use crate::support::{
    Browser, Place,
    people::{PASSWORD, setup},
    place_with, servers,
};

#[test]
fn a_bundle_for_support_holds_what_was_found_and_no_secret() {
    let toy = servers::plain(&["echo"]);
    let Place { gateway, admin, token, .. } = place_with(setup(), &[("toy", &toy)]);
    admin.secret("toy", "MY_KEY", "CANARY-5e0c7d9b1a3f5e7c");
    // Some providers give everybody an address of their own, and whoever has it is let in.
    admin.server("own-address", "http://127.0.0.1:9/s/CANARY-6f1d8e0c2b4a/mcp");
    let invitation = gateway.invite(json!({ "email": "alice@example.com" }));
    let bob = gateway.member("bob", "member", Some("eng")).1;
    let mut browser = Browser::new(gateway.address);
    browser.sign_in("bob", PASSWORD);
    let url = format!("http://{}/ws/eng", gateway.address);
    let saved =
        gateway.command_of("owner", &["connect", "--save-token", &url]).env("AEROSTACK_TOKEN", &token.raw).output();
    assert!(saved.unwrap().status.success());
    let file = gateway.setup.data_dir().with_file_name("support.json");
    let run = || {
        let mut command = gateway.command_of("owner", &["doctor", "-o", "json", "--bundle"]);
        command.arg(&file).env("AEROSTACK_TOKEN", &token.raw).output().unwrap()
    };
    let made = run();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let text = std::fs::read_to_string(&file).unwrap();
    let bundle: Value = serde_json::from_str(&text).unwrap();
    let findings: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(bundle["findings"].as_array().unwrap().len(), findings.as_array().unwrap().len());
    for (what, found) in [
        ("its version", bundle["program"]["version"] == env!("CARGO_PKG_VERSION")),
        ("actors", bundle["gateway"]["actors"].to_string().contains("TokenAuthority")),
        ("servers", bundle["gateway"]["servers"].to_string().contains("\"toy\"")),
        ("workspaces", bundle["gateway"]["workspaces"].to_string().contains("\"eng\"")),
        ("variables by name", bundle["variables"].to_string().contains("AEROSTACK_TOKEN")),
    ] {
        assert!(found, "{what}: {text}");
    }
    let key = std::fs::read_to_string(gateway.setup.data_dir().join("secrets.key")).unwrap();
    let cookie = browser.cookie.clone().unwrap();
    for (what, secret) in [
        ("the owner's key", admin.key.as_str()),
        ("a token", &token.raw),
        ("a member's token", bob["token"]["token"].as_str().unwrap()),
        ("a member's key", bob["api_key"].as_str().unwrap()),
        ("a session", cookie.split('=').nth(1).unwrap()),
        ("an invitation", &invitation),
        ("a server's secret", "CANARY-5e0c7d9b1a3f5e7c"),
        ("the way to a server", "CANARY-6f1d8e0c2b4a"),
        ("a password", PASSWORD),
        ("the vault's key", key.trim()),
    ] {
        assert!(secret.len() > 8 && !text.contains(secret), "{what} is in {text}");
    }
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = run();
    assert_eq!(again.status.code(), Some(1), "a file that is there is left alone");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
}

/// A proxy in front of `gateway`: it passes an answer on when it is complete, and only then, if it `gathers`.
fn proxy(listener: TcpListener, gateway: SocketAddr, gathers: bool) {
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || pass(client, gateway, gathers));
        }
    });
}

fn pass(client: TcpStream, gateway: SocketAddr, gathers: bool) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let lower = line.to_ascii_lowercase();
        length = lower.strip_prefix("content-length:").map_or(length, |n| n.trim().parse().unwrap_or(0));
        if line.trim().is_empty() {
            break;
        }
        if !lower.starts_with("connection:") {
            head += &line;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut server = TcpStream::connect(gateway)?;
    server.write_all(format!("{head}connection: close\r\n\r\n").as_bytes())?;
    server.write_all(&body)?;
    let mut client = client;
    if gathers {
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        client.write_all(&answer)?;
    } else {
        std::io::copy(&mut server, &mut client)?;
    }
    client.shutdown(Shutdown::Both)
}

#[test]
fn doctor_notices_a_proxy_that_gathers_events() {
    for (gathers, expected) in [(false, "ok"), (true, "fail")] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let Place { gateway, .. } = place_with(setup().known_as(&url), &[]);
        proxy(listener, gateway.address, gathers);
        let mut command = gateway.command_of("elsewhere", &["doctor", "-o", "json"]);
        command.env("AEROSTACK_URL", &url).env("AEROSTACK_API_KEY", &gateway.admin().key);
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let findings: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|cause| panic!("{cause}: {text}"));
        let streams = findings.iter().find(|one| one["about"] == "streams").unwrap_or_else(|| panic!("{text}"));
        assert_eq!(streams["state"], expected, "{streams}");
        assert_eq!(output.status.code(), Some(i32::from(gathers)), "{text}");
        if gathers {
            assert!(streams["fix"].as_str().unwrap().contains("proxy_buffering off"), "{streams}");
        }
    }
}
