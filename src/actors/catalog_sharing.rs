//! WorkspaceCatalog: who loses a skill when it is shared with fewer people than before. An installation in a workspace
//! that the skill is not shared with any more is switched off in the transaction that narrows it, and is not switched on
//! again until it is shared again; `explain` says why. A workspace of the skill's own namespace always keeps it.

use std::time::Duration;

use actix::{ActorFutureExt as _, AsyncContext as _, Context, Handler, Message, WrapFuture as _};

use crate::{
    actors::workspace_catalog::{Reply, WorkspaceCatalog},
    domain::{
        ids::{AccountId, ServerId},
        role::Principal,
        skill::Skill,
    },
    error::{Result, err},
    store::{
        Store, Tx,
        audit::{ActorKind, AuditEntry, AuditKind},
        due_work::{self, Due},
        servers::{self, InstallationRecord},
        skills::{self, Of},
        workspaces,
    },
};

/// How often it is looked whether something is due that was not done at once.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Switches off what is due: what a namespace shares with its members only, where it is not shared any more because
/// somebody has left.
#[derive(Message)]
#[rtype(result = "Result<()>")]
pub struct Withhold;

impl Handler<Withhold> for WorkspaceCatalog {
    type Result = Reply<()>;
    fn handle(&mut self, _: Withhold, _: &mut Context<Self>) -> Self::Result {
        let store = self.store.clone();
        // Whoever looks every half minute does not wait for what became of it.
        let work = async move {
            settle(&store).await.inspect_err(|error| {
                tracing::error!(%error, "skills that are not shared any more are still on; it is tried again");
            })
        };
        self.changing(work, |books, off| off.into_iter().for_each(|record| books.replace_installation(record)))
    }
}

impl WorkspaceCatalog {
    /// Does what is due whenever it could not be done at once.
    pub(super) fn look_for_due(ctx: &mut Context<Self>) {
        ctx.run_interval(LOOK_EVERY, |actor, ctx| {
            let store = actor.store.clone();
            let look = async move { is_due(&store).await };
            ctx.spawn(look.into_actor(actor).map(|due, _, ctx| match due {
                Ok(true) => ctx.notify(Withhold),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "it was not looked whether skills are to be switched off"),
            }));
        });
    }
}

async fn is_due(store: &Store) -> Result<bool> {
    let due = store.read(|db| async move { due_work::list(&db, Due::WithholdSkills).await }).await?;
    Ok(!due.is_empty())
}

/// Does what the last process, or incarnation, left. What fails is tried again later.
pub(super) async fn settle_at_start(store: &Store) {
    if let Err(error) = settle(store).await {
        tracing::error!(%error, "skills that are not shared any more are still on; it is tried again");
    }
}

/// Does what is due, and takes the notes of it away in the same transaction.
async fn settle(store: &Store) -> Result<Vec<InstallationRecord>> {
    if !is_due(store).await? {
        return Ok(Vec::new());
    }
    let write = store.upkeep(|tx| {
        Box::pin(async move {
            let due = due_work::list(tx.conn(), Due::WithholdSkills).await?;
            let mut namespaces: Vec<AccountId> = Vec::new();
            for note in &due {
                match note.subject.parse() {
                    Ok(namespace) if !namespaces.contains(&namespace) => namespaces.push(namespace),
                    Ok(_) => {}
                    Err(_unreadable) => tracing::error!(note = %note.id, "a note of what is due is damaged"),
                }
            }
            let mut off = Vec::new();
            for skill in skills::list(tx.conn(), &Of::Namespaces(namespaces)).await? {
                off.extend(withhold(tx, skill.about.server).await?);
            }
            due_work::done(tx, &due).await?;
            Ok(off)
        })
    });
    write.await
}

/// Switches a skill off where it is not shared any more, and says so in those workspaces' logs.
pub(super) async fn withhold(tx: &Tx, server: ServerId) -> Result<Vec<InstallationRecord>> {
    let mut off = Vec::new();
    let definition = servers::get(tx.conn(), server).await?;
    let Some(skill) = definition.and_then(|definition| definition.spec.skill().map(Skill::reference)) else {
        return Ok(off);
    };
    for id in servers::workspaces_with(tx.conn(), server).await? {
        let Some(workspace) = workspaces::get(tx.conn(), id).await? else { continue };
        let there = servers::installations(tx.conn(), id).await?;
        for record in there.into_iter().filter(|one| one.server == server && one.enabled) {
            if skills::is_shared_with(tx.conn(), server, [workspace.namespace, record.created_by]).await? {
                continue;
            }
            let record = InstallationRecord { enabled: false, ..record };
            servers::update_installation(tx, &record).await?;
            tx.change("installation", record.id).await?;
            let actor = (ActorKind::System, "aerostack");
            let entry = AuditEntry::by_actor(workspace.namespace, actor, "skill_withheld", ("skill", &skill));
            tx.audit(entry.of_kind(AuditKind::Install).in_workspace(id)).await?;
            off.push(record);
        }
    }
    Ok(off)
}

/// Goes on only if an installation that is switched on is of something that is shared with whoever does it.
pub(super) async fn require_shared(tx: &Tx, record: &InstallationRecord, by: &Principal) -> Result<()> {
    if skills::is_shared_with(tx.conn(), record.server, [by.namespace, by.account]).await? {
        return Ok(());
    }
    Err(err::forbidden("The skill is not shared with this namespace any more")
        .with_hint("ask an owner of its namespace to invite you, or uninstall it"))
}
