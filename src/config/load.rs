//! Where the settings come from: flags > environment > file > defaults. Every problem is reported at once, each with
//! the name of the setting and where it was said.

use std::path::{Path, PathBuf};

use toml::{Table, Value};
use url::Url;

use crate::{
    config::{Config, ServerConfig},
    domain::server::http_url,
    error::{Error, Result, err},
};

/// Environment variables that are not settings of a section.
const NOT_SETTINGS: &[&str] = &[
    "AEROSTACK_URL",
    "AEROSTACK_API_KEY",
    "AEROSTACK_WORKSPACE",
    "AEROSTACK_PROFILE",
    "AEROSTACK_OUTPUT",
    "AEROSTACK_TOKEN",
    "AEROSTACK_NAMESPACE",
    "AEROSTACK_MAIL_PASSWORD",
];
/// Prefixes of variables that are not settings of a section.
const NOT_SETTING_PREFIXES: &[&str] = &[
    "AEROSTACK_CONFIG",
    "AEROSTACK_TEST",
    "AEROSTACK_REQUIRE",
    "AEROSTACK_BENCH",
    "AEROSTACK_INTEROP",
    "AEROSTACK_BIN",
];
/// Largest configuration file, in bytes.
const FILE_BYTES: u64 = 1024 * 1024;
/// Most days that a setting may say: a hundred years.
const MOST_DAYS: u32 = 36_500;

/// What was said on the command line: section, key, value.
pub type Flags = Vec<(&'static str, &'static str, Value)>;

impl Config {
    /// Reads the file (`given`, else `config.toml` in the data folder if it is there), the environment and the flags.
    pub fn load(given: Option<&Path>, environment: &[(String, String)], flags: Flags) -> Result<Config> {
        let mut problems = Vec::new();
        let mut table =
            Table::try_from(Config::default()).map_err(|cause| Error::internal("writing the defaults", cause))?;
        let said_data_dir = flags.iter().find(|(section, key, _)| (*section, *key) == ("server", "data_dir"));
        let data_dir = said_data_dir.and_then(|(_, _, value)| value.as_str()).map(PathBuf::from);
        if let Some(path) = file_to_read(given, data_dir.as_deref(), environment) {
            match read_file(&path) {
                Ok(file) => overlay(&mut table, file, &path.display().to_string(), &mut problems),
                Err(problem) => problems.push(problem),
            }
        }
        from_environment(&mut table, environment, &mut problems);
        for (section, key, value) in flags {
            set(&mut table, section, key, value);
        }
        let config: Config = match table.try_into() {
            Ok(config) => config,
            Err(cause) => {
                problems.push(cause.to_string().trim().to_owned());
                Config::default()
            }
        };
        problems.extend(config.contradictions());
        if problems.is_empty() {
            return Ok(config);
        }
        Err(err::validation(format!(
            "The configuration has {} problem(s):\n  - {}",
            problems.len(),
            problems.join("\n  - ")
        )))
    }

    fn contradictions(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut must = |holds: bool, what: &str| {
            if !holds {
                problems.push(what.to_owned());
            }
        };
        let server = &self.server;
        must(
            server.tls_cert.is_empty() == server.tls_key.is_empty(),
            "server.tls_cert and server.tls_key go together: set both or neither",
        );
        must(
            server.bind.ip().is_loopback() || !server.public_url.is_empty(),
            "server.public_url is missing: the gateway listens beyond this machine, and links, client configurations and \
             the Host check need the address that editors use. Add --public-url https://your.host",
        );
        if let Err(problem) = server.public_url() {
            must(false, &problem);
        }
        must(
            self.limits.requests_per_minute <= 10_000,
            "limits.requests_per_minute may be 10000 at most (0: unlimited)",
        );
        must(self.limits.body_bytes <= 32 * 1024 * 1024, "limits.body_bytes may be 33554432 (32 MiB) at most");
        must((0..=19).contains(&self.stdio.nice), "stdio.nice must be between 0 and 19");
        must(
            self.stdio.allow_commands.iter().all(|command| command.starts_with('/')),
            "stdio.allow_commands holds full paths, for example /usr/bin/npx",
        );
        must(
            self.stdio
                .hide
                .iter()
                .chain([&self.stdio.home_dir])
                .all(|path| path.as_os_str().is_empty() || path.is_absolute()),
            "stdio.home_dir and stdio.hide hold full paths",
        );
        must((0.0..=1.0).contains(&self.telemetry.sample_ratio), "telemetry.sample_ratio must be between 0 and 1");
        must(self.audit.checkpoint_seconds >= 1, "audit.checkpoint_seconds must be 1 at least");
        let collector = url::Url::parse(&self.telemetry.otlp_endpoint);
        must(
            self.telemetry.otlp_endpoint.is_empty()
                || collector.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()),
            "telemetry.otlp_endpoint must be an http:// or https:// URL, for example http://127.0.0.1:4318",
        );
        must(
            self.server.ops_bind.is_empty() || self.server.ops_bind.parse::<std::net::SocketAddr>().is_ok(),
            "server.ops_bind must be an address such as 127.0.0.1:8788",
        );
        let database = &self.database;
        must(
            database.trust_seconds == 0 || database.trust_seconds > database.alone_check_seconds.max(1),
            "database.trust_seconds must be more than database.alone_check_seconds, or 0",
        );
        self.people_problems(&mut problems);
        problems.extend(self.times_problems());
        problems
    }

    /// Days, hours and minutes are added to the present or subtracted: what reaches beyond all time is a typing error.
    fn times_problems(&self) -> Vec<String> {
        let kept = self.analytics.retention_days;
        let none =
            (kept == 0).then(|| "analytics.retention_days must be 1 at least: 0 would delete every call".to_owned());
        let (hours, minutes) = (MOST_DAYS * 24, MOST_DAYS * 24 * 60);
        let all = [
            ("analytics.retention_days", kept, MOST_DAYS),
            ("audit.retention_days", self.audit.retention_days, MOST_DAYS),
            ("limits.token_expiry_warning_days", self.limits.token_expiry_warning_days, MOST_DAYS),
            ("limits.session_days", self.limits.session_days, MOST_DAYS),
            ("people.session_days", self.people.session_days, MOST_DAYS),
            ("people.invite_hours", self.people.invite_hours, hours),
            ("people.login_minutes", self.people.login_minutes, minutes),
            ("people.session_idle_minutes", self.people.session_idle_minutes, minutes),
        ];
        let too_many = all.into_iter().filter(|(_, said, most)| said > most);
        none.into_iter().chain(too_many.map(|(name, _, most)| format!("{name} may be {most} at most"))).collect()
    }
}

