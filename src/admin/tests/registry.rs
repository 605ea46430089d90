//! The hub as registries read it, with thousands of versions: whatever is looked for, all pages together are what there
//! is, in order and once each.

use chrono::TimeDelta;

use super::*;
use crate::{
    domain::{
        clock::Timestamp,
        ids::{RevisionId, ServerId},
        server::ServerSpec,
        skill::{Skill, Visibility},
        slug::Slug,
    },
    store::{
        servers::{self, ServerRecord},
        skills::{self, SkillAbout, VersionRecord},
        testing,
    },
};

const SKILLS: usize = 60;
const VERSIONS: usize = 50;

/// In an order that no database makes by itself: hyphens and digits, and numbers that sort differently as texts.
fn skill_name(at: usize) -> String {
    let kind = ["deploy", "deploy-all", "crm", "a-z", "zz9"][at % 5];
    format!("{kind}-{at}")
}

fn number(at: usize) -> String {
    if at % 10 == 9 { format!("{}.0.0-rc.{at}", at + 1) } else { format!("{}.{}.0", at / 10, at) }
}

async fn publish(actors: &Actors, owner: AccountId, name: String, visibility: Visibility, since: Timestamp) {
    let spec = ServerSpec::for_skill(Skill {
        namespace: "acme".into(),
        name: name.as_str().into(),
        version: "1.0.0".into(),
        description: "Plans.".into(),
        tool: "plan".into(),
        tool_description: "Plans.".into(),
        input_schema: r#"{"type":"object"}"#.into(),
        worker: None,
        secrets: Vec::new(),
        document: "# x".into(),
    });
    let record = ServerRecord {
        id: ServerId::generate(),
        namespace: owner,
        slug: Slug::parse(&name).unwrap(),
        title: name,
        kind: "skill".into(),
        revision: RevisionId::generate(),
        spec,
        created_by: owner,
        created_at: since,
        updated_at: since,
    };
    let about = SkillAbout {
        server: record.id,
        visibility,
        description: "Plans.".into(),
        category: "other".into(),
        tags: Vec::new(),
    };
    let write = actors.store.upkeep(move |tx| {
        Box::pin(async move {
            servers::insert(tx, &record).await?;
            skills::put(tx, &about).await?;
            for at in 0..VERSIONS {
                let revision = if at == 0 { record.revision } else { RevisionId::generate() };
                let updated_at = since + TimeDelta::minutes(i64::try_from(at).unwrap());
                if at > 0 {
                    servers::update(tx, &ServerRecord { revision, updated_at, ..record.clone() }, owner).await?;
                }
                let version = VersionRecord {
                    revision,
                    server: record.id,
                    version: number(at).parse().unwrap(),
                    manifest: "{}".into(),
                    hash: [7; 32],
                    yanked_at: (at == 48).then(clock::now),
                    yanked_by: None,
                };
                skills::add_version(tx, &version).await?;
            }
            Ok(())
        })
    });
    write.await.unwrap();
}

/// All pages of a list: name, version, whether it is the newest.
async fn all_of(gateway: &Gateway, query: &str) -> Vec<(String, String, bool)> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    for _ in 0..400 {
        let got = gateway.send(TestRequest::get().uri(&format!("/v0.1/servers?{query}&cursor={cursor}"))).await;
        assert_eq!(got.status, 200, "{got:?}");
        let text = |one: &Value, name: &str| one["server"][name].as_str().unwrap().to_owned();
        for one in got.body["servers"].as_array().unwrap() {
            let official = &one["_meta"]["io.modelcontextprotocol.registry/official"];
            all.push((text(one, "name"), text(one, "version"), official["isLatest"] == json!(true)));
        }
        match got.body["metadata"]["nextCursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return all,
        }
    }
    panic!("the list does not end");
}

