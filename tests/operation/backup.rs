//! A backup restores to the gateway that was copied, with its key and with no other, and holds nothing in clear.

use std::{
    fs,
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicBool, Ordering::SeqCst},
};

use aerostack::domain::keys::InstallationKey;
use base64::Engine as _;
use serde_json::{Value, json};

use super::audit::{said, verify as verify_audit};
use crate::support::{
    Place, TestGateway, Upstream, database::fresh_postgres, place_with, process::Setup, servers, until,
};

const KEY: &str = "9b1f7c20d4e83a56f0827be61c95d3ae4471fb0258cd6e93a7150f2ec86b94d7";
const OTHER_KEY: &str = "3f8a61c0d52e97b4081c6fa3e9d7254b9a70e1f3c85d264b7e13a90fd4286bc5";
const CANARY: &str = "canary-value-that-must-not-leave-the-vault";

pub(super) fn backup(setup: &Setup, arguments: &[&str]) -> Output {
    setup.command().arg("backup").args(arguments).output().unwrap()
}

pub(super) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Makes a backup of a gateway and gives what was said of it.
#[track_caller]
pub(super) fn create(setup: &Setup, file: &Path, more: &[&str]) -> Value {
    let data_dir = setup.data_dir();
    let arguments = [&["create", text(file), "--data-dir", text(&data_dir), "-o", "json"][..], more].concat();
    let output = backup(setup, &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Restores it for another gateway, whose folder is new.
pub(super) fn restore(file: &Path, into: &Setup) -> Output {
    backup(into, &["restore", text(file), "--data-dir", text(&into.data_dir())])
}

pub(super) fn toy(setup: Setup) -> (Place, Upstream) {
    let upstream = servers::plain(&["echo"]);
    let place = place_with(setup, &[("toy", &upstream)]);
    place.admin.secret("toy", "KEY", CANARY);
    (place, upstream)
}

/// A folder for backups.
pub(super) fn shelf() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("aerostack-test-").tempdir().unwrap()
}

fn actions(admin: &crate::support::Admin, action: &str) -> usize {
    let listed = admin.get(&format!("/audit?action={action}&limit=500")).expect(200).json();
    listed["data"].as_array().unwrap().len()
}

#[test]
fn a_restored_gateway_is_the_one_that_was_copied() {
    let setup = TestGateway::setup();
    fs::create_dir_all(setup.data_dir()).unwrap();
    fs::write(setup.data_dir().join("config.toml"), "[limits]\nstreams = 777\n").unwrap();
    let (place, upstream) = toy(setup);
    let setup = &place.gateway.setup;
    let revoked = place.admin.token("eng", "Bob");
    place.admin.revoke("eng", &revoked.id);
    let mut session = place.editor.initialize("2025-11-25");
    session.call("toy__echo", json!({})).expect(200).result();
    until("the call is counted", || place.admin.get("/workspaces/eng/analytics").json()["data"][0]["calls"] == 1);
    let program = "command = \"/bin/cat\"\n";
    fs::write(setup.data_dir().join("servers.d/notes.toml"), program).unwrap();
    fs::set_permissions(setup.data_dir().join("servers.d/notes.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    let head = place.admin.post("/audit:verify", json!({})).expect(200).json()["head"].clone();

    let shelf = shelf();
    let file = shelf.path().join("b.tar.gz");
    let made = create(setup, &file, &["--with-analytics"]);
    assert_eq!((&made["analytics"], &made["audit_broken"]), (&json!(true), &Value::Null));
    assert_eq!(actions(&place.admin, "backup_created"), 1);
    let later = place.admin.token("eng", "Carol");
    let newer = place.admin.post("/audit:verify", json!({})).expect(200).json()["head"].clone();

    // The generated key is kept apart, and put into the new folder by whoever has it.
    let other = TestGateway::setup();
    fs::create_dir_all(other.data_dir()).unwrap();
    fs::copy(setup.data_dir().join("secrets.key"), other.data_dir().join("secrets.key")).unwrap();
    let output = restore(&file, &other);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(fs::read_to_string(other.data_dir().join("servers.d/notes.toml")).unwrap(), program);
    assert!(fs::read_to_string(other.data_dir().join("config.toml")).unwrap().contains("streams = 777"));
    for name in ["aerostack.db", "analytics.db", "servers.d/notes.toml", "config.toml"] {
        let mode = fs::metadata(other.data_dir().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }

    // Its audit log goes on, fits checkpoints up to the copy, and not those of what was left behind.
    let data = other.data_dir();
    let checkpoint = |name: &str, place: &Value| {
        let file = shelf.path().join(name);
        fs::write(&file, json!({ "seq": place["seq"], "mac": place["mac"] }).to_string()).unwrap();
        file
    };
    let (fits, fits_not) = (checkpoint("old.jsonl", &head), checkpoint("new.jsonl", &newer));
    for (checkpoint, exit) in [(&fits, 0), (&fits_not, 1)] {
        let output =
            verify_audit(&other, &["--with-state", "--data-dir", text(&data), "--checkpoint", text(checkpoint)]);
        assert_eq!(output.status.code(), Some(exit), "{}", said(&output));
    }

    let restored = other.start();
    session.editor.address = restored.address;
    session.call("toy__echo", json!({})).expect(200).result();
    assert_eq!(upstream.last_call().header("KEY"), Some(CANARY));
    restored.editor("eng", &place.token.raw).call("toy__echo", json!({})).expect(200).result();
    restored.editor("eng", &revoked.raw).list().expect(401);
    restored.editor("eng", &later.raw).list().expect(401);
    let admin = restored.admin_with(&place.gateway.key);
    assert_eq!((actions(&admin, "backup_restored"), actions(&admin, "backup_created")), (1, 0));
    until("its calls are counted on", || admin.get("/workspaces/eng/analytics").json()["data"][0]["calls"] == 3);
    let verdict = admin.post("/audit:verify", json!({ "with_state": true })).expect(200).json();
    assert_eq!(verdict["intact"], json!(true), "{verdict}");
}

/// S-86: the key is looked at before anything else.
#[test]
fn a_wrong_or_missing_key_is_refused_by_its_id_before_anything_is_written() {
    let (place, _upstream) = toy(TestGateway::setup().env("WORKFLOW_SECRETS_KEY", KEY));
    let (shelf, id) = (shelf(), |key: &str| InstallationKey::parse(key).unwrap().id().to_string());
    let file = shelf.path().join("b.tar.gz");
    assert_eq!(create(&place.gateway.setup, &file, &[])["keys"], json!([id(KEY)]));

    let wrong = TestGateway::setup().env("WORKFLOW_SECRETS_KEY", OTHER_KEY);
    let missing = TestGateway::setup();
    let generated = TestGateway::setup();
    fs::create_dir_all(generated.data_dir()).unwrap();
    let key_file = generated.data_dir().join("secrets.key");
    fs::write(&key_file, OTHER_KEY).unwrap();
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).unwrap();
    for (setup, there, names) in [
        (&wrong, false, vec![id(KEY), id(OTHER_KEY)]),
        (&missing, false, vec![id(KEY)]),
        (&generated, true, vec![id(KEY), id(OTHER_KEY)]),
    ] {
        let output = restore(&file, setup);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(names.iter().all(|name| said(&output).contains(name)), "{}", said(&output));
        assert!(![KEY, OTHER_KEY].iter().any(|key| said(&output).contains(key)));
        assert_eq!(setup.data_dir().exists(), there, "nothing was written");
        if there {
            let left: Vec<_> = fs::read_dir(setup.data_dir()).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert_eq!(left, std::slice::from_ref(&key_file));
        }
    }

    // Checking says the same, and is content without a key, but says what it did not do.
    let data_dir = missing.data_dir();
    let verify = |setup: &Setup| backup(setup, &["verify", text(&file), "--data-dir", text(&data_dir)]);
    assert_eq!(verify(&wrong).status.code(), Some(1));
    assert!(said(&verify(&wrong)).contains(&id(OTHER_KEY)), "{}", said(&verify(&wrong)));
    assert_eq!(verify(&missing).status.code(), Some(0));
    assert!(said(&verify(&missing)).contains("no key is at hand"), "{}", said(&verify(&missing)));
    let right = verify(&place.gateway.setup);
    assert_eq!(right.status.code(), Some(0));
    assert!(said(&right).contains(&format!("fits the key {}", id(KEY))), "{}", said(&right));

    let right = TestGateway::setup().env("WORKFLOW_SECRETS_KEY", KEY);
    assert_eq!(restore(&file, &right).status.code(), Some(0));
    let restored = right.start();
    restored.editor("eng", &place.token.raw).call("toy__echo", json!({})).expect(200).result();
}

/// S-86: nothing in it opens anything.
#[test]
fn neither_the_key_nor_anything_in_clear_is_in_a_backup() {
    let (place, _upstream) = toy(TestGateway::setup());
    place.editor.call("toy__echo", json!({})).expect(200).result();
    let (setup, shelf) = (&place.gateway.setup, shelf());
    let file = shelf.path().join("b.tar.gz");
    create(setup, &file, &["--with-analytics"]);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let left: Vec<_> = fs::read_dir(shelf.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, std::slice::from_ref(&file), "nothing else is left behind");

    let packed = fs::read(&file).unwrap();
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut unpacked).unwrap();
    let holds = |bytes: &[u8]| [&packed, &unpacked].iter().any(|all| memchr::memmem::find(all, bytes).is_some());
    assert!(holds(b"SQLite format 3"), "it was unpacked");
    let key = fs::read_to_string(setup.data_dir().join("secrets.key")).unwrap().trim().to_owned();
    let raw: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&key[at * 2..at * 2 + 2], 16).unwrap()).collect();
    let encoded = [
        key.to_uppercase(),
        base64::prelude::BASE64_STANDARD_NO_PAD.encode(&raw),
        base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(&raw),
        key,
        CANARY.to_owned(),
        place.token.raw.clone(),
        place.gateway.key.clone(),
        fs::read_to_string(setup.data_dir().join("dashboard-link"))
            .unwrap()
            .split('#')
            .next_back()
            .unwrap()
            .trim()
            .into(),
        "secrets.key".into(),
        "admin-key".into(),
    ];
    for secret in encoded.iter().map(String::as_bytes).chain([raw.as_slice()]) {
        assert!(!secret.is_empty() && !holds(secret), "{}", String::from_utf8_lossy(secret));
    }
}

