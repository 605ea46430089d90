//! Skills and their versions: what only they have besides a definition and its revisions (`servers`). Written by the
//! WorkspaceCatalog only.

use std::collections::HashMap;

use entities::{account, mcp_server, server_revision, skill, skill_version};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set,
    sea_query::OnConflict,
};
use semver::Version;

use crate::{
    domain::{
        clock::{self, Timestamp},
        ids::{AccountId, RevisionId, ServerId},
        skill::{self as rules, Visibility},
    },
    error::{Error, Result, err},
    store::{
        Tx, accounts,
        column::{array, damaged, parsed, stored},
        failure::on_conflict,
    },
};

/// Ids in one statement: databases bound the number of values.
const IDS: usize = 500;

/// What only a skill has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkillAbout {
    /// The definition it belongs to.
    pub server: ServerId,
    /// Who may see it.
    pub visibility: Visibility,
    /// Of the version published last, as are category and tags.
    pub description: String,
    /// What it is about.
    pub category: String,
    /// Words to find it by.
    pub tags: Vec<String>,
}

/// A skill as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkillRecord {
    /// What only a skill has.
    pub about: SkillAbout,
    /// Whose it is.
    pub namespace: AccountId,
    /// The name of that namespace.
    pub owner: String,
    /// Its name in it.
    pub name: String,
    /// Who published it first.
    pub created_by: AccountId,
    /// When.
    pub created_at: Timestamp,
    /// When the version published last was.
    pub updated_at: Timestamp,
    /// The newest version that was not withdrawn.
    pub newest: Option<Version>,
}

impl SkillRecord {
    /// `@acme/deploy-skill`.
    pub fn reference(&self) -> String {
        rules::reference(&self.owner, &self.name)
    }
}

/// A published version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRecord {
    /// The revision of the definition that has its body and document.
    pub revision: RevisionId,
    /// Its skill.
    pub server: ServerId,
    /// Its number.
    pub version: Version,
    /// `aerostack.json` as it was published.
    pub manifest: String,
    /// SHA-256 of manifest and document.
    pub hash: [u8; 32],
    /// When it was withdrawn.
    pub yanked_at: Option<Timestamp>,
    /// By whom.
    pub yanked_by: Option<String>,
}

/// A version as a list of many skills shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedVersion {
    /// Its skill.
    pub server: ServerId,
    /// Its number.
    pub version: Version,
    /// Whether it was withdrawn.
    pub yanked: bool,
    /// When it was published; none: not known.
    pub published: Option<Timestamp>,
}

/// Whose skills are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    /// Everybody's public ones.
    Public,
    /// All of these namespaces.
    Namespaces(Vec<AccountId>),
}

/// Writes what a skill has, new or again.
pub async fn put(tx: &Tx, about: &SkillAbout) -> Result<()> {
    let tags = serde_json::to_string(&about.tags).map_err(|cause| Error::internal("writing a skill", cause))?;
    let row = skill::ActiveModel {
        server_id: Set(about.server.0),
        visibility: Set(about.visibility.as_str().to_owned()),
        description: Set(about.description.clone()),
        category: Set(about.category.clone()),
        tags: Set(tags),
    };
    let again = OnConflict::column(skill::Column::ServerId)
        .update_columns([
            skill::Column::Visibility,
            skill::Column::Description,
            skill::Column::Category,
            skill::Column::Tags,
        ])
        .to_owned();
    skill::Entity::insert(row).on_conflict(again).exec_without_returning(tx.conn()).await?;
    Ok(())
}

/// Changes who may see a skill.
pub async fn set_visibility(tx: &Tx, server: ServerId, visibility: Visibility) -> Result<()> {
    let row = skill::ActiveModel { visibility: Set(visibility.as_str().to_owned()), ..Default::default() };
    skill::Entity::update_many().set(row).filter(skill::Column::ServerId.eq(server.0)).exec(tx.conn()).await?;
    Ok(())
}

/// Whether one of these accounts may run something in a workspace of theirs: everybody what is public, members of its
/// namespace what is for the team, whoever published it what is private, and its own namespace in any case. What is no
/// skill is in workspaces of its own namespace only.
pub async fn is_shared_with(db: &impl ConnectionTrait, server: ServerId, whose: [AccountId; 2]) -> Result<bool> {
    let Some(about) = skill::Entity::find_by_id(server.0).one(db).await? else { return Ok(true) };
    let Some(definition) = mcp_server::Entity::find_by_id(server.0).one(db).await? else { return Ok(false) };
    let namespace = AccountId(definition.namespace_id);
    if whose.first() == Some(&namespace) {
        return Ok(true);
    }
    match parsed("skills.visibility", &about.visibility)? {
        Visibility::Public => Ok(true),
        Visibility::Private => Ok(whose.contains(&AccountId(definition.created_by))),
        Visibility::Team => {
            for account in whose {
                if accounts::role_of(db, namespace, account).await?.is_some() {
                    return Ok(true);
                }
            }
            Ok(false)
        }
    }
}