impl ServerConfig {
    /// The URL that people use: the one that is set, else the listener's own.
    ///
    /// # Errors
    /// What is wrong with the one that is set.
    pub fn public_url(&self) -> std::result::Result<Url, String> {
        let wrong = |what: &str| Err(format!("server.public_url is not the gateway's address: {what}"));
        let scheme = if self.tls_cert.is_empty() { "http" } else { "https" };
        let own = || format!("{scheme}://{}", self.bind);
        let text = if self.public_url.is_empty() { own() } else { self.public_url.clone() };
        match http_url(&text) {
            Err(cause) => wrong(&cause),
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                wrong("it carries a user name or password")
            }
            Ok(url) if url.query().is_some() || url.fragment().is_some() => wrong("it goes on with ? or #"),
            Ok(url) => Ok(url),
        }
    }
}

fn file_to_read(given: Option<&Path>, data_dir: Option<&Path>, environment: &[(String, String)]) -> Option<PathBuf> {
    let named = environment.iter().find(|(name, _)| name == "AEROSTACK_CONFIG").map(|(_, value)| PathBuf::from(value));
    if let Some(path) = given.map(Path::to_path_buf).or(named) {
        return Some(path);
    }
    let beside = data_dir.unwrap_or(Path::new("data")).join("config.toml");
    beside.is_file().then_some(beside)
}

