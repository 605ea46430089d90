//! Public skills as registries list them: a page at a time, in order of their full names, each page out of statements
//! that bring no more rows than it has. However much is published, nobody who asks has all of it walked through.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DbBackend, QueryResult};
use semver::Version;
use uuid::Uuid;

use crate::{
    domain::{clock::Timestamp, ids::ServerId, skill as rules},
    error::Result,
    store::{
        column::{parsed, stored},
        sql::Sql,
    },
};

/// Which ones.
#[derive(Debug, Clone, Default)]
pub struct Sought {
    /// What stands before namespace and name in a full name: `com.example.`.
    pub prefix: String,
    /// Full names with this in them, in small letters.
    pub search: Option<String>,
    /// After this full name and version.
    pub after: Option<(String, String)>,
    /// Published since then.
    pub since: Option<Timestamp>,
    /// Only this version.
    pub version: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// A version of a public skill that was not withdrawn; the newest one where a list is of skills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicVersion {
    /// Its skill.
    pub server: ServerId,
    /// The name of its namespace.
    pub owner: String,
    /// Its name in it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// When the skill was published first.
    pub created_at: Timestamp,
    /// Its number.
    pub version: Version,
    /// When it was published; none: not known.
    pub published: Option<Timestamp>,
    /// Whether it is the newest.
    pub latest: bool,
}

const FULL: &str = " || a.username || '/' || m.slug)";
const SKILLS: &str = " FROM skills s JOIN mcp_servers m ON m.id = s.server_id JOIN accounts a ON a.id = m.namespace_id";

/// Versions, by full name and version.
pub async fn versions(db: &impl ConnectionTrait, sought: &Sought) -> Result<Vec<PublicVersion>> {
    let mut sql = Sql::new(db.get_database_backend());
    sql.words("SELECT m.id, a.username, m.slug, s.description, m.created_at, v.version, r.created_at AS published");
    sql.words(SKILLS).words(" JOIN skill_versions v ON v.server_id = s.server_id");
    sql.words(" LEFT JOIN server_revisions r ON r.id = v.revision_id WHERE s.visibility = 'public'");
    sql.words(" AND v.yanked_at IS NULL");
    named(&mut sql, sought);
    let bytes = by_bytes(db);
    if let Some((name, version)) = &sought.after {
        full(sql.words(" AND ("), sought, bytes).words(", v.version").words(bytes).words(") > (");
        sql.value(name.as_str()).words(", ").value(version.as_str()).words(")");
    }
    if let Some(version) = &sought.version {
        sql.words(" AND v.version = ").value(version.as_str());
    }
    if let Some(since) = sought.since {
        sql.words(" AND r.created_at >= ").value(stored(since));
    }
    full(sql.words(" ORDER BY "), sought, bytes).words(", v.version").words(bytes);
    sql.words(" LIMIT ").value(limit(sought));
    let rows = db.query_all_raw(sql.finish()).await?;
    let mut found = rows.iter().map(version).collect::<Result<Vec<_>>>()?;
    let all = numbers(db, found.iter().map(|one| one.server)).await?;
    for one in &mut found {
        let known = all.get(&one.server).map(Vec::as_slice).unwrap_or_default();
        one.latest = rules::newest(known.iter().map(|(number, _)| number), None) == Some(&one.version);
    }
    Ok(found)
}

