//! The SecretVault's promises, through the way that everyone uses.

use std::sync::Arc;

use secrecy::SecretString;

use super::{
    credential_fixture::{World, on_both_in_actix, runtime, stored_anywhere},
    key_source::ConfiguredKeys,
    secret_vault::{InjectedHeaders, NameSecret, NameServer, PutSecret, SetInjection, Vault},
};
use crate::{
    domain::{
        ids::{AccountId, ServerId, WorkspaceId},
        injection::Injection,
        keys::InstallationKey,
    },
    error::{Error, ErrorCode},
    store::{
        Store, keyring,
        secrets::{self, SecretRecord, SecretState},
        servers::ServerRecord,
    },
};

const ORIGIN: &str = "https://one.example:443";
const URL: &str = "https://one.example/mcp";
const CANARY: &str = "canary-value-never-shown";

fn secret(world: &World, server: &ServerRecord, name: &str, value: &str) -> PutSecret {
    PutSecret {
        namespace: world.namespace,
        server: server.id,
        workspace: None,
        origin: server.spec.origin(),
        name: name.into(),
        value: SecretString::from(value),
        injection: None,
        by: world.by.clone(),
    }
}
fn named(world: &World, server: ServerId, name: &str) -> NameSecret {
    NameSecret { namespace: world.namespace, server, workspace: None, name: name.into(), by: world.by.clone() }
}
fn lines(injected: &InjectedHeaders) -> Vec<String> {
    injected.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
}
async fn injected(vault: &Vault, server: ServerId, scope: Option<WorkspaceId>) -> Result<Vec<String>, Error> {
    vault.inject(server, scope, ORIGIN).await.map(|headers| lines(&headers))
}
fn reason(refused: &Error) -> &str {
    assert_eq!(refused.code(), ErrorCode::ServerNotUsable);
    refused.data().unwrap()["reason"].as_str().unwrap()
}
async fn rows(store: &Store, server: ServerId) -> Vec<SecretRecord> {
    store.read(move |db| async move { secrets::of_server(&db, server).await }).await.unwrap()
}
async fn overwrite(store: &Store, row: SecretRecord) {
    store.upkeep(move |tx| Box::pin(async move { secrets::put(tx, &row).await })).await.unwrap();
}

