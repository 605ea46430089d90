//! `logs tail` and `ping` against a running gateway.

use std::{
    io::{BufRead as _, BufReader, Read},
    process::Child,
    sync::mpsc::{Receiver, channel},
    thread,
};

use serde_json::{Value, json};

use crate::support::{
    Place, TestGateway,
    people::setup,
    place_with, servers,
    wait::{DEADLINE, within},
};

/// A command that goes on, and what it says as it says it.
struct Running {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (tell, told) = channel();
    thread::spawn(move || BufReader::new(stream).lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
    told
}

impl Running {
    fn tail(gateway: &TestGateway, more: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = gateway.command_of("owner", &[&["logs", "tail", "--workspace", "eng"], more].concat());
        let mut child = command.envs(environment.iter().copied()).spawn().expect("it starts");
        let (out, err) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        Running { child, out, err }
    }
    #[track_caller]
    fn next(&self) -> String {
        self.out.recv_timeout(DEADLINE).expect("another line")
    }
    /// Waits until it says that.
    #[track_caller]
    fn says(&self, part: &str) {
        while !self.err.recv_timeout(DEADLINE).expect("another word").contains(part) {}
    }
    /// Its exit code.
    #[track_caller]
    fn ended(&mut self) -> Option<i32> {
        let mut status = None;
        assert!(within(DEADLINE, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        }));
        status.unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _already_over = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn calls_are_shown_one_a_line_as_they_end() {
    let toy = servers::modern(&["echo", "fail"], |seen, conn| match seen.tool().as_str() {
        "fail" => conn.result(seen, json!({ "content": [], "isError": true })),
        _ => conn.says(seen, "done"),
    });
    let Place { gateway, editor, .. } = place_with(setup(), &[("toy", &toy)]);
    let table = Running::tail(&gateway, &[], &[]);
    let objects = Running::tail(&gateway, &["-o", "json", "--errors"], &[]);
    let cells = Running::tail(&gateway, &["-o", "csv", "--fields", "user,outcome"], &[]);
    for one in [&table, &objects, &cells] {
        one.says("Watching eng");
    }
    editor.call("toy__echo", json!({})).expect(200);
    editor.call("toy__fail", json!({})).expect(200);
    let words = |line: String| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(table.next()), ["TIME", "(UTC)", "USER", "TOOL", "RESULT", "MS", "CLIENT"]);
    assert_eq!(words(table.next())[1..5], ["Alice", "Chen", "toy__echo", "ok"]);
    assert!(table.next().contains("the tool failed"));
    let object: Value = serde_json::from_str(&objects.next()).unwrap();
    assert_eq!((&object["tool"], &object["outcome"]), (&json!("toy__fail"), &json!("tool_error")));
    assert_eq!([cells.next(), cells.next(), cells.next()], ["user,outcome", "Alice Chen,ok", "Alice Chen,tool_error"]);
}

#[test]
fn a_tail_outlives_the_gateways_restart_but_not_its_key_or_its_reader() {
    let toy = servers::plain(&["echo"]);
    let setup = setup().set("analytics.live_check_seconds", 1);
    let Place { mut gateway, admin, editor, .. } = place_with(setup, &[("toy", &toy)]);
    let mut unread =
        gateway.command_of("owner", &["logs", "tail", "--workspace", "eng", "-o", "json"]).spawn().unwrap();
    let said = lines(unread.stderr.take().unwrap());
    assert!(said.recv_timeout(DEADLINE).unwrap().starts_with("Watching eng"));
    drop(unread.stdout.take());
    let mut unread = Running { child: unread, out: lines(std::io::empty()), err: said };
    editor.call("toy__echo", json!({})).expect(200);
    assert_eq!(unread.ended(), Some(0), "nobody reads it any more");

    let tail = Running::tail(&gateway, &["-o", "json"], &[]);
    tail.says("Watching eng");
    gateway.restart();
    tail.says("The stream ended");
    let seen = || {
        editor.call("toy__echo", json!({})).expect(200);
        tail.out.recv_timeout(std::time::Duration::from_secs(2)).is_ok()
    };
    assert!(within(DEADLINE, seen), "it watches again");

    let made = admin.post("/api-keys", json!({ "name": "watcher" })).expect(201).json();
    let mut tail = Running::tail(&gateway, &[], &[("AEROSTACK_API_KEY", made["key"].as_str().unwrap())]);
    tail.says("Watching eng");
    admin.delete(&format!("/api-keys/{}", made["id"].as_str().unwrap())).expect(200);
    assert_eq!(tail.ended(), Some(4), "the key is not accepted any more");
    assert_eq!(Running::tail(&gateway, &["--user", "Nobody"], &[]).ended(), Some(3));
}

#[test]
fn ping_says_who_answers_and_ends_with_the_code_of_what_is_wrong() {
    let gateway = setup().start();
    let (exit, out, err) = gateway.aerostack("owner", &["ping"], "");
    assert!(exit == 0 && out.contains("as acme@acme (owner in @acme).") && err.is_empty(), "{out}{err}");
    let (exit, out, _) = gateway.aerostack("owner", &["ping", "-q"], "");
    assert!(exit == 0 && out.trim().parse::<u64>().is_ok(), "{out}");
    assert_eq!(gateway.aerostack("nobody", &["ping"], "").0, 4);
    let nobody = servers::nobody();
    let mut away = gateway.command_of("owner", &["ping", "--gateway", nobody.trim_end_matches("/mcp")]);
    let output = away.env("AEROSTACK_API_KEY", &gateway.key).output().unwrap();
    assert_eq!(output.status.code(), Some(8), "{}", String::from_utf8_lossy(&output.stderr));
}