/// The newest version of each skill, by full name. `since` speaks of the skill: whether its newest version is as new is for
/// the caller to see.
pub async fn newest(db: &impl ConnectionTrait, sought: &Sought) -> Result<Vec<PublicVersion>> {
    let mut sql = Sql::new(db.get_database_backend());
    sql.words("SELECT m.id, a.username, m.slug, s.description, m.created_at").words(SKILLS);
    sql.words(" WHERE s.visibility = 'public' AND EXISTS (SELECT 1 FROM skill_versions v");
    sql.words(" WHERE v.server_id = s.server_id AND v.yanked_at IS NULL)");
    named(&mut sql, sought);
    let bytes = by_bytes(db);
    if let Some((name, _)) = &sought.after {
        full(sql.words(" AND "), sought, bytes).words(" > ").value(name.as_str());
    }
    if let Some(since) = sought.since {
        sql.words(" AND m.updated_at >= ").value(stored(since));
    }
    full(sql.words(" ORDER BY "), sought, bytes).words(" LIMIT ").value(limit(sought));
    let rows = db.query_all_raw(sql.finish()).await?;
    let ids = rows.iter().map(|row| Ok(ServerId(row.try_get("", "id")?))).collect::<Result<Vec<_>>>()?;
    let all = numbers(db, ids.into_iter()).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let known = all.get(&ServerId(row.try_get("", "id")?)).map(Vec::as_slice).unwrap_or_default();
        let number = rules::newest(known.iter().map(|(number, _)| number), None);
        if let Some((number, published)) = known.iter().find(|(one, _)| Some(one) == number) {
            found.push(skill(row, number.clone(), *published, true)?);
        }
    }
    Ok(found)
}

/// Adds what the names must be like.
fn named(sql: &mut Sql, sought: &Sought) {
    if let Some(search) = &sought.search {
        let mut like = String::from("%");
        for letter in search.chars() {
            if matches!(letter, '%' | '_' | '\\') {
                like.push('\\');
            }
            like.push(letter);
        }
        like.push('%');
        full(sql.words(" AND "), sought, "").words(" LIKE ").value(like).words(" ESCAPE '\\'");
    }
}

/// Adds a full name.
fn full<'a>(sql: &'a mut Sql, sought: &Sought, bytes: &str) -> &'a mut Sql {
    sql.words("(CAST(").value(sought.prefix.as_str()).words(" AS TEXT)").words(FULL).words(bytes)
}

/// Names are compared byte by byte; Postgres would sort them as its language does.
fn by_bytes(db: &impl ConnectionTrait) -> &'static str {
    match db.get_database_backend() {
        DbBackend::Postgres => " COLLATE \"C\"",
        _ => "",
    }
}

fn limit(sought: &Sought) -> i64 {
    i64::try_from(sought.limit).unwrap_or(i64::MAX)
}

fn version(row: &QueryResult) -> Result<PublicVersion> {
    let number = parsed("skill_versions.version", &row.try_get::<String>("", "version")?)?;
    skill(row, number, row.try_get("", "published")?, false)
}

fn skill(row: &QueryResult, version: Version, published: Option<Timestamp>, latest: bool) -> Result<PublicVersion> {
    Ok(PublicVersion {
        server: ServerId(row.try_get("", "id")?),
        owner: row.try_get("", "username")?,
        name: row.try_get("", "slug")?,
        description: row.try_get("", "description")?,
        created_at: row.try_get("", "created_at")?,
        version,
        published,
        latest,
    })
}

/// Numbers of versions with when they were published.
type Numbers = HashMap<ServerId, Vec<(Version, Option<Timestamp>)>>;

/// What was published of the skills of a page and not withdrawn. Of each there are `skills.versions` at most.
async fn numbers(db: &impl ConnectionTrait, servers: impl Iterator<Item = ServerId>) -> Result<Numbers> {
    let mut ids: Vec<Uuid> = servers.map(|id| id.0).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut all = Numbers::new();
    if ids.is_empty() {
        return Ok(all);
    }
    let mut sql = Sql::new(db.get_database_backend());
    sql.words("SELECT v.server_id, v.version, r.created_at AS published FROM skill_versions v");
    sql.words(" LEFT JOIN server_revisions r ON r.id = v.revision_id WHERE v.yanked_at IS NULL AND v.server_id IN ");
    sql.values(ids);
    for row in db.query_all_raw(sql.finish()).await? {
        let number = parsed("skill_versions.version", &row.try_get::<String>("", "version")?)?;
        all.entry(ServerId(row.try_get("", "server_id")?)).or_default().push((number, row.try_get("", "published")?));
    }
    Ok(all)
}
