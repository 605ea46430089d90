//! When a gateway cannot start it says why, what to do, and ends with a code of its own.

use std::process::Output;

use crate::support::{Place, TestGateway, place};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr)
        .lines()
        .filter(|line| line.starts_with("aerostack:") || line.starts_with("hint:") || line.starts_with("  - "))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_port_in_use_is_named_with_the_flag_to_choose_another() {
    let place = place(&[]);
    let address = place.gateway.address;
    let output = TestGateway::setup().bind(address).fails();
    assert_eq!(output.status.code(), Some(1));
    let next = format!("--bind {}:{}", address.ip(), address.port().wrapping_add(1));
    let text = said(&output).replace(&next, "[next]").replace(&address.port().to_string(), "[port]");
    insta::assert_snapshot!(text, @"
    aerostack: Port [port] on 127.0.0.1 is in use by another program
    hint: stop that program, or choose another address: [next]
    ");
}

#[test]
fn a_second_gateway_on_the_same_folder_is_refused_and_named() {
    let place = place(&[]);
    let output = place.gateway.setup.fails();
    let text = said(&output);
    assert!(text.contains(&format!("process {}", place.gateway.pid())), "{text}");
    assert!(text.contains("--data-dir"), "{text}");
    assert!(!output.status.success());
    place.editor.list().expect(200);
}

fn stopped(mut place: Place) -> Place {
    place.gateway.signal("TERM");
    place.gateway.ended(std::time::Duration::from_secs(10));
    place
}

#[test]
fn a_wrong_key_is_refused_with_78_and_nothing_is_changed() {
    let place = place(&[("toy", &crate::support::servers::plain(&["echo"]))]);
    place.admin.secret("toy", "KEY", "value-under-the-key");
    let place = stopped(place);
    let setup = place.gateway.setup.clone();
    let before = std::fs::read(setup.data_dir().join("aerostack.db")).unwrap();
    let wrong = "3f8a61c0d52e97b4081c6fa3e9d7254b9a70e1f3c85d264b7e13a90fd4286bc5".to_owned();
    let output = setup.clone().env("WORKFLOW_SECRETS_KEY", &wrong).fails();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(78), "{text}");
    assert!(text.contains("WORKFLOW_SECRETS_KEY"), "{text}");
    assert!(text.contains("hint:"), "{text}");
    assert!(!text.contains(&wrong));
    assert_eq!(std::fs::read(setup.data_dir().join("aerostack.db")).unwrap(), before);
    // With its own key it starts again.
    let again = setup.start();
    again.editor("eng", &place.token.raw).call("toy__echo", serde_json::json!({})).expect(200).result();
}

#[test]
fn a_missing_key_is_refused_and_never_replaced_by_a_fresh_one() {
    let place = stopped(place(&[]));
    let setup = place.gateway.setup.clone();
    let key = setup.data_dir().join("secrets.key");
    let saved = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let output = setup.fails();
    assert_eq!(output.status.code(), Some(78), "{}", said(&output));
    assert!(said(&output).contains("key"), "{}", said(&output));
    assert!(!key.exists());
    std::fs::write(&key, saved).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    drop(setup.start());
}

#[test]
fn malformed_keys_are_refused_without_being_printed() {
    for key in ["short", &"z".repeat(64), &"0".repeat(63)] {
        let output = TestGateway::setup().env("WORKFLOW_SECRETS_KEY", key).fails();
        let text = said(&output);
        assert_eq!(output.status.code(), Some(78), "{key}: {text}");
        assert!(text.contains("WORKFLOW_SECRETS_KEY") && !text.contains(key), "{text}");
    }
}

#[test]
fn a_key_of_zeros_is_refused_with_the_line_that_makes_one() {
    let output = TestGateway::setup().env("WORKFLOW_SECRETS_KEY", &"0".repeat(64)).fails();
    assert_eq!(output.status.code(), Some(78));
    insta::assert_snapshot!(said(&output), @"
    aerostack: WORKFLOW_SECRETS_KEY holds a key that anybody would guess (a pattern, not 32 random bytes)
    hint: Make one with: aerostack secrets generate-key. If secrets are stored under this one already, give it as WORKFLOW_SECRETS_KEY_PREVIOUS beside the new one
    ");
}

#[test]
fn wrong_settings_are_all_named_at_once() {
    let setup = TestGateway::setup().set("limits.requests_per_minut", 7).set("limits.calls", "many");
    let output = setup.fails();
    assert_eq!(output.status.code(), Some(64));
    insta::assert_snapshot!(said(&output), @"
    aerostack: The configuration has 2 problem(s):
      - the environment variable AEROSTACK_LIMITS_CALLS does not fit: limits.calls is not of that kind
      - the environment variable AEROSTACK_LIMITS_REQUESTS_PER_MINUT names no setting (did you mean limits.requests_per_minute?)
    ");
}

#[test]
fn a_public_url_is_taken_as_it_is_written_or_not_at_all() {
    for wrong in [
        "gateway.example.com",
        "ftp://x",
        "https:///gateway",
        "https://a b",
        "https://u:p@h",
        "https://h/?x",
        "https://h#x",
    ] {
        let output = TestGateway::setup().set("server.public_url", wrong).fails();
        let text = said(&output);
        assert_eq!(output.status.code(), Some(64), "{wrong}: {text}");
        assert!(text.contains("  - server.public_url is not the gateway's address: "), "{wrong}: {text}");
    }
}

#[test]
fn listening_beyond_this_machine_needs_a_public_url() {
    let output = TestGateway::setup().bind("0.0.0.0:0").fails();
    assert_eq!(output.status.code(), Some(64));
    assert!(said(&output).contains("--public-url https://your.host"), "{}", said(&output));
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let setup = TestGateway::setup();
    // A file where the folder should be (root may write anywhere else).
    std::fs::write(setup.data_dir(), "not a folder").unwrap();
    let output = setup.fails();
    let text = said(&output);
    assert!(!output.status.success());
    assert!(text.contains(&setup.data_dir().display().to_string()), "{text}");
}

#[test]
fn a_damaged_database_is_refused_and_never_replaced_by_an_empty_one() {
    let place = stopped(place(&[]));
    let setup = place.gateway.setup.clone();
    let file = setup.data_dir().join("aerostack.db");
    for extra in ["-wal", "-shm"] {
        let _absent = std::fs::remove_file(setup.data_dir().join(format!("aerostack.db{extra}")));
    }
    std::fs::write(&file, b"this is not a database, but somebody's shopping list".repeat(100)).unwrap();
    let before = std::fs::read(&file).unwrap();
    let output = setup.fails();
    assert!(!output.status.success());
    assert!(said(&output).contains("aerostack.db"), "{}", said(&output));
    assert_eq!(std::fs::read(&file).unwrap(), before);
}
