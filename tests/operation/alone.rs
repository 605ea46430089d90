//! A second gateway on the same Postgres database would go on with what the first has revoked: it waits, or is refused.

use std::time::Duration;

use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DbBackend, Statement};

use serde_json::json;

use crate::support::{
    TestGateway, database::fresh_postgres, elapsed, partition::Partition, place_with, process::Setup, servers, until,
};

const LOCK: &str = "7016996765293437283";
const KEY: &str = "5d0c83f1a96e274b8be1d7360f94ca28e35b716d0a82fc49917ed4053b6f28ac";

fn on(url: &str) -> Setup {
    TestGateway::setup().env("AEROSTACK_DATABASE_URL", url).env("WORKFLOW_SECRETS_KEY", KEY)
}

/// One session of somebody else.
fn session<T>(url: &str, work: impl AsyncFnOnce(&DatabaseConnection) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut options = ConnectOptions::new(url);
        options.max_connections(1);
        let db = Database::connect(options).await.unwrap();
        let done = work(&db).await;
        db.close().await.unwrap();
        done
    })
}

/// Cuts the connection that holds the lock.
fn cut() -> String {
    format!(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
         AND ((classid::bigint << 32) | objid::bigint) = {LOCK}"
    )
}

#[test]
fn a_second_gateway_on_the_same_postgres_is_refused_and_the_first_named() {
    let Some(url) = fresh_postgres() else { return };
    let place = place_with(on(&url), &[]);
    let output = on(&url).set("database.takeover_seconds", 1).fails();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(text.contains(&format!("another gateway: aerostack gateway, process {}", place.gateway.pid())), "{text}");
    assert!(text.contains("hint: Stop that one"), "{text}");
    place.editor.list().expect(200);
}

#[test]
fn a_gateway_waits_for_the_one_before_and_knows_what_that_has_revoked() {
    let Some(url) = fresh_postgres() else { return };
    let mut place = place_with(on(&url), &[]);
    let setup = on(&url);
    let next = std::thread::spawn({
        let setup = setup.clone();
        move || setup.start()
    });
    let log = setup.data_dir().parent().unwrap().join("log");
    until("the next one waits", || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("waiting for its end")));
    place.admin.revoke("eng", &place.token.id);
    let kept = place.admin.token("eng", "Bob");
    place.gateway.signal("TERM");
    assert_eq!(place.gateway.ended(Duration::from_secs(30)).code(), Some(0));
    let next = next.join().unwrap();
    next.editor("eng", &place.token.raw).list().expect(401);
    next.editor("eng", &kept.raw).list().expect(200);
}

#[test]
fn a_gateway_whose_place_another_has_taken_ends_at_once() {
    let Some(url) = fresh_postgres() else { return };
    let mut place = place_with(on(&url), &[]);
    let status = session(&url, async |db| {
        let question = Statement::from_string(DbBackend::Postgres, format!("SELECT pg_try_advisory_lock({LOCK})"));
        loop {
            db.execute_unprepared(&cut()).await.unwrap();
            let row = db.query_one_raw(question.clone()).await.unwrap().unwrap();
            if row.try_get_by_index::<bool>(0).unwrap() {
                break;
            }
        }
        place.gateway.ended(Duration::from_secs(30))
    });
    assert_eq!(status.code(), Some(75), "{}", place.gateway.log());
    assert!(place.gateway.log().contains("another gateway has taken the database over"), "{}", place.gateway.log());
}

#[test]
fn a_gateway_that_only_lost_the_connection_goes_on_and_still_keeps_others_out() {
    let Some(url) = fresh_postgres() else { return };
    let place = place_with(on(&url), &[]);
    session(&url, async |db| db.execute_unprepared(&cut()).await.map(drop).unwrap());
    until("it is held again", || place.gateway.log().contains("it is held again"));
    place.editor.list().expect(200);
    let refused = on(&url).set("database.takeover_seconds", 1).fails();
    assert!(!refused.status.success());
    place.editor.list().expect(200);
}

/// Postgres lets go of the lock of a holder that is out of reach, and then another gateway may revoke what this one
/// knows. So it believes nothing any more before that, and says that nothing is wrong with the token.
#[test]
fn a_gateway_parted_from_its_database_refuses_every_call_until_it_can_ask_again() {
    let Some(url) = fresh_postgres() else { return };
    let (network, through) = Partition::before(&url);
    let setup = on(&through).set("database.trust_seconds", 3).set("database.alone_check_seconds", 1);
    let place = place_with(setup, &[("toy", &servers::plain(&["echo"]))]);
    let call = || place.editor.call("toy__echo", json!({}));
    call().result();
    let bob = place.admin.token("eng", "Bob");
    let bobs = place.gateway.editor("eng", &bob.raw);
    bobs.list().expect(200);
    let (mut stream, _) = place.editor.listen(&json!("s"));
    network.part();
    call().expect(200).result();
    let ((), took) = elapsed(|| until("calls are refused", || call().status == 503));
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert!(stream.next().is_none(), "streams are cut");
    for editor in [&place.editor, &bobs] {
        let (refused, took) = elapsed(|| editor.list());
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("2")), "{}", refused.text());
        assert!(refused.text().contains("Nothing is wrong with the token"), "{}", refused.text());
        assert!(took < Duration::from_secs(1), "at once: {took:?}");
    }
    assert_eq!(place.gateway.operators("/livez").status, 200);
    // What changes meanwhile is known when the network is back.
    let revoked = "UPDATE workspace_tokens SET revoked_at = now() WHERE name = 'Bob'";
    let rows = session(&url, async |db| db.execute_unprepared(revoked).await.unwrap().rows_affected());
    assert_eq!(rows, 1);
    network.heal();
    let ((), took) = elapsed(|| until("calls go on", || call().status == 200));
    assert!(took < Duration::from_secs(8), "{took:?}");
    bobs.list().expect(401);
    let said = place.gateway.log();
    assert!(said.contains("calls are refused until it is back") && said.contains("calls go on"), "{said}");
}
