//! MCP's HTTP headers: their names, which methods need `Mcp-Name`, and how a value that is no plain text travels
//! (`=?base64?…?=`). Never decides: comparing headers with the body is the gateway's.

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_STANDARD};

/// The revision a request speaks.
pub const PROTOCOL_VERSION: &str = "mcp-protocol-version";
/// The body's method (2026-07-28).
pub const METHOD: &str = "mcp-method";
/// The name, URI or task the method is about (2026-07-28).
pub const NAME: &str = "mcp-name";
/// A legacy session.
pub const SESSION_ID: &str = "mcp-session-id";
/// Before the name of a mirrored tool argument (2026-07-28).
pub const PARAM_PREFIX: &str = "mcp-param-";
/// Where a legacy stream is resumed.
pub const LAST_EVENT_ID: &str = "last-event-id";
/// The content type of JSON.
pub const JSON: &str = "application/json";
/// The content type of an event stream.
pub const EVENT_STREAM: &str = "text/event-stream";
/// The `Accept` of every POST we send.
pub const ACCEPT_BOTH: &str = "application/json, text/event-stream";

const PREFIX: &str = "=?base64?";
const SUFFIX: &str = "?=";

/// The member of `params` that `Mcp-Name` repeats; `None` for methods without `Mcp-Name`.
pub fn name_member(method: &str) -> Option<&'static str> {
    match method {
        "tools/call" | "prompts/get" => Some("name"),
        "resources/read" => Some("uri"),
        "tasks/get" | "tasks/update" | "tasks/cancel" => Some("taskId"),
        _ => None,
    }
}

/// Whether `value` may stand in a header as it is: printable ASCII, no white space at the ends, not itself like the
/// sentinel.
pub fn is_plain(value: &str) -> bool {
    let sentinel = value.starts_with(PREFIX) && value.ends_with(SUFFIX);
    let padded = value.starts_with(' ') || value.ends_with(' ');
    value.bytes().all(|b| (0x20..=0x7E).contains(&b)) && !padded && !sentinel
}

/// `value` as it stands in `Mcp-Name` or `Mcp-Param-*`.
pub fn encode(value: &str) -> Cow<'_, str> {
    if is_plain(value) {
        return Cow::Borrowed(value);
    }
    Cow::Owned(format!("{PREFIX}{}{SUFFIX}", BASE64_STANDARD.encode(value)))
}

/// The value of an `Mcp-Name` or `Mcp-Param-*` header; `None` if it cannot be decoded.
pub fn decode(header: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(header).ok()?.trim_matches([' ', '\t']);
    match text.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX)) {
        None => text.bytes().all(|b| (0x20..=0x7E).contains(&b)).then_some(Cow::Borrowed(text)),
        Some(encoded) => {
            let bytes = BASE64_STANDARD.decode(encoded).ok()?;
            String::from_utf8(bytes).ok().map(Cow::Owned)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn undecodable_values_are_refused() {
        for bad in ["=?base64?a?=", "=?base64?_w==?=", "=?base64?/w==?=", "caf\u{e9}", "a\u{7f}"] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(decode(b"\xFF"), None);
        assert_eq!(decode(b" =?base64?Y2Fmw6k=?= ").as_deref(), Some("caf\u{e9}"));
        assert_eq!(decode(b"=?base64??=").as_deref(), Some(""));
    }

    #[test]
    fn methods_that_name_something_say_where() {
        assert_eq!(name_member("tools/call"), Some("name"));
        assert_eq!(name_member("resources/read"), Some("uri"));
        assert_eq!(name_member("tools/list"), None);
    }

    proptest! {
        #[test]
        fn encoded_values_are_safe_and_read_back(value in any::<String>()) {
            let encoded = encode(&value);
            prop_assert!(encoded.bytes().all(|b| (0x20..=0x7E).contains(&b)));
            let decoded = decode(encoded.as_bytes());
            prop_assert_eq!(decoded.as_deref(), Some(value.as_str()));
        }
    }
}
