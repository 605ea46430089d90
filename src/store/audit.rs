//! The audit log: what was done by whom, as an HMAC chain. `append` is the only insert, always part of the
//! transaction of the act it records. Reading, checking and pruning are for everybody who may; see `audit_check`.
//!
//! A row's MAC covers time, actor, action, target and `meta`. The columns for queries (namespace, kind, workspaces)
//! are copies of what `meta` says, and checking compares them.

use std::{str::FromStr, sync::Arc};

use entities::{audit_entry, audit_head, audit_workspace};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set, Unchanged,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    domain::{
        audit_chain::{AuditKey, AuditRow},
        clock::{self, Timestamp},
        ids::{AccountId, WorkspaceId},
        role::Principal,
        seen::Seen,
    },
    error::{Error, Result},
    store::{
        column::{array, damaged, signed, signed32, unsigned},
        connect::HEAD,
        warrant::Warrant,
    },
};

/// Where the detail of an entry says from which address its request came.
pub const ADDRESS: &str = "address";
/// Where it says what was changed: of each field what it was and what it is.
pub const CHANGED: &str = "changed";

/// Which part of the log an entry belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditKind {
    /// Administration: tokens, secrets, members, workspaces.
    Admin,
    /// Something was installed or removed.
    Install,
    /// Refusals, failed logins, restarts.
    Security,
}

impl AuditKind {
    /// As it is stored and asked for.
    pub const fn as_str(self) -> &'static str {
        match self {
            AuditKind::Admin => "admin",
            AuditKind::Install => "install",
            AuditKind::Security => "security",
        }
    }
}

impl FromStr for AuditKind {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [AuditKind::Admin, AuditKind::Install, AuditKind::Security]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(())
    }
}

/// What kind of thing acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ActorKind {
    /// A person, shown by email or `name@namespace`.
    User,
    /// A workspace token, shown by its name.
    Token,
    /// The gateway itself.
    System,
    /// Somebody who did not get in, shown by address.
    Anonymous,
}

impl ActorKind {
    const ALL: [ActorKind; 4] = [ActorKind::User, ActorKind::Token, ActorKind::System, ActorKind::Anonymous];

    /// What stands before the name in the stored form.
    pub const fn as_str(self) -> &'static str {
        match self {
            ActorKind::User => "user",
            ActorKind::Token => "token",
            ActorKind::System => "system",
            ActorKind::Anonymous => "anonymous",
        }
    }
}

/// An entry to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// When it happened.
    pub at: Timestamp,
    /// Whose log it is.
    pub namespace: AccountId,
    /// In which workspaces' logs it is shown as well.
    pub workspaces: Vec<WorkspaceId>,
    /// Which part of the log.
    pub kind: AuditKind,
    /// What kind of thing acted.
    pub actor_kind: ActorKind,
    /// Who.
    pub actor: String,
    /// What was done: `token_created`, `secret_updated`, `mcp_installed`, …
    pub action: String,
    /// What kind of thing it was done to: `token`, `secret`, `server`, `workspace`, `skill`, …
    pub target_kind: String,
    /// To which: a name, never a value.
    pub target: String,
    /// More, names and ids only.
    pub detail: Map<String, Value>,
    /// What who acts has seen of the thing before; it is not part of the log.
    pub seen: Option<Arc<Seen>>,
    /// With what they act; it is not part of the log.
    pub warrant: Option<Warrant>,
}

impl AuditEntry {
    /// An administrative act of `by`, now. `target` is (kind, name), for example `("token", "Alice Chen")`.
    pub fn new(by: &Principal, action: &str, target: (&str, &str)) -> Self {
        let entry = AuditEntry::by_actor(by.namespace, (ActorKind::User, &by.label), action, target);
        let entry = AuditEntry { seen: by.seen.clone(), ..entry }.warrant(by);
        let entry = match by.api_key {
            Some(key) => entry.with("api_key", key.to_string()),
            None => entry,
        };
        let entry = match by.address {
            Some(address) => entry.with(ADDRESS, address.to_string()),
            None => entry,
        };
        match &by.request {
            Some(id) => entry.with("request_id", &**id),
            None => entry,
        }
    }

    /// An act of anybody, now.
    pub fn by_actor(namespace: AccountId, actor: (ActorKind, &str), action: &str, target: (&str, &str)) -> Self {
        AuditEntry {
            at: clock::now(),
            namespace,
            workspaces: Vec::new(),
            kind: AuditKind::Admin,
            actor_kind: actor.0,
            actor: actor.1.to_owned(),
            action: action.to_owned(),
            target_kind: target.0.to_owned(),
            target: target.1.to_owned(),
            detail: Map::new(),
            seen: None,
            warrant: None,
        }
    }

