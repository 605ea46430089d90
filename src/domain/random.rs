//! Randomness for keys, IVs and credentials, straight from the operating system: a generator in user space would
//! repeat itself after a fork or a restored machine snapshot. Without randomness nothing safe can be done, so the
//! process ends instead of continuing with predictable bytes (C-12).

use std::cell::RefCell;

use zeroize::Zeroizing;

/// Fills `bytes` from the operating system, or ends the process.
pub fn fill(bytes: &mut [u8]) {
    if let Err(cause) = getrandom::fill(bytes) {
        tracing::error!(%cause, "the operating system gives no random bytes");
        std::process::abort();
    }
}

/// `N` random bytes.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

/// A fresh 256-bit key that is wiped when dropped.
pub fn key() -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    fill(key.as_mut_slice());
    key
}

/// Bytes fetched at once by [`pooled`].
const POOL: usize = 4096;

thread_local! {
    /// Random bytes not handed out yet, and how many of them are left.
    static POOLED: RefCell<(Box<[u8; POOL]>, usize)> = RefCell::new((Box::new([0; POOL]), 0));
}

/// `N` random bytes for identifiers, out of a pool of this thread: the operating system is asked once for hundreds of
/// them, because asking it for each call is a good part of what a call costs. Never for keys.
pub fn pooled<const N: usize>() -> [u8; N] {
    POOLED.with_borrow_mut(|(pool, left)| {
        if *left < N {
            fill(pool.as_mut_slice());
            *left = POOL;
        }
        let mut bytes = [0; N];
        let from = pool.get_mut(*left - N..*left).unwrap_or_default();
        bytes.copy_from_slice(from);
        from.fill(0);
        *left -= N;
        bytes
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn pooled_bytes_are_never_handed_out_twice() {
        let drawn: HashSet<[u8; 10]> = (0..10_000).map(|_| pooled()).collect();
        assert_eq!(drawn.len(), 10_000);
    }
}
