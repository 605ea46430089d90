//! What an MCP server definition says: how it is reached and how to talk to it. Stored as JSON in
//! `server_revisions.spec`.

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    domain::{program::Program, skill::Skill},
    error::{Result, err},
};

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

/// The kind of definitions that are skills.
pub const SKILL: &str = "skill";

/// How a server is reached. Told apart by the members they have: definitions of the first releases are all `url`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Reach {
    /// Over HTTP.
    Http {
        /// The endpoint.
        url: Url,
    },
    /// As a process on the gateway's own machine, over its standard input and output.
    Stdio(Program),
    /// As a published skill: the gateway itself answers for it, or asks its worker.
    Skill {
        /// The version.
        skill: Box<Skill>,
    },
}

/// Where a server is and how to talk to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerSpec {
    /// How it is reached.
    #[serde(flatten)]
    pub reach: Reach,
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

/// Reads an http(s) URL as it is written, or says why it is none. The parser repairs what is not a URL (`http:///x` to
/// `http://x/`, a backslash to a slash, a tab to nothing), and what was repaired may lead elsewhere than it seems to.
pub fn http_url(text: &str) -> std::result::Result<Url, String> {
    if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
        return Err("it contains spaces, control characters or backslashes".to_owned());
    }
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err("it must begin with https:// or http://".to_owned());
    }
    if rest.is_empty() || rest.starts_with(['/', '?', '#', ':', '@']) {
        return Err(format!("it names no host after {scheme}://"));
    }
    Url::parse(text).map_err(|cause| cause.to_string())
}

impl ServerSpec {
    /// A definition with defaults for `url`, which must be `http` or `https`, name a host and carry no credentials.
    pub fn for_url(url: &str) -> Result<Self> {
        let url = http_url(url).map_err(|cause| {
            err::validation(format!("Not the URL of an MCP server: {cause}"))
                .with_hint("give the full address, for example https://mcp.example.com/mcp")
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(err::validation("The URL carries a user name or password")
                .with_hint("leave it out and store it: aerostack secrets set SERVER NAME, then secrets inject"));
        }
        let mut url = url;
        url.set_fragment(None);
        Ok(ServerSpec::at(Reach::Http { url }))
    }

    /// A definition with defaults for a program on this machine.
    pub fn for_program(program: Program) -> Result<Self> {
        program.check()?;
        Ok(ServerSpec::at(Reach::Stdio(program)))
    }

    /// The definition of a skill's version.
    pub fn for_skill(skill: Skill) -> Self {
        ServerSpec::at(Reach::Skill { skill: Box::new(skill) })
    }

    fn at(reach: Reach) -> Self {
        ServerSpec {
            reach,
            protocol: ProtocolChoice::Auto,
            timeout_seconds: None,
            total_seconds: None,
            max_in_flight: None,
            allow_http: false,
        }
    }

    /// The endpoint, if the server (or a skill's worker) is reached over HTTP.
    pub fn url(&self) -> Option<&Url> {
        match &self.reach {
            Reach::Http { url } => Some(url),
            Reach::Stdio(_) => None,
            Reach::Skill { skill } => skill.worker.as_ref(),
        }
    }

    /// The skill, if it is one.
    pub fn skill(&self) -> Option<&Skill> {
        match &self.reach {
            Reach::Skill { skill } => Some(skill),
            Reach::Http { .. } | Reach::Stdio(_) => None,
        }
    }

    /// The program, if the server is one on this machine.
    pub fn program(&self) -> Option<&Program> {
        match &self.reach {
            Reach::Http { .. } | Reach::Skill { .. } => None,
            Reach::Stdio(program) => Some(program),
        }
    }

    /// The word for how it is reached: `http`, `stdio` or `skill`.
    pub fn kind(&self) -> &'static str {
        match self.reach {
            Reach::Http { .. } => "http",
            Reach::Stdio(_) => "stdio",
            Reach::Skill { .. } => SKILL,
        }
    }

    /// What a secret is bound to: `scheme://host:port`, the port always written, or the digest of a command line.
    pub fn origin(&self) -> String {
        if let Reach::Stdio(program) = &self.reach {
            return program.origin();
        }
        // A skill that is only a document has no place that a secret could go to.
        let Some(url) = self.url() else { return "skill:".to_owned() };
        let port = url.port_or_known_default().unwrap_or(0);
        format!("{}://{}:{port}", url.scheme(), url.host_str().unwrap_or_default())
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
    fn what_only_a_repair_would_make_a_url_is_refused() {
        for odd in [
            "http:///mcp",
            "https:////mcp",
            "http:mcp.example.com",
            "http:/mcp.example.com/mcp",
            "http://?x",
            "http://#x",
            "http://:80/mcp",
            "http://@host/mcp",
            "http://",
            "http:\\\\mcp.example.com\\mcp",
            "https://mcp.example.com\\@evil.example/",
            "https://mcp.exam\tple.com/",
            " https://mcp.example.com/",
            "https://mcp example.com/",
            "//mcp.example.com/mcp",
            "mcp.example.com/mcp",
            "ftp://mcp.example.com/",
            "",
        ] {
            assert!(ServerSpec::for_url(odd).is_err(), "{odd:?} was repaired");
        }
        assert_eq!(
            ServerSpec::for_url("HTTPS://MCP.example.com").unwrap().url().unwrap().as_str(),
            "https://mcp.example.com/"
        );
    }

    #[test]
    fn definitions_of_both_kinds_are_read_as_they_were_stored() {
        let old = r#"{"url":"https://a.example/mcp","protocol":"auto","allow_http":false}"#;
        let spec: ServerSpec = serde_json::from_str(old).unwrap();
        assert_eq!((spec.kind(), spec.url().unwrap().as_str()), ("http", "https://a.example/mcp"));
        assert_eq!(serde_json::to_string(&spec).unwrap(), old);
        let program = Program { command: "/usr/bin/server".into(), args: vec!["-x".into()], ..Program::default() };
        let spec = ServerSpec::for_program(program).unwrap();
        let stored = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<ServerSpec>(&stored).unwrap(), spec);
        assert_eq!((spec.kind(), spec.url()), ("stdio", None));
        assert!(serde_json::from_str::<ServerSpec>(r#"{"protocol":"auto"}"#).is_err());
    }

    #[test]
    fn a_url_with_credentials_is_refused() {
        assert!(ServerSpec::for_url("https://u:p@h/").is_err());
        assert!(ServerSpec::for_url("file:///etc/passwd").is_err());
        assert!(ServerSpec::for_url("nonsense").is_err());
    }
}
