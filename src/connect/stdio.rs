//! The two ends of the pipe, each with a thread of its own: reading and writing may block for as long as they like.

use std::io::{BufRead, BufReader, Read as _, Write as _};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::QUEUE;

/// What came in on stdin.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// One line, without its end.
    Message(Bytes),
    /// A line over the limit; it was skipped.
    TooLong,
}

/// Lines of stdin, until it ends.
pub(super) fn lines(limit: usize) -> mpsc::Receiver<Line> {
    let (send, lines) = mpsc::channel(QUEUE);
    std::thread::spawn(move || {
        let mut input = BufReader::with_capacity(64 * 1024, std::io::stdin());
        while let Ok(Some(line)) = next_line(&mut input, limit) {
            if send.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// The next line that is not empty; `None` at the end.
fn next_line(input: &mut impl BufRead, limit: usize) -> std::io::Result<Option<Line>> {
    loop {
        let mut line = Vec::new();
        let read = input.by_ref().take(limit as u64 + 2).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(None);
        }
        let ended = line.ends_with(b"\n");
        while matches!(line.last(), Some(b'\n' | b'\r')) {
            line.pop();
        }
        if line.len() > limit {
            if !ended {
                input.skip_until(b'\n')?;
            }
            return Ok(Some(Line::TooLong));
        }
        if !line.trim_ascii().is_empty() {
            return Ok(Some(Line::Message(line.into())));
        }
    }
}

/// Where messages for the client go, and what tells that all of them were written.
pub(super) fn writer() -> (mpsc::Sender<Bytes>, oneshot::Receiver<()>) {
    let (out, mut queued) = mpsc::channel::<Bytes>(QUEUE);
    let (done, written) = oneshot::channel();
    std::thread::spawn(move || {
        let mut stdout = std::io::stdout().lock();
        while let Some(first) = queued.blocking_recv() {
            let mut all = Vec::with_capacity(first.len() + 1);
            one_line(&mut all, &first);
            while let Ok(more) = queued.try_recv() {
                one_line(&mut all, &more);
            }
            // The client is gone: closing the queue ends the bridge.
            if stdout.write_all(&all).and_then(|()| stdout.flush()).is_err() {
                break;
            }
        }
        let _nobody_waits = done.send(());
    });
    (out, written)
}

/// JSON on one line: a line break in it stands outside of strings, where it means as much as a space.
fn one_line(out: &mut Vec<u8>, message: &[u8]) {
    out.extend(message.trim_ascii().iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8], limit: usize) -> Vec<Line> {
        let mut input = BufReader::with_capacity(3, input);
        std::iter::from_fn(|| next_line(&mut input, limit).unwrap()).collect()
    }

    fn message(text: &'static str) -> Line {
        Line::Message(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn every_line_end_and_the_last_line_without_one() {
        assert_eq!(all(b"a\r\nb\n\n  \nc", 10), [message("a"), message("b"), message("c")]);
    }

    #[test]
    fn a_line_over_the_limit_is_skipped_and_the_next_one_read() {
        assert_eq!(
            all(b"12345\n123456\nab\n1234567890", 5),
            [message("12345"), Line::TooLong, message("ab"), Line::TooLong]
        );
    }

    #[test]
    fn a_message_becomes_one_line() {
        let mut out = Vec::new();
        one_line(&mut out, b"{\n  \"a\": \"x\\ny\"\r\n}\n");
        assert_eq!(out, b"{   \"a\": \"x\\ny\"  }\n");
    }
}
