//! Programs that flood, hang, take too much or never read: they cost themselves, and nobody else.

use std::time::Duration;

use serde_json::json;

use crate::support::{Place, TestGateway, elapsed, process::Setup, programs::programs, servers, until};

fn setup() -> Setup {
    TestGateway::setup().set("limits.requests_per_minute", 0).set("stdio.stop_seconds", 1).set("stdio.restarts", 1000)
}

fn answered(place: &Place, tool: &str) -> bool {
    place.editor.call(tool, json!({})).json().get("result").is_some()
}

#[test]
fn floods_of_output_stop_at_the_pipe_while_calls_are_answered() {
    let modes: [(&str, &[&str]); 2] = [("out", &["flood-stdout"]), ("err", &["flood-stderr"])];
    let place = programs(setup(), &modes);
    for tool in ["out__echo", "err__echo"] {
        until("it answers in spite of its flood", || answered(&place, tool));
    }
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", place.gateway.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().to_owned();
        line.trim().split(' ').next().unwrap().parse::<u64>().unwrap() / 1024
    };
    let before = resident();
    let (_, _) = elapsed(|| (0..20).for_each(|_| assert!(answered(&place, "err__echo"))));
    assert!(resident() < before + 64, "memory grew from {before} to {} MB", resident());
}

#[test]
fn a_line_without_end_ends_the_program_and_no_other() {
    let setup = setup().set("stdio.line_bytes", 1024 * 1024);
    let place = programs(setup, &[("long", &["long-line"]), ("good", &[])]);
    until("the good one answers", || answered(&place, "good__echo"));
    until("the other is found out", || {
        place.admin.post("/mcp-servers/long/test", json!({})).expect(200).json()["ok"] == false
    });
    assert!(answered(&place, "good__echo"));
}

#[test]
fn a_program_that_does_not_read_is_ended_and_started_again() {
    let setup = setup().set("stdio.write_timeout_seconds", 1);
    let place = programs(setup, &[("deaf", &[]), ("good", &[])]);
    until("listed", || answered(&place, "deaf__echo") && answered(&place, "good__echo"));
    let hung = place.editor.calling("deaf__deaf", json!({}));
    let mut stream = std::net::TcpStream::connect(place.gateway.address).unwrap();
    std::io::Write::write_all(&mut stream, &hung.bytes(place.gateway.address)).unwrap();
    let large = json!({ "text": "x".repeat(1 << 20) });
    let refused = || place.editor.call("deaf__echo", large.clone());
    until("what it does not read is given up", || {
        let answer = refused().json();
        answer["error"]["message"].as_str().is_some_and(|text| text.contains("does not read"))
    });
    until("it answers again", || answered(&place, "deaf__echo"));
    assert!(answered(&place, "good__echo"));
}

#[test]
fn a_program_that_ignores_everything_is_killed_in_time() {
    let place = programs(setup(), &[("toy", &["stubborn", "family"])]);
    until("running", || answered(&place, "toy__echo"));
    place.admin.delete("/workspaces/eng/servers/toy").expect(200);
    let ((), took) = elapsed(|| {
        place.admin.delete("/mcp-servers/toy").expect(200);
        until("gone", || place.gateway.family().is_empty());
    });
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[test]
fn a_program_that_takes_too_much_is_ended() {
    let setup = setup().set("stdio.memory_mb", 256).set("stdio.processes", 40);
    let place = programs(setup, &[("greedy", &["greedy"]), ("breeder", &["breeder"]), ("good", &[])]);
    let says = |slug: &str, word: &str| {
        place.admin.post(&format!("/mcp-servers/{slug}/test"), json!({})).expect(200);
        place.gateway.log().contains(word)
    };
    until("memory", || says("greedy", "stdio.memory_mb"));
    until("processes", || says("breeder", "stdio.processes"));
    assert!(answered(&place, "good__echo"));
}

#[test]
fn a_program_that_hangs_at_its_start_holds_up_nobody() {
    let setup = setup().set("stdio.start_timeout_seconds", 2);
    let place = programs(setup, &[]);
    let good = servers::plain(&["echo"]);
    place.admin.add("eng", "good", &good);
    crate::support::programs::write(&place.gateway.setup, "hangs", "command = \"sleep\"\nargs = [\"3600\"]\n");
    place.admin.post("/mcp-servers:reload", json!({})).expect(200);
    place.admin.install("eng", "hangs");
    assert!(place.editor.tools().contains(&"good__echo".to_owned()));
    let report = place.admin.post("/mcp-servers/hangs/test", json!({})).expect(200).json();
    assert!(report["error"].as_str().unwrap().contains("no answer within"), "{report}");
    assert!(answered(&place, "good__echo"));
}
