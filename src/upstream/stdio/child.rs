//! One running program: its launcher, the lines to it, the last of its standard error, and how it ended. Letting go of
//! the last handle closes its input, which is how it is told to end; the launcher sees to it that it does.

use std::{cell::RefCell, process::Stdio, rc::Rc, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{ChildStderr, ChildStdin},
    sync::{mpsc, oneshot, watch},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    config::StdioConfig,
    protocol::scrub::Scrubber,
    upstream::{
        UpstreamError,
        patience::Patience,
        stdio::{Lines, launcher::Launch, pace::Pace, tail::Tail},
    },
};

/// Bytes of standard error read at once.
const PIECE: usize = 8 * 1024;

/// The way of messages into a program. Cloning is cheap.
#[derive(Clone)]
pub struct Inlet {
    letters: mpsc::Sender<Letter>,
}

struct Letter {
    line: Vec<u8>,
    taken: oneshot::Sender<Result<(), UpstreamError>>,
}

impl Inlet {
    /// Returns when the program's pipe has the message. [`UpstreamError::SessionExpired`]: the program has ended, and
    /// cannot have read it.
    pub async fn send(&self, body: &Bytes, patience: Patience) -> Result<(), UpstreamError> {
        let (taken, outcome) = oneshot::channel();
        let letter = Letter { line: one_line(body), taken };
        let sending = async {
            self.letters.send(letter).await.map_err(|_ended| UpstreamError::SessionExpired)?;
            outcome.await.map_err(|_ended| UpstreamError::SessionExpired)?
        };
        let sent = tokio::time::timeout_at(patience.begin_by().into(), sending).await;
        sent.map_err(|_elapsed| UpstreamError::Timeout(patience.begin))?
    }
}

/// A message as a line: line ends within JSON are white space between its parts.
fn one_line(body: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(body.len() + 1);
    line.extend_from_slice(body);
    if memchr::memchr2(b'\n', b'\r', &line).is_some() {
        line.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    }
    line.push(b'\n');
    line
}

/// A running program.
pub struct Child {
    inlet: Inlet,
    /// Cancelled: its input is closed.
    closing: CancellationToken,
    /// Closes its input when the last handle goes.
    _closes: DropGuard,
    ended: watch::Receiver<Option<i32>>,
    tail: Rc<RefCell<Tail>>,
    scrubber: Scrubber,
}

