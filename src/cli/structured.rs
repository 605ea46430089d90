//! The API's own objects as they are printed: chosen members, and YAML. Every JSON string is a YAML string, so only the
//! layout is ours.

use serde::Serialize;
use serde_json::{Map, Value};

use super::failure::{Failure, Outcome};

/// A list with only these members of each object; all of them when none is named.
pub fn members<T: Serialize>(items: &[T], fields: &[String]) -> Outcome<Value> {
    let mut all = value(items)?;
    if fields.is_empty() {
        return Ok(all);
    }
    let objects: Vec<&mut Map<String, Value>> =
        all.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut).collect();
    let unknown = fields.iter().find(|field| !objects.iter().any(|object| object.contains_key(*field)));
    if let (Some(field), Some(first)) = (unknown, objects.first()) {
        let known: Vec<&str> = first.keys().map(String::as_str).collect();
        return Err(
            Failure::usage(format!("There is no member \"{field}\"")).with_hint(format!("known: {}", known.join(", ")))
        );
    }
    for object in objects {
        object.retain(|name, _| fields.contains(name));
    }
    Ok(all)
}

/// An object as YAML, without the last line end.
pub fn yaml<T: Serialize + ?Sized>(object: &T) -> Outcome<String> {
    let mut out = String::new();
    write(&value(object)?, 0, &mut out);
    Ok(out.trim_end().to_owned())
}

fn value<T: Serialize + ?Sized>(object: &T) -> Outcome<Value> {
    serde_json::to_value(object).map_err(|error| Failure::local(format!("cannot write the answer: {error}")))
}

fn write(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (at, (name, member)) in members.iter().enumerate() {
                if at > 0 {
                    indent(depth, out);
                }
                out.push_str(&key(name));
                out.push(':');
                below(member, depth, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    indent(depth, out);
                }
                out.push_str("- ");
                write(item, depth + 1, out);
            }
        }
        // Scalars and what is empty are written as in JSON.
        other => {
            out.push_str(&other.to_string());
            out.push('\n');
        }
    }
}

/// What a member holds: on the same line if it is one, else indented below.
fn below(value: &Value, depth: usize, out: &mut String) {
    let nested = match value {
        Value::Object(members) => !members.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if nested {
        out.push('\n');
        indent(depth + 1, out);
        write(value, depth + 1, out);
    } else {
        out.push(' ');
        write(value, depth, out);
    }
}

fn indent(depth: usize, out: &mut String) {
    out.push_str(&"  ".repeat(depth));
}

/// A name that YAML takes for text as it is, or a quoted one.
fn key(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !["y", "n", "yes", "no", "on", "off", "true", "false", "null"].contains(&name.to_ascii_lowercase().as_str());
    if plain { name.to_owned() } else { Value::from(name).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_has_the_layout_that_yaml_has() {
        let object = json!({"name": "a: #b", "nested": {"deep": {"on": true}}, "no": [1, {"x": null, "y": []}]});
        assert_eq!(
            yaml(&object).unwrap(),
            "name: \"a: #b\"\nnested:\n  deep:\n    \"on\": true\n\"no\":\n  - 1\n  - x: null\n    \"y\": []"
        );
        assert_eq!(yaml(&json!([])).unwrap(), "[]");
        assert_eq!(yaml(&json!([[1, 2], [3]])).unwrap(), "- - 1\n  - 2\n- - 3");
    }

    #[test]
    fn only_the_members_that_were_asked_for_are_shown_and_unknown_ones_named() {
        let items = [json!({"id": 1, "name": "x"}), json!({"id": 2, "name": "y"})];
        assert_eq!(members(&items, &["id".into()]).unwrap(), json!([{"id": 1}, {"id": 2}]));
        let failure = members(&items, &["nmae".into()]).unwrap_err();
        assert!(failure.details().join(" ").contains("id, name"), "{failure:?}");
        let none: [Value; 0] = [];
        assert_eq!(members(&none, &["x".into()]).unwrap(), json!([]));
    }
}
