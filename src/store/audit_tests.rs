//! The audit chain shows every way of tampering, and nothing else (S-70).

use sea_orm::ConnectionTrait;

use crate::{
    domain::{
        audit_checkpoint::Checkpoint,
        ids::{AccountId, WorkspaceId},
    },
    error::Result,
    store::{
        Store,
        audit::{self, ActorKind, AuditEntry, AuditFilter, AuditKind},
        audit_check::{self, Flaw, Scope, Verdict},
        testing::{TestStore, audit_key, on_both_databases},
    },
};

async fn write(store: &Store, entry: AuditEntry) {
    store.write(move |tx| Box::pin(async move { tx.audit(entry).await })).await.unwrap();
}

fn entry(namespace: AccountId, n: u32) -> AuditEntry {
    AuditEntry::by_actor(namespace, (ActorKind::User, "alice@acme"), "token_created", ("token", &format!("Token {n}")))
        .with("n", n)
}

async fn ten(store: &Store) -> (AccountId, WorkspaceId) {
    let (namespace, workspace) = (AccountId::generate(), WorkspaceId::generate());
    for n in 1..=10 {
        write(store, entry(namespace, n).in_workspace(workspace)).await;
    }
    (namespace, workspace)
}

async fn check(store: &Store, from: Option<u64>, checkpoint: Option<Checkpoint>) -> Verdict {
    let verify = move |db| async move {
        let scope = Scope { from, checkpoints: checkpoint.as_slice(), with_state: false };
        audit_check::verify(&db, &[audit_key()], scope).await
    };
    store.read(verify).await.unwrap()
}

async fn sql(store: &Store, text: &'static str) {
    let done: Result<()> =
        store.upkeep(move |tx| Box::pin(async move { Ok(tx.conn().execute_unprepared(text).await.map(drop)?) })).await;
    done.unwrap();
}

async fn broken_by(store: TestStore, tampering: &'static str) -> Option<(u64, Flaw)> {
    ten(&store).await;
    assert_eq!(check(&store, None, None).await.broken, None);
    sql(&store, tampering).await;
    check(&store, None, None).await.broken
}

macro_rules! tampering {
    ($($name:ident: $sql:literal => $flaw:expr;)*) => {
        on_both_databases! {$(
            async fn $name(store: TestStore) {
                assert_eq!(broken_by(store, $sql).await, Some($flaw));
            }
        )*}
    };
}

tampering! {
    a_changed_actor_shows: "UPDATE audit_entries SET actor = 'user:bob@acme' WHERE seq = 4" => (4, Flaw::Mac);
    a_changed_action_shows: "UPDATE audit_entries SET action = 'token_revoked' WHERE seq = 4" => (4, Flaw::Mac);
    a_changed_target_shows: "UPDATE audit_entries SET target = 'token:X' WHERE seq = 1" => (1, Flaw::Mac);
    a_changed_time_shows: "UPDATE audit_entries SET ts_ms = ts_ms + 1 WHERE seq = 4" => (4, Flaw::Mac);
    a_changed_detail_shows: "UPDATE audit_entries SET meta = '{}' WHERE seq = 4" => (4, Flaw::Mac);
    a_changed_mac_shows: "UPDATE audit_entries SET mac = (SELECT mac FROM audit_entries WHERE seq = 5) WHERE seq = 10" => (10, Flaw::Mac);
    a_changed_key_version_shows: "UPDATE audit_entries SET key_version = 9 WHERE seq = 4" => (4, Flaw::UnknownKey(9));
    a_moved_namespace_shows: "UPDATE audit_entries SET namespace_id = (SELECT workspace_id FROM audit_workspaces WHERE seq = 1) WHERE seq = 4" => (4, Flaw::Columns);
    a_changed_kind_shows: "UPDATE audit_entries SET kind = 'security' WHERE seq = 4" => (4, Flaw::Columns);
    a_hidden_entry_shows: "DELETE FROM audit_workspaces WHERE seq = 4" => (4, Flaw::Columns);
    a_deleted_entry_shows: "DELETE FROM audit_entries WHERE seq = 4" => (4, Flaw::Missing);
    a_deleted_beginning_shows: "DELETE FROM audit_entries WHERE seq < 4" => (1, Flaw::Missing);
    a_cut_end_shows: "DELETE FROM audit_entries WHERE seq > 8" => (9, Flaw::Missing);
    swapped_entries_show: "UPDATE audit_entries SET seq = CASE seq WHEN 4 THEN -5 ELSE -4 END WHERE seq IN (4, 5); UPDATE audit_entries SET seq = -seq WHERE seq < 0; UPDATE audit_workspaces SET seq = seq" => (4, Flaw::Mac);
    an_inserted_entry_shows: "UPDATE audit_entries SET seq = -seq WHERE seq > 4; UPDATE audit_entries SET seq = 1 - seq WHERE seq < 0; INSERT INTO audit_entries SELECT 5, ts_ms, namespace_id, kind, actor, action, target, meta, key_version, mac FROM audit_entries WHERE seq = 4" => (5, Flaw::Mac);
}

