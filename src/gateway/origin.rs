//! `Host` and `Origin`: DNS rebinding ends here (mcp transports, "Security Warning"). An absent `Origin` is fine
//! (editors send none), a present one must be ours.

use actix_web::{HttpRequest, http::header};
use url::Url;

use crate::{
    config::ServerConfig,
    error::{Error, ErrorCode, Result},
};

/// The `Host` and `Origin` values this gateway answers to.
#[derive(Debug, Clone)]
pub struct Addressed {
    /// `host` or `host:port`, lower case.
    hosts: Vec<String>,
    /// `scheme://host[:port]`.
    origins: Vec<String>,
    /// Loopback names are ours, whatever the port: the listener is on loopback.
    loopback: bool,
}

impl Addressed {
    /// From the listener's address and the public URL.
    pub fn new(config: &ServerConfig, public_url: &Url) -> Self {
        let mut hosts: Vec<String> = config.allowed_hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        let mut origins = config.allowed_origins.clone();
        if let Some(host) = public_url.host_str() {
            match public_url.port() {
                Some(port) => hosts.push(format!("{host}:{port}")),
                None => {
                    hosts.push(host.to_owned());
                    hosts.extend(public_url.port_or_known_default().map(|port| format!("{host}:{port}")));
                }
            }
        }
        hosts.push(config.bind.to_string());
        origins.push(public_url.origin().ascii_serialization());
        Addressed { hosts, origins, loopback: config.bind.ip().is_loopback() }
    }

    /// Refuses a request that was addressed to somebody else or comes from a foreign page.
    pub fn check(&self, request: &HttpRequest) -> Result<()> {
        let host = request.headers().get(header::HOST).map(|value| value.to_str().unwrap_or_default());
        let authority = request.uri().authority().map(|authority| authority.as_str());
        for named in [host, authority].into_iter().flatten() {
            if !self.is_our_host(named) {
                return Err(Error::new(ErrorCode::OriginRefused, "The Host of this request is not served here")
                    .with_hint("use the gateway's public URL; an admin may add the name to server.allowed_hosts"));
            }
        }
        match request.headers().get(header::ORIGIN) {
            None => Ok(()),
            Some(origin) if self.is_our_origin(origin.to_str().unwrap_or_default()) => Ok(()),
            Some(_) => Err(Error::new(ErrorCode::OriginRefused, "The Origin of this request is not allowed")
                .with_hint("an admin may add it to server.allowed_origins")),
        }
    }

    fn is_our_host(&self, host: &str) -> bool {
        self.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(host)) || (self.loopback && is_loopback_name(host))
    }

    fn is_our_origin(&self, origin: &str) -> bool {
        if self.origins.iter().any(|ours| ours == origin) {
            return true;
        }
        let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        self.loopback && rest.is_some_and(is_loopback_name)
    }
}

/// `localhost`, `127.0.0.1` or `[::1]`, with any port or none.
fn is_loopback_name(host: &str) -> bool {
    let digits = |port: &str| !port.is_empty() && port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| {
        let same = host.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
        same && match host.get(name.len()..) {
            Some("") => true,
            Some(rest) => rest.strip_prefix(':').is_some_and(digits),
            None => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_loopback() {
        for ours in ["localhost", "LOCALHOST:8787", "127.0.0.1:1", "[::1]:65535", "[::1]"] {
            assert!(is_loopback_name(ours), "{ours}");
        }
        for foreign in
            ["localhost.evil.example", "127.0.0.1.nip.io", "localhost:", "localhost:80x", "evil", "", "localhost@evil"]
        {
            assert!(!is_loopback_name(foreign), "{foreign}");
        }
    }
}
