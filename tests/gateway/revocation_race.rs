//! Calls racing the revoke: of 10,000 tokens, none is accepted after its revoke call returned. Every round goes through
//! HTTP and the real process.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
        mpsc::{self, Receiver, SyncSender},
    },
};

use serde_json::json;

use crate::support::{Connection, Place, Request, TestGateway, place_with, servers, wait::now};

/// Rounds, each with a fresh token.
const ROUNDS: usize = 10_000;
/// Rounds under way at once: one token, one revoker and one caller each, on connections that last.
const LANES: usize = 2;

#[derive(Default)]
struct Tally {
    next: AtomicUsize,
    rounds: AtomicUsize,
    accepted_before: AtomicU64,
    refused: AtomicU64,
    late: AtomicU64,
}

/// A call of a fresh token, and whether the revoke of that token has returned.
struct Round {
    call: Request,
    revoked: AtomicBool,
}

/// Of each round: calls without pause from before the revoke until a call that began after it is refused. Rings once
/// when the first call was accepted and once when the round is over.
fn caller(address: SocketAddr, rounds: &Receiver<Arc<Round>>, bell: &SyncSender<()>, tally: &Tally) {
    let mut connection = Connection::to(address);
    for round in rounds {
        assert_eq!(connection.send(&round.call).status, 200, "a fresh token is accepted");
        let _lane_gave_up = bell.send(());
        loop {
            let after = round.revoked.load(SeqCst);
            let answer = connection.send(&round.call);
            let count = match answer.status {
                200 if after => &tally.late,
                200 => &tally.accepted_before,
                401 => &tally.refused,
                other => panic!("{other}: {}", answer.text()),
            };
            count.fetch_add(1, SeqCst);
            assert!(!(after && answer.status == 200), "accepted after the revoke returned");
            if after {
                break;
            }
        }
        let _lane_gave_up = bell.send(());
    }
}

/// One token: issued, called, revoked while it is called.
fn round(place: &Place, admin: &mut Connection, at: usize, calls: &SyncSender<Arc<Round>>, bell: &Receiver<()>) {
    let body = json!({ "name": format!("round {at}") });
    let issued = admin.send(&place.admin.request("POST", "/workspaces/eng/tokens", Some(&body))).expect(201).json();
    let editor = place.gateway.editor("eng", issued["token"].as_str().unwrap());
    let path = format!("/workspaces/eng/tokens/{}", issued["id"].as_str().unwrap());
    let revoke = place.admin.request("DELETE", &path, None);
    let round = Arc::new(Round { call: editor.calling("toy__echo", json!({})), revoked: AtomicBool::new(false) });
    calls.send(round.clone()).expect("the caller is there");
    bell.recv().expect("a fresh token is accepted");
    let answer = admin.send(&revoke);
    round.revoked.store(true, SeqCst);
    assert!((200..300).contains(&answer.status), "{}", answer.text());
    bell.recv().expect("none is accepted late");
}

fn lane(place: &Place, tally: &Tally) {
    let (calls, rounds) = mpsc::sync_channel(1);
    let (ring, bell) = mpsc::sync_channel(2);
    std::thread::scope(|scope| {
        scope.spawn(move || caller(place.gateway.address, &rounds, &ring, tally));
        let mut admin = Connection::to(place.gateway.address);
        loop {
            let at = tally.next.fetch_add(1, SeqCst);
            if at >= ROUNDS {
                break;
            }
            round(place, &mut admin, at, &calls, &bell);
            tally.rounds.fetch_add(1, SeqCst);
        }
        drop(calls);
    });
}

/// S-60: whatever races a revocation, nothing is accepted once it has returned.
#[test]
fn no_call_is_accepted_after_the_revoke_it_races_has_returned() {
    let upstream = servers::plain(&["echo"]);
    let setup = TestGateway::setup()
        .in_memory()
        .set("limits.requests_per_minute", 0)
        .set("limits.admin_requests_per_minute", 0)
        .set("limits.failed_auth_per_minute", 0)
        .set("telemetry.log", "warn");
    let place = place_with(setup, &[("toy", &upstream)]);
    place.editor.tools();
    let (tally, begun) = (Tally::default(), now());
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| lane(&place, &tally));
        }
    });
    eprintln!(
        "{} rounds in {:?}: {} calls accepted before, {} refused, {} accepted after the revoke",
        tally.rounds.load(SeqCst),
        begun.elapsed(),
        tally.accepted_before.load(SeqCst),
        tally.refused.load(SeqCst),
        tally.late.load(SeqCst),
    );
    assert_eq!(tally.late.load(SeqCst), 0);
    assert_eq!(tally.rounds.load(SeqCst), ROUNDS);
}
