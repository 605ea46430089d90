//! Configuration: one struct per concern, every limit with a name. Built once at start, passed down, never global.
//!
//! Order: flags > `AEROSTACK_<SECTION>_<KEY>` environment > `config.toml` > defaults. All problems are reported at
//! once. `config.toml` in the repository lists every setting with its default; a test compares it with this struct.

use std::{net::SocketAddr, path::PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

mod analytics;
mod backup;
mod load;
mod people;
mod skills;
mod stdio;

pub use analytics::AnalyticsConfig;
pub use backup::BackupConfig;
pub use load::Flags;
pub use people::{MailConfig, MailTls, PeopleConfig};
pub use skills::SkillsConfig;
pub use stdio::StdioConfig;

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Listening, addresses, TLS, shutdown.
    pub server: ServerConfig,
    /// Where state lives.
    pub database: DatabaseConfig,
    /// Limits of the front door.
    pub limits: LimitsConfig,
    /// How MCP servers are reached.
    pub upstream: UpstreamConfig,
    /// MCP servers that are programs on this machine.
    pub stdio: StdioConfig,
    /// Skills.
    pub skills: SkillsConfig,
    /// The actor runtime.
    pub actors: ActorsConfig,
    /// Call statistics.
    pub analytics: AnalyticsConfig,
    /// The audit log.
    pub audit: AuditConfig,
    /// Backups.
    pub backup: BackupConfig,
    /// Passwords, sessions, invitations, logins.
    pub people: PeopleConfig,
    /// The mail server.
    pub mail: MailConfig,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
}

/// Listening, addresses, TLS, shutdown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Address of the gateway and the admin API.
    pub bind: SocketAddr,
    /// Address of `/health/actors` and `/metrics`; empty: loopback, main port + 1.
    pub ops_bind: String,
    /// Folder of databases and the generated key file.
    pub data_dir: PathBuf,
    /// The URL under which editors reach this gateway; empty: `http://<bind>`.
    pub public_url: String,
    /// Namespace (user name) of the owner account made at first start.
    pub namespace: String,
    /// PEM certificate chain; with `tls_key`, the main listener speaks TLS.
    pub tls_cert: String,
    /// PEM private key.
    pub tls_key: String,
    /// Networks whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// `Origin` values allowed besides `public_url` and, on a loopback listener, loopback.
    pub allowed_origins: Vec<String>,
    /// `Host` values allowed besides those of `public_url` and, on a loopback listener, loopback.
    pub allowed_hosts: Vec<String>,
    /// Worker threads; 0: one per core.
    pub workers: usize,
    /// Connections waiting to be accepted.
    pub backlog: u32,
    /// Open connections per worker.
    pub max_connections: usize,
    /// Seconds an idle keep-alive connection stays open.
    pub keep_alive_seconds: u64,
    /// Seconds for a request head.
    pub head_timeout_seconds: u64,
    /// Seconds for a request body.
    pub body_timeout_seconds: u64,
    /// Seconds between "not ready" and refusing connections at a stop.
    pub drain_delay_seconds: u64,
    /// Seconds that calls under way get at a stop.
    pub shutdown_timeout_seconds: u64,
}

impl Default for ServerConfig {
    fn default() -> Self {
        ServerConfig {
            bind: SocketAddr::from(([127, 0, 0, 1], 8787)),
            ops_bind: String::new(),
            data_dir: PathBuf::from("data"),
            public_url: String::new(),
            namespace: "admin".into(),
            tls_cert: String::new(),
            tls_key: String::new(),
            trusted_proxies: Vec::new(),
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            workers: 0,
            backlog: 8192,
            max_connections: 25_000,
            keep_alive_seconds: 75,
            head_timeout_seconds: 5,
            body_timeout_seconds: 30,
            drain_delay_seconds: 0,
            shutdown_timeout_seconds: 25,
        }
    }
}

