//! The one binary: server, command line, bridge, demo.

use std::process::ExitCode;

use clap::Parser as _;

/// Less CPU per call than the system's allocator (measured in `tests/bench`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    aerostack::cli::run(aerostack::cli::Cli::parse(), aerostack::serve::run, aerostack::connect::run)
}
