//! aerostack.
fn main() {}
