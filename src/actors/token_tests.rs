//! The TokenAuthority's promises, through the way that everyone uses.

use std::{collections::HashSet, sync::Arc};

use chrono::TimeDelta;
use secrecy::ExposeSecret;

use super::{
    credential_fixture::{CLIENT, World, on_both_in_actix, runtime, stored_anywhere},
    grant::Grant,
    supervisor::drain,
    token_authority::{Asked, IssueApiKey, IssueToken, IssuedToken, RenewToken, RevokeApiKey, RotateToken, Tokens},
};
use crate::{
    domain::{
        clock,
        ids::{AccountId, TokenId},
        role::Role,
        token::{Credential, Fresh, TokenHash, generate, parse},
    },
    error::ErrorCode,
    store::{accounts, tokens, tokens::TokenRecord},
};

fn hash(issued: &IssuedToken) -> TokenHash {
    parse(Credential::Mwt, issued.raw.expose_secret()).unwrap()
}

async fn works(tokens: &Tokens, slug: &str, hash: &TokenHash) -> Option<Arc<Grant>> {
    tokens.authenticate(slug, hash, CLIENT).await.unwrap()
}

fn is_dead(grant: &Grant) -> bool {
    grant.gate(|| ()).is_none() && grant.cut.is_cancelled()
}

/// A token that is in the database and in nobody's memory.
async fn insert_behind(world: &World, name: &str, expires_in: Option<i64>) -> (TokenId, TokenHash) {
    let Fresh { hash, hint, .. } = generate(Credential::Mwt);
    let record = TokenRecord {
        id: TokenId::generate(),
        workspace: world.workspace,
        name: name.into(),
        hint,
        member: None,
        created_by: world.namespace,
        created_at: clock::now(),
        expires_at: expires_in.map(|seconds| clock::now() + TimeDelta::seconds(seconds)),
        last_used_at: None,
        revoked_at: None,
        previous_until: None,
        requests_per_minute: None,
        scope: None,
    };
    let id = record.id;
    world.store.upkeep(move |tx| Box::pin(async move { tokens::insert(tx, &record, &hash).await })).await.unwrap();
    (id, hash)
}