    /// The act counts only if `by` may still act when it is committed.
    pub fn warrant(self, by: &Principal) -> Self {
        AuditEntry { warrant: Warrant::of(by), ..self }
    }

    /// An act that ends or changes the rights it was done with. Whoever writes it looks at them before.
    pub fn of_own_rights(self) -> Self {
        AuditEntry { warrant: None, ..self }
    }

    /// Shows it in this workspace's log too.
    pub fn in_workspace(mut self, workspace: WorkspaceId) -> Self {
        if !self.workspaces.contains(&workspace) {
            self.workspaces.push(workspace);
        }
        self
    }

    /// Shows it in these workspaces' logs too.
    pub fn in_workspaces(self, workspaces: impl IntoIterator<Item = WorkspaceId>) -> Self {
        workspaces.into_iter().fold(self, AuditEntry::in_workspace)
    }

    /// Puts it into another part of the log.
    pub fn of_kind(mut self, kind: AuditKind) -> Self {
        self.kind = kind;
        self
    }

    /// Adds detail. Names and ids only, never a secret or a tool's arguments.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }

    /// Says what a field was before the act and what it is now, if that differs. The same rule: never a value that is
    /// kept secret.
    pub fn changed(mut self, field: &str, before: impl Into<Value>, after: impl Into<Value>) -> Self {
        let (before, after) = (before.into(), after.into());
        if before != after {
            let fields = self.detail.entry(CHANGED).or_insert_with(|| Value::Object(Map::new()));
            if let Some(fields) = fields.as_object_mut() {
                fields.insert(field.to_owned(), Value::Array(vec![before, after]));
            }
        }
        self
    }
}

/// A written entry.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRecord {
    /// Position in the chain, from 1.
    pub seq: u64,
    /// The entry.
    pub entry: AuditEntry,
}

/// What `meta` holds; its text is covered by the MAC.
#[derive(Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) namespace: AccountId,
    pub(super) kind: AuditKind,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) workspaces: Vec<WorkspaceId>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(super) detail: Map<String, Value>,
}

/// Locks the head of the chain until the transaction ends: acts pass it one after the other.
pub(super) async fn lock(db: &impl ConnectionTrait) -> Result<audit_head::Model> {
    let head = audit_head::Entity::find_by_id(HEAD).lock_exclusive().one(db).await?;
    head.ok_or_else(|| damaged("audit_head", "the head is missing"))
}

/// Appends to the chain. Locks its head until the transaction ends.
pub(super) async fn append(
    db: &impl ConnectionTrait,
    key: &AuditKey,
    entries: Vec<AuditEntry>,
) -> Result<Vec<Arc<AuditRecord>>> {
    let head = lock(db).await?;
    let mut mac: [u8; 32] = array("audit_head.mac", &head.mac)?;
    let mut seq = unsigned(head.seq);
    let mut ts_ms = head.ts_ms;
    let mut records = Vec::with_capacity(entries.len());
    for entry in entries {
        seq = seq.saturating_add(1);
        ts_ms = entry.at.timestamp_millis();
        mac = insert(db, key, &mac, seq, &entry).await?;
        records.push(Arc::new(AuditRecord { seq, entry }));
    }
    let head = audit_head::ActiveModel {
        name: Unchanged(HEAD.to_owned()),
        seq: Set(signed(seq)),
        mac: Set(mac.to_vec()),
        key_version: Set(signed32(key.version)),
        ts_ms: Set(ts_ms),
        ..Default::default()
    };
    head.update(db).await?;
    Ok(records)
}

async fn insert(
    db: &impl ConnectionTrait,
    key: &AuditKey,
    previous: &[u8; 32],
    seq: u64,
    entry: &AuditEntry,
) -> Result<[u8; 32]> {
    let meta = Meta {
        namespace: entry.namespace,
        kind: entry.kind,
        workspaces: entry.workspaces.clone(),
        detail: entry.detail.clone(),
    };
    let meta = serde_json::to_string(&meta).map_err(|cause| Error::internal("writing an audit entry", cause))?;
    let actor = format!("{}:{}", entry.actor_kind.as_str(), entry.actor);
    let target = format!("{}:{}", entry.target_kind, entry.target);
    let ts_ms = entry.at.timestamp_millis();
    let row =
        AuditRow { seq, ts_ms: unsigned(ts_ms), actor: &actor, action: &entry.action, target: &target, meta: &meta };
    let mac = key.mac(previous, &row);
    let row = audit_entry::ActiveModel {
        seq: Set(signed(seq)),
        ts_ms: Set(ts_ms),
        namespace_id: Set(entry.namespace.0),
        kind: Set(entry.kind.as_str().to_owned()),
        actor: Set(actor.clone()),
        action: Set(entry.action.clone()),
        target: Set(target.clone()),
        meta: Set(meta.clone()),
        key_version: Set(signed32(key.version)),
        mac: Set(mac.to_vec()),
    };
    audit_entry::Entity::insert(row).exec_without_returning(db).await?;
    for workspace in &entry.workspaces {
        let row = audit_workspace::ActiveModel { workspace_id: Set(workspace.0), seq: Set(signed(seq)) };
        audit_workspace::Entity::insert(row).exec_without_returning(db).await?;
    }
    Ok(mac)
}

