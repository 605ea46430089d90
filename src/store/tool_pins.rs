//! Pins: which definition of each tool of an installation was approved, and which other one was seen since. Written by
//! the WorkspaceCatalog only.

use entities::tool_pin;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set,
    sea_query::{Expr, OnConflict},
};

use crate::{
    domain::{
        clock::{self, Timestamp},
        definition::Fingerprint,
        ids::InstallationId,
    },
    error::Result,
    store::{
        Tx,
        column::{array, stored},
    },
};

/// Longest definition that is kept for showing differences, bytes; its fingerprint always covers all of it.
const KEPT: usize = 32 * 1024;
/// Rows in one statement: databases bound the number of values.
const ROWS: usize = 50;

/// A definition on its way into the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The server's own name of the tool.
    pub tool: String,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Its canonical form.
    pub text: String,
    /// The name clients see where the plain one does not fit.
    pub short_name: Option<String>,
}

/// What the catalogue keeps in mind of a pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinRecord {
    /// The installation.
    pub installation: InstallationId,
    /// The server's own name of the tool.
    pub tool: String,
    /// The approved definition; none: nothing was approved.
    pub approved: Option<Fingerprint>,
    /// Another definition that was seen since.
    pub seen: Option<Fingerprint>,
    /// Whether that one was rejected.
    pub rejected: bool,
    /// The name clients see where the plain one does not fit.
    pub short_name: Option<String>,
}

/// A pin as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinDetail {
    /// What the catalogue knows of it.
    pub pin: PinRecord,
    /// The approved definition, perhaps cut.
    pub approved: Option<String>,
    /// The other one, perhaps cut.
    pub seen: Option<String>,
    /// When the other one was seen first.
    pub seen_at: Option<Timestamp>,
    /// Who decided last.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<Timestamp>,
}

/// Approves definitions as they are: whatever was seen of these tools before is settled.
pub async fn approve(tx: &Tx, installation: InstallationId, definitions: &[Definition], by: &str) -> Result<()> {
    let now = Some(stored(clock::now()));
    for batch in definitions.chunks(ROWS) {
        let rows = batch.iter().map(|one| tool_pin::ActiveModel {
            installation_id: Set(installation.0),
            tool: Set(one.tool.clone()),
            approved_hash: Set(Some(one.fingerprint.0.to_vec())),
            approved: Set(Some(kept(&one.text))),
            seen_hash: Set(None),
            seen: Set(None),
            seen_at: Set(None),
            rejected: Set(false),
            short_name: Set(one.short_name.clone()),
            decided_by: Set(Some(by.to_owned())),
            decided_at: Set(now),
            first_seen_at: Set(now),
        });
        use tool_pin::Column::{Approved, ApprovedHash, DecidedAt, DecidedBy};
        put(tx, rows, &[Approved, ApprovedHash, DecidedAt, DecidedBy]).await?;
    }
    Ok(())
}

/// Notes definitions that are not the approved ones; they wait for a decision.
pub async fn note_seen(tx: &Tx, installation: InstallationId, definitions: &[Definition]) -> Result<()> {
    let now = Some(stored(clock::now()));
    for batch in definitions.chunks(ROWS) {
        let rows = batch.iter().map(|one| tool_pin::ActiveModel {
            installation_id: Set(installation.0),
            tool: Set(one.tool.clone()),
            approved_hash: Set(None),
            approved: Set(None),
            seen_hash: Set(Some(one.fingerprint.0.to_vec())),
            seen: Set(Some(kept(&one.text))),
            seen_at: Set(now),
            rejected: Set(false),
            short_name: Set(one.short_name.clone()),
            decided_by: Set(None),
            decided_at: Set(None),
            first_seen_at: Set(now),
        });
        put(tx, rows, &[]).await?;
    }
    Ok(())
}

/// Writes rows; where there is one already, what was seen is replaced, and `also` these. When it was first seen stays.
async fn put(tx: &Tx, rows: impl Iterator<Item = tool_pin::ActiveModel>, also: &[tool_pin::Column]) -> Result<()> {
    use tool_pin::Column::{InstallationId, Rejected, Seen, SeenAt, SeenHash, Tool};
    let mut changed = OnConflict::columns([InstallationId, Tool]);
    changed.update_columns([SeenHash, Seen, SeenAt, Rejected].iter().chain(also).copied());
    tool_pin::Entity::insert_many(rows).on_conflict(changed).exec_without_returning(tx.conn()).await?;
    Ok(())
}

/// Forgets tools that the server has no more.
pub async fn forget(tx: &Tx, installation: InstallationId, tools: &[String]) -> Result<()> {
    for batch in tools.chunks(ROWS) {
        tool_pin::Entity::delete_many()
            .filter(tool_pin::Column::InstallationId.eq(installation.0))
            .filter(tool_pin::Column::Tool.is_in(batch.iter().cloned()))
            .exec(tx.conn())
            .await?;
    }
    Ok(())
}