/// Tells the writers, when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn a_backup_made_while_much_is_written_is_one_moment_of_it() {
    let setup =
        TestGateway::setup().set("limits.admin_requests_per_minute", 100_000).set("limits.requests_per_minute", 0);
    let (place, _upstream) = toy(setup);
    let before = place.admin.token("eng", "before");
    let (over, shelf) = (AtomicBool::new(false), shelf());
    let file = shelf.path().join("b.tar.gz");
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (place, over) = (&place, &over);
            scope.spawn(move || {
                for n in 0.. {
                    let made = place.admin.post("/workspaces/eng/tokens", json!({ "name": format!("t{writer}-{n}") }));
                    assert!([201, 503].contains(&made.status), "{}", made.text());
                    let secret = json!({ "name": "KEY", "value": format!("{CANARY}-{writer}-{n}") });
                    let set = place.admin.post("/mcp-servers/toy/secrets", secret);
                    assert!([200, 201, 204, 503].contains(&set.status), "{}", set.text());
                    place.editor.call("toy__echo", json!({})).expect(200);
                    if over.load(SeqCst) {
                        return;
                    }
                }
            });
        }
        let _even_if_this_fails = Over(&over);
        until("both write", || actions(&place.admin, "token_created") > 6);
        for _ in 0..2 {
            create(&place.gateway.setup, &file, &["--with-analytics", "--force"]);
        }
    });
    let key = fs::read_to_string(place.gateway.setup.data_dir().join("secrets.key")).unwrap();
    let other = TestGateway::setup().env("WORKFLOW_SECRETS_KEY", key.trim());
    let output = backup(&other, &["verify", text(&file)]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let output = restore(&file, &other);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let restored = other.start();
    let admin = restored.admin_with(&place.gateway.key);
    let verdict = admin.post("/audit:verify", json!({ "with_state": true })).expect(200).json();
    assert_eq!((&verdict["intact"], &verdict["secrets"]), (&json!(true), &json!(1)), "{verdict}");
    let tokens = admin.get("/workspaces/eng/tokens?limit=500").json()["data"].as_array().unwrap().len();
    assert_eq!(tokens, actions(&admin, "token_created"), "every token has its entry, every entry its token");
    restored.editor("eng", &before.raw).call("toy__echo", json!({})).expect(200).result();
}

