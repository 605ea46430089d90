//! The last of what a program wrote to its standard error: bounded, and shown only without its secrets.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::protocol::scrub::Scrubber;

/// Lines that an admin is shown.
const LINES: usize = 20;
/// Characters of a line that are shown.
const COLUMNS: usize = 300;

/// The last bytes of a stream.
#[derive(Debug)]
pub(super) struct Tail {
    bytes: VecDeque<u8>,
    limit: usize,
}

impl Tail {
    pub(super) fn new(limit: usize) -> Self {
        Tail { bytes: VecDeque::new(), limit }
    }

    /// Adds what was read; the oldest goes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let kept = bytes.get(bytes.len().saturating_sub(self.limit)..).unwrap_or_default();
        let over = (self.bytes.len() + kept.len()).saturating_sub(self.limit);
        self.bytes.drain(..over);
        self.bytes.extend(kept);
    }

    /// The last lines, for people: secrets and control characters taken out, long lines cut. Everything kept is searched
    /// for secrets at once, so that one that is cut into lines is found too.
    pub(super) fn shown(&self, scrubber: &Scrubber) -> Vec<String> {
        let (front, back) = self.bytes.as_slices();
        let (clean, _) = scrubber.scrub(Bytes::from([front, back].concat()));
        let text = String::from_utf8_lossy(&clean);
        // The oldest line is cut off somewhere, perhaps within a secret.
        let cut = usize::from(self.bytes.len() >= self.limit);
        let lines: Vec<&str> = text.lines().skip(cut).filter(|line| !line.trim().is_empty()).collect();
        let shown = lines.iter().skip(lines.len().saturating_sub(LINES));
        shown.map(|line| line.chars().filter(|c| !c.is_control()).take(COLUMNS).collect()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_shown_without_secrets() {
        let scrubber = Scrubber::new(&[b"canary-value", b"line one\nline two"]);
        let mut tail = Tail::new(200);
        for number in 0..100 {
            tail.push(format!("line {number}\n").as_bytes());
        }
        tail.push(b"key canary-value \x1b[31mred\nline one\nline two\n");
        let shown = tail.shown(&scrubber);
        assert_eq!(shown.last().unwrap(), "[redacted secret]");
        assert_eq!(shown[shown.len() - 2], "key [redacted secret] [31mred");
        assert!(shown.len() <= LINES && !shown.concat().contains("canary"), "{shown:?}");
        tail.push(&[b'x'; 1000]);
        assert_eq!(tail.bytes.len(), 200);
        assert!(tail.shown(&scrubber).is_empty(), "one line, cut at its beginning");
    }
}
