//! The one error table. Every failure a person or a client can see names one [`ErrorCode`]; its HTTP status, its
//! JSON-RPC code and its stable name are decided here and nowhere else. Two renderers use it: `gateway::reply`
//! (JSON-RPC, inside `/ws/*`) and `admin::reply` (RFC 9457 problem+json, everywhere else).
//!
//! Messages say what happened, to which thing, and what to do. They never carry a secret or an upstream's body.

use std::fmt;

use serde_json::Value;

/// Declares the table: variant, stable name, JSON-RPC code, HTTP status inside `/ws`, HTTP status of the admin API, title.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident, $name:literal, $rpc:expr, $gateway:literal, $admin:literal, $title:literal;)*) => {
        /// What kind of failure it is. The table in this file is the only place that knows status and code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $($(#[$doc])* $variant,)* }

        impl ErrorCode {
            /// Every code, in table order (the documentation and its test read this).
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant,)*];
            /// Stable snake_case name, part of the API.
            pub const fn name(self) -> &'static str { match self { $(ErrorCode::$variant => $name,)* } }
            /// JSON-RPC error code inside `/ws/*`.
            pub const fn rpc(self) -> i32 { match self { $(ErrorCode::$variant => $rpc,)* } }
            /// HTTP status inside `/ws/*` for legacy revisions (2026-07-28 differs in [`ErrorCode::modern_status`]).
            pub const fn gateway_status(self) -> u16 { match self { $(ErrorCode::$variant => $gateway,)* } }
            /// HTTP status on the admin API.
            pub const fn admin_status(self) -> u16 { match self { $(ErrorCode::$variant => $admin,)* } }
            /// Short human title of the kind (problem+json falls back to it).
            pub const fn title(self) -> &'static str { match self { $(ErrorCode::$variant => $title,)* } }
        }
    };
}

error_codes! {
    /// The body is not JSON.
    ParseError, "parse_error", -32700, 400, 400, "Not valid JSON";
    /// The body is JSON but not one request.
    InvalidRequest, "invalid_request", -32600, 400, 400, "Not a valid request";
    /// The method does not exist (in this revision).
    MethodNotFound, "method_not_found", -32601, 200, 404, "Method not found";
    /// The parameters do not fit, or the tool is unknown or unavailable.
    InvalidParams, "invalid_params", -32602, 200, 400, "Invalid parameters";
    /// A resource that is not there (or not for this token). In 2026-07-28: -32602.
    ResourceNotFound, "resource_not_found", -32002, 200, 404, "Resource not found";
    /// Required `_meta` of revision 2026-07-28 is missing.
    MissingMeta, "missing_meta", -32602, 400, 400, "Required _meta is missing";
    /// Our fault. The request id is in the message.
    Internal, "internal", -32603, 500, 500, "Internal error";
    /// The token's requests per minute are used up.
    RateLimited, "rate_limited", -32000, 429, 429, "Rate limit exceeded";
    /// A legacy session that does not exist (any more).
    SessionNotFound, "session_not_found", -32001, 404, 404, "Session not found";
    /// A legacy request that needs a session id and has none.
    SessionRequired, "session_required", -32600, 400, 400, "Mcp-Session-Id header is required";
    /// Missing, malformed, unknown, expired, revoked or foreign token, or an unknown workspace.
    Unauthorized, "unauthorized", -32003, 401, 401, "Unauthorized";
    /// The `Origin` or `Host` header is not one of ours.
    OriginRefused, "origin_refused", -32600, 403, 403, "Origin or host not allowed";
    /// A change of somebody signed in that does not bring the token of their session's pages.
    CsrfRefused, "csrf_refused", -32600, 403, 403, "Not sent by a page of this session";
    /// HTTP method not served here.
    MethodNotAllowed, "method_not_allowed", -32600, 405, 405, "Method not allowed";
    /// The client excludes what we can answer.
    NotAcceptable, "not_acceptable", -32600, 406, 406, "Not acceptable";
    /// Body larger than the limit.
    TooLarge, "too_large", -32600, 413, 413, "Body too large";
    /// Content type or content encoding not served.
    UnsupportedMediaType, "unsupported_media_type", -32600, 415, 415, "Unsupported media type";
    /// The body did not arrive in time.
    RequestTimeout, "request_timeout", -32600, 408, 408, "Request did not arrive in time";
    /// Nothing answers at the MCP server (or its breaker is open).
    UpstreamUnavailable, "upstream_unavailable", -32010, 200, 502, "MCP server unavailable";
    /// The MCP server did not answer in time.
    UpstreamTimeout, "upstream_timeout", -32011, 200, 504, "MCP server timed out";
    /// The MCP server's answer makes no sense.
    UpstreamProtocol, "upstream_protocol", -32012, 200, 502, "MCP server broke the protocol";
    /// The MCP server's answer is larger than the limit.
    UpstreamTooLarge, "upstream_too_large", -32013, 200, 502, "MCP server answered too much";
    /// The MCP server refused our credential.
    UpstreamUnauthorized, "upstream_unauthorized", -32014, 200, 502, "MCP server refused the credential";
    /// The server cannot be used now; `data.reason` says why.
    ServerNotUsable, "server_not_usable", -32015, 200, 409, "MCP server is not usable";
    /// The token was revoked or the call cancelled while it ran.
    Cut, "cut", -32016, 200, 409, "Cut";
    /// A bounded queue or an in-flight limit is full.
    Overloaded, "overloaded", -32017, 503, 503, "Overloaded";
    /// The request was sent and its answer lost; it was not repeated.
    OutcomeUnknown, "outcome_unknown", -32019, 200, 502, "Outcome unknown";
    /// A header disagrees with the body (2026-07-28).
    HeaderMismatch, "header_mismatch", -32020, 400, 400, "Header mismatch";
    /// The request needs a capability the client did not declare (2026-07-28).
    MissingCapability, "missing_capability", -32021, 400, 400, "Missing required client capability";
    /// A protocol revision we do not speak (2026-07-28).
    UnsupportedVersion, "unsupported_version", -32022, 400, 400, "Unsupported protocol version";
    /// Not allowed for this account's role.
    Forbidden, "forbidden", -32600, 403, 403, "Forbidden";
    /// No such thing, or not yours to see.
    NotFound, "not_found", -32600, 404, 404, "Not found";
    /// It was there for one use or for some time, and that is over (or it never was).
    Gone, "gone", -32600, 410, 410, "No longer valid";
    /// The state of the thing forbids it.
    Conflict, "conflict", -32600, 409, 409, "Conflict";
    /// The thing is no longer what the caller has seen (`If-Match`).
    PreconditionFailed, "precondition_failed", -32600, 412, 412, "Precondition failed";
    /// Well-formed but not acceptable.
    Validation, "validation", -32602, 200, 422, "Not acceptable";
    /// The plan's limit is reached.
    PlanLimit, "plan_limit", -32600, 403, 403, "Plan limit reached";
    /// The store does not answer (locked, read-only, unreachable).
    StoreUnavailable, "store_unavailable", -32017, 503, 503, "Storage unavailable";
}

