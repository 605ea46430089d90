//! Pure rules and values: no actix, no SeaORM, no I/O.

pub mod clock;
pub mod ids;