/// Where state lives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatabaseConfig {
    /// `postgres://…`; empty: SQLite files in `server.data_dir`.
    pub url: String,
    /// Connections in the pool.
    pub max_connections: u32,
    /// Seconds to wait for a connection from the pool.
    pub acquire_timeout_seconds: u64,
    /// Seconds a locked SQLite database is waited for.
    pub busy_timeout_seconds: u64,
    /// Seconds a statement may take on Postgres, and one that reads statistics on SQLite.
    pub statement_timeout_seconds: u64,
    /// Whether other gateways are kept off the same Postgres database; off: a token revoked at one goes on at the others.
    pub exclusive: bool,
    /// Seconds that a start waits for another gateway to leave the Postgres database.
    pub takeover_seconds: u64,
    /// Seconds between two looks whether this is still the only gateway of the Postgres database.
    pub alone_check_seconds: u64,
    /// Seconds without word from Postgres that this is still the only gateway, after which all calls are refused (503); 0: never.
    pub trust_seconds: u64,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        DatabaseConfig {
            url: String::new(),
            max_connections: 8,
            acquire_timeout_seconds: 5,
            busy_timeout_seconds: 5,
            statement_timeout_seconds: 5,
            exclusive: true,
            takeover_seconds: 40,
            alone_check_seconds: 2,
            trust_seconds: 10,
        }
    }
}

/// Limits of the front door.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// JSON-RPC requests per token in any 60 s; 0: unlimited (benchmarks only), at most 10000.
    pub requests_per_minute: u32,
    /// Notifications and responses per token in any 60 s.
    pub notifications_per_minute: u32,
    /// Request body, bytes.
    pub body_bytes: usize,
    /// Nesting of a JSON body.
    pub json_depth: usize,
    /// Values in a JSON body.
    pub json_values: usize,
    /// Entries on one page of a merged list.
    pub list_page: usize,
    /// Messages in a batch (2025-03-26 only).
    pub batch_messages: usize,
    /// Open streams per token.
    pub streams_per_token: usize,
    /// Open streams in the process.
    pub streams: usize,
    /// Messages waiting for a slow stream reader before it is cut.
    pub stream_queue: usize,
    /// Resources that one client (session, connection or listen request) may be subscribed to.
    pub subscriptions_per_client: usize,
    /// Seconds that the subscriptions of a session without an open stream are kept.
    pub subscription_linger_seconds: u64,
    /// Calls in flight per token.
    pub calls_per_token: usize,
    /// Calls in flight in the process.
    pub calls: usize,
    /// Seconds between keep-alive comments on a stream.
    pub keep_alive_comment_seconds: u64,
    /// Seconds a client has for a question that a server asks in the middle of a call.
    pub question_seconds: u64,
    /// Questions that one call may have open at once.
    pub questions_per_call: usize,
    /// Rounds of questions that one call may take.
    pub input_rounds: u32,
    /// Calls per token that wait for a 2026-07-28 client to come back with answers.
    pub parked_calls_per_token: usize,
    /// Such calls in the process.
    pub parked_calls: usize,
    /// Streams in the process that a client may come back to (2025-11-25).
    pub resumable_streams: usize,
    /// Events of such a stream that are kept for it.
    pub resumable_events: usize,
    /// Bytes of such a stream that are kept for it.
    pub resumable_bytes: usize,
    /// Seconds such a stream is kept after its end.
    pub resumable_seconds: u64,
    /// Seconds a call that its server answers with a stream may be silent before the client gets the stream's head.
    pub silent_head_seconds: u64,
    /// Failed look-ups per client address in 60 s before unknown tokens are refused unseen.
    pub failed_auth_per_minute: u32,
    /// Admin API requests per key in any 60 s.
    pub admin_requests_per_minute: u32,
    /// Pages of the dashboard per session in any 60 s.
    pub pages_per_minute: u32,
    /// Keys and sessions of which the admin API counts requests at once, and sessions of which pages are; more get 503.
    pub admin_keys: usize,
    /// Days that the session id of an older revision is believed; clients then begin a new one by themselves.
    pub session_days: u32,
    /// Days before its end from which a token counts as one that expires soon.
    pub token_expiry_warning_days: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        LimitsConfig {
            requests_per_minute: 120,
            notifications_per_minute: 1200,
            body_bytes: 4 * 1024 * 1024,
            json_depth: 64,
            json_values: 100_000,
            list_page: 1000,
            batch_messages: 20,
            streams_per_token: 64,
            streams: 4096,
            stream_queue: 64,
            subscriptions_per_client: 256,
            subscription_linger_seconds: 300,
            calls_per_token: 64,
            calls: 4096,
            keep_alive_comment_seconds: 15,
            question_seconds: 600,
            questions_per_call: 8,
            input_rounds: 10,
            parked_calls_per_token: 16,
            parked_calls: 1024,
            resumable_streams: 512,
            resumable_events: 256,
            resumable_bytes: 256 * 1024,
            resumable_seconds: 300,
            silent_head_seconds: 10,
            failed_auth_per_minute: 60,
            admin_requests_per_minute: 600,
            pages_per_minute: 600,
            admin_keys: 10_000,
            session_days: 30,
            token_expiry_warning_days: 7,
        }
    }
}