/// What there must be: every version that was not withdrawn of these skills, in order of the bytes of name and version.
fn expected(names: impl Iterator<Item = usize>, fits: impl Fn(usize) -> bool) -> Vec<(String, String, bool)> {
    let mut all = Vec::new();
    for name in names {
        for at in (0..VERSIONS).filter(|at| *at != 48 && fits(*at)) {
            // 47 is the greatest that is no pre-release and was not withdrawn.
            all.push((format!("localhost.acme/{}", skill_name(name)), number(at), at == 47));
        }
    }
    all.sort();
    all
}

async fn a_list_of_thousands_is_right(url: String) {
    let mut config = Config::default();
    config.database.url = url;
    config.skills.open_registry = true;
    config.people.open_requests_per_minute = 1_000_000;
    let gateway = Gateway::with(config, "enterprise").await;
    let since = clock::now() - TimeDelta::days(2);
    for at in 0..SKILLS {
        publish(&gateway.actors, gateway.owner, skill_name(at), Visibility::Public, since).await;
    }
    publish(&gateway.actors, gateway.owner, "deploy-hidden".into(), Visibility::Team, since).await;

    let ours = |all: Vec<(String, String, bool)>| {
        all.into_iter().filter(|one| one.0.starts_with("localhost.acme/")).collect::<Vec<_>>()
    };
    let whole = all_of(&gateway, "limit=97").await;
    assert!(whole.is_sorted_by_key(|(name, version, _)| format!("{name}\n{version}")), "in order, once each");
    assert!(whole.len() > SKILLS * (VERSIONS - 1) + 10, "the well-known servers are among them");
    assert_eq!(ours(whole), expected(0..SKILLS, |_| true));

    let deploys = (0..SKILLS).filter(|at| skill_name(*at).contains("deploy-1"));
    assert_eq!(all_of(&gateway, "search=Deploy-1&limit=7").await, expected(deploys.clone(), |_| true));
    assert_eq!(
        all_of(&gateway, "search=deploy-1&version=latest&limit=3").await,
        expected(deploys.clone(), |at| at == 47)
    );
    assert_eq!(all_of(&gateway, "search=deploy-1&version=3.33.0&limit=1").await, expected(deploys, |at| at == 33));
    assert_eq!(all_of(&gateway, "search=acme/crm-2&version=9.9.9").await, []);
    // A search is for letters, not for patterns.
    for nothing in ["deploy%25", "deploy_1", "%25", "x%5C"] {
        assert_eq!(all_of(&gateway, &format!("search={nothing}")).await, [], "{nothing}");
    }
    let after = |minutes: i64| (since + TimeDelta::minutes(minutes) - TimeDelta::seconds(1)).to_rfc3339();
    let later = |minutes: i64| format!("updated_since={}", after(minutes).replace('+', "%2B"));
    let lately = all_of(&gateway, &format!("{}&limit=100", later(45))).await;
    assert_eq!(lately, expected(0..SKILLS, |at| at >= 45));
    let newest = all_of(&gateway, &format!("{}&version=latest&limit=9", later(45))).await;
    assert_eq!(newest, expected(0..SKILLS, |at| at == 47));
    // Long before Postgres' first moment: everything, or the caller's mistake, and no failure of the database.
    let ever = gateway.send(TestRequest::get().uri("/v0.1/servers?updated_since=-10000-01-01T00:00:00Z")).await;
    assert!(ever.status < 500, "{ever:?}");
    // The newest version is older than what was published last.
    assert_eq!(all_of(&gateway, &format!("{}&version=latest&limit=9", later(48))).await, []);
}

#[actix_web::test]
async fn a_list_of_thousands_of_versions_is_right_on_sqlite() {
    a_list_of_thousands_is_right(String::new()).await;
}

#[actix_web::test]
async fn a_list_of_thousands_of_versions_is_right_on_postgres() {
    if let Some(url) = testing::postgres_url().await {
        a_list_of_thousands_is_right(url).await;
    }
}
