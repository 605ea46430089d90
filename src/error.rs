//! The one error table. Every failure a person or a client can see names one [`ErrorCode`]; its HTTP status, its
//! JSON-RPC code and its stable name are decided here and nowhere else. Two renderers use it: `gateway::reply`
//! (JSON-RPC, inside `/ws/*`) and `admin::reply` (RFC 9457 problem+json, everywhere else).
//!
//! Messages say what happened, to which thing, and what to do. They never carry a secret or an upstream's body.

use std::fmt;

use serde_json::Value;

/// Declares the table: when it happens, variant, stable name, JSON-RPC code, HTTP status inside `/ws`, HTTP status of the
/// admin API, title, what to do. `/docs/errors` is made of it.
macro_rules! error_codes {
    ($(#[doc = $when:literal] $variant:ident, $name:literal, $rpc:expr, $gateway:literal, $admin:literal, $title:literal,
        $remedy:literal;)*) => {
        /// What kind of failure it is. The table in this file is the only place that knows status and code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $(#[doc = $when] $variant,)* }

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
            /// When it happens, in a sentence or two.
            pub fn when(self) -> &'static str { match self { $(ErrorCode::$variant => $when.trim_ascii(),)* } }
            /// What to do about it, for whoever meets it.
            pub const fn remedy(self) -> &'static str { match self { $(ErrorCode::$variant => $remedy,)* } }
            /// Where a problem of this kind is explained: the `type` of its problem document.
            pub fn page(self) -> String { format!("/docs/errors#{}", self.name().replace('_', "-")) }
        }
    };
}

