//! Taking over what the files in `servers.d` say: at start, and whenever an administrator asks for it.

use std::collections::HashSet;

use crate::{
    actors::{
        Actors,
        workspace_catalog::{AddServer, ChangeServer},
    },
    domain::{ids::AccountId, role::Principal, server_file::Defined, slug::Slug},
    error::{Error, Result, err},
    store::{
        accounts,
        servers::{self, ServerRecord},
    },
    upstream::stdio::folder,
};

/// What a reading of the files led to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Servers that are new.
    pub added: Vec<String>,
    /// Servers that have another command, or other settings, now.
    pub changed: Vec<String>,
    /// Servers that are gone with their files.
    pub removed: Vec<String>,
    /// What could not be taken over, and why.
    pub problems: Vec<String>,
}

impl Actors {
    /// Reads the files and makes the definitions say what they say. Definitions that came otherwise are not touched.
    pub async fn reload_programs(&self) -> Result<Reloaded> {
        let data_dir = self.upstreams.host().data_dir.clone();
        let read = actix_rt::task::spawn_blocking(move || folder::read_all(&data_dir));
        let (defined, problems) = read.await.map_err(|cause| Error::internal("reading servers.d", cause))?;
        let mut reloaded = Reloaded { problems, ..Reloaded::default() };
        let mut there = HashSet::new();
        for (slug, one) in defined {
            there.insert(slug.to_string());
            if let Err(error) = self.take_over(&slug, one, &mut reloaded).await {
                reloaded.problems.push(format!("servers.d/{slug}.toml: {}", error.message()));
            }
        }
        self.drop_gone(&there, &mut reloaded).await?;
        for problem in &reloaded.problems {
            tracing::warn!(problem, "a file of servers.d defines nothing");
        }
        Ok(reloaded)
    }

    async fn take_over(&self, slug: &Slug, defined: Defined, reloaded: &mut Reloaded) -> Result<()> {
        let namespace = self.namespace_of(defined.namespace.as_deref()).await?;
        let wanted = slug.clone();
        let known = self.store.read(move |db| async move { servers::by_slug(&db, namespace, &wanted).await }).await?;
        let title = defined.title.unwrap_or_else(|| slug.to_string());
        let by = Principal::system(namespace);
        match known {
            None => {
                self.catalog.apply(AddServer { slug: slug.clone(), title, spec: defined.spec, by }).await?;
                reloaded.added.push(slug.to_string());
            }
            Some(known) if !is_from_file(&known) => {
                return Err(err::conflict(format!("there is another MCP server \"{slug}\" already")));
            }
            Some(known) if known.spec != defined.spec || known.title != title => {
                self.catalog
                    .apply(ChangeServer { server: known.id, made_of: None, title, spec: defined.spec, by })
                    .await?;
                reloaded.changed.push(slug.to_string());
            }
            Some(_) => {}
        }
        Ok(())
    }

    async fn namespace_of(&self, name: Option<&str>) -> Result<AccountId> {
        let wanted = name.map(str::to_owned);
        let found = self.store.read(move |db| async move {
            match wanted {
                Some(name) => accounts::by_username(&db, &name).await,
                None => accounts::first(&db).await,
            }
        });
        found.await?.map(|account| account.id).ok_or_else(|| err::not_found("no such namespace"))
    }

    /// What has lost its file is removed, unless that would take it out of a workspace.
    async fn drop_gone(&self, there: &HashSet<String>, reloaded: &mut Reloaded) -> Result<()> {
        let all = self.store.read(|db| async move { servers::all(&db).await }).await?;
        for gone in all.into_iter().filter(|one| is_from_file(one) && !there.contains(&*one.slug)) {
            let (slug, id) = (gone.slug.to_string(), gone.id);
            if folder::file_of(&self.upstreams.host().data_dir, &slug).exists() {
                // It is there and says nothing that can be used, which is among the problems already.
                continue;
            }
            let used = self.store.read(move |db| async move { servers::workspaces_with(&db, id).await }).await?;
            if !used.is_empty() {
                reloaded.problems.push(format!(
                    "servers.d/{slug}.toml is gone: {slug} is not started any more, and stays installed until it is removed"
                ));
                continue;
            }
            self.remove_server(id, Principal::system(gone.namespace)).await?;
            reloaded.removed.push(slug);
        }
        Ok(())
    }
}

fn is_from_file(record: &ServerRecord) -> bool {
    record.spec.program().is_some_and(|program| program.from_file)
}
