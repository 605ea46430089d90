//! aerostack: a self-hosted MCP gateway for teams.

pub mod actors;
pub mod admin;
pub mod cli;
pub mod config;
pub mod domain;
pub mod error;
pub mod gateway;
pub mod protocol;
pub mod store;
pub mod upstream;
pub mod serve;
pub mod ops;
pub mod demo;
pub mod telemetry;
