//! How programs end: always, with everything that descends from them, and without taking anything else along.

use std::time::Duration;

use serde_json::json;

use crate::support::{
    Place, TestGateway,
    process::Setup,
    programs::{family, programs, zombies},
    until,
    wait::within,
};

fn patient() -> Setup {
    TestGateway::setup()
        .set("stdio.restarts", 100_000)
        .set("stdio.stop_seconds", 1)
        .set("stdio.backoff_max_seconds", 0)
        .set("limits.requests_per_minute", 0)
}

fn call(place: &Place, tool: &str) -> bool {
    place.editor.call(tool, json!({})).json().get("result").is_some()
}

/// Kills the program itself, as the kernel does when memory is short.
fn kill(place: &Place) {
    let answer = place.editor.call("toy__pid", json!({})).expect(200).result();
    let pid = answer["content"][0]["text"].as_str().unwrap().to_owned();
    assert!(std::process::Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    until("it is gone", || !std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn a_program_that_died_is_started_again_by_the_next_call() {
    let place = programs(patient(), &[("toy", &["family"])]);
    until("listed", || call(&place, "toy__pid"));
    for _ in 0..5 {
        kill(&place);
        assert!(call(&place, "toy__pid"), "the call after a death is answered");
    }
    let lost = place.editor.call("toy__exit", json!({})).json();
    assert!(lost["error"]["code"].as_i64().is_some_and(|code| [-32010, -32012, -32019].contains(&code)), "{lost}");
    assert!(call(&place, "toy__pid"));
}

#[test]
fn two_hundred_rounds_of_starting_and_killing_leave_no_process_behind() {
    let mut place = programs(patient(), &[("toy", &["family"])]);
    until("listed", || call(&place, "toy__pid"));
    for _ in 0..200 {
        kill(&place);
        // One call may meet the program as it dies.
        until("it answers again", || call(&place, "toy__echo"));
    }
    place.admin.delete("/workspaces/eng/servers/toy").expect(200);
    place.admin.delete("/mcp-servers/toy").expect(200);
    until("no process is left", || place.gateway.family().is_empty());
    assert_eq!(zombies(place.gateway.pid()), Vec::<String>::new());
    place.gateway.signal("TERM");
    place.gateway.ended(Duration::from_secs(30));
}

#[test]
fn a_killed_gateway_takes_its_programs_along() {
    for modes in [&["family"][..], &["stubborn", "family"], &["both"]] {
        let mut place = programs(TestGateway::setup(), &[("toy", modes), ("other", &["family"])]);
        until("running", || call(&place, "toy__pid") && call(&place, "other__pid"));
        assert!(place.gateway.family().len() >= 4);
        let data = place.gateway.setup.data_dir();
        place.gateway.signal("KILL");
        place.gateway.ended(Duration::from_secs(5));
        let gone = within(Duration::from_secs(10), || family(&data).is_empty());
        assert!(gone, "{modes:?}: {:?}", family(&data));
    }
}

/// The process of the gateway's programs that was told to do this step of a start.
fn step(place: &Place, step: &str) -> u32 {
    let told = |id: &u32| std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let does = |id: &u32| told(id).split(|byte| *byte == 0).nth(1) == Some(step.as_bytes());
    place.gateway.family().into_iter().find(does).unwrap_or_else(|| panic!("nobody does {step}"))
}

#[test]
fn whichever_process_is_killed_no_other_one_is_left_behind() {
    let place = programs(patient(), &[("toy", &["stubborn", "family"])]);
    for round in 0..12 {
        until("it answers", || call(&place, "toy__echo"));
        let family = place.gateway.family();
        assert!(family.len() >= 4, "{family:?}");
        let killed = match round % 3 {
            0 => step(&place, "__spawn"),
            1 => step(&place, "__watch"),
            _ => place.editor.call("toy__pid", json!({})).result()["content"][0]["text"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap(),
        };
        assert!(std::process::Command::new("kill").args(["-9", &killed.to_string()]).status().unwrap().success());
        until("all of them are gone", || {
            family.iter().all(|id| !std::path::Path::new(&format!("/proc/{id}")).exists())
        });
    }
    assert_eq!(zombies(place.gateway.pid()), Vec::<String>::new());
}

/// Kills all of them at the same moment, as far as one can.
fn kill_all(ids: &[u32]) {
    let ids = ids.iter().map(u32::to_string);
    assert!(std::process::Command::new("kill").arg("-9").args(ids).status().unwrap().success());
}

#[test]
fn who_kills_every_process_of_the_gateways_name_kills_no_one_that_cleans_up() {
    let mut place = programs(patient(), &[("toy", &["stubborn", "family"])]);
    until("it answers", || call(&place, "toy__echo"));
    let name = |id: &u32| std::fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
    let gateway = place.gateway.pid();
    let all = place.gateway.family();
    assert!(all.len() >= 4, "{all:?}");
    let namesakes: Vec<u32> = std::iter::once(gateway).chain(all).filter(|id| name(id) == name(&gateway)).collect();
    assert_eq!(namesakes, [gateway]);
    let data = place.gateway.setup.data_dir();
    kill_all(&namesakes);
    place.gateway.ended(Duration::from_secs(5));
    assert!(within(Duration::from_secs(10), || family(&data).is_empty()), "{:?}", family(&data));
}

#[test]
fn what_survived_the_death_of_gateway_and_launchers_is_ended_by_the_next_gateway() {
    let mut place = programs(patient(), &[("toy", &["stubborn", "family"])]);
    until("it answers", || call(&place, "toy__echo"));
    let kept = [place.gateway.pid(), step(&place, "__spawn"), step(&place, "__watch")];
    let data = place.gateway.setup.data_dir();
    kill_all(&kept);
    place.gateway.ended(Duration::from_secs(5));
    let left = family(&data);
    assert!(!left.is_empty(), "this test is about those that are left");
    place.gateway.start_again();
    assert!(left.iter().all(|id| !std::path::Path::new(&format!("/proc/{id}/exe")).exists()), "{left:?}");
    until("it answers again", || call(&place, "toy__echo"));
}

#[test]
fn a_stopped_gateway_ends_its_programs_before_it_ends() {
    let mut place = programs(patient(), &[("toy", &["family"]), ("stubborn", &["stubborn", "family"])]);
    until("running", || call(&place, "toy__pid") && call(&place, "stubborn__pid"));
    place.gateway.signal("TERM");
    let status = place.gateway.ended(Duration::from_secs(30));
    assert_eq!(status.code(), Some(0));
    let data = place.gateway.setup.data_dir();
    assert!(within(Duration::from_secs(3), || family(&data).is_empty()), "{:?}", family(&data));
}

#[test]
fn a_program_that_ends_at_once_is_not_started_for_ever() {
    let place = programs(TestGateway::setup().set("stdio.restarts", 3), &[("toy", &["die"])]);
    let test = || place.admin.post("/mcp-servers/toy/test", json!({})).expect(200).json()["error"].to_string();
    until("it is given up for a while", || test().contains("keeps ending"));
    assert!(place.gateway.family().is_empty());
    assert_eq!(zombies(place.gateway.pid()), Vec::<String>::new());
}
