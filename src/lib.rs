//! aerostack: a self-hosted MCP gateway for teams.

pub mod config;
pub mod domain;
pub mod error;
pub mod protocol;
pub mod store;
pub mod upstream;
pub mod actors;
pub mod gateway;
pub mod admin;
pub mod cli;
