//! Settings of people (passwords, sessions, invitations, logins) and of the mail that invites them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Passwords, sessions, invitations, logins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PeopleConfig {
    /// Memory for hashing one password, KiB; a stored hash with other parameters is renewed when its owner signs in.
    pub password_memory_kib: u32,
    /// Rounds of hashing a password.
    pub password_rounds: u32,
    /// Passwords that may wait to be hashed; more are told to come back (as many as there are cores are hashed at once).
    pub password_queue: usize,
    /// Minutes after which an unused session on the pages ends.
    pub session_idle_minutes: u32,
    /// Days after which a session on the pages ends, used or not.
    pub session_days: u32,
    /// Sessions of one account; a new one ends the oldest.
    pub sessions_per_account: usize,
    /// Wrong passwords for one account from one address before it has to wait.
    pub sign_in_failures: u32,
    /// Minutes after which wrong passwords are forgotten, and the longest wait.
    pub sign_in_failure_minutes: u32,
    /// Hours in which an invitation can be accepted.
    pub invite_hours: u32,
    /// Open invitations of one namespace.
    pub invites: u64,
    /// API keys in force of one account.
    pub api_keys: usize,
    /// Minutes in which a login on the command line can be confirmed in a browser.
    pub login_minutes: u32,
    /// Seconds that a command line waits between two questions whether it was confirmed.
    pub login_poll_seconds: u64,
    /// Logins that may wait for a browser.
    pub logins: u64,
    /// Requests of one address to what needs no key (sign-in, invitations, logins, an open registry) in 60 s.
    pub open_requests_per_minute: u32,
}

impl Default for PeopleConfig {
    fn default() -> Self {
        PeopleConfig {
            password_memory_kib: 19_456,
            password_rounds: 2,
            password_queue: 32,
            session_idle_minutes: 480,
            session_days: 7,
            sessions_per_account: 20,
            sign_in_failures: 5,
            sign_in_failure_minutes: 15,
            invite_hours: 72,
            invites: 500,
            api_keys: 100,
            login_minutes: 10,
            login_poll_seconds: 3,
            logins: 1000,
            open_requests_per_minute: 120,
        }
    }
}

/// How the connection to the mail server is protected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// Begins in clear and must become TLS before anything is said.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// In clear: for a mail server on this machine.
    None,
}

/// The mail server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MailConfig {
    /// Host of the SMTP server; empty: no mail, links are shown to whoever invites.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `starttls`, `tls`, or `none` for a server on this machine.
    pub tls: MailTls,
    /// User name; empty: no sign-in. The password is in `AEROSTACK_MAIL_PASSWORD` or in `password_file`.
    pub user: String,
    /// File with the password; empty: `AEROSTACK_MAIL_PASSWORD`.
    pub password_file: PathBuf,
    /// Sender, for example `Aerostack <aerostack@example.com>`.
    pub from: String,
    /// Seconds for a whole delivery to the mail server.
    pub timeout_seconds: u64,
}

impl Default for MailConfig {
    fn default() -> Self {
        MailConfig {
            host: String::new(),
            port: 587,
            tls: MailTls::default(),
            user: String::new(),
            password_file: PathBuf::new(),
            from: String::new(),
            timeout_seconds: 10,
        }
    }
}

impl super::Config {
    /// What cannot be, of these two sections.
    pub(super) fn people_problems(&self, problems: &mut Vec<String>) {
        let (people, mail) = (&self.people, &self.mail);
        let mut must = |holds: bool, what: &str| {
            if !holds {
                problems.push(what.to_owned());
            }
        };
        must(
            (8..=1_048_576).contains(&people.password_memory_kib) && (1..=20).contains(&people.password_rounds),
            "people.password_memory_kib must be between 8 and 1048576, people.password_rounds between 1 and 20",
        );
        must(
            people.session_idle_minutes > 0 && people.session_days > 0 && people.sessions_per_account > 0,
            "people.session_idle_minutes, session_days and sessions_per_account must be at least 1",
        );
        must(
            people.invite_hours > 0 && people.login_minutes > 0 && people.login_poll_seconds > 0,
            "people.invite_hours, login_minutes and login_poll_seconds must be at least 1",
        );
        must(mail.host.is_empty() || !mail.from.is_empty(), "mail.from is missing: the sender of invitations");
        let local = ["localhost", "127.0.0.1", "::1"].contains(&mail.host.as_str());
        must(
            mail.user.is_empty() || mail.tls != MailTls::None || local,
            "mail.tls = \"none\" would send mail.user and its password in clear: use starttls or tls",
        );
    }
}
