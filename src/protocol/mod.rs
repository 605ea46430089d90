//! MCP on the wire, without I/O: finding things in JSON-RPC bytes, changing exactly what bridging demands, framing
//! events, sealing session ids. Works on bytes and ranges; never builds a tree of what is only forwarded.

pub mod answer;
pub mod cursor;
pub mod exposing;
pub mod headers;
pub mod jsonrpc;
pub mod log_level;
pub mod meta;
pub mod mrtr;
pub mod parked;
pub mod question;
pub mod revision;
pub mod scan;
pub mod scrub;
pub mod session_id;
pub mod splice;
pub mod sse;
pub mod task_id;
pub mod trace;
