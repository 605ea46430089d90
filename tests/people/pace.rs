//! Passwords under attack: who asks learns nothing from how long it takes, and however many ask, hashing takes as much
//! memory as there are cores (S-54).

use std::thread;

use serde_json::json;

use crate::support::{Browser, TestGateway, elapsed, people::setup};

const WRONG: &str = "wrong wrong wrong";

/// A gateway with the usual cost of a password, where nobody has to wait.
fn patient() -> crate::support::process::Setup {
    setup()
        .set("people.password_memory_kib", 19_456)
        .set("people.password_rounds", 2)
        .set("people.sign_in_failures", 1_000_000)
        .set("people.open_requests_per_minute", 1_000_000)
}

fn tries(gateway: &TestGateway, name: &str) -> u16 {
    let body = json!({ "username": name, "password": WRONG });
    Browser::new(gateway.address).api_request("POST", "/session", Some(&body)).send(gateway.address).status
}

/// Pairs that are timed at least, and at most.
const PAIRS: std::ops::RangeInclusive<usize> = 30..=240;

#[test]
fn a_name_that_nobody_has_takes_as_long_as_a_wrong_password() {
    let gateway = patient().start();
    gateway.member("alice", "member", None);
    let timed = |name: &str| {
        let (status, took) = elapsed(|| tries(&gateway, name));
        assert_eq!(status, 401);
        took.as_secs_f64()
    };
    timed("alice");
    timed("nobody");
    // Whatever else the machine does only adds to a time: the least of many is what the work itself takes. They are taken
    // in turn, and more are taken while the two are apart; a difference that is there does not go away.
    let (mut known, mut unknown) = (f64::INFINITY, f64::INFINITY);
    for pair in 1..=*PAIRS.end() {
        known = known.min(timed("alice"));
        unknown = unknown.min(timed(&format!("nobody{pair}")));
        if PAIRS.contains(&pair) && (unknown / known - 1.0).abs() <= 0.05 {
            return;
        }
    }
    panic!("a wrong password takes {known} s, an unknown name {unknown} s");
}

/// The most memory the process has had at once, in KiB.
fn peak(gateway: &TestGateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn two_hundred_sign_ins_at_once_take_the_memory_of_as_many_hashes_as_there_are_cores() {
    let gateway = patient().start();
    gateway.member("alice", "member", None);
    tries(&gateway, "alice");
    let before = peak(&gateway);
    let statuses: Vec<u16> = thread::scope(|scope| {
        let gateway = &gateway;
        let asking: Vec<_> = (0..200)
            .map(|n| scope.spawn(move || tries(gateway, if n % 2 == 0 { "alice" } else { "nobody" })))
            .collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(statuses.iter().all(|status| [401, 503].contains(status)), "{statuses:?}");
    assert!(
        statuses.contains(&401) && statuses.contains(&503),
        "some were hashed, some told to come back: {statuses:?}"
    );
    let cores = u64::try_from(thread::available_parallelism().unwrap().get()).unwrap();
    // Two hundred hashes at once would be 3.8 GB; 64 MiB is for two hundred connections and what the allocator keeps.
    let most = (cores * 19 + 64) * 1024;
    let grown = peak(&gateway) - before;
    assert!(grown <= most, "{grown} KiB more, {most} KiB are expected at most");
}
