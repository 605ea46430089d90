//! The outer tests: the real binary in a process of its own, over HTTP and the command line, against MCP servers that
//! record every byte they get. Each test is named after the rule it holds; `support` is what they stand on.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![expect(clippy::print_stderr, reason = "what was skipped, and what the gateway said before a test failed")]

mod admin;
mod cli;
mod gateway;
mod matrix;
mod operation;
mod pages;
mod people;
mod programs;
mod support;
