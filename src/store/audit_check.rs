//! Is the audit log what was written? Checking walks the chain and names the first entry that is not; pruning
//! removes its oldest part and leaves a sealed row that says up to where. Whether what is stored is what the log says
//! of it is checked beside it (`audit_state`).

use std::collections::{BTreeMap, BTreeSet};

use entities::{audit_entry, audit_head, audit_workspace};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set, sea_query::OnConflict,
};
use uuid::Uuid;

use crate::{
    domain::{
        audit_chain::{AuditKey, AuditRow, GENESIS},
        audit_checkpoint::{Checkpoint, hex},
        clock::Timestamp,
    },
    error::Result,
    store::{
        Tx,
        audit::Meta,
        audit_state::StateSaid,
        column::{array, damaged, signed, signed32, unsigned, unsigned32},
        connect::HEAD,
        failure::unavailable,
    },
};

const PRUNED: &str = "pruned";
/// Entries read at once.
const PAGE: u64 = 2000;

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// It was changed, or another one before it was, or it was put there.
    Mac,
    /// It is missing: its successor, the head or the checkpoint knows it.
    Missing,
    /// Its columns for queries say something else than its signed part.
    Columns,
    /// It was signed with a key version that is not at hand.
    UnknownKey(u32),
    /// The note of how far the log was pruned is not genuine.
    PruneSeal,
    /// It is not the entry the checkpoint knows.
    Checkpoint,
    /// What it was about (named here) is stored as it was before: somebody has put an older row back.
    RolledBack(String),
    /// What it was about (named here) is not stored, and no entry says that it was removed.
    RowMissing(String),
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Entries that are as they were written.
    pub checked: u64,
    /// Up to here the log was pruned, in order.
    pub pruned_through: u64,
    /// The end of the chain.
    pub head: Checkpoint,
    /// Checkpoints that were compared with it.
    pub checkpoints: u64,
    /// Stored secrets that are as new as the log says; none: nobody asked.
    pub secrets: Option<u64>,
    /// The first entry that is not as it was written.
    pub broken: Option<(u64, Flaw)>,
}

/// What a check begins with and compares.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope<'a> {
    /// The first entry to check; the one before it is taken as it is. None: from the oldest on.
    pub from: Option<u64>,
    /// Places known from outside the database, taken before the check begins.
    pub checkpoints: &'a [Checkpoint],
    /// Compare secrets, tokens, API keys and members with what the log says of them, too: a row that is older was put back by
    /// hand, one that is missing was removed by hand.
    pub with_state: bool,
}

/// The end of the chain.
pub async fn head(db: &impl ConnectionTrait) -> Result<Checkpoint> {
    let row = audit_head::Entity::find_by_id(HEAD).one(db).await?;
    row.as_ref().map(place).transpose()?.ok_or_else(|| damaged("audit_head", "the head is missing"))
}

/// How often a check begins anew because entries were pruned while it ran.
const ATTEMPTS: usize = 3;

/// Checks the chain. `keys` are all versions of the audit key.
pub async fn verify(db: &impl ConnectionTrait, keys: &[AuditKey], scope: Scope<'_>) -> Result<Verdict> {
    let mut verdict = verify_once(db, keys, scope).await?;
    for _ in 1..ATTEMPTS {
        let pruned = audit_head::Entity::find_by_id(PRUNED).one(db).await?;
        let moved = pruned.is_some_and(|row| unsigned(row.seq) != verdict.pruned_through);
        if verdict.broken.is_none() || !moved {
            break;
        }
        verdict = verify_once(db, keys, scope).await?;
    }
    Ok(verdict)
}

/// What is known from outside: of each position, the MACs it was said to have.
struct Known(BTreeMap<u64, BTreeSet<[u8; 32]>>);

impl Known {
    fn of(checkpoints: &[Checkpoint]) -> Self {
        let mut known: BTreeMap<u64, BTreeSet<[u8; 32]>> = BTreeMap::new();
        for checkpoint in checkpoints {
            known.entry(checkpoint.seq).or_default().insert(checkpoint.mac);
        }
        Known(known)
    }

    /// Compares a place; whether it contradicts.
    fn contradicts(&self, place: &Checkpoint, compared: &mut u64) -> bool {
        let Some(macs) = self.0.get(&place.seq) else { return false };
        *compared += 1;
        macs.iter().any(|mac| *mac != place.mac)
    }

