//! Logs: one line per event, JSON when nobody watches, text on a terminal; a panic is a log line too. Request bodies,
//! header values and secrets are never logged at any level.

pub mod otlp;
mod otlp_client;

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, Layer, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::{
    config::{LogFormat, TelemetryConfig},
    error::{Result, err},
};

/// Starts logging to stderr. Call once.
pub fn init(config: &TelemetryConfig) -> Result<()> {
    let filter = filter(&config.log)?;
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

/// Libraries that speak of their own business at `info`.
const CHATTY: &[&str] =
    &["actix_server", "actix_web", "sea_orm", "sea_orm_migration", "sqlx", "awc", "opentelemetry_sdk"];

/// The filter that was asked for, with chatty libraries at `warn` at most unless it names them.
fn filter(asked: &str) -> Result<EnvFilter> {
    let general = asked.split(',').map(str::trim).find(|part| !part.contains(['=', '[']));
    let quiet = general.filter(|level| matches!(*level, "off" | "error")).unwrap_or("warn");
    // Of two directives for the same library the later one holds.
    let text: String = CHATTY.iter().map(|library| format!("{library}={quiet},")).chain([asked.to_owned()]).collect();
    EnvFilter::try_new(text).map_err(|cause| {
        err::validation(format!("telemetry.log is not a log filter: {cause}"))
            .with_hint("for example: info,aerostack=debug")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of some events a filter lets through.
    fn passing(asked: &str) -> Vec<&'static str> {
        let kept: std::sync::Arc<std::sync::Mutex<Vec<&'static str>>> = std::sync::Arc::default();
        struct Keep(std::sync::Arc<std::sync::Mutex<Vec<&'static str>>>);
        impl<S: tracing::Subscriber> Layer<S> for Keep {
            fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
                self.0.lock().unwrap().push(event.metadata().target());
            }
        }
        let subscriber = tracing_subscriber::registry().with(Keep(kept.clone()).with_filter(filter(asked).unwrap()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "actix_server::server", "starting 2 workers");
            tracing::info!(target: "sqlx::query", "a statement");
            tracing::info!(target: "aerostack::call", "a call");
        });
        let kept = kept.lock().unwrap();
        kept.clone()
    }

    #[test]
    fn libraries_are_quiet_until_they_are_named() {
        assert_eq!(passing("info"), ["aerostack::call"]);
        assert_eq!(passing("debug"), ["aerostack::call"]);
        assert_eq!(passing("info,sqlx=info"), ["sqlx::query", "aerostack::call"]);
        assert_eq!(passing("warn"), [""; 0]);
        assert!(filter("info,=").is_err());
    }
}
