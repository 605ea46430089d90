//! Reading an answer's body within its limits of size and time. A body in one piece is not copied.

use std::{future::poll_fn, task::Poll};

use bytes::{Bytes, BytesMut};

use crate::upstream::{UpstreamError, patience::Patience, response::Response};

/// The whole body, at most `limit` bytes.
pub(super) async fn read_body(mut body: Response, limit: usize, patience: Patience) -> Result<Bytes, UpstreamError> {
    let too_large = || UpstreamError::TooLarge { what: "its answer", limit };
    let announced = body.header("content-length").and_then(|value| value.parse::<usize>().ok());
    if announced.is_some_and(|announced| announced > limit) {
        return Err(too_large());
    }
    let mut clock = patience.clock();
    let mut whole = Whole::Nothing;
    loop {
        let piece = poll_fn(|cx| match body.poll_piece(cx) {
            Poll::Ready(piece) => Poll::Ready(Ok(piece)),
            Poll::Pending => clock.poll(cx).map(Err),
        })
        .await?;
        match piece {
            // awc does not tell a lost connection from the end of a body.
            None if announced.is_some_and(|announced| whole.len() != announced) => return Err(UpstreamError::Cut),
            None => return Ok(whole.into_bytes()),
            Some(Err(failure)) => return Err(failure),
            Some(Ok(bytes)) => {
                clock.touch();
                whole = whole.join(bytes, announced.unwrap_or(0));
                if whole.len() > limit {
                    return Err(too_large());
                }
            }
        }
    }
}

/// What has been read so far.
enum Whole {
    Nothing,
    One(Bytes),
    Many(BytesMut),
}

impl Whole {
    fn len(&self) -> usize {
        match self {
            Whole::Nothing => 0,
            Whole::One(bytes) => bytes.len(),
            Whole::Many(bytes) => bytes.len(),
        }
    }

    fn join(self, piece: Bytes, announced: usize) -> Whole {
        let mut all = match self {
            Whole::Nothing => return Whole::One(piece),
            Whole::One(first) => {
                let mut all = BytesMut::with_capacity(announced.max(first.len() + piece.len()));
                all.extend_from_slice(&first);
                all
            }
            Whole::Many(all) => all,
        };
        all.extend_from_slice(&piece);
        Whole::Many(all)
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Whole::Nothing => Bytes::new(),
            Whole::One(bytes) => bytes,
            Whole::Many(bytes) => bytes.freeze(),
        }
    }
}
