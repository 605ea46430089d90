//! Counts look-ups of unknown credentials per client address, so that guessing costs the database nothing (S-54).
//! Valid credentials that are already known never come here, whatever else their address does.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use dashmap::DashMap;

use crate::{
    domain::clock,
    error::{Error, ErrorCode, Result},
};

const WINDOW_NS: u64 = Duration::from_secs(60).as_nanos() as u64;
/// Addresses remembered at once. Beyond it they share one count: memory stays bounded, guessing stays slow.
const ADDRESSES: usize = 65_536;

/// Failed look-ups of the last minute.
pub(super) struct FailedLookups {
    limit: u32,
    seen: DashMap<IpAddr, Count>,
    clock: fn() -> u64,
}

#[derive(Clone, Copy)]
struct Count {
    since_ns: u64,
    failures: u32,
}

impl FailedLookups {
    /// At most `limit` failures a minute and address; 0: unlimited.
    pub(super) fn new(limit: u32) -> Self {
        FailedLookups { limit, seen: DashMap::new(), clock: clock::monotonic_ns }
    }

    /// Runs one look-up for a client: counted as failed unless it finds something. Counting before asking, so that
    /// parallel guesses cannot overtake the count.
    pub(super) async fn attempt<T>(
        &self,
        client: IpAddr,
        lookup: impl Future<Output = Result<Option<T>>>,
    ) -> Result<Option<T>> {
        let address = self.counted_as(client);
        self.reserve(address)?;
        let found = lookup.await;
        if !matches!(found, Ok(None)) {
            self.give_back(address);
        }
        found
    }

    /// Counts something that may happen only so often, whatever comes of it.
    pub(super) fn count(&self, client: IpAddr) -> Result<()> {
        self.reserve(self.counted_as(client))
    }

    fn reserve(&self, address: IpAddr) -> Result<()> {
        let now = (self.clock)();
        let mut count = self.seen.entry(address).or_insert(Count { since_ns: now, failures: 0 });
        if now.saturating_sub(count.since_ns) >= WINDOW_NS {
            *count = Count { since_ns: now, failures: 0 };
        }
        if self.limit > 0 && count.failures >= self.limit {
            let left = (count.since_ns + WINDOW_NS).saturating_sub(now).div_ceil(1_000_000_000).max(1);
            return Err(Error::new(ErrorCode::RateLimited, "Too many failed attempts from this address")
                .with_hint("Check the token: it may be mistyped, expired or revoked")
                .with_retry_after(left));
        }
        count.failures = count.failures.saturating_add(1);
        Ok(())
    }

    fn give_back(&self, address: IpAddr) {
        if let Some(mut count) = self.seen.get_mut(&address) {
            count.failures = count.failures.saturating_sub(1);
        }
    }

    fn counted_as(&self, client: IpAddr) -> IpAddr {
        let address = network(client);
        if self.seen.len() < ADDRESSES || self.seen.contains_key(&address) {
            return address;
        }
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    }

    /// Forgets addresses whose minute is over.
    pub(super) fn sweep(&self) {
        let now = (self.clock)();
        self.seen.retain(|_, count| now.saturating_sub(count.since_ns) < WINDOW_NS);
    }

    /// Addresses with failures.
    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }
}

/// An IPv6 customer has a whole /64: its addresses count as one.
pub(super) fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    use super::*;

    static NOW: AtomicU64 = AtomicU64::new(1);

    fn guess(lookups: &FailedLookups, client: &str, finds: bool) -> Result<Option<()>> {
        let client = client.parse().unwrap();
        futures_util::FutureExt::now_or_never(lookups.attempt(client, async { Ok(finds.then_some(())) })).unwrap()
    }

    #[test]
    fn the_61st_failure_in_a_minute_is_refused_until_the_minute_is_over() {
        let lookups = FailedLookups { clock: || NOW.load(SeqCst), ..FailedLookups::new(60) };
        for _ in 0..60 {
            assert!(guess(&lookups, "192.0.2.1", false).unwrap().is_none());
        }
        let refused = guess(&lookups, "192.0.2.1", false).unwrap_err();
        assert_eq!((refused.code(), refused.retry_after()), (ErrorCode::RateLimited, Some(60)));
        assert!(guess(&lookups, "192.0.2.2", false).is_ok(), "another address");
        NOW.fetch_add(WINDOW_NS, SeqCst);
        assert!(guess(&lookups, "192.0.2.1", false).is_ok());
        NOW.fetch_add(WINDOW_NS, SeqCst);
        lookups.sweep();
        assert_eq!(lookups.len(), 0);
    }

    #[test]
    fn what_is_found_does_not_count() {
        let lookups = FailedLookups::new(3);
        assert!((0..100).all(|_| guess(&lookups, "192.0.2.1", true).unwrap().is_some()));
    }

    #[test]
    fn a_whole_ipv6_network_counts_as_one_address() {
        let lookups = FailedLookups::new(2);
        assert!(guess(&lookups, "2001:db8::1", false).is_ok() && guess(&lookups, "2001:db8::2", false).is_ok());
        assert!(guess(&lookups, "2001:db8::ffff:3", false).is_err());
        assert!(guess(&lookups, "2001:db8:0:1::1", false).is_ok());
        assert!(guess(&lookups, "::ffff:192.0.2.1", false).is_ok());
    }
}