/// Writes a version; its revision is there already.
pub async fn add_version(tx: &Tx, record: &VersionRecord) -> Result<()> {
    let row = skill_version::ActiveModel {
        revision_id: Set(record.revision.0),
        server_id: Set(record.server.0),
        version: Set(record.version.to_string()),
        manifest: Set(record.manifest.clone()),
        hash: Set(record.hash.to_vec()),
        yanked_at: Set(record.yanked_at.map(stored)),
        yanked_by: Set(record.yanked_by.clone()),
    };
    let inserted = skill_version::Entity::insert(row).exec_without_returning(tx.conn()).await;
    on_conflict(inserted.map(drop), || err::conflict(format!("Version {} is published already", record.version)))
}

/// Withdraws a version, or takes that back; whether that changed anything.
pub async fn set_yanked(tx: &Tx, revision: RevisionId, by: Option<&str>) -> Result<bool> {
    let row = skill_version::ActiveModel {
        yanked_at: Set(by.map(|_| stored(clock::now()))),
        yanked_by: Set(by.map(str::to_owned)),
        ..Default::default()
    };
    let other = match by {
        Some(_) => skill_version::Column::YankedAt.is_null(),
        None => skill_version::Column::YankedAt.is_not_null(),
    };
    let done = skill_version::Entity::update_many()
        .set(row)
        .filter(skill_version::Column::RevisionId.eq(revision.0))
        .filter(other)
        .exec(tx.conn())
        .await?;
    Ok(done.rows_affected > 0)
}

/// The skill of that name in a namespace.
pub async fn by_name(db: &impl ConnectionTrait, namespace: AccountId, name: &str) -> Result<Option<SkillRecord>> {
    let row = mcp_server::Entity::find()
        .filter(mcp_server::Column::NamespaceId.eq(namespace.0))
        .filter(mcp_server::Column::Slug.eq(name))
        .one(db)
        .await?;
    Ok(records(db, row.into_iter().collect()).await?.pop())
}

/// Skills, by namespace and name.
pub async fn list(db: &impl ConnectionTrait, of: &Of) -> Result<Vec<SkillRecord>> {
    let wanted = match of {
        Of::Public => {
            let public = skill::Column::Visibility.eq(Visibility::Public.as_str());
            let rows = skill::Entity::find().filter(public).all(db).await?;
            let ids: Vec<uuid::Uuid> = rows.iter().map(|row| row.server_id).collect();
            let mut servers = Vec::with_capacity(ids.len());
            for ids in ids.chunks(IDS) {
                let some = mcp_server::Column::Id.is_in(ids.iter().copied());
                servers.extend(mcp_server::Entity::find().filter(some).all(db).await?);
            }
            servers
        }
        Of::Namespaces(all) => {
            let mine = mcp_server::Column::NamespaceId.is_in(all.iter().map(|id| id.0));
            let skills = Condition::all().add(mine).add(mcp_server::Column::Kind.eq(crate::domain::server::SKILL));
            mcp_server::Entity::find().filter(skills).all(db).await?
        }
    };
    let mut found = records(db, wanted).await?;
    found.sort_by(|a, b| (&a.owner, &a.name).cmp(&(&b.owner, &b.name)));
    Ok(found)
}

/// How many skills a namespace has.
pub async fn count(db: &impl ConnectionTrait, namespace: AccountId) -> Result<usize> {
    Ok(list(db, &Of::Namespaces(vec![namespace])).await?.len())
}

/// A skill's versions, newest first.
pub async fn versions(db: &impl ConnectionTrait, server: ServerId) -> Result<Vec<VersionRecord>> {
    let rows = skill_version::Entity::find()
        .filter(skill_version::Column::ServerId.eq(server.0))
        .order_by_desc(skill_version::Column::RevisionId)
        .all(db)
        .await?;
    let mut found: Vec<VersionRecord> = rows.into_iter().map(version).collect::<Result<_>>()?;
    found.sort_by(|a, b| b.version.cmp(&a.version));
    Ok(found)
}