/// How MCP servers are reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamConfig {
    /// Private networks (besides loopback on a loopback gateway) that MCP servers may live in.
    pub allow_networks: Vec<IpNet>,
    /// Seconds to resolve and connect (TLS included).
    pub connect_timeout_seconds: u64,
    /// Seconds for an answer to begin, unless the server sets its own.
    pub call_timeout_seconds: u64,
    /// Seconds for a whole call, progress or not.
    pub call_total_seconds: u64,
    /// Seconds for discovery (`initialize`, `server/discover`) and for one `tools/list` page.
    pub discovery_timeout_seconds: u64,
    /// Seconds a merged `tools/list` waits for servers whose list is not known yet.
    pub list_wait_seconds: u64,
    /// Answer body, bytes.
    pub answer_bytes: usize,
    /// One event of an answer stream, bytes.
    pub event_bytes: usize,
    /// Answer head, bytes.
    pub head_bytes: usize,
    /// Pages of a list that are fetched.
    pub list_pages: usize,
    /// Tools per server.
    pub tools: usize,
    /// Prompts per server, and as many resources and resource templates.
    pub list_items: usize,
    /// Resources per server that clients may be subscribed to.
    pub subscriptions: usize,
    /// Calls in flight per server.
    pub calls_per_server: usize,
    /// Idle connections kept per server and worker.
    pub idle_connections: usize,
    /// Seconds an idle connection is kept.
    pub idle_connection_seconds: u64,
    /// Consecutive failures that open a server's breaker.
    pub breaker_failures: u32,
    /// Seconds of the breaker's first pause (doubles up to `breaker_max_seconds`).
    pub breaker_pause_seconds: u64,
    /// Seconds of the breaker's longest pause.
    pub breaker_max_seconds: u64,
    /// Seconds after which a server's tool list is fetched again.
    pub list_refresh_seconds: u64,
    /// Seconds a protocol verdict is believed before the server is probed again.
    pub verdict_seconds: u64,
    /// Seconds decrypted header bytes may stay in memory.
    pub header_cache_seconds: u64,
    /// Seconds without a call after which a worker lets go of a server.
    pub lane_idle_seconds: u64,
    /// Sessions with servers that belong to one client each (it declared sampling, elicitation or roots).
    pub client_sessions: usize,
    /// Seconds without a call after which such a session ends.
    pub client_session_idle_seconds: u64,
    /// Notifications per second that one stream of a server may send for long; more are dropped.
    pub stream_notifications_per_second: u32,
    /// Notifications that may come at once before that.
    pub stream_notifications_burst: u32,
    /// How often one answer may be resumed at a server that closes its streams on purpose.
    pub stream_resumptions: u32,
    /// How often resuming may fail in a row.
    pub stream_resume_failures: u32,
    /// Milliseconds in which several changes of a server's tool list are one.
    pub change_debounce_ms: u64,
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        UpstreamConfig {
            allow_networks: Vec::new(),
            connect_timeout_seconds: 5,
            call_timeout_seconds: 30,
            call_total_seconds: 600,
            discovery_timeout_seconds: 10,
            list_wait_seconds: 2,
            answer_bytes: 16 * 1024 * 1024,
            event_bytes: 4 * 1024 * 1024,
            head_bytes: 64 * 1024,
            list_pages: 100,
            tools: 2000,
            list_items: 5000,
            subscriptions: 2000,
            calls_per_server: 128,
            idle_connections: 128,
            idle_connection_seconds: 30,
            breaker_failures: 5,
            breaker_pause_seconds: 1,
            breaker_max_seconds: 30,
            list_refresh_seconds: 300,
            verdict_seconds: 86_400,
            header_cache_seconds: 30,
            lane_idle_seconds: 300,
            client_sessions: 1024,
            client_session_idle_seconds: 600,
            stream_notifications_per_second: 50,
            stream_notifications_burst: 500,
            stream_resumptions: 1000,
            stream_resume_failures: 3,
            change_debounce_ms: 150,
        }
    }
}

