//! The admin API.

pub mod dto;
mod dto_servers;
