//! Mail: one plain text at a time to the configured SMTP server. A mail counts as sent when that server has accepted it,
//! never before; what happens to it afterwards nobody here can know.
//!
//! The connection is made for each mail and has a deadline (`mail.timeout_seconds`). Over TLS the server must prove who it
//! is, to the public authorities or one of `SSL_CERT_FILE`. The password comes from a file or from
//! `AEROSTACK_MAIL_PASSWORD` and is in no setting, log or answer.

use std::{io, time::Duration};

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        self,
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
    },
};
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use zeroize::Zeroizing;

use crate::{
    config::{MailConfig, MailTls},
    error::{Error, ErrorCode, Result, err},
};

/// Where the password is, unless it is in a file.
pub const PASSWORD_VARIABLE: &str = "AEROSTACK_MAIL_PASSWORD";

/// The way to the mail server, if there is one.
pub struct Mail(Option<Server>);

struct Server {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    patience: Duration,
}

impl Mail {
    /// From the settings; `password` is what the environment says.
    ///
    /// # Errors
    /// `validation` when the sender is no address, the password's file cannot be read, or a user has no password.
    pub fn new(config: &MailConfig, password: Option<String>) -> Result<Self> {
        if config.host.is_empty() {
            return Ok(Mail(None));
        }
        let from = config.from.parse().map_err(|_not_one| {
            err::validation("mail.from is not a sender, for example Aerostack <aerostack@example.com>")
        })?;
        let encrypted = || {
            let parameters = TlsParameters::builder(config.host.clone());
            let parameters = own_authorities().into_iter().fold(parameters, |all, one| all.add_root_certificate(one));
            parameters
                .build()
                .map_err(|cause| err::validation(format!("mail.host cannot be reached over TLS: {cause}")))
        };
        let tls = match config.tls {
            MailTls::Starttls => Tls::Required(encrypted()?),
            MailTls::Tls => Tls::Wrapper(encrypted()?),
            MailTls::None => Tls::None,
        };
        let patience = Duration::from_secs(config.timeout_seconds.max(1));
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
            .port(config.port)
            .tls(tls)
            .timeout(Some(patience));
        if !config.user.is_empty() {
            let password = password_of(config, password)?;
            builder = builder.credentials(Credentials::new(config.user.clone(), password.to_string()));
        }
        Ok(Mail(Some(Server { transport: builder.build(), from, patience })))
    }

    /// Whether there is a mail server to give mails to.
    pub fn is_configured(&self) -> bool {
        self.0.is_some()
    }

    /// Gives a mail to the mail server. `Ok` means that it was accepted.
    ///
    /// # Errors
    /// `upstream_unavailable`, with what the server said in the log only: its words may quote addresses.
    pub async fn send(&self, to: &str, subject: &str, text: String) -> Result<()> {
        let Some(server) = &self.0 else {
            return Err(refused("no mail server is configured (mail.host)"));
        };
        let to: Mailbox = to.parse().map_err(|_not_one| refused("the address is none"))?;
        let message = Message::builder()
            .from(server.from.clone())
            .to(to)
            .subject(subject)
            .header(ContentType::TEXT_PLAIN)
            .body(text)
            .map_err(|cause| Error::internal("writing a mail", cause))?;
        match tokio::time::timeout(server.patience, server.transport.send(message)).await {
            Ok(Ok(_accepted)) => Ok(()),
            Ok(Err(cause)) => {
                tracing::warn!(%cause, "the mail server did not accept a mail");
                Err(refused(why(&cause)))
            }
            Err(_) => {
                tracing::warn!("the mail server did not answer in mail.timeout_seconds");
                Err(refused("the mail server did not answer in time"))
            }
        }
    }
}

fn refused(why: &str) -> Error {
    Error::new(ErrorCode::UpstreamUnavailable, why)
}

/// What went wrong, without the server's own words.
fn why(cause: &smtp::Error) -> &'static str {
    match handshake(cause) {
        Some(rustls::Error::InvalidCertificate(_)) => return "the certificate of the mail server is not trusted",
        Some(_) => return "no encrypted connection to the mail server is possible",
        None => {}
    }
    match () {
        () if cause.is_permanent() => "the mail server refused it",
        () if cause.is_transient() => "the mail server cannot take it now",
        () if cause.is_timeout() => "the mail server did not answer in time",
        () if cause.is_tls() => "no encrypted connection to the mail server is possible",
        // The library has no kind of its own for it.
        () if cause.is_client() && cause.to_string().contains("STARTTLS") => "the mail server does not offer STARTTLS",
        () => "the mail server cannot be reached or understood",
    }
}

/// The failed handshake inside of an error, if there is one: the library calls it a failed connection.
fn handshake<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let within = error.downcast_ref::<io::Error>().and_then(|error| error.get_ref()?.downcast_ref());
    within.or_else(|| error.downcast_ref()).or_else(|| handshake(error.source()?))
}

/// The authorities in `SSL_CERT_FILE`, which are trusted besides the public ones; what is no certificate is left out.
fn own_authorities() -> Vec<Certificate> {
    let Some(file) = std::env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty()) else { return Vec::new() };
    let found = CertificateDer::pem_file_iter(&file).inspect_err(|cause| {
        tracing::warn!(%cause, "cannot read SSL_CERT_FILE");
    });
    let usable = |one: &CertificateDer<'static>| RootCertStore::empty().add(one.clone()).is_ok();
    let found = found.into_iter().flatten().flatten().filter(usable);
    found.filter_map(|one| Certificate::from_der(one.to_vec()).ok()).collect()
}

fn password_of(config: &MailConfig, given: Option<String>) -> Result<Zeroizing<String>> {
    let file = &config.password_file;
    if !file.as_os_str().is_empty() {
        let text = std::fs::read_to_string(file).map_err(|cause| {
            err::validation(format!("mail.password_file {} cannot be read: {cause}", file.display()))
        })?;
        return Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()));
    }
    let given = given.filter(|password| !password.is_empty());
    given.map(Zeroizing::new).ok_or_else(|| {
        err::validation(format!("mail.user has no password: set mail.password_file or {PASSWORD_VARIABLE}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> MailConfig {
        MailConfig { host: "127.0.0.1".into(), tls: MailTls::None, from: "a@b.example".into(), ..MailConfig::default() }
    }

    #[test]
    fn settings_that_cannot_work_are_refused_at_the_start() {
        assert!(!Mail::new(&MailConfig::default(), None).unwrap().is_configured());
        assert!(Mail::new(&config(), None).unwrap().is_configured());
        assert!(Mail::new(&MailConfig { from: "nobody".into(), ..config() }, None).is_err());
        let signed_in = MailConfig { user: "u".into(), ..config() };
        assert!(Mail::new(&signed_in, None).is_err() && Mail::new(&signed_in, Some(String::new())).is_err());
        assert!(Mail::new(&signed_in, Some("CANARY".into())).is_ok());
        let missing = MailConfig { password_file: "/nowhere/at/all".into(), ..signed_in };
        assert!(Mail::new(&missing, Some("CANARY".into())).is_err(), "a file that is named must be there");
    }
}
