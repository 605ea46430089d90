//! JSON of others, for people: laid out in lines, and never more of it than a page can hold.

use serde_json::value::RawValue;

/// Of each text that is shown, in bytes.
const SHOWN_BYTES: usize = 64 * 1024;
/// Deepest indentation, in levels: a text that only opens brackets must not grow.
const LEVELS: usize = 24;

/// The beginning of a text that is too long to be shown.
pub fn cut(text: &str) -> String {
    if text.len() <= SHOWN_BYTES {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(SHOWN_BYTES);
    format!("{}\n… {} bytes in all", text.get(..end).unwrap_or_default(), text.len())
}

/// JSON in lines: only white space between its parts changes. What is not JSON stays as it is.
pub fn laid_out(text: &str) -> String {
    if serde_json::from_str::<&RawValue>(text).is_err() {
        return cut(text);
    }
    let mut out = String::with_capacity(text.len() * 2);
    let (mut depth, mut inside, mut escaped) = (0_usize, false, false);
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth.min(LEVELS)));
    };
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if out.len() > SHOWN_BYTES {
            out.push_str(&format!("\n… {} bytes in all", text.len()));
            return out;
        }
        if inside {
            inside = escaped || c != '"';
            escaped = !escaped && c == '\\';
            out.push(c);
            continue;
        }
        match c {
            '{' | '[' => {
                out.push(c);
                while chars.next_if(|next| next.is_whitespace()).is_some() {}
                match chars.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => out.push(end),
                    None => {
                        depth += 1;
                        line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_whitespace() => {}
            c => {
                inside = c == '"';
                out.push(c);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn json_is_laid_out_without_a_change_of_what_it_says() {
        let said = r#"{"a" :[1,2.50,{}],"b":"x{,:\" }","c":[ ],"d":123456789012345678901}"#;
        let shown = laid_out(said);
        assert_eq!(
            shown,
            "{\n  \"a\": [\n    1,\n    2.50,\n    {}\n  ],\n  \"b\": \"x{,:\\\" }\",\n  \"c\": [],\n  \"d\": 123456789012345678901\n}"
        );
        assert_eq!(laid_out("<p>no json</p>"), "<p>no json</p>");
        let deep = format!("{}{}", "[".repeat(60_000), "]".repeat(60_000));
        assert!(laid_out(&deep).len() < SHOWN_BYTES + 100, "what only opens brackets does not grow");
        assert!(laid_out(&format!("\"{}\"", "é".repeat(SHOWN_BYTES))).len() < SHOWN_BYTES + 100);
        assert!(cut(&"é".repeat(SHOWN_BYTES)).ends_with("bytes in all"));
    }

    proptest! {
        #[test]
        fn laying_out_keeps_every_value(text in any::<String>(), n in any::<i64>()) {
            let value = json!({ "a": [text.clone(), n, { text: null }], "": {} });
            let back: Value = serde_json::from_str(&laid_out(&value.to_string())).unwrap();
            prop_assert_eq!(back, value);
        }
    }
}
