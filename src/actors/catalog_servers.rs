//! WorkspaceCatalog: what is decided about server definitions.

use actix::{Context, Handler};

use crate::{
    actors::{
        catalog_changes::{AddServer, ChangeServer, RemoveServer},
        catalog_skills::Acted,
        workspace_catalog::{Reply, WorkspaceCatalog},
    },
    domain::{
        clock,
        ids::{RevisionId, ServerId},
        redacted,
    },
    error::err,
    store::{
        audit::AuditEntry,
        servers::{self, ServerRecord},
    },
};

impl Handler<AddServer> for WorkspaceCatalog {
    type Result = Reply<ServerRecord>;
    fn handle(&mut self, add: AddServer, _: &mut Context<Self>) -> Self::Result {
        let store = self.store.clone();
        let now = clock::now();
        let record = ServerRecord {
            id: ServerId::generate(),
            namespace: add.by.namespace,
            slug: add.slug,
            title: add.title,
            kind: add.spec.kind().into(),
            revision: RevisionId::generate(),
            spec: add.spec,
            created_by: add.by.account,
            created_at: now,
            updated_at: now,
        };
        let work = async move {
            let made = record.clone();
            store
                .write(move |tx| {
                    Box::pin(async move {
                        servers::insert(tx, &record).await?;
                        tx.change("server", record.id).await?;
                        tx.audit(AuditEntry::new(&add.by, "mcp_added", ("server", &record.slug))).await
                    })
                })
                .await?;
            Ok(made)
        };
        self.change(work, |books, record| books.add_server(record.clone()))
    }
}

impl Handler<ChangeServer> for WorkspaceCatalog {
    type Result = Reply<ServerRecord>;
    fn handle(&mut self, change: ChangeServer, _: &mut Context<Self>) -> Self::Result {
        let store = self.store.clone();
        let known = self.books.server(change.server).cloned();
        let work = async move {
            let known = known.ok_or_else(|| err::not_found("No such MCP server"))?;
            // Whoever says what they have seen is judged by that, at the commit.
            if change.made_of.is_some_and(|seen| seen != known.revision) && change.by.seen.is_none() {
                return Err(err::conflict(format!("{} was changed by somebody else just now", known.slug))
                    .with_hint("look at it as it is now, and change it again"));
            }
            let before = known.clone();
            let record = ServerRecord {
                title: change.title,
                kind: change.spec.kind().into(),
                revision: RevisionId::generate(),
                spec: change.spec,
                updated_at: clock::now(),
                ..known
            };
            let made = record.clone();
            store
                .write(move |tx| {
                    Box::pin(async move {
                        servers::update(tx, &record, change.by.account).await?;
                        servers::move_installations(tx, record.id, record.revision).await?;
                        tx.change("server", record.id).await?;
                        let shown_in = servers::workspaces_with(tx.conn(), record.id).await?;
                        let entry = AuditEntry::new(&change.by, "mcp_changed", ("server", &record.slug));
                        tx.audit(differing(entry, &before, &record).in_workspaces(shown_in)).await
                    })
                })
                .await?;
            Ok(made)
        };
        self.change(work, |books, record| books.change_server(record.clone()))
    }
}

/// What of a definition is another now. Of an address only its beginning is written: its path may be a credential.
fn differing(entry: AuditEntry, before: &ServerRecord, now: &ServerRecord) -> AuditEntry {
    let place = |record: &ServerRecord| record.spec.url().map(|url| redacted::place(url.as_str()));
    let protocol = |record: &ServerRecord| serde_json::to_value(record.spec.protocol).unwrap_or_default();
    let entry = entry
        .changed("title", before.title.as_str(), now.title.as_str())
        .changed("address", place(before), place(now))
        .changed("protocol", protocol(before), protocol(now))
        .changed("timeout_seconds", before.spec.timeout_seconds, now.spec.timeout_seconds)
        .changed("total_seconds", before.spec.total_seconds, now.spec.total_seconds)
        .changed("max_in_flight", before.spec.max_in_flight, now.spec.max_in_flight);
    let moved = before.spec.reach != now.spec.reach && place(before) == place(now);
    if moved { entry.with("reached_another_way", true) } else { entry }
}

impl Handler<RemoveServer> for WorkspaceCatalog {
    type Result = Reply<()>;
    fn handle(&mut self, remove: RemoveServer, _: &mut Context<Self>) -> Self::Result {
        let store = self.store.clone();
        let id = remove.server;
        let slug = self.books.server_slug(id);
        let skill = self.books.skill_reference(id);
        let work = async move {
            let slug = slug.ok_or_else(|| err::not_found("No such MCP server"))?;
            store
                .write(move |tx| {
                    Box::pin(async move {
                        let shown_in = servers::workspaces_with(tx.conn(), id).await?;
                        if !servers::delete(tx, remove.by.namespace, id).await? {
                            return Err(err::not_found(format!("No MCP server \"{slug}\"")));
                        }
                        tx.change("server", id).await?;
                        let acted = Acted { server: "mcp_removed", skill: "skill_removed" };
                        let entry = acted.entry(&remove.by, &slug, skill.as_deref());
                        tx.audit(entry.in_workspaces(shown_in).with("server", id.to_string())).await
                    })
                })
                .await
        };
        self.change(work, move |books, ()| books.remove_server(id))
    }
}
