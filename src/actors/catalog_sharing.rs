//! WorkspaceCatalog: who loses a skill when it is shared with fewer people than before. An installation in a workspace
//! that the skill is not shared with any more is switched off in the transaction that narrows it, and is not switched on
//! again until it is shared again; `explain` says why. A workspace of the skill's own namespace always keeps it.

use actix::{Context, Handler, Message};

use crate::{
    actors::workspace_catalog::{Reply, WorkspaceCatalog},
    domain::{
        ids::{AccountId, ServerId},
        role::Principal,
        skill::Skill,
    },
    error::{Result, err},
    store::{
        Tx,
        audit::{ActorKind, AuditEntry, AuditKind},
        servers::{self, InstallationRecord},
        skills::{self, Of},
        workspaces,
    },
};

/// Switches off what a namespace shares with its members only, where it is not shared any more: somebody has left.
#[derive(Message)]
#[rtype(result = "Result<()>")]
pub struct Withhold {
    /// Whose skills.
    pub namespace: AccountId,
}

impl Handler<Withhold> for WorkspaceCatalog {
    type Result = Reply<()>;
    fn handle(&mut self, Withhold { namespace }: Withhold, _: &mut Context<Self>) -> Self::Result {
        let store = self.store.clone();
        let work = async move {
            store
                .write(move |tx| {
                    Box::pin(async move {
                        let mut off = Vec::new();
                        for skill in skills::list(tx.conn(), &Of::Namespaces(vec![namespace])).await? {
                            off.extend(withhold(tx, skill.about.server).await?);
                        }
                        Ok(off)
                    })
                })
                .await
        };
        self.changing(work, |books, off: Vec<InstallationRecord>| {
            off.into_iter().for_each(|record| books.replace_installation(record));
        })
    }
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
