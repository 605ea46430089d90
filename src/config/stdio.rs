//! Settings of MCP servers that are programs on the gateway's machine.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// MCP servers that are programs on this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StdioConfig {
    /// Whether the admin API may define programs (only those in `allow_commands`); files in `servers.d` always may.
    pub allow_api: bool,
    /// Full paths of the commands that the admin API may define.
    pub allow_commands: Vec<String>,
    /// Variables of the gateway's environment that every program gets.
    pub environment: Vec<String>,
    /// Folder of the programs' own HOME and TMPDIR; empty: `children` in the data folder.
    pub home_dir: PathBuf,
    /// Folders that programs must not see, besides the data folder and saved API keys.
    pub hide: Vec<PathBuf>,
    /// Whether programs are fenced in with Landlock where the kernel has it.
    pub landlock: bool,
    /// User id that programs run as; 0: the gateway's (another needs a gateway that runs as root, and `home_dir`).
    pub uid: u32,
    /// Group id that goes with `uid`.
    pub gid: u32,
    /// Seconds for a program to start and answer its first question.
    pub start_timeout_seconds: u64,
    /// Seconds a program gets to end before it is killed (half of them before SIGTERM).
    pub stop_seconds: u64,
    /// Seconds that calls under way get when a program is replaced or removed.
    pub drain_seconds: u64,
    /// Seconds without a call after which a program is ended; its tools stay listed.
    pub idle_seconds: u64,
    /// Seconds a program may leave a message unread before it is ended.
    pub write_timeout_seconds: u64,
    /// Messages that wait to be written to a program.
    pub queue: usize,
    /// One line of a program's output, bytes.
    pub line_bytes: usize,
    /// Bytes a second that are read of output nobody waits for; the rest waits in the pipe.
    pub flood_bytes_per_second: u64,
    /// The last bytes of standard error that are kept for administrators.
    pub stderr_bytes: usize,
    /// Unexpected ends in `restart_window_seconds` after which a program is not started for a while.
    pub restarts: usize,
    /// Seconds over which unexpected ends are counted.
    pub restart_window_seconds: u64,
    /// Seconds of the longest pause before a program that keeps ending is started again.
    pub backoff_max_seconds: u64,
    /// Resident memory of a program and its descendants, MB; 0: no limit.
    pub memory_mb: u64,
    /// Memory that one process of a program may allocate, MB; 0: no limit.
    pub data_mb: u64,
    /// Processor seconds of one process of a program; 0: no limit.
    pub cpu_seconds: u64,
    /// Open files of one process of a program; 0: no limit.
    pub files: u64,
    /// Processes of a program and its descendants; 0: no limit.
    pub processes: usize,
    /// Priority of programs, from 0 (the gateway's) to 19 (last).
    pub nice: i32,
}

impl Default for StdioConfig {
    fn default() -> Self {
        StdioConfig {
            allow_api: false,
            allow_commands: Vec::new(),
            environment: ["PATH", "LANG", "LC_ALL", "TZ"].map(String::from).to_vec(),
            home_dir: PathBuf::new(),
            hide: Vec::new(),
            landlock: true,
            uid: 0,
            gid: 0,
            start_timeout_seconds: 30,
            stop_seconds: 5,
            drain_seconds: 30,
            idle_seconds: 600,
            write_timeout_seconds: 10,
            queue: 256,
            line_bytes: 16 * 1024 * 1024,
            flood_bytes_per_second: 256 * 1024,
            stderr_bytes: 64 * 1024,
            restarts: 10,
            restart_window_seconds: 60,
            backoff_max_seconds: 30,
            memory_mb: 2048,
            data_mb: 4096,
            cpu_seconds: 3600,
            files: 4096,
            processes: 256,
            nice: 5,
        }
    }
}
