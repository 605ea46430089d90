//! Measures what one hop costs: `upstream` is an MCP server whose answers take constant time, `load` keeps connections
//! busy and counts. `run.py` beside this crate puts proxies between the two and compares them.

mod cpu;
mod load;
mod upstream;
mod wire;

use clap::Parser;

/// Closed-loop load and a constant-time MCP server.
#[derive(Parser)]
enum Command {
    /// Serve MCP over Streamable HTTP, loopback only.
    Upstream(upstream::Args),
    /// Keep connections busy with calls, check every answer, print one line of JSON.
    Load(load::Args),
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Upstream(args) => upstream::run(&args),
        Command::Load(args) => load::run(&args),
    }
}
