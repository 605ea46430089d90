//! WorkspaceCatalog: what is decided about installations and their tools, and how discoveries meet their pins. Every
//! decision is one transaction with its audit entries; the snapshot follows the commit.

use std::time::Duration;

use actix::{ActorFutureExt as _, AsyncContext as _, AtomicResponse, Context, Handler, WrapFuture as _};

use crate::{
    actors::{
        catalog_books::{Books, Discovery},
        catalog_changes::{DecidePins, OfferDiscovered, RecordPins, SetTools, UpdateInstallation},
        catalog_policy::PinPlan,
        catalog_sharing::require_shared,
        workspace_catalog::{Reply, WorkspaceCatalog},
    },
    domain::{
        definition::PinMode,
        ids::{AccountId, ServerId, WorkspaceId},
        slug::Slug,
        tool_name,
    },
    error::{Error, Result, err},
    store::{
        Store, Tx,
        audit::{ActorKind, AuditEntry, AuditKind},
        servers::{self, InstallationRecord},
        tool_pins, tool_settings,
        tool_settings::ToolSetting,
    },
};

/// Who approves a baseline, and what is tracked.
const GATEWAY: &str = "aerostack";
/// Between two records of what a server changed: one that changes all the time fills neither database nor audit log.
const RECORD_EVERY: Duration = Duration::from_secs(5);
/// Tools that an audit entry names; how many there are in all is said.
const NAMED: usize = 20;

/// What was decided about a tool: whether it is on, and its other name.
type Before = (bool, Option<String>);

/// Pins to be written for one installation.
pub struct Recorded {
    pub(super) installation: InstallationRecord,
    pub(super) plan: PinPlan,
    namespace: AccountId,
    slug: Slug,
}

impl Recorded {
    /// What `books` plan for an installation, if there is anything.
    pub(super) fn of(books: &Books, installation: &InstallationRecord) -> Option<Self> {
        let plan = books.pin_plan(installation);
        let server = books.server(installation.server)?;
        let (namespace, slug) = (server.namespace, server.slug.clone());
        let recorded = Recorded { installation: installation.clone(), plan, namespace, slug };
        (!recorded.plan.is_empty()).then_some(recorded)
    }

    /// Writes what is approved and what is not known any more.
    pub(super) async fn approve(&self, tx: &Tx, by: &str) -> Result<()> {
        tool_pins::forget(tx, self.installation.id, &self.plan.forget).await?;
        tool_pins::approve(tx, self.installation.id, &self.plan.approve, by).await
    }

    /// Writes it.
    pub(super) async fn write(&self, tx: &Tx) -> Result<()> {
        let (id, plan) = (self.installation.id, &self.plan);
        self.approve(tx, GATEWAY).await?;
        tool_pins::note_seen(tx, id, &plan.wait).await?;
        if plan.baseline {
            let at = Some(crate::domain::clock::now());
            servers::update_installation(tx, &InstallationRecord { pinned_at: at, ..self.installation.clone() })
                .await?;
        }
        let tracked = if plan.baseline || self.installation.pin_mode == PinMode::Pin { &[][..] } else { &plan.approve };
        for (action, tools) in [("tools_waiting", plan.wait.as_slice()), ("tools_changed", tracked)] {
            if tools.is_empty() {
                continue;
            }
            let actor = (ActorKind::System, GATEWAY);
            let names: Vec<&str> = tools.iter().take(NAMED).map(|one| one.tool.as_str()).collect();
            let entry = AuditEntry::by_actor(self.namespace, actor, action, ("server", &self.slug))
                .of_kind(AuditKind::Install)
                .in_workspace(self.installation.workspace)
                .with("tools", names)
                .with("count", tools.len());
            tx.audit(entry).await?;
        }
        tx.change("installation", id).await
    }
}

/// Notes an installation that was changed, with what that approved.
pub(super) fn note_installation(
    books: &mut Books,
    (record, recorded): (InstallationRecord, Option<Recorded>),
) -> InstallationRecord {
    books.replace_installation(record.clone());
    if let Some(recorded) = recorded {
        books.carry_out(&recorded.installation, &recorded.plan);
    }
    record
}

