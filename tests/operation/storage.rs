//! A database that does not answer: calls go on, administrative acts wait and are then refused with when to come back.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use serde_json::json;

use crate::support::{Place, TestGateway, elapsed, place_with, servers, until};

/// Somebody else's write transaction on a SQLite file, open until dropped.
struct Lock {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Lock {
    /// Locks the file; none when this machine has no Python to do it with.
    fn take(file: &std::path::Path) -> Option<Self> {
        let program = "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)\ndb.execute('BEGIN IMMEDIATE')\nprint('locked', flush=True)\nsys.stdin.read()\ndb.execute('ROLLBACK')";
        let mut child = Command::new("python3")
            .args(["-c", program])
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .inspect_err(|cause| eprintln!("SKIPPED: no python3 to lock a database with: {cause}"))
            .ok()?;
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "locked");
        let stdin = child.stdin.take();
        Some(Lock { child, stdin })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.stdin.take() {
            let _already_gone = stdin.flush();
        }
        let _reaped = self.child.wait();
    }
}

fn toy() -> Place {
    let setup = TestGateway::setup().set("database.busy_timeout_seconds", 1);
    place_with(setup, &[("toy", &servers::plain(&["echo"]))])
}

#[test]
fn while_the_database_is_locked_calls_go_on_and_admin_acts_get_503() {
    let place = toy();
    place.editor.call("toy__echo", json!({})).result();
    let Some(lock) = Lock::take(&place.gateway.setup.data_dir().join("aerostack.db")) else { return };
    for _ in 0..10 {
        let (answer, took) = elapsed(|| place.editor.call("toy__echo", json!({})));
        answer.expect(200).result();
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    let (answer, took) = elapsed(|| place.admin.post("/workspaces/eng/tokens", json!({ "name": "Bob" })));
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
    assert!(took < Duration::from_secs(8), "{took:?}");
    let revoke = place.admin.delete(&format!("/workspaces/eng/tokens/{}", place.token.id));
    assert_eq!(revoke.status, 503, "never a success that is none: {}", revoke.text());
    place.editor.call("toy__echo", json!({})).expect(200);
    drop(lock);
    // What was refused was not done; what is asked again is.
    let names = place.admin.get("/workspaces/eng/tokens").json()["data"].as_array().unwrap().len();
    assert_eq!(names, 1);
    place.admin.token("eng", "Bob");
    place.admin.revoke("eng", &place.token.id);
    place.editor.list().expect(401);
}

/// S-75: statistics never hold a call up.
#[test]
fn a_locked_analytics_database_costs_calls_nothing_and_nothing_is_lost() {
    let place = toy();
    place.editor.call("toy__echo", json!({})).result();
    let counted = || place.admin.get("/workspaces/eng/analytics").json()["data"][0]["calls"].clone();
    until("the first call is counted", || counted() == 1);
    let Some(lock) = Lock::take(&place.gateway.setup.data_dir().join("analytics.db")) else { return };
    for _ in 0..20 {
        let (answer, took) = elapsed(|| place.editor.call("toy__echo", json!({})));
        answer.expect(200).result();
        assert!(took < Duration::from_millis(500), "{took:?}");
    }
    place.admin.token("eng", "Bob");
    drop(lock);
    until("all calls are counted", || counted() == 21);
}

/// A batch of statistics is written in one go: on a busy processor calls must not wait for it.
#[cfg(target_os = "linux")]
#[test]
fn what_writes_statistics_gives_way_to_calls_and_nothing_else_does() {
    let place = toy();
    place.editor.call("toy__echo", json!({})).result();
    until("the call is counted", || place.admin.get("/workspaces/eng/analytics").json()["data"][0]["calls"] == 1);
    let tasks = std::fs::read_dir(format!("/proc/{}/task", place.gateway.pid())).unwrap();
    let threads = tasks.filter_map(|task| {
        let stat = std::fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        Some((rest.split_whitespace().nth(16)?.parse::<i32>().ok()?, name.to_owned()))
    });
    let mut threads: Vec<(i32, String)> = threads.collect();
    threads.sort();
    let (usual, _) = threads.first().cloned().unwrap();
    let slower: Vec<_> = threads.iter().filter(|(nice, _)| *nice > usual).collect();
    // Its connection has a thread of its own on SQLite.
    let expected = [(10, "sqlx-sqlite-wor".to_owned()), (10, "statistics".to_owned())];
    assert_eq!(slower, expected.iter().collect::<Vec<_>>(), "{threads:?}");
    assert!(threads.len() > 8, "{threads:?}");
}

#[test]
fn the_same_gateway_runs_on_postgres() {
    let Some(url) = crate::support::database::fresh_postgres() else { return };
    let upstream = servers::plain(&["echo"]);
    let mut place = place_with(TestGateway::setup().env("AEROSTACK_DATABASE_URL", &url), &[("toy", &upstream)]);
    place.admin.secret("toy", "KEY", "value-in-postgres");
    place.editor.call("toy__echo", json!({})).result();
    assert_eq!(upstream.last_call().header("KEY"), Some("value-in-postgres"));
    let session = place.editor.initialize("2025-11-25");
    let revoked = place.admin.token("eng", "Bob");
    place.admin.revoke("eng", &revoked.id);
    until("calls are counted", || place.admin.get("/workspaces/eng/analytics").json()["data"][0]["calls"] == 1);
    place.gateway.restart();
    session.call("toy__echo", json!({})).result();
    place.gateway.editor("eng", &revoked.raw).list().expect(401);
    assert!(!place.gateway.log().contains("value-in-postgres"));
}

#[test]
fn a_session_goes_on_at_another_gateway_with_the_same_database_and_key() {
    let Some(url) = crate::support::database::fresh_postgres() else { return };
    let key = "f3a1c95b07de4286b9d25e8f17a0643cc84b9e02d76f31a5807c2be94d105f6a";
    let setup = || {
        let shared = TestGateway::setup().set("database.exclusive", false);
        shared.env("AEROSTACK_DATABASE_URL", &url).env("WORKFLOW_SECRETS_KEY", key)
    };
    let (old, _) = servers::legacy(&["echo"], |seen, conn| conn.says(seen, "done"));
    let place = place_with(setup(), &[("toy", &old), ("fresh", &servers::plain(&["echo"]))]);
    place.admin.secret("toy", "KEY", "sealed-here-opened-there");
    let sessions = ["2025-03-26", "2025-06-18", "2025-11-25"].map(|revision| place.editor.initialize(revision));
    let other = setup().start();
    for mut session in sessions {
        session.editor.address = other.address;
        for tool in ["toy__echo", "fresh__echo"] {
            let said = session.call(tool, json!({})).expect(200).result();
            assert_eq!(said["content"][0]["text"], "done", "{} {tool}", session.revision);
        }
        assert_eq!(old.last_call().header("KEY"), Some("sealed-here-opened-there"));
    }
    place.gateway.editor("eng", &place.token.raw).call("toy__echo", json!({})).expect(200).result();
}
