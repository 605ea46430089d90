//! Logs: one line per event, JSON when nobody watches, text on a terminal; a panic is a log line too. Request bodies,
//! header values and secrets are never logged at any level.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, Layer, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::{
    config::{LogFormat, TelemetryConfig},
    error::{Result, err},
};

/// Starts logging to stderr. Call once.
pub fn init(config: &TelemetryConfig) -> Result<()> {
    let filter = EnvFilter::try_new(&config.log).map_err(|cause| {
        err::validation(format!("telemetry.log is not a log filter: {cause}"))
            .with_hint("for example: info,aerostack=debug")
    })?;
    let json = match config.log_format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let lines = if json {
        fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed()
    } else {
        fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr).boxed()
    };
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter));
    if subscriber.try_init().is_err() {
        return Ok(());
    }
    std::panic::set_hook(Box::new(|panic| {
        // The payload may quote what was being handled, so only the place is told.
        let place = panic.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
        tracing::error!(%place, "a task panicked");
    }));
    Ok(())
}