#[test]
fn a_create_that_is_killed_leaves_nothing_at_its_name() {
    let (place, _upstream) = toy(TestGateway::setup());
    let (setup, shelf) = (&place.gateway.setup, shelf());
    let file = shelf.path().join("b.tar.gz");
    let begun = || fs::read_dir(shelf.path()).unwrap().count() > 0;
    let mut killed = 0;
    for _ in 0..5 {
        let mut command: Command = setup.command();
        command.args(["backup", "create", text(&file), "--data-dir", text(&setup.data_dir())]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("it has begun", || begun() || child.try_wait().unwrap().is_some());
        child.kill().unwrap();
        child.wait().unwrap();
        if file.exists() {
            // It was faster: then all of it is there.
            assert_eq!(
                backup(setup, &["verify", text(&file), "--data-dir", text(&setup.data_dir())]).status.code(),
                Some(0)
            );
        } else {
            killed += 1;
        }
        for left in fs::read_dir(shelf.path()).unwrap().map(|entry| entry.unwrap().path()) {
            if left.is_dir() { fs::remove_dir_all(left).unwrap() } else { fs::remove_file(left).unwrap() }
        }
    }
    assert!(killed > 0, "it was never killed in time");
    create(setup, &file, &[]);
}

#[test]
fn what_is_there_is_not_overwritten() {
    let (place, _upstream) = toy(TestGateway::setup());
    let (setup, shelf) = (&place.gateway.setup, shelf());
    let (file, data_dir): (PathBuf, PathBuf) = (shelf.path().join("b.tar.gz"), setup.data_dir());
    fs::write(&file, "somebody's").unwrap();
    let output = backup(setup, &["create", text(&file), "--data-dir", text(&data_dir)]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("--force"), "{}", said(&output));
    assert_eq!(fs::read_to_string(&file).unwrap(), "somebody's");
    create(setup, &file, &["--force"]);

    // A folder gets a file with a name of its own.
    let made = create(setup, shelf.path(), &[]);
    assert!(made["file"].as_str().unwrap().ends_with("Z.backup.tar.gz"), "{made}");
    assert!(Path::new(made["file"].as_str().unwrap()).is_file());

    let other = TestGateway::setup();
    fs::create_dir_all(other.data_dir()).unwrap();
    fs::copy(data_dir.join("secrets.key"), other.data_dir().join("secrets.key")).unwrap();
    fs::write(other.data_dir().join("notes.txt"), "somebody's").unwrap();
    for full in [other.data_dir(), data_dir] {
        let output = backup(&other, &["restore", text(&file), "--data-dir", text(&full)]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("is not empty"), "{}", said(&output));
    }
    assert_eq!(fs::read_dir(other.data_dir()).unwrap().count(), 2);
    place.editor.list().expect(200);
}

#[test]
fn no_backup_is_made_that_its_own_limits_would_not_let_in_again() {
    let (place, _upstream) = toy(TestGateway::setup());
    let (setup, shelf) = (&place.gateway.setup, shelf());
    let (file, data_dir) = (shelf.path().join("b.tar.gz"), setup.data_dir());
    for limit in ["backup.manifest_bytes", "backup.unpacked_bytes"] {
        let small = setup.clone().set(limit, 200);
        let output = backup(&small, &["create", text(&file), "--data-dir", text(&data_dir)]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(limit), "{}", said(&output));
    }
    assert_eq!(fs::read_dir(shelf.path()).unwrap().count(), 0, "nothing is left behind");
    assert_eq!(actions(&place.admin, "backup_created"), 0);
    create(setup, &file, &[]);
}

#[test]
fn on_postgres_it_says_what_to_run_instead() {
    let Some(url) = fresh_postgres() else { return };
    let (place, _upstream) = toy(TestGateway::setup().env("AEROSTACK_DATABASE_URL", &url));
    let (setup, shelf) = (&place.gateway.setup, shelf());
    let file = shelf.path().join("b.tar.gz");
    let output = backup(setup, &["create", text(&file), "--data-dir", text(&setup.data_dir())]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("pg_dump"), "{}", said(&output));
    assert_eq!(fs::read_dir(shelf.path()).unwrap().count(), 0);
}