impl Child {
    /// Starts it. Must be called on a thread with an actix runtime, which then serves its pipes.
    pub fn start(
        launch: &Launch<'_>,
        config: &StdioConfig,
        scrubber: &Scrubber,
    ) -> Result<(Rc<Child>, Lines), UpstreamError> {
        let cannot = |cause: std::io::Error| UpstreamError::Unavailable(format!("it cannot be started: {cause}"));
        let mut command = tokio::process::Command::from(launch.command().map_err(cannot)?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().map_err(cannot)?;
        let pipes = (process.stdin.take(), process.stdout.take(), process.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(UpstreamError::Unavailable("it was started without its pipes".into()));
        };
        let (letters, queue) = mpsc::channel(config.queue.max(1));
        let closing = CancellationToken::new();
        actix_rt::spawn(write(stdin, queue, Duration::from_secs(config.write_timeout_seconds), closing.clone()));
        let (report, ended) = watch::channel(None);
        let (folder, over) = (launch.folder.clone(), closing.clone());
        actix_rt::spawn(async move {
            // The launcher mirrors how the program ended; being killed itself is -1.
            let status = process.wait().await;
            report.send_replace(Some(status.ok().and_then(|status| status.code()).unwrap_or(-1)));
            // If it was killed, the family is still there: this ends it.
            over.cancel();
            // Nobody uses it any more; deleting it may take a while.
            let _deleted = actix_rt::task::spawn_blocking(move || drop(folder)).await;
        });
        let tail = Rc::new(RefCell::new(Tail::new(config.stderr_bytes)));
        let pace = || Pace::new(config.flood_bytes_per_second);
        actix_rt::spawn(listen(stderr, tail.clone(), scrubber.clone(), pace()));
        let child = Child {
            inlet: Inlet { letters },
            closing: closing.clone(),
            _closes: closing.drop_guard(),
            ended,
            tail,
            scrubber: scrubber.clone(),
        };
        Ok((Rc::new(child), Lines::new(stdout, config.line_bytes, pace())))
    }

    /// The way of messages to it.
    pub fn inlet(&self) -> Inlet {
        self.inlet.clone()
    }

    /// Tells it to end. What was not yet written to it is not.
    pub fn close(&self) {
        self.closing.cancel();
    }

    /// Waits until it and all its descendants are gone, at most `longest`: how it ended, for people.
    pub async fn ended(&self, longest: Duration) -> Option<String> {
        let mut ended = self.ended.clone();
        let code =
            tokio::time::timeout(longest, ended.wait_for(Option::is_some)).await.ok()?.ok().and_then(|code| *code)?;
        Some(match code {
            0 => "its process ended (exit code 0)".into(),
            127 => "its command could not be started".into(),
            -1 => "its process was killed".into(),
            129..=192 => format!("its process was killed by signal {}", code - 128),
            code => format!("its process ended with exit code {code}"),
        })
    }

    /// The last lines of its standard error, for administrators: without its secrets.
    pub fn last_words(&self) -> Vec<String> {
        self.tail.borrow().shown(&self.scrubber)
    }
}

/// Writes line after line. A program that does not read one in time gets no more, and is told to end.
async fn write(
    mut stdin: ChildStdin,
    mut letters: mpsc::Receiver<Letter>,
    limit: Duration,
    closing: CancellationToken,
) {
    loop {
        let letter = tokio::select! {
            biased;
            () = closing.cancelled() => return,
            letter = letters.recv() => letter,
        };
        let Some(Letter { line, taken }) = letter else { return };
        let outcome = tokio::select! {
            biased;
            () = closing.cancelled() => return,
            written = tokio::time::timeout(limit, stdin.write_all(&line)) => match written {
                Ok(Ok(())) => Ok(()),
                // Nobody reads at the other end any more: the message was not processed.
                Ok(Err(_closed)) => Err(UpstreamError::SessionExpired),
                Err(_elapsed) => {
                    Err(UpstreamError::Unavailable(format!("it does not read its input (for {} s)", limit.as_secs())))
                }
            },
        };
        let over = outcome.is_err();
        let _gone = taken.send(outcome);
        if over {
            return closing.cancel();
        }
    }
}

/// Keeps the last of its standard error, and logs it line by line for those who want to see it.
async fn listen(mut stderr: ChildStderr, tail: Rc<RefCell<Tail>>, scrubber: Scrubber, mut pace: Pace) {
    let mut piece = vec![0; PIECE];
    let mut begun = Vec::new();
    while let Ok(read @ 1..) = stderr.read(&mut piece).await {
        let bytes = piece.get(..read).unwrap_or_default();
        tail.borrow_mut().push(bytes);
        if tracing::enabled!(tracing::Level::DEBUG) {
            begun.extend_from_slice(bytes);
            log(whole_lines(&mut begun), &scrubber);
        }
        pace.spend(read).await;
    }
}

/// Takes out what ends with a line, so that no secret is searched for in halves; all of it when no line ends.
fn whole_lines(begun: &mut Vec<u8>) -> Vec<u8> {
    let end = memchr::memrchr(b'\n', begun).map_or(0, |at| at + 1);
    let end = if end == 0 && begun.len() > PIECE { begun.len() } else { end };
    begun.drain(..end).collect()
}

fn log(text: Vec<u8>, scrubber: &Scrubber) {
    let (clean, _) = scrubber.scrub(Bytes::from(text));
    for line in String::from_utf8_lossy(&clean).lines().filter(|line| !line.trim().is_empty()) {
        tracing::debug!(line, "standard error of a server");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_whatever_white_space_it_came_with() {
        assert_eq!(one_line(b"{\r\n \"a\":\n1}"), b"{   \"a\": 1}\n");
        assert_eq!(one_line(b"{\"a\":\"\\n\"}"), b"{\"a\":\"\\n\"}\n");
    }

    #[test]
    fn standard_error_is_logged_in_whole_lines() {
        let mut begun = b"one\ntwo\nthr".to_vec();
        assert_eq!((whole_lines(&mut begun).as_slice(), begun.as_slice()), (&b"one\ntwo\n"[..], &b"thr"[..]));
        assert!(whole_lines(&mut begun).is_empty());
        begun = vec![b'x'; PIECE + 1];
        assert_eq!(whole_lines(&mut begun).len(), PIECE + 1);
    }
}