on_both_in_actix! {
    async fn a_secret_is_sent_as_its_rule_says_and_a_change_counts_from_the_next_call(store) {
        let (world, runtime) = (World::new(&store, "enterprise").await, runtime());
        let server = world.add_server("github-mcp", URL).await;
        let vault = world.vault(&runtime, store.folder.path()).await;
        assert!(injected(&vault, server.id, None).await.unwrap().is_empty(), "no secrets is fine");

        let mut version = vault.version(server.id);
        let mut changed = || {
            let before = std::mem::replace(&mut version, vault.version(server.id));
            assert!(version > before);
        };
        assert!(vault.put(secret(&world, &server, "GITHUB_TOKEN", "ghp_one")).await.unwrap());
        changed();
        assert_eq!(injected(&vault, server.id, None).await.unwrap(), ["github_token: ghp_one"]);
        let rule = SetInjection { secret: named(&world, server.id, "GITHUB_TOKEN"), injection: Some(Injection::Bearer) };
        vault.set_injection(rule).await.unwrap();
        changed();
        assert!(!vault.put(secret(&world, &server, "GITHUB_TOKEN", "ghp_two")).await.unwrap(), "replaced");
        changed();
        let headers = vault.inject(server.id, None, ORIGIN).await.unwrap();
        assert_eq!(lines(&headers), ["authorization: Bearer ghp_two"], "the rule outlives the value");
        assert_eq!(headers.version, vault.version(server.id));
        vault.delete(named(&world, server.id, "GITHUB_TOKEN")).await.unwrap();
        changed();
        assert!(injected(&vault, server.id, None).await.unwrap().is_empty());
        assert_eq!(vault.delete(named(&world, server.id, "GITHUB_TOKEN")).await.unwrap_err().code(), ErrorCode::NotFound);
        assert_eq!(world.audit().await, [
            "secret_updated: github-mcp/GITHUB_TOKEN",
            "secret_injection_updated: github-mcp/GITHUB_TOKEN",
            "secret_updated: github-mcp/GITHUB_TOKEN",
            "secret_deleted: github-mcp/GITHUB_TOKEN",
        ]);
    }

    async fn a_workspace_may_have_a_value_of_its_own(store) {
        let (world, runtime) = (World::new(&store, "enterprise").await, runtime());
        let (server, other) = (world.add_server("one", URL).await, world.add_workspace("sales").await);
        let vault = world.vault(&runtime, store.folder.path()).await;
        vault.put(secret(&world, &server, "A", "for-all")).await.unwrap();
        vault.put(secret(&world, &server, "B", "for-all-too")).await.unwrap();
        let own = PutSecret { workspace: Some(world.workspace), ..secret(&world, &server, "A", "own-value") };
        vault.put(own).await.unwrap();
        let scope = vault.scope(world.workspace, server.id);
        assert_eq!((scope, vault.scope(other, server.id)), (Some(world.workspace), None));
        assert_eq!(injected(&vault, server.id, scope).await.unwrap(), ["a: own-value", "b: for-all-too"]);
        assert_eq!(injected(&vault, server.id, None).await.unwrap(), ["a: for-all", "b: for-all-too"]);
        assert_eq!(vault.list(server.id, Some(other), ORIGIN).await.unwrap().len(), 2);
        assert_eq!(vault.list(server.id, None, ORIGIN).await.unwrap().len(), 3);

        let own = NameServer {
            namespace: world.namespace,
            server: server.id,
            workspace: Some(world.workspace),
            by: world.by.clone(),
        };
        assert_eq!(vault.delete_all(own.clone()).await.unwrap(), 1);
        assert_eq!(vault.scope(world.workspace, server.id), None);
        assert_eq!(vault.delete_all(NameServer { workspace: None, ..own }).await.unwrap(), 2);
        assert!(rows(&store, server.id).await.is_empty());
    }

    async fn a_value_moved_to_another_row_by_hand_is_not_sent_and_the_log_shows_it(store) {
        let (world, runtime) = (World::new(&store, "enterprise").await, runtime());
        let (one, two) = (world.add_server("one", URL).await, world.add_server("two", URL).await);
        let vault = world.vault(&runtime, store.folder.path()).await;
        for (server, name) in [(&one, "A_KEY"), (&one, "B_KEY"), (&two, "A_KEY")] {
            vault.put(secret(&world, server, name, &format!("{CANARY}-{}-{name}", server.slug))).await.unwrap();
        }
        let originals = [rows(&store, one.id).await, rows(&store, two.id).await].concat();
        for target in &originals {
            for source in originals.iter().filter(|source| source.id != target.id) {
                let moved = SecretRecord { sealed: source.sealed.clone(), ..target.clone() };
                let twice = moved.clone();
                let copied = store.upkeep(move |tx| Box::pin(async move { secrets::put(tx, &twice).await })).await;
                assert_eq!(copied.unwrap_err().code(), ErrorCode::Conflict, "one vector in two rows");
                let mut emptied = source.clone();
                emptied.sealed.iv = [0; 12];
                overwrite(&store, emptied).await;
                overwrite(&store, moved).await;
                let refused = injected(&vault, target.server, None).await.unwrap_err();
                assert_eq!(reason(&refused), "secret_integrity");
                let said = format!("{refused} {:?} {:?}", refused.hint(), refused.data());
                assert!(!said.contains("_KEY"), "members never see a secret's name: {said}");
                overwrite(&store, target.clone()).await;
                overwrite(&store, source.clone()).await;
            }
        }
        let older = rows(&store, two.id).await.remove(0);
        overwrite(&store, SecretRecord { value_version: 7, ..older.clone() }).await;
        assert_eq!(reason(&injected(&vault, two.id, None).await.unwrap_err()), "secret_integrity");
        assert_eq!(vault.list(two.id, None, ORIGIN).await.unwrap()[0].state, SecretState::IntegrityError);
        assert!(world.audit().await.contains(&"secret_integrity_error: two/A_KEY".to_owned()));
        vault.put(secret(&world, &two, "A_KEY", "entered again")).await.unwrap();
        assert_eq!(vault.list(two.id, None, ORIGIN).await.unwrap()[0].state, SecretState::Active);
        assert_eq!(injected(&vault, two.id, None).await.unwrap(), ["a_key: entered again"]);
    }

    async fn a_secret_never_follows_its_server_to_another_address(store) {
        let (world, runtime) = (World::new(&store, "enterprise").await, runtime());
        let server = world.add_server("one", URL).await;
        let vault = world.vault(&runtime, store.folder.path()).await;
        vault.put(secret(&world, &server, "A", CANARY)).await.unwrap();
        let elsewhere = "https://elsewhere.example:443";
        let refused = vault.inject(server.id, None, elsewhere).await.unwrap_err();
        assert_eq!(reason(&refused), "secret_needs_reentry");
        assert_eq!(vault.list(server.id, None, elsewhere).await.unwrap()[0].state, SecretState::NeedsReentry);
        // Nor when the row is edited to agree.
        let row = rows(&store, server.id).await.remove(0);
        overwrite(&store, SecretRecord { bound_origin: elsewhere.into(), ..row }).await;
        let refused = vault.inject(server.id, None, elsewhere).await.unwrap_err();
        assert_eq!(reason(&refused), "secret_integrity");
        let moved = PutSecret { origin: elsewhere.into(), ..secret(&world, &server, "A", "new") };
        assert_eq!(vault.put(moved).await.unwrap_err().code(), ErrorCode::Conflict, "not the address it has");
    }

    async fn nothing_stored_or_said_contains_a_value(store) {
        let (world, runtime) = (World::new(&store, "enterprise").await, runtime());
        let server = world.add_server("one", URL).await;
        let vault = world.vault(&runtime, store.folder.path()).await;
        vault.put(secret(&world, &server, "A", CANARY)).await.unwrap();
        vault.put(secret(&world, &server, "A", &format!("{CANARY}2"))).await.unwrap();
        let bad = vault.put(secret(&world, &server, "A", &format!("{CANARY}\r\nX: 1"))).await.unwrap_err();
        assert_eq!(bad.code(), ErrorCode::Validation);
        assert!(!format!("{bad:?} {:?} {:?}", bad.hint(), bad.data()).contains("canary"));
        let listed = format!("{:?}", vault.list(server.id, None, ORIGIN).await.unwrap());
        assert!(!listed.contains("canary") && listed.contains("alice@acme"));
        assert!(!stored_anywhere(store.folder.path(), "canary"));
        let (one, two) = (rows(&store, server.id).await.remove(0), vault.inject(server.id, None, ORIGIN).await.unwrap());
        assert_eq!(one.value_version, 2);
        assert!(!format!("{two:?} {:?}", two.headers).contains("canary"));
    }

    async fn what_does_not_belong_together_is_refused(store) {
        let (world, runtime) = (World::new(&store, "enterprise").await, runtime());
        let server = world.add_server("one", URL).await;
        let vault = world.vault(&runtime, store.folder.path()).await;
        vault.put(secret(&world, &server, "GITHUB_TOKEN", "value-one")).await.unwrap();
        let header = |name: &str| Some(Injection::Header(name.into()));
        let same = PutSecret { injection: header("Github-Token"), ..secret(&world, &server, "B", "value-two") };
        let refused = vault.put(same).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::Conflict, "{refused}");
        let framing = PutSecret { injection: header("Content-Length"), ..secret(&world, &server, "B", "value-two") };
        assert_eq!(vault.put(framing).await.unwrap_err().code(), ErrorCode::Validation);
        assert_eq!(vault.put(secret(&world, &server, "B*", "v")).await.unwrap_err().code(), ErrorCode::Validation);
        let foreign = PutSecret { namespace: AccountId::generate(), ..secret(&world, &server, "B", "value-two") };
        assert_eq!(vault.put(foreign).await.unwrap_err().code(), ErrorCode::NotFound);
        let nowhere = PutSecret { workspace: Some(WorkspaceId::generate()), ..secret(&world, &server, "B", "value") };
        assert_eq!(vault.put(nowhere).await.unwrap_err().code(), ErrorCode::NotFound);
        let absent = SetInjection { secret: named(&world, server.id, "ABSENT"), injection: None };
        assert_eq!(vault.set_injection(absent).await.unwrap_err().code(), ErrorCode::NotFound);
        assert_eq!(rows(&store, server.id).await.len(), 1);
    }

    async fn the_generated_key_opens_the_database_again_and_no_other_does(store) {
        let (world, runtime) = (World::new(&store, "enterprise").await, runtime());
        let server = world.add_server("one", URL).await;
        let folder = store.folder.path();
        let first = world.vault(&runtime, folder).await;
        first.put(secret(&world, &server, "A", "kept")).await.unwrap();
        let start = async |keys: ConfiguredKeys| Vault::start(&runtime, (*store).clone(), keys, folder).await;
        let again = start(ConfiguredKeys::default()).await.unwrap();
        assert_eq!(injected(&again, server.id, None).await.unwrap(), ["a: kept"]);
        assert_eq!(first.state_key().key, again.state_key().key);

        let before = store.read(|db| async move { keyring::all(&db).await }).await.unwrap();
        let stored = before[0].kek_kid.clone();
        let file = std::fs::read_to_string(folder.join("secrets.key")).unwrap();
        let (right, wrong) = (InstallationKey::parse(&file).unwrap(), InstallationKey::generate());
        let given = |key: &InstallationKey, previous: Option<&InstallationKey>| {
            let hex = |key: &InstallationKey| std::ffi::OsString::from(key.to_hex().as_str());
            ConfiguredKeys::from_variables(|name| match name {
                "WORKFLOW_SECRETS_KEY" => Some(hex(key)),
                "WORKFLOW_SECRETS_KEY_PREVIOUS" => previous.map(hex),
                _ => None,
            }).unwrap()
        };
        let refused = start(given(&wrong, None)).await.err().unwrap();
        assert_eq!(refused.data().unwrap()["exit_code"], 78);
        for needed in [stored.as_str(), &wrong.id().to_string(), "WORKFLOW_SECRETS_KEY"] {
            assert!(refused.message().contains(needed), "{refused}");
        }
        assert!(refused.hint().unwrap().contains("secrets.key"), "the right key is at hand: say so");
        std::fs::remove_file(folder.join("secrets.key")).unwrap();
        let refused = start(ConfiguredKeys::default()).await.err().unwrap();
        assert!(refused.message().contains(&stored), "{refused}");
        assert!(!folder.join("secrets.key").exists(), "never generated over data");
        assert!(start(given(&wrong, None)).await.is_err());
        assert_eq!(store.read(|db| async move { keyring::all(&db).await }).await.unwrap(), before, "nothing was written");

        assert!(start(given(&right, None)).await.is_ok());
        let changing = start(given(&wrong, Some(&right))).await.unwrap();
        assert_eq!(injected(&changing, server.id, None).await.unwrap(), ["a: kept"]);
        changing.put(secret(&world, &server, "A", "under the same data key")).await.unwrap();
        assert_eq!(injected(&again, server.id, None).await.unwrap(), ["a: under the same data key"]);
    }

    async fn parallel_first_starts_agree_on_the_keys(store) {
        let (world, runtime) = (World::new(&store, "enterprise").await, runtime());
        let folder = store.folder.path();
        let starts = futures_util::future::join_all((0..4).map(|_| {
            Vault::start(&runtime, world.store.clone(), ConfiguredKeys::default(), folder)
        }));
        let vaults: Vec<Vault> = starts.await.into_iter().map(|vault| vault.unwrap()).collect();
        assert!(vaults.iter().all(|vault| vault.state_key().key == vaults[0].state_key().key));
        assert_eq!(vaults[0].audit_keys().len(), 1);
    }
}