on_both_in_actix! {
    async fn a_token_works_at_once_and_is_dead_when_the_revocation_returns(store) {
        let (world, runtime) = (World::new(&store, "enterprise").await, runtime());
        let tokens = world.tokens(&runtime).await;
        let issued = world.issue(&tokens, "Alice Chen").await.unwrap();
        let grant = works(&tokens, "engineering", &hash(&issued)).await.unwrap();
        assert!(Arc::ptr_eq(&grant, &tokens.lookup(&hash(&issued)).unwrap()));
        assert!(grant.gate(|| ()).is_some());

        let revoked = tokens.revoke(world.named(issued.record.id)).await.unwrap();
        assert!(is_dead(&grant) && revoked.revoked_at.is_some());
        assert!(tokens.lookup(&hash(&issued)).is_none());
        assert!(works(&tokens, "engineering", &hash(&issued)).await.is_none());
        assert!(tokens.revoke(world.named(issued.record.id)).await.is_ok(), "again is fine");
        assert_eq!(world.audit().await, ["token_created: Alice Chen", "token_revoked: Alice Chen"]);
        assert!(!stored_anywhere(store.folder.path(), issued.raw.expose_secret()));
        let unknown = tokens.revoke(world.named(TokenId::generate())).await.unwrap_err();
        assert_eq!(unknown.code(), ErrorCode::NotFound);
    }

    async fn a_look_up_racing_a_revocation_never_brings_a_token_back(store) {
        let (world, runtime) = (World::new(&store, "enterprise").await, runtime());
        let tokens = world.tokens(&runtime).await;
        for round in 0..60 {
            let (id, hash) = insert_behind(&world, &format!("token {round}"), None).await;
            let client = std::net::IpAddr::from([198, 51, 100, round]);
            let look = async || tokens.authenticate("engineering", &hash, client).await.unwrap();
            let looking = futures_util::future::join_all((0..8).map(|_| look()));
            let revoking = async {
                tokens.revoke(world.named(id)).await.unwrap();
                assert!(tokens.lookup(&hash).is_none(), "round {round}");
            };
            let (grants, ()) = futures_util::join!(looking, revoking);
            assert!(grants.iter().flatten().all(|grant| is_dead(grant)), "round {round}");
            assert!(tokens.lookup(&hash).is_none() && look().await.is_none());
        }
    }

    async fn names_are_unique_among_active_tokens_however_they_are_written(store) {
        let (world, runtime) = (World::new(&store, "enterprise").await, runtime());
        let tokens = world.tokens(&runtime).await;
        let first = world.issue(&tokens, "Alice Chen").await.unwrap();
        let refused = world.issue(&tokens, "  alice   CHEN ").await.err().unwrap();
        assert_eq!(refused.code(), ErrorCode::Conflict);
        assert!(refused.hint().unwrap().contains("token revoke"));
        tokens.revoke(world.named(first.record.id)).await.unwrap();
        assert!(world.issue(&tokens, "alice chen").await.is_ok());
        let raced = futures_util::future::join_all((0..8).map(|_| world.issue(&tokens, "Bob"))).await;
        assert_eq!(raced.iter().filter(|issued| issued.is_ok()).count(), 1);
        insert_behind(&world, "CI", Some(-1)).await;
        assert!(world.issue(&tokens, "CI").await.is_ok(), "an expired one does not count");
    }

    async fn a_plan_with_three_tokens_gives_out_three_however_many_ask_at_once(store) {
        let (world, runtime) = (World::new(&store, "free").await, runtime());
        let tokens = world.tokens(&runtime).await;
        let names: Vec<String> = (0..12).map(|n| format!("token {n}")).collect();
        let raced = futures_util::future::join_all(names.iter().map(|name| world.issue(&tokens, name))).await;
        let (issued, refused): (Vec<_>, Vec<_>) = raced.into_iter().partition(Result::is_ok);
        assert_eq!(issued.len(), 3);
        assert!(refused.iter().all(|refused| refused.as_ref().err().unwrap().code() == ErrorCode::PlanLimit));
        tokens.revoke(world.named(issued[0].as_ref().ok().unwrap().record.id)).await.unwrap();
        assert!(world.issue(&tokens, "one more").await.is_ok(), "a revoked token frees its place");
    }

    async fn unknown_expired_and_foreign_tokens_look_the_same_and_guessing_ends(store) {
        let (world, runtime) = (World::new(&store, "enterprise").await, runtime());
        world.add_workspace("sales").await;
        let tokens = world.tokens(&runtime).await;
        let issued = world.issue(&tokens, "Alice").await.unwrap();
        let (_, expired) = insert_behind(&world, "old", Some(-1)).await;
        assert!(works(&tokens, "engineering", &expired).await.is_none());
        assert!(works(&tokens, "sales", &hash(&issued)).await.is_none());
        assert!(works(&tokens, "nowhere", &hash(&issued)).await.is_none());
        for _ in 1..60 {
            assert!(works(&tokens, "engineering", &generate(Credential::Mwt).hash).await.is_none());
        }
        let guess = generate(Credential::Mwt).hash;
        let refused = tokens.authenticate("engineering", &guess, CLIENT).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::RateLimited);
        assert!(works(&tokens, "engineering", &hash(&issued)).await.is_some(), "valid tokens are not affected");
    }

    async fn a_replaced_value_is_dead_and_name_and_window_stay(store) {
        let (world, runtime) = (World::new(&store, "enterprise").await, runtime());
        let tokens = world.tokens(&runtime).await;
        let old = world.issue(&tokens, "Alice").await.unwrap();
        let before = tokens.lookup(&hash(&old)).unwrap();
        let rotate = |overlap_seconds| RotateToken {
            workspace: world.workspace, token: old.record.id, overlap_seconds, by: world.by.clone(),
        };
        let new = tokens.rotate(rotate(0)).await.unwrap();
        assert!(is_dead(&before) && works(&tokens, "engineering", &hash(&old)).await.is_none());
        let after = works(&tokens, "engineering", &hash(&new)).await.unwrap();
        assert_eq!((after.token, &after.name), (before.token, &before.name));
        assert!(Arc::ptr_eq(&before.window, &after.window), "a new value is no new quota");
        assert_eq!(world.audit().await.last().unwrap(), "token_rotated: Alice");
        tokens.revoke(world.named(old.record.id)).await.unwrap();
        assert_eq!(tokens.rotate(rotate(0)).await.err().unwrap().code(), ErrorCode::NotFound);
    }

    async fn a_token_whose_time_is_over_works_again_under_the_rule_of_a_new_one(store) {
        let (world, runtime) = (World::new(&store, "free").await, runtime());
        let tokens = world.tokens(&runtime).await;
        let (id, old) = insert_behind(&world, "Alice", Some(-1)).await;
        let renew = |token| RenewToken { workspace: world.workspace, token, life_seconds: 60, by: world.by.clone() };
        let new = tokens.renew(renew(id)).await.unwrap();
        let grant = works(&tokens, "engineering", &hash(&new)).await.unwrap();
        assert_eq!((grant.token, works(&tokens, "engineering", &old).await.is_none()), (id, true));
        assert_eq!(world.audit().await.last().unwrap(), "token_rotated: Alice");
        let newer = tokens.renew(renew(id)).await.unwrap();
        assert!(is_dead(&grant) && works(&tokens, "engineering", &hash(&newer)).await.is_some());
        // It takes a place of the plan again, and its name.
        let (other, _) = insert_behind(&world, "alice ", Some(-1)).await;
        assert_eq!(tokens.renew(renew(other)).await.err().unwrap().code(), ErrorCode::Conflict);
        let (full, _) = insert_behind(&world, "Bob", Some(-1)).await;
        for name in ["1", "2"] {
            world.issue(&tokens, name).await.unwrap();
        }
        assert_eq!(tokens.renew(renew(full)).await.err().unwrap().code(), ErrorCode::PlanLimit);
        // What was revoked, or is to last, is not brought back.
        tokens.revoke(world.named(id)).await.unwrap();
        let (endless, _) = insert_behind(&world, "Carol", None).await;
        for token in [id, endless, TokenId::generate()] {
            assert_eq!(tokens.renew(renew(token)).await.err().unwrap().code(), ErrorCode::NotFound);
        }
    }

    async fn in_an_overlap_both_values_work_and_a_revocation_ends_both(store) {
        let (world, runtime) = (World::new(&store, "enterprise").await, runtime());
        let tokens = world.tokens(&runtime).await;
        let first = world.issue(&tokens, "Alice").await.unwrap();
        let rotate = |overlap_seconds| RotateToken {
            workspace: world.workspace, token: first.record.id, overlap_seconds, by: world.by.clone(),
        };
        let before = tokens.lookup(&hash(&first)).unwrap();
        let second = tokens.rotate(rotate(3600)).await.unwrap();
        assert!(!is_dead(&before), "its streams go on");
        assert_eq!(before.ends_at().unwrap().timestamp(), second.record.previous_until.unwrap().timestamp());
        let now = works(&tokens, "engineering", &hash(&second)).await.unwrap();
        assert!(Arc::ptr_eq(&before.window, &now.window), "two values share one quota");
        assert!(now.ends_at().is_none());
        let third = tokens.rotate(rotate(3600)).await.unwrap();
        assert!(is_dead(&before) && works(&tokens, "engineering", &hash(&first)).await.is_none(), "at most two");
        assert!(works(&tokens, "engineering", &hash(&second)).await.is_some());
        // Somebody who has nothing in memory finds the same.
        let other = world.tokens(&runtime).await;
        assert!(works(&other, "engineering", &hash(&second)).await.is_some());
        assert!(works(&other, "engineering", &hash(&first)).await.is_none());
        let grants = [works(&tokens, "engineering", &hash(&second)).await, works(&tokens, "engineering", &hash(&third)).await];
        tokens.revoke(world.named(first.record.id)).await.unwrap();
        assert!(grants.iter().flatten().all(|grant| is_dead(grant)) && grants.iter().flatten().count() == 2);
        for issued in [&first, &second, &third] {
            assert!(works(&tokens, "engineering", &hash(issued)).await.is_none());
        }
    }

    async fn a_rotation_racing_a_revocation_never_leaves_a_value_that_works(store) {
        let (world, runtime) = (World::new(&store, "enterprise").await, runtime());
        let tokens = world.tokens(&runtime).await;
        for round in 0..30 {
            let issued = world.issue(&tokens, &format!("token {round}")).await.unwrap();
            let id = issued.record.id;
            let rotate = RotateToken { workspace: world.workspace, token: id, overlap_seconds: 60, by: world.by.clone() };
            let (rotated, revoked) = futures_util::join!(tokens.rotate(rotate), tokens.revoke(world.named(id)));
            revoked.unwrap();
            let values = [Some(&issued), rotated.as_ref().ok()];
            for value in values.into_iter().flatten() {
                assert!(works(&tokens, "engineering", &hash(value)).await.is_none(), "round {round}");
            }
        }
    }

    async fn an_api_key_acts_with_the_role_of_this_moment(store) {
        let (world, runtime) = (World::new(&store, "enterprise").await, runtime());
        let tokens = world.tokens(&runtime).await;
        let key = |max_role| IssueApiKey {
            account: world.namespace,
            namespace: world.namespace,
            bound: false,
            name: "cli".into(),
            expires_in_seconds: None,
            max_role,
            by: world.by.clone(),
        };
        let owner = tokens.issue_api_key(key(None)).await.unwrap();
        let member = tokens.issue_api_key(key(Some(Role::Member))).await.unwrap();
        let hash = |raw: &secrecy::SecretString| parse(Credential::Aak, raw.expose_secret()).unwrap();
        let asked = |hash| Asked { hash, namespace: None };
        let (owner_hash, member_hash) = (hash(&owner.raw), hash(&member.raw));
        let who = tokens.api_key(asked(owner_hash), CLIENT).await.unwrap().unwrap();
        assert_eq!((who.role, who.api_key), (Role::Owner, Some(owner.record.id)));
        assert!(who.label.contains('@'), "{}", who.label);
        assert_eq!(tokens.api_key(asked(member_hash), CLIENT).await.unwrap().unwrap().role, Role::Member);

        let revoke = RevokeApiKey { account: world.namespace, key: owner.record.id, by: world.by.clone() };
        tokens.revoke_api_key(revoke.clone()).await.unwrap();
        assert!(tokens.api_key(asked(owner_hash), CLIENT).await.unwrap().is_none());
        assert_eq!(tokens.revoke_api_key(revoke).await.unwrap_err().code(), ErrorCode::NotFound);
        let (namespace, account) = (world.namespace, world.namespace);
        let leave = store.upkeep(move |tx| Box::pin(accounts::remove_member(tx, namespace, account)));
        assert!(leave.await.unwrap());
        assert!(tokens.api_key(asked(member_hash), CLIENT).await.unwrap().is_none());
        assert!(tokens.api_key(asked(generate(Credential::Aak).hash), CLIENT).await.unwrap().is_none());
    }

    async fn last_use_is_written_at_a_drain(store) {
        let (world, runtime) = (World::new(&store, "enterprise").await, runtime());
        let tokens = world.tokens(&runtime).await;
        let issued = world.issue(&tokens, "Alice").await.unwrap();
        assert!(tokens.last_used(issued.record.id).is_none());
        tokens.used(issued.record.id);
        drain(tokens.actor(), std::time::Duration::from_secs(5)).await;
        let (workspace, id) = (world.workspace, issued.record.id);
        let row = store.read(move |db| async move { tokens::get(&db, workspace, id).await }).await.unwrap().unwrap();
        assert_eq!(row.last_used_at, tokens.last_used(id));
        assert!(row.last_used_at.is_some());
    }
}

