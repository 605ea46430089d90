//! The head of a server's answer and its body to come, however it was asked: requests go over the connections of
//! `h1_client`, streams that the server opens (GET) over awc.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use awc::{ClientResponse, http::StatusCode};
use bytes::Bytes;
use futures_util::Stream as _;

use crate::upstream::{UpstreamError, h1_client::H1Response};

/// An answer that began.
pub enum Response {
    /// To a request.
    Asked(Box<H1Response>),
    /// To a GET or DELETE.
    Opened(Box<ClientResponse>),
}

impl Response {
    /// The status.
    pub fn status(&self) -> StatusCode {
        match self {
            Response::Asked(response) => response.status(),
            Response::Opened(response) => response.status(),
        }
    }

    /// The first header of that name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        match self {
            Response::Asked(response) => response.header(name),
            Response::Opened(response) => response.headers().get(name)?.to_str().ok(),
        }
    }

    /// What the names and values of the head take, bytes.
    pub(super) fn head_bytes(&self) -> usize {
        match self {
            // Bounded while it was read.
            Response::Asked(_) => 0,
            Response::Opened(response) => {
                response.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
            }
        }
    }

    /// The next piece of the body; `None` at its end.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, UpstreamError>>> {
        match self {
            Response::Asked(response) => response.poll_piece(cx),
            Response::Opened(response) => Pin::new(&mut **response).poll_next(cx).map_err(|_cause| UpstreamError::Cut),
        }
    }
}
