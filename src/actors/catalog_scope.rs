//! What a token with a scope sees of a workspace. A token without one is served the workspace's own lists, which are
//! ready.

use std::{collections::HashMap, ops::Deref, sync::Arc};

use parking_lot::Mutex;

use crate::{
    actors::{
        catalog::{Route, WorkspaceView},
        catalog_listing::Listing,
    },
    domain::scope::{Named, Refusal, Scope},
    upstream::lists::Kind,
};

/// Lists that are kept for tokens with a scope, per snapshot of a workspace. Equal scopes share them.
const KEPT: usize = 64;

/// The lists made so far of one snapshot. Another snapshot begins with none.
#[derive(Debug, Default)]
pub struct ScopedLists(Mutex<Made>);

type Made = HashMap<(Arc<Scope>, Kind), Arc<Listing>>;

/// A list as one token sees it.
pub enum Seen<'a> {
    /// Everything.
    Whole(&'a Listing),
    /// What its scope leaves.
    Part(Arc<Listing>),
}

impl Deref for Seen<'_> {
    type Target = Listing;
    fn deref(&self) -> &Listing {
        match self {
            Seen::Whole(list) => list,
            Seen::Part(list) => list,
        }
    }
}

impl WorkspaceView {
    /// The list of that kind as a token with this scope sees it.
    pub fn listing_for(&self, kind: Kind, scope: Option<&Arc<Scope>>) -> Seen<'_> {
        let whole = self.listing(kind);
        let Some(scope) = scope else { return Seen::Whole(whole) };
        let key = (scope.clone(), kind);
        let mut kept = self.scoped.0.lock();
        if let Some(list) = kept.get(&key) {
            return Seen::Part(list.clone());
        }
        let list = Arc::new(whole.only(|entry| self.refusal(kind, &entry.route, scope).is_none()));
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(key, list.clone());
        Seen::Part(list)
    }

    /// Why a scope refuses something of this workspace, if it does. Reading prompts and resources is reading.
    pub fn refusal<'a>(&self, kind: Kind, route: &Route, scope: &'a Scope) -> Option<Refusal<'a>> {
        match kind {
            Kind::Tools => route.refusal(scope),
            Kind::Prompts => scope.refusal(Named { exposed: &route.exposed, plain: None }, true),
            Kind::Resources | Kind::Templates => {
                let server = self.installed.iter().find(|one| one.def.id == route.def.id);
                let prefix = server.map_or("", |one| &one.prefix);
                let named = crate::domain::tool_name::plain(prefix, &route.upstream_name);
                scope.refusal(Named { exposed: &named, plain: None }, true)
            }
        }
    }
}

impl Route {
    /// Why a scope refuses this tool, if it does.
    pub fn refusal<'a>(&self, scope: &'a Scope) -> Option<Refusal<'a>> {
        scope.refusal(Named { exposed: &self.exposed, plain: self.plain_name.as_deref() }, self.reads)
    }
}