impl ErrorCode {
    /// HTTP status inside `/ws/*` for a request of revision 2026-07-28 (mcp 2026-07-28 transports: unknown method is 404).
    pub const fn modern_status(self) -> u16 {
        match self {
            ErrorCode::MethodNotFound => 404,
            other => other.gateway_status(),
        }
    }

    /// JSON-RPC error code for a client of 2026-07-28, which has no code of its own for a missing resource.
    pub const fn modern_rpc(self) -> i32 {
        match self {
            ErrorCode::ResourceNotFound => ErrorCode::InvalidParams.rpc(),
            other => other.rpc(),
        }
    }
}

/// A failure on its way to a person or a client: a code, a message that names the thing, and optionally a hint
/// (what to do), structured data and the seconds after which a retry makes sense.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: ErrorCode,
    message: String,
    hint: Option<String>,
    data: Option<Value>,
    retry_after: Option<u64>,
}

/// Result with the one error type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure of kind `code`, described by `message` (starts upper case, no full stop needed, names the thing).
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Error(Box::new(Inner { code, message: message.into(), hint: None, data: None, retry_after: None }))
    }
    /// Adds what to do about it, ideally the line to type.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }
    /// Adds structured detail (`error.data` in JSON-RPC, members of the problem document on the admin API).
    pub fn with_data(mut self, data: Value) -> Self {
        self.0.data = Some(data);
        self
    }
    /// Adds after how many seconds a retry makes sense (`Retry-After`).
    pub fn with_retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }
    /// The kind of failure.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }
    /// What happened, to which thing.
    pub fn message(&self) -> &str {
        &self.0.message
    }
    /// What to do.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
    /// Structured detail.
    pub fn data(&self) -> Option<&Value> {
        self.0.data.as_ref()
    }
    /// Seconds until a retry makes sense.
    pub fn retry_after(&self) -> Option<u64> {
        self.0.retry_after
    }
    /// Our own fault: logs `cause` with a fresh reference and tells the caller only the reference.
    pub fn internal(what: &str, cause: impl fmt::Display) -> Self {
        let reference = uuid::Uuid::now_v7().simple().to_string();
        tracing::error!(%reference, what, %cause, "internal error");
        Error::new(ErrorCode::Internal, format!("Internal error while {what} (reference {reference})"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.name(), self.0.message)
    }
}
impl std::error::Error for Error {}

/// Shorthand constructors for the codes used most.
pub mod err {
    use super::{Error, ErrorCode};

    /// 404: no such thing, or not yours to see (both look the same).
    pub fn not_found(message: impl Into<String>) -> Error {
        Error::new(ErrorCode::NotFound, message)
    }
    /// 410: used, expired, taken back or never there (all look the same).
    pub fn gone(message: impl Into<String>) -> Error {
        Error::new(ErrorCode::Gone, message)
    }
    /// 409: the state forbids it.
    pub fn conflict(message: impl Into<String>) -> Error {
        Error::new(ErrorCode::Conflict, message)
    }
    /// 422: well-formed but not acceptable.
    pub fn validation(message: impl Into<String>) -> Error {
        Error::new(ErrorCode::Validation, message)
    }
    /// 403: the role is not enough.
    pub fn forbidden(message: impl Into<String>) -> Error {
        Error::new(ErrorCode::Forbidden, message)
    }
}
