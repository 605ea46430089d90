//! Calls racing the revoke: of 10,000 tokens, none is accepted after its revoke call returned.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use serde_json::json;

use crate::support::{Connection, Editor, Place, TestGateway, place_with, servers, wait::now};

/// Rounds, each with a fresh token.
const ROUNDS: usize = 10_000;
/// Rounds under way at once.
const LANES: usize = 8;
/// A round is skipped when this is over, and the test then fails: bounded in time, never silently smaller.
const BUDGET: Duration = Duration::from_secs(600);

struct Tally {
    rounds: AtomicUsize,
    accepted_before: AtomicU64,
    refused: AtomicU64,
    late: AtomicU64,
}

/// One client that calls without pause from before the revoke until it is refused, and twice more.
fn caller(editor: &Editor, revoked: &AtomicBool, begun: &AtomicBool, tally: &Tally) {
    let mut connection = Connection::to(editor.address);
    let request = editor.calling("toy__echo", json!({}));
    let mut refusals = 0;
    while refusals < 2 {
        let after = revoked.load(SeqCst);
        let answer = connection.send(&request);
        match answer.status {
            200 if after => {
                tally.late.fetch_add(1, SeqCst);
            }
            200 => {
                tally.accepted_before.fetch_add(1, SeqCst);
            }
            401 | 429 => {
                tally.refused.fetch_add(1, SeqCst);
                refusals += 1;
            }
            other => panic!("{other}: {}", answer.text()),
        }
        begun.store(true, SeqCst);
        assert!(!(after && answer.status == 200), "accepted after the revoke returned");
    }
}

fn round(place: &Place, admin: &mut Connection, at: usize, tally: &Tally) {
    let body = json!({ "name": format!("round {at}") });
    let issued = admin.send(&place.admin.request("POST", "/workspaces/eng/tokens", Some(&body))).expect(201).json();
    let editor = place.gateway.editor("eng", issued["token"].as_str().unwrap());
    let revoke =
        place.admin.request("DELETE", &format!("/workspaces/eng/tokens/{}", issued["id"].as_str().unwrap()), None);
    let (revoked, begun) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| caller(&editor, &revoked, &begun, tally));
        // Revoked while calls are under way, not before the first one.
        while !begun.load(SeqCst) {
            std::thread::yield_now();
        }
        let answer = admin.send(&revoke);
        revoked.store(true, SeqCst);
        assert!((200..300).contains(&answer.status), "{}", answer.text());
    });
    tally.rounds.fetch_add(1, SeqCst);
}

#[test]
fn of_10_000_racing_revocations_no_call_is_accepted_after_the_revoke_returned() {
    let upstream = servers::plain(&["echo"]);
    let setup = TestGateway::setup()
        .set("limits.requests_per_minute", 0)
        .set("limits.admin_requests_per_minute", 0)
        .set("limits.failed_auth_per_minute", 0)
        .set("telemetry.log", "warn");
    let place = place_with(setup, &[("toy", &upstream)]);
    place.editor.tools();
    let tally = Tally {
        rounds: AtomicUsize::new(0),
        accepted_before: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        late: AtomicU64::new(0),
    };
    let (next, begun) = (AtomicUsize::new(0), now());
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                let mut admin = Connection::to(place.gateway.address);
                loop {
                    let at = next.fetch_add(1, SeqCst);
                    if at >= ROUNDS || begun.elapsed() > BUDGET {
                        return;
                    }
                    round(&place, &mut admin, at, &tally);
                }
            });
        }
    });
    eprintln!(
        "{} rounds in {:?}: {} calls accepted before, {} refused, {} accepted after the revoke returned",
        tally.rounds.load(SeqCst),
        begun.elapsed(),
        tally.accepted_before.load(SeqCst),
        tally.refused.load(SeqCst),
        tally.late.load(SeqCst),
    );
    assert_eq!((tally.rounds.load(SeqCst), tally.late.load(SeqCst)), (ROUNDS, 0));
}
