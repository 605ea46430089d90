//! Passwords, sessions, invitations and logins, on both databases.

use chrono::TimeDelta;

use super::{
    accounts::{self, AccountRecord},
    api_keys::{self, ApiKeyRecord},
    invites::{self, InviteRecord, Whose},
    login_requests::{self, LoginRecord},
    passwords,
    sign_ins::{self, SignInRecord},
    testing::{TestStore, on_both_databases},
};
use crate::domain::{
    clock::{self, Timestamp},
    ids::{AccountId, ApiKeyId, InviteId, LoginId, SessionId},
    role::Role,
    token::{Credential, generate},
};

async fn person(store: &TestStore, username: &str) -> AccountId {
    let record = AccountRecord {
        id: AccountId::generate(),
        username: username.into(),
        email: Some(format!("{username}@example.com")),
        plan: "enterprise".into(),
        created_at: clock::now(),
    };
    let id = record.id;
    store.upkeep(move |tx| Box::pin(async move { accounts::create(tx, &record).await })).await.unwrap();
    id
}

fn invitation(namespace: AccountId, email: &str, now: Timestamp) -> InviteRecord {
    InviteRecord {
        id: InviteId::generate(),
        namespace,
        email: email.into(),
        role: Role::Member,
        workspace: None,
        invited_by: namespace,
        created_at: now,
        expires_at: now + TimeDelta::hours(72),
        used_at: None,
        revoked_at: None,
    }
}