#[actix_web::test]
async fn namespaces_do_not_share_a_data_key() {
    let store = crate::store::testing::sqlite().await;
    let (one, two, runtime) = (World::new(&store, "enterprise").await, World::new_in(&store, "other").await, runtime());
    let (here, there) = (one.add_server("one", URL).await, two.add_server("one", URL).await);
    let vault = one.vault(&runtime, store.folder.path()).await;
    vault.put(secret(&one, &here, "A", "value-one")).await.unwrap();
    vault.put(secret(&two, &there, "A", "value-two")).await.unwrap();
    let keys = store.read(|db| async move { keyring::all(&db).await }).await.unwrap();
    let counted: Vec<u64> = keys.iter().filter(|row| !row.slot.namespace.is_nil()).map(|row| row.encryptions).collect();
    assert_eq!(counted, [1, 1]);
    assert_eq!(injected(&vault, there.id, None).await.unwrap(), ["a: value-two"]);
}

#[actix_web::test]
async fn a_change_during_decryption_makes_the_headers_old() {
    let store = crate::store::testing::sqlite().await;
    let (world, runtime) = (World::new(&store, "enterprise").await, runtime());
    let server = world.add_server("one", URL).await;
    let vault = world.vault(&runtime, store.folder.path()).await;
    for round in 0..50 {
        let value = format!("value-{round}");
        let reading = vault.inject(server.id, None, ORIGIN);
        let (read, put): (Result<Arc<InjectedHeaders>, _>, _) =
            futures_util::join!(reading, vault.put(secret(&world, &server, "A", &value)));
        put.unwrap();
        let read = read.unwrap();
        let current = read.version == vault.version(server.id);
        assert!(!current || lines(&read) == [format!("a: {value}")], "round {round}: an old value that counts as new");
    }
}
