//! What an admin does, over the admin API and the command line, and what comes of it.

mod canary;
mod listing;
mod preconditions;
mod registry;
mod repeating;
mod rotation;
mod secrets;
mod ssrf;
mod tokens;
mod tracing;
mod workspaces;
