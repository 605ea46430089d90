//! Randomness for keys, IVs and credentials, straight from the operating system: a generator in user space would
//! repeat itself after a fork or a restored machine snapshot. Without randomness nothing safe can be done, so the
//! process ends instead of continuing with predictable bytes (C-12).

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
