//! What a tool's description says, in a form that does not depend on how it was written down, and its fingerprint.
//! Pinning compares fingerprints: what a model reads of a tool cannot change unnoticed.
//!
//! All members count but `_meta` and `icons`: a model does not read those, and servers change them as they like.
//! Members are sorted, strings are written one way, numbers stay as they are written. What cannot be read that way
//! (a member given twice, too deep) counts byte by byte.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

/// Deeper descriptions count byte by byte.
const DEPTH: usize = 96;
/// Members that do not count.
const IGNORED: [&str; 2] = ["_meta", "icons"];

/// SHA-256 of a definition's [`canonical`] form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of a description as its server wrote it.
    pub fn of(raw: &str) -> Self {
        Fingerprint(Sha256::digest(canonical(raw)).into())
    }

    /// Enough of it to tell two definitions apart when a person types it.
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a workspace does with tools that are new or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PinMode {
    /// They wait until an administrator approves them.
    #[default]
    Pin,
    /// They are offered at once, and noted in the audit log.
    Track,
}

impl PinMode {
    /// The stored and shown name.
    pub const fn as_str(self) -> &'static str {
        match self {
            PinMode::Pin => "pin",
            PinMode::Track => "track",
        }
    }
}

impl FromStr for PinMode {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "pin" => Ok(PinMode::Pin),
            "track" => Ok(PinMode::Track),
            _ => Err(()),
        }
    }
}

/// The part of a description that counts, always written the same way. `raw` is JSON.
pub fn canonical(raw: &str) -> String {
    let mut reader = Reader { rest: raw.trim() };
    let whole = reader.value(0, &IGNORED).filter(|_| reader.rest.trim_start().is_empty());
    whole.unwrap_or_else(|| raw.trim().to_owned())
}

/// Reads JSON that is known to be JSON; none where it cannot be written one way.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize, ignored: &[&str]) -> Option<String> {
        self.rest = self.rest.trim_start();
        match self.rest.as_bytes().first()? {
            _ if depth > DEPTH => None,
            b'{' => self.object(depth, ignored),
            b'[' => self.array(depth),
            b'"' => Some(written(&self.string()?)),
            _ => {
                let end = self.rest.find([',', ']', '}', ' ', '\t', '\n', '\r']).unwrap_or(self.rest.len());
                self.take(end).map(str::to_owned)
            }
        }
    }

    fn object(&mut self, depth: usize, ignored: &[&str]) -> Option<String> {
        let mut members = Vec::new();
        self.take(1)?;
        while !self.ends('}') {
            let name = self.string()?;
            self.after(':')?;
            let value = self.value(depth + 1, &[])?;
            members.push((name, value));
        }
        members.sort();
        let twice = members.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a == b));
        if twice {
            return None;
        }
        let counted = members.iter().filter(|(name, _)| !ignored.contains(&name.as_str()));
        let counted: Vec<String> = counted.map(|(name, value)| format!("{}:{value}", written(name))).collect();
        Some(format!("{{{}}}", counted.join(",")))
    }

    fn array(&mut self, depth: usize) -> Option<String> {
        let mut items = Vec::new();
        self.take(1)?;
        while !self.ends(']') {
            items.push(self.value(depth + 1, &[])?);
        }
        Some(format!("[{}]", items.join(",")))
    }

    /// Passes over a comma; whether the closing bracket comes next (it is passed over too).
    fn ends(&mut self, bracket: char) -> bool {
        self.rest = self.rest.trim_start().trim_start_matches(',').trim_start();
        match self.rest.strip_prefix(bracket) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            // Nothing is left of what was no JSON: ends all the same.
            None => self.rest.is_empty(),
        }
    }

    fn after(&mut self, mark: char) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(mark)?;
        Some(())
    }

    fn string(&mut self) -> Option<String> {
        let mut escaped = false;
        let end = self.rest.bytes().enumerate().skip(1).find(|(_, byte)| {
            let closes = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            closes
        });
        let text = self.take(end?.0 + 1)?;
        serde_json::from_str(text).ok()
    }

    fn take(&mut self, bytes: usize) -> Option<&'a str> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }
}

fn written(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn layout_order_and_escapes_do_not_count() {
        let one = r#"{"name":"a","description":"\u00e9","inputSchema":{"type":"object","x":[1,2]}}"#;
        let two = "{ \"inputSchema\" : {\"x\":[1, 2] ,\"type\":\"object\"}, \"description\":\"é\",\n\"name\":\"a\"}";
        assert_eq!(Fingerprint::of(one), Fingerprint::of(two));
        assert_eq!(canonical(two), r#"{"description":"é","inputSchema":{"type":"object","x":[1,2]},"name":"a"}"#);
    }

    #[test]
    fn one_character_of_what_a_model_reads_counts() {
        let with = |description: &str, more: Value| {
            let mut tool = json!({ "name": "a", "description": description, "inputSchema": { "type": "object" } });
            tool.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            Fingerprint::of(&tool.to_string())
        };
        let plain = with("Reads.", json!({}));
        assert_ne!(plain, with("Reads!", json!({})));
        assert_ne!(plain, with("Reads\u{200b}.", json!({})));
        assert_ne!(plain, with("Reads.", json!({ "annotations": { "readOnlyHint": true } })));
        assert_ne!(plain, with("Reads.", json!({ "outputSchema": {} })));
        assert_eq!(plain, with("Reads.", json!({ "_meta": { "seen": 7 }, "icons": [] })));
        // Only at the top: a schema's own member of that name is read.
        let schema = |inner: Value| with("Reads.", json!({ "inputSchema": { "properties": inner } }));
        assert_ne!(schema(json!({ "icons": 1 })), schema(json!({ "icons": 2 })));
    }

    #[test]
    fn numbers_stay_as_they_are_written_and_what_is_ambiguous_counts_byte_by_byte() {
        assert_eq!(
            canonical(r#"{"b":1e-400,"a":12345678901234567890123}"#),
            r#"{"a":12345678901234567890123,"b":1e-400}"#
        );
        let twice = r#"{"description":"good", "description":"bad"}"#;
        assert_eq!(canonical(twice), twice);
        let deep = format!("{}1{}", "[".repeat(200), " ]".repeat(200));
        assert_eq!(canonical(&deep), deep);
        assert_eq!(canonical("\"\\ud800\""), "\"\\ud800\"");
    }

    proptest! {
        #[test]
        fn a_canonical_form_says_the_same_and_is_its_own(text in "\\PC{0,40}", numbers in prop::collection::vec(any::<i64>(), 0..5)) {
            let value = json!({ "z": text, "a": numbers, text.clone(): { "b": null, "a": [true, {}] } });
            let form = canonical(&serde_json::to_string_pretty(&value).unwrap());
            let mut counted = value;
            for name in IGNORED {
                counted.as_object_mut().unwrap().remove(name);
            }
            prop_assert_eq!(serde_json::from_str::<Value>(&form).unwrap(), counted);
            prop_assert_eq!(canonical(&form), form);
        }
    }
}