async fn write_all(store: &Store, all: Vec<Recorded>) -> Result<Vec<Recorded>> {
    store
        .upkeep(move |tx| {
            Box::pin(async move {
                for recorded in &all {
                    recorded.write(tx).await?;
                }
                Ok(all)
            })
        })
        .await
}

impl WorkspaceCatalog {
    /// Writes what the latest discovery of a server changes in pins, then publishes. What cannot be written now, or was
    /// written a moment ago, is written later; meanwhile unapproved tools are hidden all the same.
    fn record_pins(&mut self, key: Discovery) -> AtomicResponse<Self, ()> {
        let planned: Vec<Recorded> =
            self.books.seeing(key).filter_map(|installation| Recorded::of(&self.books, installation)).collect();
        let due = planned.iter().any(|recorded| recorded.plan.baseline) || self.may_record(key);
        let (store, nothing) = (self.store.clone(), planned.is_empty());
        let work = async move { if nothing || !due { Ok(Vec::new()) } else { write_all(&store, planned).await } };
        AtomicResponse::new(Box::pin(work.into_actor(self).map(move |written, actor, ctx| {
            let failed = written.is_err();
            match written {
                Ok(all) => all.iter().for_each(|one| actor.books.carry_out(&one.installation, &one.plan)),
                Err(error) => tracing::warn!(%error, "what a server changed is not recorded yet"),
            }
            if !nothing && (failed || !due) && actor.late.insert(key) {
                ctx.notify_later(RecordPins(key.0, key.1), RECORD_EVERY);
            }
            actor.published.publish(actor.books.catalog());
        })))
    }

    /// Whether something about this server may be recorded now; notes that it is.
    fn may_record(&mut self, key: Discovery) -> bool {
        let now = crate::domain::clock::instant();
        let due = self.recorded.get(&key).is_none_or(|at| now.saturating_duration_since(*at) >= RECORD_EVERY);
        if due {
            self.recorded.insert(key, now);
        }
        due
    }
}

impl Handler<OfferDiscovered> for WorkspaceCatalog {
    type Result = AtomicResponse<Self, ()>;
    fn handle(&mut self, found: OfferDiscovered, _: &mut Context<Self>) -> Self::Result {
        let key = (found.server, found.scope);
        if self.books.discovered(key, found.offer, found.prints) {
            return self.record_pins(key);
        }
        AtomicResponse::new(Box::pin(actix::fut::ready(())))
    }
}

impl Handler<RecordPins> for WorkspaceCatalog {
    type Result = AtomicResponse<Self, ()>;
    fn handle(&mut self, RecordPins(server, scope): RecordPins, _: &mut Context<Self>) -> Self::Result {
        self.late.remove(&(server, scope));
        self.record_pins((server, scope))
    }
}

impl WorkspaceCatalog {
    /// An installation with its server's slug, as the books have it.
    fn installed(&self, workspace: WorkspaceId, server: ServerId) -> Result<(InstallationRecord, Slug)> {
        let found = self.books.installations(workspace).iter().find(|one| one.server == server);
        let slug = self.books.server_slug(server);
        found.cloned().zip(slug).ok_or_else(|| err::not_found("The server is not installed in this workspace"))
    }

    /// What changes of an installation, with the names of what is changed for the audit log.
    fn plan_update(&self, update: &UpdateInstallation) -> Result<(InstallationRecord, Slug, Vec<&'static str>)> {
        let (mut record, slug) = self.installed(update.workspace, update.server)?;
        let mut actions = Vec::new();
        if let Some(enabled) = update.enabled.filter(|enabled| *enabled != record.enabled) {
            record.enabled = enabled;
            actions.push(if enabled { "mcp_enabled" } else { "mcp_disabled" });
        }
        if let Some(prefix) = update.prefix.as_ref().filter(|prefix| **prefix != record.exposed_prefix) {
            tool_name::check_prefix(prefix)?;
            let there = self.books.installations(update.workspace);
            if there.iter().any(|one| one.id != record.id && one.exposed_prefix == *prefix) {
                return Err(err::conflict(format!("The prefix \"{prefix}\" is in use in this workspace"))
                    .with_hint("choose another one"));
            }
            (record.prefix, record.exposed_prefix) = (Some(prefix.clone()), prefix.clone());
            actions.push("mcp_prefix_changed");
        }
        if let Some(mode) = update.pins.filter(|mode| *mode != record.pin_mode) {
            record.pin_mode = mode;
            actions.push("pins_mode_changed");
        }
        Ok((record, slug, actions))
    }
}

