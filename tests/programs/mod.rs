//! MCP servers that are programs on the gateway's machine.

mod bad;
mod calls;
mod definitions;
mod ends;
mod fence;
mod secrets;
