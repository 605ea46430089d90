//! How fast passwords may be tried: after some wrong ones for an account from an address, each further one has to wait
//! twice as long as the one before. Counted per account and address, so that a stranger elsewhere cannot lock anybody out
//! (S-54). The password itself is never looked at while there is a wait.

use std::net::IpAddr;

use dashmap::DashMap;

use crate::{
    actors::failed_lookups::network,
    config::PeopleConfig,
    domain::clock,
    error::{Error, ErrorCode, Result},
};

/// The first wait, in seconds.
const FIRST_WAIT: u64 = 30;
/// Pairs of account and address remembered at once; beyond it they share one count.
const PAIRS: usize = 65_536;
const SECOND_NS: u64 = 1_000_000_000;

type Pair = (String, IpAddr);

/// Wrong passwords of the last minutes.
pub(super) struct SignInPace {
    free: u32,
    longest_ns: u64,
    seen: DashMap<Pair, Count>,
    clock: fn() -> u64,
}

#[derive(Clone, Copy)]
struct Count {
    last_ns: u64,
    failures: u32,
}

impl SignInPace {
    pub(super) fn new(config: &PeopleConfig) -> Self {
        SignInPace {
            free: config.sign_in_failures,
            longest_ns: u64::from(config.sign_in_failure_minutes) * 60 * SECOND_NS,
            seen: DashMap::new(),
            clock: clock::monotonic_ns,
        }
    }

    fn pair(&self, name: &str, client: IpAddr) -> Pair {
        // Names are as long as somebody likes: what is kept of them is not.
        let pair = (name.to_lowercase().chars().take(64).collect(), network(client));
        if self.seen.len() < PAIRS || self.seen.contains_key(&pair) { pair } else { (String::new(), pair.1) }
    }

    /// Counts an attempt as wrong until [`SignInPace::right`] says otherwise, so that parallel guesses cannot overtake
    /// the count; refused while there is a wait.
    pub(super) fn attempt(&self, name: &str, client: IpAddr) -> Result<()> {
        let now = (self.clock)();
        let mut count = self.seen.entry(self.pair(name, client)).or_insert(Count { last_ns: now, failures: 0 });
        let since = now.saturating_sub(count.last_ns);
        if since >= self.longest_ns {
            count.failures = 0;
        }
        if let Some(beyond) = count.failures.checked_sub(self.free) {
            let wait = (FIRST_WAIT * SECOND_NS).saturating_mul(1 << beyond.min(20)).min(self.longest_ns);
            if since < wait {
                let left = (wait - since).div_ceil(SECOND_NS);
                return Err(Error::new(ErrorCode::RateLimited, "Too many wrong passwords for this account")
                    .with_hint("wait, then try again; an admin can invite you anew, an owner resets keys on the host")
                    .with_retry_after(left));
            }
        }
        *count = Count { last_ns: now, failures: count.failures.saturating_add(1) };
        Ok(())
    }

    /// The password was right: nothing is held against this account here.
    pub(super) fn right(&self, name: &str, client: IpAddr) {
        self.seen.remove(&self.pair(name, client));
    }

    /// Forgets what is too old to matter.
    pub(super) fn sweep(&self) {
        let now = (self.clock)();
        self.seen.retain(|_, count| now.saturating_sub(count.last_ns) < self.longest_ns);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    use super::*;

    static NOW: AtomicU64 = AtomicU64::new(1);

    #[test]
    fn after_five_wrong_passwords_each_wait_is_twice_the_last_and_nobody_else_waits() {
        let pace = SignInPace { clock: || NOW.load(SeqCst), ..SignInPace::new(&PeopleConfig::default()) };
        let (here, there) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for _ in 0..5 {
            pace.attempt("alice", here).unwrap();
        }
        for wait in [30, 60, 120] {
            let refused = pace.attempt("ALICE", here).unwrap_err();
            assert_eq!((refused.code(), refused.retry_after()), (ErrorCode::RateLimited, Some(wait)));
            NOW.fetch_add(wait * SECOND_NS, SeqCst);
            pace.attempt("alice", here).unwrap();
        }
        assert!(pace.attempt("alice", there).is_ok() && pace.attempt("bob", here).is_ok());
        NOW.fetch_add(900 * SECOND_NS, SeqCst);
        assert!((0..5).all(|_| pace.attempt("alice", here).is_ok()), "forgotten");
        pace.right("alice", here);
        assert!((0..5).all(|_| pace.attempt("alice", here).is_ok()), "forgiven");
        NOW.fetch_add(900 * SECOND_NS, SeqCst);
        pace.sweep();
        assert!(pace.seen.is_empty());
    }
}
