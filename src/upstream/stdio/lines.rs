//! The lines a program writes, pulled at the reader's pace: what is not read stays in the pipe. A line is a message;
//! what begins otherwise than an object is noise (banners, progress bars) and passed over.

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::{io::AsyncReadExt as _, process::ChildStdout};

use crate::{
    protocol::sse::Event,
    upstream::{UpstreamError, stdio::pace::Pace},
};

/// Bytes read at once.
const PIECE: usize = 32 * 1024;

/// A program's standard output.
pub struct Lines {
    stdout: ChildStdout,
    lines: Split,
    pace: Pace,
}

impl Lines {
    pub(super) fn new(stdout: ChildStdout, limit: usize, pace: Pace) -> Self {
        Lines { stdout, lines: Split::new(limit), pace }
    }

    /// The next message; `None` when the program has closed its output.
    pub(in crate::upstream) async fn next(&mut self) -> Result<Option<Event>, UpstreamError> {
        loop {
            while let Some(line) = self.lines.next()? {
                if line.first() == Some(&b'{') {
                    return Ok(Some(Event { data: line, ..Event::default() }));
                }
                if !line.is_empty() {
                    tracing::debug!(bytes = line.len(), "a server wrote a line that is no message");
                    self.pace.spend(line.len()).await;
                }
            }
            self.lines.buffer.reserve(PIECE);
            match self.stdout.read_buf(&mut self.lines.buffer).await {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(_cause) => return Err(UpstreamError::Cut),
            }
        }
    }

    /// Nobody wanted a message of that size.
    pub(in crate::upstream) async fn unwanted(&mut self, size: usize) {
        self.pace.spend(size).await;
    }
}

/// Cuts bytes into lines of at most `limit` bytes.
struct Split {
    buffer: BytesMut,
    /// How much of `buffer` is known to hold no line end.
    searched: usize,
    limit: usize,
}

impl Split {
    fn new(limit: usize) -> Self {
        Split { buffer: BytesMut::new(), searched: 0, limit }
    }

    /// The next complete line, without white space around it.
    fn next(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        let too_large = UpstreamError::TooLarge { what: "a line of its output", limit: self.limit };
        let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(found) = memchr::memchr(b'\n', unsearched) else {
            self.searched = self.buffer.len();
            return if self.searched > self.limit { Err(too_large) } else { Ok(None) };
        };
        let line = self.buffer.split_to(self.searched + found).freeze();
        self.buffer.advance(1);
        self.searched = 0;
        if line.len() > self.limit {
            return Err(too_large);
        }
        let before = line.len() - line.trim_ascii_start().len();
        let length = line.trim_ascii().len();
        Ok(Some(line.slice(before..before + length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_the_bytes_were_cut() {
        let text = b"{\"a\":1}\r\n\n  {\"b\":2}  \nrest";
        for size in 1..=text.len() {
            let (mut split, mut lines) = (Split::new(100), Vec::new());
            for piece in text.chunks(size) {
                split.buffer.extend_from_slice(piece);
                while let Some(line) = split.next().unwrap() {
                    lines.push(line);
                }
            }
            assert_eq!(lines, [&b"{\"a\":1}"[..], b"", b"{\"b\":2}"], "pieces of {size}");
            assert_eq!(&split.buffer[..], b"rest");
        }
    }

    #[test]
    fn a_line_that_does_not_end_is_refused_at_its_limit() {
        let mut split = Split::new(10);
        split.buffer.extend_from_slice(b"0123456789");
        assert!(split.next().unwrap().is_none());
        split.buffer.extend_from_slice(b"x");
        assert!(matches!(split.next(), Err(UpstreamError::TooLarge { limit: 10, .. })));
        let mut split = Split::new(10);
        split.buffer.extend_from_slice(b"01234567890\n");
        assert!(split.next().is_err());
    }
}
