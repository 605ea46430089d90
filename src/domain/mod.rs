//! Pure rules and values: no actix, no SeaORM, no I/O.

pub mod audit_chain;
pub mod audit_checkpoint;
pub mod clients;
pub mod clock;
pub mod definition;
pub mod definition_diff;
pub mod email;
pub mod framing;
pub mod ids;
pub mod injection;
pub mod keys;
#[cfg(test)]
mod known_answers;
pub mod known_servers;
pub mod mcp_json;
pub mod near;
pub mod password;
pub mod peer;
pub mod period;
pub mod plan;
pub mod program;
pub mod random;
pub mod rate;
pub mod resource_uri;
pub mod role;
pub mod scope;
pub mod seal;
pub mod server;
pub mod server_file;
pub mod server_json;
pub mod skill;
pub mod skill_manifest;
pub mod slug;
pub mod token;
pub mod tool_name;
pub mod user_code;
pub mod visible;
