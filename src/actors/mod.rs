//! Actors: state with one owner, supervised. Logic lives in `domain`, `protocol`, `store` and `upstream`; an actor is a
//! shell around it.

pub mod key_source;
pub mod actor_ref;
pub mod grant;
pub mod health;
pub mod supervisor;

#[cfg(test)]
mod runtime_tests;
