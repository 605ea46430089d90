//! What `aerostack serve` takes. Parsed here, understood by `serve`: a flag that is given wins over environment and file.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

use crate::config::LogFormat;

/// Runnable examples of `serve`.
pub const EXAMPLES: &str = "Examples:
  aerostack serve
  aerostack serve --demo
  aerostack serve --bind 0.0.0.0:8787 --public-url https://mcp.example.com --data-dir /var/lib/aerostack";

/// What `aerostack serve` takes.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    /// Address of the gateway and the admin API [default: 127.0.0.1:8787]
    #[arg(long, value_name = "ADDRESS")]
    pub bind: Option<SocketAddr>,
    /// Folder of databases and the generated key file [default: data]
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// Address of /health/actors and /metrics [default: loopback, main port + 1]
    #[arg(long, value_name = "ADDRESS")]
    pub ops_bind: Option<String>,
    /// URL under which editors reach this gateway [default: http://ADDRESS]
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// PEM certificate chain; with --tls-key, the gateway speaks TLS itself
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// PEM private key
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Configuration file [default: config.toml in the data folder, if there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Try it out: a temporary data folder, a demo server, a token with one hour to live
    #[arg(long)]
    pub demo: bool,
    /// User name, thereby namespace, of the owner made at first start [default: admin]
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Log filter, for example info,aerostack=debug
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// How log lines look
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}
