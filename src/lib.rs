//! aerostack: a self-hosted MCP gateway for teams.

pub mod actors;
pub mod admin;
pub mod cli;
pub mod config;
pub mod demo;
pub mod domain;
pub mod error;
pub mod gateway;
pub mod ops;
pub mod protocol;
pub mod serve;
pub mod store;
pub mod telemetry;
pub mod upstream;
