//! What a person sees when the gateway starts or cannot.

use std::{
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
    time::Duration,
};

use crate::{
    actors::Actors,
    error::Error,
    serve::{
        first_start::{FirstStart, reveal},
        listen::Listeners,
    },
};

/// Where the link is written that opens the dashboard, if nobody sees what is printed.
const LINK: &str = "dashboard-link";

/// Says why the gateway does not start.
pub fn failed(error: &Error, code: u8) -> ExitCode {
    let mut out = std::io::stderr().lock();
    let _ = writeln!(out, "aerostack: {}", error.message());
    if let Some(hint) = error.hint() {
        let _ = writeln!(out, "hint: {hint}");
    }
    ExitCode::from(code)
}

/// Says where everything is; the key of the first start is shown here and nowhere else.
pub fn ready(actors: &Actors, first: &FirstStart, listeners: &Listeners, took: Duration, demo: bool) {
    let server = &actors.config.server;
    let data = std::fs::canonicalize(&server.data_dir).unwrap_or_else(|_| server.data_dir.clone());
    let public = actors.public_url.as_str().trim_end_matches('/');
    let mut text = format!(
        "✓ aerostack {} ready in {} ms          data: {}\n  Gateway     {public}/ws/<workspace>\n  Admin API   {public}/api/v1/admin\n",
        env!("CARGO_PKG_VERSION"),
        took.as_millis(),
        data.display(),
    );
    if let Some(ops) = listeners.ops() {
        text.push_str(&format!("  Operators   http://{ops}/health/actors, http://{ops}/metrics\n"));
    }
    if let Some(key) = first.key.as_ref().filter(|_| !demo) {
        text.push_str(&admin_key(reveal(key), first, actors));
    }
    // The link of an earlier start opens nothing any more.
    let _ = std::fs::remove_file(server.data_dir.join(LINK));
    if let Some(code) = &first.welcome {
        text.push_str(&dashboard(&format!("{public}/welcome#{}", reveal(code)), actors));
    }
    if actors.config.limits.requests_per_minute == 0 {
        text.push_str("! limits.requests_per_minute is 0: tokens are not limited. Use this for benchmarks only.\n");
    }
    if !server.bind.ip().is_loopback() && server.tls_cert.is_empty() && server.trusted_proxies.is_empty() {
        text.push_str("! Listening beyond this machine without TLS: set --tls-cert and --tls-key, or put a TLS proxy in front and name it in server.trusted_proxies.\n");
    }
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

fn admin_key(key: &str, first: &FirstStart, actors: &Actors) -> String {
    let saved = match &first.profile {
        Some(folder) => format!("saved for this user in {}", folder.display()),
        None => "not saved: sign in with `aerostack login`".to_owned(),
    };
    let next = "  Next        aerostack workspace create engineering\n";
    if std::io::stdout().is_terminal() {
        return format!("  Admin key   {key}  (shown once; {saved})\n{next}");
    }
    // Whoever reads a log must not find a key in it.
    let path = actors.config.server.data_dir.join("admin-key");
    match write_private(&path, key) {
        Ok(()) => format!("  Admin key   written to {} ({saved})\n{next}", path.display()),
        Err(cause) => format!("  Admin key   could not be written to {}: {cause} ({saved})\n{next}", path.display()),
    }
}

/// How the dashboard is opened for the first time.
fn dashboard(link: &str, actors: &Actors) -> String {
    if std::io::stdout().is_terminal() {
        return format!("  Dashboard   {link}  (opens once, within an hour)\n");
    }
    let path = actors.config.server.data_dir.join(LINK);
    match write_private(&path, link) {
        Ok(()) => format!("  Dashboard   its first link, for an hour, is in {}\n", path.display()),
        Err(cause) => format!("  Dashboard   the link could not be written to {}: {cause}\n", path.display()),
    }
}

fn write_private(path: &std::path::Path, key: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{key}")?;
    file.sync_all()
}