/// All versions of some skills, in two queries.
pub async fn versions_of(db: &impl ConnectionTrait, servers: &[ServerId]) -> Result<Vec<ListedVersion>> {
    use server_revision::Column as Revision;
    use skill_version::Column as Row;

    if servers.is_empty() {
        return Ok(Vec::new());
    }
    let ids = || servers.iter().map(|id| id.0);
    let revisions = server_revision::Entity::find()
        .select_only()
        .columns([Revision::Id, Revision::CreatedAt])
        .filter(Revision::ServerId.is_in(ids()))
        .into_tuple::<(uuid::Uuid, Timestamp)>();
    let published: HashMap<_, _> = revisions.all(db).await?.into_iter().collect();
    let rows = skill_version::Entity::find()
        .select_only()
        .columns([Row::ServerId, Row::RevisionId, Row::Version, Row::YankedAt])
        .filter(Row::ServerId.is_in(ids()))
        .into_tuple::<(uuid::Uuid, uuid::Uuid, String, Option<Timestamp>)>();
    let listed = |(server, revision, version, yanked): (uuid::Uuid, uuid::Uuid, String, Option<Timestamp>)| {
        Ok(ListedVersion {
            server: ServerId(server),
            version: parsed("skill_versions.version", &version)?,
            yanked: yanked.is_some(),
            published: published.get(&revision).copied(),
        })
    };
    rows.all(db).await?.into_iter().map(listed).collect()
}

/// Who made a revision, and when.
pub async fn published(
    db: &impl ConnectionTrait,
    server: ServerId,
) -> Result<HashMap<RevisionId, (String, Timestamp)>> {
    let rows = server_revision::Entity::find().filter(server_revision::Column::ServerId.eq(server.0)).all(db).await?;
    let names = usernames(db, rows.iter().map(|row| row.created_by)).await?;
    let by = |row: &server_revision::Model| names.get(&row.created_by).cloned().unwrap_or_default();
    Ok(rows.iter().map(|row| (RevisionId(row.id), (by(row), row.created_at))).collect())
}

async fn usernames(
    db: &impl ConnectionTrait,
    ids: impl Iterator<Item = uuid::Uuid>,
) -> Result<HashMap<uuid::Uuid, String>> {
    let mut ids: Vec<uuid::Uuid> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    let mut names = HashMap::new();
    for ids in ids.chunks(IDS) {
        let rows = account::Entity::find().filter(account::Column::Id.is_in(ids.iter().copied())).all(db).await?;
        names.extend(rows.into_iter().map(|row| (row.id, row.username)));
    }
    Ok(names)
}

/// What the definitions that are skills have besides.
async fn records(db: &impl ConnectionTrait, servers: Vec<mcp_server::Model>) -> Result<Vec<SkillRecord>> {
    let owners = usernames(db, servers.iter().map(|row| row.namespace_id)).await?;
    let mut found = Vec::with_capacity(servers.len());
    for servers in servers.chunks(IDS) {
        let ids = || servers.iter().map(|row| row.id);
        let skills = skill::Entity::find().filter(skill::Column::ServerId.is_in(ids())).all(db).await?;
        let kept = skill_version::Column::YankedAt.is_null();
        let of_these = skill_version::Column::ServerId.is_in(ids());
        // Not the manifests: they are large.
        let versions = skill_version::Entity::find()
            .select_only()
            .columns([skill_version::Column::ServerId, skill_version::Column::Version])
            .filter(of_these)
            .filter(kept);
        let mut numbers: HashMap<uuid::Uuid, Vec<Version>> = HashMap::new();
        for (server, number) in versions.into_tuple::<(uuid::Uuid, String)>().all(db).await? {
            numbers.entry(server).or_default().push(parsed("skill_versions.version", &number)?);
        }
        for row in servers {
            let Some(skill) = skills.iter().find(|skill| skill.server_id == row.id) else { continue };
            let all = numbers.get(&row.id).map(Vec::as_slice).unwrap_or_default();
            let owner = owners.get(&row.namespace_id).cloned().unwrap_or_default();
            found.push(record(row, skill, owner, rules::newest(all.iter(), None).cloned())?);
        }
    }
    Ok(found)
}

fn record(
    server: &mcp_server::Model,
    skill: &skill::Model,
    owner: String,
    newest: Option<Version>,
) -> Result<SkillRecord> {
    Ok(SkillRecord {
        about: SkillAbout {
            server: ServerId(server.id),
            visibility: skill.visibility.parse().map_err(|()| damaged("skills.visibility", "unknown"))?,
            description: skill.description.clone(),
            category: skill.category.clone(),
            tags: serde_json::from_str(&skill.tags).map_err(|cause| damaged("skills.tags", cause))?,
        },
        namespace: AccountId(server.namespace_id),
        owner,
        name: server.slug.clone(),
        created_by: AccountId(server.created_by),
        created_at: server.created_at,
        updated_at: server.updated_at,
        newest,
    })
}

fn version(row: skill_version::Model) -> Result<VersionRecord> {
    Ok(VersionRecord {
        revision: RevisionId(row.revision_id),
        server: ServerId(row.server_id),
        version: parsed("skill_versions.version", &row.version)?,
        manifest: row.manifest,
        hash: array("skill_versions.hash", &row.hash)?,
        yanked_at: row.yanked_at,
        yanked_by: row.yanked_by,
    })
}