/// Makes what was seen of a tool the approved definition; whether that very definition was waiting.
pub async fn approve_seen(
    tx: &Tx,
    installation: InstallationId,
    (tool, fingerprint): (&str, Fingerprint),
    by: &str,
) -> Result<bool> {
    let done = tool_pin::Entity::update_many()
        .col_expr(tool_pin::Column::ApprovedHash, Expr::col(tool_pin::Column::SeenHash))
        .col_expr(tool_pin::Column::Approved, Expr::col(tool_pin::Column::Seen))
        .set(tool_pin::ActiveModel {
            seen_hash: Set(None),
            seen: Set(None),
            seen_at: Set(None),
            rejected: Set(false),
            decided_by: Set(Some(by.to_owned())),
            decided_at: Set(Some(stored(clock::now()))),
            ..Default::default()
        })
        .filter(tool_pin::Column::InstallationId.eq(installation.0))
        .filter(tool_pin::Column::Tool.eq(tool))
        .filter(tool_pin::Column::SeenHash.eq(fingerprint.0.to_vec()))
        .exec(tx.conn())
        .await?;
    Ok(done.rows_affected > 0)
}

/// Rejects what was seen of a tool; whether that very definition was waiting.
pub async fn reject_seen(
    tx: &Tx,
    installation: InstallationId,
    (tool, fingerprint): (&str, Fingerprint),
    by: &str,
) -> Result<bool> {
    let row = tool_pin::ActiveModel {
        rejected: Set(true),
        decided_by: Set(Some(by.to_owned())),
        decided_at: Set(Some(stored(clock::now()))),
        ..Default::default()
    };
    let done = tool_pin::Entity::update_many()
        .set(row)
        .filter(tool_pin::Column::InstallationId.eq(installation.0))
        .filter(tool_pin::Column::Tool.eq(tool))
        .filter(tool_pin::Column::SeenHash.eq(fingerprint.0.to_vec()))
        .exec(tx.conn())
        .await?;
    Ok(done.rows_affected > 0)
}

/// Forgets the names that stand for those which do not fit: the prefix changed, and with it all of them.
pub async fn forget_short_names(tx: &Tx, installation: InstallationId) -> Result<()> {
    let row = tool_pin::ActiveModel { short_name: Set(None), ..Default::default() };
    tool_pin::Entity::update_many()
        .set(row)
        .filter(tool_pin::Column::InstallationId.eq(installation.0))
        .exec(tx.conn())
        .await?;
    Ok(())
}

type Row = (uuid::Uuid, String, Option<Vec<u8>>, Option<Vec<u8>>, bool, Option<String>);

/// Every pin there is, without the definitions (for the catalogue's first snapshot).
pub async fn all(db: &impl ConnectionTrait) -> Result<Vec<PinRecord>> {
    let rows: Vec<Row> = tool_pin::Entity::find()
        .select_only()
        .columns([
            tool_pin::Column::InstallationId,
            tool_pin::Column::Tool,
            tool_pin::Column::ApprovedHash,
            tool_pin::Column::SeenHash,
            tool_pin::Column::Rejected,
            tool_pin::Column::ShortName,
        ])
        .into_tuple()
        .all(db)
        .await?;
    rows.into_iter().map(record).collect()
}

/// The pins of an installation with their definitions, by tool.
pub async fn of_installation(db: &impl ConnectionTrait, installation: InstallationId) -> Result<Vec<PinDetail>> {
    let rows = tool_pin::Entity::find()
        .filter(tool_pin::Column::InstallationId.eq(installation.0))
        .order_by_asc(tool_pin::Column::Tool)
        .all(db)
        .await?;
    let detail = |row: tool_pin::Model| {
        let pin =
            record((row.installation_id, row.tool, row.approved_hash, row.seen_hash, row.rejected, row.short_name))?;
        Ok(PinDetail {
            pin,
            approved: row.approved,
            seen: row.seen,
            seen_at: row.seen_at,
            decided_by: row.decided_by,
            decided_at: row.decided_at,
        })
    };
    rows.into_iter().map(detail).collect()
}

/// The tools of these installations that their servers had at a moment already, as far as that was noted.
pub async fn known_at(
    db: &impl ConnectionTrait,
    installations: &[InstallationId],
    moment: Timestamp,
) -> Result<Vec<(InstallationId, String)>> {
    let seen = tool_pin::Column::FirstSeenAt;
    let rows = tool_pin::Entity::find()
        .select_only()
        .columns([tool_pin::Column::InstallationId, tool_pin::Column::Tool])
        .filter(tool_pin::Column::InstallationId.is_in(installations.iter().map(|id| id.0)))
        .filter(Condition::any().add(seen.is_null()).add(seen.lte(stored(moment))));
    let rows: Vec<(uuid::Uuid, String)> = rows.into_tuple().all(db).await?;
    Ok(rows.into_iter().map(|(installation, tool)| (InstallationId(installation), tool)).collect())
}

fn record((installation, tool, approved, seen, rejected, short_name): Row) -> Result<PinRecord> {
    Ok(PinRecord {
        installation: InstallationId(installation),
        tool,
        approved: approved.as_deref().map(fingerprint).transpose()?,
        seen: seen.as_deref().map(fingerprint).transpose()?,
        rejected,
        short_name,
    })
}

fn fingerprint(bytes: &[u8]) -> Result<Fingerprint> {
    Ok(Fingerprint(array("tool_pins", bytes)?))
}

/// A definition as it is kept: whole, or cut with a word about it.
fn kept(text: &str) -> String {
    if text.len() <= KEPT {
        return text.to_owned();
    }
    let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= KEPT).last().unwrap_or(0);
    format!("{} … (cut: {} bytes in all)", text.get(..end).unwrap_or_default(), text.len())
}
