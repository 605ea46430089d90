//! Pure rules and values: no actix, no SeaORM, no I/O.

pub mod audit_chain;
pub mod clients;
pub mod clock;
pub mod framing;
pub mod ids;
pub mod injection;
pub mod keys;
#[cfg(test)]
mod known_answers;
pub mod known_servers;
pub mod mcp_json;
pub mod near;
pub mod period;
pub mod plan;
pub mod random;
pub mod rate;
pub mod resource_uri;
pub mod role;
pub mod seal;
pub mod server;
pub mod slug;
pub mod token;
pub mod tool_name;