impl Handler<UpdateInstallation> for WorkspaceCatalog {
    type Result = Reply<InstallationRecord>;
    fn handle(&mut self, update: UpdateInstallation, _: &mut Context<Self>) -> Self::Result {
        let store = self.store.clone();
        let before = self.installed(update.workspace, update.server);
        let planned = self.plan_update(&update);
        // Whoever changes the mode takes the tools as they are offered now: what tracking showed is the new baseline,
        // and what waits is tracked from here on.
        let recorded = planned.as_ref().ok().filter(|(.., actions)| actions.contains(&"pins_mode_changed"));
        let tracking = |record: &InstallationRecord| InstallationRecord { pin_mode: PinMode::Track, ..record.clone() };
        let recorded = recorded.and_then(|(record, ..)| Recorded::of(&self.books, &tracking(record)));
        let work = async move {
            let ((before, _), (record, slug, actions)) = (before?, planned?);
            let (row, by) = (record.clone(), update.by);
            let recorded = store
                .write(move |tx| {
                    Box::pin(async move {
                        tx.acts(&by);
                        servers::update_installation(tx, &row).await?;
                        if actions.contains(&"mcp_enabled") {
                            require_shared(tx, &row, &by).await?;
                        }
                        if let Some(recorded) = &recorded {
                            recorded.approve(tx, &by.label).await?;
                        }
                        for action in &actions {
                            let entry = AuditEntry::new(&by, action, ("server", &slug)).in_workspace(row.workspace);
                            let entry = match *action {
                                "mcp_prefix_changed" => {
                                    entry.changed("prefix", &*before.exposed_prefix, &*row.exposed_prefix)
                                }
                                "pins_mode_changed" => {
                                    entry.changed("pins", before.pin_mode.as_str(), row.pin_mode.as_str())
                                }
                                _ => entry.changed("enabled", before.enabled, row.enabled),
                            };
                            tx.audit(entry).await?;
                        }
                        if actions.contains(&"mcp_prefix_changed") {
                            tool_pins::forget_short_names(tx, row.id).await?;
                        }
                        tx.change("installation", row.id).await?;
                        Ok(recorded)
                    })
                })
                .await?;
            Ok((record, recorded))
        };
        self.changing(work, note_installation)
    }
}

impl WorkspaceCatalog {
    /// The rows that a change of tools leads to, each with what it was before.
    fn plan_tools(&self, change: &SetTools) -> Result<(Vec<(ToolSetting, Before)>, Slug)> {
        let (record, slug) = self.installed(change.workspace, change.server)?;
        let policy = self.books.policy(record.id);
        if change.alias.is_some() && change.tools.len() != 1 {
            return Err(err::validation("An alias is for one tool"));
        }
        let mut settings = Vec::with_capacity(change.tools.len());
        for tool in &change.tools {
            let before = policy.setting_of(tool);
            let (enabled, mut alias) = before.clone();
            if let Some(wanted) = &change.alias {
                alias = wanted.clone().filter(|alias| *alias != tool_name::plain(&record.exposed_prefix, tool));
                self.check_alias(change, tool, alias.as_deref())?;
            }
            let setting = ToolSetting {
                installation: record.id,
                workspace: record.workspace,
                tool: tool.clone(),
                enabled: change.enabled.unwrap_or(enabled),
                alias,
            };
            settings.push((setting, before));
        }
        Ok((settings, slug))
    }

