//! Answers change in id, envelope and the listed keys, and nowhere else.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::protocol::scan::{Document, ScanLimits, scan, tests::any_json};

fn env(body: &str) -> Box<Envelope> {
    let Document::Object(env) = scan(body.as_bytes(), ScanLimits::default()).unwrap() else { panic!() };
    env
}
fn answer(body: &str, to: &AnswerEdit<'_>) -> Result<String, AnswerError> {
    rewrite_answer(body.as_bytes(), &env(body), b"\"c\"", to).map(|bytes| String::from_utf8(bytes).unwrap())
}

const INFO: &[u8] = br#"{"name":"gw"}"#;
const TO_MODERN: AnswerEdit<'static> = AnswerEdit {
    modern_client: true,
    add_result_type: true,
    add_cache: false,
    strip_modern: false,
    server_info: Some(INFO),
    legacy_not_found: false,
    inside: &[],
};
const PLAIN: AnswerEdit<'static> = AnswerEdit {
    modern_client: false,
    add_result_type: false,
    add_cache: false,
    strip_modern: false,
    server_info: None,
    legacy_not_found: false,
    inside: &[],
};

#[test]
fn a_plain_answer_changes_only_its_envelope() {
    assert_eq!(
        answer(r#" {"extra":1,"result": { "content" : [1e400] } ,"id":"m1" , "jsonrpc":"2.0"} "#, &PLAIN).unwrap(),
        r#"{"jsonrpc":"2.0","id":"c","result":{ "content" : [1e400] }}"#
    );
}

#[test]
fn a_legacy_result_becomes_a_modern_one() {
    assert_eq!(
        answer(r#"{"jsonrpc":"2.0","id":"m","result":{"content":[]}}"#, &TO_MODERN).unwrap(),
        r#"{"jsonrpc":"2.0","id":"c","result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"gw"}},"content":[]}}"#
    );
    assert_eq!(
        answer(r#"{"jsonrpc":"2.0","id":"m","result":{}}"#, &AnswerEdit { add_cache: true, ..TO_MODERN }).unwrap(),
        r#"{"jsonrpc":"2.0","id":"c","result":{"resultType":"complete","ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"gw"}}}}"#
    );
    assert_eq!(
        answer(
            r#"{"jsonrpc":"2.0","id":"m","result":{"resultType":"input_required","ttlMs":9}}"#,
            &AnswerEdit { add_cache: true, server_info: None, ..TO_MODERN }
        )
        .unwrap(),
        r#"{"jsonrpc":"2.0","id":"c","result":{"cacheScope":"private","resultType":"input_required","ttlMs":9}}"#
    );
}

#[test]
fn a_modern_result_becomes_a_legacy_one() {
    let to = AnswerEdit { strip_modern: true, ..PLAIN };
    for (result, want) in [
        (r#"{"resultType":"complete","content":[],"ttlMs":5,"cacheScope":"public"}"#, r#"{"content":[]}"#),
        (r#"{"content":[],"resultType":"complete"}"#, r#"{"content":[]}"#),
        (r#"{"a":1, "resultType":"complete", "ttlMs":1, "b":2}"#, r#"{"a":1, "b":2}"#),
        (r#"{ "resultType":"complete" , "ttlMs":1 , "b":2 }"#, r#"{ "b":2 }"#),
        (r#"{"resultType":"complete"}"#, "{}"),
        (r#"{"\u0072esultType":"complete","cacheScope":1}"#, "{}"),
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":"m","result":{result}}}"#);
        assert_eq!(answer(&body, &to).unwrap(), format!(r#"{{"jsonrpc":"2.0","id":"c","result":{want}}}"#), "{result}");
    }
}

#[test]
fn forged_reserved_keys_never_arrive() {
    let body = r#"{"jsonrpc":"2.0","id":"m","result":{"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"evil"},"io.modelcontextprotocol/subscriptionId":1,"x":2,"io.modelcontextprotocol/related-task":{"taskId":"t"}}}}"#;
    assert_eq!(
        answer(body, &AnswerEdit { add_result_type: false, ..TO_MODERN }).unwrap(),
        r#"{"jsonrpc":"2.0","id":"c","result":{"_meta":{"x":2,"io.modelcontextprotocol/related-task":{"taskId":"t"},"io.modelcontextprotocol/serverInfo":{"name":"gw"}}}}"#
    );
    assert_eq!(
        answer(body, &PLAIN).unwrap(),
        r#"{"jsonrpc":"2.0","id":"c","result":{"_meta":{"x":2,"io.modelcontextprotocol/related-task":{"taskId":"t"}}}}"#
    );
    let note = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"L1"},"level":"info"}}"#;
    let out = rewrite_notification(note.as_bytes(), &env(note), "m", None, &[]).unwrap().unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"_meta":{},"level":"info"}}"#
    );
}

#[test]
fn errors_keep_their_bytes_and_lose_only_a_legacy_code() {
    let body = r#"{"jsonrpc":"2.0","id":"m","error":{"code":-32002,"message":"no such","data":{"uri":"x" }}}"#;
    assert_eq!(answer(body, &PLAIN).unwrap(), body.replace("\"m\"", "\"c\""));
    assert_eq!(answer(body, &TO_MODERN).unwrap(), body.replace("\"m\"", "\"c\"").replace("-32002", "-32602"));
    assert_eq!(error_code(body.as_bytes(), &env(body)), Some(-32002));
}

#[test]
fn nonsense_is_an_error() {
    for (body, want) in [
        (r#"{"jsonrpc":"2.0","id":"m","result":[]}"#, AnswerError::Result),
        (r#"{"jsonrpc":"2.0","id":"m","result":null}"#, AnswerError::Result),
        (r#"{"jsonrpc":"2.0","id":"m","error":"no"}"#, AnswerError::Error),
        (r#"{"jsonrpc":"2.0","id":"m","error":{"code":1.5,"message":"x"}}"#, AnswerError::Error),
        (r#"{"jsonrpc":"2.0","id":"m","error":{"code":1}}"#, AnswerError::Error),
        (r#"{"jsonrpc":"2.0","id":"m","method":"x"}"#, AnswerError::Message(MessageError::Shape)),
        (r#"{"id":"m","result":{}}"#, AnswerError::Message(MessageError::Version)),
    ] {
        assert_eq!(answer(body, &TO_MODERN), Err(want), "{body}");
    }
}

#[test]
fn progress_travels_only_under_our_token() {
    let note = |token: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":0.10}}}}"#
        )
    };
    let rewritten = |body: &str, client: Option<&[u8]>| {
        rewrite_notification(body.as_bytes(), &env(body), "m1", client, &[])
            .unwrap()
            .map(|out| String::from_utf8(out).unwrap())
    };
    assert_eq!(rewritten(&note("\"m1\""), Some(b"7")), Some(note("7")));
    assert_eq!(rewritten(&note("\"m\\u0031\""), Some(b"7")), Some(note("7")));
    assert_eq!(rewritten(&note("\"m1\""), None), None);
    assert_eq!(rewritten(&note("\"other\""), Some(b"7")), None);
    assert_eq!(rewritten(r#"{"jsonrpc":"2.0","method":"notifications/progress"}"#, Some(b"7")), None);
    assert_eq!(
        rewritten(r#"{"x":1,"method":"n","jsonrpc":"2.0"}"#, None).unwrap(),
        r#"{"jsonrpc":"2.0","method":"n"}"#
    );
}

#[test]
fn answers_are_recognised_by_our_id() {
    let body = r#"{"jsonrpc":"2.0","id":"m\u0031","result":{"isError":true,"resultType":"task"}}"#;
    let found = env(body);
    assert!(is_answer_to(body.as_bytes(), &found, "m1") && !is_answer_to(body.as_bytes(), &found, "m2"));
    assert!(is_tool_error(body.as_bytes(), &found));
    assert_eq!(result_type(body.as_bytes(), &found).as_deref(), Some("task"));
}

proptest! {
    #[test]
    fn results_keep_every_value(result in prop::collection::btree_map("[a-z]{1,6}|_meta|resultType|ttlMs|cacheScope", any_json(), 0..9), pretty in any::<bool>(), modern in any::<bool>(), strip in any::<bool>(), add_cache in any::<bool>()) {
        let message = json!({"jsonrpc": "2.0", "id": "m", "result": result});
        let body = if pretty { serde_json::to_string_pretty(&message) } else { serde_json::to_string(&message) }.unwrap();
        let to = AnswerEdit { modern_client: modern, add_result_type: modern, add_cache: add_cache && modern, strip_modern: strip && !modern, server_info: modern.then_some(INFO), ..PLAIN };
        let out: Value = serde_json::from_str(&answer(&body, &to).unwrap()).unwrap();
        let mut want: serde_json::Map<String, Value> = serde_json::from_str::<Value>(&body).unwrap()["result"].as_object().unwrap().clone();
        if to.strip_modern { want.retain(|key, _| !["resultType", "ttlMs", "cacheScope"].contains(&key.as_str())); }
        if modern {
            want.entry("resultType").or_insert("complete".into());
            if add_cache { want.entry("ttlMs").or_insert(0.into()); want.entry("cacheScope").or_insert("private".into()); }
            let meta = want.entry("_meta").or_insert(json!({}));
            if !meta.is_object() { *meta = json!({}); }
            meta["io.modelcontextprotocol/serverInfo"] = json!({"name": "gw"});
        }
        prop_assert_eq!(&out["id"], "c");
        prop_assert_eq!(&out["result"], &Value::Object(want));
    }
}
