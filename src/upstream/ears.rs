//! What is to be heard of a server: which resources somebody subscribed to, from which level on somebody wants log
//! messages, and how far the server is listened to. Shared between the threads that want something and the session
//! that listens; outlives a restart of the session.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::protocol::log_level::Level;

/// Resources that somebody subscribed to. Another set is another number, and a later set has a greater one.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Counts the changes of the set.
    pub number: u64,
    /// The server's own URIs.
    pub uris: Arc<BTreeSet<Arc<str>>>,
}

/// How far the server is listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Heard {
    /// It is being connected to for the first time.
    #[default]
    NotYet,
    /// Everything that was wanted up to this number reaches us, as far as the server lets it.
    UpTo(u64),
    /// It cannot be listened to now.
    Deaf,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Ears {
    counts: Mutex<Counts>,
    wanted: watch::Sender<Wanted>,
    heard: watch::Sender<Heard>,
    level: watch::Sender<Option<Level>>,
}

#[derive(Debug, Default)]
struct Counts {
    wanted: HashMap<Arc<str>, usize>,
    /// The server does not let us subscribe to these.
    refused: HashSet<Arc<str>>,
}

/// Somebody's wish to hear of a resource; dropped, it ends.
#[derive(Debug)]
pub struct Watch {
    ears: Arc<Ears>,
    /// The server's own URI.
    pub uri: Arc<str>,
}

impl Ears {
    /// Wants to hear of a resource; none when the server has `most` such resources already.
    pub fn want(self: &Arc<Self>, uri: &str, most: usize) -> Option<Watch> {
        let mut counts = self.counts.lock();
        if let Some((uri, count)) = counts.wanted.get_key_value(uri).map(|(uri, count)| (uri.clone(), *count)) {
            counts.wanted.insert(uri.clone(), count + 1);
            return Some(Watch { ears: self.clone(), uri });
        }
        if counts.wanted.len() >= most {
            return None;
        }
        let uri: Arc<str> = uri.into();
        counts.wanted.insert(uri.clone(), 1);
        counts.refused.remove(&uri);
        self.publish(&counts);
        Some(Watch { ears: self.clone(), uri })
    }

    fn unwant(&self, uri: &Arc<str>) {
        let mut counts = self.counts.lock();
        let left = counts.wanted.get(uri).map_or(0, |count| count.saturating_sub(1));
        if left > 0 {
            counts.wanted.insert(uri.clone(), left);
        } else if counts.wanted.remove(uri).is_some() {
            counts.refused.remove(uri);
            self.publish(&counts);
        }
    }

    fn publish(&self, counts: &Counts) {
        let uris = Arc::new(counts.wanted.keys().cloned().collect());
        self.wanted.send_modify(|wanted| *wanted = Wanted { number: wanted.number + 1, uris });
    }

    /// What is wanted now, and every change of it.
    pub fn wanted(&self) -> watch::Receiver<Wanted> {
        self.wanted.subscribe()
    }

    /// Whether somebody wants to hear of that resource.
    pub fn wants(&self, uri: &str) -> bool {
        self.wanted.borrow().uris.contains(uri)
    }

    /// Wants log messages from `level` on; the lowest level wanted so far counts, as the session is shared.
    pub fn want_level(&self, level: Level) {
        self.level.send_if_modified(|lowest| {
            let lower = lowest.is_none_or(|lowest| level < lowest);
            if lower {
                *lowest = Some(level);
            }
            lower
        });
    }

    /// The level from which on somebody wants log messages, and every change of it.
    pub fn level(&self) -> watch::Receiver<Option<Level>> {
        self.level.subscribe()
    }

    /// Notes that everything wanted up to `number` reaches us, except what the server refused.
    pub fn hears(&self, number: u64, refused: impl IntoIterator<Item = Arc<str>>) {
        self.counts.lock().refused.extend(refused);
        self.heard.send_replace(Heard::UpTo(number));
    }

    /// Notes that the server cannot be listened to now.
    pub fn deaf(&self) {
        self.heard.send_replace(Heard::Deaf);
    }

    /// Notes that the connection is being made anew: what was heard so far is to be established again.
    pub fn interrupted(&self) {
        self.heard.send_if_modified(|heard| {
            let listened = matches!(heard, Heard::UpTo(_));
            if listened {
                *heard = Heard::NotYet;
            }
            listened
        });
    }

    /// Waits, at most `wait`, until everything wanted by now reaches us; whether it does.
    pub async fn until_heard(&self, wait: Duration) -> bool {
        let number = self.wanted.borrow().number;
        let mut heard = self.heard.subscribe();
        let settled = heard.wait_for(|heard| match heard {
            Heard::NotYet => false,
            Heard::UpTo(so_far) => *so_far >= number,
            Heard::Deaf => true,
        });
        match tokio::time::timeout(wait, settled).await {
            Ok(Ok(heard)) => *heard != Heard::Deaf,
            Ok(Err(_)) | Err(_) => false,
        }
    }
}

impl Watch {
    /// Whether the server does not let us subscribe to it.
    pub fn is_refused(&self) -> bool {
        self.ears.counts.lock().refused.contains(&self.uri)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ears.unwant(&self.uri);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    #[test]
    fn a_resource_is_wanted_once_however_many_want_it() {
        let ears = Arc::new(Ears::default());
        let wanted = ears.wanted();
        let first = ears.want("a", 2).unwrap();
        let second = ears.want("a", 2).unwrap();
        assert_eq!(wanted.borrow().number, 1);
        drop(first);
        assert!(ears.wants("a"));
        drop(second);
        assert!(!ears.wants("a") && wanted.borrow().uris.is_empty());
        assert_eq!(wanted.borrow().number, 2);
    }

    #[test]
    fn a_server_has_no_more_of_them_than_it_may() {
        let ears = Arc::new(Ears::default());
        let first = ears.want("a", 1).unwrap();
        assert!(ears.want("b", 1).is_none());
        assert!(ears.want("a", 1).is_some());
        drop(first);
        assert!(ears.want("b", 1).is_some());
    }

    #[actix_rt::test]
    async fn whoever_wants_something_waits_until_it_is_heard() {
        let ears = Arc::new(Ears::default());
        assert!(!ears.until_heard(SOON).await);
        ears.hears(0, []);
        assert!(ears.until_heard(SOON).await);
        let watch = ears.want("a", 1).unwrap();
        assert!(!ears.until_heard(SOON).await, "heard before it was wanted");
        ears.hears(1, ["a".into()]);
        assert!(ears.until_heard(SOON).await && watch.is_refused());
        ears.deaf();
        assert!(!ears.until_heard(Duration::from_secs(60)).await);
        drop(watch);
        assert!(!ears.want("a", 1).unwrap().is_refused());
    }
}
