//! Changing bytes of a document at known places and nothing else: one allocation, one copy, everything between the
//! edits byte for byte as it came. Knows nothing of JSON except how to write a string.

use std::ops::Range;

use smallvec::SmallVec;

/// Edits over a document. They may be given in any order and must not overlap; insertions at the same place keep
/// their order.
#[derive(Debug)]
pub struct Splice<'a> {
    source: &'a [u8],
    edits: SmallVec<[(Range<usize>, &'a [u8]); 6]>,
}

impl<'a> Splice<'a> {
    /// No edits yet.
    pub fn new(source: &'a [u8]) -> Self {
        Splice { source, edits: SmallVec::new() }
    }
    /// Puts `with` in place of `range`.
    pub fn replace(mut self, range: Range<usize>, with: &'a [u8]) -> Self {
        self.edits.push((range, with));
        self
    }
    /// Puts `what` before the byte at `at`.
    pub fn insert(self, at: usize, what: &'a [u8]) -> Self {
        self.replace(at..at, what)
    }
    /// The edited document. An edit outside the document or overlapping an earlier one is left out.
    pub fn finish(mut self) -> Vec<u8> {
        self.edits.sort_by_key(|(range, _)| range.start);
        let added: usize = self.edits.iter().map(|(_, with)| with.len()).sum();
        let mut out = Vec::with_capacity(self.source.len() + added);
        let mut at = 0;
        for (range, with) in &self.edits {
            let Some(kept) = self.source.get(at..range.start).filter(|_| range.end >= range.start) else {
                debug_assert!(false, "overlapping edits");
                continue;
            };
            if range.end > self.source.len() {
                debug_assert!(false, "edit past the end");
                continue;
            }
            out.extend_from_slice(kept);
            out.extend_from_slice(with);
            at = range.end;
        }
        out.extend_from_slice(self.source.get(at..).unwrap_or_default());
        out
    }
}

/// `text` as a JSON string, quotes included.
pub fn json_string(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    push_json_string(&mut out, text);
    String::from_utf8(out).unwrap_or_default()
}

/// Appends `text` as a JSON string, quotes included.
pub fn push_json_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|b| *b < 0x20 || matches!(b, b'"' | b'\\')) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, after)) = special.split_first() else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).map_or(b'0', |c| c as u8);
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[digit(control >> 4), digit(control & 15)]);
            }
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn edits_in_any_order_leave_the_rest_as_it_was() {
        let out =
            Splice::new(b"abcdef").replace(4..5, b"EE").insert(1, b"-").insert(1, b"+").replace(0..1, b"").finish();
        assert_eq!(out, b"-+bcdEEf");
        assert_eq!(Splice::new(b"x").insert(1, b"y").finish(), b"xy");
        assert_eq!(Splice::new(b"").insert(0, b"y").finish(), b"y");
    }

    proptest! {
        #[test]
        fn a_written_string_reads_back(text in any::<String>()) {
            let written = json_string(&text);
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }
    }
}
