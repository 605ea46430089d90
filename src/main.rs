//! The one binary: server, command line, bridge, the operator's hand, demo, and the launcher of programs.

use std::process::ExitCode;

/// Less CPU per call than the system's allocator (measured in `tests/bench`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Some(ended) = aerostack::upstream::stdio::launcher::run(std::env::args_os()) {
        return ended;
    }
    aerostack::cli::complete_if_asked();
    let cli = aerostack::cli::parse();
    let hands = aerostack::cli::Hands {
        serve: aerostack::serve::run,
        bridge: aerostack::connect::run,
        on_host: aerostack::host::run,
        ask: aerostack::connect::ask,
    };
    aerostack::cli::run(cli, &hands)
}