    fn beyond(&self, seq: u64) -> bool {
        self.0.keys().next_back().is_some_and(|last| *last > seq)
    }
}

async fn verify_once(db: &impl ConnectionTrait, keys: &[AuditKey], scope: Scope<'_>) -> Result<Verdict> {
    let known = Known::of(scope.checkpoints);
    let head = head(db).await?;
    let mut verdict = Verdict { checked: 0, pruned_through: 0, head, checkpoints: 0, secrets: None, broken: None };
    let Some(last) = begin(db, keys, scope.from, &known, &mut verdict).await? else { return Ok(verdict) };
    let mut said = scope.with_state.then(StateSaid::default);
    let last = walk(db, keys, last, &known, &mut verdict, &mut said).await?;
    if verdict.broken.is_none() {
        verdict.broken = end_flaw(&head, &last, &known);
    }
    if verdict.broken.is_none() && said.is_some() {
        compare(db, keys, last, &known, &mut verdict, &mut said).await?;
    }
    Ok(verdict)
}

/// Compares what is stored. It is read after the log, so that what was set meanwhile is newer than what the log said;
/// what was removed meanwhile is in entries that were written since, and those are heard before anything is blamed.
async fn compare(
    db: &impl ConnectionTrait,
    keys: &[AuditKey],
    mut last: Checkpoint,
    known: &Known,
    verdict: &mut Verdict,
    said: &mut Option<StateSaid>,
) -> Result<()> {
    let mut found = None;
    for _ in 0..ATTEMPTS {
        let Some(heard) = said.as_ref() else { return Ok(()) };
        let (compared, flaw) = heard.compare(db).await?;
        verdict.secrets = Some(compared);
        found = flaw;
        let newer = head(db).await?;
        if found.is_none() || newer.seq == last.seq {
            break;
        }
        verdict.head = newer;
        last = walk(db, keys, last, known, verdict, said).await?;
        verdict.broken = verdict.broken.take().or_else(|| end_flaw(&newer, &last, known));
        if verdict.broken.is_some() {
            return Ok(());
        }
    }
    verdict.broken = found;
    Ok(())
}

/// The place after which the check begins; none: that place is wrong already, and the verdict says so.
async fn begin(
    db: &impl ConnectionTrait,
    keys: &[AuditKey],
    from: Option<u64>,
    known: &Known,
    verdict: &mut Verdict,
) -> Result<Option<Checkpoint>> {
    let mut last = Checkpoint { seq: 0, mac: GENESIS };
    if let Some(row) = audit_head::Entity::find_by_id(PRUNED).one(db).await? {
        last = place(&row)?;
        verdict.pruned_through = last.seq;
        let genuine = key_of(keys, row.key_version)
            .is_some_and(|key| key.verify(&GENESIS, &prune_note(&last, row.ts_ms, &hex(&last.mac)), &row.seal));
        if !genuine {
            verdict.broken = Some((last.seq, Flaw::PruneSeal));
            return Ok(None);
        }
        if known.contradicts(&last, &mut verdict.checkpoints) {
            verdict.broken = Some((last.seq, Flaw::Checkpoint));
            return Ok(None);
        }
    }
    if let Some(before) = from.and_then(|from| from.checked_sub(1)).filter(|before| *before > last.seq) {
        let Some(row) = audit_entry::Entity::find_by_id(signed(before)).one(db).await? else {
            verdict.broken = Some((before, Flaw::Missing));
            return Ok(None);
        };
        last = Checkpoint { seq: before, mac: array("audit_entries.mac", &row.mac)? };
    }
    Ok(Some(last))
}

