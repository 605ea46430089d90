//! Places in the audit chain, as they are kept outside the database: one JSON object a line. Whoever has the database
//! can cut off the end of the log and set its head back; a place kept elsewhere shows it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::clock::Timestamp;

/// A place in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Position of an entry.
    pub seq: u64,
    /// Its MAC.
    pub mac: [u8; 32],
}

#[derive(Serialize)]
struct Written {
    at: Timestamp,
    instance: Uuid,
    seq: u64,
    mac: String,
}

#[derive(Deserialize)]
struct Said {
    instance: Option<Uuid>,
    seq: u64,
    mac: String,
}

/// A line of a log, which has what was said one level down.
#[derive(Deserialize)]
struct Logged {
    fields: Said,
}

/// The line of a checkpoint, without its line end.
pub fn line(checkpoint: &Checkpoint, instance: Uuid, at: Timestamp) -> String {
    let written = Written { at, instance, seq: checkpoint.seq, mac: hex(&checkpoint.mac) };
    serde_json::to_string(&written).unwrap_or_default()
}

/// A checkpoint that was kept, and the installation it belongs to, if that was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The installation.
    pub instance: Option<Uuid>,
    /// The place.
    pub place: Checkpoint,
}

/// The checkpoints in a text. Lines that are none are passed over, so that a log in JSON can be read as well.
pub fn read(text: &str) -> Vec<Known> {
    let said = text.lines().filter_map(|line| {
        let plain = serde_json::from_str::<Said>(line).ok();
        plain.or_else(|| serde_json::from_str::<Logged>(line).ok().map(|logged| logged.fields))
    });
    let known = |said: Said| {
        let mac = parse_mac(&said.mac)?;
        Some(Known { instance: said.instance, place: Checkpoint { seq: said.seq, mac } })
    };
    said.filter_map(known).collect()
}

/// Lower-case hexadecimal, as checkpoints are printed.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;

    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A MAC as it is printed.
pub fn parse_mac(text: &str) -> Option<[u8; 32]> {
    let mut mac = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in mac.iter_mut().enumerate() {
        let digits = text.get(at * 2..at * 2 + 2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock;

    #[test]
    fn what_is_written_reads_back_and_other_lines_are_passed_over() {
        let (checkpoint, instance) = (Checkpoint { seq: 42, mac: [0xab; 32] }, Uuid::now_v7());
        let line = line(&checkpoint, instance, clock::now());
        let logged = format!(r#"{{"target":"aerostack::audit","fields":{{"seq":7,"mac":"{}"}}}}"#, hex(&[1; 32]));
        let text = format!("{line}\n\nready\n{{\"seq\":1}}\n{{\"seq\":2,\"mac\":\"xy\"}}\n{logged}\n");
        let seven = Checkpoint { seq: 7, mac: [1; 32] };
        let known = |instance, place| Known { instance, place };
        assert_eq!(read(&text), [known(Some(instance), checkpoint), known(None, seven)]);
        assert!(parse_mac(&"+f".repeat(32)).is_none() && parse_mac("é").is_none());
    }
}
