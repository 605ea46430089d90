//! What an MCP server definition says: where it is and how to talk to it. Stored as JSON in `server_revisions.spec`.

use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::{Result, err};

/// How the protocol of a server is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ProtocolChoice {
    /// Probed: 2026-07-28, then the older handshake, then HTTP+SSE.
    #[default]
    Auto,
    /// Revision 2026-07-28 only.
    Modern,
    /// Streamable HTTP with a handshake (2025-03-26 … 2025-11-25).
    Legacy,
    /// HTTP+SSE (2024-11-05).
    Sse,
}

/// Where a server is and how to talk to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerSpec {
    /// The endpoint.
    pub url: Url,
    /// How the protocol is found.
    #[serde(default)]
    pub protocol: ProtocolChoice,
    /// Seconds for an answer to begin; none: `upstream.call_timeout_seconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
    /// Seconds for a whole call; none: `upstream.call_total_seconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_seconds: Option<u64>,
    /// Calls in flight; none: `upstream.calls_per_server`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<usize>,
    /// Secrets may travel over plain `http` beyond loopback.
    #[serde(default)]
    pub allow_http: bool,
}

impl ServerSpec {
    /// A definition with defaults for `url`, which must be `http` or `https`, name a host and carry no credentials.
    pub fn for_url(url: &str) -> Result<Self> {
        let url = Url::parse(url).map_err(|cause| {
            err::validation(format!("Not a URL: {cause}"))
                .with_hint("give the full address, for example https://mcp.example.com/mcp")
        })?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(err::validation("An MCP server's URL begins with https:// or http:// and names a host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(err::validation("The URL carries a user name or password")
                .with_hint("leave it out and store it: aerostack secrets set SERVER NAME, then secrets inject"));
        }
        let mut url = url;
        url.set_fragment(None);
        Ok(ServerSpec {
            url,
            protocol: ProtocolChoice::Auto,
            timeout_seconds: None,
            total_seconds: None,
            max_in_flight: None,
            allow_http: false,
        })
    }

    /// `scheme://host:port`, the port always written: what a secret is bound to.
    pub fn origin(&self) -> String {
        let port = self.url.port_or_known_default().unwrap_or(0);
        format!("{}://{}:{port}", self.url.scheme(), self.url.host_str().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_always_names_the_port() {
        let origin = |text| ServerSpec::for_url(text).unwrap().origin();
        assert_eq!(origin("https://api.githubcopilot.com/mcp/"), "https://api.githubcopilot.com:443");
        assert_eq!(origin("http://127.0.0.1:9001/mcp"), "http://127.0.0.1:9001");
    }

    #[test]
    fn a_url_with_credentials_is_refused() {
        assert!(ServerSpec::for_url("https://u:p@h/").is_err());
        assert!(ServerSpec::for_url("file:///etc/passwd").is_err());
        assert!(ServerSpec::for_url("nonsense").is_err());
    }
}
