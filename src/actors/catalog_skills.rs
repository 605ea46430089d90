//! WorkspaceCatalog: what is decided about skills. A skill is a server definition, a version one of its revisions; an
//! installation keeps its version until somebody asks for another one.

use actix::{Context, Handler, Message};

use crate::{
    actors::{
        catalog_sharing::withhold,
        catalog_tools::{Recorded, note_installation},
        workspace_catalog::{Reply, WorkspaceCatalog},
    },
    config::SkillsConfig,
    domain::{
        clock,
        definition::PinMode,
        ids::{AccountId, RevisionId, ServerId, WorkspaceId},
        role::Principal,
        server::ServerSpec,
        skill::{self as rules, Visibility},
        slug::Slug,
    },
    error::{Result, err},
    store::{
        Tx,
        audit::{AuditEntry, AuditKind},
        servers::{self, InstallationRecord, ServerRecord},
        skills::{self, SkillAbout, VersionRecord},
    },
};

/// A version on its way into a workspace.
#[derive(Debug, Clone)]
pub struct SkillVersion {
    /// The revision it is.
    pub revision: RevisionId,
    /// What it runs.
    pub spec: ServerSpec,
}

/// How an act is called that is done to servers and to skills.
pub(super) struct Acted {
    pub(super) server: &'static str,
    pub(super) skill: &'static str,
}

impl Acted {
    /// Its audit entry: the seeds show installations of skills in a column of their own.
    pub(super) fn entry(&self, by: &Principal, slug: &str, skill: Option<&str>) -> AuditEntry {
        match skill {
            Some(skill) => AuditEntry::new(by, self.skill, ("skill", skill)).of_kind(AuditKind::Install),
            None => AuditEntry::new(by, self.server, ("server", slug)),
        }
    }
}

/// Publishes a version of a skill, the first one included. It must be greater than all before.
#[derive(Message)]
#[rtype(result = "Result<ServerRecord>")]
pub struct PublishVersion {
    /// Where: an account's namespace.
    pub namespace: AccountId,
    /// The skill's name.
    pub name: Slug,
    /// What the version runs.
    pub spec: ServerSpec,
    /// Its number.
    pub version: semver::Version,
    /// `aerostack.json` as it is kept.
    pub manifest: String,
    /// SHA-256 of manifest and document.
    pub hash: [u8; 32],
    /// Who may see the skill; none: as before, a new one everybody.
    pub visibility: Option<Visibility>,
    /// What it is about.
    pub category: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// How many there may be.
    pub limits: SkillsConfig,
    /// Who asks.
    pub by: Principal,
}

/// Changes who may see a skill.
#[derive(Message)]
#[rtype(result = "Result<()>")]
pub struct ChangeSkill {
    /// Which.
    pub server: ServerId,
    /// Who may see it.
    pub visibility: Visibility,
    /// Who asks.
    pub by: Principal,
}

/// Withdraws a version, or takes that back. Installations of it stay.
#[derive(Message)]
#[rtype(result = "Result<()>")]
pub struct ChangeVersion {
    /// Which skill.
    pub server: ServerId,
    /// Which version.
    pub revision: RevisionId,
    /// Its number, for the audit log.
    pub version: String,
    /// Whether it is withdrawn.
    pub yanked: bool,
    /// Who asks.
    pub by: Principal,
}

/// Moves an installation to another version; what that offers is approved with it.
#[derive(Message)]
#[rtype(result = "Result<InstallationRecord>")]
pub struct UpgradeSkill {
    /// Where.
    pub workspace: WorkspaceId,
    /// What.
    pub server: ServerId,
    /// To which version.
    pub to: SkillVersion,
    /// Who asks.
    pub by: Principal,
}

impl PublishVersion {
    async fn write(self, tx: &Tx) -> Result<(ServerRecord, Vec<InstallationRecord>)> {
        let known = servers::by_slug(tx.conn(), self.namespace, &self.name).await?;
        let about = match &known {
            Some(record) => Some(self.check_next(tx, record).await?),
            None => {
                let used = skills::count(tx.conn(), self.namespace).await?;
                if used >= self.limits.per_namespace {
                    return Err(err::conflict(format!("There are {used} skills here, the most allowed"))
                        .with_hint("remove one, or raise skills.per_namespace"));
                }
                None
            }
        };
        let now = clock::now();
        let record = ServerRecord {
            id: known.as_ref().map_or_else(ServerId::generate, |record| record.id),
            namespace: self.namespace,
            slug: self.name.clone(),
            title: self.name.to_string(),
            kind: self.spec.kind().into(),
            revision: RevisionId::generate(),
            created_by: known.as_ref().map_or(self.by.account, |record| record.created_by),
            created_at: known.as_ref().map_or(now, |record| record.created_at),
            updated_at: now,
            spec: self.spec,
        };
        match known {
            Some(_) => servers::update(tx, &record, self.by.account).await?,
            None => servers::insert(tx, &record).await?,
        }
        let before = about.map(|about| about.visibility);
        let about = SkillAbout {
            server: record.id,
            visibility: self.visibility.or(before).unwrap_or_default(),
            description: record.spec.skill().map(|skill| skill.description.clone()).unwrap_or_default(),
            category: self.category,
            tags: self.tags,
        };
        skills::put(tx, &about).await?;
        let version = VersionRecord {
            revision: record.revision,
            server: record.id,
            version: self.version,
            manifest: self.manifest,
            hash: self.hash,
            yanked_at: None,
            yanked_by: None,
        };
        skills::add_version(tx, &version).await?;
        tx.change("server", record.id).await?;
        let reference = record.spec.skill().map(rules::Skill::reference).unwrap_or_default();
        let entry = AuditEntry::new(&self.by, "skill_published", ("skill", &reference)).of_kind(AuditKind::Install);
        let entry = entry.with("version", version.version.to_string()).with("visibility", about.visibility.as_str());
        tx.audit(entry).await?;
        let off = withhold(tx, record.id).await?;
        Ok((record, off))
    }

