//! Which server of a workspace has which resource: by the URIs and templates that the servers listed, else by the only
//! server that has resources at all. Most workspaces show every URI as it is; where two servers have the same one, the
//! later server's is shown apart and mapped back here, and only then are answers looked through for URIs.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{
    actors::{
        catalog::{Installed, Route},
        catalog_items::show,
        catalog_listing::{Listing, ListingBuilder},
    },
    domain::{
        ids::ServerId,
        resource_uri::{UriTemplate, apart, together},
    },
    upstream::{ServerDef, lists::Kind},
};

/// The resources of a workspace.
#[derive(Debug, Default)]
pub struct Resources {
    /// `resources/list`, merged.
    pub list: Listing,
    /// `resources/templates/list`, merged.
    pub templates: Listing,
    /// By the URI that clients see.
    exact: HashMap<Box<str>, Arc<Route>>,
    /// In list order.
    patterns: Vec<(UriTemplate, Arc<Route>)>,
    names: ShownNames,
    /// Servers that have resources, in order.
    owners: Vec<Arc<ServerDef>>,
}

/// URIs and templates that are shown otherwise than their servers write them.
#[derive(Debug, Default)]
pub struct ShownNames(HashMap<ServerId, HashMap<Box<str>, Box<str>>>);

impl ShownNames {
    /// Decides, in list order, which server's URIs and templates are shown as they are.
    pub fn of(installed: &[Installed]) -> Self {
        let mut names = ShownNames::default();
        let mut taken: HashSet<&str> = HashSet::new();
        let mut apart_already: HashSet<String> = HashSet::new();
        for one in installed.iter().filter(|one| one.enabled) {
            let lists =
                one.offer.iter().flat_map(|offer| [Kind::Resources, Kind::Templates].map(|kind| offer.list(kind)));
            for item in lists.flat_map(|list| &list.items) {
                if taken.insert(&item.name) && !apart_already.contains(&*item.name) {
                    continue;
                }
                let shown = apart(&one.def.slug, &item.name).filter(|shown| !taken.contains(shown.as_str()));
                if let Some(shown) = shown.filter(|shown| apart_already.insert(shown.clone())) {
                    names.0.entry(one.def.id).or_default().insert(item.name.clone(), shown.into());
                }
            }
        }
        names
    }

    /// Whether any URI of the workspace is shown otherwise.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How that server's URI is shown, if otherwise.
    pub fn get(&self, server: ServerId, uri: &str) -> Option<&str> {
        Some(self.0.get(&server)?.get(uri)?)
    }
}

impl Resources {
    /// Lays out what the enabled servers listed, in order.
    pub fn build(installed: &[Installed], names: ShownNames) -> Self {
        let mut all = Resources::default();
        let mut list = ListingBuilder::default();
        let mut templates = ListingBuilder::default();
        for one in installed.iter().filter(|one| one.enabled) {
            let Some(offer) = &one.offer else { continue };
            if offer.about.declares(Kind::Resources.capability()) {
                all.owners.push(one.def.clone());
            }
            for kind in [Kind::Resources, Kind::Templates] {
                for item in &offer.list(kind).items {
                    let shown = names.get(one.def.id, &item.name).unwrap_or(&item.name);
                    let route = Arc::new(Route {
                        shows_uris_apart: !names.is_empty(),
                        ..Route::plain(shown.into(), item.name.clone(), one.def.clone())
                    });
                    let text = show(kind, item, shown, one, &|_| None).legacy;
                    // A web address that two servers list is shown once.
                    if kind == Kind::Resources && !all.exact.contains_key(shown) {
                        all.exact.insert(shown.into(), route.clone());
                        list.push(route, Some(&text), Some(&text));
                    } else if kind == Kind::Templates && !all.has_template(shown) {
                        let pattern = UriTemplate::parse(shown);
                        all.patterns.extend(pattern.map(|pattern| (pattern, route.clone())));
                        templates.push(route, Some(&text), Some(&text));
                    }
                }
            }
        }
        Resources { list: list.finish(), templates: templates.finish(), names, ..all }
    }

    fn has_template(&self, shown: &str) -> bool {
        self.patterns.iter().any(|(_, route)| &*route.exposed == shown)
    }

    /// Where a URI that a client sees leads: the listed one, else the closest template, else a server's whose URIs are
    /// shown apart, else the only server with resources. `upstream_name` is the server's own URI.
    pub fn route(&self, uri: &str) -> Option<Arc<Route>> {
        if let Some(route) = self.exact.get(uri) {
            return Some(route.clone());
        }
        let matching = self.patterns.iter().filter(|(pattern, _)| pattern.matches(uri));
        // Of equally close ones the first in the list.
        let closest =
            matching.reduce(|best, one| if one.0.literal_bytes() > best.0.literal_bytes() { one } else { best });
        if let Some((_, route)) = closest {
            let is_apart = *route.exposed != *route.upstream_name;
            let own = if is_apart { together(&route.def.slug, uri) } else { Some(uri.to_owned()) };
            return own.map(|own| self.ad_hoc(uri, &own, &route.def));
        }
        let apart = self.owners.iter().find_map(|def| Some((together(&def.slug, uri)?, def)));
        if let Some((own, def)) = apart {
            return Some(self.ad_hoc(uri, &own, def));
        }
        match self.owners.as_slice() {
            [only] => Some(self.ad_hoc(uri, uri, only)),
            _ => None,
        }
    }

    /// A route to what is in no list.
    fn ad_hoc(&self, uri: &str, own: &str, def: &Arc<ServerDef>) -> Arc<Route> {
        let shows_uris_apart = self.shows_some_apart() || uri != own;
        Arc::new(Route { shows_uris_apart, ..Route::plain(uri.into(), own.into(), def.clone()) })
    }

    /// Whether URIs in what servers send have to be looked at. Almost never.
    pub fn shows_some_apart(&self) -> bool {
        !self.names.is_empty()
    }

    /// How clients see a URI that `server` (under `slug`) wrote; none: as it is.
    pub fn shown(&self, server: ServerId, slug: &str, uri: &str) -> Option<String> {
        if self.names.is_empty() {
            return None;
        }
        if let Some(shown) = self.names.get(server, uri) {
            return Some(shown.to_owned());
        }
        // Read as it is, it would lead to another server.
        let leads_elsewhere = self.route(uri).is_some_and(|route| route.def.id != server);
        if leads_elsewhere { apart(slug, uri) } else { None }
    }
}
