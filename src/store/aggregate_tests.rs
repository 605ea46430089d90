//! What the aggregates promise, on both databases.

use serde_json::json;
use uuid::Uuid;

use crate::{
    domain::{
        clock::{self, Timestamp},
        definition::PinMode,
        ids::{AccountId, ApiKeyId, InstallationId, RevisionId, SecretId, ServerId, TokenId, WorkspaceId},
        injection::Injection,
        keys::{Purpose, Slot},
        role::Role,
        scope::Scope,
        seal::Sealed,
        server::ServerSpec,
        slug::Slug,
        token::TokenHash,
    },
    error::{ErrorCode, Result},
    store::{
        Store,
        accounts::{self, AccountRecord},
        api_keys::{self, ApiKeyRecord},
        keyring::{self, KeyRow},
        secrets::{self, SecretRecord, SecretState},
        servers::{self, InstallationRecord, ServerRecord},
        sessions, settings,
        testing::on_both_databases,
        tokens::{self, TokenRecord},
        workspaces::{self, WorkspaceRecord},
    },
};

fn now() -> Timestamp {
    Timestamp::from_timestamp_micros(clock::now().timestamp_micros()).unwrap()
}

fn seconds(n: i64) -> chrono::TimeDelta {
    chrono::TimeDelta::seconds(n)
}

pub(super) async fn account(store: &Store, username: &str) -> AccountRecord {
    let record = AccountRecord {
        id: AccountId::generate(),
        username: username.into(),
        email: Some(format!("{username}@example.com")),
        plan: "enterprise".into(),
        created_at: now(),
    };
    let row = record.clone();
    store.upkeep(move |tx| Box::pin(async move { accounts::create(tx, &row).await })).await.unwrap();
    record
}

pub(super) async fn workspace(store: &Store, owner: AccountId, slug: &str) -> WorkspaceRecord {
    let record = WorkspaceRecord {
        id: WorkspaceId::generate(),
        namespace: owner,
        slug: Slug::parse(slug).unwrap(),
        name: slug.into(),
        created_by: owner,
        created_at: now(),
    };
    let row = record.clone();
    store.upkeep(move |tx| Box::pin(async move { workspaces::insert(tx, &row).await })).await.unwrap();
    record
}

fn token(workspace: &WorkspaceRecord, name: &str) -> TokenRecord {
    TokenRecord {
        id: TokenId::generate(),
        workspace: workspace.id,
        name: name.into(),
        hint: "cDCz".into(),
        member: None,
        created_by: workspace.created_by,
        created_at: now(),
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
        previous_until: None,
        requests_per_minute: Some(60),
        scope: Some(Scope { deny: vec!["*delete*".into()], ..Scope::default() }),
    }
}

async fn put_token(store: &Store, record: &TokenRecord, hash: u8) -> Result<()> {
    let row = record.clone();
    store.upkeep(move |tx| Box::pin(async move { tokens::insert(tx, &row, &TokenHash([hash; 32])).await })).await
}

pub(super) async fn server(store: &Store, owner: AccountId, slug: &str) -> ServerRecord {
    let record = ServerRecord {
        id: ServerId::generate(),
        namespace: owner,
        slug: Slug::parse(slug).unwrap(),
        title: "GitHub".into(),
        kind: "http".into(),
        revision: RevisionId::generate(),
        spec: ServerSpec::for_url("https://api.githubcopilot.com/mcp/").unwrap(),
        created_by: owner,
        created_at: now(),
        updated_at: now(),
    };
    let row = record.clone();
    store.upkeep(move |tx| Box::pin(async move { servers::insert(tx, &row).await })).await.unwrap();
    record
}

pub(super) fn installation(
    workspace: &WorkspaceRecord,
    server: &ServerRecord,
    prefix: &str,
    position: i32,
) -> InstallationRecord {
    InstallationRecord {
        id: InstallationId::generate(),
        workspace: workspace.id,
        server: server.id,
        revision: server.revision,
        prefix: None,
        exposed_prefix: prefix.into(),
        position,
        enabled: true,
        pin_mode: PinMode::Pin,
        pinned_at: None,
        created_by: workspace.created_by,
        created_at: now(),
    }
}