on_both_databases! {
    async fn an_invitation_is_used_once_and_only_in_time(store: TestStore) {
        let (acme, now) = (person(&store, "acme").await, clock::now());
        let (fresh, record) = (generate(Credential::Inv), invitation(acme, "alice@example.com", now));
        let (id, hash) = (record.id, fresh.hash);
        store.upkeep(move |tx| Box::pin(async move { invites::insert(tx, &record, &hash).await })).await.unwrap();
        let read = store.read(move |db| async move { invites::by_hash(&db, &hash).await }).await.unwrap().unwrap();
        assert!(read.is_open(now) && !read.is_open(now + TimeDelta::hours(72)));
        let late = now + TimeDelta::hours(73);
        for (at, expected) in [(late, false), (now, true), (now, false)] {
            let used = store.upkeep(move |tx| Box::pin(async move { invites::consume(tx, id, acme, at).await }));
            assert_eq!(used.await.unwrap(), expected, "{at}");
        }
        let open = store.read(move |db| async move { invites::count_open(&db, acme, now).await }).await.unwrap();
        assert_eq!(open, 0);
    }

    async fn invitations_are_taken_back_by_id_address_or_maker_and_only_in_their_namespace(store: TestStore) {
        let (acme, other, now) = (person(&store, "acme").await, person(&store, "other").await, clock::now());
        let made: Vec<InviteRecord> = ["a@x.example", "b@x.example", "c@x.example"].map(|to| invitation(acme, to, now)).into();
        let (first, rows) = (made[0].id, made);
        store.upkeep(move |tx| Box::pin(async move {
            for row in &rows {
                invites::insert(tx, row, &generate(Credential::Inv).hash).await?;
            }
            assert_eq!(invites::revoke(tx, other, Whose::One(first), now).await?, 0);
            assert_eq!(invites::revoke(tx, other, Whose::To("b@x.example"), now).await?, 0);
            assert_eq!(invites::revoke(tx, acme, Whose::One(first), now).await?, 1);
            assert_eq!(invites::revoke(tx, acme, Whose::To("b@x.example"), now).await?, 1);
            assert_eq!(invites::list_open(tx.conn(), acme, now).await?.len(), 1);
            assert_eq!(invites::revoke(tx, acme, Whose::By(acme), now).await?, 1);
            assert_eq!(invites::revoke(tx, acme, Whose::By(acme), now).await?, 0);
            Ok(())
        })).await.unwrap();
    }

    async fn a_password_is_replaced_and_sessions_end_one_by_one_or_all_but_one(store: TestStore) {
        let (alice, now) = (person(&store, "alice").await, clock::now());
        let sessions: Vec<SignInRecord> = (0..3).map(|_| SignInRecord {
            id: SessionId::generate(),
            account: alice,
            client: "Firefox".into(),
            address: "192.0.2.1".into(),
            created_at: now,
            seen_at: now,
            expires_at: now + TimeDelta::days(7),
            ended_at: None,
        }).collect();
        let (kept, ended) = (sessions[0].id, sessions[1].id);
        store.upkeep(move |tx| Box::pin(async move {
            for hash in ["one", "two"] {
                passwords::set(tx, alice, hash, now).await?;
            }
            assert_eq!(passwords::get(tx.conn(), alice).await?.as_deref(), Some("two"));
            for row in &sessions {
                sign_ins::insert(tx, row, &generate(Credential::Ses).hash).await?;
            }
            assert!(sign_ins::end(tx, alice, ended, now).await?);
            assert!(!sign_ins::end(tx, alice, ended, now).await?);
            assert_eq!(sign_ins::end_all(tx, alice, Some(kept), now).await?, 1);
            let left = sign_ins::list(tx.conn(), alice, now).await?;
            assert!(left.len() == 1 && left[0].id == kept);
            assert_eq!(sign_ins::prune(tx, now + TimeDelta::days(8)).await?, 3);
            Ok(())
        })).await.unwrap();
    }

    async fn a_login_is_confirmed_once_and_fetched_once(store: TestStore) {
        let (alice, now) = (person(&store, "alice").await, clock::now());
        let record = LoginRecord {
            id: LoginId::generate(),
            user_code: "BCDF-GHJK".into(),
            client: "a laptop".into(),
            address: "192.0.2.1".into(),
            created_at: now,
            expires_at: now + TimeDelta::minutes(10),
            confirmed_by: None,
            ended_at: None,
        };
        let (id, late) = (record.id, now + TimeDelta::minutes(11));
        store.upkeep(move |tx| Box::pin(async move {
            login_requests::insert(tx, &record, &generate(Credential::Rec).hash).await?;
            assert!(login_requests::waiting(tx.conn(), "BCDF-GHJK", late).await?.is_none());
            assert_eq!(login_requests::waiting(tx.conn(), "BCDF-GHJK", now).await?.map(|found| found.id), Some(id));
            assert!(!login_requests::confirm(tx, id, alice, late).await?);
            assert!(login_requests::confirm(tx, id, alice, now).await?);
            assert!(!login_requests::confirm(tx, id, alice, now).await?);
            assert!(login_requests::waiting(tx.conn(), "BCDF-GHJK", now).await?.is_none());
            assert!(login_requests::end(tx, id, now).await? && !login_requests::end(tx, id, now).await?);
            Ok(())
        })).await.unwrap();
    }

    async fn all_keys_of_an_account_in_a_namespace_are_revoked_and_no_other(store: TestStore) {
        let (acme, alice, now) = (person(&store, "acme").await, person(&store, "alice").await, clock::now());
        store.upkeep(move |tx| Box::pin(async move {
            for (account, namespace) in [(alice, acme), (alice, alice), (acme, acme)] {
                let record = ApiKeyRecord {
                    id: ApiKeyId::generate(),
                    account,
                    namespace,
                    bound: account != namespace,
                    name: "k".into(),
                    hint: "abcd".into(),
                    max_role: None,
                    created_at: now,
                    expires_at: None,
                    last_used_at: None,
                    revoked_at: None,
                };
                api_keys::insert(tx, &record, &generate(Credential::Aak).hash).await?;
            }
            let revoked = api_keys::revoke_in(tx, alice, acme, now).await?;
            let left = api_keys::list(tx.conn(), alice).await?;
            assert!(left.iter().filter(|key| key.bound).map(|key| key.id).eq(revoked), "which they were is told");
            assert_eq!(left.iter().filter(|key| key.is_active(now)).count(), 1);
            assert!(left.iter().any(|key| key.bound && !key.is_active(now)));
            assert!(api_keys::list(tx.conn(), acme).await?.iter().all(|key| key.is_active(now)));
            Ok(())
        })).await.unwrap();
    }
}
