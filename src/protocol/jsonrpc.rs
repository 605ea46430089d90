//! The shape of a JSON-RPC message as MCP uses it: what kind of message it is, and how one is written. Owns the rule
//! that the top level is always rebuilt: nothing but `jsonrpc`, `id`, `method`, `params`, `result`, `error` travels on.

use std::borrow::Cow;

use super::{
    scan::{Envelope, IdKind, string_text},
    splice::push_json_string,
};
use crate::error::{Error, ErrorCode};

/// What kind of message it is. Ids are raw JSON, quotes included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// Wants an answer.
    Request {
        /// The id as written.
        id: &'a [u8],
        /// The method.
        method: Cow<'a, str>,
    },
    /// Wants none.
    Notification {
        /// The method.
        method: Cow<'a, str>,
    },
    /// Answers a request; the result or error is in the envelope.
    Response {
        /// The id as written; `None` for an error that could not name its request.
        id: Option<&'a [u8]>,
    },
}

/// Why an object is no JSON-RPC message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// `jsonrpc` is not `"2.0"`.
    #[error("jsonrpc must be \"2.0\"")]
    Version,
    /// The id is neither a string nor an integer.
    #[error("id must be a string or an integer")]
    Id,
    /// The method is not a string.
    #[error("method must be a string")]
    Method,
    /// The parameters are not an object.
    #[error("params must be an object")]
    Params,
    /// Neither request nor notification nor response, or two of them.
    #[error("not exactly one of method, result and error")]
    Shape,
}

impl From<MessageError> for Error {
    fn from(error: MessageError) -> Self {
        Error::new(ErrorCode::InvalidRequest, format!("Not a JSON-RPC message: {error}"))
    }
}

/// Tells what kind of message a scanned object is.
pub fn classify<'a>(body: &'a [u8], envelope: &Envelope) -> Result<Incoming<'a>, MessageError> {
    let version = envelope.jsonrpc.clone().and_then(|range| body.get(range));
    if version.and_then(string_text).as_deref() != Some("2.0") {
        return Err(MessageError::Version);
    }
    let id = envelope.raw_id(body);
    let kind = id.map(IdKind::of);
    if envelope.method.is_some() {
        let method = envelope.method_str(body).ok_or(MessageError::Method)?;
        if envelope.result.is_some() || envelope.error.is_some() {
            return Err(MessageError::Shape);
        }
        let params = envelope.params.clone().and_then(|range| body.get(range)).unwrap_or(b"{");
        // `null` stands for "none": some clients write every optional member.
        if !matches!(params.first(), Some(b'{' | b'n')) {
            return Err(MessageError::Params);
        }
        return match (id, kind) {
            (Some(id), Some(kind)) if kind.is_valid() => Ok(Incoming::Request { id, method }),
            (None, _) => Ok(Incoming::Notification { method }),
            _ => Err(MessageError::Id),
        };
    }
    if envelope.result.is_some() == envelope.error.is_some() || envelope.params.is_some() {
        return Err(MessageError::Shape);
    }
    match kind {
        Some(kind) if kind.is_valid() => Ok(Incoming::Response { id }),
        Some(IdKind::Null) | None if envelope.error.is_some() => Ok(Incoming::Response { id: None }),
        _ => Err(MessageError::Id),
    }
}

/// A request; `id` and `params` are raw JSON.
pub fn request(id: &[u8], method: &str, params: Option<&[u8]>) -> Vec<u8> {
    message(Some(id), method, params)
}

/// A notification; `params` is raw JSON.
pub fn notification(method: &str, params: Option<&[u8]>) -> Vec<u8> {
    message(None, method, params)
}

