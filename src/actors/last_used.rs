//! When credentials were last used. Noting it costs a call nothing but an atomic store; the database learns of it in
//! batches, at most a minute late (and at a stop).

use std::{
    hash::Hash,
    sync::atomic::{AtomicI64, Ordering::Relaxed},
};

use dashmap::DashMap;

use crate::domain::clock::{self, Timestamp};

/// Times of last use, by id.
pub(super) struct LastUsed<K: Eq + Hash> {
    seen: DashMap<K, Times>,
}

#[derive(Default)]
struct Times {
    used_ms: AtomicI64,
    written_ms: AtomicI64,
}

impl<K: Eq + Hash + Copy> Default for LastUsed<K> {
    fn default() -> Self {
        LastUsed { seen: DashMap::new() }
    }
}

impl<K: Eq + Hash + Copy> LastUsed<K> {
    /// It is used now.
    pub(super) fn note(&self, id: K) {
        let now = clock::now().timestamp_millis();
        if let Some(times) = self.seen.get(&id) {
            times.used_ms.store(now, Relaxed);
            return;
        }
        self.seen.entry(id).or_default().used_ms.store(now, Relaxed);
    }

    /// When it was last used in this process.
    pub(super) fn get(&self, id: K) -> Option<Timestamp> {
        self.seen.get(&id).and_then(|times| Timestamp::from_timestamp_millis(times.used_ms.load(Relaxed)))
    }

    /// What the database does not know yet. It counts as written from now on.
    pub(super) fn take(&self) -> Vec<(K, Timestamp)> {
        let news = |times: &Times| {
            let used = times.used_ms.load(Relaxed);
            (times.written_ms.swap(used, Relaxed) != used).then(|| Timestamp::from_timestamp_millis(used)).flatten()
        };
        self.seen.iter().filter_map(|entry| news(entry.value()).map(|at| (*entry.key(), at))).collect()
    }

    /// Forgets what was last used before `since`.
    pub(super) fn forget_before(&self, since: Timestamp) {
        self.seen.retain(|_, times| times.used_ms.load(Relaxed) >= since.timestamp_millis());
    }

    /// Writing failed: the same will be taken again.
    pub(super) fn give_back(&self, ids: impl IntoIterator<Item = K>) {
        for id in ids {
            if let Some(times) = self.seen.get(&id) {
                times.written_ms.store(0, Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_use_is_taken_once_and_again_when_writing_failed() {
        let used = LastUsed::<u8>::default();
        assert!(used.take().is_empty() && used.get(1).is_none());
        used.note(1);
        let taken = used.take();
        assert_eq!((taken.len(), taken[0].0, Some(taken[0].1)), (1, 1, used.get(1)));
        assert!(used.take().is_empty());
        used.give_back([1]);
        assert_eq!(used.take().len(), 1);
    }
}
