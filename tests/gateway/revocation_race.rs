//! Calls racing the revoke: of 10,000 tokens, none is accepted after its revoke call returned. As many rounds as fit
//! into [`BUDGET`] go through HTTP and the real process; the rest race against the same actors without HTTP around them.
//! `AEROSTACK_TEST_ALL_ROUNDS=1` sends all of them through HTTP.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use aerostack::{
    actors::{
        Actors,
        grant::Grant,
        key_source::ConfiguredKeys,
        token_authority::{IssueToken, NameToken, Tokens},
        workspace_catalog::CreateWorkspace,
    },
    config::Config,
    domain::{
        clock,
        ids::{AccountId, WorkspaceId},
        role::{Principal, Role},
        slug::Slug,
        token::{self, TokenHash},
    },
    store::accounts::{self, AccountRecord},
    upstream::NetworkPolicy,
};
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::support::{Connection, Editor, Place, TestGateway, place_with, servers, wait::now};

/// Rounds, each with a fresh token.
const ROUNDS: usize = 10_000;
/// Rounds under way at once.
const LANES: usize = 6;
/// For the rounds through HTTP, and again for those without, unless AEROSTACK_TEST_ALL_ROUNDS=1 asks for all of them.
const BUDGET: Duration = Duration::from_secs(25);

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
fn no_call_is_accepted_after_the_revoke_it_races_has_returned() {
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
    let unbounded = std::env::var("AEROSTACK_TEST_ALL_ROUNDS").is_ok_and(|value| value == "1");
    let (next, begun) = (AtomicUsize::new(0), now());
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                let mut admin = Connection::to(place.gateway.address);
                loop {
                    let at = next.fetch_add(1, SeqCst);
                    if at >= ROUNDS || (!unbounded && begun.elapsed() > BUDGET) {
                        return;
                    }
                    round(&place, &mut admin, at, &tally);
                }
            });
        }
    });
    let through_http = tally.rounds.load(SeqCst);
    eprintln!(
        "{through_http} rounds through HTTP in {:?}: {} calls accepted before, {} refused, {} accepted after the revoke",
        begun.elapsed(),
        tally.accepted_before.load(SeqCst),
        tally.refused.load(SeqCst),
        tally.late.load(SeqCst),
    );
    drop(place);
    assert_eq!(tally.late.load(SeqCst), 0);
    assert!(through_http >= 100, "only {through_http} rounds: this machine is too slow to tell");
    let late = actix_rt::System::new().block_on(without_http(ROUNDS - through_http));
    assert_eq!(late, 0, "of the rounds without HTTP");
}

/// What racing readers look at: a token, the grant a call of it may hold, and whether its revoke has returned.
type Current = Mutex<Option<(TokenHash, Arc<Grant>, Arc<AtomicBool>)>>;

/// Looks the token up and enters its gate without pause, as calls do; counts what gets through too late.
fn reader(tokens: &Tokens, current: &Current, over: &AtomicBool, late: &AtomicU64) {
    while !over.load(SeqCst) {
        // The revokes need the processor too.
        std::thread::yield_now();
        let Some((hash, held, revoked)) = current.lock().unwrap().clone() else { continue };
        let after = revoked.load(SeqCst);
        let fresh = tokens.lookup(&hash).is_some_and(|grant| grant.gate(|| ()).is_some());
        let under_way = held.gate(|| ()).is_some();
        if after && (fresh || under_way) {
            late.fetch_add(1, SeqCst);
        }
    }
}

/// Races the given number of rounds against the actors of a gateway in this process; how many got through too late.
async fn without_http(rounds: usize) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.server.data_dir = folder.path().to_path_buf();
    let policy = Arc::new(NetworkPolicy::new(true, Vec::new()));
    let public_url = "http://127.0.0.1:1".parse().unwrap();
    let actors = Actors::start(Arc::new(config), public_url, ConfiguredKeys::default(), policy).await.unwrap();
    let (workspace, by) = workspace(&actors).await;
    let (current, over, late): (Arc<Current>, _, _) =
        (Arc::default(), Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (tokens, current, over, late) = (actors.tokens.clone(), current.clone(), over.clone(), late.clone());
            std::thread::spawn(move || reader(&tokens, &current, &over, &late))
        })
        .collect();
    let begun = now();
    for round in 0..rounds {
        if begun.elapsed() > BUDGET {
            eprintln!("{round} rounds without HTTP");
            break;
        }
        let wanted = IssueToken {
            workspace,
            name: format!("round {round}"),
            expires_in_seconds: None,
            member: None,
            requests_per_minute: None,
            by: by.clone(),
        };
        let issued = actors.tokens.issue(wanted).await.unwrap();
        let hash = token::parse(token::Credential::Mwt, issued.raw.expose_secret()).unwrap();
        let grant = actors.tokens.lookup(&hash).unwrap();
        let revoked = Arc::new(AtomicBool::new(false));
        *current.lock().unwrap() = Some((hash, grant, revoked.clone()));
        actors.tokens.revoke(NameToken { workspace, token: issued.record.id, by: by.clone() }).await.unwrap();
        revoked.store(true, SeqCst);
        // The readers see the dead token at least once more: the next commit takes far longer than a turn of theirs.
    }
    over.store(true, SeqCst);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    actors.drain(Duration::from_secs(5)).await;
    late.load(SeqCst)
}

async fn workspace(actors: &Actors) -> (WorkspaceId, Principal) {
    let owner = AccountRecord {
        id: AccountId::generate(),
        username: "admin".into(),
        email: None,
        plan: "enterprise".into(),
        created_at: clock::now(),
    };
    let by = Principal::system(owner.id);
    actors
        .store
        .write(move |tx| {
            Box::pin(async move {
                accounts::create(tx, &owner).await?;
                accounts::put_member(tx, owner.id, owner.id, Role::Owner, None).await
            })
        })
        .await
        .unwrap();
    let made = CreateWorkspace { slug: Slug::parse("eng").unwrap(), name: "eng".into(), by: by.clone() };
    (actors.catalog.apply(made).await.unwrap().id, by)
}