#[actix_web::test]
async fn a_restarted_authority_compares_with_the_database_before_it_answers() {
    let store = crate::store::testing::sqlite().await;
    let (world, runtime) = (World::new(&store, "enterprise").await, runtime());
    let tokens = world.tokens(&runtime).await;
    let (kept, lost) = (world.issue(&tokens, "kept").await.unwrap(), world.issue(&tokens, "lost").await.unwrap());
    let (kept_grant, lost_grant) = (tokens.lookup(&hash(&kept)).unwrap(), tokens.lookup(&hash(&lost)).unwrap());
    // An incarnation that died between its commit and the consequence.
    let (workspace, id) = (world.workspace, lost.record.id);
    store.upkeep(move |tx| Box::pin(tokens::revoke(tx, workspace, id, clock::now()))).await.unwrap();
    assert!(runtime.board().restart("TokenAuthority"));
    while runtime.board().reports()[0].restarts == 0 || works(&tokens, "x", &hash(&lost)).await.is_some() {
        tokio::task::yield_now().await;
    }
    assert!(tokens.authenticate("engineering", &generate(Credential::Mwt).hash, CLIENT).await.unwrap().is_none());
    assert!(is_dead(&lost_grant) && tokens.lookup(&hash(&lost)).is_none());
    assert!(Arc::ptr_eq(&kept_grant, &tokens.lookup(&hash(&kept)).unwrap()), "calls under way go on");
}

