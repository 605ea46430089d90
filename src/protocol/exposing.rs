//! What changes inside a result or error because clients know a thing by another name than its server: URIs of
//! resources, ids of tasks, and structured content whose schema was put into an object. Gives edits; the answer is
//! written in [`super::answer`].

use std::ops::Range;

use super::{
    meta,
    scan::{Envelope, Member, array_elements, member, object_members, string_value},
    splice::json_string,
};

/// Replacements in a message, none overlapping another.
pub type Edits = Vec<(Range<usize>, Vec<u8>)>;

/// `_meta` of what belongs to a task (2025-11-25).
const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";

/// URIs as clients know them, wherever a server names its resources: in the contents of a result, in links and embedded
/// resources of a tool or prompt, in the data of an error. `shown`: how clients know a URI, if otherwise.
pub fn uris(body: &[u8], env: &Envelope, shown: &dyn Fn(&str) -> Option<String>, edits: &mut Edits) {
    let mut rename = |members: &[Member]| {
        let renamed = member(members, body, "uri").and_then(|range| {
            let uri = string_value(body, range.clone())?;
            Some((range, json_string(&shown(&uri)?).into_bytes()))
        });
        edits.extend(renamed);
    };
    let listed = |name: &str| {
        let list = member(&env.result_members, body, name);
        list.map(|range| array_elements(body, range)).unwrap_or_default()
    };
    listed("contents").into_iter().for_each(|one| rename(&object_members(body, one)));
    let mut blocks = listed("content");
    for message in listed("messages") {
        if let Some(content) = member(&object_members(body, message), body, "content") {
            // One block, or several.
            let is_list = body.get(content.start) == Some(&b'[');
            blocks.extend(if is_list { array_elements(body, content) } else { vec![content] });
        }
    }
    for block in blocks {
        let block = object_members(body, block);
        let kind = member(&block, body, "type").and_then(|range| string_value(body, range));
        match (kind.as_deref(), member(&block, body, "resource")) {
            (Some("resource_link"), _) => rename(&block),
            (Some("resource"), Some(resource)) => rename(&object_members(body, resource)),
            _ => {}
        }
    }
    if let Some(data) = error_data(body, env) {
        rename(&object_members(body, data));
    }
}

/// Whether an error names the resource it is about (2026-07-28's "not found").
pub fn names_resource(body: &[u8], env: &Envelope) -> bool {
    error_data(body, env).is_some_and(|data| member(&object_members(body, data), body, "uri").is_some())
}

fn error_data(body: &[u8], env: &Envelope) -> Option<Range<usize>> {
    member(&object_members(body, env.error.clone()?), body, "data")
}

/// Ids of tasks as clients know them: in a task itself, where a result begins one, and in `_meta`.
pub fn tasks(body: &[u8], env: &Envelope, expose: impl Fn(&str) -> String, edits: &mut Edits) {
    let mut rename = |members: &[super::scan::Member]| {
        let id = member(members, body, "taskId");
        let renamed = id.and_then(|range| Some((range.clone(), json_string(&expose(&string_value(body, range)?)))));
        edits.extend(renamed.map(|(range, text)| (range, text.into_bytes())));
    };
    rename(&env.result_members);
    rename(&env.params_members);
    if let Some(task) = member(&env.result_members, body, "task") {
        rename(&object_members(body, task));
    }
    let meta_at = member(&env.result_members, body, "_meta").or_else(|| member(&env.params_members, body, "_meta"));
    let in_meta = meta_at.map(|range| object_members(body, range)).unwrap_or_default();
    let rebuilt = in_meta.iter().any(|m| super::scan::key_text(body, m).is_some_and(|key| meta::is_per_hop(&key)));
    if let Some(related) = member(&in_meta, body, RELATED_TASK).filter(|_| !rebuilt) {
        rename(&object_members(body, related));
    }
}

