//! Which client hears of which resource. A client is a legacy session, an HTTP+SSE connection or one listen request;
//! what it subscribed to ends with it.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use crate::{
    domain::ids::{ServerId, WorkspaceId},
    upstream::ears::Watch,
};

/// A resource of a server, asked for with one set of credentials.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Resource {
    /// The server.
    pub server: ServerId,
    /// Whose credentials: a workspace's override, or everybody's.
    pub scope: Option<WorkspaceId>,
    /// The server's own URI.
    pub uri: Arc<str>,
}

/// A resource a client subscribed to.
#[derive(Debug)]
struct Subscribed {
    resource: Resource,
    /// Keeps the subscription at the server.
    _watch: Watch,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Subscriptions {
    inner: Mutex<Inner>,
}

/// A client, and the URI it knows.
pub type Hearer = (Arc<str>, Arc<str>);

#[derive(Debug, Default)]
struct Inner {
    /// By client, then by the URI it knows.
    clients: HashMap<Arc<str>, HashMap<Arc<str>, Subscribed>>,
    /// Everybody who hears of a resource.
    resources: HashMap<Resource, Vec<Hearer>>,
}

impl Subscriptions {
    /// Subscribes a client to what it knows as `shown`. False when it has `most` subscriptions already.
    pub fn add(
        &self,
        client: &Arc<str>,
        shown: &str,
        (server, scope, watch): (ServerId, Option<WorkspaceId>, Watch),
        most: usize,
    ) -> bool {
        let mut inner = self.inner.lock();
        let theirs = inner.clients.entry(client.clone()).or_default();
        if theirs.contains_key(shown) {
            return true;
        }
        if theirs.len() >= most {
            return false;
        }
        let (shown, resource): (Arc<str>, _) = (shown.into(), Resource { server, scope, uri: watch.uri.clone() });
        theirs.insert(shown.clone(), Subscribed { resource: resource.clone(), _watch: watch });
        inner.resources.entry(resource).or_default().push((client.clone(), shown));
        true
    }

    /// Ends a client's subscription; whether it had one.
    pub fn remove(&self, client: &str, shown: &str) -> bool {
        let mut inner = self.inner.lock();
        let Some(theirs) = inner.clients.get_mut(client) else { return false };
        let Some(ended) = theirs.remove(shown) else { return false };
        if theirs.is_empty() {
            inner.clients.remove(client);
        }
        inner.forget(&ended.resource, client, Some(shown));
        true
    }

    /// Ends all subscriptions of a client.
    pub fn release(&self, client: &str) {
        let mut inner = self.inner.lock();
        let ended = inner.clients.remove(client);
        for subscribed in ended.iter().flat_map(HashMap::values) {
            inner.forget(&subscribed.resource, client, None);
        }
    }

    /// What a client is subscribed to, as it knows it.
    pub fn of_client(&self, client: &str) -> Vec<Arc<str>> {
        let inner = self.inner.lock();
        inner.clients.get(client).map(|theirs| theirs.keys().cloned().collect()).unwrap_or_default()
    }

    /// Everybody who hears of a resource, with the URI each knows.
    pub fn of(&self, resource: &Resource) -> Vec<Hearer> {
        self.inner.lock().resources.get(resource).cloned().unwrap_or_default()
    }

    /// Subscriptions of all clients.
    pub fn len(&self) -> usize {
        self.inner.lock().clients.values().map(HashMap::len).sum()
    }

    /// Whether nobody is subscribed to anything.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Inner {
    fn forget(&mut self, resource: &Resource, client: &str, shown: Option<&str>) {
        let Some(who) = self.resources.get_mut(resource) else { return };
        who.retain(|(one, uri)| **one != *client || shown.is_some_and(|shown| **uri != *shown));
        if who.is_empty() {
            self.resources.remove(resource);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::ears::Ears;

    #[test]
    fn a_subscription_ends_with_its_client_and_at_the_server_with_the_last() {
        let (subscriptions, ears) = (Subscriptions::default(), Arc::new(Ears::default()));
        let server = ServerId::generate();
        let add = |client: &str, shown: &str, uri: &str, most| {
            subscriptions.add(&client.into(), shown, (server, None, ears.want(uri, 10).unwrap()), most)
        };
        assert!(add("alice", "s+file:///a", "file:///a", 2) && add("bob", "file:///a", "file:///a", 2));
        assert!(add("alice", "s+file:///a", "file:///a", 2), "twice is once");
        assert!(add("alice", "b", "file:///b", 2) && !add("alice", "c", "file:///c", 2));
        let resource = Resource { server, scope: None, uri: "file:///a".into() };
        assert_eq!(
            subscriptions.of(&resource),
            [("alice".into(), "s+file:///a".into()), ("bob".into(), "file:///a".into()),]
        );
        assert_eq!(subscriptions.of(&Resource { scope: Some(WorkspaceId::generate()), ..resource.clone() }), []);
        subscriptions.release("alice");
        assert_eq!(subscriptions.of(&resource), [("bob".into(), "file:///a".into())]);
        assert!(ears.wants("file:///a") && !ears.wants("file:///b"));
        assert!(subscriptions.remove("bob", "file:///a") && !subscriptions.remove("bob", "file:///a"));
        assert!(!ears.wants("file:///a") && subscriptions.is_empty());
    }
}