/// Which entries to list. Newest first.
#[derive(Debug, Clone)]
pub struct AuditFilter {
    /// Whose log.
    pub namespace: AccountId,
    /// Only this workspace's log.
    pub workspace: Option<WorkspaceId>,
    /// Only these parts; empty: all.
    pub kinds: Vec<AuditKind>,
    /// Only acts of this person or token, as shown.
    pub actor: Option<String>,
    /// Only this action.
    pub action: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Older than this entry (the cursor of the next page).
    pub before: Option<u64>,
    /// Only the entry at this position.
    pub seq: Option<u64>,
    /// At most so many.
    pub limit: u64,
}

impl AuditFilter {
    /// The newest entries of a namespace.
    pub fn newest(namespace: AccountId, limit: u64) -> Self {
        AuditFilter {
            namespace,
            workspace: None,
            kinds: Vec::new(),
            actor: None,
            action: None,
            since: None,
            until: None,
            before: None,
            seq: None,
            limit,
        }
    }
}

/// The entries that fit, newest first.
pub async fn list(db: &impl ConnectionTrait, filter: AuditFilter) -> Result<Vec<AuditRecord>> {
    use audit_entry::Column;

    let mut query = audit_entry::Entity::find().filter(Column::NamespaceId.eq(filter.namespace.0));
    if let Some(workspace) = filter.workspace {
        let shown = audit_workspace::Entity::find()
            .select_only()
            .column(audit_workspace::Column::Seq)
            .filter(audit_workspace::Column::WorkspaceId.eq(workspace.0));
        query = query.filter(Column::Seq.in_subquery(sea_orm::QueryTrait::into_query(shown)));
    }
    if !filter.kinds.is_empty() {
        query = query.filter(Column::Kind.is_in(filter.kinds.iter().map(|kind| kind.as_str())));
    }
    if let Some(actor) = filter.actor {
        let spellings = ActorKind::ALL.map(|kind| format!("{}:{actor}", kind.as_str()));
        query = query.filter(Column::Actor.is_in(spellings));
    }
    if let Some(action) = filter.action {
        query = query.filter(Column::Action.eq(action));
    }
    if let Some(since) = filter.since {
        query = query.filter(Column::TsMs.gte(since.timestamp_millis()));
    }
    if let Some(until) = filter.until {
        query = query.filter(Column::TsMs.lt(until.timestamp_millis()));
    }
    if let Some(before) = filter.before {
        query = query.filter(Column::Seq.lt(signed(before)));
    }
    if let Some(seq) = filter.seq {
        query = query.filter(Column::Seq.eq(signed(seq)));
    }
    let rows = query.order_by_desc(Column::Seq).limit(filter.limit).all(db).await?;
    rows.into_iter().map(record).collect()
}

fn record(row: audit_entry::Model) -> Result<AuditRecord> {
    let meta: Meta = serde_json::from_str(&row.meta).map_err(|cause| damaged("audit_entries.meta", cause))?;
    let (actor_kind, actor) = row.actor.split_once(':').unwrap_or(("", &row.actor));
    let (target_kind, target) = row.target.split_once(':').unwrap_or(("", &row.target));
    let actor_kind = ActorKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == actor_kind)
        .ok_or_else(|| damaged("audit_entries.actor", "unknown kind"))?;
    Ok(AuditRecord {
        seq: unsigned(row.seq),
        entry: AuditEntry {
            at: Timestamp::from_timestamp_millis(row.ts_ms).unwrap_or_default(),
            namespace: meta.namespace,
            workspaces: meta.workspaces,
            kind: meta.kind,
            actor_kind,
            actor: actor.to_owned(),
            action: row.action,
            target_kind: target_kind.to_owned(),
            target: target.to_owned(),
            detail: meta.detail,
            seen: None,
            warrant: None,
        },
    })
}
