//! Actors: state with one owner, supervised. Logic lives in `domain`, `protocol`, `store` and `upstream`; an actor is a
//! shell around it.

pub mod key_source;