fn secret(server: &ServerRecord, workspace: Option<WorkspaceId>, name: &str, iv: u8) -> SecretRecord {
    SecretRecord {
        id: SecretId::generate(),
        namespace: server.namespace,
        workspace,
        server: server.id,
        name: name.into(),
        value_version: 1,
        dek_version: 1,
        sealed: Sealed { iv: [iv; 12], ciphertext: vec![1, 2, 3], tag: [9; 16] },
        bound_origin: server.spec.origin(),
        injection: Some(Injection::Bearer),
        state: SecretState::Active,
        created_by: "alice@acme".into(),
        created_at: now(),
        updated_by: "alice@acme".into(),
        updated_at: now(),
    }
}

async fn put_secret(store: &Store, record: &SecretRecord) -> Result<()> {
    let row = record.clone();
    store.upkeep(move |tx| Box::pin(async move { secrets::put(tx, &row).await })).await
}

on_both_databases! {
    async fn an_account_owns_its_namespace_and_its_name_is_unique(store: TestStore) {
        let alice = account(&store, "alice").await;
        let bob = account(&store, "bob").await;
        let (a, b) = (alice.id, bob.id);
        store.upkeep(move |tx| Box::pin(async move { accounts::put_member(tx, a, b, Role::Viewer, Some(a)).await }))
            .await.unwrap();
        store.upkeep(move |tx| Box::pin(async move { accounts::put_member(tx, a, b, Role::Admin, Some(a)).await }))
            .await.unwrap();
        store.read(move |db| async move {
            assert_eq!(accounts::get(&db, a).await?.unwrap().username, "alice");
            assert_eq!(accounts::by_email(&db, "Alice@Example.com").await?.unwrap().id, a);
            assert_eq!(accounts::first(&db).await?.unwrap().id, a);
            assert_eq!(accounts::count(&db).await?, 2);
            assert_eq!(accounts::role_of(&db, a, a).await?, Some(Role::Owner));
            assert_eq!(accounts::role_of(&db, a, b).await?, Some(Role::Admin));
            assert_eq!(accounts::role_of(&db, b, a).await?, None);
            let names: Vec<_> = accounts::members(&db, a).await?.into_iter().map(|m| m.account.username).collect();
            assert_eq!(names, ["alice", "bob"]);
            assert_eq!(accounts::namespaces_of(&db, b).await?.len(), 2);
            Ok(())
        }).await.unwrap();
        let again = AccountRecord { id: AccountId::generate(), email: None, ..alice };
        let refused = store.upkeep(move |tx| Box::pin(async move { accounts::create(tx, &again).await })).await;
        assert_eq!(refused.unwrap_err().code(), ErrorCode::Conflict);
        assert!(store.upkeep(move |tx| Box::pin(async move { accounts::remove_member(tx, a, b).await })).await.unwrap());
        let refused = store.upkeep(move |tx| Box::pin(async move { accounts::rename(tx, b, "alice").await })).await;
        assert_eq!(refused.unwrap_err().code(), ErrorCode::Conflict);
    }

    async fn an_api_key_is_found_by_hash_until_revoked(store: TestStore) {
        let alice = account(&store, "alice").await.id;
        let key = ApiKeyRecord {
            bound: false,
            id: ApiKeyId::generate(),
            account: alice,
            namespace: alice,
            name: "cli".into(),
            hint: "8bA1".into(),
            max_role: Some(Role::Admin),
            created_at: now(),
            expires_at: Some(now() + seconds(60)),
            last_used_at: None,
            revoked_at: None,
        };
        let (hash, row) = (TokenHash([3; 32]), key.clone());
        store.upkeep(move |tx| Box::pin(async move { api_keys::insert(tx, &row, &TokenHash([3; 32])).await }))
            .await.unwrap();
        let used = (key.id, now());
        store.upkeep(move |tx| Box::pin(async move { api_keys::touch_last_used(tx, &[used]).await })).await.unwrap();
        let found = store.read(move |db| async move { api_keys::by_hash(&db, &hash).await }).await.unwrap().unwrap();
        assert_eq!(found, ApiKeyRecord { last_used_at: Some(used.1), ..key.clone() });
        let (id, at) = (key.id, now());
        let revoked = store.upkeep(move |tx| Box::pin(async move { api_keys::revoke(tx, alice, id, at).await }));
        assert!(!revoked.await.unwrap().unwrap().is_active(at));
        let active = store.read(|db| async move { api_keys::active_with_hash(&db).await }).await.unwrap();
        assert!(active.is_empty());
        let again = store.upkeep(move |tx| Box::pin(async move { api_keys::revoke(tx, alice, id, at).await }));
        assert_eq!(again.await.unwrap(), None);
    }

    async fn a_slug_belongs_to_one_workspace_and_deleting_takes_everything_in_it(store: TestStore) {
        let alice = account(&store, "alice").await.id;
        let bob = account(&store, "bob").await.id;
        let ws = workspace(&store, alice, "engineering").await;
        let taken = WorkspaceRecord { id: WorkspaceId::generate(), namespace: bob, ..ws.clone() };
        let refused = store.upkeep(move |tx| Box::pin(async move { workspaces::insert(tx, &taken).await })).await;
        assert!(refused.unwrap_err().message().contains("engineering"));
        put_token(&store, &token(&ws, "Alice"), 1).await.unwrap();
        let id = ws.id;
        let foreign = store.upkeep(move |tx| Box::pin(async move { workspaces::delete(tx, bob, id).await }));
        assert!(!foreign.await.unwrap(), "another namespace's workspace is not there");
        assert!(store.upkeep(move |tx| Box::pin(async move { workspaces::delete(tx, alice, id).await })).await.unwrap());
        store.read(move |db| async move {
            assert_eq!(workspaces::by_slug(&db, "engineering").await?, None);
            assert_eq!(tokens::list(&db, id).await?, vec![]);
            assert_eq!(workspaces::count(&db, alice).await?, 0);
            Ok(())
        }).await.unwrap();
    }

    async fn active_token_names_are_unique_and_free_again_after_revoking_or_expiry(store: TestStore) {
        let alice = account(&store, "alice").await.id;
        let ws = workspace(&store, alice, "engineering").await;
        let other = workspace(&store, alice, "ops").await;
        let first = token(&ws, "Alice Chen");
        put_token(&store, &first, 1).await.unwrap();
        put_token(&store, &token(&other, "Alice Chen"), 2).await.unwrap();
        let refused = put_token(&store, &token(&ws, "Alice Chen"), 3).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::Conflict);
        assert!(refused.hint().unwrap().contains("revoke"));
        let (workspace, id, at) = (ws.id, first.id, now());
        let (hash, revoked) = store
            .upkeep(move |tx| Box::pin(async move { tokens::revoke(tx, workspace, id, at).await }))
            .await.unwrap().unwrap();
        assert_eq!((hash.0, revoked.revoked_at), ([1; 32], Some(at)));
        let again = store.upkeep(move |tx| Box::pin(async move { tokens::revoke(tx, workspace, id, at).await }));
        assert_eq!(again.await.unwrap(), None, "a token is revoked once");
        let short = TokenRecord { expires_at: Some(now() - seconds(1)), ..token(&ws, "Alice Chen") };
        put_token(&store, &short, 4).await.unwrap();
        put_token(&store, &token(&ws, "Alice Chen"), 5).await.unwrap();
        store.read(move |db| async move {
            assert_eq!(tokens::count_active(&db, workspace, clock::now()).await?, 1);
            assert_eq!(tokens::list(&db, workspace).await?.len(), 3);
            let mut preloaded: Vec<_> = tokens::active_with_hash(&db, clock::now()).await?
                .into_iter().map(|(hash, _, slug)| (hash.0[0], slug)).collect();
            preloaded.sort();
            assert_eq!(preloaded, [(2, "ops".into()), (5, "engineering".into())]);
            let (found, slug) = tokens::by_hash(&db, &TokenHash([1; 32])).await?.unwrap();
            assert_eq!((found.revoked_at, slug.as_str()), (Some(at), "engineering"));
            Ok(())
        }).await.unwrap();
    }

    async fn a_token_reads_back_as_written_and_notes_its_use(store: TestStore) {
        let alice = account(&store, "alice").await.id;
        let ws = workspace(&store, alice, "engineering").await;
        let record = TokenRecord { member: Some(alice), expires_at: Some(now() + seconds(60)), ..token(&ws, "CI Bot") };
        put_token(&store, &record, 1).await.unwrap();
        let used = [(record.id, now()), (TokenId::generate(), now())];
        store.upkeep(move |tx| Box::pin(async move { tokens::touch_last_used(tx, &used).await })).await.unwrap();
        let (workspace, id) = (ws.id, record.id);
        let found = store.read(move |db| async move { tokens::get(&db, workspace, id).await }).await.unwrap();
        assert_eq!(found, Some(TokenRecord { last_used_at: Some(used[0].1), ..record }));
        let foreign = store.read(move |db| async move { tokens::get(&db, WorkspaceId::generate(), id).await });
        assert_eq!(foreign.await.unwrap(), None);
        let rotate = async |hash: u8, previous_until| {
            let value = tokens::NewValue { hash: TokenHash([hash; 32]), hint: "abcd".into(), previous_until };
            store.upkeep(move |tx| Box::pin(async move { tokens::replace_value(tx, workspace, id, value, now()).await }))
                .await.unwrap().unwrap()
        };
        assert_eq!(rotate(8, Some(now() + seconds(30))).await.0.0, [1; 32]);
        store.read(move |db| async move {
            let (old, _) = tokens::by_hash(&db, &TokenHash([1; 32])).await?.unwrap();
            assert_eq!(old.expires_at, old.previous_until, "its time is over when the overlap is");
            assert_eq!(tokens::by_hash(&db, &TokenHash([8; 32])).await?.unwrap().0.hint, "abcd");
            assert_eq!(tokens::active_with_hash(&db, now()).await?.len(), 2);
            assert_eq!(tokens::active_with_hash(&db, now() + seconds(31)).await?.len(), 1);
            assert_eq!(tokens::expiring(&db, now(), now() + seconds(61), 9).await?.len(), 1);
            Ok(())
        }).await.unwrap();
        let (_, again) = rotate(9, Some(now() + seconds(600))).await;
        assert_eq!(again.previous_until, again.expires_at, "no value outlives its token");
        let (_, last) = rotate(7, None).await;
        assert_eq!(last.previous_until, None);
        store.read(move |db| async move {
            for gone in [1, 8, 9] {
                assert!(tokens::by_hash(&db, &TokenHash([gone; 32])).await?.is_none());
            }
            Ok(())
        }).await.unwrap();
    }

    async fn a_server_keeps_its_revisions_and_installations_are_pinned(store: TestStore) {
        let alice = account(&store, "alice").await.id;
        let ws = workspace(&store, alice, "engineering").await;
        let github = server(&store, alice, "github-mcp").await;
        let slack = server(&store, alice, "slack-mcp").await;
        let (one, two) = (installation(&ws, &github, "github", 1), installation(&ws, &slack, "slack", 0));
        let rows = (one.clone(), two.clone());
        store.upkeep(move |tx| Box::pin(async move {
            servers::install(tx, &rows.0).await?;
            servers::install(tx, &rows.1).await
        })).await.unwrap();
        let clash = InstallationRecord { exposed_prefix: "slack".into(), ..one.clone() };
        let refused = store.upkeep(move |tx| Box::pin(async move { servers::update_installation(tx, &clash).await }));
        assert_eq!(refused.await.unwrap_err().code(), ErrorCode::Conflict);

        let edited = ServerRecord {
            revision: RevisionId::generate(),
            spec: ServerSpec::for_url("https://other.example/mcp").unwrap(),
            updated_at: now(),
            ..github.clone()
        };
        let row = edited.clone();
        store.upkeep(move |tx| Box::pin(async move { servers::update(tx, &row, alice).await })).await.unwrap();
        let (workspace, before) = (ws.id, github.clone());
        store.read(move |db| async move {
            assert_eq!(servers::by_slug(&db, alice, "github-mcp").await?, Some(edited.clone()));
            assert_eq!(servers::by_slug(&db, AccountId::generate(), "github-mcp").await?, None);
            assert_eq!(servers::revision(&db, before.id, before.revision).await?, Some(before.spec.clone()));
            assert_eq!(servers::installations(&db, workspace).await?, vec![two, one]);
            assert_eq!(servers::all_installations(&db).await?.len(), 2);
            assert_eq!(servers::workspaces_with(&db, before.id).await?, vec![workspace]);
            assert_eq!(servers::list(&db, alice).await?.len(), 2);
            Ok(())
        }).await.unwrap();
        let id = github.id;
        assert!(store.upkeep(move |tx| Box::pin(async move { servers::delete(tx, alice, id).await })).await.unwrap());
        let left = store.read(move |db| async move { servers::installations(&db, workspace).await }).await.unwrap();
        assert_eq!(left.len(), 1);
    }

    async fn a_secret_belongs_to_its_server_and_an_override_to_its_workspace(store: TestStore) {
        let alice = account(&store, "alice").await.id;
        let ws = workspace(&store, alice, "engineering").await;
        let github = server(&store, alice, "github-mcp").await;
        let slack = server(&store, alice, "slack-mcp").await;
        let shared = secret(&github, None, "GITHUB_TOKEN", 1);
        let own = SecretRecord {
            injection: Some(Injection::Header("X-Key".into())),
            ..secret(&github, Some(ws.id), "GITHUB_TOKEN", 2)
        };
        for record in [&shared, &own, &SecretRecord { injection: None, ..secret(&slack, None, "SLACK_TOKEN", 3) }] {
            put_secret(&store, record).await.unwrap();
        }
        let changed = SecretRecord {
            value_version: 2,
            sealed: Sealed { iv: [4; 12], ..shared.sealed.clone() },
            updated_by: "bob@acme".into(),
            ..shared.clone()
        };
        put_secret(&store, &changed).await.unwrap();
        let (server, workspace) = (github.id, ws.id);
        store.read(move |db| async move {
            assert_eq!(secrets::get(&db, server, None, "GITHUB_TOKEN").await?, Some(changed.clone()));
            assert_eq!(secrets::get(&db, server, Some(workspace), "GITHUB_TOKEN").await?, Some(own.clone()));
            assert_eq!(secrets::of_server(&db, server).await?, vec![changed, own]);
            assert_eq!(secrets::overrides(&db).await?, vec![(workspace, server)]);
            assert_eq!(secrets::page(&db, None, 10).await?.len(), 3);
            Ok(())
        }).await.unwrap();
        let gone = store.upkeep(move |tx| Box::pin(async move { secrets::delete_all(tx, server, None).await }));
        assert_eq!(gone.await.unwrap(), 2);
        let left = store.read(|db| async move { secrets::page(&db, None, 10).await }).await.unwrap();
        assert_eq!(left.len(), 1);
    }

    async fn a_vector_is_never_used_twice_under_one_key(store: TestStore) {
        let alice = account(&store, "alice").await.id;
        let github = server(&store, alice, "github-mcp").await;
        put_secret(&store, &secret(&github, None, "A", 1)).await.unwrap();
        let refused = put_secret(&store, &secret(&github, None, "B", 1)).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::Conflict);
        let newer_key = SecretRecord { dek_version: 2, ..secret(&github, None, "B", 1) };
        put_secret(&store, &newer_key).await.unwrap();
    }

    async fn re_encrypting_does_not_overwrite_a_value_set_meanwhile(store: TestStore) {
        let alice = account(&store, "alice").await.id;
        let github = server(&store, alice, "github-mcp").await;
        let before = secret(&github, None, "A", 1);
        put_secret(&store, &before).await.unwrap();
        let set = SecretRecord { value_version: 2, sealed: Sealed { iv: [5; 12], ..before.sealed.clone() }, ..before.clone() };
        put_secret(&store, &set).await.unwrap();
        let fresh = Sealed { iv: [6; 12], ..before.sealed.clone() };
        let (stale, sealed) = (before, fresh.clone());
        let done = store.upkeep(move |tx| Box::pin(async move { secrets::reseal(tx, &stale, 2, &sealed).await }));
        assert!(!done.await.unwrap());
        let done = store.upkeep(move |tx| Box::pin(async move { secrets::reseal(tx, &set, 2, &fresh).await }));
        assert!(done.await.unwrap());
    }

    async fn a_wrapped_key_has_one_place_per_outside_key(store: TestStore) {
        let slot = Slot { namespace: Uuid::nil(), purpose: Purpose::Audit, version: 1 };
        let row = KeyRow {
            slot,
            kek_kid: "3b34d762df58cea3".into(),
            iv: vec![1; 12],
            wrapped: vec![2; 48],
            active: true,
            encryptions: 0,
            created_at: now(),
        };
        let rewrapped = KeyRow { kek_kid: "0000000000000000".into(), wrapped: vec![3; 48], ..row.clone() };
        let rows = (row.clone(), rewrapped.clone());
        store.upkeep(move |tx| Box::pin(async move {
            keyring::insert(tx, &rows.0).await?;
            keyring::insert(tx, &rows.1).await?;
            keyring::count_encryptions(tx, &slot, 3).await?;
            keyring::set_active(tx, &slot, false).await
        })).await.unwrap();
        let again = row.clone();
        let refused = store.upkeep(move |tx| Box::pin(async move { keyring::insert(tx, &again).await })).await;
        assert_eq!(refused.unwrap_err().code(), ErrorCode::Conflict);
        let kid = rewrapped.kek_kid.clone();
        store.upkeep(move |tx| Box::pin(async move { keyring::delete(tx, &slot, &kid).await })).await.unwrap();
        let left = store.read(|db| async move { keyring::all(&db).await }).await.unwrap();
        assert_eq!(left, vec![KeyRow { active: false, encryptions: 3, ..row }]);
    }

    async fn a_session_remembers_what_changed_for_its_own_token_only(store: TestStore) {
        let alice = account(&store, "alice").await.id;
        let ws = workspace(&store, alice, "engineering").await;
        let record = token(&ws, "Alice");
        put_token(&store, &record, 1).await.unwrap();
        let (id, at, hash) = (record.id, now(), [7; 32]);
        store.upkeep(move |tx| Box::pin(async move {
            sessions::set_log_level(tx, id, &hash, "warning").await?;
            sessions::set_log_level(tx, id, &hash, "debug").await?;
            sessions::set_subscriptions(tx, id, &hash, r#"["file:///a"]"#).await?;
            sessions::end(tx, id, &hash, at).await?;
            sessions::end(tx, id, &[8; 32], at).await
        })).await.unwrap();
        store.read(move |db| async move {
            let session = sessions::get(&db, id, &hash).await?.unwrap();
            assert_eq!((session.log_level.as_deref(), session.ended_at), (Some("debug"), Some(at)));
            assert_eq!(session.subscriptions.as_deref(), Some(r#"["file:///a"]"#));
            assert_eq!(sessions::get(&db, TokenId::generate(), &hash).await?, None);
            Ok(())
        }).await.unwrap();
        let later = clock::now() + seconds(60);
        for gone in [1, 1, 0] {
            let step = store.upkeep(move |tx| Box::pin(async move { sessions::prune(tx, later, 1).await }));
            assert_eq!(step.await.unwrap(), gone);
        }
    }

    async fn a_setting_is_written_over(store: TestStore) {
        store.upkeep(|tx| Box::pin(async move {
            settings::set(tx, "greeting", &json!("hello").to_string()).await?;
            settings::set(tx, "greeting", "\"bye\"").await
        })).await.unwrap();
        let found = store.read(|db| async move { settings::get(&db, "greeting").await }).await.unwrap();
        assert_eq!(found.as_deref(), Some("\"bye\""));
    }
}
