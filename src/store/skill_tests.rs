//! What skills and their versions promise, on both databases.

use semver::Version;

use crate::{
    domain::{
        clock,
        ids::{AccountId, RevisionId},
        server::ServerSpec,
        skill::{Skill, Visibility},
        slug::Slug,
    },
    error::ErrorCode,
    store::{
        Store,
        aggregate_tests::{account, installation, workspace},
        servers::{self, ServerRecord},
        skills::{self, Of, SkillAbout, VersionRecord},
        testing::on_both_databases,
    },
};

fn spec(version: &str) -> ServerSpec {
    ServerSpec::for_skill(Skill {
        namespace: "alice".into(),
        name: "deploy-skill".into(),
        version: version.into(),
        description: "Deploys.".into(),
        tool: "plan".into(),
        tool_description: "Plans.".into(),
        input_schema: r#"{"type":"object"}"#.into(),
        worker: None,
        secrets: Vec::new(),
        document: "# Deploy".into(),
    })
}

fn record(owner: AccountId, name: &str) -> ServerRecord {
    let now = clock::now();
    ServerRecord {
        id: crate::domain::ids::ServerId::generate(),
        namespace: owner,
        slug: Slug::parse(name).unwrap(),
        title: name.into(),
        kind: "skill".into(),
        revision: RevisionId::generate(),
        spec: spec("1.0.0"),
        created_by: owner,
        created_at: now,
        updated_at: now,
    }
}

fn version(server: &ServerRecord, number: &str) -> VersionRecord {
    VersionRecord {
        revision: server.revision,
        server: server.id,
        version: number.parse().unwrap(),
        manifest: "{}".into(),
        hash: [7; 32],
        yanked_at: None,
        yanked_by: None,
    }
}

async fn publish(store: &Store, server: &ServerRecord, number: &str, visibility: Visibility) {
    let (server, version) = (server.clone(), version(server, number));
    let about = SkillAbout {
        server: server.id,
        visibility,
        description: "Deploys.".into(),
        category: "other".into(),
        tags: vec!["deploy".into()],
    };
    let write = store.upkeep(move |tx| {
        Box::pin(async move {
            servers::insert(tx, &server).await?;
            skills::put(tx, &about).await?;
            skills::add_version(tx, &version).await
        })
    });
    write.await.unwrap();
}

on_both_databases! {
    async fn a_skill_lists_its_newest_version_that_was_not_withdrawn(store: TestStore) {
        let alice = account(&store, "alice").await.id;
        let first = record(alice, "deploy-skill");
        publish(&store, &first, "1.0.0", Visibility::Team).await;
        let next = ServerRecord { revision: RevisionId::generate(), spec: spec("1.10.0"), ..first.clone() };
        let (row, added) = (next.clone(), version(&next, "1.10.0"));
        store.upkeep(move |tx| Box::pin(async move {
            servers::update(tx, &row, alice).await?;
            skills::add_version(tx, &added).await
        })).await.unwrap();
        let newest = async || {
            let found = store.read(move |db| async move { skills::by_name(&db, alice, "deploy-skill").await }).await;
            let found = found.unwrap().unwrap();
            assert_eq!((found.owner.as_str(), found.about.visibility), ("alice", Visibility::Team));
            found.newest.map(|version| version.to_string())
        };
        assert_eq!(newest().await.as_deref(), Some("1.10.0"));
        let (withdrawn, again) = (next.revision, version(&next, "1.10.0"));
        let yank = async |by: Option<&'static str>| {
            store.upkeep(move |tx| Box::pin(async move { skills::set_yanked(tx, withdrawn, by).await })).await.unwrap()
        };
        assert!(yank(Some("alice@alice")).await && !yank(Some("bob@alice")).await);
        assert_eq!(newest().await.as_deref(), Some("1.0.0"));
        assert!(yank(None).await && !yank(None).await);
        assert_eq!(newest().await.as_deref(), Some("1.10.0"));
        let twice = VersionRecord { revision: first.revision, ..again };
        let twice = store.upkeep(move |tx| Box::pin(async move { skills::add_version(tx, &twice).await }));
        assert_eq!(twice.await.unwrap_err().code(), ErrorCode::Conflict);
        let id = first.id;
        store.read(move |db| async move {
            let versions = skills::versions(&db, id).await?;
            let numbers: Vec<Version> = versions.iter().map(|one| one.version.clone()).collect();
            assert_eq!(numbers, [Version::new(1, 10, 0), Version::new(1, 0, 0)]);
            assert_eq!(skills::published(&db, id).await?.len(), 2);
            Ok(())
        }).await.unwrap();
    }

    async fn lists_hold_the_public_ones_or_a_namespaces_own(store: TestStore) {
        let (alice, bob) = (account(&store, "alice").await.id, account(&store, "bob").await.id);
        publish(&store, &record(alice, "b-skill"), "1.0.0", Visibility::Public).await;
        publish(&store, &record(alice, "a-skill"), "1.0.0", Visibility::Team).await;
        publish(&store, &record(bob, "c-skill"), "1.0.0", Visibility::Private).await;
        let other = ServerRecord { kind: "http".into(), spec: ServerSpec::for_url("https://a.example/").unwrap(), ..record(alice, "no-skill") };
        store.upkeep(move |tx| Box::pin(async move { servers::insert(tx, &other).await })).await.unwrap();
        let names = async |of: Of| {
            let found = store.read(move |db| async move { skills::list(&db, &of).await }).await.unwrap();
            found.iter().map(skills::SkillRecord::reference).collect::<Vec<_>>()
        };
        assert_eq!(names(Of::Public).await, ["@alice/b-skill"]);
        assert_eq!(names(Of::Namespaces(vec![alice])).await, ["@alice/a-skill", "@alice/b-skill"]);
        assert_eq!(names(Of::Namespaces(vec![alice, bob])).await, ["@alice/a-skill", "@alice/b-skill", "@bob/c-skill"]);
        assert_eq!(names(Of::Namespaces(vec![])).await, Vec::<String>::new());
        assert_eq!(store.read(move |db| async move { skills::count(&db, alice).await }).await.unwrap(), 2);
    }

    async fn a_removed_skill_takes_its_versions_and_installations_along(store: TestStore) {
        let alice = account(&store, "alice").await.id;
        let skill = record(alice, "deploy-skill");
        publish(&store, &skill, "1.0.0", Visibility::Public).await;
        let place = workspace(&store, alice, "engineering").await;
        let here = installation(&place, &skill, "deploy", 1);
        store.upkeep(move |tx| Box::pin(async move { servers::install(tx, &here).await })).await.unwrap();
        let installed = async || store.read(|db| async move { servers::installed_skills(&db).await }).await.unwrap();
        assert_eq!(installed().await, [(skill.id, skill.revision, skill.spec.clone())]);
        let id = skill.id;
        assert!(store.upkeep(move |tx| Box::pin(async move { servers::delete(tx, alice, id).await })).await.unwrap());
        assert!(installed().await.is_empty());
        store.read(move |db| async move {
            assert!(skills::versions(&db, id).await?.is_empty() && skills::by_name(&db, alice, "deploy-skill").await?.is_none());
            Ok(())
        }).await.unwrap();
    }
}