error_codes! {
    /// The body is not JSON.
    ParseError, "parse_error", -32700, 400, 400, "Not valid JSON",
        "Send one JSON-RPC message, as UTF-8 JSON.";
    /// The body is JSON but not one request.
    InvalidRequest, "invalid_request", -32600, 400, 400, "Not a valid request",
        "Send what the method takes; the message names what is wrong. Most MCP libraries build such requests by \
         themselves.";
    /// The method does not exist (in this revision).
    MethodNotFound, "method_not_found", -32601, 200, 404, "Method not found",
        "Check the method, and the revision that was negotiated: not every revision has every method.";
    /// The parameters do not fit, or the tool is unknown or unavailable.
    InvalidParams, "invalid_params", -32602, 200, 400, "Invalid parameters",
        "List the tools again and use a name from that list; `aerostack explain WORKSPACE TOKEN TOOL` says why a \
         token cannot use one.";
    /// A resource that is not there (or not for this token). In 2026-07-28: -32602.
    ResourceNotFound, "resource_not_found", -32002, 200, 404, "Resource not found",
        "List the resources again and use a URI from that list.";
    /// Required `_meta` of revision 2026-07-28 is missing.
    MissingMeta, "missing_meta", -32602, 400, 400, "Required _meta is missing",
        "Send `io.modelcontextprotocol/protocolVersion` and `io.modelcontextprotocol/clientCapabilities` in \
         `_meta`, as revision 2026-07-28 demands.";
    /// Our fault. The request id is in the message.
    Internal, "internal", -32603, 500, 500, "Internal error",
        "Look for the request id in the gateway's log, and report it. `aerostack doctor --bundle FILE` collects \
         what helps.";
    /// The token's requests per minute are used up.
    RateLimited, "rate_limited", -32000, 429, 429, "Rate limit exceeded",
        "Wait for the seconds in `Retry-After`. A token may have a limit of its own: `aerostack token create` takes \
         `--requests-per-minute`.";
    /// A legacy session that does not exist (any more).
    SessionNotFound, "session_not_found", -32001, 404, 404, "Session not found",
        "Begin a new session with `initialize`; clients do so by themselves.";
    /// A legacy request that needs a session id and has none.
    SessionRequired, "session_required", -32600, 400, 400, "Mcp-Session-Id header is required",
        "Send the `Mcp-Session-Id` that the answer to `initialize` gave.";
    /// Missing, malformed, unknown, expired, revoked or foreign token, or an unknown workspace.
    Unauthorized, "unauthorized", -32003, 401, 401, "Unauthorized",
        "Check the token and the workspace in the URL. `aerostack ping` asks about an API key, `aerostack token \
         list` shows what has expired or was revoked.";
    /// The `Origin` or `Host` header is not one of ours.
    OriginRefused, "origin_refused", -32600, 403, 403, "Origin or host not allowed",
        "Open the gateway under `server.public_url`, or name the origin in `server.allowed_origins` and the host \
         in `server.allowed_hosts`.";
    /// A change of somebody signed in that does not bring the token of their session's pages.
    CsrfRefused, "csrf_refused", -32600, 403, 403, "Not sent by a page of this session",
        "Load the page again and repeat what you did. A script uses an API key, not a session.";
    /// HTTP method not served here.
    MethodNotAllowed, "method_not_allowed", -32600, 405, 405, "Method not allowed",
        "Use a method that the `Allow` header names.";
    /// The client excludes what we can answer.
    NotAcceptable, "not_acceptable", -32600, 406, 406, "Not acceptable",
        "Accept `application/json`, and `text/event-stream` where an answer may be a stream.";
    /// Body larger than the limit.
    TooLarge, "too_large", -32600, 413, 413, "Body too large",
        "Send less, or raise `limits.body_bytes`.";
    /// Content type or content encoding not served.
    UnsupportedMediaType, "unsupported_media_type", -32600, 415, 415, "Unsupported media type",
        "Send `Content-Type: application/json`, without a content encoding.";
    /// The body did not arrive in time.
    RequestTimeout, "request_timeout", -32600, 408, 408, "Request did not arrive in time",
        "Send the whole body within `server.body_timeout_seconds`.";
    /// Nothing answers at the MCP server (or its breaker is open).
    UpstreamUnavailable, "upstream_unavailable", -32010, 200, 502, "MCP server unavailable",
        "Test the server: `aerostack mcp test SERVER`. After several failures it is left alone for some seconds \
         and then tried again.";
    /// The MCP server did not answer in time.
    UpstreamTimeout, "upstream_timeout", -32011, 200, 504, "MCP server timed out",
        "Repeat the call if that does no harm. Slow servers may have a longer time of their own, or raise \
         `upstream.call_timeout_seconds`.";
    /// The MCP server's answer makes no sense.
    UpstreamProtocol, "upstream_protocol", -32012, 200, 502, "MCP server broke the protocol",
        "Test the server: `aerostack mcp test SERVER`; the message says what was wrong with its answer. The \
         server has to be corrected.";
    /// The MCP server's answer is larger than the limit.
    UpstreamTooLarge, "upstream_too_large", -32013, 200, 502, "MCP server answered too much",
        "Ask for less at once, or raise `upstream.answer_bytes`.";
    /// The MCP server refused our credential.
    UpstreamUnauthorized, "upstream_unauthorized", -32014, 200, 502, "MCP server refused the credential",
        "Set the server's secret again (`aerostack secrets set SERVER NAME`), and check how it travels \
         (`aerostack secrets inject`).";
    /// The server cannot be used now; `data.reason` says why.
    ServerNotUsable, "server_not_usable", -32015, 200, 409, "MCP server is not usable",
        "`data.reason` says what is missing (below); the message names the command that helps.";
    /// The token was revoked or the call cancelled while it ran.
    Cut, "cut", -32016, 200, 409, "Cut",
        "Get another token, or repeat the call if it was cancelled by mistake.";
    /// A bounded queue or an in-flight limit is full.
    Overloaded, "overloaded", -32017, 503, 503, "Overloaded",
        "Wait for the seconds in `Retry-After`; the limits are in `limits.*`, `upstream.calls_per_server` and \
         `actors.*`.";
    /// The request was sent and its answer lost; it was not repeated.
    OutcomeUnknown, "outcome_unknown", -32019, 200, 502, "Outcome unknown",
        "Find out at the server whether it was done, before you repeat it.";
    /// A header disagrees with the body (2026-07-28).
    HeaderMismatch, "header_mismatch", -32020, 400, 400, "Header mismatch",
        "Send `Mcp-Method`, `Mcp-Name` and `MCP-Protocol-Version` as they are in the body.";
    /// The request needs a capability the client did not declare (2026-07-28).
    MissingCapability, "missing_capability", -32021, 400, 400, "Missing required client capability",
        "Use a client that declares the capability that the message names.";
    /// A protocol revision we do not speak (2026-07-28).
    UnsupportedVersion, "unsupported_version", -32022, 400, 400, "Unsupported protocol version",
        "Use a revision that `data.supported` lists.";
    /// Not allowed for this account's role.
    Forbidden, "forbidden", -32600, 403, 403, "Forbidden",
        "Ask an administrator of the namespace; `aerostack whoami` says which role you have there.";
    /// No such thing, or not yours to see.
    NotFound, "not_found", -32600, 404, 404, "Not found",
        "Check the name (the message often knows a similar one) and the namespace: `--namespace`, `?namespace=`.";
    /// It was there for one use or for some time, and that is over (or it never was).
    Gone, "gone", -32600, 410, 410, "No longer valid",
        "Ask for another one: an invitation, a link, a code.";
    /// The state of the thing forbids it.
    Conflict, "conflict", -32600, 409, 409, "Conflict",
        "Look at the thing as it is now; the message names what stands against it.";
    /// The thing is no longer what the caller has seen (`If-Match`).
    PreconditionFailed, "precondition_failed", -32600, 412, 412, "Precondition failed",
        "Read it again, decide again, and send the new `ETag` as `If-Match`.";
    /// Well-formed but not acceptable.
    Validation, "validation", -32602, 200, 422, "Not acceptable",
        "Correct what the message or `errors` names; nothing was changed.";
    /// The plan's limit is reached.
    PlanLimit, "plan_limit", -32600, 403, 403, "Plan limit reached",
        "Revoke or delete what is not used any more, or have the operator set another plan: `aerostack admin plan \
         NAMESPACE PLAN`.";
    /// The store does not answer (locked, read-only, unreachable).
    StoreUnavailable, "store_unavailable", -32017, 503, 503, "Storage unavailable",
        "Wait for the seconds in `Retry-After`. The operator looks at the disk and the database: `aerostack \
         doctor`.";
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
