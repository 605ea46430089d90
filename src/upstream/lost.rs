//! What a failed send means: whether the request can have reached the server, and why it failed, in words.

use std::{io, time::Duration};

use actix_tls::connect;
use actix_web::error::ParseError;
use awc::error::{ConnectError, SendRequestError};

use crate::upstream::{UpstreamError, guard::Refusal};

/// How a send failed.
#[derive(Debug)]
pub(super) enum SendFailure {
    /// The request did not reach the server, or the answer says enough.
    Clear(UpstreamError),
    /// The connection was lost after the request had begun to go out and before an answer.
    Lost(String),
    /// No answer in time.
    Late,
}

impl SendFailure {
    /// As an error. `repeatable`: that the request may have arrived does not matter.
    pub(super) fn into_error(self, repeatable: bool, patience: Duration) -> UpstreamError {
        match self {
            SendFailure::Clear(failure) => failure,
            SendFailure::Late => UpstreamError::Timeout(patience),
            SendFailure::Lost(how) if repeatable => UpstreamError::Unavailable(how),
            SendFailure::Lost(how) => {
                UpstreamError::OutcomeUnknown(format!("the request was sent, then {how} before an answer came"))
            }
        }
    }
}

/// Sorts awc's errors.
pub(super) fn classify_send_failure(cause: SendRequestError, head_bytes: usize) -> SendFailure {
    let unavailable = |reason: &str| SendFailure::Clear(UpstreamError::Unavailable(reason.into()));
    match cause {
        SendRequestError::Connect(ConnectError::Resolver(inner)) => match inner.downcast::<Refusal>() {
            Ok(refusal) => SendFailure::Clear(UpstreamError::Refused(*refusal)),
            Err(_other) => unavailable("its name has no address"),
        },
        SendRequestError::Connect(ConnectError::NoRecords) => unavailable("its name has no address"),
        SendRequestError::Connect(ConnectError::Timeout) => unavailable("no connection in time"),
        SendRequestError::Connect(ConnectError::Io(cause)) => unavailable(&connect_reason(&cause)),
        // awc says "disconnected" when the server closes after the request went out.
        SendRequestError::Connect(ConnectError::Disconnected) => SendFailure::Lost("it closed the connection".into()),
        SendRequestError::Connect(_) | SendRequestError::Url(_) => unavailable("no connection to it can be made"),
        SendRequestError::Send(_) => SendFailure::Lost("the connection broke".into()),
        SendRequestError::Response(ParseError::TooLarge) => {
            SendFailure::Clear(UpstreamError::TooLarge { what: "the head of its answer", limit: head_bytes })
        }
        SendRequestError::Response(ParseError::Io(_) | ParseError::Incomplete) => {
            SendFailure::Lost("the connection broke".into())
        }
        SendRequestError::Response(_) => {
            SendFailure::Clear(UpstreamError::Protocol("its answer is not HTTP/1.1".into()))
        }
        SendRequestError::Timeout => SendFailure::Late,
        _ => SendFailure::Lost("the connection broke".into()),
    }
}

/// What it means that no connection could be made.
pub(super) fn classify_connect_failure(cause: connect::ConnectError) -> UpstreamError {
    let unavailable = |reason: String| UpstreamError::Unavailable(reason);
    match cause {
        connect::ConnectError::Resolver(inner) => match inner.downcast::<Refusal>() {
            Ok(refusal) => UpstreamError::Refused(*refusal),
            Err(_other) => unavailable("its name has no address".into()),
        },
        connect::ConnectError::NoRecords => unavailable("its name has no address".into()),
        connect::ConnectError::Io(cause) => unavailable(connect_reason(&cause)),
        _ => unavailable("no connection to it can be made".into()),
    }
}

fn connect_reason(cause: &io::Error) -> String {
    if let Some(tls) = cause.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return format!("tls: {tls}");
    }
    match cause.kind() {
        io::ErrorKind::ConnectionRefused => "nothing listens there (connection refused)".into(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::UnexpectedEof => {
            "it closed the connection while it was being made".into()
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "there is no route to it".into(),
        io::ErrorKind::TimedOut => "no connection in time".into(),
        io::ErrorKind::InvalidInput => "its host name cannot be used for TLS".into(),
        kind => format!("no connection to it can be made ({kind})"),
    }
}