fn read_file(path: &Path) -> std::result::Result<Table, String> {
    let shown = path.display();
    let meta = std::fs::metadata(path).map_err(|cause| format!("{shown} cannot be read: {cause}"))?;
    if meta.len() > FILE_BYTES {
        return Err(format!("{shown} is larger than {FILE_BYTES} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|cause| format!("{shown} cannot be read: {cause}"))?;
    text.parse::<Table>().map_err(|cause| format!("{shown}: {}", cause.to_string().trim()))
}

fn overlay(table: &mut Table, file: Table, from: &str, problems: &mut Vec<String>) {
    for (section, values) in file {
        let Value::Table(values) = values else {
            problems.push(format!("{from}: \"{section}\" is not a section; write [{section}]"));
            continue;
        };
        for (key, value) in values {
            if known(table, &section, &key) {
                set(table, &section, &key, value);
            } else {
                problems.push(format!(
                    "{from}: no setting {section}.{key}{}",
                    did_you_mean(table, &format!("{section}.{key}"))
                ));
            }
        }
    }
}

fn from_environment(table: &mut Table, environment: &[(String, String)], problems: &mut Vec<String>) {
    for (name, text) in environment {
        let Some(rest) = name.strip_prefix("AEROSTACK_") else { continue };
        let foreign =
            NOT_SETTINGS.contains(&name.as_str()) || NOT_SETTING_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        if foreign {
            continue;
        }
        let lower = rest.to_ascii_lowercase();
        let found = lower.split_once('_').filter(|(section, key)| known(table, section, key));
        let Some((section, key)) = found else {
            problems.push(format!(
                "the environment variable {name} names no setting{}",
                did_you_mean(table, &lower.replacen('_', ".", 1))
            ));
            continue;
        };
        let old = table.get(section).and_then(|values| values.get(key));
        match parsed_like(old, text) {
            Some(value) => set(table, section, key, value),
            None => problems
                .push(format!("the environment variable {name} does not fit: {section}.{key} is not of that kind")),
        }
    }
}

/// The text as a value of the same kind as the default.
fn parsed_like(default: Option<&Value>, text: &str) -> Option<Value> {
    match default? {
        Value::String(_) => Some(Value::String(text.to_owned())),
        Value::Integer(_) => text.trim().parse().ok().map(Value::Integer),
        Value::Float(_) => text.trim().parse().ok().map(Value::Float),
        Value::Boolean(_) => text.trim().parse().ok().map(Value::Boolean),
        Value::Array(_) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Some(Value::Array(parts.map(|part| Value::String(part.to_owned())).collect()))
        }
        Value::Table(_) | Value::Datetime(_) => None,
    }
}

fn known(table: &Table, section: &str, key: &str) -> bool {
    table.get(section).and_then(Value::as_table).is_some_and(|values| values.contains_key(key))
}

fn set(table: &mut Table, section: &str, key: &str, value: Value) {
    if let Some(values) = table.get_mut(section).and_then(Value::as_table_mut) {
        values.insert(key.to_owned(), value);
    }
}

fn did_you_mean(table: &Table, asked: &str) -> String {
    let all = table.iter().filter_map(|(section, values)| Some((section, values.as_table()?)));
    let names = all.flat_map(|(section, values)| values.keys().map(move |key| format!("{section}.{key}")));
    let best = names.map(|name| (strsim::jaro_winkler(&name, asked), name)).max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(score, _)| *score > 0.8).map(|(_, name)| format!(" (did you mean {name}?)")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(environment: &[(&str, &str)]) -> Result<Config> {
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::load(None, &environment, Vec::new())
    }

    #[test]
    fn flags_win_over_the_environment_and_the_environment_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        std::fs::write(&file, "[limits]\nrequests_per_minute = 7\nbatch_messages = 7\ncalls = 7\n").unwrap();
        let environment = [
            ("AEROSTACK_LIMITS_BATCH_MESSAGES".to_owned(), "8".to_owned()),
            ("AEROSTACK_LIMITS_CALLS".to_owned(), "8".to_owned()),
        ];
        let flags = vec![("limits", "calls", Value::Integer(9))];
        let limits = Config::load(Some(&file), &environment, flags).unwrap().limits;
        assert_eq!((limits.requests_per_minute, limits.batch_messages, limits.calls), (7, 8, 9));
    }

    #[test]
    fn all_problems_are_reported_at_once_with_a_suggestion() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        std::fs::write(&file, "[limits]\nrequest_per_minute = 7\n[server]\ntls_cert = \"x\"\n").unwrap();
        let environment = [("AEROSTACK_LIMITS_CALLS".to_owned(), "many".to_owned())];
        let error = Config::load(Some(&file), &environment, Vec::new()).unwrap_err();
        insta::assert_snapshot!(error.message().replace(&file.display().to_string(), "FILE"), @r#"
        The configuration has 3 problem(s):
          - FILE: no setting limits.request_per_minute (did you mean limits.requests_per_minute?)
          - the environment variable AEROSTACK_LIMITS_CALLS does not fit: limits.calls is not of that kind
          - server.tls_cert and server.tls_key go together: set both or neither
        "#);
    }

    #[test]
    fn days_that_would_keep_nothing_or_reach_beyond_all_time_are_refused() {
        for (setting, days, said) in [
            ("AEROSTACK_ANALYTICS_RETENTION_DAYS", "0", "would delete every call"),
            ("AEROSTACK_ANALYTICS_RETENTION_DAYS", "4000000000", "36500 at most"),
            ("AEROSTACK_AUDIT_RETENTION_DAYS", "4000000000", "36500 at most"),
            ("AEROSTACK_LIMITS_TOKEN_EXPIRY_WARNING_DAYS", "4000000000", "36500 at most"),
            ("AEROSTACK_PEOPLE_SESSION_DAYS", "4000000000", "36500 at most"),
            ("AEROSTACK_PEOPLE_INVITE_HOURS", "4000000000", "876000 at most"),
            ("AEROSTACK_PEOPLE_LOGIN_MINUTES", "4000000000", "52560000 at most"),
            ("AEROSTACK_PEOPLE_SESSION_IDLE_MINUTES", "4000000000", "52560000 at most"),
        ] {
            let error = load(&[(setting, days)]).unwrap_err();
            assert!(error.message().contains(said), "{setting}: {error}");
        }
        assert!(
            load(&[("AEROSTACK_ANALYTICS_RETENTION_DAYS", "36500"), ("AEROSTACK_AUDIT_RETENTION_DAYS", "0")]).is_ok()
        );
    }

    #[test]
    fn a_listener_beyond_this_machine_needs_a_public_url() {
        assert!(load(&[("AEROSTACK_SERVER_BIND", "0.0.0.0:8787")]).unwrap_err().message().contains("public_url"));
        assert!(
            load(&[("AEROSTACK_SERVER_BIND", "0.0.0.0:8787"), ("AEROSTACK_SERVER_PUBLIC_URL", "https://x.example")])
                .is_ok()
        );
    }
}