#[actix_web::test]
async fn a_deleted_workspace_takes_its_tokens_with_it() {
    let store = crate::store::testing::sqlite().await;
    let (world, runtime) = (World::new(&store, "enterprise").await, runtime());
    let sales = world.add_workspace("sales").await;
    let tokens = world.tokens(&runtime).await;
    let gone = world.issue(&tokens, "Alice").await.unwrap();
    let stays = tokens.issue(IssueToken { workspace: sales, ..world.wanted("Alice") }).await.unwrap();
    let grant = tokens.lookup(&hash(&gone)).unwrap();
    let (namespace, workspace) = (world.namespace, world.workspace);
    store.upkeep(move |tx| Box::pin(crate::store::workspaces::delete(tx, namespace, workspace))).await.unwrap();
    tokens.cut_workspace(workspace).await;
    assert!(is_dead(&grant) && works(&tokens, "engineering", &hash(&gone)).await.is_none());
    assert!(works(&tokens, "sales", &hash(&stays)).await.is_some());
}

#[actix_web::test]
async fn a_token_is_for_a_member_or_for_nobody() {
    let store = crate::store::testing::sqlite().await;
    let (world, runtime) = (World::new(&store, "enterprise").await, runtime());
    let tokens = world.tokens(&runtime).await;
    let stranger = IssueToken { member: Some(AccountId::generate()), ..world.wanted("x") };
    assert_eq!(tokens.issue(stranger).await.err().unwrap().code(), ErrorCode::NotFound);
    let member = IssueToken { member: Some(world.namespace), requests_per_minute: Some(5), ..world.wanted("x") };
    let issued = tokens.issue(member).await.unwrap();
    let grant = tokens.lookup(&hash(&issued)).unwrap();
    assert_eq!(grant.member, Some(world.namespace));
    let admitted: HashSet<bool> = (0..5).map(|_| grant.window.admit(clock::monotonic_ns).allowed).collect();
    assert!(admitted == HashSet::from([true]) && !grant.window.admit(clock::monotonic_ns).allowed);
}
