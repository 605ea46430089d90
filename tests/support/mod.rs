//! What the outer tests stand on: the gateway as a process, clients that hide nothing, MCP servers that record.

pub mod accounts;
pub mod admin;
pub mod asking;
pub mod client;
pub mod database;
pub mod events;
pub mod http;
pub mod library;
pub mod mcp;
pub mod partition;
pub mod people;
pub mod place;
pub mod process;
pub mod programs;
pub mod script;
pub mod scripted;
pub mod servers;
pub mod smtp;
pub mod tls;
pub mod upstream;
pub mod wait;

pub use accounts::Accounts;
pub use admin::Admin;
pub use http::{Connection, Request, Response};
pub use library::Library;
pub use mcp::{Editor, Session};
pub use people::Browser;
pub use place::{Place, place, place_with};
pub use process::TestGateway;
pub use upstream::{Conn, Seen, Upstream};
pub use wait::{elapsed, until};
