//! What is decided about tools, on both databases.

use crate::{
    domain::{clock, definition::Fingerprint, ids::InstallationId},
    error::ErrorCode,
    store::{
        Store,
        aggregate_tests::{account, installation, server, workspace},
        servers::{self, InstallationRecord},
        testing::on_both_databases,
        tool_pins::{self, Definition},
        tool_settings::{self, ToolSetting},
    },
};

async fn installed(store: &Store, slug: &str) -> InstallationRecord {
    let owner = account(store, &format!("owner-of-{slug}")).await;
    let place = workspace(store, owner.id, slug).await;
    let record = installation(&place, &server(store, owner.id, &format!("server-{slug}")).await, "s", 1);
    let row = record.clone();
    store.upkeep(move |tx| Box::pin(async move { servers::install(tx, &row).await })).await.unwrap();
    record
}

fn setting(of: &InstallationRecord, tool: &str, enabled: bool, alias: Option<&str>) -> ToolSetting {
    ToolSetting {
        installation: of.id,
        workspace: of.workspace,
        tool: tool.into(),
        enabled,
        alias: alias.map(Into::into),
    }
}

fn definition(tool: &str, text: &str) -> Definition {
    Definition {
        tool: tool.into(),
        fingerprint: Fingerprint::of(text),
        text: text.into(),
        short_name: Some(format!("short_{tool}")),
    }
}

async fn put(store: &Store, setting: &ToolSetting) -> crate::error::Result<()> {
    let row = setting.clone();
    store.upkeep(move |tx| Box::pin(async move { tool_settings::put(tx, &row, false).await })).await
}

async fn pins(store: &Store, id: InstallationId) -> Vec<tool_pins::PinDetail> {
    store.read(move |db| async move { tool_pins::of_installation(&db, id).await }).await.unwrap()
}