    /// An alias is a name that every editor takes and that no other tool of the workspace has.
    fn check_alias(&self, change: &SetTools, tool: &str, alias: Option<&str>) -> Result<()> {
        let Some(alias) = alias else { return Ok(()) };
        if !tool_name::fits(alias) {
            return Err(err::validation(format!("An alias has 1 to {} letters, digits, _ or -", tool_name::MAX_LEN)));
        }
        let snapshot = self.published.load();
        let other = snapshot
            .workspace_by_id(change.workspace)
            .and_then(|view| view.leads_to(alias))
            .filter(|route| route.def.id != change.server || *route.upstream_name != *tool);
        match other {
            Some(route) => {
                Err(err::conflict(format!("\"{alias}\" is the name of a tool of {} already", route.def.slug))
                    .with_hint("choose another alias"))
            }
            None => Ok(()),
        }
    }
}

impl Handler<SetTools> for WorkspaceCatalog {
    type Result = Reply<()>;
    fn handle(&mut self, change: SetTools, _: &mut Context<Self>) -> Self::Result {
        let store = self.store.clone();
        let planned = self.plan_tools(&change);
        let work = async move {
            let (settings, slug) = planned?;
            store
                .write(move |tx| {
                    Box::pin(async move {
                        tx.acts(&change.by);
                        for (setting, (was_on, was_called)) in &settings {
                            tool_settings::put(tx, setting, setting.alias != *was_called).await?;
                            let target = format!("{slug}/{}", setting.tool);
                            let entry = |action| {
                                AuditEntry::new(&change.by, action, ("tool", &target)).in_workspace(change.workspace)
                            };
                            if let Some(enabled) = change.enabled {
                                let entry = entry(if enabled { "tool_enabled" } else { "tool_disabled" });
                                tx.audit(entry.changed("enabled", *was_on, enabled)).await?;
                            }
                            if change.alias.is_some() {
                                let (before, alias) = (was_called.clone(), setting.alias.clone());
                                tx.audit(entry("tool_alias_changed").changed("alias", before, alias)).await?;
                            }
                            tx.change("installation", setting.installation).await?;
                        }
                        Ok(settings.into_iter().map(|(setting, _before)| setting).collect::<Vec<_>>())
                    })
                })
                .await
        };
        self.changing(work, |books, settings| settings.iter().for_each(|setting| books.set_tool(setting)))
    }
}

impl Handler<DecidePins> for WorkspaceCatalog {
    type Result = Reply<()>;
    fn handle(&mut self, decide: DecidePins, _: &mut Context<Self>) -> Self::Result {
        let store = self.store.clone();
        let found = self.installed(decide.workspace, decide.server);
        let work = async move {
            let (record, slug) = found?;
            let id = record.id;
            store
                .write(move |tx| {
                    Box::pin(async move {
                        tx.acts(&decide.by);
                        for (tool, print) in &decide.tools {
                            let (by, which) = (&decide.by.label, (tool.as_str(), *print));
                            let done = match decide.approve {
                                true => tool_pins::approve_seen(tx, id, which, by).await?,
                                false => tool_pins::reject_seen(tx, id, which, by).await?,
                            };
                            if !done {
                                return Err(changed_meanwhile(&slug, tool));
                            }
                            let action = if decide.approve { "tool_approved" } else { "tool_rejected" };
                            let target = format!("{slug}/{tool}");
                            let entry = AuditEntry::new(&decide.by, action, ("tool", &target))
                                .in_workspace(decide.workspace)
                                .with("fingerprint", print.to_string());
                            tx.audit(entry).await?;
                        }
                        tx.change("installation", id).await?;
                        Ok((id, decide.tools, decide.approve))
                    })
                })
                .await
        };
        self.changing(work, |books, (id, tools, approve)| {
            for (tool, print) in &tools {
                books.decide(id, tool, *print, approve);
            }
        })
    }
}

fn changed_meanwhile(slug: &str, tool: &str) -> Error {
    err::conflict(format!("The definition of \"{tool}\" is not the one that was looked at any more"))
        .with_hint(format!("look again: aerostack mcp pins diff {slug} \"{tool}\""))
}
