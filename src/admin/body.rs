//! Bodies arrive in time or not at all: whoever sends one slowly holds neither a connection nor what the route would do
//! with it.

use std::{io::ErrorKind, time::Duration};

use actix_web::{dev::Payload, error::PayloadError, http::StatusCode};
use futures_util::{StreamExt as _, stream};

use crate::{admin::reply::of_status, error::Error};

/// The same body, which fails when it is not complete after `limit`.
pub fn within(body: Payload, limit: Duration) -> Payload {
    if matches!(body, Payload::None) {
        return body;
    }
    let end = Box::pin(tokio::time::sleep(limit));
    let timed = stream::unfold(Some((body, end)), |state| async move {
        let (mut body, mut end) = state?;
        tokio::select! {
            biased;
            chunk = body.next() => chunk.map(|chunk| (chunk, Some((body, end)))),
            () = &mut end => Some((Err(PayloadError::Io(ErrorKind::TimedOut.into())), None)),
        }
    });
    Payload::Stream { payload: Box::pin(timed) }
}

/// Why a body was not read.
pub fn unread(error: &actix_web::Error) -> Error {
    let late = match error.as_error::<PayloadError>() {
        Some(PayloadError::Io(cause)) => cause.kind() == ErrorKind::TimedOut,
        _ => false,
    };
    of_status(if late { StatusCode::REQUEST_TIMEOUT } else { error.as_response_error().status_code() })
}
