//! Ids and progress tokens for requests to servers. Each holds 64 fresh random bits, so that a server cannot guess
//! another call's id and a plain search finds the id in an answer and nowhere else.

use std::fmt::Write as _;

/// Mints ids on one thread. Randomness is fetched for many ids at once.
#[derive(Debug)]
pub struct Mint {
    pool: [u8; 512],
    used: usize,
    count: u64,
}

impl Default for Mint {
    fn default() -> Self {
        Mint { pool: [0; 512], used: usize::MAX, count: 0 }
    }
}

impl Mint {
    /// A fresh id.
    pub fn mint(&mut self) -> String {
        let mut id = String::with_capacity(28);
        self.count = self.count.wrapping_add(1);
        let _infallible = write!(id, "a{:016x}-{:x}", self.random(), self.count);
        id
    }

    fn random(&mut self) -> u64 {
        if self.used.saturating_add(8) > self.pool.len() {
            self.used = 0;
            if getrandom::fill(&mut self.pool).is_err() {
                // Without the kernel's randomness ids stay unique by their count; UUIDs have a source of their own.
                return uuid::Uuid::new_v4().as_u64_pair().1;
            }
        }
        let next = self.pool.get(self.used..).and_then(|rest| rest.first_chunk::<8>()).copied().unwrap_or_default();
        self.used += 8;
        u64::from_le_bytes(next)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_ids_share_their_random_part() {
        let mut mint = Mint::default();
        let parts: HashSet<String> = (0..1000).map(|_| mint.mint().split('-').next().unwrap().to_owned()).collect();
        assert_eq!(parts.len(), 1000);
        assert!(mint.mint().len() <= 28);
    }
}
