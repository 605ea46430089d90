//! WorkspaceCatalog: another name or another place in the URL for a workspace.

use actix::{Context, Handler};

use crate::{
    actors::{
        catalog_changes::RenameWorkspace,
        workspace_catalog::{Reply, WorkspaceCatalog},
    },
    error::err,
    store::{
        audit::AuditEntry,
        workspaces::{self, WorkspaceRecord},
    },
};

impl Handler<RenameWorkspace> for WorkspaceCatalog {
    type Result = Reply<WorkspaceRecord>;
    fn handle(&mut self, rename: RenameWorkspace, _: &mut Context<Self>) -> Self::Result {
        let store = self.store.clone();
        let work = async move {
            store
                .write(move |tx| {
                    Box::pin(async move {
                        let known = workspaces::get(tx.conn(), rename.workspace).await?;
                        let known = known.filter(|record| record.namespace == rename.by.namespace);
                        let known = known.ok_or_else(|| err::not_found("No such workspace"))?;
                        let (before, name) = (known.slug.clone(), known.name.clone());
                        let record = WorkspaceRecord {
                            slug: rename.slug.unwrap_or_else(|| before.clone()),
                            name: rename.name.unwrap_or_else(|| known.name.clone()),
                            ..known
                        };
                        workspaces::rename(tx, &record).await?;
                        tx.change("workspace", record.id).await?;
                        let entry = AuditEntry::new(&rename.by, "workspace_renamed", ("workspace", &record.slug));
                        let entry =
                            entry.in_workspace(record.id).changed("slug", before.to_string(), record.slug.to_string());
                        tx.audit(entry.changed("name", name, record.name.clone())).await?;
                        Ok(record)
                    })
                })
                .await
        };
        self.change(work, |books, record| books.add_workspace(record.clone()))
    }
}