on_both_databases! {
    async fn an_alias_is_unique_in_its_workspace_and_a_setting_that_says_nothing_is_gone(store: TestStore) {
        let (here, there) = (installed(&store, "here").await, installed(&store, "there").await);
        put(&store, &setting(&here, "a", true, Some("x"))).await.unwrap();
        put(&store, &setting(&there, "a", true, Some("x"))).await.unwrap();
        let twice = put(&store, &setting(&here, "b", true, Some("x"))).await.unwrap_err();
        assert_eq!(twice.code(), ErrorCode::Conflict);
        // Without an alias there is nothing to collide with.
        put(&store, &setting(&here, "b", false, None)).await.unwrap();
        put(&store, &setting(&here, "c", false, None)).await.unwrap();
        put(&store, &setting(&here, "a", true, None)).await.unwrap();
        put(&store, &setting(&here, "b", false, Some("x"))).await.unwrap();
        let id = here.id;
        let read = store.read(move |db| async move { tool_settings::of_installation(&db, id).await }).await.unwrap();
        assert_eq!(read, [setting(&here, "b", false, Some("x")), setting(&here, "c", false, None)]);
        assert_eq!(store.read(|db| async move { tool_settings::all(&db).await }).await.unwrap().len(), 3);
    }

    async fn that_an_alias_was_taken_away_is_known_for_as_long_as_the_tool_is_installed(store: TestStore) {
        let (here, begun) = (installed(&store, "here").await, clock::now());
        let (id, workspace) = (here.id, here.workspace);
        let renamed = async || {
            let since = begun - chrono::TimeDelta::seconds(1);
            let read = store.read(move |db| async move { tool_settings::renamed_after(&db, workspace, since).await });
            read.await.unwrap()
        };
        for (alias, changed) in [(Some("x"), true), (None, true), (None, false)] {
            let row = setting(&here, "a", true, alias);
            store.upkeep(move |tx| Box::pin(async move { tool_settings::put(tx, &row, changed).await })).await.unwrap();
            assert_eq!(renamed().await, [(id, "a".to_owned())], "{alias:?}");
        }
        put(&store, &setting(&here, "b", false, None)).await.unwrap();
        put(&store, &setting(&here, "b", true, None)).await.unwrap();
        assert_eq!(renamed().await.len(), 1, "a switch is no other name");
        let read = store.read(move |db| async move { tool_settings::of_installation(&db, id).await }).await.unwrap();
        assert_eq!(read, [setting(&here, "a", true, None)]);
    }

    async fn a_decision_is_about_the_very_definition_that_waits(store: TestStore) {
        let id = installed(&store, "eng").await.id;
        let (old, new) = (definition("a", r#"{"name":"a"}"#), definition("a", r#"{"name":"a","x":1}"#));
        let (first, second) = (old.clone(), new.clone());
        store.upkeep(move |tx| Box::pin(async move {
            tool_pins::approve(tx, id, &[first], "aerostack").await?;
            tool_pins::note_seen(tx, id, &[second]).await
        })).await.unwrap();
        let decide = async |print: Fingerprint, approve: bool| {
            store.upkeep(move |tx| Box::pin(async move {
                match approve {
                    true => tool_pins::approve_seen(tx, id, ("a", print), "alice").await,
                    false => tool_pins::reject_seen(tx, id, ("a", print), "alice").await,
                }
            })).await.unwrap()
        };
        assert!(!decide(old.fingerprint, true).await, "it does not wait");
        assert!(decide(new.fingerprint, false).await);
        let pin = pins(&store, id).await.remove(0);
        assert!(pin.pin.rejected && pin.pin.approved == Some(old.fingerprint) && pin.pin.seen == Some(new.fingerprint));
        assert_eq!((pin.approved.as_deref(), pin.seen.as_deref()), (Some(&*old.text), Some(&*new.text)));
        assert!(decide(new.fingerprint, true).await);
        let pin = pins(&store, id).await.remove(0);
        assert_eq!((pin.pin.approved, pin.pin.seen, pin.pin.rejected), (Some(new.fingerprint), None, false));
        assert_eq!((pin.approved, pin.decided_by.as_deref()), (Some(new.text), Some("alice")));
    }

    async fn many_and_long_definitions_are_kept_and_go_with_their_installation(store: TestStore) {
        let record = installed(&store, "eng").await;
        let id = record.id;
        let mut many: Vec<Definition> = (0..500).map(|n| definition(&format!("t{n:03}"), "{}")).collect();
        many.push(definition("long", &format!("\"{}\"", "é".repeat(100_000))));
        store.upkeep(move |tx| Box::pin(async move {
            tool_pins::note_seen(tx, id, &many).await?;
            tool_pins::approve(tx, id, &many, "aerostack").await?;
            tool_pins::forget(tx, id, &["t001".into(), "none".into()]).await?;
            tool_pins::forget_short_names(tx, id).await
        })).await.unwrap();
        let all = store.read(|db| async move { tool_pins::all(&db).await }).await.unwrap();
        assert_eq!(all.len(), 500);
        assert!(all.iter().all(|pin| pin.approved.is_some() && pin.seen.is_none() && pin.short_name.is_none()));
        let kept = pins(&store, id).await.into_iter().find(|detail| detail.pin.tool == "long").unwrap();
        let text = kept.approved.unwrap();
        assert!(text.len() < 40_000 && text.ends_with("200002 bytes in all)"), "{}", text.len());
        store.upkeep(move |tx| Box::pin(async move {
            servers::uninstall(tx, record.workspace, record.server).await
        })).await.unwrap();
        assert!(pins(&store, id).await.is_empty());
    }

    async fn a_baseline_and_its_mode_outlive_a_restart(store: TestStore) {
        let record = installed(&store, "eng").await;
        let at = crate::store::column::stored(crate::domain::clock::now());
        let changed = InstallationRecord {
            pin_mode: crate::domain::definition::PinMode::Track,
            pinned_at: Some(at),
            enabled: false,
            ..record.clone()
        };
        let row = changed.clone();
        store.upkeep(move |tx| Box::pin(async move { servers::update_installation(tx, &row).await })).await.unwrap();
        let store = store.reopen().await;
        let workspace = record.workspace;
        let read = store.read(move |db| async move { servers::installations(&db, workspace).await }).await.unwrap();
        assert_eq!(read, [changed]);
    }
}