/// Checks entry after entry up to the head, or up to the first that is wrong; gives back the last that is right.
async fn walk(
    db: &impl ConnectionTrait,
    keys: &[AuditKey],
    mut last: Checkpoint,
    known: &Known,
    verdict: &mut Verdict,
    said: &mut Option<StateSaid>,
) -> Result<Checkpoint> {
    while last.seq < verdict.head.seq && verdict.broken.is_none() {
        let page = Page::read(db, last.seq, verdict.head.seq).await?;
        if page.rows.is_empty() {
            verdict.broken = Some((last.seq + 1, Flaw::Missing));
        }
        for row in &page.rows {
            match page.check(row, keys, &last) {
                Err(flaw) => {
                    let at = if flaw == Flaw::Missing { last.seq + 1 } else { unsigned(row.seq) };
                    verdict.broken = Some((at, flaw));
                    break;
                }
                Ok((mac, meta)) => {
                    last = Checkpoint { seq: unsigned(row.seq), mac };
                    if let Some(said) = said {
                        said.hear(row, last.seq, &meta);
                    }
                }
            }
            if known.contradicts(&last, &mut verdict.checkpoints) {
                verdict.broken = Some((last.seq, Flaw::Checkpoint));
                break;
            }
            verdict.checked += 1;
        }
    }
    Ok(last)
}

fn end_flaw(head: &Checkpoint, last: &Checkpoint, known: &Known) -> Option<(u64, Flaw)> {
    if head.mac != last.mac {
        return Some((head.seq, Flaw::Mac));
    }
    known.beyond(head.seq).then_some((head.seq + 1, Flaw::Missing))
}

/// A run of entries with the workspaces they are shown in.
struct Page {
    rows: Vec<audit_entry::Model>,
    shown: BTreeMap<i64, Vec<Uuid>>,
}

impl Page {
    async fn read(db: &impl ConnectionTrait, after: u64, through: u64) -> Result<Self> {
        let rows = audit_entry::Entity::find()
            .filter(audit_entry::Column::Seq.gt(signed(after)))
            .filter(audit_entry::Column::Seq.lte(signed(through)))
            .order_by_asc(audit_entry::Column::Seq)
            .limit(PAGE)
            .all(db)
            .await?;
        let mut shown: BTreeMap<i64, Vec<Uuid>> = BTreeMap::new();
        if let Some(end) = rows.last() {
            let links = audit_workspace::Entity::find()
                .filter(audit_workspace::Column::Seq.gt(signed(after)))
                .filter(audit_workspace::Column::Seq.lte(end.seq))
                .all(db)
                .await?;
            for link in links {
                shown.entry(link.seq).or_default().push(link.workspace_id);
            }
        }
        Ok(Page { rows, shown })
    }

    fn check(&self, row: &audit_entry::Model, keys: &[AuditKey], last: &Checkpoint) -> Result<([u8; 32], Meta), Flaw> {
        if unsigned(row.seq) != last.seq + 1 {
            return Err(Flaw::Missing);
        }
        let key = key_of(keys, row.key_version).ok_or(Flaw::UnknownKey(unsigned32(row.key_version)))?;
        let signed = AuditRow {
            seq: unsigned(row.seq),
            ts_ms: unsigned(row.ts_ms),
            actor: &row.actor,
            action: &row.action,
            target: &row.target,
            meta: &row.meta,
        };
        if !key.verify(&last.mac, &signed, &row.mac) {
            return Err(Flaw::Mac);
        }
        let meta: Meta = serde_json::from_str(&row.meta).map_err(|_unreadable| Flaw::Columns)?;
        let mut said: Vec<Uuid> = meta.workspaces.iter().map(|id| id.0).collect();
        let mut shown = self.shown.get(&row.seq).cloned().unwrap_or_default();
        said.sort_unstable();
        shown.sort_unstable();
        let same = meta.namespace.0 == row.namespace_id && meta.kind.as_str() == row.kind && said == shown;
        if !same {
            return Err(Flaw::Columns);
        }
        Ok((row.mac.as_slice().try_into().map_err(|_length| Flaw::Mac)?, meta))
    }
}