fn message(id: Option<&[u8]>, method: &str, params: Option<&[u8]>) -> Vec<u8> {
    let size = 48 + id.map_or(0, <[u8]>::len) + method.len() + params.map_or(0, <[u8]>::len);
    let mut out = Vec::with_capacity(size);
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\"");
    if let Some(id) = id {
        out.extend_from_slice(b",\"id\":");
        out.extend_from_slice(id);
    }
    out.extend_from_slice(b",\"method\":");
    push_json_string(&mut out, method);
    if let Some(params) = params {
        out.extend_from_slice(b",\"params\":");
        out.extend_from_slice(params);
    }
    out.push(b'}');
    out
}

/// A successful response; `id` and `result` are raw JSON.
pub fn response(id: &[u8], result: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(id.len() + result.len() + 40);
    for part in [b"{\"jsonrpc\":\"2.0\",\"id\":".as_slice(), id, b",\"result\":", result, b"}"] {
        out.extend_from_slice(part);
    }
    out
}

/// An error response; `id` (`None` writes `null`) and `data` are raw JSON.
pub fn error(id: Option<&[u8]>, code: i64, message: &str, data: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(96 + message.len() + data.map_or(0, <[u8]>::len));
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id.unwrap_or(b"null"));
    out.extend_from_slice(b",\"error\":{\"code\":");
    out.extend_from_slice(code.to_string().as_bytes());
    out.extend_from_slice(b",\"message\":");
    push_json_string(&mut out, message);
    if let Some(data) = data {
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(data);
    }
    out.extend_from_slice(b"}}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::scan::{Document, ScanLimits, scan};

    fn kind(body: &str) -> Result<String, MessageError> {
        let Document::Object(envelope) = scan(body.as_bytes(), ScanLimits::default()).unwrap() else { panic!() };
        classify(body.as_bytes(), &envelope).map(|incoming| match incoming {
            Incoming::Request { id, method } => format!("request {} {method}", String::from_utf8_lossy(id)),
            Incoming::Notification { method } => format!("notification {method}"),
            Incoming::Response { id } => format!("response {:?}", id.map(String::from_utf8_lossy)),
        })
    }

    #[test]
    fn messages_are_told_apart() {
        assert_eq!(kind(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).unwrap(), "request 1 ping");
        assert_eq!(kind(r#"{"jsonrpc":"2.0","id":"1","method":"a\u0062","params":null}"#).unwrap(), "request \"1\" ab");
        assert_eq!(kind(r#"{"jsonrpc":"2.0","method":"x","params":{}}"#).unwrap(), "notification x");
        assert_eq!(kind(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#).unwrap(), "response Some(\"7\")");
        assert_eq!(kind(r#"{"jsonrpc":"2.0","id":null,"error":{}}"#).unwrap(), "response None");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for (body, error) in [
            (r#"{"id":1,"method":"ping"}"#, MessageError::Version),
            (r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#, MessageError::Version),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, MessageError::Id),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, MessageError::Id),
            (r#"{"jsonrpc":"2.0","id":1e2,"method":"ping"}"#, MessageError::Id),
            (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, MessageError::Id),
            (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, MessageError::Method),
            (r#"{"jsonrpc":"2.0","id":1,"method":"x","params":[]}"#, MessageError::Params),
            (r#"{"jsonrpc":"2.0","id":1,"method":"x","result":{}}"#, MessageError::Shape),
            (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, MessageError::Shape),
            (r#"{"jsonrpc":"2.0","id":1}"#, MessageError::Shape),
            (r#"{"jsonrpc":"2.0","id":null,"result":{}}"#, MessageError::Id),
        ] {
            assert_eq!(kind(body), Err(error), "{body}");
        }
    }

    #[test]
    fn written_messages_are_valid() {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        assert_eq!(
            text(request(b"\"a\"", "x\"y", Some(b"{}"))),
            r#"{"jsonrpc":"2.0","id":"a","method":"x\"y","params":{}}"#
        );
        assert_eq!(text(notification("n", None)), r#"{"jsonrpc":"2.0","method":"n"}"#);
        assert_eq!(text(response(b"1", b"{}")), r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
        assert_eq!(
            text(error(None, -32700, "no", Some(b"[1]"))),
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no","data":[1]}}"#
        );
    }
}
