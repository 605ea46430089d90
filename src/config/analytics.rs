//! What is recorded of calls, for how long, and what is told of it.

use serde::{Deserialize, Serialize};

/// Call statistics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnalyticsConfig {
    /// Whether tool calls are recorded. Off: no figures, no calls in lists, logs and streams, no `aerostack_tool_calls` metrics.
    pub enabled: bool,
    /// Days that calls are kept, 1 at least.
    pub retention_days: u32,
    /// Calls per write, at most.
    pub batch: usize,
    /// Milliseconds between writes; up to eight times as long while there are many calls.
    pub flush_ms: u64,
    /// Calls that may wait for a write; more are dropped and counted.
    pub queue: usize,
    /// People in the process who may watch calls as they end.
    pub live_readers: usize,
    /// Of these, of one account.
    pub live_readers_per_account: usize,
    /// Calls waiting for one of them who does not keep up; more are left out, and how many is said.
    pub live_queue: usize,
    /// Seconds between two looks whether somebody who watches still may.
    pub live_check_seconds: u64,
    /// Calls in 24 hours below which no token is unusual, whatever it did before.
    pub unusual_calls: u64,
    /// A token is unusual when its last 24 hours have this many times the calls of its busiest day of the two weeks before.
    pub unusual_times: u64,
    /// Calls in 24 hours at which a token that is younger than three days is unusual.
    pub unusual_new_calls: u64,
}

impl Default for AnalyticsConfig {
    fn default() -> Self {
        AnalyticsConfig {
            enabled: true,
            retention_days: 90,
            batch: 20_000,
            flush_ms: 250,
            queue: 100_000,
            live_readers: 64,
            live_readers_per_account: 8,
            live_queue: 1000,
            live_check_seconds: 2,
            unusual_calls: 1000,
            unusual_times: 5,
            unusual_new_calls: 10_000,
        }
    }
}