/// Removes entries older than `before`, as far as they form the beginning of the chain, at most `rows` of them; the
/// newest always stays. Gives back up to where the log is pruned now, if anything was removed: then there may be more.
pub async fn prune(tx: &Tx, key: &AuditKey, before: Timestamp, rows: u32) -> Result<Option<u64>> {
    let db = tx.conn();
    let keep_from = audit_entry::Entity::find()
        .filter(audit_entry::Column::TsMs.gte(before.timestamp_millis()))
        .order_by_asc(audit_entry::Column::Seq)
        .one(db)
        .await?;
    let keep_from = match keep_from {
        Some(row) => row.seq,
        None => signed(head(db).await?.seq),
    };
    let first = audit_entry::Entity::find().order_by_asc(audit_entry::Column::Seq).one(db).await?;
    let keep_from = first.map_or(keep_from, |first| keep_from.min(first.seq.saturating_add(rows.into())));
    let Some(last) = audit_entry::Entity::find_by_id(keep_from.saturating_sub(1)).one(db).await? else {
        return Ok(None);
    };
    let end = Checkpoint { seq: unsigned(last.seq), mac: array("audit_entries.mac", &last.mac)? };
    let seal = key.mac(&GENESIS, &prune_note(&end, last.ts_ms, &hex(&end.mac)));
    let row = audit_head::ActiveModel {
        name: Set(PRUNED.to_owned()),
        seq: Set(last.seq),
        mac: Set(last.mac),
        key_version: Set(signed32(key.version)),
        seal: Set(seal.to_vec()),
        ts_ms: Set(last.ts_ms),
    };
    use audit_head::Column;
    let again = OnConflict::column(Column::Name)
        .update_columns([Column::Seq, Column::Mac, Column::KeyVersion, Column::Seal, Column::TsMs])
        .to_owned();
    audit_head::Entity::insert(row).on_conflict(again).exec_without_returning(db).await?;
    audit_workspace::Entity::delete_many().filter(audit_workspace::Column::Seq.lte(last.seq)).exec(db).await?;
    audit_entry::Entity::delete_many().filter(audit_entry::Column::Seq.lte(last.seq)).exec(db).await?;
    Ok(Some(end.seq))
}

/// The note of a prune is signed like an entry that can never be one: it follows nothing and names a MAC.
fn prune_note<'a>(end: &Checkpoint, ts_ms: i64, mac: &'a str) -> AuditRow<'a> {
    AuditRow {
        seq: end.seq,
        ts_ms: unsigned(ts_ms),
        actor: "system:audit",
        action: "pruned_through",
        target: mac,
        meta: "{}",
    }
}

fn key_of(keys: &[AuditKey], version: i32) -> Option<&AuditKey> {
    keys.iter().find(|key| signed32(key.version) == version)
}

fn place(row: &audit_head::Model) -> Result<Checkpoint> {
    Ok(Checkpoint { seq: unsigned(row.seq), mac: array("audit_head.mac", &row.mac)? })
}

impl Flaw {
    /// Its name in answers.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Flaw::Mac => "changed",
            Flaw::Missing => "missing",
            Flaw::Columns => "moved",
            Flaw::UnknownKey(_) => "unknown_key",
            Flaw::PruneSeal => "forged_prune",
            Flaw::Checkpoint => "other_than_checkpoint",
            Flaw::RolledBack(_) => "rolled_back",
            Flaw::RowMissing(_) => "row_missing",
        }
    }

    /// What it means, for people.
    pub fn explain(&self, seq: u64) -> String {
        match self {
            Flaw::Mac => format!("entry {seq} was changed, put there or moved, or the one before it was"),
            Flaw::Missing => format!("entry {seq} is missing"),
            Flaw::Columns => format!("entry {seq} is shown under another namespace, kind or workspace than was signed"),
            Flaw::UnknownKey(version) => {
                format!("entry {seq} is signed with version {version} of the audit key, which is not here")
            }
            Flaw::PruneSeal => format!("the note that entries up to {seq} were removed in order is not genuine"),
            Flaw::Checkpoint => format!("entry {seq} is not the one that the checkpoint knows"),
            Flaw::RolledBack(what) => {
                format!("{what}, which entry {seq} is about, is stored as it was before: an older row was put back")
            }
            Flaw::RowMissing(what) => {
                format!(
                    "{what}, which entry {seq} is about, is not stored any more, and no entry says that it was removed"
                )
            }
        }
    }
}

impl super::Store {
    /// Prunes the audit log with the key in force; see [`prune`].
    pub async fn prune_audit(&self, before: Timestamp, rows: u32) -> Result<Option<u64>> {
        let key = self.audit_key().ok_or_else(|| unavailable("The audit key is not loaded yet"))?;
        self.upkeep(move |tx| Box::pin(async move { prune(tx, &key, before, rows).await })).await
    }
}
