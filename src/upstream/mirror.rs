//! Arguments that a tool wants repeated in headers (`x-mcp-header`, 2026-07-28): which ones a schema names, whether
//! the schema is valid, and the headers of one call.

use awc::http::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, value::RawValue};

use crate::protocol::headers;

/// One argument that is repeated in a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrored {
    /// The header's name, `mcp-param-` included.
    pub header: HeaderName,
    /// Where the argument stands: names of properties, outermost first.
    pub path: Vec<String>,
}

const KEYWORD: &str = "x-mcp-header";
/// Deeper schemas are not searched (the scan of the list allows no more).
const DEPTH: usize = 64;

/// The arguments that `schema` wants in headers; an error says why its annotations are invalid.
pub fn mirrored(schema: &RawValue) -> Result<Vec<Mirrored>, String> {
    if memchr::memmem::find(schema.get().as_bytes(), KEYWORD.as_bytes()).is_none() {
        return Ok(Vec::new());
    }
    let schema: Value =
        serde_json::from_str(schema.get()).map_err(|_cause| "its inputSchema cannot be read".to_owned())?;
    let mut found = Vec::new();
    search(&schema, &mut Vec::new(), true, &mut found)?;
    Ok(found)
}

/// `reachable`: only `properties` lead here from the root, so that an argument has exactly one place.
fn search(schema: &Value, path: &mut Vec<String>, reachable: bool, found: &mut Vec<Mirrored>) -> Result<(), String> {
    if path.len() > DEPTH {
        return Err("its inputSchema is nested too deeply".into());
    }
    match schema {
        Value::Array(items) => items.iter().try_for_each(|item| search(item, path, false, found)),
        Value::Object(members) => {
            if let Some(name) = members.get(KEYWORD) {
                found.push(annotation(name, members.get("type"), path, reachable, found)?);
            }
            for (key, value) in members {
                match value {
                    Value::Object(properties) if key == "properties" => {
                        for (name, property) in properties {
                            path.push(name.clone());
                            search(property, path, reachable, found)?;
                            path.pop();
                        }
                    }
                    // Plain values cannot hold annotations, whatever they are called.
                    Value::Object(_) | Value::Array(_)
                        if !matches!(key.as_str(), "const" | "enum" | "default" | "examples") =>
                    {
                        search(value, path, false, found)?;
                    }
                    _ => {}
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn annotation(
    name: &Value,
    kind: Option<&Value>,
    path: &[String],
    reachable: bool,
    found: &[Mirrored],
) -> Result<Mirrored, String> {
    let name = name.as_str().unwrap_or_default();
    let header = format!("{}{}", headers::PARAM_PREFIX, name.to_ascii_lowercase());
    let header = HeaderName::from_bytes(header.as_bytes()).ok().filter(|_| !name.is_empty());
    let Some(header) = header else { return Err(format!("an {KEYWORD} is not a header's name")) };
    if !reachable || path.is_empty() {
        return Err(format!("{KEYWORD} \"{name}\" stands where no argument is"));
    }
    if !matches!(kind.and_then(Value::as_str), Some("string" | "integer" | "boolean")) {
        return Err(format!("{KEYWORD} \"{name}\" is not on a string, integer or boolean"));
    }
    if found.iter().any(|other| other.header == header) {
        return Err(format!("{KEYWORD} \"{name}\" occurs twice"));
    }
    Ok(Mirrored { header, path: path.to_vec() })
}

/// The headers that repeat `arguments` (raw JSON). Absent and null arguments have none.
pub fn headers_of(mirrored: &[Mirrored], arguments: &[u8]) -> Vec<(HeaderName, HeaderValue)> {
    if mirrored.is_empty() {
        return Vec::new();
    }
    let Ok(arguments) = serde_json::from_slice::<Value>(arguments) else { return Vec::new() };
    let header = |one: &Mirrored| {
        let text = text_of(one, &arguments)?;
        Some((one.header.clone(), HeaderValue::from_str(&headers::encode(&text)).ok()?))
    };
    mirrored.iter().filter_map(header).collect()
}

/// What a header says of an argument that is there.
fn text_of(one: &Mirrored, arguments: &Value) -> Option<String> {
    match one.path.iter().try_fold(arguments, |value, name| value.get(name))? {
        Value::String(text) => Some(text.clone()),
        value @ (Value::Bool(_) | Value::Number(_)) => Some(value.to_string()),
        _ => None,
    }
}

/// Whether `given` says what `arguments` (raw JSON) say: each argument that is there once, and no other. The error names
/// the header and says what is wrong with it.
pub fn check(mirrored: &[Mirrored], given: &HeaderMap, arguments: &[u8]) -> Result<(), (HeaderName, &'static str)> {
    let arguments = serde_json::from_slice::<Value>(arguments).unwrap_or_default();
    for one in mirrored {
        let mut values = given.get_all(&one.header);
        let why = match (text_of(one, &arguments), values.next(), values.next()) {
            (None, None, _) => continue,
            (None, Some(_), _) => "there is no such argument",
            (Some(_), None, _) => "the header is missing",
            (Some(_), _, Some(_)) => "the header is there more than once",
            (Some(text), Some(value), None) => match headers::decode(value.as_bytes()) {
                Some(said) if said == text => continue,
                Some(_) => "the header and the argument differ",
                None => "the header cannot be decoded",
            },
        };
        return Err((one.header.clone(), why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(schema: &str) -> Result<Vec<String>, String> {
        let raw = RawValue::from_string(schema.into()).unwrap();
        let show = |one: Mirrored| format!("{}={}", one.header, one.path.join("."));
        Ok(mirrored(&raw)?.into_iter().map(show).collect())
    }

    #[test]
    fn annotations_are_found_along_properties() {
        let schema = r#"{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"},
            "deep":{"type":"object","properties":{"n":{"type":"integer","x-mcp-header":"N"}}}}}"#;
        let mut found = find(schema).unwrap();
        found.sort();
        assert_eq!(found, ["mcp-param-n=deep.n", "mcp-param-region=region"]);
        assert_eq!(find(r#"{"type":"object"}"#).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn invalid_annotations_are_named() {
        let property = |inner: &str| format!(r#"{{"type":"object","properties":{{"a":{inner}}}}}"#);
        for bad in [
            property(r#"{"type":"object","x-mcp-header":"A"}"#),
            property(r#"{"type":"number","x-mcp-header":"A"}"#),
            property(r#"{"type":"string","x-mcp-header":""}"#),
            property(r#"{"type":"string","x-mcp-header":"a b"}"#),
            property(r#"{"type":"string","x-mcp-header":7}"#),
            property(r#"{"type":"array","items":{"type":"string","x-mcp-header":"A"}}"#),
            r#"{"type":"object","x-mcp-header":"A"}"#.into(),
            r#"{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}"#
                .into(),
        ] {
            assert!(find(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn arguments_become_headers_and_absent_ones_do_not() {
        let schema = r#"{"properties":{"s":{"type":"string","x-mcp-header":"S"},"i":{"type":"integer","x-mcp-header":"I"},
            "b":{"type":"boolean","x-mcp-header":"B"},"n":{"type":"string","x-mcp-header":"N"}}}"#;
        let found = mirrored(&RawValue::from_string(schema.into()).unwrap()).unwrap();
        let headers = headers_of(&found, r#"{"s":"é","i":42,"b":true,"n":null}"#.as_bytes());
        let mut shown: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        shown.sort();
        assert_eq!(shown, ["mcp-param-b: true", "mcp-param-i: 42", "mcp-param-s: =?base64?w6k=?="]);
    }

    #[test]
    fn headers_must_say_what_the_arguments_say() {
        let schema = r#"{"properties":{"s":{"type":"string","x-mcp-header":"S"}}}"#;
        let wanted = mirrored(&RawValue::from_string(schema.into()).unwrap()).unwrap();
        let said = |values: &[&'static str]| {
            let mut said = HeaderMap::new();
            values.iter().for_each(|value| {
                said.append(HeaderName::from_static("mcp-param-s"), HeaderValue::from_static(value));
            });
            said
        };
        let fine =
            |values: &[&'static str], arguments: &str| check(&wanted, &said(values), arguments.as_bytes()).is_ok();
        assert!(fine(&["Hello"], r#"{"s":"Hello"}"#) && fine(&["=?base64?SGVsbG8=?="], r#"{"s":"Hello"}"#));
        assert!(fine(&[], "{}") && fine(&[], r#"{"s":null}"#));
        for (values, arguments) in [
            (&["hello"][..], r#"{"s":"Hello"}"#),
            (&["=?base64?SGVsbG8?="], r#"{"s":"Hello"}"#),
            (&[], r#"{"s":"Hello"}"#),
            (&["Hello", "Hello"], r#"{"s":"Hello"}"#),
            (&["Hello"], "{}"),
        ] {
            assert!(!fine(values, arguments), "{values:?} {arguments}");
        }
    }
}
