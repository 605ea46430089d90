//! Why an MCP server gave no answer, and how that is told to a person, a model or an admin: the message names the
//! server, the cause and what to do, never a header or a body of the server.

use std::time::Duration;

use serde_json::json;

use crate::{
    error::{Error, ErrorCode},
    upstream::{breaker::Open, guard::Refusal},
};

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UpstreamError {
    /// Nothing answers there. The request was not sent.
    #[error("{0}")]
    Unavailable(String),
    /// Too many failures in a row: not even asked.
    #[error("it failed {} times in a row and is not asked for {} s", .0.failures, seconds(&.0.retry_after))]
    Resting(Open),
    /// No answer, or no further event, in time.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The answer makes no sense.
    #[error("{0}")]
    Protocol(String),
    /// The connection or stream ended before the answer did.
    #[error("its answer was cut off")]
    Cut,
    /// It answered with a redirect, which is never followed: it would take the credential elsewhere.
    #[error("it answered with a redirect (HTTP {0}), which is not followed")]
    Redirect(u16),
    /// The answer is larger than a limit.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// The limit, bytes.
        limit: usize,
    },
    /// 401 or 403: the server refused our credential.
    #[error("it refused the credential (HTTP {0})")]
    Unauthorized(u16),
    /// The server does not know its session any more; the request was not processed.
    #[error("it ended the session")]
    SessionExpired,
    /// Any other HTTP status that carries no answer, with the seconds of `Retry-After`.
    #[error("it answered HTTP {0}")]
    Status(u16, Option<u64>),
    /// The request was sent, the answer was lost, and repeating it might do things twice.
    #[error("{0}")]
    OutcomeUnknown(String),
    /// The network policy forbids the address.
    #[error("{0}")]
    Refused(Refusal),
    /// As many calls as allowed are under way.
    #[error("{0} calls are under way, the most allowed for it")]
    Overloaded(usize),
    /// Our side is not ready: a secret is missing, an actor is busy.
    #[error("{0}")]
    NotUsable(Error),
}

fn seconds(duration: &Duration) -> u64 {
    duration.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}

impl From<Refusal> for UpstreamError {
    fn from(refusal: Refusal) -> Self {
        UpstreamError::Refused(refusal)
    }
}
impl From<Error> for UpstreamError {
    fn from(error: Error) -> Self {
        UpstreamError::NotUsable(error)
    }
}

impl UpstreamError {
    /// Whether it counts against the server: it is down, hangs, or fails on its own.
    pub fn is_outage(&self) -> bool {
        match self {
            UpstreamError::Unavailable(_)
            | UpstreamError::Timeout(_)
            | UpstreamError::OutcomeUnknown(_)
            | UpstreamError::Cut => true,
            UpstreamError::Status(status, _) => *status >= 500,
            _ => false,
        }
    }

    /// As what callers are told about server `slug`.
    pub fn into_error(self, slug: &str) -> Error {
        let cause = self.to_string();
        let says = |code, what: &str| Error::new(code, format!("MCP server \"{slug}\" {what}: {cause}"));
        match self {
            UpstreamError::Unavailable(_) => says(ErrorCode::UpstreamUnavailable, "is unavailable")
                .with_hint(format!("check that it is running and reachable: aerostack mcp test {slug}")),
            UpstreamError::Resting(open) => says(ErrorCode::UpstreamUnavailable, "is unavailable")
                .with_hint("it is tried again by itself")
                .with_retry_after(seconds(&open.retry_after).max(1)),
            UpstreamError::Timeout(_) => says(ErrorCode::UpstreamTimeout, "timed out")
                .with_hint(format!("it may still be working; for slow tools raise the timeout of \"{slug}\"")),
            UpstreamError::Protocol(_) => says(ErrorCode::UpstreamProtocol, "broke the protocol")
                .with_hint(format!("check that its URL is the MCP endpoint: aerostack mcp test {slug}")),
            UpstreamError::Cut => {
                says(ErrorCode::UpstreamProtocol, "broke off").with_data(json!({ "reason": "stream_cut" }))
            }
            UpstreamError::Redirect(_) => says(ErrorCode::UpstreamProtocol, "moved")
                .with_data(json!({ "reason": "upstream_redirect" }))
                .with_hint(format!(
                    "define it anew with its final URL: aerostack mcp remove {slug}, then aerostack mcp add {slug} --url \
                     https://…"
                )),
            UpstreamError::TooLarge { limit, .. } => says(ErrorCode::UpstreamTooLarge, "answered too much")
                .with_data(json!({ "limit_bytes": limit }))
                .with_hint("ask it for less, for example one page or a narrower query"),
            UpstreamError::Unauthorized(status) => says(ErrorCode::UpstreamUnauthorized, "is not usable now")
                .with_data(json!({ "status": status }))
                .with_hint(format!(
                    "an admin can set the credential again: aerostack secrets set {slug} NAME VALUE, and how it is \
                     sent: aerostack secrets inject {slug} NAME --bearer"
                )),
            UpstreamError::SessionExpired => says(ErrorCode::UpstreamUnavailable, "is unavailable").with_retry_after(1),
            UpstreamError::Status(status, retry_after) => {
                let error =
                    says(ErrorCode::UpstreamUnavailable, "is unavailable").with_data(json!({ "status": status }));
                match retry_after {
                    Some(seconds) => error.with_retry_after(seconds),
                    None => error,
                }
            }
            UpstreamError::OutcomeUnknown(_) => says(ErrorCode::OutcomeUnknown, "may or may not have done it")
                .with_hint("look at the result before repeating the call; it was not repeated"),
            UpstreamError::Refused(refusal) => {
                let error = says(ErrorCode::UpstreamUnavailable, "was not contacted");
                match refusal.remedy {
                    Some(remedy) => error.with_hint(remedy),
                    None => error,
                }
            }
            UpstreamError::Overloaded(_) => says(ErrorCode::Overloaded, "is busy").with_retry_after(1),
            UpstreamError::NotUsable(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_the_code_of_the_table_and_names_the_server() {
        let open = Open { failures: 5, retry_after: Duration::from_millis(1200) };
        let table = [
            (UpstreamError::Unavailable("connection refused".into()), -32010),
            (UpstreamError::Resting(open), -32010),
            (UpstreamError::Timeout(Duration::from_secs(30)), -32011),
            (UpstreamError::Protocol("redirect".into()), -32012),
            (UpstreamError::Cut, -32012),
            (UpstreamError::Redirect(307), -32012),
            (UpstreamError::TooLarge { what: "the answer", limit: 10 }, -32013),
            (UpstreamError::Unauthorized(401), -32014),
            (UpstreamError::Status(503, Some(7)), -32010),
            (UpstreamError::OutcomeUnknown("connection lost".into()), -32019),
            (UpstreamError::Overloaded(128), -32017),
        ];
        for (failure, code) in table {
            let error = failure.into_error("github-mcp");
            assert_eq!(error.code().rpc(), code, "{error:?}");
            assert!(error.message().contains("github-mcp"), "{error:?}");
        }
        assert_eq!(UpstreamError::Resting(open).into_error("x").retry_after(), Some(2));
        assert_eq!(UpstreamError::Status(503, Some(7)).into_error("x").retry_after(), Some(7));
    }

    #[test]
    fn only_outages_count_against_a_server() {
        assert!(UpstreamError::Status(502, None).is_outage());
        assert!(!UpstreamError::Status(404, None).is_outage());
        assert!(!UpstreamError::Unauthorized(403).is_outage());
        assert!(!UpstreamError::SessionExpired.is_outage());
    }
}