/// The actor runtime.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActorsConfig {
    /// Asks that may wait for one actor at once.
    pub max_in_flight: usize,
    /// Messages in a mailbox.
    pub mailbox: usize,
    /// Milliseconds an ask waits unless the caller says otherwise.
    pub ask_timeout_ms: u64,
    /// Milliseconds between heartbeats of singletons.
    pub heartbeat_ms: u64,
    /// Heartbeats missed before an actor counts as stalled.
    pub heartbeats_missed: u32,
    /// Restarts in `restart_window_seconds` before an actor counts as failed.
    pub restarts: u32,
    /// Seconds over which restarts are counted.
    pub restart_window_seconds: u64,
    /// Seconds after which a failed server, token or session actor is tried again.
    pub failed_retry_seconds: u64,
}

impl Default for ActorsConfig {
    fn default() -> Self {
        ActorsConfig {
            max_in_flight: 1024,
            mailbox: 4096,
            ask_timeout_ms: 5000,
            heartbeat_ms: 1000,
            heartbeats_missed: 3,
            restarts: 5,
            restart_window_seconds: 60,
            failed_retry_seconds: 30,
        }
    }
}

/// The audit log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// Days that audit entries are kept; 0: for ever.
    pub retention_days: u32,
    /// Seconds between checkpoints, if anything was written.
    pub checkpoint_seconds: u64,
    /// File that checkpoints are appended to, best on another machine's disk; empty: none.
    pub checkpoint_file: String,
    /// Command that gets each checkpoint as a line on its standard input (words or a JSON list, no shell); empty: none.
    pub checkpoint_command: String,
    /// Seconds that command may take.
    pub checkpoint_command_seconds: u64,
}

impl Default for AuditConfig {
    fn default() -> Self {
        AuditConfig {
            retention_days: 0,
            checkpoint_seconds: 300,
            checkpoint_file: String::new(),
            checkpoint_command: String::new(),
            checkpoint_command_seconds: 10,
        }
    }
}

/// Logs and traces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// `tracing` filter.
    pub log: String,
    /// `text`, `json`, or `auto` (text on a terminal).
    pub log_format: LogFormat,
    /// OTLP/HTTP endpoint for traces, for example `http://127.0.0.1:4318`; empty: off.
    pub otlp_endpoint: String,
    /// Service name in exported traces.
    pub service_name: String,
    /// Share of new traces that are exported, 0 to 1 (a sampled parent is always followed).
    pub sample_ratio: f64,
    /// Log lines per second about calls that are refused before they reach a server; the next line counts the rest.
    pub refused_calls_per_second: u32,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        TelemetryConfig {
            log: "info".into(),
            log_format: LogFormat::Auto,
            otlp_endpoint: String::new(),
            service_name: "aerostack".into(),
            sample_ratio: 1.0,
            refused_calls_per_second: 20,
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One readable line.
    Text,
    /// One JSON object a line.
    Json,
}
