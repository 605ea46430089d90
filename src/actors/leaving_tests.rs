//! Who leaves a team loses what is the team's, however the process ends.

use super::{
    catalog_sharing::Withhold,
    client_session::ClientSessions,
    credential_fixture::{World, on_both_in_actix, runtime},
    supervisor::Runtime,
    token_people::RemoveMember,
    workspace_catalog::CatalogRef,
};
use crate::{
    config::{LimitsConfig, UpstreamConfig},
    domain::{
        clock,
        definition::PinMode,
        ids::{InstallationId, RevisionId, ServerId},
        role::Role,
        server::ServerSpec,
        skill::{Skill, Visibility},
        slug::Slug,
    },
    store::{
        Store, accounts,
        due_work::{self, Due},
        servers::{self, InstallationRecord, ServerRecord},
        skills::{self, SkillAbout},
    },
};

fn skill() -> Skill {
    Skill {
        namespace: "acme".into(),
        name: "deploy-skill".into(),
        version: "1.0.0".into(),
        description: "Deploys.".into(),
        tool: "plan".into(),
        tool_description: "Plans.".into(),
        input_schema: r#"{"type":"object"}"#.into(),
        worker: None,
        secrets: Vec::new(),
        document: "# Deploy".into(),
    }
}

/// Acme's skill for its team, in a workspace of Bob's, who is a member.
async fn shared(acme: &World, bob: &World) {
    let now = clock::now();
    let definition = ServerRecord {
        id: ServerId::generate(),
        namespace: acme.namespace,
        slug: Slug::parse("deploy-skill").unwrap(),
        title: "deploy-skill".into(),
        kind: "skill".into(),
        revision: RevisionId::generate(),
        spec: ServerSpec::for_skill(skill()),
        created_by: acme.namespace,
        created_at: now,
        updated_at: now,
    };
    let about = SkillAbout {
        server: definition.id,
        visibility: Visibility::Team,
        description: "Deploys.".into(),
        category: "other".into(),
        tags: Vec::new(),
    };
    let installed = InstallationRecord {
        id: InstallationId::generate(),
        workspace: bob.workspace,
        server: definition.id,
        revision: definition.revision,
        prefix: None,
        exposed_prefix: "deploy".into(),
        position: 0,
        enabled: true,
        pin_mode: PinMode::Pin,
        pinned_at: None,
        created_by: bob.namespace,
        created_at: now,
    };
    let (owner, member) = (acme.namespace, bob.namespace);
    let write = acme.store.upkeep(move |tx| {
        Box::pin(async move {
            accounts::put_member(tx, owner, owner, Role::Owner, None).await?;
            accounts::put_member(tx, owner, member, Role::Member, None).await?;
            servers::insert(tx, &definition).await?;
            skills::put(tx, &about).await?;
            servers::install(tx, &installed).await
        })
    });
    write.await.unwrap();
}

async fn catalog(runtime: &Runtime, store: &Store) -> CatalogRef {
    let streams = ClientSessions::new(runtime.clone(), &LimitsConfig::default());
    CatalogRef::start(runtime, store, &UpstreamConfig::default(), streams).await.unwrap()
}

async fn is_due(store: &Store) -> bool {
    !store.read(|db| async move { due_work::list(&db, Due::WithholdSkills).await }).await.unwrap().is_empty()
}

async fn stored(bob: &World) -> bool {
    let workspace = bob.workspace;
    let there = bob.store.read(move |db| async move { servers::installations(&db, workspace).await }).await.unwrap();
    there[0].enabled
}

/// What calls go by.
fn published(catalog: &CatalogRef, bob: &World) -> bool {
    catalog.load().workspace_by_id(bob.workspace).unwrap().installed[0].enabled
}

on_both_in_actix! {
    async fn what_a_killed_process_did_not_switch_off_is_off_when_the_next_one_starts(store) {
        let (acme, bob) = (World::new(&store, "enterprise").await, World::new_in(&store, "bobs").await);
        shared(&acme, &bob).await;
        let first = runtime();
        let tokens = acme.tokens(&first).await;
        tokens.remove_member(RemoveMember { account: bob.namespace, by: acme.by.clone() }).await.unwrap();
        // Here the process ends: the catalogue was never told.
        first.stop();
        assert!(is_due(&store).await && stored(&bob).await);

        let next = runtime();
        let catalog = catalog(&next, &store).await;
        assert!(!published(&catalog, &bob), "off before anything is served");
        assert!(!stored(&bob).await && !is_due(&store).await);
        assert_eq!(bob.audit().await, ["skill_withheld: @acme/deploy-skill"]);
        next.stop();
    }

    async fn what_is_due_is_done_once_when_the_catalogue_is_told(store) {
        let (acme, bob) = (World::new(&store, "enterprise").await, World::new_in(&store, "bobs").await);
        shared(&acme, &bob).await;
        let runtime = runtime();
        let (tokens, catalog) = (acme.tokens(&runtime).await, catalog(&runtime, &store).await);
        assert!(published(&catalog, &bob));
        tokens.remove_member(RemoveMember { account: bob.namespace, by: acme.by.clone() }).await.unwrap();
        for _ in 0..2 {
            catalog.apply(Withhold).await.unwrap();
            assert!(!published(&catalog, &bob) && !stored(&bob).await && !is_due(&store).await);
        }
        assert_eq!(bob.audit().await, ["skill_withheld: @acme/deploy-skill"]);
        runtime.stop();
    }
}