/// Structured content as a legacy client takes it: an object (as the schema it was told), and readable as text too.
/// `wrapped`: the schema was put into an object.
pub fn structured(body: &[u8], env: &Envelope, wrapped: bool, edits: &mut Edits) {
    let Some(value) = member(&env.result_members, body, "structuredContent") else { return };
    let raw = body.get(value.clone()).unwrap_or_default();
    let content = member(&env.result_members, body, "content");
    let empty = content.clone().is_none_or(|range| array_elements(body, range).is_empty());
    if empty {
        let text = format!(r#"[{{"type":"text","text":{}}}]"#, json_string(&String::from_utf8_lossy(raw)));
        match (content, env.result.clone()) {
            (Some(range), _) => edits.push((range, text.into_bytes())),
            (None, Some(result)) => {
                edits.push((result.start + 1..result.start + 1, format!("\"content\":{text},").into_bytes()));
            }
            (None, None) => {}
        }
    }
    if wrapped || raw.first() != Some(&b'{') {
        edits.push((value, [b"{\"result\":", raw, b"}"].concat()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{
        answer::{AnswerEdit, rewrite_answer},
        scan::{Document, ScanLimits, scan},
    };

    fn edited(body: &str, edit: impl Fn(&[u8], &Envelope, &mut Edits)) -> String {
        let Document::Object(env) = scan(body.as_bytes(), ScanLimits::default()).unwrap() else { panic!() };
        let mut inside = Edits::new();
        edit(body.as_bytes(), &env, &mut inside);
        let to = AnswerEdit { inside: &inside, ..AnswerEdit::default() };
        String::from_utf8(rewrite_answer(body.as_bytes(), &env, b"1", &to).unwrap()).unwrap()
    }

    #[test]
    fn uris_are_told_as_clients_know_them() {
        let shown = |uri: &str| (uri == "file:///a").then(|| format!("s+{uri}"));
        let rename = |body: &[u8], env: &Envelope, edits: &mut Edits| uris(body, env, &shown, edits);
        for (from, to) in [
            (
                r#"{"contents":[{"uri":"file:///a","text":"file:///a"},{"uri":"file:///b"}]}"#,
                r#"{"contents":[{"uri":"s+file:///a","text":"file:///a"},{"uri":"file:///b"}]}"#,
            ),
            (
                r#"{"content":[{"type":"resource_link","uri":"file:///a"},{"type":"text","uri":"file:///a"},{"type":"resource","resource":{"uri":"file:///a"}}],"structuredContent":{"uri":"file:///a"}}"#,
                r#"{"content":[{"type":"resource_link","uri":"s+file:///a"},{"type":"text","uri":"file:///a"},{"type":"resource","resource":{"uri":"s+file:///a"}}],"structuredContent":{"uri":"file:///a"}}"#,
            ),
            (
                r#"{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"file:///a"}}},{"content":[{"type":"resource_link","uri":"file:///a"}]}]}"#,
                r#"{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"s+file:///a"}}},{"content":[{"type":"resource_link","uri":"s+file:///a"}]}]}"#,
            ),
        ] {
            assert_eq!(
                edited(&format!(r#"{{"jsonrpc":"2.0","id":"m","result":{from}}}"#), rename),
                format!(r#"{{"jsonrpc":"2.0","id":1,"result":{to}}}"#)
            );
        }
        assert_eq!(
            edited(
                r#"{"jsonrpc":"2.0","id":"m","error":{"code":-32602,"message":"no","data":{"uri":"file:///a"}}}"#,
                rename
            ),
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no","data":{"uri":"s+file:///a"}}}"#
        );
    }

    #[test]
    fn task_ids_are_told_as_clients_know_them() {
        let rename = |body: &[u8], env: &Envelope, edits: &mut Edits| tasks(body, env, |id| format!("s.{id}"), edits);
        assert_eq!(
            edited(
                r#"{"jsonrpc":"2.0","id":"m","result":{"resultType":"task","taskId":"t","status":"working"}}"#,
                rename
            ),
            r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"task","taskId":"s.t","status":"working"}}"#
        );
        assert_eq!(
            edited(
                r#"{"jsonrpc":"2.0","id":"m","result":{"task":{"taskId":"t"},"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t"}}}}"#,
                rename
            ),
            r#"{"jsonrpc":"2.0","id":1,"result":{"task":{"taskId":"s.t"},"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"s.t"}}}}"#
        );
    }

    #[test]
    fn structured_content_becomes_an_object_and_a_text() {
        let legacy = |body: &[u8], env: &Envelope, edits: &mut Edits| structured(body, env, false, edits);
        assert_eq!(
            edited(r#"{"jsonrpc":"2.0","id":"m","result":{"structuredContent":[1,"a"],"content":[]}}"#, legacy),
            r#"{"jsonrpc":"2.0","id":1,"result":{"structuredContent":{"result":[1,"a"]},"content":[{"type":"text","text":"[1,\"a\"]"}]}}"#
        );
        assert_eq!(
            edited(r#"{"jsonrpc":"2.0","id":"m","result":{"structuredContent":{"a":1}}}"#, legacy),
            r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"{\"a\":1}"}],"structuredContent":{"a":1}}}"#
        );
        let plain =
            r#"{"jsonrpc":"2.0","id":1,"result":{"structuredContent":{"a":1},"content":[{"type":"text","text":"x"}]}}"#;
        assert_eq!(edited(plain, legacy), plain);
    }
}
