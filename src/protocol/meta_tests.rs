//! What goes up differs from what came in by the edits and nothing else.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::protocol::scan::{Document, ScanError, ScanLimits, scan};

const MODERN: ModernMeta<'static> =
    ModernMeta { client_capabilities: b"{}", client_info: br#"{"name":"gw","version":"1"}"#, log_level: None };

fn edited(body: &str, edit: &ParamsEdit<'_>) -> String {
    let Document::Object(env) = scan(body.as_bytes(), ScanLimits::default()).unwrap() else { panic!() };
    String::from_utf8(outbound_params(body.as_bytes(), &env, edit)).unwrap()
}

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{ "name":"gh__\u0061", "arguments":{"n":18446744073709551617, "f":1.10},
 "_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"sampling":{}},"progressToken":5, "vendor/x":{"a" : 1},"traceparent":"00-a","io.modelcontextprotocol/other":1}}}"#;

#[test]
fn a_modern_upstream_gets_our_reserved_keys_and_the_rest_untouched() {
    let edit = ParamsEdit {
        name: Some("create \"x\""),
        progress_token: Some("tok"),
        traceparent: Some("00-b"),
        modern: Some(ModernMeta { log_level: Some(b"\"info\""), ..MODERN }),
        ..ParamsEdit::default()
    };
    assert_eq!(
        edited(CALL, &edit),
        r#"{ "name":"create \"x\"", "arguments":{"n":18446744073709551617, "f":1.10},
 "_meta":{"vendor/x":{"a" : 1},"io.modelcontextprotocol/other":1,"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"gw","version":"1"},"io.modelcontextprotocol/logLevel":"info","progressToken":"tok","traceparent":"00-b"}}"#
    );
}

#[test]
fn a_legacy_upstream_gets_no_reserved_key() {
    let edit = ParamsEdit { name: Some("a"), ..ParamsEdit::default() };
    assert_eq!(
        edited(CALL, &edit),
        r#"{ "name":"a", "arguments":{"n":18446744073709551617, "f":1.10},
 "_meta":{"vendor/x":{"a" : 1},"traceparent":"00-a"}}"#
    );
    assert_eq!(
        edited(r#"{"params":{"_meta":{"IO.ModelContextProtocol/x":1,"\u0069o.modelcontextprotocol/y":2}}}"#, &edit),
        r#"{"_meta":{}}"#
    );
}

#[test]
fn params_without_meta_get_one_only_when_needed() {
    let none = ParamsEdit::default();
    assert_eq!(edited(r#"{"method":"x"}"#, &none), "{}");
    assert_eq!(edited(r#"{"method":"x","params":null}"#, &none), "{}");
    assert_eq!(edited(r#"{"method":"x","params":{ "a" : 1 }}"#, &none), r#"{ "a" : 1 }"#);
    let token = ParamsEdit { progress_token: Some("t"), ..none };
    assert_eq!(edited(r#"{"method":"x"}"#, &token), r#"{"_meta":{"progressToken":"t"}}"#);
    assert_eq!(edited(r#"{"method":"x","params":{}}"#, &token), r#"{"_meta":{"progressToken":"t"}}"#);
    assert_eq!(edited(r#"{"method":"x","params":{ "a":1}}"#, &token), r#"{"_meta":{"progressToken":"t"}, "a":1}"#);
    assert_eq!(edited(r#"{"method":"x","params":{"_meta":null}}"#, &token), r#"{"_meta":{"progressToken":"t"}}"#);
}

#[test]
fn references_and_uris_are_replaced_in_their_place() {
    let edit = ParamsEdit { ref_name: Some("p"), uri: Some("file:///b"), ..ParamsEdit::default() };
    assert_eq!(
        edited(r#"{"params":{"ref":{"type":"ref/prompt","name":"s__p"},"uri":"file:///a","name":"n"}}"#, &edit),
        r#"{"ref":{"type":"ref/prompt","name":"p"},"uri":"file:///b","name":"n"}"#
    );
}

proptest! {
    #[test]
    fn only_the_edits_differ(arguments in crate::protocol::scan::tests::any_json(), meta in prop::collection::btree_map("[a-z/]{1,9}|progressToken|traceparent|io\\.modelcontextprotocol/[a-zA-Z]{1,9}", crate::protocol::scan::tests::any_json(), 0..12), modern in any::<bool>(), pretty in any::<bool>(), token in prop::option::of("[a-z]{1,9}")) {
        let message = json!({"method": "tools/call", "params": {"name": "old", "arguments": arguments, "_meta": meta}});
        let body = if pretty { serde_json::to_vec_pretty(&message) } else { serde_json::to_vec(&message) }.unwrap();
        let env = match scan(&body, ScanLimits::default()) {
            Ok(Document::Object(env)) => env,
            Err(ScanError::LookAlike(_)) => return Ok(()),
            other => panic!("{other:?}"),
        };
        let edit = ParamsEdit { name: Some("new"), progress_token: token.as_deref(), modern: modern.then_some(MODERN), ..ParamsEdit::default() };
        let out = outbound_params(&body, &env, &edit);
        let value: Value = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(&value["name"], "new");
        let raw = env.param(&body, "arguments").unwrap();
        prop_assert!(memchr::memmem::find(&out, raw).is_some());
        prop_assert_eq!(&value["arguments"], &serde_json::from_slice::<Value>(raw).unwrap());
        let mut want = message["params"]["_meta"].as_object().unwrap().clone();
        want.remove("progressToken");
        if modern {
            want.retain(|key, _| !is_per_hop(key));
            want.insert(PROTOCOL_VERSION.into(), "2026-07-28".into());
            want.insert(CLIENT_CAPABILITIES.into(), json!({}));
            want.insert(CLIENT_INFO.into(), json!({"name": "gw", "version": "1"}));
        } else {
            want.retain(|key, _| !key.starts_with(PREFIX));
        }
        if let Some(token) = token { want.insert("progressToken".into(), token.into()); }
        prop_assert_eq!(&value["_meta"], &Value::Object(want));
    }
}

#[test]
fn members_are_left_out_and_put_in() {
    let edit =
        ParamsEdit { without: &["task", "requestState"], with: br#""requestState":"s""#, ..ParamsEdit::default() };
    assert_eq!(
        edited(r#"{"params":{"task":{"ttl":1},"name":"n","requestState":"old"}}"#, &edit),
        r#"{"requestState":"s","name":"n"}"#
    );
    assert_eq!(edited(r#"{"params":{"task":{}}}"#, &edit), r#"{"requestState":"s"}"#);
    assert_eq!(edited("{}", &edit), r#"{"requestState":"s"}"#);
    let token = ParamsEdit { progress_token: Some("t"), ..edit };
    assert_eq!(
        edited(r#"{"params":{"a":1,"requestState":"old"}}"#, &token),
        r#"{"_meta":{"progressToken":"t"},"requestState":"s","a":1}"#
    );
    assert_eq!(edited(r#"{"params":{"task":1}}"#, &token), r#"{"_meta":{"progressToken":"t"},"requestState":"s"}"#);
    let elsewhere = ParamsEdit { task_id: Some("t1"), ref_uri: Some("file:///b"), ..ParamsEdit::default() };
    assert_eq!(
        edited(r#"{"params":{"taskId":"s.t1","ref":{"uri":"file:///a"}}}"#, &elsewhere),
        r#"{"taskId":"t1","ref":{"uri":"file:///b"}}"#
    );
}
