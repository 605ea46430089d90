//! Actors: state with one owner, supervised. Logic lives in `domain`, `protocol`, `store` and `upstream`; an actor is a
//! shell around it.

pub mod actor_ref;
mod failed_lookups;
pub mod grant;
pub mod health;
pub mod injected;
pub mod key_source;
pub mod supervisor;
mod token_ledger;

#[cfg(test)]
mod runtime_tests;
