//! Who has lost a right since their request began changes nothing with it.

use secrecy::ExposeSecret as _;

use super::{
    authority_members::ChangeRole,
    credential_fixture::{CLIENT, World, on_both_in_actix, runtime},
    token_authority::{Asked, IssueApiKey, RevokeApiKey, Tokens},
};
use crate::{
    domain::{
        clock,
        ids::AccountId,
        role::{Principal, Role},
        token::{Credential, parse},
    },
    error::ErrorCode,
    store::accounts::{self, AccountRecord},
};

/// An owner of the world's namespace with an account and a key of their own, as a request of theirs is let in.
async fn second_owner(world: &World, tokens: &Tokens) -> Principal {
    let record = AccountRecord {
        id: AccountId::generate(),
        username: format!("bob-{}", world.namespace.0.simple()),
        email: None,
        plan: "enterprise".into(),
        created_at: clock::now(),
    };
    let (account, namespace) = (record.id, world.namespace);
    let join = world.store.upkeep(move |tx| {
        Box::pin(async move {
            accounts::create(tx, &record).await?;
            accounts::put_member(tx, namespace, account, Role::Owner, None).await
        })
    });
    join.await.unwrap();
    let issued = tokens.issue_api_key(key(world, account, world.by.clone())).await.unwrap();
    let hash = parse(Credential::Aak, issued.raw.expose_secret()).unwrap();
    tokens.api_key(Asked { hash, namespace: None }, CLIENT).await.unwrap().unwrap()
}

fn key(world: &World, account: AccountId, by: Principal) -> IssueApiKey {
    IssueApiKey {
        account,
        namespace: world.namespace,
        bound: false,
        name: "cli".into(),
        expires_in_seconds: None,
        max_role: None,
        by,
    }
}

on_both_in_actix! {
    async fn a_key_that_was_revoked_since_the_request_began_changes_nothing(store) {
        let (world, runtime) = (World::new(&store, "enterprise").await, runtime());
        let tokens = world.tokens(&runtime).await;
        let bob = second_owner(&world, &tokens).await;
        let revoke = RevokeApiKey { account: bob.account, key: bob.api_key.unwrap(), by: world.by.clone() };
        tokens.revoke_api_key(revoke).await.unwrap();

        let as_bob = World { by: bob.clone(), ..world };
        assert_eq!(as_bob.issue(&tokens, "Late").await.err().unwrap().code(), ErrorCode::Unauthorized);
        let fresh = tokens.issue_api_key(key(&as_bob, bob.account, bob.clone())).await;
        assert_eq!(fresh.err().unwrap().code(), ErrorCode::Unauthorized);
        assert_eq!(as_bob.audit().await, Vec::<String>::new());
        let owner = World { by: Principal::system(as_bob.namespace), ..as_bob };
        owner.issue(&tokens, "Late").await.expect("nothing is left of the refused one, not even its name");
    }

    async fn who_lost_a_role_since_the_request_began_does_not_act_with_it(store) {
        let (world, runtime) = (World::new(&store, "enterprise").await, runtime());
        let tokens = world.tokens(&runtime).await;
        let bob = second_owner(&world, &tokens).await;
        let (namespace, account) = (world.namespace, bob.account);
        let lower = store.upkeep(move |tx| Box::pin(accounts::put_member(tx, namespace, account, Role::Viewer, None)));
        lower.await.unwrap();

        let as_bob = World { by: bob.clone(), ..world };
        assert_eq!(as_bob.issue(&tokens, "Late").await.err().unwrap().code(), ErrorCode::Forbidden);
        let again = ChangeRole { account, role: Role::Owner, by: bob };
        assert_eq!(tokens.change_role(again).await.unwrap_err().code(), ErrorCode::Forbidden);
        let role = store.read(move |db| async move { accounts::role_of(&db, namespace, account).await }).await.unwrap();
        assert_eq!(role, Some(Role::Viewer));
        assert_eq!(as_bob.audit().await, Vec::<String>::new());
    }

    async fn an_act_that_writes_no_entry_is_looked_at_as_well(store) {
        let (world, runtime) = (World::new(&store, "enterprise").await, runtime());
        let tokens = world.tokens(&runtime).await;
        let bob = second_owner(&world, &tokens).await;
        let same = ChangeRole { account: bob.account, role: Role::Owner, by: bob.clone() };
        tokens.change_role(same.clone()).await.expect("nothing changes, and he may");
        let revoke = RevokeApiKey { account: bob.account, key: bob.api_key.unwrap(), by: world.by.clone() };
        tokens.revoke_api_key(revoke).await.unwrap();
        assert_eq!(tokens.change_role(same).await.unwrap_err().code(), ErrorCode::Unauthorized);
    }

    async fn a_key_may_still_revoke_itself_and_an_owner_step_down(store) {
        let (world, runtime) = (World::new(&store, "enterprise").await, runtime());
        let tokens = world.tokens(&runtime).await;
        let bob = second_owner(&world, &tokens).await;
        tokens.change_role(ChangeRole { account: bob.account, role: Role::Admin, by: bob.clone() }).await.unwrap();
        let bob = Principal { role: Role::Admin, ..bob };
        let revoke = RevokeApiKey { account: bob.account, key: bob.api_key.unwrap(), by: bob };
        tokens.revoke_api_key(revoke).await.unwrap();
    }
}