    /// Whether this may be the next version of a skill that exists.
    async fn check_next(&self, tx: &Tx, record: &ServerRecord) -> Result<SkillAbout> {
        let name = &self.name;
        let skill = skills::by_name(tx.conn(), self.namespace, name).await?.ok_or_else(|| {
            err::conflict(format!("There is an MCP server \"{name}\" already"))
                .with_hint("publish under another name: aerostack skill publish --name NAME")
        })?;
        let versions = skills::versions(tx.conn(), record.id).await?;
        if versions.len() >= self.limits.versions {
            return Err(err::conflict(format!("{name} has {} versions, the most allowed", versions.len()))
                .with_hint("raise skills.versions"));
        }
        match versions.first().filter(|newest| newest.version >= self.version) {
            None => Ok(skill.about),
            Some(newest) => Err(err::conflict(format!(
                "Version {} of {name} is not greater than {}, which is published",
                self.version, newest.version
            ))
            .with_hint("raise \"version\" in aerostack.json")),
        }
    }
}

impl Handler<PublishVersion> for WorkspaceCatalog {
    type Result = Reply<ServerRecord>;
    fn handle(&mut self, publish: PublishVersion, _: &mut Context<Self>) -> Self::Result {
        let store = self.store.clone();
        let work = async move { store.write(move |tx| Box::pin(async move { publish.write(tx).await })).await };
        // Installations keep their version: only what is known of the newest one changes.
        self.changing(work, |books, (record, off)| {
            books.add_server(record.clone());
            off.into_iter().for_each(|one| books.replace_installation(one));
            record
        })
    }
}

impl Handler<ChangeSkill> for WorkspaceCatalog {
    type Result = Reply<()>;
    fn handle(&mut self, change: ChangeSkill, _: &mut Context<Self>) -> Self::Result {
        let store = self.store.clone();
        let skill = self.books.skill_reference(change.server);
        let work = async move {
            let skill = skill.ok_or_else(|| err::not_found("No such skill"))?;
            store
                .write(move |tx| {
                    Box::pin(async move {
                        skills::set_visibility(tx, change.server, change.visibility).await?;
                        tx.change("server", change.server).await?;
                        let entry = AuditEntry::new(&change.by, "skill_visibility_changed", ("skill", &skill));
                        let entry = entry.of_kind(AuditKind::Install);
                        tx.audit(entry.with("visibility", change.visibility.as_str())).await?;
                        withhold(tx, change.server).await
                    })
                })
                .await
        };
        self.changing(work, |books, off| off.into_iter().for_each(|one| books.replace_installation(one)))
    }
}

impl Handler<ChangeVersion> for WorkspaceCatalog {
    type Result = Reply<()>;
    fn handle(&mut self, change: ChangeVersion, _: &mut Context<Self>) -> Self::Result {
        let store = self.store.clone();
        let skill = self.books.skill_reference(change.server);
        let work = async move {
            let skill = skill.ok_or_else(|| err::not_found("No such skill"))?;
            store
                .write(move |tx| {
                    Box::pin(async move {
                        let by = change.yanked.then_some(&*change.by.label);
                        if !skills::set_yanked(tx, change.revision, by).await? {
                            tx.acts(&change.by);
                            return Ok(());
                        }
                        tx.change("server", change.server).await?;
                        let action = if change.yanked { "skill_version_yanked" } else { "skill_version_restored" };
                        let entry = AuditEntry::new(&change.by, action, ("skill", &skill)).of_kind(AuditKind::Install);
                        tx.audit(entry.with("version", change.version)).await
                    })
                })
                .await
        };
        self.change(work, |_, ()| ())
    }
}

impl Handler<UpgradeSkill> for WorkspaceCatalog {
    type Result = Reply<InstallationRecord>;
    fn handle(&mut self, upgrade: UpgradeSkill, _: &mut Context<Self>) -> Self::Result {
        let store = self.store.clone();
        self.books.know_skill(upgrade.server, upgrade.to.revision, &upgrade.to.spec);
        let found = self.books.installations(upgrade.workspace).iter().find(|one| one.server == upgrade.server);
        let record = found.map(|one| InstallationRecord { revision: upgrade.to.revision, ..one.clone() });
        // Whoever asks for another version takes it as it is.
        let takes_all = record.clone().map(|record| InstallationRecord { pin_mode: PinMode::Track, ..record });
        let recorded = takes_all.and_then(|record| Recorded::of(&self.books, &record));
        let skill = self.books.skill_reference(upgrade.server);
        let work = async move {
            let missing = || err::not_found("The skill is not installed in this workspace");
            let (record, skill) = record.zip(skill).ok_or_else(missing)?;
            let (row, version) = (record.clone(), upgrade.to.spec.skill().map(|skill| skill.version.clone()));
            let recorded = store
                .write(move |tx| {
                    Box::pin(async move {
                        servers::update_installation(tx, &row).await?;
                        if let Some(recorded) = &recorded {
                            recorded.approve(tx, &upgrade.by.label).await?;
                        }
                        tx.change("installation", row.id).await?;
                        let entry = AuditEntry::new(&upgrade.by, "upgrade", ("skill", &skill));
                        let entry = entry.of_kind(AuditKind::Install).in_workspace(row.workspace);
                        tx.audit(entry.with("version", version.unwrap_or_default())).await?;
                        Ok(recorded)
                    })
                })
                .await?;
            Ok((record, recorded))
        };
        self.changing(work, note_installation)
    }
}