on_both_databases! {
    async fn a_cut_end_with_a_matching_head_shows_against_a_checkpoint(store: TestStore) {
        ten(&store).await;
        let known = store.read(|db| async move { audit_check::head(&db).await }).await.unwrap();
        sql(&store, "DELETE FROM audit_entries WHERE seq > 8; DELETE FROM audit_workspaces WHERE seq > 8; \
            UPDATE audit_head SET seq = 8, mac = (SELECT mac FROM audit_entries WHERE seq = 8)").await;
        assert_eq!(check(&store, None, None).await.broken, None, "nothing inside the database can show this");
        assert_eq!(check(&store, None, Some(known)).await.broken, Some((9, Flaw::Missing)));
        // A log that grew again after the cut hides nothing either.
        let (namespace, workspace) = (AccountId::generate(), WorkspaceId::generate());
        for n in 9..=12 {
            write(&store, entry(namespace, n).in_workspace(workspace)).await;
        }
        assert_eq!(check(&store, None, None).await.broken, None);
        assert_eq!(check(&store, None, Some(known)).await.broken, Some((10, Flaw::Checkpoint)));
    }

    async fn a_checkpoint_that_fits_is_compared_and_one_before_the_cut_of_a_prune_is_not_missed(store: TestStore) {
        ten(&store).await;
        let known = store.read(|db| async move { audit_check::head(&db).await }).await.unwrap();
        write(&store, entry(AccountId::generate(), 11)).await;
        let verdict = check(&store, None, Some(known)).await;
        assert_eq!((verdict.broken, verdict.checkpoints), (None, 1));
        let tomorrow = crate::domain::clock::now() + chrono::TimeDelta::days(1);
        store.prune_audit(tomorrow, 100).await.unwrap();
        let verdict = check(&store, None, Some(known)).await;
        assert_eq!((verdict.broken, verdict.pruned_through, verdict.checkpoints), (None, 10, 1));
        let other = Checkpoint { mac: [1; 32], ..known };
        assert_eq!(check(&store, None, Some(other)).await.broken, Some((10, Flaw::Checkpoint)));
    }

    async fn a_check_can_begin_in_the_middle(store: TestStore) {
        ten(&store).await;
        sql(&store, "UPDATE audit_entries SET actor = 'user:bob' WHERE seq = 2").await;
        let verdict = check(&store, Some(5), None).await;
        assert_eq!((verdict.broken, verdict.checked, verdict.head.seq), (None, 6, 10));
    }

    async fn a_pruned_log_still_checks_and_a_forged_prune_shows(store: TestStore) {
        let (namespace, workspace) = ten(&store).await;
        let middle = store
            .read(move |db| async move { audit::list(&db, AuditFilter { before: Some(7), ..AuditFilter::newest(namespace, 1) }).await })
            .await.unwrap()[0].entry.at;
        // Entries may share a millisecond: prune up to the first of that one.
        store.prune_audit(middle, 100).await.unwrap();
        let verdict = check(&store, None, None).await;
        assert_eq!((verdict.broken, verdict.checked + verdict.pruned_through), (None, 10));
        let tomorrow = crate::domain::clock::now() + chrono::TimeDelta::days(1);
        while store.prune_audit(tomorrow, 2).await.unwrap().is_some() {
            assert_eq!(check(&store, None, None).await.broken, None, "after each step");
        }
        let verdict = check(&store, None, None).await;
        assert_eq!((verdict.broken, verdict.pruned_through, verdict.checked), (None, 9, 1), "the newest stays");
        assert_eq!(store.prune_audit(crate::domain::clock::now(), 100).await.unwrap(), None);
        write(&store, entry(namespace, 11).in_workspace(workspace)).await;
        assert_eq!(check(&store, None, None).await.broken, None);
        sql(&store, "DELETE FROM audit_entries WHERE seq = 10; DELETE FROM audit_workspaces WHERE seq = 10; \
            UPDATE audit_head SET seq = 10 WHERE name = 'pruned'").await;
        assert_eq!(check(&store, None, None).await.broken, Some((10, Flaw::PruneSeal)));
    }

    async fn a_list_shows_what_was_asked_for_newest_first(store: TestStore) {
        let (namespace, workspace) = ten(&store).await;
        let install = AuditEntry::by_actor(namespace, (ActorKind::User, "bob@acme"), "install", ("skill", "@acme/crm"))
            .of_kind(AuditKind::Install);
        write(&store, install.clone()).await;
        write(&store, entry(AccountId::generate(), 99)).await;
        let list = async |filter: AuditFilter| {
            let rows = store.read(move |db| async move { audit::list(&db, filter).await }).await.unwrap();
            rows.iter().map(|row| row.seq).collect::<Vec<_>>()
        };
        let all = AuditFilter::newest(namespace, 100);
        assert_eq!(list(all.clone()).await, (1..=11).rev().collect::<Vec<_>>());
        assert_eq!(list(AuditFilter { workspace: Some(workspace), limit: 2, ..all.clone() }).await, [10, 9]);
        assert_eq!(list(AuditFilter { before: Some(3), ..all.clone() }).await, [2, 1]);
        assert_eq!(list(AuditFilter { kinds: vec![AuditKind::Install], ..all.clone() }).await, [11]);
        assert_eq!(list(AuditFilter { actor: Some("bob@acme".into()), ..all.clone() }).await, [11]);
        assert_eq!(list(AuditFilter { actor: Some("%".into()), ..all.clone() }).await, [0; 0]);
        assert_eq!(list(AuditFilter { action: Some("install".into()), ..all.clone() }).await, [11]);
        assert_eq!(list(AuditFilter { until: Some(install.at), workspace: Some(workspace), limit: 1, ..all.clone() }).await.len(), 1);
        let newest = store.read(move |db| async move { audit::list(&db, AuditFilter::newest(namespace, 1)).await });
        let newest = newest.await.unwrap().remove(0).entry;
        assert_eq!((newest.target_kind.as_str(), newest.target.as_str()), ("skill", "@acme/crm"));
    }
}
